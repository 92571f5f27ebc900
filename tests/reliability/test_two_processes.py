"""Readers always work; a second writer waits, then says who the first is; the dead hold nothing, and hide nothing."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hammer import N_PROCESSES, hammered
from nights import Night, copy_night
from warm import ENVIRONMENT, Warm

from photdb.errors import ProjectError
from photdb.store import project as project_module
from photdb.store.lock import WriterLock

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs a warm server: fork, pidfd")
HAMMER_S = 6.0

#: Changes all rows, some of which reach the file before a commit that never comes.
HALF_A_TRANSACTION = """
import os, sqlite3, sys
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute("PRAGMA cache_size=5")
raw.execute("BEGIN IMMEDIATE")
raw.execute("UPDATE flux SET flux_adu = 0")
raw.execute("DELETE FROM rejection")
raw.execute("CREATE TABLE filling AS SELECT a.* FROM flux a, (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3)")
os._exit(9)
"""
#: Holds the file as a commit does, while pages are written, for some time.
COMMITTING = """
import sqlite3, sys, time
raw = sqlite3.connect(sys.argv[1], isolation_level=None)
raw.execute("BEGIN EXCLUSIVE")
raw.execute("UPDATE project SET observer = 'X'")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
raw.execute("COMMIT")
"""


def left_half_done(night: Night) -> None:
    before = night.path.read_bytes()
    done = subprocess.run([sys.executable, "-c", HALF_A_TRANSACTION, night.path], check=False)
    assert done.returncode == 9
    assert night.path.with_name("night.photdb-journal").stat().st_size > 512
    assert night.path.read_bytes() != before


@linux
def test_eight_processes_at_once(built_night: Night, tmp_path: Path) -> None:
    ended = hammered(built_night, tmp_path, HAMMER_S, seed=8)
    assert sum(map(len, ended.values())) > 4 * N_PROCESSES
    assert {"status", "sql", "history", "list", "reject", "set", "qc", "measure"} <= set(ended)


def test_readers_work_in_the_middle_of_a_commit(night: Night) -> None:
    figure = night.folder / "qc.png"
    for reader in (
        ("status",),
        ("sql", "SELECT 1"),
        ("history",),
        ("reject", "list"),
        ("export", night.folder / "out"),
        ("plot", "qc", "--save", figure),
    ):
        with subprocess.Popen(
            [sys.executable, "-c", COMMITTING, night.path, "0.5"], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "held\n"
            night.photdb(*reader)
        assert writer.returncode == 0


def test_a_commit_that_does_not_end_is_said(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_module, "BUSY_S", 0.1)
    with subprocess.Popen(
        [sys.executable, "-c", COMMITTING, night.path, "60"], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "held\n"
        said = [night.refused(*words) for words in (("status",), ("sql", "SELECT 1"), ("set", "--observer", "Y"))]
        writer.kill()
    assert all(text.startswith("Another program is using night.photdb") for text in said), said
    night.photdb("set", "--observer", "Y")
    assert night.one("SELECT observer FROM project") == "Y"


def test_a_second_writer_waits_a_little(night: Night) -> None:
    first = WriterLock(night.path)
    first.acquire("photdb first")
    later = threading.Timer(1.0, first.release)
    later.start()
    start = time.monotonic()
    night.photdb("set", "--observer", "Y")
    assert 0.9 < time.monotonic() - start < 30
    later.join()
    first.acquire("photdb first")
    start = time.monotonic()
    assert f"(`photdb first`, process {os.getpid()} on " in night.refused("set", "--observer", "Z")
    assert 2.9 < time.monotonic() - start < 30
    first.release()
    assert night.one("SELECT observer FROM project") == "Y"


@pytest.mark.parametrize(
    "text", ['{"command": "photdb qc", "pid": 1, "host": "elsewhere", "since": "2020-01-01T00:00:00.000Z"}\n', "", "\0"]
)
def test_a_lock_file_of_somebody_who_is_gone_holds_nobody_up(
    text: str, night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds a lock has the file locked by the system; what stands in it only says who."""
    night.path.with_name("night.photdb.lock").write_text(text)
    monkeypatch.setattr(WriterLock.acquire, "__kwdefaults__", {"wait_s": 0.0})
    night.photdb("set", "--observer", "Y")
    assert not night.path.with_name("night.photdb.lock").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no flock there")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO])
