"""Aperture photometry of stacks of stamps: sums over circles with exact overlap, their sky, errors and flags.

Positions are in the stamp's own pixels (0-based, the centre of its first pixel is (0, 0)). The area that a circle and a
pixel share is a mixed difference, over the pixel's four corners, of the circle's area below and left of a point; this
is a sum of functions of x and of y, so that the weights of all pixels cost a few additions each.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.flags import Flag
from photdb.algorithms.sky import ring_sky
from photdb.algorithms.stamps import as_stack, nearest_pixel, padded, take_boxes

Floats = NDArray[np.float64]

_BLOCK: Final = 256


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
    shape = dx.shape
    x, y = (np.stack([v.ravel() - 0.5, v.ravel() + 0.5]) for v in (dx, dy))
    area: Floats = _overlaps(x, y, radius.ravel())[0, 0].reshape(shape)
    return area


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
    for start in range(0, known.size, _BLOCK):
        block = known[start : start + _BLOCK]
        items = padded(block)
        sums = _sums(stack, items, x[items], y[items], radii)
        raw[block], area[block], noise_area[block] = (v[: block.size] for v in sums)
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


def _overlaps(x: Floats, y: Floats, radius: Any) -> Floats:
    """Weights (h, w, k) of the pixels between edges x (w + 1, k) and y (h + 1, k), relative to the circle's centre."""
    quarter = np.pi * radius**2 / 4
    area_x, area_y = _half_segment(x, radius), _half_segment(y, radius)
    right, above = (x >= 0).astype(np.float64), (y >= 0).astype(np.float64)
    inside = (y * y)[:, None] + x * x < radius**2
    within = y[:, None] * x
    within += area_x + quarter
    within += area_y[:, None]
    beyond = above[:, None] * (2 * area_x + (2 - 4 * right) * quarter)
    beyond += right * (2 * (area_y + quarter))[:, None]
    corner = np.where(inside, within, beyond)
    strip = corner[1:] - corner[:-1]
    weights: Floats = np.clip(strip[:, 1:] - strip[:, :-1], 0.0, 1.0)
    return weights


def _half_segment(t: Floats, radius: Any) -> Floats:
    """Integrate √(r² − t²) from 0 to t, which ends at the circle."""
    t = np.clip(t, -radius, radius)
    area: Floats = 0.5 * (t * np.sqrt(radius**2 - t * t) + radius**2 * np.arcsin(t / radius))
    return area


def _sums(
    stack: NDArray[Any], items: NDArray[np.intp], x: Floats, y: Floats, radii: Floats
) -> tuple[Floats, Floats, Floats]:
    """Sum pixels, weights and squared weights of one padded block of stamps over circles: three arrays (k, P)."""
    largest = int(np.ceil(radii.max()))
    x_centre, y_centre = nearest_pixel(x), nearest_pixel(y)
    box = take_boxes(stack, items, x_centre - largest, y_centre - largest, 2 * largest + 1).astype(np.float64)
    bad = np.isnan(box)
    usable = None
    if bad.any():
        usable, box = ~bad, np.where(bad, 0.0, box)
    edges = np.arange(-largest, largest + 2)[:, None] - 0.5
    x_edges, y_edges = edges + (x_centre - x), edges + (y_centre - y)
    sums = np.empty((3, items.size, radii.size))
    for i, radius in enumerate(radii):
        margin = largest - int(np.ceil(radius))
        part = slice(margin, 2 * largest + 1 - margin)
        part_edges = slice(margin, 2 * largest + 2 - margin)
        weights = _overlaps(x_edges[part_edges], y_edges[part_edges], radius)
        if usable is not None:
            weights *= usable[part, part]
        sums[0, :, i] = np.einsum("yxk,yxk->k", weights, box[part, part])
        sums[1, :, i] = np.einsum("yxk->k", weights)
        sums[2, :, i] = np.einsum("yxk,yxk->k", weights, weights)
    return sums[0], sums[1], sums[2]
