"""Least-squares fits of a 2-D Gaussian on a constant to many small boxes of pixels at once.

The Gaussian's axes are the pixel axes, so that it and its derivatives are products of a function of x and one of y: an
iteration over all boxes costs a few passes over their pixels. Boxes lie on the last axis, as `photdb.algorithms.stamps`
cuts them; each has its own damping, and leaves the work when it has converged.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.stamps import padded

Floats = NDArray[np.float64]

MIN_PIXELS: Final = 12
_MAX_ITERATIONS: Final = 25
_STEP_PX: Final = 2e-4
_WORTH: Final = 0.9
_STEP_SIGMA: Final = 1e-3
#: Which function of x and which of y make the derivative after amplitude, x, y, sigma_x, sigma_y, background.
_IN_X: Final = np.array([0, 1, 0, 2, 0, 3])
_IN_Y: Final = np.array([0, 0, 1, 0, 2, 3])
_PAIR_X: Final = np.ix_(_IN_X, _IN_X)
_PAIR_Y: Final = np.ix_(_IN_Y, _IN_Y)


@dataclass(frozen=True, slots=True)
class Gaussians:
    """Fits to k boxes.

    `parameters` (6, k) are amplitude, x, y, sigma_x, sigma_y, background, with x and y from the central pixel;
    `converged` (k,) tells where they can be used, `n_pixels` (k,) is the number of usable pixels, and `significance`
    (k,) the F statistic of the fit against a constant.
    """

    parameters: Floats
    converged: NDArray[np.bool_]
    n_pixels: Floats
    significance: Floats


def fit_gaussians(boxes: Floats, usable: Floats, *, x: Floats, y: Floats, sigma: Floats) -> Gaussians:
    """Fit a Gaussian on a constant to each box.

    Parameters
    ----------
    boxes : array (s, s, k)
        Pixels [y, x, box], s odd, k a multiple of 16; 0 where they are not usable.
    usable : array (s, s, k)
        1 where a pixel counts, else 0. Boxes with fewer than 12 that count are not fitted.
    x, y, sigma : array (k,)
        Where to start, from the central pixel; the widths stay within a factor 5 of `sigma`.

    Returns
    -------
    Gaussians

    Notes
    -----
    Levenberg–Marquardt (Marquardt 1963, J. SIAM 11, 431), with uniform weights, until a step is below 2e-4 px and 1e-3
    of the widths.
    """
    n_pixels = np.einsum("yxk->k", usable)
    mean = np.einsum("yxk->k", boxes) / np.maximum(n_pixels, 1)
    # subtracting the mean first keeps the digits of a small star on a high sky
    boxes = (boxes - mean) * usable
    chi2_constant = np.einsum("yxk,yxk->k", boxes, boxes)
    best = np.stack([np.zeros_like(mean), x, y, sigma, sigma, np.zeros_like(mean)])
    best[0], best[5] = _line(boxes, usable, best, n_pixels)
    chi2 = chi2_constant.copy()
    converged = np.zeros(mean.shape, dtype=bool)
    whole = n_pixels == usable.shape[0] * usable.shape[1]
    enough = n_pixels >= MIN_PIXELS
    for some, weight in ((whole & enough, None), (~whole & enough, usable)):
        items = np.flatnonzero(some)
        if items.size:
            if items.size == mean.size:
                best, chi2, converged = _levenberg_marquardt(boxes, weight, best)
                break
            items = padded(items)
            best[:, items], chi2[items], converged[items] = _levenberg_marquardt(
                boxes[..., items], None if weight is None else weight[..., items], best[:, items]
            )
    best[5] += mean
    per_freedom = np.maximum(chi2, 1e-20 * chi2_constant) / np.maximum(n_pixels - 6, 1)
    significance = (chi2_constant - chi2) / 5.0 / np.maximum(per_freedom, 1e-300)
    return Gaussians(best, converged, n_pixels, significance)


def _line(boxes: Floats, usable: Floats, p: Floats, n_pixels: Floats) -> tuple[Floats, Floats]:
    """Give the best amplitude and background at the start's position and width, for boxes of mean 0."""
    grid = np.arange(boxes.shape[0])[:, None] - (boxes.shape[0] - 1) / 2
    shape = np.exp(-0.5 * ((grid - p[2]) / p[4]) ** 2)[:, None] * np.exp(-0.5 * ((grid - p[1]) / p[3]) ** 2) * usable
    total = np.einsum("yxk->k", shape)
    spread = np.einsum("yxk,yxk->k", shape, shape) - total**2 / np.maximum(n_pixels, 1)
    amplitude = np.einsum("yxk,yxk->k", shape, boxes) / np.maximum(spread, 1e-12)
    return amplitude, -amplitude * total / np.maximum(n_pixels, 1)


