"""Stage `solve`: for each target the quietest of all apertures × sets of references × weightings, and their curves."""

import shlex
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, insert

from photdb.errors import PhotdbError
from photdb.stages import STAGES, Plan
from photdb.stages.comparison import Comparison, all_weights, compare, groups, least_weights, magnitudes
from photdb.stages.curves import check_curves, curve, differential_curve
from photdb.stages.runner import Session
from photdb.stages.series import Series, load_series, nothing_left
from photdb.stages.terms import Asked, asked
from photdb.store import schema
from photdb.store.arrays import replace_rows
from photdb.store.catalogue import Catalogue, read_catalogue
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.project import Project
from photdb.wording import count

if TYPE_CHECKING:
    from photdb.algorithms.combinations import Combination
    from photdb.algorithms.holdout import Halves, Judged

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: A reference that alone costs more than this part of the frames is named.
_COSTLY = 0.05


def plan(project: Project, params: dict[str, Any]) -> Plan:
    """Find targets whose magnitudes, references or search differ from what their solutions were made from."""
    series = load_series(project, "asteroid", "variable", "reference", "check")
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
    catalogue = read_catalogue(project.connection)
    wanted = {k: asked(project, series, series.sources[k].id, params) for k in targets}
    plan.found = catalogue, wanted
    for k in targets:
        source = series.sources[k]
        if known.get(source.id) != _input(series, k, params, catalogue, wanted[k]):
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
    catalogue, wanted = plan.found
    with session.progress("solve", len(plan.work)) as advance:
        for series, k in plan.work:
            try:
                found = _solve(series, k, plan.params, catalogue, wanted[k])
            except ValueError as error:
                raise PhotdbError(f"{series.sources[k].label} cannot be solved: {error}") from error
            with project.transaction() as connection:
                _save(connection, series, k, _input(series, k, plan.params, catalogue, wanted[k]), found)
            advance(1)


def _input(
    series: Series, k: int, params: dict[str, Any], catalogue: dict[int, Catalogue], wanted: Asked | None
) -> int:
    part = [k, *series.of("reference"), *series.of("check")]
    told = [catalogue[series.sources[j].id] for j in part]
    return digest(
        STAGES["solve"].version,
        params,
        [series.sources[j].id for j in part],
        [series.sources[j].role for j in part],
        [(c.mag, c.mag_err, c.band, c.colour) for c in told],
        [a.id for a in series.apertures],
        series.frame_id,
        series.jd_utc_mid,
        series.exposure_s,
        series.allowed[part],
        series.mag[:, part],
        series.mag_err[:, part],
        None if wanted is None else wanted.parts(),
    )


def _solve(
    series: Series, k: int, params: dict[str, Any], catalogue: dict[int, Catalogue], wanted: Asked | None
) -> dict[str, Any]:
    """Search all combinations for one target; gives the columns of `search`, and under `solutions` a list of them."""
    from photdb.algorithms.combinations import rank
    from photdb.algorithms.doubts import doubts, worse_for_terms
    from photdb.algorithms.noise import noise, smoother

    references = series.of("reference")
    on = compare(series, k, references, params, wanted)
    frames, highpass = on.frames, on.highpass
    costs = _costs(series, references, on.of_target, on.of_reference)
    result: dict[str, Any] = {
        "n_frames": int(frames.sum()),
        "n_references": len(references),
        "n_apertures": len(on.apertures),
        "n_combinations": 0,
        "message": "; ".join(filter(None, [costs, *on.notes])) or None,
    }
    if not on.apertures:
        return {**result, "message": "no aperture is left for it and a reference", "solutions": []}
    if not highpass.trace > 0:
        few = f"too few frames ({result['n_frames']}) where it and all references are valid"
        result["message"] = "; ".join(filter(None, [few, result["message"]]))
        return {**result, "solutions": []}
    search = _Search(series, k, on, params)
    search.run()
    result["n_combinations"] = search.n_combinations
    figures, error = search.holdout()
    result |= figures.get(None, {})
    if on.terms is not None:
        from photdb.algorithms.terms import signal_left

        result["detrended"] = ", ".join(on.terms.names)
        result["wave_left"], result["dip_left"] = signal_left(on.terms, series.jd_utc_mid[frames])
    solutions: list[dict[str, Any]] = []
    for c in rank(search.found)[: params["top"]]:
        chosen = [references[i] for i in c.references]
        allowed, weights = search.weights[c.aperture, c.weighting]
        w = weights[[allowed.index(j) for j in chosen]]
        lag = 3 * params["window"]
        made = curve(series, k, chosen, w, c.aperture, on, catalogue, noise_mag=c.noise_mag, lag=lag)
        made |= {
            "noise_mag": c.noise_mag,
            "noise_mag_err": c.noise_mag * highpass.relative_error,
            "weighting": params["weighting"][c.weighting],
            "n_frames": result["n_frames"],
            **figures.get(params["weighting"][c.weighting], {}),
        }
        if not solutions:
            made["checks"] = check_curves(series, chosen, w, c.aperture, on, params, wanted)
            target, refs = magnitudes(series, k, frames, allowed, [c.aperture])
            ids = {frame_id: mag for frame_id, mag, _ in made["points"]}
            said = doubts(
                target[0],
                refs[0],
                np.array([ids[frame_id] for frame_id in series.frame_id[frames].tolist()]),
                highpass,
                noise_mag=c.noise_mag,
                holdout_mag=result.get("noise_holdout_mag"),
                holdout_err=error,
                window=params["window"],
            )
            if on.terms is not None:
                bare = differential_curve(series, k, chosen, w, c.aperture)[0][frames]
                plain = smoother(series.jd_utc_mid[frames], window=params["window"], degree=params["degree"])
                said += worse_for_terms(c.noise_mag, float(noise(bare, plain)), highpass.relative_error)
            result["doubts"] = "; ".join(said) or None
        solutions.append(made)
    return {**result, "solutions": solutions}


