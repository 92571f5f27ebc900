"""What is done to a command's process before it begins: it is killed somewhere, or frames change under its hands."""

import os
import signal
import sqlite3
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