def _levenberg_marquardt(
    boxes: Floats, weight: Floats | None, start: Floats
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Minimise the sum of squares of each box on its own: parameters, sum of squares, whether it converged."""
    result, result_chi2, converged = start.copy(), np.empty(start.shape[1]), np.zeros(start.shape[1], dtype=bool)
    items = np.arange(start.shape[1])
    p, sigma_start = start, start[3]
    chi2, gradient, curvature = _evaluate(boxes, weight, p)
    damping = np.full_like(chi2, 1e-3)
    stopped = np.zeros(chi2.shape, dtype=bool)
    for iteration in range(1, _MAX_ITERATIONS + 1):
        step = _solve(curvature, gradient, damping)
        step[1:5] *= p[[3, 4, 3, 4]] / np.where(np.abs(p[0]) > 1e-12, p[0], 1e-12)
        trial = p + step
        # a step that only the damping makes small is no convergence
        small = (
            (damping < 1.0)
            & (np.abs(step[1:3]) < _STEP_PX).all(axis=0)
            & (np.abs(step[3:5]) < _STEP_SIGMA * p[3:5]).all(axis=0)
        )
        stop = np.flatnonzero(~stopped & (small | (damping >= 1e8) | (iteration == _MAX_ITERATIONS)))
        at = items[stop]
        result[:, at] = np.where(small[stop], trial[:, stop], p[:, stop])
        result_chi2[at], converged[at], stopped[stop] = chi2[stop], small[stop], True
        going = np.flatnonzero(~stopped)
        if not going.size:
            break
        if going.size < _WORTH * items.size:  # moving pixels costs as much as going on with some that have stopped
            going = padded(going)
            boxes, weight = boxes[..., going], None if weight is None else weight[..., going]
            items, p, trial, sigma_start = items[going], p[:, going], trial[:, going], sigma_start[going]
            chi2, gradient, curvature, damping = chi2[going], gradient[:, going], curvature[..., going], damping[going]
            stopped = np.zeros(going.shape, dtype=bool)
        inside = (
            (np.abs(trial[1:3]) < boxes.shape[0]).all(axis=0)
            & (trial[3:5] > 0.2 * sigma_start).all(axis=0)
            & (trial[3:5] < 5.0 * sigma_start).all(axis=0)
        )
        trial = np.where(inside, trial, p)
        trial_chi2, trial_gradient, trial_curvature = _evaluate(boxes, weight, trial)
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


def _evaluate(boxes: Floats, weight: Floats | None, p: Floats) -> tuple[Floats, Floats, Floats]:
    """Give the sum of squares, and half its gradient and curvature.

    They are with respect to (amplitude, A x/σx, A y/σy, A σx/σx, A σy/σy, background), which makes the derivatives pure
    products of 1, e, u e, u² e with u = (x − x0)/σx, e = exp(−u²/2), and the same in y.
    """
    grid = np.arange(boxes.shape[0])[:, None] - (boxes.shape[0] - 1) / 2
    in_x, in_y = (_basis((grid - p[1]) / p[3]), _basis((grid - p[2]) / p[4]))
    residual = boxes - ((p[0] * in_y[0])[:, None, :] * in_x[0] + p[5])
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
    """Solve the damped normal equations of every stamp, (6, 6, k) and (6, k): never singular.

    By elimination, which needs no pivots as they are positive definite; LAPACK's bits depend on its number of threads.
    """
    a, b = curvature.copy(), gradient.copy()
    n = len(b)
    for p in range(n):
        a[p, p] = a[p, p] * (1.0 + damping) + 1e-12
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # a step that is no number is refused
        for p in range(n):
            for q in range(p + 1, n):
                factor = a[q, p] / a[p, p]
                a[q, p + 1 :] -= factor * a[p, p + 1 :]
                b[q] -= factor * b[p]
        for p in reversed(range(n)):
            for q in range(p + 1, n):
                b[p] -= a[p, q] * b[q]
            b[p] /= a[p, p]
    return b
