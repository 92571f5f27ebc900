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
