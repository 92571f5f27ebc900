"""The page of tables against the migrations, and the public views."""

import re
import sqlite3

import pytest
from sqlalchemy import create_engine

from photdb.algorithms.flags import MEANING
from photdb.store import schema
from photdb.store.migrate import _folder, build, upgrade


def described(connection):
    """Give every table and index as SQLite understands it, whatever the spelling of its SQL."""
    found = {}
    master = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type IN ('table', 'index') ORDER BY name"
    for kind, name, table, sql in connection.execute(master).fetchall():
        if name in ("alembic_version",) or table == "alembic_version":
            continue
        if kind == "table":
            found[name] = (
                connection.execute(f"PRAGMA table_xinfo({name})").fetchall(),
                sorted(row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({name})")),
                sorted(re.sub(r"\s", "", c) for c in re.findall(r"CHECK ?(\(.*\))", sql)),
                "WITHOUT ROWID" in sql,
            )
        else:
            where = re.search(r"WHERE (.*)", sql or "")
            expressions = re.search(r"\((.*)\)", (sql or "").split(" WHERE ")[0])
            found[f"{table}: {name}"] = (
                [row[1:] for row in connection.execute(f"PRAGMA index_xinfo({name})")],
                [row[2:] for row in connection.execute(f"PRAGMA index_list({table})") if row[1] == name],
                expressions and re.sub(r"\s", "", expressions[1]),
                where and re.sub(r"\s", "", where[1]),
            )
    return found


def test_migrations_build_what_the_page_says(night):
    engine = create_engine("sqlite://")
    schema.metadata.create_all(engine)
    with engine.connect() as connection:
        wanted = described(connection.connection.driver_connection)
    engine.dispose()
    raw = sqlite3.connect(night.path)
    found = described(raw)
    raw.close()
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert found[name] == wanted[name], name


def test_head_is_alembics():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    setup = Config()
    setup.set_main_option("script_location", str(_folder()))
    assert ScriptDirectory.from_config(setup).get_heads() == [schema.HEAD]


def test_every_stage_owns_tables_that_exist():
    from photdb.stages import ASKED_FOR, STAGES

    owned = [table for stage in (STAGES | ASKED_FOR).values() for table in stage.tables]
    assert len(set(owned)) == len(owned)
    assert set(owned) <= set(schema.metadata.tables)


def test_flags_are_in_the_database_with_their_meaning(night):
    assert night.rows("SELECT bit, name, meaning FROM flag ORDER BY bit") == sorted(
        (int(flag), flag.name, meaning) for flag, meaning in MEANING.items()
    )


def test_a_rejection_is_in_force_once(night):
    insert = (
        "INSERT INTO rejection (group_id, frame_id, source_id, aperture_id, reason, created_at, withdrawn_at)"
        " VALUES (1, ?, ?, ?, 'x', 'now', ?)"
    )
    for key in ((1, None, None), (None, 2, None), (None, None, 3), (1, 2, 3), (1, 2, None), (None, 2, 3), (1, None, 3)):
        night.change(insert, *key, None)
        night.change(insert, *key, "then")  # taken back: as often as one likes
        night.change(insert, *key, "then")
        with pytest.raises(Exception, match="UNIQUE"):
            night.change(insert, *key, None)
    with pytest.raises(Exception, match="CHECK"):
        night.change(insert, None, None, None, None)


def test_excluded_and_frame_status_say_what_is_left_out_and_why(night):
    night.photdb("reject", "frames", "3-4", "--reason", "clouds")
    night.photdb("reject", "frames", "5", "--source", "R1")
    night.photdb("reject", "source", "R2", "--aperture", "1", "--reason", "neighbour")
    night.photdb("qc", "--min-stars", "1000")
    night.photdb("accept", "frames", "7")
    night.change("UPDATE frame SET error = 'torn' WHERE number = 8")
    night.change("UPDATE frame_quality SET error = 'bad tiles' WHERE frame_id = 9")
    night.change("UPDATE shift SET dx_px = NULL WHERE frame_id = 10")
    excluded = night.rows(
        "SELECT kind, frame, source, aperture_id, stage, reason, overruled FROM excluded WHERE kind <> 'rule'"
    )
    assert sorted(excluded, key=str) == sorted(
        [
            ("rejection", 3, None, None, None, "clouds", 0),
            ("rejection", 4, None, None, None, "clouds", 0),
            ("rejection", 5, "R1", None, None, "by hand", 0),
            ("rejection", None, "R2", 1, None, "neighbour", 0),
            ("unusable", 8, None, None, "headers", "torn", 0),
            ("unusable", 9, None, None, "qc", "bad tiles", 0),
            ("unusable", 10, None, None, "shifts", "its stars could not be matched with the reference frame's", 0),
        ],
        key=str,
    )
    ruled = night.rows("SELECT frame, reason, overruled FROM excluded WHERE kind = 'rule' ORDER BY frame")
    assert [row[0] for row in ruled] == list(range(1, 21))
    assert [row[2] for row in ruled] == [int(row[0] == 7) for row in ruled]
    n_stars = night.one("SELECT n_stars FROM frame_status WHERE number = 1")
    assert ruled[0][1] == f"n_stars {n_stars} < 1000"
    status = dict((n, (a, r)) for n, a, r in night.rows("SELECT number, accepted, reasons FROM frame_status"))
    assert [n for n, (accepted, _) in status.items() if accepted] == [7]
    assert status[3][1].startswith("clouds; ")
    assert "R1" not in str(status[5][1])


def test_light_curves_are_the_solutions_points(night):
    curve = night.rows("SELECT target, rank, frame, mag, mag_err FROM light_curve")
    assert len(curve) == night.one("SELECT count(*) FROM solution_point") == 2 * 10 * 20
    best = night.rows("SELECT target, frame, mag, mag_err FROM best_light_curve")
    assert sorted(best) == sorted((t, f, m, e) for t, r, f, m, e in curve if r == 1)
    check = night.rows(
        "SELECT c.jd_utc_mid, c.hjd_utc_mid, c.bjd_tdb_mid, b.hjd_utc_mid, b.bjd_tdb_mid FROM check_light_curve c"
        " JOIN best_light_curve b USING (target, frame)"
    )
    assert len(check) == 2 * 20
    for jd, hjd, bjd, hjd_of_target, bjd_of_target in check:
        assert (hjd, bjd) == (hjd_of_target, bjd_of_target)
        assert 0 < abs(hjd - jd) < 500 / 86400
        assert 60 / 86400 < bjd - hjd < 75 / 86400, "TDB - UTC of this century, and 5 s of the Sun's way"
    ranks = night.rows("SELECT target, rank, noise_mag FROM best_combination ORDER BY target, rank")
    assert [r for _, r, _ in ranks] == [*range(1, 11)] * 2
    assert all(a[2] <= b[2] for a, b in zip(ranks, ranks[1:], strict=False) if a[0] == b[0])


def test_the_session_is_what_was_set_else_what_most_headers_say(night):
    def fact(name):
        return night.rows("SELECT value, origin FROM session WHERE fact = ?", name)[0]

    value, origin = fact("gain_e_per_adu")
    assert origin == ("unknown" if value is None else "header")
    night.change("UPDATE frame SET gain_e_per_adu = CASE WHEN number < 15 THEN 2.0 ELSE 3.0 END")
    assert fact("gain_e_per_adu") == (2.0, "header")
    night.change("UPDATE frame SET error = 'torn' WHERE number < 12")
    assert fact("gain_e_per_adu") == (3.0, "header")
    night.photdb("set", "--gain", "1.7")
    assert fact("gain_e_per_adu") == (1.7, "set")
    night.photdb("set", "--gain", "none")
    assert fact("gain_e_per_adu") == (3.0, "header")
    assert fact("observer")[1] == "unknown"


def test_views_need_no_function_that_an_sqlite_may_lack(night):
    assert not re.search(r"\b(log|log10|sqrt|pow|power)\(", " ".join(schema.VIEWS.values()))
    for view in schema.VIEWS:
        night.rows(f"SELECT * FROM {view} LIMIT 1")


def test_new_projects_are_what_alembic_would_make(tmp_path):
    def made(make):
        raw = sqlite3.connect(":memory:", isolation_level=None)
        engine = create_engine("sqlite://", creator=lambda: raw)
        with engine.connect() as connection:
            make(connection)
        tables = raw.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        marks = [raw.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")]
        rows = [raw.execute(f"SELECT * FROM {name}").fetchall() for name in ("alembic_version", "flag")]
        engine.dispose()
        raw.close()
        return tables, marks, rows

    assert made(build) == made(upgrade)
    assert len(made(build)[0]) > 30
