"""Frames that are moved, deleted, replaced, or still being written while they are read: said, and never believed."""

import os
import shutil

import pytest
from nights import N_FRAMES, RESULTS, copy_night

from photdb.simulate.fits import write_fits


@pytest.fixture(scope="module")
def undisturbed(built_night, tmp_path_factory):
    night = copy_night(built_night, tmp_path_factory.mktemp("undisturbed") / "night", "solved")
    return night.snapshot()


def own(night):
    """Give the night frames that are not shared with other tests."""
    for number in range(1, N_FRAMES + 1):
        night.frame(number)


def go_on(commands, night):
    ended = commands.run(night.path, "run", "-j", 1)
    assert ended.code == 0, ended
    assert night.work() == {}


# --- they have moved --------------------------------------------------------------------------------------------------
def test_every_command_that_misses_frames_says_what_to_do_if_they_have_moved(commands, night):
    (night.folder / "frames").rename(night.folder / "away")
    assert "photdb relocate DIR" in night.photdb("status").stdout
    for words in (
        ("qc", "--region", 1, 1, 90, 90),
        ("shifts", "--reference-frame", 3),
        ("measure", "--apertures", "3.3,10,15"),
        ("select", "reference", "--at", 1, 50, 50),
        ("plot", "field", "--save", night.folder / "a.png"),
    ):
        ended = commands.run(night.path, *words)
        assert ended.code == 1, ended
        assert "the file does not exist; where frames have moved, `photdb relocate DIR`" in ended.sentence
    assert night.one("SELECT count(*) FROM flux") == 1120


@pytest.mark.parametrize("where", ["", "deep/er", "sub"])
def test_relocated_frames_stay_measured(night, reads, undisturbed, where):
    """Found in the folder named, in one below it, or above; copied with other times: nothing is read again."""
    own(night)
    new = night.folder / "archive" / where
    new.parent.mkdir(exist_ok=True, parents=True)
    shutil.copytree(night.folder / "frames", new, copy_function=shutil.copyfile)
    shutil.rmtree(night.folder / "frames")
    said = night.photdb("relocate", night.folder / "archive" if where != "sub" else new).stderr
    assert f"20 frames of the project are in {new}, byte by byte the same." in said
    reads.clear()
    assert night.work() == {}
    night.photdb("run")
    assert (reads.pixels, reads.cutouts, reads.digests) == ([], [], [])
    assert "any more" not in night.photdb("status").stdout
    found = night.snapshot()
    assert found == undisturbed
    assert night.rows("SELECT command, outcome FROM history ORDER BY id DESC LIMIT 2")[1] == ("relocate", "ok")
    script = night.photdb("history", "--as-script").stdout
    assert f"FRAMES=${{FRAMES:-{new}}}" in script
    assert "photdb relocate" not in script


def test_frames_that_are_not_the_same_are_named_and_nothing_is_changed(night, reads):
    own(night)
    new = night.folder / "archive"
    (night.folder / "frames").rename(new)
    files = sorted(new.iterdir())
    files[3].unlink()
    os.truncate(files[4], 50_000)
    content = bytearray(files[7].read_bytes())
    content[-3000] ^= 1  # one bit, of the same size and time
    times = files[7].stat()
    files[7].write_bytes(content)
    os.utime(files[7], ns=(times.st_atime_ns, times.st_mtime_ns))
    before = night.rows("SELECT * FROM project"), night.rows("SELECT * FROM frame")
    said = night.refused("relocate", new)
    assert "missing: frame 4, other bytes: frame 5, 8; nothing is changed" in said
    assert (night.rows("SELECT * FROM project"), night.rows("SELECT * FROM frame")) == before
    said = night.photdb("relocate", new, "--anyway").stderr
    assert "17 frames of the project" in said
    assert "frame 4: missing there" in said
    assert "frame 5, 8: others" in said
    reads.clear()
    assert night.work()["headers"] == 2
    night.photdb("run")
    assert sorted(reads.pixels) == [files[7].name]
    assert night.one("SELECT count(*) FROM best_light_curve WHERE target = 'V1'") == N_FRAMES - 1  # 4 stays measured
    assert "truncated" in night.one("SELECT error FROM frame WHERE number = 5")


def test_folders_that_hold_other_things_are_refused(night):
    before = night.rows("SELECT frame_folder FROM project")
    (night.folder / "empty").mkdir()
    assert "None of the project's frames is below" in night.refused("relocate", night.folder / "empty")
    assert "There is no folder" in night.refused("relocate", night.folder / "nowhere")
    assert night.rows("SELECT frame_folder FROM project") == before


def test_frames_never_read_are_told_by_their_headers(night_at):
    night = night_at("new")
    own(night)
    new = night.folder / "archive"
    (night.folder / "frames").rename(new)
    other = sorted(new.iterdir())[2]
    whole = other.read_bytes()
    other.write_bytes(whole.replace(b"EXPTIME", b"EXPTIMX", 1))
    assert "other bytes: frame 3" in night.refused("relocate", new)
    other.write_bytes(whole)
    night.photdb("relocate", new)
    night.photdb("qc")
    assert night.one("SELECT count(*) FROM frame_quality") == N_FRAMES


