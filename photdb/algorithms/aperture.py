"""Aperture photometry of stacks of stamps: sums over circles with exact overlap, plain or weighted by a profile.

Positions are in the stamp's own pixels (0-based, the centre of its first pixel is (0, 0)). The area that a circle and a
pixel share is a mixed difference, over the pixel's four corners, of the circle's area below and left of a point; this
is a sum of functions of x and of y, so that the weights of all pixels cost a few additions each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms import aperture_kernels as kernels
from photdb.algorithms.flags import Flag
from photdb.algorithms.profile import CLIP_FWHM, profile_moments, quadratic
from photdb.algorithms.sky import SKY_FACTOR, ring_sky
from photdb.algorithms.stamps import as_stack

Floats = NDArray[np.float64]

_GRID: Final = 2.0**30
#: No centroid is better than some ten-thousandths of a pixel.
_LEAST_ERROR2_PX2: Final = 1e-8


@dataclass(frozen=True, slots=True)
class Apertures:
    """Fluxes of n sources in P apertures; all arrays have shape (n, P).

    `flux_adu` is the sum less `sky_adu` times `area_px`; NaN without sky, position or pixels. `area_px` and
    `noise_area_px` are the sums of the usable pixels' weights and of their squares; they are equal in optimal
    extraction. `sky_adu`, `sky_scatter_adu` and
    `n_sky` are those of `photdb.algorithms.sky.ring_sky`.
    """

    flux_adu: Floats
    sky_adu: Floats
    sky_scatter_adu: Floats
    n_sky: NDArray[np.int64]
    area_px: Floats
    noise_area_px: Floats
    flags: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Masks:
    """What optimal extraction goes by, for n sources: arrays (n,) of the profile of each one's frame, and places.

    `fwhm_px` to `e_cross`: see `photdb.algorithms.profile.Moffat`. `x_expected_px`, `y_expected_px`: where
    the source should be, in pixels of its stamp. `expected_err_px`: the standard error of each of these.
    """

    fwhm_px: Floats
    beta: Floats
    e_plus: Floats
    e_cross: Floats
    x_expected_px: Floats
    y_expected_px: Floats
    expected_err_px: Floats


def circle_overlap(dx: ArrayLike, dy: ArrayLike, radius: ArrayLike) -> Floats:
    """Area that a unit pixel shares with a circle.

    Parameters
    ----------
    dx, dy : array
        The pixel's centre less the circle's.
    radius : array
        Of the circle, in pixels; all three are broadcast.

    Returns
    -------
    array
        Between 0 and 1, exact to some 1e-15 radius².

    Raises
    ------
    ValueError
        If a radius is not positive.

    Notes
    -----
    With a(t) = (t √(r² − t²) + r² asin(t/r)) / 2, the circle's area where X ≤ x and Y ≤ y is x y + a(x) + a(y) + π r²/4
    for a point inside the circle; outside, it is the area left of x, that below y, what they share, or nothing.
    """
    dx, dy, radius = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (dx, dy, radius)))
    if not np.all(radius > 0):
        raise ValueError("radii must be positive")
    return kernels.overlaps(dx.ravel(), dy.ravel(), radius.ravel()).reshape(dx.shape)


def measure_apertures(
    stamps: NDArray[Any],
    x: ArrayLike,
    y: ArrayLike,
    *,
    radii_px: ArrayLike,
    annulus_inner_px: ArrayLike,
    annulus_outer_px: ArrayLike,
    sky: str | Sequence[str] = "median",
    masks: Masks | None = None,
    origin_px: ArrayLike | None = None,
    frame_shape: tuple[int, int] | None = None,
) -> Apertures:
    """Measure the flux of n sources in P apertures, each with the sky of its ring.

    The sky is that of `photdb.algorithms.sky.ring_sky`; a ring that several apertures share is measured once.

    Parameters
    ----------
    stamps : array (n, h, w)
        Pixels in ADU; NaN off the frame and where they are not usable.
    x, y : array (n,)
        Positions in pixels of the stamps. One that is not finite gives `NO_POSITION`.
    radii_px : float, array (P,), or array (n, P)
        Of the circles. NaN for optimal extraction, which needs `masks`; see `optimal_sums`.
    annulus_inner_px, annulus_outer_px : float or array (P,)
        The rings.
    sky : str or sequence of str (P,)
        What the sky is: a key of `photdb.algorithms.sky.SKY_FACTOR`.
    masks : Masks, optional
        For optimal extraction.
    origin_px : array (n, 2), optional
        Where each stamp's first pixel lies in the frame, (x, y); without it the stamps' borders are the frame's.
    frame_shape : tuple of int, optional
        Height and width of the frame, with `origin_px`.

    Returns
    -------
    Apertures
        A sum over the edge (`EDGE`) or over unusable pixels in the frame or a too small stamp (`NONFINITE`) is that
        of the pixels there are. `NO_SKY`: fewer than 20 sky pixels.

    Raises
    ------
    ValueError
        If `stamps` is not a stack, a radius is not positive, a ring is empty, only one of `origin_px` and
        `frame_shape` is given, or `masks` lacks.
    """
    stack = as_stack(stamps)
    if (origin_px is None) != (frame_shape is None):
        raise ValueError("origin_px and frame_shape go together")
    inner, outer = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (annulus_inner_px, annulus_outer_px))
    radii = np.atleast_1d(np.asarray(radii_px, dtype=np.float64))
    p = np.broadcast_shapes(radii.shape[-1:], inner.shape, outer.shape)[0]
    inner, outer = np.broadcast_to(inner, p), np.broadcast_to(outer, p)
    radii = np.broadcast_to(radii, (len(stack), p))
    methods = [sky] * p if isinstance(sky, str) else list(sky)
    weighted = np.isnan(radii).any(axis=0)
    if not (np.all(radii[:, ~weighted] > 0) and np.all(inner >= 0) and np.all(outer > inner)):
        raise ValueError("radii must be positive, and 0 <= inner < outer for rings")
    if weighted.any():
        if masks is None:
            raise ValueError("optimal extraction needs masks")
        radii = np.where(weighted, CLIP_FWHM * masks.fwhm_px[:, None], radii)
    n = len(stack)
    x, y = (np.broadcast_to(np.asarray(v, dtype=np.float64), (n,)) for v in (x, y))
    height, width = stack.shape[1:] if frame_shape is None else frame_shape
    origin = np.zeros((n, 2)) if origin_px is None else np.asarray(origin_px, dtype=np.float64)
    # how far it is from each position to the nearest edge of the frame
    room = np.minimum(
        np.minimum(x + origin[:, 0], width - 1 - x - origin[:, 0]),
        np.minimum(y + origin[:, 1], height - 1 - y - origin[:, 1]),
    )
    room = room[:, None] + 0.5

    raw, area, noise_area, seen = (np.full((n, p), v) for v in (np.nan, 0.0, 0.0, 0.0))
    level, scatter, n_sky = np.full((n, p), np.nan), np.full((n, p), np.nan), np.zeros((n, p), dtype=np.int64)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    plain = np.flatnonzero(~weighted)
    if plain.size:
        at = np.ix_(known, plain)
        raw[at], area[at], noise_area[at] = kernels.circle_sums(stack, known, x[known], y[known], radii[at].copy())
        seen[at] = area[at]
    for ring in sorted(set(zip(inner.tolist(), outer.tolist(), methods, strict=True))):
        shared = np.flatnonzero((inner == ring[0]) & (outer == ring[1]) & (np.array(methods) == ring[2]))
        values = ring_sky(stack, known, x[known], y[known], inner_px=ring[0], outer_px=ring[1], method=ring[2])
        for array, value in zip((level, scatter, n_sky), values, strict=True):
            array[np.ix_(known, shared)] = value[:, None]
    if masks is not None:
        for j in np.flatnonzero(weighted):
            sums = optimal_sums(stack, known, x[known], y[known], masks, level[known, j], scatter[known, j])
            raw[known, j], area[known, j], seen[known, j] = sums
            noise_area[known, j] = area[known, j]

    flux = np.where(area > 0, raw - level * area, np.nan)
    lost = np.pi * radii**2 - seen > 1e-6
    flags = np.zeros((n, p), dtype=np.int64)
    for flag, where in (
        (Flag.EDGE, radii > room),
        (Flag.RING_EDGE, outer > room),
        (Flag.NONFINITE, lost & (radii <= room)),
        (Flag.NO_SKY, np.isnan(level)),
        (Flag.NOT_POSITIVE, flux <= 0),
    ):
        flags[where] |= flag
    flags[~(np.isfinite(x) & np.isfinite(y))] = Flag.NO_POSITION
    return Apertures(flux, level, scatter, n_sky, area, noise_area, flags)


def optimal_sums(
    stack: NDArray[Any],
    items: NDArray[np.intp],
    x: Floats,
    y: Floats,
    masks: Masks,
    sky_adu: Floats,
    sky_scatter_adu: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Sum pixels with the weights that are best for faint stars: of some stamps, each by the profile of its frame.

    The weights are w = P / ΣP², with P the profile within 2 FWHM of the position, normalised to ΣP = 1, so that
    Σ w P = 1: of all unbiased sums of pixels whose noise is that of the sky, theirs has the least.

    The position is the expected one, corrected by a part k of the way to the centroid: k = τ² / (τ² + σ²), with τ the
    error of the expected position and σ = √(2/π) s / A that of the centroid of a star of height A in the noise s of
    the pixels (that height taken from the flux at the expected position). Bright stars are so taken where they are;
    faint ones where they should be, as a centroid that follows the noise finds them too bright by some 1 / (S/N)².

    Parameters
    ----------
    stack, items
        As for `photdb.algorithms.sky.ring_sky`: k of m stamps.
    x, y : array (k,)
        Centroids; where there is none, the expected position.
    masks : Masks
        Of all m stamps.
    sky_adu, sky_scatter_adu : array (k,)
        Sky and noise of a pixel.

    Returns
    -------
    raw_adu, area_px, seen_px : array (k,)
        Σ w D, Σw = Σw², and the mask's area that was on usable pixels.

    Notes
    -----
    Naylor 1998, MNRAS 296, 339, equations 9-14; the blend of positions is the mean of two of known variances.
    """
    fwhm, beta = masks.fwhm_px[items], masks.beta[items]
    shapes, radius = quadratic(fwhm, beta, masks.e_plus[items], masks.e_cross[items]), CLIP_FWHM * fwhm

    def at(x_px: Floats, y_px: Floats) -> tuple[Floats, Floats, Floats]:
        light, total, square, seen = kernels.profile_sums(stack, items, x_px, y_px, radius, shapes)
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = np.where(square > 0, total / square, 0.0)
        return light * weight, total * weight, seen

    x_expected, y_expected = masks.x_expected_px[items], masks.y_expected_px[items]
    lost = ~(np.isfinite(x_expected) & np.isfinite(y_expected))
    x_expected, y_expected = np.where(lost, x, x_expected), np.where(lost, y, y_expected)
    raw, area, _ = at(x_expected, y_expected)
    height = (raw - sky_adu * area) / profile_moments(fwhm, beta)[0]
    centroid2 = (2.0 / np.pi) * np.square(sky_scatter_adu) / np.square(np.maximum(height, 1e-30)) + _LEAST_ERROR2_PX2
    expected2 = np.square(masks.expected_err_px[items])
    part = np.where(height > 0, expected2 / (expected2 + centroid2), 0.0)
    # To a billionth of a pixel, as centroids are: the same bits wherever the stamp was cut.
    x, y = (np.rint((e + part * (c - e)) * _GRID) / _GRID for e, c in ((x_expected, x), (y_expected, y)))
    return at(x, y)


