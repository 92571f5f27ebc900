"""Least-squares fits of a 2-D Gaussian on a constant to small boxes of pixels.

The Gaussian's axes are the pixel axes, so that it and its derivatives are products of a function of x and one of y.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms import gaussian_kernels as kernels

Floats = NDArray[np.float64]

MIN_PIXELS: Final = 12


@dataclass(frozen=True, slots=True)
class Gaussians:
    """Fits to k boxes.

    `parameters` (6, k) are amplitude, x, y, sigma_x, sigma_y, background, with x and y from the central pixel;
    `converged` (k,) tells where they can be used, `n_pixels` (k,) is the number of usable pixels, and `significance`
    (k,) the F statistic of the fit against a constant.
    """

    parameters: Floats
    converged: NDArray[np.bool_]
    n_pixels: NDArray[np.int64]
    significance: Floats


def fit_gaussians(boxes: Floats, usable: Floats, *, x: Floats, y: Floats, sigma: Floats) -> Gaussians:
    """Fit a Gaussian on a constant to each box.

    Parameters
    ----------
    boxes : array (k, s, s)
        Pixels [box, y, x], s odd; 0 where they are not usable.
    usable : array (k, s, s)
        1 where a pixel counts, else 0. Boxes with fewer than 12 that count are not fitted.
    x, y, sigma : array (k,)
        Where to start, from the central pixel; the widths stay within a factor 5 of `sigma`.

    Returns
    -------
    Gaussians

    Notes
    -----
    Levenberg–Marquardt (Marquardt 1963, J. SIAM 11, 431), with uniform weights, until a step is below 2e-4 px and 1e-3
    of the widths. The normal equations are solved by elimination: LAPACK's bits depend on its number of threads.
    """
    boxes, usable, x, y, sigma = map(np.ascontiguousarray, (boxes, usable, x, y, sigma))
    return Gaussians(*kernels.fit(boxes, usable, x, y, sigma, MIN_PIXELS))
