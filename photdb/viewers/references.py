"""Plot `references`: each reference against the mean of the others, one curve above the other."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from photdb.viewers.style import (
    FAINT,
    NARROW,
    WIDE,
    Floats,
    Ints,
    dress,
    frames_below,
    nth,
    panels,
    plain,
    points,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

#: Room between two curves: so many times the usual scatter, at least, and of the usual span of a curve.
_SCATTERS, _SPANS = 6.0, 1.15


@dataclass(frozen=True, slots=True)
class ReferenceCurves:
    """Leave-one-out curves of N references in one aperture, over n frames in time order."""

    labels: list[str]
    number: Ints  # (n,)
    jd_utc_mid: Floats  # (n,)
    mag: Floats  # (N, n) minus the mean of the others, about its median; NaN where a reference is missing
    scatter_mag: Floats  # (N,)
    aperture: str


def offsets(mag: Floats) -> Floats:
    """How far each of N curves (N, n) about zero is moved down, so that they do not cover each other; (N,) mag."""
    span = [np.ptp(np.percentile(m[np.isfinite(m)], [2, 98])) if np.isfinite(m).any() else 0.0 for m in mag]
    scatter = [1.4826 * np.median(np.abs(m[np.isfinite(m)])) if np.isfinite(m).any() else 0.0 for m in mag]
    step = max(_SPANS * float(np.median(span or [0.0])), _SCATTERS * float(np.median(scatter or [0.0]))) or 0.01
    return np.asarray(step * np.arange(len(mag)))


def draw_references(axes: "Axes", curves: ReferenceCurves) -> "dict[str, Line2D]":
    """Draw the curves, the first on top; gives each one's line by its label. x is the frame's number (`frames_below`).

    Each curve is moved by a constant; points that reach beyond the next curves are cut off at the axes' ends.
    """
    lines = {}
    move = offsets(curves.mag)
    step = move[1] if move.size > 1 else 0.0
    for i, (label, mag) in enumerate(zip(curves.labels, curves.mag, strict=True)):
        axes.axhline(move[i], color=FAINT, lw=0.6, zorder=1)
        lines[label] = points(axes, curves.number, mag + move[i], label=plain(label), **nth(i))
        known = np.isfinite(curves.scatter_mag[i])
        text = f"{plain(label)}\n{1000 * curves.scatter_mag[i]:.1f} mmag" if known else plain(label)
        axes.annotate(
            text,
            (1.0, move[i]),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color="black",
        )
    dress(axes, ylabel="minus the mean of the others, mag\n(each curve moved by a constant)")
    axes.tick_params(right=False)
    if np.isfinite(curves.mag).any():
        first, last = curves.mag[0], curves.mag[-1] + move[-1]
        above = min(float(np.nanmin(first)) if np.isfinite(first).any() else 0.0, -0.5 * step)
        below = max(float(np.nanmax(last)) if np.isfinite(last).any() else 0.0, move[-1] + 0.5 * step)
        room = 2.0 * step or np.inf
        axes.set_ylim(min(below, move[-1] + room) + 0.1 * step, max(above, -room) - 0.1 * step)
    else:
        axes.yaxis.set_inverted(True)
    return lines


def references_figure(curves: ReferenceCurves, *, title: str = "", width: float = WIDE) -> "Figure":
    """Draw the figure of `photdb plot references`."""
    tall = 0.62 if width > NARROW else 0.5
    figure, (axes,) = panels([max(2.4, tall * len(curves.labels) + 0.6)], width=width)
    draw_references(axes, curves)
    frames_below([axes], curves.number, curves.jd_utc_mid)
    axes.set_title(title, fontsize=11, loc="left")
    return figure