def test_frames_that_moved_are_not_added_twice(night):
    (night.folder / "frames").rename(night.folder / "away")
    said = night.refused("add", night.folder / "away")
    assert "Frame 1-20 of the project is not in" in said
    assert f"photdb relocate {night.folder / 'away'}" in said
    assert night.one("SELECT count(*) FROM frame") == N_FRAMES


# --- while they are read ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("what", ["grow", "cut", "replace", "swap", "delete", "delete-all"])
@pytest.mark.parametrize("stage", ["qc", "measure"])
def test_a_frame_that_changes_while_it_is_read_is_never_half_believed(
    commands, night_at, undisturbed, tmp_path, stage, what
):
    night = night_at("new" if stage == "qc" else "selected")
    own(night)
    kept = tmp_path / "kept"
    shutil.copytree(night.folder / "frames", kept)
    victim = night.frame_path(6)
    other = tmp_path / "other.fits"
    shutil.copyfile(night.frame_path(11), other)
    arguments = {"cut": [60_000], "replace": [other], "swap": [other]}.get(what, [])
    if what == "grow":  # the camera is at it
        content = victim.read_bytes()
        (tmp_path / "rest").write_bytes(content[90_000:])
        os.truncate(victim, 90_000)
        arguments = [tmp_path / "rest"]
    words = (stage, "-j", 1)
    ended = commands.run(night.path, *words, before=("when_read", victim.name, what, *arguments))
    assert ended.code in (0, 1), ended  # not killed by a signal, as when a mapped file is cut short
    assert "Traceback" not in ended.stderr
    if ended.code:
        assert ("frame 7-20" if what == "delete-all" else "frame 6") in ended.sentence  # 6 was open
    n = night.one(f"SELECT count(DISTINCT frame_id) FROM {'frame_quality' if stage == 'qc' else 'centroid'}")
    assert n >= (5 if what == "delete-all" else N_FRAMES - 1)
    assert night.states()[stage] != "done" or what in ("delete", "swap", "replace", "grow"), night.status()
    for file in kept.iterdir():
        if not (night.folder / "frames" / file.name).exists() or file.name == victim.name:
            shutil.copyfile(file, night.folder / "frames" / file.name)
    assert commands.run(night.path, *words).code == 0
    if stage == "qc":
        rows = night.snapshot("frame_quality", "detection")
        assert rows == {table: undisturbed[table] for table in rows}
        assert night.one("SELECT count(*) FROM frame WHERE error IS NOT NULL") == 0
        assert night.work().keys() <= {"shifts"}
    else:
        go_on(commands, night)
        assert night.snapshot() == undisturbed


def test_a_frame_that_is_replaced_between_qc_and_measure_is_measured_as_it_is_now(commands, night_at):
    night, apart = night_at("selected"), night_at("selected", "apart")
    for part in (night, apart):  # else apertures would be chosen by what frame 6 is for a while
        part.photdb("measure", "--apertures", "3,10,15")
        part.photdb("run")
        part.change("DELETE FROM centroid")
        part.change("DELETE FROM flux")
    undisturbed = apart.photdb("run") and apart.snapshot()
    whole = night.frame(6).read_bytes()
    night.replace_frame(6, 30)
    go_on(commands, night)
    assert night.snapshot("flux") != {"flux": undisturbed["flux"]}
    night.frame(6).write_bytes(whole)
    go_on(commands, night)
    assert night.snapshot() == undisturbed


def test_frames_that_are_deleted_half_way_leave_what_was_done(commands, night_at, undisturbed):
    night = night_at("new")
    own(night)
    (night.folder / "kept").mkdir()
    for file in (night.folder / "frames").iterdir():
        shutil.copy2(file, night.folder / "kept" / file.name)
    ended = commands.run(night.path, "qc", "-j", 1, before=("when_read", night.frame_path(9).name, "delete-all"))
    assert ended.code == 1
    assert "frame 10-20" in ended.sentence  # 9 was open
    assert "photdb relocate DIR" in ended.sentence
    assert night.one("SELECT count(*) FROM frame_quality") == 9
    night.photdb("relocate", night.folder / "kept")
    go_on(commands, night)
    found = night.snapshot("frame_quality", "detection", "shift")
    assert found == {table: undisturbed[table] for table in found}


