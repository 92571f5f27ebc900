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
_LEAST_LOG = -math.log(sys.float_info.max)


class Shift(NamedTuple):
    """A shift ``z = a·z_ref + b``, and the pairs of stars, by their places in the lists, that bear it out."""

    a: complex
    b: complex
    tolerance_px: float  # the distance within which matches are to be believed
    i: Index  # each other's nearest within it
    j: Index


@dataclass(frozen=True, slots=True)
class StarMap:
    """A map of the reference frame: which of its cells of 2 × 2 pixels hold a star or touch one that does."""

    near_star: Bool
    width_px: int
    height_px: int

    @property
    def origin(self) -> complex:
        """Column and row, as ``column + i·row``, of the centre of the frame."""
        return complex((self.width_px - 1) / (2 * _CELL_PX) + 2, (self.height_px - 1) / (2 * _CELL_PX) + 2)


def star_map(z_ref: Complex, width_px: int, height_px: int) -> StarMap:
    """Draw the map of a list of stars, inside a border of empty cells."""
    near = np.zeros((height_px // _CELL_PX + 5, width_px // _CELL_PX + 5), dtype=np.bool_)
    stars = StarMap(near, width_px, height_px)
    cell = z_ref * (1 / _CELL_PX) + stars.origin
    touched = np.array([-1, 0, 1])
    row = (cell.imag.clip(0, near.shape[0] - 1).astype(np.intp)[:, np.newaxis] + touched).clip(1, near.shape[0] - 2)
    column = (cell.real.clip(0, near.shape[1] - 1).astype(np.intp)[:, np.newaxis] + touched).clip(1, near.shape[1] - 2)
    near[row[:, :, np.newaxis], column[:, np.newaxis]] = True
    return stars


def search(z: Complex, z_ref: Complex, stars: StarMap, *, n_bright: int, n_best: int) -> Shift | None:
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
    wanted = _pair_shifts(z[:n_bright], z_ref[:n_bright], shortest_px)
    if wanted.a.size == 0:
        return None
    a, b = _most_wanted(wanted, z, stars, n_best)
    return accept(z, z_ref, a, b, stars, n_tried=wanted.b_x.size)


class _ReferencePairs(NamedTuple):
    """All pairs of some reference stars, by length."""

    length: Float  # and infinity at the end
    n_shorter: Index  # how many are shorter than 0, 1/8, 2/8, … px
    inverse: Complex  # 1 / step
    middle: Complex  # in half cells of votes, as all that follows
    turns: Float


class _Wanted(NamedTuple):
    """Shifts voted for: n pairs of pairs, each both ways round, the second with ``-a``; in half cells of votes."""

    a: Complex  # (n,)
    turns: Float  # (n,), of a, not reduced to one circle
    b_x: Float  # (2, n)
    b_y: Float


_HALF_PX, _HALF_TURNS = _VOTE_PX / 2, 2 * _VOTE_TURNS
#: What a turn adds to the place of a cell, in each of the two grids; turns of -1 to 2 circles, in half cells.
_TURN_HASH = [
    ((np.arange(half - _HALF_TURNS, 2 * _HALF_TURNS + half) >> 1) % _VOTE_TURNS * 73856093)
    .astype(np.uint32)
    .view(np.int32)
    for half in (0, 1)
]


@cache
def _pairs(n: int) -> tuple[Index, Index]:
    first, second = np.triu_indices(n, 1)
    return first, second


@lru_cache(maxsize=8)
def _reference_pairs(stars: bytes) -> _ReferencePairs:
    """Prepare the pairs of reference stars (a complex array's bytes): mostly the same ones for all frames."""
    z_ref = np.frombuffer(stars, dtype=np.complex128)
    first, second = _pairs(len(z_ref))
    step = z_ref[second] - z_ref[first]
    order = np.argsort(np.abs(step), kind="stable")
    step, middle = step[order], (z_ref[second] + z_ref[first])[order] / 2
    length = np.append(np.abs(step), np.inf)
    n_shorter = length.searchsorted(np.arange(8 * int(length[-2]) + 9 if len(step) else 1) / 8)
    with np.errstate(divide="ignore", invalid="ignore"):  # of stars at one place: too short to be asked for
        inverse = 1 / step
    return _ReferencePairs(length, n_shorter, inverse, middle * (1 / _HALF_PX), _turns(step))


def _n_shorter(reference: _ReferencePairs, length: Float) -> Index:
    """Give how many pairs are shorter than each length: `searchsorted` from a good start, in a third of its time."""
    n_shorter = reference.n_shorter.take((length * 8).astype(np.intp), mode="clip")
    while (more := reference.length.take(n_shorter) < length).any():
        n_shorter += more
    return n_shorter


def _turns(z: Complex) -> Float:
    turns: Float = np.arctan2(z.imag, z.real) * (_HALF_TURNS / (2 * math.pi))
    return turns


def _pair_shifts(z: Complex, z_ref: Complex, shortest_px: float) -> _Wanted:
    """Give the shifts that carry a pair of reference stars onto a pair of the frame's, both ways round."""
    reference = _reference_pairs(z_ref.tobytes())
    first, second = _pairs(len(z))
    z_first, z_second = z.take(first), z.take(second)
    step, middle = z_second - z_first, (z_second + z_first) * (0.5 / _HALF_PX)
    length = np.abs(step)
    low = _n_shorter(reference, np.maximum(length * (1 - SCALE_RANGE) - 1, shortest_px))
    n_alike = np.maximum(_n_shorter(reference, length * (1 + SCALE_RANGE) + 1) - low, 0)
    n_alike[length < shortest_px] = 0
    end = n_alike.cumsum()
    pair = np.arange(len(step)).repeat(n_alike)
    pair_ref = np.arange(len(pair)) - (end - n_alike - low).repeat(n_alike)

    a = step.take(pair) * reference.inverse.take(pair_ref)
    turned, middle = a * reference.middle.take(pair_ref), middle.take(pair)
    b_x, b_y = np.empty((2, len(a))), np.empty((2, len(a)))
    np.subtract(middle.real, turned.real, out=b_x[0])
    np.add(middle.real, turned.real, out=b_x[1])
    np.subtract(middle.imag, turned.imag, out=b_y[0])
    np.add(middle.imag, turned.imag, out=b_y[1])
    return _Wanted(a, _turns(step).take(pair) - reference.turns.take(pair_ref), b_x, b_y)


def _most_wanted(wanted: _Wanted, z: Complex, stars: StarMap, n_best: int) -> tuple[complex, complex]:
    """Find, among the shifts with most votes, the one that brings most stars of the frame near reference stars."""
    n = wanted.b_x.size
    last = (1 << max(12, int(4 * n).bit_length())) - 1
    right, down = _nearest_integer(wanted.b_x), _nearest_integer(wanted.b_y)
    turn = _nearest_integer(wanted.turns).astype(np.intp) + _HALF_TURNS  # its place in the tables
    turn_back = turn + _VOTE_TURNS  # half a circle more
    votes = np.zeros(n, dtype=np.intp)
    for half in (0, 1):  # two grids: what an edge of one divides, the other mostly keeps
        # cells share places of a table four times as long as the votes: a false neighbour now and then does no harm
        cell = ((right + half) >> 1) * np.int32(19349663)
        cell ^= ((down + half) >> 1) * np.int32(83492791)
        cell[0] ^= _TURN_HASH[half].take(turn)
        cell[1] ^= _TURN_HASH[half].take(turn_back)
        cell &= last
        place = cell.ravel().astype(np.intp)
        votes += np.bincount(place, minlength=last + 1).take(place)
    tried = _largest(votes, n_best)
    b = wanted.b_x.take(tried) * _HALF_PX + 1j * (wanted.b_y.take(tried) * _HALF_PX)
    pair = tried % len(wanted.a)
    a = np.where(tried == pair, 1.0, -1.0) * wanted.a.take(pair)
    best = np.argmax(_count_near(z, a, b, stars))
    return complex(a[best]), complex(b[best])


def _nearest_integer(values: Float) -> NDArray[np.int32]:
    values = values + 0.5
    return np.floor(values, out=values).astype(np.int32)


def _largest(values: Index, n: int) -> Index:
    """Give the places of the n largest of some positive counts, the largest first, equal ones in their order."""
    least = int(values.max())
    while least > 0 and np.count_nonzero(values >= least) < n:
        least //= 2
    places = np.flatnonzero(values >= least)
    return places[np.argsort(-values[places], kind="stable")[:n]]


def _count_near(z: Complex, a: Complex, b: Complex, stars: StarMap) -> Index:
    """Count, for each shift, the stars of the frame that come to lie in cells near a reference star."""
    n_rows, n_columns = stars.near_star.shape
    turn = 1 / (a * _CELL_PX)
    start = stars.origin - b * turn
    # column and row in one array of real numbers: complex ones would take half as long again
    from_x, from_y = np.concatenate((turn.real, turn.imag)), np.concatenate((-turn.imag, turn.real))
    cell = from_x[:, np.newaxis] * z.real.copy()
    cell += from_y[:, np.newaxis] * z.imag.copy()
    cell += np.concatenate((start.real, start.imag))[:, np.newaxis]
    column, row = cell[: len(a)], cell[len(a) :]
    column.clip(0, n_columns - 1, out=column)
    row.clip(0, n_rows - 1, out=row)
    place = row.astype(np.int32) * np.int32(n_columns)
    place += column.astype(np.int32)
    n_near: Index = stars.near_star.ravel().take(place).sum(axis=1, dtype=np.intp)
    return n_near


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
    near = _pairs_near(z, start, wide_px + _DRIFT_PX + 1)
    for within_px in (_COARSE_TOLERANCE_PX, TOLERANCES_PX[0]):
        i, j, _ = _each_others_nearest(z, moved, *near, within_px)
        if len(i) < 3:
            return None
        a, b = least_squares(z[i], z_ref[j], np.full(len(i), 100.0))
        moved = a * z_ref + b
        if np.abs(moved - start).max() > _DRIFT_PX:
            start, near = moved, _pairs_near(z, moved, wide_px + _DRIFT_PX + 1)
    if abs(abs(a) - 1) > 1.5 * SCALE_RANGE:
        return None
    i, j, distance2 = _each_others_nearest(z, moved, *near, TOLERANCES_PX[0])
    near2 = length2(z.take(near[0]) - moved.take(near[1]))
    n_beside = np.count_nonzero(near2 < wide_px**2) - np.count_nonzero(near2 < _COARSE_TOLERANCE_PX**2)
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
    return Shift(a, b, tolerance_px, i[keep], j[keep])


def _chance_of(n: int, expected: float) -> float:
    """Give the probability of n events or more (Poisson) where fewer are expected; 1 where not."""
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
    add = np.add.reduce
    total = add(weight)
    mean, mean_ref = add(weight * z) / total, add(weight * z_ref) / total
    arm = z_ref - mean_ref
    information = add(weight * length2(arm))
    a = add(weight * arm.conj() * z) / information
    scale = abs(a)
    a *= (scale * information + SCALE_PRIOR**-2) / (information + SCALE_PRIOR**-2) / scale
    return complex(a), complex(mean - a * mean_ref)


def mutual_nearest(z: Complex, z_to: Complex, within_px: float) -> tuple[Index, Index]:
    """Pair the points of two lists that are each other's nearest and not further apart than `within_px`."""
    i, j = _pairs_near(z, z_to, within_px)
    if len(i):
        i, j, _ = _each_others_nearest(z, z_to, i, j, within_px)
    return i, j


def _pairs_near(z: Complex, z_to: Complex, within_px: float) -> tuple[Index, Index]:
    """Give all pairs nearer to each other than this, in the order of the first list, then of the second."""
    by_x, by_x_to = z.real.argsort(), z_to.real.argsort()
    x, x_to = z.real.take(by_x), z_to.real.take(by_x_to)
    low = x_to.searchsorted(x - within_px)
    n_beside = x_to.searchsorted(x + within_px) - low
    end = n_beside.cumsum()
    i = by_x.repeat(n_beside)
    j = by_x_to.take(np.arange(len(i)) - (end - n_beside - low).repeat(n_beside))
    near = np.flatnonzero(length2(z.take(i) - z_to.take(j)) < within_px**2)
    pair = i.take(near) * len(z_to) + j.take(near)
    pair.sort()
    i, j = np.divmod(pair, len(z_to))
    return i, j


def _each_others_nearest(z: Complex, z_to: Complex, i: Index, j: Index, within_px: float) -> tuple[Index, Index, Float]:
    """Give those of the pairs that are each other's nearest and nearer than `within_px`, with their squared distance.

    All pairs nearer than that must be among those given, in order.
    """
    distance2 = length2(z.take(i) - z_to.take(j))
    near = np.flatnonzero(distance2 < within_px**2)
    i, j, distance2 = i.take(near), j.take(near), distance2.take(near)
    index = np.arange(len(near))
    of_i, of_j = np.empty(len(z), dtype=np.intp), np.empty(len(z_to), dtype=np.intp)
    of_i[i], of_j[j] = index, index  # the last one written stays
    keep = (of_i[i] == index) & (of_j[j] == index)
    if keep.all():
        return i, j, distance2
    order = distance2.argsort(kind="stable")[::-1]  # the nearest last, and of equally near ones the first
    of_i[i[order]], of_j[j[order]] = order, order
    keep = (of_i[i] == index) & (of_j[j] == index)
    return i[keep], j[keep], distance2[keep]


def length2(z: Complex) -> Float:
    """Give the squared length of each."""
    squares: Float = z.real**2 + z.imag**2
    return squares
