"""What is wrong inside a project's file: its pages, its schema, its rows. It only looks; `repair` acts on it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import Float, Integer, create_engine

from photdb.errors import ProjectError
from photdb.store import migrate, schema
from photdb.store.bad_files import check_kind, journal, unreadable
from photdb.store.connection import driver
from photdb.store.lock import WriterLock
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
    "reference_check",
    "search",
    "solution",
    "solution_reference",
    "solution_point",
)
_MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be: a sentence that says what to do, and what `--repair` would do."""

    said: str
    cure: Cure | None = None
    statements: tuple[str, ...] = ()  # of the cure "drop": each deletes results, and nothing else


def leftovers(path: Path) -> list[Finding]:
    """Find what commands that were killed left beside a project; look before anything opens it."""
    found = []
    if journal(path).exists() and journal(path).stat().st_size > 0 and not WriterLock(path).is_held():
        found.append(
            Finding(
                f"{journal(path).name} is what a command that was killed left: opening the project has taken back what"
                " that had half done, and there is nothing more to do"
            )
        )
    if path.with_name(f"{path.name}-wal").exists():
        found.append(
            Finding(f"{path.name}-wal holds what another program wrote: --repair brings it in", "rollback mode")
        )
    if WriterLock(path).path.exists() and not WriterLock(path).is_held():
        found.append(
            Finding(
                f"{WriterLock(path).path.name} was left by a command that was killed: it holds nobody up, and the next"
                " command, or --repair, takes it away",
                "tidy",
            )
        )
    for left in _drafts(path):
        found.append(Finding(f"{left.name} was left by a command that was killed: --repair takes it away", "tidy"))
    return found


def tidy(path: Path) -> None:
    """Take away what commands that were killed left beside a project; the caller holds its lock."""
    for left in _drafts(path):
        left.unlink(missing_ok=True)


def _drafts(path: Path) -> list[Path]:
    patterns = (f".{path.name}.new", f".{path.name}.new-journal", f"{path.name}.*.part", f"{path.name}.*.part-journal")
    return sorted(file for pattern in patterns for file in path.parent.glob(pattern))


def pages(raw: sqlite3.Connection) -> list[Finding]:
    """Check every page and index of an open database."""
    try:
        told = [line for (text,) in raw.execute(f"PRAGMA integrity_check({_MOST})") for line in text.splitlines()]
    except sqlite3.DatabaseError as error:
        told = [str(error)]
    told = [line for line in told if line != "ok" and not line.startswith("***")]
    if not told:
        return []
    first = "; ".join(told[:3]) + (f"; and {len(told) - 3} more" if len(told) > 3 else "")
    # Rows that an index lacks or has too many: the rows themselves are whole.
    if all("index" in line and ("missing from" in line or "wrong # of entries" in line) for line in told):
        return [Finding(f"an index does not agree with its table ({first}): --repair makes it anew", "reindex")]
    if all(line.startswith(("NULL value in", "CHECK constraint failed in", "non-unique entry")) for line in told):
        return [Finding(f"rows are not what their table allows ({first}): --repair saves the others", "salvage")]
    return [
        Finding(f"the file is damaged ({first}): --repair saves what can be read into a new file", "salvage"),
    ]


def tables_and_views(raw: sqlite3.Connection) -> list[Finding]:
    """Compare the schema with what the migrations of this photdb build."""
    wanted, found = fresh_statements(), _described(raw)
    out = []
    lacking = sorted(name for kind, name in wanted if (kind, name) not in found and kind == "table")
    other = sorted(
        name for kind, name in wanted if kind == "table" and found.get((kind, name)) not in (None, wanted[kind, name])
    )
    if lacking or other:
        what = ", ".join([*(f"no table {name}" for name in lacking), *(f"another table {name}" for name in other)])
        out.append(Finding(f"tables are not as photdb makes them ({what}): --repair saves what fits", "salvage"))
    indices = sorted(n for k, n in wanted if k == "index" and found.get((k, n)) != wanted[k, n])
    if indices:
        out.append(Finding(f"not as photdb makes it: index {', '.join(indices)}; --repair makes it anew", "reindex"))
    (version,) = raw.execute("PRAGMA user_version").fetchone()
    views = sorted(n for k, n in wanted if k == "view" and found.get((k, n)) != wanted[k, n])
    flags = not lacking and raw.execute(_FLAGS).fetchall() != migrate.flag_rows()
    if views or flags or version != migrate.face():
        what = ", ".join(views) or ("flag" if flags else "user_version")
        out.append(Finding(f"not as photdb makes it: view {what}; --repair makes all views anew", "views"))
    for kind, name in sorted(found.keys() - wanted.keys()):
        danger = ", and may change what is written" if kind == "trigger" else ""
        out.append(Finding(f"the {kind} {name} is not photdb's{danger}: if it is not yours, remove it with sqlite3"))
    return out


_FLAGS: Final = "SELECT bit, name, meaning FROM flag ORDER BY bit"


