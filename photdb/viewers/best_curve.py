"""The best light curve of a target as plots want it: with the points that were left out, beside those that count."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.differential import (
    differential_error,
    differential_magnitude,
    instrumental_magnitude,
    magnitude_error,
)
from photdb.store.arrays import Aperture, columns, read_apertures, read_cube, read_frames
from photdb.store.project import Project

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BestCurve:
    """The solution of rank 1, applied to all frames in time order; arrays of shape (n_frames,)."""

    target: str
    references: list[str]
    weights: Floats  # (n_references,)
    aperture: Aperture
    noise_mag: float
    noise_mag_err: float
    number: NDArray[np.int64]
    path: list[str]
    jd_utc_mid: Floats
    mag: Floats  # NaN where a flux is missing or not positive
    mag_err: Floats
    kept: NDArray[np.bool_]  # a point of the solution; elsewhere the frame was rejected, or a flux flagged


def read_best_curve(project: Project, target: str) -> BestCurve | None:
    """Read the best curve of a target.

    Parameters
    ----------
    project : Project
    target : str
        Its label.

    Returns
    -------
    BestCurve or None
        None if there is no solution.
    """
    connection = project.connection
    best = connection.exec_driver_sql(
        "SELECT s.* FROM solution s JOIN target t ON t.id = s.target_id WHERE s.rank = 1 AND t.label = ?",
        (target,),
    ).first()
    if best is None:
        return None
    (aperture,) = (a for a in read_apertures(connection, removed=True) if a.id == best.aperture_id)
    source_id, label, weights = columns(
        connection,
        "SELECT n.source_id, s.label, n.weight FROM solution_reference n JOIN source s ON s.id = n.source_id"
        " WHERE n.solution_id = ? ORDER BY n.source_id",
        "isf",
        (best.id,),
    )
    (points,) = columns(connection, "SELECT frame_id FROM solution_point WHERE solution_id = ?", "i", (best.id,))
    frames = read_frames(connection)
    flux, flux_err = (
        cube[:, :, 0].T
        for cube in read_cube(
            connection,
            ("flux_adu", "flux_err_adu"),
            frame_ids=frames.id,
            source_ids=[best.target_id, *source_id.tolist()],
            aperture_ids=[best.aperture_id],
        )
    )
    mag, err = instrumental_magnitude(flux), magnitude_error(flux, flux_err)
    return BestCurve(
        target,
        list(label),
        weights,
        aperture,
        best.noise_mag,
        best.noise_mag_err,
        frames.number,
        frames.path,
        frames.jd_utc_mid,
        differential_magnitude(mag[0], mag[1:], weights),
        differential_error(err[0], err[1:], weights),
        np.isin(frames.id, points),
    )
