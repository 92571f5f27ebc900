"""Running programs on a given number of cores, one thread each, and what they took."""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

Lines = list[tuple[str, str, str]]
"""What was measured: what, how much, the limit; all text."""

ROOT = Path(__file__).resolve().parents[1]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")


class Failed(Exception):
    """A program ended with an error: its last words."""


@contextmanager
def on_cores(n: int) -> Iterator[None]:
    """Keep what is started meanwhile on so many cores, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:n])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(command: Sequence[str | Path], *, cores: int = 1, env: Mapping[str, str] | None = None) -> float:
    """Run a command on some cores; gives the seconds it took."""
    (seconds,) = run_together([command], cores=cores, env=env)
    return seconds


def run_together(
    commands: Sequence[Sequence[str | Path]], *, cores: int, env: Mapping[str, str] | None = None
) -> list[float]:
    """Run commands at the same time; gives the seconds from the start until each had ended.

    Raises
    ------
    Failed
        One of them ended with an error.
    """
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": str(ROOT), **(env or {})}
    with on_cores(cores):
        start = time.perf_counter()
        running = [
            subprocess.Popen(
                [str(part) for part in command],
                env=environment,
                cwd=tempfile.gettempdir(),  # some write logs to where they are
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for command in commands
        ]
        seconds = []
        for process in running:
            _, said = process.communicate()
            seconds.append(time.perf_counter() - start)
            if process.returncode:
                raise Failed(said.strip().splitlines()[-1] if said.strip() else f"exit code {process.returncode}")
    return seconds


def python(*arguments: str | Path) -> list[str | Path]:
    """Give a command for this Python."""
    return [sys.executable, *arguments]


def photdb(*arguments: str) -> list[str | Path]:
    """Give a command of photdb, as its script would run it."""
    return python("-c", "from photdb.cli import main; main()", *arguments)


@dataclass
class Times:
    """What one program took, round by round."""

    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Give the median of the rounds."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        half = (max(self.values) - min(self.values)) / 2
        digits = 2 if self.median < 10 else 1
        return f"{self.median:.{digits}f}" + (f" ± {half:.{digits}f}" if len(self.values) > 1 else "")


def in_turns(programs: Mapping[str, Callable[[], Mapping[str, float]]], rounds: int) -> dict[str, dict[str, Times]]:
    """Run programs in turns, A B C A B C …, so that a slow minute of the machine meets all of them.

    Each gives some figures by name; they come back as `Times` by program and name. A program that fails is left out of
    the later rounds, and has the figure `failed` with the reason as its only key.
    """
    found: dict[str, dict[str, Times]] = {name: {} for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            if "failed" in found[name]:
                continue
            try:
                figures = program()
            except Failed as error:
                found[name] = {"failed": Times(), str(error): Times()}
                continue
            for figure, value in figures.items():
                found[name].setdefault(figure, Times()).values.append(value)
    return found


def warm(paths: Sequence[str]) -> None:
    """Read files once, so that no program has to wait for the disk."""
    for path in paths:
        Path(path).read_bytes()


@contextmanager
def watching_memory(interval_s: float = 0.02) -> Iterator[dict[int, float]]:
    """Look at the peak memory of all processes started meanwhile, by their id, in MiB; Linux only, else empty."""
    peaks: dict[int, float] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(interval_s):
            for pid in _descendants(os.getpid()):
                with suppress(OSError, StopIteration):
                    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                    peaks[pid] = int(next(v for v in lines if v.startswith("VmHWM")).split()[1]) / 1024

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


def _descendants(pid: int) -> list[int]:
    found = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found
