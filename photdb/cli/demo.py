"""`photdb demo`: a simulated night from its frames to its light curve, by the commands that a user would type."""

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from photdb.cli.common import Console, workers_options
from photdb.cli.terminal import echo
from photdb.cli.values import Whole
from photdb.errors import PhotdbError
from photdb.interruptions import exit_code

if TYPE_CHECKING:
    from photdb.simulate import NightPlan, Truth

PROJECT: Final = "demo.photdb"
#: The file by which a folder is known to be a demo's, and what it says.
ABOUT: Final = "about.txt"
_MARK: Final = "A night simulated by `photdb demo`"
_TEXT: Final = f"""{_MARK}, and what photdb made of it.

frames/            the frames, and in truth.npz what is true of them (photdb.simulate.load_truth)
{PROJECT}        the project: go on with it in this folder, for instance `photdb status`
export/            everything in it as text files
light_curve.png    the best light curve over the truth
"""
#: Of the apertures that `measure` proposes, so many of the largest are left out.
_LARGE: Final = 3


@click.command()
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default="photdb-demo")
@click.option("--frames", "n_frames", type=Whole(30, 5000), help="How many frames.  [default: 60]")
@click.option("--full", is_flag=True, help="A night of full size: 1388 frames of 1280 × 1024, 3.6 GB.")
@click.option("--seed", type=Whole(0), default=1, show_default=True, help="Another seed, another night.")
@click.option("--overwrite", is_flag=True, help="Make a former demo in DIR anew.")
@workers_options
def demo_command(
    folder: Path, n_frames: int | None, full: bool, seed: int, overwrite: bool, workers: int | str | None
) -> None:
    """Simulate a night into DIR (photdb-demo by default) and take it from frames to the light curve and its error.

    Each command is shown as you would type it. The night is like AsPyLib's example: an asteroid crosses a reference and
    a faint star, another reference drifts, the mount is recentred, moonlight slopes the sky, fog ends it all. What is
    left out is what `photdb suggest` finds; the truth of the simulation serves only to click on the sources, and to
    judge the curve in the end.

    \b
    Example:
      photdb demo
      photdb demo /data/demo --full
    """
    from photdb.simulate import ganymed, simulate_night

    if full and n_frames is not None:
        raise click.UsageError("--full has its own number of frames: leave out --frames")
    plan = ganymed(seed=seed) if full else _plan(n_frames or 60, seed)
    _make_room(folder, plan, overwrite=overwrite)
    echo(
        f"Simulating {plan.n_frames} frames of {plan.width_px} × {plan.height_px}, {_size_mb(plan):.0f} MB, in"
        f" {folder / 'frames'}."
    )
    n_threads = workers if isinstance(workers, int) else os.cpu_count() or 1
    try:
        with Console(None, 0).progress("simulate", plan.n_frames) as advance:
            truth = simulate_night(folder / "frames", plan, workers=n_threads, progress=lambda: advance(1))
    except KeyboardInterrupt:
        echo("Interrupted before the night was there. `photdb demo --overwrite` begins anew.", err=True)
        click.get_current_context().exit(exit_code())
    except OSError as error:
        raise PhotdbError(
            f"the frames of the demo cannot be written ({error.strerror or error}): make room in {folder}, and `photdb"
            " demo --overwrite` begins anew"
        ) from error
    echo(f"$ cd {shlex.quote(str(folder))}")
    with _inside(folder):
        where = "--scheduler" if isinstance(workers, str) else "-j"
        _session(truth, [] if workers is None else [where, str(workers)])
        echo(_compare(truth))
    echo(f"The light curve over the truth: {folder / 'light_curve.png'}")


def _plan(n_frames: int, seed: int) -> "NightPlan":
    from photdb.simulate import NightPlan

    plan = NightPlan(seed=seed)
    # More frames in the same night leave less time for each, the longer exposures and the read-out included.
    cadence_s = plan.duration_h * 3600.0 / (n_frames - 1)
    return replace(plan, n_frames=n_frames, exposure_s=min(plan.exposure_s, round(0.9 * cadence_s / 2.2, 3)))


def _size_mb(plan: "NightPlan") -> float:
    return 1e-6 * plan.n_frames * (2 * plan.width_px * plan.height_px + 5760)


