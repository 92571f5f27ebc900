"""Aperture photometry of stacks of stamps: sums over circles with exact overlap, their sky, errors and flags.

Positions are in the stamp's own pixels (0-based, the centre of its first pixel is (0, 0)). The area that a circle and a
pixel share is a mixed difference, over the pixel's four corners, of the circle's area below and left of a point; this
is a sum of functions of x and of y, so that the weights of all pixels cost a few additions each.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms import aperture_kernels as kernels
from photdb.algorithms.flags import Flag
from photdb.algorithms.sky import ring_sky
from photdb.algorithms.stamps import as_stack

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Apertures:
    """Fluxes of n sources in P apertures; all arrays have shape (n, P).

    `flux_adu` is the sum less `sky_adu` times `area_px`; NaN without sky, position or pixels. `area_px` and
    `noise_area_px` are the sums of the usable pixels' weights and of their squares. `sky_adu`, `sky_scatter_adu` and
    `n_sky` are those of `photdb.algorithms.sky.ring_sky`.
    """

    flux_adu: Floats
    sky_adu: Floats
    sky_scatter_adu: Floats
    n_sky: NDArray[np.int64]
    area_px: Floats
    noise_area_px: Floats
    flags: NDArray[np.int64]


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
    origin_px: ArrayLike | None = None,
    frame_shape: tuple[int, int] | None = None,
) -> Apertures:
    """Measure the flux of n sources in P apertures, each with the sky of its ring.

    The sky is the clipped median of `photdb.algorithms.sky.ring_sky`; a ring that several apertures share is measured
    once.

    Parameters
    ----------
    stamps : array (n, h, w)
        Pixels in ADU; NaN off the frame and where they are not usable.
    x, y : array (n,)
        Positions in pixels of the stamps. One that is not finite gives `NO_POSITION`.
    radii_px, annulus_inner_px, annulus_outer_px : float or array (P,)
        The apertures.
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
        If `stamps` is not a stack, a radius is not positive, a ring is empty, or only one of `origin_px` and
        `frame_shape` is given.
    """
    stack = as_stack(stamps)
    if (origin_px is None) != (frame_shape is None):
        raise ValueError("origin_px and frame_shape go together")
    radii, inner, outer = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (radii_px, annulus_inner_px, annulus_outer_px))
    )
    if not (np.all(radii > 0) and np.all(inner >= 0) and np.all(outer > inner)):
        raise ValueError("radii must be positive, and 0 <= inner < outer for rings")
    n, p = len(stack), len(radii)
    x, y = (np.broadcast_to(np.asarray(v, dtype=np.float64), (n,)) for v in (x, y))
    height, width = stack.shape[1:] if frame_shape is None else frame_shape
    origin = np.zeros((n, 2)) if origin_px is None else np.asarray(origin_px, dtype=np.float64)
    # how far it is from each position to the nearest edge of the frame
    room = np.minimum(
        np.minimum(x + origin[:, 0], width - 1 - x - origin[:, 0]),
        np.minimum(y + origin[:, 1], height - 1 - y - origin[:, 1]),
    )
    room = room[:, None] + 0.5

    raw, area, noise_area = (np.full((n, p), v) for v in (np.nan, 0.0, 0.0))
    sky, scatter, n_sky = np.full((n, p), np.nan), np.full((n, p), np.nan), np.zeros((n, p), dtype=np.int64)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    raw[known], area[known], noise_area[known] = kernels.circle_sums(stack, known, x[known], y[known], radii.copy())
    for ring in sorted(set(zip(inner.tolist(), outer.tolist(), strict=True))):
        shared = np.flatnonzero((inner == ring[0]) & (outer == ring[1]))
        values = ring_sky(stack, known, x[known], y[known], inner_px=ring[0], outer_px=ring[1])
        for array, value in zip((sky, scatter, n_sky), values, strict=True):
            array[np.ix_(known, shared)] = value[:, None]

    flux = np.where(area > 0, raw - sky * area, np.nan)
    lost = np.pi * radii**2 - area > 1e-6
    flags = np.zeros((n, p), dtype=np.int64)
    for flag, where in (
        (Flag.EDGE, radii > room),
        (Flag.RING_EDGE, outer > room),
        (Flag.NONFINITE, lost & (radii <= room)),
        (Flag.NO_SKY, np.isnan(sky)),
        (Flag.NOT_POSITIVE, flux <= 0),
    ):
        flags[where] |= flag
    flags[~(np.isfinite(x) & np.isfinite(y))] = Flag.NO_POSITION
    return Apertures(flux, sky, scatter, n_sky, area, noise_area, flags)


def flux_error(
    flux_adu: ArrayLike,
    *,
    area_px: ArrayLike,
    noise_area_px: ArrayLike,
    sky_scatter_adu: ArrayLike,
    n_sky: ArrayLike,
    gain_e_per_adu: float | None = None,
    read_noise_e: float | None = None,
) -> Floats:
    """Estimate the standard error of fluxes by the CCD equation; needs no pixels.

    The variance is flux / gain + Σw² σ² + (Σw)² (π/2) σ² / n_sky. σ is the measured scatter of the sky's pixels, which
    holds sky photons, read noise and rounding; where the read noise is known, it is not less than read noise and
    rounding to whole ADU give. π/2 is the variance of a median against that of a mean.

    Parameters
    ----------
    flux_adu, area_px, noise_area_px, sky_scatter_adu, n_sky : array
        As in `Apertures`, of any shapes that broadcast.
    gain_e_per_adu : float, optional
        Taken as 1 where it is not known.
    read_noise_e : float, optional
        Of one pixel.

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
    variance = np.maximum(flux, 0.0) / gain + pixel * (noise_area + area**2 * (np.pi / 2) / np.maximum(n, 1))
    error: Floats = np.sqrt(variance)
    return error
