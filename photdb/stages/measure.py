"""Stage `measure`: centroid and aperture fluxes of every source in every frame, from cut-outs around the sources."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from photdb.algorithms.flags import Flag
from photdb.errors import FrameError, PhotdbError
from photdb.stages import STAGES, Plan
from photdb.stages.errors import Detector, detector, outdated, refresh, with_errors
from photdb.stages.positions import Expected, expected_positions
from photdb.stages.runner import Session, save_in_batches
from photdb.store.arrays import (
    Aperture,
    columns,
    read_apertures,
    read_by_frame,
    replace_rows,
)
from photdb.store.currency import digests
from photdb.store.project import Project, driver
from photdb.wording import count, numbers

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Stamps a task: enough to keep numpy busy, few enough to stay in the cache and to give every worker its share.
_STAMPS = 192
_S_PER_STAMP = 1e-4
#: Stars without a FWHM of their own frame (none measured in the region of qc).
_FWHM_PX = 3.0

_CENTROID = ("x_px", "y_px", "fwhm_px", "elongation", "peak_adu")
_FLUX = ("flux_adu", "sky_adu", "sky_scatter_adu", "n_sky", "noise_area_px")


@dataclass(frozen=True, slots=True)
class _FrameWork:
    """What a frame has to be measured for: sources by their place in `Expected.sources`."""

    frame: int  # its place in `Expected.frames`
    fit: Ints  # sources whose centroid and fluxes are to be made
    more: Ints  # sources whose centroid stands, and which lack apertures


@dataclass(frozen=True, slots=True)
class _Task:
    paths: tuple[Path, ...]
    seen: tuple[tuple[int, int], ...]  # size and mtime that the frames' content is known for
    stamp_frame: Ints  # (n,) which of the paths
    x_px: Floats  # (n,) expected, or as measured before
    y_px: Floats
    fwhm_px: Floats
    max_offset_px: Floats
    search_px: int
    fit: bool
    apertures: Floats  # (p, 3): radius, inner and outer radius of the ring


@dataclass(frozen=True, slots=True)
class _Measured:
    """Columns of a task's sources; a frame that could not be read has a reason, and its rows mean nothing."""

    centroid: dict[str, Floats]  # (n,) each; empty where nothing was to be fitted
    centroid_flags: Ints
    flux: dict[str, Floats]  # (n, p) each
    flux_flags: Ints
    unread: dict[int, str]  # place in paths: reason


# --- what there is to do ----------------------------------------------------------------------------------------------
def plan(project: Project, params: dict[str, Any]) -> Plan:
    """Find frames × sources whose content or expected position changed, and apertures without a flux."""
    connection = project.connection
    expected = expected_positions(project)
    frames, sources = expected.frames, expected.sources
    plan = Plan(params, int(frames.usable.sum()) * len(sources), notes=expected.notes)
    if not sources:
        plan.blocked = "no source is selected: `photdb select` names asteroids, variables and references"
        return plan
    apertures = read_apertures(connection)
    values = _inputs(project, expected)
    known, known_xy = _known(connection, expected)
    wanted = np.stack([digests(_common(project, frames.id[i], params), values[i]) for i in range(frames.id.size)])
    usable = np.broadcast_to(frames.usable[:, None], wanted.shape)
    new = usable & (known == 0)
    stale = usable & (known != 0) & (known != wanted)
    lacking = usable & ~new & ~stale & (_fluxes(connection, expected, apertures) < len(apertures))
    for i in np.flatnonzero((new | stale | lacking).any(axis=1)):
        plan.work.append(_FrameWork(int(i), np.flatnonzero(new[i] | stale[i]), np.flatnonzero(lacking[i])))
    plan.reasons = _reasons(expected, apertures, new, stale, lacking, known_xy)
    if n := outdated(connection, detector(connection)):
        plan.reasons.append(f"gain, read noise or saturation changed: errors of {count(n, 'measurement')}")
        plan.work.append(None)
    if not apertures:
        plan.reasons.append("apertures are not chosen yet")
    return plan


def _inputs(project: Project, expected: Expected) -> Floats:
    """Everything of a frame × source that enters its centroid: (n_frames, n_sources, 4)."""
    fwhm = read_by_frame(project.connection, "frame_quality", ["fwhm_px"], expected.frames)[0]
    fwhm = np.where(np.isfinite(fwhm), fwhm, _FWHM_PX)
    # A star is where its anchor and the shifts say. Between its anchors an asteroid may be off by more.
    moving = np.array([source.role == "asteroid" for source in expected.sources], bool)
    offset = np.where(moving, np.maximum(2.0, fwhm)[:, None], np.maximum(1.0, 0.4 * fwhm)[:, None])
    return np.concatenate(
        [expected.xy_px, np.broadcast_to(fwhm[:, None, None], (*offset.shape, 1)), offset[:, :, None]], axis=2
    )


