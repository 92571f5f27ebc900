"""The loops over stars that numpy has no operation for, compiled from `shape_kernels.pyx`.

Arrays are C-contiguous; `image` may be of any integer or floating type in native byte order.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Booleans = NDArray[np.bool_]

def cut(image: NDArray[Any], x: _Floats, y: _Floats, sky: _Floats, radius: int) -> _Floats:
    """Cut stamps (n, 2 radius + 1, 2 radius + 1) about pixels, less their sky; 0 off the image and if not finite."""

def windowed(
    stamps: _Floats,
    dx: _Floats,
    dy: _Floats,
    sigma: _Floats,
    n_turns: int,
    step: float,
    most: float,
    narrowest: float,
    widest: float,
) -> _Floats:
    """Measure stamps (n, s, s) in Gaussian windows of widths `sigma` (n,) about points `dx`, `dy` off their centres.

    After each turn the points are moved, in place, by `step` times the windowed mean's distance, at most by `most` on
    an axis; and, between turns and if `narrowest` < `widest`, all widths become the stamps' median one within these. If
    not, a stamp whose point would move by less than 0.001 px has no more turns.

    Returns
    -------
    array (n, 4)
        Of the last turn: the sum of window times stamp; and the covariance xx, yy, xy of the Gaussian whose product
        with the window has the stamp's second moments, NaN where there is none.
    """

def led_to(
    image: NDArray[Any],
    x: _Floats,
    y: _Floats,
    x_to: _Floats,
    y_to: _Floats,
    flux: _Floats,
    limit: float,
    n_steps: int,
) -> _Booleans:
    """Say from which of n pixels the image leads, at `limit` or above, to the place x_to, y_to of a brighter one.

    It leads straight along both axes; looked at are `n_steps` + 1 points of each way.
    """

def starlike(
    shapes: _Floats,
    full: NDArray[np.uint8],
    min_width: float,
    wide_column: float,
    max_ellipticity: float,
    max_unlike: float,
    least: float,
    most: float,
    reach: float,
) -> _Booleans:
    """Say which shapes (n, 6), as `measure_shapes` gives them, are stars, each only once.

    Parameters
    ----------
    full : array (n,)
        1 where the star is saturated.
    min_width, max_ellipticity : float
        Of any star. A saturated one may be longer if its variance (px²) across is above `wide_column`.
    max_unlike, least, most : float
        How far an unsaturated star's ellipticity may be from the median, and its width in units of the median.
    reach : float
        A star with a brighter one within reach is that one; of equal ones the later is.
    """

def highest(image: NDArray[Any], x: _Floats, y: _Floats, radius: int) -> _Floats:
    """Give the highest finite pixel of the squares about n positions, 2 radius + 1 wide; -inf without one."""
