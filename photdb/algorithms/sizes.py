"""The quietest set of references of each size: how noise falls, and rises again, as references are added.

The quadratic form is that of `combinations`. Up to 2^20 sets all are looked at, in blocks over the low references; with
more references the best set of each size is found by exchanges, which is no proof that there is none quieter.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.combinations import inner_products, subset_forms, subset_sums
from photdb.algorithms.noise import HighPass

Floats = NDArray[np.float64]

#: Up to so many references all sets are looked at.
MAX_EXHAUSTIVE: Final = 20
_BLOCK_BITS: Final = 13


def quietest_by_size(target: ArrayLike, refs: ArrayLike, *, weights: ArrayLike, highpass: HighPass) -> Floats:
    """Least noise of a target's curve against 1, 2, …, N of its references.

    Parameters
    ----------
    target : array_like, shape (n,)
        Instrumental magnitudes of the target in the comparison frames, in time order.
    refs : array_like, shape (N, n)
        Those of the references.
    weights : array_like, shape (N,)
        Weights in the ensemble, positive.
    highpass : HighPass
        Operator of these frames.

    Returns
    -------
    ndarray of float64, shape (N,)
        Magnitudes; element k is that of the best set of k + 1 references. The least of all beyond `MAX_EXHAUSTIVE`
        references: that of the best set found.

    Raises
    ------
    ValueError
        There are too few frames for a noise.
    """
    if not highpass.trace > 0:
        raise ValueError("there are too few comparison frames in every run for a noise")
    m_target, m_refs = np.asarray(target, dtype=np.float64), np.asarray(refs, dtype=np.float64)
    w = np.asarray(weights, dtype=np.float64)
    w = w / np.max(w)
    gram = inner_products(highpass.residual(m_target - m_refs)) / highpass.trace
    form = np.outer(w, w) * gram
    noise2 = _all_sets(form, w) if len(w) <= MAX_EXHAUSTIVE else _by_exchange(form, w)
    return np.sqrt(np.maximum(noise2, 0.0))


def _all_sets(form: Floats, w: Floats) -> Floats:
    """Least noise² by size over all sets: blocks of those that share their high references."""
    n, low = len(w), min(len(w), _BLOCK_BITS)
    sizes = subset_sums(np.ones(low)).astype(np.intp)
    order = np.argsort(sizes, kind="stable")
    first = np.searchsorted(sizes[order], np.arange(low + 1))
    base, base_w = subset_forms(form[:low, :low])[order], subset_sums(w[:low])[order]
    best = np.full(n + 1, np.inf)
    for high in range(2 ** (n - low)):
        chosen = [i for i in range(low, n) if high >> (i - low) & 1]
        with_high = 2.0 * np.sum(form[chosen], axis=0)
        q = base + subset_sums(with_high[:low])[order] + 0.5 * float(np.sum(with_high[chosen]))
        weight = base_w + float(np.sum(w[chosen]))
        noise2 = np.divide(q, np.square(weight), out=np.full_like(q, np.inf), where=weight > 0)
        here = slice(len(chosen), len(chosen) + low + 1)
        best[here] = np.minimum(best[here], np.minimum.reduceat(noise2, first))
    return best[1:]


def _by_exchange(form: Floats, w: Floats) -> Floats:
    """Low noise² by size: the best set of one, then each with the best to come, and exchanges as long as they help."""
    n = len(w)
    best = np.full(n, np.inf)
    chosen = np.zeros(n, dtype=bool)
    for size in range(n):
        q, weight = np.sum(form[chosen][:, chosen]), np.sum(w[chosen])
        cross = 2.0 * np.sum(form[:, chosen], axis=1)
        added = (q + cross + np.diag(form)) / np.square(weight + w)
        chosen[int(np.argmin(np.where(chosen, np.inf, added)))] = True
        best[size] = _exchanged(form, w, chosen)
    return best


def _exchanged(form: Floats, w: Floats, chosen: NDArray[np.bool_]) -> float:
    """Exchange one reference of a set for one outside as long as that helps; changes `chosen`, gives its noise²."""
    diagonal = np.diag(form)
    while True:
        q, weight = float(np.sum(form[chosen][:, chosen])), float(np.sum(w[chosen]))
        now = q / weight**2
        inside, outside = np.flatnonzero(chosen), np.flatnonzero(~chosen)
        if not outside.size:
            return now
        cross = 2.0 * np.sum(form[:, chosen], axis=1)
        i, j = inside[:, None], outside[None, :]
        changed = q - (cross[i] - diagonal[i]) + cross[j] + diagonal[j] - 2.0 * form[i, j]
        noise2 = changed / np.square(weight - w[i] + w[j])
        place = int(np.argmin(noise2))
        if not noise2.flat[place] < now * (1.0 - 1e-9):
            return now
        out, into = divmod(place, outside.size)
        chosen[inside[out]], chosen[outside[into]] = False, True
