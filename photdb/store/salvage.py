"""Making a new project of what can be read of a damaged one: decisions first; the damaged one stays beside it."""

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from photdb.errors import ProjectError
from photdb.store import migrate, schema
from photdb.store.bad_files import DAMAGE
from photdb.store.connection import driver
from photdb.store.graft import graft
from photdb.store.inspection import open_raw
from photdb.store.lock import now
from photdb.store.repair import record
from photdb.store.roots import beginnings, shape_of
from photdb.store.row_checks import kinds_of, wrong_stars
from photdb.wording import count

#: In this order: parents first, and what cannot be made again before what can.
_SAVED: Final = (
    "frame",
    "project",
    "source",
    "aperture",
    "source_anchor",
    "ephemeris",
    "camera",
    "rejection",
    "acceptance",
    "rule",
    "history",
    "stage_run",
    "frame_wcs",
    "frame_quality",
    "detection",
    "shift",
    "centroid",
    "flux",
    "frame_error",
    "profile",
)
#: The revision that brought a table, where that was not the first.
_SINCE: Final = {"ephemeris": "0002", "camera": "0002", "frame_error": "0002", "profile": "0002"}
#: What tells that a table had rows, where it has none: pages of zeros or of another table may look like an empty one.
_EXPECTED: Final = {
    "project": "SELECT 1",
    "ephemeris": "SELECT 1 FROM source WHERE ephemeris IS NOT NULL",
    "camera": "SELECT 1 FROM stage_run WHERE stage = 'camera' AND n_units > 0 AND outcome = 'ok'",
    "source": "SELECT 1 FROM history WHERE command = 'select' AND outcome = 'ok'",
    "aperture": "SELECT 1 FROM stage_run WHERE stage = 'measure' AND n_units > 0 AND outcome = 'ok'",
    "rejection": "SELECT 1 FROM history WHERE command = 'reject' AND outcome = 'ok'",
}
_KIND: Final = {int: "integer", float: "real", str: "text", bytes: "blob", type(None): "null"}
#: Results of a frame; those of the later stages are quickly made again, and are not saved.
_OF_FRAMES: Final = ("frame_quality", "detection", "shift", "centroid", "flux", "frame_error", "profile")


def salvage(path: Path) -> list[str]:
    """Make a new project of what can be read of a damaged one, which stays under another name.

    Decisions and facts come first. Results of frames whose files are there are left out: `photdb run` makes them again,
    to the same bits, while what stands in a damaged file may be anything. Those of `check` and `solve` are made again
    in any case. The caller holds the project's lock.

    Returns
    -------
    list of str
        What was saved and what is lost, in sentences.

    Raises
    ------
    ProjectError
        There is nothing to be saved, or no room for it; nothing is changed.
    """
    draft, copy = path.with_name(f".{path.name}.new"), path.with_name(f"{path.name}.salvage.part")
    try:
        _copy(path, copy)
        doubtful = set() if _has_tables(copy) else _graft(copy, draft)
        said = _fill(copy, draft, path, doubtful)
        damaged = path.with_name(f"{path.name}.damaged-{now().replace(':', '').replace('.', '')}")
        try:
            os.link(path, damaged)
        except OSError:  # a file system without links: for a moment nothing has the project's name
            os.rename(path, damaged)
        os.replace(draft, path)
    except (OSError, sqlite3.Error) as error:
        raise ProjectError(
            f"no new project can be written beside {path.name} ({error}): it is left as it is"
        ) from error
    finally:
        for left in (draft, copy):
            left.unlink(missing_ok=True)
            left.with_name(f"{left.name}-journal").unlink(missing_ok=True)
    return [*said, f"{damaged.name} is the damaged project, as it was"]


