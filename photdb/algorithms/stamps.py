"""Stacks of stamps: their pixels around some positions, laid out for long vector operations.

A stack has shape (n, h, w). The work on small boxes is done with the stamps on the *last* axis: every operation is then
one long vector operation and every sum over pixels runs in one fixed order, so that a stamp's bits do not depend on its
company. The number of stamps is padded to a multiple of 16, as a sum over one stamp alone would take another order.
"""

from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

_PAD: Final = 16


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


def padded(items: NDArray[np.intp]) -> NDArray[np.intp]:
    """Repeat indices until their number is a multiple of 16."""
    return np.resize(items, -(-items.size // _PAD) * _PAD)


def nearest_pixel(position: NDArray[np.float64]) -> NDArray[np.intp]:
    """Round finite positions, however far outside, to pixels."""
    return np.rint(np.clip(position, -1e6, 1e6)).astype(np.intp)


def take_boxes(
    stack: NDArray[Any], items: NDArray[np.intp], x_first: NDArray[np.intp], y_first: NDArray[np.intp], size: int
) -> NDArray[Any]:
    """Cut a square box out of each of some stamps.

    Parameters
    ----------
    stack : array (n, h, w)
        As `as_stack` gives it.
    items : array (k,)
        Which stamps.
    x_first, y_first : array (k,)
        The first pixel of each box; boxes may reach over the stamp.
    size : int
        Their width and height.

    Returns
    -------
    array (size, size, k)
        The pixels, [y, x, item]; NaN outside the stamp.
    """
    _, h, w = stack.shape
    inside = (x_first >= 0) & (x_first <= w - size) & (y_first >= 0) & (y_first <= h - size)
    if inside.all():
        # whole rows of pixels at a time, and then the stamps to the last axis: a third of the time of pixel by pixel
        squares = sliding_window_view(stack, (size, size), axis=(1, 2))[items, y_first, x_first]
        return np.ascontiguousarray(squares.transpose(1, 2, 0))
    steps = np.arange(size)[:, None]
    rows, columns = y_first + steps, x_first + steps
    row_inside, column_inside = (rows >= 0) & (rows < h), (columns >= 0) & (columns < w)
    index = ((items * h + np.clip(rows, 0, h - 1)) * w)[:, None, :] + np.clip(columns, 0, w - 1)
    boxes: NDArray[Any] = stack.reshape(-1).take(index)
    if not (row_inside.all() and column_inside.all()):
        boxes[~(row_inside[:, None, :] & column_inside)] = np.nan
    return boxes
