"""Run one peer in this process, timing its imports and its work apart: `run_peer NAME JOB OUT [MODULES]`.

Libraries import parts of themselves when first used. MODULES, where it is there, lists all modules that the same peer
had loaded at the end of an earlier run: they are imported first, so that no import is counted as work.
"""

import importlib
import json
import sys
import time
from contextlib import suppress
from pathlib import Path

START = time.perf_counter()


def import_all(names: list[str]) -> None:
    """Import modules by name; those that cannot be imported by themselves are left out."""
    for name in names:
        with suppress(Exception):
            importlib.import_module(name)


def peak_mib() -> float:
    """Peak memory of this process: not that of its parent before exec, as `ru_maxrss` would give."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def main(name: str, job_path: str, out: str, modules: str | None = None) -> None:
    """Run a peer; writes its fluxes, and what it took."""
    import numpy as np

    from benchmarks.peers._job import read_job

    job = read_job(job_path)
    peer = importlib.import_module(f"benchmarks.peers.{name}")
    known = Path(modules) if modules else None
    if known and known.exists():
        import_all(json.loads(known.read_text()))
    imported = time.perf_counter()
    cpu = time.process_time()
    fluxes = peer.measure(job)
    seconds, cpu = time.perf_counter() - imported, time.process_time() - cpu
    np.savez(out, fluxes=fluxes, seconds=seconds, cpu_seconds=cpu, import_seconds=imported - START, peak_mib=peak_mib())
    if known and not known.exists():
        known.write_text(json.dumps([m for m in sys.modules if not m.startswith("_")]))


if __name__ == "__main__":
    main(*sys.argv[1:])
