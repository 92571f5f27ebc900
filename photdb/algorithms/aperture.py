"""Aperture photometry of stacks of stamps: exact sums over circles, the sky of their rings, errors and flags.

Positions are in the stamp's own pixels, as in `photdb.algorithms.centroid`. The area that a circle and a pixel share is a mixed
difference, over the pixel's four corners, of the circle's area below and left of a point, which is a sum of functions of
x and of y: all weights of a stamp cost a few additions a pixel and no branches. The sky of a ring is read off 16-bit keys
that a radix sort puts in order, so that its median, its clipping and its scatter need one sort.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.centroid import padded, take_boxes
from photdb.algorithms.flags import Flag

Floats = NDArray[np.float64]

#: Sky pixels are left out where they are farther from the median than this many standard deviations.
CLIP_SIGMA: Final = 3.0
#: A normal distribution cut at three standard deviations keeps this much of its standard deviation.
_KEPT_SCATTER: Final = 0.98658
#: Below it (normal: one standard deviation under the median).
_LOWER_SIGMA: Final = 0.158655
_MIN_SKY: Final = 20
_BLOCK: Final = 128
_RING_BLOCK: Final = 300_000
_SAMPLE: Final = 256
#: Keys: the sample's median, and what is no sky (no pixel, or more than 384 quartile distances above the sky).
_MIDDLE: Final = 16384
_UNUSED: Final = 65535


@dataclass(frozen=True, slots=True)
class Apertures:
    """Fluxes of n sources in P apertures; all arrays have shape (n, P).

    `flux_adu` is the sum less `sky_adu` times `area_px`; NaN without sky or position. `area_px` and `noise_area_px` are the
    sums of the usable pixels' weights and of their squares. `sky_scatter_adu` is the standard deviation of the `n_sky`
    sky pixels that were kept.
    """

    flux_adu: Floats
    sky_adu: Floats
    sky_scatter_adu: Floats
    n_sky: NDArray[np.int64]
    area_px: Floats
    noise_area_px: Floats
    flags: NDArray[np.int64]


def circle_overlap(dx: ArrayLike, dy: ArrayLike, radius: ArrayLike) -> Floats:
    """Area that a unit pixel shares with a circle.

    Parameters
    ----------
    dx, dy : array
        The pixel's centre less the circle's.
    radius : array
        Of the circle, in pixels; all three are broadcast.

    Returns
    -------
    array
        Between 0 and 1, exact to some 1e-15 radius².

    Raises
    ------
    ValueError
        If a radius is not positive.

    Notes
    -----
    With a(t) = (t √(r² − t²) + r² asin(t/r)) / 2, the circle's area where X ≤ x and Y ≤ y is x y + a(x) + a(y) + π r²/4 for
    a point inside the circle; outside, it is the area left of x, that below y, what they have in common, or nothing.
    """
    dx, dy, radius = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (dx, dy, radius)))
    if not np.all(radius > 0):
        raise ValueError("radii must be positive")
    shape = dx.shape
    x, y = (np.stack([v.ravel() - 0.5, v.ravel() + 0.5]) for v in (dx, dy))
    return _overlaps(x, y, radius.ravel())[0, 0].reshape(shape)


def measure_apertures(
    stamps: NDArray[Any],
    x: ArrayLike,
    y: ArrayLike,
    *,
    radii_px: ArrayLike,
    annulus_inner_px: ArrayLike,
    annulus_outer_px: ArrayLike,
    origin_px: ArrayLike | None = None,
    frame_shape: tuple[int, int] | None = None,
) -> Apertures:
    """Measure the flux of n sources in P apertures, each with the sky of its ring.

    The sky is the median of the pixels whose centres lie in the ring, inner ≤ r < outer, clipped at 3 σ about the median until
    nothing more is left out; σ is the median's distance to the 15.9th percentile, which stars do not raise. Pixels of
    equal value (integers) are taken as spread evenly half-way to the next values, so that the median of a sky of 1 ADU
    scatter is not a whole number. Rings that several apertures share are measured once.

    Parameters
    ----------
    stamps : array (n, h, w)
        Pixels in ADU; NaN off the frame and where they are not usable.
    x, y : array (n,)
        Positions in pixels of the stamps. One that is not finite gives `NO_POSITION`.
    radii_px, annulus_inner_px, annulus_outer_px : float or array (P,)
        The apertures.
    origin_px : array (n, 2), optional
        Where each stamp's first pixel lies in the frame, (x, y); without it the stamps' borders are the frame's.
    frame_shape : tuple of int, optional
        Height and width of the frame, with `origin_px`.

    Returns
    -------
    Apertures
        A sum over the edge (`EDGE`) or over unusable pixels in the frame or a too small stamp (`NONFINITE`) is that
        of the pixels there are. `NO_SKY`: fewer than 20 sky pixels.

    Raises
    ------
    ValueError
        If `stamps` is not a stack, a radius is not positive, a ring not wider than nothing, or one of `origin_px`
        and `frame_shape` is missing.

    Notes
    -----
    Clipping about the median: Stetson 1987, PASP 99, 191; Da Costa 1992, ASP Conf. Ser. 23, 90.
    """
    if stamps.ndim != 3:
        raise ValueError("stamps must have shape (n, h, w)")
    if (origin_px is None) != (frame_shape is None):
        raise ValueError("origin_px and frame_shape go together")
    radii, inner, outer = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (radii_px, annulus_inner_px, annulus_outer_px))
    )
    if not (np.all(radii > 0) and np.all(inner >= 0) and np.all(outer > inner)):
        raise ValueError("radii must be positive, and rings wider inside than 0 and outside than inside")
    n, p = len(stamps), len(radii)
    x, y = (np.broadcast_to(np.asarray(v, dtype=np.float64), (n,)) for v in (x, y))
    stamps = np.ascontiguousarray(stamps)
    height, width = stamps.shape[1:] if frame_shape is None else frame_shape
    origin = np.zeros((n, 2)) if origin_px is None else np.asarray(origin_px, dtype=np.float64)
    # how far it is from each position to the nearest edge of the frame
    room = np.minimum(
        np.minimum(x + origin[:, 0], width - 1 - x - origin[:, 0]),
        np.minimum(y + origin[:, 1], height - 1 - y - origin[:, 1]),
    )
    room = room[:, None] + 0.5

    raw, area, noise_area = (np.full((n, p), v) for v in (np.nan, 0.0, 0.0))
    sky, scatter, n_sky = np.full((n, p), np.nan), np.full((n, p), np.nan), np.zeros((n, p), dtype=np.int64)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    for start in range(0, known.size, _BLOCK):
        block = known[start : start + _BLOCK]
        items = padded(block)
        sums = _sums(stamps, items, x[items], y[items], radii)
        raw[block], area[block], noise_area[block] = (v[: block.size] for v in sums)
    for ring in sorted(set(zip(inner.tolist(), outer.tolist(), strict=True))):
        its = (inner == ring[0]) & (outer == ring[1])
        step = max(16, int(_RING_BLOCK / (np.pi * ring[1] ** 2)))
        for start in range(0, known.size, step):
            block = known[start : start + step]
            values = _ring_sky(stamps, block, x[block], y[block], *ring)
            for array, value in zip((sky, scatter, n_sky), values, strict=True):
                array[np.ix_(block, its)] = value[:, None]

    flux = np.where(area > 0, raw - sky * area, np.nan)
    lost = np.pi * radii**2 - area > 1e-6
    flags = np.zeros((n, p), dtype=np.int64)
    for flag, where in (
        (Flag.EDGE, radii > room),
        (Flag.RING_EDGE, outer > room),
        (Flag.NONFINITE, lost & (radii <= room)),
        (Flag.NO_SKY, np.isnan(sky)),
        (Flag.NOT_POSITIVE, flux <= 0),
    ):
        flags[where] |= flag
    flags[~(np.isfinite(x) & np.isfinite(y))] = Flag.NO_POSITION
    return Apertures(flux, sky, scatter, n_sky, area, noise_area, flags)


def flux_error(
    flux_adu: ArrayLike,
    *,
    area_px: ArrayLike,
    noise_area_px: ArrayLike,
    sky_scatter_adu: ArrayLike,
    n_sky: ArrayLike,
    gain_e_per_adu: float | None = None,
    read_noise_e: float | None = None,
) -> Floats:
    """Standard error of fluxes, by the CCD equation; needs no pixels.

    The variance is flux / gain + Σw² σ² + (Σw)² (π/2) σ² / n_sky. σ is the measured scatter of the sky's pixels, which holds sky
    photons, read noise and rounding, but not less than read noise and rounding to whole ADU give where the read noise is
    known; π/2 is the variance of a median against that of a mean.

    Parameters
    ----------
    flux_adu, area_px, noise_area_px, sky_scatter_adu, n_sky : array
        As in `Apertures`, of any shapes that broadcast.
    gain_e_per_adu : float, optional
        Taken as 1 where it is not known.
    read_noise_e : float, optional
        Of one pixel.

    Returns
    -------
    array
        In ADU; NaN without flux or sky.

    Notes
    -----
    Merline & Howell 1995, Exp. Astron. 6, 163, with the weights of exact overlap: Σw² stands for their number of pixels.
    """
    flux, area, noise_area, scatter, n = (
        np.asarray(v, dtype=np.float64) for v in (flux_adu, area_px, noise_area_px, sky_scatter_adu, n_sky)
    )
    gain = 1.0 if gain_e_per_adu is None else gain_e_per_adu
    floor = 0.0 if read_noise_e is None else np.sqrt((read_noise_e / gain) ** 2 + 1.0 / 12.0)
    pixel = np.maximum(scatter, floor) ** 2
    return np.sqrt(np.maximum(flux, 0.0) / gain + pixel * (noise_area + area**2 * (np.pi / 2) / np.maximum(n, 1)))


def _overlaps(x: Floats, y: Floats, radius: Any) -> Floats:
    """Weights (h, w, k) of the pixels between edges x (w + 1, k) and y (h + 1, k), relative to the circle's centre."""
    quarter = np.pi * radius**2 / 4
    area_x, area_y = _half_segment(x, radius), _half_segment(y, radius)
    right, above = (x >= 0).astype(np.float64), (y >= 0).astype(np.float64)
    inside = (y * y)[:, None] + x * x < radius**2
    within = y[:, None] * x
    within += area_x + quarter
    within += area_y[:, None]
    beyond = above[:, None] * (2 * area_x + (2 - 4 * right) * quarter)
    beyond += right * (2 * (area_y + quarter))[:, None]
    corner = np.where(inside, within, beyond)
    strip = corner[1:] - corner[:-1]
    return np.clip(strip[:, 1:] - strip[:, :-1], 0.0, 1.0)