def _common(project: Project, frame_id: int, params: dict[str, Any]) -> tuple[Any, ...]:
    crc = driver(project.connection).execute("SELECT content_crc32 FROM frame WHERE id = ?", (int(frame_id),))
    return (STAGES["measure"].version, params["search_px"], crc.fetchone()[0])


def _known(connection: Connection, expected: Expected) -> tuple[Ints, Floats]:
    """Read the stored digests (0: no row) and the expected positions that they were made from."""
    shape = (expected.frames.id.size, len(expected.sources))
    known, xy = np.zeros(shape, np.int64), np.full((*shape, 2), np.nan)
    frame, source, input_, x, y = columns(
        connection, "SELECT frame_id, source_id, input, x_expected_px, y_expected_px FROM centroid", "iiiff"
    )
    i, k, here = _places(expected, frame, source)
    known[i, k] = input_[here]
    xy[i, k, 0], xy[i, k, 1] = x[here], y[here]
    return known, xy


def _fluxes(connection: Connection, expected: Expected, apertures: Sequence[Aperture]) -> Ints:
    """Count the apertures in force that have a flux, (n_frames, n_sources)."""
    counts = np.zeros((expected.frames.id.size, len(expected.sources)), np.int64)
    ids = ", ".join(str(a.id) for a in apertures)
    frame, source, n = columns(
        connection,
        f"SELECT frame_id, source_id, count(*) FROM flux WHERE aperture_id IN ({ids})"  # noqa: S608 - ids of ours
        " GROUP BY frame_id, source_id",
        "iii",
    )
    i, k, here = _places(expected, frame, source)
    counts[i, k] = n[here]
    return counts


