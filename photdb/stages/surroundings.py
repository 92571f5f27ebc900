"""What sources are held against: the field's stars and hot pixels, where sources are, and what was measured of them.

A source is where its track or anchor says, moved by the running median of what centroids found there: a single centroid
is drawn to the very star that is met.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.encounters import running_median
from photdb.algorithms.flags import Flag
from photdb.algorithms.profiles import Circle, Profile
from photdb.algorithms.stacking import choose_frames
from photdb.stages.errors import DEFAULT_FWHM_PX
from photdb.stages.positions import Expected, expected_positions
from photdb.stages.shifts import Shifts, read_shifts
from photdb.store.arrays import Aperture, columns, read_by_frame, read_circles, read_cube
from photdb.store.connection import driver
from photdb.store.project import Project

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Frames of the running median of offsets.
_SMOOTH = 15


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all sources are held against; arrays are by frame, (n,), or by what they are named after."""

    input: int
    expected: Expected
    shifts: Shifts
    fwhm_px: Floats
    light: Floats  # of the stars, in units of the reference frame's
    star_x: Floats  # in the reference frame
    star_y: Floats
    star_flux: Floats
    profile: Profile
    hot_x: Floats  # on the detector
    hot_y: Floats
    hot_adu: Floats
    apertures: list[Aperture]
    xy_ref: Floats  # (n, sources, 2) where each source is, in the reference frame
    ordinary: Bools  # frames with usual stars and sky, whatever the user rejected
    circles: tuple[Circle, ...] = ()  # of the apertures


@dataclass(frozen=True, slots=True)
class Fluxes:
    """What was measured of one source, (n, apertures)."""

    flux: Floats
    error: Floats
    sky_scatter: Floats
    n_sky: Floats
    flags: Ints


def read_surroundings(project: Project) -> Surroundings:
    """Read stars, hot pixels and the places of sources."""
    connection = project.connection
    expected = expected_positions(project)
    frames = expected.frames
    shifts = read_shifts(connection, frames)
    fwhm, sky = read_by_frame(connection, "frame_quality", ["fwhm_px", "background_adu"], frames)
    (light,) = read_by_frame(connection, "field_frame", ["light"], frames)
    exposure = np.where(np.isfinite(frames.exposure_s) & (frames.exposure_s > 0), frames.exposure_s, 1.0)
    usable = frames.usable & np.isfinite(shifts.dx_px)
    stars = columns(connection, "SELECT x_px, y_px, flux_adu FROM field_star ORDER BY rank", "fff")
    radius, per_px2 = columns(connection, "SELECT radius_px, per_px2 FROM field_profile ORDER BY step", "ff")
    hot = columns(connection, "SELECT x_px, y_px, adu FROM hot_pixel", "fff")
    ((field_input, field_fwhm),) = driver(connection).execute("SELECT input, fwhm_px FROM field").fetchall()
    return Surroundings(
        input=field_input,
        expected=expected,
        shifts=shifts,
        fwhm_px=np.where(np.isfinite(fwhm), fwhm, DEFAULT_FWHM_PX),
        light=light,
        star_x=stars[0],
        star_y=stars[1],
        star_flux=stars[2],
        profile=Profile(per_px2, field_fwhm),
        hot_x=hot[0],
        hot_y=hot[1],
        hot_adu=hot[2],
        apertures=read_circles(connection),
        xy_ref=_places(project, expected, shifts),
        ordinary=np.isin(np.arange(fwhm.size), choose_frames(light / exposure, fwhm, sky, usable, most=fwhm.size)),
    )


def _places(project: Project, expected: Expected, shifts: Shifts) -> Floats:
    """Give where sources are in the reference frame, (n_frames, n_sources, 2)."""
    shape = expected.xy_px.shape
    found = np.full(shape, np.nan)
    bad = int(Flag.NO_POSITION | Flag.NO_PEAK | Flag.FIT_FAILED | Flag.CAPTURED)
    frame, source, x, y = columns(
        project.connection,
        f"SELECT frame_id, source_id, x_px, y_px FROM centroid WHERE flags & {bad} = 0",  # noqa: S608 - a number
        "iiff",
    )
    place = {frame_id: i for i, frame_id in enumerate(expected.frames.id.tolist())}
    column = {s.id: k for k, s in enumerate(expected.sources)}
    here = np.array([s in column for s in source.tolist()], bool)
    i = np.array([place[f] for f in frame[here].tolist()], np.intp)
    k = np.array([column[s] for s in source[here].tolist()], np.intp)
    found[i, k] = np.stack([x, y], axis=1)[here]
    track, measured = shifts.to_reference(expected.xy_px), shifts.to_reference(found)
    offset = measured - track
    for source_place in range(shape[1]):
        for axis in (0, 1):
            moved = running_median(offset[:, source_place, axis], _SMOOTH)
            track[:, source_place, axis] += np.nan_to_num(moved)
    return track


def read_fluxes(project: Project, around: Surroundings, k: int) -> Fluxes:
    """Read what was measured of a source."""
    names = ("flux_adu", "flux_err_adu", "sky_scatter_adu", "n_sky", "flags")
    cubes = read_cube(
        project.connection,
        names,
        frame_ids=around.expected.frames.id,
        source_ids=[around.expected.sources[k].id],
        aperture_ids=[a.id for a in around.apertures],
    )
    flux, error, scatter, n_sky, flags = (cube[:, 0] for cube in cubes)
    return Fluxes(flux, error, scatter, n_sky, np.nan_to_num(flags).astype(np.int64))