def _half_segment(t: Floats, radius: Any) -> Floats:
    """Integrate √(r² − t²) from 0 to t, which ends at the circle."""
    t = np.clip(t, -radius, radius)
    area: Floats = 0.5 * (t * np.sqrt(radius**2 - t * t) + radius**2 * np.arcsin(t / radius))
    return area


def _sums(
    stamps: NDArray[Any], items: NDArray[np.intp], x: Floats, y: Floats, radii: Floats
) -> tuple[Floats, Floats, Floats]:
    """Sum pixels, weights and squared weights of one padded block of stamps over circles: three arrays (k, P)."""
    largest = int(np.ceil(radii.max()))
    x_centre, y_centre = _nearest_pixel(x), _nearest_pixel(y)
    box = take_boxes(stamps, items, x_centre - largest, y_centre - largest, 2 * largest + 1).astype(np.float64)
    bad = np.isnan(box)
    usable = None
    if bad.any():
        usable, box = ~bad, np.where(bad, 0.0, box)
    edges = np.arange(-largest, largest + 2)[:, None] - 0.5
    x_edges, y_edges = edges + (x_centre - x), edges + (y_centre - y)
    sums = np.empty((3, items.size, radii.size))
    for i, radius in enumerate(radii):
        margin = largest - int(np.ceil(radius))
        part = slice(margin, 2 * largest + 1 - margin)
        part_edges = slice(margin, 2 * largest + 2 - margin)
        weights = _overlaps(x_edges[part_edges], y_edges[part_edges], radius)
        if usable is not None:
            weights *= usable[part, part]
        sums[0, :, i] = np.einsum("yxk,yxk->k", weights, box[part, part])
        sums[1, :, i] = np.einsum("yxk->k", weights)
        sums[2, :, i] = np.einsum("yxk,yxk->k", weights, weights)
    return sums[0], sums[1], sums[2]


