"""Frames as users type them: numbers, intervals, `first` and `last`."""

import re
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from photdb.errors import PhotdbError
from photdb.store import schema
from photdb.store.connection import driver
from photdb.wording import named, numbers


def frame_number(connection: Connection, text: str) -> int:
    """Resolve a frame as typed: its number, `first` or `last` (of the accepted ones, in time).

    Raises
    ------
    PhotdbError
        There is no such frame.
    """
    if text in ("first", "last"):
        order = "ASC" if text == "first" else "DESC"
        number: int | None = connection.exec_driver_sql(
            f"SELECT number FROM frame_status WHERE accepted ORDER BY jd_utc_mid {order}, path {order} LIMIT 1"  # noqa: S608
        ).scalar()
        if number is None:
            raise PhotdbError("no frame is accepted: look at `photdb reject list`")
        return number
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise PhotdbError(f"{named(text)} is no frame: give its number, `first` or `last`")
    frame_ids(connection, [int(text)])
    return int(text)


def frame_numbers(connection: Connection, intervals: Iterable[str]) -> list[int]:
    """Resolve intervals as typed, such as `283-310` or `17`, both ends included.

    Raises
    ------
    PhotdbError
        An interval is not one, is reversed, or holds no frame.
    """
    known = set(connection.execute(select(schema.frame.c.number)).scalars())
    found: set[int] = set()
    for text in intervals:
        match = re.fullmatch(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", text)
        if match is None:
            raise PhotdbError(f"{named(text)} is neither a frame nor an interval: type 17 or 283-310")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise PhotdbError(f"the interval {text} is reversed: type {last}-{first}")
        for end in (first, last):
            if end not in known:
                raise PhotdbError(f"there is no frame {end}: the project's frames are {numbers(sorted(known))}")
        found |= {number for number in known if first <= number <= last}
    return sorted(found)


def frame_ids(connection: Connection, wanted: Sequence[int]) -> list[int]:
    """Give the ids of frames by their numbers.

    Raises
    ------
    PhotdbError
        A frame does not exist.
    """
    ids = dict(driver(connection).execute("SELECT number, id FROM frame").fetchall())
    for number in wanted:
        if number not in ids:
            raise PhotdbError(f"there is no frame {number}: the project's frames are {numbers(sorted(ids))}")
    return [ids[number] for number in wanted]
