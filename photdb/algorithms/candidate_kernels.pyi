"""The loops over local maxima that numpy has no operation for, compiled from `candidate_kernels.pyx`.

Arrays are C-contiguous; `image` may be of any integer or floating type in native byte order.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]
_Booleans = NDArray[np.bool_]

def candidates(
    image: NDArray[Any],
    lowest: Any,
    highest: Any,
    level: _Floats,
    scatter: _Floats,
    tiles_y: _Integers,
    part_y: _Floats,
    tiles_x: _Integers,
    part_x: _Floats,
    ring: _Integers,
    pixel_sigmas: float,
    n_sigmas: float,
    full_adu: float,
    max_ridge: float,
    min_around: float,
    min_across: float,
) -> _Floats:
    """Find local maxima of an image that may be stars: rows (n, 5) of x, y, sky, height, and 1 where saturated.

    They come in the order of y, then x.

    Parameters
    ----------
    lowest, highest
        What the image's type can hold.
    level, scatter : arrays (ny, nx)
        The sky at the centres of tiles, as `Background` has it.
    tiles_y, part_y, tiles_x, part_x : arrays (2, H), (H,), (2, W), (W,)
        Between which tiles each row and each column lies, and how far, as `Background.between` gives it.
    ring : array (16, 2)
        Points (dy, dx) around a star; opposite ones are half the list apart.
    pixel_sigmas, …, min_across
        The criteria, see `photdb.algorithms.detection`.
    """

def joined(
    image: NDArray[Any],
    x: _Floats,
    y: _Floats,
    sky: _Floats,
    height: _Floats,
    near: float,
    reach: float,
    valley: float,
) -> _Booleans:
    """Say which of n maxima, in the order of y, are one with a higher one; of equal ones the later is.

    They are where the other is nearer than `near`, and where it is within `reach` and the image at a quarter, a half
    and three quarters of the way is above `valley` times their own height.
    """

def spread(x: _Floats, y: _Floats, side: float, n_across: int, n_down: int, n: int) -> _Integers:
    """Choose n of points, brightest first, over a grid of n_across × n_down square cells of width `side`.

    First come the brightest of each cell, in all about n/2, then the others; both in the order of the points.
    """
