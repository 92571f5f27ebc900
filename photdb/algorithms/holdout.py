"""The noise of the winner of a search, judged on frames that had no part in choosing it.

The least of a million figures is lucky: with 22 frames and 7 references it is 0.73 of its true noise, with 142 frames
0.94. So the frames are cut into blocks of about three windows, with R built inside each block so that none looks into
its neighbours; a set is chosen on the odd blocks and judged on the even ones, and the other way round (two-fold
cross-validation with blocks; Burman, Chow and Nolan 1994, Biometrika 81, 351).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.combinations import best_of, neighbours, subset_forms, subset_sums
from photdb.algorithms.noise import Floats, HighPass, smoother, take_out

#: With fewer frames there is too little to choose by and to judge by.
MIN_FRAMES: Final = 60
#: Windows of the smoother in a block, about.
BLOCK_WINDOWS: Final = 3
#: Up to so many references all sets are looked at; with more, a local optimum is taken, which costs next to nothing.
MAX_EXHAUSTIVE: Final = 20
_BLOCK_BITS: Final = 13


@dataclass(frozen=True, slots=True)
class Halves:
    """The frames in two halves that know nothing of each other."""

    highpass: HighPass  # block by block
    odd: NDArray[np.bool_]  # (n,) the frames of the odd blocks

    @property
    def each(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """The frames of the odd and of the even blocks."""
        return self.odd, ~self.odd

    def trace(self, half: NDArray[np.bool_]) -> float:
        """Part of tr(R Rᵀ) that a half's frames have."""
        return float(np.sum(self.highpass.row_norm2[half]))


def halves(
    t_d: ArrayLike, *, window: int, degree: int, basis: ArrayLike | None = None, fit: ArrayLike | None = None
) -> Halves | None:
    """Cut frames into blocks of about three windows, odd and even.

    Parameters
    ----------
    t_d : array_like, shape (n,)
        Times in days, in order.
    window, degree : int
        Of the `smoother`.
    basis, fit : array_like, shape (q, n), optional
        Terms that are taken out, as for `take_out`.

    Returns
    -------
    Halves or None
        None with fewer than 60 frames, or with a half in which nothing is left to judge by.
    """
    t = np.asarray(t_d, dtype=np.float64)
    if len(t) < MIN_FRAMES:
        return None
    n_blocks = max(2, round(len(t) / (BLOCK_WINDOWS * window)))
    edges = np.rint(np.linspace(0, len(t), n_blocks + 1)).astype(np.intp)[:-1]
    highpass = smoother(t, window=window, degree=degree, breaks=edges)
    if basis is not None and fit is not None and len(np.asarray(basis)):
        highpass = take_out(highpass, basis, fit)
    odd = np.searchsorted(edges, np.arange(len(t)), side="right") % 2 == 1
    found = Halves(highpass, odd)
    return found if all(found.trace(half) > 1.0 for half in found.each) else None


@dataclass(frozen=True, slots=True)
class Judged:
    """A winner of each half: noise² in the half that chose it (what winners are compared by) and in the other."""

    chosen2: tuple[float, float]
    judged2: tuple[float, float]


def judge(grams: tuple[Floats, Floats], weights: tuple[Floats, Floats]) -> Judged:
    """Choose the quietest set in each half, and judge it in the other.

    Parameters
    ----------
    grams : (ndarray, ndarray), shapes (N, N)
        Inner products of the residual series of target minus reference over each half's frames, over its trace.
    weights : (ndarray, ndarray), shapes (N,)
        Of the references, those of each half from nothing but its own frames, or from no noise at all. References of
        weight zero take no part.
    """
    chosen: list[float] = []
    judged: list[float] = []
    for half in (0, 1):
        members = np.flatnonzero(weights[half] > 0)
        part = np.ix_(members, members)
        w = weights[half][members] / np.max(weights[half])
        mask = quietest_set(grams[half][part], w)
        inside = np.array([mask >> i & 1 == 1 for i in range(len(w))])
        form = np.outer(w[inside], w[inside]) / np.square(np.sum(w[inside]))
        for gram, into in ((grams[half], chosen), (grams[1 - half], judged)):
            into.append(max(float(np.sum(form * gram[part][inside][:, inside])), 0.0))
    return Judged((chosen[0], chosen[1]), (judged[0], judged[1]))


def pooled(found: list[Judged], cut: Halves) -> float:
    """Pool the two judgements of the best of several searches (apertures, weightings): the hold-out noise.

    Parameters
    ----------
    found : list of Judged
        Of each search.
    cut : Halves
        What they were made with.

    Returns
    -------
    float
        Magnitudes. Its relative error is `cut.highpass.relative_error`.
    """
    total = 0.0
    for half in (0, 1):
        best = min(found, key=lambda judged: judged.chosen2[half])  # noqa: B023 - used at once
        total += best.judged2[half] * cut.trace(cut.each[1 - half])
    return float(np.sqrt(total / cut.highpass.trace))


def quietest_set(gram: Floats, w: Floats) -> int:
    """Find the quietest set of up to 20 references; of more, the quietest that exchanges of two find.

    Parameters
    ----------
    gram : ndarray (N, N)
    w : ndarray (N,)
        Positive weights.

    Returns
    -------
    int
        Its mask.
    """
    n = len(w)
    if n > MAX_EXHAUSTIVE:
        _, masks = best_of(gram, w, neighbours(gram, w), 1)
        return int(masks[0])
    form, low = np.outer(w, w) * gram, min(n, _BLOCK_BITS)
    base, base_w = subset_forms(form[:low, :low]), subset_sums(w[:low])
    best, best_mask = np.inf, 1
    for high in range(2 ** (n - low)):
        chosen = [i for i in range(low, n) if high >> (i - low) & 1]
        with_high = 2.0 * np.sum(form[chosen], axis=0)
        q = base + subset_sums(with_high[:low]) + 0.5 * float(np.sum(with_high[chosen]))
        weight = base_w + float(np.sum(w[chosen]))
        noise2 = np.divide(q, np.square(weight), out=np.full_like(q, np.inf), where=weight > 0)
        place = int(np.argmin(noise2))
        if noise2[place] < best:
            best, best_mask = float(noise2[place]), place + (high << low)
    return best_mask
