"""What users decide: sources, apertures, rules, rejections and their withdrawal. No recomputation deletes any of it."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from photdb.errors import PhotdbError
from photdb.store import schema
from photdb.store.apertures import Spec, need_possible, parsed
from photdb.store.arrays import read_apertures
from photdb.store.connection import driver, insert_row, update_row
from photdb.store.facts import frame_size
from photdb.store.lock import now
from photdb.wording import listed, named

ROLES = ("asteroid", "variable", "reference", "check")


# --- the camera -------------------------------------------------------------------------------------------------------
def request_camera(connection: Connection) -> None:
    """Have gain and read noise estimated from the frames anew, to be taken before what headers say."""
    driver(connection).execute("INSERT OR REPLACE INTO camera (id, requested) VALUES (1, 1)")


# --- sources ----------------------------------------------------------------------------------------------------------
def source_id(connection: Connection, label: str) -> int:
    """Give the id of a source by its label.

    Raises
    ------
    PhotdbError
        There is none of that label.
    """
    rows = driver(connection).execute("SELECT label, id FROM source WHERE removed_at IS NULL ORDER BY id")
    labels: dict[str, int] = dict(rows.fetchall())
    if label not in labels:
        listing = f"the sources are {listed(list(labels))}" if labels else "no source is selected yet"
        raise PhotdbError(f"there is no source {named(label)}: {listing}")
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
    raw = driver(connection)
    if not re.fullmatch(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,62}[^\s\x00-\x1f\x7f])?", label):
        raise PhotdbError("a source's name has 1 to 64 printable characters, with no space at its ends")
    old = raw.execute("SELECT id, role FROM source WHERE label = ? AND removed_at IS NULL", (label,)).fetchone()
    old_id, old_role = old or (0, None)
    if old is None:
        like = [name for name in _labels(connection) if name.casefold() == label.casefold()]
        if like:
            raise PhotdbError(f"there is a source {like[0]}: names that differ in case only are too alike")
    n_anchors = len(anchors)
    if old is not None and not anchors:
        (n_anchors,) = raw.execute("SELECT count(*) FROM source_anchor WHERE source_id = ?", (old_id,)).fetchone()
    # A moving source's anchors are no place for a star.
    stopped = old_role == "asteroid" != role and not anchors
    if stopped or n_anchors < (2 if role == "asteroid" else 1):
        need = "two positions or more, in two frames" if role == "asteroid" else "a position"
        raise PhotdbError(f"{role} {label} needs {need}: --at FRAME X Y")
    if role == "asteroid":
        frames = ", ".join(str(int(a[0])) for a in anchors)
        times = raw.execute(f"SELECT jd_utc_mid FROM frame WHERE id IN ({frames})").fetchall()  # noqa: S608
        if len(set(times)) < len(times):
            raise PhotdbError(f"two of the positions of {label} are in frames of the same time: choose other frames")
    if old is None:
        values = {"label": label, "role": role, "origin": origin, "created_at": now()}
        id_, done = insert_row(connection, "source", values), ["new"]
    else:
        id_, done = old_id, []
        update_row(connection, "source", id_, {"role": role, "origin": origin})
        if old_role != role:
            done.append(f"now {role}, was {old_role}")
    if anchors:
        raw.execute("DELETE FROM source_anchor WHERE source_id = ?", (id_,))
        raw.executemany(
            "INSERT INTO source_anchor (source_id, frame_id, x_px, y_px, x_given_px, y_given_px)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            [(id_, *a) for a in anchors],
        )
        if old is not None:
            done.append("moved")
    return ", ".join(done) or "unchanged"


def _labels(connection: Connection) -> list[str]:
    return [label for (label,) in driver(connection).execute("SELECT label FROM source WHERE removed_at IS NULL")]


def set_coordinates(connection: Connection, source_id: int, ra_deg: float | None, dec_deg: float | None) -> None:
    """Keep a source's coordinates, ICRS degrees; None gives them up."""
    update_row(connection, "source", source_id, {"ra_deg": ra_deg, "dec_deg": dec_deg})


