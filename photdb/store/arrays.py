"""Rows to arrays: frames, shifts, sources with their anchors, apertures, and cubes (frame, source, aperture)."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from photdb.store.apertures import Spec
from photdb.store.connection import driver

#: Values a statement that every SQLite takes.
_MAX_VARIABLES = 999


@dataclass(frozen=True, slots=True)
class Frames:
    """All frames in the order of every computation: by `jd_utc_mid`, then path. Arrays of shape (n,)."""

    id: NDArray[np.int64]
    number: NDArray[np.int64]
    path: list[str]
    jd_utc_mid: NDArray[np.float64]
    exposure_s: NDArray[np.float64]
    usable: NDArray[np.bool_]  # has no error: its pixels can be read
    accepted: NDArray[np.bool_]  # usable, and left out by nothing and nobody

    def index(self, frame_id: int) -> int:
        """Give the place of a frame in the arrays."""
        return int(np.flatnonzero(self.id == frame_id)[0])


@dataclass(frozen=True, slots=True)
class Source:
    """A source as the user defined it, with its anchors (frame ids, and positions in these frames' pixels)."""

    id: int
    label: str
    role: str
    anchor_frame_id: tuple[int, ...]
    anchor_xy_px: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Aperture:
    """An aperture with its ring, pixels.

    `radius_px` is None for one that is scaled by each frame's FWHM (`radius_fwhm`), and both are in optimal extraction.
    """

    id: int
    kind: str
    radius_px: float | None
    radius_fwhm: float | None
    annulus_inner_px: float
    annulus_outer_px: float
    sky: str
    origin: str

    @property
    def spec(self) -> Spec:
        """What it is, without its number."""
        radius = self.radius_px or self.radius_fwhm or 0.0
        return Spec(radius, self.annulus_inner_px, self.annulus_outer_px, self.kind, self.sky)

    @property
    def label(self) -> str:
        """What it is called where its ring does not matter."""
        return self.spec.label

    def __str__(self) -> str:
        return str(self.spec)


def columns(connection: Connection, sql: str, kinds: str, arguments: Any = ()) -> list[NDArray[Any]]:
    """Read a query as one array a column; `kinds` is a letter a column: i(nt), f(loat), s(tring), b(ool)."""
    cursor = driver(connection).execute(sql, arguments)
    dtypes = {"i": np.int64, "f": np.float64, "s": object, "b": np.bool_}
    if set(kinds) in ({"i"}, {"f"}):  # numbers of one type, straight into one array: twice as fast
        flat: NDArray[Any] = np.fromiter(itertools.chain.from_iterable(cursor), dtypes[kinds[0]])
        return list(flat.reshape(-1, len(kinds)).T.copy())
    rows = cursor.fetchall()
    values = zip(*rows, strict=True) if rows else itertools.repeat((), len(kinds))
    return [np.array(column, dtypes[kind]) for column, kind in zip(values, kinds, strict=True)]


def read_frames(connection: Connection) -> Frames:
    """Read all frames."""
    ids, number, path, jd, exposure, usable, accepted = columns(
        connection,
        "SELECT f.id, f.number, f.path, f.jd_utc_mid, f.exposure_s, f.error IS NULL AND q.error IS NULL, s.accepted"
        " FROM frame f JOIN frame_status s ON s.frame_id = f.id LEFT JOIN frame_quality q ON q.frame_id = f.id"
        " ORDER BY f.jd_utc_mid IS NULL, f.jd_utc_mid, f.path",
        "iisffbb",
    )
    return Frames(ids, number, list(path), jd, exposure, usable, accepted)


def read_by_frame(connection: Connection, table: str, names: Sequence[str], frames: Frames) -> list[NDArray[Any]]:
    """Read float columns of a table that has a row a frame, in the order of `frames`; NaN where there is no row."""
    ids, *values = columns(
        connection,
        f"SELECT frame_id, {', '.join(names)} FROM {table}",  # noqa: S608 - names from our code
        "i" + "f" * len(names),
    )
    out = np.full((len(names), frames.id.size), np.nan)
    if ids.size:
        order = np.argsort(ids)
        place = order[np.clip(np.searchsorted(ids[order], frames.id), 0, ids.size - 1)]
        found = ids[place] == frames.id
        for row, column in zip(out, values, strict=True):
            row[found] = column[place[found]]
    return list(out)


def read_sources(connection: Connection, *roles: str) -> list[Source]:
    """Read the sources, of some roles or of all, in the order they were made."""
    raw = driver(connection)
    anchors: dict[int, list[tuple[int, float, float]]] = {}
    for id_, *anchor in raw.execute("SELECT source_id, frame_id, x_px, y_px FROM source_anchor ORDER BY frame_id"):
        anchors.setdefault(id_, []).append((anchor[0], anchor[1], anchor[2]))
    return [
        Source(
            id_,
            label,
            role,
            tuple(f for f, _, _ in anchors.get(id_, ())),
            tuple((x, y) for _, x, y in anchors.get(id_, ())),
        )
        for id_, label, role in raw.execute("SELECT id, label, role FROM source WHERE removed_at IS NULL ORDER BY id")
        if not roles or role in roles
    ]


def read_circles(connection: Connection) -> list[Aperture]:
    """Read the apertures in force that are circles of one radius: those that encounters and hits are looked for in."""
    return [a for a in read_apertures(connection) if a.kind == "fixed"]


def read_apertures(connection: Connection, *, removed: bool = False) -> list[Aperture]:
    """Read the apertures in force, or also those that once were.

    Fixed ones come first, by radius, then those that are scaled by the FWHM, then optimal ones.
    """
    rows = driver(connection).execute(
        "SELECT id, kind, radius_px, radius_fwhm, annulus_inner_px, annulus_outer_px, sky, origin FROM aperture"
        " WHERE removed_at IS NULL OR ?"
        " ORDER BY kind, radius_px, radius_fwhm, annulus_inner_px, annulus_outer_px, sky, id",
        (removed,),
    )
    return [Aperture(*row) for row in rows]


def read_cube(
    connection: Connection,
    names: Sequence[str],
    *,
    frame_ids: NDArray[np.int64],
    source_ids: Sequence[int],
    aperture_ids: Sequence[int],
) -> list[NDArray[np.float64]]:
    """Read columns of `flux` as cubes (frame, source, aperture) in the order of the ids given; NaN where a row lacks.

    Returns
    -------
    list of ndarray (n_frames, n_sources, n_apertures)
        One float64 cube a name.
    """
    shape = (frame_ids.size, len(source_ids), len(aperture_ids))
    cubes = np.full((len(names), *shape), np.nan)
    if cubes.size == 0:
        return list(cubes)
    where = (
        f"WHERE source_id IN ({', '.join(map(str, source_ids))})"  # ids of ours, integers
        f" AND aperture_id IN ({', '.join(map(str, aperture_ids))})"
    )

    def read(wanted: Sequence[str]) -> NDArray[np.float64]:
        sql = f"SELECT {', '.join(wanted)} FROM flux {where} ORDER BY frame_id, source_id, aperture_id"  # noqa: S608
        flat = np.fromiter(itertools.chain.from_iterable(driver(connection).execute(sql)), np.float64)
        return flat.reshape(-1, len(wanted))

    # Rows come in key order. Where none lacks their places need not be read, which halves the time. To count all rows
    # costs next to nothing, to count some of them a third of reading them.
    flat, size = np.empty((0, 0)), cubes[0].size
    may_be_whole = _count(connection, "") == size or _count(connection, where) == size
    if may_be_whole and _all_frames_known(connection, frame_ids):
        flat = read(names)
    if len(flat) == size:
        inverse = [np.argsort(np.argsort(np.asarray(ids))) for ids in (frame_ids, source_ids, aperture_ids)]
        for cube, column in zip(cubes, flat.T, strict=True):
            cube[...] = column.reshape(shape)[np.ix_(*inverse)]
        return list(cubes)
    _put(list(cubes), read(["frame_id", "source_id", "aperture_id", *names]), frame_ids, source_ids, aperture_ids)
    return list(cubes)


def read_fluxes(
    connection: Connection,
    names: Sequence[str],
    *,
    frame_ids: NDArray[np.int64],
    source_ids: Sequence[int],
    aperture_ids: Sequence[int],
) -> list[NDArray[np.float64]]:
    """Read fluxes as light curves are made of them: those of `correction` where there are any, else as measured.

    Parameters
    ----------
    connection : Connection
    names : sequence of str
        Of columns that both tables have: `flux_adu`, `flux_err_adu`, `flags`, or expressions of these.
    frame_ids, source_ids, aperture_ids
        As for `read_cube`.

    Returns
    -------
    list of ndarray (n_frames, n_sources, n_apertures)
        One float64 cube a name; NaN where nothing was measured.
    """
    cubes = read_cube(connection, names, frame_ids=frame_ids, source_ids=source_ids, aperture_ids=aperture_ids)
    if cubes[0].size:
        wanted = ["frame_id", "source_id", "aperture_id", *names]
        rows = driver(connection).execute(f"SELECT {', '.join(wanted)} FROM correction")  # noqa: S608 - names of ours
        flat = np.fromiter(itertools.chain.from_iterable(rows), np.float64).reshape(-1, len(wanted))
        _put(cubes, flat, frame_ids, source_ids, aperture_ids)
    return cubes


def _put(
    cubes: list[NDArray[np.float64]],
    flat: NDArray[np.float64],
    frame_ids: NDArray[np.int64],
    source_ids: Sequence[int],
    aperture_ids: Sequence[int],
) -> None:
    """Put rows (frame, source, aperture, a value a cube) into their places; those of other ids are left out."""
    places, known = [], np.ones(len(flat), bool)
    for axis, ids in enumerate((frame_ids, np.asarray(source_ids), np.asarray(aperture_ids))):
        order = np.argsort(ids)
        place = order[np.clip(np.searchsorted(ids[order], flat[:, axis]), 0, ids.size - 1)]
        known &= ids[place] == flat[:, axis]
        places.append(place)
    for cube, column in zip(cubes, flat.T[3:], strict=True):
        cube[tuple(place[known] for place in places)] = column[known]


def _all_frames_known(connection: Connection, frame_ids: NDArray[np.int64]) -> bool:
    sql = "SELECT id FROM frame WHERE EXISTS (SELECT 1 FROM centroid c WHERE c.frame_id = frame.id) ORDER BY id"
    return bool(np.array_equal(columns(connection, sql, "i")[0], np.sort(frame_ids)))


def _count(connection: Connection, where: str) -> int:
    (n,) = driver(connection).execute(f"SELECT count(*) FROM flux {where}").fetchone()  # noqa: S608 - made above
    return int(n)


def replace_rows(connection: Connection, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows, in place of those with the same key; values as Python numbers, NaN becomes NULL."""
    _replace(connection, table, names, list(itertools.chain.from_iterable(rows)))


def replace_columns(connection: Connection, table: str, values: Mapping[str, NDArray[Any]]) -> None:
    """Write rows, in place of those with the same key, given as columns by their names; NaN becomes NULL."""
    # Row after row, but without an object for each: the garbage collector would look through all there are.
    n_rows = len(next(iter(values.values())))
    flat: list[Any] = [None] * (len(values) * n_rows)
    for k, column in enumerate(values.values()):
        flat[k :: len(values)] = column.tolist()
    _replace(connection, table, list(values), flat)


def _replace(connection: Connection, table: str, names: Sequence[str], flat: list[Any]) -> None:
    # Many rows a statement: half the time of a statement a row.
    width = len(names)
    step = width * max(1, _MAX_VARIABLES // width)
    whole = len(flat) - len(flat) % step
    for start, stop, size in ((0, whole, step), (whole, len(flat), width)):
        places = ", ".join([f"({', '.join('?' * width)})"] * (size // width))
        parts = [tuple(flat[i : i + size]) for i in range(start, stop, size)]
        if parts:
            connection.exec_driver_sql(f"INSERT OR REPLACE INTO {table} ({', '.join(names)}) VALUES {places}", parts)  # noqa: S608
