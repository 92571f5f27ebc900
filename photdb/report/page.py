"""The page: its sections in order, in one file that needs nothing else."""

from typing import Final

from photdb import __version__
from photdb.errors import PhotdbError
from photdb.plots.figures import Wanted, figure_of
from photdb.report import tables
from photdb.report.encounters import encounters
from photdb.report.markup import CSS, block, figure, text
from photdb.report.noise import noise_ratios, noises
from photdb.store.project import Project
from photdb.viewers.style import NARROW

#: The plots below the light curves, with what is to be seen in them.
_PLOTS: Final = {
    "field": "The frame with all sources and tracks, and on these the stars whose light is met, and hot pixels; below,"
    " each source with its smallest and largest aperture and its sky ring to scale.",
    "qc": "Each frame's levels, uniformity of the sky, background, width and number of the stars. Grey and hollow: left"
    " out. Dashed: the rules.",
    "shifts": "Where each frame lies against the reference frame.",
    "references": "Each reference star against the mean of the others: what is not flat is the star's own.",
    "growth": "Each source's flux against the radius of the aperture, and the difference from the typical curve: who"
    " grows more than the rest has a neighbour.",
    "noise": "Noise of each source as measured (markers) and as the CCD equation and scintillation foretell (bars,"
    " lines): above in one aperture, below in all, and the ratio of both.",
}
#: Those of each target.
_OF_TARGET: Final = {
    "lightcurve": "The quietest light curve with its errors; the band is the spread of all that were kept. Along the"
    " bottom: frames in which the target meets a star, a hot pixel, a cosmic ray or an edge; points left out there are"
    " diamonds. Below, check stars against the same references. The time is JD (UTC,"
    " mid-exposure, on Earth).",
    "apertures": "The same in every aperture, and the differences from the middle one: where they part, there is light"
    " of other stars. Hollow: left out for it.",
    "search": "The least noise that can be had with each number of references in each aperture.",
}
#: With more targets than this each has its light curve alone: a page is to be sent by mail.
_MOST: Final = 4


def report(project: Project, script: str) -> str:
    """Write the page of a project.

    Parameters
    ----------
    project : Project
    script : str
        The shell script that repeats the session.

    Returns
    -------
    str
        A whole HTML document, which asks for no other file.
    """
    targets = [label for (label,) in tables.rows(project, "SELECT label FROM target ORDER BY id")]
    known = tables.facts(project)
    name = project.path.stem
    title = f"{name}: {', '.join(targets)}" if targets else name
    where = [
        _site(known.get("site_lat_deg"), known.get("site_lon_deg")),
        f"telescope of {known.get('aperture_diameter_m'):g} m" if known.get("aperture_diameter_m") else "",
    ]
    sections = [
        ("summary", "Summary", tables.out_of_date(project) + tables.summary(project)),
        *(
            (f"target-{i}", label, _target(project, label, fully=len(targets) <= _MOST))
            for i, label in enumerate(targets, 1)
        ),
        ("night", "The night in plots", _figures(project, _PLOTS, Wanted(width=NARROW, named=False))),
        ("left-out", "What was left out, and why", tables.left_out(project)),
        ("encounters", "Encounters", encounters(project)),
        ("sources", "Sources", tables.sources(project) + noises(project) + noise_ratios(project)),
        ("parameters", "Parameters", tables.parameters(project)),
        ("versions", "Versions", tables.versions(project)),
        (
            "script",
            "To repeat it",
            "<p>This script goes from the frames to the same numbers (photdb history --as-script).</p>" + block(script),
        ),
    ]
    links = " ".join(f'<a href="#{key}">{text(heading)}</a>' for key, heading, _ in sections)
    body = "\n".join(
        f'<section id="{key}"><h2>{text(heading)}</h2>\n{inside}\n</section>' for key, heading, inside in sections
    )
    place = ", ".join(filter(None, where))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="generator" content="photdb {text(__version__)}">
<title>{text(title)}</title>
<style>{CSS}</style>
</head>
<body>
<header><h1>{text(title)}</h1>{f'<p class="note">{text(place)}</p>' if place else ""}</header>
<nav>{links}</nav>
<main>
{body}
</main>
<footer><p class="note">Made by photdb {text(__version__)}.</p></footer>
</body>
</html>
"""


def _site(lat_deg: float | None, lon_deg: float | None) -> str:
    if lat_deg is None or lon_deg is None:
        return ""
    return f"{abs(lat_deg):.4f}° {'S' if lat_deg < 0 else 'N'}, {abs(lon_deg):.4f}° {'W' if lon_deg < 0 else 'E'}"


def _target(project: Project, label: str, *, fully: bool) -> str:
    names = _OF_TARGET if fully else {"lightcurve": _OF_TARGET["lightcurve"]}
    plots = _figures(project, names, Wanted(target=label, width=NARROW, named=False))
    combinations = tables.best_combinations(project, label)
    if not combinations:
        return plots
    times = tables.times_in_words(project, label)
    data = (
        f"<details><summary>The points of the light curve, in {times}</summary>"
        f"{block(tables.curve_text(project, label))}</details>"
    )
    return "\n".join([plots, combinations, data])


def _figures(project: Project, names: dict[str, str], wanted: Wanted) -> str:
    """Draw plots; of one that cannot be drawn it is said why."""
    parts = []
    for name, caption in names.items():
        try:
            drawn = figure_of(project, name, wanted)
        except PhotdbError as error:
            parts.append(f'<p class="note">{text(name)}: {text(error)}.</p>')
        else:
            parts.append(figure(drawn, caption, photograph=name == "field"))
    return '<div class="plots">' + "\n".join(parts) + "</div>"
