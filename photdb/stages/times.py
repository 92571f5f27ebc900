"""Stage `times`: HJD and BJD of each target in each frame, from its coordinates and the site; an asteroid's light time.

Coordinates come from the target's ephemeris, from the user, from the frames' WCS at the target's place, or from the
pointing in their headers: the first of these that there is.
"""

import shlex
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from photdb.algorithms.ephemerides import Ephemeris, at_times, direction_deg, unit_vectors
from photdb.stages import STAGES, Plan
from photdb.stages.positions import Expected, expected_positions
from photdb.stages.runner import Session
from photdb.store.arrays import columns, replace_columns
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.facts import session_number
from photdb.store.project import Project

Floats = NDArray[np.float64]
Site = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where a target is in the frames, (n_frames,); without any, `origin` is None and `note` says what to do."""

    target_id: int
    label: str
    origin: str | None
    ra_deg: Floats
    dec_deg: Floats
    distance_au: Floats | None
    note: str | None

    def digest(self, frame_id: NDArray[np.int64], jd_utc: Floats, site: Site | None) -> int:
        """Digest what the times are made from."""
        version, distance = STAGES["times"].version, self.distance_au
        origin = (self.origin, self.note)
        return digest(version, frame_id, jd_utc, origin, self.ra_deg, self.dec_deg, distance, site)


def plan(project: Project, params: dict[str, Any]) -> Plan:
    """Find targets whose coordinates, frames or site are not those that their times were made from."""
    plan = Plan(params)
    connection = project.connection
    if driver(connection).execute("SELECT 1 FROM target").fetchone() is None:
        return plan
    expected, site = expected_positions(project), site_of(connection)
    known = dict(driver(connection).execute("SELECT target_id, input FROM target_coordinates").fetchall())
    for found in coordinates(connection, expected):
        plan.n_units += 1
        if found.origin is None and found.note:
            plan.notes.append(found.note)
        input_ = found.digest(expected.frames.id, expected.frames.jd_utc_mid, site)
        if known.get(found.target_id) != input_:
            plan.work.append((found, input_))
            what = "its coordinates, site or frames changed" if found.target_id in known else "not computed"
            plan.reasons.append(f"{found.label}: {what}")
    plan.found = (expected, site)
    return plan


def run(project: Project, plan: Plan, session: Session) -> None:
    """Compute the times."""
    expected, site = plan.found
    for found, input_ in plan.work:
        with project.transaction() as connection:
            _save(connection, expected, site, found, input_)
        if found.origin is None:
            session.say(f"times: {found.note}")


def _save(connection: Connection, expected: Expected, site: Site | None, found: Coordinates, input_: int) -> None:
    from photdb.algorithms.barycentre import times_elsewhere

    raw, note = driver(connection), found.note
    raw.execute("DELETE FROM target_time WHERE target_id = ?", (found.target_id,))
    jd = expected.frames.jd_utc_mid
    good = np.isfinite(jd) & np.isfinite(found.ra_deg)
    if found.origin is not None and good.any():
        distance = None if found.distance_au is None else found.distance_au[good]
        ra, dec = found.ra_deg[good], found.dec_deg[good]
        times = times_elsewhere(jd[good], ra, dec, site_deg_m=site, distance_au=distance)
        if site is None:
            note = _joined(note, "the site is not known: BJD and HJD are for the Earth's centre, up to 0.021 s off")
        if not times.earth_known:
            note = _joined(note, "before 1900 and after 2100 the Earth's place is not well known")
        elif not times.leap_seconds_known:
            note = _joined(note, "later leap seconds than this installation knows may be missing: 1 s of BJD each")
        n = int(good.sum())
        rows = {
            "target_id": np.full(n, found.target_id),
            "frame_id": expected.frames.id[good],
            "ra_deg": ra,
            "dec_deg": dec,
            "hjd_utc_mid": times.hjd_utc,
            "bjd_tdb_mid": times.bjd_tdb,
            "light_time_s": np.full(n, np.nan) if times.light_time_s is None else times.light_time_s,
        }
        replace_columns(connection, "target_time", rows)
    raw.execute(
        "INSERT OR REPLACE INTO target_coordinates (target_id, input, origin, note) VALUES (?, ?, ?, ?)",
        (found.target_id, input_, found.origin, note),
    )


def _joined(*notes: str | None) -> str:
    return "; ".join(note for note in notes if note)


def site_of(connection: Connection) -> Site | None:
    """Give longitude, latitude and height of the site; a height that nobody knows counts as 0."""
    lon, lat, height = (session_number(connection, f"site_{n}") for n in ("lon_deg", "lat_deg", "height_m"))
    return None if lon is None or lat is None else (lon, lat, height or 0.0)


# --- coordinates ------------------------------------------------------------------------------------------------------
def coordinates(connection: Connection, expected: Expected) -> list[Coordinates]:
    """Find where each target is."""
    targets = driver(connection).execute(
        "SELECT t.id, t.label, s.ra_deg, s.dec_deg, s.ephemeris FROM target t JOIN source s ON s.id = t.id"
        " ORDER BY t.id"
    )
    place = {source.id: k for k, source in enumerate(expected.sources)}
    return [_coordinates(connection, expected, place[row[0]], *row) for row in targets.fetchall()]


def _coordinates(
    connection: Connection,
    expected: Expected,
    k: int,
    target_id: int,
    label: str,
    ra_deg: float | None,
    dec_deg: float | None,
    file: str | None,
) -> Coordinates:
    jd = expected.frames.jd_utc_mid
    distance, note = None, None
    ra, dec, origin = np.full(jd.shape, np.nan), np.full(jd.shape, np.nan), None
    if file is not None:
        known = np.isfinite(jd)
        try:
            at = at_times(read_ephemeris(connection, target_id), jd[known])
        except ValueError as error:
            note = f"{label}: its ephemeris {file} cannot be used: {error}"
        else:
            distance = np.full(jd.shape, np.nan)
            distance[known] = at[0]
            if at[1] is not None and at[2] is not None:
                ra[known], dec[known], origin = at[1], at[2], f"ephemeris {file}"
    better = f"photdb times {shlex.quote(label)} --radec RA DEC"
    if origin is None and ra_deg is not None and dec_deg is not None:
        ra[:], dec[:], origin = ra_deg, dec_deg, "set"
    if origin is None:
        found = _by_wcs(connection, expected, k)
        if found is not None:
            (ra, dec), origin = found, "WCS"
    if origin is None:
        pointing = columns(connection, "SELECT ra_deg, dec_deg FROM frame WHERE ra_deg IS NOT NULL ORDER BY id", "ff")
        if pointing[0].size:
            mean = direction_deg(unit_vectors(*pointing).mean(axis=0))
            ra[:], dec[:], origin = *mean, "pointing"
            note = _joined(
                note,
                f"{label}: its coordinates are those of the pointing in the headers; for each 0.1° that it is away from"
                f" there, BJD and HJD may be 0.9 s off: {better}",
            )
    if origin is None:
        note = _joined(note, f"{label}: no coordinates, so no BJD and HJD: {better}")
    return Coordinates(target_id, label, origin, ra, dec, distance, note)


def _by_wcs(connection: Connection, expected: Expected, k: int) -> tuple[Floats, Floats] | None:
    """Give a source's coordinates by the WCS of the frames that have one; in the others it is where it is in these."""
    from photdb.algorithms.sky_coordinates import pixels_to_sky

    cursor = driver(connection).execute("SELECT * FROM frame_wcs")
    names = [column[0] for column in cursor.description]
    place = {frame_id: i for i, frame_id in enumerate(expected.frames.id.tolist())}
    vectors = np.full((len(place), 3), np.nan)
    for row in cursor.fetchall():
        wcs = dict(zip(names, row, strict=True))
        i = place[wcs["frame_id"]]
        if np.isfinite(expected.xy_px[i, k]).all():
            vectors[i] = unit_vectors(*pixels_to_sky(wcs, *expected.xy_px[i, k]))
    jd = expected.frames.jd_utc_mid
    good = np.isfinite(vectors).all(axis=1) & np.isfinite(jd)
    if not good.any():
        return None
    if expected.sources[k].role == "asteroid":
        every = np.stack([np.interp(jd, jd[good], v) for v in vectors[good].T], axis=1)
    else:
        every = np.broadcast_to(np.median(vectors[good], axis=0), vectors.shape)
    return direction_deg(every)


