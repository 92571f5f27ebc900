"""The sqlite3 connection below SQLAlchemy's: for bulk reads, backups, and transactions that begin where we say."""

import contextlib
import sqlite3
from collections.abc import Iterator

from sqlalchemy import Connection


def driver(connection: Connection) -> sqlite3.Connection:
    """Give the sqlite3 connection below."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, sqlite3.Connection):
        raise TypeError("the project is not open through sqlite3")
    return raw


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
            raw.execute("ROLLBACK")
        raise
