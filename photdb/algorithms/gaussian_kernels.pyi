"""The loops of `photdb.algorithms.gaussian`, compiled from `gaussian_kernels.pyx`: fits of a Gaussian.

Arrays are C-contiguous.
"""

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]
_Bools = NDArray[np.bool_]

def fit(
    boxes: _Floats, usable: _Floats, x: _Floats, y: _Floats, sigma: _Floats, min_pixels: int
) -> tuple[_Floats, _Bools, _Integers, _Floats]:
    """Fit Gaussians to boxes (n, s, s); gives what `photdb.algorithms.gaussian.Gaussians` holds."""
