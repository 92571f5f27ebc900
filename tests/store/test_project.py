"""Opening what is and what is no project, older and newer ones; transactions and the history."""

import contextlib
import os
import shutil
import sqlite3

import pytest

from photdb.errors import ProjectError
from photdb.store import schema
from photdb.store.connection import driver
from photdb.store.project import Project


def alter(path, *statements):
    """Change a project behind photdb's back."""
    raw = sqlite3.connect(path)
    for statement in statements:
        raw.execute(statement)
    raw.commit()
    raw.close()


def opened_by(path):
    """Try every way to open; gives what each says."""
    messages = []
    for way in (Project.read, Project.read_any_revision, lambda p: Project.write(p, "test")):
        with pytest.raises(ProjectError) as caught:
            way(path)
        messages.append(str(caught.value))
        assert "\n" not in messages[-1]
    return messages


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no project of photdb"),
        (b"SIMPLE  =                    T" * 200, "no project of photdb"),
        (b"SQLite format 3\x00" + b"\xff" * 5000, "no project of photdb"),
    ],
)
def test_a_file_that_is_no_project(tmp_path, content, said):
    path = tmp_path / "odd.photdb"
    path.write_bytes(content)
    for message in opened_by(path):
        assert said in message
        assert "odd.photdb" in message
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["odd.photdb"]


def test_another_applications_database_is_left_alone(tmp_path):
    path = tmp_path / "other.photdb"
    alter(path, "CREATE TABLE frame (id)", "PRAGMA application_id = 77")
    before = path.read_bytes()
    for message in opened_by(path):
        assert "no project of photdb" in message
    assert path.read_bytes() == before


def test_a_folder_and_nothing_are_said(tmp_path):
    for message in opened_by(tmp_path):
        assert "is a folder" in message
    for message in opened_by(tmp_path / "none.photdb"):
        assert "photdb init" in message
    assert os.listdir(tmp_path) == []


def test_a_newer_project_is_refused_untouched(night):
    alter(night.path, "UPDATE alembic_version SET version_num = '9999'")
    before = night.path.read_bytes()
    with pytest.raises(ProjectError, match="newer photdb"):
        Project.read(night.path)
    with pytest.raises(ProjectError, match="newer photdb"):
        Project.write(night.path, "test")
    assert night.path.read_bytes() == before
    assert "newer photdb" in night.refused("qc")
    assert "newer photdb" in night.refused("status")
    assert night.photdb("sql", "SELECT count(*) AS n FROM frame").stdout.split() == ["n", "20"]
    assert sorted(p.name for p in night.folder.glob("night.photdb*")) == ["night.photdb"]


def test_an_older_project_is_said_by_readers_and_migrated_by_writers(night, monkeypatch):
    before = night.snapshot()
    monkeypatch.setattr(schema, "HEAD", "9998")
    assert "older photdb" in night.refused("status")
    assert night.photdb("sql", "SELECT count(*) AS n FROM flux").stdout.split() == ["n", "1120"]
    monkeypatch.setitem(schema.VIEWS, "new_view", "SELECT number FROM frame")
    with Project.write(night.path, "test") as project:
        assert project.connection.exec_driver_sql("SELECT count(*) FROM new_view").scalar() == 20
        assert project.connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    monkeypatch.undo()
    # Its views are now another photdb's: they too are made anew by whatever writes.
    assert "older photdb" in night.refused("status")
    Project.write(night.path, "test").close()
    assert night.snapshot() == before
    (copy,) = night.folder.glob("night.photdb.before-9998-*")
    with Project.read(copy) as project:
        assert project.connection.exec_driver_sql("SELECT count(*) FROM flux").scalar() == 1120
        assert not project.connection.exec_driver_sql("SELECT * FROM sqlite_master WHERE name = 'new_view'").all()


def test_a_failed_migration_leaves_the_project_as_it_was(night, monkeypatch):
    master = "SELECT name, sql FROM sqlite_master ORDER BY name"
    before = night.rows(master), night.snapshot()
    monkeypatch.setattr(schema, "HEAD", "9998")
    monkeypatch.setitem(schema.VIEWS, "broken", "SELECT nothing FROM nowhere WHERE (")
    with pytest.raises(Exception, match="syntax error|incomplete input"):
        Project.write(night.path, "test")
    assert not night.path.with_name("night.photdb.lock").exists()
    monkeypatch.undo()
    assert (night.rows(master), night.snapshot()) == before


