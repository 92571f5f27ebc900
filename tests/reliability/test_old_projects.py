"""Projects of every revision there was, with rows in them; migrations that are killed or run out of room half-way."""

import gzip
import random
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from nights import Night, invoke

from photdb.store import migrate, schema
from photdb.store.project import Project

FROZEN = sorted((Path(__file__).parent / "frozen").glob("*.photdb.gz"))
DECISIONS = ("source", "source_anchor", "aperture", "rejection", "acceptance", "rule", "project")
FACTS = ("frame", "history", "stage_run")


def rows_of(path, tables):
    """Give rows of tables by the names of their columns, those that were there at first."""
    with closing(sqlite3.connect(path)) as raw:
        raw.row_factory = sqlite3.Row
        return {t: [dict(row) for row in raw.execute(f"SELECT * FROM {t}")] for t in tables}


def assert_kept(before, after):
    for table, rows in before.items():
        names = rows[0].keys() if rows else ()
        assert [{name: row[name] for name in names} for row in after[table]][: len(rows)] == rows, table


def thawed(frozen, folder):
    path = folder / "night.photdb"
    path.write_bytes(gzip.decompress(frozen.read_bytes()))
    return path


# --- frozen projects --------------------------------------------------------------------------------------------------
def test_every_revision_is_frozen_with_rows_in_every_table():
    names = {frozen.name.removesuffix(".photdb.gz") for frozen in FROZEN}
    assert migrate.known_revisions() <= {name.partition("-")[0] for name in names}
    for frozen in FROZEN:
        path = frozen.with_suffix("")
        with closing(sqlite3.connect(":memory:")) as raw:
            raw.deserialize(gzip.decompress(frozen.read_bytes()))
            (revision,) = raw.execute("SELECT version_num FROM alembic_version").fetchone()
            assert path.name.startswith(revision)
            tables = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            empty = {t for t in tables if not raw.execute(f"SELECT count(*) FROM {t}").fetchone()[0]}
            # In twelve frames no hot pixel shows, and the asteroid meets nobody.
            assert empty <= {"frame_wcs", "hot_pixel", "encounter"}, frozen.name


@pytest.mark.parametrize("frozen", FROZEN, ids=lambda path: path.name)
def test_a_frozen_project_is_brought_up_to_date_with_all_that_is_in_it(frozen, tmp_path):
    path = thawed(frozen, tmp_path)
    env = {"PHOTDB_PROJECT": str(path)}
    content = path.read_bytes()
    with closing(sqlite3.connect(path)) as raw:
        (face,) = raw.execute("PRAGMA user_version").fetchone()
        there = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    tables = [t for t in schema.metadata.tables if t != "flag" and t in there]
    before = rows_of(path, tables)
    status = invoke("status", env=env)
    if face == migrate.face() and frozen.name.startswith(schema.HEAD):
        assert status.exit_code == 0
    else:
        assert status.exit_code == 1
        assert "made by an older photdb: any command that writes" in status.stderr
    query = "SELECT count(*) AS n FROM flux WHERE aperture_id <= 2"
    assert invoke("sql", query, env=env).stdout.split() == ["n", "168"]
    assert path.read_bytes() == content
    assert invoke("reject", "frames", 2, "--reason", "once more", env=env).exit_code == 0
    after = rows_of(path, tables)
    assert_kept(before, after)
    assert len(after["rejection"]) == len(before["rejection"]) + 1
    checked = invoke("check-project", "--quick", env=env)
    (line,) = checked.stdout.splitlines()
    assert line.startswith("Frame 1-12 is not in")  # they are not kept
    with Project.read(path) as project:
        assert migrate.is_current(project.connection, project.revision())
        # What it excludes is what it excluded, as the new views tell it.
        reasons = project.connection.exec_driver_sql("SELECT DISTINCT reason FROM excluded WHERE kind = 'rejection'")
        assert set(reasons.scalars()) == {"clouds, thin", "cosmic ray", "once more"}
        curve = project.connection.exec_driver_sql("SELECT target, frame, mag FROM best_light_curve").all()
        assert len(curve) >= 10


@pytest.mark.parametrize("frozen", FROZEN, ids=lambda path: path.name)
def test_results_of_a_frozen_project_are_current_or_work_by_the_version_of_their_stage(frozen, tmp_path):
    """Each stage whose version is the one they were made with is done; a newer one, and what reads it, is work."""
    import json

    from photdb.stages import STAGES

    path = thawed(frozen, tmp_path)
    env = {"PHOTDB_PROJECT": str(path)}
    made = {row["stage"]: row["version"] for row in rows_of(path, ["stage_run"])["stage_run"]}
    assert invoke("set", "--observer", "O. Server", env=env).exit_code == 0  # migrated, and nothing else
    states = {s["stage"]: s["state"] for s in json.loads(invoke("status", "--json", env=env).stdout)["stages"]}
    for name, stage in STAGES.items():
        if any(states[upstream] != "done" for upstream in stage.upstream):
            assert states[name] in ("waits", "out of date") or (name not in made and states[name] == "to do")
        elif made.get(name, stage.version) != stage.version:
            assert states[name] == "out of date"
        elif name in ("headers", "qc"):
            assert states[name] == "done"


