"""Sources × frames of `measure`: what each is to be measured from, measuring them, and saving what came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from photdb.algorithms.flags import Flag
from photdb.stages import STAGES
from photdb.stages.errors import (
    DEFAULT_FWHM_PX,
    FrameErrors,
    error_inputs,
    frame_errors,
    passing_distance,
    save_frame_errors,
    shape_of,
    with_errors,
)
from photdb.stages.positions import Expected, expected_positions
from photdb.stages.profiles import ASTEROID_ERR, STAR_ERR_PX, Profile, profile_inputs, save_profiles
from photdb.stages.runner import Session, save_in_batches
from photdb.stages.stamps import Stamps, StampTask, measure_stamps
from photdb.store.arrays import Aperture, columns, read_apertures, read_by_frame, replace_columns
from photdb.store.connection import driver
from photdb.store.currency import grouped_digests
from photdb.store.project import Project

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Stamps a task, and their pixels: enough that a task costs little, few enough to stay small in memory, and at least
#: some tasks for each worker.
_MOST_STAMPS = 512
_MOST_PIXELS = 4_000_000
_FEWEST_STAMPS = 64
_TASKS_A_WORKER = 4
_S_PER_STAMP = 5e-5


@dataclass(frozen=True, slots=True)
class State:
    """What is there and what should be, arrays (n_frames, n_sources)."""

    expected: Expected
    apertures: list[Aperture]
    facts: FrameErrors
    registered: Bools  # (n_frames,) has a row in `shift`, be it one that says that it could not be matched
    fwhm_px: Floats  # (n_frames,)
    max_offset_px: Floats
    passing_px: Floats
    inputs: Ints
    error_inputs: Ints
    profile_inputs: Ints | None  # (n_frames,); None where no optimal aperture is in force

    @property
    def plain(self) -> list[Aperture]:
        """The apertures that are circles."""
        return [a for a in self.apertures if a.kind != "optimal"]

    @property
    def optimal(self) -> list[Aperture]:
        """The apertures that are profiles."""
        return [a for a in self.apertures if a.kind == "optimal"]


@dataclass(frozen=True, slots=True)
class Measured:
    """Centroids that stand."""

    xy_px: Floats  # (n_frames, n_sources, 2)
    peak_adu: Floats  # (n_frames, n_sources)
    flags: Ints


def read_state(project: Project, params: dict[str, Any]) -> State:
    """Compute what every frame × source is to be measured from."""
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
    inputs = grouped_digests([(version, search, crc[f]) for f in ids.tolist()], values)
    facts, passing = frame_errors(connection, expected.frames), passing_distance(expected)
    apertures = read_apertures(connection)
    profiles = None
    if expected.sources and any(a.kind == "optimal" for a in apertures):
        profiles = profile_inputs(connection, expected, inputs, facts.detector.saturation_adu)
    return State(
        expected,
        apertures,
        facts,
        np.isfinite(read_by_frame(connection, "shift", ["flags"], expected.frames)[0]),
        fwhm,
        offset,
        passing,
        inputs,
        error_inputs(facts, passing),
        profiles,
    )


def places(expected: Expected, frame_id: Ints, source_id: Ints) -> tuple[Ints, Ints, Bools]:
    """Turn ids of rows into places in arrays, and say which rows have one."""
    source_ids = np.array([s.id for s in expected.sources], np.int64)
    order = np.argsort(expected.frames.id)
    i = order[np.searchsorted(expected.frames.id[order], frame_id)]
    k = np.clip(np.searchsorted(source_ids, source_id), 0, source_ids.size - 1)
    here = source_ids[k] == source_id  # not those of removed sources
    return i[here], k[here], here


def measure_sources(
    project: Project,
    session: Session,
    params: dict[str, Any],
    state: State,
    items: list[tuple[int, Ints]],
    apertures: Sequence[Aperture],
    *,
    fitting: bool,
    profiles: Mapping[int, Profile] | None = None,
) -> dict[int, str]:
    """Measure some sources of some frames, and save; gives the frames (by their place) that could not be read.

    Apertures are either all circles, or all profiles, for which `profiles` has those of the frames, by their place: a
    frame's is saved with the last of its fluxes.
    """
    expected = state.expected
    rows = driver(project.connection).execute("SELECT id, path, size_bytes, mtime_ns, bitpix FROM frame")
    files = {frame_id: rest for frame_id, *rest in rows}
    folder, frame_id = project.frame_folder, expected.frames.id.tolist()
    measured = None if fitting else _measured(project.connection, expected)
    at = expected.xy_px if measured is None else measured.xy_px
    rings = np.array([(a.annulus_inner_px, a.annulus_outer_px) for a in apertures]).reshape(-1, 2)
    scaled = any(a.kind == "fwhm" for a in apertures)
    single = [files[f][3] in (8, 16, -32) for f in frame_id]
    chunks = _chunks(items, single, float(rings.max(initial=0.0)), session.workers.n_workers)
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
            radius_px=_radii(apertures, state.fwhm_px[_frames_of(chunk) if scaled else [chunk[0][0]]], every=scaled),
            rings=rings,
            sky=tuple(a.sky for a in apertures),
            optimal=None if profiles is None else _masks(state, profiles, chunk),
        )
        for chunk in chunks
    ]
    last = {i: n for n, chunk in enumerate(chunks) for i, _ in chunk}
    unread: dict[int, str] = {}

    def save(connection: Connection, batch: list[tuple[int, list[tuple[int, Ints]], Stamps]]) -> None:
        for n, chunk, found in batch:
            unread.update({chunk[j][0]: reason for j, reason in found.unread.items()})
            i, k = _frames_of(chunk), np.concatenate([k for _, k in chunk])
            factor = None if profiles is None else np.array([profiles[f].photon_factor for f in i.tolist()])
            _save(connection, state, i, k, found, ~np.isin(i, list(unread)), apertures, measured, factor)
            if profiles is not None:
                whole = [f for f in dict.fromkeys(i.tolist()) if last[f] == n and f not in unread]
                save_profiles(connection, {int(frame_id[f]): profiles[f] for f in whole})

    estimate = sum(t.x_px.size for t in tasks) * _S_PER_STAMP
    results = session.workers.run(measure_stamps, tasks, estimate_s=estimate)
    before = [None, *(chunk[-1][0] for chunk in chunks)]  # a frame that goes on in another task counts once
    counted = (
        (len({i for i, _ in chunk} - {other}), (n, chunk, found))
        for n, (chunk, found, other) in enumerate(zip(chunks, results, before, strict=False))
    )
    save_in_batches(project, session, "measure", counted, len(items), save)
    return unread


def _frames_of(chunk: list[tuple[int, Ints]]) -> Ints:
    """Give the frame of each stamp of a task, by its place."""
    return np.repeat([i for i, _ in chunk], [k.size for _, k in chunk])


def _radii(apertures: Sequence[Aperture], fwhm_px: Floats, *, every: bool) -> Floats:
    """Give the radii of circles, in each of n frames or the same in all; NaN for profiles."""
    radii = [np.full_like(fwhm_px, np.nan) if a.kind == "optimal" else a.spec.radius_px(fwhm_px) for a in apertures]
    table = np.array([np.broadcast_to(r, fwhm_px.shape) for r in radii]).reshape(-1, fwhm_px.size).T
    return table if every else table[0]


def _masks(state: State, profiles: Mapping[int, Profile], chunk: list[tuple[int, Ints]]) -> Floats:
    """Give each stamp's profile, where its source is expected in the frame, and the error of that."""
    of = [profiles[i] for i in _frames_of(chunk).tolist()]
    i, k = _frames_of(chunk), np.concatenate([k for _, k in chunk])
    moving = np.array([state.expected.sources[j].role == "asteroid" for j in k.tolist()], bool)
    x, y = state.expected.xy_px[i, k].T
    return np.stack(
        [
            np.array([p.fwhm_px for p in of]),
            np.array([p.beta for p in of]),
            np.array([p.e_plus for p in of]),
            np.array([p.e_cross for p in of]),
            x + np.array([p.x_offset_px for p in of]),
            y + np.array([p.y_offset_px for p in of]),
            np.where(moving, ASTEROID_ERR * state.max_offset_px[i, k], STAR_ERR_PX),
        ]
    )


