"""The shift on which two star lists agree, found with no knowledge of it: the search behind `registration.register`.

Every pair of bright stars of one list that is as long as a pair of the other votes for one shift; the shifts with
most votes are tried on all stars, the best is sharpened by its matches, and it is kept only if chance cannot explain
them. Positions are complex numbers ``x + iy`` from the centre of the frame: a shift is then ``z = a·z_ref + b`` with
``a = scale·exp(iθ)``.
"""

import math
import sys
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms import pair_kernels

Bool = NDArray[np.bool_]
Float = NDArray[np.float64]
Complex = NDArray[np.complex128]
Index = NDArray[np.intp]

#: Scales further from 1 than this are not looked for. Focus changes the scale by some 1e-4.
SCALE_RANGE: Final = 0.01
#: Spread of the scale that a fit assumes before it sees the stars: it matters only where few stars say little.
SCALE_PRIOR: Final = 1e-3
#: Expected number of chance agreements as good as the one found, over all that were tried, above which it is refused.
MAX_CHANCE: Final = 1e-4
#: Distances within which matches are counted: for faint stars in fog, for ordinary stars, for bright stars.
TOLERANCES_PX: Final = (2.5, 1.0, 0.4)

_COARSE_TOLERANCE_PX = 5.0
_SHORTEST_PAIR_PX = 20.0
_VOTE_PX, _VOTE_TURNS = 12.0, 240  # a vote's cell: 12 px by 12 px by 1.5°
_CELL_PX = 2
_DRIFT_PX = 5.0  # how far a shift may be sharpened before pairs that came near are looked for anew
_DOUBT_PX = 0.5  # how much the start of a fit may change distances at its end
_LEAST_LOG = -math.log(sys.float_info.max)  # the chance of less than this is 0


class Shift(NamedTuple):
    """A shift ``z = a·z_ref + b``, and the pairs of stars, by their places in the lists, that bear it out."""

    a: complex
    b: complex
    tolerance_px: float  # the distance within which matches are to be believed
    i: Index  # each other's nearest within it
    j: Index
    firm: bool  # the fit kept its matches, none of them near the limit: another start would have led here too


@dataclass(frozen=True, slots=True)
class StarMap:
    """A map of the reference frame: which of its cells of 2 × 2 pixels hold a star or touch one that does."""

    near_star: NDArray[np.bool_]
    width_px: int
    height_px: int


