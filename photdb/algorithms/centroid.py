"""Centroids of sources in stacks of stamps: a local maximum near the expected position, then a 2-D Gaussian.

Positions are in the stamp's own pixels (0-based, the centre of its first pixel is (0, 0)); the caller adds where the stamp
was cut. The inner arrays have the stamps on their *last* axis, in blocks of one padded width: every operation is then one
long vector operation, sums over pixels run in one fixed order, and a stamp's bits do not depend on its company. The
Gaussian's axes are the pixel axes, so that it and its derivatives are products of a function of x and one of y, and an
iteration over all stamps costs a few passes over their pixels.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.flags import Flag

Floats = NDArray[np.float64]

FWHM_PER_SIGMA: Final = 2.0 * np.sqrt(2.0 * np.log(2.0))
_BLOCK: Final = 1024
_PAD: Final = 16
_MAX_ITERATIONS: Final = 40
_STEP_PX: Final = 2e-4
_STEP_SIGMA: Final = 1e-3
_MIN_PIXELS: Final = 12
#: F of the fit against a constant. A fit to nothing but noise, which chooses its peak, exceeds 6 once in a thousand.
_MIN_SIGNIFICANCE: Final = 7.0
#: Of the start's height above the lowest median, in units of the pixels' noise; noise alone reaches 2.5.
_MIN_CONTRAST: Final = 4.0
#: Which function of x and which of y make the derivative after amplitude, x, y, sigma_x, sigma_y, background.
_IN_X: Final = (0, 1, 0, 2, 0, 3)
_IN_Y: Final = (0, 0, 1, 0, 2, 3)
_PAIR_X: Final = np.ix_(_IN_X, _IN_X)
_PAIR_Y: Final = np.ix_(_IN_Y, _IN_Y)


@dataclass(frozen=True, slots=True)
class Centroids:
    """Where n sources are in their stamps; all arrays have shape (n,).

    Where `flags` is not 0, `x_px` and `y_px` are the expected position and the fitted values are NaN.
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
    a constant is fitted by least squares to the 2r+1 pixels square around it, r = 1.3 FWHM, without pixels that are
    not finite, saturated, or single spikes no star of this FWHM can have. The expected position is kept, with a flag,
    where nothing stands out (`NO_PEAK`), where the fit fails or its width is not within a factor 3 of `fwhm_px`
    (`FIT_FAILED`), and where it ends farther than `max_offset_px` from the expected position by more than three times
    its own error (`CAPTURED`).

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
    Levenberg–Marquardt (Marquardt 1963, J. SIAM 11, 431) with uniform weights. The standard error of x is that of the
    Cramér–Rao bound for sources fainter than their sky, √(2/π) σ_pixel / amplitude, and 4/3 of the bound, 0.4 FWHM / √N,
    for sources of N electrons far above it.
    """
    if stamps.ndim != 3:
        raise ValueError("stamps must have shape (n, h, w)")
    if search_px < 1:
        raise ValueError("search_px must be at least 1")
    n = len(stamps)
    x, y, fwhm, reach = (
        np.broadcast_to(np.asarray(a, dtype=np.float64), (n,)) for a in (x_expected, y_expected, fwhm_px, max_offset_px)
    )
    if not np.all(fwhm > 0):
        raise ValueError("fwhm_px must be positive")
    stamps = np.ascontiguousarray(stamps)
    found = Centroids(*(np.full(n, np.nan) for _ in range(7)), flags=np.full(n, Flag.NO_POSITION, dtype=np.int64))
    radius = np.maximum(3, np.ceil(1.3 * fwhm)).astype(np.intp)
    known = np.isfinite(x) & np.isfinite(y)
    for r in np.unique(radius[known]):
        group = np.flatnonzero(known & (radius == r))
        for start in range(0, group.size, _BLOCK):
            block = group[start : start + _BLOCK]
            items = padded(block)
            part = _measure(
                stamps, items, x[items], y[items], fwhm[items], reach[items], int(r), search_px, saturation_adu
            )
            for field in fields(Centroids):
                getattr(found, field.name)[block] = getattr(part, field.name)[: block.size]
    return found


def padded(items: NDArray[np.intp]) -> NDArray[np.intp]:
    """Repeat indices until their number is a multiple of 16, so that vectors of one stamp are added like those of many."""
    return np.resize(items, -(-items.size // _PAD) * _PAD)


def take_boxes(
    stamps: NDArray[Any], items: NDArray[np.intp], x_first: NDArray[np.intp], y_first: NDArray[np.intp], size: int
) -> NDArray[Any]:
    """Cut a square box out of each of some stamps.

    Parameters
    ----------
    stamps : array (n, h, w), contiguous
        The stack.
    items : array (k,)
        Which stamps.
    x_first, y_first : array (k,)
        The first pixel of each box; boxes may reach over the stamp.
    size : int
        Their width and height.

    Returns
    -------
    array (size, size, k)
        The pixels, [y, x, item]; NaN outside the stamp.
    """
    _, h, w = stamps.shape
    steps = np.arange(size)[:, None]
    rows, columns = y_first + steps, x_first + steps
    row_inside, column_inside = (rows >= 0) & (rows < h), (columns >= 0) & (columns < w)
    index = ((items * h + np.clip(rows, 0, h - 1)) * w)[:, None, :] + np.clip(columns, 0, w - 1)
    boxes = stamps.reshape(-1).take(index)
    if not (row_inside.all() and column_inside.all()):
        boxes[~(row_inside[:, None, :] & column_inside)] = np.nan
    return boxes


def _measure(
    stamps: NDArray[Any],
    items: NDArray[np.intp],
    x_expected: Floats,
    y_expected: Floats,
    fwhm: Floats,
    reach: Floats,
    radius: int,
    search_px: int,
    saturation_adu: float | None,
) -> Centroids:
    """Measure one padded block of stamps that share a fit radius."""
    x_peak, y_peak, any_peak = _local_maximum(stamps, items, x_expected, y_expected, reach, search_px)
    box = take_boxes(stamps, items, x_peak - radius - 1, y_peak - radius - 1, 2 * radius + 3)
    box, usable, excess, start = _prepare(box, fwhm, saturation_adu)
    fit, converged, n_used, significance = _fit(box, usable, start)
    amplitude, dx, dy, sigma_x, sigma_y, background = fit
    x, y = x_peak + dx, y_peak + dy
    width = FWHM_PER_SIGMA * np.sqrt(np.abs(sigma_x * sigma_y))
    offset = np.hypot(x - x_expected, y - y_expected)

    significant = any_peak & (significance > _MIN_SIGNIFICANCE) & (amplitude > 0)
    sane = converged & (width > fwhm / 3) & (width < 3 * fwhm)
    flags = np.zeros(items.size, dtype=np.int64)
    odd = np.flatnonzero(~(significant & sane & (offset <= reach)))
    if odd.size:
        # the pixels' own noise, as the fit's residuals may be a neighbour
        noise = 1.4826 * np.median(np.abs(excess[..., odd].reshape(-1, odd.size)), axis=0)
        error = np.sqrt(2.0 / np.pi) * noise / np.maximum(amplitude[odd], 1e-30)
        stands_out = significant[odd] | (start[0, odd] > _MIN_CONTRAST * noise)
        away = offset[odd] > reach[odd]
        flags[odd] = np.select(
            [
                n_used[odd] < _MIN_PIXELS,
                ~any_peak[odd],  # nothing but the slope of something outside the search box
                ~stands_out,
                away & (offset[odd] > reach[odd] + 3.0 * error),
                away & sane[odd],
            ],
            [Flag.FIT_FAILED, Flag.CAPTURED, Flag.NO_PEAK, Flag.CAPTURED, Flag.NO_PEAK],
            Flag.FIT_FAILED,
        )
    good = flags == 0
    x, y = np.where(good, x, x_expected), np.where(good, y, y_expected)
    elongation = np.maximum(sigma_x, sigma_y) / np.minimum(sigma_x, sigma_y)
    values = (np.where(good, v, np.nan) for v in (width, elongation, amplitude, background))
    return Centroids(x, y, *values, peak_adu=_peak(stamps, items, x, y, fwhm, radius), flags=flags)


def _local_maximum(
    stamps: NDArray[Any], items: NDArray[np.intp], x: Floats, y: Floats, reach: Floats, search_px: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Find the brightest local maximum of the 3 × 3 median, first within reach of the expected position."""
    x_first, y_first = (np.rint(np.clip(v, -1e6, 1e6)).astype(np.intp) - search_px for v in (x, y))
    size = 2 * search_px + 1
    smooth = _median9(_filled(take_boxes(stamps, items, x_first - 2, y_first - 2, size + 4)))
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
    """Median of each pixel's 3 × 3 pixels, (h, w, k) to (h−2, w−2, k): sort columns of three, then merge three columns."""
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
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _prepare(box: Floats, fwhm: Floats, saturation_adu: float | None) -> tuple[Floats, Floats, Floats, Floats]:
    """Give the box without its margin, 1 where its pixels are usable, pixels minus median, and the start of the fit."""
    full = _filled(box)
    smooth = _median9(full)
    box, full = box[1:-1, 1:-1], full[1:-1, 1:-1]
    background = smooth.min(axis=(0, 1))
    above = smooth - background
    # Of a Gaussian, a pixel is at most exp(4 ln 2 / FWHM²) times the median of its neighbourhood; what is twice that
    # and far above the usual difference is no star.
    excess = full - smooth
    usual = np.einsum("yxk->k", np.abs(excess)) / (excess.shape[0] * excess.shape[1])
    steepest = 2.0 * np.exp(4.0 * np.log(2.0) / np.maximum(fwhm, 1.5) ** 2)
    usable = (excess <= (steepest - 1.0) * above + 8.0 * usual) & np.isfinite(box)
    if saturation_adu is not None:
        usable &= full < saturation_adu
    centre = box.shape[0] // 2
    middle = above[centre - 1 : centre + 2, centre - 1 : centre + 2]
    sigma = fwhm / FWHM_PER_SIGMA
    dx, dy = _parabola(np.einsum("yxk->xk", middle)), _parabola(np.einsum("yxk->yk", middle))
    start = np.stack([above[centre, centre], dx, dy, sigma, sigma, background])
    return np.where(usable, full, 0.0).astype(np.float64), usable.astype(np.float64), excess, start