def _chunks(
    items: list[tuple[int, Ints]], single: list[bool], outer_px: float, n_workers: int
) -> list[list[tuple[int, Ints]]]:
    """Part frames into tasks; those of single and of double precision apart, so that no stack changes the other's."""
    largest = max(_FEWEST_STAMPS, int(_MOST_PIXELS / (2 * outer_px + 1) ** 2))
    share = sum(k.size for _, k in items) // (_TASKS_A_WORKER * n_workers if n_workers > 1 else 1)
    enough = min(_MOST_STAMPS, largest, max(_FEWEST_STAMPS, share))
    chunks: list[list[tuple[int, Ints]]] = []
    n_stamps = enough
    for i, sources in items:
        for part in np.array_split(sources, -(-sources.size // largest)):
            if n_stamps >= enough or single[i] != single[chunks[-1][-1][0]]:
                chunks.append([])
                n_stamps = 0
            chunks[-1].append((i, part))
            n_stamps += part.size
    return chunks


def _measured(connection: Connection, expected: Expected) -> Measured:
    shape = expected.xy_px.shape
    found = Measured(np.full(shape, np.nan), np.full(shape[:2], np.nan), np.zeros(shape[:2], np.int64))
    sql = "SELECT frame_id, source_id, x_px, y_px, peak_adu, flags FROM centroid"
    frame, source, x, y, peak, flags = columns(connection, sql, "iifffi")
    i, k, here = places(expected, frame, source)
    found.xy_px[i, k] = np.stack([x, y], axis=1)[here]
    found.peak_adu[i, k], found.flags[i, k] = peak[here], flags[here]
    return found


def _save(
    connection: Connection,
    state: State,
    i: Ints,
    k: Ints,
    found: Stamps,
    good: Bools,
    apertures: Sequence[Aperture],
    measured: Measured | None,
    photon_factor: Floats | None,
) -> None:
    """Save a task's rows: those of frames and sources at places `i` and `k`, where they are good."""
    i, k = i[good], k[good]
    expected = state.expected
    source_ids = np.array([s.id for s in expected.sources], np.int64)
    keys = np.stack([expected.frames.id[i], source_ids[k]], axis=1)
    raw = driver(connection)
    if measured is None:
        # Fluxes in apertures that are not in force now would else stay behind, made from what no longer holds.
        frame_ids = ", ".join(map(str, np.unique(keys[:, 0]).tolist()))
        sql = f"SELECT DISTINCT frame_id FROM centroid WHERE frame_id IN ({frame_ids})"  # noqa: S608 - ids of ours
        old = {frame_id for (frame_id,) in raw.execute(sql)}
        delete = "DELETE FROM flux WHERE frame_id = ? AND source_id = ?"
        raw.executemany(delete, [key for key in keys.tolist() if key[0] in old])
        centroid = {name: column[good] for name, column in found.centroid.items()}
        peak, centroid_flags = centroid["peak_adu"], found.centroid_flags[good]
        x_expected, y_expected = expected.xy_px[i, k].T
        rows = {
            "frame_id": keys[:, 0],
            "source_id": keys[:, 1],
            "input": state.inputs[i, k],
            "error_input": state.error_inputs[i, k],
            "x_expected_px": x_expected,
            "y_expected_px": y_expected,
            **centroid,
            "flags": centroid_flags,
        }
        replace_columns(connection, "centroid", rows)
    else:
        peak, centroid_flags = measured.peak_adu[i, k], measured.flags[i, k]
    flux = {name: column[good] for name, column in found.flux.items()}
    flags = found.flux_flags[good] | centroid_flags[:, None]
    lost = (centroid_flags & Flag.NO_POSITION) != 0
    for column in flux.values():
        column[lost] = np.nan
    flags[lost] = Flag.NO_POSITION
    factor = np.ones(i.size) if photon_factor is None else photon_factor[good]
    error, flags = with_errors(
        state.facts.detector,
        flux_adu=flux["flux_adu"],
        noise_area_px=flux["noise_area_px"],
        shape=shape_of(apertures, state.fwhm_px[i], flux["noise_area_px"], factor),
        sky_scatter_adu=flux["sky_scatter_adu"],
        n_sky=flux["n_sky"],
        peak_adu=peak[:, None],
        fwhm_px=state.fwhm_px[i][:, None],
        passing_px=state.passing_px[i, k][:, None],
        scintillation_mag=state.facts.scintillation_mag[i][:, None],
        flags=flags,
    )
    n, p = flags.shape
    rows = {
        "frame_id": np.repeat(keys[:, 0], p),
        "source_id": np.repeat(keys[:, 1], p),
        "aperture_id": np.tile([a.id for a in apertures], n),
        **{name: column.ravel() for name, column in flux.items()},
        "flux_err_adu": error.ravel(),
        "flags": flags.ravel(),
    }
    replace_columns(connection, "flux", rows)
    save_frame_errors(connection, state.facts, expected.frames, np.unique(i))
