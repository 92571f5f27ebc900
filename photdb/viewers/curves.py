"""Light curves: magnitudes against time, with what was left out, a band of others, a model and its residuals."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike

from photdb.viewers.style import (
    BLUE,
    COLOURS,
    FAINT,
    LEFT_OUT,
    LEFT_OUT_THERE,
    MARKERS,
    ORANGE,
    PURPLE,
    VERMILLION,
    WIDE,
    Bools,
    Floats,
    along,
    brightness_limits,
    dress,
    encounters,
    legend,
    marker_size,
    panels,
)

#: So many check stars can be told apart in a low panel.
_MOST_CHECKS = 6

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure

#: The label of the time axis for each kind of Julian date: on Earth, at the Sun, at the barycentre of the solar system.
TIMES: Final = {
    "jd": "JD − {:.0f}, days (UTC, mid-exposure)",
    "hjd": "HJD_UTC − {:.0f}, days (mid-exposure)",
    "bjd": "BJD_TDB − {:.0f}, days (mid-exposure)",
}
#: A legend of more than this is put below the figure: it would cover the curve.
_MOST_INSIDE: Final = 3


def draw_light_curve(
    axes: "Axes",
    jd: ArrayLike,
    mag: ArrayLike,
    mag_err: ArrayLike | None = None,
    *,
    left_out: ArrayLike | None = None,
    met: ArrayLike | None = None,
    because: ArrayLike | None = None,
    band: tuple[ArrayLike, ArrayLike] | None = None,
    band_label: str = "",
    number: ArrayLike | None = None,
    mag_label: str = "differential magnitude",
    time: str = "jd",
) -> "ErrorbarContainer":
    """Draw a light curve into axes, bright up; x is the time, days since the whole day of the first (`first_day`).

    Parameters
    ----------
    axes : Axes
    jd, mag, mag_err : array_like, shape (n,)
        Julian dates of mid-exposure, magnitudes and their errors, frames in time order. Magnitudes that are NaN are not
        drawn.
    left_out : array_like of bool, shape (n,)
        Points that were rejected: drawn faint as far as they fit, the axes are made for the others.
    met : array_like of bool, shape (n,)
        Frames in which an encounter is expected: marked by a band along the bottom.
    because : array_like of bool, shape (n,)
        Points that were left out because of one: of their own look.
    band : (array_like, array_like), shapes (n,)
        Least and largest magnitude of what else is to be compared with the curve; NaN: none there.
    band_label : str
        For the legend.
    number : array_like of int, shape (n,)
        Frame numbers: they then stand below and the time above, unless they do not rise with time.
    mag_label : str
        Label of the y axis.
    time : {'jd', 'hjd', 'bjd'}
        What `jd` is, for the label of the time axis (`TIMES`).
    """
    t, m, err, faint = _columns(jd, mag, mag_err, left_out)
    t = t - first_day(t)
    if band is not None:
        low, high = (np.asarray(edge, float) for edge in band)
        known = np.isfinite(t) & np.isfinite(low) & np.isfinite(high)
        # A frame without a band ends it: it is not drawn across.
        for part in np.split(np.arange(t.size), np.flatnonzero(~known)):
            part = part[known[part]]
            if part.size:
                axes.fill_between(
                    t[part], low[part], high[part], color=ORANGE, alpha=0.55, lw=0, zorder=1, label=band_label
                )
                band_label = "_"
    container = _points(axes, t, m, err, faint, because)
    if met is not None:
        encounters(axes, t, met)
    dress(axes, ylabel=mag_label)
    _time_and_frames(axes, axes, jd, number, time)
    return container


def first_day(jd: Floats) -> float:
    """Give the whole Julian day that times are counted from on the axes."""
    return float(np.floor(np.nanmin(jd))) if np.isfinite(jd).any() else 0.0


def light_curve_figure(
    jd: ArrayLike,
    mag: ArrayLike,
    mag_err: ArrayLike | None = None,
    *,
    left_out: ArrayLike | None = None,
    met: ArrayLike | None = None,
    because: ArrayLike | None = None,
    band: tuple[ArrayLike, ArrayLike] | None = None,
    band_label: str = "",
    number: ArrayLike | None = None,
    model: ArrayLike | None = None,
    model_label: str = "model",
    title: str = "",
    mag_label: str = "differential magnitude",
    time: str = "jd",
    checks: Mapping[str, ArrayLike] | None = None,
    width: float = WIDE,
) -> "Figure":
    """Draw a light curve, bright at the top; with a model a second panel shows the residuals, with check stars a last.

    Parameters
    ----------
    jd, mag, mag_err, left_out, met, because, band, band_label, number, mag_label, time
        As for `draw_light_curve`.
    model : array_like, shape (n,)
        What the curve is compared with: magnitudes at the same times, on the same zero point.
    model_label, title : str
        Texts.
    checks : mapping of str to array_like, shape (n,)
        Magnitudes of check stars by their names; each is drawn about its median.
    width : float
        Inches.

    Returns
    -------
    Figure
        With a canvas of its own: `figure.savefig(path)` needs no screen.
    """
    figure, axes = panels([3.3 if model is None else 3.2, *[1.3] * ((model is not None) + bool(checks))], width=width)
    upper, bottom = axes[0], axes[-1]
    draw_light_curve(
        upper,
        jd,
        mag,
        mag_err,
        left_out=left_out,
        met=met,
        because=because,
        band=band,
        band_label=band_label,
        mag_label=mag_label,
        time=time,
    )
    upper.set_title(title, fontsize=11, loc="left")
    if model is not None:
        t, m, err, faint = _columns(jd, mag, mag_err, left_out)
        t, line = t - first_day(t), np.asarray(model, float)
        upper.plot(t, line, color=VERMILLION, lw=1.4, zorder=1, label=model_label)
        _points(axes[1], t, 1000.0 * (m - line), None if err is None else 1000.0 * err, faint, because)
        if met is not None:
            encounters(axes[1], t, met)
        axes[1].axhline(0.0, color=VERMILLION, lw=1.4, zorder=1)
        dress(axes[1], ylabel="residual, mmag")
    if checks:
        _draw_checks(bottom, np.asarray(jd, float), checks)
    n_named = len(upper.get_legend_handles_labels()[0])
    if n_named > _MOST_INSIDE:
        legend(upper, columns=n_named if width >= WIDE else 3, below=figure)
    elif n_named > 1:
        legend(upper, columns=3)
    _time_and_frames(upper, bottom, jd, number, time)
    for middle in axes[1:-1]:
        middle.tick_params(axis="x", labelbottom=False)
    return figure


def _draw_checks(axes: "Axes", jd: Floats, checks: Mapping[str, ArrayLike]) -> None:
    """Draw check stars about their medians, mmag, one on the other, in an axis that holds all but a hundredth."""
    t = jd - first_day(jd)
    curves: dict[str, tuple[Bools, Floats]] = {}
    for label, mag in checks.items():
        m = np.asarray(mag, float)
        known = np.isfinite(m) & np.isfinite(t)
        if known.any():
            curves[label] = known, 1000.0 * (m[known] - np.median(m[known]))
    shown = _quietest(curves)
    if len(shown) < len(curves):
        axes.set_title(f"the {len(shown)} quietest of {len(curves)} check stars", fontsize=8, loc="right")
    for i, label in enumerate(shown):
        known, m = curves[label]
        look: dict[str, Any] = {"color": COLOURS[(i + 2) % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        axes.plot(t[known], m, ls="none", ms=marker_size(t.size), mew=0.0, label=f"check star {label}", **look)
    axes.axhline(0.0, color=FAINT, lw=0.8, zorder=1)
    if shown:
        room = 1.5 if len(shown) <= 3 else 2.2  # for the legend, of two lines then
        reach = room * float(np.percentile(np.abs(np.concatenate([curves[label][1] for label in shown])), 99)) or 1.0
        axes.set_ylim(reach, -reach)
        legend(axes, columns=3)
    dress(axes, ylabel="check, mmag")


def _quietest(curves: Mapping[str, tuple[Bools, Floats]]) -> list[str]:
    """Give the check stars that are drawn: all, or of very many, which would leave no room, those that tell most."""
    most = max((m.size for _, m in curves.values()), default=0)
    # One that is seen in a few frames only is no quiet star.
    scatter = {label: (2 * m.size < most, float(np.median(np.abs(m)))) for label, (_, m) in curves.items()}
    chosen = set(sorted(curves, key=scatter.__getitem__)[:_MOST_CHECKS])
    return [label for label in curves if label in chosen]


def _columns(
    jd: ArrayLike, mag: ArrayLike, mag_err: ArrayLike | None, left_out: ArrayLike | None
) -> tuple[Floats, Floats, Floats | None, Bools]:
    t, m = np.asarray(jd, float), np.asarray(mag, float)
    err = None if mag_err is None else np.asarray(mag_err, float)
    return t, m, err, np.zeros(m.shape, bool) if left_out is None else np.asarray(left_out, bool)


def _points(
    axes: "Axes", t: Floats, m: Floats, err: Floats | None, faint: Bools, because: ArrayLike | None
) -> "ErrorbarContainer":
    """Draw points with their errors, and faint ones, on an inverted axis made for the former."""
    drawn = np.isfinite(t) & np.isfinite(m)
    shown, faint = drawn & ~faint, drawn & faint
    size = marker_size(t.size)
    container = axes.errorbar(
        t[shown],
        m[shown],
        None if err is None else np.nan_to_num(err[shown]),
        fmt="o",
        ms=size,
        mew=0.0,
        lw=0.8 if t.size < 400 else 0.4,
        color=BLUE,
        zorder=2,
        label="measured",
    )
    for bars in container.lines[2]:
        bars.set_alpha(0.5)  # what lies behind them counts too
    brightness_limits(axes, m[shown], reach=0.0 if err is None or not shown.any() else float(np.nanmedian(err[shown])))
    there = np.zeros(t.shape, bool) if because is None else np.asarray(because, bool)
    looks = {LEFT_OUT: (faint & ~there, "o", FAINT), LEFT_OUT_THERE: (faint & there, "D", PURPLE)}
    for label, (those, marker, colour) in looks.items():
        if those.any():
            look: dict[str, Any] = {"mfc": "none", "mec": colour, "mew": 0.8, "ms": max(size, 2.4), "zorder": 1.5}
            axes.plot(t[those], m[those], marker, label=label, **look)
    return container


def _time_and_frames(upper: "Axes", lower: "Axes", jd: ArrayLike, number: ArrayLike | None, time: str) -> None:
    """Label an x axis of time: frame numbers below and time above, or just time below."""
    jd = np.asarray(jd, float)
    day = first_day(jd)
    label = TIMES[time].format(day)
    known = np.isfinite(jd)
    t = jd[known] - day
    frames = np.empty(0) if number is None else np.asarray(number, float)[known]
    if frames.size < 2 or np.any(np.diff(t) <= 0) or np.any(np.diff(frames) <= 0):
        lower.set_xlabel(label)
        return
    upper.xaxis.tick_top()
    upper.xaxis.set_label_position("top")
    upper.set_xlabel(label, labelpad=5)
    upper.tick_params(axis="x", direction="in", labelsize=9, labeltop=True, labelbottom=False)
    if lower is not upper:
        lower.tick_params(axis="x", labelbottom=False, bottom=False)  # the frames have ticks of their own
    from matplotlib.ticker import MaxNLocator

    below = lower.secondary_xaxis("bottom", functions=(lambda x: along(x, t, frames), lambda x: along(x, frames, t)))
    below.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    below.tick_params(direction="in")
    below.set_xlabel("frame")
