"""The figure of each plot, by its name: read, draw, and say in the title what is seen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from photdb.plots.curves import aperture_curves, reference_curves, target_label
from photdb.store.project import Project
from photdb.viewers.style import WIDE, plain
from photdb.wording import count

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a plot is to be of; None is what the plot takes by itself."""

    target: str | None = None
    aperture_id: int | None = None
    frame: int | None = None
    time: str = "jd"  # or hjd, bjd
    width: float = WIDE
    named: bool = True  # the title begins with the project's name


def _qc(project: Project, wanted: Wanted) -> "Figure":
    from photdb.viewers.quality import quality_figure, read_quality

    return quality_figure(
        read_quality(project), title=_title(project, wanted, "quality of the frames"), width=wanted.width
    )


def _shifts(project: Project, wanted: Wanted) -> "Figure":
    from photdb.viewers.shifts import read_shift_curves, shifts_figure

    title = _title(project, wanted, "shifts against the reference frame")
    return shifts_figure(read_shift_curves(project), title=title, width=wanted.width)


def _field(project: Project, wanted: Wanted) -> "Figure":
    from photdb.plots.field import read_field
    from photdb.viewers.field import field_figure

    field = read_field(project, number=wanted.frame)
    return field_figure(field, title=_title(project, wanted, f"frame {field.number}"), width=wanted.width)


def _references(project: Project, wanted: Wanted) -> "Figure":
    from photdb.viewers.references import references_figure

    curves = reference_curves(project, aperture_id=wanted.aperture_id)
    title = _title(project, wanted, f"references, aperture {curves.aperture} px")
    return references_figure(curves, title=title, width=wanted.width)


def _apertures(project: Project, wanted: Wanted) -> "Figure":
    from photdb.viewers.apertures import apertures_figure

    curves = aperture_curves(project, target_label(project, wanted.target))
    against = (
        plain(" ".join(curves.references)) if len(curves.references) < 6 else f"{len(curves.references)} references"
    )
    title = _title(project, wanted, f"{plain(curves.target)} in every aperture, against {against}")
    return apertures_figure(curves, title=title, width=wanted.width)


def _growth(project: Project, wanted: Wanted) -> "Figure":
    from photdb.plots.growth import growth_curves
    from photdb.viewers.growth import growth_figure

    found = growth_curves(project)
    title = _title(project, wanted, f"curves of growth of {count(len(found.labels), 'source')}")
    return growth_figure(found, title=title, width=wanted.width)


def _light_curve(project: Project, wanted: Wanted) -> "Figure":
    from photdb.plots.light_curve import light_curve
    from photdb.viewers.curves import light_curve_figure

    found = light_curve(project, target_label(project, wanted.target), time=wanted.time)
    best = found.best
    noise = f"{1000 * best.noise_mag:.2f} ± {1000 * best.noise_mag_err:.2f} mmag"
    zero = best.zero_mag or 0.0
    error = "" if best.zero_mag_err is None else f" (zero point ± {best.zero_mag_err:.3f})"
    detrended = "" if best.detrended is None else f"\ndetrended: {plain(best.detrended)} taken out"
    return light_curve_figure(
        found.jd,
        best.mag + zero,
        best.mag_err,
        left_out=~best.kept,
        met=found.met,
        because=found.met & best.accepted & ~best.kept,
        band=(found.low_mag + zero, found.high_mag + zero) if found.n_curves > 1 else None,
        band_label=f"spread of the {found.n_curves} best",
        number=best.number,
        title=_title(project, wanted, f"{plain(best.target)}, noise {noise}{detrended}"),
        mag_label="differential magnitude" if best.band is None else f"{plain(best.band)} magnitude{error}",
        time=wanted.time,
        checks={plain(label): mag for label, mag in best.checks.items()},
        width=wanted.width,
    )


def _search(project: Project, wanted: Wanted) -> "Figure":
    from photdb.plots.search import noise_map
    from photdb.viewers.search import search_figure

    found = noise_map(project, target_label(project, wanted.target))
    return search_figure(found, title=_title(project, wanted, f"search for {plain(found.target)}"), width=wanted.width)


def _noise(project: Project, wanted: Wanted) -> "Figure":
    from photdb.plots.noise import noise_diagram
    from photdb.viewers.noise import noise_figure

    found = noise_diagram(project, aperture_id=wanted.aperture_id)
    title = _title(project, wanted, f"noise of {count(len(found.labels), 'source')}, aperture {found.name}")
    return noise_figure(found, title=title, width=wanted.width)


def _title(project: Project, wanted: Wanted, about: str) -> str:
    """Name the project, where the figure stands by itself."""
    return f"{plain(project.path.stem)}: {about}" if wanted.named else about


#: All plots in the order of a night; with each, the options that it takes.
PLOTS: Final[dict[str, tuple[Callable[[Project, Wanted], "Figure"], tuple[str, ...]]]] = {
    "qc": (_qc, ()),
    "shifts": (_shifts, ()),
    "field": (_field, ("frame",)),
    "references": (_references, ("aperture",)),
    "apertures": (_apertures, ("target",)),
    "growth": (_growth, ()),
    "lightcurve": (_light_curve, ("target", "time")),
    "search": (_search, ("target",)),
    "noise": (_noise, ("aperture",)),
}


def figure_of(project: Project, name: str, wanted: Wanted) -> "Figure":
    """Draw a plot of `PLOTS`.

    Raises
    ------
    PhotdbError
        What it would show is not there yet, and what to do.
    """
    draw, _ = PLOTS[name]
    return draw(project, wanted)
