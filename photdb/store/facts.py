"""Facts of the session: what the user set, else what most headers say; and the size of its frames."""

from sqlalchemy import Connection

from photdb.store.connection import driver


def session_number(connection: Connection, fact: str) -> float | None:
    """Give a number of the view `session`, such as `gain_e_per_adu`; None where nobody knows it."""
    row = driver(connection).execute("SELECT value FROM session WHERE fact = ?", (fact,)).fetchone()
    return None if row is None or row[0] is None else float(row[0])


def frame_size(connection: Connection) -> tuple[int, int]:
    """Give the width and height of all frames, pixels; zeros while no frame could be read."""
    row = driver(connection).execute("SELECT coalesce(width_px, 0), coalesce(height_px, 0) FROM project").fetchone()
    return int(row[0]), int(row[1])
