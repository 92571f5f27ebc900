"""Pixels of a source that are not its own: cosmic rays and hot pixels, found against its profile over the night."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: A hit is so many times the noise, of the CCD and of the profile, and those beside it that belong to it so many.
_SIGMAS: Final = 6.0
_BESIDE_SIGMAS: Final = 3.0
#: The median of its neighbours is below this part of it: a star's is a half or more.
_SHARP: Final = 0.25
_SHARP_BESIDE: Final = 0.5
#: More pixels are no hit, but something else; so are hits where the source is not itself over such a part of its
#: pixels: something as broad as a star is beside it.
_MOST_PIXELS: Final = 25
_MOST_UNLIKE: Final = 0.15
#: A profile is good to this part of itself, and its place to this much.
_UNSURE: Final = 0.04
_UNSURE_PX: Final = 0.1
_STEP_FWHM: Final = 0.1
_CORE_FWHM: Final = 0.8
#: Frames by which a profile is judged, at least.
_FEWEST: Final = 8


@dataclass(frozen=True, slots=True)
class Hits:
    """Pixels (k,) of stamps: which stamp, where in it, by how much above the profile, and times the noise."""

    stamp: NDArray[np.intp]
    x: NDArray[np.intp]
    y: NDArray[np.intp]
    excess_adu: Floats
    sigmas: Floats


def expected_stamps(
    stamps: NDArray[Any], x: Floats, y: Floats, sky_adu: Floats, fwhm_px: Floats, usable: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Give what each stamp of a source is by the source's own profile over the night, and how well that is known.

    The profile is the median of all stamps' pixels, less their sky and in units of their light, at each distance in
    units of the frame's FWHM. Each stamp's light is the weighted median of its pixels over the profile's within 0.8
    FWHM, so that a hit does not change it.

    Parameters
    ----------
    stamps : array (n, h, w)
        ADU; NaN where there are none.
    x, y : array (n,)
        Where the source is in each.
    sky_adu, fwhm_px : array (n,)
        Of their frames.
    usable : array of bool (n,)
        Which ones the profile is made of.

    Returns
    -------
    expected, scatter : array (n, h, w)
        ADU, sky included; the scatter holds all that there is about the profile, noise too, and is not less than 4 % of
        it and what a tenth of a pixel makes. NaN throughout if fewer
        than eight stamps are usable.
    """
    n, height, width = stamps.shape
    if usable.sum() < _FEWEST:
        return np.full(stamps.shape, np.nan), np.full(stamps.shape, np.nan)
    grid_y, grid_x = np.mgrid[:height, :width]
    radius = np.hypot(grid_x - x[:, None, None], grid_y - y[:, None, None]) / fwhm_px[:, None, None]
    radius = np.where(np.isfinite(radius), radius, 1e3)
    above = stamps - sky_adu[:, None, None]
    steps = radius / _STEP_FWHM
    bins = np.minimum(np.rint(steps), 200).astype(np.int16)  # of these numpy sorts many at once
    # The core lies within a few pixels of the middle of all stamps: the rest is left out of what is sorted there.
    near = (radius < _CORE_FWHM).any(axis=0)
    radius_near, above_near = radius[:, near], above[:, near]
    core = radius_near < _CORE_FWHM
    weight = np.where(core, np.exp(-4.0 * np.log(2.0) * radius_near**2), 0.0)
    profile = np.exp(-4.0 * np.log(2.0) * (_STEP_FWHM * np.arange(201)) ** 2)
    for _ in range(3):
        shape = _interpolated(steps, profile)
        of_profile = np.divide(above_near, shape[:, near], out=np.full(core.shape, np.nan), where=core)
        light = _weighted_medians(of_profile, weight)
        light = np.where(light > 0, light, np.nan)
        good = usable & np.isfinite(light)
        if good.sum() < _FEWEST:
            return np.full(stamps.shape, np.nan), np.full(stamps.shape, np.nan)
        profile = profile + _medians(*_by_bin(bins[good], (above[good] / light[good, None, None]) - shape[good]))
    shape = _interpolated(steps, profile)
    rest = above[good] / light[good, None, None] - shape[good]
    spread = _scatters(*_by_bin(bins[good], rest))
    slope = _interpolated(steps, np.abs(np.gradient(profile, _STEP_FWHM)))
    known = np.hypot(_UNSURE * shape, _UNSURE_PX * slope / fwhm_px[:, None, None])
    spread_there = _interpolated(steps, spread)
    scatter = light[:, None, None] * np.maximum(spread_there, known)
    return sky_adu[:, None, None] + light[:, None, None] * shape, scatter


def _interpolated(steps: Floats, values: Floats) -> Floats:
    """Interpolate values (201,) that are given at whole steps; beyond the last it stays."""
    within = np.minimum(steps, 200.0)
    below = np.minimum(within.astype(np.intp), 199)
    slope = np.diff(values)
    out: Floats = slope[below] * (within - below) + values[below]
    return out


