"""What users decide: sources, apertures, rules, rejections and their withdrawal. No recomputation deletes any of it."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from photdb.errors import PhotdbError
from photdb.store import schema
from photdb.store.connection import driver
from photdb.store.lock import now

ROLES = ("asteroid", "variable", "reference", "check")


# --- sources ----------------------------------------------------------------------------------------------------------
def source_id(connection: Connection, label: str) -> int:
    """Give the id of a source by its label.

    Raises
    ------
    PhotdbError
        There is none of that label.
    """
    table = schema.source
    rows = connection.execute(select(table.c.label, table.c.id).where(table.c.removed_at.is_(None)))
    labels: dict[str, int] = {name: id_ for name, id_ in rows}
    if label not in labels:
        listing = f"the sources are {', '.join(labels)}" if labels else "no source is selected yet"
        raise PhotdbError(f"there is no source {label}: {listing}")
    return labels[label]


def put_source(
    connection: Connection,
    label: str,
    role: str,
    anchors: Sequence[tuple[int, float, float, float, float]],
    *,
    origin: str = "user",
) -> str:
    """Make a source, or change the one of that label: its role, and its anchors if any are given.

    Parameters
    ----------
    connection : Connection
        Inside a transaction.
    label, role : str
        What it is called and what it is.
    anchors : sequence of (frame_id, x_px, y_px, x_given_px, y_given_px)
        Empty: those that the source has stay.
    origin : str
        Who chose it: 'user' or 'auto'.

    Returns
    -------
    str
        What was done, in words: 'new', 'now check, was reference', 'moved', 'unchanged'.

    Raises
    ------
    PhotdbError
        A new source without anchors, or too few of them for its role.
    """
    table, anchor = schema.source, schema.source_anchor
    if not re.fullmatch(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,62}[^\s\x00-\x1f\x7f])?", label):
        raise PhotdbError("a source's name has 1 to 64 printable characters, with no space at its ends")
    old = connection.execute(select(table).where(table.c.label == label, table.c.removed_at.is_(None))).first()
    if old is None:
        like = [name for name in _labels(connection) if name.casefold() == label.casefold()]
        if like:
            raise PhotdbError(f"there is a source {like[0]}: names that differ in case only are too alike")
    n_anchors = len(anchors)
    if old is not None and not anchors:
        n_anchors = len(connection.execute(select(anchor).where(anchor.c.source_id == old.id)).all())
    # A moving source's anchors are no place for a star.
    stopped = old is not None and old.role == "asteroid" != role and not anchors
    if stopped or n_anchors < (2 if role == "asteroid" else 1):
        need = "two positions or more, in two frames" if role == "asteroid" else "a position"
        raise PhotdbError(f"{role} {label} needs {need}: --at FRAME X Y")
    if role == "asteroid":
        frames = ", ".join(str(int(a[0])) for a in anchors)
        times = driver(connection).execute(f"SELECT jd_utc_mid FROM frame WHERE id IN ({frames})").fetchall()  # noqa: S608
        if len(set(times)) < len(times):
            raise PhotdbError(f"two of the positions of {label} are in frames of the same time: choose other frames")
    if old is None:
        row = connection.execute(insert(table).values(label=label, role=role, origin=origin, created_at=now()))
        (id_,) = row.inserted_primary_key or (0,)
        done = ["new"]
    else:
        id_, done = old.id, []
        connection.execute(update(table).where(table.c.id == id_).values(role=role, origin=origin))
        if old.role != role:
            done.append(f"now {role}, was {old.role}")
    if anchors:
        connection.execute(delete(anchor).where(anchor.c.source_id == id_))
        names = ("frame_id", "x_px", "y_px", "x_given_px", "y_given_px")
        connection.execute(insert(anchor), [{"source_id": id_, **dict(zip(names, a, strict=True))} for a in anchors])
        if old is not None:
            done.append("moved")
    return ", ".join(done) or "unchanged"


def _labels(connection: Connection) -> list[str]:
    table = schema.source
    return list(connection.execute(select(table.c.label).where(table.c.removed_at.is_(None))).scalars())


def remove_source(connection: Connection, label: str) -> None:
    """Take a source out of the project; what was measured of it stays in the file, unseen."""
    id_ = source_id(connection, label)
    connection.execute(update(schema.source).where(schema.source.c.id == id_).values(removed_at=now()))
    # Its label may be used again, for another star.
    withdraw(connection, [r["id"] for r in rejections(connection) if r["source_id"] == id_])


def free_label(connection: Connection, prefix: str) -> str:
    """Give the first of R1, R2, … that no source has."""
    taken = set(connection.execute(select(schema.source.c.label).where(schema.source.c.removed_at.is_(None))).scalars())
    return next(name for i in range(1, len(taken) + 2) if (name := f"{prefix}{i}") not in taken)


# --- apertures --------------------------------------------------------------------------------------------------------
def set_apertures(connection: Connection, specs: Sequence[tuple[float, float, float]], *, origin: str) -> None:
    """Put these apertures (radius, inner and outer radius of the ring, pixels) in force, and no others.

    Raises
    ------
    PhotdbError
        A circle or ring that cannot be one.
    """
    table = schema.aperture
    size = connection.execute(select(schema.project)).one()
    most = min(size.width_px or 2000, size.height_px or 2000) / 2
    for radius, inner, outer in specs:
        if not 0 < radius <= inner < outer <= most:
            raise PhotdbError(
                f"aperture {radius:g},{inner:g},{outer:g}: 0 < radius ≤ inner < outer ≤ {most:g} px needed"
            )
    connection.execute(update(table).where(table.c.removed_at.is_(None)).values(removed_at=now()))
    for radius, inner, outer in dict.fromkeys(specs):
        same = (
            (table.c.kind == "fixed")
            & (table.c.radius_px == radius)
            & (table.c.annulus_inner_px == inner)
            & (table.c.annulus_outer_px == outer)
        )
        # An aperture that was in force before comes back with all that was measured in it.
        if connection.execute(update(table).where(same).values(removed_at=None, origin=origin)).rowcount == 0:
            connection.execute(
                insert(table).values(
                    kind="fixed",
                    radius_px=radius,
                    annulus_inner_px=inner,
                    annulus_outer_px=outer,
                    origin=origin,
                    created_at=now(),
                )
            )


def aperture_id(connection: Connection, text: str) -> int:
    """Resolve an aperture in force as typed: its number, or radii as in `4,8,40`.

    Raises
    ------
    PhotdbError
        There is no such aperture.
    """
    rows = driver(connection).execute(
        "SELECT id, radius_px, annulus_inner_px, annulus_outer_px FROM aperture WHERE removed_at IS NULL"
        " ORDER BY radius_px"
    )
    names: dict[str, int] = {}
    listing = []
    for id_, *radii in rows:
        spec = ",".join(f"{r:g}" for r in radii)
        names[str(id_)] = names[spec] = id_
        listing.append(f"{id_} ({spec})")
    if text not in names:
        raise PhotdbError(f"there is no aperture {text}: those in force are {', '.join(listing) or 'none yet'}")
    return names[text]


# --- rules ------------------------------------------------------------------------------------------------------------
def set_rule(connection: Connection, stage: str, metric: str, operator: str, value: float | None) -> None:
    """Put a rule such as `range_adu < 8000` in force in place of the one before; None takes it back."""
    table = schema.rule
    same = (table.c.metric == metric) & (table.c.operator == operator) & table.c.withdrawn_at.is_(None)
    old = connection.execute(select(table).where(same)).first()
    if old is not None and old.value == value:
        return
    connection.execute(update(table).where(same).values(withdrawn_at=now()))
    if value is not None:
        connection.execute(
            insert(table).values(stage=stage, metric=metric, operator=operator, value=value, created_at=now())
        )


# --- rejections -------------------------------------------------------------------------------------------------------
def reject(
    connection: Connection,
    *,
    frames: Sequence[int] | None = None,
    source: int | None = None,
    aperture: int | None = None,
    reason: str,
) -> int:
    """Leave out frames (by id), a source, an aperture, or their conjunction; gives how many rejections are new.

    A frame that is rejected as a whole is no longer accepted against rules.
    """
    table = schema.rejection
    (group,) = connection.exec_driver_sql("SELECT coalesce(max(group_id), 0) + 1 FROM rejection").one()
    known = {(r["frame_id"], r["source_id"], r["aperture_id"]) for r in rejections(connection)}
    new = [f for f in (frames if frames is not None else [None]) if (f, source, aperture) not in known]
    if new:
        common = {"group_id": group, "source_id": source, "aperture_id": aperture, "reason": reason}
        connection.execute(insert(table), [{"frame_id": f, "created_at": now(), **common} for f in new])
    if frames is not None and source is None and aperture is None:
        leave_to_rules(connection, frames)
    return len(new)


def rejections(connection: Connection) -> list[dict[str, Any]]:
    """List the rejections in force, as dicts of their columns."""
    table = schema.rejection
    rows = connection.execute(select(table).where(table.c.withdrawn_at.is_(None)).order_by(table.c.id))
    return [dict(row) for row in rows.mappings()]


def withdraw(connection: Connection, ids: Sequence[int]) -> None:
    """Take rejections back; their rows stay."""
    table = schema.rejection
    connection.execute(update(table).where(table.c.id.in_(ids)).values(withdrawn_at=now()))


def leave_to_rules(connection: Connection, frames: Sequence[int]) -> int:
    """Withdraw accepts of frames (by id), so that rules decide on them again; gives how many there were."""
    table = schema.acceptance
    in_force = table.c.frame_id.in_(frames) & table.c.withdrawn_at.is_(None)
    return connection.execute(update(table).where(in_force).values(withdrawn_at=now())).rowcount


def accept_frames(connection: Connection, frames: Sequence[int]) -> tuple[int, int]:
    """Take back rejections of whole frames (by id), and let them stand against rules, those to come included.

    Returns
    -------
    (int, int)
        How many rejections were taken back, and how many frames now stand against a rule in force.
    """
    wanted = set(frames)
    rejected = [
        r["id"]
        for r in rejections(connection)
        if r["frame_id"] in wanted and r["source_id"] is None and r["aperture_id"] is None
    ]
    withdraw(connection, rejected)
    ruled = connection.exec_driver_sql("SELECT DISTINCT frame_id FROM excluded WHERE kind = 'rule' AND NOT overruled")
    against = wanted.intersection(ruled.scalars())
    table = schema.acceptance
    known = set(connection.execute(select(table.c.frame_id).where(table.c.withdrawn_at.is_(None))).scalars())
    new = [{"frame_id": f, "created_at": now()} for f in sorted(wanted - known)]
    if new:
        connection.execute(insert(table), new)
    return len(rejected), len(against)
