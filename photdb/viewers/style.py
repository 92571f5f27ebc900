"""What all plots share: colours and markers told apart by all eyes, figures, and axes along the frames of a night."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

# Okabe and Ito's colours (2008, jfly.uni-koeln.de/color), told apart by all eyes.
BLUE: Final = "#0072B2"
VERMILLION: Final = "#D55E00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
#: What was left out; and lines that only help.
FAINT: Final = "#999999"
GRID: Final = "#DDDDDD"

COLOURS: Final = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
#: One more than colours, so that no pair comes again before the 42nd curve.
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
#: What a source is, told by colour and by shape.
ROLE_COLOUR: Final = {"asteroid": VERMILLION, "variable": PURPLE, "reference": GREEN, "check": ORANGE}
ROLE_MARKER: Final = {"asteroid": "D", "variable": "*", "reference": "o", "check": "s"}

#: Width of a figure in inches: for a README or a screen; for a page that is also read on a phone.
WIDE: Final = 8.0
NARROW: Final = 5.2

_LONGEST: Final = 32
#: Of more curves, so many are in a legend.
_MOST_NAMED: Final = 24
#: What stands at the end of a legend.
ENCOUNTER: Final = "encounter expected"
LEFT_OUT: Final = "left out"
LEFT_OUT_THERE: Final = "left out in an encounter"
_LAST: Final = {ENCOUNTER: 1, LEFT_OUT: 2, LEFT_OUT_THERE: 3}
_JD_OF_1970: Final = 2440587.5


def nth(i: int) -> dict[str, Any]:
    """Colour and marker of the i-th curve of several."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}


def plain(text: str) -> str:
    """Give a name to matplotlib as it is: `$` begins no formula, and a `_` in front hides nothing from legends.

    What cannot be printed is shown as U+FFFD, and what is very long is cut: it would leave the figure no room.
    """
    shown = "".join(c if c.isprintable() else "\ufffd" for c in text)
    shown = shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
    return (" " if shown.startswith("_") else "") + shown.replace("$", r"\$")


def some_named(handles: Sequence[Any], labels: Sequence[str]) -> tuple[list[Any], list[str]]:
    """Give what a legend names: all, or of very many, which would leave no room, some from end to end."""
    some = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), _MOST_NAMED)).round().astype(int)).tolist()
    return [handles[i] for i in some], [labels[i] for i in some]


def panels(heights: Sequence[float], *, width: float = WIDE, share: bool = True) -> "tuple[Figure, list[Axes]]":
    """Make a figure of panels one above the other, with a canvas that needs no screen.

    Parameters
    ----------
    heights : sequence of float
        Of the panels, inches.
    width : float
        Of the figure, inches.
    share : bool
        They share their x axis.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, sum(heights) + 1.1 + (0.0 if share else 0.5)), dpi=125, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(heights), 1, sharex=share, squeeze=False, height_ratios=list(heights))[:, 0]
    return figure, list(axes)


def dress(axes: "Axes", *, ylabel: str, title: str = "") -> None:
    """Give axes their look and labels."""
    axes.tick_params(direction="in", right=True)
    axes.grid(color=GRID, lw=0.5)
    axes.set_axisbelow(True)
    axes.set_ylabel(ylabel)
    if title:
        axes.set_title(title, fontsize=11, loc="left")


def legend(axes: "Axes", *, columns: int = 1, below: "Figure | None" = None) -> None:
    """Put a legend of small print where it covers least, or below the figure."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        order = sorted(range(len(labels)), key=lambda i: (_LAST.get(labels[i], 0), labels[i] != "measured"))
        place: dict[str, Any] = {"loc": "best", "framealpha": 0.85, "edgecolor": GRID}
        (axes if below is None else below).legend(
            handles=[handles[i] for i in order],
            labels=[labels[i] for i in order],
            fontsize=8,
            ncols=columns,
            markerscale=2.0 if any(line.get_markersize() < 2.0 for line in axes.lines) else 1.0,
            handletextpad=0.4,
            columnspacing=1.0,
            **(place if below is None else {"loc": "outside lower center", "frameon": False}),
        )


