"""Single parts, each in a process of its own on one core: `python -m benchmarks.points NAME [small]` prints JSON lines.

A point gives lines (what, measured, limit), all text. With `small` it shrinks, so that a test can see that it runs.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.grid import grid, optimal
from benchmarks.kernels import gaussians, search, search_one, skies
from benchmarks.many import many_sources, rows
from benchmarks.processes import Lines, in_turns, photdb, python, run


def start_up(small: bool, project: str = "") -> Lines:
    """`photdb --help`, and `status` of a project, above a Python that does nothing."""
    programs = {"nothing": python("-c", "pass"), "photdb --help": photdb("--help")}
    if project:
        programs["photdb status"] = photdb("status", "-p", project)

    def program(command: list[str | Path]) -> Callable[[], dict[str, float]]:
        def once() -> dict[str, float]:
            before = os.times()
            wall = run(command)
            after = os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            return {"s": wall, "cpu": cpu}

        return once

    found = in_turns({name: program(command) for name, command in programs.items()}, 2 if small else 9)
    nothing, limits = found.pop("nothing"), {"photdb --help": "≤ 0.25", "photdb status": "≤ 0.5"}
    lines = []
    for name, figures in found.items():
        if "failed" not in figures:
            wall, cpu = (figures[unit].median - nothing[unit].median for unit in ("s", "cpu"))
            what = f"{name}, above `python -c pass`, s"
            lines.append((what, f"{wall:.2f} (processor {cpu:.2f})", limits[name]))
    return lines


POINTS: dict[str, Callable[..., Lines]] = {
    "gaussians": gaussians,
    "skies": skies,
    "search": search,
    "rows": rows,
    "many-sources": many_sources,
    "start-up": start_up,
    "optimal": optimal,
    "grid": grid,
}

if __name__ == "__main__":
    point, *rest = sys.argv[1:]
    if point == "search-one":
        search_one(int(rest[0]), int(rest[1]), int(rest[2]), rest[3])
    else:
        for line in POINTS[point]("small" in rest, *(v for v in rest if v != "small")):
            print(json.dumps(line))
