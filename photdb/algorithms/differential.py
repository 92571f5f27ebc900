"""Differential magnitudes: from fluxes to instrumental magnitudes, ensembles, and curves with their errors."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: The ways to average references that need no look at their noise, in the order that breaks ties between them.
WEIGHTINGS: Final = ("mean", "flux", "variance")


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
