"""The simulated night of full size against the plain read, in one process and in two; and what changes cost."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.nights import Night
from benchmarks.processes import (
    Failed,
    Times,
    in_turns,
    photdb,
    python,
    run,
    run_together,
    warm,
    watching_memory,
)
from benchmarks.side_by_side import Say, command_table, photdb_inside, photdb_typed

STAGES = ("qc", "shifts", "measure")


def full_night(night: Night, folder: Path, rounds: int, say: Say) -> tuple[str, list[str]]:
    """Measure the night; gives the table of photdb's commands, and lines on what the issue asks."""
    warm(night.frames)
    twelve = without_added(night)
    programs: dict[str, Callable[[], Mapping[str, float]]] = {}
    for n in (1, 2):
        programs[f"plain read, {n} process{'es' * (n > 1)}"] = plain_read(night, folder, n, say)
        programs[f"photdb -j {n}, one script"] = photdb_inside(twelve, folder, n, say)
        programs[f"photdb -j {n}, command by command"] = photdb_typed(twelve, folder, n, say)
    programs["changes"] = changes(night, folder, say)
    found = in_turns(programs, rounds)
    for name, figures in found.items():
        if "failed" in figures:
            raise Failed(f"{name}: {[key for key in figures if key != 'failed'][0]}")
    lines = []
    for n, plain in ((1, "plain read, 1 process"), (2, "plain read, 2 processes")):
        for how, unit, imports in (("one script", "inside", "without"), ("command by command", "whole", "with")):
            read, took = found[plain][unit], _sum(found[f"photdb -j {n}, {how}"], STAGES)
            lines.append(
                f"| qc + shifts + measure, -j {n}, {how}: s, and over the plain read of {read} s in {n} process"
                f"{'es' * (n > 1)}, both {imports} start and imports | {took:.2f}, {took / read.median:.2f} × | ≤ 3 × |"
            )
    cpu = _sum(found["photdb -j 1, one script"], tuple(f"{name} cpu" for name in STAGES))
    read = found["plain read, 1 process"]["cpu"]
    lines.append(
        f"| the same in seconds of the processor, -j 1, one script, plain read {read}"
        f" | {cpu:.2f}, {cpu / read.median:.2f} × | ≤ 3 × |"
    )
    whole = found["photdb -j 2, command by command"]["whole"]
    lines.append(f"| {len(night.frames)} frames to solved curves, -j 2, command by command, s | {whole} | about 10 |")
    full = _sum(found["photdb -j 1, one script"], STAGES)
    for change in ("adding a reference", "changing apertures"):
        took = found["changes"][change].median
        lines.append(f"| {change}: of a full run (qc, shifts, measure), -j 1 | {took / full:.2f} | ≤ 0.33 |")
    ours = {name: figures for name, figures in found.items() if name.startswith("photdb")}
    return command_table(ours), lines + _memory(twelve, folder, say)


def without_added(night: Night) -> Night:
    """Give the night without the star that is to be added."""
    return replace(night, stars=night.stars[:-1])


def _sum(figures: dict[str, Times], names: tuple[str, ...]) -> float:
    return sum(figures[name].median for name in names)


def plain_read(night: Night, folder: Path, n: int, say: Say) -> Callable[[], Mapping[str, float]]:
    """Make what reads all frames in n processes, each its part: `inside` is that of the slowest without imports."""
    parts = [(night.write_job(folder / f"part{k}-{n}.json", part=slice(k, None, n)), folder / f"{k}") for k in range(n)]

    def program() -> Mapping[str, float]:
        import numpy as np

        say(f"{night.name}: plain read in {n}")
        commands = [python("-m", "benchmarks.run_peer", "plain", job, out) for job, out in parts]
        whole = max(run_together(commands, cores=n))
        found = [np.load(f"{out}.npz") for _, out in parts]
        inside, cpu = (max(float(one[unit]) for one in found) for unit in ("seconds", "cpu_seconds"))
        return {"whole": whole, "inside": inside, "cpu": cpu}

    return program


def changes(night: Night, folder: Path, say: Say) -> Callable[[], Mapping[str, float]]:
    """Make what adds a reference to the measured night, or changes its apertures: `measure` alone, in one script."""
    project, copy = folder / f"{night.name}.photdb", folder / "changed.photdb"
    spec, out = folder / "change.spec", folder / "change.out"
    annulus = [f"{night.annulus[0]:g}", f"{night.annulus[1]:g}"]
    x, y = night.stars[-1]
    sessions = {
        "adding a reference": [
            ["select", "reference", "added", "--at", "1", f"{x:.2f}", f"{y:.2f}"],
            ["measure", "-j", "1"],
        ],
        "changing apertures": [["measure", "--radii", "2.5:9.5:1", "--annulus", *annulus, "-j", "1"]],
    }

    def program() -> Mapping[str, float]:
        took = {}
        for name, commands in sessions.items():
            say(f"{night.name}: {name}")
            shutil.copy2(project, copy)
            content = {"commands": commands, "project": str(copy), "modules": str(folder / "photdb.modules")}
            spec.write_text(json.dumps(content))
            run(python("-m", "benchmarks.run_photdb", spec, out))
            took[name] = json.loads(out.read_text())["measure"]
        return took

    return program


def _memory(night: Night, folder: Path, say: Say) -> list[str]:
    """Peak memory of each per-frame stage, -j 1 and the largest process of -j 2."""
    project = folder / "memory.photdb"
    project.unlink(missing_ok=True)
    peaks: dict[str, list[float]] = {}
    for name, *arguments in night.commands(2):
        say(f"{night.name}: memory of {name}")
        with watching_memory() as seen:
            run(photdb(name, *arguments, "-q", "-p", str(project)), cores=2)
        peaks.setdefault(name, []).append(max(seen.values(), default=float("nan")))
    return [
        f"| peak memory of the largest process of {name}, -j 2, MiB | {max(peaks[name]):.0f} | ≤ 400 |"
        for name in (*STAGES, "solve")
    ]
