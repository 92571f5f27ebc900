"""Where a frame lies against the reference frame, from the two lists of stars alone.

A shift is ``p = c + scale·Rot(θ)·(p_ref − c) + (dx, dy)`` with ``c = ((W − 1)/2, (H − 1)/2)``, θ positive from x to y.
`consensus` finds the one on which the lists agree; here it is fitted to the stars, applied to positions, and used to
choose the reference frame. A shift depends on the two lists only, in whatever order their stars come.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from photdb.algorithms.consensus import (
    Complex,
    Float,
    Shift,
    StarMap,
    accept,
    least_squares,
    length2,
    mutual_nearest,
    search,
    star_map,
)
from photdb.algorithms.flags import Flag

#: Stars of a list that are used, the brightest.
MAX_STARS: Final = 150
#: Fewer matched stars than this flag a shift (`Flag.FEW_MATCHED`).
MIN_MATCHED: Final = 6
#: Stars of the two lists nearer than this to each other with no shift at all may be hot pixels.
COINCIDENCE_PX: Final = 0.3

_FEW, _BRIGHT, _MORE = 12, 30, 75  # stars whose pairs vote; more of them if the first agree on nothing, or on little
_CLIP = 3.5
_LEAST_ERROR_PX = 0.01
_FLOOR = 0.3  # a/b of the variance a + b·(median flux/flux) where too few stars show it
_TINY = float(np.finfo(np.float64).tiny)
_RAYLEIGH_MEDIAN2 = 2 * math.log(2)  # median squared length of a 2-D normal vector of unit variance per axis


@dataclass(frozen=True, slots=True)
class Registration:
    """The shift of one frame, and how well its stars bear it out.

    Without a match (`Flag.NOT_MATCHED`) the shift and the residual are NaN and `n_matched` is 0. `residual_px` is the
    root mean square length of the residual vectors (frame minus shifted reference) of the `n_matched` stars that the
    fit kept.
    """

    dx_px: float
    dy_px: float
    rotation_deg: float
    scale: float
    n_matched: int
    residual_px: float
    flags: Flag


NO_MATCH = Registration(math.nan, math.nan, math.nan, math.nan, 0, math.nan, Flag.NOT_MATCHED)


@dataclass(frozen=True, slots=True)
class ReferenceStars:
    """The reference frame's stars, made ready by `prepare`: positions from the centre, brightest first, and a map."""

    z: Complex
    map: StarMap


def prepare(x_px: ArrayLike, y_px: ArrayLike, flux_adu: ArrayLike, *, width_px: int, height_px: int) -> ReferenceStars:
    """Make the reference frame's stars ready for `register`.

    Parameters
    ----------
    x_px, y_px, flux_adu : array_like, shape (n,)
        The stars, in any order; the 150 brightest are used, those without a finite position are not.
    width_px, height_px : int
        Size of the frames, the same for all.
    """
    z, _ = _brightest(x_px, y_px, flux_adu, width_px, height_px)
    return ReferenceStars(z, star_map(z, width_px, height_px))


def register(x_px: ArrayLike, y_px: ArrayLike, flux_adu: ArrayLike, reference: ReferenceStars) -> Registration:
    """Find the shift of a frame from its stars.

    A frame has a shift only if chance cannot explain its matches (`consensus.accept`): that takes four to six of them,
    the fewer the shorter the lists and the tighter the matches, and three only where neither list holds many more.

    Stars that lie at the same pixels in both lists are left out at first, so that hot pixels, which never move, cannot
    outvote stars that do; only when the others agree on nothing, or on nearly the same place, are they taken for stars
    of a frame that hardly moved. A frame that shows nothing but the reference frame's hot pixels cannot be told from
    one that did not move.

    The fit is by least squares with the variance ``a + b/flux`` of a centroid, a and b from the residuals of bright and
    faint matches; from six matches on, residuals above 3.5 σ are left out. Few noisy stars say little of the scale, so
    the fit starts from scale 1 ± 0.001, which many stars overrule. Their rotation is what they say: nothing else is
    known of it. Shifts from fewer than six stars carry `Flag.FEW_MATCHED`.

    Parameters
    ----------
    x_px, y_px, flux_adu : array_like, shape (n,)
        The frame's stars, in any order; the 150 brightest are used, those without a finite position are not.
    reference : ReferenceStars
        The reference frame's stars, from `prepare`.

    Returns
    -------
    Registration
        The shift; with `Flag.NOT_MATCHED` and NaN if no shift is beyond doubt, as with fewer than three stars.
    """
    z, flux = _brightest(x_px, y_px, flux_adu, reference.map.width_px, reference.map.height_px)
    # a short list holds the brightest stars: their counterparts are near the top of the long one
    z_ref = reference.z[: 3 * len(z) + 10]
    z, flux = z[: 3 * len(z_ref) + 10], flux[: 3 * len(z_ref) + 10]
    fixed, fixed_ref = mutual_nearest(z, z_ref, COINCIDENCE_PX)
    moving, moving_ref = (np.delete(z, fixed), np.delete(z_ref, fixed_ref)) if len(fixed) else (z, z_ref)
    found, still = _search(moving, moving_ref, reference.map), None
    if len(fixed) >= 3:
        if found is not None:
            moved = _fit(moving, np.delete(flux, fixed), moving_ref, found)
            if _leaves_behind(moved, found, z[fixed], z_ref[fixed_ref]):
                return moved
        still = accept(z, z_ref, 1.0 + 0.0j, 0.0j, reference.map, n_tried=1)
    if still is not None:
        return _fit(z, flux, z_ref, still)
    if found is None and max(len(moving), len(moving_ref)) > _BRIGHT:
        found = search(moving, moving_ref, reference.map, n_bright=_MORE)
    if found is None:
        return NO_MATCH
    if len(fixed):  # all stars take part now
        i, j = mutual_nearest(z, found.a * z_ref + found.b, found.tolerance_px)
        found = found._replace(i=i, j=j)
    return _fit(z, flux, z_ref, found)


