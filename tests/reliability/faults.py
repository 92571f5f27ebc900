"""Commands in processes of their own, under whose feet the system gives way: no room on the disk, no permission.

`python faults.py` imports photdb once and then forks for each command that it is asked for (a line of JSON each), so
that a command costs no start-up and hundreds can be run. The faults are the system's own: a limit on the size of
files (`RLIMIT_FSIZE`), another user, a small file system that is full.
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: Somebody who may do nothing here.
NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, negative where a signal ended it, and what it said."""

    code: int
    stdout: str
    stderr: str

    @property
    def sentence(self) -> str:
        """What it says went wrong: the last line, the only one that begins with `Error: `."""
        *before, last = self.stderr.splitlines() or [""]
        assert last.startswith("Error: "), self
        assert last.endswith((".", "?", "!")), self
        assert not any(line.startswith("Error: ") for line in before), self
        assert "Traceback" not in self.stderr, self
        return last.removeprefix("Error: ")


class Commands:
    """The server of commands; use it as a context manager."""

    def __enter__(self) -> "Commands":
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)])
        self._server = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def run(
        self,
        project: Path | None,
        *arguments: object,
        file_limit: int | None = None,
        nobody: bool = False,
        stdout: Path | None = None,
        before: Sequence[Any] = (),
        cwd: Path | None = None,
    ) -> Ended:
        """Run a command.

        Parameters
        ----------
        project : Path, optional
            What it is on.
        *arguments
            As typed behind `photdb`.
        file_limit : int, optional
            No file may become larger, bytes.
        nobody : bool
            As a user who owns nothing, where this one is root.
        stdout : Path, optional
            Where its output goes.
        before : sequence
            A function of the module `tampering`, by its name, and its arguments: called first.
        cwd : Path, optional
            Where it is typed.
        """
        asked = {
            "arguments": [str(a) for a in arguments],
            "project": None if project is None else str(project),
            "file_limit": file_limit,
            "nobody": nobody and os.geteuid() == 0,
            "stdout": None if stdout is None else str(stdout),
            "before": list(map(str, before)),
            "cwd": str(cwd) if cwd is not None else None,
        }
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        return Ended(**json.loads(self._server.stdout.readline()))


# --- the server's side ------------------------------------------------------------------------------------------------
def _serve() -> None:
    # What commands import only when they need it: another user may not be allowed to read it, wherever it is installed.
    import difflib  # noqa: F401
    import getpass  # noqa: F401
    import importlib
    import multiprocessing.pool  # noqa: F401
    import pkgutil
    import uuid  # noqa: F401

    import alembic.command  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import scipy.special  # noqa: F401
    import tampering

    import photdb

    for module in pkgutil.walk_packages(photdb.__path__, "photdb."):
        if not module.name.endswith("__main__") and ".windows" not in module.name:
            importlib.import_module(module.name)
    from photdb.cli import main
    from photdb.stages.runner import _libraries

    _libraries()  # reads their descriptions, once

    for line in sys.stdin:
        asked = json.loads(line)
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                if asked["stdout"] is not None:
                    out_end = os.open(asked["stdout"], os.O_WRONLY)
                os.dup2(out_end, 1)
                os.dup2(err_end, 2)
                os.closerange(3, 256)
                sys.stdin = open(0, closefd=False)
                if asked["cwd"] is not None:
                    os.chdir(asked["cwd"])
                os.environ.pop("PHOTDB_PROJECT", None)
                if asked["project"] is not None:
                    os.environ["PHOTDB_PROJECT"] = asked["project"]
                if asked["before"]:
                    name, *arguments = asked["before"]
                    getattr(tampering, name)(*arguments)
                if asked["file_limit"] is not None:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_limit"], resource.RLIM_INFINITY))
                if asked["nobody"]:
                    os.setgroups([])
                    os.setgid(NOBODY)
                    os.setuid(NOBODY)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                sys.argv = ["photdb", *asked["arguments"]]
                try:
                    main()
                except SystemExit as end:
                    code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
                try:
                    sys.stdout.flush()
                except OSError:
                    code = 120  # as Python itself ends then
                    sys.stderr.write("Exception ignored: output could not be written\n")
            except BaseException:  # noqa: BLE001 - as Python itself would
                import traceback

                traceback.print_exc()
                code = 71
            finally:
                with contextlib.suppress(OSError):
                    sys.stderr.flush()
                os._exit(code)
        os.close(out_end)
        os.close(err_end)
        texts = _read_all([out, err])
        _, status = os.waitpid(pid, 0)
        answer = {"code": os.waitstatus_to_exitcode(status), "stdout": texts[0], "stderr": texts[1]}
        print(json.dumps(answer), flush=True)


def _read_all(pipes: list[int]) -> list[str]:
    import selectors

    parts: dict[int, list[bytes]] = {pipe: [] for pipe in pipes}
    with selectors.DefaultSelector() as waiting:
        for pipe in pipes:
            waiting.register(pipe, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _ in waiting.select():
                piece = os.read(key.fd, 1 << 16)
                if piece:
                    parts[key.fd].append(piece)
                else:
                    waiting.unregister(key.fd)
                    os.close(key.fd)
    return [b"".join(parts[pipe]).decode(errors="replace") for pipe in pipes]


# --- a small disk -----------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a file system of so many bytes at a new folder.

    Raises
    ------
    PermissionError
        This process may not mount.
    """
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=755", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PermissionError(done.stderr)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def nearly_full(folder: Path, free_bytes: int) -> Iterator[None]:
    """Fill the file system of a folder, but for so many bytes."""
    ballast = folder / "ballast"
    status = os.statvfs(folder)
    size = status.f_bavail * status.f_frsize - free_bytes
    with ballast.open("wb") as file:
        if size > 0:
            os.posix_fallocate(file.fileno(), 0, size)
    try:
        yield
    finally:
        ballast.unlink()


if __name__ == "__main__":
    _serve()
