"""Centroids of sources in stacks of stamps: a local maximum near the expected position, then a 2-D Gaussian.

Positions are in the stamp's own pixels (0-based, the centre of its first pixel is (0, 0)); the caller adds where the
stamp was cut. A centroid that cannot be had, or is somebody else's, is the expected position with a flag.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.flags import Flag
from photdb.algorithms.gaussian import MIN_PIXELS, fit_gaussians
from photdb.algorithms.stamps import as_stack, nearest_pixel, padded, take_boxes

Floats = NDArray[np.float64]

FWHM_PER_SIGMA: Final = float(2.0 * np.sqrt(2.0 * np.log(2.0)))
_GRID: Final = 2.0**30
#: Stamps fitted at once, the more the better; and searched at once, so that their boxes stay in the cache.
_BLOCK: Final = 2048
_CACHED: Final = 512
#: F of the fit against a constant. A fit to nothing but noise, which chooses its peak, exceeds 6 once in a thousand.
_MIN_SIGNIFICANCE: Final = 7.0
#: Of the start's height above the lowest median, in units of the pixels' noise; noise alone reaches 2.5.
_MIN_CONTRAST: Final = 4.0


@dataclass(frozen=True, slots=True)
class Centroids:
    """Where n sources are in their stamps; all arrays have shape (n,).

    `fwhm_px` is the geometric mean of those along x and y, `elongation` the larger over the smaller. Where `flags` is
    not 0, `x_px` and `y_px` are the expected position and the fitted values are NaN.
    """

    x_px: Floats
    y_px: Floats
    fwhm_px: Floats
    elongation: Floats
    amplitude_adu: Floats
    background_adu: Floats
    peak_adu: Floats
    flags: NDArray[np.int64]


def centroids(
    stamps: NDArray[Any],
    x_expected: ArrayLike,
    y_expected: ArrayLike,
    *,
    fwhm_px: ArrayLike,
    search_px: int,
    max_offset_px: ArrayLike = 1.0,
    saturation_adu: float | None = None,
) -> Centroids:
    """Measure where n sources are.

    The start is the brightest local maximum of the stamp's 3 × 3 median (deaf to hot pixels and cosmic rays) within
    `max_offset_px` of the expected position, or else in the whole search box. A Gaussian with its axes along x and y on
    a constant is fitted by least squares to the 2r+1 pixels square around it, r = 1.2 FWHM, without pixels that are
    not finite, saturated, or single spikes no star of this FWHM can have. The expected position is kept, with a flag,
    where nothing stands out (`NO_PEAK`), where the fit fails or its width is not within a factor 3 of `fwhm_px`
    (`FIT_FAILED`), and where it ends farther than `max_offset_px` from the expected position (`CAPTURED`; for a faint
    source, farther by three times its error, and `NO_PEAK` in between).

    Parameters
    ----------
    stamps : array (n, h, w)
        Pixels in ADU; NaN off the frame and where they are not usable.
    x_expected, y_expected : array (n,)
        Expected positions in pixels of the stamps. One that is not finite gives `NO_POSITION`.
    fwhm_px : float or array (n,)
        FWHM of the stars of the frame.
    search_px : int
        Half-size of the search box: it is 2 `search_px` + 1 pixels square.
    max_offset_px : float or array (n,)
        How far from the expected position a source can really be.
    saturation_adu : float, optional
        Pixels at or above it are left out of the fit.

    Returns
    -------
    Centroids
        `peak_adu` is the highest pixel within one FWHM of the position.

    Raises
    ------
    ValueError
        If `stamps` is not a stack, `search_px` is below 1, or an FWHM is not positive.

    Notes
    -----
    Uniform weights: the standard error of x is the Cramér–Rao bound, √(2/π) σ_pixel / amplitude, for sources fainter
    than their sky, and 4/3 of the bound, 0.42 FWHM / √N, for sources of N electrons far above it.
    """
    if search_px < 1:
        raise ValueError("search_px must be at least 1")
    stack = as_stack(stamps)
    n = len(stack)
    x, y, fwhm, reach = (
        np.broadcast_to(np.asarray(a, dtype=np.float64), (n,)) for a in (x_expected, y_expected, fwhm_px, max_offset_px)
    )
    if not np.all(fwhm > 0):
        raise ValueError("fwhm_px must be positive")
    values, flags = np.full((7, n), np.nan), np.full(n, int(Flag.NO_POSITION), dtype=np.int64)
    radius = np.maximum(3, np.ceil(1.2 * fwhm)).astype(np.intp)
    known = np.isfinite(x) & np.isfinite(y)
    for r in np.unique(radius[known]).tolist():
        group = np.flatnonzero(known & (radius == r))
        for first in range(0, group.size, _BLOCK):
            block = group[first : first + _BLOCK]
            items = padded(block)
            part, part_flags = _measure(
                stack, items, x[items], y[items], fwhm[items], reach[items], r, search_px, saturation_adu
            )
            values[:, block], flags[block] = part[:, : block.size], part_flags[: block.size]
    x_px, y_px, width, elongation, amplitude, background, peak = values
    return Centroids(x_px, y_px, width, elongation, amplitude, background, peak, flags)


def _measure(
    stack: NDArray[Any],
    items: NDArray[np.intp],
    x_expected: Floats,
    y_expected: Floats,
    fwhm: Floats,
    reach: Floats,
    radius: int,
    search_px: int,
    saturation_adu: float | None,
) -> tuple[Floats, NDArray[np.int64]]:
    """Measure one padded block of stamps that share a fit radius: the columns of `Centroids` (7, k), and the flags."""
    searches = [
        _local_maximum(stack, items[part], x_expected[part], y_expected[part], reach[part], search_px)
        for part in (slice(first, first + _CACHED) for first in range(0, items.size, _CACHED))
    ]
    x_peak, y_peak, any_peak = (np.concatenate(values) for values in zip(*searches, strict=True))
    box = take_boxes(stack, items, x_peak - radius - 1, y_peak - radius - 1, 2 * radius + 3)
    filled = _filled(box)
    smooth = _median9(filled)
    # beside missing pixels the median means little: NaN there
    excess = box[1:-1, 1:-1] - (smooth if filled is box else _median9(box))
    box = box[1:-1, 1:-1]
    above = smooth - smooth.min(axis=(0, 1))
    spikes, noise = _spikes(above, excess, fwhm)
    usable = ~(np.isnan(box) | spikes)
    if saturation_adu is not None:
        usable &= ~(box >= saturation_adu)
    middle = above[radius - 1 : radius + 2, radius - 1 : radius + 2]
    fit = fit_gaussians(
        np.where(usable, box, 0.0).astype(np.float64),
        usable.astype(np.float64),
        x=_parabola(np.einsum("yxk->xk", middle)),
        y=_parabola(np.einsum("yxk->yk", middle)),
        sigma=fwhm / FWHM_PER_SIGMA,
    )
    amplitude, dx, dy, sigma_x, sigma_y, background = fit.parameters
    # To a billionth of a pixel: the sums below, and the caller's to the frame's own pixels, are then exact, so that the
    # position has the same bits wherever the stamp was cut.
    x, y = x_peak + np.rint(dx * _GRID) / _GRID, y_peak + np.rint(dy * _GRID) / _GRID
    width = FWHM_PER_SIGMA * np.sqrt(np.abs(sigma_x * sigma_y))
    offset = np.hypot(x - x_expected, y - y_expected)

    significant = any_peak & (fit.significance > _MIN_SIGNIFICANCE) & (amplitude > 0)
    sane = fit.converged & (width > fwhm / 3) & (width < 3 * fwhm)
    flags = np.zeros(items.size, dtype=np.int64)
    odd = np.flatnonzero(~(significant & sane & (offset <= reach)))
    if odd.size:
        # by the pixels' own noise, as the fit's residuals may be a neighbour
        error = np.sqrt(2.0 / np.pi) * noise[odd] / np.maximum(amplitude[odd], 1e-30)
        stands_out = significant[odd] | (above[radius, radius, odd] > _MIN_CONTRAST * noise[odd])
        doubt = np.where(error > 0.1, 3.0 * error, 0.0)  # its own noise makes no neighbour of a faint source
        away = offset[odd] > reach[odd]
        flags[odd] = np.select(
            [
                fit.n_pixels[odd] < MIN_PIXELS,
                ~any_peak[odd],  # nothing but the slope of something outside the search box
                ~stands_out,
                offset[odd] > reach[odd] + doubt,
                away & sane[odd],
            ],
            [Flag.FIT_FAILED, Flag.CAPTURED, Flag.NO_PEAK, Flag.CAPTURED, Flag.NO_PEAK],
            Flag.FIT_FAILED,
        )
    values = np.empty((7, items.size))
    values[0], values[1] = np.where(flags == 0, [x, y], [x_expected, y_expected])
    values[2], values[3] = width, np.maximum(sigma_x, sigma_y) / np.minimum(sigma_x, sigma_y)
    values[4], values[5] = amplitude, background
    values[2:6, flags != 0] = np.nan
    values[6] = _peak(stack, items, values[0], values[1], fwhm, radius)
    return values, flags


def _local_maximum(
    stack: NDArray[Any], items: NDArray[np.intp], x: Floats, y: Floats, reach: Floats, search_px: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Find the brightest local maximum of the 3 × 3 median, first within reach of the expected position."""
    x_first, y_first = (nearest_pixel(v) - search_px for v in (x, y))
    size = 2 * search_px + 1
    smooth = _median9(_filled(take_boxes(stack, items, x_first - 2, y_first - 2, size + 4)))
    across = np.maximum(np.maximum(smooth[:, :-2], smooth[:, 1:-1]), smooth[:, 2:])
    highest = np.maximum(np.maximum(across[:-2], across[1:-1]), across[2:])
    smooth = smooth[1:-1, 1:-1]
    steps = np.arange(size)[:, None]
    distance2 = ((y_first + steps - y) ** 2)[:, None, :] + (x_first + steps - x) ** 2
    maximum = smooth == highest  # false where the box holds nothing but NaN
    # the nearest pixel to a source within reach is at most 0.71 px farther
    near = maximum & (distance2 <= (reach + 0.75) ** 2)
    allowed = near | (maximum & ~near.any(axis=(0, 1)))
    best = np.where(allowed, smooth, -np.inf).max(axis=(0, 1))
    # plateaus of equal values (integers, saturation): the pixel nearest to the expected position, then the first
    at = np.where(allowed & (smooth == best), distance2, np.inf).reshape(size * size, -1).argmin(axis=0)
    return x_first + at % size, y_first + at // size, maximum.any(axis=(0, 1))


