"""The search over apertures × sets of references × weightings for the quietest curve.

With d_i = R(m_target − m_i), the noise of the target against the weighted mean of a set S of references is
noise² = Q / (W² tr(R Rᵀ)), Q = Σ_S Σ_S w_i w_j d_i·d_j, W = Σ_S w_i: once the inner products are known, a set costs a
few additions whatever the number of frames. Differences are taken before R, so that clouds cancel where no digit is
lost.

A set is quieter than a limit if Q − limit·W² < 0, which is a quadratic form again: Σ_S Σ_S w_i w_j (d_i·d_j − limit).
So the search never divides. It walks over all 2^N − 1 sets, with a limit that is known to be reached by `top` sets (the
neighbours of a local optimum), and collects the few sets below it: a block of 2^13 sets over the low references is held
as one array, and going on to the next set of the high references is one addition of arrays and one minimum. The sets
collected are then evaluated by one exact formula in one order of additions, so that neither blocks nor limits show in
the answer. Noises are rounded to 36 bits (1e-11), below which a difference is rounding, not a rank.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.noise import HighPass

Floats = NDArray[np.float64]
Masks = NDArray[np.int64]
Progress = Callable[[int, int], None]

#: More references than this are refused.
MAX_REFERENCES: Final = 32
#: More ranks than this are refused.
MAX_TOP: Final = 300

_BLOCK_BITS: Final = 13  # sets of one array: it and its neighbours stay in the second-level cache
_WALK_BITS: Final = 10  # blocks between two tightenings of the limit
_POOL: Final = 8192  # collected sets that are ranked and thinned out together


@dataclass(frozen=True, slots=True)
class Combination:
    """One aperture, one set of references, one weighting, and the noise of the target's curve."""

    noise_mag: float
    mask: int  # bit i stands for reference i
    aperture: int = 0  # position on the axes of what was searched
    weighting: int = 0

    @property
    def references(self) -> tuple[int, ...]:
        """Positions of the references in the set, ascending."""
        return tuple(i for i in range(self.mask.bit_length()) if self.mask >> i & 1)


def search(
    target: ArrayLike,
    refs: ArrayLike,
    *,
    weights: ArrayLike,
    highpass: HighPass,
    top: int = 10,
    progress: Progress | None = None,
) -> list[Combination]:
    """Quietest of all non-empty sets of references, in one aperture and weighting.

    Parameters
    ----------
    target : array_like, shape (n,)
        Instrumental magnitudes of the target in the comparison frames, in time order.
    refs : array_like, shape (N, n)
        Those of the references, 1 ≤ N ≤ 32.
    weights : array_like, shape (N,)
        Weights in the ensemble, positive.
    highpass : HighPass
        Operator of these frames.
    top : int
        How many are wanted, 1 to 300.
    progress : callable, optional
        Called now and then with the number of sets done and of all.

    Returns
    -------
    list of Combination
        At most `top`, ranked: see `rank`.

    Raises
    ------
    ValueError
        If there are no references or too many, a magnitude is not finite, a weight is not positive, or there are too
        few frames for a noise.
    """
    return search_all(
        np.asarray(target)[None],
        np.asarray(refs)[None],
        weights=np.asarray(weights)[None, None],
        highpass=highpass,
        top=top,
        progress=progress,
    )


def search_all(
    targets: ArrayLike,
    refs: ArrayLike,
    *,
    weights: ArrayLike,
    highpass: HighPass,
    top: int = 10,
    progress: Progress | None = None,
) -> list[Combination]:
    """Quietest of all combinations of A apertures, 2^N − 1 sets of references and K weightings.

    Parameters
    ----------
    targets : array_like, shape (A, n)
        Instrumental magnitudes of the target in each aperture.
    refs : array_like, shape (A, N, n)
        Those of the references.
    weights : array_like, shape (A, K, N)
        Weights of the references in each aperture and weighting.
    highpass, top, progress
        As in `search`.

    Returns
    -------
    list of Combination
        At most `top`, ranked over everything: see `rank`.

    Raises
    ------
    ValueError
        As in `search`.
    """
    targets = np.asarray(targets, dtype=np.float64)
    refs = np.asarray(refs, dtype=np.float64)
    weights = np.asarray(weights, dtype=np.float64)
    n_references = refs.shape[1]
    if n_references == 0:
        raise ValueError("a differential light curve needs at least one reference")
    if n_references > MAX_REFERENCES:
        raise ValueError(
            f"all sets of {n_references} references are too many to search: keep at most {MAX_REFERENCES} references"
        )
    if not 1 <= top <= MAX_TOP:
        raise ValueError(f"top must be 1 to {MAX_TOP}, not {top}")
    if not (np.all(np.isfinite(targets)) and np.all(np.isfinite(refs))):
        raise ValueError("comparison frames are those where the target and every reference have a magnitude")
    if not np.all(np.isfinite(weights) & (weights > 0)):
        raise ValueError("weights of references must be positive")
    if highpass.trace <= 0:
        raise ValueError("there are too few comparison frames in every run for a noise")
    n_searches = weights.shape[0] * weights.shape[1]
    n_sets = 2**n_references - 1
    found: list[Combination] = []
    for aperture, (m_target, m_refs) in enumerate(zip(targets, refs, strict=True)):
        gram = inner_products(highpass.residual(m_target - m_refs)) / highpass.trace
        for weighting, w in enumerate(weights[aperture]):
            before = (aperture * weights.shape[1] + weighting) * n_sets

            def report(done: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + done, n_searches * n_sets)

            noises, masks = _quietest(gram, w / np.max(w), top, report)
            found += [Combination(float(x), int(m), aperture, weighting) for x, m in zip(noises, masks, strict=True)]
    return rank(found)[:top]


