"""Interrupted anywhere, by hand or by kill -9, and gone on with: the same numbers to the last bit."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from nights import DECISIONS, N_FRAMES, copy_night, interrupt_after, select_all, small_steps

#: A command whose process kills itself when the progress of a stage was told so many times.
KILLED = """
import contextlib, os, signal, sys
from nights import small_steps
from photdb.cli import cli
from photdb.cli.common import Console

label, calls = sys.argv[1], int(sys.argv[2])

@contextlib.contextmanager
def progress(self, shown, total):
    left = calls
    def advance(n):
        global left
        left -= 1
        if shown == label and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    yield advance

class Patch:
    setattr = staticmethod(setattr)

left = calls
Console.progress = progress
small_steps(Patch)
cli(sys.argv[3:], prog_name="photdb")
"""


def go_on(night):
    """Do what is left of the session, as an observer would."""
    if night.one("SELECT count(*) FROM shift") < N_FRAMES:
        night.photdb("qc")
        night.photdb("shifts")
    if night.one("SELECT count(*) FROM source") == 0:
        select_all(night)
    night.photdb("run")


def n_frames_done(night, stage):
    table = {"qc": "frame_quality", "shifts": "shift", "measure": "centroid"}[stage]
    return night.one(f"SELECT count(DISTINCT frame_id) FROM {table}")


@pytest.fixture(scope="module")
def undisturbed(built_night, tmp_path_factory):
    """What a session without interruption gives."""
    night = copy_night(built_night, tmp_path_factory.mktemp("undisturbed") / "night", "solved")
    return night.snapshot(), night.snapshot(*DECISIONS)


@pytest.mark.parametrize("point", ["new", "shifted", "selected", "measured"])
def test_stopped_after_a_stage(night_at, undisturbed, point):
    night = night_at(point)
    go_on(night)
    assert (night.snapshot(), night.snapshot(*DECISIONS)) == undisturbed


@pytest.mark.parametrize(
    ("point", "stage", "calls"),
    [
        ("new", "qc", 1),
        ("new", "qc", 4),
        ("shifted", "shifts", 3),
        ("selected", "measure", 1),
        ("selected", "measure", 5),
        ("measured", "solve", 1),
    ],
)
def test_ctrl_c_in_the_middle_of_a_stage(night_at, undisturbed, monkeypatch, point, stage, calls):
    night = night_at(point)
    if stage == "shifts":
        night.change("DELETE FROM shift")
        night.change("UPDATE project SET reference_frame_id = NULL")
    small_steps(monkeypatch)
    interrupt_after(monkeypatch, stage, calls)
    stopped = night.photdb(stage, code=130)
    assert stopped.stderr.splitlines()[-1].startswith("Interrupted. ")
    if stage != "solve":
        n_kept = n_frames_done(night, stage)
        assert f"{stage}: {n_kept} frame" in stopped.stderr.splitlines()[-1]
        assert 0 < n_kept < N_FRAMES
    assert night.states()[stage] == "out of date"
    assert night.rows("SELECT outcome FROM history ORDER BY id DESC LIMIT 1") == [("interrupted",)]
    assert night.rows("SELECT stage, outcome FROM stage_run ORDER BY id DESC LIMIT 1") == [(stage, "interrupted")]
    monkeypatch.undo()
    go_on(night)
    assert (night.snapshot(), night.snapshot(*DECISIONS)) == undisturbed


@pytest.mark.skipif(sys.platform == "win32", reason="no kill -9 there")
@pytest.mark.parametrize(("point", "stage", "calls"), [("new", "qc", 4), ("selected", "measure", 5)])
def test_kill_9_in_the_middle_of_a_stage(night_at, undisturbed, point, stage, calls):
    night = night_at(point)
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, stage, str(calls), stage, "-j", "1"],
        env={**os.environ, "PHOTDB_PROJECT": str(night.path), "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests'}"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (night.folder / "night.photdb.lock").exists()  # nobody was left to take it away
    assert 0 < n_frames_done(night, stage) < N_FRAMES
    assert night.one("SELECT count(*) FROM history WHERE outcome IS NULL") == 1
    assert "killed, or still at work" in night.photdb("history").stdout
    go_on(night)
    assert (night.snapshot(), night.snapshot(*DECISIONS)) == undisturbed
    assert not (night.folder / "night.photdb.lock").exists()


def test_a_killed_run_goes_on_with_its_options_and_an_interrupted_one_does_not(night, monkeypatch):
    from photdb.stages.runner import resolve
    from photdb.store.project import Project

    def options():
        with Project.read(night.path) as project:
            return resolve(project.connection, "qc")["region"]

    small_steps(monkeypatch)
    interrupt_after(monkeypatch, "qc", 3)
    night.photdb("qc", "--region", 0, 0, 99, 99, code=130)
    assert options() is None
    night.change("UPDATE stage_run SET outcome = NULL, finished_at = NULL WHERE outcome = 'interrupted'")
    assert options() == [0, 0, 99, 99]


def test_results_do_not_depend_on_workers_or_batches(night_at, undisturbed, monkeypatch):
    from photdb import executors
    from photdb.stages import runner

    for workers in ("1", "2"):
        night = night_at("new", workers)
        with monkeypatch.context() as patch:
            if workers == "2":
                small_steps(patch)
                patch.setattr(executors, "POOL_START_S", 0.0)
            else:
                patch.setattr(runner, "COMMIT_FRAMES", 1)
            night.photdb("qc", "-j", workers)
            night.photdb("shifts", "-j", workers)
            select_all(night)
            night.photdb("run", "-j", workers)
        assert night.snapshot() == undisturbed[0]
