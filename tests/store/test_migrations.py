"""A project of the first schema, with rows in all tables, is brought up to date without losing any."""

import contextlib
import importlib.util
import sqlite3

from nights import DECISIONS, RESULTS

from photdb.store import schema
from photdb.store.migrate import _folder, face
from photdb.store.project import Project


def to_first_schema(path):
    """Make a project what the first photdb would have made of it: tables and columns of revision 0001 alone."""
    file = next((_folder() / "versions").glob("0001*.py"))
    loaded = importlib.util.spec_from_file_location("first", file)
    first = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(first)
    old = path.with_suffix(".old")
    with contextlib.closing(sqlite3.connect(old)) as raw:
        for statement in first.STATEMENTS:
            raw.execute(statement)
        raw.execute("ATTACH ? AS now", (str(path),))
        for (table,) in raw.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            names = ", ".join(row[1] for row in raw.execute(f"PRAGMA main.table_info({table})"))
            raw.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM now.{table}")
        raw.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        raw.execute("INSERT INTO main.alembic_version VALUES ('0001')")
        raw.execute(f"PRAGMA main.application_id = {schema.APPLICATION_ID}")
        raw.execute(f"PRAGMA main.user_version = {face()}")
        raw.commit()
    old.replace(path)


def test_a_project_of_the_first_schema_loses_nothing(night):
    night.photdb("reject", "frames", "3", "--source", "R1")
    night.photdb("run")
    results = ("search", "solution", "check", "frame_error", "source_noise", "target_")
    kept = [t for t in (*DECISIONS, *RESULTS) if not t.startswith(results)]
    made = night.snapshot("frame_error", "source_noise", "target_coordinates", "target_time")
    before, solved = night.snapshot(*kept), night.snapshot("solution_point", "solution", "search")
    to_first_schema(night.path)
    assert "older photdb" in night.refused("status")
    Project.write(night.path, "test").close()
    assert night.snapshot(*kept) == before
    assert len(list(night.folder.glob(f"night.photdb.before-{schema.HEAD}-*"))) == 1
    points = night.snapshot("solution_point")["solution_point"]
    assert points == solved["solution_point"]
    # What the new columns hold is computed from what is there: no frame is read, and curves stay what they were.
    night.change("UPDATE search SET input = 0")
    night.change("UPDATE centroid SET error_input = 1")  # whatever it was
    night.photdb("run")
    assert night.snapshot("frame_error", "source_noise", "target_coordinates", "target_time") == made
    assert night.snapshot("solution_point", "solution", "search") == solved
    assert night.work() == {}
    night.photdb("suggest", "-q")
    assert night.one("SELECT count(*) FROM field_star") > 30
