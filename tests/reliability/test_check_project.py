"""`photdb check-project`: it finds what was broken on purpose, writes nothing, and --repair loses no decision."""

import gzip
import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from nights import DECISIONS, N_FRAMES, copy_night, invoke
from test_projects import PAGE, damaged, raw, state

from photdb.store.graft import graft
from photdb.store.lock import WriterLock


@pytest.fixture(scope="module")
def undisturbed(built_night, tmp_path_factory):
    night = copy_night(built_night, tmp_path_factory.mktemp("undisturbed") / "night", "solved")
    return night.snapshot(), night.snapshot(*DECISIONS)


def check(night, *words, code=0):
    return night.photdb("check-project", "-j", 1, *words, code=code)


def decided(night):
    night.photdb("reject", "frames", 3, "--source", "R2", "--reason", "cosmic ray")
    night.photdb("reject", "source", "R4")
    night.photdb("accept", "source", "R4")
    night.photdb("qc", "--max-fwhm", 4.5)
    night.photdb("accept", "frames", 5)
    night.photdb("run")
    return night.snapshot(), night.snapshot(*DECISIONS)


def test_a_sound_project_is_only_looked_at(night, reads):
    night.photdb("reject", "frames", 9)  # so that something is out of date, which is no fault
    before = state(night.folder)
    done = check(night)
    assert f"the project is whole, and {N_FRAMES} frames read are what they were" in done.stderr
    assert (
        "Out of date, which is no fault: noise: magnitudes of 7 sources changed; check: magnitudes of 4" in done.stderr
    )
    assert done.stdout == ""
    assert len(reads.digests) == N_FRAMES
    reads.clear()
    assert f"{N_FRAMES} frames looked at are what they were" in check(night, "--quick").stderr
    assert reads.digests == []
    assert check(night, "--repair").exit_code == 0  # with nothing to repair
    assert state(night.folder) == before


