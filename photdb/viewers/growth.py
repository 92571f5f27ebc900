"""Plot `growth`: how each source's flux grows with its aperture. Who grows more than the rest has a neighbour."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from photdb.viewers.style import GRID, WIDE, Floats, dress, nth, panels, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: More sources than this cannot be told apart by name; the brightest are shown.
MOST: Final = 20


@dataclass(frozen=True, slots=True)
class GrowthCurves:
    """Fluxes of S sources in P fixed apertures that share a sky, as parts of that in the largest one."""

    labels: list[str]  # (S,)
    radius_px: Floats  # (P,), ascending
    low: Floats  # (S, P) the 16th percentile over accepted frames; NaN where there is none
    middle: Floats  # (S, P) the median
    high: Floats  # (S, P) the 84th percentile
    typical: Floats  # (P,) the median of the sources' medians: of references where there are some
    of: str  # whom the typical curve is of, in words
    fwhm_px: float  # median of the frames; NaN if it is not known


def draw_growth(axes: "Axes", found: GrowthCurves) -> None:
    """Draw the parts against the radius, with the spread over frames as bars."""
    step = 0.25 * float(np.diff(found.radius_px).min()) if found.radius_px.size > 1 else 0.0
    for i, label in enumerate(found.labels):
        # side by side, else the bars would hide each other
        x = found.radius_px + step * ((i + 0.5) / len(found.labels) - 0.5)
        look = nth(i)
        spread = np.stack([found.middle[i] - found.low[i], found.high[i] - found.middle[i]])
        axes.errorbar(x, found.middle[i], spread, fmt="none", ecolor=look["color"], elinewidth=0.7, label="_")
        axes.plot(x, found.middle[i], ls="none", ms=4.5, mew=0, label=plain(label), **look)
    axes.plot(found.radius_px, found.typical, color="black", lw=1.0, zorder=1.5, label=f"median of {found.of}")
    if np.isfinite(found.fwhm_px):
        axes.axvline(found.fwhm_px, color=GRID, lw=1.4, zorder=0.5)
        axes.annotate(
            "FWHM", (found.fwhm_px, 0.02), xycoords=("data", "axes fraction"), fontsize=8, ha="left", xytext=(3, 0),
            textcoords="offset points",
        )  # fmt: skip
    axes.axhline(1.0, color=GRID, lw=1.0, zorder=0.5)
    dress(axes, ylabel="flux, in units of that\nin the largest aperture")


def draw_growth_differences(axes: "Axes", found: GrowthCurves) -> None:
    """Draw what each source's curve has more than the typical one, per cent."""
    for i in range(len(found.labels)):
        difference = 100.0 * (found.middle[i] - found.typical)
        axes.plot(found.radius_px, difference, lw=0.9, ms=4.5, mew=0, label="_", **nth(i))
    axes.axhline(0.0, color="black", lw=1.0, zorder=1.5)
    dress(axes, ylabel=f"minus the median of\n{found.of}, per cent")
    axes.set_xlabel("radius of the aperture, px")


def growth_figure(found: GrowthCurves, *, title: str = "", width: float = WIDE) -> "Figure":
    """Draw the figure of `photdb plot growth`."""
    figure, (upper, lower) = panels([2.8, 1.9], width=width)
    draw_growth(upper, found)
    draw_growth_differences(lower, found)
    upper.set_title(title, fontsize=11, loc="left")
    handles, labels = upper.get_legend_handles_labels()
    columns = 6 if width >= WIDE else 4
    figure.legend(
        handles,
        labels,
        title="bars: the spread over frames, from the 16th to the 84th in a hundred",
        loc="outside lower center",
        ncols=columns,
        fontsize=8,
        title_fontsize=8,
        frameon=False,
    )
    return figure
