"""The stars of a frame: where they are, how bright and how wide, without hot pixels, cosmic rays and trails.

The pixels are compared once with a threshold, on their own type; everything after works on the few that exceed it,
then on small stamps around the candidates. Frames with wide stars (defocus) are searched in a binned copy, where a
star is again about three pixels wide, so that a doughnut is one star and not several.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms import candidate_kernels, shape_kernels
from photdb.algorithms.background import Background, background
from photdb.algorithms.median import median
from photdb.algorithms.shapes import FWHM_PER_SIGMA, MIN_SIGMA_PX, measure_saturated, measure_shapes, stamp_radius

_PIXEL_SIGMAS: Final = 3.0  # a star's highest pixel exceeds the sky by this much
_RING_PX: Final = 7  # from a candidate to its surroundings; opposite points are half the list apart
_TURN: Final = np.arange(16) * np.pi / 8
_RING: Final = np.rint(_RING_PX * np.column_stack([np.sin(_TURN), np.cos(_TURN)])).astype(np.int64)
_MIN_AROUND: Final = 1.4  # sum of the eight neighbours over the highest pixel: 2 for a star of FWHM 1.5 px, below 1 for
_MIN_ACROSS: Final = 0.45  # a hot pair; and sum of two opposite neighbours, 0 for a bad column;
_MIN_ACROSS_RIM: Final = 0.2  # across the rim of a binned doughnut
_MAX_RIDGE: Final = 0.5  # height of two opposite points of the ring
_REACH_FWHM: Final = 3.0  # farther apart, stars are two
_VALLEY: Final = 0.75  # between two stars the light falls below this part of the fainter's height
_MAX_ELLIPTICITY: Final = 0.92  # (a² - b²) / (a² + b²) of a star as long as five times its width
_MIN_WIDTH_PX: Final = 0.5  # sigma: the least that any light spread over pixels has
_MAX_UNLIKE: Final = 0.6  # difference of ellipticities, as vectors, from the median
_LEAST_WIDTH: Final = 0.6  # and width, in units of the median
_MOST_WIDTH: Final = 2.0
_BIN_ABOVE_FWHM_PX: Final = 5.5
_BINNED_FWHM_PX: Final = 3.0
_BLIND_BINNING: Final = 3  # tried when nothing is found in the frame itself
_MIN_BINNED_PX: Final = 64  # smaller frames are not binned
_N_CELLS: Final = 30  # of the grid over which the chosen stars are spread
_PROFILE_PX: Final = 8  # radius of the stamps that show the typical width
_DISTANCE: Final = np.rint(np.hypot(*np.mgrid[-_PROFILE_PX : _PROFILE_PX + 1, -_PROFILE_PX : _PROFILE_PX + 1]))
_RADIAL: Final = _DISTANCE.astype(np.intp).ravel()
_N_RADIAL: Final = np.bincount(_RADIAL)

Pixels = NDArray[Any]
Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Stars:
    """Stars of one frame, brightest first; all arrays (n,), `found_…` (n_found,).

    `x_px`, `y_px`: centre. `flux_adu`: above the sky, as if the star had the width typical of the frame. `peak_adu`:
    the highest pixel itself, sky included. `fwhm_px`, `elongation` (major over minor axis, at least 1): of the
    Gaussian that fits the pixels best, a few per cent wider than the star itself below 2.5 px and up to 15 % wider than
    the half-maximum of a star with strong wings. `saturated`: the peak reaches the saturation; positions are then good
    to some tenths of a pixel, the flux is too low and the width too large. `found_x_px`, `found_y_px`: about where
    every star found lies, before the cut to the brightest.
    """

    x_px: Floats
    y_px: Floats
    flux_adu: Floats
    peak_adu: Floats
    fwhm_px: Floats
    elongation: Floats
    saturated: Booleans
    found_x_px: Floats
    found_y_px: Floats

    @property
    def n_found(self) -> int:
        """Number of stars found, before the cut to the brightest."""
        return len(self.found_x_px)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Local maxima of an image, by y, then x: position, sky, height of the 3 x 3 mean above it, if saturated."""

    x: Floats  # whole numbers
    y: Floats
    sky: Floats
    height: Floats
    full: Booleans

    def __getitem__(self, chosen: Booleans | Integers) -> _Candidates:
        return _Candidates(self.x[chosen], self.y[chosen], self.sky[chosen], self.height[chosen], self.full[chosen])

    def by_height(self) -> Integers:
        """Give their order, the highest first; of those that agree to 1e-6 the first stays before the others."""
        # Keys of which no two are equal, made of positive floats whose bits are in their order: any sort will do.
        keys = np.arange(len(self.x)) - (self.height.view(np.int64) >> 32 << 32)
        order: Integers = np.sort(keys) & 0xFFFFFFFF
        return order