def _parabola(v: Floats) -> Floats:
    """Give the vertex of the parabola through three values at −1, 0, 1, at most 0.7 from 0."""
    bend = np.maximum(2.0 * v[1] - v[0] - v[2], 1e-30)
    return np.clip(0.5 * (v[2] - v[0]) / bend, -0.7, 0.7)


def _fit(
    box: Floats, usable: Floats, start: Floats
) -> tuple[Floats, NDArray[np.bool_], Floats, Floats]:
    """Fit a Gaussian to each box (h, h, k), positions from its central pixel.

    Returns the parameters (6, k), whether they converged, the number of pixels, and F against a constant.
    """
    n_used = np.einsum("yxk->k", usable)
    mean = np.einsum("yxk->k", box) / np.maximum(n_used, 1)
    # subtracting the mean first keeps the digits of a small star on a high sky
    box = (box - mean) * usable
    chi2_constant = np.einsum("yxk,yxk->k", box, box)
    best = start.copy()
    best[5] -= mean
    chi2 = chi2_constant.copy()
    converged = np.zeros(mean.shape, dtype=bool)
    whole = n_used == usable.shape[0] * usable.shape[1]
    enough = n_used >= _MIN_PIXELS
    for some, weight in ((whole & enough, None), (~whole & enough, usable)):
        items = np.flatnonzero(some)
        if items.size:
            items = padded(items)
            best[:, items], chi2[items], converged[items] = _levenberg_marquardt(
                box[..., items], None if weight is None else weight[..., items], best[:, items]
            )
    best[5] += mean
    per_freedom = np.maximum(chi2, 1e-20 * chi2_constant) / np.maximum(n_used - 6, 1)
    significance = (chi2_constant - chi2) / 5.0 / np.maximum(per_freedom, 1e-300)
    return best, converged, n_used, significance