# --- still being written ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("there", [0, 2000, 3000, 100_000])
def test_a_frame_the_camera_is_writing_comes_in_with_the_next_run(commands, night_at, undisturbed, there):
    """Empty, in the middle of its header, of its pixels: a reason now, a frame as soon as it is whole."""
    night = night_at("new")
    file = night.frame_path(20)
    whole = file.read_bytes()
    file.unlink()
    file.write_bytes(whole[:there])
    night.path.unlink()
    ended = commands.run(night.path, "init", night.folder / "frames")
    assert ended.code == 0
    number = night.one("SELECT number FROM frame WHERE error IS NOT NULL")
    assert f"frame {number} ({file.name}): " in ended.stderr
    assert "20 frames, 19 of them usable" in ended.stderr
    night.photdb("qc")
    file.write_bytes(whole)
    assert f"changed on disk, or written anew: frame {number}" in night.photdb("status").stdout
    ended = commands.run(night.path, "shifts", "-j", 1)
    assert ended.code == 0
    found = night.snapshot("frame_quality", "detection", "shift")
    assert found == {table: undisturbed[table] for table in found}


def test_a_frame_that_was_written_while_init_read_it_is_not_truncated_for_ever(commands, night_at, tmp_path):
    night = night_at("new")
    file = night.frame(20)
    whole = file.read_bytes()
    os.truncate(file, 100_000)
    (tmp_path / "rest").write_bytes(whole[100_000:])
    night.path.unlink()
    change = ("when_read", file.name, "grow", tmp_path / "rest")
    ended = commands.run(night.path, "init", night.folder / "frames", before=change)
    assert "truncated" in ended.stderr
    assert file.read_bytes() == whole
    night.photdb("qc")
    assert night.one("SELECT count(*) FROM frame_quality WHERE error IS NULL") == N_FRAMES


def test_a_frame_without_permission_comes_in_when_it_has_it(commands, public_night):
    night = public_night("new")
    night.folder.chmod(0o777)
    night.path.unlink()
    file = night.folder / "frames" / sorted(p.name for p in (night.folder / "frames").iterdir())[4]
    shutil.copy2(file, night.folder / "own")
    os.replace(night.folder / "own", file)
    file.chmod(0o000)
    ended = commands.run(night.path, "init", night.folder / "frames", nobody=True)
    assert ended.code == 0, ended
    assert f"({file.name}): no permission to read the file" in ended.stderr
    assert commands.run(night.path, "qc", "-j", 1, nobody=True).code == 0
    assert night.one("SELECT count(*) FROM frame_quality") == N_FRAMES - 1
    file.chmod(0o644)  # which changes neither its size nor its time
    assert commands.run(night.path, "qc", "-j", 1, nobody=True).code == 0
    assert night.one("SELECT count(*) FROM frame_quality WHERE error IS NULL") == N_FRAMES


def test_permission_that_is_taken_away_later_leaves_what_was_measured(commands, public_night):
    night = public_night("solved")
    night.folder.chmod(0o777)
    night.path.chmod(0o666)
    before = night.snapshot()
    file = night.frame(5)
    file.chmod(0o000)
    ended = commands.run(night.path, "measure", "--apertures", "3.3,10,15", "-j", 1, nobody=True)
    assert ended.code == 1
    assert "frame 5" in ended.sentence
    assert "no permission" in ended.sentence
    assert night.one("SELECT count(*) FROM flux f JOIN aperture a ON a.id = f.aperture_id WHERE radius_px = 3.3") == 133
    file.chmod(0o644)
    assert commands.run(night.path, "run", "-j", 1, nobody=True).code == 0
    assert night.snapshot("centroid") == {"centroid": before["centroid"]}


def test_a_frame_of_another_filter_does_not_come_in_when_it_is_whole(tmp_path, night, built_night):
    """It could not be read when filters were counted."""
    import numpy as np

    folder = tmp_path / "frames"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for i, name in enumerate("RRV"):
        pixels = rng.integers(900, 1100, (60, 80)).astype(np.uint16)
        cards = {"DATE-OBS": f"2024-01-01T00:0{i}:00", "EXPTIME": 10.0, "FILTER": name}
        write_fits(folder / f"{i}.fits", pixels, cards)
    last = folder / "2.fits"
    whole = last.read_bytes()
    last.write_bytes(whole[:4000])
    from nights import invoke

    project = {"PHOTDB_PROJECT": str(tmp_path / "p.photdb")}
    assert invoke("init", folder, env=project).exit_code == 0
    last.write_bytes(whole)
    assert invoke("run", env=project).exit_code in (0, 1)
    errors = invoke("sql", "SELECT number, error FROM frame WHERE error IS NOT NULL", "--format", "csv", env=project)
    assert errors.stdout.splitlines()[1:] == ['3,"its filter is V, not R as the others\'"']


def test_what_is_compared_is_all_that_results_are_made_of(night):
    """The snapshots above hold every result table, and rows in each but those that only some options fill.

    With these options rows in all of them are compared in `test_science_tables.py`.
    """
    found = night.snapshot()
    assert set(found) == set(RESULTS)
    assert {table for table, rows in found.items() if not rows} == {
        "frame_wcs",
        "profile",
        "solution_term",
        "correction",
        "correction_input",
    }
