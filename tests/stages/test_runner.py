"""Options that are remembered, what runs before what, commits in batches, and what is said when frames are gone."""

import contextlib
import os
import shutil
import signal

import pytest
from nights import N_FRAMES, invoke

from photdb.errors import PhotdbError
from photdb.stages import STAGES, measurements, runner, stamps
from photdb.store.arrays import read_frames
from photdb.store.project import Project


def options(night, stage):
    with Project.read(night.path) as project:
        return runner.resolve(project.connection, stage)


def test_an_option_left_out_is_that_of_the_last_run(night):
    assert options(night, "solve") == STAGES["solve"].defaults
    night.photdb("solve", "--window", 5, "--weighting", "flux")
    assert options(night, "solve") == {**STAGES["solve"].defaults, "window": 5, "weighting": ["flux"]}
    night.photdb("solve", "--top", 3)
    assert options(night, "solve") == {**STAGES["solve"].defaults, "window": 5, "weighting": ["flux"], "top": 3}
    night.photdb("solve", "--default", "--degree", 1)
    assert options(night, "solve") == {**STAGES["solve"].defaults, "degree": 1}
    assert night.work() == {}


def test_a_run_that_failed_is_no_example(night):
    night.refused("solve", "--window", 3, "--degree", 5)
    assert options(night, "solve") == STAGES["solve"].defaults
    assert night.work() == {}


def test_stages_bring_what_they_read_up_to_date(night_at):
    night = night_at("selected")
    night.photdb("solve")
    assert night.work() == {"check": 1}
    assert set(night.runs()) == {"headers", "qc", "shifts", "camera", "measure", "times", "noise", "solve"}
    night.photdb("check")
    assert night.work() == {}


def test_a_run_is_logged_with_what_it_was(night):
    stage, version, params, outcome, n, photdb, libraries = night.rows(
        "SELECT stage, version, params, outcome, n_units, photdb_version, libraries FROM stage_run WHERE stage = 'qc'"
    )[0]
    assert (stage, version, params, outcome, n) == ("qc", STAGES["qc"].version, '{"region": null}', "ok", N_FRAMES)
    assert '"numpy"' in libraries
    assert photdb


def test_nothing_to_do_leaves_the_results_and_the_log(night, reads):
    before, runs = night.snapshot(), night.runs()
    for command in ("qc", "shifts", "measure", "check", "solve", "run"):
        night.photdb(command)
    assert (night.snapshot(), night.runs()) == (before, runs)
    assert reads.pixels == reads.cutouts == reads.digests == []


@pytest.mark.parametrize("commit_frames", [1, 3, 1000])
def test_batches_hold_so_many_frames_and_nothing_is_lost(night, monkeypatch, commit_frames):
    monkeypatch.setattr(runner, "COMMIT_FRAMES", commit_frames)
    monkeypatch.setattr(runner, "COMMIT_S", 1e9)
    batches, told = [], []

    def save(connection, results):
        batches.append([*results])

    session = runner.Session(progress=lambda label, total: contextlib.nullcontext(told.append))
    with Project.write(night.path, "test") as project:
        runner.save_in_batches(project, session, "x", ((2, i) for i in range(5)), 10, save)
    assert [i for batch in batches for i in batch] == [0, 1, 2, 3, 4]
    assert [len(b) for b in batches] == {1: [1] * 5, 3: [2, 2, 1], 1000: [5]}[commit_frames]
    assert told == [2] * 5


def test_ctrl_c_while_a_batch_is_saved_comes_after_it(night, monkeypatch):
    monkeypatch.setattr(runner, "COMMIT_FRAMES", 1)

    def save(connection, batch):
        connection.exec_driver_sql("UPDATE project SET observer = ?", (batch[-1],))
        signal.raise_signal(signal.SIGINT)
        connection.exec_driver_sql("UPDATE project SET object = ?", (batch[-1],))

    with Project.write(night.path, "test") as project, pytest.raises(KeyboardInterrupt, match="2 frames of 3 done"):
        runner.save_in_batches(project, runner.Session(), "x", [(2, "first"), (1, "second")], 3, save)
    assert night.rows("SELECT observer, object FROM project") == [("first", "first")]


def test_a_frame_in_several_tasks_counts_once_and_has_the_same_bits(night, monkeypatch):
    monkeypatch.setattr(measurements, "_MOST_PIXELS", 1)
    monkeypatch.setattr(measurements, "_FEWEST_STAMPS", 3)
    whole, told, tasks = night.snapshot("centroid", "flux"), [], []
    night.change("DELETE FROM flux")
    night.change("DELETE FROM centroid")

    def noted(task):
        tasks.append(task.x_px.size)
        return stamps.measure_stamps(task)

    monkeypatch.setattr(measurements, "measure_stamps", noted)
    session = runner.Session(progress=lambda label, total: contextlib.nullcontext(told.append))
    with Project.write(night.path, "test") as project:
        runner.run(project, "measure", session)
    assert max(tasks) < 6  # a task is full with 3, and a part has no more
    assert len(tasks) == 2 * N_FRAMES
    assert sum(told) == N_FRAMES
    assert night.snapshot("centroid", "flux") == whole


def test_an_error_in_a_batch_keeps_those_before(night, monkeypatch):
    monkeypatch.setattr(runner, "COMMIT_FRAMES", 1)

    def results():
        yield 1, "one"
        yield 1, "two"
        raise PhotdbError("the third is broken")

    def save(connection, batch):
        connection.exec_driver_sql("UPDATE project SET observer = ?", (batch[-1],))

    with Project.write(night.path, "test") as project, pytest.raises(PhotdbError, match="third"):
        runner.save_in_batches(project, runner.Session(), "x", results(), 3, save)
    assert night.one("SELECT observer FROM project") == "two"


