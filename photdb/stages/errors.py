"""What fluxes owe to facts beside their pixels: gain and read noise, scintillation, saturation, asteroids that pass.

All of it comes from what is stored, so that changing a fact, or an asteroid's track, reads no pixel.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from photdb.algorithms.flags import Flag
from photdb.stages.positions import Expected
from photdb.store.apertures import OPTIMAL_FWHM
from photdb.store.arrays import Aperture, Frames, columns, read_by_frame, replace_columns
from photdb.store.connection import driver
from photdb.store.currency import digests
from photdb.store.facts import session_number

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Raised by hand when errors or these flags are computed in another way.
VERSION = 2
#: For frames without a FWHM (no star in the region of qc).
DEFAULT_FWHM_PX = 3.0
#: An asteroid this many FWHM outside an aperture leaves a few thousandths of its light in it.
_REACH_FWHM = 1.0
#: No aperture reaches farther, plus its FWHM: asteroids beyond change nothing.
_FAR_PX = 1100.0


@dataclass(frozen=True, slots=True)
class Detector:
    """The camera's part; None where nobody knows it."""

    gain_e_per_adu: float | None
    read_noise_e: float | None
    saturation_adu: float | None


@dataclass(frozen=True, slots=True)
class FrameErrors:
    """What the errors of all fluxes are made with: the camera, and each frame's scintillation (NaN: left out)."""

    detector: Detector
    scintillation_mag: Floats  # (n_frames,)


@dataclass(frozen=True, slots=True)
class Shape:
    """What errors owe to apertures: arrays that broadcast to those of the fluxes."""

    area_px: Floats  # Σw
    reach_px: Floats  # how far light is taken in
    photon_factor: Floats  # Σw²P
    sky_factor: Floats  # variance of the sky's estimate against a mean's


def shape_of(apertures: Sequence[Aperture], fwhm_px: Floats, noise_area_px: Floats, photon_factor: Floats) -> Shape:
    """Describe fluxes (n, P) in P apertures.

    Parameters
    ----------
    apertures : sequence of Aperture (P,)
    fwhm_px, photon_factor : ndarray (n,)
        Of each one's frame; the latter as in `profile`, for optimal extraction alone.
    noise_area_px : ndarray (n, P)
        Σw², in optimal extraction also Σw.
    """
    from photdb.algorithms.sky import SKY_FACTOR

    radius = np.empty((fwhm_px.size, len(apertures)))
    for p, a in enumerate(apertures):
        radius[:, p] = a.spec.radius_px(fwhm_px)
    optimal = np.array([a.kind == "optimal" for a in apertures], bool)
    return Shape(
        np.where(optimal, noise_area_px, np.pi * radius**2),
        radius,
        np.where(optimal, photon_factor[:, None], 1.0),
        np.array([SKY_FACTOR[a.sky] for a in apertures]),
    )


def detector(connection: Connection) -> Detector:
    """Read the facts in force."""
    return Detector(*(session_number(connection, name) for name in Detector.__slots__))


def frame_errors(connection: Connection, frames: Frames) -> FrameErrors:
    """Read the facts in force, and compute the scintillation of each frame where they suffice."""
    from photdb.algorithms.scintillation import scintillation_mag

    sql = "SELECT id, airmass FROM frame"
    airmass = dict(driver(connection).execute(sql).fetchall())
    return FrameErrors(
        detector(connection),
        scintillation_mag(
            diameter_m=session_number(connection, "aperture_diameter_m"),
            airmass=np.array([airmass[i] for i in frames.id.tolist()], np.float64),
            exposure_s=frames.exposure_s,
            height_m=session_number(connection, "site_height_m"),
        ),
    )


def save_frame_errors(connection: Connection, facts: FrameErrors, frames: Frames, places: Ints) -> None:
    """Keep what the errors in some frames (by their places) were made with."""
    n = places.size
    camera = [facts.detector.gain_e_per_adu, facts.detector.read_noise_e]
    gain, read_noise = (np.full(n, np.nan if v is None else v) for v in camera)
    replace_columns(
        connection,
        "frame_error",
        {
            "frame_id": frames.id[places],
            "gain_e_per_adu": gain,
            "read_noise_e": read_noise,
            "scintillation_mag": facts.scintillation_mag[places],
        },
    )


def stored_scintillation(connection: Connection, frames: Frames) -> Floats:
    """Give the scintillation that the errors in each frame were made with, magnitudes; 0 where it was left out."""
    stored: Floats = np.nan_to_num(read_by_frame(connection, "frame_error", ["scintillation_mag"], frames)[0])
    return stored


def passing_distance(expected: Expected) -> Floats:
    """Find how near each source has an asteroid, or an asteroid another source, in each frame.

    Returns
    -------
    ndarray (n_frames, n_sources)
        Pixels; infinite where nothing comes within reach of any aperture.
    """
    xy = expected.xy_px
    nearest = np.full(xy.shape[:2], np.inf)
    for k, source in enumerate(expected.sources):
        if source.role != "asteroid":
            continue
        distance = np.hypot(xy[:, :, 0] - xy[:, [k], 0], xy[:, :, 1] - xy[:, [k], 1])
        distance[:, k] = np.inf
        distance[~(distance < _FAR_PX)] = np.inf
        nearest = np.minimum(nearest, distance)
        nearest[:, k] = np.minimum(nearest[:, k], distance.min(axis=1))
    return nearest