def _filled(box: Floats) -> Floats:
    """Replace NaN by the lowest pixel of the box: no maximum is found there."""
    bad = np.isnan(box)
    if bad.any():
        box = np.where(bad, np.fmin.reduce(box, axis=(0, 1)), box)
    return box


def _median9(box: Floats) -> Floats:
    """Take the median of every 3 × 3 pixels, (h, w, k) to (h−2, w−2, k): sort columns of three, then merge three."""
    top, middle, bottom = box[:-2], box[1:-1], box[2:]
    low, high = np.minimum(top, middle), np.maximum(top, middle)
    middle = np.maximum(low, np.minimum(high, bottom))
    low, high = np.minimum(low, bottom), np.maximum(high, bottom)
    return _median3(
        np.maximum(np.maximum(low[:, :-2], low[:, 1:-1]), low[:, 2:]),
        _median3(middle[:, :-2], middle[:, 1:-1], middle[:, 2:]),
        np.minimum(np.minimum(high[:, :-2], high[:, 1:-1]), high[:, 2:]),
    )


def _median3(a: Floats, b: Floats, c: Floats) -> Floats:
    median: Floats = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return median


def _spikes(above: Floats, excess: Floats, fwhm: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Find pixels that cannot be a star's; give the noise of a pixel as well.

    Of a Gaussian, a pixel is at most exp(4 ln 2 / FWHM²) times the median of its neighbourhood; what is twice that and
    far above the usual difference is a hot pixel or a cosmic ray.
    """
    size = np.abs(np.where(np.isnan(excess), 0.0, excess))
    n = size.shape[0] * size.shape[1]
    usual = np.einsum("yxk->k", size) / n
    # a mean with large ones cut down, as a median of integers may be 0
    usual = np.einsum("yxk->k", np.minimum(size, 2.0 * usual)) / n
    steepest = 2.0 * np.exp(4.0 * np.log(2.0) / np.maximum(fwhm, 1.5) ** 2)
    spikes = excess > (steepest - 1.0) * above + 8.0 * usual
    return spikes, np.sqrt(np.pi / 2) * usual


def _parabola(v: Floats) -> Floats:
    """Give the vertex of the parabola through three values at −1, 0, 1, at most 0.7 from 0."""
    bend = np.maximum(2.0 * v[1] - v[0] - v[2], 1e-30)
    vertex: Floats = np.clip(0.5 * (v[2] - v[0]) / bend, -0.7, 0.7)
    return vertex


def _peak(
    stack: NDArray[Any], items: NDArray[np.intp], x: Floats, y: Floats, fwhm: Floats, radius: int
) -> Floats:
    """Find the highest pixel within one FWHM of each position."""
    x_first, y_first = nearest_pixel(x) - radius, nearest_pixel(y) - radius
    size = 2 * radius + 1
    box = take_boxes(stack, items, x_first, y_first, size)
    steps = np.arange(size)[:, None]
    inside = ((y_first + steps - y) ** 2)[:, None, :] + (x_first + steps - x) ** 2 <= fwhm**2
    peak: Floats = np.fmax.reduce(np.where(inside, box, np.nan), axis=(0, 1)).astype(np.float64)
    return peak
