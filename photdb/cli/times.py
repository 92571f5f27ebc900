"""`photdb times`: HJD and BJD of targets, and what they are made from."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from photdb.cli.common import Console, console_options, fixed, table
from photdb.cli.terminal import echo_block
from photdb.errors import PhotdbError
from photdb.wording import listed, named

if TYPE_CHECKING:
    from photdb.store.project import Project


@click.command()
@click.argument("label", metavar="[NAME]", required=False)
@click.option(
    "--radec",
    nargs=2,
    metavar="RA DEC",
    help="Where the target is, ICRS: degrees, or hours and degrees such as 02:04:10.28 +46:41:16.2.",
)
@click.option(
    "--ephemeris",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Its distances, and its way in the sky: JPL Horizons' text, or lines of time and distance.",
)
@click.option("--forget", is_flag=True, help="Give up what --radec and --ephemeris said of it.")
@console_options
def times_command(
    console: Console, label: str | None, radec: tuple[str, str] | None, ephemeris: Path | None, forget: bool
) -> None:
    """Compute heliocentric and barycentric times of each target, offline, and say what they rest on.

    Coordinates come from --ephemeris, --radec, the frames' WCS, or the pointing in their headers; the site from the
    headers or `photdb set --site`. With distances, an asteroid's light time is taken into account. All of it stands in
    the views light_curve and best_light_curve, and in exports.

    A plain FILE has lines of `time distance` or `time ra dec distance`: a Julian date or ISO 8601 (UTC), degrees, au.

    \b
    Example:
      photdb times HAT-P-32 --radec 31.04276 46.68785
      photdb times Luxembourg --ephemeris horizons.txt
    """
    from photdb.stages.given_coordinates import ephemeris_rows, place_deg
    from photdb.stages.runner import run
    from photdb.stages.times import in_words
    from photdb.store.decisions import set_coordinates, set_ephemeris

    if forget and (radec or ephemeris is not None):
        raise click.UsageError("--forget goes without --radec and --ephemeris")
    place = None if radec is None else place_deg(*radec)
    with console.writing() as project, console.session() as session:
        if place is not None or ephemeris is not None or forget:
            source_id = _target(project, label)
            rows = [] if ephemeris is None else ephemeris_rows(project.connection, ephemeris)
            with project.transaction() as connection:
                if place is not None or forget:
                    set_coordinates(connection, source_id, *(place or (None, None)))
                if ephemeris is not None or forget:
                    set_ephemeris(connection, source_id, None if ephemeris is None else ephemeris.name, rows)
        elif label is not None:
            _target(project, label)
        run(project, "times", session)
        found = [row for row in in_words(project.connection) if label in (None, row[0])]
        if not found:
            raise PhotdbError("no target is selected: `photdb select asteroid` or `photdb select variable`")
        headings = ("target", "coordinates", "RA deg", "Dec deg", "BJD-JD s first", "last", "light time s")
        echo_block(
            table(
                headings,
                [
                    (name, origin or "none", fixed(ra, 5), fixed(dec, 5), fixed(first, 3), fixed(last, 3))
                    + (None if light is None or light != light else fixed(light, 3),)  # noqa: PLR0124 - NaN
                    for name, origin, ra, dec, first, last, light, _ in found
                ],
            )
        )
        for *_, note in found:
            if note:
                console.say(note[0].upper() + note[1:])


def _target(project: "Project", label: str | None) -> int:
    """Give the id of a target by its label; without one, of the only one."""
    rows = project.connection.exec_driver_sql("SELECT label, id FROM target ORDER BY id")
    targets: dict[str, int] = {row.label: row.id for row in rows}
    if label is None and len(targets) == 1:
        return next(iter(targets.values()))
    if label is None or label not in targets:
        listing = f"the targets are {listed(list(targets))}" if targets else "no target is selected yet"
        raise PhotdbError(
            f"name the target: {listing}" if label is None else f"there is no target {named(label)}: {listing}"
        )
    return targets[label]
