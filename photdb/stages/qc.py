"""Stage `qc`: the metrics and the stars of each frame, from one reading of its pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

from photdb.errors import FrameError, PhotdbError
from photdb.stages import STAGES, Plan
from photdb.stages.runner import Session, save_in_batches
from photdb.store import schema
from photdb.store.arrays import replace_rows
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.facts import session_number
from photdb.store.project import Project
from photdb.wording import count, numbers

Region = tuple[int, int, int, int]

#: Frames a task: enough that handing it over costs nothing beside the work.
_CHUNK = 8
#: About what a megapixel costs, to judge whether a pool of processes is worth its start.
_S_PER_MPX = 0.006

_METRICS = tuple(
    c.name
    for c in schema.frame_quality.columns
    if c.name not in ("frame_id", "input", "detection_digest", "flags", "error")
)
_STAR_COLUMNS = ("x_px", "y_px", "flux_adu", "peak_adu", "fwhm_px", "elongation")


@dataclass(frozen=True, slots=True)
class _Task:
    frames: tuple[tuple[int, Path], ...]
    region: Region | None
    saturation_adu: float | None


@dataclass(frozen=True, slots=True)
class _Measured:
    frame_id: int
    content_crc32: int | None  # None: the file could not be read at all
    metrics: dict[str, Any]
    flags: int
    stars: tuple[tuple[float, ...], ...]
    detection_digest: int | None
    error: str | None


def plan(project: Project, params: dict[str, Any]) -> Plan:
    """Find frames whose content, region or saturation is not what their metrics were made from."""
    connection = project.connection
    region = check_region(connection, params["region"])
    saturation = session_number(connection, "saturation_adu")
    rows = driver(connection).execute(
        "SELECT f.id, f.number, f.content_crc32, q.input, q.max_adu FROM frame f"
        " LEFT JOIN frame_quality q ON q.frame_id = f.id WHERE f.error IS NULL ORDER BY f.jd_utc_mid, f.path"
    )
    plan = Plan({**params, "region": region}, 0)
    n_new, stale = 0, []
    for frame_id, number, crc, known, max_adu in rows:
        plan.n_units += 1
        if known is None:
            n_new += 1
        elif crc is None or known != _input(crc, region, saturation, max_adu):
            stale.append(number)
        else:
            continue
        plan.work.append(frame_id)
    if n_new:
        plan.reasons.append(f"{n_new} of {count(plan.n_units, 'frame')} not measured")
    if stale:
        plan.reasons.append(f"content, region or saturation changed: frame {numbers(stale)}")
    return plan


def run(project: Project, plan: Plan, session: Session) -> None:
    """Measure frames; files that are gone or cannot be opened become a problem of the session, and stay work."""
    connection = project.connection
    region, saturation = plan.params["region"], session_number(connection, "saturation_adu")
    folder = project.frame_folder
    size = connection.execute(schema.project.select()).one()
    paths = dict(driver(connection).execute("SELECT id, path FROM frame").fetchall())
    frames = [(frame_id, folder / paths[frame_id]) for frame_id in plan.work]
    tasks = [_Task(tuple(frames[i : i + _CHUNK]), region, saturation) for i in range(0, len(frames), _CHUNK)]
    unread: list[_Measured] = []

    def save(connection: Connection, batches: list[list[_Measured]]) -> None:
        read = [m for batch in batches for m in batch if m.content_crc32 is not None]
        _save(connection, read, region, saturation)
        unread.extend(m for batch in batches for m in batch if m.content_crc32 is None)

    estimate = len(frames) * size.width_px * size.height_px / 1e6 * _S_PER_MPX
    results = ((len(r), r) for r in session.workers.run(_measure_frames, tasks, estimate_s=estimate))
    save_in_batches(project, session, "qc", results, len(frames), save)
    if unread:
        number = dict(driver(connection).execute("SELECT id, number FROM frame").fetchall())
        which = numbers([number[m.frame_id] for m in unread])
        session.problems.append(f"the file of frame {which} in {folder} cannot be read ({unread[0].error})")


def check_region(connection: Connection, region: Sequence[int] | None) -> Region | None:
    """Check a rectangle x0, y0, x1, y1 (pixels, inclusive) against the frames.

    Raises
    ------
    PhotdbError
        It is reversed, or not inside the frames.
    """
    if region is None:
        return None
    size = connection.execute(schema.project.select()).one()
    x0, y0, x1, y1 = region
    if not (0 <= x0 < x1 < (size.width_px or 0) and 0 <= y0 < y1 < (size.height_px or 0)):
        raise PhotdbError(
            f"the rectangle {x0} {y0} {x1} {y1} is not inside the frames: it needs 0 ≤ X0 < X1 < {size.width_px}"
            f" and 0 ≤ Y0 < Y1 < {size.height_px}"
        )
    return (x0, y0, x1, y1)


def _input(crc: int, region: Region | None, saturation: float | None, max_adu: float | None) -> int:
    # Where no pixel reaches the saturation, its value changes nothing: such frames are not read again for it. With a
    # region nobody knows: the maximum is the region's, but stars are found in the whole frame.
    # A frame without a finite pixel has no maximum: NaN as computed, NULL as stored.
    reaches = max_adu is not None and max_adu >= saturation if saturation is not None else False
    below = saturation is not None and region is None and not reaches
    reached = None if below else saturation
    return digest(STAGES["qc"].version, crc, region, reached)


def _measure_frames(task: _Task) -> list[_Measured]:
    return [_measure(frame_id, path, task.region, task.saturation_adu) for frame_id, path in task.frames]


def _measure(frame_id: int, path: Path, region: Region | None, saturation_adu: float | None) -> _Measured:
    from photdb.algorithms.background import background
    from photdb.algorithms.detection import detect_stars
    from photdb.algorithms.quality import frame_quality
    from photdb.frames import content_crc32, read_pixels

    try:
        pixels, crc, _, _ = read_pixels(path)
    except FrameError as error:
        try:
            crc, _, _ = content_crc32(path)
        except FrameError:
            return _Measured(frame_id, None, {}, 0, (), None, str(error))
        return _Measured(frame_id, crc, {}, 0, (), None, str(error))
    sky = background(pixels)
    stars = detect_stars(pixels, sky, saturation_adu=saturation_adu)
    found = frame_quality(pixels, sky, stars, region=region, saturation_adu=saturation_adu)
    quality = {name: getattr(found, name) for name in found.__slots__}
    flags = int(quality.pop("flags"))
    quality["n_found"] = stars.n_found
    if saturation_adu is None:
        quality["n_saturated_px"] = None  # nobody knows
    table = np.stack([np.asarray(getattr(stars, name), float) for name in _STAR_COLUMNS], axis=1)
    return _Measured(frame_id, crc, quality, flags, tuple(map(tuple, table.tolist())), digest(table), None)


def _save(connection: Connection, batch: list[_Measured], region: Region | None, saturation: float | None) -> None:
    raw = driver(connection)
    raw.executemany("UPDATE frame SET content_crc32 = ? WHERE id = ?", [(m.content_crc32, m.frame_id) for m in batch])
    raw.executemany("DELETE FROM detection WHERE frame_id = ?", [(m.frame_id,) for m in batch])
    quality: list[tuple[Any, ...]] = []
    stars: list[tuple[Any, ...]] = []
    for m in batch:
        input_ = _input(m.content_crc32 or 0, region, saturation, m.metrics.get("max_adu"))
        metrics = [m.metrics.get(name) for name in _METRICS]
        quality.append((m.frame_id, input_, m.detection_digest, m.flags, m.error, *metrics))
        stars.extend((m.frame_id, rank, *star) for rank, star in enumerate(m.stars, 1))
    names = ("frame_id", "input", "detection_digest", "flags", "error", *_METRICS)
    replace_rows(connection, "frame_quality", names, quality)
    replace_rows(connection, "detection", ("frame_id", "rank", *_STAR_COLUMNS), stars)
