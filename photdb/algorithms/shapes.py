"""Positions, fluxes and widths of stars from moments in Gaussian windows: many small stamps of an image at once.

The product of a round Gaussian window and a star that is a Gaussian is a Gaussian again: its mean lies between the
centres of both, and its inverse covariance is the sum of theirs. So the star's own centre and covariance follow from
weighted moments, and a window as wide as the stars gives them nearly as well as a fit does.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FWHM_PER_SIGMA: Final = 2.354820045030949
MIN_SIGMA_PX: Final = 0.9  # narrower windows are not resolved by whole pixels
_N_TURNS_FULL: Final = 6

Floats = NDArray[np.float64]
Integers = NDArray[np.intp]


def stamp_radius(sigma_px: float) -> int:
    """Give the radius (px) of the stamps that hold a Gaussian window."""
    return int(np.ceil(3.0 * sigma_px)) + 1


def cut_stamps(image: NDArray[Any], x: Integers, y: Integers, sky_adu: Floats, radius: int) -> Floats:
    """Cut stamps (y, x, n) about whole positions (n,), sky subtracted; what is not finite or off the image is zero."""
    height, width = image.shape
    offset = np.arange(-radius, radius + 1)[:, None]
    rows, columns = y + offset, x + offset
    if len(x) and (rows.min() < 0 or rows.max() >= height or columns.min() < 0 or columns.max() >= width):
        off = ((rows < 0) | (rows >= height))[:, None] | ((columns < 0) | (columns >= width))[None]
        stamps = image[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)[None]] - sky_adu
        stamps[off] = 0.0
    else:
        stamps = image[rows[:, None], columns[None]] - sky_adu
    if image.dtype.kind == "f":
        stamps[~np.isfinite(stamps)] = 0.0
    return np.asarray(stamps, np.float64)


def measure_shapes(
    image: NDArray[Any], x: Integers, y: Integers, sky_adu: Floats, sigma_px: float, *, n_turns: int = 3
) -> tuple[Floats, float]:
    """Measure stars in windows as wide as they are.

    Parameters
    ----------
    image : array (H, W)
        Pixels (ADU).
    x, y : arrays (n,)
        Highest pixels.
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
    stamps = cut_stamps(image, x, y, sky_adu, stamp_radius(sigma_px))
    widest = 0.5 * stamp_radius(sigma_px)
    dx, dy = np.zeros(len(x)), np.zeros(len(x))
    for turn in range(n_turns):
        moments = _moments(stamps, dx, dy, sigma_px)
        covariance = _covariance(moments, sigma_px)
        window = sigma_px
        known = ~np.isnan(covariance[0])
        if turn < n_turns - 1 and known.any():
            xx, yy, xy = covariance[:, known]
            sigma_px = min(max(float(np.median((xx * yy - xy * xy) ** 0.25)), MIN_SIGMA_PX), widest)
        # The mean in the window lies half-way between its centre and a star as wide as the window.
        total = np.where(moments[0, 0] > 0.0, moments[0, 0], np.inf)
        dx += np.clip(2.0 * moments[1, 0] / total, -1.0, 1.0)
        dy += np.clip(2.0 * moments[0, 1] / total, -1.0, 1.0)
    covariance[:, np.hypot(dx, dy) > max(2.0, FWHM_PER_SIGMA * window)] = np.nan
    return np.column_stack([x + dx, y + dy, 2.0 * moments[0, 0], *covariance]), window


def measure_saturated(
    image: NDArray[Any], x: Integers, y: Integers, sky_adu: Floats, sigma_px: float, full_adu: float
) -> Floats:
    """Measure saturated stars as `measure_shapes` does others, in windows as wide as their plateaus.

    Charge that runs along columns or rows makes several maxima of one star: those from which full pixels lead,
    straight along both axes, to a brighter one have no covariance (NaN).
    """
    stamps = cut_stamps(image, x, y, sky_adu, 3 * stamp_radius(sigma_px))
    top = full_adu - sky_adu
    area = np.count_nonzero(stamps > 0.5 * top, axis=(0, 1))
    own = np.maximum(sigma_px, np.sqrt(area / np.pi))
    stamps = np.minimum(stamps, top)
    dx, dy = np.zeros(len(x)), np.zeros(len(x))
    for turn in range(_N_TURNS_FULL + 1):
        moments = _moments(stamps, dx, dy, own)
        if turn < _N_TURNS_FULL:
            total = np.where(moments[0, 0] > 0.0, moments[0, 0], np.inf)
            dx += moments[1, 0] / total
            dy += moments[0, 1] / total
    covariance = _covariance(moments, own)
    flux = 2.0 * moments[0, 0]
    rank = np.lexsort((x, y, -flux))
    bright, faint = (rank[k] for k in np.triu_indices(len(rank), 1))
    height, width = image.shape
    to_x, to_y = (
        np.clip(np.rint(c[bright]), 0, n - 1).astype(np.intp) for c, n in ((x + dx, width), (y + dy, height))
    )
    way = np.linspace(0.0, 1.0, 25)[:, None]
    along_x = np.rint(x[faint] + way * (to_x - x[faint])).astype(np.intp)
    along_y = np.rint(y[faint] + way * (to_y - y[faint])).astype(np.intp)
    lowest = np.minimum(image[along_y, x[faint]], image[to_y, along_x]).min(axis=0)
    covariance[:, faint[lowest >= 0.9 * full_adu]] = np.nan
    return np.column_stack([x + dx, y + dy, flux, *covariance])


def _moments(stamps: Floats, dx: Floats, dy: Floats, sigma: Floats | float) -> Floats:
    """Give the moments (power of x, power of y, n), powers 0 to 2, in Gaussian windows about points off the centres."""
    radius = len(stamps) // 2
    bases = []
    for centre in (dx, dy):
        t = np.arange(-radius, radius + 1)[:, None] - centre
        weight = np.exp(-0.5 * (t / sigma) ** 2)
        bases.append(np.array([weight, weight * t, weight * t * t]))
    moments: Floats = np.einsum("byn,ayn->abn", bases[1], np.einsum("yxn,axn->ayn", stamps, bases[0]))
    return moments


def _covariance(moments: Floats, sigma: Floats | float) -> Floats:
    """Give xx, yy, xy (3, n) of the Gaussian whose product with the window has these moments, or NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = moments / moments[0, 0]
        x, y = scaled[1, 0], scaled[0, 1]
        xx, yy, xy = scaled[2, 0] - x * x, scaled[0, 2] - y * y, scaled[1, 1] - x * y
        det = xx * yy - xy * xy
        a, b, c = yy / det - 1.0 / sigma**2, -xy / det, xx / det - 1.0 / sigma**2
        det_inverse = a * c - b * b
        exists = (moments[0, 0] > 0.0) & (det > 0.0) & (a > 0.0) & (c > 0.0) & (det_inverse > 0.0)
        return np.where(exists, np.array([c, a, -b]) / det_inverse, np.nan)
