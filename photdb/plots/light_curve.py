"""What plot `lightcurve` shows: the best curve of a target, what was left out of it, and the spread of all kept."""

import shlex
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photdb.errors import PhotdbError
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
    return LightCurve(best, jd, low, high, n_curves)


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
