"""Curves of magnitudes as plots and windows want them: leave-one-out ones of references, and one in each aperture."""

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.differential import instrumental_magnitude
from photdb.errors import PhotdbError
from photdb.plots.encounters import frames_met
from photdb.stages.series import Series, load_series, nothing_left
from photdb.store.arrays import Aperture, read_cube
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.viewers.apertures import ApertureCurves
from photdb.viewers.references import ReferenceCurves

Floats = NDArray[np.float64]


def target_label(project: Project, wanted: str | None) -> str:
    """Give the target that a plot is of: the one asked for, else the first.

    Raises
    ------
    PhotdbError
        There is none, or none of that name.
    """
    labels = [label for (label,) in driver(project.connection).execute("SELECT label FROM target ORDER BY id")]
    if not labels:
        raise PhotdbError(
            nothing_left(project, "asteroid", "variable")
            or "no target is selected: `photdb select asteroid` or `photdb select variable`"
        )
    if wanted is not None and wanted not in labels:
        raise PhotdbError(f"there is no target {wanted}: the targets are {', '.join(labels)}")
    return wanted or labels[0]


def aperture_place(project: Project, apertures: Sequence[Aperture], wanted: int | None, target: str | None) -> int:
    """Give the place of an aperture in a list: the one asked for by its id, else the best of a target, or the middle.

    Raises
    ------
    PhotdbError
        There is none, or the one asked for is rejected.
    """
    ids = [a.id for a in apertures]
    if not ids:
        raise PhotdbError("there is no aperture yet, or all are rejected: `photdb measure`, `photdb reject list`")
    if wanted is not None:
        if wanted not in ids:
            raise PhotdbError(f"aperture {wanted} is rejected: take it back with `photdb accept aperture {wanted}`")
        return ids.index(wanted)
    best = (
        driver(project.connection)
        .execute(
            "SELECT aperture_id FROM best_combination WHERE rank = 1 AND (target = ? OR ? IS NULL)"
            " ORDER BY target LIMIT 1",
            (target, target),
        )
        .fetchone()
    )
    return ids.index(best[0]) if best is not None and best[0] in ids else len(ids) // 2


def reference_curves(project: Project, *, aperture_id: int | None = None) -> ReferenceCurves:
    """Compare each reference with the mean of the others, as `check` does.

    Parameters
    ----------
    project : Project
    aperture_id : int, optional
        By default that of the best curve of the first target, or the middle one.

    Raises
    ------
    PhotdbError
        Fewer than two references are left, or they are not measured.
    """
    from photdb.algorithms.references import leave_one_out

    series = load_series(project, "asteroid", "variable", "reference")
    p = aperture_place(project, series.apertures, aperture_id, None)
    places = [k for k in series.of("reference") if series.allowed[k, p]]
    if len(places) < 2:
        raise PhotdbError("a reference is compared with the others: two or more are needed, `photdb select reference`")
    mag = series.mag[:, places, p].T
    if not np.isfinite(mag).all(axis=0).any():
        raise PhotdbError("in no accepted frame are all references measured: `photdb measure`, or `photdb reject list`")
    curve = about_median((mag - mag.mean(axis=0)) * (len(places) / (len(places) - 1)))  # minus the mean of the others
    found = leave_one_out(mag, series.jd_utc_mid)
    return ReferenceCurves(
        [series.sources[k].label for k in places],
        series.number,
        series.jd_utc_mid,
        curve,
        found.scatter_mag,
        str(series.apertures[p]),
    )


def aperture_curves(project: Project, target: str) -> ApertureCurves:
    """Compute the curve of a target in each aperture: against the references of its best curve, else against all.

    Raises
    ------
    PhotdbError
        There are no references, or nothing is measured.
    """
    series = load_series(project, "asteroid", "variable", "reference")
    k = [source.label for source in series.sources].index(target)
    best = driver(project.connection).execute(
        "SELECT n.source_id FROM solution_reference n JOIN solution s ON s.id = n.solution_id"
        " JOIN target t ON t.id = s.target_id WHERE t.label = ? AND s.rank = 1",
        (target,),
    )
    kept = {source_id for (source_id,) in best}
    everyone = series.of("reference")
    references = [j for j in everyone if series.sources[j].id in kept] or everyone
    if not references:
        raise PhotdbError(
            nothing_left(project, "reference")
            or "no reference is selected: `photdb select reference NAME --at FRAME X Y`"
        )
    mag = np.full((len(series.apertures), series.number.size), np.nan)
    for p in range(len(series.apertures)):
        here = [j for j in references if series.allowed[j, p]]
        if here:
            mag[p] = series.mag[:, k, p] - series.mag[:, here, p].mean(axis=1)
    if not np.isfinite(mag).any():
        raise PhotdbError(
            f"{target} and its references are measured in no frame: `photdb measure`, `photdb reject list`"
        )
    names = [a.label for a in series.apertures]
    labels = [series.sources[j].label for j in references]
    zero = _medians(mag)
    met = frames_met(project, target, series.frame_id, [a.id for a in series.apertures])
    out = met & ~np.isfinite(series.mag[:, k, :].T)
    there = np.where(out, _as_measured(project, series, k, references) - zero, np.nan) if out.any() else None
    return ApertureCurves(
        target, labels, names, series.number, series.jd_utc_mid, mag - zero, np.any(met, axis=0), there
    )


def _as_measured(project: Project, series: Series, k: int, references: list[int]) -> Floats:
    """Compute the curves (P, n) of a source with no point left out, whatever its flags and those of the references."""
    (flux,) = read_cube(
        project.connection,
        ("flux_adu",),
        frame_ids=series.frame_id,
        source_ids=[series.sources[j].id for j in (k, *references)],
        aperture_ids=[a.id for a in series.apertures],
    )
    mag = np.where(series.allowed[[k, *references]], instrumental_magnitude(flux), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no reference may be left in an aperture
        curves: Floats = (mag[:, 0] - np.nanmean(mag[:, 1:], axis=1)).T
    return curves


def about_median(curves: Floats) -> Floats:
    """Subtract its median from each curve (N, n)."""
    return curves - _medians(curves)


def _medians(curves: Floats) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a curve without points has no median
        median: Floats = np.nanmedian(curves, axis=1, keepdims=True)
    return median
