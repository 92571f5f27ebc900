"""Magnitudes as `check` and `solve` see them: accepted frames, valid fluxes, everything that was rejected left out."""

import shlex
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.differential import instrumental_magnitude, magnitude_error
from photdb.algorithms.flags import INVALID_FLUX
from photdb.store.arrays import Aperture, Frames, Source, read_apertures, read_fluxes, read_frames, read_sources
from photdb.store.decisions import rejections
from photdb.store.project import Project

Floats = NDArray[np.float64]

#: Of all sources.
ROLES = ("asteroid", "variable", "reference", "check")


@dataclass(frozen=True, slots=True)
class Series:
    """Cubes (frame, source, aperture) over accepted frames in time order; NaN where a value is missing or left out.

    `allowed` (source, aperture) is false where a source was rejected in an aperture for the whole night.
    """

    frame_id: NDArray[np.int64]
    number: NDArray[np.int64]
    jd_utc_mid: Floats
    exposure_s: Floats
    sources: list[Source]
    apertures: list[Aperture]
    flux_adu: Floats
    mag: Floats
    mag_err: Floats
    allowed: NDArray[np.bool_]

    def of(self, *roles: str) -> list[int]:
        """Give the places of the sources of some roles."""
        return [k for k, source in enumerate(self.sources) if source.role in roles]

    def part(self, *roles: str) -> "Series":
        """Give the series of the sources of some roles alone."""
        k = self.of(*roles)
        sources = [self.sources[i] for i in k]
        cubes = (self.flux_adu[:, k], self.mag[:, k], self.mag_err[:, k])
        return replace(
            self, sources=sources, flux_adu=cubes[0], mag=cubes[1], mag_err=cubes[2], allowed=self.allowed[k]
        )


#: The series read last from a project, of which roles, and the project's state then.
_last: WeakKeyDictionary[Project, tuple[tuple[int, int], tuple[str, ...], Series]] = WeakKeyDictionary()


def load_series(project: Project, *roles: str) -> Series:
    """Read the magnitudes of the sources of some roles, in the apertures in force.

    What was read last is used again, as long as nobody has written to the project since.
    """
    state = project.state()  # as it is before reading: who writes meanwhile makes it another
    there = {source.role for source in read_sources(project.connection)}
    roles = tuple(role for role in roles if role in there)
    last, known, series = _last.get(project, (None, (), None))
    if series is None or last != state or not set(roles) <= set(known):
        series = _read_series(project, *roles)
        _last[project] = (state, roles, series)
        return series
    return series if roles == known else series.part(*roles)


def keep_series(project: Project, series: Series) -> None:
    """Go on using the series of all sources that was read: what was written since concerns no magnitude."""
    there = {source.role for source in read_sources(project.connection)}
    _last[project] = (project.state(), tuple(role for role in ROLES if role in there), series)


def _read_series(project: Project, *roles: str) -> Series:
    connection = project.connection
    frames: Frames = read_frames(connection)
    left_out = rejections(connection)
    whole_sources = {r["source_id"] for r in left_out if r["frame_id"] is None and r["aperture_id"] is None}
    whole_apertures = {r["aperture_id"] for r in left_out if r["frame_id"] is None and r["source_id"] is None}
    sources = [s for s in read_sources(connection, *roles) if s.id not in whole_sources]
    apertures = [a for a in read_apertures(connection) if a.id not in whole_apertures]
    # The cube holds all usable frames, which is the quick way to read it; the accepted ones are taken out then.
    flux, flux_err = read_fluxes(
        connection,
        (f"CASE WHEN flags & {int(INVALID_FLUX)} THEN NULL ELSE flux_adu END", "flux_err_adu"),
        frame_ids=frames.id[frames.usable],
        source_ids=[s.id for s in sources],
        aperture_ids=[a.id for a in apertures],
    )
    accepted = frames.accepted[frames.usable]
    flux, flux_err = flux[accepted], flux_err[accepted]
    valid = np.isfinite(flux)
    frame_id = frames.id[frames.accepted]
    allowed = np.ones((len(sources), len(apertures)), bool)
    for r in left_out:
        k = np.array([r["source_id"] in (None, s.id) for s in sources], bool)
        p = np.array([r["aperture_id"] in (None, a.id) for a in apertures], bool)
        if r["frame_id"] is None:
            allowed &= ~(k[:, None] & p)
        else:
            valid[frame_id == r["frame_id"]] &= ~(k[:, None] & p)
    flux = np.where(valid & allowed, flux, np.nan)
    return Series(
        frame_id,
        frames.number[frames.accepted],
        frames.jd_utc_mid[frames.accepted],
        frames.exposure_s[frames.accepted],
        sources,
        apertures,
        flux,
        instrumental_magnitude(flux),
        magnitude_error(flux, flux_err),
        allowed,
    )


def nothing_left(project: Project, *roles: str) -> str | None:
    """Say that all sources of some roles are rejected, and how to take one back; None if there are none at all."""
    there = [source.label for source in read_sources(project.connection, *roles)]
    if not there:
        return None
    what = "target" if len(roles) > 1 else roles[0]
    return f"every {what} is rejected: take one back with `photdb accept source {shlex.quote(there[0])}`"