def rank(found: Iterable[Combination]) -> list[Combination]:
    """Sort combinations: by noise; ties by fewer references, lower mask, lower aperture, earlier weighting.

    Parameters
    ----------
    found : iterable of Combination

    Returns
    -------
    list of Combination
    """
    return sorted(found, key=lambda c: (c.noise_mag, c.mask.bit_count(), c.mask, c.aperture, c.weighting))


def inner_products(residuals: Floats) -> Floats:
    """Inner products of all pairs of series (N, n), each summed along the frames in numpy's own order, not BLAS's."""
    n_references = len(residuals)
    gram = np.empty((n_references, n_references))
    for i in range(n_references):
        gram[i, i:] = gram[i:, i] = np.sum(residuals[i] * residuals[i:], axis=-1)
    return gram


def set_noise2(gram: Floats, w: Floats, masks: Masks) -> Floats:
    """Noise² of sets (M,): the one formula, each set's additions in the order of the references."""
    n_references = len(w)
    chosen = [np.where(masks >> i & 1, w[i], 0.0) for i in range(n_references)]
    quadratic = np.zeros(len(masks))
    weight_sum = np.zeros(len(masks))
    for i in range(n_references):
        row = gram[i, i] * chosen[i]
        for j in range(i):
            row += 2.0 * gram[i, j] * chosen[j]
        quadratic += row * chosen[i]
        weight_sum += chosen[i]
    return np.maximum(quadratic, 0.0) / np.square(weight_sum)


def best_of(gram: Floats, w: Floats, masks: Masks, top: int) -> tuple[Floats, Masks]:
    """Rank some sets: rounded noises and masks of the `top` quietest."""
    masks = np.unique(masks[masks > 0])
    mantissa, exponent = np.frexp(np.sqrt(set_noise2(gram, w, masks)))
    noises = np.ldexp(np.rint(mantissa * 2.0**36), exponent - 36)
    n_references = np.zeros(len(masks), dtype=np.int64)
    for i in range(len(w)):
        n_references += masks >> i & 1
    order = np.lexsort((masks, n_references, noises))[:top]
    return noises[order], masks[order]


def _quietest(gram: Floats, w: Floats, top: int, report: Callable[[int], None]) -> tuple[Floats, Masks]:
    """Rank all sets: rounded noises and masks of the `top` quietest."""
    n_references = len(w)
    if n_references <= _BLOCK_BITS:
        best = best_of(gram, w, np.arange(1, 2**n_references, dtype=np.int64), top)
        report(2**n_references - 1)
        return best
    noises, masks = best_of(gram, w, neighbours(gram, w), top)
    walk_bits = min(_WALK_BITS, n_references - _BLOCK_BITS)
    n_sets = 2 ** (_BLOCK_BITS + walk_bits)
    walk: _Walk | None = None
    for first in range(0, 2**n_references, n_sets):
        if walk is None or noises[-1] < walk.noise:
            walk = _Walk(gram, w, walk_bits, noises[-1])
        pool = [masks]
        for found in walk.below(first):
            pool.append(found)
            if sum(map(len, pool)) > _POOL:
                noises, masks = best_of(gram, w, np.concatenate(pool), top)
                pool = [masks]
        if len(pool) > 1:
            noises, masks = best_of(gram, w, np.concatenate(pool), top)
        report(min(first + n_sets, 2**n_references - 1))
    return noises, masks


