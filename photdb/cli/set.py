"""`photdb set`: facts of the session that no header has, or that a header has wrong."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from photdb.cli.common import Console, console_options, table
from photdb.cli.terminal import echo_block
from photdb.cli.values import given_value, number, or_none
from photdb.errors import PhotdbError

if TYPE_CHECKING:
    from photdb.store.project import Project


@click.command()
@click.option(
    "--gain",
    "gain_e_per_adu",
    type=or_none(number(least=1e-6, most=1e6), "auto"),
    help="Electrons per ADU; auto: have it estimated from the frames, before what headers say.",
)
@click.option("--read-noise", "read_noise_e", type=or_none(number(least=0, most=1e6)), help="Electrons.")
@click.option(
    "--saturation",
    "saturation_adu",
    type=or_none(number(above=0, most=1e12)),
    help="ADU from which on a pixel counts as saturated.",
)
@click.option(
    "--site",
    type=(number(least=-180, most=360), number(least=-90, most=90), number(least=-500, most=9000)),
    metavar="LON LAT HEIGHT",
    help="Degrees east, degrees north, metres.",
)
@click.option("--observer", type=or_none(str))
@click.option("--object", "object", type=or_none(str), help="The field or target.")
@click.option(
    "--aperture-diameter",
    "aperture_diameter_m",
    type=or_none(number(above=0, most=1000)),
    help="Of the telescope, metres.",
)
@click.option("--time-keyword", type=or_none(str), help="The header keyword to take times from, such as MJD-OBS.")
@click.option(
    "--time-means",
    type=click.Choice(["start", "middle", "end", "none"]),
    help="What moment of the exposure it gives.",
)
@click.option(
    "--time-offset",
    "time_offset_s",
    type=or_none(number(least=-1e9, most=1e9)),
    metavar="SECONDS|none",
    help="Added to all times.",
)
@console_options
def set_command(console: Console, site: tuple[float, float, float] | None, **facts: Any) -> None:
    """Give or correct facts of the session; `none` gives one up. Without options, show them.

    \b
    Example:
      photdb set --gain 2.07 --read-noise 11 --saturation 45000 --site -71.485 42.61 107
    """
    from photdb.stages.runner import run
    from photdb.store.connection import update_row
    from photdb.store.decisions import request_camera

    values = {name: given_value(value) for name, value in facts.items() if value is not None}
    if "time_offset_s" in values:
        values["time_offset_s"] = values["time_offset_s"] or 0.0
    if site is not None:
        lon, lat, height = site
        values |= {"site_lon_deg": (lon + 180) % 360 - 180, "site_lat_deg": lat, "site_height_m": height}
    estimate = values.get("gain_e_per_adu") == "auto"
    if estimate:
        values["gain_e_per_adu"] = None
    if not values:
        with console.reading() as project:
            rows = [
                *project.connection.exec_driver_sql("SELECT fact, value, origin FROM session").all(),
                *((name, value, "set") for name, value in _time_facts(project).items() if value),
            ]
        echo_block(table(("fact", "value", "from"), [tuple(row) for row in rows]))
        return
    with console.writing() as project:
        before = _time_facts(project)
        with project.transaction() as connection:
            update_row(connection, "project", 1, values)
            if estimate:
                request_camera(connection)
            elif "gain_e_per_adu" in values:
                connection.exec_driver_sql("UPDATE camera SET requested = 0")
        if any(name in before for name in values):
            with console.session() as session:
                run(project, "headers", session)
                if project.connection.exec_driver_sql("SELECT count(jd_utc_mid) FROM frame").scalar() == 0:
                    with project.transaction() as connection:
                        update_row(connection, "project", 1, before)
                    run(project, "headers", session)
                    raise PhotdbError("no frame has a time that way: the times are read as before")
    said = values | ({"gain_e_per_adu": "auto"} if estimate else {})
    console.say("Set: " + ", ".join(f"{name} = {value}" for name, value in said.items()))
    if estimate:
        console.say("The gain is estimated from the frames by the next `photdb check`, `solve` or `run`.")


def _time_facts(project: "Project") -> dict[str, Any]:
    from photdb.stages.headers import time_rule

    return asdict(time_rule(project.connection))
