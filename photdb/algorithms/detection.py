"""The stars of a frame: where they are, how bright and how wide, without the hot pixels, cosmic rays, trails and bad columns.

The pixels are compared once with a threshold, on their own type; everything after works on the few that exceed it, then on
small stamps around the candidates. Frames with wide stars (defocus) are searched in a binned copy, where a star is again
about three pixels wide, so that a doughnut is one star and not several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photdb.algorithms.quality import Background, background

_BAND_PX: Final = 32  # rows that share a threshold
_PIXEL_SIGMAS: Final = 3.0  # a star's highest pixel exceeds the sky by this much
_NEIGHBOURS: Final = np.array([(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)])  # (dy, dx)
_RING_PX: Final = 7
_RING_ANGLES: Final = np.arange(16) * np.pi / 8
_RING: Final = np.rint(_RING_PX * np.stack([np.sin(_RING_ANGLES), np.cos(_RING_ANGLES)], axis=1)).astype(np.intp)  # (dy, dx)
_BIN_ABOVE_FWHM_PX: Final = 5.5
_BINNED_FWHM_PX: Final = 3.0
_BLIND_BINNING: Final = 3  # tried when nothing is found in the frame itself
_MIN_BINNED_PX: Final = 64  # smaller frames are not binned
_N_CELLS: Final = 30  # of the grid over which the chosen stars are spread
_FWHM_PER_SIGMA: Final = 2.354820045030949
_N_TURNS: Final = 4
_N_TURNS_FULL: Final = 6
_MIN_SIGMA_PX: Final = 0.9  # narrower Gaussians are not resolved by whole pixels

Pixels = NDArray[Any]
Floats = NDArray[np.float64]
Integers = NDArray[np.intp]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Stars:
    """Stars of one frame, brightest first; all arrays (n,), `found_…` (n_found,).

    `x_px`, `y_px`: centre. `flux_adu`: above the sky, as if the star had the width typical of the frame. `peak_adu`: the highest
    pixel itself, sky included. `fwhm_px`, `elongation` (major over minor axis, at least 1): of the Gaussian that fits best.
    `saturated`: the peak reaches the saturation; positions are then good to some tenths of a pixel, the flux is too low and
    the width too large. `found_x_px`, `found_y_px`: about where every star found lies, before the cut to the brightest.
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
    """Local maxima of an image: position, sky, height of the 3 x 3 mean above it, whether the maximum is saturated."""

    x: Integers
    y: Integers
    sky: Floats
    height: Floats
    full: Booleans

    def __getitem__(self, chosen: Booleans | Integers) -> _Candidates:
        return _Candidates(self.x[chosen], self.y[chosen], self.sky[chosen], self.height[chosen], self.full[chosen])


