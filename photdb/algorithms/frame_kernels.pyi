"""The loops over pixels that numpy has no operation for, compiled from `frame_kernels.pyx`; arrays are C-contiguous."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]

def swap_bytes(words: NDArray[np.uint16], flip: int) -> None:
    """Swap the two bytes of each word (n,) in place, then flip the bits that are set in `flip`."""

def rice_is_whole(tile: NDArray[np.uint8], n_pixels: int, block: int, pixel_bytes: int) -> bool:
    """Say whether a tile holds as many pixels, Rice-coded in blocks (FITS 4.0, 10.4.1); pixels have 1, 2 or 4 bytes."""

def clipped(ordered: NDArray[Any], n_clips: int, clip: float, min_values: int) -> _Floats:
    """Give (2, n): the clipped median of each sorted row, NaN last, and half the distance of its 1 σ points.

    `n_clips` times, values are left out on both sides that are `clip` scatters or more from the median. Equal integers
    count as spread evenly over ± ½. Rows with fewer than `min_values` numbers give NaN.
    """

def median_around(values: _Floats, fallback: float) -> _Floats:
    """Give the median of the values that are not NaN among the 3 × 3 about each, edges repeated, or the fallback."""
