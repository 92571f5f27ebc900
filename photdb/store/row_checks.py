"""What no page of a database tells: rows without parents, values of another type, results that cannot be."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Column, Float, Integer, Text

from photdb.store import schema
from photdb.wording import count

#: What can be done about a finding without losing a decision: beside the file, inside it, or by a new one.
Cure = Literal["tidy", "rollback mode", "mark", "reindex", "views", "drop", "salvage"]

#: Tables whose rows are made again when they are gone, with the column by which a frame's are found.
RESULTS: Final = (
    "frame_quality",
    "detection",
    "shift",
    "centroid",
    "flux",
    "frame_error",
    "profile",
    "correction_input",
    "correction",
    "target_coordinates",
    "target_time",
    "source_noise",
    "reference_check",
    "search",
    "solution",
    "solution_reference",
    "solution_point",
    "solution_term",
    "check_curve",
    "check_point",
    "field",
    "field_frame",
    "field_star",
    "field_profile",
    "hot_pixel",
    "encounter_input",
    "encounter",
    "hit_input",
    "hit",
)
#: What is dropped with rows of a table that have no digest of their own, so that they are made again.
_UNIT: Final = {
    **dict.fromkeys(
        ("frame_error", "profile"), "centroid WHERE frame_id IN (SELECT frame_id FROM {table} WHERE {rows})"
    ),
    "correction": "correction_input WHERE source_id IN (SELECT source_id FROM {table} WHERE {rows})",
    "target_time": "target_coordinates WHERE target_id IN (SELECT target_id FROM {table} WHERE {rows})",
    "source_noise": "source_noise",
    **dict.fromkeys(
        ("solution_term", "check_curve", "check_point"),
        "search WHERE target_id IN (SELECT target_id FROM solution WHERE id IN (SELECT solution_id FROM {table}"
        " WHERE {rows}))",
    ),
    **dict.fromkeys(("field_frame", "field_star", "field_profile", "hot_pixel"), "field"),
    "encounter": "encounter_input WHERE source_id IN (SELECT source_id FROM {table} WHERE {rows})",
    "hit": "hit_input WHERE source_id IN (SELECT source_id FROM {table} WHERE {rows})",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be: a sentence that says what to do, and what `--repair` would do."""

    said: str
    cure: Cure | None = None
    statements: tuple[str, ...] = ()  # of the cure "drop": each deletes results, and nothing else


def row_findings(raw: sqlite3.Connection) -> list[Finding]:
    """Check what no page tells: rows without parents, values of another type, results that do not belong together."""
    return [*_project(raw), *orphans(raw), *_types(raw), *_texts(raw), *_units(raw)]


def _project(raw: sqlite3.Connection) -> Iterator[Finding]:
    # A page of another table in place of its own is sound in itself.
    if raw.execute("SELECT 1 FROM project").fetchone() is None:
        yield Finding("what was set for the project is gone: --repair saves the rest into a new file", "salvage")


def orphans(raw: sqlite3.Connection) -> Iterator[Finding]:
    """Find rows whose parents are not there."""
    counts: dict[tuple[str, str], int] = {}
    for table, _, parent, _ in raw.execute("PRAGMA foreign_key_check"):
        counts[table, parent] = counts.get((table, parent), 0) + 1
    for (table, parent), n in sorted(counts.items()):
        said = f"{n} of {table} belong to no {parent}"
        if table in RESULTS:
            keys = [k for k in schema.metadata.tables[table].foreign_keys if k.column.table.name == parent]
            sql = tuple(
                f"DELETE FROM {table} WHERE {k.parent.name} NOT IN (SELECT id FROM {parent})"  # noqa: S608 - of ours
                for k in keys
            )
            yield Finding(f"{said}: --repair drops them, and `photdb run` makes what should be there", "drop", sql)
        else:
            yield Finding(f"{said}: they are without effect, and as decisions are never deleted")


