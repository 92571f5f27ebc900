"""Create, open, migrate, lock and transact: one `Project` is one SQLite file of one observing session."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from photdb import __version__
from photdb.errors import ProjectError
from photdb.store import migrate, schema
from photdb.store.bad_files import LOOK, check_kind, unreadable, write_ahead
from photdb.store.connection import driver, insert_row, transaction, update_row
from photdb.store.lock import WriterLock, now, user_and_host


class Project:
    """An open project; use it as a context manager.

    Attributes
    ----------
    path : Path
        The SQLite file.
    connection : Connection
        The one connection. Reads need no transaction; writes go inside `transaction`.
    """

    def __init__(self, path: Path, connection: Connection, lock: WriterLock | None) -> None:
        self.path = path
        self.connection = connection
        self._lock = lock

    # --- opening ------------------------------------------------------------------------------------------------------
    @classmethod
    def read(cls, path: Path) -> Self:
        """Open a project to look at it: nothing is written, not even by mistake.

        Raises
        ------
        ProjectError
            No file, no project, or one whose schema is older or newer than this photdb's.
        """
        project = cls(path, _connect(path, write=False), None)
        with _closing_on_error(project):
            revision = project.revision()
            if revision != schema.HEAD:
                migrate.refuse_newer(path, revision)
            if not migrate.is_current(project.connection, revision):
                raise ProjectError(
                    f"{path.name} was made by an older photdb: any command that writes, such as `photdb run`,"
                    " brings it up to date (a safety copy is made first); `photdb sql` reads it as it is"
                )
        return project

    @classmethod
    def read_any_revision(cls, path: Path) -> Self:
        """Open a project of any revision for `photdb sql`; see `read`."""
        project = cls(path, _connect(path, write=False), None)
        with _closing_on_error(project):
            project.revision()
        return project

    @classmethod
    def write(cls, path: Path, command: str) -> Self:
        """Open a project to change it, under the writer's lock, migrated if it is an older one.

        Raises
        ------
        ProjectError
            As for `read`, or another process is writing, or the file or its folder is read-only.
        """
        check_kind(path)  # before a lock file is left beside it
        lock = WriterLock(path)
        lock.acquire(command)
        try:
            project = cls(path, _connect(path, write=True), lock)
        except BaseException:
            lock.release()
            raise
        with _closing_on_error(project):
            revision = project.revision()
            if revision != schema.HEAD:
                migrate.refuse_newer(path, revision)
                migrate.keep_copy(project.connection, path)
            if not migrate.is_current(project.connection, revision):
                migrate.upgrade(project.connection)
        return project

    @classmethod
    def create(cls, path: Path, command: str, **facts: Any) -> Self:
        """Make a new project under a name of its own; it appears at `path` only with `publish`.

        Raises
        ------
        ProjectError
            Something is at `path` already, or the folder cannot be written.
        """
        if os.path.lexists(path):
            raise ProjectError(f"{path.name} exists: add frames to it with `photdb add`, or choose another name")
        if not path.parent.is_dir():
            raise ProjectError(f"there is no folder {path.parent}: make it first")
        lock = WriterLock(path)
        lock.acquire(command)
        draft = _draft(path)
        try:
            _remove_draft(path)
            project = cls(path, _connect(draft, write=True, create=True), lock)
        except BaseException:
            lock.release()
            raise
        with _closing_on_error(project):
            migrate.build(project.connection)
            with project.transaction() as connection:
                insert_row(connection, "project", {"id": 1, "name": path.stem, "created_at": now(), **facts})
        return project

    def publish(self) -> None:
        """Give a project made by `create` its name, all at once, and go on with it."""
        draft = _draft(self.path)
        self.connection.close()
        try:
            os.link(draft, self.path)  # unlike a rename, never replaces what somebody else put there meanwhile
            draft.unlink()
        except FileExistsError:
            raise ProjectError(f"{self.path.name} exists already: choose another name") from None
        except OSError:  # a file system without links
            os.rename(draft, self.path)
        self.connection = _connect(self.path, write=True)

    def close(self) -> None:
        """Close the connection and give the lock back."""
        self.connection.close()
        if self._lock is not None:
            _remove_draft(self.path)
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- transactions -------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Commit everything inside, or nothing."""
        with transaction(self.connection):
            yield self.connection

    @contextlib.contextmanager
    def recorded(self, command: str, arguments: Sequence[str]) -> Iterator[None]:
        """Keep a row of `history` for a command: committed when it starts, its outcome when it ends."""
        with self.transaction() as connection:
            history_id = insert_row(connection, "history", history_row(command, arguments))
        with self.outcome("history", history_id):
            yield

    def record(self, command: str, arguments: Sequence[str]) -> None:
        """Keep a row of `history` in this transaction: a command that would have done what a window does in it."""
        insert_row(self.connection, "history", history_row(command, arguments) | {"outcome": "ok"})

    @contextlib.contextmanager
    def outcome(self, log: str, row_id: int) -> Iterator[None]:
        """Write into a row of `history` or `stage_run` how what is inside ended: ok, interrupted, or failed: …."""
        outcome = "ok"
        try:
            yield
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        except BaseException as error:
            outcome = f"failed: {error}"
            raise
        finally:
            values = {"outcome": outcome, **({"finished_at": now()} if log == "stage_run" else {})}
            # It is only a log: where it cannot be written (full disk), the first error matters more.
            with contextlib.suppress(OperationalError, sqlite3.Error), self.transaction() as connection:
                update_row(connection, log, row_id, values)

    def state(self) -> tuple[int, int]:
        """Give numbers that are others whenever rows may have changed, through this connection or another."""
        (version,) = self.connection.exec_driver_sql("PRAGMA data_version").one()
        return version, driver(self.connection).total_changes

    # --- folders ------------------------------------------------------------------------------------------------------
    @property
    def frame_folder(self) -> Path:
        """The folder that frame paths are relative to."""
        folder = self.connection.exec_driver_sql("SELECT frame_folder FROM project").scalar_one()
        return Path(os.path.normpath(self.path.parent.absolute() / folder))

    # --- migrations ---------------------------------------------------------------------------------------------------
    def revision(self) -> str | None:
        """Give the revision of the schema; None for a database without one.

        Raises
        ------
        ProjectError
            The file is no project of photdb.
        """
        try:
            (mode,) = self.connection.exec_driver_sql("PRAGMA journal_mode").one()
            if mode == "wal":
                raise write_ahead(self.path)
            (application_id,) = self.connection.exec_driver_sql("PRAGMA application_id").one()
            if application_id != schema.APPLICATION_ID:
                raise ProjectError(f"{self.path.name} is an SQLite database, but no project of photdb")
            revision: str | None = self.connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            # SQLite takes a last page that is cut short for one that ends in zeros.
            sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
            (size,), there = self.connection.exec_driver_sql(sql).one(), self.path.stat().st_size
            if there < size:
                raise ProjectError(f"{self.path.name} is damaged (truncated: {there:,} of {size:,} bytes): {LOOK}")
        except (DatabaseError, UnicodeDecodeError) as error:
            raise unreadable(self.path, error) from error
        return revision


