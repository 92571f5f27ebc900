"""What is wrong inside a project's file: its pages, its schema, its rows. It only looks; `repair` acts on it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import create_engine

from photdb.errors import ProjectError
from photdb.store import migrate, schema
from photdb.store.bad_files import DAMAGE, check_kind, journal, readable, unreadable
from photdb.store.connection import driver
from photdb.store.lock import WriterLock
from photdb.store.row_checks import Finding, orphans, row_findings

#: So many things SQLite's own check is asked for.
_MOST: Final = 100


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


def _pages(raw: sqlite3.Connection) -> list[Finding]:
    """Check every page and index of an open database."""
    try:
        told = [line for (text,) in raw.execute(f"PRAGMA integrity_check({_MOST})") for line in text.splitlines()]
    except DAMAGE as error:
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


def _tables_and_views(raw: sqlite3.Connection) -> list[Finding]:
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
    except DAMAGE as error:
        if isinstance(error, sqlite3.Error) and (error.sqlite_errorcode & 0xFF) not in (
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_NOTADB,
            sqlite3.SQLITE_ERROR,
        ):
            raise unreadable(path, error) from error
        said = f"the file is damaged ({error}): --repair saves what can be read into a new file"
        return [*found, Finding(said, "salvage")]


def _inside(path: Path, raw: sqlite3.Connection) -> list[Finding]:
    damage = _pages(raw)
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
        return [*damage, *orphans(raw)]
    found = [*damage, *_tables_and_views(raw)]
    if application_id != schema.APPLICATION_ID:
        found.append(Finding("it is not marked as photdb's (application_id): --repair marks it", "mark"))
    return found if any(f.cure == "salvage" for f in found) else [*found, *row_findings(raw)]


def open_raw(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """Open a project's file as it is, whatever is in it; nothing is written unless asked for."""
    raw = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None)
    raw.text_factory = readable
    if not write:
        raw.execute("PRAGMA query_only=ON")
    return raw
