"""The sqlite3 connection below SQLAlchemy's, rows as text, and transactions that begin where we say.

What every command does once is sent to SQLite as text: SQLAlchemy would compile its statements anew in each command,
for which a short night takes longer than for its pixels.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection


def driver(connection: Connection) -> sqlite3.Connection:
    """Give the sqlite3 connection below."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, sqlite3.Connection):
        raise TypeError("the project is not open through sqlite3")
    return raw


def insert_row(connection: Connection, table: str, values: Mapping[str, Any]) -> int:
    """Insert a row, columns by their names; gives its rowid."""
    names, places = ", ".join(f'"{name}"' for name in values), ", ".join("?" * len(values))
    sql = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608 - names from our code
    return int(driver(connection).execute(sql, tuple(values.values())).lastrowid or 0)


def update_row(connection: Connection, table: str, row_id: int, values: Mapping[str, Any]) -> None:
    """Change columns of a row by its id."""
    changes = ", ".join(f'"{name}" = ?' for name in values)
    driver(connection).execute(f"UPDATE {table} SET {changes} WHERE id = ?", (*values.values(), row_id))  # noqa: S608


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Commit everything inside, or nothing."""
    raw = driver(connection)
    raw.execute("BEGIN IMMEDIATE")
    try:
        yield
        raw.execute("COMMIT")
    except BaseException:
        if raw.in_transaction:  # SQLite may have rolled back by itself (full disk)
            # Where that fails too (the disk is gone), the journal stays, and whoever opens the project next rolls back.
            with contextlib.suppress(sqlite3.Error):
                raw.execute("ROLLBACK")
        raise
