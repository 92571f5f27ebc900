"""The loops of `photdb.algorithms.aperture`, compiled from `aperture_kernels.pyx`.

Arrays are C-contiguous; stamps (m, h, w) are float32 or float64, with NaN where a pixel is not usable. `items` (n,)
says which of them, `x` and `y` (n,), finite, where in them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]

def overlaps(dx: _Floats, dy: _Floats, radius: _Floats) -> _Floats:
    """Give the areas (n,) that unit pixels centred at `dx`, `dy` share with circles about (0, 0)."""

def circle_sums(stamps: NDArray[Any], items: _Integers, x: _Floats, y: _Floats, radii: _Floats) -> _Floats:
    """Sum over circles of radii (n, p): usable pixels times their overlap, the overlaps, their squares (3, n, p)."""

def profile_sums(
    stamps: NDArray[Any],
    items: _Integers,
    x: _Floats,
    y: _Floats,
    radii: _Floats,
    shapes: _Floats,
) -> _Floats:
    """Sum over circles (4, n): w × usable pixels, w, w², and the overlaps.

    The weight w is the overlap times (1 + a dx² + 2 b dx dy + c dy²)^−β; `shapes` (n, 4) has a, b, c and β.
    """
