"""Differential magnitudes and their noise.

Fluxes become instrumental magnitudes, references an ensemble, a target a differential magnitude with its propagated
error. The noise of a curve is measured on the data: a smoothed copy is subtracted and the scatter of what is left is
taken. Smoothing is a linear operator here (`smoother`), so that the figure is unbiased for white noise whatever the
window, the gaps and the ends, and so that the search over combinations needs no more than inner products.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: The ways to average references, in the order that breaks ties between them.
WEIGHTINGS: Final = ("mean", "flux", "variance")

#: A step of more than this many median cadences ends a run of frames.
GAP_CADENCES: Final = 5.0


def instrumental_magnitude(flux_adu: ArrayLike) -> Floats:
    """Instrumental magnitude, −2.5 log10(flux).

    Parameters
    ----------
    flux_adu : array_like
        Flux of any shape, in ADU (or any linear unit).

    Returns
    -------
    ndarray of float64
        Magnitudes of the same shape; NaN where the flux is zero, negative or NaN.
    """
    flux = np.asarray(flux_adu, dtype=np.float64)
    return -2.5 * np.log10(flux, out=np.full(flux.shape, np.nan), where=flux > 0)


def magnitude_error(flux_adu: ArrayLike, flux_err_adu: ArrayLike) -> Floats:
    """Error of an instrumental magnitude to first order, 2.5/ln 10 · flux_err/flux.

    Parameters
    ----------
    flux_adu, flux_err_adu : array_like
        Flux and its error, of one shape and in one unit.

    Returns
    -------
    ndarray of float64
        Errors in magnitudes; NaN where the flux is zero, negative or NaN.
    """
    flux = np.asarray(flux_adu, dtype=np.float64)
    err = np.asarray(flux_err_adu, dtype=np.float64)
    ratio: Floats = np.divide(err, flux, out=np.full(flux.shape, np.nan), where=flux > 0)
    return np.asarray(2.5 / np.log(10.0) * ratio)


def reference_weights(
    weighting: str, flux_adu_per_s: ArrayLike, mag_err: ArrayLike, *, floor_mag: float = 0.002
) -> Floats:
    """Weights of references in their ensemble.

    Parameters
    ----------
    weighting : {'mean', 'flux', 'variance'}
        ``mean``: all 1, the mean of magnitudes. ``flux``: the median flux per second, to first order the sum of the
        fluxes. ``variance``: 1 / (median of mag_err² + floor_mag²), from the CCD equation, never from measured scatter.
    flux_adu_per_s : array_like, shape (..., N, n)
        Flux per second of exposure of N references in the n comparison frames.
    mag_err : array_like, shape (..., N, n)
        Errors of their instrumental magnitudes by the CCD equation.
    floor_mag : float
        What the CCD equation does not know (scintillation, flat field): it keeps one bright star from being everything.

    Returns
    -------
    ndarray of float64, shape (..., N)

    Raises
    ------
    ValueError
        If the weighting has another name, or a weight is not positive and finite.
    """
    flux = np.asarray(flux_adu_per_s, dtype=np.float64)
    if weighting == "mean":
        return np.ones(flux.shape[:-1])
    if weighting == "flux":
        weights = np.median(flux, axis=-1)
    elif weighting == "variance":
        weights = 1.0 / (np.median(np.square(np.asarray(mag_err, dtype=np.float64)), axis=-1) + floor_mag**2)
    else:
        raise ValueError(f"weighting must be one of {', '.join(WEIGHTINGS)}, not {weighting!r}")
    if not np.all(np.isfinite(weights) & (weights > 0)):
        raise ValueError("a reference has no valid flux in the comparison frames, and so no weight")
    return weights


def ensemble_magnitude(refs: ArrayLike, weights: ArrayLike) -> Floats:
    """Weighted mean of the references' magnitudes, frame by frame.

    Parameters
    ----------
    refs : array_like, shape (..., N, n)
        Instrumental magnitudes of N references in n frames.
    weights : array_like, shape (..., N)
        Their weights.

    Returns
    -------
    ndarray of float64, shape (..., n)
        NaN in frames where a reference is missing: a mean over those left would lie on another zero point.
    """
    total, weight_sum = _weighted_sum(refs, weights)
    return total / weight_sum


def differential_magnitude(target: ArrayLike, refs: ArrayLike, weights: ArrayLike) -> Floats:
    """Target's instrumental magnitude minus the ensemble's.

    Parameters
    ----------
    target : array_like, shape (..., n)
    refs : array_like, shape (..., N, n)
    weights : array_like, shape (..., N)

    Returns
    -------
    ndarray of float64, shape (..., n)
        NaN in frames where the target or a reference is missing.
    """
    return np.asarray(target, dtype=np.float64) - ensemble_magnitude(refs, weights)


def differential_error(target_err: ArrayLike, refs_err: ArrayLike, weights: ArrayLike) -> Floats:
    """Propagated error of a differential magnitude, √(err_t² + Σ w² err² / (Σ w)²).

    Parameters
    ----------
    target_err : array_like, shape (..., n)
    refs_err : array_like, shape (..., N, n)
    weights : array_like, shape (..., N)

    Returns
    -------
    ndarray of float64, shape (..., n)
    """
    weights = np.asarray(weights, dtype=np.float64)
    variance, _ = _weighted_sum(np.square(np.asarray(refs_err, dtype=np.float64)), np.square(weights))
    _, weight_sum = _weighted_sum(refs_err, weights)
    return np.sqrt(np.square(np.asarray(target_err, dtype=np.float64)) + variance / np.square(weight_sum))


def _weighted_sum(refs: ArrayLike, weights: ArrayLike) -> tuple[Floats, Floats]:
    """Σ w·refs and Σ w over the references, added in their order whatever the batch."""
    refs, weights = np.asarray(refs, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if refs.shape[-2] == 0:
        raise ValueError("an ensemble needs at least one reference")
    total = weights[..., 0, None] * refs[..., 0, :]
    weight_sum = np.array(weights[..., 0, None])
    for i in range(1, refs.shape[-2]):
        total += weights[..., i, None] * refs[..., i, :]
        weight_sum += weights[..., i, None]
    return total, weight_sum


@dataclass(frozen=True, slots=True)
class HighPass:
    """The operator R = I − S of one series of n frames, and what its noise figure needs.

    Row k of S holds `weight[k]` at the frames `index[k]`; unused places have weight 0 and point at k itself.
    """

    index: NDArray[np.intp]  # (n, window)
    weight: Floats  # (n, window)
    row_norm2: Floats  # (n,) sum of squares of each row of R: the variance of that residual for unit white noise
    trace: float  # tr(R Rᵀ)
    trace_a2: float  # tr(A²), A = RᵀR

    @property
    def relative_error(self) -> float:
        """Standard error of `noise` over its value, √(2 tr A²) / (2 tr A); NaN where the noise is undefined."""
        return float(np.sqrt(2.0 * self.trace_a2) / (2.0 * self.trace)) if self.trace > 0 else float("nan")

    def smooth(self, series: ArrayLike) -> Floats:
        """Apply S to series (..., n)."""
        series = np.asarray(series, dtype=np.float64)
        total = np.zeros(series.shape)
        for index, weight in zip(self.index.T, self.weight.T, strict=True):
            total += weight * series[..., index]
        return total

    def residual(self, series: ArrayLike) -> Floats:
        """Apply R to series (..., n)."""
        series = np.ascontiguousarray(series, dtype=np.float64)  # sums over the last axis then run in one order
        return series - self.smooth(series)


def smoother(t_d: ArrayLike, *, window: int = 7, degree: int = 2) -> HighPass:
    """High-pass operator of a series: each frame minus a local polynomial's value there.

    A run ends where a step is longer than 5 median cadences. For ``degree`` ≥ 1 the polynomial in true time is fitted,
    all weights equal, to the ``window`` frames of the run nearest in time (one-sided at its ends; all of a run that is
    shorter). ``degree=0`` is a running mean over ``window`` frames, shortened symmetrically at ends and gaps, so that a
    slope leaves nothing. Where the polynomial runs through the frame of necessity (a run of no more than degree + 1
    frames; the first and last frame for degree 0) the residual is zero and the frame counts nothing in `trace`.
    With the default this is a Savitzky-Golay filter (1964, Anal. Chem. 36, 1627) for uneven times.

    Parameters
    ----------
    t_d : array_like, shape (n,)
        Times in days, not decreasing. Equal times are allowed.
    window : int
        Frames in a fit, odd.
    degree : int
        Degree of the polynomial, less than `window`.

    Returns
    -------
    HighPass

    Raises
    ------
    ValueError
        If times are not finite and in order, or window and degree make no sense.
    """
    t = np.asarray(t_d, dtype=np.float64)
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be an odd number of frames, not {window}")
    if not 0 <= degree < window:
        raise ValueError(f"degree must be at least 0 and less than the window of {window} frames, not {degree}")
    if t.ndim != 1 or not np.all(np.isfinite(t)) or np.any(np.diff(t) < 0):
        raise ValueError("times must be one series of finite numbers in time order")
    n = len(t)
    start, stop = _runs(t)
    select = _centred if degree == 0 else _nearest
    index, used = select(t, start, stop, window)
    frames = np.arange(n)[:, None]
    x = t[index] - t[:, None]
    x /= np.maximum(np.max(np.abs(x), axis=1, keepdims=True, initial=0.0), np.finfo(float).tiny)
    here = used & (index == frames)

    # A row of S is a row of the projection onto the polynomials over its window: sum of q(here)·q over an orthonormal
    # basis, grown as x·q and orthogonalised (twice is enough). Equal times make basis vectors vanish, no more.
    q = used / np.sqrt(np.sum(used, axis=1, keepdims=True))
    basis = [q]
    for _ in range(degree):
        v = x * q
        for _ in range(2):
            for b in basis:
                v = v - np.sum(b * v, axis=1, keepdims=True) * b
        norm = np.sqrt(np.sum(v * v, axis=1, keepdims=True))
        q = np.divide(v, norm, out=np.zeros_like(v), where=norm > 1e-7)
        basis.append(q)
    weight = np.zeros((n, window))
    for q in basis:
        weight += np.sum(np.where(here, q, 0.0), axis=1, keepdims=True) * q
    leverage = np.sum(np.where(here, weight, 0.0), axis=1, keepdims=True)
    through = 1.0 - leverage < 1e-10
    weight = np.where(through, here, weight)
    row_norm2 = np.where(through, 0.0, 1.0 - leverage)[:, 0]
    trace = float(np.sum(row_norm2))
    return HighPass(index, weight, row_norm2, trace, product_norm2(index, -weight, diagonal=1.0))


def _runs(t: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First frame of each frame's run, and the one after its last."""
    step = np.diff(t)
    cadence = np.median(step[step > 0]) if np.any(step > 0) else 0.0
    edges = np.flatnonzero(np.r_[True, step > GAP_CADENCES * cadence][: len(t)])
    run = np.searchsorted(edges, np.arange(len(t)), side="right") - 1
    return edges[run], np.r_[edges[1:], len(t)][run]


