"""The noise of a light curve, measured on the data: a smoothed copy is subtracted, what is left is the noise.

Smoothing is a linear operator here (`smoother`), so that the figure is unbiased for white noise whatever the window,
the gaps and the ends, and so that the search over combinations needs no more than inner products.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: A step of more than this many median cadences ends a run of frames.
GAP_CADENCES: Final = 5.0


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
    # Terms that are fitted to a series and taken out of it before it is smoothed (`take_out`):
    basis: Floats | None = None  # (q, n) the terms
    fit: Floats | None = None  # (q, n) what gives the coefficient of each: its inner product with the series

    @property
    def relative_error(self) -> float:
        """Standard error of `noise` over its value, √(2 tr A²) / (2 tr A); NaN where the noise is undefined."""
        return float(np.sqrt(2.0 * self.trace_a2) / (2.0 * self.trace)) if self.trace > 0 else float("nan")

    def coefficients(self, series: ArrayLike) -> Floats:
        """Fit the terms to series (..., n): coefficients (..., q), each a sum along the frames in numpy's order."""
        series = np.ascontiguousarray(series, dtype=np.float64)
        if self.fit is None:
            return np.empty((*series.shape[:-1], 0))
        return np.stack([np.sum(series * row, axis=-1) for row in self.fit], axis=-1)

    def cleaned(self, series: ArrayLike) -> Floats:
        """Take the terms out of series (..., n)."""
        rest: Floats = np.ascontiguousarray(series, dtype=np.float64)  # sums over the last axis then run in one order
        if self.basis is None:
            return rest
        found = self.coefficients(rest)
        for j, row in enumerate(self.basis):
            rest = rest - found[..., j, None] * row
        return rest

    def smooth(self, series: ArrayLike) -> Floats:
        """Apply S to series (..., n), without the terms."""
        series = self.cleaned(series)
        total = np.zeros(series.shape)
        for index, weight in zip(self.index.T, self.weight.T, strict=True):
            total += weight * series[..., index]
        return total

    def residual(self, series: ArrayLike) -> Floats:
        """Apply R to series (..., n), without the terms."""
        series = self.cleaned(series)
        total = np.zeros(series.shape)
        for index, weight in zip(self.index.T, self.weight.T, strict=True):
            total += weight * series[..., index]
        return series - total


def smoother(t_d: ArrayLike, *, window: int = 7, degree: int = 2, breaks: ArrayLike = ()) -> HighPass:
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
    breaks : array_like of int
        Frames that begin a run of their own, whatever the gap before them.

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
    window = min(window, n + 1 - n % 2)  # no run is longer
    start, stop = _runs(t, np.asarray(breaks, dtype=np.intp))
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


def gaps(t: Floats) -> NDArray[np.bool_]:
    """Tell of each frame (n,) whether a gap lies before it; times in order."""
    step = np.diff(t)
    cadence = np.median(step[step > 0]) if np.any(step > 0) else 0.0
    return np.asarray(np.r_[False, step > GAP_CADENCES * cadence][: len(t)], dtype=np.bool_)


def _runs(t: Floats, breaks: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First frame of each frame's run, and the one after its last."""
    begins = gaps(t)
    begins[:1] = True
    begins[breaks] = True
    edges = np.flatnonzero(begins)
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


def take_out(highpass: HighPass, basis: ArrayLike, fit: ArrayLike) -> HighPass:
    """Make the high-pass operator R D of series that terms are fitted to and taken out of first.

    D = I − B G takes q terms (the columns of B) out of a series, with coefficients G m that are linear in it. So R D is
    a linear operator again, with a trace of its own, and noise stays unbiased for white noise: what the fit takes away
    of the noise is allowed for.

    Parameters
    ----------
    highpass : HighPass
        Without terms.
    basis : array_like, shape (q, n)
        The terms in the frames of `highpass`.
    fit : array_like, shape (q, n)
        Rows of G.

    Returns
    -------
    HighPass
    """
    b, g = np.asarray(basis, dtype=np.float64), np.asarray(fit, dtype=np.float64)
    n = len(highpass.index)
    u, v = highpass.residual(b), highpass.residual(g)  # R B and R Gᵀ, as rows
    h = _products(g, g)
    # M Mᵀ = R Rᵀ + W K Wᵀ with W = (R B, R Gᵀ), M = R D.
    w = np.concatenate([u, v])
    q = len(b)
    k = np.block([[h, -np.eye(q)], [-np.eye(q), np.zeros((q, q))]])
    transposed = w - np.array(
        [np.bincount(highpass.index.ravel(), (highpass.weight * row[:, None]).ravel(), minlength=n) for row in w]
    )  # Rᵀ W
    change = np.sum(w * (k @ w), axis=0)
    row_norm2 = np.maximum(highpass.row_norm2 + change, 0.0)
    ww = k @ _products(w, w)
    trace_a2 = highpass.trace_a2 + 2.0 * np.trace(k @ _products(transposed, transposed)) + np.trace(ww @ ww)
    trace = highpass.trace + float(np.sum(change))
    if not trace > 1e-9 * highpass.trace:
        trace, trace_a2 = 0.0, 0.0
    return replace(highpass, row_norm2=row_norm2, trace=trace, trace_a2=float(trace_a2), basis=b, fit=g)


def _products(one: Floats, other: Floats) -> Floats:
    return np.array([np.sum(row * other, axis=-1) for row in one])


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


def expected_noise(variance_mag2: ArrayLike, highpass: HighPass) -> Floats:
    """Noise that `noise` gives on average for independent errors, which may differ from frame to frame.

    Parameters
    ----------
    variance_mag2 : array_like, shape (..., n)
        Squared errors of the magnitudes in the frames `highpass` was made for.
    highpass : HighPass

    Returns
    -------
    ndarray of float64, shape (...)
        √(Σ σ_j² ‖R e_j‖² / tr(R Rᵀ)), where R e_j is what an error in frame j leaves; NaN where tr(R Rᵀ) = 0.
    """
    variance = np.asarray(variance_mag2, dtype=np.float64)
    if highpass.trace <= 0:
        return np.full(variance.shape[:-1], np.nan)
    n = len(highpass.index)
    here = highpass.index == np.arange(n)[:, None]
    left = np.square(1.0 - np.sum(np.where(here, highpass.weight, 0.0), axis=1))
    np.add.at(left, highpass.index, np.where(here, 0.0, np.square(highpass.weight)))
    return np.asarray(np.sqrt(np.sum(variance * left, axis=-1) / highpass.trace))


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