@dataclass(frozen=True, slots=True)
class Batch:
    """Star lists of some frames and of the reference frame, arrays (n, 3) of x, y and flux: the work of one task."""

    frames: tuple[Float, ...]
    reference: Float
    width_px: int
    height_px: int

    def __str__(self) -> str:
        return f"the stars of {len(self.frames)} frames"


def register_batch(batch: Batch) -> list[Registration]:
    """Find the shifts of some frames. It stands here so that a worker process need not import the database."""
    reference = prepare(*batch.reference.T, width_px=batch.width_px, height_px=batch.height_px)
    return [register(stars[:, 0], stars[:, 1], stars[:, 2], reference) for stars in batch.frames]


def choose_reference(
    stars: Sequence[tuple[ArrayLike, ArrayLike, ArrayLike]],
    n_stars: ArrayLike,
    *,
    width_px: int,
    height_px: int,
    found: dict[tuple[int, int], Registration] | None = None,
) -> int:
    """Choose the reference frame: the one with most stars among those that point near the median pointing.

    Up to 101 frames, evenly spaced, are registered against the one of them with most stars (or the next, until one
    matches at least half of them); the one whose centre lies nearest to the median of their centres has the median
    pointing. Frames are then tried by falling number of stars, the earlier first where these are equal; the first that
    points within 5 % of the frame's shorter side of it is chosen.

    Parameters
    ----------
    stars : sequence of (x_px, y_px, flux_adu)
        The stars of every frame that may be chosen.
    n_stars : array_like, shape (n,)
        How many stars each frame has: `stars` may hold only the brightest of them.
    width_px, height_px : int
        Size of the frames.
    found : dict, optional
        Is given what `register` found on the way: (index of a frame, index of the one it was registered against).

    Returns
    -------
    int
        The index of the frame chosen; where no two frames match, that of the frame with most stars.

    Raises
    ------
    ValueError
        If there are no frames.
    """
    if len(stars) == 0:
        raise ValueError("there is no frame to choose the reference frame from")
    by_stars = np.argsort(-np.asarray(n_stars, dtype=np.int64), kind="stable")
    sample = np.unique(np.linspace(0, len(stars) - 1, min(len(stars), 101)).round().astype(np.intp))
    found = {} if found is None else found

    def pointing_of(i: int, j: int) -> complex:
        if (i, j) not in found:
            found[i, j] = register(*stars[i], prepared[j])
        return _pointing(found[i, j])

    prepared: dict[int, ReferenceStars] = {}
    against, centres = None, np.empty(0, dtype=np.complex128)
    for first in by_stars[np.isin(by_stars, sample)][:5].tolist():
        prepared[first] = prepare(*stars[first], width_px=width_px, height_px=height_px)
        known = np.array([pointing_of(i, first) for i in sample.tolist()])
        known = known[np.isfinite(known)]
        if len(known) > len(centres):
            against, centres = first, known
        if 2 * len(centres) >= len(sample):
            break
    if against is None:
        return int(by_stars[0])
    median = complex(np.median(centres.real), np.median(centres.imag))
    pointing = centres[np.argmin(np.abs(centres - median))]
    within_px = 0.05 * min(width_px, height_px)
    return next(int(i) for i in by_stars.tolist() if abs(pointing_of(i, against) - pointing) <= within_px)


def _pointing(shift: Registration) -> complex:
    """Give where the centre of a frame lies in the reference frame, from its centre; NaN without a match."""
    if shift.flags & Flag.NOT_MATCHED:
        return complex(math.nan, math.nan)
    a = shift.scale * np.exp(1j * math.radians(shift.rotation_deg))
    return complex(-complex(shift.dx_px, shift.dy_px) / a)


