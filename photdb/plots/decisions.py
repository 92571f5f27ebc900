"""What windows of stages are given of a project: what is decided, its frames, and magnitudes with none left out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.differential import instrumental_magnitude
from photdb.algorithms.flags import INVALID_FLUX
from photdb.errors import FrameError, PhotdbError
from photdb.frames import read_pixels
from photdb.stages.runner import resolve
from photdb.store.arrays import columns, read_apertures, read_by_frame, read_fluxes, read_frames, read_sources
from photdb.store.connection import driver
from photdb.store.decisions import rejections
from photdb.store.project import Project
from photdb.viewers.quality import Rule
from photdb.viewers.windows.choices import Choices, Facts
from photdb.viewers.windows.magnitudes_window import Magnitudes
from photdb.wording import why_unread

#: What rules go by.
_METRICS: Final = {
    "frame_quality": ("range_adu", "nonuniformity_adu", "background_adu", "background_scatter_adu")
    + ("fwhm_px", "elongation", "n_stars", "n_saturated_px"),
    "shift": ("residual_px", "n_matched"),
}


def read_choices(project: Project, stage: str) -> Choices:
    """Read what is decided in a project; regions are those of the stage."""
    raw = driver(project.connection)
    number = dict(raw.execute("SELECT id, number FROM frame").fetchall())
    label = dict(raw.execute("SELECT id, label FROM source").fetchall())
    accepted = raw.execute(
        "SELECT f.number FROM acceptance a JOIN frame f ON f.id = a.frame_id WHERE a.withdrawn_at IS NULL"
    )
    rules = raw.execute("SELECT metric, operator, value FROM active_rule ORDER BY metric, operator")
    made = Choices(
        tuple(Rule(*row) for row in rules),
        frozenset(
            (
                None if r["frame_id"] is None else number[r["frame_id"]],
                None if r["source_id"] is None else label[r["source_id"]],
                r["aperture_id"],
            )
            for r in rejections(project.connection)
        ),
        frozenset(n for (n,) in accepted),
    )
    params = resolve(project.connection, stage)
    region = params.get("region")
    exclude = tuple(tuple(box) for box in params.get("exclude") or ())
    return replace(made, region=None if region is None else tuple(region), exclude=exclude)


def read_facts(project: Project) -> Facts:
    """Read the frames, with all that rules can go by."""
    frames = read_frames(project.connection)
    metrics: dict[str, NDArray[np.float64]] = {}
    for table, names in _METRICS.items():
        metrics |= dict(zip(names, read_by_frame(project.connection, table, names, frames), strict=True))
    unusable, _ = columns(
        project.connection,
        "SELECT frame_id, frame FROM excluded WHERE kind = 'unusable' AND frame_id IS NOT NULL",
        "ii",
    )
    return Facts(frames.number, frames.jd_utc_mid, ~np.isin(frames.id, unusable), metrics)


def frame_reader(project: Project) -> Callable[[int], NDArray[Any]]:
    """Give what reads the pixels of a frame by its place, also when the project is closed."""
    frames, folder = read_frames(project.connection), project.frame_folder

    def read(i: int) -> NDArray[Any]:
        try:
            return read_pixels(folder / frames.path[i])[0]
        except FrameError as error:
            frame = f"frame {frames.number[i]} ({frames.path[i]})"
            raise PhotdbError(f"{frame} cannot be read: {why_unread(error)}") from error

    return read


def read_magnitudes(project: Project, *roles: str) -> Magnitudes:
    """Read the magnitudes of the sources of some roles in all frames, whatever is rejected."""
    connection = project.connection
    frames, sources = read_frames(connection), read_sources(connection, *roles)
    apertures = read_apertures(connection)
    ids = [s.id for s in sources]
    (flux,) = read_fluxes(
        connection,
        (f"CASE WHEN flags & {int(INVALID_FLUX)} THEN NULL ELSE flux_adu END",),
        frame_ids=frames.id,
        source_ids=ids,
        aperture_ids=[a.id for a in apertures],
    )
    xy = np.full((frames.id.size, len(ids), 2), np.nan)
    found = columns(connection, "SELECT frame_id, source_id, x_px, y_px FROM centroid", "iiff")
    place = {int(id_): i for i, id_ in enumerate(frames.id)}
    of = {id_: k for k, id_ in enumerate(ids)}
    for frame_id, source_id, x, y in zip(*(column.tolist() for column in found), strict=True):
        if source_id in of:
            xy[place[frame_id], of[source_id]] = (x, y)
    return Magnitudes(
        [s.label for s in sources],
        [s.role for s in sources],
        [a.id for a in apertures],
        [a.label for a in apertures],
        [str(a) for a in apertures],
        instrumental_magnitude(flux),
        xy,
    )


def compared_with(project: Project) -> dict[str, list[str]]:
    """Give for each target the references of its best curve, or all where it has none."""
    raw = driver(project.connection)
    out = {label: list[str]() for (label,) in raw.execute("SELECT label FROM target ORDER BY id")}
    everyone = [s.label for s in read_sources(project.connection, "reference")]
    for label in out:
        best = raw.execute(
            "SELECT r.label FROM solution_reference n JOIN solution s ON s.id = n.solution_id"
            " JOIN target t ON t.id = s.target_id JOIN source r ON r.id = n.source_id"
            " WHERE t.label = ? AND s.rank = 1 AND r.removed_at IS NULL ORDER BY r.id",
            (label,),
        )
        out[label] = [name for (name,) in best] or everyone
    return out
