"""The loops of `photdb.algorithms.centroid`, compiled from `centroid_kernels.pyx`: maxima, and boxes around them.

Arrays are C-contiguous; stamps (m, h, w) are float32 or float64, with NaN where a pixel is not usable. `items` (n,)
says which of them, `x` and `y` (n,), finite, where in them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]
_Bools = NDArray[np.bool_]

def brightest(
    stamps: NDArray[Any], items: _Integers, x: _Floats, y: _Floats, reach: _Floats, search: int
) -> tuple[_Integers, _Integers, _Bools]:
    """Find the brightest local maximum of the 3 × 3 median: its pixel x, y, and whether there is one (n,).

    It is one within `reach` of the position, if there is one there, else one in the 2 `search` + 1 pixels square about
    it. Of equal ones it is the nearest, then the first.
    """

def boxes_around(
    stamps: NDArray[Any],
    items: _Integers,
    x_peak: _Integers,
    y_peak: _Integers,
    radius: int,
    steepest: _Floats,
    saturation: float,
) -> tuple[_Floats, _Floats, _Floats, _Floats, _Floats, _Floats]:
    """Cut the boxes to fit a Gaussian to, s = 2 `radius` + 1 pixels square.

    Parameters
    ----------
    steepest : array (n,)
        How many times its neighbourhood's median, above the lowest median, a star's pixel can be.
    saturation : float
        Pixels at or above it are not usable.

    Returns
    -------
    boxes, usable : array (n, s, s)
        Pixels, 0 where they are not usable; 1 where they are, else 0.
    x, y : array (n,)
        Where the maximum of the medians is, from the central pixel.
    height : array (n,)
        The central median above the lowest.
    noise : array (n,)
        How much a pixel usually differs from the median of its neighbourhood.
    """

def highest(stamps: NDArray[Any], items: _Integers, x: _Floats, y: _Floats, reach: _Floats) -> _Floats:
    """Find the highest pixel within `reach` of each position (n,); NaN if there is none."""
