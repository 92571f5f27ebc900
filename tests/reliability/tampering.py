"""What is done to a command's process before it begins: it is killed somewhere, or frames change under its hands."""

import os
import signal
import sqlite3
from pathlib import Path
from typing import Any


def killed_in_transaction() -> None:
    """Die while a transaction is written, after pages of the database itself: their former state is in the journal."""
    from photdb.store import connection

    inner = connection.driver

    def driver(of: Any) -> sqlite3.Connection:
        raw = inner(of)
        raw.execute("PRAGMA cache_size=1")  # pages go to the disk before the commit
        raw.execute("PRAGMA cache_spill=1")
        return raw

    def insert_row(of: Any, table: str, values: Any) -> int:
        raw = driver(of)
        raw.execute("DELETE FROM flux WHERE frame_id > 2")
        raw.execute("UPDATE frame SET airmass = 2")
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    from photdb.store import project

    project.insert_row = insert_row


def when_read(name: str, what: str, *arguments: str) -> None:
    """Do something to a frame's file as soon as its header has been read, the first time; the rest is read after that.

    `grow N`: its last N bytes come only now; `cut N`: only N bytes stay; `replace FILE`: bytes of another file, in
    place; `swap FILE`: another file gets its name; `delete`; `delete-all`: with all others of its folder.
    """
    from photdb import fits, frames

    inner, done = frames.header_of, []

    def header_of(file: Any, status: Any, *rest: Any) -> Any:
        path = Path(file.name)
        try:
            return inner(file, status, *rest)
        finally:  # also where the header says that the file is truncated
            if path.name == name and not done:
                done.append(path)
                _DOINGS[what](path, *arguments)

    for module in (frames, fits):
        module.header_of = header_of


def _grow(path: Path, rest: str) -> None:
    with path.open("ab") as file:
        file.write(Path(rest).read_bytes())


def _replace(path: Path, other: str) -> None:
    content = Path(other).read_bytes()
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()


def _delete_all(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


_DOINGS = {
    "grow": _grow,
    "cut": lambda path, n: os.truncate(path, int(n)),
    "replace": _replace,
    "swap": lambda path, other: os.replace(other, path),
    "delete": lambda path: path.unlink(),
    "delete-all": _delete_all,
}


# --- a photdb to come -------------------------------------------------------------------------------------------------
def newer_schema(migrations: str, killed_at: str = "") -> None:
    """Be a photdb whose newest revision is 0099, found in another folder; die at some point of the migration.

    `copy N`: when N pages of the safety copy are there; `statement N`: when the migration begins its N-th statement;
    `commit`: when its last has been done, and pages of the database were written before.
    """
    from photdb.store import migrate, schema

    schema.HEAD = "0099"
    migrate._folder = lambda: Path(migrations)
    what, _, n = killed_at.partition(" ")
    if what == "copy":
        _die_while_copying(int(n))
    elif what:
        _die_while_migrating(None if what == "commit" else int(n))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_while_copying(n_pages: int) -> None:
    from photdb.store import migrate

    inner = migrate.driver

    class Copying:
        def __init__(self, raw: sqlite3.Connection) -> None:
            self._raw = raw

        def __getattr__(self, name: str) -> Any:
            return getattr(self._raw, name)

        def backup(self, target: sqlite3.Connection) -> None:
            def progress(status: int, remaining: int, total: int) -> None:
                if total - remaining >= n_pages:
                    _die()

            self._raw.backup(target, pages=4, progress=progress)

    migrate.driver = lambda of: Copying(inner(of))


def _die_while_migrating(n: int | None) -> None:
    from photdb.store import migrate
    from photdb.store.connection import driver

    inner = migrate.upgrade

    def upgrade(connection: Any) -> None:
        raw, begun = driver(connection), []
        raw.execute("PRAGMA cache_size=1")  # so that the file itself is written before the commit

        def trace(statement: str) -> None:
            begun.append(statement)
            if statement == "COMMIT" if n is None else len(begun) == n:
                _die()

        raw.set_trace_callback(trace)
        inner(connection)
        print("statements", len(begun))

    migrate.upgrade = upgrade