#: What is broken; what is said; what --repair cannot put right.
BROKEN = {
    "view": (["DROP VIEW excluded"], "view excluded; --repair makes all views anew", None),
    "another view": (["DROP VIEW target", "CREATE VIEW target AS SELECT 1 AS id"], "view target", None),
    "flag": (["UPDATE flag SET meaning = 'nothing' WHERE bit = 1"], "view flag", None),
    "index": (["DROP INDEX source_label"], "index source_label; --repair makes it anew", None),
    "other index": (
        ["DROP INDEX rule_in_force", "CREATE INDEX rule_in_force ON rule (value)"],
        "index rule_in_force",
        None,
    ),
    "orphans": (["DELETE FROM source WHERE label = 'C1'"], "20 of centroid belong to no source", "1 of source_anchor"),
    "stars": (
        ["UPDATE detection SET x_px = x_px + 1 WHERE frame_id = 3 AND rank = 3"],
        "stars of 1 frame are not",
        None,
    ),
    "lost stars": (
        ["DELETE FROM detection WHERE frame_id = 3"],
        "stars of 1 frame are not those that were found",
        None,
    ),
    "quality": (["DELETE FROM frame_quality WHERE frame_id = 3"], "stars are of frames without quality", None),
    "digest": (["UPDATE frame SET content_crc32 = NULL WHERE number = 3"], "1 measured frames have no digest", None),
    "centroids": (["DELETE FROM centroid WHERE frame_id = 3"], "56 fluxes have no centroid", None),
    "points": (["DELETE FROM solution_point WHERE frame_id = 5"], "2 searches lack solutions, or points", None),
    "references": (["DELETE FROM solution_reference WHERE solution_id = 1"], "1 searches lack solutions", None),
    "solutions": (["DELETE FROM search"], "20 solutions belong to no search", None),
    "type": (
        ["UPDATE flux SET flux_adu = 'much' WHERE frame_id = 2"],
        "56 rows of flux with values of another type",
        None,
    ),
    "decided type": (["UPDATE source SET colour = 'red' WHERE id = 2"], "1 row of source with values of another", None),
    "text": (
        ["UPDATE history SET command = CAST(x'71ff' AS TEXT) WHERE id = 2"],
        "1 row of history with text that is none",
        None,
    ),
    "frame's type": (["UPDATE frame SET airmass = x'00' WHERE id = 2"], "1 row of frame with values of another", None),
    "trigger": (
        ["CREATE TRIGGER t AFTER INSERT ON history BEGIN DELETE FROM rule; END"],
        "The trigger t is not photdb's, and may change what is written",
        "The trigger t",
    ),
    "table": (["CREATE TABLE mine (x)"], "The table mine is not photdb's", "The table mine"),
    "no table": (["DROP TABLE shift"], "no table shift", None),
    "other table": (["ALTER TABLE shift ADD COLUMN other"], "another table shift", None),
    "anchors": (
        ["DELETE FROM source_anchor WHERE source_id = 1"],
        "Ganymed has too few positions left (0)",
        "Ganymed has",
    ),
    "application_id": (["PRAGMA application_id = 77"], "not marked as photdb's", None),
    "write-ahead": (["PRAGMA journal_mode = WAL"], "write-ahead mode", None),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_found_and_put_right(night, undisturbed, what):
    statements, said, remains = BROKEN[what]
    raw(night.path, *statements)
    before = state(night.folder)
    done = check(night, code=1)
    assert said in done.stdout
    assert len(done.stdout.splitlines()) <= 6
    assert state(night.folder) == before
    mended = check(night, "--repair", code=0 if not remains else 1)
    if remains:
        assert f"Still so: {remains}" in mended.stdout
        assert remains in check(night, code=1).stdout
    else:
        assert check(night).stdout == ""
    copies = [p.name for p in night.folder.glob("night.photdb.*")]
    if remains is None:
        (copy,) = copies
        assert "before-repair" in copy or "damaged" in copy
    if what not in ("orphans", "anchors", "trigger", "frame's type"):
        night.photdb("run")
        assert (night.snapshot(), night.snapshot(*DECISIONS)) == undisturbed
    elif what == "anchors":  # it is said, and no command minds
        assert "Ganymed cannot be placed: it has too few positions left" in night.photdb("status").stdout
        night.photdb("run")
        night.photdb("select", "asteroid", "Ganymed", *night.at("Ganymed", 1, 20))
        night.photdb("run")
        assert night.snapshot("solution_point") == {"solution_point": undisturbed[0]["solution_point"]}


def test_what_was_set_for_the_project_may_be_gone(night, undisturbed):
    """A page of another table in place of its own is sound in itself: it is said, and all else is kept."""
    raw(night.path, "DELETE FROM project")
    assert "What was set for the project is gone" in check(night, code=1).stdout
    said = check(night, "--repair", "-v", code=1).stderr
    assert "lost, or not whole: project." in said
    assert "`photdb relocate DIR`, `photdb set`" in said
    night.photdb("relocate", night.folder / "frames")
    night.photdb("shifts", "--reference-frame", "auto")
    night.photdb("run")
    assert night.snapshot() == undisturbed[0]
    kept = [table for table in DECISIONS if table != "project"]
    assert night.snapshot(*kept) == {table: undisturbed[1][table] for table in kept}


def test_an_index_that_disagrees_is_made_anew(night, undisturbed):
    """Bytes of an index changed on its page: SQLite's own check finds it, and the rows are whole."""
    with closing(sqlite3.connect(night.path)) as other:
        (root,) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'source_label'").fetchone()
    content = bytearray(night.path.read_bytes())
    at = content.index(b"Ganymed", (root - 1) * PAGE, root * PAGE)
    content[at : at + 7] = b"Ganymex"
    night.path.write_bytes(content)
    assert "an index does not agree with its table" in check(night, code=1).stdout.lower()
    assert "before-repair" in check(night, "--repair").stderr
    assert (night.snapshot(), night.snapshot(*DECISIONS)) == undisturbed


def test_values_of_another_type_are_what_is_said_not_a_traceback(night):
    raw(night.path, "UPDATE frame SET number = 'x' WHERE id = 2")
    for words in (("status",), ("run", "-j", 1), ("export", night.folder / "out")):
        assert "night.photdb is damaged (values of another type in frame)" in night.refused(*words)
    night.photdb("check-project", "--repair")  # without that frame, and what was selected or rejected in it
    night.photdb("add", night.folder / "frames")
    night.photdb("run")
    assert night.one("SELECT count(*) FROM frame") == N_FRAMES


# --- frames -----------------------------------------------------------------------------------------------------------
def test_frames_are_compared_to_the_last_byte(commands, public_night):
    night = public_night("solved")
    night.folder.chmod(0o777)
    files = {n: night.frame(n) for n in (3, 5, 7, 9)}
    files[3].unlink()
    os.truncate(files[5], 100_000)
    times, content = files[7].stat(), bytearray(files[7].read_bytes())
    content[-3000] ^= 1
    files[7].write_bytes(content)
    os.utime(files[7], ns=(times.st_atime_ns, times.st_mtime_ns))
    os.utime(files[9])  # touched, and the same
    quick = commands.run(night.path, "check-project", "--quick")
    assert quick.code == 1
    assert [line.partition(" is ")[0] for line in quick.stdout.splitlines()] == ["Frame 3", "Frame 5, 9"]
    full = commands.run(night.path, "check-project", "-j", 1)
    assert full.code == 1
    lines = full.stdout.splitlines()
    assert [line.split(" ")[:3] for line in lines] == [
        ["Frame", "3", "is"],
        ["Frame", "5", "is"],
        ["Frame", "7", "has"],
    ]
    assert "photdb relocate DIR" in lines[0]
    assert "`photdb run` measures it again" in lines[1]
    assert "other bytes, though its size and time are the old ones" in lines[2]
    files[9].chmod(0o000)
    said = commands.run(night.path, "check-project", "-j", 1, nobody=True).stdout
    assert "Frame 9 cannot be read: no permission to read the file." in said


# --- damaged files ----------------------------------------------------------------------------------------------------
def saved_and_run(night):
    """Repair a damaged project and run it; gives what was said, or None where it is beyond repair."""
    done = night.photdb("check-project", "--repair", "-j", 1, "-v", code=None)
    if done.exit_code and "Error: " in done.stderr:
        assert "left as it is" in done.stderr
        return None
    night.photdb("run", code=None)
    night.photdb("status")
    return done.stderr


def test_what_can_be_read_of_a_damaged_project_makes_a_new_one(night):
    """12 seeds of damaged pages: where no fact and no decision was lost, all numbers come out the same, bit for bit."""
    wanted = decided(night)
    good = night.path.read_bytes()
    n_new = n_same = 0
    for seed in range(100, 112):
        for left in night.folder.glob("night.photdb*"):
            left.unlink()
        # Flipped bits may only make another number of one, which nobody can tell.
        night.path.write_bytes(damaged(good, seed, kinds=("zeros", "noise", "another")))
        content = night.path.read_bytes()
        said = saved_and_run(night)
        if said is None:
            assert night.path.read_bytes() == content
            continue
        kept = list(night.folder.glob("night.photdb.damaged-*"))
        n_new += bool(kept)
        assert [path.read_bytes() for path in kept] == [content] * len(kept)
        lost = {
            part.split()[-1]
            for line in said.splitlines()
            if "not whole:" in line
            for part in line.rstrip(".").split(", ")
        }
        if not lost & {"frame", "stage_run", *DECISIONS}:
            assert night.snapshot(*DECISIONS) == wanted[1], seed
            assert night.snapshot() == wanted[0], seed
            n_same += 1
    assert n_new >= 8
    assert n_same >= 5


@pytest.mark.parametrize("what", ["first page", "list of tables", "last byte", "a quarter", "half"])
def test_the_worst_that_can_be(night, what):
    wanted = decided(night)
    content = bytearray(night.path.read_bytes())
    if what == "first page":
        content[:PAGE] = bytes(PAGE)
    elif what == "list of tables":
        content[PAGE - 600 : PAGE] = random.Random(2).randbytes(600)
        content[108:116] = b"\xff" * 8
    else:
        del content[{"last byte": -1, "a quarter": -len(content) // 4, "half": len(content) // 2}[what] :]
    night.path.write_bytes(content)
    said = saved_and_run(night)
    if said is None:
        assert what == "half"
        assert night.path.read_bytes() == content
        return
    assert sorted(p.name for p in night.folder.glob("night.photdb.*"))[0].startswith("night.photdb.damaged-")
    if what not in ("half", "a quarter"):
        assert "not whole" not in said
        assert (night.snapshot(), night.snapshot(*DECISIONS)) == wanted


def test_results_are_kept_where_the_frames_are_gone(night):
    """Nothing can be measured again then: what can be read is better than nothing."""
    shutil.rmtree(night.folder / "frames")
    before = night.snapshot("flux", "shift", "frame_quality")
    content = bytearray(night.path.read_bytes())
    with closing(sqlite3.connect(night.path)) as other:
        (root,) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'solution'").fetchone()
    content[(root - 1) * PAGE : root * PAGE] = bytes(PAGE)
    night.path.write_bytes(content)
    said = night.photdb("check-project", "--repair", "-j", 1, code=1).stderr
    assert "results of 0 frames are to be made again" in said.lower()
    assert night.snapshot("flux", "shift", "frame_quality") == before
    night.photdb("run")
    assert night.one("SELECT count(*) FROM solution") == 20


def test_the_list_of_tables_of_a_new_project_fits_an_old_one(night, night_at):
    """Grafted onto a sound file it changes nothing that can be read: every table begins where it did."""
    new = night_at("new", "new")
    content = graft(night.path.read_bytes(), new.path.read_bytes())
    before = night.snapshot(), night.snapshot(*DECISIONS)
    night.path.write_bytes(content)
    assert (night.snapshot(), night.snapshot(*DECISIONS)) == before


def without_list(path):
    """Leave nothing of the page on which the list of tables begins."""
    path.write_bytes(bytes(PAGE) + path.read_bytes()[PAGE:])


def first_revision(folder):
    """A project of the first revision, brought up to date by a command, with decisions in the tables that are new."""
    path = folder / "night.photdb"
    path.write_bytes(gzip.decompress((Path(__file__).parent / "frozen" / "0001.photdb.gz").read_bytes()))
    env = {"PHOTDB_PROJECT": str(path)}
    assert invoke("set", "--gain", "auto", env=env).exit_code == 0
    raw(path, *(f"INSERT INTO frame_error VALUES ({i}, 1.5, 8.0, 0.00{i})" for i in range(1, 13)))
    raw(path, *(f"INSERT INTO profile VALUES ({i}, 1, 3.1, 2.5, 0, 0, 1, 9, 0, 0, 7)" for i in range(1, 13)))
    return path, env


@pytest.mark.parametrize("n_rows", [0, 3, 900])
def test_the_list_of_tables_of_a_new_project_is_fitted_to_a_migrated_one(tmp_path, n_rows):
    """Tables of a later revision begin elsewhere there: all their rows are found, however many pages they have."""
    path, env = first_revision(tmp_path)
    if n_rows:
        first = 2455000.0
        raw(
            path,
            "UPDATE source SET ephemeris = 'e.txt', ra_deg = 31.25, dec_deg = 46.5 WHERE id = 1",
            *(f"INSERT INTO ephemeris VALUES (1, {first + i}, {1 + i / 1000}, NULL, NULL)" for i in range(n_rows)),
        )
    tables = ("ephemeris", "camera", "frame_error", "profile", "source", "aperture", "rejection", "project", "flux")
    before = {}
    with closing(sqlite3.connect(path)) as other:
        for table in tables:
            before[table] = other.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
        begins = dict(other.execute("SELECT name, rootpage FROM sqlite_master").fetchall())
    assert len(before["ephemeris"]) == n_rows
    assert len(before["camera"]) == 1
    assert begins["ephemeris"] > begins["solution_point"]
    without_list(path)
    said = invoke("check-project", "--repair", "--quick", "-v", env=env)
    assert "not whole" not in said.stderr
    assert "night.photdb.damaged-" in said.stderr
    with closing(sqlite3.connect(path)) as other:
        for table in tables:
            found = other.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            assert found == before[table], table


def test_what_a_page_of_a_migrated_project_lost_is_said(tmp_path):
    """Its list of tables, and the page on which an ephemeris begins: what is left of it is named as not whole."""
    path, env = first_revision(tmp_path)
    raw(path, "UPDATE source SET ephemeris = 'e.txt' WHERE id = 1")
    raw(path, *(f"INSERT INTO ephemeris VALUES (1, {2455000.0 + i}, 1.5, NULL, NULL)" for i in range(900)))
    with closing(sqlite3.connect(path)) as other:
        (root,) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'ephemeris'").fetchone()
    content = bytearray(path.read_bytes())
    content[(root - 1) * PAGE : root * PAGE] = bytes(PAGE)
    path.write_bytes(content)
    without_list(path)
    said = invoke("check-project", "--repair", "--quick", "-v", env=env)
    (line,) = [line for line in said.stderr.splitlines() if "not whole:" in line]
    assert "ephemeris" in line
    assert "source" not in line
    assert "rejection" not in line


@pytest.mark.parametrize("broken", ["view", "page"])
def test_without_room_nothing_is_repaired(commands, night, broken):
    if broken == "view":
        raw(night.path, "DROP VIEW excluded")
    else:
        content = bytearray(night.path.read_bytes())
        content[40 * PAGE : 41 * PAGE] = bytes(PAGE)
        night.path.write_bytes(content)
    before = state(night.folder)
    for limit in (0, 50_000, 200_000):
        ended = commands.run(night.path, "check-project", "--repair", "-j", 1, file_limit=limit)
        assert ended.code == 1
        assert "left as it is" in ended.sentence
        assert state(night.folder) == before
    assert commands.run(night.path, "check-project", "--repair", "-j", 1).code == 0


def test_nothing_is_repaired_while_another_command_writes(night, monkeypatch):
    raw(night.path, "DROP VIEW excluded")
    monkeypatch.setattr(WriterLock.acquire, "__kwdefaults__", {"wait_s": 0.0})
    lock = WriterLock(night.path)
    lock.acquire("photdb measure")
    content = night.path.read_bytes()
    assert "view excluded" in check(night, code=1).stdout
    assert "was left by a command that was killed" not in check(night, code=1).stdout
    assert "another photdb is writing" in check(night, "--repair", code=1).stderr.lower()
    assert night.path.read_bytes() == content
    lock.release()


def test_a_newer_project_and_another_applications_are_not_repaired(night):
    raw(night.path, "UPDATE alembic_version SET version_num = '9999'")
    before = state(night.folder)
    assert "newer photdb" in check(night, "--repair", code=1).stderr
    assert state(night.folder) == before
    night.path.unlink()
    raw(night.path, "CREATE TABLE mine (x)")
    before = state(night.folder)
    assert "no project of photdb" in check(night, "--repair", code=1).stderr
    assert state(night.folder) == before


def test_a_repair_stands_in_the_history_and_not_in_the_script(night):
    raw(night.path, "DROP VIEW excluded")
    check(night, "--repair")
    assert night.rows("SELECT command, arguments, outcome FROM history ORDER BY id DESC LIMIT 1") == [
        ("check-project", '["--repair"]', "ok")
    ]
    assert "check-project" not in night.photdb("history", "--as-script").stdout