def error_inputs(facts: FrameErrors, passing_px: Floats) -> Ints:
    """Digest what errors and flags are made from; the shape is that of `passing_px`, (n_frames, n_sources)."""
    values, which = np.unique(passing_px, return_inverse=True)  # nearly all are infinite
    passing = digests((VERSION, "passing"), values[:, None])[which].reshape(passing_px.shape)
    # A frame's part and a place's part, each 64 bits of its own: together they differ wherever one does.
    frame = digests((VERSION, asdict(facts.detector)), facts.scintillation_mag[:, None])
    return frame[:, None] ^ passing


def with_errors(
    facts: Detector,
    *,
    flux_adu: Floats,
    noise_area_px: Floats,
    shape: Shape,
    sky_scatter_adu: Floats,
    n_sky: Floats,
    peak_adu: Floats,
    fwhm_px: Floats,
    passing_px: Floats,
    scintillation_mag: Floats,
    flags: Ints,
) -> tuple[Floats, Ints]:
    """Give errors by the CCD equation and scintillation, and flags with saturation and passing asteroids.

    Arrays broadcast together; a scintillation of NaN is left out.
    """
    from photdb.algorithms.aperture import flux_error

    error = flux_error(
        flux_adu,
        noise_area_px=noise_area_px,
        area_px=shape.area_px,
        sky_scatter_adu=sky_scatter_adu,
        n_sky=n_sky,
        gain_e_per_adu=facts.gain_e_per_adu,
        read_noise_e=facts.read_noise_e,
        sky_factor=shape.sky_factor,
        photon_factor=shape.photon_factor,
    )
    air_adu = np.log(10.0) / 2.5 * scintillation_mag * np.maximum(flux_adu, 0.0)
    error = np.where(np.isfinite(air_adu), np.hypot(error, air_adu), error)
    saturation = np.inf if facts.saturation_adu is None else facts.saturation_adu
    flags = flags & ~int(Flag.SATURATED | Flag.CONTAMINATED)
    flags = np.where(peak_adu >= saturation, flags | Flag.SATURATED, flags)  # false for NaN
    flags = np.where(passing_px < shape.reach_px + _REACH_FWHM * fwhm_px, flags | Flag.CONTAMINATED, flags)
    return error, flags


def refresh(
    connection: Connection,
    facts: Detector,
    scintillation_mag: float,
    frame_id: int,
    passing_px: dict[int, float],
    inputs: dict[int, int],
) -> None:
    """Compute errors and flags of a frame's fluxes anew, inside a transaction.

    Parameters
    ----------
    connection, facts
        The project, and the camera.
    scintillation_mag, frame_id
        The frame's; NaN where it is left out.
    passing_px, inputs : dict
        By source id: how near an asteroid is, and the digest to be stored. Other sources are left as they are.
    """
    from photdb.algorithms.sky import SKY_FACTOR

    source, aperture, flux, area, circle, reach, photons, sky, scatter, n_sky, peak, fwhm, flags = columns(
        connection,
        "SELECT x.source_id, x.aperture_id, x.flux_adu, x.noise_area_px,"
        " coalesce(a.radius_px, a.radius_fwhm * coalesce(q.fwhm_px, :fwhm)),"
        " coalesce(a.radius_px, coalesce(a.radius_fwhm, :optimal) * coalesce(q.fwhm_px, :fwhm)),"
        " CASE a.kind WHEN 'optimal' THEN p.photon_factor ELSE 1.0 END, a.sky, x.sky_scatter_adu, x.n_sky,"
        " c.peak_adu, coalesce(q.fwhm_px, :fwhm), x.flags FROM flux x"
        " JOIN centroid c ON c.frame_id = x.frame_id AND c.source_id = x.source_id"
        " JOIN aperture a ON a.id = x.aperture_id JOIN frame_quality q ON q.frame_id = x.frame_id"
        " LEFT JOIN profile p ON p.frame_id = x.frame_id"
        " WHERE x.frame_id = :frame ORDER BY x.source_id, x.aperture_id",
        "iiffff" + "fsffff" + "i",
        {"fwhm": DEFAULT_FWHM_PX, "optimal": OPTIMAL_FWHM, "frame": frame_id},
    )
    wanted = np.isin(source, list(inputs))
    shape = Shape(
        np.where(np.isnan(circle), area, np.pi * circle**2),
        reach,
        photons,
        np.array([SKY_FACTOR[name] for name in sky.tolist()]),
    )
    error, flags = with_errors(
        facts,
        flux_adu=flux,
        noise_area_px=area,
        shape=shape,
        sky_scatter_adu=scatter,
        n_sky=n_sky,
        peak_adu=peak,
        fwhm_px=fwhm,
        passing_px=np.array([passing_px.get(s, np.inf) for s in source.tolist()]),
        scintillation_mag=np.array(scintillation_mag),
        flags=flags,
    )
    raw = driver(connection)
    raw.executemany(
        "UPDATE flux SET flux_err_adu = ?, flags = ? WHERE frame_id = ? AND source_id = ? AND aperture_id = ?",
        [
            (e, f, frame_id, s, a)
            for e, f, s, a, use in zip(*(v.tolist() for v in (error, flags, source, aperture, wanted)), strict=True)
            if use
        ],
    )
    raw.executemany(
        "UPDATE centroid SET error_input = ? WHERE frame_id = ? AND source_id = ?",
        [(input_, frame_id, source_id) for source_id, input_ in inputs.items()],
    )
