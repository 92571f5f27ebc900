"""The loops over pixels and stars that numpy has no operation for, compiled from `kernels.pyx`.

Arrays are C-contiguous; `image` may be of any integer or floating type in native byte order.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]

def swap_bytes(words: NDArray[np.uint16], flip: int) -> None:
    """Swap the two bytes of each word (n,) in place, then flip the bits that are set in `flip`."""

def clipped(ordered: NDArray[Any], n_clips: int, clip: float, min_values: int) -> _Floats:
    """Give (2, n): the clipped median of each sorted row, NaN last, and half the distance of its 1 σ points.

    `n_clips` times, values are left out on both sides that are `clip` scatters or more from the median. Equal integers
    count as spread evenly over ± ½. Rows with fewer than `min_values` numbers give NaN.
    """

def median_around(values: _Floats, fallback: float) -> _Floats:
    """Give the median of the values that are not NaN among the 3 × 3 about each, edges repeated, or the fallback."""

def sky_of(
    level_map: _Floats, scatter_map: _Floats, tile_height: float, tile_width: float, x: _Floats, y: _Floats
) -> _Floats:
    """Give level and scatter (2, n) of the sky at points, bilinear between the centres of the tiles."""

def candidates(
    image: NDArray[Any],
    limits: NDArray[Any],
    band_px: int,
    level_map: _Floats,
    scatter_map: _Floats,
    tile_height: float,
    tile_width: float,
    ring: _Integers,
    n_sigmas: float,
    full_adu: float,
    max_ridge: float,
    min_around: float,
    min_across: float,
) -> _Floats:
    """Find local maxima of an image that may be stars: rows (n, 5) of x, y, sky, height, and 1 where saturated.

    Parameters
    ----------
    limits : array (number of bands, W), of the image's type
        What pixels must exceed; a band is `band_px` rows.
    level_map, scatter_map : arrays (ny, nx)
        The sky at the centres of tiles, as `Background` has it.
    ring : array (16, 2)
        Points (dy, dx) around a star; opposite ones are half the list apart.
    n_sigmas, …, min_across
        The criteria, see `photdb.algorithms.detection`.
    """

def pairs_within(x: _Floats, y: _Floats, by_y: _Integers, reach: float) -> _Integers:
    """Give the pairs (k, 2) of points no farther apart than `reach`, each as i < j; `by_y` sorts the points by y."""

def spread(x: _Floats, y: _Floats, side: float, n_across: int, n_down: int, n: int) -> _Integers:
    """Choose n of points, brightest first, over a grid of n_across × n_down square cells of width `side`.

    First come the brightest of each cell, in all about n/2, then the others; both in the order of the points.
    """

def cut(image: NDArray[Any], x: _Integers, y: _Integers, sky: _Floats, radius: int) -> _Floats:
    """Cut stamps (n, 2 radius + 1, 2 radius + 1) about pixels, less their sky; 0 off the image and if not finite."""

def window_moments(stamps: _Floats, dx: _Floats, dy: _Floats, sigma: _Floats) -> _Floats:
    """Measure stamps (n, s, s) in Gaussian windows of width `sigma` about points `dx`, `dy` off their centres.

    Returns
    -------
    array (6, n)
        Sums of w, w x and w y times the stamp, with x and y from the window's centre; and the covariance xx, yy, xy of
        the Gaussian whose product with the window has the stamp's second moments, NaN where there is none.
    """