def fresh_statements() -> dict[tuple[str, str], str]:
    """Give the statements of a new project's tables, indices and views, by kind and name."""
    engine = create_engine("sqlite://")
    with closing(engine.connect()) as connection:
        driver(connection).isolation_level = None
        migrate.build(connection)
        found = _described(driver(connection))
    engine.dispose()
    return found


def _described(raw: sqlite3.Connection) -> dict[tuple[str, str], str]:
    sql = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    return {(kind, name): " ".join(text.split()) for kind, name, text in raw.execute(sql)}


def rows(raw: sqlite3.Connection) -> list[Finding]:
    """Check what no page tells: rows without parents, values of another type, results that do not belong together."""
    return [*_orphans(raw), *_types(raw), *_units(raw)]


def _orphans(raw: sqlite3.Connection) -> Iterator[Finding]:
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
    for name, table in schema.metadata.tables.items():
        wrong = []
        for column in table.columns:
            kinds = {Integer: "'integer'", Float: "'real', 'integer'"}.get(type(column.type), "'text'")
            null = "" if column.primary_key or not column.nullable else ", 'null'"
            wrong.append(f'typeof("{column.name}") NOT IN ({kinds}{null})')
        where = " OR ".join(wrong)
        (n,) = raw.execute(f"SELECT count(*) FROM {name} WHERE {where}").fetchone()  # noqa: S608 - names of ours
        if n and name in RESULTS:
            sql = (f"DELETE FROM {name} WHERE {where}",)  # noqa: S608
            yield Finding(f"{n} rows of {name} hold values of another type: --repair drops them", "drop", sql)
        elif n:
            yield Finding(
                f"{n} rows of {name} hold values of another type: look at them with `photdb sql`, and put them right"
            )


_NO_CENTROID: Final = "(SELECT 1 FROM centroid c WHERE c.frame_id = flux.frame_id AND c.source_id = flux.source_id)"
_NO_DIGEST: Final = "(SELECT id FROM frame WHERE content_crc32 IS NULL AND error IS NULL)"
_NOT_WHOLE: Final = """(SELECT target_id FROM search WHERE message IS NULL EXCEPT SELECT target_id FROM solution
 UNION SELECT s.target_id FROM solution s
  WHERE s.n_points != (SELECT count(*) FROM solution_point p WHERE p.solution_id = s.id)
     OR s.n_references != (SELECT count(*) FROM solution_reference r WHERE r.solution_id = s.id))"""
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


# --- all of it, in order ----------------------------------------------------------------------------------------------
_MAGIC: Final = b"SQLite format 3\0"


def inspect(path: Path) -> list[Finding]:
    """Check a project from its first byte to its last row; nothing may have it open in this process.

    Raises
    ------
    ProjectError
        It is none: nothing, a folder, another application's database, or a newer photdb's.
    """
    check_kind(path)
    found = leftovers(path)
    with path.open("rb") as file:
        head = file.read(100)
    if len(head) < 100 or not head.startswith(_MAGIC):
        return [*found, Finding(f"{path.name} does not begin like a database: --repair looks for a project", "salvage")]
    if 2 in head[18:20]:
        if not any(f.cure == "rollback mode" for f in found):
            found.append(
                Finding(
                    "another program put it into write-ahead mode: --repair makes it one file again", "rollback mode"
                )
            )
        return found
    size, there = int.from_bytes(head[28:32], "big") * (int.from_bytes(head[16:18], "big") or 1), path.stat().st_size
    if there < size:
        said = f"it is truncated, {there:,} of {size:,} bytes: --repair saves what is there into a new file"
        return [*found, Finding(said, "salvage")]
    try:
        with closing(open_raw(path)) as raw:
            return [*found, *_inside(path, raw)]
    except sqlite3.DatabaseError as error:
        if (error.sqlite_errorcode & 0xFF) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
            raise unreadable(path, error) from error
        said = f"the file is damaged ({error}): --repair saves what can be read into a new file"
        return [*found, Finding(said, "salvage")]


def _inside(path: Path, raw: sqlite3.Connection) -> list[Finding]:
    damage = pages(raw)
    if any(f.cure == "salvage" for f in damage):
        return damage
    (application_id,) = raw.execute("PRAGMA application_id").fetchone()
    ours = raw.execute(
        "SELECT count(*) FROM sqlite_master WHERE name IN ('alembic_version', 'solution_point')"
    ).fetchone()
    if application_id != schema.APPLICATION_ID and ours != (2,):
        raise ProjectError(f"{path.name} is an SQLite database, but no project of photdb")
    (revision,) = raw.execute("SELECT version_num FROM alembic_version").fetchone() or (None,)
    migrate.refuse_newer(path, revision)
    if revision != schema.HEAD:
        return [*damage, *_orphans(raw)]
    found = [*damage, *tables_and_views(raw)]
    if application_id != schema.APPLICATION_ID:
        found.append(Finding("it is not marked as photdb's (application_id): --repair marks it", "mark"))
    return found if any(f.cure == "salvage" for f in found) else [*found, *rows(raw)]


def open_raw(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """Open a project's file as it is, whatever is in it; nothing is written unless asked for."""
    raw = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None)
    if not write:
        raw.execute("PRAGMA query_only=ON")
    return raw
