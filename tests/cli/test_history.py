"""`photdb history --as-script`: run on the frames, it makes a project with the same numbers, to the last bit."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from nights import DECISIONS, RESULTS, interrupt_after, small_steps, snapshot

from photdb.cli._replay import script
from photdb.store.project import Project

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="a shell script")


def replayed(night, folder: Path, **environment: str) -> tuple[Path, str]:
    """Run a night's script in a folder; give the project that it makes, and the script."""
    script = night.photdb("history", "--as-script").stdout
    commands = folder / "bin"
    commands.mkdir(parents=True)
    (commands / "photdb").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m photdb "$@"\n')
    (commands / "photdb").chmod(0o755)
    (folder / "again.sh").write_text(script, encoding="utf-8")
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "again.sh"],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, script + done.stderr
    return folder / environment.get("PROJECT", "night-again.photdb"), script


def assert_same(night, path: Path) -> None:
    with Project.read(path) as again, Project.read(night.path) as project:
        first, second = snapshot(project, *RESULTS, *DECISIONS), snapshot(again, *RESULTS, *DECISIONS)
    for table, rows in first.items():
        if table == "project":  # where the frames are, as seen from the project, is another matter
            continue
        assert rows == second[table], table
    assert sum(map(len, first.values())) > 500


def test_a_whole_session_is_repeated_bit_by_bit(night, tmp_path):
    night.photdb("set", "--gain", "2", "--read-noise", "7.5", "--observer", "O'Brien & co; echo $HOME `id`")
    night.photdb("qc", "--max-fwhm", "3.4", "-j", "1", "-q")
    night.photdb("add", night.folder / "late")
    night.photdb("run")
    night.photdb("add", *sorted((night.folder / "early").iterdir())[:2])
    night.photdb("select", "reference", "--auto", "2")
    night.photdb("measure", "--radii", "2.5:4:0.5", "--annulus", "10", "15")
    night.photdb("reject", "frames", "3-4", "12", "--source", "R2", "--reason", "two lines\n$(rm -rf x) 'quoted' \\")
    night.photdb("reject", "source", "R4")
    night.photdb("accept", "source", "R4")
    night.photdb("reject", "frames", "99", code=1)
    night.photdb("reject", "frames", "x\nrm -rf y", code=1)
    night.photdb("solve", "--weighting", "all", "--window=9", "-v")
    path, script = replayed(night, tmp_path / "a folder")
    assert_same(night, path)
    assert script.startswith("#!/bin/sh\n")
    assert 'photdb init "$FRAMES"\n' in script
    assert "\nphotdb qc --max-fwhm 3.4\n" in script, "how it was run is not part of it"
    assert "\nphotdb solve --weighting all --window=9\n" in script
    failed = [line for line in script.splitlines() if line.startswith("# failed: ")]
    assert len(failed) == 2
    assert not any(line.startswith("rm ") for line in script.replace("two lines\n", "").splitlines())


def test_frames_and_project_may_be_elsewhere(night, tmp_path):
    (night.folder / "frames").rename(night.folder / "moved here")
    path, script = replayed(night, tmp_path / "b", FRAMES=str(night.folder / "moved here"), PROJECT="other.photdb")
    assert f"FRAMES=${{FRAMES:-{shlex.quote(str(night.folder / 'frames'))}}}" in script
    assert path.name == "other.photdb"
    with Project.read(path) as again, Project.read(night.path) as project:
        assert snapshot(again) == snapshot(project)


def test_an_ephemeris_is_in_the_script(night, tmp_path):
    table = night.folder / "way of $it.txt"
    table.write_text("2455835.5 1.50 31.0 46.7\n2455837.5 1.52 31.4 46.9\n", encoding="utf-8")
    night.photdb("times", "--ephemeris", table, "-q", "--", "Ganymed")
    table.unlink()
    path, script = replayed(night, tmp_path / "b")
    assert "\nphotdb times --ephemeris \"$EPHEMERIDES\"/'way of $it.txt' -- Ganymed\n" in script
    assert_same(night, path)
    with Project.read(path) as again:
        assert len(snapshot(again, "ephemeris")["ephemeris"]) == 2


