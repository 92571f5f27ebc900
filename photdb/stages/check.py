"""Stage `check`: each reference against the mean of the others, in every aperture, and which ones to leave out."""

import shlex
from typing import Any

import numpy as np
from sqlalchemy import delete

from photdb.stages import STAGES, Plan
from photdb.stages.runner import Session
from photdb.stages.series import Series, load_series, nothing_left
from photdb.store import schema
from photdb.store.arrays import read_apertures, replace_rows
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.project import Project
from photdb.wording import count


def plan(project: Project, params: dict[str, Any]) -> Plan:
    """See whether the references' magnitudes are those that the table was made from."""
    series = load_series(project, "reference")
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
    known = driver(project.connection).execute("SELECT DISTINCT input FROM reference_check").fetchall()
    if known != [(_input(series),)]:
        plan.work = [series]
        what = "changed" if known else "not checked"
        plan.reasons.append(f"magnitudes of {count(len(series.sources), 'reference')} {what}")
    return plan


def run(project: Project, plan: Plan, session: Session) -> None:
    """Compute the table anew."""
    from photdb.algorithms.references import advise, leave_one_out

    series: Series = plan.work[0]
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
