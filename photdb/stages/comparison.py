"""What the combinations for a target are compared on: frames, apertures, references, weights, and the operator R."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms import differential, noise
from photdb.algorithms.ensembles import least_noise_weights
from photdb.algorithms.terms import Terms
from photdb.stages.series import Series
from photdb.stages.terms import Asked, fitted, unknown_note
from photdb.wording import numbers

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What all combinations for one target are compared on.

    Attributes
    ----------
    apertures : list of int
        Places of the apertures in which it and a reference are allowed.
    of_target : ndarray of bool (n_frames,)
        The frames in which it is valid in all of them, and the terms asked for are known.
    of_reference : ndarray of bool (n_frames, n_references)
        Those in which each reference is valid.
    frames : ndarray of bool (n_frames,)
        The comparison frames: those in which all are.
    highpass : HighPass
        Their operator, which takes the terms out first.
    terms : Terms, optional
        What is fitted to curves and taken out of them.
    notes : list of str
        What was asked for in vain.
    """

    apertures: list[int]
    of_target: Bools
    of_reference: Bools
    frames: Bools
    highpass: noise.HighPass
    terms: Terms | None
    notes: list[str]


def compare(
    series: Series, k: int, references: list[int], params: dict[str, Any], wanted: Asked | None = None
) -> Comparison:
    """Find what all combinations for one target are compared on.

    Raises
    ------
    ValueError
        The options contradict each other, or the terms cannot be fitted.
    """
    apertures, of_target, of_reference = comparable(series, k, references)
    notes: list[str] = []
    if wanted is not None:
        note = unknown_note(wanted, of_target & of_reference.all(axis=1))
        notes += [note] if note else []
        of_target = of_target & wanted.known()
    frames = of_target & np.all(of_reference, axis=1)
    highpass = noise.smoother(series.jd_utc_mid[frames], window=params["window"], degree=params["degree"])
    terms: Terms | None = None
    if wanted is not None and apertures and highpass.trace > 0:
        terms, vain = fitted(wanted, series, frames, params["window"])
        notes += vain
        if terms is not None:
            highpass = noise.take_out(highpass, terms.basis[:, frames], terms.fit)
    return Comparison(apertures, of_target, of_reference, frames, highpass, terms, notes)


def comparable(series: Series, k: int, references: list[int]) -> tuple[list[int], Bools, Bools]:
    """Find apertures in which a target and a reference are allowed, and frames in which each is valid in all of them.

    Returns
    -------
    apertures : list of int
    of_target : ndarray of bool (n_frames,)
    of_reference : ndarray of bool (n_frames, n_references)
    """
    apertures = [
        p for p in range(len(series.apertures)) if series.allowed[k, p] and series.allowed[references, p].any()
    ]
    valid = np.isfinite(series.mag) | ~series.allowed  # what is not allowed is not asked for
    of_target = np.all(valid[:, k][:, apertures], axis=1)
    return apertures, of_target, np.all(valid[:, references][:, :, apertures], axis=2)


def groups(series: Series, references: list[int], apertures: list[int]) -> Iterator[tuple[tuple[int, ...], list[int]]]:
    """Give apertures in which the same references are allowed, which are searched together, and these references."""
    for allowed in {tuple(j for j in references if series.allowed[j, p]): None for p in apertures}:
        yield allowed, [p for p in apertures if tuple(j for j in references if series.allowed[j, p]) == allowed]


def weights_of(
    series: Series, frames: Bools, references: Sequence[int], apertures: list[int], weightings: Sequence[str]
) -> Floats:
    """Weights (aperture, weighting, reference) that owe nothing to noise measured: all weightings but `least`."""
    chosen: Any = list(references)
    flux = series.flux_adu[frames][:, chosen][:, :, apertures].transpose(2, 1, 0)
    err = series.mag_err[frames][:, chosen][:, :, apertures].transpose(2, 1, 0)
    exposure = series.exposure_s[frames]
    if "flux" in weightings and np.isfinite(exposure).any() and not (exposure > 0).all():
        unknown = numbers(series.number[frames][~(exposure > 0)].tolist())
        raise ValueError(f"flux per second needs the exposure time, which frame {unknown} does not say")
    rate = flux / (exposure if np.isfinite(exposure).all() else 1.0)  # unknown throughout: taken as all the same
    return np.stack([differential.reference_weights(name, rate, err) for name in weightings], axis=1)


def magnitudes(series: Series, k: int, frames: Bools, references: Sequence[int], apertures: list[int]) -> Any:
    """Magnitudes of the target (aperture, frame) and of references (aperture, reference, frame) in some frames."""
    mag = series.mag[frames]
    return mag[:, k][:, apertures].T, mag[:, list(references)][:, :, apertures].transpose(2, 1, 0)


def least_weights(
    targets: Floats, refs: Floats, highpass: noise.HighPass, *, frames: Bools | None = None
) -> list[Floats]:
    """Least-noise weights of the references in each aperture."""
    return [least_noise_weights(t, r, highpass, frames=frames) for t, r in zip(targets, refs, strict=True)]


def all_weights(
    series: Series, on: Comparison, references: Sequence[int], apertures: list[int], names: Sequence[str], mags: Any
) -> list[list[Floats]]:
    """Weights of the references, an array for each weighting in each aperture; `mags` as `magnitudes` gives them."""
    fixed = [name for name in names if name != "least"]
    weights: list[list[Floats]] = [[] for _ in apertures]
    if fixed:
        weights = [list(of_aperture) for of_aperture in weights_of(series, on.frames, references, apertures, fixed)]
    if "least" in names:  # comes last
        for of_aperture, least in zip(weights, least_weights(mags[0], mags[1], on.highpass), strict=True):
            of_aperture.append(least)
    return weights
