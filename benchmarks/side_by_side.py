"""photdb, the plain read and the peers on one night, in turns; and the table of what each took and how noisy it is."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks import noise
from benchmarks.nights import Night
from benchmarks.processes import Failed, Times, in_turns, photdb, python, run, warm
from benchmarks.venvs import NEEDS, peer_python

Say = Callable[[str], None]
PEERS = ("plain", *NEEDS)
NAMES = {
    "plain": "plain read (astropy, min, max)",
    "eloy": "eloy 0.0.11b0",
    "sep": "sep 1.4.1 + astroalign",
    "photutils": "photutils 3.0.0 + astroalign",
    "prose": "prose 3.3.4",
    "exotic": "EXOTIC 4.3.1, core",
}
OURS = "photdb -j 1, one script"
MENDED = "photdb, `measure --hits mend`"
FLUXES = ("init", "set", "qc", "shifts", "select", "measure")


def peer_program(peer: str, night: Night, folder: Path, say: Say) -> Callable[[], Mapping[str, float]]:
    """Make what runs a peer once; `whole` is the script's time, `inside` that without its imports."""
    job = night.write_job(folder / f"{night.name}.json")
    out, modules = folder / f"{night.name}-{peer}.npz", folder / f"{peer}.modules"
    interpreter = peer_python(peer, folder, say)

    def program() -> Mapping[str, float]:
        say(f"{night.name}: {peer}")
        command = [interpreter, "-W", "ignore", "-m", "benchmarks.run_peer", peer, job, out, modules]
        if not modules.exists():
            run(command)
        whole = run(command)
        with np.load(out) as found:
            return {"whole": whole, "inside": float(found["seconds"]), "cpu": float(found["cpu_seconds"])}

    return program


def photdb_inside(night: Night, folder: Path, n_workers: int, say: Say) -> Callable[[], Mapping[str, float]]:
    """Make what runs all of photdb in one process: `whole`, each command, and `inside`: the commands up to fluxes."""
    spec, out = folder / f"{night.name}-{n_workers}.spec", folder / f"{night.name}-{n_workers}.out"
    project, modules = folder / f"{night.name}.photdb", folder / "photdb.modules"
    content = {"commands": night.commands(n_workers), "project": str(project), "modules": str(modules)}
    spec.write_text(json.dumps(content))

    def program() -> Mapping[str, float]:
        say(f"{night.name}: photdb, one script, -j {n_workers}")
        project.unlink(missing_ok=True)
        if not modules.exists():
            run(python("-m", "benchmarks.run_photdb", spec, out))
            project.unlink()
        whole = run(python("-m", "benchmarks.run_photdb", spec, out), cores=n_workers)
        took: dict[str, float] = json.loads(out.read_text())
        inside, cpu = (sum(took[name + unit] for name in FLUXES) for unit in ("", " cpu"))
        return took | {"whole": whole, "inside": inside, "cpu": cpu}

    return program


def photdb_typed(night: Night, folder: Path, n_workers: int, say: Say) -> Callable[[], Mapping[str, float]]:
    """Make what runs photdb as a user types it, a process a command: each command, and `whole`: all of them."""
    project = folder / f"{night.name}-typed.photdb"

    def program() -> Mapping[str, float]:
        say(f"{night.name}: photdb, command by command, -j {n_workers}")
        project.unlink(missing_ok=True)
        took = {}
        for name, *arguments in night.commands(n_workers):
            seconds = run(photdb(name, *arguments, "-q", "-p", str(project)), cores=n_workers)
            took[name] = took.get(name, 0.0) + seconds
        return took | {"whole": sum(took.values())}

    return program


def side_by_side(night: Night, peers: list[str], folder: Path, rounds: int, say: Say) -> tuple[str, list[str]]:
    """Measure a night with photdb and peers; gives the table, and lines on what the issue asks of it."""
    warm(night.frames)
    programs = {}
    absent: dict[str, str] = {}
    for peer in peers:
        try:
            programs[peer] = peer_program(peer, night, folder, say)
        except subprocess.CalledProcessError as error:
            absent[peer] = f"its requirements cannot be installed ({error})"
    programs[OURS] = photdb_inside(night, folder, 1, say)
    programs["photdb -j 1, command by command"] = photdb_typed(night, folder, 1, say)
    programs["photdb -j 2, command by command"] = photdb_typed(night, folder, 2, say)
    found = in_turns(programs, rounds)
    for name, figures in found.items():
        if "failed" in figures:
            absent[name] = [key for key in figures if key != "failed"][0]
    if OURS in absent:
        raise Failed(absent[OURS])
    return tables(night, found, absent, folder)


