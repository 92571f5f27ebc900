"""Workers' functions that die, or wait, at a frame where the test says so; worker processes import this module.

Orders are files in the night's folder: `die-once-FRAME`, `die-FRAME`, `hold-FRAME`. A worker's peak memory is noted in
the folder `peaks`, if there is one, under its process id.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

from photdb.stages import pixels, stamps


def obey(paths: Iterable[Path]) -> None:
    for path in paths:
        folder = path.parent.parent
        if (folder / f"die-once-{path.name}").exists():
            (folder / f"die-once-{path.name}").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if (folder / f"die-{path.name}").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if (hold := folder / f"hold-{path.name}").exists():
            (folder / "held").touch()
            while hold.exists():
                time.sleep(0.01)


def peak_kib() -> int:
    """Give this process's peak memory; unlike `ru_maxrss` not that of the process it was forked from."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def note_process(task: int) -> tuple[int, int]:
    time.sleep(0.005)
    return task, os.getpid()


def note_peak(folder: Path) -> None:
    if folder.is_dir():
        (folder / str(os.getpid())).write_text(str(peak_kib()))


def measure_frames(task: pixels.PixelTask) -> Any:
    paths = [path for _, path in task.frames]
    obey(paths)
    found = pixels.measure_frames(task)
    note_peak(paths[0].parent.parent / "peaks")
    return found


def measure_stamps(task: stamps.StampTask) -> Any:
    obey(task.paths)
    found = stamps.measure_stamps(task)
    note_peak(task.paths[0].parent.parent / "peaks")
    return found


def put_in(patch: Any) -> None:
    """Have the stages use them, in small steps, and in a pool, be there little to do, from the first frame on."""
    from nights import small_steps

    from photdb import executors
    from photdb.stages import measurements, qc

    small_steps(patch)
    patch.setattr(qc, "measure_frames", measure_frames)
    patch.setattr(measurements, "measure_stamps", measure_stamps)
    patch.setattr(executors, "POOL_START_S", 0.0)
    patch.setattr(executors.Workers, "_ready", lambda workers: bool(wait(workers._starts)))


class _Patch:
    setattr = staticmethod(setattr)


if __name__ == "__main__":  # a command of photdb with such workers: python -m deadly qc …
    import deadly  # by this name workers find it

    from photdb.cli import main

    deadly.put_in(_Patch)
    sys.argv[0] = "photdb"
    main()