def _weighted_medians(values: Floats, weights: Floats) -> Floats:
    """Give the weighted median of each row (n, m), of what has a weight and is finite; NaN where nothing is."""
    if not values.size:
        return np.full(len(values), np.nan)
    known = np.isfinite(values) & (weights > 0)
    values, weights = np.where(known, values, np.inf), np.where(known, weights, 0.0)
    order = np.argsort(values, axis=1)
    total = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    at = (total < 0.5 * total[:, -1:]).sum(axis=1)
    last = np.maximum(known.sum(axis=1) - 1, 0)
    median = np.take_along_axis(values, order, axis=1)[np.arange(len(values)), np.minimum(at, last)]
    return np.where(known.any(axis=1), median, np.nan)


def _by_bin(bins: NDArray[np.int16], values: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Sort what is finite by its bin; gives where each of the 201 bins begins, too, and where the last ends."""
    known = np.isfinite(values)
    bin_, value = bins[known], values[known]
    order = np.argsort(bin_, kind="stable")
    return value[order], np.searchsorted(bin_[order], np.arange(202))


def _medians(values: Floats, edges: NDArray[np.intp]) -> Floats:
    """Give the median of each bin (201,); 0 for few values."""
    middle = np.zeros(201)
    for i in np.flatnonzero(np.diff(edges) >= _FEWEST):
        middle[i] = np.median(values[edges[i] : edges[i + 1]])
    return middle


def _scatters(values: Floats, edges: NDArray[np.intp]) -> Floats:
    """Give the robust scatter of each bin (201,); where it has few values, as bins beside it have it."""
    middle, spread = _medians(values, edges), np.full(201, np.nan)
    for i in np.flatnonzero(np.diff(edges) >= _FEWEST):
        spread[i] = 1.4826 * np.median(np.abs(values[edges[i] : edges[i + 1]] - middle[i]))
    some = np.isfinite(spread)
    return np.interp(np.arange(201), np.flatnonzero(some), spread[some]) if some.any() else spread


def find_hits(
    stamps: NDArray[Any],
    x: Floats,
    y: Floats,
    *,
    sky_adu: Floats,
    sky_scatter_adu: Floats,
    fwhm_px: Floats,
    usable: NDArray[np.bool_],
    radius_px: float,
    gain_e_per_adu: float | None,
) -> Hits:
    """Find hits among the pixels of one source over the night.

    A hit exceeds what the source's own profile lets expect by 6 σ; σ² is the CCD's variance there (photons, sky and
    read noise) or the scatter about the profile, whichever is larger: where pixels sample a sharp core, the profile is
    only good to some per cent. The median of its eight neighbours is less than a quarter of it, which no star's is;
    then neighbours above 3 σ belong to it.

    Parameters
    ----------
    stamps, x, y, fwhm_px, usable
        As for `expected_stamps`.
    sky_adu, sky_scatter_adu : array (n,)
        The sky, and the scatter of one pixel of it.
    radius_px : float
        Pixels farther from the source are of no interest.
    gain_e_per_adu : float, optional
        Taken as 1 where it is not known.

    Returns
    -------
    Hits

    Notes
    -----
    The idea, a star's own profile as the measure of its pixels, is that of optimal extraction of spectra (Horne 1986,
    PASP 98, 609, section III); the sharpness test that of van Dokkum 2001, PASP 113, 1420, in its simplest form.
    """
    expected, scatter = expected_stamps(stamps, x, y, sky_adu, fwhm_px, usable)
    gain = gain_e_per_adu or 1.0
    rest = stamps - expected
    variance = np.maximum(expected - sky_adu[:, None, None], 0.0) / gain + sky_scatter_adu[:, None, None] ** 2
    sigmas = rest / np.sqrt(np.maximum(variance, scatter**2))
    height, width = stamps.shape[1:]
    grid_y, grid_x = np.mgrid[:height, :width]
    inside = np.hypot(grid_x - x[:, None, None], grid_y - y[:, None, None]) < radius_px + 1.0
    with np.errstate(invalid="ignore"):
        above = (sigmas > _BESIDE_SIGMAS) & inside
        unlike = ((np.abs(sigmas) > _BESIDE_SIGMAS) & inside).sum(axis=(1, 2)) / np.maximum(inside.sum(axis=(1, 2)), 1)
    hit, beside = np.zeros((2, *above.shape), bool)
    at = np.nonzero(above)
    neighbours = _neighbours(rest, at)
    hit[at] = (sigmas[at] > _SIGMAS) & (neighbours < _SHARP * rest[at])
    beside[at] = neighbours < _SHARP_BESIDE * rest[at]
    grown = hit.copy()
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            moved = np.zeros_like(hit)
            moved[:, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = hit[
                :, max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
            ]
            grown |= moved & beside
    grown[(grown.sum(axis=(1, 2)) > _MOST_PIXELS) | (unlike > _MOST_UNLIKE)] = False
    stamp, at_y, at_x = np.nonzero(grown)
    return Hits(stamp, at_x, at_y, rest[grown], sigmas[grown])


def _neighbours(values: Floats, at: tuple[NDArray[np.intp], ...]) -> Floats:
    """Give the median of the eight neighbours of some pixels of stamps; what is off them or unknown counts as 0."""
    stamp, y, x = at
    around = np.zeros((8, stamp.size))
    steps = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    for row, (dy, dx) in zip(around, steps, strict=True):
        on = (y + dy >= 0) & (y + dy < values.shape[1]) & (x + dx >= 0) & (x + dx < values.shape[2])
        row[on] = np.nan_to_num(values[stamp[on], y[on] + dy, x[on] + dx])
    return np.median(around, axis=0)
