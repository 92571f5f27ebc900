"""`photdb solve`: the quietest light curves among all combinations."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

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
from photdb.cli.terminal import echo_block
from photdb.cli.values import Whole, or_none
from photdb.errors import PhotdbError
from photdb.wording import count

if TYPE_CHECKING:
    from photdb.store.project import Project

#: Of more check stars than this only the first are told of.
_MOST_CHECKS = 10


def _terms(value: str) -> list[str]:
    """Part what --detrend is given, in one order whatever was typed first."""
    from photdb.stages.terms import DETREND

    given = [name.strip() for name in value.split(",")]
    for name in given:
        if name not in DETREND:
            raise click.BadParameter(f"{name!r} is none of {', '.join(DETREND)}.")
    return [name for name in DETREND if name in given]


@click.command()
@click.option("--window", type=Whole(1, 999), help="Frames of the smoother, an odd number.  [default: 7]")
@click.option("--degree", type=Whole(0, 9), help="Its polynomial; 0 is a boxcar.  [default: 2]")
@click.option(
    "--weighting",
    multiple=True,
    type=click.Choice(["mean", "flux", "variance", "least", "all"]),
    help="How references are averaged; can be given several times. all: mean, flux and variance. least: the weights of"
    " least noise, which are fitted to the curves: go by the hold-out noise there.  [default: mean]",
)
@click.option("--top", type=Whole(1, 100), help="How many curves are kept.  [default: 10]")
@click.option(
    "--detrend",
    type=or_none(_terms),
    metavar="TERMS|none",
    help="Fit these to every curve and take them out, with commas between: airmass, time, fwhm, x, y (of the target),"
    " sky. Part of a signal goes with them: it is said how much.  [default: none]",
)
@click.option(
    "--baseline",
    multiple=True,
    metavar="FRAMES|none",
    help="Fit --detrend in these frames only, such as 1-40: those outside of a transit. Can be given several times.",
)
@click.option(
    "--offset",
    type=click.Choice(["pier", "jumps", "gaps", "none"]),
    help="Fit a constant to each stretch of frames: between meridian flips, recentrings (and flips), or gaps."
    "  [default: none]",
)
@default_option
@console_options
@window_options
def solve_command(
    console: Console,
    window: int | None,
    degree: int | None,
    weighting: tuple[str, ...],
    top: int | None,
    detrend: list[str] | str | None,
    baseline: tuple[str, ...],
    offset: str | None,
    use_default: bool,
) -> None:
    """Find the quietest curve of each target among all apertures × sets of references, and keep the ten best.

    Noise is the scatter that is left when a curve's smoothed copy is subtracted. `--window 11 --degree 0` smooths with
    a boxcar of 11 frames. With 60 frames or more the best is also judged on frames that did not choose it (hold-out).

    \b
    Example:
      photdb solve --weighting all
      photdb solve --detrend airmass --baseline 1-40 --baseline 101-142
    """
    from photdb.stages.runner import resolve, run

    # In one order, whatever was typed first: it breaks ties.
    every = ("mean", "flux", "variance")
    weightings = [w for w in (*every, "least") if w in weighting or ("all" in weighting and w in every)]
    options = {"window": window, "degree": degree, "weighting": weightings or None, "top": top}
    given = stage_options("solve", options, use_default=use_default)
    if detrend is not None:
        given["detrend"] = [] if detrend == "none" else detrend
    if baseline:
        given["baseline"] = [] if baseline == ("none",) else list(baseline)
    if offset is not None:
        given["offset"] = None if offset == "none" else offset
    if window is not None and window % 2 == 0:
        raise click.UsageError(f"--window {window}: it must be odd, so that a frame is in the middle")
    with console.writing() as project, console.session() as session:
        resolved = resolve(project.connection, "solve", given)
        if resolved["baseline"] and not resolved["detrend"]:
            if given.get("baseline"):
                raise PhotdbError("--baseline says where --detrend is fitted: give what to detrend by as well")
            given["baseline"] = []  # detrending is given up, and with it where
        run(project, "solve", session, given)
        say_unknown_gain(console, project)
        print_solutions(console, project)
        if project.connection.exec_driver_sql("SELECT count(*) FROM best_combination").scalar() == 0:
            why = project.connection.exec_driver_sql(
                "SELECT h.message FROM search h JOIN target t ON t.id = h.target_id WHERE h.message IS NOT NULL"
            ).scalar()
            raise PhotdbError("no target has a light curve" + (f": {why}" if why else ""))


def print_solutions(console: Console, project: "Project", most: int = 10) -> None:
    """Print a table of the best combinations of each target."""
    searches = project.connection.exec_driver_sql(
        "SELECT s.label, s.role, h.* FROM search h JOIN target s ON s.id = h.target_id ORDER BY s.id"
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
            echo_block(
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
            for line in _about_the_best(project, search, rows):
                console.say(f"  {line}")


def _about_the_best(project: "Project", search: Any, rows: Sequence[Any]) -> Iterator[str]:
    """Say what the table leaves out: whether the best is what it seems, and what was done to it."""
    query, best = project.connection.exec_driver_sql, rows[0]
    terms = query("SELECT * FROM fitted_term WHERE target = ? AND rank = 1", (search.label,)).all()
    if terms:
        yield (
            "DETRENDED: fitted to each of these curves and taken out of it, in the best "
            + ", ".join(f"{t.term} {mmag(t.amplitude_mag)} ± {mmag(t.amplitude_err_mag)} mmag" for t in terms)
            + "."
        )
        yield (
            f"A signal loses by it: of a wave of one cycle over the night {100 * search.wave_left:.0f} % would be left,"
            f" of a dip in its middle third {100 * search.dip_left:.0f} %."
        )
    if search.noise_holdout_mag is None:
        yield f"Too few frames ({search.n_frames} of 60) to judge the best on frames that did not choose it (hold-out)."
    else:
        each = {r.weighting: r.noise_holdout_mag for r in rows if r.noise_holdout_mag is not None}
        by = f" ({', '.join(f'{name} {mmag(v)}' for name, v in each.items())})" if len(each) > 1 else ""
        yield (
            f"Hold-out, on frames that did not choose it: {mmag(search.noise_holdout_mag)} ±"
            f" {mmag(search.noise_holdout_mag_err)} mmag{by}."
        )
    if best.systematic_mag is not None:
        yield f"Systematic, each reference of the best left out in turn: {mmag(best.systematic_mag)} mmag."
    if best.zero_mag is not None:
        error = "" if best.zero_mag_err is None else f" ± {best.zero_mag_err:.3f}"
        colour = "" if best.colour_term is None else f", colour term {best.colour_term:+.3f}"
        yield f"Zero point of the best: {best.band} = mag + {best.zero_mag:.3f}{error}{colour}."
    checks = query(
        "SELECT k.label, c.noise_mag, c.noise_mag_err, c.n_points FROM check_curve c JOIN solution s"
        " ON s.id = c.solution_id JOIN target t ON t.id = s.target_id JOIN source k ON k.id = c.source_id"
        " WHERE t.label = ? AND s.rank = 1 AND k.removed_at IS NULL AND c.noise_mag IS NOT NULL ORDER BY k.id",
        (search.label,),
    ).all()
    for c in checks[:_MOST_CHECKS]:
        figures = f"{mmag(c.noise_mag)} ± {mmag(c.noise_mag_err)} mmag, {count(c.n_points, 'point')}"
        yield f"Check star {c.label} against the references of the best: {figures}."
    if len(checks) > _MOST_CHECKS:
        yield f"{count(len(checks) - _MOST_CHECKS, 'check star')} more: `photdb report` lists all."
    if best.drift_mag is not None and best.drift_mag > best.noise_mag:
        yield (
            f"The references of the best drift by {1000 * best.drift_mag:.1f} mmag against each other, more"
            " than the noise, which is blind to slow drift: look at `photdb check`."
        )
    if search.doubts is not None:
        yield f"Doubtful: {search.doubts}."