def detect_stars(
    pixels: Pixels,
    sky: Background,
    *,
    saturation_adu: float | None = None,
    max_stars: int = 150,
    n_sigmas: float = 5.5,
) -> Stars:
    """Find the stars of a frame."""
    full_adu = np.inf if saturation_adu is None else saturation_adu
    image, binning = pixels, 1
    found = _candidates(image, sky, n_sigmas, full_adu)
    fwhm = _typical_fwhm(image, found)
    if min(pixels.shape) >= _MIN_BINNED_PX and (fwhm > _BIN_ABOVE_FWHM_PX or len(found.x) == 0):
        binning = round(fwhm / _BINNED_FWHM_PX) if len(found.x) else _BLIND_BINNING
        image = _binned(pixels, binning)
        found = _candidates(image, background(image), n_sigmas, full_adu)
        fwhm = _typical_fwhm(image, found)
    sigma = max(fwhm / _FWHM_PER_SIGMA, _MIN_SIGMA_PX)
    found = _distinct(image, found, fwhm, margin=_radius(sigma))
    # More than asked for are measured: enough remain when some turn out to be no stars.
    measured = _spread(found.x, found.y, found.height, image.shape, max_stars + max_stars // 3)
    full = found.full[measured]
    shapes = np.empty((len(measured), 6))
    shapes[~full], sigma = _shapes(image, found[measured[~full]], sigma)
    shapes[full] = _full_shapes(image, found[measured[full]], sigma, full_adu)
    good = _starlike(shapes, full, sigma)
    place = np.column_stack([found.x, found.y]).astype(np.float64)
    place[measured] = np.where(good[:, None], shapes[:, :2], np.nan)
    place = place[~np.isnan(place[:, 0])]
    shapes = shapes[good]
    chosen = _spread(shapes[:, 0], shapes[:, 1], shapes[:, 2], image.shape, max_stars)
    x, y, flux, xx, yy, xy = shapes[chosen].T
    x, y, found_x, found_y = (binning * (value + 0.5) - 0.5 for value in (x, y, *place.T))
    flux = flux * binning**2
    # A bin's own width is no part of the star's.
    pixel = (binning**2 - 1) / 12.0
    half_trace, half_difference = binning**2 * 0.5 * (xx + yy) - pixel, binning**2 * np.hypot(0.5 * (xx - yy), xy)
    major = half_trace + half_difference
    minor = np.maximum(half_trace - half_difference, 0.05 * major)
    peak = _peaks(pixels, x, y, binning * fwhm)
    order = np.lexsort((x, y, -flux))
    return Stars(
        x_px=x[order],
        y_px=y[order],
        flux_adu=flux[order],
        peak_adu=peak[order],
        fwhm_px=_FWHM_PER_SIGMA * (major * minor)[order] ** 0.25,
        elongation=np.sqrt(major / minor)[order],
        saturated=(peak >= full_adu)[order],
        found_x_px=found_x,
        found_y_px=found_y,
    )


def _candidates(image: Pixels, sky_map: Background, n_sigmas: float, full_adu: float) -> _Candidates:
    """Find the local maxima of an image that are significant over 3 x 3 pixels and not sharper than a star can be."""
    height, width = image.shape
    bands = np.arange(0.5 * (_BAND_PX - 1), height + _BAND_PX, _BAND_PX)[: -(-height // _BAND_PX)]
    limits = sky_map.threshold(np.arange(width, dtype=np.float64), bands, _PIXEL_SIGMAS)
    if image.dtype.kind != "f":
        info = np.iinfo(image.dtype)
        limits = np.clip(np.floor(limits), info.min, info.max)
    limits = limits.astype(image.dtype)
    above = np.empty(image.shape, bool)
    for band, limit in enumerate(limits):
        rows = slice(band * _BAND_PX, (band + 1) * _BAND_PX)
        np.greater(image[rows], limit, out=above[rows])
    above[[0, -1]] = False
    above[:, [0, -1]] = False
    line = image.reshape(-1)
    index = np.flatnonzero(above)
    # Strict on one side only: a plateau keeps its first corner.
    for step, higher in ((-1, np.greater), (-width, np.greater), (1, np.greater_equal), (width, np.greater_equal)):
        index = index[higher(line[index], line[index + step])]

    y, x = np.divmod(index, width)
    level, scatter = sky_map.at(x, y)
    top = line[index].astype(np.float64)
    around = line[index + (_NEIGHBOURS @ (width, 1))[:, None]].astype(np.float64)
    total = around.sum(axis=0)
    with np.errstate(invalid="ignore"):
        strong = (total + top - 9.0 * level >= 3.0 * n_sigmas * scatter) & np.isfinite(total + top)
    x, y, top, total, level, scatter = (value[strong] for value in (x, y, top, total, level, scatter))
    around = around[:, strong]

    ring_y, ring_x = (np.clip(c + step[:, None], 0, n - 1) for c, step, n in zip((y, x), _RING.T, image.shape, strict=True))
    ring = image[ring_y, ring_x].astype(np.float64)
    ring = np.where(np.isfinite(ring), ring, level)
    half = len(_RING) // 2
    ridge = np.max(np.minimum(ring[:half], ring[half:]), axis=0)
    ring = np.sort(ring, axis=0)
    sky = 0.5 * (ring[half - 1] + ring[half])
    full = top >= full_adu
    mean = (total + top) / 9.0
    sky = np.where(~full & (np.abs(sky - level) > np.maximum(scatter, 0.1 * (mean - level))), sky, level)
    noise = np.maximum(scatter, (ring[11] - ring[4]) / 1.349 * 0.7)
    mean -= sky
    top -= sky
    across = np.minimum(around[1] + around[6], around[3] + around[4]) - 2.0 * sky
    starlike = (
        (full | ((3.0 * mean >= n_sigmas * noise) & (ridge - sky < 0.5 * mean)))
        & (total - 8.0 * sky >= 1.4 * top)
        & (across >= 0.45 * top - 1.4 * noise)
    )
    return _Candidates(x, y, sky, mean, full)[starlike]


def _typical_fwhm(image: Pixels, found: _Candidates) -> float:
    """Give the FWHM (px) of the median of the stamps of the brightest candidates of all parts of the image."""
    if len(found.x) == 0:
        return _BINNED_FWHM_PX
    radius = 8
    usable = np.flatnonzero(~found.full) if not found.full.all() else np.arange(len(found.x))
    best = found[usable[_spread(found.x[usable], found.y[usable], found.height[usable], image.shape, 25)]]
    stack = np.median(_stamps(image, best, radius) / best.height[:, None, None], axis=0)
    offset = np.arange(-radius, radius + 1)
    distance = np.rint(np.hypot(offset[:, None], offset)).astype(np.intp).ravel()
    profile = np.bincount(distance, stack.ravel()) / np.bincount(distance)
    low = np.flatnonzero(profile[: radius + 1] < 0.5 * profile[0])
    if len(low) == 0:
        return 2.0 * radius
    k = int(low[0])
    return 2.0 * (k - 1 + float((profile[k - 1] - 0.5 * profile[0]) / (profile[k - 1] - profile[k])))


def _binned(pixels: Pixels, binning: int) -> Pixels:
    """Give the means of binning x binning pixels; what does not fill a bin is left out."""
    ny, nx = (n // binning for n in pixels.shape)
    dtype = np.result_type(pixels.dtype, np.float32)
    with np.errstate(invalid="ignore"):
        rows = pixels[: ny * binning].reshape(ny, binning, -1).sum(axis=1, dtype=dtype)
        total = np.zeros((ny, nx), dtype)
        for k in range(binning):
            total += rows[:, k : nx * binning : binning]
    return total / dtype.type(binning**2)


def _distinct(image: Pixels, found: _Candidates, fwhm: float, margin: int) -> _Candidates:
    """Leave out what is joined to something brighter (closer than a FWHM, or no valley between) or too near the edge."""
    found = found[np.lexsort((found.x, found.y, -found.height))]
    height, width = image.shape
    alone = (found.x >= margin) & (found.x < width - margin) & (found.y >= margin) & (found.y < height - margin)
    if len(found.x) > 1:
        tree = cKDTree(np.column_stack([found.x, found.y]))
        bright, faint = np.sort(tree.query_pairs(3.0 * fwhm, output_type="ndarray"), axis=1).T
        x, y = found.x[faint], found.y[faint]
        dx, dy = found.x[bright] - x, found.y[bright] - y
        way = np.array([[0.25], [0.5], [0.75]])
        valley = image[np.rint(y + way * dy).astype(np.intp), np.rint(x + way * dx).astype(np.intp)].min(axis=0)
        joined = (dx**2 + dy**2 < fwhm**2) | (valley - found.sky[faint] > 0.75 * found.height[faint])
        alone[faint[joined]] = False
    return found[alone]


def _spread(x: NDArray[Any], y: NDArray[Any], brightness: Floats, shape: tuple[int, int], n: int) -> Integers:
    """Choose n places: half of them the brightest of each cell of a grid, the others the brightest of all."""
    rank = np.lexsort((x, y, -brightness))
    if len(rank) <= n:
        return rank
    side = np.sqrt(shape[0] * shape[1] / _N_CELLS)
    cell = (y[rank] // side) * shape[1] + x[rank] // side
    order = np.argsort(cell, kind="stable")
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1.0))
    place = np.empty(len(rank), np.intp)  # within the cell, 0 the brightest
    place[order] = np.arange(len(rank)) - np.repeat(starts, np.diff(starts, append=len(rank)))
    first = place < max(1, round(0.5 * n / len(starts)))
    return rank[np.argsort(~first, kind="stable")[:n]]


def _radius(sigma: float) -> int:
    """Give the radius of the stamps that hold a Gaussian window."""
    return int(np.ceil(3.0 * sigma)) + 1


def _stamps(image: Pixels, found: _Candidates, radius: int) -> Floats:
    """Cut square stamps (n, y, x), sky subtracted; what is not finite or off the image is zero."""
    height, width = image.shape
    offset = np.arange(-radius, radius + 1)
    y, x = found.y[:, None] + offset, found.x[:, None] + offset
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    stamps = image[y[:, :, None], x[:, None, :]].astype(np.float64)
    return np.where(inside & np.isfinite(stamps), stamps - found.sky[:, None, None], 0.0)


def _moments(stamps: Floats, dx: Floats, dy: Floats, sigma: Floats | float) -> Floats:
    """Give the moments (n, power of x, power of y), powers 0 to 2, in Gaussian windows about points off the centres."""
    radius = stamps.shape[1] // 2
    bases = []
    for centre in (dx, dy):
        t = np.arange(-radius, radius + 1) - centre[:, None]
        weight = np.exp(-0.5 * (t / np.reshape(sigma, (-1, 1))) ** 2)
        bases.append(np.stack([weight, weight * t, weight * t * t], axis=1))
    rows = np.einsum("nyx,nax->nay", stamps, bases[0])
    return np.einsum("nay,nby->nab", rows, bases[1])


def _covariance(moments: Floats, sigma: Floats | float) -> Floats:
    """Give xx, yy, xy (3, n) of the Gaussian whose product with the window has these moments; NaN where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y, xx, yy, xy = (
            moments[:, i, j] / moments[:, 0, 0] for i, j in ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
        )
        xx, yy, xy = xx - x * x, yy - y * y, xy - x * y
        det = xx * yy - xy * xy
        # Inverse covariances add when Gaussians multiply.
        a, b, c = yy / det - 1.0 / sigma**2, -xy / det, xx / det - 1.0 / sigma**2
        det_inverse = a * c - b * b
        exists = (moments[:, 0, 0] > 0) & (det > 0) & (a > 0) & (c > 0) & (det_inverse > 0)
        return np.where(exists, np.array([c, a, -b]) / det_inverse, np.nan)


def _shapes(image: Pixels, found: _Candidates, sigma: float) -> tuple[Floats, float]:
    """Measure x, y, flux, xx, yy, xy (n, 6) in Gaussian windows as wide as the stars, and give that width too."""
    stamps = _stamps(image, found, _radius(sigma))
    widest = 0.5 * _radius(sigma)  # for these stamps
    dx, dy = np.zeros(len(found.x)), np.zeros(len(found.x))
    for turn in range(_N_TURNS):
        moments = _moments(stamps, dx, dy, sigma)
        total = np.where(moments[:, 0, 0] > 0, moments[:, 0, 0], np.inf)
        # The mean in the window lies half-way between its centre and a star as wide as the window.
        dx += np.clip(2.0 * moments[:, 1, 0] / total, -1.0, 1.0)
        dy += np.clip(2.0 * moments[:, 0, 1] / total, -1.0, 1.0)
        if turn < 2:
            xx, yy, xy = _covariance(moments, sigma)
            known = np.isfinite(xx)
            if known.any():
                typical = float(np.median((xx * yy - xy * xy)[known] ** 0.25))
                sigma = min(max(typical, _MIN_SIGMA_PX), widest)
    covariance = _covariance(moments, sigma)
    covariance[:, np.hypot(dx, dy) > max(2.0, _FWHM_PER_SIGMA * sigma)] = np.nan  # it ran away
    return np.column_stack([found.x + dx, found.y + dy, 2.0 * moments[:, 0, 0], *covariance]), sigma


def _full_shapes(image: Pixels, found: _Candidates, sigma: float, full_adu: float) -> Floats:
    """Measure saturated stars as `_shapes` does others, in windows as wide as their plateaus."""
    stamps = _stamps(image, found, 3 * _radius(sigma))
    top = 0.5 * (full_adu - found.sky)[:, None, None]
    area = np.count_nonzero(stamps > top, axis=(1, 2))
    own = np.maximum(sigma, np.sqrt(area / np.pi))
    stamps = np.minimum(stamps, 2.0 * top)
    dx, dy = np.zeros(len(found.x)), np.zeros(len(found.x))
    for _ in range(_N_TURNS_FULL):
        moments = _moments(stamps, dx, dy, own)
        total = np.where(moments[:, 0, 0] > 0, moments[:, 0, 0], np.inf)
        dx += moments[:, 1, 0] / total
        dy += moments[:, 0, 1] / total
    moments = _moments(stamps, dx, dy, own)
    x, y, flux = found.x + dx, found.y + dy, 2.0 * moments[:, 0, 0]
    covariance = _covariance(moments, own)
    # Charge that runs along columns makes several maxima of one star: full pixels lead from each to the brightest.
    rank = np.lexsort((found.x, found.y, -flux))
    bright, faint = (rank[k] for k in np.triu_indices(len(rank), 1))
    way = np.linspace(0.0, 1.0, 25)[:, None]
    x0, y0 = found.x[faint], found.y[faint]
    x1, y1 = (np.clip(np.rint(value[bright]), 0, n - 1) for value, n in ((x, image.shape[1]), (y, image.shape[0])))
    along_x, along_y = np.rint(x0 + way * (x1 - x0)).astype(np.intp), np.rint(y0 + way * (y1 - y0)).astype(np.intp)
    first, second = image[along_y, x0], image[y1.astype(np.intp), along_x]
    joined = np.minimum(first, second).min(axis=0) >= 0.9 * full_adu
    covariance[:, faint[joined]] = np.nan
    return np.column_stack([x, y, flux, *covariance])


def _starlike(shapes: Floats, full: Booleans, sigma: float) -> Booleans:
    """Say which shapes are stars: about as wide as the others, not much longer in another direction, each only once."""
    x, y, flux, xx, yy, xy = shapes.T
    known = np.isfinite(xx)
    width, e1, e2 = (xx * yy - xy * xy) ** 0.25, (xx - yy) / (xx + yy), 2.0 * xy / (xx + yy)
    good = known & (np.hypot(e1, e2) < 0.92)
    plain = good & ~full
    if plain.any():
        middle, middle1, middle2 = (np.median(value[plain]) for value in (width, e1, e2))
        good &= full | (
            (np.hypot(e1 - middle1, e2 - middle2) < 0.6) & (width > 0.6 * middle) & (width < 2.0 * middle)
        )
    place = np.flatnonzero(good)
    if len(place) > 1:
        place = place[np.lexsort((x[place], y[place], -flux[place]))]
        pairs = cKDTree(shapes[place, :2]).query_pairs(_FWHM_PER_SIGMA * sigma, output_type="ndarray")
        good[place[pairs.max(axis=1)]] = False
    return good


def _peaks(pixels: Pixels, x: Floats, y: Floats, fwhm: float) -> Floats:
    """Give the highest finite pixel within half a FWHM of each position."""
    radius = max(1, round(0.5 * fwhm))
    offset = np.arange(-radius, radius + 1)
    height, width = pixels.shape
    rows = np.clip(np.rint(y).astype(np.intp)[:, None] + offset, 0, height - 1)
    columns = np.clip(np.rint(x).astype(np.intp)[:, None] + offset, 0, width - 1)
    stamps = pixels[rows[:, :, None], columns[:, None, :]].astype(np.float64)
    return np.max(np.where(np.isfinite(stamps), stamps, -np.inf), axis=(1, 2))
