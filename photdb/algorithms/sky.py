"""The sky around sources: clipped medians of the pixels in rings, for stacks of stamps.

The pixels of a ring are turned into whole numbers of 16 bits, the keys, in steps far below their scatter, and sorted;
the median, the clipping and the scatter are then read off ranks. Every stamp is a row of its own: its bits do not
depend on its company.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.stamps import nearest_pixel

Floats = NDArray[np.float64]

#: Sky pixels are left out where they are farther from the median than this many standard deviations.
_CLIP_SIGMA: Final = 3.0
#: A normal distribution cut there keeps this much of its standard deviation.
_KEPT_SCATTER: Final = 0.98658
#: Part of a normal distribution below one standard deviation under its median.
_LOWER_SIGMA: Final = 0.158655
_MIN_PIXELS: Final = 20
_BLOCK_PIXELS: Final = 400_000
_SAMPLE: Final = 256
#: Keys: the sample's median, and what is no sky (no pixel, or more than 384 quartile distances above the sky).
_MIDDLE: Final = 16384
_UNUSED: Final = 65535


def ring_sky(
    stack: NDArray[Any], items: NDArray[np.intp], x: Floats, y: Floats, *, inner_px: float, outer_px: float
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Measure the sky in a ring of some stamps.

    It is the median of the pixels whose centres lie in the ring, inner ≤ r < outer, clipped at 3 σ about the median
    until nothing more is left out; σ is the median's distance to the 15.9th percentile, which stars do not raise. A
    value that several pixels share (integers) counts as spread evenly half-way to its neighbours, so that the median
    of a sky with a scatter of 1 ADU is not a whole number.

    Parameters
    ----------
    stack : array (n, h, w)
        As `photdb.algorithms.stamps.as_stack` gives it; NaN off the frame and where pixels are not usable.
    items : array (k,)
        Which stamps.
    x, y : array (k,)
        Positions in pixels of the stamps.
    inner_px, outer_px : float
        The ring.

    Returns
    -------
    sky_adu, scatter_adu : array (k,)
        The sky and the standard deviation of one pixel, corrected for the clipping; NaN for fewer than 20 pixels.
    n_sky : array (k,)
        The number of pixels that were kept.

    Notes
    -----
    Clipping about the median: Stetson 1987, PASP 99, 191, and Da Costa 1992, ASP Conf. Ser. 23, 90. Of normal data, the
    variance of the result is 1.6 (about π/2) σ² / n_sky, rounded to integers or not.
    """
    sky, scatter, n_sky = np.empty(items.size), np.empty(items.size), np.empty(items.size, dtype=np.int64)
    step = int(np.clip(_BLOCK_PIXELS / (np.pi * outer_px**2), 16, 4096))
    for first in range(0, items.size, step):
        part = slice(first, first + step)
        sky[part], scatter[part], n_sky[part] = _block(
            _ring_pixels(stack, items[part], x[part], y[part], inner_px, outer_px)
        )
    return sky, scatter, n_sky


