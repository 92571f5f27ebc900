"""Coordinates and ephemerides as users give them: words and files become degrees and rows, or one sentence."""

from pathlib import Path

from sqlalchemy import Connection

from photdb.errors import PhotdbError
from photdb.store.connection import driver
from photdb.wording import named


def place_deg(ra: str, dec: str) -> tuple[float, float]:
    """Read right ascension (degrees, or sexagesimal hours) and declination.

    Raises
    ------
    PhotdbError
        One of them is none.
    """
    from photdb.algorithms.cards import as_angle

    one, other = as_angle(ra), as_angle(dec)
    ra_deg = None if one is None else one[0] * (15.0 if one[1] else 1.0)
    if ra_deg is None or not 0 <= ra_deg <= 360:
        raise PhotdbError(f"{ra!r} is no right ascension: type degrees, or hours as 02:04:10.28")
    if other is None or not -90 <= other[0] <= 90:
        raise PhotdbError(f"{dec!r} is no declination: type degrees, or as +46:41:16.2")
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
        found = parse_ephemeris(path.read_text(encoding="utf-8", errors="replace"))
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
