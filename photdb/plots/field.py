"""What plot `field` shows: a frame's pixels, its sources there, and the asteroids' tracks over the night."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from photdb.errors import FrameError, PhotdbError
from photdb.stages.errors import DEFAULT_FWHM_PX
from photdb.stages.meetings import events, meetings, worst_of
from photdb.stages.positions import expected_positions
from photdb.stages.shifts import Shifts, read_shifts, reference_frame
from photdb.store.arrays import Frames, columns, read_apertures, read_by_frame
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.store.typed import frame_ids
from photdb.viewers.field import Field, FieldSource
from photdb.wording import why_unread

Floats = NDArray[np.float64]

#: The order in which sources are shown near by.
_ROLES = ("asteroid", "variable", "check", "reference")


def read_field(project: Project, *, number: int | None = None) -> Field:
    """Read a frame and place its sources: where they were measured, else where they are expected.

    Parameters
    ----------
    project : Project
    number : int, optional
        Of the frame; by default the reference frame, or the first there is.

    Raises
    ------
    PhotdbError
        There is no such frame, or its file cannot be read.
    """
    from photdb.frames import read_pixels

    expected = expected_positions(project)
    frames = expected.frames
    if number is not None:
        (frame_id,) = frame_ids(project.connection, [number])
    else:
        usable = frames.id[frames.usable]
        first = int(usable[0]) if usable.size else int(frames.id[0])
        frame_id = reference_frame(project.connection) or first
    i = frames.index(frame_id)
    try:
        pixels, *_ = read_pixels(project.frame_folder / frames.path[i])
    except FrameError as error:
        frame = f"frame {frames.number[i]} ({frames.path[i]})"
        raise PhotdbError(f"{frame} cannot be shown: {why_unread(error)}") from error
    xy = expected.xy_px[i].copy()
    at = {s.id: k for k, s in enumerate(expected.sources)}
    sql = "SELECT source_id, x_px, y_px FROM centroid WHERE frame_id = ?"
    for source_id, x, y in zip(*columns(project.connection, sql, "iff", (frame_id,)), strict=True):
        if source_id in at and np.isfinite(x):
            xy[at[source_id]] = x, y
    shifts = read_shifts(project.connection, frames)
    sources = []
    for k in sorted(range(len(expected.sources)), key=lambda k: (_ROLES.index(expected.sources[k].role), k)):
        source = expected.sources[k]
        track = None
        if source.role == "asteroid":
            in_reference = shifts.to_reference(expected.xy_px[:, [k]])[:, 0]
            in_reference = in_reference[np.isfinite(in_reference).all(axis=1)]
            track = shifts.of([i]).to_frame(in_reference[None])[0]
        if np.isfinite(xy[k]).all():
            sources.append(FieldSource(source.label, source.role, float(xy[k, 0]), float(xy[k, 1]), track))
    apertures = read_apertures(project.connection)
    fwhm = read_by_frame(project.connection, "frame_quality", ["fwhm_px"], frames)[0][i]
    radii = sorted(float(a.spec.radius_px(fwhm if np.isfinite(fwhm) else DEFAULT_FWHM_PX)) for a in apertures)
    ring = (apertures[0].annulus_inner_px, apertures[0].annulus_outer_px) if apertures else None
    stars, hot = _met(project, shifts, frames, i)
    return Field(pixels, int(frames.number[i]), sources, radii, ring, stars, hot)


def _met(project: Project, shifts: Shifts, frames: Frames, i: int) -> tuple[Floats, Floats]:
    """Give where in a frame the stars are that asteroids pass, and the hot pixels that targets meet, (k, 2) each.

    A hot pixel stays on the detector while the stars drift: it is shown where among the stars the target met it.
    """
    stars: set[tuple[float, float]] = set()
    hot: set[tuple[float, float]] = set()
    targets = driver(project.connection).execute("SELECT id, role FROM target").fetchall()
    for source_id, role in targets:
        found = meetings(project, source_id, moving=role == "asteroid")
        stars |= {(r.x_px, r.y_px) for r in found["star"] if r.x_px is not None and r.y_px is not None}
        for event in events(frames, found["hot"], "hot"):
            r = worst_of(event)
            if r.x_px is not None and r.y_px is not None:
                at = np.array([[[r.x_px, r.y_px]]])
                there = shifts.of([frames.index(r.frame_id)]).to_reference(at)[0, 0]
                hot.add((float(there[0]), float(there[1])))
    here = shifts.of([i])

    def in_frame(places: Iterable[tuple[float, float]]) -> Floats:
        found: Floats = here.to_frame(np.array(sorted(places)).reshape(1, -1, 2))[0]
        return found[np.isfinite(found).all(axis=1)]

    return in_frame(stars), in_frame(hot)