def _make_room(folder: Path, plan: "NightPlan", *, overwrite: bool) -> None:
    """Make the folder, empty of a former demo.

    Raises
    ------
    PhotdbError
        It holds something else, or a former demo that is not to be overwritten, or the disk is too small.
    """
    from photdb.store.lock import WriterLock

    if folder.exists() and not folder.is_dir():
        raise PhotdbError(f"there is a file {folder}: name a folder for the demo")
    if folder.is_dir() and any(folder.iterdir()):
        about = folder / ABOUT
        if not about.is_file() or not about.read_text(encoding="utf-8", errors="replace").startswith(_MARK):
            raise PhotdbError(f"the folder {folder} is not empty, and not a former demo: name another one")
        if not overwrite:
            raise PhotdbError(
                f"there is a former demo in {folder}: --overwrite makes it anew, and its decisions are lost"
            )
        lock = WriterLock(folder / PROJECT)
        lock.acquire("photdb demo")
        try:
            copies = (PROJECT, f"{PROJECT}-journal", f"{PROJECT}.before-*")
            for pattern in (*copies, "light_curve.png", "export/demo-*", "frames/night-*.fits", "frames/truth.npz"):
                for path in folder.glob(pattern):
                    path.unlink()
        finally:
            lock.release()
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free_mb = 1e-6 * shutil.disk_usage(existing).free
    if free_mb < 1.05 * _size_mb(plan):
        raise PhotdbError(f"the frames need {_size_mb(plan):.0f} MB, and only {free_mb:.0f} MB are free in {existing}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).write_text(_TEXT, encoding="utf-8")


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Be where the user would be: in the folder, where its project is the only one."""
    named = os.environ.pop("PHOTDB_PROJECT", None)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        if named is not None:
            os.environ["PHOTDB_PROJECT"] = named


def _type(*args: str) -> None:
    """Show a command and run it, as if it had been typed."""
    from photdb.cli import cli

    echo()
    echo(f"$ photdb {shlex.join(args)}")
    if code := cli.main(list(args), prog_name="photdb", standalone_mode=False):
        click.get_current_context().exit(code)  # interrupted, which it has said


def _ask(sql: str) -> list[Any]:
    from photdb.store.project import Project

    with Project.read(Path(PROJECT)) as project:
        return list(project.connection.exec_driver_sql(sql).all())


def _session(truth: "Truth", workers: Sequence[str]) -> None:
    """Do what an observer would do, from the frames to the exported curves."""
    _type("init", "frames", "-p", PROJECT)
    _type("qc", "--min-range", "8000", "--max-nonuniformity", "12", *workers)
    _type("shifts", "--max-residual", "1", *workers)
    ends = _ask("SELECT min(number), max(number) FROM frame_status WHERE accepted")[0]
    for column, (label, role) in enumerate(zip(truth.labels, truth.roles, strict=True)):
        clicked: list[str] = []
        for name, number in list(zip(("first", "last"), ends, strict=True))[: 2 if role == "asteroid" else 1]:
            x, y = truth.x_px[number - 1, column], truth.y_px[number - 1, column]
            clicked += ["--at", name, f"{x:.1f}", f"{y:.1f}"]
        _type("select", role, label, *clicked)
    _type("measure", *workers)
    echo()
    echo(
        "The asteroid passes many stars, and large apertures reach their light from afar. Combinations are compared in"
        " frames that are free of it in all apertures, so the largest are left out: they would cost many frames."
    )
    sql = "SELECT DISTINCT radius_px, aperture FROM instrumental ORDER BY radius_px"
    for _, aperture in _ask(sql)[-_LARGE:]:
        _type("reject", "aperture", aperture, "--reason", "would cost many frames")
    _type("suggest", "--apply", *workers)
    _type("check")
    _type("solve", "--weighting", "all")
    _type("status")
    _type("export", "export")
    echo()


def _compare(truth: "Truth") -> str:
    """Draw the best curve over the truth; gives its error against the truth, in words."""
    import math

    import numpy as np

    from photdb.plots.encounters import frames_met
    from photdb.simulate import expected_error_mag
    from photdb.store.project import Project
    from photdb.viewers.best_curve import read_best_curve
    from photdb.viewers.curves import light_curve_figure
    from photdb.viewers.show import save

    targets = [label for label, role in zip(truth.labels, truth.roles, strict=True) if role in ("asteroid", "variable")]
    with Project.read(Path(PROJECT)) as project:
        curve = read_best_curve(project, targets[0])
        if curve is None:
            raise PhotdbError("no curve could be made of this night: try another seed, or more frames")
        (met,) = frames_met(project, targets[0], curve.frame_id, [curve.aperture.id])
    place = [truth.file_names.index(Path(path).name) for path in curve.path]
    true_mag = truth.mag[place, truth.labels.index(curve.target)]
    true_mag = true_mag + np.mean((curve.mag - true_mag)[curve.kept])
    error = np.sqrt(np.mean(np.square(curve.mag - true_mag)[curve.kept]))

    aperture = curve.aperture.spec
    n_sky_px = math.pi * (aperture.outer_px**2 - aperture.inner_px**2)
    expected = expected_error_mag(truth, aperture.radius, n_sky_px=n_sky_px)[place][curve.kept]
    weights = curve.weights / curve.weights.sum()
    ensemble = expected[:, [truth.labels.index(label) for label in curve.references]] * weights
    of_target = expected[:, truth.labels.index(curve.target)]
    theory = np.sqrt(np.mean(of_target**2 + np.sum(ensemble**2, axis=1)))
    figure = light_curve_figure(
        curve.jd_utc_mid,
        curve.mag,
        curve.mag_err,
        left_out=~curve.kept,
        met=met,
        because=met & curve.accepted & ~curve.kept,
        number=curve.number,
        model=true_mag,
        model_label="truth",
        title=f"{curve.target}, simulated: noise {1000 * curve.noise_mag:.2f} mmag, error {1000 * error:.2f} mmag rms",
    )
    save(figure, Path("light_curve.png"))
    return (
        f"The best curve of {curve.target} differs from the truth by {1000 * error:.2f} mmag rms (a constant removed,"
        f" {curve.kept.sum()} frames)."
        f" Its noise_mag is {1000 * curve.noise_mag:.2f} ± {1000 * curve.noise_mag_err:.2f} mmag;"
        f" the CCD equation expects {1000 * theory:.2f} mmag."
    )