def test_missing_files_are_said_and_cost_nothing_that_was_measured(night):
    before = night.snapshot()
    night.frame(3).rename(night.folder / "elsewhere")
    stage = night.status()["stages"][0]
    assert (stage["state"], stage["work"]) == ("done", 0)
    assert "frame 3" in stage["notes"][0]
    night.photdb("reject", "frames", 9)
    night.photdb("run")
    night.photdb("accept", "frames", 9)
    night.photdb("run")
    assert night.snapshot() == before
    assert "frame 3" in night.refused("measure", "--apertures", "3.3,13,18")
    (night.folder / "elsewhere").rename(night.frame_path(3))
    night.photdb("run")
    assert night.work() == {}


@pytest.mark.parametrize("number", [1, 6])  # 1: where sources were selected
def test_a_file_that_is_damaged_later_is_a_frame_that_stays_out(night, number):
    file = night.frame(number)
    whole = file.read_bytes()
    before = night.snapshot("centroid", "flux", "solution_point")
    file.write_bytes(whole[:5000])
    night.photdb("run")
    assert night.work() == {}
    assert night.one("SELECT accepted FROM frame_status WHERE number = ?", number) == 0
    assert number not in [n for (n,) in night.rows("SELECT frame FROM best_light_curve")]
    assert night.one("SELECT count(*) FROM best_light_curve WHERE target = 'Ganymed'") == N_FRAMES - 1
    file.write_bytes(whole)
    night.photdb("run")
    assert night.snapshot("centroid", "flux", "solution_point") == before


def test_a_damaged_reference_frame_is_said_once_and_leaves_the_shifts(night):
    number = night.one("SELECT number FROM project p JOIN frame f ON f.id = p.reference_frame_id")
    file = night.frame(number)
    before = night.snapshot("shift")
    file.write_bytes(file.read_bytes()[:5000])
    night.photdb("run")
    assert night.work() == {}
    others = [row for row in before["shift"] if file.name not in row]
    assert [row for row in night.snapshot("shift")["shift"] if file.name not in row] == others


def test_a_blank_reference_frame_is_refused(night):
    file = night.frame(5)
    file.write_bytes(file.read_bytes()[:5000])
    night.photdb("run")
    before = night.snapshot("shift")
    assert "5" in night.refused("shifts", "--reference-frame", 5)
    assert night.snapshot("shift") == before
    assert night.work() == {}


def test_two_anchors_at_the_same_time_are_refused(night):
    night.change("UPDATE frame SET jd_utc_mid = (SELECT jd_utc_mid FROM frame WHERE number = 2) WHERE number = 3")
    said = night.refused("select", "asteroid", "A2", *night.at("Ganymed", 2, 3))
    assert "same time" in said
    night.photdb("status")


def test_times_that_headers_no_longer_give_are_said(night):
    assert "No frame has a time" in night.refused("set", "--time-keyword", "NOTIME")
    assert night.work() == {}
    assert night.one("SELECT total(accepted) FROM frame_status") == N_FRAMES


def test_a_time_offset_moves_times_and_reads_no_pixels(night, reads):
    before = dict(night.rows("SELECT number, jd_utc_mid FROM frame"))
    mags = night.rows("SELECT target, frame, mag FROM best_light_curve WHERE target = 'V1' ORDER BY frame")
    night.photdb("set", "--time-offset", "86.4")
    assert reads.digests == []
    after = dict(night.rows("SELECT number, jd_utc_mid FROM frame"))
    assert all(abs(after[n] - before[n] - 0.001) < 1e-9 for n in before)
    night.photdb("run")
    assert reads.pixels == []
    now = night.rows("SELECT target, frame, mag FROM best_light_curve WHERE target = 'V1' ORDER BY frame")
    assert [row[:2] for row in now] == [row[:2] for row in mags]


def test_the_order_of_frames_is_by_time_then_path(night):
    night.change("UPDATE frame SET jd_utc_mid = 2455836.25 WHERE number IN (4, 9, 17)")
    with Project.read(night.path) as project:
        frames = read_frames(project.connection)
    keys = list(zip(frames.jd_utc_mid.tolist(), frames.path, strict=True))
    assert keys == sorted(keys)
    assert [frames.number[i] for i in range(3)] == [4, 9, 17]


def test_a_project_of_no_usable_frame_says_so(tmp_path, night):
    (tmp_path / "bad").mkdir()
    shutil.copy2(night.frame_path(1), tmp_path / "bad" / "a.fits")
    env = {"PHOTDB_PROJECT": str(tmp_path / "bad.photdb")}
    assert invoke("init", tmp_path / "bad", env=env).exit_code == 0
    (tmp_path / "bad" / "a.fits").write_bytes(b"not a frame")
    assert invoke("init", tmp_path / "bad", "-p", tmp_path / "other.photdb").exit_code == 1
    assert not (tmp_path / "other.photdb").exists()
    for command in ("qc", "shifts", "measure", "check", "solve", "run", "status"):
        result = invoke(command, env=env)
        assert result.exit_code == (1 if command in ("shifts", "measure", "check", "solve") else 0), command
    assert os.listdir(tmp_path / "bad") == ["a.fits"]
