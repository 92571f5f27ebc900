"""Light curves: magnitudes against time, with what was left out, a model, and the residuals from it."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Okabe and Ito's colours (2008, jfly.uni-koeln.de/color), told apart by all eyes.
_POINTS, _MODEL, _LEFT_OUT = "#0072B2", "#D55E00", "#999999"


def light_curve_figure(
    jd_utc_mid: ArrayLike,
    mag: ArrayLike,
    mag_err: ArrayLike | None = None,
    *,
    left_out: ArrayLike | None = None,
    number: ArrayLike | None = None,
    model: ArrayLike | None = None,
    model_label: str = "model",
    title: str = "",
    mag_label: str = "differential magnitude",
) -> "Figure":
    """Draw a light curve, bright at the top; with a model a second panel shows the residuals.

    Parameters
    ----------
    jd_utc_mid, mag, mag_err : array_like, shape (n,)
        Times (days), magnitudes and their errors, frames in time order. Magnitudes that are NaN are not drawn.
    left_out : array_like of bool, shape (n,)
        Points that were rejected: drawn faint as far as they fit, the axes are made for the others.
    number : array_like of int, shape (n,)
        Frame numbers, for a second time axis at the top; it is left out where they do not rise with time.
    model : array_like, shape (n,)
        What the curve is compared with: magnitudes at the same times, on the same zero point.
    model_label, title, mag_label : str
        Texts.

    Returns
    -------
    Figure
        With a canvas of its own: `figure.savefig(path)` needs no screen.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    t, m = np.asarray(jd_utc_mid, float), np.asarray(mag, float)
    err = None if mag_err is None else np.asarray(mag_err, float)
    faint = np.zeros(m.shape, bool) if left_out is None else np.asarray(left_out, bool)
    day = float(np.floor(np.nanmin(t))) if np.isfinite(t).any() else 0.0
    drawn = np.isfinite(t) & np.isfinite(m)
    shown, faint = drawn & ~faint, drawn & faint

    figure = Figure(figsize=(8.0, 5.6 if model is not None else 4.4), dpi=125, layout="constrained")
    FigureCanvasAgg(figure)
    if model is None:
        upper = bottom = figure.add_subplot()
    else:
        upper, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, 1.0))
    _points(upper, t - day, m, err, shown, faint)
    upper.set_ylabel(mag_label)
    upper.set_title(title, fontsize=11, loc="left")
    if model is not None:
        line = np.asarray(model, float)
        upper.plot(t - day, line, color=_MODEL, lw=1.4, zorder=1, label=model_label)
        _points(bottom, t - day, 1000.0 * (m - line), None if err is None else 1000.0 * err, shown, faint)
        bottom.axhline(0.0, color=_MODEL, lw=1.4, zorder=1)
        bottom.set_ylabel("residual, mmag")
    if model is not None or faint.any():
        upper.legend(loc="best", fontsize=9, frameon=False, ncols=3)
    bottom.set_xlabel(f"JD − {day:.0f}, days (UTC, mid-exposure)")
    if number is not None:
        _frame_axis(upper, t - day, np.asarray(number, float))
    return figure


def _points(axes: "Axes", t: Floats, m: Floats, err: Floats | None, shown: Bools, faint: Bools) -> None:
    """Draw points with their errors, and faint ones, on an inverted axis made for the former."""
    axes.errorbar(
        t[shown],
        m[shown],
        None if err is None else np.nan_to_num(err[shown]),
        fmt="o",
        ms=3.2 if shown.sum() < 400 else 1.8,
        lw=0.8 if shown.sum() < 400 else 0.4,
        color=_POINTS,
        zorder=2,
        label="measured",
    )
    axes.tick_params(direction="in", right=True)
    axes.grid(color="#DDDDDD", lw=0.5)
    axes.set_axisbelow(True)
    if shown.any():
        reach = 0.0 if err is None else float(np.nanmedian(err[shown]))
        low, high = float(m[shown].min()) - reach, float(m[shown].max()) + reach
        margin = 0.06 * (high - low) or 0.01
        axes.set_ylim(high + margin, low - margin)
    else:
        axes.invert_yaxis()
    if faint.any():
        axes.plot(t[faint], m[faint], "o", ms=3.2, mfc="none", mec=_LEFT_OUT, mew=0.8, zorder=1.5, label="left out")


def _frame_axis(axes: "Axes", t: Floats, number: Floats) -> None:
    """Give the frames' numbers along the top; nothing where they do not rise with time."""
    known = np.isfinite(t)
    t, number = t[known], number[known]
    if t.size < 2 or np.any(np.diff(t) <= 0) or np.any(np.diff(number) <= 0):
        return

    def along(given: ArrayLike, xs: Floats, ys: Floats) -> Floats:
        """Interpolate, and go on with the mean slope beyond the ends, where the axis has its margins."""
        x = np.asarray(given, float)
        slope = (ys[-1] - ys[0]) / (xs[-1] - xs[0])
        outside = np.minimum(x - xs[0], 0.0) + np.maximum(x - xs[-1], 0.0)
        return np.asarray(np.interp(x, xs, ys) + slope * outside)

    top = axes.secondary_xaxis("top", functions=(lambda x: along(x, t, number), lambda x: along(x, number, t)))
    top.set_xlabel("frame", fontsize=9, labelpad=5)
    top.tick_params(direction="in", labelsize=9)