def _levenberg_marquardt(
    box: Floats, weight: Floats | None, start: Floats
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Minimise the sum of squares of each box on its own; finished ones are frozen and leave the work."""
    result, result_chi2, converged = start.copy(), np.empty(start.shape[1]), np.zeros(start.shape[1], dtype=bool)
    items = np.arange(start.shape[1])
    p, sigma_start = start, start[3]
    chi2, gradient, curvature = _evaluate(box, weight, p)
    damping = np.full_like(chi2, 1e-3)
    for _ in range(_MAX_ITERATIONS):
        step = _solve(curvature, gradient, damping)
        step[1:5] *= p[[3, 4, 3, 4]] / np.where(np.abs(p[0]) > 1e-12, p[0], 1e-12)
        trial = p + step
        # a step that only the damping makes small is no convergence
        small = (
            (damping < 1.0)
            & (np.abs(step[1:3]) < _STEP_PX).all(axis=0)
            & (np.abs(step[3:5]) < _STEP_SIGMA * p[3:5]).all(axis=0)
        )
        result[:, items], result_chi2[items], converged[items] = np.where(small, trial, p), chi2, small
        going = np.flatnonzero(~small & (damping < 1e8))
        if not going.size:
            break
        if going.size < items.size:
            going = padded(going)
            box, weight = box[..., going], None if weight is None else weight[..., going]
            items, p, trial, sigma_start = items[going], p[:, going], trial[:, going], sigma_start[going]
            chi2, gradient, curvature, damping = chi2[going], gradient[:, going], curvature[..., going], damping[going]
        inside = (
            (np.abs(trial[1:3]) < box.shape[0]).all(axis=0)
            & (trial[3:5] > 0.2 * sigma_start).all(axis=0)
            & (trial[3:5] < 5.0 * sigma_start).all(axis=0)
        )
        trial = np.where(inside, trial, p)
        trial_chi2, trial_gradient, trial_curvature = _evaluate(box, weight, trial)
        better = inside & (trial_chi2 <= chi2)
        if better.all():
            p, chi2, gradient, curvature = trial, trial_chi2, trial_gradient, trial_curvature
        else:
            p = np.where(better, trial, p)
            chi2 = np.where(better, trial_chi2, chi2)
            gradient = np.where(better, trial_gradient, gradient)
            curvature = np.where(better, trial_curvature, curvature)
        damping = damping * np.where(better, 0.1, 10.0)
    return result, result_chi2, converged


def _evaluate(box: Floats, weight: Floats | None, p: Floats) -> tuple[Floats, Floats, Floats]:
    """Give the sum of squares, and half its gradient and curvature.

    They are with respect to (amplitude, A x/σx, A y/σy, A σx/σx, A σy/σy, background), which makes the derivatives pure
    products of 1, e, u e, u² e with u = (x − x0)/σx, e = exp(−u²/2), and the same in y.
    """
    grid = np.arange(box.shape[0])[:, None] - (box.shape[0] - 1) / 2
    in_x, in_y = (_basis((grid - p[1]) / p[3]), _basis((grid - p[2]) / p[4]))
    residual = box - ((p[0] * in_y[0])[:, None, :] * in_x[0] + p[5])
    if weight is not None:
        residual *= weight
    chi2 = np.einsum("yxk,yxk->k", residual, residual)
    rows = np.einsum("ixk,yxk->iyk", in_x, residual)
    gradient = np.einsum("pyk,pyk->pk", rows.take(_IN_X, axis=0), in_y.take(_IN_Y, axis=0))
    if weight is None:
        xx, yy = np.einsum("ixk,jxk->ijk", in_x, in_x), np.einsum("iyk,jyk->ijk", in_y, in_y)
        return chi2, gradient, xx[_PAIR_X] * yy[_PAIR_Y]
    pairs_x, pairs_y = in_x[:, None] * in_x, in_y[:, None] * in_y
    weighted = np.einsum("ijxk,yxk->ijyk", pairs_x, weight)
    return chi2, gradient, np.einsum("pqyk,pqyk->pqk", weighted[_PAIR_X], pairs_y[_PAIR_Y])


def _basis(u: Floats) -> Floats:
    basis = np.empty((4, *u.shape))
    np.exp(-0.5 * u * u, out=basis[0])
    np.multiply(u, basis[0], out=basis[1])
    np.multiply(u, basis[1], out=basis[2])
    basis[3] = 1.0
    return basis


def _solve(curvature: Floats, gradient: Floats, damping: Floats) -> Floats:
    """Solve the damped normal equations of every stamp, (6, 6, k) and (6, k): never singular."""
    a = np.moveaxis(curvature, -1, 0).copy()
    diagonal = np.einsum("kpp->kp", a)
    diagonal *= 1.0 + damping[:, None]
    diagonal += 1e-12
    return np.linalg.solve(a, gradient.T[:, :, None])[:, :, 0].T


def _peak(
    stamps: NDArray[Any], items: NDArray[np.intp], x: Floats, y: Floats, fwhm: Floats, radius: int
) -> Floats:
    """Find the highest pixel within one FWHM of each position."""
    x_first, y_first = np.rint(x).astype(np.intp) - radius, np.rint(y).astype(np.intp) - radius
    size = 2 * radius + 1
    box = take_boxes(stamps, items, x_first, y_first, size)
    steps = np.arange(size)[:, None]
    inside = ((y_first + steps - y) ** 2)[:, None, :] + (x_first + steps - x) ** 2 <= fwhm**2
    return np.fmax.reduce(np.where(inside, box, np.nan), axis=(0, 1))