def _types(raw: sqlite3.Connection) -> Iterator[Finding]:
    for name, n, where in wrong_types(raw):
        said = f"{count(n, 'row')} of {name} with values of another type"
        if name in RESULTS:
            places = [f"{name} WHERE {where}"]
            if name in _UNIT:
                places.insert(0, _UNIT[name].format(table=name, rows=where))
            sql = tuple(f"DELETE FROM {place}" for place in places)  # noqa: S608 - names of ours
            yield Finding(f"{said}: --repair drops them, and `photdb run` makes them again", "drop", sql)
        else:
            yield Finding(f"{said}: --repair saves the others into a new file", "salvage")


def _texts(raw: sqlite3.Connection) -> Iterator[Finding]:
    """Find texts that are none: no command could read them."""
    usual, raw.text_factory = raw.text_factory, bytes
    for name, table in schema.metadata.tables.items():
        columns = ", ".join(f'"{column.name}"' for column in table.columns if isinstance(column.type, Text))
        rows = raw.execute(f"SELECT {columns} FROM {name}") if columns else ()  # noqa: S608 - names of ours
        n = sum(not all(map(_is_text, row)) for row in rows)
        if n:
            said = f"{count(n, 'row')} of {name} with text that is none"
            yield Finding(f"{said}: --repair saves it, with U+FFFD for what is no text, into a new file", "salvage")
    raw.text_factory = usual


