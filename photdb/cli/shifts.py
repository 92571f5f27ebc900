"""`photdb shifts`: where each frame lies against the reference frame."""

from typing import Any

import click

from photdb.cli._rules import print_rejected, rule_options, set_rules
from photdb.cli._window_options import window_options
from photdb.cli.common import (
    Console,
    console_options,
    default_option,
    fixed,
    stage_options,
    table,
    workers_options,
)
from photdb.cli.terminal import echo, echo_block
from photdb.cli.values import Whole
from photdb.errors import PhotdbError
from photdb.wording import numbers

_FIGURES = {"dx_px": 2, "dy_px": 2, "rotation_deg": 4, "scale": 6, "n_matched": 0, "residual_px": 3}


@click.command()
@click.option(
    "--exclude",
    multiple=True,
    nargs=4,
    type=Whole(),
    metavar="X0 Y0 X1 Y1",
    help="Leave out stars in this rectangle of every frame. Can be given several times.",
)
@click.option(
    "--region",
    nargs=4,
    type=Whole(),
    metavar="X0 Y0 X1 Y1",
    help="Use only stars in this rectangle of the reference frame.",
)
@click.option(
    "--reference-frame",
    metavar="N|auto",
    help="The frame that all shifts refer to. auto: the one with most stars near the median pointing.",
)
@rule_options("shifts")
@default_option
@workers_options
@console_options
@window_options
def shifts_command(
    console: Console,
    exclude: tuple[tuple[int, int, int, int], ...],
    region: tuple[int, int, int, int] | None,
    reference_frame: str | None,
    use_default: bool,
    workers: int | str | None,
    **rules: Any,
) -> None:
    """Match the stars of each frame with the reference frame's: translation, rotation and scale.

    A frame that cannot be matched gets no shift, and is said.

    \b
    Example:
      photdb shifts --exclude 500 380 700 560 --max-residual 0.5
    """
    console.expect_work(workers, "shift")
    from photdb.stages.qc import check_region
    from photdb.stages.runner import run
    from photdb.stages.shifts import set_reference_frame
    from photdb.store.typed import frame_ids, frame_number

    given = stage_options("shifts", {"exclude": list(exclude) or None, "region": region}, use_default=use_default)
    with console.writing() as project, console.session(workers) as session:
        for rectangle in (*exclude, region):
            check_region(project.connection, rectangle)  # before anything is decided
        if reference_frame is not None:
            with project.transaction() as connection:
                if reference_frame == "auto":
                    set_reference_frame(connection, None, None)
                else:
                    (frame,) = frame_ids(connection, [frame_number(connection, reference_frame)])
                    reason = connection.exec_driver_sql(
                        "SELECT reason FROM excluded"
                        " WHERE kind = 'unusable' AND stage IN ('headers', 'qc') AND frame_id = ?",
                        (frame,),
                    ).scalar()
                    if reason is not None:
                        raise PhotdbError(f"frame {reference_frame} cannot be the reference frame: {reason}")
                    set_reference_frame(connection, frame, "user")
        set_rules(project, rules)
        run(project, "shifts", session, given)
        reference = project.connection.exec_driver_sql(
            "SELECT f.number, p.reference_frame_origin FROM project p JOIN frame f ON f.id = p.reference_frame_id"
        ).one()
        extremes = ", ".join(f"min({name}), max({name})" for name in _FIGURES)
        found = project.connection.exec_driver_sql(f"SELECT {extremes} FROM frame_status WHERE accepted").one()  # noqa: S608
        rows = [
            (name, fixed(low, digits), fixed(high, digits))
            for (name, digits), low, high in zip(_FIGURES.items(), found[::2], found[1::2], strict=True)
        ]
        echo_block(table(("shift", "least", "most"), rows))
        console.say(f"Reference frame: {reference.number} ({reference.reference_frame_origin}).")
        lost = project.connection.exec_driver_sql(
            "SELECT f.number FROM shift h JOIN frame f ON f.id = h.frame_id WHERE h.dx_px IS NULL"
        ).scalars()
        if unmatched := list(lost):
            echo(f"not matched: frame {numbers(unmatched, most=100)}")
        print_rejected(console, project, "shifts")
