"""What plot `lightcurve` shows: the best curve of a target, what was left out of it, and the spread of all kept."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photdb.errors import PhotdbError
from photdb.store.arrays import columns
from photdb.store.project import Project
from photdb.viewers.best_curve import BestCurve, read_best_curve

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LightCurve:
    """The best curve and the spread of all that were kept, each on the zero point of the best; arrays (n_frames,)."""

    best: BestCurve
    low_mag: Floats  # NaN where fewer than two curves have a point
    high_mag: Floats
    n_curves: int


def light_curve(project: Project, target: str) -> LightCurve:
    """Read the curves of a target.

    Raises
    ------
    PhotdbError
        It has none.
    """
    best = read_best_curve(project, target)
    if best is None:
        raise PhotdbError(f"{target} has no light curve yet: run `photdb solve`")
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
    return LightCurve(best, low, high, n_curves)