def _copy(path: Path, copy: Path) -> None:
    """Copy a damaged file so that SQLite opens it: as long as its head says, whatever is missing being zeros."""
    shutil.copyfile(path, copy)
    with copy.open("r+b") as file:
        head = file.read(100)
        page = int.from_bytes(head[16:18], "big")
        page = 65536 if page == 1 else page
        if head.startswith(b"SQLite format 3\0") and page >= 512 and page & (page - 1) == 0:
            n_pages = -(-copy.stat().st_size // page)
            n_pages = max(n_pages, min(int.from_bytes(head[28:32], "big"), 4 * n_pages + 1024))
            file.truncate(n_pages * page)
            file.seek(18)
            file.write(b"\1\1")  # no write-ahead log
            file.seek(28)
            file.write(n_pages.to_bytes(4, "big"))
            file.seek(92)
            file.write(head[24:28])  # that number of pages holds


def _has_tables(copy: Path) -> bool:
    with closing(open_raw(copy, write=True)) as raw, suppress(*DAMAGE):
        raw.execute("PRAGMA writable_schema=ON")
        there = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return set(_tables_of(_revision(raw) or schema.HEAD)) <= there
    return False


def _revision(raw: sqlite3.Connection) -> str | None:
    with suppress(*DAMAGE):
        (revision,) = raw.execute("SELECT version_num FROM alembic_version").fetchone() or (None,)
        return None if revision is None else str(revision)
    return None


def _tables_of(revision: str) -> list[str]:
    return [table for table in _SAVED if _SINCE.get(table, revision) <= revision]


def _graft(copy: Path, draft: Path) -> set[str]:
    """Give a copy whose list of tables cannot be read that of a new project; gives tables that may not be whole then.

    Tables that a later revision brought may begin elsewhere, if the project was migrated.
    """
    draft.unlink(missing_ok=True)
    with _new_database(draft) as new:
        (page,) = new.execute("PRAGMA page_size").fetchone()
        listed = dict(new.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'").fetchall())
    damaged = copy.read_bytes()
    shapes = {table: shape_of(schema.metadata.tables[table]) for table in _SINCE}
    found = beginnings(damaged, page, shapes, listed)
    copy.write_bytes(graft(damaged, draft.read_bytes()))
    with closing(open_raw(copy, write=True)) as raw:
        raw.execute("PRAGMA writable_schema=ON")
        for table in _SINCE:
            if table in found:
                root, _ = found[table]
                raw.execute("UPDATE sqlite_master SET rootpage = ? WHERE type = 'table' AND name = ?", (root, table))
            else:
                raw.execute("DELETE FROM sqlite_master WHERE tbl_name = ?", (table,))
    return {table for table, (_, sure) in found.items() if not sure}


@contextmanager
def _new_database(draft: Path) -> Iterator[sqlite3.Connection]:
    engine = create_engine(f"sqlite:///{draft}", poolclass=NullPool)
    with closing(engine.connect()) as connection:
        raw = driver(connection)
        raw.isolation_level = None
        raw.execute("PRAGMA foreign_keys=ON")
        migrate.build(connection)
        yield raw
    engine.dispose()


def _fill(copy: Path, draft: Path, path: Path, doubtful: set[str]) -> list[str]:
    draft.unlink(missing_ok=True)
    with closing(open_raw(copy, write=True)) as old, _new_database(draft) as new:
        with suppress(*DAMAGE):
            old.execute("PRAGMA writable_schema=ON")  # a table that nobody understands does not hide the others
        revision = _revision(old)
        if revision is not None:
            migrate.refuse_newer(path, revision)
        new.execute("BEGIN")
        saved = {table: _save(old, new, table) for table in _tables_of(revision or schema.HEAD)}
        if not saved["frame"][0]:  # nothing else has a meaning without
            raise ProjectError(
                f"no frame can be read in {path.name}, and nothing has a meaning without: it is left as it is; restore"
                " a copy of it, or make it anew with `photdb init`"
            )
        said = [f"saved: {', '.join(f'{n} {table}' for table, (n, _) in saved.items() if n)}"]
        doubtful |= {
            table for table, sql in _EXPECTED.items() if not saved.get(table, (1,))[0] and new.execute(sql).fetchone()
        }
        lost = [f"{f'{n} of ' if n else ''}{table}" for table, (_, n) in saved.items() if n != 0 or table in doubtful]
        if lost:
            said.append(f"lost, or not whole: {', '.join(lost)}")
        if not saved["project"][0]:
            # The size and the filter are those of the frames that are not refused for another.
            new.execute(
                "INSERT INTO project (id, name, created_at, frame_folder, width_px, height_px, filter)"
                " SELECT 1, ?, ?, '.', width_px, height_px, filter FROM frame WHERE error IS NULL"
                " GROUP BY width_px, height_px, filter ORDER BY count(*) DESC, width_px IS NULL LIMIT 1",
                (path.stem, now()),
            )
            if new.execute("SELECT 1 FROM project").fetchone() is None:  # no frame can be used
                sql = "INSERT INTO project (id, name, created_at, frame_folder) VALUES (1, ?, ?, '.')"
                new.execute(sql, (path.stem, now()))
            said.append(
                "lost: what was set for the project, and where its frames are: `photdb relocate DIR`, `photdb set`"
            )
        n_again = _forget(new, path)
        record(new)
        said.append(f"results of {count(n_again, 'frame')} are to be made again: `photdb run`")
        new.execute("COMMIT")
    return said


def _save(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> tuple[int, int | None]:
    """Copy the rows of a table that can be read and that fit; gives their number, and of how many it is known that not.

    None: some are lost, nobody knows how many.
    """
    columns = [column.name for column in schema.metadata.tables[table].columns]
    try:
        there = [row[1] for row in old.execute(f"PRAGMA table_info({table})")]
    except DAMAGE:
        return 0, None
    names = [name for name in columns if name in there]
    if not names:
        return 0, None
    sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - names of ours
    allowed = [kinds_of(schema.metadata.tables[table].columns[name]) for name in names]
    n_saved = n_wrong = 0
    rows = _Rows(old, table, names)
    for row in rows:
        fits = [_KIND[type(value)] in kinds for value, kinds in zip(row, allowed, strict=True)]
        if not all(fits):
            n_wrong += 1
            if table in _OF_FRAMES:
                continue
            # Of a fact or a decision something may be left; a column that must not be empty refuses below.
            row = tuple(value if fit else None for value, fit in zip(row, fits, strict=True))
        try:
            new.execute(sql, row)
            n_saved += 1
        except (sqlite3.IntegrityError, sqlite3.DataError):
            n_wrong += all(fits)
    return n_saved, None if rows.incomplete else n_wrong


class _Rows:
    """The rows of a damaged table: all in a go where that works, else piece by piece of its key."""

    def __init__(self, raw: sqlite3.Connection, table: str, names: Sequence[str]) -> None:
        self._raw, self._table = raw, table
        self._select = f"SELECT {', '.join(names)} FROM {table}"  # noqa: S608 - names of ours
        key = [column.name for column in schema.metadata.tables[table].primary_key.columns]
        self._key, self._order = key[0], ", ".join(key)
        self._width = [names.index(name) for name in key]
        self.incomplete = False

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        seen: set[tuple[Any, ...]] = set()
        for row in self._read(f"{self._select} ORDER BY {self._order}"):
            seen.add(tuple(row[i] for i in self._width))
            yield row
        if not self.incomplete:
            return
        # From the other end, then key by key: each finds its way down the tree, past what is damaged.
        most = max([key[0] for key in seen if isinstance(key[0], int)], default=0)
        for row in self._read(f"{self._select} ORDER BY {', '.join(f'{k} DESC' for k in self._order.split(', '))}"):
            key = tuple(row[i] for i in self._width)
            most = max(most, key[0] if isinstance(key[0], int) and key[0] < 1 << 24 else 0)
            if key not in seen:
                seen.add(key)
                yield row
        for value in range(1, most + 1000):
            for row in self._read(f"{self._select} WHERE {self._key} = {value}"):
                key = tuple(row[i] for i in self._width)
                if key not in seen:
                    seen.add(key)
                    yield row

    def _read(self, sql: str) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._raw.execute(sql)
        except DAMAGE:
            self.incomplete = True


def _forget(new: sqlite3.Connection, path: Path) -> int:
    """Drop results that can be made again, and those that are not whole; gives of how many frames."""
    (folder,) = new.execute("SELECT frame_folder FROM project").fetchone()
    again = set(wrong_stars(new))
    for frame_id, name, size_bytes in new.execute("SELECT id, path, size_bytes FROM frame").fetchall():
        with suppress(OSError, ValueError):
            file = os.path.normpath(path.parent.absolute() / folder / name)
            if os.stat(file).st_size == size_bytes:
                again.add(frame_id)
    for table in _OF_FRAMES:
        new.executemany(f"DELETE FROM {table} WHERE frame_id = ?", [(i,) for i in sorted(again)])  # noqa: S608
    new.execute(
        "DELETE FROM flux WHERE NOT EXISTS (SELECT 1 FROM centroid c WHERE c.frame_id = flux.frame_id"
        " AND c.source_id = flux.source_id)"
    )
    return len(again)