def _nearest_pixel(v: Floats) -> NDArray[np.intp]:
    return np.rint(np.clip(v, -1e6, 1e6)).astype(np.intp)


def _ring_sky(
    stamps: NDArray[Any], items: NDArray[np.intp], x: Floats, y: Floats, inner: float, outer: float
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Clipped median, scatter and number of the pixels in the rings of some stamps: three arrays (k,)."""
    values = _ring_pixels(stamps, items, x, y, inner, outer)
    # 16-bit keys, in steps of 1/64 to 1/128 of the quartiles' distance; integers stay apart and keep their ties
    middle, unit = _scale(values)
    values -= middle[:, None]
    values *= (1.0 / unit)[:, None]
    values += _MIDDLE + 0.5
    np.clip(values, 0.0, _UNUSED, out=values)
    rows, width = len(values), values.shape[1] + 1
    keys = np.full((rows, width), _UNUSED, dtype=np.uint16)  # one key more, for sums that end at the row's end
    keys[:, :-1] = values
    keys.sort(axis=-1, kind="stable")
    # all rows as one ascending sequence, so that one search finds the ranks of keys in every row
    row_key = np.arange(rows) << 16
    ascending = (keys + row_key.astype(np.uint32)[:, None]).ravel()
    centre, lo, hi = _clip(keys.ravel(), ascending, row_key)

    n_sky = hi - lo
    values = np.subtract(keys, centre.astype(np.float32)[:, None], dtype=np.float32)
    values *= values
    total = np.add.reduceat(values.ravel(), np.stack([lo, hi], axis=1).ravel())[::2]
    scatter = np.sqrt(total / np.maximum(n_sky - 1, 1)) / _KEPT_SCATTER * unit
    sky = middle + (centre - _MIDDLE) * unit
    enough = n_sky >= _MIN_SKY
    return np.where(enough, sky, np.nan), np.where(enough, scatter, np.nan), n_sky


def _clip(
    keys: NDArray[np.uint16], ascending: NDArray[np.uint32], row_key: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
    """Clip sorted rows of keys about their medians; give the medians, and where the kept keys start and stop."""

    def rank(key: NDArray[Any]) -> NDArray[np.intp]:
        return np.searchsorted(ascending, (key + row_key).astype(np.uint32))

    fraction = np.array([[0.5], [_LOWER_SIGMA]])
    lo, hi = rank(np.array([[0], [_UNUSED]]))
    while True:
        # where the quantiles lie in the runs of equal keys that hold them, a run reaching half-way to its neighbours
        position = lo + fraction * (hi - lo)
        key = keys[np.minimum(position.astype(np.intp), np.maximum(hi - 1, lo))].astype(np.int64)
        start, stop = rank(np.stack([key, key + 1]))
        start, stop = np.maximum(start, lo), np.minimum(stop, hi)
        below = np.where(start > lo, key - keys[np.maximum(start - 1, 0)], 0)
        above = np.where(stop < hi, keys[np.minimum(stop, keys.size - 1)] - key, below)
        below = np.where(start > lo, below, above)
        spread = (position - start) / np.maximum(stop - start, 1)
        centre, lower = key + 0.5 * ((below + above) * spread - below)
        reach = CLIP_SIGMA * (centre - lower)
        limits = np.stack([np.ceil(centre - reach), np.floor(centre + reach) + 1.0])
        low, high = rank(np.clip(limits, 0, _UNUSED).astype(np.int64))
        low, high = np.maximum(lo, low), np.minimum(hi, high)
        if np.array_equal(low, lo) and np.array_equal(high, hi):
            return centre, lo, hi
        lo, hi = low, high


def _scale(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Roughly the median of each row, and a power of two 1/64 to 1/128 of its quartiles' distance, from a sample."""
    sample = np.sort(values[:, :: max(1, values.shape[1] // _SAMPLE)], axis=-1)
    last = np.maximum(np.count_nonzero(np.isfinite(sample), axis=-1) - 1, 0)
    row = np.arange(len(sample))
    middle, low, high = sample[row, last // 2], sample[row, last // 4], sample[row, last - last // 4]
    middle, low, high = (np.where(np.isfinite(v), v, 0.0).astype(values.dtype) for v in (middle, low, high))
    distance = high - low
    tied = np.flatnonzero(distance == 0)
    if tied.size:
        # more than half of them equal: the least step between two values
        part = np.where(np.isfinite(sample[tied]), sample[tied], middle[tied, None])
        steps = np.abs(np.diff(np.sort(part, axis=-1), axis=-1))
        steps = np.where(steps > 0, steps, np.inf).min(axis=-1, initial=np.inf)
        distance[tied] = np.where(np.isfinite(steps), steps, 1.0)
    return middle, np.ldexp(np.ones_like(distance), np.frexp(distance)[1] - 7)


def _ring_pixels(
    stamps: NDArray[Any], items: NDArray[np.intp], x: Floats, y: Floats, inner: float, outer: float
) -> NDArray[Any]:
    """Gather the pixels in the rings of some stamps, (k, K); infinity where there is none."""
    _, h, w = stamps.shape
    x_centre, y_centre = _nearest_pixel(x), _nearest_pixel(y)
    largest = int(np.ceil(outer))
    steps = np.arange(-largest, largest + 1)
    distance = np.hypot(steps[:, None], steps)
    # the position is at most half a pixel's diagonal from the centre of its pixel
    slack = np.sqrt(0.5) + 1e-9
    candidate = (distance >= inner - slack) & (distance < outer + slack)
    certain = (distance >= inner + slack) & (distance < outer - slack)
    dy, dx = (np.concatenate(v) - largest for v in zip(np.nonzero(certain), np.nonzero(candidate & ~certain), strict=True))
    start = (items * h + y_centre) * w + x_centre
    values = stamps.reshape(-1).take(start[:, None] + (dy * w + dx), mode="clip")
    over = np.flatnonzero(
        (x_centre < largest) | (y_centre < largest) | (x_centre >= w - largest) | (y_centre >= h - largest)
    )
    if over.size:
        rows, columns = y_centre[over, None] + dy, x_centre[over, None] + dx
        values[over] = np.where((rows >= 0) & (rows < h) & (columns >= 0) & (columns < w), values[over], np.inf)
    bad = np.isnan(values)
    if bad.any():
        values[bad] = np.inf
    rim = slice(int(certain.sum()), None)
    radius2 = (dx[rim] + (x_centre - x)[:, None]) ** 2 + (dy[rim] + (y_centre - y)[:, None]) ** 2
    values[:, rim][(radius2 < inner**2) | (radius2 >= outer**2)] = np.inf
    return values
