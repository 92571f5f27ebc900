"""One writer at a time: an operating-system lock on `NAME.photdb.lock` that says who holds it."""

import contextlib
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from photdb.errors import ProjectError

WAIT_S = 3.0


def now() -> str:
    """Give the time as every table stores it: ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def user_and_host() -> tuple[str | None, str]:
    """Give the name of the user, if there is one, and of the machine."""
    import getpass
    import socket

    try:
        user: str | None = getpass.getuser()
    except (OSError, KeyError):  # no such user in the password database (containers)
        user = None
    return user, socket.gethostname()


class WriterLock:
    """The lock of one project, held for a whole command; the operating system frees it when the process dies."""

    def __init__(self, project_path: Path) -> None:
        self.path = project_path.with_name(project_path.name + ".lock")
        self._file: IO[bytes] | None = None

    def acquire(self, command: str, *, wait_s: float = WAIT_S) -> None:
        """Take the lock, waiting a little for another writer.

        Raises
        ------
        ProjectError
            Another process holds it (its command, pid, host and start are named), or the folder cannot be written.
        """
        import socket

        deadline = time.monotonic() + wait_s
        while True:
            try:
                file = open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0)
            except OSError as error:
                raise ProjectError(
                    f"cannot write beside the project: {self.path.name}: {error.strerror}: make its folder"
                    f" {self.path.absolute().parent} writable, or copy the project elsewhere"
                ) from error
            if _try_lock(file) and self._is_still_there(file):
                self._file = file
                break
            holder = _read_holder(file)
            file.close()
            if time.monotonic() >= deadline:
                raise ProjectError(f"another photdb is writing to this project{holder}: try again when it is done")
            time.sleep(0.05)
        holder_facts = {"command": command, "pid": os.getpid(), "host": socket.gethostname(), "since": now()}
        with contextlib.suppress(OSError):  # a full disk must not keep anybody from the lock itself
            self._file.truncate(0)
            self._file.write(json.dumps(holder_facts).encode() + b"\n")

    def release(self) -> None:
        """Give the lock back and take its file away."""
        if self._file is not None:
            # Removed while still held: whoever opened the old file meanwhile finds it gone and opens a new one.
            with contextlib.suppress(OSError):  # Windows removes no open file; an empty one stays there
                os.unlink(self.path)
            self._file.close()
            self._file = None

    def is_held(self) -> bool:
        """Tell whether a process holds the lock now: its file alone says nothing, as one that died leaves it."""
        try:
            with open(self.path, "rb") as file:
                return not _try_lock(file)
        except OSError:
            return False

    def _is_still_there(self, file: IO[bytes]) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), os.stat(self.path))
        except OSError:
            return False


def _read_holder(file: IO[bytes]) -> str:
    try:
        facts: dict[str, Any] = json.loads(file.read(4096))
        return " (`{command}`, process {pid} on {host}, since {since})".format(**facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            # Far behind the text, which stays readable to others.
            file.seek(1 << 20)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            file.seek(0)
        return True

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
