"""What plot `search` shows: the least noise with each number of references in each aperture, found as `solve` does."""

import numpy as np

from photdb.errors import PhotdbError
from photdb.stages.runner import resolve
from photdb.stages.series import load_series, nothing_left
from photdb.stages.solve import comparable, groups, weights_of
from photdb.store.arrays import columns
from photdb.store.project import Project
from photdb.viewers.search import NoiseMap


def noise_map(project: Project, target: str) -> NoiseMap:
    """Find the quietest set of each size in each aperture, on the frames, and with the options, of `solve`.

    Raises
    ------
    PhotdbError
        There are no references, or too few frames in which all of them are valid.
    """
    from photdb.algorithms.noise import smoother
    from photdb.algorithms.sizes import MAX_EXHAUSTIVE, quietest_by_size

    params = resolve(project.connection, "solve")
    series = load_series(project, "asteroid", "variable", "reference")
    k = [source.label for source in series.sources].index(target)
    references = series.of("reference")
    if not references:
        raise PhotdbError(
            nothing_left(project, "reference")
            or "no reference is selected: `photdb select reference NAME --at FRAME X Y`"
        )
    apertures, of_target, of_reference = comparable(series, k, references)
    comparison = of_target & of_reference.all(axis=1)
    highpass = smoother(series.jd_utc_mid[comparison], window=params["window"], degree=params["degree"])
    if not apertures or not highpass.trace > 0:
        raise PhotdbError(
            f"too few frames ({comparison.sum()}) where {target} and all references are valid: `photdb measure`,"
            " or `photdb reject list`"
        )
    noise = np.full((len(series.apertures), len(references)), np.nan)
    for allowed, group in groups(series, references, apertures):
        try:
            weights = weights_of(series, comparison, allowed, group, params["weighting"])
        except ValueError as error:
            raise PhotdbError(f"{target} cannot be solved: {error}") from error
        for p, of_aperture in zip(group, weights, strict=True):
            refs = series.mag[comparison][:, allowed, p].T
            found = [
                quietest_by_size(series.mag[comparison, k, p], refs, weights=w, highpass=highpass) for w in of_aperture
            ]
            noise[p, : len(allowed)] = np.min(found, axis=0)
    n_references, kept = columns(
        project.connection,
        "SELECT n_references, noise_mag FROM best_combination WHERE target = ? ORDER BY rank",
        "ff",
        (target,),
    )
    names = [series.apertures[p].label for p in apertures]
    return NoiseMap(target, names, noise[apertures], n_references, kept, len(references) <= MAX_EXHAUSTIVE)