def _centred(
    t: Floats, start: NDArray[np.intp], stop: NDArray[np.intp], window: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Frames of symmetric windows, shortened at the ends of runs: indices (n, window) and which of them are used."""
    k = np.arange(len(t))
    half = np.minimum(np.minimum(k - start, stop - 1 - k), window // 2)
    offset = np.arange(window) - window // 2
    used = np.abs(offset) <= half[:, None]
    return np.where(used, k[:, None] + offset, k[:, None]), used


def _nearest(
    t: Floats, start: NDArray[np.intp], stop: NDArray[np.intp], window: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Nearest frames in time within the run: indices (n, window) and which of them are used."""
    k = np.arange(len(t))[:, None]
    length = np.minimum(window, (stop - start))[:, None]
    # The nearest frames are consecutive: try each place of the window, the most central first, which then wins ties.
    offset = np.array(sorted(range(window), key=lambda o: abs(o - window // 2)))
    first = np.where(length == window, k - offset, start[:, None])
    fits = (first >= start[:, None]) & (first + length <= stop[:, None])
    inside = np.clip(first, 0, len(t) - length)
    reach = np.maximum(t[k] - t[inside], t[inside + length - 1] - t[k])
    best = np.argmin(np.where(fits, reach, np.inf), axis=1)[:, None]
    index = np.take_along_axis(first, best, axis=1) + np.arange(window)
    used = np.arange(window) < length
    return np.where(used, index, k), used


def product_norm2(index: NDArray[np.intp], weight: Floats, *, diagonal: float = 0.0) -> float:
    """Sum of squares of all elements of M Mᵀ, where M is `diagonal`·I plus the rows `weight` at `index`."""
    n = len(index)
    k = np.arange(n)
    reach = int(np.max(np.abs(index - k[:, None]), initial=0))
    band = np.zeros((n, 2 * reach + 1))
    for column, value in zip(index.T, weight.T, strict=True):
        band[k, column - k + reach] += value
    band[:, reach] += diagonal
    total = 0.0
    for d in range(min(2 * reach + 1, n)):
        product = np.sum(band[: n - d, d:] * band[d:, : 2 * reach + 1 - d], axis=1)
        total += (1.0 if d == 0 else 2.0) * float(np.sum(product * product))
    return total


def noise(series: ArrayLike, highpass: HighPass) -> Floats:
    """Noise of light curves, √(‖R m‖² / tr(R Rᵀ)); its square is σ² on average for white noise.

    Parameters
    ----------
    series : array_like, shape (..., n)
        Magnitudes in the frames `highpass` was made for. A NaN makes its curve's noise NaN.
    highpass : HighPass

    Returns
    -------
    ndarray of float64, shape (...)
        In magnitudes; NaN where tr(R Rᵀ) = 0: too few frames in every run.
    """
    residual = highpass.residual(series)
    if highpass.trace <= 0:
        return np.full(residual.shape[:-1], np.nan)
    return np.asarray(np.sqrt(np.sum(residual * residual, axis=-1) / highpass.trace))


def robust_noise(series: ArrayLike, highpass: HighPass) -> Floats:
    """Noise of light curves that a few outliers do not move: 1.4826 · median of the standardised |R m|.

    Each residual is divided by the norm of its row of R, which makes them all of variance σ² for white noise;
    frames whose row is zero are left out.

    Parameters
    ----------
    series : array_like, shape (..., n)
    highpass : HighPass

    Returns
    -------
    ndarray of float64, shape (...)
        In magnitudes; NaN where tr(R Rᵀ) = 0.
    """
    residual = highpass.residual(series)
    free = highpass.row_norm2 > 0
    if not np.any(free):
        return np.full(residual.shape[:-1], np.nan)
    return np.asarray(1.4826 * np.median(np.abs(residual[..., free]) / np.sqrt(highpass.row_norm2[free]), axis=-1))