def read_ephemeris(connection: Connection, source_id: int) -> Ephemeris:
    """Read the rows of a source's ephemeris."""
    sql = "SELECT jd_utc, distance_au, ra_deg, dec_deg FROM ephemeris WHERE source_id = ? ORDER BY jd_utc"
    jd, distance, ra, dec = columns(connection, sql, "ffff", (source_id,))
    placed = np.isfinite(ra).all()
    return Ephemeris(jd, distance, ra if placed else None, dec if placed else None)


def in_words(connection: Connection) -> list[tuple[Any, ...]]:
    """Give of each target: label, origin, mean RA and Dec, first and last BJD − JD and mean light time, s; note."""
    rows = driver(connection).execute(
        "SELECT t.label, c.origin, c.note, t.id FROM target t LEFT JOIN target_coordinates c ON c.target_id = t.id"
        " ORDER BY t.id"
    )
    out: list[tuple[Any, ...]] = []
    for label, origin, note, target_id in rows.fetchall():
        ra, dec, ahead, light = columns(
            connection,
            "SELECT m.ra_deg, m.dec_deg, (m.bjd_tdb_mid - f.jd_utc_mid) * 86400.0, m.light_time_s FROM target_time m"
            " JOIN frame f ON f.id = m.frame_id WHERE m.target_id = ? ORDER BY f.jd_utc_mid, f.path",
            "ffff",
            (target_id,),
        )
        if not ra.size:
            out.append((label, origin, None, None, None, None, None, note))
            continue
        mean = direction_deg(unit_vectors(ra, dec).mean(axis=0))
        away = float(light.mean())
        out.append((label, origin, *map(float, mean), float(ahead[0]), float(ahead[-1]), away, note))
    return out
