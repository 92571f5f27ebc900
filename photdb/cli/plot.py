"""`photdb plot`: a picture of what a stage found."""

from pathlib import Path

import click

from photdb.cli.common import Console, console_options

_STAGES = ("qc", "shifts", "field", "references", "apertures", "growth", "lightcurve", "search", "noise")


@click.command()
@click.argument("stage", metavar="STAGE", type=click.Choice(_STAGES))
@click.option("--target", metavar="NAME", help="Of apertures, lightcurve, search; the first one by default.")
@click.option(
    "--aperture",
    metavar="N|APERTURE",
    help="Of references and noise; by default that of the best curve, else the middle one.",
)
@click.option("--frame", metavar="N", help="Of field: a number, first or last; the reference frame by default.")
@click.option(
    "--time",
    type=click.Choice(["jd", "hjd", "bjd"], case_sensitive=False),
    help="Of lightcurve: JD (UTC, on Earth), HJD (UTC, at the Sun) or BJD (TDB, at the barycentre).  [default: jd]",
)
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Write it to FILE.png, .pdf or .svg.")
@console_options
def plot_command(
    console: Console,
    stage: str,
    target: str | None,
    aperture: str | None,
    frame: str | None,
    time: str | None,
    save: Path | None,
) -> None:
    """Show what a stage found, in a window or, with --save, in a file.

    \b
    STAGE is one of
      qc           levels, uniformity, background, FWHM, stars of each frame, and the rules
      shifts       x, y, rotation and residual of each frame
      field        a frame with all sources, tracks and apertures
      references   each reference against the mean of the others
      apertures    a target's curve in every aperture
      growth       each source's flux against the radius of the aperture
      lightcurve   the best curve with errors, what was left out, the spread of the ten best
      search       noise against the number of references and the aperture
      noise        noise of each source, measured and by the CCD equation

    \b
    Example:
      photdb plot lightcurve --save curve.png
      photdb plot lightcurve --time bjd
      photdb plot field --frame last
    """
    from photdb.plots.figures import PLOTS, Wanted, figure_of
    from photdb.store.decisions import aperture_id
    from photdb.store.typed import frame_number
    from photdb.viewers import show

    given = {"target": target, "aperture": aperture, "frame": frame, "time": time}
    for name, value in given.items():
        takers = [plot for plot, (_, options) in PLOTS.items() if name in options]
        if value is not None and stage not in takers:
            raise click.UsageError(f"--{name} is for {', '.join(takers)}, not for {stage}")
    if save is None:
        show.need_display()
    else:
        show.need_format(save)
    with console.reading() as project:
        wanted = Wanted(
            target,
            None if aperture is None else aperture_id(project.connection, aperture),
            None if frame is None else frame_number(project.connection, frame),
            time or "jd",
        )
        figure = figure_of(project, stage, wanted)
    if save is None:
        show.show(figure)
    else:
        show.save(figure, save)
        console.say(f"Written to {save}.")
