"""What speaks against frames and points, seen from the numbers alone: fog, odd frames, outliers, excursions.

Each asks for far more than noise makes in a night, and for what no star does by itself: a rise that lasts, an eclipse,
a transit are the target's own.
"""

import warnings
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.encounters import running_median
from photdb.algorithms.noise import smoother

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Fog takes so much light; its beginning and end are where less than that is lost, but more than the usual.
_FOG_MAG: Final = 0.3
_FOG_EDGE_MAG: Final = 0.06
_FOG_SIGMAS: Final = 4.0
#: An odd frame is so far from the median, both as a factor and in robust standard deviations.
_ODD_SIGMAS: Final = 8.0
#: An outlier is so many errors off, its neighbours are not, and it is that far off in most apertures.
_OUTLIER_SIGMAS: Final = 6.0
_NEIGHBOUR_SIGMAS: Final = 4.0
_MOST_OUTLIERS: Final = 0.05
#: Where a point determines its own fit by more than this, nothing can be said of it.
_LEAST_FREE: Final = 0.4
_EXCURSION_SIGMAS: Final = 7.0
_SMOOTH: Final = 15


def _robust_sigma(values: Floats) -> float:
    values = values[np.isfinite(values)]
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) if values.size else np.nan


def foggy(t_d: Floats, light: Floats) -> tuple[Bools, Floats]:
    """Find frames in fog or clouds: all stars have lost light against a slow change through the night.

    The slow change (airmass) is a parabola in time through the magnitudes, fitted again and again without what lies far
    below it.

    Parameters
    ----------
    t_d : array (n,)
        Times, days.
    light : array (n,)
        Of the stars, per second; NaN where unknown.

    Returns
    -------
    fog : array of bool (n,)
    lost_mag : array (n,)
    """
    lost = np.full(t_d.size, np.nan)
    known = np.isfinite(light) & (light > 0) & np.isfinite(t_d)
    if known.sum() < 8:
        return np.zeros(t_d.size, bool), lost
    mag = -2.5 * np.log10(light[known])
    x = (t_d[known] - t_d[known].mean()) / max(float(np.ptp(t_d[known])), 1e-9)
    rest = mag - np.median(mag)
    sigma = _robust_sigma(rest)
    for degree in (0, 1, 1, 2, 2, 2):
        use = np.abs(rest) < max(4.0 * sigma, 0.5 * _FOG_MAG)
        if use.sum() < 5 or use.sum() < 0.3 * use.size or np.unique(x[use]).size <= degree:
            break
        rest = mag - np.polynomial.polynomial.polyval(x, np.polynomial.polynomial.polyfit(x[use], mag[use], degree))
        sigma = _robust_sigma(rest[use])
    lost[known] = rest
    thick = lost > max(_FOG_MAG, 2.0 * _FOG_SIGMAS * sigma)
    thin = np.nan_to_num(lost) > max(_FOG_EDGE_MAG, _FOG_SIGMAS * sigma)
    fog = thick.copy()
    for i in np.flatnonzero(thick):  # down to the edges of each bank
        for step in (-1, 1):
            j = i + step
            while 0 <= j < t_d.size and (thin[j] or not np.isfinite(lost[j])) and not fog[j]:
                fog[j] = thin[j]
                j += step
    return fog, lost


def odd(values: Floats, *, factor: float) -> Bools:
    """Tell which of the values (n,) are above the median by a factor, and by 8 robust standard deviations."""
    finite = values[np.isfinite(values)]
    if finite.size < 8:
        return np.zeros(values.shape, bool)
    usual = float(np.median(finite))
    with np.errstate(invalid="ignore"):
        return (values > factor * usual) & (values - usual > _ODD_SIGMAS * _robust_sigma(values))


def outliers(t_d: Floats, mag: Floats, err: Floats) -> Bools:
    """Find single points that lie off a curve, in most of its apertures.

    A point is held against the parabola through its neighbours in time (the smoother of 7 frames, the point's own part
    taken out). The worst goes first, and the others are judged again without it. A point whose neighbours are off too
    is none: that lasts, and may be the star's own.

    Parameters
    ----------
    t_d : array (n,)
        Times in order, days.
    mag, err : array (n, p)
        Differential magnitudes in p apertures and their errors; NaN where there are none.

    Returns
    -------
    array of bool (n,)
    """
    off = np.zeros(t_d.size, bool)
    used = np.isfinite(mag).all(axis=1) & np.isfinite(err).all(axis=1)
    if not mag.shape[1]:
        return off
    for _ in range(max(1, int(_MOST_OUTLIERS * used.sum()))):
        at = np.flatnonzero(used & ~off)
        if at.size < 10:
            break
        sigmas = _sigmas(t_d[at], mag[at], err[at])
        strength = np.median(np.abs(sigmas), axis=1)
        worst = int(np.argmax(strength))
        if not strength[worst] > _OUTLIER_SIGMAS:
            break
        without = np.delete(at, worst)
        rest = np.median(np.abs(_sigmas(t_d[without], mag[without], err[without])), axis=1)
        beside = rest[max(worst - 2, 0) : worst + 2]
        if (beside > _NEIGHBOUR_SIGMAS).any():
            break
        off[at[worst]] = True
    return off


def _sigmas(t: Floats, mag: Floats, err: Floats) -> Floats:
    """Give how many errors points (n, p) are off their neighbours' parabola; the curve's own scatter is one or more."""
    of = smoother(t)
    free = of.row_norm2[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        sigmas = np.where(free > _LEAST_FREE, of.residual(mag.T).T / (err * np.sqrt(free)), 0.0)
    scatter = (
        1.4826 * np.median(np.abs(sigmas[free[:, 0] > _LEAST_FREE]), axis=0) if (free > _LEAST_FREE).any() else 1.0
    )
    return sigmas / np.maximum(1.0, scatter)


def median_of_known(values: Floats, axis: int) -> Floats:
    """Give the median of finite values along an axis; NaN where there is none, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        out: Floats = np.nanmedian(values, axis=axis)
    return out


def excursions(mag: Floats, err: Floats, others: Floats) -> Bools:
    """Find where a curve differs between apertures, and the other stars' do not: more light came into the larger one.

    Parameters
    ----------
    mag, err : array (n, p)
        Instrumental magnitudes of a source and their errors, smallest aperture first; NaN where there are none.
    others : array (n, m, p)
        Those of m other stars.

    Returns
    -------
    array of bool (n, p)
        False for the smallest aperture: it is the measure of the others.
    """
    found = np.zeros(mag.shape, bool)
    if mag.shape[1] < 2 or not others.shape[1]:
        return found
    common = median_of_known(others - others[:, :, :1], axis=1)
    for p in range(1, mag.shape[1]):
        difference = mag[:, p] - mag[:, 0] - common[:, p]
        difference = difference - running_median(difference, _SMOOTH)
        expected = np.sqrt(np.maximum(err[:, p] ** 2 - err[:, 0] ** 2, (0.3 * err[:, p]) ** 2))
        with np.errstate(invalid="ignore"):
            sigmas = difference / expected
            found[:, p] = np.abs(sigmas) > _EXCURSION_SIGMAS * max(1.0, _robust_sigma(sigmas))
    return found
