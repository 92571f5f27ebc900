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
    core = radius < _CORE_FWHM
    weight = np.where(core, np.exp(-4.0 * np.log(2.0) * radius**2), 0.0)
    bins = np.minimum(np.rint(radius / _STEP_FWHM).astype(np.intp), 200)
    profile = np.exp(-4.0 * np.log(2.0) * (_STEP_FWHM * np.arange(201)) ** 2)
    for _ in range(3):
        shape = np.interp(radius / _STEP_FWHM, np.arange(201), profile)
        light = np.array(
            [_weighted_median(a[c] / s[c], w[c]) for a, s, c, w in zip(above, shape, core, weight, strict=True)]
        )
        light = np.where(light > 0, light, np.nan)
        good = usable & np.isfinite(light)
        if good.sum() < _FEWEST:
            return np.full(stamps.shape, np.nan), np.full(stamps.shape, np.nan)
        profile = _by_bin(bins[good], (above[good] / light[good, None, None]) - shape[good], profile)[0]
    shape = np.interp(radius / _STEP_FWHM, np.arange(201), profile)
    rest = above[good] / light[good, None, None] - shape[good]
    _, spread = _by_bin(bins[good], rest, np.zeros(201))
    slope = np.interp(radius / _STEP_FWHM, np.arange(201), np.abs(np.gradient(profile, _STEP_FWHM)))
    known = np.hypot(_UNSURE * shape, _UNSURE_PX * slope / fwhm_px[:, None, None])
    spread_there = np.interp(radius / _STEP_FWHM, np.arange(201), spread)
    scatter = light[:, None, None] * np.maximum(spread_there, known)
    return sky_adu[:, None, None] + light[:, None, None] * shape, scatter


def _weighted_median(values: Floats, weights: Floats) -> float:
    known = np.isfinite(values)
    if not known.any():
        return np.nan
    values, weights = values[known], weights[known]
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][min(int(np.searchsorted(total, 0.5 * total[-1])), values.size - 1)])


def _by_bin(bins: NDArray[np.intp], rest: Floats, profile: Floats) -> tuple[Floats, Floats]:
    """Give the profile with the median of what is left in each bin added, and the robust scatter in each."""
    known = np.isfinite(rest)
    bin_, value = bins[known], rest[known]
    order = np.argsort(bin_, kind="stable")
    bin_, value = bin_[order], value[order]
    edges = np.searchsorted(bin_, np.arange(202))
    middle, spread = np.zeros(201), np.full(201, np.nan)
    for i in range(201):
        here = value[edges[i] : edges[i + 1]]
        if here.size >= _FEWEST:
            middle[i] = np.median(here)
            spread[i] = 1.4826 * np.median(np.abs(here - middle[i]))
    some = np.isfinite(spread)
    if some.any():
        spread = np.interp(np.arange(201), np.flatnonzero(some), spread[some])
    return profile + middle, spread


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
