"""Stage `hits`: cosmic rays and hot pixels in sources' apertures, against each source's profile over the night."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete

from photdb.algorithms.flags import Flag
from photdb.errors import FrameError
from photdb.stages import Plan, stage_named
from photdb.stages.errors import DEFAULT_FWHM_PX
from photdb.stages.runner import Session
from photdb.store import schema
from photdb.store.arrays import (
    columns,
    read_by_frame,
    read_circles,
    read_cube,
    read_frames,
    read_sources,
    replace_rows,
)
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.facts import session_number
from photdb.store.project import Project
from photdb.wording import count, numbers

if TYPE_CHECKING:
    from photdb.algorithms.hits import Hits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Frames a task, and sources at once: their stamps are all held in memory.
_CHUNK = 32
_GROUP = 32
_S_PER_STAMP = 5e-5
#: A pixel hit in so many frames is hot; a place beside the source hit in so many is a faint star there.
_HOT_FRAMES = 3
_STAR_FRAMES = 3
#: It is as hot as ever, within this factor.
_HOT_LIKE = 2.0
_STAR = "star"
#: Hits in more than this part of the sources of one frame, and in more than two, are its images: the mount jumped.
_MOST_SOURCES = 0.2
_NO_PROFILE = Flag.NO_POSITION | Flag.CAPTURED | Flag.EDGE | Flag.SATURATED | Flag.NO_SKY | Flag.CONTAMINATED


@dataclass(frozen=True, slots=True)
class CutTask:
    """Some frames, and the squares to be cut out of each."""

    paths: tuple[Path, ...]
    seen: tuple[tuple[int, int], ...]
    x_px: Ints  # (frames, sources)
    y_px: Ints
    half: int

    def __str__(self) -> str:
        return " ".join(path.name for path in self.paths)


def cut_stamps(task: CutTask) -> tuple[NDArray[np.float32], list[str | None]]:
    """Cut squares (frames, sources, h, w) out of frames, and say which could not be read; runs in a worker."""
    from photdb.frames import FrameReader

    size = 2 * task.half + 1
    stamps = np.full((*task.x_px.shape, size, size), np.nan, np.float32)
    unread: list[str | None] = []
    for j, (path, seen) in enumerate(zip(task.paths, task.seen, strict=True)):
        try:
            with FrameReader(path) as reader:
                if (reader.size_bytes, reader.mtime_ns) != seen:
                    raise FrameError("it changed since its content was last checked: run the command again")
                stamps[j] = reader.cutouts(task.x_px[j], task.y_px[j], task.half)
            unread.append(None)
        except FrameError as error:
            unread.append(str(error))
    return stamps, unread


@dataclass(frozen=True, slots=True)
class Source:
    """What was measured of a source in each frame, (n,)."""

    id: int
    x_px: Floats
    y_px: Floats
    sky_adu: Floats
    sky_scatter_adu: Floats
    flags: Ints
    input: int


def plan(project: Project, params: dict[str, Any]) -> Plan:
    """Find sources whose centroids or sky changed."""
    plan = Plan(params)
    apertures = read_circles(project.connection)
    known = dict(driver(project.connection).execute("SELECT source_id, input FROM hit_input").fetchall())
    sources = _read(project) if apertures else []
    plan.n_units = len(sources)
    n = sum(known.get(source.id) != source.input for source in sources)
    if n:
        plan.work = sources  # all: whether a frame's images are odd is seen by all of them
        plan.reasons.append(f"hits not looked for in {count(n, 'source')}")
    return plan


def _read(project: Project) -> list[Source]:
    connection = project.connection
    frames, apertures = read_frames(connection), read_circles(connection)
    radius = max(a.spec.radius for a in apertures)
    ids = [s.id for s in read_sources(connection)]
    middle = apertures[len(apertures) // 2]
    cubes = read_cube(
        connection,
        ("sky_adu", "sky_scatter_adu", "flags"),
        frame_ids=frames.id,
        source_ids=ids,
        aperture_ids=[middle.id],
    )
    xy = np.full((frames.id.size, len(ids), 2), np.nan)
    frame, source, x, y = columns(connection, "SELECT frame_id, source_id, x_px, y_px FROM centroid", "iiff")
    place, column = {f: i for i, f in enumerate(frames.id.tolist())}, {s: k for k, s in enumerate(ids)}
    here = np.isin(source, ids)
    i = [place[f] for f in frame[here].tolist()]
    xy[i, [column[s] for s in source[here].tolist()]] = np.stack([x, y], axis=1)[here]
    (fwhm,) = read_by_frame(connection, "frame_quality", ["fwhm_px"], frames)
    crc = dict(driver(connection).execute("SELECT id, content_crc32 FROM frame").fetchall())
    content = np.array([crc[f] or 0 for f in frames.id.tolist()], np.int64)
    gain = session_number(connection, "gain_e_per_adu")
    ((field_input,),) = driver(connection).execute("SELECT input FROM field").fetchall()
    out = []
    for k, source_id in enumerate(ids):
        sky, scatter, flags = (cube[:, k, 0] for cube in cubes)
        made_from = (content, fwhm, xy[:, k], sky, scatter, flags, radius, gain, field_input)
        input_ = digest(stage_named("hits").version, *made_from)
        out.append(
            Source(source_id, xy[:, k, 0], xy[:, k, 1], sky, scatter, np.nan_to_num(flags).astype(np.int64), input_)
        )
    return out


def run(project: Project, plan: Plan, session: Session) -> None:
    """Look for hits; a frame that cannot be read becomes a problem of the session."""
    from photdb.algorithms.hits import find_hits

    connection = project.connection
    frames = read_frames(connection)
    radius = max(a.spec.radius for a in read_circles(connection))
    (fwhm,) = read_by_frame(connection, "frame_quality", ["fwhm_px"], frames)
    fwhm = np.where(np.isfinite(fwhm), fwhm, DEFAULT_FWHM_PX)
    gain = session_number(connection, "gain_e_per_adu")
    hot = {(x, y): adu for x, y, adu in driver(connection).execute("SELECT x_px, y_px, adu FROM hot_pixel")}
    exposure = np.where(np.isfinite(frames.exposure_s) & (frames.exposure_s > 0), frames.exposure_s, 1.0)
    ((n_hot,),) = driver(connection).execute("SELECT n_hot FROM field").fetchall()
    drifts = n_hot is not None
    names = [c.name for c in schema.hit.columns]
    found_of: dict[int, list[tuple[Any, ...]]] = {}
    half = int(np.ceil(radius)) + 3
    for start in range(0, len(plan.work), _GROUP):
        group: list[Source] = plan.work[start : start + _GROUP]
        x0, y0, stamps = _stamps(project, session, group, half)
        for k, source in enumerate(group):
            usable = (source.flags & int(_NO_PROFILE)) == 0
            usable &= frames.usable & np.isfinite(source.x_px) & np.isfinite(source.sky_adu)
            found = find_hits(
                stamps[:, k].astype(np.float64),
                source.x_px - x0[:, k] + half,
                source.y_px - y0[:, k] + half,
                sky_adu=source.sky_adu,
                sky_scatter_adu=source.sky_scatter_adu,
                fwhm_px=fwhm,
                usable=usable,
                radius_px=radius,
                gain_e_per_adu=gain,
            )
            x, y = found.x + x0[found.stamp, k] - half, found.y + y0[found.stamp, k] - half
            found_of[source.id] = _rows(
                source, frames.id, found, x, y, hot, exposure / np.median(exposure), drifts=drifts
            )
    _drop_odd_frames(found_of, len(plan.work))
    with project.transaction():
        for source in plan.work:
            connection.execute(delete(schema.hit).where(schema.hit.c.source_id == source.id))
            replace_rows(connection, "hit", names, found_of[source.id])
            replace_rows(connection, "hit_input", ("source_id", "input"), [(source.id, source.input)])


def _rows(
    source: Source,
    frame_id: Ints,
    found: "Hits",
    x: Ints,
    y: Ints,
    hot: dict[tuple[int, int], float],
    exposures: Floats,
    *,
    drifts: bool,
) -> list[tuple[Any, ...]]:
    """Tell hot pixels from cosmic rays, and from what comes again beside the source: a faint star."""
    pixel = list(zip(x.tolist(), y.tolist(), strict=True))
    excess = (found.excess_adu / exposures[found.stamp]).tolist()
    seen: dict[tuple[int, int], list[float]] = {}
    for p, adu in zip(pixel, excess, strict=True):
        seen.setdefault(p, []).append(adu)
    if drifts:
        hot = {p: float(np.median(v)) for p, v in seen.items() if len(v) >= _HOT_FRAMES} | hot
    dx, dy = x - source.x_px[found.stamp], y - source.y_px[found.stamp]
    rows = []
    for n, (i, p) in enumerate(zip(found.stamp.tolist(), pixel, strict=True)):
        is_hot = p in hot and 1.0 / _HOT_LIKE < excess[n] / hot[p] < _HOT_LIKE
        again = found.stamp[np.hypot(dx - dx[n], dy - dy[n]) < 1.0]
        kind = "hot" if is_hot else "cosmic" if np.unique(again).size < _STAR_FRAMES else _STAR
        rows.append((source.id, int(frame_id[i]), *p, kind, float(found.excess_adu[n]), float(found.sigmas[n])))
    return rows


def _drop_odd_frames(found_of: dict[int, list[tuple[Any, ...]]], n_sources: int) -> None:
    """Take out faint stars, and cosmic rays of frames in which many sources have some: their images are others."""
    sources: dict[int, set[int]] = {}
    for rows in found_of.values():
        for row in rows:
            if row[4] != "hot":
                sources.setdefault(row[1], set()).add(row[0])
    odd = {f for f, hit in sources.items() if len(hit) > max(2, _MOST_SOURCES * n_sources)}
    for rows in found_of.values():
        rows[:] = [row for row in rows if row[4] == "hot" or (row[4] == "cosmic" and row[1] not in odd)]


def _stamps(
    project: Project, session: Session, group: list[Source], half: int
) -> tuple[Ints, Ints, NDArray[np.float32]]:
    """Give the central pixels (frames, sources) and the stamps about them."""
    frames = read_frames(project.connection)
    rows = driver(project.connection).execute("SELECT id, path, size_bytes, mtime_ns FROM frame")
    files = {frame_id: rest for frame_id, *rest in rows}
    x0, y0 = (
        np.rint(np.nan_to_num(np.stack([getattr(s, name) for s in group], axis=1), nan=-1e6)).astype(np.int64)
        for name in ("x_px", "y_px")
    )
    stamps = np.full((frames.id.size, len(group), 2 * half + 1, 2 * half + 1), np.nan, np.float32)
    there = np.flatnonzero(frames.usable & (x0 > -1e5).any(axis=1))
    folder = project.frame_folder
    chunks = [there[i : i + _CHUNK] for i in range(0, there.size, _CHUNK)]
    tasks = [
        CutTask(
            tuple(folder / files[int(f)][0] for f in frames.id[chunk]),
            tuple((files[int(f)][1], files[int(f)][2]) for f in frames.id[chunk]),
            x0[chunk],
            y0[chunk],
            half,
        )
        for chunk in chunks
    ]
    estimate = there.size * len(group) * _S_PER_STAMP
    lost: dict[int, str] = {}
    with session.progress("hits", int(there.size)) as advance:
        for chunk, (cut, unread) in zip(
            chunks, session.workers.run(cut_stamps, tasks, estimate_s=estimate), strict=True
        ):
            stamps[chunk] = cut
            lost.update({int(i): reason for i, reason in zip(chunk, unread, strict=True) if reason is not None})
            advance(chunk.size)
    if lost:
        which = numbers(frames.number[list(lost)].tolist())
        session.problems.append(f"the file of frame {which} cannot be read ({next(iter(lost.values()))})")
    return x0, y0, stamps
