"""`photdb measure`: centroids and aperture fluxes of all sources in all frames."""

from typing import Final, Literal

import click

from photdb.cli.common import (
    Console,
    console_options,
    default_option,
    say_unknown_gain,
    stage_options,
    workers_options,
)
from photdb.cli.terminal import echo
from photdb.cli.values import Whole, number
from photdb.store.apertures import KINDS, SKIES, Spec, parsed
from photdb.wording import count, named

#: Flags that corrections alone have: what was corrected is said of all apertures, the rest of the first.
_CORRECTED: Final = "'HIT', 'MENDED', 'STAR_REMOVED', 'HIT_REJECTED'"


@click.command()
@click.argument("more", nargs=-1, metavar="[APERTURE]...")
@click.option(
    "--apertures",
    metavar="APERTURE [APERTURE]...",
    help="R,IN,OUT: radius of the circle, inner and outer radius of the sky ring, pixels. With a radius such as"
    " 1.2fwhm it follows each frame's FWHM; optimal,IN,OUT: weighted by the frame's profile. Any number. auto: from the"
    " FWHM.",
)
@click.option("--kinds", metavar="KIND[,KIND]...", help="Of the apertures that auto proposes: fixed, fwhm, optimal.")
@click.option(
    "--radii", metavar="FROM:TO:STEP", help="Radii, both ends included, with the ring of --annulus; 0.7:2:0.1fwhm too."
)
@click.option("--annulus", nargs=2, type=number(above=0), metavar="IN OUT", help="The ring for --radii.")
@click.option(
    "--sky",
    type=click.Choice(SKIES),
    help="Sky of all apertures given, or else of those in force: the ring's clipped median, its mode, or a plane.",
)
@click.option("--search", "search_px", type=Whole(2, 50), help="Half-size of the search box, pixels.")
@click.option(
    "--hits",
    type=click.Choice(["keep", "flag", "mend", "reject"]),
    help="Cosmic rays and hot pixels in apertures: keep them, flag them, put the source's own profile in their place,"
    " or leave the measurement out.  [default: keep]",
)
@click.option(
    "--remove-stars/--keep-stars",
    default=None,
    help="Subtract the stars that an asteroid crosses, as frames show them in which it is away.  [default: keep]",
)
@default_option
@workers_options
@console_options
def measure_command(
    console: Console,
    apertures: str | None,
    more: tuple[str, ...],
    radii: str | None,
    annulus: tuple[float, float] | None,
    kinds: str | None,
    sky: str | None,
    search_px: int | None,
    hits: str | None,
    remove_stars: bool | None,
    use_default: bool,
    workers: int | str | None,
) -> None:
    """Measure every source in every frame: local maximum, 2-D Gaussian centroid, and flux in every aperture.

    Without apertures given, those in force stay; at first they are chosen from the FWHM. Only what is missing is
    measured. An aperture may say its own sky: 4,8,40,mode.

    \b
    Example:
      photdb measure --apertures 3,8,40 4,8,40 1.2fwhm,8,40 optimal,8,40
      photdb measure --kinds fixed,optimal
      photdb measure --radii 3:8:0.5 --annulus 12 25
    """
    console.expect_work(workers, "centroid")
    from photdb.stages.apertures import choose_apertures
    from photdb.stages.corrections import kept_as_measured
    from photdb.stages.runner import resolve, run
    from photdb.store.arrays import read_apertures
    from photdb.store.decisions import set_apertures

    specs = _specs(apertures, more, radii, annulus)
    wanted = _kinds(kinds)
    if wanted is not None:
        if specs not in (None, "auto"):
            raise click.UsageError("--kinds is for apertures that photdb proposes: type the others as they are")
        specs = "auto"
    given = stage_options(
        "measure", {"search_px": search_px, "hits": hits, "remove_stars": remove_stars}, use_default=use_default
    )
    with console.writing() as project, console.session(workers) as session:
        if specs is None and sky is not None and not read_apertures(project.connection):
            specs = "auto"
        if specs == "auto":
            run(project, "shifts", session)  # so that only frames that stay accepted count
            choose_apertures(project, kinds=wanted or ("fixed",), sky=sky or "median")
        elif specs or sky is not None:
            given_specs = specs or [a.spec for a in read_apertures(project.connection)]
            with project.transaction() as connection:
                set_apertures(
                    connection, [_with_sky(spec, sky, always=not specs) for spec in given_specs], origin="user"
                )
        run(project, "measure", session, given)
        n_sources, n_frames, n_flagged = project.connection.exec_driver_sql(
            "SELECT count(DISTINCT c.source_id), count(DISTINCT c.frame_id), total(c.flags <> 0) FROM centroid c"
            " JOIN source s ON s.id = c.source_id AND s.removed_at IS NULL"
        ).one()
        in_force = read_apertures(project.connection)
        console.say(
            f"{count(n_sources, 'source')} in {count(n_frames, 'frame')} and {count(len(in_force), 'aperture')}"
            f" ({' '.join(map(str, in_force))})."
        )
        flagged = project.connection.exec_driver_sql(
            "SELECT source, g.name, count(*) AS n FROM instrumental i JOIN flag g ON i.flags & g.bit"  # noqa: S608
            " JOIN frame_status f ON f.number = i.frame AND f.accepted"
            f" WHERE i.aperture_id = ? AND i.flags <> 0 AND g.name NOT IN ({_CORRECTED}) GROUP BY source, g.name"
            " ORDER BY source, n DESC",
            (in_force[0].id if in_force else None,),
        ).all()
        for row in flagged:
            echo(f"{row.source}: {row.name} in {count(row.n, 'accepted frame')}")
        corrected = project.connection.exec_driver_sql(
            "SELECT s.label, g.name, count(DISTINCT c.frame_id) AS n FROM correction c"  # noqa: S608 - names of ours
            " JOIN source s ON s.id = c.source_id JOIN flag g ON c.flags & g.bit"
            f" AND g.name IN ({_CORRECTED})"
            " GROUP BY s.id, g.name ORDER BY s.id"
        ).all()
        for row in corrected:
            echo(f"{row.label}: {row.name} in {count(row.n, 'frame')}")
        resolved = resolve(project.connection, "measure")
        if (resolved["hits"] != "keep" or resolved["remove_stars"]) and (note := kept_as_measured(project.connection)):
            console.say(f"Note: {note}; fluxes there stay as measured.")
        say_unknown_gain(console, project)
    console.say("Next: photdb check")


