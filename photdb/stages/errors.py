"""Errors and saturation of fluxes, from what is stored: changing gain, read noise or saturation reads no pixel."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from photdb.algorithms.flags import Flag
from photdb.store.arrays import columns
from photdb.store.currency import digest
from photdb.store.facts import session_number
from photdb.store.project import Project, driver

#: Raised by hand when errors are computed in another way.
VERSION = 1
_ROWS = 200_000


@dataclass(frozen=True, slots=True)
class Detector:
    """What errors and flags depend on beside the pixels; None where nobody knows it."""

    gain_e_per_adu: float | None
    read_noise_e: float | None
    saturation_adu: float | None

    @property
    def input(self) -> int:
        """The digest that the rows made with it carry as `error_input`."""
        return digest(VERSION, asdict(self))


def detector(connection: Connection) -> Detector:
    """Read the facts in force."""
    return Detector(*(session_number(connection, name) for name in Detector.__slots__))


def with_errors(
    facts: Detector,
    *,
    flux_adu: NDArray[np.float64],
    noise_area_px: NDArray[np.float64],
    radius_px: NDArray[np.float64],
    sky_scatter_adu: NDArray[np.float64],
    n_sky: NDArray[np.float64],
    peak_adu: NDArray[np.float64],
    flags: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Give flux errors by the CCD equation, and flags with saturation as it stands now; arrays broadcast together."""
    from photdb.algorithms.aperture import flux_error

    error = flux_error(
        flux_adu,
        noise_area_px=noise_area_px,
        area_px=np.pi * radius_px**2,
        sky_scatter_adu=sky_scatter_adu,
        n_sky=n_sky,
        gain_e_per_adu=facts.gain_e_per_adu,
        read_noise_e=facts.read_noise_e,
    )
    saturated = np.zeros(flags.shape, bool)
    if facts.saturation_adu is not None:
        saturated |= peak_adu >= facts.saturation_adu  # false for NaN
    return error, np.where(saturated, flags | Flag.SATURATED, flags & ~int(Flag.SATURATED))


def outdated(connection: Connection, facts: Detector) -> int:
    """Count the measurements whose errors were made from other facts."""
    row = driver(connection).execute("SELECT count(*) FROM centroid WHERE error_input <> ?", (facts.input,)).fetchone()
    return int(row[0])


def refresh(project: Project, facts: Detector) -> None:
    """Compute all errors and saturation flags anew, in one transaction."""
    with project.transaction() as connection:
        raw = driver(connection)
        last: tuple[Any, ...] = (-1, -1, -1)
        while True:
            part = columns(
                connection,
                "SELECT x.frame_id, x.source_id, x.aperture_id, x.flux_adu, x.noise_area_px, a.radius_px,"
                " x.sky_scatter_adu, x.n_sky, c.peak_adu, x.flags FROM flux x"
                " JOIN centroid c ON c.frame_id = x.frame_id AND c.source_id = x.source_id"
                " JOIN aperture a ON a.id = x.aperture_id"
                " WHERE (x.frame_id, x.source_id, x.aperture_id) > (?, ?, ?)"
                " ORDER BY x.frame_id, x.source_id, x.aperture_id LIMIT ?",
                "iiiffffffi",
                (*last, _ROWS),
            )
            frame, source, aperture, flux, area, radius, scatter, n_sky, peak, flags = part
            if not frame.size:
                break
            error, flags = with_errors(
                facts,
                flux_adu=flux,
                noise_area_px=area,
                radius_px=radius,
                sky_scatter_adu=scatter,
                n_sky=n_sky,
                peak_adu=peak,
                flags=flags,
            )
            raw.executemany(
                "UPDATE flux SET flux_err_adu = ?, flags = ? WHERE frame_id = ? AND source_id = ? AND aperture_id = ?",
                zip(*(a.tolist() for a in (error, flags, frame, source, aperture)), strict=True),
            )
            last = (int(frame[-1]), int(source[-1]), int(aperture[-1]))
        raw.execute("UPDATE centroid SET error_input = ?", (facts.input,))
