"""The round profiles of simulated stars, Gaussian or Moffat: in a pixel, at a point, within a circle."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from photdb.simulate.plan import NightPlan

Floats = NDArray[np.float64]
AnyFloats = NDArray[np.floating]

#: Nodes and weights of Gauss and Legendre over one pixel: 1e-6 of the peak for FWHM 3 px, 1e-4 for FWHM 1.5 px.
_NODES = (-0.5 * math.sqrt(0.6), 0.0, 0.5 * math.sqrt(0.6))
_WEIGHTS = (5.0 / 18.0, 8.0 / 18.0, 5.0 / 18.0)


def sigma_px(fwhm_px: Floats | float) -> Floats | float:
    """Return the standard deviation of a Gaussian of this FWHM."""
    return fwhm_px / math.sqrt(8.0 * math.log(2.0))


def alpha_px(fwhm_px: Floats | float, beta: float) -> Floats | float:
    """Return the core radius of a Moffat profile of this FWHM."""
    return fwhm_px / (2.0 * math.sqrt(2.0 ** (1.0 / beta) - 1.0))


def intensity(plan: NightPlan, distance2_px2: AnyFloats, fwhm_px: Floats | float) -> AnyFloats:
    """Return the profile of unit flux, per px², at squared distances from its middle (broadcast with the FWHM)."""
    if plan.profile == "gaussian":
        variance = sigma_px(fwhm_px) ** 2
        value: AnyFloats = np.exp(-0.5 * distance2_px2 / variance) / (2.0 * np.pi * variance)
        return value
    beta, area = plan.moffat_beta, alpha_px(fwhm_px, plan.moffat_beta) ** 2
    value = (beta - 1.0) / (np.pi * area) * (1.0 + distance2_px2 / area) ** -beta
    return value


def seen_intensity(plan: NightPlan, distance2_px2: Floats, fwhm_px: Floats | float) -> AnyFloats:
    """Return the profile as sums over exact overlaps see it, averaged over sub-pixel places.

    Pixels smear it by 1/12 px² in each direction as they collect light, and by as much again as a circle takes parts of
    them. Exact for a Gaussian to that second moment; for a Moffat profile the first term, a twelfth of its Laplacian.
    """
    if plan.profile == "gaussian":
        variance = sigma_px(fwhm_px) ** 2 + 1.0 / 6.0
        value: AnyFloats = np.exp(-0.5 * distance2_px2 / variance) / (2.0 * np.pi * variance)
        return value
    beta, area = plan.moffat_beta, alpha_px(fwhm_px, plan.moffat_beta) ** 2
    square = distance2_px2 / area
    return intensity(plan, distance2_px2, fwhm_px) * (
        1.0 + beta * (beta * square - 1.0) / (3.0 * area * (1.0 + square) ** 2)
    )


def encircled(plan: NightPlan, radius_px: float, fwhm_px: Floats) -> Floats:
    """Return the part of a star's light within a circle about it: the integral of `seen_intensity`.

    Parameters
    ----------
    plan
        Tells the profile.
    radius_px
        Radius of the circle.
    fwhm_px
        Widths of the profile, any shape.

    Returns
    -------
    part
        As `fwhm_px`; between 0 and 1.
    """
    square = radius_px**2
    if plan.profile == "gaussian":
        part: Floats = -np.expm1(-0.5 * square / (sigma_px(fwhm_px) ** 2 + 1.0 / 6.0))
        return part
    beta, area = plan.moffat_beta, alpha_px(fwhm_px, plan.moffat_beta) ** 2
    core = 1.0 + square / area
    part = 1.0 - core ** (1.0 - beta) - beta * (beta - 1.0) * square / (3.0 * area**2) * core ** (-beta - 1.0)
    return part


def reach_px(plan: NightPlan, fwhm_px: float, *, bright: bool) -> int:
    """Return how far from its middle a star is drawn: to 2e-8 of a Gaussian's peak; a Moffat profile has long wings."""
    if plan.profile == "gaussian":
        return math.ceil(2.6 * fwhm_px)
    return math.ceil((15.0 if bright else 6.0) * fwhm_px)


def stamps(plan: NightPlan, x_px: Floats, y_px: Floats, fwhm_px: float, reach: int) -> NDArray[np.float32]:
    """Integrate unit profiles over pixels.

    Parameters
    ----------
    plan
        Tells the profile.
    x_px, y_px
        Middles of the stars against the middles of the stamps' central pixels, (n,).
    fwhm_px
        Width of the profile.
    reach
        The stamps are 2·reach + 1 pixels wide.

    Returns
    -------
    stamps
        (n, 2·reach + 1, 2·reach + 1), indexed [star, y, x].
    """
    if plan.profile == "gaussian":
        edges = np.arange(-reach, reach + 2) - 0.5
        scale = math.sqrt(2.0) * sigma_px(fwhm_px)
        along_x, along_y = (0.5 * np.diff(erf((edges - place[:, None]) / scale)) for place in (x_px, y_px))
        product: NDArray[np.float32] = along_y.astype(np.float32)[:, :, None] * along_x.astype(np.float32)[:, None, :]
        return product
    grid = np.arange(-reach, reach + 1)
    total = np.zeros((len(x_px), len(grid), len(grid)), np.float32)
    for node_y, weight_y in zip(_NODES, _WEIGHTS, strict=True):
        for node_x, weight_x in zip(_NODES, _WEIGHTS, strict=True):
            x2 = np.square(grid + node_x - x_px[:, None]).astype(np.float32)
            y2 = np.square(grid + node_y - y_px[:, None]).astype(np.float32)
            total += np.float32(weight_x * weight_y) * intensity(plan, y2[:, :, None] + x2[:, None, :], fwhm_px)
    return total
