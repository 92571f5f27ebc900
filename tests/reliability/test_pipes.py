"""What is said may find nobody who reads it: that ends no work, and is no traceback; lost data are an error."""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from nights import N_FRAMES, N_SOURCES, Night
from warm import ENVIRONMENT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes there are others")


def photdb(night: Night, *arguments: object, stdout: Any, stderr: Any = subprocess.PIPE) -> tuple[int, str]:
    """Run a command; gives its exit code and what it said on standard error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "photdb", *map(str, arguments)],
        env={**ENVIRONMENT, "PHOTDB_PROJECT": str(night.path)},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr or ""


def unread() -> int:
    """Give the end to write to of a pipe whose reader has gone, as `| head -0` leaves it."""
    end, mine = os.pipe()
    os.close(end)
    return mine


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("status",),
        ("status", "--json"),
        ("sql", "SELECT * FROM flux"),
        ("sql", "SELECT * FROM flux", "--format", "csv"),
        ("history",),
        ("history", "--as-script"),
        ("reject", "list"),
        ("select", "list"),
    ],
    ids=" ".join,
)
def test_a_reader_that_has_gone(arguments: Sequence[str], night: Night) -> None:
    out = unread()
    code, said = photdb(night, *arguments, stdout=out)
    os.close(out)
    assert (code, said) in ((0, ""), (0, "Nothing is left out.\n"))


def test_one_that_goes_after_the_first_line(night: Night) -> None:
    program = f'{sys.executable} -m photdb sql "SELECT a.* FROM flux a, flux b LIMIT 40000" | head -1'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", program],
        env={**ENVIRONMENT, "PHOTDB_PROJECT": str(night.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("frame_id")
    assert done.stderr == ""


def test_work_goes_on_when_nobody_reads_how_far_it_is(night_at: Any) -> None:
    """`photdb measure -v 2>&1 | head -0` measures all, and the history says so."""
    night: Night = night_at("selected")
    out = unread()
    code, _ = photdb(night, "measure", "-v", stdout=out, stderr=out)
    assert code == 0
    code, _ = photdb(night, "run", stdout=out)
    os.close(out)
    assert code == 0
    assert night.one("SELECT count(*) FROM centroid") == N_FRAMES * N_SOURCES
    assert night.rows("SELECT command, outcome FROM history ORDER BY id DESC LIMIT 2") == [
        ("run", "ok"),
        ("measure", "ok"),
    ]
    assert night.work() == {}


def test_files_are_written_when_nobody_reads_that_they_are(night: Night) -> None:
    out = unread()
    assert photdb(night, "export", night.folder / "out", "-v", stdout=out, stderr=out)[0] == 0
    assert photdb(night, "plot", "qc", "--save", night.folder / "qc.png", stdout=out, stderr=out)[0] == 0
    os.close(out)
    assert len(list((night.folder / "out").iterdir())) == len(list((night.folder / "out").glob("*.txt"))) > 5
    assert (night.folder / "qc.png").stat().st_size > 10_000


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full there")
def test_data_that_find_no_room_are_an_error(night: Night) -> None:
    with open("/dev/full", "w") as full:
        code, said = photdb(night, "sql", "SELECT * FROM flux", stdout=full)
        assert (code, said.count("\n")) == (1, 1)
        assert said.startswith("Error: The output cannot be written (No space left on device): ")
        # What is said beside data is not worth to fail for.
        code, _ = photdb(night, "reject", "frames", 3, "--reason", "clouds", stdout=subprocess.DEVNULL, stderr=full)
        assert code == 0
    assert night.rows("SELECT reason FROM rejection") == [("clouds",)]


@pytest.mark.parametrize("closed", ["1", "2", "0", "0 1 2"])
def test_streams_that_are_closed(closed: str, night_at: Any) -> None:
    """As a careless parent leaves them: files that are opened then get their numbers."""
    night: Night = night_at("selected")
    ends = " ".join(f"{fd}>&-" for fd in closed.split())
    for words in ("measure -v -j 2", "status"):
        done = subprocess.run(
            ["bash", "-c", f"exec {sys.executable} -m photdb {words} {ends}"],
            env={**ENVIRONMENT, "PHOTDB_PROJECT": str(night.path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "Exception" not in done.stderr
    assert night.one("PRAGMA integrity_check") == "ok"
    assert night.one("SELECT count(*) FROM centroid") == N_FRAMES * N_SOURCES