def detect_stars(
    pixels: Pixels,
    sky: Background,
    *,
    saturation_adu: float | None = None,
    max_stars: int = 150,
    n_sigmas: float = 5.5,
) -> Stars:
    """Find the stars of a frame.

    Parameters
    ----------
    pixels : array (H, W)
        Integers or floats in native byte order; pixels that are not finite are ignored.
    sky : Background
        The sky of these pixels.
    saturation_adu : float, optional
        Stars whose highest pixel is at or above are flagged, and their plateaus and bleeding columns become one star
        each. Without it the centre of a wide plateau may be missed.
    max_stars : int
        How many are listed: half of them the brightest of each cell of a grid of about 30 cells, the others the
        brightest of all, so that no crowded corner takes all places. Deterministic: ties go by y, then x.
    n_sigmas : float
        How far the sum of 3 x 3 pixels about a local maximum must exceed the sky, in units of its own scatter.

    Returns
    -------
    Stars
        Stars closer to an edge than about 1.3 FWHM + 1 px are left out: their positions would be biased.

    Notes
    -----
    A star is a local maximum that (1) exceeds `n_sigmas` over a sky that is taken from a ring of 7 pixels where that
    differs from the map's (a halo, a sharp edge); (2) has neighbours as bright as the sharpest resolved star has, on
    both axes, which hot pixels, pairs of them, cosmic rays and bad columns have not; (3) is no ridge: no two opposite
    points of the ring are half as high; (4) is not joined to a brighter one (nearer than a FWHM, or without a valley
    in between); (5) has a width between 0.6 and 2 times the median and no other elongation than the rest (trailed
    frames keep their stars, a trail is none). Of a crowded field only as many as a third over `max_stars` are
    measured and meet (5).

    The width is first taken from the median of the brightest stamps of all parts of the frame; above 5.5 px
    everything is done on means of b x b pixels, b about FWHM / 3; so it is with b = 3 when the frame itself shows
    nothing (thin, wide stars). Positions are as good as a fit's (`photdb.algorithms.shapes`).
    """
    full_adu = np.inf if saturation_adu is None else saturation_adu
    image, binning = np.ascontiguousarray(pixels), 1
    found = _candidates(image, sky, n_sigmas, full_adu, _MIN_ACROSS)
    order = found.by_height()
    fwhm = _typical_fwhm(image, found, order, sky.background_scatter_adu)
    if min(pixels.shape) >= _MIN_BINNED_PX and (fwhm > _BIN_ABOVE_FWHM_PX or len(order) == 0):
        binning = round(fwhm / _BINNED_FWHM_PX) if len(order) else _BLIND_BINNING
        image = _binned(pixels, binning)
        sky = background(image)
        found = _candidates(image, sky, n_sigmas, full_adu, _MIN_ACROSS_RIM)
        order = found.by_height()
        fwhm = _typical_fwhm(image, found, order, sky.background_scatter_adu)
    sigma = max(fwhm / FWHM_PER_SIGMA, MIN_SIGMA_PX)
    order = order[_distinct(image, found, fwhm, margin=stamp_radius(sigma))[order]]
    place = np.stack([found.x[order], found.y[order]])
    # More than asked for are measured: enough remain when some turn out to be no stars.
    measured = _spread(place[0], place[1], image.shape, max_stars + max_stars // 3)
    spot = order[measured]
    spot_x, spot_y, spot_sky, full = found.x[spot], found.y[spot], found.sky[spot], found.full[spot]
    shapes = np.empty((len(measured), 6))
    n_turns = 3 if binning == 1 else 8  # wide stars may be hollow, their highest pixels far from the centre
    shapes[~full], sigma = measure_shapes(image, spot_x[~full], spot_y[~full], spot_sky[~full], sigma, n_turns=n_turns)
    if full.any():
        shapes[full] = measure_saturated(image, spot_x[full], spot_y[full], spot_sky[full], sigma, full_adu)
    good = shape_kernels.starlike(
        shapes,
        full.view(np.uint8),
        _MIN_WIDTH_PX,
        sigma**2,
        _MAX_ELLIPTICITY,
        _MAX_UNLIKE,
        _LEAST_WIDTH,
        _MOST_WIDTH,
        FWHM_PER_SIGMA * sigma,
    )
    place[:, measured] = shapes.T[:2]
    stays = np.ones(len(order), bool)
    stays[measured] = good
    place = place.compress(stays, axis=1)
    shapes = shapes[good]
    shapes = shapes[np.argsort(-shapes[:, 2], kind="stable")]
    chosen = np.sort(_spread(shapes[:, 0], shapes[:, 1], image.shape, max_stars))
    x, y, flux, xx, yy, xy = shapes[chosen].T
    x, y, found_x, found_y = (binning * (value + 0.5) - 0.5 for value in (x, y, *place))
    flux = flux * binning**2
    # A bin's own width is no part of the star's.
    pixel = (binning**2 - 1) / 12.0
    half_trace, half_difference = binning**2 * 0.5 * (xx + yy) - pixel, binning**2 * np.hypot(0.5 * (xx - yy), xy)
    major = np.maximum(half_trace + half_difference, 0.1)
    minor = np.maximum(half_trace - half_difference, 0.05 * major)
    peak = shape_kernels.highest(np.ascontiguousarray(pixels), x, y, max(1, round(0.5 * binning * fwhm)))
    return Stars(
        x_px=x,
        y_px=y,
        flux_adu=flux,
        peak_adu=peak,
        fwhm_px=FWHM_PER_SIGMA * (major * minor) ** 0.25,
        elongation=np.sqrt(major / minor),
        saturated=peak >= full_adu,
        found_x_px=found_x,
        found_y_px=found_y,
    )


def _candidates(image: Pixels, sky_map: Background, n_sigmas: float, full_adu: float, min_across: float) -> _Candidates:
    """Find the local maxima of an image that are significant over 3 x 3 pixels and not sharper than a star can be."""
    (tiles_y, part_y), (tiles_x, part_x) = sky_map.between(image.shape)
    lowest, highest = _range_of(image.dtype)
    found = candidate_kernels.candidates(
        image,
        lowest,
        highest,
        sky_map.level_adu,
        sky_map.scatter_adu,
        tiles_y,
        part_y,
        tiles_x,
        part_x,
        _RING,
        _PIXEL_SIGMAS,
        n_sigmas,
        full_adu,
        _MAX_RIDGE,
        _MIN_AROUND,
        min_across,
    )
    x, y, sky, height, full = found.T.copy()
    return _Candidates(x, y, sky, height, full != 0)


@lru_cache
def _range_of(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Give the lowest and the highest value of a type."""
    info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return info.min, info.max


def _typical_fwhm(image: Pixels, found: _Candidates, order: Integers, scatter_adu: float) -> float:
    """Give the FWHM (px) of the brightest candidates of all parts of the image, roughly; `order` is by height."""
    if len(order) == 0:
        return _BINNED_FWHM_PX
    if not found.full.all():
        order = order[~found.full[order]]
    best = found[order[_spread(found.x[order], found.y[order], image.shape, 25)]]
    stamps = shape_kernels.cut(image, best.x, best.y, best.sky, _PROFILE_PX) / best.height[:, None, None]
    # The median of all stamps needs no bright stars, and neighbours do not enter.
    ordered = np.sort(stamps.reshape(len(stamps), -1), axis=0)
    stack = 0.5 * (ordered[(len(stamps) - 1) // 2] + ordered[len(stamps) // 2])
    profile = (np.bincount(_RADIAL, stack) / _N_RADIAL)[: _PROFILE_PX + 1]
    low = np.flatnonzero(profile < 0.5 * profile[0])
    fwhm = 2.0 * _PROFILE_PX
    if len(low):
        k = int(low[0])
        fwhm = 2.0 * (k - 1 + float((profile[k - 1] - 0.5 * profile[0]) / (profile[k - 1] - profile[k])))
    # The maxima of doughnuts lie on their rims: there the area above half the height says more.
    clear = best.height > 6.0 * scatter_adu
    if clear.any():
        area = median((stamps[clear] > 0.5).reshape(-1, stamps[0].size).sum(axis=1))
        if np.sqrt(4.0 / np.pi * area) > 1.5 * fwhm:
            fwhm = float(np.sqrt(4.0 / np.pi * area))
    return min(fwhm, 2.0 * _PROFILE_PX)


def _binned(pixels: Pixels, binning: int) -> Pixels:
    """Give the means of binning x binning pixels; what does not fill a bin is left out."""
    ny, nx = (n // binning for n in pixels.shape)
    dtype = np.result_type(pixels.dtype, np.float32)
    with np.errstate(invalid="ignore"):
        rows = pixels[: ny * binning].reshape(ny, binning, -1).sum(axis=1, dtype=dtype)
        total = np.zeros((ny, nx), dtype)
        for k in range(binning):
            total += rows[:, k : nx * binning : binning]
    total /= binning**2
    return total


def _distinct(image: Pixels, found: _Candidates, fwhm: float, margin: int) -> Booleans:
    """Say what is not joined to something brighter (nearer than a FWHM, no valley between) nor near the edge."""
    height, width = image.shape
    x, y, reach = found.x, found.y, _REACH_FWHM * fwhm
    inside: Booleans = (x >= margin) & (x < width - margin) & (y >= margin) & (y < height - margin)
    inside &= ~candidate_kernels.joined(image, x, y, found.sky, found.height, fwhm, reach, _VALLEY)
    return inside


def _spread(x: NDArray[Any], y: NDArray[Any], shape: tuple[int, int], n: int) -> Integers:
    """Choose n of places, brightest first: half of them the brightest of each cell of a grid, the others of all."""
    if len(x) <= n:
        return np.arange(len(x))
    side = float(np.sqrt(shape[0] * shape[1] / _N_CELLS))
    n_down, n_across = (int(length // side) + 1 for length in shape)
    return candidate_kernels.spread(x, y, side, n_across, n_down, n)