def encounters(axes: "Axes", x: ArrayLike, met: ArrayLike) -> None:
    """Mark points (n,) in which an encounter is expected, by a band along the bottom that ends at gaps."""
    at, there = np.asarray(x, float), np.asarray(met, bool)
    order = np.argsort(at)
    at, there = at[order], there[order] & np.isfinite(at[order])
    marked = np.flatnonzero(there)
    if not marked.size:
        return
    known = at[np.isfinite(at)]
    step = float(np.median(np.diff(known))) if known.size > 1 else 1.0
    ends = np.flatnonzero((np.diff(marked) > 1) | (np.diff(at[marked]) > 3.0 * step)) + 1
    spans = [(at[run[0]] - 0.5 * step, at[run[-1]] - at[run[0]] + step) for run in np.split(marked, ends)]
    axes.broken_barh(
        spans, (0.0, 0.022), transform=axes.get_xaxis_transform(), color=PURPLE, lw=0, zorder=1.2, label=ENCOUNTER
    )


def marker_size(n: int) -> float:
    """Size of markers when so many frames lie along an axis."""
    return 3.6 if n < 150 else 2.6 if n < 500 else 1.7


def points(
    axes: "Axes", x: ArrayLike, y: ArrayLike, *, left_out: Bools | None = None, label: str = "", **look: Any
) -> "Line2D":
    """Draw points, those left out hollow and grey; gives the line of the others.

    Parameters
    ----------
    axes : Axes
    x, y : array_like, shape (n,)
    left_out : ndarray of bool, shape (n,)
    label : str
        For the legend.
    **look
        Colour and marker (`nth`).
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    faint = np.zeros(x.shape, bool) if left_out is None else left_out
    size = marker_size(x.size)
    style: dict[str, Any] = {"linestyle": "none", "ms": size, "mew": 0.0, **look}
    (line,) = axes.plot(x[~faint], y[~faint], label=label, **style)
    if faint.any():
        style |= {"mfc": "none", "mec": FAINT, "mew": 0.8, "ms": max(size, 2.4), "zorder": 1.5}
        axes.plot(x[faint], y[faint], label="_", **style)
    return line


def frames_below(axes: "Sequence[Axes]", number: ArrayLike, jd_utc_mid: ArrayLike) -> None:
    """Label axes whose x is the frame's number: numbers below the lowest, the time above the highest.

    Where numbers do not rise with time (frames added later that are earlier) there is no time axis.
    """
    axes[-1].set_xlabel("frame")
    jd = np.asarray(jd_utc_mid, float)
    known = np.isfinite(jd)
    frames, jd = np.asarray(number, float)[known], jd[known]
    order = np.argsort(frames)
    frames, jd = frames[order], jd[order]
    if frames.size < 2 or np.any(np.diff(jd) <= 0):
        return
    from matplotlib.dates import AutoDateLocator, DateFormatter

    days = jd - _JD_OF_1970  # matplotlib's own count of dates
    top = axes[0].secondary_xaxis("top", functions=(lambda x: along(x, frames, days), lambda x: along(x, days, frames)))
    top.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=8))  # type: ignore[no-untyped-call]
    top.xaxis.set_major_formatter(DateFormatter("%H:%M"))  # type: ignore[no-untyped-call]
    top.set_xlabel(f"UTC, {np.datetime64('1970-01-01') + np.timedelta64(int(days[0]), 'D')}", fontsize=9, labelpad=5)
    top.tick_params(direction="in", labelsize=9)


def along(given: ArrayLike, xs: Floats, ys: Floats) -> Floats:
    """Interpolate, and go on with the mean slope beyond the ends, where an axis has its margins."""
    x = np.asarray(given, float)
    slope = (ys[-1] - ys[0]) / (xs[-1] - xs[0])
    outside = np.minimum(x - xs[0], 0.0) + np.maximum(x - xs[-1], 0.0)
    return np.asarray(np.interp(x, xs, ys) + slope * outside)


def brightness_limits(axes: "Axes", mag: ArrayLike, *, margin: float = 0.06, reach: float = 0.0) -> None:
    """Turn the y axis over, bright up, and make it for these magnitudes."""
    values = np.asarray(mag, float)
    values = values[np.isfinite(values)]
    if not values.size:
        axes.yaxis.set_inverted(True)
        return
    low, high = float(values.min()) - reach, float(values.max()) + reach
    edge = margin * (high - low) or 0.01
    axes.set_ylim(high + edge, low - edge)