def set_ephemeris(
    connection: Connection, source_id: int, name: str | None, rows: Sequence[tuple[float | None, ...]]
) -> None:
    """Keep a source's ephemeris, in place of an earlier one; None gives it up.

    Parameters
    ----------
    connection : Connection
        Inside a transaction.
    source_id : int
        Of a target.
    name : str or None
        Of the file it came from.
    rows : sequence of (jd_utc, distance_au, ra_deg, dec_deg)
        None for angles that the file does not have.
    """
    raw = driver(connection)
    raw.execute("DELETE FROM ephemeris WHERE source_id = ?", (source_id,))
    update_row(connection, "source", source_id, {"ephemeris": name})
    raw.executemany(
        "INSERT INTO ephemeris (source_id, jd_utc, distance_au, ra_deg, dec_deg) VALUES (?, ?, ?, ?, ?)",
        [(source_id, *row) for row in rows],
    )


def remove_source(connection: Connection, label: str) -> None:
    """Take a source out of the project; what was measured of it stays in the file, unseen."""
    id_ = source_id(connection, label)
    update_row(connection, "source", id_, {"removed_at": now()})
    # Its label may be used again, for another star.
    withdraw(connection, [r["id"] for r in rejections(connection) if r["source_id"] == id_])


def free_label(connection: Connection, prefix: str) -> str:
    """Give the first of R1, R2, … that no source has."""
    taken = set(_labels(connection))
    return next(name for i in range(1, len(taken) + 2) if (name := f"{prefix}{i}") not in taken)


# --- apertures --------------------------------------------------------------------------------------------------------
def set_apertures(connection: Connection, specs: Sequence[Spec | tuple[float, float, float]], *, origin: str) -> None:
    """Put these apertures in force, and no others.

    Raises
    ------
    PhotdbError
        A circle or ring that cannot be one.
    """
    raw = driver(connection)
    most = min(size or 2000 for size in frame_size(connection)) / 2
    wanted = [Spec(*spec) for spec in specs]
    for spec in wanted:
        need_possible(spec, most)
    raw.execute("UPDATE aperture SET removed_at = ? WHERE removed_at IS NULL", (now(),))
    for spec in dict.fromkeys(wanted):
        values = {
            "kind": spec.kind,
            "radius_px": spec.radius if spec.kind == "fixed" else None,
            "radius_fwhm": spec.radius if spec.kind == "fwhm" else None,
            "annulus_inner_px": spec.inner_px,
            "annulus_outer_px": spec.outer_px,
            "sky": spec.sky,
        }
        # An aperture that was in force before comes back with all that was measured in it.
        known = raw.execute(
            "UPDATE aperture SET removed_at = NULL, origin = ? WHERE kind = ? AND radius_px IS ? AND radius_fwhm IS ?"
            " AND annulus_inner_px = ? AND annulus_outer_px = ? AND sky = ?",
            (origin, *values.values()),
        )
        if known.rowcount == 0:
            insert_row(connection, "aperture", {**values, "origin": origin, "created_at": now()})


def aperture_id(connection: Connection, text: str) -> int:
    """Resolve an aperture in force as typed: its number, or what it is, as in `4,8,40`.

    Raises
    ------
    PhotdbError
        There is no such aperture.
    """
    found = read_apertures(connection)
    names = {name: a.id for a in found for name in (str(a.id), str(a))}
    wanted = text if text in names else str(parsed(text))
    if wanted not in names:
        listing = listed([f"{a.id} ({a})" for a in found])
        raise PhotdbError(f"there is no aperture {named(text)}: those in force are {listing or 'none yet'}")
    return names[wanted]


# --- rules ------------------------------------------------------------------------------------------------------------
def set_rule(connection: Connection, stage: str, metric: str, operator: str, value: float | None) -> None:
    """Put a rule such as `range_adu < 8000` in force in place of the one before; None takes it back."""
    sql = "SELECT id, value FROM rule WHERE metric = ? AND operator = ? AND withdrawn_at IS NULL"
    old = driver(connection).execute(sql, (metric, operator)).fetchone()
    if old is not None and old[1] == value:
        return
    if old is not None:
        update_row(connection, "rule", old[0], {"withdrawn_at": now()})
    if value is not None:
        rule = {"stage": stage, "metric": metric, "operator": operator, "value": value}
        insert_row(connection, "rule", {**rule, "created_at": now()})


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
    rows = connection.exec_driver_sql("SELECT * FROM rejection WHERE withdrawn_at IS NULL ORDER BY id")
    return [dict(row) for row in rows.mappings()]


def withdraw(connection: Connection, ids: Sequence[int]) -> None:
    """Take rejections back; their rows stay."""
    raw, at = driver(connection), now()
    raw.executemany("UPDATE rejection SET withdrawn_at = ? WHERE id = ?", [(at, id_) for id_ in ids])


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