def flux_error(
    flux_adu: ArrayLike,
    *,
    area_px: ArrayLike,
    noise_area_px: ArrayLike,
    sky_scatter_adu: ArrayLike,
    n_sky: ArrayLike,
    gain_e_per_adu: float | None = None,
    read_noise_e: float | None = None,
    sky_factor: ArrayLike = SKY_FACTOR["median"],
    photon_factor: ArrayLike = 1.0,
) -> Floats:
    """Estimate the standard error of fluxes by the CCD equation; needs no pixels.

    The variance is f flux / gain + Σw² σ² + (Σw)² s σ² / n_sky. σ is the measured scatter of the sky's pixels, which
    holds sky photons, read noise and rounding; where the read noise is known, it is not less than read noise and
    rounding to whole ADU give. s is the variance of the sky's estimate against that of a mean; f is Σw²P, 1 for
    circles.

    Parameters
    ----------
    flux_adu, area_px, noise_area_px, sky_scatter_adu, n_sky : array
        As in `Apertures`, of any shapes that broadcast.
    gain_e_per_adu : float, optional
        Taken as 1 where it is not known.
    read_noise_e : float, optional
        Of one pixel.
    sky_factor, photon_factor : array
        s, of `photdb.algorithms.sky.SKY_FACTOR`; f, of `photdb.algorithms.profile.photon_factor`.

    Returns
    -------
    array
        In ADU; NaN without flux or sky.

    Notes
    -----
    Merline & Howell 1995, Exp. Astron. 6, 163. With exact overlap, Σw² stands for their number of pixels.
    """
    flux, area, noise_area, scatter, n = (
        np.asarray(v, dtype=np.float64) for v in (flux_adu, area_px, noise_area_px, sky_scatter_adu, n_sky)
    )
    gain = 1.0 if gain_e_per_adu is None else gain_e_per_adu
    floor = 0.0 if read_noise_e is None else np.sqrt((read_noise_e / gain) ** 2 + 1.0 / 12.0)
    pixel = np.maximum(scatter, floor) ** 2
    sky = area**2 * np.asarray(sky_factor) / np.maximum(n, 1)
    variance = np.asarray(photon_factor) * np.maximum(flux, 0.0) / gain + pixel * (noise_area + sky)
    error: Floats = np.sqrt(variance)
    return error
