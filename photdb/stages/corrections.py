"""Fluxes in place of those measured, as `photdb measure --hits` and `--remove-stars` ask: hits mended, stars removed.

What is measured stays as it is, in `flux`. A correction is made from it, from `hit` and `encounter`, and for stars from
the pixels of other frames; light curves are made from corrections where there are any.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete

from photdb.algorithms.flags import Flag
from photdb.stages import stage_named
from photdb.store import schema
from photdb.store.arrays import Aperture, columns, read_apertures, read_circles, read_sources, replace_rows
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.project import Project
from photdb.wording import count, listed

Floats = NDArray[np.float64]

#: Raised by hand when corrections are made in another way.
VERSION = 1


@dataclass(frozen=True, slots=True)
class Outdated:
    """That corrections are to be made, or given up."""

    reason: str


@dataclass(slots=True)
class Cell:
    """The flux of a source in a frame and an aperture, on its way to be corrected."""

    flux: float
    error: float
    removed: float
    flags: int
    x_px: float  # where the aperture is
    y_px: float


def kept_as_measured(connection: Connection) -> str | None:
    """Name the apertures in force that encounters and hits are not looked for in, and that are not corrected."""
    names = [str(a) for a in read_apertures(connection) if a.kind != "fixed"]
    if not names:
        return None
    return f"stars met and hits are looked for in circles of one radius, not in {listed(names)}"


def outdated(project: Project, params: dict[str, Any]) -> Outdated | None:
    """Tell whether corrections are wanted and not there, or there and not wanted."""
    raw = driver(project.connection)
    known = dict(raw.execute("SELECT source_id, input FROM correction_input").fetchall())
    if params["hits"] == "keep" and not params["remove_stars"]:
        return Outdated("corrections are not wanted any more") if known else None
    (there,) = raw.execute("SELECT count(*) FROM field").fetchone()
    if not there:
        return Outdated("corrections of fluxes are to be made")
    from photdb.stages.runner import plan

    if any(plan(project, name).work for name in ("field", "encounters", "hits")):
        return Outdated("what comes near the sources is not known yet")
    wanted = _inputs(project, params)
    n = sum(known.get(source_id) != input_ for source_id, input_ in wanted.items())
    return Outdated(f"corrections of {count(n, 'source')} to be made") if n else None


def _inputs(project: Project, params: dict[str, Any]) -> dict[int, int]:
    raw = driver(project.connection)
    encounters = dict(raw.execute("SELECT source_id, input FROM encounter_input").fetchall())
    hits = dict(raw.execute("SELECT source_id, input FROM hit_input").fetchall())
    versions = (VERSION, stage_named("measure").version, params["hits"], params["remove_stars"])
    return {
        s.id: digest(versions, encounters.get(s.id), hits.get(s.id), s.role) for s in read_sources(project.connection)
    }


def run(project: Project, params: dict[str, Any], session: Any) -> None:
    """Make all corrections anew."""
    if params["hits"] == "keep" and not params["remove_stars"]:
        with project.transaction() as connection:
            connection.execute(delete(schema.correction))
            connection.execute(delete(schema.correction_input))
        return
    from photdb.stages.removal import remove_stars
    from photdb.stages.runner import run as run_stage

    for name in ("field", "encounters", "hits"):
        run_stage(project, name, session)
    apertures = read_circles(project.connection)
    rows: list[tuple[Any, ...]] = []
    for k, source in enumerate(read_sources(project.connection)):
        cells: dict[tuple[int, int], Cell] = {}
        if params["remove_stars"] and source.role == "asteroid":
            cells = remove_stars(project, session, k)
        if params["hits"] != "keep":
            _hits(project, source.id, apertures, cells, params["hits"])
        rows += [
            (source.id, frame_id, aperture_id, c.flux, c.error, c.removed, c.flags)
            for (frame_id, aperture_id), c in sorted(cells.items())
        ]
    with project.transaction() as connection:
        connection.execute(delete(schema.correction))
        replace_rows(connection, "correction", [c.name for c in schema.correction.columns], rows)
        connection.execute(delete(schema.correction_input))
        inputs = list(_inputs(project, params).items())
        replace_rows(connection, "correction_input", ("source_id", "input"), inputs)


def _hits(
    project: Project, source_id: int, apertures: list[Aperture], cells: dict[tuple[int, int], Cell], wanted: str
) -> None:
    """Flag, mend or reject the measurements of a source that have hits in their apertures."""
    from photdb.algorithms.aperture import circle_overlap

    sql = "SELECT frame_id, x_px, y_px, excess_adu, sigmas FROM hit WHERE source_id = ? ORDER BY frame_id, y_px, x_px"
    frame, x, y, excess, sigmas = columns(project.connection, sql, "iffff", (source_id,))
    flag = {"flag": Flag.HIT, "mend": Flag.HIT | Flag.MENDED, "reject": Flag.HIT | Flag.HIT_REJECTED}[wanted]
    measured = measured_cells(project, source_id, np.unique(frame).tolist())
    for frame_id in np.unique(frame).tolist():
        here = frame == frame_id
        for aperture in apertures:
            key = (frame_id, aperture.id)
            cell = cells.get(key) or measured.get(key)
            if cell is None or not np.isfinite(cell.flux):
                continue
            part = circle_overlap(x[here] - cell.x_px, y[here] - cell.y_px, np.full(here.sum(), aperture.spec.radius))
            if not part.any():
                continue
            if wanted == "mend":
                light = float(np.sum(part * excess[here]))
                # What is put in its place is as good as the noise that it was found above.
                unsure = float(np.sum((part * excess[here] / sigmas[here]) ** 2))
                cell.flux, cell.removed = cell.flux - light, cell.removed + light
                cell.error = float(np.sqrt(cell.error**2 + unsure))
            cell.flags |= int(flag)
            if cell.flux <= 0:
                cell.flags |= int(Flag.NOT_POSITIVE)
            cells[key] = cell


def measured_cells(project: Project, source_id: int, frame_ids: list[int]) -> dict[tuple[int, int], Cell]:
    """Read what was measured of a source in some frames, by frame and aperture."""
    listed = ", ".join(map(str, frame_ids))
    rows = driver(project.connection).execute(
        "SELECT x.frame_id, x.aperture_id, x.flux_adu, x.flux_err_adu, x.flags, c.x_px, c.y_px FROM flux x"  # noqa: S608
        " JOIN centroid c ON c.frame_id = x.frame_id AND c.source_id = x.source_id"
        f" WHERE x.source_id = ? AND x.frame_id IN ({listed})",
        (source_id,),
    )
    return {
        (frame_id, aperture_id): Cell(flux, error, 0.0, flags, x, y)
        for frame_id, aperture_id, flux, error, flags, x, y in rows
        if flux is not None and error is not None and x is not None
    }
