"""The shift on which two star lists agree, found with no knowledge of it: the search behind `registration.register`.

Every pair of bright stars of one list that is as long as a pair of the other votes for one shift; the shifts with
most votes are tried on all stars, the best is sharpened by its matches, and it is kept only if chance cannot explain
them. Positions are complex numbers ``x + iy`` from the centre of the frame: a shift is then ``z = a·z_ref + b`` with
``a = scale·exp(iθ)``.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

Float = NDArray[np.float64]
Complex = NDArray[np.complex128]
Index = NDArray[np.intp]
#: a, b, and the distance in pixels within which matches are to be believed
Shift = tuple[complex, complex, float]

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
_N_TRIED = 64
_CELL_PX = 2


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
    row = z.imag * (1 / _CELL_PX) + ((stars.height_px - 1) / (2 * _CELL_PX) + 2)
    column = z.real * (1 / _CELL_PX) + ((stars.width_px - 1) / (2 * _CELL_PX) + 2)
    return row.clip(0, n_rows - 1).astype(np.intp), column.clip(0, n_columns - 1).astype(np.intp)


def search(z: Complex, z_ref: Complex, stars: StarMap, *, n_bright: int) -> Shift | None:
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

    Returns
    -------
    tuple or None
        What `accept` makes of the best.
    """
    shortest_px = min(_SHORTEST_PAIR_PX, 0.1 * min(stars.width_px, stars.height_px))
    a, b = _pair_shifts(z[:n_bright], z_ref[:n_bright], shortest_px)
    if len(a) == 0:
        return None
    best = _most_wanted(a, b, z, stars)
    return accept(z, z_ref, complex(a[best]), complex(b[best]), stars, n_tried=len(a))


@cache
def _pairs(n: int) -> tuple[Index, Index]:
    first, second = np.triu_indices(n, 1)
    return first, second


def _pair_shifts(z: Complex, z_ref: Complex, shortest_px: float) -> tuple[Complex, Complex]:
    """Give the shifts that carry a pair of reference stars onto a pair of the frame's, both ways round."""
    first, second = _pairs(len(z_ref))
    step_ref, middle_ref = z_ref[second] - z_ref[first], (z_ref[second] + z_ref[first]) / 2
    order = np.argsort(np.abs(step_ref), kind="stable")
    step_ref, middle_ref = step_ref[order], middle_ref[order]
    length_ref = np.abs(step_ref)

    first, second = _pairs(len(z))
    step, middle = z[second] - z[first], (z[second] + z[first]) / 2
    length = np.abs(step)
    low = np.searchsorted(length_ref, np.maximum(length * (1 - SCALE_RANGE) - 1, shortest_px))
    n_alike = np.maximum(np.searchsorted(length_ref, length * (1 + SCALE_RANGE) + 1) - low, 0)
    n_alike[length < shortest_px] = 0
    pair = np.repeat(np.arange(len(step)), n_alike)
    pair_ref = np.arange(len(pair)) - np.repeat(np.cumsum(n_alike) - n_alike - low, n_alike)

    a = step[pair] / step_ref[pair_ref]
    turned = a * middle_ref[pair_ref]
    return np.concatenate((a, -a)), np.concatenate((middle[pair] - turned, middle[pair] + turned))


def _most_wanted(a: Complex, b: Complex, z: Complex, stars: StarMap) -> int:
    """Find, among the shifts with most votes, the one that brings most stars of the frame near reference stars."""
    size = 1 << max(12, int(4 * len(a)).bit_length())
    votes = np.zeros(len(a), dtype=np.int64)
    place = np.stack((np.angle(a) * (_VOTE_TURNS / (2 * math.pi)), b.real / _VOTE_PX, b.imag / _VOTE_PX))
    for offset in (0.25, 0.75):  # two grids: what an edge of one divides, the other mostly keeps
        turn, right, down = np.floor(place + offset).astype(np.int64)
        # cells share places of a table four times as long as the votes: a false neighbour now and then does no harm
        cell = (turn % _VOTE_TURNS * 73856093 ^ right * 19349663 ^ down * 83492791) & (size - 1)
        votes += np.bincount(cell, minlength=size)[cell]
    tried = np.argsort(-np.minimum(votes, 32767).astype(np.int16), kind="stable")[:_N_TRIED]
    at_ref = (z - b[tried, np.newaxis]) * (1 / a[tried, np.newaxis])
    n_near = np.count_nonzero(stars.near_star[_cells(at_ref, stars)], axis=1)
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
    tuple or None
        a, b, and the one of `TOLERANCES_PX` at which chance explains the matches least.
    """
    for within_px in (_COARSE_TOLERANCE_PX, TOLERANCES_PX[0]):
        i, j = mutual_nearest(z, a * z_ref + b, within_px)
        if len(i) < 3:
            return None
        a, b = least_squares(z[i], z_ref[j], np.full(len(i), 100.0))
    if abs(abs(a) - 1) > 1.5 * SCALE_RANGE:
        return None
    distance2 = _distance2(z, a * z_ref + b)
    i, j = _each_others_nearest(distance2, TOLERANCES_PX[0])
    matched2 = distance2[i, j]
    wide_px = min(50.0, max(10.0, 0.1 * min(stars.width_px, stars.height_px)))
    n_beside = np.count_nonzero(distance2 < wide_px**2) - np.count_nonzero(distance2 < _COARSE_TOLERANCE_PX**2)
    per_px2 = (n_beside + 1) / (wide_px**2 - _COARSE_TOLERANCE_PX**2)
    least, tolerance_px = math.inf, 0.0
    for within_px in TOLERANCES_PX:
        n = np.count_nonzero(matched2 < within_px**2) - 2  # two made the shift
        if n > 0:
            chance = len(TOLERANCES_PX) * n_tried * float(gammainc(n, per_px2 * within_px**2))
            if chance < least:
                least, tolerance_px = chance, within_px
    return (a, b, tolerance_px) if least <= MAX_CHANCE else None


def least_squares(z: Complex, z_ref: Complex, weight: Float) -> tuple[complex, complex]:
    """Fit ``z = a·z_ref + b`` with the inverse variances `weight` (px⁻²) and `SCALE_PRIOR`; closed form."""
    total = weight.sum()
    mean, mean_ref = (weight * z).sum() / total, (weight * z_ref).sum() / total
    arm = z_ref - mean_ref
    information = (weight * (arm.real**2 + arm.imag**2)).sum()
    a = (weight * arm.conj() * z).sum() / information
    scale = abs(a)
    a *= (scale * information + SCALE_PRIOR**-2) / (information + SCALE_PRIOR**-2) / scale
    return complex(a), complex(mean - a * mean_ref)


def mutual_nearest(z: Complex, z_to: Complex, within_px: float) -> tuple[Index, Index]:
    """Pair the points of two lists that are each other's nearest and not further apart than `within_px`."""
    if len(z) == 0 or len(z_to) == 0:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
    return _each_others_nearest(_distance2(z, z_to), within_px)


def _distance2(z: Complex, z_to: Complex) -> Float:
    dx = z.real[:, np.newaxis] - z_to.real
    dy = z.imag[:, np.newaxis] - z_to.imag
    dx *= dx
    dy *= dy
    dx += dy
    return dx


def _each_others_nearest(distance2: Float, within_px: float) -> tuple[Index, Index]:
    nearest = distance2.argmin(axis=1)
    i = np.arange(len(distance2))
    keep = (distance2.argmin(axis=0)[nearest] == i) & (distance2[i, nearest] < within_px**2)
    return i[keep], nearest[keep]
