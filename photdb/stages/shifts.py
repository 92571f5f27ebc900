"""Stage `shifts`: where each frame lies against the reference frame, from the stars that `qc` kept."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, update

from photdb.errors import PhotdbError
from photdb.stages import STAGES, Plan
from photdb.stages.matching import SHIFT, MatchTask, Stars, register_frames
from photdb.stages.pixels import Region
from photdb.stages.qc import check_region
from photdb.stages.runner import Session, save_in_batches
from photdb.store import schema
from photdb.store.arrays import Frames, columns, read_by_frame, read_frames, replace_rows
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.project import Project
from photdb.wording import count, numbers

_CHUNK = 32
_S_PER_FRAME = 0.001


def plan(project: Project, params: dict[str, Any]) -> Plan:
    """Find frames whose stars, or the reference frame's, are not those that their shifts were made from."""
    connection = project.connection
    exclude = [check_region(connection, rectangle) for rectangle in params["exclude"]]
    params = {**params, "exclude": exclude, "region": check_region(connection, params["region"])}
    rows = (
        driver(connection)
        .execute(
            "SELECT f.id, f.number, q.detection_digest, h.input FROM frame f"
            " LEFT JOIN frame_quality q ON q.frame_id = f.id LEFT JOIN shift h ON h.frame_id = f.id"
            " WHERE f.error IS NULL AND q.error IS NULL ORDER BY f.jd_utc_mid, f.path"
        )
        .fetchall()
    )
    plan = Plan(params, len(rows))
    rows = [row for row in rows if row[2] is not None]  # those that qc could read
    reference_id = reference_frame(connection)
    if reference_id is None:
        if not rows:
            plan.blocked = "no frame has been measured by qc yet, or none can be used: `photdb reject list` says why"
        plan.work = [frame_id for frame_id, *_ in rows]
        plan.reasons.append("the reference frame is not chosen yet")
        return plan
    # The reference frame's stars count even where its file was damaged since.
    reference = (
        driver(connection)
        .execute(
            "SELECT q.detection_digest, EXISTS (SELECT 1 FROM detection d WHERE d.frame_id = q.frame_id), f.number"
            " FROM frame_quality q JOIN frame f ON f.id = q.frame_id WHERE q.frame_id = ?",
            (reference_id,),
        )
        .fetchone()
    )
    if reference is not None and not reference[1]:
        plan.blocked = (
            f"the reference frame {reference[2]} has no stars, or cannot be read any more: choose another with"
            " `photdb shifts --reference-frame auto`"
        )
        return plan
    reference_stars = None if reference is None else reference[0]
    n_new, stale = 0, []
    for frame_id, number, stars, known in rows:
        if known is None:
            n_new += 1
        elif known != _input(params, stars, reference_stars):
            stale.append(number)
        else:
            continue
        plan.work.append(frame_id)
    if n_new:
        plan.reasons.append(f"{n_new} of {count(len(rows), 'frame')} without a shift")
    if stale:
        plan.reasons.append(f"stars, reference frame or regions changed: frame {numbers(stale)}")
    return plan


def run(project: Project, plan: Plan, session: Session) -> None:
    """Match the stars of frames with the reference frame's; the reference frame is chosen first if nobody did.

    Raises
    ------
    PhotdbError
        No frame has stars enough to be the reference frame.
    """
    connection = project.connection
    estimate = len(plan.work) * _S_PER_FRAME
    session.workers.prepare(estimate)
    stars = star_lists(connection)
    size = connection.execute(schema.project.select()).one()
    reference_id = reference_frame(connection)
    if reference_id is None:
        reference_id = _choose(project, stars, size.width_px, size.height_px)
    excluded, region = plan.params["exclude"], plan.params["region"]
    none = np.empty((0, 3))
    reference = _outside(stars.get(reference_id, none), excluded, region)
    frames = [(frame_id, _outside(stars.get(frame_id, none), excluded, None)) for frame_id in plan.work]
    tasks = [
        MatchTask(tuple(frames[i : i + _CHUNK]), reference, size.width_px, size.height_px)
        for i in range(0, len(frames), _CHUNK)
    ]
    stars_of = dict(driver(connection).execute("SELECT frame_id, detection_digest FROM frame_quality").fetchall())

    def save(connection: Connection, batches: list[list[tuple[Any, ...]]]) -> None:
        rows = [
            (frame_id, _input(plan.params, stars_of[frame_id], stars_of[reference_id]), *values)
            for batch in batches
            for frame_id, *values in batch
        ]
        replace_rows(connection, "shift", ("frame_id", "input", *SHIFT, "flags"), rows)

    results = session.workers.run(register_frames, tasks, estimate_s=estimate)
    save_in_batches(project, session, "shifts", ((len(r), r) for r in results), len(frames), save)


