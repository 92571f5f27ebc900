"""Stage `noise`: each source's noise as measured, in every aperture, beside what the errors of its fluxes foretell."""

import math
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete

from photdb.algorithms.noise import HighPass, expected_noise, noise, robust_noise, smoother
from photdb.stages import STAGES, Plan
from photdb.stages.errors import stored_scintillation
from photdb.stages.runner import Session
from photdb.stages.series import ROLES, Series, keep_series, load_series
from photdb.store import schema
from photdb.store.arrays import read_frames, replace_rows
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.project import Project
from photdb.wording import count

Floats = NDArray[np.float64]


def plan(project: Project, params: dict[str, Any]) -> Plan:
    """See whether magnitudes, errors and roles are those that the table was made from."""
    plan = Plan(params)
    series = load_series(project, *ROLES)
    if not series.sources or not series.apertures:
        return plan
    plan.n_units = 1
    scintillation = scintillation_in(project)
    input_ = _input(series, scintillation)
    known = driver(project.connection).execute("SELECT DISTINCT input FROM source_noise").fetchall()
    if known != [(input_,)]:
        plan.work = [(series, scintillation, input_)]
        what = "changed" if known else "not measured"
        plan.reasons.append(f"magnitudes of {count(len(series.sources), 'source')} {what}")
    return plan


def run(project: Project, plan: Plan, session: Session) -> None:
    """Compute the table anew."""
    for series, scintillation, input_ in plan.work:
        rows = [
            (source.id, aperture.id, input_, *astuple(found))
            for source, by_aperture in zip(series.sources, source_noises(series, scintillation), strict=True)
            for aperture, found in zip(series.apertures, by_aperture, strict=True)
        ]
        with project.transaction() as connection:
            connection.execute(delete(schema.source_noise))
            replace_rows(connection, "source_noise", [c.name for c in schema.source_noise.columns], rows)
        keep_series(project, series)  # what was written is no magnitude


def scintillation_in(project: Project) -> Floats:
    """Give the scintillation that is in the errors of each accepted frame, magnitudes; 0 where it was left out."""
    frames = read_frames(project.connection)
    return stored_scintillation(project.connection, frames)[frames.accepted]


def _input(series: Series, scintillation_mag: Floats) -> int:
    return digest(
        STAGES["noise"].version,
        [(s.id, s.role) for s in series.sources],
        [a.id for a in series.apertures],
        series.frame_id,
        series.jd_utc_mid,
        series.allowed,
        series.mag,
        series.mag_err,
        scintillation_mag,
    )


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
