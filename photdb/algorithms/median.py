"""The median of a few numbers: `numpy.median` takes ten times as long over them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def median(values: NDArray[Any]) -> float:
    """Give the median of an array of any shape, the mean of the middle two where their number is even.

    NaN count as the largest numbers; without values the median is NaN.
    """
    n = values.size
    if n == 0:
        return float("nan")
    ordered = np.sort(values, axis=None)
    return 0.5 * (float(ordered[(n - 1) // 2]) + float(ordered[n // 2]))