def neighbours(gram: Floats, w: Floats) -> Masks:
    """Find a locally quietest set; give it and all sets that differ from it in at most two references."""
    n_references = len(w)
    form = np.outer(w, w) * gram
    diagonal = np.diag(form)
    chosen = np.ones(n_references, dtype=bool)
    best = np.inf
    while True:
        sign = np.where(chosen, -1.0, 1.0)  # what adding or dropping each does
        single = 2.0 * sign * np.sum(form[:, chosen], axis=1) + diagonal
        change = single[:, None] + single + 2.0 * np.outer(sign, sign) * form
        change_w = np.add.outer(sign * w, sign * w)
        np.fill_diagonal(change, single)
        np.fill_diagonal(change_w, sign * w)
        noise2 = np.sum(form[chosen][:, chosen]) + change
        weight_sum = np.sum(w[chosen]) + change_w
        size = np.sum(chosen) + np.where(np.eye(n_references, dtype=bool), sign, np.add.outer(sign, sign))
        noise2 = np.divide(noise2, np.square(weight_sum), out=np.full_like(noise2, np.inf), where=size > 0)
        i, j = divmod(int(np.argmin(noise2)), n_references)
        if not noise2[i, j] < best * (1.0 - 1e-9):
            break
        best = noise2[i, j]
        chosen[[i, j]] ^= True  # once each: i = j flips one
    bits = np.left_shift(np.int64(1), np.arange(n_references, dtype=np.int64))
    mask = np.sum(bits[chosen])
    one, other = np.triu_indices(n_references, 1)
    return np.concatenate([[mask], mask ^ bits, mask ^ bits[one] ^ bits[other]])


class _Walk:
    """The sets quieter than a noise, among those that share their highest references.

    Low references span a block, held as one array; middle ones the walk over blocks; high ones say where it starts.
    """

    def __init__(self, gram: Floats, w: Floats, walk_bits: int, noise: float) -> None:
        self.noise = noise
        limit = noise * noise * (1.0 + 1e-9)  # what rounds to the same noise counts as below it
        self.form = np.outer(w, w) * (gram - limit)
        self.slack = 1e-13 * float(np.sum(np.abs(self.form)))  # far above the rounding of any sum of its elements
        low, self.middle = self.form[:_BLOCK_BITS, :_BLOCK_BITS], slice(_BLOCK_BITS, _BLOCK_BITS + walk_bits)
        self.base = subset_forms(low)
        self.rows = [subset_sums(2.0 * row) for row in self.form[self.middle, :_BLOCK_BITS]]
        self.middle_base = subset_forms(self.form[self.middle, self.middle])
        self.places = [np.empty(2**_BLOCK_BITS) for _ in self.rows]

    def below(self, first: int) -> Iterable[Masks]:
        """Masks from `first` on that are below the limit, block by block; a few more for safety."""
        high = [i for i in range(len(self.form)) if first >> i & 1]
        with_high = 2.0 * np.sum(self.form[high], axis=0)
        constant = 0.5 * float(np.sum(with_high[high]))
        base = self.base + subset_sums(with_high[:_BLOCK_BITS])
        limits = (self.slack - constant - self.middle_base - subset_sums(with_high[self.middle])).tolist()
        places, rows = self.places, self.rows
        smallest = np.minimum.reduce
        block = base
        for step, limit in enumerate(limits):
            if step:
                # A block is that of the walk's set without its lowest reference, plus that reference's row. The place
                # of a lowest reference still holds the block last computed for it, which is the one needed here.
                rest = step & (step - 1)
                lowest = (step ^ rest).bit_length() - 1
                before = places[(rest & -rest).bit_length() - 1] if rest else base
                block = np.add(before, rows[lowest], out=places[lowest])
            if smallest(block) <= limit:
                yield np.flatnonzero(block <= limit) + (first + (step << _BLOCK_BITS))


def subset_sums(elements: Floats) -> Floats:
    """Sum the elements over each subset, by doubling."""
    sums = np.zeros(2 ** len(elements))
    for i, element in enumerate(elements):
        np.add(sums[: 2**i], element, out=sums[2**i : 2 ** (i + 1)])
    return sums


def subset_forms(form: Floats) -> Floats:
    """Sum a symmetric form's elements over each subset × itself, by doubling."""
    sums = np.zeros(2 ** len(form))
    for i in range(len(form)):
        np.add(sums[: 2**i], subset_sums(2.0 * form[i, :i]) + form[i, i], out=sums[2**i : 2 ** (i + 1)])
    return sums
