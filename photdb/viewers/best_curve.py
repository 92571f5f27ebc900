"""The best light curve of a target as plots want it: with the points that were left out, beside those that count."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.differential import (
    differential_error,
    differential_magnitude,
    instrumental_magnitude,
    magnitude_error,
)
from photdb.store.arrays import Aperture, Frames, columns, read_apertures, read_fluxes, read_frames
from photdb.store.project import Project

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BestCurve:
    """The solution of rank 1, applied to all frames in time order; arrays of shape (n_frames,).

    Points are those that were kept, whatever was corrected in them or taken out; what was left out is as measured.
    """

    target: str
    references: list[str]
    weights: Floats  # (n_references,)
    aperture: Aperture
    noise_mag: float
    noise_mag_err: float
    target_id: int
    frame_id: NDArray[np.int64]
    number: NDArray[np.int64]
    path: list[str]
    jd_utc_mid: Floats
    accepted: NDArray[np.bool_]  # the frame; else no source has a point in it
    mag: Floats  # NaN where a flux is missing or not positive; left out of a detrended curve: everywhere but at points
    measured_mag: Floats  # the same of the fluxes as they were measured, with nothing taken out, in all frames
    mag_err: Floats
    kept: NDArray[np.bool_]  # a point of the solution; elsewhere the frame was rejected, or a flux flagged
    detrended: str | None  # what was fitted and taken out
    zero_mag: float | None  # added to `mag`, it gives catalogue magnitudes
    zero_mag_err: float | None
    band: str | None
    noise_holdout_mag: float | None  # on frames that did not choose it
    noise_holdout_mag_err: float | None
    systematic_mag: float | None
    checks: dict[str, Floats]  # magnitudes of check stars against the same references, by their labels


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
        "SELECT s.*, h.detrended, h.noise_holdout_mag AS holdout_mag, h.noise_holdout_mag_err AS holdout_mag_err"
        " FROM solution s JOIN target t ON t.id = s.target_id JOIN search h ON h.target_id = s.target_id"
        " WHERE s.rank = 1 AND t.label = ?",
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
    points, kept_mag, kept_err = columns(
        connection, "SELECT frame_id, mag, mag_err FROM solution_point WHERE solution_id = ?", "iff", (best.id,)
    )
    frames = read_frames(connection)
    flux, flux_err = (
        cube[:, :, 0].T
        for cube in read_fluxes(
            connection,
            ("flux_adu", "flux_err_adu"),
            frame_ids=frames.id,
            source_ids=[best.target_id, *source_id.tolist()],
            aperture_ids=[best.aperture_id],
        )
    )
    mag, err = instrumental_magnitude(flux), magnitude_error(flux, flux_err)
    measured = differential_magnitude(mag[0], mag[1:], weights)
    kept = np.isin(frames.id, points)
    left_out = measured if best.detrended is None else np.full(kept.shape, np.nan)
    return BestCurve(
        target,
        list(label),
        weights,
        aperture,
        best.noise_mag,
        best.noise_mag_err,
        best.target_id,
        frames.id,
        frames.number,
        frames.path,
        frames.jd_utc_mid,
        frames.accepted,
        np.where(kept, _at_frames(frames, points, kept_mag), left_out),
        measured,
        np.where(kept, _at_frames(frames, points, kept_err), differential_error(err[0], err[1:], weights)),
        kept,
        best.detrended,
        best.zero_mag,
        best.zero_mag_err,
        best.band,
        best.holdout_mag,
        best.holdout_mag_err,
        best.systematic_mag,
        _check_stars(project, frames, best.id),
    )


def _check_stars(project: Project, frames: Frames, solution_id: int) -> dict[str, Floats]:
    label, frame_id, mag = columns(
        project.connection,
        "SELECT s.label, p.frame_id, p.mag FROM check_point p JOIN source s ON s.id = p.source_id"
        " WHERE p.solution_id = ? AND s.removed_at IS NULL ORDER BY p.source_id, p.frame_id",
        "sif",
        (solution_id,),
    )
    # Rows of a star stand together: there may be thousands of stars.
    begins = [0, *(i for i in range(1, len(label)) if label[i] != label[i - 1]), len(label)]
    return {label[i]: _at_frames(frames, frame_id[i:j], mag[i:j]) for i, j in itertools.pairwise(begins) if i < j}


def _at_frames(frames: Frames, frame_id: NDArray[np.int64], values: Floats) -> Floats:
    """Put values of some frames at their places among all; NaN elsewhere."""
    of = dict(zip(frame_id.tolist(), values.tolist(), strict=True))
    return np.array([of.get(id_, np.nan) for id_ in frames.id.tolist()])