def tables(
    night: Night, found: dict[str, dict[str, Times]], absent: dict[str, str], folder: Path
) -> tuple[str, list[str]]:
    """Lay out the table of all programs and that of photdb's commands; and the lines on what is asked."""
    n_asteroids = len(night.asteroids)
    size = len(night.stars), n_asteroids
    project = folder / f"{night.name}.photdb"
    fluxes = {}
    fluxes[OURS], accepted = noise.photdb_fluxes(project, night.frames, *size, night.radii)
    run(photdb("measure", "--hits", "mend", "-q", "-p", str(project)))
    fluxes[MENDED], _ = noise.photdb_fluxes(project, night.frames, *size, night.radii)
    for peer in NEEDS.keys() & (found.keys() - absent.keys()):
        with np.load(folder / f"{night.name}-{peer}.npz") as stored:
            fluxes[peer] = stored["fluxes"]
    ours = found[OURS]["inside"].median
    plain = found["plain"]["inside"].median if "plain" in found and "plain" not in absent else float("nan")
    lines = [
        "| program | whole script, s | without imports, s | of the processor | ms a frame | × photdb | × plain read |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name in [*found, *(absent.keys() - found.keys())]:
        label = NAMES.get(name, name)
        if name in absent:
            lines.append(f"| {label} | not run: {absent[name]} | | | | | |")
            continue
        cells = [str(found[name]["whole"]), *[""] * 5]
        if (inside := found[name].get("inside")) is not None:
            cells[1:4] = [
                str(inside),
                f"{found[name]['cpu'].median:.2f}",
                f"{1000 * inside.median / len(night.frames):.1f}",
            ]
            cells[4:6] = [f"{inside.median / ours:.2f}", f"{inside.median / plain:.1f}"]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    order = [OURS, *(name for name in found if name in fluxes and name != OURS)]
    pairs = {name: noise.pair(fluxes[MENDED][accepted], fluxes[name][accepted], n_asteroids) for name in order}
    n_frames = {name: noise.n_measured(cube, n_asteroids) for name, cube in fluxes.items()}
    asked = []
    if "eloy" in pairs:
        times, cpu = (found["eloy"][unit].median / found[OURS][unit].median for unit in ("inside", "cpu"))
        asked = [f"| {night.name}: eloy's time over photdb's, one core | {times:.1f} (processor {cpu:.1f}) | ≥ 8 |"]
    asked += [
        f"| {night.name}: photdb's noise over that of {NAMES[name]} | {_ratio(p.ratio)} | ≤ 1.03 |"
        for name, p in pairs.items()
        if name != OURS
    ]
    commands = command_table({k: v for k, v in found.items() if k.startswith("photdb")})
    return "\n".join([*lines, "", *noise_table(n_frames, pairs), "", commands]), asked


def noise_table(n_frames: dict[str, int], pairs: dict[str, noise.Pair]) -> list[str]:
    """Lay out how noisy the programs are, each beside photdb with mended hits."""
    lines = [
        f"| beside {MENDED}, {n_frames[MENDED]} frames | frames | common | its noise, mmag | photdb's | photdb's / its"
        " | by rms | other stars |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, p in pairs.items():
        cells = [str(n_frames[name]), str(p.n_frames), f"{p.mmag[1]:.2f}", f"{p.mmag[0]:.2f}"]
        cells += [_ratio(ratio) for ratio in (p.ratio, p.rms_ratio, p.stars_ratio)]
        lines.append(f"| {NAMES.get(name, name)} | " + " | ".join(cells) + " |")
    return lines


def _ratio(ratio: tuple[float, float]) -> str:
    return "{:.2f} ± {:.2f}".format(*ratio)


def command_table(found: dict[str, dict[str, Times]]) -> str:
    """Lay out what each command of photdb took."""
    lines = ["| seconds | " + " | ".join((*FLUXES, "solve")) + " |", "|---|" + "--:|" * (len(FLUXES) + 1)]
    for name, figures in found.items():
        if "failed" not in figures:
            lines.append(f"| {name} | " + " | ".join(str(figures[command]) for command in (*FLUXES, "solve")) + " |")
    return "\n".join(lines)
