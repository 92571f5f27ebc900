"""Facts of the session: what the user set, else what most headers say."""

from sqlalchemy import Connection

from photdb.store.connection import driver


def session_number(connection: Connection, fact: str) -> float | None:
    """Give a number of the view `session`, such as `gain_e_per_adu`; None where nobody knows it."""
    row = driver(connection).execute("SELECT value FROM session WHERE fact = ?", (fact,)).fetchone()
    return None if row is None or row[0] is None else float(row[0])
