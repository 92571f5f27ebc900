"""`photdb solve`: the quietest light curves among all combinations."""

from typing import TYPE_CHECKING

import click

from photdb.cli._window_options import window_options
from photdb.cli.common import (
    Console,
    console_options,
    default_option,
    mmag,
    say_unknown_gain,
    stage_options,
    table,
)
from photdb.errors import PhotdbError
from photdb.wording import count

if TYPE_CHECKING:
    from photdb.store.project import Project


@click.command()
@click.option("--window", type=click.IntRange(1, 999), help="Frames of the smoother, an odd number.  [default: 7]")
@click.option("--degree", type=click.IntRange(0, 9), help="Its polynomial; 0 is a boxcar.  [default: 2]")
@click.option(
    "--weighting",
    multiple=True,
    type=click.Choice(["mean", "flux", "variance", "all"]),
    help="How references are averaged; can be given several times.  [default: mean]",
)
@click.option("--top", type=click.IntRange(1, 100), help="How many curves are kept.  [default: 10]")
@default_option
@console_options
@window_options
def solve_command(
    console: Console,
    window: int | None,
    degree: int | None,
    weighting: tuple[str, ...],
    top: int | None,
    use_default: bool,
) -> None:
    """Find the quietest curve of each target among all apertures × sets of references, and keep the ten best.

    Noise is the scatter that is left when a curve's smoothed copy is subtracted. `--window 11 --degree 0` smooths with
    a boxcar of 11 frames.

    \b
    Example:
      photdb solve --weighting all
    """
    from photdb.stages.runner import run

    # In one order, whatever was typed first: it breaks ties.
    weightings = [w for w in ("mean", "flux", "variance") if w in weighting or "all" in weighting]
    options = {"window": window, "degree": degree, "weighting": weightings or None, "top": top}
    if window is not None and window % 2 == 0:
        raise click.UsageError(f"--window {window}: it must be odd, so that a frame is in the middle")
    with console.writing() as project, console.session() as session:
        run(project, "solve", session, stage_options("solve", options, use_default=use_default))
        say_unknown_gain(console, project)
        print_solutions(console, project)
        if project.connection.exec_driver_sql("SELECT count(*) FROM best_combination").scalar() == 0:
            raise PhotdbError("no target has a light curve; above it is said why")


def print_solutions(console: Console, project: "Project", most: int = 10) -> None:
    """Print a table of the best combinations of each target."""
    searches = project.connection.exec_driver_sql(
        "SELECT s.label, s.role, h.n_frames, h.n_references, h.n_apertures, h.n_combinations, h.message FROM search h"
        " JOIN target s ON s.id = h.target_id ORDER BY s.id"
    ).all()
    for search in searches:
        console.say(
            f"{search.role} {search.label}: {search.n_combinations} combinations of"
            f" {count(search.n_apertures, 'aperture')} and {count(search.n_references, 'reference')},"
            f" compared on {count(search.n_frames, 'frame')}."
        )
        if search.message:
            console.say(f"  {search.message}")
        rows = project.connection.exec_driver_sql(
            "SELECT * FROM best_combination WHERE target = ? AND rank <= ? ORDER BY rank", (search.label, most)
        ).all()
        if rows:
            click.echo(
                table(
                    ("rank", "target", "noise mmag", "±", "robust", "drift mmag", "aperture")
                    + ("weighting", "references", "frames", "points"),
                    [
                        (r.rank, r.target, mmag(r.noise_mag), mmag(r.noise_mag_err), mmag(r.noise_robust_mag))
                        + (mmag(r.drift_mag), r.aperture)
                        + (r.weighting, r.reference_labels, r.n_frames, r.n_points)
                        for r in rows
                    ],
                )
            )
            best = rows[0]
            if best.drift_mag is not None and best.drift_mag > best.noise_mag:
                console.say(
                    f"  The references of the best drift by {1000 * best.drift_mag:.1f} mmag against each other, more"
                    " than the noise, which is blind to slow drift: look at `photdb check`."
                )
