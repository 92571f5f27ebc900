"""Stage `measure`: centroid and aperture fluxes of every source in every frame, from cut-outs around the sources."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from photdb.stages import Plan, corrections
from photdb.stages.errors import refresh, save_frame_errors
from photdb.stages.measurements import State, measure_sources, places, read_state
from photdb.stages.profiles import measure_profiles, read_profiles
from photdb.stages.runner import Session
from photdb.store.arrays import Aperture, columns, read_apertures
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.wording import count, numbers, why_unread

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FrameWork:
    """What a frame is to be measured for: sources by their place in `Expected.sources`."""

    frame: int  # its place in `Expected.frames`
    fit: Ints  # whose centroid and fluxes are to be made
    more: Ints  # whose centroid stands, and which lack circular apertures
    optimal: Ints  # which lack optimal ones, or whose optimal ones are of another profile
    errors: Ints  # of whose fluxes the errors are to be made anew


# --- what there is to do ----------------------------------------------------------------------------------------------
def plan(project: Project, params: dict[str, Any]) -> Plan:
    """Find frames × sources whose content or expected position changed, and apertures without a flux."""
    connection = project.connection
    state = read_state(project, params)
    frames, sources = state.expected.frames, state.expected.sources
    n_units = int((frames.usable & state.registered).sum()) * len(sources)
    plan = Plan(params, n_units, notes=state.expected.notes, found=state)
    if not sources:
        plan.blocked = "no source is selected: `photdb select` names asteroids, variables and references"
        return plan
    if not state.apertures:
        from photdb.stages.apertures import NO_FWHM, can_choose

        if not can_choose(project):
            plan.blocked = NO_FWHM
            return plan
    frame, source, inputs, error_inputs = columns(
        connection, "SELECT frame_id, source_id, input, error_input FROM centroid", "iiii"
    )
    i, k, here = places(state.expected, frame, source)
    known, known_errors = np.zeros((2, *state.inputs.shape), np.int64)
    known[i, k], known_errors[i, k] = inputs[here], error_inputs[here]

    # A frame whose pixels could never be read has no shift either, and is not asked for.
    usable = np.broadcast_to((frames.usable & state.registered)[:, None], known.shape)
    new = usable & (known == 0)
    stale = usable & (known != 0) & (known != state.inputs)
    standing = usable & ~new & ~stale
    n_plain = len(state.plain) or int(not state.optimal)  # those to be chosen, if there are none yet
    lacking = standing & (_n_fluxes(connection, state.plain, state, frame.size) < n_plain)
    optimal, changed = np.zeros((2, *usable.shape), bool)
    if state.profile_inputs is not None:
        profiles = read_profiles(connection)
        made_from = [profiles[f].input if f in profiles else 0 for f in frames.id.tolist()]
        changed = usable & (np.array(made_from) != state.profile_inputs)[:, None]
        optimal = standing & (_n_fluxes(connection, state.optimal, state, frame.size) < len(state.optimal))
    (kept,) = columns(connection, "SELECT frame_id FROM frame_error", "i")  # none: they cannot be said to be current
    errors = standing & ((known_errors != state.error_inputs) | ~np.isin(frames.id, kept)[:, None])
    fit = new | stale
    profiled = (optimal | changed | fit) if state.profile_inputs is not None else optimal
    for f in np.flatnonzero((fit | lacking | profiled | errors).any(axis=1)):
        plan.work.append(FrameWork(int(f), *(np.flatnonzero(w[f]) for w in (fit, lacking, profiled, errors))))
    moved = stale & _moved(connection, state) if stale.any() else stale
    plan.reasons = _reasons(state, new, stale, lacking | optimal, errors, moved)
    if (rest := (changed & standing & ~optimal).any(axis=1)).any():
        which = numbers(frames.number[rest].tolist())
        plan.reasons.append(f"optimal apertures follow the frame's stars and sources, which changed: frame {which}")
    if not plan.work and (wanted := corrections.outdated(project, params)):
        plan.work.append(wanted)
        plan.reasons.append(wanted.reason)
    return plan


def _n_fluxes(connection: Connection, apertures: list[Aperture], state: State, n_centroids: int) -> Ints:
    """Count of some apertures those that have a flux, (n_frames, n_sources); no centroid, no matter."""
    counts = np.zeros(state.inputs.shape, np.int64)
    ids = ", ".join(str(a.id) for a in apertures)
    (n_rows,) = driver(connection).execute(f"SELECT count(*) FROM flux WHERE aperture_id IN ({ids})").fetchone()  # noqa: S608
    if n_rows == n_centroids * len(apertures):  # nothing lacks: no need to count one by one
        return counts + len(apertures)
    frame, source, n = columns(
        connection,
        f"SELECT frame_id, source_id, count(*) FROM flux WHERE aperture_id IN ({ids})"  # noqa: S608 - ids of ours
        " GROUP BY frame_id, source_id",
        "iii",
    )
    i, k, here = places(state.expected, frame, source)
    counts[i, k] = n[here]
    return counts


def _moved(connection: Connection, state: State) -> Bools:
    """Tell what is expected elsewhere than it was measured, (n_frames, n_sources)."""
    known = np.full(state.expected.xy_px.shape, np.nan)
    sql = "SELECT frame_id, source_id, x_expected_px, y_expected_px FROM centroid"
    frame, source, x, y = columns(connection, sql, "iiff")
    i, k, here = places(state.expected, frame, source)
    known[i, k] = np.stack([x, y], axis=1)[here]
    xy = state.expected.xy_px
    same: Bools = ((known == xy) | (np.isnan(known) & np.isnan(xy))).all(axis=2)
    return ~same


def _reasons(state: State, new: Bools, stale: Bools, lacking: Bools, errors: Bools, moved: Bools) -> list[str]:
    frames, sources = state.expected.frames, state.expected.sources
    usable = frames.usable & state.registered
    n_usable = int(usable.sum())
    whole = new[usable].all(axis=0) & (n_usable > 0)
    reasons = []
    if whole.all():
        reasons.append(f"{count(n_usable, 'frame')} not measured")
    else:
        reasons += [f"{sources[k].role} {sources[k].label} not measured" for k in np.flatnonzero(whole)]
        if rest := int(new[:, ~whole].any(axis=1).sum()):
            reasons.append(f"{rest} of {count(n_usable, 'frame')} not measured")
    for k in np.flatnonzero(moved.any(axis=0)):
        n = count(int(moved[:, k].sum()), "frame")
        reasons.append(f"{sources[k].label} is expected elsewhere than it was measured in {n}")
    if (stale & ~moved).any():
        changed = frames.number[(stale & ~moved).any(axis=1)]
        reasons.append(f"content, FWHM, role or search box changed: frame {numbers(changed.tolist())}")
    if lacking.any():
        reasons.append(f"apertures to be added for {count(int(lacking.sum()), 'measurement')}")
    if errors.any():
        n = count(int(errors.sum()), "measurement")
        reasons.append(
            f"gain, read noise, scintillation, saturation or an asteroid's track changed: errors and flags of {n}"
        )
    if not state.apertures:
        reasons.append("apertures are not chosen yet")
    return reasons


# --- doing it ---------------------------------------------------------------------------------------------------------
def run(project: Project, plan: Plan, session: Session) -> None:
    """Measure; apertures are chosen first from the frames' FWHM if nobody did.

    Files that are gone, changed or cannot be opened become a problem of the session, and stay work.

    Raises
    ------
    PhotdbError
        There is no FWHM to choose apertures from.
    """
    state: State = plan.found
    if not state.apertures:
        from photdb.stages.apertures import choose_apertures

        chosen = choose_apertures(project)
        session.say("measure: apertures " + " ".join(str(a) for a in chosen))
        state = replace(state, apertures=read_apertures(project.connection))
    work: list[FrameWork] = [w for w in plan.work if isinstance(w, FrameWork)]
    _refresh(project, state, work)
    unread: dict[int, str] = {}
    fit = [(w.frame, w.fit) for w in work if w.fit.size]
    more = [(w.frame, w.more) for w in work if w.more.size]
    lacking = _lacking(project.connection, state) if more else state.plain
    for items, apertures, fitting in ((fit, state.plain, True), (more, lacking, False)):
        if items and (apertures or fitting):  # those just chosen may have come back with all their fluxes
            unread |= measure_sources(project, session, plan.params, state, items, apertures, fitting=fitting)
    profiled = [(w.frame, w.optimal) for w in work if w.optimal.size and w.frame not in unread]
    if profiled and state.profile_inputs is not None:
        found, lost = measure_profiles(
            project, session, state.expected, [f for f, _ in profiled], state.fwhm_px, state.profile_inputs
        )
        profiled = [(f, k) for f, k in profiled if f in found]
        unread |= lost | measure_sources(
            project, session, plan.params, state, profiled, state.optimal, fitting=False, profiles=found
        )
    if unread:
        which = numbers([int(state.expected.frames.number[i]) for i in unread])
        reason = why_unread(next(iter(unread.values())))
        session.problems.append(f"the file of frame {which} in {project.frame_folder} cannot be read ({reason})")
    session.done.add("measure")  # what corrections read reads it
    if corrections.outdated(project, plan.params):
        corrections.run(project, plan.params, session)


def _refresh(project: Project, state: State, work: list[FrameWork]) -> None:
    source_ids = [s.id for s in state.expected.sources]
    with project.transaction() as connection:
        for w in work:
            if w.errors.size:
                refresh(
                    connection,
                    state.facts.detector,
                    float(state.facts.scintillation_mag[w.frame]),
                    int(state.expected.frames.id[w.frame]),
                    {source_ids[k]: float(state.passing_px[w.frame, k]) for k in w.errors},
                    {source_ids[k]: int(state.error_inputs[w.frame, k]) for k in w.errors},
                )
        renewed = np.array([w.frame for w in work if w.errors.size], np.int64)
        save_frame_errors(connection, state.facts, state.expected.frames, renewed)


def _lacking(connection: Connection, state: State) -> list[Aperture]:
    """Find the circular apertures that some frame × source has no flux for, though it has a centroid."""
    frame_ids = ", ".join(map(str, state.expected.frames.id[state.expected.frames.usable].tolist()))
    source_ids = ", ".join(str(s.id) for s in state.expected.sources)
    where = f"WHERE frame_id IN ({frame_ids}) AND source_id IN ({source_ids})"
    (n,) = driver(connection).execute(f"SELECT count(*) FROM centroid {where}").fetchone()  # noqa: S608 - ids of ours
    counts = dict(
        driver(connection).execute(f"SELECT aperture_id, count(*) FROM flux {where} GROUP BY aperture_id").fetchall()  # noqa: S608
    )
    return [a for a in state.plain if counts.get(a.id, 0) < n]
