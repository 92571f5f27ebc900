"""The sky around sources: clipped medians, modes or planes of the pixels in rings, for stacks of stamps.

The pixels of a ring are turned into whole numbers of 16 bits, the keys, in steps of 1/64 to 1/128 of their quartiles'
distance, so that integers stay apart and keep their ties, and sorted; the median, the clipping and the scatter are then
read off ranks.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.sky_kernels import ring_skies

Floats = NDArray[np.float64]

#: Sky pixels are left out where they are farther from the median than this many standard deviations.
_CLIP_SIGMA: Final = 3.0
#: A normal distribution cut there keeps this much of its standard deviation.
_KEPT_SCATTER: Final = 0.98658
#: Part of a normal distribution below one standard deviation under its median.
_LOWER_SIGMA: Final = 0.158655
_MIN_PIXELS: Final = 20
#: The quartiles are those of a sample evenly spread over the ring, of so many pixels at least.
_SAMPLE: Final = 256


#: How a ring's sky can be had, and the variance of each for normal data, in units of σ² / n_sky: of a median π/2; of
#: 3 median − 2 mean 9 π/2 + 4 − 12, as median and mean have the covariance σ² / n; of a plane's value 1.
SKY_FACTOR: Final = {"median": np.pi / 2, "mode": 4.5 * np.pi - 8.0, "plane": 1.0}
_METHODS: Final = tuple(SKY_FACTOR)


def ring_sky(
    stack: NDArray[Any],
    items: NDArray[np.intp],
    x: Floats,
    y: Floats,
    *,
    inner_px: float,
    outer_px: float,
    method: str = "median",
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Measure the sky in a ring of some stamps.

    `median`: the median of the pixels whose centres lie in the ring, inner ≤ r < outer, clipped at 3 σ about the median
    until nothing more is left out; σ is the median's distance to the 15.9th percentile, which stars do not raise. A
    value that several pixels share (integers) counts as spread evenly half-way to its neighbours, so that the median
    of a sky with a scatter of 1 ADU is not a whole number.

    `mode`: three times that median minus twice the mean of the same pixels. Faint stars in the ring, too many to be
    clipped, raise the mean more than the median and the median more than the mode; of a clean sky it has four times
    the median's variance.

    `plane`: the value at the position of a plane, fitted by least squares to the pixels within 3 σ of it. It follows
    a slope of the sky, also where the ring is cut off, and has the least variance; stars in the ring raise it most.

    Parameters
    ----------
    stack : array (n, h, w)
        As `photdb.algorithms.stamps.as_stack` gives it; NaN off the frame and where pixels are not usable.
    items : array (k,)
        Which stamps.
    x, y : array (k,)
        Positions in pixels of the stamps.
    inner_px, outer_px : float
        The ring.
    method : {'median', 'mode', 'plane'}
        What the sky is.

    Returns
    -------
    sky_adu, scatter_adu : array (k,)
        The sky and the standard deviation of one pixel, corrected for the clipping; NaN for fewer than 20 pixels.
    n_sky : array (k,)
        The number of pixels that were kept; of a plane, how many have a mean of the variance of its value.

    Notes
    -----
    Clipping about the median: Stetson 1987, PASP 99, 191, and Da Costa 1992, ASP Conf. Ser. 23, 90. Of normal data, the
    variance of the median is 1.6 (about π/2) σ² / n_sky, rounded to integers or not. The mode is Pearson's (1895, Phil.
    Trans. A 186, 343), as DAOPHOT uses it.
    """
    dy, dx, n_certain = _candidates(inner_px, outer_px)
    sky, scatter, n_sky = ring_skies(
        stack,
        items,
        np.ascontiguousarray(x),
        np.ascontiguousarray(y),
        dy,
        dx,
        n_certain,
        inner_px,
        outer_px,
        _SAMPLE,
        _CLIP_SIGMA,
        _LOWER_SIGMA,
        _KEPT_SCATTER,
        _METHODS.index(method),
    )
    enough = n_sky >= _MIN_PIXELS
    return np.where(enough, sky, np.nan), np.where(enough, scatter / _KEPT_SCATTER, np.nan), n_sky


def _candidates(inner_px: float, outer_px: float) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    """Find the pixels, from the central one, that lie in a ring wherever the position is in it, then those that may."""
    largest = int(np.ceil(outer_px))
    steps = np.arange(-largest, largest + 1)
    distance = np.hypot(steps[:, None], steps)
    # the position is at most half a pixel's diagonal from the centre of its pixel
    slack = np.sqrt(0.5) + 1e-9
    candidate = (distance >= inner_px - slack) & (distance < outer_px + slack)
    certain = (distance >= inner_px + slack) & (distance < outer_px - slack)
    order = zip(np.nonzero(certain), np.nonzero(candidate & ~certain), strict=True)
    dy, dx = (np.concatenate(v).astype(np.int32) - np.int32(largest) for v in order)
    return dy, dx, int(certain.sum())
