"""What plot `search` shows: the least noise with each number of references in each aperture, found as `solve` does."""

import numpy as np

from photdb.errors import PhotdbError
from photdb.stages.comparison import all_weights, compare, groups, magnitudes
from photdb.stages.runner import resolve
from photdb.stages.series import load_series, nothing_left
from photdb.stages.terms import asked
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
    try:
        on = compare(series, k, references, params, asked(project, series, series.sources[k].id, params))
        if not on.apertures or not on.highpass.trace > 0:
            raise PhotdbError(
                f"too few frames ({on.frames.sum()}) where {target} and all references are valid: `photdb measure`,"
                " or `photdb reject list`"
            )
        noise = np.full((len(series.apertures), len(references)), np.nan)
        for allowed, group in groups(series, references, on.apertures):
            mags = magnitudes(series, k, on.frames, allowed, group)
            weights = all_weights(series, on, allowed, group, params["weighting"], mags)
            for p, m_target, m_refs, of_aperture in zip(group, *mags, weights, strict=True):
                for w in of_aperture:
                    members = w > 0
                    found = quietest_by_size(m_target, m_refs[members], weights=w[members], highpass=on.highpass)
                    noise[p, : found.size] = np.fmin(noise[p, : found.size], found)
    except ValueError as error:
        raise PhotdbError(f"{target} cannot be solved: {error}") from error
    n_references, kept = columns(
        project.connection,
        "SELECT n_references, noise_mag FROM best_combination WHERE target = ? ORDER BY rank",
        "ff",
        (target,),
    )
    names = [series.apertures[p].label for p in on.apertures]
    return NoiseMap(target, names, noise[on.apertures], n_references, kept, len(references) <= MAX_EXHAUSTIVE)
