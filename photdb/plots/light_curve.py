"""What plot `lightcurve` shows: the best curve of a target, what was left out of it, and the spread of all kept."""

import shlex
import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from photdb.errors import PhotdbError
from photdb.plots.encounters import frames_met
from photdb.stages.terms import term_values
from photdb.store.arrays import columns
from photdb.store.project import Project
from photdb.viewers.best_curve import BestCurve, read_best_curve
from photdb.wording import named

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LightCurve:
    """The best curve and the spread of all that were kept, each on the zero point of the best; arrays (n_frames,)."""

    best: BestCurve
    jd: Floats  # of the kind that was asked for; NaN where it is not known
    low_mag: Floats  # NaN where fewer than two curves have a point
    high_mag: Floats
    n_curves: int
    met: NDArray[np.bool_]  # an encounter of the target is expected in the best curve's aperture


def light_curve(project: Project, target: str, *, time: str = "jd") -> LightCurve:
    """Read the curves of a target.

    Parameters
    ----------
    project : Project
    target : str
        Its label.
    time : {'jd', 'hjd', 'bjd'}
        Which Julian dates: `jd_utc_mid`, `hjd_utc_mid` or `bjd_tdb_mid`.

    Raises
    ------
    PhotdbError
        It has none, or no times of that kind.
    """
    best = read_best_curve(project, target)
    if best is None:
        raise PhotdbError(f"{target} has no light curve yet: run `photdb solve`")
    if best.detrended is not None:
        best = replace(best, mag=_detrended(project, best))
    jd = best.jd_utc_mid if time == "jd" else _times_elsewhere(project, best, time)
    rank, number, mag = columns(
        project.connection, "SELECT rank, frame, mag FROM light_curve WHERE target = ? ORDER BY rank", "iif", (target,)
    )
    n_curves = int(rank.max(initial=1))
    curves = np.full((n_curves, best.number.size), np.nan)
    order = np.argsort(best.number)
    curves[rank - 1, order[np.searchsorted(best.number[order], number)]] = mag
    # Other references have another zero point: each curve is moved onto the best one.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # frames without points
        curves -= np.nanmedian(curves - curves[0], axis=1, keepdims=True)
        several = np.isfinite(curves).sum(axis=0) > 1
        low = np.where(several, np.nanmin(curves, axis=0), np.nan)
        high = np.where(several, np.nanmax(curves, axis=0), np.nan)
    (met,) = frames_met(project, target, best.frame_id, [best.aperture.id])
    return LightCurve(best, jd, low, high, n_curves, met)


def _times_elsewhere(project: Project, best: BestCurve, time: str) -> Floats:
    """Give HJD or BJD of each frame of a curve."""
    number, origin, hjd, bjd = columns(
        project.connection,
        "SELECT f.number, c.origin, m.hjd_utc_mid, m.bjd_tdb_mid FROM target t"
        " JOIN target_coordinates c ON c.target_id = t.id LEFT JOIN target_time m ON m.target_id = t.id"
        " LEFT JOIN frame f ON f.id = m.frame_id WHERE t.label = ?",
        "fsff",
        (best.target,),
    )
    if np.isnan(number).all():
        if number.size and origin[0] is None:
            raise PhotdbError(
                f"{named(best.target)} has no coordinates, so no HJD and BJD: `photdb times {shlex.quote(best.target)}"
                " --radec RA DEC`"
            )
        raise PhotdbError(f"HJD and BJD of {named(best.target)} are not computed yet: run `photdb times`")
    of = dict(zip(number.tolist(), (hjd if time == "hjd" else bjd).tolist(), strict=True))
    return np.array([of.get(n, np.nan) for n in best.number.tolist()])


def _detrended(project: Project, best: BestCurve) -> Floats:
    """Give the magnitudes (n_frames,) of a curve with what was left out of it, the same terms taken out of both.

    A term takes out its amplitude times its own value against the range of that, less a constant, which the points
    tell. In frames in which a value is not known, and where an offset is if no points on both sides are in the same
    stretch, the magnitude is NaN.
    """
    terms = columns(
        project.connection,
        "SELECT term, kind, amplitude_mag, span FROM fitted_term WHERE target = ? AND rank = 1",
        "ssff",
        (best.target,),
    )
    total, begins, steps = np.zeros(best.mag.size), [], []
    for name, kind, amplitude, span in zip(*terms, strict=True):
        if kind == "offset":  # its name says the frame where the stretch begins
            begins.append(int(np.flatnonzero(best.number == int(name.rpartition(" ")[2]))[0]))
            steps.append(amplitude)
        else:
            (value,) = term_values(project, best.target_id, [name], frame_id=best.frame_id, jd_utc_mid=best.jd_utc_mid)
            total = total + amplitude / span * (value - value[np.argmax(best.kept)])
    if begins:
        order = np.argsort(begins)
        stretch = np.searchsorted(np.array(begins)[order], np.arange(total.size), side="right")
        total = total + np.r_[0.0, np.array(steps)[order]][stretch]
        points = np.flatnonzero(best.kept)
        after = np.searchsorted(points, np.arange(total.size))
        inside = (after > 0) & (after < points.size)
        inside[inside] = stretch[points[after[inside] - 1]] == stretch[points[after[inside]]]
        total = np.where(inside, total, np.nan)
    rest = best.measured_mag - total
    constant = (rest - best.mag)[best.kept & np.isfinite(rest)]
    return np.where(best.kept, best.mag, rest - np.median(constant) if constant.size else np.nan)