def test_a_reader_cannot_write(night):
    for way in (Project.read, Project.read_any_revision):
        with way(night.path) as project, pytest.raises(Exception, match="readonly database"):
            project.connection.exec_driver_sql("DELETE FROM frame")
    assert night.one("SELECT count(*) FROM frame") == 20


def test_a_transaction_is_all_or_nothing(night):
    class Stop(Exception):
        pass

    with Project.write(night.path, "test") as project:
        with contextlib.suppress(Stop), project.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM solution")
            raise Stop
        assert not driver(project.connection).in_transaction
        with project.transaction() as connection:
            connection.exec_driver_sql("UPDATE project SET observer = 'Y'")
    assert night.one("SELECT count(*) FROM solution") == 20
    assert night.one("SELECT observer FROM project") == "Y"


def test_the_state_is_another_after_any_change(night):
    with Project.write(night.path, "test") as project, Project.read(night.path) as reader:
        before = project.state(), reader.state()
        assert (project.state(), reader.state()) == before
        with project.transaction() as connection:
            connection.exec_driver_sql("UPDATE project SET observer = 'Y'")
            during = project.state(), reader.state()
        after = project.state(), reader.state()
    assert before[0] != during[0]
    assert before[1] == during[1] != after[1]


def test_children_go_with_their_parent_and_orphans_are_refused(night):
    with pytest.raises(Exception, match="FOREIGN KEY"):
        night.change("INSERT INTO shift (frame_id, input, flags) VALUES (999, 0, 0)")
    night.change("DELETE FROM solution WHERE rank > 1")
    assert night.one("SELECT count(DISTINCT solution_id) FROM solution_point") == 2


def test_the_history_says_how_commands_ended(night):
    assert [row[0] for row in night.rows("SELECT command FROM history")][:3] == ["init", "qc", "shifts"]
    night.photdb("reject", "frames", "3", "--reason", "clouds, thin")
    night.refused("reject", "frames", "99")
    night.photdb("reject", "frames", code=2)
    with Project.write(night.path, "test") as project, pytest.raises(KeyboardInterrupt):
        with project.recorded("qc", []):
            raise KeyboardInterrupt
    rows = night.rows("SELECT command, arguments, outcome FROM history ORDER BY id DESC LIMIT 3")
    assert rows[2] == ("reject", '["frames", "3", "--reason", "clouds, thin"]', "ok")
    assert rows[1][2].startswith("failed: there is no frame 99")
    assert rows[0][2] == "interrupted"
    shown = night.photdb("history").stdout
    assert "photdb reject frames 3 --reason 'clouds, thin'\n" in shown
    assert "[interrupted]" in shown


def test_create_refuses_what_is_there_and_leaves_no_draft(tmp_path):
    path = tmp_path / "new.photdb"
    with pytest.raises(RuntimeError), Project.create(path, "test", frame_folder="."):
        raise RuntimeError
    assert os.listdir(tmp_path) == []
    with Project.create(path, "test", frame_folder=".") as project:
        assert not path.exists()  # until it is whole
        project.publish()
        assert path.exists()
    with pytest.raises(ProjectError, match="exists"):
        Project.create(path, "test", frame_folder=".")
    with pytest.raises(ProjectError, match="no folder"):
        Project.create(tmp_path / "a" / "b.photdb", "test", frame_folder=".")
    assert os.listdir(tmp_path) == ["new.photdb"]


def test_create_never_replaces_what_somebody_else_put_there(tmp_path):
    path = tmp_path / "new.photdb"
    with Project.create(path, "test", frame_folder=".") as project:
        path.write_text("mine")
        with pytest.raises(ProjectError, match="exists"):
            project.publish()
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["new.photdb"]


def test_a_project_moves_with_its_frames(night, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "night"
    shutil.move(night.folder, moved)
    night.folder = moved
    assert night.work() == {}
    with Project.read(night.path) as project:
        assert project.frame_folder == moved / "frames"