def test_a_file_system_without_locks_is_said(code: int, night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """As network file systems may be: it would be no use to wait for another photdb that there is not."""
    import fcntl

    def flock(fd: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    said = night.refused("set", "--observer", "Y")
    assert said.startswith("The file system of "), said
    assert os.strerror(code) in said
    night.photdb("status")
    with pytest.raises(ProjectError, match="cannot lock files"):
        WriterLock(night.path).acquire("photdb qc")


# --- after a kill -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("reader", ["status", "sql", "history", "export"])
def test_a_reader_after_a_kill_sees_what_was_committed(reader: str, night: Night) -> None:
    before = night.snapshot()
    left_half_done(night)
    night.photdb(reader, *{"sql": ["SELECT 1"], "export": [night.folder / "out"]}.get(reader, []))
    assert not night.path.with_name("night.photdb-journal").exists()
    raw = sqlite3.connect(night.path)
    try:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("SELECT count(*) FROM flux WHERE flux_adu = 0").fetchone() == (0,)
    finally:
        raw.close()
    assert night.snapshot() == before


def test_many_readers_after_a_kill_all_see_what_was_committed(night: Night) -> None:
    before = night.snapshot()
    left_half_done(night)
    readers = [
        subprocess.Popen(
            [sys.executable, "-m", "photdb", "sql", "SELECT count(*) AS n FROM flux WHERE flux_adu = 0"],
            env={**ENVIRONMENT, "PHOTDB_PROJECT": str(night.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for reader in readers:
        out, err = reader.communicate(timeout=60)
        assert (reader.returncode, out.split(), err) == (0, ["n", "0"], "")
    assert night.snapshot() == before


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others can get into, unlike pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)


@linux
@pytest.mark.parametrize("what", ["folder", "file and folder"])
def test_after_a_kill_where_nothing_can_be_written_it_is_said(what: str, built_night: Night, open_folder: Path) -> None:
    """Half of what was being written could be in the file: better to see nothing than that."""
    night = copy_night(built_night, open_folder / "night", "solved")
    left_half_done(night)
    journal = night.path.with_name("night.photdb-journal")
    before = night.path.read_bytes(), journal.read_bytes()
    for path in (night.path, journal):
        path.chmod(0o444 if "file" in what else 0o666)
    night.folder.chmod(0o555)
    outputs = open_folder / "outputs"
    outputs.mkdir()
    with Warm(outputs, None) as warm:
        for command in (("status",), ("sql", "SELECT count(*) AS n FROM flux WHERE flux_adu = 0"), ("history",)):
            done = warm(night.path, *command, patches=("nobody",))
            assert done.code == 1, done
            assert done.stdout == ""
            (said,) = done.stderr.splitlines()
            assert "was killed, and what it left half done must be taken back" in said, done
    night.folder.chmod(0o755)
    for path in (night.path, journal):
        path.chmod(0o644)
    if "file" in what:
        assert (night.path.read_bytes(), journal.read_bytes()) == before
    assert night.photdb("sql", "SELECT count(*) AS n FROM flux WHERE flux_adu = 0").stdout.split() == ["n", "0"]


@linux
def test_a_polite_kill_is_heard_where_ctrl_c_is_ignored(night: Night) -> None:
    """As in the background of a script; the guide waits for an answer that never comes."""

    def in_the_background() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    variables: dict[str, Any] = {**ENVIRONMENT, "PHOTDB_PROJECT": str(night.path)}
    with subprocess.Popen(
        [sys.executable, "-m", "photdb", "guide", "--questions", "--from", "select"],
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=in_the_background,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "== select ==\n"
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 143, said
    assert said.splitlines()[-1] == "Left at select: `photdb guide` goes on there."