def star_map(z_ref: Complex, width_px: int, height_px: int) -> StarMap:
    """Draw the map of a list of stars, inside a border of empty cells."""
    near = np.zeros((height_px // _CELL_PX + 5, width_px // _CELL_PX + 5), dtype=np.bool_)
    stars = StarMap(near, width_px, height_px)
    row, column = _cells(z_ref, stars)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            near[(row + down).clip(1, near.shape[0] - 2), (column + right).clip(1, near.shape[1] - 2)] = True
    return stars


def _cells(z: Complex, stars: StarMap) -> tuple[Index, Index]:
    """Give the cell of each position; positions off the frame are in the border."""
    n_rows, n_columns = stars.near_star.shape
    x0, y0 = _origin(stars)
    row, column = z.imag * (1 / _CELL_PX) + y0, z.real * (1 / _CELL_PX) + x0
    return row.clip(0, n_rows - 1).astype(np.intp), column.clip(0, n_columns - 1).astype(np.intp)


def _origin(stars: StarMap) -> tuple[float, float]:
    """Give where the frame's centre is among the cells: column and row."""
    return (stars.width_px - 1) / (2 * _CELL_PX) + 2, (stars.height_px - 1) / (2 * _CELL_PX) + 2


def search(z: Complex, z_ref: Complex, stars: StarMap, *, n_bright: int, n_best: int = 64) -> Shift | None:
    """Find the shift that pairs of the brightest stars vote for and all stars bear out.

    Votes of triangles go back to Groth (1986, AJ 91, 1244); with a scale known to a percent, pairs are enough.

    Parameters
    ----------
    z, z_ref : ndarray, shape (n,), (m,)
        The frame's and the reference frame's stars, brightest first.
    stars : StarMap
        The map of the reference frame's stars.
    n_bright : int
        Number of stars of each list, the brightest, whose pairs vote.
    n_best : int
        Number of shifts, those with most votes, that are tried on all stars.

    Returns
    -------
    Shift or None
        What `accept` makes of the best.
    """
    shortest_px = min(_SHORTEST_PAIR_PX, 0.1 * min(stars.width_px, stars.height_px))
    a, b = _pair_shifts(z[:n_bright], z_ref[:n_bright], shortest_px)
    if len(a) == 0:
        return None
    best = _most_wanted(a, b, z, stars, n_best)
    return accept(z, z_ref, complex(a[best]), complex(b[best]), stars, n_tried=len(a))


@cache
def _pairs(n: int) -> tuple[Index, Index]:
    first, second = np.triu_indices(n, 1)
    return first, second


@lru_cache(maxsize=8)
def _reference_pairs(stars: bytes) -> tuple[Complex, Complex, Float]:
    """Give the steps, middles and lengths of all pairs of some stars (a complex array's bytes), the shortest first.

    They are kept: nearly all frames ask for the same reference stars.
    """
    step, middle, length = _steps(np.frombuffer(stars, dtype=np.complex128))
    order = np.argsort(length, kind="stable")
    return step[order], middle[order], length[order]


def _steps(z: Complex) -> tuple[Complex, Complex, Float]:
    first, second = _pairs(len(z))
    z_first, z_second = z.take(first), z.take(second)
    step = z_second - z_first
    return step, (z_second + z_first) / 2, np.abs(step)


def _pair_shifts(z: Complex, z_ref: Complex, shortest_px: float) -> tuple[Complex, Complex]:
    """Give the shifts that carry a pair of reference stars onto a pair of the frame's, both ways round."""
    step_ref, middle_ref, length_ref = _reference_pairs(z_ref.tobytes())
    step, middle, length = _steps(z)
    low = length_ref.searchsorted(np.maximum(length * (1 - SCALE_RANGE) - 1, shortest_px))
    n_alike = np.maximum(length_ref.searchsorted(length * (1 + SCALE_RANGE) + 1) - low, 0)
    n_alike[length < shortest_px] = 0
    pair, pair_ref = _ranges(low, n_alike)
    a = step.take(pair) / step_ref.take(pair_ref)
    turned, middle = a * middle_ref.take(pair_ref), middle.take(pair)
    return np.concatenate((a, -a)), np.concatenate((middle - turned, middle + turned))


def _ranges(low: Index, n: Index) -> tuple[Index, Index]:
    """Give the numbers ``low[k], low[k] + 1, … low[k] + n[k] - 1`` of all k, behind the k of each."""
    k = np.arange(len(n)).repeat(n)
    return k, np.arange(len(k)) - (n.cumsum() - n - low).repeat(n)


def _most_wanted(a: Complex, b: Complex, z: Complex, stars: StarMap, n_best: int) -> int:
    """Find, among the shifts with most votes, the one that brings most stars of the frame near reference stars."""
    size = 1 << max(12, int(4 * len(a)).bit_length())  # four times as long as the votes
    place = np.empty((3, len(a)))
    np.multiply(np.arctan2(a.imag, a.real), _VOTE_TURNS / (2 * math.pi), out=place[0])
    np.divide((b.real, b.imag), _VOTE_PX, out=place[1:])
    votes = pair_kernels.votes(place, _VOTE_TURNS, size)
    tried = np.argsort(-np.minimum(votes, 32767).astype(np.int16), kind="stable")[:n_best]
    at_ref = (z - b[tried, np.newaxis]) * (1 / a[tried, np.newaxis])
    n_near = pair_kernels.n_near_star(at_ref, stars.near_star, 1 / _CELL_PX, *_origin(stars))
    return int(tried[np.argmax(n_near)])


def accept(z: Complex, z_ref: Complex, a: complex, b: complex, stars: StarMap, *, n_tried: int) -> Shift | None:
    """Sharpen a shift by its matches, and give it unless chance might explain them.

    The rule is that of a-contrario detection (Desolneux, Moisan and Morel 2000, IJCV 40, 7): the number of shifts tried
    times the probability that lists without relation match as well under one must be small. Matches by chance are
    Poisson; how many to expect is counted around the stars themselves, so that clusters and partial overlap are
    allowed for.

    Parameters
    ----------
    z, z_ref : ndarray, shape (n,), (m,)
        The frame's and the reference frame's stars.
    a, b : complex
        The shift, good to some pixels.
    stars : StarMap
        The map of the reference frame's stars: its size counts here.
    n_tried : int
        From how many shifts this one was chosen.

    Returns
    -------
    Shift or None
        With the one of `TOLERANCES_PX` at which chance explains the matches least.
    """
    if len(z) == 0 or len(z_ref) == 0:
        return None
    wide_px = min(50.0, max(10.0, 0.1 * min(stars.width_px, stars.height_px)))
    moved = start = a * z_ref + b
    near = pair_kernels.pairs_near(z, start, wide_px + _DRIFT_PX + 1)
    for within_px in (_COARSE_TOLERANCE_PX, TOLERANCES_PX[0]):
        i, j, _ = pair_kernels.each_others_nearest(z, moved, *near, within_px)
        n_fitted = len(i)
        if n_fitted < 3:
            return None
        a, b = least_squares(z[i], z_ref[j], np.full(n_fitted, 100.0))
        moved = a * z_ref + b
        if np.abs(moved - start).max() > _DRIFT_PX:
            start, near = moved, pair_kernels.pairs_near(z, moved, wide_px + _DRIFT_PX + 1)
    if abs(abs(a) - 1) > 1.5 * SCALE_RANGE:
        return None
    i, j, distance2 = pair_kernels.each_others_nearest(z, moved, *near, TOLERANCES_PX[0] + _DOUBT_PX)
    firm = len(i) == n_fitted and not (distance2 > (TOLERANCES_PX[0] - _DOUBT_PX) ** 2).any()
    n_beside = pair_kernels.n_between(z, moved, *near, _COARSE_TOLERANCE_PX, wide_px)
    per_px2 = (n_beside + 1) / (wide_px**2 - _COARSE_TOLERANCE_PX**2)
    least, tolerance_px = math.inf, 0.0
    for within_px in TOLERANCES_PX:
        n = int(np.count_nonzero(distance2 < within_px**2)) - 2  # two made the shift
        if n > 0:
            chance = len(TOLERANCES_PX) * n_tried * _chance_of(n, per_px2 * within_px**2)
            if chance < least:
                least, tolerance_px = chance, within_px
    if least > MAX_CHANCE:
        return None
    keep = distance2 < tolerance_px**2
    return Shift(a, b, tolerance_px, i[keep], j[keep], bool(firm))


def _chance_of(n: int, expected: float) -> float:
    """Give the probability of n events or more (Poisson) where fewer are expected; 1 where not."""
    # not `scipy.special.gammainc`: its import alone takes as long as a hundred frames
    if expected >= n:
        return 1.0
    log_term = n * math.log(expected) - expected - math.lgamma(n)
    if log_term < _LEAST_LOG:
        return 0.0
    term = total = 1.0
    k = n
    while term > 1e-17 * total:
        k += 1
        term *= expected / k
        total += term
    return math.exp(log_term) / n * total


def least_squares(z: Complex, z_ref: Complex, weight: Float) -> tuple[complex, complex]:
    """Fit ``z = a·z_ref + b`` with the inverse variances `weight` (px⁻²) and `SCALE_PRIOR`; closed form."""
    return pair_kernels.least_squares(z, z_ref, weight, SCALE_PRIOR**-2)


def mutual_nearest(z: Complex, z_to: Complex, within_px: float) -> tuple[Index, Index]:
    """Pair the points of two lists that are each other's nearest and not further apart than `within_px`."""
    i, j, _ = pair_kernels.each_others_nearest(z, z_to, *pair_kernels.pairs_near(z, z_to, within_px), within_px)
    return i, j


def length2(z: Complex) -> Float:
    """Give the squared length of each."""
    squares: Float = z.real**2 + z.imag**2
    return squares
