"""Plot `apertures`: a target's curve in every aperture. Where they part, there is light of others, or fog, or drift."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from photdb.viewers.style import (
    FAINT,
    LEFT_OUT_THERE,
    WIDE,
    Bools,
    Floats,
    Ints,
    brightness_limits,
    dress,
    encounters,
    frames_below,
    marker_size,
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
    met: Bools | None = None  # (n,) an encounter is expected in some aperture
    left_out_mag: Floats | None = None  # (P, n) as `mag`, where a point was left out because of one; NaN elsewhere

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
    _mark(axes, curves, curves.left_out_mag)
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
    _mark(axes, curves, _differences_left_out(curves))
    name = curves.names[curves.middle] if curves.names else ""
    dress(axes, ylabel=f"minus the curve\nof {name}, mmag")
    return lines


def _differences_left_out(curves: ApertureCurves) -> Floats | None:
    """Give what was left out minus the middle curve, mmag: that as measured, too, where it was left out as well."""
    if curves.left_out_mag is None:
        return None
    kept, left_out = curves.mag[curves.middle], curves.left_out_mag[curves.middle]
    difference: Floats = 1000.0 * (curves.left_out_mag - np.where(np.isfinite(kept), kept, left_out))
    difference[curves.middle] = np.nan
    return difference


def _mark(axes: "Axes", curves: ApertureCurves, left_out: Floats | None) -> None:
    """Mark where encounters are expected, and what was left out because of them, as far as it fits."""
    if curves.met is not None:
        encounters(axes, curves.number, curves.met)
    if left_out is None:
        return
    hollow: dict[str, Any] = {"ls": "none", "mfc": "none", "mew": 0.6, "zorder": 1.5}
    for i, mag in enumerate(left_out):
        look = nth(i)
        size = max(marker_size(mag.size), 2.4)
        axes.plot(curves.number, mag, marker=look["marker"], mec=look["color"], ms=size, label="_", **hollow)
    axes.plot([], [], marker="o", mec=FAINT, ms=2.4, label=LEFT_OUT_THERE, **hollow)


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