def _places(expected: Expected, frame_id: Ints, source_id: Ints) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Turn ids of rows into places in arrays, and say which rows have one."""
    source_ids = np.array([s.id for s in expected.sources], np.int64)
    order = np.argsort(expected.frames.id)
    i = order[np.searchsorted(expected.frames.id[order], frame_id)]
    k = np.clip(np.searchsorted(source_ids, source_id), 0, source_ids.size - 1)
    here = source_ids[k] == source_id  # not those of removed sources
    return i[here], k[here], here


def _reasons(
    expected: Expected,
    apertures: Sequence[Aperture],
    new: NDArray[np.bool_],
    stale: NDArray[np.bool_],
    lacking: NDArray[np.bool_],
    known_xy: Floats,
) -> list[str]:
    usable = expected.frames.usable
    whole = new[usable].all(axis=0)
    reasons = []
    if whole.all():
        reasons.append(f"{count(int(usable.sum()), 'frame')} not measured")
    else:
        for source in (expected.sources[k] for k in np.flatnonzero(whole)):
            reasons.append(f"{source.role} {source.label} not measured")
        rest = (new[:, ~whole].any(axis=1)).sum()
        if rest:
            reasons.append(f"{rest} of {count(int(usable.sum()), 'frame')} not measured")
    moved = stale & ~_equal(known_xy, expected.xy_px).all(axis=2)
    for k in np.flatnonzero(moved.any(axis=0)):
        n = count(int(moved[:, k].sum()), "frame")
        reasons.append(f"{expected.sources[k].label} expected elsewhere than it was measured in {n}")
    if (stale & ~moved).any():
        changed = expected.frames.number[(stale & ~moved).any(axis=1)]
        reasons.append(f"content, FWHM or search box changed: frame {numbers(changed.tolist())}")
    if lacking.any():
        reasons.append(f"apertures to be added for {count(int(lacking.sum()), 'measurement')}")
    return reasons


def _equal(a: Floats, b: Floats) -> NDArray[np.bool_]:
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)))


# --- doing it ---------------------------------------------------------------------------------------------------------
def run(project: Project, plan: Plan, session: Session) -> None:
    """Measure; apertures are chosen first from the frames' FWHM if nobody did.

    Raises
    ------
    PhotdbError
        Files are gone, changed or cannot be opened; everything else is measured.
    """
    apertures = read_apertures(project.connection)
    if not apertures:
        from photdb.stages.apertures import choose_apertures

        apertures = choose_apertures(project)
        session.say("measure: apertures " + " ".join(str(a) for a in apertures))
    facts = detector(project.connection)
    if outdated(project.connection, facts):
        refresh(project, facts)
    expected = expected_positions(project)
    work = [w for w in plan.work if w is not None]
    unread: dict[int, str] = {}
    fit = [(w.frame, w.fit) for w in work if w.fit.size]
    more = [(w.frame, w.more) for w in work if w.more.size]
    lacking = _lacking(project.connection, expected, apertures) if more else apertures
    for items, use, fitting in ((fit, apertures, True), (more, lacking, False)):
        if items:
            unread |= _measure(project, session, plan, expected, facts, items, use, fitting=fitting)
    if unread:
        which = numbers([int(expected.frames.number[i]) for i in unread])
        reason = next(iter(unread.values()))
        raise PhotdbError(f"the files of frame {which} in {project.frame_folder} cannot be read ({reason})")


def _lacking(connection: Connection, expected: Expected, apertures: Sequence[Aperture]) -> list[Aperture]:
    """Find the apertures that some frame × source has no flux for, though it has others."""
    counts = dict(driver(connection).execute("SELECT aperture_id, count(*) FROM flux GROUP BY aperture_id").fetchall())
    most = max(counts.values(), default=0)
    return [a for a in apertures if counts.get(a.id, 0) < most] or list(apertures)


def _measure(
    project: Project,
    session: Session,
    plan: Plan,
    expected: Expected,
    facts: Detector,
    items: list[tuple[int, Ints]],
    apertures: Sequence[Aperture],
    *,
    fitting: bool,
) -> dict[int, str]:
    """Measure some sources of some frames, and save; gives the frames (by their place) that could not be read."""
    raw = driver(project.connection)
    files = {id_: rest for id_, *rest in raw.execute("SELECT id, path, size_bytes, mtime_ns, content_crc32 FROM frame")}
    folder, values, frame_id = project.frame_folder, _inputs(project, expected), expected.frames.id.tolist()
    at = expected.xy_px if fitting else _measured_xy(project.connection, expected)
    rings = np.array([(a.radius_px, a.annulus_inner_px, a.annulus_outer_px) for a in apertures])
    chunks = _chunks(items)
    tasks = [
        _Task(
            paths=tuple(folder / files[frame_id[i]][0] for i, _ in chunk),
            seen=tuple((files[frame_id[i]][1], files[frame_id[i]][2]) for i, _ in chunk),
            stamp_frame=np.repeat(np.arange(len(chunk)), [k.size for _, k in chunk]),
            x_px=np.concatenate([at[i, k, 0] for i, k in chunk]),
            y_px=np.concatenate([at[i, k, 1] for i, k in chunk]),
            fwhm_px=np.concatenate([values[i, k, 2] for i, k in chunk]),
            max_offset_px=np.concatenate([values[i, k, 3] for i, k in chunk]),
            search_px=plan.params["search_px"],
            fit=fitting,
            apertures=rings,
        )
        for chunk in chunks
    ]
    source_id = np.array([s.id for s in expected.sources], np.int64)
    unread: dict[int, str] = {}

    def save(connection: Connection, batch: list[tuple[list[tuple[int, Ints]], _Measured]]) -> None:
        for chunk, found in batch:
            unread.update({chunk[j][0]: reason for j, reason in found.unread.items()})
            i = np.repeat([i for i, _ in chunk], [k.size for _, k in chunk])
            k = np.concatenate([k for _, k in chunk])
            good = ~np.isin(i, list(unread))
            keys = np.stack([expected.frames.id[i[good]], source_id[k[good]]], axis=1)
            if fitting:
                inputs = [
                    digests((STAGES["measure"].version, plan.params["search_px"], files[frame_id[f]][3]), values[f, s])
                    for f, s in chunk
                ]
                _save_centroids(connection, keys, np.concatenate(inputs)[good], expected.xy_px[i, k][good], found, good)
            _save_fluxes(connection, keys, found, good, apertures, facts, fitting=fitting)

    estimate = sum(t.x_px.size for t in tasks) * _S_PER_STAMP
    results = session.workers.run(_measure_sources, tasks, estimate_s=estimate)
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


def _measure_sources(task: _Task) -> _Measured:
    """Cut out, fit and sum the sources of some frames."""
    from photdb.algorithms.aperture import measure_apertures
    from photdb.algorithms.centroid import centroids
    from photdb.frames import FrameReader

    search = task.search_px
    half = math.ceil(task.apertures[:, 2].max()) + search + 2
    x0, y0 = (np.rint(np.nan_to_num(v, nan=-1e6)).astype(np.int64) for v in (task.x_px, task.y_px))
    parts, unread = [], {}
    for j, (path, seen) in enumerate(zip(task.paths, task.seen, strict=True)):
        mine = task.stamp_frame == j
        try:
            with FrameReader(path) as reader:
                if (reader.size_bytes, reader.mtime_ns) != seen:
                    raise FrameError("it changed since its content was last checked: run the command again")
                parts.append(reader.cutouts(x0[mine], y0[mine], half))
        except FrameError as error:
            unread[j] = str(error)
            parts.append(np.full((int(mine.sum()), 2 * half + 1, 2 * half + 1), np.nan, np.float32))
    stamps = np.concatenate(parts)
    x, y = task.x_px - x0 + half, task.y_px - y0 + half
    centroid: dict[str, Floats] = {}
    centroid_flags = np.zeros(x.size, np.int64)
    if task.fit:
        found = centroids(stamps, x, y, fwhm_px=task.fwhm_px, search_px=search, max_offset_px=task.max_offset_px)
        centroid = {name: getattr(found, name) for name in _CENTROID}
        centroid_flags = found.flags
        x, y = found.x_px, found.y_px
        centroid["x_px"], centroid["y_px"] = x + x0 - half, y + y0 - half
    radius, inner, outer = task.apertures.T
    fluxes = measure_apertures(stamps, x, y, radii_px=radius, annulus_inner_px=inner, annulus_outer_px=outer)
    flux = {name: np.asarray(getattr(fluxes, name), float) for name in _FLUX}
    return _Measured(centroid, centroid_flags, flux, fluxes.flags, unread)


def _save_centroids(
    connection: Connection, keys: Ints, inputs: Ints, expected_xy: Floats, found: _Measured, good: NDArray[np.bool_]
) -> None:
    raw = driver(connection)
    # Fluxes in apertures that are not in force now would else stay behind, made from what no longer holds.
    raw.executemany("DELETE FROM flux WHERE frame_id = ? AND source_id = ?", keys.tolist())
    error_input = detector(connection).input
    table = [
        *keys.T.tolist(),
        inputs.tolist(),
        [error_input] * len(inputs),
        *expected_xy.T.tolist(),
        *(found.centroid[name][good].tolist() for name in _CENTROID),
        found.centroid_flags[good].tolist(),
    ]
    names = ("frame_id", "source_id", "input", "error_input", "x_expected_px", "y_expected_px", *_CENTROID, "flags")
    replace_rows(connection, "centroid", names, list(zip(*table, strict=True)))


def _save_fluxes(
    connection: Connection,
    keys: Ints,
    found: _Measured,
    good: NDArray[np.bool_],
    apertures: Sequence[Aperture],
    facts: Detector,
    *,
    fitting: bool,
) -> None:
    if fitting:
        peak, centroid_flags = found.centroid["peak_adu"][good], found.centroid_flags[good]
    else:
        rows = [
            driver(connection)
            .execute("SELECT peak_adu, flags FROM centroid WHERE frame_id = ? AND source_id = ?", key)
            .fetchone()
            for key in keys.tolist()
        ]
        peak = np.array([row[0] for row in rows], float)
        centroid_flags = np.array([row[1] for row in rows], np.int64)
    flux = {name: column[good] for name, column in found.flux.items()}
    flags = found.flux_flags[good] | centroid_flags[:, None]
    lost = (centroid_flags & Flag.NO_POSITION) != 0
    for column in flux.values():
        column[lost] = np.nan
    flags[lost] = Flag.NO_POSITION
    error, flags = with_errors(
        facts,
        flux_adu=flux["flux_adu"],
        noise_area_px=flux["noise_area_px"],
        radius_px=np.array([a.radius_px for a in apertures])[None, :],
        sky_scatter_adu=flux["sky_scatter_adu"],
        n_sky=flux["n_sky"],
        peak_adu=peak[:, None],
        flags=flags,
    )
    n, p = flags.shape
    table = [
        *(np.repeat(key, p).tolist() for key in keys.T),
        np.tile([a.id for a in apertures], n).tolist(),
        *(flux[name].ravel().tolist() for name in _FLUX),
        error.ravel().tolist(),
        flags.ravel().tolist(),
    ]
    names = ("frame_id", "source_id", "aperture_id", *_FLUX, "flux_err_adu", "flags")
    replace_rows(connection, "flux", names, list(zip(*table, strict=True)))
