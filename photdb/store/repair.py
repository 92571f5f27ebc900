"""Putting a project right without losing a decision: in the file where that is safe, else a new one of what is left."""

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
from photdb.store.inspection import fresh_statements, open_raw, tidy
from photdb.store.lock import now
from photdb.store.project import history_row
from photdb.store.row_checks import Finding, kinds_of, wrong_stars
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
_KIND: Final = {int: "integer", float: "real", str: "text", bytes: "blob", type(None): "null"}
#: Results of a frame; those of the later stages are quickly made again, and are not saved.
_OF_FRAMES: Final = ("frame_quality", "detection", "shift", "centroid", "flux", "frame_error", "profile")


# --- in the file itself -----------------------------------------------------------------------------------------------
def repair(path: Path, findings: Sequence[Finding], *, keep: bool = True) -> list[str]:
    """Cure findings in the file, after a safety copy (unless `keep` is false); the caller holds the project's lock.

    Returns
    -------
    list of str
        What was done, in sentences.

    Raises
    ------
    ProjectError
        There is no room for the safety copy; nothing is changed.
    """
    cures = {finding.cure for finding in findings}
    said = []
    if "tidy" in cures:
        tidy(path)
        said.append("what commands that were killed had left beside the project is gone")
    if not cures & {"rollback mode", "mark", "reindex", "views", "drop"}:
        return said
    with closing(open_raw(path, write=True)) as raw:
        if keep:
            copy = migrate.copy_project(raw, path, "before-repair")
            said.append(f"{copy.name} is the project as it was")
        raw.execute("PRAGMA foreign_keys=ON")
        if "rollback mode" in cures:
            raw.execute("PRAGMA journal_mode=DELETE")
            said.append("the project is one file again")
        raw.execute("BEGIN IMMEDIATE")
        for statement in (s for f in findings if f.cure == "drop" for s in f.statements):
            n = raw.execute(statement).rowcount
            said.append(f"{count(n, 'row')} dropped: {statement.split()[2]}")
        if "reindex" in cures:
            _make_indices(raw)
            said.append("all indices are made anew")
        if cures & {"views", "mark"}:
            migrate.make_face(raw)
            said.append("all views are made anew, and the file is marked as photdb's")
        _record(raw)
        raw.execute("COMMIT")
    return said


def _record(raw: sqlite3.Connection) -> None:
    row = history_row("check-project", ["--repair"]) | {"outcome": "ok"}
    sql = f"INSERT INTO history ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"  # noqa: S608 - names of ours
    raw.execute(sql, tuple(row.values()))


def _make_indices(raw: sqlite3.Connection) -> None:
    there = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")}
    for (kind, name), statement in fresh_statements().items():
        if kind == "index":
            if name in there:
                raw.execute(f"DROP INDEX {name}")
            raw.execute(statement)
    raw.execute("REINDEX")


# --- into a new one ---------------------------------------------------------------------------------------------------
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
        if not _has_tables(copy):
            _graft(copy, draft)
        said = _fill(copy, draft, path)
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


def _graft(copy: Path, draft: Path) -> None:
    """Give a copy whose list of tables cannot be read that of a new project."""
    draft.unlink(missing_ok=True)
    with _new_database(draft):
        pass
    copy.write_bytes(graft(copy.read_bytes(), draft.read_bytes()))


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


def _fill(copy: Path, draft: Path, path: Path) -> list[str]:
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
        lost = [f"{f'{n} of ' if n else ''}{table}" for table, (_, n) in saved.items() if n != 0]
        if lost:
            said.append(f"lost, or not whole: {', '.join(lost)}")
        if not saved["project"][0]:
            values = {"id": 1, "name": path.stem, "created_at": now(), "frame_folder": "."}
            new.execute(
                "INSERT INTO project (id, name, created_at, frame_folder) VALUES (?, ?, ?, ?)", (*values.values(),)
            )
            said.append(
                "lost: what was set for the project, and where its frames are: `photdb relocate DIR`, `photdb set`"
            )
        n_again = _forget(new, path)
        _record(new)
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
