"""The loops over pairs of stars and shifts that numpy has no operation for, compiled from `pair_kernels.pyx`.

Arrays are C-contiguous.
"""

import numpy as np
from numpy.typing import NDArray

_Complex = NDArray[np.complex128]
_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]

def pairs_near(z: _Complex, z_to: _Complex, within_px: float) -> tuple[_Integers, _Integers]:
    """Give all pairs nearer to each other than this, in the order of the first list, then of the second."""

def each_others_nearest(
    z: _Complex, z_to: _Complex, i: _Integers, j: _Integers, within_px: float
) -> tuple[_Integers, _Integers, _Floats]:
    """Give those of the pairs that are each other's nearest and nearer than this, with their squared distance.

    Of equally near pairs of a star the first counts.
    """

def n_between(z: _Complex, z_to: _Complex, i: _Integers, j: _Integers, inner_px: float, outer_px: float) -> int:
    """Count the pairs that are nearer than the outer distance, but not than the inner one."""

def least_squares(z: _Complex, z_ref: _Complex, weight: _Floats, scale_information: float) -> tuple[complex, complex]:
    """Fit ``z = a·z_ref + b`` with weights (n,), and one more, `scale_information`, for a scale of 1."""

def votes(place: _Floats, n_turns: int, size: int) -> _Integers:
    """Count for each place (3, n) those in its own cell of size 1, in two grids that are half a cell apart.

    The first coordinate is cyclic. `size`, a power of 2, is that of the table in which cells are counted.
    """

def n_near_star(at: _Complex, near: NDArray[np.bool_], scale: float, x0: float, y0: float) -> _Integers:
    """Count for each row of positions those in cells that are set: `x·scale + x0`, `y·scale + y0`, clipped."""
