"""The loop of `photdb.algorithms.sky`, compiled from `sky_kernels.pyx`.

Arrays are C-contiguous; stamps (m, h, w) are float32 or float64, with NaN where a pixel is not usable. `items` (n,)
says which of them, `x` and `y` (n,), finite, where in them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]

def ring_skies(
    stamps: NDArray[Any],
    items: _Integers,
    x: _Floats,
    y: _Floats,
    dy: NDArray[np.int32],
    dx: NDArray[np.int32],
    n_certain: int,
    inner: float,
    outer: float,
    n_sample: int,
    clip: float,
    lower_fraction: float,
    kept: float,
    method: int,
) -> tuple[_Floats, _Floats, _Integers]:
    """Measure the sky in rings, the standard deviation about the median or plane, and how many pixels are left (n,).

    Parameters
    ----------
    dy, dx : array (k,)
        Pixels from the central one: first `n_certain` that lie in the ring wherever the position is in its pixel, then
        those that may.
    inner, outer : float
        Of the ring, inner ≤ r < outer.
    n_sample : int
        Of how many pixels, at least, the quartiles are taken that the steps of the keys are made of.
    clip : float
        Times the distance of the median and the quantile `lower_fraction`.
    kept : float
        Part of the standard deviation of normal data that is left after clipping; for planes alone.
    method : int
        0: clipped median; 1: three times it minus twice the mean; 2: a plane's value at the position.
    """
