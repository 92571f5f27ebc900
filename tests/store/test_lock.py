"""One writer at a time, said with who it is; a dead process holds nothing."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from photdb.errors import ProjectError
from photdb.store.lock import WriterLock, now
from photdb.store.project import Project

HOLDER = """
import sys, time
from pathlib import Path
from photdb.store.lock import WriterLock
lock = WriterLock(Path(sys.argv[1]))
lock.acquire("photdb measure")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a project."""
    path = tmp_path / "night.photdb"
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(root)},
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield path, process
        process.kill()


def test_a_second_writer_is_told_who_the_first_is(holder):
    path, process = holder
    lock = WriterLock(path)
    with pytest.raises(ProjectError) as caught:
        lock.acquire("photdb qc", wait_s=0.1)
    message = str(caught.value)
    assert f"`photdb measure`, process {process.pid} on {socket.gethostname()}, since {now()[:10]}" in message
    assert json.loads(lock.path.read_text())["pid"] == process.pid  # whoever asked has changed nothing


def test_a_dead_process_holds_no_lock(holder):
    path, process = holder
    process.kill()
    process.wait()
    lock = WriterLock(path)
    assert lock.path.exists()
    lock.acquire("photdb qc", wait_s=0.0)
    assert json.loads(lock.path.read_text())["pid"] == os.getpid()
    lock.release()
    assert not lock.path.exists()


def test_a_text_that_nobody_holds_is_no_lock(tmp_path):
    lock = WriterLock(tmp_path / "night.photdb")
    lock.path.write_text("not JSON")
    lock.acquire("photdb qc", wait_s=0.0)
    other = WriterLock(tmp_path / "night.photdb")
    with pytest.raises(ProjectError, match=f"process {os.getpid()} on"):
        other.acquire("photdb run", wait_s=0.0)
    lock.release()
    other.acquire("photdb run", wait_s=0.0)
    other.release()
    other.release()  # twice is no harm


def test_a_lock_whose_file_was_taken_away_meanwhile_is_not_shared(tmp_path):
    first, second = (WriterLock(tmp_path / "night.photdb") for _ in range(2))
    first.acquire("one")
    with open(first.path, "rb") as stale:  # what a waiting process has open
        assert first._is_still_there(stale)
        first.release()
        assert not first._is_still_there(stale)
        second.acquire("two")
        assert not second._is_still_there(stale)
    second.release()


def test_readers_need_no_lock_and_see_what_was_committed(night, monkeypatch):
    with Project.write(night.path, "test") as writer, Project.read(night.path) as reader:
        query = "SELECT observer FROM project"
        with writer.transaction() as connection:
            connection.exec_driver_sql("UPDATE project SET observer = 'X'")
            assert reader.connection.exec_driver_sql(query).scalar() is None
        assert reader.connection.exec_driver_sql(query).scalar() == "X"
        monkeypatch.setattr(WriterLock.acquire, "__kwdefaults__", {"wait_s": 0.0})
        with pytest.raises(ProjectError, match="`test`, process"):
            Project.write(night.path, "second")
        assert f"`test`, process {os.getpid()}" in night.refused("qc")
        night.photdb("status")
    assert not night.path.with_name("night.photdb.lock").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ProjectError, match="cannot write beside the project"):
        WriterLock(tmp_path / "night.photdb").acquire("photdb qc")
    tmp_path.chmod(0o700)