def history_row(command: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Give the columns of `history` for a command that begins now."""
    user, host = user_and_host()
    what = {"at": now(), "command": command, "arguments": json.dumps(list(arguments))}
    return {**what, "version": __version__, "user": user, "host": host}


def _connect(path: Path, *, write: bool, create: bool = False) -> Connection:
    if sqlite3.sqlite_version_info < schema.MINIMUM_SQLITE:
        needed = ".".join(map(str, schema.MINIMUM_SQLITE))
        raise ProjectError(f"this Python has SQLite {sqlite3.sqlite_version}; photdb needs {needed} or newer")
    if not create:
        check_kind(path)
        if path.with_name(f"{path.name}-wal").exists():  # opening would already write what it holds into the project
            raise write_ahead(path)
    if write and not create and not os.access(path, os.W_OK):
        raise ProjectError(f"{path.name} is read-only: make it writable, or copy it elsewhere")
    # Readers open for writing too: after a kill the next one to open must roll back what was left half done.
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"

    def connect() -> sqlite3.Connection:
        raw = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            raw.execute("PRAGMA foreign_keys=ON")
            raw.execute("PRAGMA synchronous=FULL")
            raw.execute("PRAGMA cache_size=-65536")
            if not write:
                raw.execute("PRAGMA query_only=ON")
        except BaseException:
            raw.close()
            raise
        return raw

    try:
        # Transactions are begun and ended by `Project.transaction` alone: isolation_level=None keeps pysqlite from
        # committing by itself, and SQLAlchemy's own notion of a transaction stays without effect.
        return create_engine("sqlite://", creator=connect, poolclass=NullPool).connect()
    except (DatabaseError, sqlite3.Error, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _remove_draft(path: Path) -> None:
    draft = _draft(path)
    # The journal first: SQLite would roll one that was left behind back into the next draft of that name.
    draft.with_name(draft.name + "-journal").unlink(missing_ok=True)
    draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _closing_on_error(project: Project) -> Iterator[None]:
    try:
        yield
    except BaseException:
        project.close()
        raise