def _specs(
    apertures: str | None, more: tuple[str, ...], radii: str | None, annulus: tuple[float, float] | None
) -> list[Spec] | Literal["auto"] | None:
    if (apertures is None and more) or (apertures is not None and radii is not None):
        raise click.UsageError("give apertures either with --apertures, or with --radii and --annulus")
    if (radii is None) != (annulus is None):
        raise click.UsageError("--radii and --annulus go together")
    if apertures == "auto" and not more:
        return "auto"
    if apertures is not None:
        return [_typed(text) for text in (apertures, *more)]
    if radii is None or annulus is None:
        return None
    try:
        numbers = radii.lower().removesuffix("fwhm")
        first, last, step = (float(part) for part in numbers.split(":"))
        n = int((last - first) / step + 1e-9) + 1
    except (ValueError, ZeroDivisionError, OverflowError):
        n = 0
    if not 1 <= n <= 200:
        raise click.UsageError(f"--radii {radii}: type FROM:TO:STEP such as 3:8:0.5, at most 200 radii")
    kind = "fixed" if numbers == radii.lower() else "fwhm"
    return [Spec(round(first + i * step, 6), *annulus, kind) for i in range(n)]


def _typed(text: str) -> Spec:
    spec = parsed(text)
    if spec is None:
        raise click.UsageError(
            f"{text!r} is no aperture: type radius,inner,outer such as 3,8,40 or 1.2fwhm,8,40, or optimal,8,40; its sky"
            f" may follow ({', '.join(SKIES)})"
        )
    return spec


def _with_sky(spec: Spec, sky: str | None, *, always: bool) -> Spec:
    """Give an aperture another sky, unless it was typed with its own."""
    return spec if sky is None or (spec.sky != "median" and not always) else spec._replace(sky=sky)


def _kinds(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    found = tuple(dict.fromkeys(text.split(",")))
    if not set(found) <= set(KINDS):
        raise click.UsageError(f"--kinds {named(text)}: type some of {', '.join(KINDS)}, with commas between")
    return found