def _block(values: NDArray[Any]) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Give sky, scatter and number of pixels of rows of values, which are overwritten; infinity is no pixel."""
    # 16-bit keys, in steps of 1/64 to 1/128 of the quartiles' distance; integers stay apart and keep their ties
    step = max(1, values.shape[1] // _SAMPLE)
    sample = np.sort(values[:, ::step], axis=-1)
    middle, unit = _scale(sample)
    if step == 1:
        values = sample  # keys of values in order are in order
    values -= middle[:, None]
    values *= (1.0 / unit)[:, None]
    values += _MIDDLE + 0.5
    np.clip(values, 0.0, _UNUSED, out=values)
    rows, width = len(values), values.shape[1] + 1
    # numpy sorts 32 bits several times as fast as 16
    keys = np.full((rows, width), _UNUSED, dtype=np.int32)  # one key more, for sums that end at the row's end
    keys[:, :-1] = values
    if step > 1:
        keys.sort(axis=-1)
    # all rows as one ascending sequence, so that one search finds the ranks of keys in every row
    row_key = np.arange(rows, dtype=np.int32) << 16
    ascending = (keys + row_key[:, None]).ravel()
    centre, lo, hi = _clip(keys.ravel(), ascending, row_key)

    n_sky = hi - lo
    values = np.subtract(keys, centre.astype(np.float32)[:, None], dtype=np.float32)
    values *= values
    total = np.add.reduceat(values.ravel(), np.stack([lo, hi], axis=1).ravel())[::2]
    scatter = np.sqrt(total / np.maximum(n_sky - 1, 1)) / _KEPT_SCATTER * unit
    sky = middle + (centre - _MIDDLE) * unit
    enough = n_sky >= _MIN_PIXELS
    return np.where(enough, sky, np.nan), np.where(enough, scatter, np.nan), n_sky


def _clip(
    keys: NDArray[np.int32], ascending: NDArray[np.int32], row_key: NDArray[np.int32]
) -> tuple[Floats, NDArray[np.intp], NDArray[np.intp]]:
    """Clip sorted rows of keys about their medians; give the medians, and where the kept keys start and stop."""

    def rank(key: NDArray[Any], row: NDArray[np.int32]) -> NDArray[np.intp]:
        return np.searchsorted(ascending, (key + row).astype(np.int32))

    fraction = np.array([[0.5], [_LOWER_SIGMA]])
    start_of, stop_of = rank(np.array([[0], [_UNUSED]]), row_key)
    centre_of, rows = np.empty(row_key.size), np.arange(row_key.size)
    while rows.size:
        row, lo, hi = row_key[rows], start_of[rows], stop_of[rows]
        # where the quantiles lie in the runs of equal keys that hold them, a run reaching half-way to its neighbours
        position = lo + fraction * (hi - lo)
        key = keys[np.minimum(position.astype(np.intp), np.maximum(hi - 1, lo))].astype(np.int64)
        start, stop = rank(np.stack([key, key + 1]), row)
        start, stop = np.maximum(start, lo), np.minimum(stop, hi)
        below = np.where(start > lo, key - keys[np.maximum(start - 1, 0)], 0)
        above = np.where(stop < hi, keys[np.minimum(stop, keys.size - 1)] - key, below)
        below = np.where(start > lo, below, above)
        spread = (position - start) / np.maximum(stop - start, 1)
        centre, lower = key + 0.5 * ((below + above) * spread - below)
        reach = _CLIP_SIGMA * (centre - lower)
        limits = np.stack([np.ceil(centre - reach), np.floor(centre + reach) + 1.0])
        low, high = rank(np.clip(limits, 0, _UNUSED).astype(np.int64), row)
        low, high = np.maximum(lo, low), np.minimum(hi, high)
        centre_of[rows], start_of[rows], stop_of[rows] = centre, low, high
        rows = rows[(low != lo) | (high != hi)]
    return centre_of, start_of, stop_of


def _scale(sample: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Roughly the median of each sorted row, and a power of two 1/64 to 1/128 of its quartiles' distance."""
    last = np.maximum(np.count_nonzero(np.isfinite(sample), axis=-1) - 1, 0)
    row = np.arange(len(sample))
    middle, low, high = sample[row, last // 2], sample[row, last // 4], sample[row, last - last // 4]
    middle, low, high = (np.where(np.isfinite(v), v, 0.0).astype(sample.dtype) for v in (middle, low, high))
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
    stack: NDArray[Any], items: NDArray[np.intp], x: Floats, y: Floats, inner: float, outer: float
) -> NDArray[Any]:
    """Gather the pixels in the rings of some stamps, (k, K); infinity where there is none."""
    _, h, w = stack.shape
    x_centre, y_centre = nearest_pixel(x), nearest_pixel(y)
    largest = int(np.ceil(outer))
    steps = np.arange(-largest, largest + 1)
    distance = np.hypot(steps[:, None], steps)
    # the position is at most half a pixel's diagonal from the centre of its pixel
    slack = np.sqrt(0.5) + 1e-9
    candidate = (distance >= inner - slack) & (distance < outer + slack)
    certain = (distance >= inner + slack) & (distance < outer - slack)
    order = zip(np.nonzero(certain), np.nonzero(candidate & ~certain), strict=True)
    dy, dx = (np.concatenate(v) - largest for v in order)
    start = (items * h + y_centre) * w + x_centre
    values: NDArray[Any] = stack.reshape(-1).take(start[:, None] + (dy * w + dx), mode="clip")
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
