"""Stage `measure`: centroid and aperture fluxes of every source in every frame, from cut-outs around the sources."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from photdb.algorithms.flags import Flag
from photdb.errors import PhotdbError
from photdb.stages import STAGES, Plan
from photdb.stages.errors import (
    DEFAULT_FWHM_PX,
    Detector,
    detector,
    error_inputs,
    passing_distance,
    refresh,
    with_errors,
)
from photdb.stages.positions import Expected, expected_positions
from photdb.stages.runner import Session, save_in_batches
from photdb.stages.stamps import CENTROID, FLUX, Stamps, StampTask, measure_stamps
from photdb.store.arrays import Aperture, columns, read_apertures, read_by_frame, replace_rows
from photdb.store.currency import digests
from photdb.store.project import Project, driver
from photdb.wording import count, numbers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Stamps a task: enough to keep numpy busy, few enough to stay in the cache and to give every worker its share.
_STAMPS = 192
_S_PER_STAMP = 1e-4


@dataclass(frozen=True, slots=True)
class FrameWork:
    """What a frame is to be measured for: sources by their place in `Expected.sources`."""

    frame: int  # its place in `Expected.frames`
    fit: Ints  # whose centroid and fluxes are to be made
    more: Ints  # whose centroid stands, and which lack apertures
    errors: Ints  # of whose fluxes the errors are to be made anew


@dataclass(frozen=True, slots=True)
class _State:
    """What is there and what should be, arrays (n_frames, n_sources)."""

    expected: Expected
    apertures: list[Aperture]
    facts: Detector
    fwhm_px: Floats
    max_offset_px: Floats
    passing_px: Floats
    inputs: Ints
    error_inputs: Ints


# --- what there is to do ----------------------------------------------------------------------------------------------
def plan(project: Project, params: dict[str, Any]) -> Plan:
    """Find frames × sources whose content or expected position changed, and apertures without a flux."""
    connection = project.connection
    state = _state(project, params)
    frames, sources = state.expected.frames, state.expected.sources
    plan = Plan(params, int(frames.usable.sum()) * len(sources), notes=state.expected.notes)
    if not sources:
        plan.blocked = "no source is selected: `photdb select` names asteroids, variables and references"
        return plan
    frame, source, *values = columns(
        connection,
        "SELECT frame_id, source_id, input, error_input, x_expected_px, y_expected_px FROM centroid",
        "iiiiff",
    )
    i, k, here = _places(state.expected, frame, source)
    known, known_errors = np.zeros((2, *state.inputs.shape), np.int64)
    known[i, k], known_errors[i, k] = values[0][here], values[1][here]
    known_xy = np.full(state.expected.xy_px.shape, np.nan)
    known_xy[i, k] = np.stack(values[2:], axis=1)[here]

    usable = np.broadcast_to(frames.usable[:, None], known.shape)
    new = usable & (known == 0)
    stale = usable & (known != 0) & (known != state.inputs)
    lacking = usable & ~new & ~stale & (_n_fluxes(connection, state) < len(state.apertures))
    errors = usable & ~new & ~stale & (known_errors != state.error_inputs)
    for f in np.flatnonzero((new | stale | lacking | errors).any(axis=1)):
        plan.work.append(FrameWork(int(f), *(np.flatnonzero(w[f]) for w in (new | stale, lacking, errors))))
    plan.reasons = _reasons(state, new, stale, lacking, errors, known_xy)
    return plan


def _state(project: Project, params: dict[str, Any]) -> _State:
    connection = project.connection
    expected = expected_positions(project)
    ids = expected.frames.id
    fwhm = read_by_frame(connection, "frame_quality", ["fwhm_px"], expected.frames)[0]
    fwhm = np.where(np.isfinite(fwhm), fwhm, DEFAULT_FWHM_PX)
    # A star is where its anchor and the shifts say. Between its anchors an asteroid may be off by more.
    moving = np.array([source.role == "asteroid" for source in expected.sources], bool)
    offset = np.where(moving, np.maximum(2.0, fwhm)[:, None], np.maximum(1.0, 0.4 * fwhm)[:, None])
    width = np.broadcast_to(fwhm[:, None, None], (*offset.shape, 1))
    values = np.concatenate([expected.xy_px, width, offset[:, :, None]], axis=2)
    crc = dict(driver(connection).execute("SELECT id, content_crc32 FROM frame").fetchall())
    version, search = STAGES["measure"].version, params["search_px"]
    inputs = [digests((version, search, crc[f]), v) for f, v in zip(ids.tolist(), values, strict=True)]
    facts, passing = detector(connection), passing_distance(expected)
    return _State(
        expected,
        read_apertures(connection),
        facts,
        fwhm,
        offset,
        passing,
        np.array(inputs, np.int64).reshape(offset.shape),
        error_inputs(facts, passing),
    )


def _n_fluxes(connection: Connection, state: _State) -> Ints:
    """Count the apertures in force that have a flux, (n_frames, n_sources)."""
    counts = np.zeros(state.inputs.shape, np.int64)
    ids = ", ".join(str(a.id) for a in state.apertures)
    frame, source, n = columns(
        connection,
        f"SELECT frame_id, source_id, count(*) FROM flux WHERE aperture_id IN ({ids})"  # noqa: S608 - ids of ours
        " GROUP BY frame_id, source_id",
        "iii",
    )
    i, k, here = _places(state.expected, frame, source)
    counts[i, k] = n[here]
    return counts


def _places(expected: Expected, frame_id: Ints, source_id: Ints) -> tuple[Ints, Ints, Bools]:
    """Turn ids of rows into places in arrays, and say which rows have one."""
    source_ids = np.array([s.id for s in expected.sources], np.int64)
    order = np.argsort(expected.frames.id)
    i = order[np.searchsorted(expected.frames.id[order], frame_id)]
    k = np.clip(np.searchsorted(source_ids, source_id), 0, source_ids.size - 1)
    here = source_ids[k] == source_id  # not those of removed sources
    return i[here], k[here], here


def _reasons(state: _State, new: Bools, stale: Bools, lacking: Bools, errors: Bools, known_xy: Floats) -> list[str]:
    frames, sources = state.expected.frames, state.expected.sources
    n_usable = int(frames.usable.sum())
    whole = new[frames.usable].all(axis=0)
    reasons = []
    if whole.all():
        reasons.append(f"{count(n_usable, 'frame')} not measured")
    else:
        reasons += [f"{sources[k].role} {sources[k].label} not measured" for k in np.flatnonzero(whole)]
        if rest := int(new[:, ~whole].any(axis=1).sum()):
            reasons.append(f"{rest} of {count(n_usable, 'frame')} not measured")
    xy = state.expected.xy_px
    same = (known_xy == xy) | (np.isnan(known_xy) & np.isnan(xy))
    moved = stale & ~same.all(axis=2)
    for k in np.flatnonzero(moved.any(axis=0)):
        n = count(int(moved[:, k].sum()), "frame")
        reasons.append(f"{sources[k].label} is expected elsewhere than it was measured in {n}")
    if (stale & ~moved).any():
        changed = frames.number[(stale & ~moved).any(axis=1)]
        reasons.append(f"content, FWHM or search box changed: frame {numbers(changed.tolist())}")
    if lacking.any():
        reasons.append(f"apertures to be added for {count(int(lacking.sum()), 'measurement')}")
    if errors.any():
        n = count(int(errors.sum()), "measurement")
        reasons.append(f"gain, read noise, saturation or an asteroid's track changed: errors and flags of {n}")
    if not state.apertures:
        reasons.append("apertures are not chosen yet")
    return reasons


# --- doing it ---------------------------------------------------------------------------------------------------------
def run(project: Project, plan: Plan, session: Session) -> None:
    """Measure; apertures are chosen first from the frames' FWHM if nobody did.

    Raises
    ------
    PhotdbError
        Files are gone, changed or cannot be opened; everything else is measured.
    """
    if not read_apertures(project.connection):
        from photdb.stages.apertures import choose_apertures

        chosen = choose_apertures(project)
        session.say("measure: apertures " + " ".join(str(a) for a in chosen))
    state = _state(project, plan.params)
    work: list[FrameWork] = plan.work
    _refresh(project, state, work)
    unread: dict[int, str] = {}
    fit = [(w.frame, w.fit) for w in work if w.fit.size]
    more = [(w.frame, w.more) for w in work if w.more.size]
    lacking = _lacking(project.connection, state.apertures) if more else state.apertures
    for items, apertures, fitting in ((fit, state.apertures, True), (more, lacking, False)):
        if items:
            unread |= _measure(project, session, plan.params, state, items, apertures, fitting=fitting)
    if unread:
        which = numbers([int(state.expected.frames.number[i]) for i in unread])
        reason = next(iter(unread.values()))
        raise PhotdbError(f"the files of frame {which} in {project.frame_folder} cannot be read ({reason})")


def _refresh(project: Project, state: _State, work: list[FrameWork]) -> None:
    source_ids = [s.id for s in state.expected.sources]
    with project.transaction() as connection:
        for w in work:
            if w.errors.size:
                refresh(
                    connection,
                    state.facts,
                    int(state.expected.frames.id[w.frame]),
                    {source_ids[k]: float(state.passing_px[w.frame, k]) for k in w.errors},
                    {source_ids[k]: int(state.error_inputs[w.frame, k]) for k in w.errors},
                )


def _lacking(connection: Connection, apertures: Sequence[Aperture]) -> list[Aperture]:
    """Find the apertures that some frame × source has no flux for, though it has others."""
    counts = dict(driver(connection).execute("SELECT aperture_id, count(*) FROM flux GROUP BY aperture_id").fetchall())
    most = max(counts.values(), default=0)
    return [a for a in apertures if counts.get(a.id, 0) < most] or list(apertures)


def _measure(
    project: Project,
    session: Session,
    params: dict[str, Any],
    state: _State,
    items: list[tuple[int, Ints]],
    apertures: Sequence[Aperture],
    *,
    fitting: bool,
) -> dict[int, str]:
    """Measure some sources of some frames, and save; gives the frames (by their place) that could not be read."""
    expected = state.expected
    rows = driver(project.connection).execute("SELECT id, path, size_bytes, mtime_ns FROM frame")
    files = {frame_id: rest for frame_id, *rest in rows}
    folder, frame_id = project.frame_folder, expected.frames.id.tolist()
    at = expected.xy_px if fitting else _measured_xy(project.connection, expected)
    rings = np.array([(a.radius_px, a.annulus_inner_px, a.annulus_outer_px) for a in apertures])
    chunks = _chunks(items)
    tasks = [
        StampTask(
            paths=tuple(folder / files[frame_id[i]][0] for i, _ in chunk),
            seen=tuple((files[frame_id[i]][1], files[frame_id[i]][2]) for i, _ in chunk),
            stamp_frame=np.repeat(np.arange(len(chunk)), [k.size for _, k in chunk]),
            x_px=np.concatenate([at[i, k, 0] for i, k in chunk]),
            y_px=np.concatenate([at[i, k, 1] for i, k in chunk]),
            fwhm_px=np.repeat([state.fwhm_px[i] for i, _ in chunk], [k.size for _, k in chunk]),
            max_offset_px=np.concatenate([state.max_offset_px[i, k] for i, k in chunk]),
            search_px=params["search_px"],
            fit=fitting,
            apertures=rings,
        )
        for chunk in chunks
    ]
    unread: dict[int, str] = {}

    def save(connection: Connection, batch: list[tuple[list[tuple[int, Ints]], Stamps]]) -> None:
        for chunk, found in batch:
            unread.update({chunk[j][0]: reason for j, reason in found.unread.items()})
            i = np.repeat([i for i, _ in chunk], [k.size for _, k in chunk])
            _save(
                connection, state, i, np.concatenate([k for _, k in chunk]), found, ~np.isin(i, list(unread)), apertures
            )

    estimate = sum(t.x_px.size for t in tasks) * _S_PER_STAMP
    results = session.workers.run(measure_stamps, tasks, estimate_s=estimate)
    counted = ((len(chunk), (chunk, found)) for chunk, found in zip(chunks, results, strict=True))
    save_in_batches(project, session, "measure", counted, len(items), save)
    return unread


def _chunks(items: list[tuple[int, Ints]]) -> list[list[tuple[int, Ints]]]:
    chunks: list[list[tuple[int, Ints]]] = []
    n_stamps = _STAMPS
    for item in items:
        if n_stamps >= _STAMPS:
            chunks.append([])
            n_stamps = 0
        chunks[-1].append(item)
        n_stamps += item[1].size
    return chunks


def _measured_xy(connection: Connection, expected: Expected) -> Floats:
    xy = np.full(expected.xy_px.shape, np.nan)
    frame, source, x, y = columns(connection, "SELECT frame_id, source_id, x_px, y_px FROM centroid", "iiff")
    i, k, here = _places(expected, frame, source)
    xy[i, k, 0], xy[i, k, 1] = x[here], y[here]
    return xy


def _save(
    connection: Connection,
    state: _State,
    i: Ints,
    k: Ints,
    found: Stamps,
    good: Bools,
    apertures: Sequence[Aperture],
) -> None:
    """Save a task's rows: those of frames and sources at places `i` and `k`, where they are good."""
    i, k = i[good], k[good]
    expected = state.expected
    source_ids = np.array([s.id for s in expected.sources], np.int64)
    keys = np.stack([expected.frames.id[i], source_ids[k]], axis=1)
    raw = driver(connection)
    if found.centroid:
        # Fluxes in apertures that are not in force now would else stay behind, made from what no longer holds.
        raw.executemany("DELETE FROM flux WHERE frame_id = ? AND source_id = ?", keys.tolist())
        centroid = {name: column[good] for name, column in found.centroid.items()}
        peak, centroid_flags = centroid["peak_adu"], found.centroid_flags[good]
        columns_ = (
            *keys.T,
            state.inputs[i, k],
            state.error_inputs[i, k],
            *expected.xy_px[i, k].T,
            *(centroid[name] for name in CENTROID),
            centroid_flags,
        )
        names = ("frame_id", "source_id", "input", "error_input", "x_expected_px", "y_expected_px", *CENTROID, "flags")
        replace_rows(connection, "centroid", names, list(zip(*(c.tolist() for c in columns_), strict=True)))
    else:
        sql = "SELECT peak_adu, flags FROM centroid WHERE frame_id = ? AND source_id = ?"
        stored = [raw.execute(sql, key).fetchone() for key in keys.tolist()]
        peak = np.array([row[0] for row in stored], float)
        centroid_flags = np.array([row[1] for row in stored], np.int64)
    flux = {name: column[good] for name, column in found.flux.items()}
    flags = found.flux_flags[good] | centroid_flags[:, None]
    lost = (centroid_flags & Flag.NO_POSITION) != 0
    for column in flux.values():
        column[lost] = np.nan
    flags[lost] = Flag.NO_POSITION
    error, flags = with_errors(
        state.facts,
        flux_adu=flux["flux_adu"],
        noise_area_px=flux["noise_area_px"],
        radius_px=np.array([a.radius_px for a in apertures])[None, :],
        sky_scatter_adu=flux["sky_scatter_adu"],
        n_sky=flux["n_sky"],
        peak_adu=peak[:, None],
        fwhm_px=state.fwhm_px[i][:, None],
        passing_px=state.passing_px[i, k][:, None],
        flags=flags,
    )
    n, p = flags.shape
    table = (
        *(np.repeat(key, p) for key in keys.T),
        np.tile([a.id for a in apertures], n),
        *(flux[name].ravel() for name in FLUX),
        error.ravel(),
        flags.ravel(),
    )
    flux_names = ("frame_id", "source_id", "aperture_id", *FLUX, "flux_err_adu", "flags")
    replace_rows(connection, "flux", flux_names, list(zip(*(c.tolist() for c in table), strict=True)))