class _Search:
    """The search for one target over groups of apertures: what it found, with which weights, and its hold-out."""

    def __init__(self, series: Series, k: int, on: Comparison, params: dict[str, Any]) -> None:
        from photdb.algorithms.holdout import halves

        self.series, self.k, self.on, self.params = series, k, on, params
        self.found: list[Combination] = []
        self.n_combinations = 0
        #: By aperture and weighting: the references searched, and their weights.
        self.weights: dict[tuple[int, int], tuple[list[int], Floats]] = {}
        self.judged: dict[str, list[Judged]] = {name: [] for name in params["weighting"]}
        terms = on.terms
        self.cut: Halves | None = halves(
            series.jd_utc_mid[on.frames],
            window=params["window"],
            degree=params["degree"],
            basis=None if terms is None else terms.basis[:, on.frames],
            fit=None if terms is None else terms.fit,
        )

    def run(self) -> None:
        """Search all groups of apertures."""
        from photdb.algorithms.combinations import search, search_all

        series, on, names = self.series, self.on, self.params["weighting"]
        references = series.of("reference")
        n_fixed = len(names) - ("least" in names)  # which comes last, has other references in each aperture
        top = self.params["top"] * len(names)  # some of them will be said twice
        for allowed, group in groups(series, references, on.apertures):
            targets, refs = magnitudes(series, self.k, on.frames, allowed, group)
            place = [references.index(j) for j in allowed]
            weights = all_weights(series, on, allowed, group, names, (targets, refs))
            if n_fixed:
                told = np.array([of_aperture[:n_fixed] for of_aperture in weights])
                for c in search_all(targets, refs, weights=told, highpass=on.highpass, top=top):
                    self._keep(c, group[c.aperture], c.weighting, place)
            if "least" in names:
                for p, (*_, w) in enumerate(weights):
                    members = np.flatnonzero(w > 0)
                    for c in search(targets[p], refs[p][members], weights=w[members], highpass=on.highpass, top=top):
                        self._keep(c, group[p], n_fixed, [place[i] for i in members.tolist()])
            for p, of_aperture in zip(group, weights, strict=True):
                for n, w in enumerate(of_aperture):
                    self.weights[p, n] = list(allowed), w
                    size = int(np.sum(w > 0))
                    self.n_combinations += 2**size - 1 - (size if n else 0)
            self._judge(targets, refs, weights)

    def _keep(self, c: "Combination", aperture: int, weighting: int, place: list[int]) -> None:
        from photdb.algorithms.combinations import Combination

        mask = sum(1 << place[i] for i in c.references)
        if weighting == 0 or mask.bit_count() > 1:  # a single reference is the same under every weighting
            self.found.append(Combination(c.noise_mag, mask, aperture, weighting))

    def _judge(self, targets: Floats, refs: Floats, weights: list[list[Floats]]) -> None:
        """Choose in each half of the frames what the other half judges."""
        from photdb.algorithms.combinations import inner_products
        from photdb.algorithms.holdout import judge

        if self.cut is None:
            return
        cut, names = self.cut, self.params["weighting"]
        halved = (
            [least_weights(targets, refs, cut.highpass, frames=half) for half in cut.each] if "least" in names else []
        )
        for p, of_aperture in enumerate(weights):
            d = cut.highpass.residual(targets[p] - refs[p])
            one, other = (inner_products(np.ascontiguousarray(d[:, half])) / cut.trace(half) for half in cut.each)
            for name, w in zip(names, of_aperture, strict=True):
                pair = (halved[0][p], halved[1][p]) if name == "least" else (w, w)
                self.judged[name].append(judge((one, other), pair))

    def holdout(self) -> tuple[dict[str | None, dict[str, float]], float]:
        """Give the hold-out columns of each weighting and, under None, of all; and their relative error."""
        from photdb.algorithms.holdout import pooled

        if self.cut is None:
            return {}, float("nan")
        error = self.cut.highpass.relative_error
        searched: dict[str | None, list[Judged]] = {None: [j for found in self.judged.values() for j in found]}
        columns = {}
        for name, found in (searched | self.judged).items():
            figure = pooled(found, self.cut)
            columns[name] = {"noise_holdout_mag": figure, "noise_holdout_mag_err": figure * error}
        return columns, error


def _costs(series: Series, references: list[int], of_target: Bools, of_reference: Bools) -> str:
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
        references, points, terms = (solution.pop(name) for name in ("references", "points", "terms"))
        checks = solution.pop("checks", [])
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
        replace_rows(
            connection,
            "solution_term",
            ("solution_id", "term", "kind", "amplitude_mag", "amplitude_err_mag", "span"),
            [(solution_id, *term) for term in terms],
        )
        replace_rows(
            connection,
            "check_curve",
            ("solution_id", "source_id", "noise_mag", "noise_mag_err", "n_points"),
            [(solution_id, source_id, figure, error, len(of_check)) for source_id, figure, error, of_check in checks],
        )
        replace_rows(
            connection,
            "check_point",
            ("solution_id", "source_id", "frame_id", "mag", "mag_err"),
            [(solution_id, source_id, *point) for source_id, _, _, of_check in checks for point in of_check],
        )
