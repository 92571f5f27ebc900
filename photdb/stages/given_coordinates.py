"""Coordinates and ephemerides as users give them: words and files become degrees and rows, or one sentence."""

from pathlib import Path

from sqlalchemy import Connection

from photdb.errors import PhotdbError
from photdb.store.connection import driver
from photdb.wording import named

#: A row a second of a week has 30 million.
_LONGEST = 50_000_000


def place_deg(ra: str, dec: str) -> tuple[float, float]:
    """Read right ascension (degrees, or sexagesimal hours) and declination.

    Raises
    ------
    PhotdbError
        One of them is none.
    """
    from photdb.algorithms.cards import as_angle

    one, other = (as_angle(text) if text.isascii() else None for text in (ra, dec))  # not ٣ for 3
    ra_deg = None if one is None else one[0] * (15.0 if one[1] else 1.0)
    if ra_deg is None or not 0 <= ra_deg <= 360:
        raise PhotdbError(f"--radec: {ra!r} is no right ascension: type degrees, or hours as 02:04:10.28")
    if other is None or not -90 <= other[0] <= 90:
        raise PhotdbError(f"--radec: {dec!r} is no declination: type degrees, or as +46:41:16.2")
    return ra_deg % 360.0, other[0]


def ephemeris_rows(connection: Connection, path: Path) -> list[tuple[float | None, ...]]:
    """Read an ephemeris that covers all frames: rows of jd_utc, distance_au, ra_deg, dec_deg (both None without).

    Raises
    ------
    PhotdbError
        The file cannot be read, is no ephemeris, or does not cover the night.
    """
    from photdb.algorithms.ephemerides import at_times, parse_ephemeris

    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise PhotdbError(
                f"the ephemeris {named(path)} is a pipe or a device: give a file"
            )  # which might never end
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LONGEST + 1)
        if len(text) > _LONGEST:
            raise PhotdbError(f"{named(path)} is no ephemeris: it is longer than {_LONGEST:,} characters")
        found = parse_ephemeris(text)
    except OSError as error:
        raise PhotdbError(f"{named(path)} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise PhotdbError(f"{named(path)} is no ephemeris: {error}") from error
    times = driver(connection).execute("SELECT jd_utc_mid FROM frame WHERE jd_utc_mid IS NOT NULL").fetchall()
    try:
        at_times(found, [jd for (jd,) in times])
    except ValueError as error:
        raise PhotdbError(f"{named(path)} cannot be used: {error}; ask for an ephemeris of the whole night") from error
    n = found.jd_utc.size
    angles = [[None] * n if v is None else v.tolist() for v in (found.ra_deg, found.dec_deg)]
    return list(zip(found.jd_utc.tolist(), found.distance_au.tolist(), *angles, strict=True))
