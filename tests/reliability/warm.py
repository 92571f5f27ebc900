"""Commands of photdb in processes that begin with everything imported, and end where they are told to.

A process of Python takes half a second to import what a command needs, and nothing can be lost in that time. Here one
server imports it once and forks a process of its own, with its own group, for each command; so most of a thousand kills
come where there is something to lose. Requests and answers are lines of JSON, one at a time.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
#: In which photdb and what these tests share are found.
ENVIRONMENT = {
    **os.environ,
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", HERE))),
}
#: Longer than any command on the small night takes, on a busy machine.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int  # its exit code, or minus the signal that killed it
    seconds: float
    counted: int | None  # system calls on files of a project, where it came to its end
    killed_at: str | None  # the call it was killed at: "write j torn"
    stdout: str
    stderr: str
    group: int  # its process group, which workers share


class Warm:
    """The server, from the side of who asks it; use it as a context manager.

    Parameters
    ----------
    folder : Path
        Where outputs are kept meanwhile.
    calls : Path, optional
        The library that counts system calls, if it could be made.
    """

    def __init__(self, folder: Path, calls: Path | None) -> None:
        self.folder = folder
        environment = dict(ENVIRONMENT)
        if calls is not None:
            environment["LD_PRELOAD"] = str(calls)
        self.counts = calls is not None
        self._server = subprocess.Popen(
            [sys.executable, str(HERE / "warm.py")],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self,
        project: Path,
        *arguments: object,
        kill_at: int = 0,
        torn: bool = False,
        after_s: float | None = None,
        how: int = signal.SIGKILL,
        whole_group: bool = True,
        patches: Sequence[str] = (),
    ) -> Ended:
        """Run a command on a project.

        Parameters
        ----------
        project : Path
            The project's file.
        *arguments
            As typed.
        kill_at : int
            The system call before which it gets the signal `how`; 0: none. With `torn`, a kill comes half-way through a
            call that writes.
        after_s : float, optional
            When to send it the signal `how`, if it is still there.
        whole_group : bool
            The workers, too, get that signal.
        patches : sequence of str
            Names of functions of `patches.py` that change photdb before.
        """
        request = {
            "arguments": [str(a) for a in arguments],
            "project": str(project),
            "outputs": str(self.folder),
            "kill_at": kill_at,
            "torn": torn,
            "after_s": after_s,
            "how": int(how),
            "whole_group": whole_group,
            "patches": list(patches),
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        code, seconds, group = json.loads(self._server.stdout.readline())
        notes = (self.folder / "notes").read_text().splitlines()
        counted = [int(note.split()[1]) for note in notes if note.startswith("counted ")]
        at = [note for note in notes if not note.startswith("counted ")]
        out, err = ((self.folder / name).read_text(errors="replace") for name in ("stdout", "stderr"))
        return Ended(code, seconds, counted[0] if counted else None, at[0] if at else None, out, err, group)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.communicate()  # it ends with its input


# --- in the server ----------------------------------------------------------------------------------------------------
def _import_everything() -> None:
    import pkgutil
    from importlib import import_module

    import photdb

    for part in ("algorithms", "store", "stages", "exports", "cli"):
        package = import_module(f"photdb.{part}")
        for module in pkgutil.iter_modules(package.__path__, f"photdb.{part}."):
            import_module(module.name)
    for name in (
        f"{photdb.__name__}.executors",
        "sqlalchemy.dialects.sqlite",
        "alembic.command",
        "difflib",
        "nights",
        "patches",
    ):
        import_module(name)


def _become(request: dict[str, Any]) -> None:
    """Turn this process into the command: it is the main module's last statement that is left."""
    import atexit
    import ctypes

    outputs = Path(request["outputs"])
    os.chdir(Path(request["project"]).parent)
    os.environ["PHOTDB_PROJECT"] = request["project"]
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY
    for fd, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(outputs / name, flags), fd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    notes = os.open(outputs / "notes", flags)
    import patches

    for name in request["patches"]:
        getattr(patches, name)()
    calls: Any = ctypes.CDLL(None)
    if hasattr(calls, "calls_arm"):
        atexit.register(lambda: os.write(notes, b"counted %d\n" % calls.calls_counted()))
        calls.calls_arm(ctypes.c_long(request["kill_at"]), request["torn"], request["how"], notes)
    sys.argv = ["photdb", *request["arguments"]]


def _wait(child: int, request: dict[str, Any]) -> tuple[int, float]:
    start = time.monotonic()
    pidfd = os.pidfd_open(child)
    try:
        limit = PATIENCE_S if request["after_s"] is None else request["after_s"]
        if not select.select([pidfd], [], [], limit)[0]:
            patient = request["after_s"] is None
            send = os.killpg if request["whole_group"] or patient else os.kill
            send(child, signal.SIGKILL if patient else request["how"])
            if not select.select([pidfd], [], [], PATIENCE_S)[0]:
                os.killpg(child, signal.SIGKILL)
    finally:
        os.close(pidfd)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), time.monotonic() - start


def _serve() -> bool:
    """Answer requests; gives True in a process that is to become a command."""
    from photdb.interruptions import SIGNALS, heed

    _import_everything()
    for line in sys.stdin:
        request = json.loads(line)
        for name in ("stdout", "stderr", "notes"):
            Path(request["outputs"], name).write_text("")
        # As from the first line of photdb on, and not before, signals are heeded.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            _become(request)
            heed()
        else:
            os.setpgid(child, child)  # whoever of the two is first
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if child == 0:
            return True
        code, seconds = _wait(child, request)
        print(json.dumps((code, seconds, child)), flush=True)
    return False


if __name__ == "__main__" and _serve():
    from photdb.cli import main

    main()
