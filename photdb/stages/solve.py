"""Stage `solve`: for each target the quietest of all apertures × sets of references × weightings, and their curves."""

import shlex
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, insert

from photdb.algorithms import differential, noise
from photdb.errors import PhotdbError
from photdb.stages import STAGES, Plan
from photdb.stages.runner import Session
from photdb.stages.series import Series, load_series, nothing_left
from photdb.store import schema
from photdb.store.arrays import replace_rows
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.project import Project
from photdb.wording import count, numbers

Floats = NDArray[np.float64]

#: A reference that alone costs more than this part of the frames is named.
_COSTLY = 0.05


def plan(project: Project, params: dict[str, Any]) -> Plan:
    """Find targets whose magnitudes, references or search differ from what their solutions were made from."""
    series = load_series(project, "asteroid", "variable", "reference")
    plan = Plan(params)
    targets, references = series.of("asteroid", "variable"), series.of("reference")
    if not targets:
        plan.blocked = nothing_left(project, "asteroid", "variable") or (
            "no target is selected: `photdb select asteroid` or `photdb select variable`"
        )
    elif not references:
        plan.blocked = nothing_left(project, "reference") or (
            "no reference is selected: `photdb select reference NAME --at FRAME X Y`"
        )
    told = driver(project.connection).execute(
        "SELECT t.label, h.message FROM search h JOIN target t ON t.id = h.target_id WHERE h.message IS NOT NULL"
    )
    plan.notes = [f"{label}: {message}" for label, message in told]
    plan.n_units = len(targets)
    known = dict(driver(project.connection).execute("SELECT target_id, input FROM search").fetchall())
    for k in targets:
        source = series.sources[k]
        if known.get(source.id) != _input(series, k, references, params):
            plan.work.append((series, k))
            what = "its magnitudes, references or search changed" if source.id in known else "not solved"
            plan.reasons.append(f"{source.role} {source.label}: {what}")
    return plan


def run(project: Project, plan: Plan, session: Session) -> None:
    """Search, and keep the quietest curves.

    Raises
    ------
    PhotdbError
        The options of the search contradict each other.
    """
    with session.progress("solve", len(plan.work)) as advance:
        for series, k in plan.work:
            references = series.of("reference")
            try:
                found = _solve(series, k, references, plan.params)
            except ValueError as error:
                raise PhotdbError(f"{series.sources[k].label} cannot be solved: {error}") from error
            with project.transaction() as connection:
                _save(connection, series, k, _input(series, k, references, plan.params), found)
            advance(1)


def _input(series: Series, k: int, references: list[int], params: dict[str, Any]) -> int:
    part = [k, *references]
    return digest(
        STAGES["solve"].version,
        params,
        [series.sources[j].id for j in part],
        [a.id for a in series.apertures],
        series.frame_id,
        series.jd_utc_mid,
        series.exposure_s,
        series.allowed[part],
        series.mag[:, part],
        series.mag_err[:, part],
    )


def _solve(series: Series, k: int, references: list[int], params: dict[str, Any]) -> dict[str, Any]:
    """Search all combinations for one target; gives the columns of `search` and a list of solutions."""
    from photdb.algorithms.combinations import Combination, rank, search_all

    apertures, of_target, of_reference = comparable(series, k, references)
    comparison: NDArray[np.bool_] = of_target & np.all(of_reference, axis=1)
    result: dict[str, Any] = {
        "n_frames": int(comparison.sum()),
        "n_references": len(references),
        "n_apertures": len(apertures),
        "n_combinations": 0,
        "message": _costs(series, references, of_target, of_reference) or None,
    }
    if not apertures:
        return {**result, "message": "no aperture is left for it and a reference", "solutions": []}
    highpass = noise.smoother(series.jd_utc_mid[comparison], window=params["window"], degree=params["degree"])
    if not highpass.trace > 0:
        few = f"too few frames ({result['n_frames']}) where it and all references are valid"
        result["message"] = "; ".join(filter(None, [few, result["message"]]))
        return {**result, "solutions": []}
    weightings = params["weighting"]
    found: list[Combination] = []
    for allowed, group in groups(series, references, apertures):
        refs = series.mag[comparison][:, allowed][:, :, group].transpose(2, 1, 0)
        weights = weights_of(series, comparison, allowed, group, weightings)
        place = [references.index(j) for j in allowed]
        n_more = len(weightings) - 1
        result["n_combinations"] += len(group) * ((n_more + 1) * (2 ** len(allowed) - 1) - n_more * len(allowed))
        top = params["top"] * len(weightings)  # some of them will be said twice
        for c in search_all(series.mag[comparison, k][:, group].T, refs, weights=weights, highpass=highpass, top=top):
            mask = sum(1 << place[i] for i in c.references)
            if c.weighting == 0 or mask.bit_count() > 1:  # a single reference is the same under every weighting
                found.append(Combination(c.noise_mag, mask, group[c.aperture], c.weighting))
    solutions = []
    for c in rank(found)[: params["top"]]:
        chosen = [references[i] for i in c.references]
        weights = weights_of(series, comparison, chosen, [c.aperture], [weightings[c.weighting]])[0, 0]
        solutions.append(
            _curve(series, k, chosen, weights, c.aperture, comparison, highpass)
            | {
                "noise_mag": c.noise_mag,
                "noise_mag_err": c.noise_mag * highpass.relative_error,
                "weighting": weightings[c.weighting],
                "n_frames": result["n_frames"],
            }
        )
    return {**result, "solutions": solutions}