def _is_text(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def wrong_types(raw: sqlite3.Connection) -> Iterator[tuple[str, int, str]]:
    """Find rows with values that are not of their column's type: table, how many, and the condition for them."""
    for name, table in schema.metadata.tables.items():
        wrong = []
        for column in table.columns:
            kinds = ", ".join(f"'{kind}'" for kind in kinds_of(column))
            wrong.append(f'typeof("{column.name}") NOT IN ({kinds})')
        where = " OR ".join(wrong)
        (n,) = raw.execute(f"SELECT count(*) FROM {name} WHERE {where}").fetchone()  # noqa: S608 - names of ours
        if n:
            yield name, n, where


def kinds_of(column: Column[Any]) -> tuple[str, ...]:
    """Give the types of values, as SQLite names them, that a column may hold."""
    kinds = {Integer: ("integer",), Float: ("real", "integer")}.get(type(column.type), ("text",))
    return kinds if column.primary_key or not column.nullable else (*kinds, "null")


_NO_CENTROID: Final = "(SELECT 1 FROM centroid c WHERE c.frame_id = flux.frame_id AND c.source_id = flux.source_id)"
_NO_DIGEST: Final = "(SELECT id FROM frame WHERE content_crc32 IS NULL AND error IS NULL)"
_NOT_WHOLE: Final = """(SELECT target_id FROM search WHERE message IS NULL EXCEPT SELECT target_id FROM solution
 UNION SELECT s.target_id FROM solution s
  WHERE s.n_points != (SELECT count(*) FROM solution_point p WHERE p.solution_id = s.id)
     OR s.n_references != (SELECT count(*) FROM solution_reference r WHERE r.solution_id = s.id))"""
#: Frames, stars, pixels, profile of the field: what `field` says of their number, or that they are without a gap.
_NO_FIELD: Final = """(SELECT id FROM field
 WHERE n_stacked > (SELECT count(*) FROM field_frame WHERE stacked)
    OR coalesce(n_hot, 0) != (SELECT count(*) FROM hot_pixel)
    OR (1 > (SELECT count(*) FROM field_star) AND EXISTS (SELECT 1 FROM detection))
    OR (SELECT max(rank) - count(*) FROM field_star) != 0
    OR 1 > (SELECT count(*) FROM field_profile) OR (SELECT max(step) + 1 - count(*) FROM field_profile) != 0)"""
_NO_TERMS: Final = """(SELECT s.target_id FROM solution s JOIN search h USING (target_id) WHERE h.detrended IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM solution_term t WHERE t.solution_id = s.id)
 UNION SELECT s.target_id FROM solution s JOIN check_curve c ON c.solution_id = s.id
  WHERE c.n_points != (SELECT count(*) FROM check_point p WHERE p.solution_id = s.id AND p.source_id = c.source_id)
 UNION SELECT s.target_id FROM solution s JOIN check_point p ON p.solution_id = s.id
  WHERE NOT EXISTS (SELECT 1 FROM check_curve c WHERE c.solution_id = s.id AND c.source_id = p.source_id))"""
_NO_TIMES: Final = """(SELECT target_id FROM target_coordinates c WHERE origin IS NOT NULL
   AND EXISTS (SELECT 1 FROM frame WHERE jd_utc_mid IS NOT NULL AND error IS NULL)
   AND NOT EXISTS (SELECT 1 FROM target_time t WHERE t.target_id = c.target_id))"""
#: Results that cannot be: what is said of them, and from where to delete so that their units are work.
_BROKEN: Final = (
    ("measured frames have no digest of their content", (f"frame_quality WHERE frame_id IN {_NO_DIGEST}",)),
    ("stars are of frames without quality", ("detection WHERE frame_id NOT IN (SELECT frame_id FROM frame_quality)",)),
    ("fluxes have no centroid", (f"flux WHERE NOT EXISTS {_NO_CENTROID}",)),
    ("solutions belong to no search", ("solution WHERE target_id NOT IN (SELECT target_id FROM search)",)),
    (
        "searches lack solutions, or points of their curves",
        (f"search WHERE target_id IN {_NOT_WHOLE}", "solution WHERE target_id NOT IN (SELECT target_id FROM search)"),
    ),
    (
        "searches lack terms that were taken out, or curves of check stars",
        (f"search WHERE target_id IN {_NO_TERMS}", "solution WHERE target_id NOT IN (SELECT target_id FROM search)"),
    ),
    ("targets have coordinates, but no times", (f"target_coordinates WHERE target_id IN {_NO_TIMES}",)),
    ("deep images lack frames, stars, hot pixels or their profile", (f"field WHERE id IN {_NO_FIELD}",)),
)


def _units(raw: sqlite3.Connection) -> Iterator[Finding]:
    for said, places in _BROKEN:
        (n,) = raw.execute(f"SELECT count(*) FROM {places[0]}").fetchone()  # noqa: S608 - of ours
        if n:
            deletes = tuple(f"DELETE FROM {place}" for place in places)  # noqa: S608
            yield Finding(f"{n} {said}: --repair drops them, and `photdb run` makes them", "drop", deletes)
    for source, n in raw.execute(_TOO_FEW):
        yield Finding(f"{source} has too few positions left ({n}): `photdb select` it again, or remove it")
    frames = wrong_stars(raw)
    if frames:
        where = f"WHERE frame_id IN ({', '.join(map(str, frames))})"
        said = f"the stars of {count(len(frames), 'frame')} are not those that were found"
        deletes = tuple(f"DELETE FROM {table} {where}" for table in ("detection", "frame_quality"))  # noqa: S608
        yield Finding(f"{said}: --repair drops them, and `photdb run` finds them", "drop", deletes)


_TOO_FEW: Final = (
    "SELECT s.label, count(a.source_id) FROM source s LEFT JOIN source_anchor a ON a.source_id = s.id"
    " WHERE s.removed_at IS NULL GROUP BY s.id HAVING count(a.source_id) < iif(s.role = 'asteroid', 2, 1)"
)


def wrong_stars(raw: sqlite3.Connection) -> list[int]:
    """Give the ids of frames whose stars do not have the digest that was stored with them."""
    import numpy as np

    from photdb.store.currency import digest

    names = ("x_px", "y_px", "flux_adu", "peak_adu", "fwhm_px", "elongation")
    stars: dict[int, list[tuple[float, ...]]] = {}
    for frame_id, *values in raw.execute(f"SELECT frame_id, {', '.join(names)} FROM detection ORDER BY frame_id, rank"):  # noqa: S608
        stars.setdefault(frame_id, []).append(tuple(np.nan if v is None else v for v in values))
    known = raw.execute("SELECT frame_id, detection_digest FROM frame_quality WHERE error IS NULL").fetchall()
    empty = np.empty((0, len(names)))
    return [i for i, d in known if digest(np.array(stars[i], float) if i in stars else empty) != d]
