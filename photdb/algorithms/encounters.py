"""What comes within reach of a source's aperture or sky ring, and what its light does there.

The light of a star in an aperture is its flux times the part of the stars' profile that the circle holds. In a ring
the sky is a clipped median, to which a pixel counts by its sign more than by its height.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.profiles import Profile

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]

_CLIP_SIGMA: Final = 3.0


def within_reach(x: Floats, y: Floats, star_x: Floats, star_y: Floats, reach_px: Floats) -> tuple[Integers, Integers]:
    """Find the stars near a source.

    Parameters
    ----------
    x, y : array (n,)
        Where the source is in each frame, in pixels of the reference frame; NaN where it is nowhere.
    star_x, star_y : array (s,)
        The stars there.
    reach_px : array (n,)
        How far is near.

    Returns
    -------
    frame, star : array of int (k,)
        The pairs, by frame, then star.
    """
    here = np.isfinite(x) & np.isfinite(y)
    if not here.any() or not star_x.size:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    most = float(reach_px[here].max())
    near = np.flatnonzero(
        (star_x > x[here].min() - most)
        & (star_x < x[here].max() + most)
        & (star_y > y[here].min() - most)
        & (star_y < y[here].max() + most)
    )
    frames, stars = [], []
    for start in range(0, x.size, 512):  # a long track passes thousands of stars
        part = slice(start, start + 512)
        square = (x[part, None] - star_x[near]) ** 2 + (y[part, None] - star_y[near]) ** 2
        frame, star = np.nonzero(square < reach_px[part, None] ** 2)
        frames.append(frame + start)
        stars.append(near[star])
    return np.concatenate(frames), np.concatenate(stars)


def sky_raised(
    profile: Profile,
    flux_adu: Floats,
    distance_px: Floats,
    fwhm_px: Floats,
    sky_scatter_adu: Floats,
    n_sky: Floats,
    *,
    inner_px: float,
    outer_px: float,
) -> Floats:
    """Give by how much stars (n,) raise the sky of rings at some distance from them.

    Returns
    -------
    array (n,)
        ADU per pixel.

    Notes
    -----
    A pixel moves the median of n normal ones of scatter σ by σ √(π/2) sign(z) / n (the median's influence function;
    Hampel et al. 1986, Robust Statistics, section 2.1). Of a pixel raised by c the sign is positive with a
    probability of Φ(c/σ), and it is left out beyond 3 σ: on average √(π/2) σ / n (2 Φ(c/σ) − 1) Φ(3 − c/σ).
    """
    from scipy.special import ndtr

    raised = np.zeros(len(flux_adu))
    reach = 3.0 * fwhm_px
    near = np.flatnonzero(
        (distance_px > inner_px - reach) & (distance_px < outer_px + reach) & (sky_scatter_adu > 0) & (n_sky > 0)
    )
    if not near.size:
        return raised
    half = math.ceil(float(reach[near].max()))
    grid_y, grid_x = np.mgrid[-half : half + 1, -half : half + 1].reshape(2, -1).astype(np.float64)
    from_star = np.hypot(grid_x, grid_y)
    for start in range(0, near.size, 512):
        k = near[start : start + 512]
        from_source = np.hypot(distance_px[k, None] + grid_x, grid_y)
        height = flux_adu[k, None] * profile.at(np.broadcast_to(from_star, from_source.shape), fwhm_px[k, None])
        height = np.where((from_source >= inner_px) & (from_source < outer_px), height, 0.0)
        height /= sky_scatter_adu[k, None]
        pull = ((2.0 * ndtr(height) - 1.0) * ndtr(_CLIP_SIGMA - height)).sum(axis=1)
        raised[k] = math.sqrt(math.pi / 2.0) * sky_scatter_adu[k] / n_sky[k] * pull
    return raised


def running_median(values: Floats, width: int) -> Floats:
    """Give the median (n,) of the finite ones among the `width` values about each; NaN where there is none."""
    n = values.size
    if n == 0:
        return np.empty(0)
    half = width // 2
    padded = np.concatenate([np.full(half, np.nan), values, np.full(half, np.nan)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)[:n]
    out = np.full(n, np.nan)
    some = np.isfinite(windows).any(axis=1)
    out[some] = np.nanmedian(windows[some], axis=1)
    return out


def error_mag(light_adu: Floats, own_adu: Floats) -> Floats:
    """Give what some more light does to a magnitude: negative, as it is brighter; NaN where nothing is left."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value: Floats = -2.5 * np.log10(np.where(own_adu > 0, 1.0 + light_adu / own_adu, np.nan))
    return value
