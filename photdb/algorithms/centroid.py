"""Centroids of sources in stacks of stamps: a local maximum near the expected position, then a 2-D Gaussian.

Positions are in the stamp's own pixels (0-based, the centre of its first pixel is (0, 0)); the caller adds where the
stamp was cut. A centroid that cannot be had, or is somebody else's, is the expected position with a flag.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms import centroid_kernels as kernels
from photdb.algorithms.flags import Flag
from photdb.algorithms.gaussian import MIN_PIXELS, fit_gaussians
from photdb.algorithms.stamps import as_stack

Floats = NDArray[np.float64]

FWHM_PER_SIGMA: Final = float(2.0 * np.sqrt(2.0 * np.log(2.0)))
_GRID: Final = 2.0**30
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
        items = np.flatnonzero(known & (radius == r))
        values[:, items], flags[items] = _measure(
            stack, items, x[items], y[items], fwhm[items], reach[items], r, search_px, saturation_adu
        )
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
    """Measure some stamps that share a fit radius: the columns of `Centroids` (7, k), and the flags."""
    x_peak, y_peak, any_peak = kernels.brightest(stack, items, x_expected, y_expected, reach, search_px)
    # Of a Gaussian, a pixel is at most exp(4 ln 2 / FWHM²) times the median of its neighbourhood; what is twice that
    # and far above the usual difference is a hot pixel or a cosmic ray.
    steepest = 2.0 * np.exp(4.0 * np.log(2.0) / np.maximum(fwhm, 1.5) ** 2)
    full = np.inf if saturation_adu is None else saturation_adu
    boxes, usable, dx, dy, height, usual = kernels.boxes_around(stack, items, x_peak, y_peak, radius, steepest, full)
    fit = fit_gaussians(boxes, usable, x=dx, y=dy, sigma=fwhm / FWHM_PER_SIGMA)
    amplitude, dx, dy, sigma_x, sigma_y, background = fit.parameters
    # To a billionth of a pixel: the sums below, and the caller's to the frame's own pixels, are then exact, so that the
    # position has the same bits wherever the stamp was cut.
    x, y = x_peak + np.rint(dx * _GRID) / _GRID, y_peak + np.rint(dy * _GRID) / _GRID
    width = FWHM_PER_SIGMA * np.sqrt(np.abs(sigma_x * sigma_y))
    offset = np.hypot(x - x_expected, y - y_expected)
    noise = np.sqrt(np.pi / 2) * usual

    significant = any_peak & (fit.significance > _MIN_SIGNIFICANCE) & (amplitude > 0)
    sane = fit.converged & (width > fwhm / 3) & (width < 3 * fwhm)
    # By the pixels' own noise, as the fit's residuals may be a neighbour.
    error = np.sqrt(2.0 / np.pi) * noise / np.maximum(amplitude, 1e-30)
    stands_out = significant | (height > _MIN_CONTRAST * noise)
    doubt = np.where(error > 0.1, 3.0 * error, 0.0)  # its own noise makes no neighbour of a faint source
    away = offset > reach
    flags = np.select(
        [
            significant & sane & ~away,
            fit.n_pixels < MIN_PIXELS,
            ~any_peak,  # nothing but the slope of something outside the search box
            ~stands_out,
            offset > reach + doubt,
            away & sane,
        ],
        [0, Flag.FIT_FAILED, Flag.CAPTURED, Flag.NO_PEAK, Flag.CAPTURED, Flag.NO_PEAK],
        Flag.FIT_FAILED,
    ).astype(np.int64)
    x, y = np.where(flags == 0, [x, y], [x_expected, y_expected])
    values = np.empty((7, items.size))
    values[0], values[1] = x, y
    values[2], values[3] = width, np.maximum(sigma_x, sigma_y) / np.minimum(sigma_x, sigma_y)
    values[4], values[5] = amplitude, background
    values[2:6, flags != 0] = np.nan
    values[6] = kernels.highest(stack, items, x, y, fwhm)
    return values, flags
