"""`photdb qc`: metrics and stars of each frame, and rules that reject frames by them."""

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
from photdb.cli.terminal import echo_block
from photdb.cli.values import Whole

_METRICS = {
    "range_adu": 0,
    "min_adu": 0,
    "max_adu": 0,
    "background_adu": 1,
    "background_scatter_adu": 2,
    "nonuniformity_adu": 2,
    "n_stars": 0,
    "fwhm_px": 2,
    "elongation": 2,
    "n_saturated_px": 0,
}


@click.command()
@click.option(
    "--region",
    nargs=4,
    type=Whole(),
    metavar="X0 Y0 X1 Y1",
    help="Take the statistics from this rectangle, corners included. Stars are found in the whole frame all the same.",
)
@rule_options("qc")
@default_option
@workers_options
@console_options
@window_options
def qc_command(
    console: Console,
    region: tuple[int, int, int, int] | None,
    use_default: bool,
    workers: int | str | None,
    **rules: Any,
) -> None:
    """Measure dynamic range, background, uniformity, stars and FWHM of each frame.

    Rules hold until changed, also for frames added later; changing one reads no pixel. Each metric's range over the
    accepted frames is printed, then what the rules reject.

    \b
    Example:
      photdb qc --min-range 8000 --max-nonuniformity 2
    """
    console.expect_work(workers, "frame_quality")
    from photdb.stages.qc import check_region
    from photdb.stages.runner import run
    from photdb.store.connection import driver

    given = stage_options("qc", {"region": region}, use_default=use_default)
    with console.writing() as project, console.session(workers) as session:
        check_region(project.connection, region)  # before a rule is in force
        set_rules(project, rules)
        run(project, "qc", session, given)
        rows = []
        found = driver(project.connection).execute(f"SELECT {', '.join(_METRICS)} FROM frame_status WHERE accepted")  # noqa: S608
        metrics = list(zip(*found, strict=True)) or [()] * len(_METRICS)
        for (name, digits), values in zip(_METRICS.items(), metrics, strict=True):
            known = sorted(v for v in values if v is not None) or [None]
            rows.append((name, *(fixed(v, digits) for v in (known[0], known[(len(known) - 1) // 2], known[-1]))))
        echo_block(table(("metric", "least", "median", "most"), rows))
        print_rejected(console, project, "qc")
