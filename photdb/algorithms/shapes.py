"""Positions, fluxes and widths of stars from moments in Gaussian windows: many small stamps of an image at once.

The product of a round Gaussian window and a star that is a Gaussian is a Gaussian again: its mean lies between the
centres of both, and its inverse covariance is the sum of theirs. So the star's own centre and covariance follow from
weighted moments, and a window as wide as the stars gives them nearly as well as a fit does.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms import shape_kernels

FWHM_PER_SIGMA: Final = 2.354820045030949
MIN_SIGMA_PX: Final = 0.9  # narrower windows are not resolved by whole pixels
_N_TURNS_FULL: Final = 6
_N_STEPS_FULL: Final = 24  # on the way from one saturated maximum to another

Floats = NDArray[np.float64]


def stamp_radius(sigma_px: float) -> int:
    """Give the radius (px) of the stamps that hold a Gaussian window."""
    return int(np.ceil(3.0 * sigma_px)) + 1


def measure_shapes(
    image: NDArray[Any], x: Floats, y: Floats, sky_adu: Floats, sigma_px: float, *, n_turns: int = 3
) -> tuple[Floats, float]:
    """Measure stars in windows as wide as they are.

    Parameters
    ----------
    image : array (H, W)
        Pixels (ADU).
    x, y : arrays (n,)
        Highest pixels, whole numbers.
    sky_adu : array (n,)
        Sky to subtract.
    sigma_px : float
        Width of the stars, roughly; the window takes the median of what is measured, within what its stamps hold.
    n_turns : int
        How often the windows are laid about new centres: 3 where the highest pixels are next to the centres.

    Returns
    -------
    shapes : array (n, 6)
        x, y (px), flux (ADU, as if the star were as wide as the window), and the covariance xx, yy, xy (px²) of the
        Gaussian that fits best in the sense of least squares; NaN covariance where there is none or where the centre
        ran away.
    sigma_px : float
        Width of the window in the end.

    Notes
    -----
    Adaptive moments (Bernstein & Jarvis 2002, AJ 123, 583, section 3), with one round window for all stars. The
    centre is the windowed position of SExtractor. Its error is the least possible where the sky dominates, and 4/3 of
    that where the star does.
    """
    stamps = shape_kernels.cut(image, x, y, sky_adu, stamp_radius(sigma_px))
    widest = 0.5 * stamp_radius(sigma_px)
    dx, dy = np.zeros((2, len(x)))
    sigma = np.full(len(x), sigma_px)
    # The mean in the window lies half-way between its centre and a star as wide as the window.
    found = shape_kernels.windowed(stamps, dx, dy, sigma, n_turns, 2.0, 1.0, MIN_SIGMA_PX, widest)
    window = float(sigma[0]) if len(x) else sigma_px
    found[np.hypot(dx, dy) > max(2.0, FWHM_PER_SIGMA * window), 1:] = np.nan
    return np.column_stack([x + dx, y + dy, 2.0 * found[:, 0], found[:, 1:]]), window


def measure_saturated(
    image: NDArray[Any], x: Floats, y: Floats, sky_adu: Floats, sigma_px: float, full_adu: float
) -> Floats:
    """Measure saturated stars as `measure_shapes` does others, in windows as wide as their plateaus.

    Charge that runs along columns or rows makes several maxima of one star: those from which full pixels lead,
    straight along both axes, to a brighter one have no covariance (NaN).
    """
    stamps = shape_kernels.cut(image, x, y, sky_adu, 3 * stamp_radius(sigma_px))
    top = (full_adu - sky_adu)[:, None, None]
    area = (stamps > 0.5 * top).reshape(len(stamps), -1).sum(axis=1)
    own = np.maximum(sigma_px, np.sqrt(area / np.pi))
    stamps = np.minimum(stamps, top)
    dx, dy = np.zeros((2, len(x)))
    shape_kernels.windowed(stamps, dx, dy, own, _N_TURNS_FULL, 1.0, np.inf, 0.0, 0.0)
    found = shape_kernels.windowed(stamps, dx, dy, own, 1, 0.0, 0.0, 0.0, 0.0)
    flux = 2.0 * found[:, 0]
    shapes = np.column_stack([x + dx, y + dy, flux, found[:, 1:]])
    bled = shape_kernels.led_to(image, x, y, x + dx, y + dy, flux, 0.9 * full_adu, _N_STEPS_FULL)
    shapes[bled, 3:] = np.nan
    return shapes