def reference_frame(connection: Connection) -> int | None:
    """Give the id of the reference frame; None while it is not chosen."""
    frame_id: int | None = connection.exec_driver_sql("SELECT reference_frame_id FROM project").scalar()
    return frame_id


def set_reference_frame(connection: Connection, frame_id: int | None, origin: str | None) -> None:
    """Store the decision which frame all shifts refer to; None has it chosen anew."""
    connection.execute(update(schema.project).values(reference_frame_id=frame_id, reference_frame_origin=origin))


@dataclass(frozen=True, slots=True)
class Shifts:
    """The shifts of some frames, arrays (n,), NaN where a frame has none; and the size of the frames."""

    dx_px: NDArray[np.float64]
    dy_px: NDArray[np.float64]
    rotation_deg: NDArray[np.float64]
    scale: NDArray[np.float64]
    width_px: int
    height_px: int

    def of(self, places: Any) -> "Shifts":
        """Give the shifts of some of the frames."""
        shifts = (self.dx_px[places], self.dy_px[places], self.rotation_deg[places], self.scale[places])
        return Shifts(*shifts, self.width_px, self.height_px)

    def to_frame(self, xy_ref: NDArray[np.float64]) -> NDArray[np.float64]:
        """Carry positions in the reference frame, (n, k, 2) or (1, k, 2), to the frames: (n, k, 2)."""
        from photdb.algorithms.transform import to_frame

        return to_frame(xy_ref, **asdict(self))

    def to_reference(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Carry positions in the frames, (n, k, 2), to the reference frame."""
        from photdb.algorithms.transform import to_reference

        return to_reference(xy, **asdict(self))


def read_shifts(connection: Connection, frames: Frames) -> Shifts:
    """Read the shifts in the order of `frames`."""
    size = connection.execute(schema.project.select()).one()
    names = ("dx_px", "dy_px", "rotation_deg", "scale")
    dx, dy, rotation, scale = read_by_frame(connection, "shift", names, frames)
    return Shifts(dx, dy, rotation, scale, size.width_px, size.height_px)


def star_lists(connection: Connection) -> dict[int, Stars]:
    """Read the stars of all frames: frame id to an array (n, 3) of x, y in pixels and flux in ADU, brightest first."""
    ids, *values = columns(
        connection, "SELECT frame_id, x_px, y_px, flux_adu FROM detection ORDER BY frame_id, rank", "ifff"
    )
    first = np.flatnonzero(np.diff(ids, prepend=-1))
    parts = np.split(np.stack(values, axis=1), first[1:])
    return {int(ids[a]): part for a, part in zip(first, parts, strict=False)}  # no stars at all: one empty part


def _input(params: dict[str, Any], stars: int | None, reference_stars: int | None) -> int:
    return digest(STAGES["shifts"].version, params["exclude"], params["region"], stars, reference_stars)


def _choose(project: Project, stars: dict[int, Stars], width_px: int, height_px: int) -> int:
    from photdb.algorithms.registration import choose_reference

    frames = read_frames(project.connection)
    n_stars = read_by_frame(project.connection, "frame_quality", ["n_found"], frames)[0]
    # What the shifts of an earlier reference frame were like must not count against a frame.
    left_out = project.connection.exec_driver_sql(
        "SELECT frame_id FROM excluded WHERE frame_id IS NOT NULL AND source_id IS NULL AND aperture_id IS NULL"
        " AND NOT overruled AND stage IS NOT 'shifts'"
    )
    never = set(left_out.scalars())
    candidates = [i for i, f in enumerate(frames.id.tolist()) if f in stars and f not in never]
    if not candidates:
        raise PhotdbError("no accepted frame has stars: look at `photdb qc`, and accept frames or loosen its rules")
    lists = [tuple(stars[int(frames.id[i])].T) for i in candidates]
    best = candidates[choose_reference(lists, n_stars[candidates], width_px=width_px, height_px=height_px)]
    frame_id = int(frames.id[best])
    with project.transaction() as connection:
        set_reference_frame(connection, frame_id, "auto")
    return frame_id


def _outside(stars: Stars, excluded: list[Region], region: Region | None) -> Stars:
    x, y = stars[:, 0], stars[:, 1]
    keep = np.ones(len(stars), bool)
    for x0, y0, x1, y1 in excluded:
        keep &= ~((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
    if region is not None:
        x0, y0, x1, y1 = region
        keep &= (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    return stars[keep]
