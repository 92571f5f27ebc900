"""`photdb sql`: answers in three formats, and nothing but answers."""

import csv
import io
import json

import pytest


def test_three_formats_say_the_same(night):
    query = "SELECT number, path, NULL AS none, 0.1 + 0.2 AS x FROM frame ORDER BY number LIMIT 2"
    table = night.photdb("sql", query)
    assert table.stderr == ""
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["number", "path", "none", "x"]
    assert lines[1].split() == ["1", "night-0005.fits", "-", "0.30000000000000004"]
    rows = list(csv.reader(io.StringIO(night.photdb("sql", query, "--format", "csv").stdout)))
    assert rows == [["number", "path", "none", "x"]] + [
        [str(n), f"night-{n + 4:04d}.fits", "", "0.30000000000000004"] for n in (1, 2)
    ]
    found = json.loads(night.photdb("sql", query, "--format", "json").stdout)
    assert found == [{"number": n, "path": f"night-{n + 4:04d}.fits", "none": None, "x": 0.1 + 0.2} for n in (1, 2)]


def test_no_rows_and_no_columns_are_answers(night):
    assert night.photdb("sql", "SELECT number FROM frame WHERE 0").stdout == "number\n"
    assert json.loads(night.photdb("sql", "SELECT number FROM frame WHERE 0", "--format", "json").stdout) == []
    assert night.photdb("sql", "SELECT number FROM frame WHERE 0", "--format", "csv").stdout == "number\n"
    night.photdb("sql", "")


def test_the_schema_can_be_asked_for(night):
    assert "light_curve" in night.photdb("sql", "SELECT name FROM sqlite_master WHERE type = 'view'").stdout
    assert "jd_utc_mid" in night.photdb("sql", "PRAGMA table_info(frame)").stdout


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM frame",
        "INSERT INTO history (at) VALUES (1)",
        "UPDATE frame SET number = 0",
        "REPLACE INTO flag VALUES (1, 'x', 'y')",
        "DROP TABLE flux",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x (y)",
        "ALTER TABLE frame ADD COLUMN x",
        "ATTACH 'other.db' AS other",
        "DETACH main",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = WAL",
        "PRAGMA user_version = 3",
        "PRAGMA application_id",
        "VACUUM",
        "VACUUM INTO 'copy.db'",
        "REINDEX",
        "ANALYZE",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT x",
        "SELECT load_extension('x')",
        "SELECT LOAD_EXTENSION('x', 'y')",
        "WITH x AS (SELECT 1) DELETE FROM frame",
        "EXPLAIN DELETE FROM frame",
        "SELECT 1; DELETE FROM frame",
        "SELECT nothing FROM frame",
        "SELEC 1",
    ],
)
def test_everything_but_a_question_is_refused(night, query, monkeypatch):
    monkeypatch.chdir(night.folder)
    before, there = night.path.read_bytes(), sorted(p.name for p in night.folder.iterdir())
    said = night.refused("sql", query)
    assert "only reads" in said or "SQLite says" in said
    assert night.path.read_bytes() == before
    assert sorted(p.name for p in night.folder.iterdir()) == there


def test_odd_values_do_no_harm(night):
    query = "SELECT char(27) || '[31m' AS colour, x'00ff' AS raw, 1e999 AS much, 'a' || char(10) || 'b' AS lines"
    shown = night.photdb("sql", query).stdout
    assert "\x1b" not in shown
    assert "00ff" in shown
    assert len(shown.splitlines()) == 2
    json.loads(night.photdb("sql", query, "--format", "json").stdout, parse_constant=pytest.fail)
    assert night.refused("sql", "SELECT CAST(x'ff' AS TEXT)")