# --- a revision to come, that rebuilds tables with children -----------------------------------------------------------
NEXT = f'''"""Another column that must not be empty, and a check: parents of nearly all tables are made anew."""
import sqlalchemy as sa
from alembic import op

revision = "0099"
down_revision = "{schema.HEAD}"


def upgrade():
    for table in ("frame", "source", "aperture"):
        with op.batch_alter_table(table, recreate="always") as batch:
            batch.add_column(sa.Column("note", sa.Text, nullable=False, server_default="none"))
    op.execute("UPDATE frame SET note = 'frame ' || number")
    op.create_index("frame_note", "frame", ["note"], unique=True)
'''


@pytest.fixture(scope="module")
def migrations(tmp_path_factory):
    """The migrations there are, and one more."""
    folder = tmp_path_factory.mktemp("newer") / "migrations"
    here = Path(__file__).resolve().parents[2] / "migrations"
    shutil.copytree(here, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "0099_next.py").write_text(NEXT)
    return folder


def is_old_and_whole(night: Night, before, content=None):
    """The project is what it was: the photdb of now reads it, and finds every row."""
    with closing(sqlite3.connect(night.path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    assert night.snapshot() == before
    assert night.work() == {}
    if content is not None:
        assert night.path.read_bytes() == content


def is_new_and_whole(night: Night, kept):
    with closing(sqlite3.connect(night.path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("0099",)]
        assert raw.execute("SELECT count(DISTINCT note) FROM frame").fetchone() == (20,)
    assert_kept(kept, rows_of(night.path, kept))


def pages(content: bytes) -> bytes:
    """Give a database without its head, where changes are counted."""
    return content[100:]


TABLES = [t for t in schema.metadata.tables if t not in ("history", "flag")]


def test_a_migration_killed_anywhere_is_all_or_nothing(commands, night_at, migrations):
    """At 12 points of seed 5: in the safety copy, in the statements, in the commit; then it is done after all."""
    random_ = random.Random(5)
    night = night_at("solved")
    before, kept, content = night.snapshot(), rows_of(night.path, TABLES), night.path.read_bytes()
    whole = night_at("solved", "whole")
    counted = commands.run(whole.path, "set", "--gain", 2, before=("newer_schema", migrations, "statement 100000"))
    assert counted.code == 0
    n_statements = int(re.search(r"statements (\d+)", counted.stdout)[1])
    assert n_statements > 40
    points = [f"copy {n}" for n in (4, 40)]
    points += [f"statement {n}" for n in sorted(random_.sample(range(2, n_statements), 9))] + ["commit"]
    n_hot = 0
    for point in points:
        ended = commands.run(night.path, "set", "--gain", 2, before=("newer_schema", migrations, point))
        assert ended.code == -9, (point, ended)
        n_hot += night.path.with_name("night.photdb-journal").exists()
        is_old_and_whole(night, before, content)
        for copy in night.folder.glob("night.photdb.before-0099-*Z"):  # whole, as it has its name
            assert pages(copy.read_bytes()) == pages(content)
            copy.unlink()
    assert n_hot >= 5  # the file itself had been written to, and was put back
    assert commands.run(night.path, "set", "--gain", 2, before=("newer_schema", migrations)).code == 0
    kept["project"][0]["gain_e_per_adu"] = 2.0
    is_new_and_whole(night, kept)
    assert "newer photdb" in night.refused("status")


def test_a_migration_without_room_leaves_the_project_as_it_was(commands, night_at, migrations):
    night = night_at("solved")
    before, kept, content = night.snapshot(), rows_of(night.path, TABLES), night.path.read_bytes()
    size, said = len(content), []
    for limit in (0, 5000, size // 2, size - 1, size, size + 4096, size + 20_000, 4 * size):
        ended = commands.run(night.path, "set", "--gain", 2, before=("newer_schema", migrations), file_limit=limit)
        if ended.code == 0:
            break
        is_old_and_whole(night, before)
        said.append(ended.sentence)
        copies = [file for file in night.folder.glob("night.photdb*") if file != night.path]
        for copy in copies:  # none, or a whole one
            assert pages(copy.read_bytes()) == pages(content)
        for copy in copies:
            copy.unlink()
    assert "no safety copy" in said[0].lower()
    assert "night.photdb is left as it is" in said[0]
    assert "disk takes no more" in said[-1]  # there was room for the copy, and none for the tables
    kept["project"][0]["gain_e_per_adu"] = 2.0
    is_new_and_whole(night, kept)


def test_a_migration_that_would_lose_a_parent_is_refused(commands, night_at, migrations, tmp_path):
    night = night_at("solved")
    with closing(sqlite3.connect(night.path)) as raw:
        raw.execute("DELETE FROM frame WHERE number = 3")  # behind the back of foreign keys
        raw.commit()
    content = night.path.read_bytes()
    ended = commands.run(night.path, "set", "--gain", 2, before=("newer_schema", migrations))
    assert ended.code == 1
    assert "rows without parents" in ended.sentence
    assert night.path.read_bytes() == content


def test_what_a_killed_migration_left_is_found_and_taken_away(commands, night, migrations):
    ended = commands.run(night.path, "set", "--gain", 2, before=("newer_schema", migrations, "copy 8"))
    assert ended.code == -9
    (part,) = (file for file in night.folder.glob("*.part"))
    ended = commands.run(night.path, "check-project", "-j", 1)
    assert ended.code == 1
    assert f"{part.name} was left by a command that was killed" in ended.stdout
    assert "night.photdb.lock was left by a command that was killed" in ended.stdout
    assert commands.run(night.path, "check-project", "-j", 1, "--repair").code == 0
    assert sorted(file.name for file in night.folder.glob("night.photdb*")) == ["night.photdb"]
