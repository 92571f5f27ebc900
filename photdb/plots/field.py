"""What plot `field` shows: a frame's pixels, its sources there, and the asteroids' tracks over the night."""

import numpy as np

from photdb.errors import FrameError, PhotdbError
from photdb.stages.errors import DEFAULT_FWHM_PX
from photdb.stages.positions import expected_positions
from photdb.stages.shifts import read_shifts, reference_frame
from photdb.store.arrays import columns, read_apertures, read_by_frame
from photdb.store.project import Project
from photdb.store.typed import frame_ids
from photdb.viewers.field import Field, FieldSource
from photdb.wording import why_unread

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
    return Field(pixels, int(frames.number[i]), sources, radii, ring)
