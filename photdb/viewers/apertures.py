"""Plot `apertures`: a target's curve in every aperture. Where they part, there is light of others, or fog, or drift."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from photdb.viewers.style import (
    WIDE,
    Floats,
    Ints,
    brightness_limits,
    dress,
    frames_below,
    nth,
    panels,
    points,
    some_named,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D


@dataclass(frozen=True, slots=True)
class ApertureCurves:
    """Curves of one target against one set of references in P apertures, over n frames in time order."""

    target: str
    references: list[str]
    names: list[str]  # (P,) of the apertures: `4 px`
    number: Ints  # (n,)
    jd_utc_mid: Floats  # (n,)
    mag: Floats  # (P, n) about its median; NaN where the target or a reference is missing

    @property
    def middle(self) -> int:
        """The aperture that the others are compared with: the middle one of those that have a curve."""
        there = np.flatnonzero(np.isfinite(self.mag).any(axis=1))
        return int(there[there.size // 2]) if there.size else 0


def draw_apertures(axes: "Axes", curves: ApertureCurves) -> "list[Line2D]":
    """Draw all curves over each other, bright up; gives their lines. x is the frame's number (`frames_below`)."""
    lines = []
    for i, (name, mag) in enumerate(zip(curves.names, curves.mag, strict=True)):
        lines.append(points(axes, curves.number, mag, label=name, **nth(i)))
    brightness_limits(axes, curves.mag)
    dress(axes, ylabel="differential magnitude\nabout its median")
    return lines


def draw_aperture_differences(axes: "Axes", curves: ApertureCurves) -> "list[Line2D]":
    """Draw each curve minus that of the middle aperture, mmag, bright up; gives their lines."""
    lines = []
    difference = 1000.0 * (curves.mag - curves.mag[curves.middle]) if curves.mag.size else curves.mag
    for i, mag in enumerate(difference):
        if i == curves.middle:
            lines.append(axes.axhline(0.0, color=nth(i)["color"], lw=1.0))
        else:
            lines.append(points(axes, curves.number, mag, **nth(i)))
    brightness_limits(axes, difference)
    name = curves.names[curves.middle] if curves.names else ""
    dress(axes, ylabel=f"minus the curve\nof {name}, mmag")
    return lines


def apertures_figure(curves: ApertureCurves, *, title: str = "", width: float = WIDE) -> "Figure":
    """Draw the figure of `photdb plot apertures`."""
    figure, (upper, lower) = panels([2.6, 2.0], width=width)
    draw_apertures(upper, curves)
    draw_aperture_differences(lower, curves)
    frames_below([upper, lower], curves.number, curves.jd_utc_mid)
    upper.set_title(title, fontsize=11, loc="left")
    columns = 6 if width >= WIDE else 4
    handles, labels = some_named(*upper.get_legend_handles_labels())
    figure.legend(
        handles,
        labels,
        title="radius of the aperture",
        loc="outside lower center",
        ncols=columns,
        fontsize=8,
        title_fontsize=8,
        frameon=False,
        markerscale=1.6,
    )
    return figure
