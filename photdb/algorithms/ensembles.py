"""What an ensemble of references can be given beside the usual weights: those of least noise, and its own error."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.combinations import inner_products
from photdb.algorithms.noise import Floats, HighPass
from photdb.algorithms.references import operators, own_square

#: No reference is taken to have less than this part of the usual (median) variance: estimates of it are that uncertain.
_LEAST_VARIANCE: Final = 1 / 16


def least_noise_weights(
    target: ArrayLike, refs: ArrayLike, highpass: HighPass, *, frames: NDArray[np.bool_] | None = None
) -> Floats:
    """Weights of the ensemble with the least noise, from the covariance of the high-passed series.

    The mean of least variance has the weights w = Σ⁻¹1 / (1ᵀΣ⁻¹1) (Aitken 1935, Proc. R. Soc. Edinburgh 55, 42), Σ
    the covariance of R(m_target − m_i). As it stands it is too uncertain to be inverted, and is shrunk (Ledoit and Wolf
    2004, J. Multivariate Anal. 88, 365) towards references that are independent of each other: the target's own
    variance is the mean covariance, each reference's follows from what the references do against each other, as in
    the N-cornered hat (Gray and Allan 1974, Proc. 28th Freq. Control Symp., 243). How far is told by the part of the
    deviations that chance explains (Schäfer and Strimmer 2005, Stat. Appl. Genet. Mol. Biol. 4, 32). Shrunk wholly,
    weights are the inverse of the measured variances, to which the iterated weights of Broeg et al. (2005, Astron.
    Nachr. 326, 134) converge. Negative weights are taken out and the rest computed anew.

    Parameters
    ----------
    target : array_like, shape (n,)
        Instrumental magnitudes of the target in the frames of `highpass`.
    refs : array_like, shape (N, n)
        Those of the references.
    highpass : HighPass
    frames : ndarray of bool, shape (n,), optional
        Those whose residuals count; all by default.

    Returns
    -------
    ndarray of float64, shape (N,)
        Their sum is N. Zero for references that would only harm.
    """
    target, refs = np.asarray(target, dtype=np.float64), np.asarray(refs, dtype=np.float64)
    n_references = len(refs)
    used = np.ones(target.size, dtype=bool) if frames is None else frames
    trace = float(np.sum(highpass.row_norm2[used]))

    def covariance(series: Floats) -> Floats:
        return inner_products(np.ascontiguousarray(highpass.residual(series)[:, used])) / trace

    seen = covariance(target - refs)
    apart = ~np.eye(n_references, dtype=bool)
    of_target = max(float(np.mean(seen[apart])), 0.0) if n_references > 1 else 0.0
    if n_references > 2:
        curve2 = np.diag(covariance(refs - np.mean(refs, axis=0))) * (n_references / (n_references - 1)) ** 2
        own = own_square(curve2)
    else:
        own = np.maximum(np.diag(seen) - of_target, 0.0)
    own = np.maximum(own, _LEAST_VARIANCE * np.median(own))
    if not np.all(own > 0):
        return np.ones(n_references)
    deviation = seen - of_target
    degrees = trace * highpass.trace / highpass.trace_a2  # of freedom: as many independent values scatter like that
    chance = (np.outer(own, own) + of_target * (own[:, None] + own)) / degrees
    total = float(np.sum(np.square(deviation[apart])))
    shrink = min(1.0, float(np.sum(chance[apart])) / total) if total > 0 else 1.0
    shrunk = (1.0 - shrink) * seen + shrink * (of_target + np.diag(own))
    return _positive_weights(shrunk) * n_references


def _positive_weights(covariance: Floats) -> Floats:
    """Weights w ≥ 0, Σw = 1 of least wᵀ·covariance·w: members with negative ones leave, until there are none."""
    n = len(covariance)
    members = np.arange(n)
    while True:
        size = len(members)
        system = np.zeros((size + 1, size + 1))
        system[:size, :size] = covariance[np.ix_(members, members)]
        scale = float(np.max(np.abs(system)))
        system[:size, size] = system[size, :size] = scale
        right = np.zeros(size + 1)
        right[size] = scale
        found = np.linalg.solve(system, right)[:size]
        if np.all(found > 0):
            break
        members = members[found > 0]
    weights = np.zeros(n)
    weights[members] = found
    return weights


def jackknife(refs: ArrayLike, weights: ArrayLike, t_d: ArrayLike) -> float:
    """Systematic error of a curve that its references bring in: how far each one alone could move it.

    Each reference is left out in turn. The differences these curves make are smoothed (a quadratic over 31 frames), as
    the white noise of references is in the errors already, and what white noise leaves in them is subtracted. The
    jackknife (Efron and Stein 1981, Ann. Stat. 9, 586) makes a standard error of them, frame by frame.

    Parameters
    ----------
    refs : array_like, shape (k, n)
        Instrumental magnitudes of the k references of the curve.
    weights : array_like, shape (k,)
    t_d : array_like, shape (n,)
        Times in days, in order.

    Returns
    -------
    float
        Its rms over the frames, magnitudes; NaN for fewer than two references.
    """
    refs, w = np.asarray(refs, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    k = len(refs)
    if k < 2 or not refs.shape[1]:
        return float("nan")
    mean = np.sum(w[:, None] * refs, axis=0) / np.sum(w)
    moved = (w / (np.sum(w) - w))[:, None] * (refs - mean)  # the curve without each reference, minus the curve
    moved -= np.mean(moved, axis=1, keepdims=True)
    moved -= np.mean(moved, axis=0)
    of = operators(np.asarray(t_d, dtype=np.float64).tobytes(), 7, 2)
    smooth = of.wide.smooth(moved)
    smooth -= np.mean(smooth, axis=1, keepdims=True)
    white = 0.0
    if of.highpass.trace > 0:
        white = float(np.sum(np.square(of.highpass.residual(moved)))) / of.highpass.trace * of.trace_b
    total = max(float(np.sum(np.square(smooth))) - white, 0.0)
    return float(np.sqrt((k - 1) / k * total / refs.shape[1]))
