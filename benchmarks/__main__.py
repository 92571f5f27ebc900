"""Measure, and print Markdown: `python -m benchmarks` for everything, or parts of it by name."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import machine, nights
from benchmarks.full_night import full_night
from benchmarks.points import POINTS
from benchmarks.processes import ROOT, THREADS, Failed, on_cores
from benchmarks.side_by_side import PEERS, side_by_side

PARTS = (*nights.REAL, "simulated", *POINTS)


def say(text: str) -> None:
    """Tell what is being done."""
    print(f"… {text}", file=sys.stderr, flush=True)


def point(name: str, *arguments: str) -> list[str]:
    """Run a point in a process of its own on one core; gives its lines of the table."""
    say(name)
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), "PYTHONPATH": str(ROOT)}
    with on_cores(1):
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.points", name, *arguments],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        return [f"| {name} | failed | |"]
    return ["| {} | {} | {} |".format(*json.loads(line)) for line in done.stdout.splitlines()]


def attempt(name: str, lines: list[str], measure: Callable[[], tuple[str, list[str]]]) -> None:
    """Print a night's table under its name, and keep its lines; a night that fails does not stop the rest."""
    try:
        table, asked = measure()
    except Failed as error:
        table, asked = f"failed: {error}", []
    print(f"### {name}\n\n{table}\n", flush=True)
    lines += asked


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--programs", default=",".join(PEERS), help="peers on the real nights; %(default)s by default")
    parser.add_argument("--rounds", type=int, default=3, help="how often each program has its turn; default 3")
    parser.add_argument("--frames", type=int, default=1388, help="of the simulated night; default 1388")
    parser.add_argument("--small", action="store_true", help="everything tiny, to see that it runs")
    parser.add_argument(
        "--work", type=Path, help="keeps the peers' environments and the simulated night there; else a temporary folder"
    )
    given = parser.parse_args(arguments)
    parts, programs = given.parts or PARTS, [name for name in given.programs.split(",") if name]
    if unknown := [*(set(parts) - set(PARTS)), *(set(programs) - set(PEERS))]:
        parser.error(f"no such part or program: {', '.join(unknown)}")
    if not given.parts and nights.real_folder() is None:
        say("the real nights are not here (PHOTDB_REAL_NIGHTS): left out")
        parts = [part for part in parts if part not in nights.REAL]
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.work or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        measure_all(parts, programs, folder, given)


def measure_all(parts: list[str], programs: list[str], folder: Path, given: argparse.Namespace) -> None:
    """Measure some parts and print the tables."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    print(f"{machine.describe()}. Medians of {given.rounds} rounds in turns ± half their range; warm cache.")
    print(f"\n**The machine was busy with other things (load {load:.1f}).**\n" if load > 0.5 else "")
    lines: list[str] = []
    for name in nights.REAL:
        if name in parts:
            night = nights.real_night(name)
            title = f"{name}, {len(night.frames)} frames, one core"
            attempt(title, lines, lambda n=night: side_by_side(n, programs, folder, given.rounds, say))
    if "simulated" in parts:
        night = nights.simulated_night(folder / "frames", given.frames, small=given.small, progress=say)
        title = f"simulated, {len(night.frames)} frames, 12 sources × 8 apertures"
        attempt(title, lines, lambda: full_night(night, folder, given.rounds, say))
    small = ["small"] if given.small else []
    for name in POINTS:
        if name in parts:
            project = folder / "simulated.photdb"
            more = [str(project)] if name == "start-up" and project.exists() else []
            lines += point(name, *small, *more)
    if lines:
        print("### What is asked\n\n| what | measured | limit |\n|---|--:|--:|\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
