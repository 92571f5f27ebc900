"""Each source's noise as measured, next to what the errors of its fluxes foretell: the numbers of `source_noise`."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.noise import HighPass, expected_noise, noise, robust_noise, smoother
from photdb.stages.series import Series

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SourceNoise:
    """The noise of a curve against the mean of the references, magnitudes; NaN where it has too few frames."""

    noise_mag: float = math.nan
    noise_mag_err: float = math.nan
    noise_robust_mag: float = math.nan
    expected_mag: float = math.nan  # by the errors of the source and of the mean
    ccd_mag: float = math.nan  # of that, the CCD equation alone
    scintillation_mag: float = math.nan
    n_frames: int = 0


def source_noises(series: Series, scintillation_mag: Floats) -> list[list[SourceNoise]]:
    """Measure every source in every aperture against the mean of the references; a reference against the others.

    Parameters
    ----------
    series : Series
        Of all sources.
    scintillation_mag : ndarray (n_frames,)
        What is in the series' errors; 0 where it was left out.

    Returns
    -------
    list of list of SourceNoise
        A list a source, in it one an aperture.
    """
    references = series.of("reference")
    filters: dict[bytes, HighPass] = {}  # most sources are valid in the same frames
    apertures = range(len(series.apertures))
    return [
        [_noise(series, k, p, references, scintillation_mag, filters) for p in apertures]
        for k in range(len(series.sources))
    ]


def _noise(
    series: Series, k: int, p: int, references: list[int], scintillation_mag: Floats, filters: dict[bytes, HighPass]
) -> SourceNoise:
    others = [j for j in references if j != k and series.allowed[j, p]]
    curve = np.full(series.jd_utc_mid.size, np.nan)
    if others:
        curve = series.mag[:, k, p] - series.mag[:, others, p].mean(axis=1)
    good = np.isfinite(curve)
    if not good.any():
        return SourceNoise(n_frames=0)
    key = good.tobytes()
    if key not in filters:
        filters[key] = smoother(series.jd_utc_mid[good])
    highpass = filters[key]
    if not highpass.trace > 0:
        return SourceNoise(n_frames=int(good.sum()))
    variance = np.square(series.mag_err[good, k, p])
    variance += np.square(series.mag_err[good][:, others, p]).sum(axis=1) / len(others) ** 2
    air = np.square(scintillation_mag[good]) * (1.0 + 1.0 / len(others))
    measured = float(noise(curve[good], highpass))
    expected, of_air = (float(expected_noise(v, highpass)) for v in (variance, air))
    return SourceNoise(
        measured,
        measured * highpass.relative_error,
        float(robust_noise(curve[good], highpass)),
        expected,
        float(np.sqrt(max(expected**2 - of_air**2, 0.0))),
        of_air,
        int(good.sum()),
    )