def comparable(series: Series, k: int, references: list[int]) -> tuple[list[int], NDArray[np.bool_], NDArray[np.bool_]]:
    """Find what all combinations for one target are compared on.

    Returns
    -------
    apertures : list of int
        Places of the apertures in which it and a reference are allowed.
    of_target : ndarray of bool (n_frames,)
        The frames in which it is valid in all of them.
    of_reference : ndarray of bool (n_frames, n_references)
        Those in which each reference is.
    """
    apertures = [
        p for p in range(len(series.apertures)) if series.allowed[k, p] and series.allowed[references, p].any()
    ]
    valid = np.isfinite(series.mag) | ~series.allowed  # what is not allowed is not asked for
    of_target = np.all(valid[:, k][:, apertures], axis=1)
    return apertures, of_target, np.all(valid[:, references][:, :, apertures], axis=2)


def groups(series: Series, references: list[int], apertures: list[int]) -> Iterator[tuple[tuple[int, ...], list[int]]]:
    """Give apertures in which the same references are allowed, which are searched together, and these references."""
    for allowed in {tuple(j for j in references if series.allowed[j, p]): None for p in apertures}:
        yield allowed, [p for p in apertures if tuple(j for j in references if series.allowed[j, p]) == allowed]


def weights_of(
    series: Series, comparison: NDArray[np.bool_], references: Any, apertures: list[int], weightings: list[str]
) -> Floats:
    """Weights (aperture, weighting, reference)."""
    flux = series.flux_adu[comparison][:, references][:, :, apertures].transpose(2, 1, 0)
    err = series.mag_err[comparison][:, references][:, :, apertures].transpose(2, 1, 0)
    exposure = series.exposure_s[comparison]
    if "flux" in weightings and np.isfinite(exposure).any() and not (exposure > 0).all():
        unknown = numbers(series.number[comparison][~(exposure > 0)].tolist())
        raise ValueError(f"flux per second needs the exposure time, which frame {unknown} does not say")
    rate = flux / (exposure if np.isfinite(exposure).all() else 1.0)  # unknown throughout: taken as all the same
    return np.stack([differential.reference_weights(name, rate, err) for name in weightings], axis=1)


def _curve(
    series: Series,
    k: int,
    references: list[int],
    weights: Floats,
    aperture: int,
    comparison: NDArray[np.bool_],
    highpass: noise.HighPass,
) -> dict[str, Any]:
    """Compute the curve of one combination on all frames where its own references are valid, and its figures."""
    from photdb.algorithms.references import drifts

    target, refs = series.mag[:, k, aperture], series.mag[:, references, aperture].T
    mag = differential.differential_magnitude(target, refs, weights)
    err = differential.differential_error(
        series.mag_err[:, k, aperture], series.mag_err[:, references, aperture].T, weights
    )
    points = np.flatnonzero(np.isfinite(mag))
    drift = np.nan
    if len(references) > 1:
        each = drifts(refs[:, comparison], series.jd_utc_mid[comparison])
        drift = float(np.sqrt(np.mean(each**2)))
    return {
        "aperture_id": series.apertures[aperture].id,
        "n_references": len(references),
        "noise_robust_mag": float(noise.robust_noise(mag[comparison], highpass)),
        "drift_mag": drift if np.isfinite(drift) else None,
        "n_points": points.size,
        "references": [(series.sources[j].id, w) for j, w in zip(references, weights.tolist(), strict=True)],
        "points": [
            (int(series.frame_id[i]), m, e)
            for i, m, e in zip(points, mag[points].tolist(), err[points].tolist(), strict=True)
        ],
    }


def _costs(series: Series, references: list[int], of_target: NDArray[np.bool_], of_reference: NDArray[np.bool_]) -> str:
    """Name references that keep many frames out of the comparison, with the offer to drop them."""
    out = []
    for j, k in enumerate(references):
        others = of_target & np.delete(of_reference, j, axis=1).all(axis=1)
        lost = int((others & ~of_reference[:, j]).sum())
        if lost > _COSTLY * of_target.size:
            label = series.sources[k].label
            command = f"photdb reject source {shlex.quote(label)}"
            out.append(f"reference {label} alone costs {count(lost, 'frame')}: {command}")
    return "; ".join(out)


def _save(connection: Connection, series: Series, k: int, input_: int, found: dict[str, Any]) -> None:
    target_id = series.sources[k].id
    solutions = found.pop("solutions")
    connection.execute(delete(schema.search).where(schema.search.c.target_id == target_id))
    connection.execute(delete(schema.solution).where(schema.solution.c.target_id == target_id))  # and what hangs on it
    connection.execute(insert(schema.search).values(target_id=target_id, input=input_, **found))
    for rank, solution in enumerate(solutions, 1):
        references, points = solution.pop("references"), solution.pop("points")
        row = connection.execute(insert(schema.solution).values(target_id=target_id, rank=rank, **solution))
        (solution_id,) = row.inserted_primary_key or (0,)
        replace_rows(
            connection,
            "solution_reference",
            ("solution_id", "source_id", "weight"),
            [(solution_id, source_id, weight) for source_id, weight in references],
        )
        replace_rows(
            connection,
            "solution_point",
            ("solution_id", "frame_id", "mag", "mag_err"),
            [(solution_id, *point) for point in points],
        )
