"""Stage `check`: each reference against the mean of the others, which ones to leave out, and the noise of all sources.

All in every aperture; the noise stands beside what the errors of the fluxes foretell.
"""

import shlex
from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete

from photdb.stages import STAGES, Plan
from photdb.stages.errors import stored_scintillation
from photdb.stages.runner import Session
from photdb.stages.series import ROLES, Series, load_series, nothing_left
from photdb.store import schema
from photdb.store.arrays import read_apertures, read_frames, replace_rows
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.project import Project
from photdb.wording import count


def plan(project: Project, params: dict[str, Any]) -> Plan:
    """See whether the magnitudes are those that the tables were made from."""
    everything = load_series(project, *ROLES)
    series = everything.part("reference")
    plan = Plan(params)
    if not series.sources:
        plan.blocked = nothing_left(project, "reference") or (
            "no reference is selected: `photdb select reference NAME --at FRAME X Y`"
        )
        return plan
    if not series.allowed.any() and read_apertures(project.connection):
        plan.blocked = "no aperture is left for the references: take a rejection back (`photdb reject list`)"
        return plan
    plan.n_units = 1
    raw = driver(project.connection)
    parts: list[tuple[Any, ...]] = []
    known = raw.execute("SELECT DISTINCT input FROM reference_check").fetchall()
    if known != [(_input(series),)]:
        parts.append((_check, series))
        what = "changed" if known else "not checked"
        plan.reasons.append(f"magnitudes of {count(len(series.sources), 'reference')} {what}")
    frames = read_frames(project.connection)
    scintillation = stored_scintillation(project.connection, frames)[frames.accepted]
    known = raw.execute("SELECT DISTINCT input FROM source_noise").fetchall()
    if known != [(_noise_input(everything, scintillation),)]:
        if not parts:
            what = "changed" if known else "not measured"
            plan.reasons.append(f"noise of {count(len(everything.sources), 'source')} {what}")
        parts.append((_measure_noise, everything, scintillation))
    if parts:
        plan.work.append(parts)
    return plan


def run(project: Project, plan: Plan, session: Session) -> None:
    """Compute the tables anew, each where it is not up to date."""
    for parts in plan.work:
        for compute, *what in parts:
            compute(project, *what)


def _measure_noise(project: Project, series: Series, scintillation_mag: NDArray[np.float64]) -> None:
    from photdb.stages.source_noise import source_noises

    input_ = _noise_input(series, scintillation_mag)
    rows = [
        (source.id, aperture.id, input_, *astuple(found))
        for source, by_aperture in zip(series.sources, source_noises(series, scintillation_mag), strict=True)
        for aperture, found in zip(series.apertures, by_aperture, strict=True)
    ]
    with project.transaction() as connection:
        connection.execute(delete(schema.source_noise))
        replace_rows(connection, "source_noise", [c.name for c in schema.source_noise.columns], rows)


def _check(project: Project, series: Series) -> None:
    from photdb.algorithms.references import advise, leave_one_out

    input_ = _input(series)
    rows = []
    for p, aperture in enumerate(series.apertures):
        here = [k for k in range(len(series.sources)) if series.allowed[k, p]]
        if not here:
            continue
        mags, errors = series.mag[:, here, p].T, series.mag_err[:, here, p].T
        found = leave_one_out(mags, series.jd_utc_mid)
        advice = {a.reference: a for a in advise(mags, errors, series.jd_utc_mid, numbers=series.number.tolist())}
        others2 = (np.sum(errors**2, axis=0) - errors**2) / max(len(here) - 1, 1) ** 2
        variance = errors**2 + others2
        for j, k in enumerate(here):
            common = variance[j][np.isfinite(variance).all(axis=0)]
            frame = int(found.worst_frame[j])
            rows.append(
                (
                    series.sources[k].id,
                    aperture.id,
                    input_,
                    float(found.scatter_mag[j]),
                    float(np.sqrt(np.median(common))) if common.size and len(here) > 1 else None,
                    float(found.drift_mag[j]),
                    float(found.worst_jump_mag[j]),
                    int(series.frame_id[frame]) if frame >= 0 else None,
                    found.n_frames,
                    _advice_text(advice.get(j), series, series.sources[k].label),
                )
            )
    names = [c.name for c in schema.reference_check.columns]
    with project.transaction() as connection:
        connection.execute(delete(schema.reference_check))
        replace_rows(connection, "reference_check", names, rows)


def _advice_text(advice: Any, series: Series, label: str) -> str | None:
    """Write the advice with the command that follows it."""
    if advice is None:
        return None
    if advice.remove:
        return f"{advice.reason}: photdb reject source {shlex.quote(label)}"
    if advice.frames:
        frames = " ".join(str(series.number[i]) for i in advice.frames)
        return f"{advice.reason}: photdb reject frames {frames} --source {shlex.quote(label)}"
    return str(advice.reason)


def _input(series: Series) -> int:
    return digest(
        STAGES["check"].version,
        [s.id for s in series.sources],
        [a.id for a in series.apertures],
        series.frame_id,
        series.jd_utc_mid,
        series.allowed,
        series.mag,
        series.mag_err,
    )


def _noise_input(series: Series, scintillation_mag: NDArray[np.float64]) -> int:
    return digest(_input(series), [s.role for s in series.sources], scintillation_mag)
