"""What can be wrong with a project's file, each in one sentence that says what to do."""

import contextlib
import os
import shlex
import sqlite3
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from photdb.errors import ProjectError
from photdb.store.connection import driver
from photdb.wording import named

#: What to do about a file that is not as it should be.
LOOK: Final = "`photdb check-project` says what can be saved"
_MAKE_ROOM: Final = "make room and run the command again; all that was committed is kept"
#: What comes of a damaged database: SQLite's own errors, and Python's where names in them are no text.
DAMAGE: Final = (sqlite3.DatabaseError, UnicodeDecodeError, OverflowError)
#: Kinds of error that say nothing of what is in the file.
_OUTSIDE: Final = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
}


def readable(raw: bytes) -> str:
    """Read a text of a database, be it damaged: what is no UTF-8 becomes U+FFFD."""
    return raw.decode(errors="replace")


def check_kind(path: Path) -> None:
    """See that a project's path is that of a file that may be read, before anything opens it.

    Raises
    ------
    ProjectError
        It is nothing, a folder, a pipe or a device, empty, or not ours to read.
    """
    if path.is_dir():
        raise ProjectError(f"{path} is a folder, not a project: name the .photdb file")
    if not path.exists():
        if path.is_symlink():
            raise ProjectError(f"{path} is a symbolic link that leads to no file: name the .photdb file itself")
        raise ProjectError(
            f"there is no project {named(path)}: make one with `photdb init FRAMES -p {shlex.quote(str(path))}`"
        )
    if not path.is_file():  # opening a pipe would wait for ever
        raise ProjectError(f"{path} is a pipe or a device, not a project: name the .photdb file")
    if not os.access(path, os.R_OK):
        raise ProjectError(f"no permission to read {path.name}: ask its owner, or copy it elsewhere")
    if path.stat().st_size == 0:
        raise ProjectError(f"{path.name} is empty, and no project of photdb: if it is a copy, copy it again")


def write_ahead(path: Path) -> ProjectError:
    """Give the error of a project that another program left in SQLite's write-ahead mode."""
    return ProjectError(
        f"{path.name} was put into SQLite's write-ahead mode by another program, and may need a file beside it:"
        " `photdb check-project --repair` makes it one file again"
    )


def unreadable(path: Path, error: Exception) -> ProjectError:
    """Give the error of a project that SQLite cannot open or read, from what SQLite says."""
    cause: Any = getattr(error, "orig", None) or error
    if isinstance(cause, UnicodeDecodeError):
        return ProjectError(f"{path.name} is damaged (a name in it is no text): {LOOK}")
    code = _base(cause)
    if code == sqlite3.SQLITE_NOTADB:
        return ProjectError(f"{path.name} is no project of photdb ({cause}): {LOOK}")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR) and journal(path).exists():
        return ProjectError(
            f"a command on {path.name} was killed, and what it left half done must be taken back, which needs"
            " permission to write there: give it, or copy the project with its -journal elsewhere"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return ProjectError(f"another program is using {path.name}: try again when it is done")
    if code == sqlite3.SQLITE_IOERR:
        return ProjectError(f"{path.name} cannot be read from its disk ({cause}): see whether the disk is there")
    return ProjectError(f"{path.name} is damaged ({str(cause).partition(' - ')[0]}): {LOOK}")


def refused(error: Exception) -> str | None:
    """Say what SQLite could not read or write in the midst of a command; None for any error that is not its own."""
    cause = getattr(error, "orig", None) or error
    if not isinstance(cause, sqlite3.Error):
        return None
    text, name = str(cause), getattr(cause, "sqlite_errorname", None) or ""
    if name.startswith("SQLITE_FULL"):
        return f"the disk is full: {_MAKE_ROOM}"
    if name.startswith(("SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_CORRUPTFS")):
        return f"the project's file cannot be read from its disk ({text}): {LOOK}"
    if name.startswith("SQLITE_IOERR"):
        return (
            f"the project's disk takes no more, or is gone ({text}): {_MAKE_ROOM}; if there is room, see whether the"
            " disk is there, and what limits the size of files"
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return f"the project cannot be written ({text}): see whether its file or folder is read-only"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "another program is using the project's file: try again when it is done"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or text.startswith("Could not decode"):
        return f"the project's file is damaged ({text}): {LOOK}"
    return None


def journal(path: Path) -> Path:
    """Give where SQLite keeps what it needs to take a transaction back."""
    return path.with_name(f"{path.name}-journal")


def explained(path: Path, connection: Connection, error: Exception) -> ProjectError | None:
    """Tell whether a damaged file is what is behind an error that is no answer to anybody.

    Parameters
    ----------
    path, connection
        Of an open project.
    error : Exception
        What came up while its rows were worked with.

    Returns
    -------
    ProjectError, optional
        The error to be said instead; None where the file is sound.
    """
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, sqlite3.Error) and _base(cause) in _OUTSIDE:
        return None  # the disk's, or another process's affair
    raw = driver(connection)
    raw.text_factory = readable  # it is closed after this
    try:
        lines = [line for (text,) in raw.execute("PRAGMA integrity_check(1)") for line in text.splitlines()]
        found = [line for line in lines if line != "ok" and not line.startswith("***")]
    except DAMAGE as damage:
        found = [str(damage)]
    if not found and isinstance(cause, sqlite3.Error) and "no such" in str(cause):  # table or column
        found = [str(cause)]
    if not found:  # pages can be whole, and what is on them not
        from photdb.store.row_checks import wrong_types

        with contextlib.suppress(*DAMAGE):
            found = [f"values of another type in {name}" for name, _, _ in wrong_types(raw)]
    if not found:
        return None
    return ProjectError(f"{path.name} is damaged ({found[0]}): {LOOK}")


def _base(error: Any) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)  # pysqlite's own errors have none
    return code & 0xFF