def test_frames_that_came_later_into_the_folder_are_not_taken(night, tmp_path):
    for file in (night.folder / "late").iterdir():
        file.rename(night.folder / "frames" / file.name)
    path, script = replayed(night, tmp_path / "c")
    assert script.count('"$FRAMES"/') == 20
    assert_same(night, path)


def test_what_was_decided_before_an_interruption_is_repeated(night_at, tmp_path, monkeypatch):
    night = night_at("selected")
    with monkeypatch.context() as patch:
        small_steps(patch)
        interrupt_after(patch, "qc", 2)
        night.photdb("qc", "--region", 0, 0, 200, 200, "--max-fwhm", "3.2", code=130)
    with monkeypatch.context() as patch:
        small_steps(patch)
        interrupt_after(patch, "measure", 2)
        night.photdb("measure", "--apertures", "3,10,15", "4,10,15", "--search", "4", code=130)
    night.photdb("run")
    assert night.one("SELECT count(*) FROM aperture WHERE removed_at IS NULL") == 2
    path, script = replayed(night, tmp_path / "d")
    assert (
        "\n# interrupted: photdb qc --region 0 0 200 200 --max-fwhm 3.2\nphotdb qc --max-fwhm 3.2 || true\n" in script
    )
    # no run of measure had ended before: the next one goes on with its options
    assert "photdb measure --apertures 3,10,15 4,10,15 --search 4 || true\n" in script
    assert_same(night, path)


def test_a_command_that_did_all_but_one_frame_is_repeated_as_it_was(night_at, tmp_path):
    night = night_at("new")
    file = night.frame_path(6)
    file.rename(night.folder / "away")  # a disk that was not there for a while
    night.photdb("qc", "--max-fwhm", "3.2", code=1)
    (night.folder / "away").rename(file)
    night.photdb("shifts")
    path, script = replayed(night, tmp_path / "e")
    assert "\nphotdb qc --max-fwhm 3.2 || true\n" in script
    assert_same(night, path)


def test_a_killed_command_goes_on_in_the_script(night, tmp_path):
    night.photdb("solve", "--weighting", "all")
    night.change("UPDATE history SET outcome = NULL WHERE command = 'solve'")
    path, script = replayed(night, tmp_path / "f")
    assert "\nphotdb solve --weighting all\n" in script
    assert_same(night, path)


def test_the_script_of_a_report_asks_where_the_frames_are(night, tmp_path):
    with Project.read(night.path) as project:
        text = script(project, for_others=True)
    assert str(night.folder) not in text
    done = subprocess.run(["sh", "-c", text], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "FRAMES: is the folder of the frames: give it in the environment" in done.stderr


def test_the_list_stays_as_it_was(night):
    lines = night.photdb("history").stdout.splitlines()
    assert len(lines) == night.one("SELECT count(*) FROM history")
    assert lines[0].split("  ")[1].startswith("photdb init ")


def test_apertures_that_a_failed_measure_put_back_are_put_back_in_the_script(night_at):
    """Without a source it fails, its apertures stay: also where a later one leaves no trace of when they changed."""
    night = night_at("new")
    both = ("measure", "--apertures", "2.5,12,18", "3,12,18")
    for words in (both, ("measure", "--sky", "plane"), both, ("measure", "--sky", "plane"), both):
        night.photdb(*words, code=1)
    lines = night.photdb("history", "--as-script").stdout.splitlines()
    assert [line for line in lines if line.startswith("photdb measure")] == [
        "photdb measure --apertures 2.5,12,18 3,12,18 || true",
        "photdb measure --sky plane || true",
        "photdb measure --apertures 2.5,12,18 3,12,18 || true",
        "photdb measure --sky plane || true",
        "photdb measure --apertures 2.5,12,18 3,12,18 || true",
    ]