def _brightest(
    x_px: ArrayLike, y_px: ArrayLike, flux_adu: ArrayLike, width_px: int, height_px: int
) -> tuple[Complex, Float]:
    """Give the brightest stars in an order that depends on nothing but themselves."""
    x, y, flux = (np.asarray(values, dtype=np.float64) for values in (x_px, y_px, flux_adu))
    z = np.empty(len(flux), dtype=np.complex128)
    np.subtract(x, (width_px - 1) / 2, out=z.real)
    np.subtract(y, (height_px - 1) / 2, out=z.imag)
    finite = np.isfinite(z)
    if finite.all() and (flux[1:] < flux[:-1]).all() and (len(flux) == 0 or 0 < flux[-1] and flux[0] < np.inf):
        return z[:MAX_STARS], flux[:MAX_STARS]  # they come so mostly
    flux = np.where(np.isfinite(flux) & (flux > 0), flux, 0.0)
    order = np.lexsort((x, y, -flux))
    order = order[finite[order]][:MAX_STARS]
    return z[order], flux[order]


def _search(z: Complex, z_ref: Complex, stars: StarMap) -> Shift | None:
    """Search with the brightest stars, and with very few of them first, which takes half the time.

    What few agree on is taken only if more than half of all stars bear it out, with no match in doubt: many would
    agree on the same, to the last bit.
    """
    n = min(len(z), len(z_ref))
    if n > _BRIGHT:
        found = search(z, z_ref, stars, n_bright=_FEW, n_best=16)
        if found is not None and found.firm and 2 * len(found.i) > n:
            return found
    return search(z, z_ref, stars, n_bright=_BRIGHT)


def _leaves_behind(moved: Registration, shift: Shift, fixed: Complex, fixed_ref: Complex) -> bool:
    """Tell whether stars at the same pixels in both lists lie where this shift of the others has no place for them.

    If not, both are stars of a frame that hardly moved, and the others merely have poorer positions.
    """
    a, b = shift.a, shift.b
    if moved.n_matched < MIN_MATCHED:
        doubt_px = 10.0
    else:  # three times the error of the shift far from the centre
        doubt_px = COINCIDENCE_PX + 6 * moved.residual_px / math.sqrt(moved.n_matched - 2)
    return bool(np.median(np.abs(fixed - a * fixed_ref - b)) > doubt_px)


def _fit(z: Complex, flux: Float, z_ref: Complex, shift: Shift) -> Registration:
    """Fit the shift to the matches of one that was found."""
    a, b, _, i, j, _ = shift
    if len(i) < 3:
        return NO_MATCH
    z, z_ref, flux = z[i], z_ref[j], flux[i]
    flux = np.maximum(flux, max(1e-3 * float(flux[0]), _TINY))
    faintness = flux[len(flux) // 2] / flux
    residual2 = length2(z - a * z_ref - b)
    for _ in range(3):
        variance = _variance(residual2, faintness)
        keep = residual2 < _CLIP**2 * variance if len(z) >= MIN_MATCHED else np.ones(len(z), dtype=np.bool_)
        # the brightest tenth shares one weight: no star, saturated perhaps, may carry the fit alone
        weight = 1 / np.maximum(variance, variance[len(z) // 10])
        a, b = least_squares(z[keep], z_ref[keep], weight[keep])
        residual2 = length2(z - a * z_ref - b)
    n = int(np.count_nonzero(keep))
    return Registration(
        dx_px=b.real,
        dy_px=b.imag,
        rotation_deg=math.degrees(math.atan2(a.imag, a.real)),
        scale=abs(a),
        n_matched=n,
        residual_px=math.sqrt(residual2[keep].sum() / n),
        flags=Flag.FEW_MATCHED if n < MIN_MATCHED else Flag(0),
    )


def _variance(residual2: Float, faintness: Float) -> Float:
    """Estimate the variance per axis of each match, ``a + b·faintness``, from its residuals, brightest first."""
    n = len(residual2)
    bright = faint = rise = 0.0
    if n >= 2 * MIN_MATCHED:
        bright = _median(residual2[: n // 2]) / _RAYLEIGH_MEDIAN2
        faint = _median(residual2[n // 2 :]) / _RAYLEIGH_MEDIAN2
        rise = float(faintness[3 * n // 4] - faintness[n // 4])
    if faint > bright and rise > 0:
        b = (faint - bright) / rise
        a = max(0.0, bright - b * float(faintness[n // 4]))
    else:
        b = _median(residual2 / (_FLOOR + faintness)) / _RAYLEIGH_MEDIAN2 * n / (n - 2)
        a = _FLOOR * b
    return np.maximum(a + b * faintness, _LEAST_ERROR_PX**2)


def _median(values: Float) -> float:
    return float(np.sort(values)[len(values) // 2])
