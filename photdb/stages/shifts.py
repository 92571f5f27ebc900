"""Stage `shifts`: where each frame lies against the reference frame, from the stars that `qc` kept."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from photdb.errors import PhotdbError
from photdb.stages import STAGES, Plan
from photdb.stages.pixels import Region
from photdb.stages.qc import check_region
from photdb.stages.runner import Session, save_in_batches
from photdb.store.arrays import Frames, columns, read_by_frame, replace_rows
from photdb.store.connection import driver, update_row
from photdb.store.currency import digest
from photdb.store.facts import frame_size
from photdb.store.project import Project
from photdb.wording import count, numbers

if TYPE_CHECKING:
    from photdb.algorithms.registration import Registration

Stars = NDArray[np.float64]

_CHUNK = 32
_S_PER_FRAME = 0.0005
_COLUMNS = ("dx_px", "dy_px", "rotation_deg", "scale", "n_matched", "residual_px")


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
    estimate = len(plan.work) * _S_PER_FRAME
    from photdb.algorithms.registration import Batch, register_batch

    connection = project.connection
    width_px, height_px = frame_size(connection)
    reference_id = reference_frame(connection)
    known: dict[int, Registration] = {}  # shifts by frame: those that the choice of the reference frame took
    if reference_id is None:
        stars = star_lists(connection)
        reference_id, known = _choose(project, stars, width_px, height_px)
    else:
        few = 2 * len(plan.work) < plan.n_units
        stars = star_lists(connection, [*plan.work, reference_id] if few else None)
    excluded, region = plan.params["exclude"], plan.params["region"]
    none = np.empty((0, 3))
    reference = _outside(stars.get(reference_id, none), excluded, region)
    if excluded or region is not None:  # all stars took part in the choice
        known = {}
    work = [frame_id for frame_id in plan.work if frame_id not in known]
    chunks = [work[i : i + _CHUNK] for i in range(0, len(work), _CHUNK)]
    batches = [
        Batch(
            tuple(_outside(stars.get(frame_id, none), excluded, None) for frame_id in chunk),
            reference,
            width_px,
            height_px,
        )
        for chunk in chunks
    ]
    stars_of = dict(driver(connection).execute("SELECT frame_id, detection_digest FROM frame_quality").fetchall())

    def save(connection: Connection, done: "list[tuple[list[int], list[Registration]]]") -> None:
        rows = [
            (
                frame_id,
                _input(plan.params, stars_of[frame_id], stars_of[reference_id]),
                *(getattr(found, name) for name in _COLUMNS),
                int(found.flags),
            )
            for frame_ids, shifts in done
            for frame_id, found in zip(frame_ids, shifts, strict=True)
        ]
        replace_rows(connection, "shift", ("frame_id", "input", *_COLUMNS, "flags"), rows)

    def done() -> "Iterator[tuple[int, tuple[list[int], list[Registration]]]]":
        for i in range(0, len(known), _CHUNK):
            ids = list(known)[i : i + _CHUNK]
            yield len(ids), (ids, [known[frame_id] for frame_id in ids])
        shifts = session.workers.run(register_batch, batches, estimate_s=estimate)
        for ids, found in zip(chunks, shifts, strict=True):
            yield len(ids), (ids, found)

    save_in_batches(project, session, "shifts", done(), len(plan.work), save)


def reference_frame(connection: Connection) -> int | None:
    """Give the id of the reference frame; None while it is not chosen."""
    frame_id: int | None = connection.exec_driver_sql("SELECT reference_frame_id FROM project").scalar()
    return frame_id


def set_reference_frame(connection: Connection, frame_id: int | None, origin: str | None) -> None:
    """Store the decision which frame all shifts refer to; None has it chosen anew."""
    values = {"reference_frame_id": frame_id, "reference_frame_origin": origin}
    update_row(connection, "project", 1, values)


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
    names = ("dx_px", "dy_px", "rotation_deg", "scale")
    dx, dy, rotation, scale = read_by_frame(connection, "shift", names, frames)
    return Shifts(dx, dy, rotation, scale, *frame_size(connection))


def star_lists(connection: Connection, frame_ids: Iterable[int] | None = None) -> dict[int, Stars]:
    """Read the stars of frames, of all or of some; frames without any are left out.

    Returns
    -------
    dict of int to ndarray (n, 3)
        Frame id to x, y in pixels and flux in ADU, brightest first.
    """
    where = "" if frame_ids is None else f"WHERE frame_id IN ({', '.join(map(str, frame_ids))})"  # ids of ours
    raw = driver(connection)
    n_stars = raw.execute(f"SELECT frame_id, count(*) FROM detection {where} GROUP BY 1 ORDER BY 1").fetchall()  # noqa: S608
    total = sum(n for _, n in n_stars)
    rows = raw.execute(f"SELECT x_px, y_px, flux_adu FROM detection {where} ORDER BY frame_id, rank")  # noqa: S608
    values = np.fromiter(itertools.chain.from_iterable(rows), np.float64, 3 * total).reshape(total, 3)
    end = itertools.accumulate(n for _, n in n_stars)
    return {frame_id: values[e - n : e] for (frame_id, n), e in zip(n_stars, end, strict=True)}


def _input(params: dict[str, Any], stars: int | None, reference_stars: int | None) -> int:
    return digest(STAGES["shifts"].version, params["exclude"], params["region"], stars, reference_stars)


def _choose(
    project: Project, stars: dict[int, Stars], width_px: int, height_px: int
) -> "tuple[int, dict[int, Registration]]":
    """Choose the reference frame; gives its id, and by frame id the shifts against it that were found on the way."""
    from photdb.algorithms.registration import choose_reference

    ids, n_stars = columns(
        project.connection,
        "SELECT f.id, q.n_found FROM frame f JOIN frame_quality q ON q.frame_id = f.id"
        " ORDER BY f.jd_utc_mid IS NULL, f.jd_utc_mid, f.path",
        "if",
    )
    # What the shifts of an earlier reference frame were like must not count against a frame.
    left_out = project.connection.exec_driver_sql(
        "SELECT frame_id FROM excluded WHERE frame_id IS NOT NULL AND source_id IS NULL AND aperture_id IS NULL"
        " AND NOT overruled AND stage IS NOT 'shifts'"
    )
    never = set(left_out.scalars())
    candidates = [i for i, f in enumerate(ids.tolist()) if f in stars and f not in never]
    if not candidates:
        raise PhotdbError("no accepted frame has stars: look at `photdb qc`, and accept frames or loosen its rules")
    lists = [tuple(stars[int(ids[i])].T) for i in candidates]
    found: dict[tuple[int, int], Registration] = {}
    best = choose_reference(lists, n_stars[candidates], width_px=width_px, height_px=height_px, found=found)
    frame_id = int(ids[candidates[best]])
    with project.transaction() as connection:
        set_reference_frame(connection, frame_id, "auto")
    return frame_id, {int(ids[candidates[i]]): shift for (i, j), shift in found.items() if j == best}


def _outside(stars: Stars, excluded: list[Region], region: Region | None) -> Stars:
    if not excluded and region is None:
        return stars
    x, y = stars[:, 0], stars[:, 1]
    keep = np.ones(len(stars), bool)
    for x0, y0, x1, y1 in excluded:
        keep &= ~((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
    if region is not None:
        x0, y0, x1, y1 = region
        keep &= (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    return stars[keep]
