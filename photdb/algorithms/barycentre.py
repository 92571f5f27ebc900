"""Times at the Sun and at the barycentre of the Solar System, from times on Earth; nothing is asked of any network.

Time scales, leap seconds, the Earth's place and its rotation are those of ERFA, which astropy's built-in ephemeris is
as well. That the Earth's rotation is not quite even (UT1 − UTC, below 0.9 s) moves an observer by 420 m, or 1.4 µs, and
is left out: no table of it is needed.
"""

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

AU_M: Final = 149_597_870_700.0
LIGHT_S_PER_AU: Final = AU_M / 299_792_458.0
_DAY_S: Final = 86400.0
_MJD: Final = 2_400_000.5


@dataclass(frozen=True, slots=True)
class Times:
    """Times of n exposures, days; `light_time_s` is None without a distance."""

    hjd_utc: Floats
    bjd_tdb: Floats
    light_time_s: Floats | None
    leap_seconds_known: bool  # false: the date is so late that some may have been added since ERFA was made
    earth_known: bool  # false: a date is outside of 1900 to 2100, where ERFA's Earth is not as good as it says


def times_elsewhere(
    jd_utc: ArrayLike,
    ra_deg: ArrayLike,
    dec_deg: ArrayLike,
    *,
    site_deg_m: tuple[float, float, float] | None = None,
    distance_au: ArrayLike | None = None,
) -> Times:
    """Give the times at which the light seen at an observatory passes the Sun and the barycentre.

    HJD is in UTC, as its name says: jd_utc and the light's way to the Sun's centre. BJD is in TDB: jd_utc turned into
    TDB, and the light's way to the barycentre. Light comes as plane waves, or, if a distance is given, as spheres: the
    time is then that at which light of the same moment arrives at the Sun or barycentre from the object.

    Parameters
    ----------
    jd_utc : array_like, shape (n,)
        Julian dates.
    ra_deg, dec_deg : array_like, shape (n,) or ()
        Where the object is seen, ICRS.
    site_deg_m : (longitude, latitude, height), optional
        Degrees east and north, metres, WGS84; without it the Earth's centre, 21 ms away at most.
    distance_au : array_like, shape (n,), optional
        From the observer.

    Returns
    -------
    Times

    Notes
    -----
    Eastman, Siverd & Gaudi 2010, PASP 122, 935. The Earth's place is that of Simon et al. 1994 (`epv00`), within 14 km
    of JPL's DE405 from 1900 to 2100: 46 µs. What light loses in the Sun's field, below 0.1 ms but at its limb, is left
    out.
    """
    import erfa

    jd = np.atleast_1d(np.asarray(jd_utc, dtype=np.float64))
    utc = np.full(jd.shape, _MJD), jd - _MJD
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        tt = erfa.taitt(*erfa.utctai(*utc))
        tdb_tt_s, heliocentric, barycentric = _earth(tt[0] + tt[1])
    observer = np.zeros_like(barycentric)
    if site_deg_m is not None:
        lon, lat, height = site_deg_m
        on_earth = erfa.gd2gc(1, np.radians(lon), np.radians(lat), height) / AU_M
        turned = erfa.rz(-erfa.gst00b(*utc), np.broadcast_to(np.eye(3), (jd.size, 3, 3))) @ on_earth
        observer = np.einsum("nji,nj->ni", erfa.pnm00b(*tt), turned)
    direction = erfa.s2c(np.radians(np.broadcast_to(ra_deg, jd.shape)), np.radians(np.broadcast_to(dec_deg, jd.shape)))
    distance = None if distance_au is None else np.broadcast_to(np.asarray(distance_au, np.float64), jd.shape)
    to_sun, to_barycentre = (
        _way_au(position + observer, direction, distance) * LIGHT_S_PER_AU for position in (heliocentric, barycentric)
    )
    ahead_s = ((tt[0] - utc[0]) + (tt[1] - utc[1])) * _DAY_S + tdb_tt_s
    return Times(
        jd + to_sun / _DAY_S,
        jd + (ahead_s + to_barycentre) / _DAY_S,
        None if distance is None else distance * LIGHT_S_PER_AU,
        not any("dubious" in str(doubt.message) for doubt in doubts),
        not any("epv00" in str(doubt.message) for doubt in doubts),
    )


def _earth(jd_tt: Floats) -> tuple[Floats, Floats, Floats]:
    """Give TDB − TT in seconds and the Earth's centre from the Sun and from the barycentre, au: (n,), (n, 3), (n, 3).

    From places and velocities every quarter of a day, between which the cubics are right to a metre.
    """
    import erfa

    step = np.floor(jd_tt * 4.0)
    nodes = np.unique(np.concatenate([step, step + 1.0]))
    tdb_tt_s = erfa.dtdb(nodes / 4.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    before = np.searchsorted(nodes, step)
    u = (jd_tt * 4.0 - step)[:, None]
    found = []
    for pv in erfa.epv00(nodes / 4.0, 0.0):
        (p0, v0), (p1, v1) = ((pv["p"][i], pv["v"][i] / 4.0) for i in (before, before + 1))
        rest = p1 - p0 - v0
        found.append(p0 + u * (v0 + u * (3.0 * rest - (v1 - v0) + u * ((v1 - v0) - 2.0 * rest))))
    return tdb_tt_s[before] + u[:, 0] * np.diff(tdb_tt_s)[before], *found


def _way_au(place: Floats, direction: Floats, distance: Floats | None) -> Floats:
    """Give how much farther the light has to go to the origin than to a place, (n,)."""
    along: Floats = np.einsum("ni,ni->n", place, direction)
    if distance is None:
        return along
    # |r + d n| − d, without the difference of large numbers
    away = np.linalg.norm(place + distance[:, None] * direction, axis=1)
    square = np.einsum("ni,ni->n", place, place)
    way: Floats = (square + 2.0 * distance * along) / (away + distance)
    return way
