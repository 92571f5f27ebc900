"""Stacks of stamps: the pixels around n positions, of shape (n, h, w)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_stack(stamps: NDArray[Any]) -> NDArray[Any]:
    """Give a contiguous stack of floats.

    Raises
    ------
    ValueError
        If `stamps` does not have shape (n, h, w).
    """
    if stamps.ndim != 3:
        raise ValueError("stamps must have shape (n, h, w)")
    return np.ascontiguousarray(stamps, dtype=np.result_type(stamps.dtype, np.float32))
