"""Stage `qc`: the metrics and the stars of each frame, from one reading of its pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection

from photdb.errors import PhotdbError
from photdb.stages import STAGES, Plan
from photdb.stages.pixels import STARS, Measured, PixelTask, Region, measure_frames
from photdb.stages.runner import Session, save_in_batches
from photdb.store import schema
from photdb.store.arrays import replace_columns, replace_rows
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.facts import frame_size, session_number
from photdb.store.project import Project
from photdb.wording import count, numbers, why_unread

#: Frames a task: enough that handing it over costs nothing beside the work.
_CHUNK = 8
#: About what a megapixel costs, to judge whether a pool of processes is worth its start.
_S_PER_MPX = 0.003

_METRICS = tuple(
    c.name
    for c in schema.frame_quality.columns
    if c.name not in ("frame_id", "input", "detection_digest", "flags", "error")
)


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
    width_px, height_px = frame_size(connection)
    paths = dict(driver(connection).execute("SELECT id, path FROM frame").fetchall())
    frames = [(frame_id, folder / paths[frame_id]) for frame_id in plan.work]
    tasks = [PixelTask(tuple(frames[i : i + _CHUNK]), region, saturation) for i in range(0, len(frames), _CHUNK)]
    unread: list[Measured] = []

    def save(connection: Connection, batches: list[list[Measured]]) -> None:
        read = [m for batch in batches for m in batch if m.content_crc32 is not None]
        _save(connection, read, region, saturation)
        unread.extend(m for batch in batches for m in batch if m.content_crc32 is None)

    estimate = len(frames) * width_px * height_px / 1e6 * _S_PER_MPX
    results = ((len(r), r) for r in session.workers.run(measure_frames, tasks, estimate_s=estimate))
    save_in_batches(project, session, "qc", results, len(frames), save)
    if unread:
        number = dict(driver(connection).execute("SELECT id, number FROM frame").fetchall())
        which = numbers([number[m.frame_id] for m in unread])
        session.problems.append(f"the file of frame {which} in {folder} cannot be read ({why_unread(unread[0].error)})")


def check_region(connection: Connection, region: Sequence[int] | None) -> Region | None:
    """Check a rectangle x0, y0, x1, y1 (pixels, inclusive) against the frames.

    Raises
    ------
    PhotdbError
        It is reversed, or not inside the frames.
    """
    if region is None:
        return None
    width_px, height_px = frame_size(connection)
    x0, y0, x1, y1 = region
    if not (0 <= x0 < x1 < width_px and 0 <= y0 < y1 < height_px):
        raise PhotdbError(
            f"the rectangle {x0} {y0} {x1} {y1} is not inside the frames: it needs 0 ≤ X0 < X1 < {width_px}"
            f" and 0 ≤ Y0 < Y1 < {height_px}"
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


def _save(connection: Connection, batch: list[Measured], region: Region | None, saturation: float | None) -> None:
    if not batch:
        return
    raw = driver(connection)
    raw.executemany("UPDATE frame SET content_crc32 = ? WHERE id = ?", [(m.content_crc32, m.frame_id) for m in batch])
    raw.executemany("DELETE FROM detection WHERE frame_id = ?", [(m.frame_id,) for m in batch])
    quality: list[tuple[Any, ...]] = []
    for m in batch:
        input_ = _input(m.content_crc32 or 0, region, saturation, m.metrics.get("max_adu"))
        metrics = [m.metrics.get(name) for name in _METRICS]
        quality.append((m.frame_id, input_, m.detection_digest, m.flags, m.error, *metrics))
    names = ("frame_id", "input", "detection_digest", "flags", "error", *_METRICS)
    replace_rows(connection, "frame_quality", names, quality)
    frame_id = np.repeat([m.frame_id for m in batch], [len(m.stars) for m in batch])
    rank = np.concatenate([np.arange(1, len(m.stars) + 1) for m in batch])
    stars = dict(zip(STARS, np.concatenate([m.stars for m in batch]).T, strict=True))
    replace_columns(connection, "detection", {"frame_id": frame_id, "rank": rank, **stars})
