"""The loops of `photdb.algorithms.stacking`, compiled from `stack_kernels.pyx`; arrays are C-contiguous."""

import numpy as np
from numpy.typing import NDArray

_Singles = NDArray[np.float32]

def resample(
    rows: _Singles, first_row: int, a: float, b: float, x0: float, y0: float, scale: float, out: _Singles
) -> None:
    """Fill `out` bilinearly: its pixel (j, i) lies at x0 + a j − b i, y0 + b j + a i of the frame; NaN off the rows.

    `rows` are whole rows of the frame from `first_row` on; values are multiplied by `scale`.
    """

def clipped_mean(stack: _Singles, least: int, sigmas: float) -> tuple[_Singles, NDArray[np.int16]]:
    """Average a stack (n, h, w) over its first axis, without what is far from the median; gives how many counted.

    Far: more than `sigmas` times half the middle 68 % of the values. NaN and 0 where fewer than `least` are finite.
    """

def quantiles(stack: _Singles, least: int, parts: NDArray[np.float64]) -> _Singles:
    """Give quantiles (k, h, w) of a stack (n, h, w) over its first axis, for parts (k,) from 0 to 1; NaN as above."""
