"""The profile of a frame's stars: a round Moffat function, fitted to its bright stars, and what follows from it.

It is the mask of optimal extraction (`photdb.algorithms.aperture`), the same for all stars of a frame: where it is not
quite theirs, that costs a little noise, but takes the same part of the light of all (Naylor 1998, MNRAS 296, 339).
"""

from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.stamps import as_stack

Floats = NDArray[np.float64]

#: The mask ends so many FWHM from the star: of a Gaussian nothing is beyond, of a Moffat profile of β = 2.5 some 3 %.
CLIP_FWHM: Final = 2.0
#: Fewer stars say too little of the wings; the profile is then one of this β, and of the frame's FWHM.
MIN_STARS: Final = 3
USUAL_BETA: Final = 4.0
#: Wings beyond these are those of neighbours, or of a Gaussian.
_BETAS: Final = (1.6, 50.0)
#: Stars whose pixels differ from the common profile so many times as much as is usual are none, or double.
_UNLIKE: Final = 2.5
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


def alpha2_px(fwhm_px: ArrayLike, beta: ArrayLike) -> Floats:
    """Give the squared core radius of Moffat profiles (1 + r²/α²)^−β of these FWHM."""
    value: Floats = np.square(fwhm_px) / (4.0 * (np.exp2(1.0 / np.asarray(beta, float)) - 1.0))
    return value


def in_pixel(radius2: ArrayLike, fwhm_px: ArrayLike, beta: ArrayLike) -> Floats:
    """Give a Moffat profile, 1 at its peak, averaged over a pixel, as `aperture_kernels` does."""
    alpha2, beta = alpha2_px(fwhm_px, beta), np.asarray(beta, float)
    square = np.asarray(radius2, float) / alpha2
    core = 1.0 + square
    value: Floats = core**-beta * (1.0 + beta * (beta * square - 1.0) / (6.0 * alpha2 * core**2))
    return value


def profile_moments(fwhm_px: ArrayLike, beta: ArrayLike) -> Floats:
    """Integrate a profile, its square and its cube over the mask: shape (3, …); pixels.

    With P normalised to 1 within the mask, the weights P / ΣP² of a faint star have Σw = Σw² = s₁² / s₂ (the noise
    area), and its own photons count Σw²P = s₁ s₃ / s₂² times as much as in a circle (4/3 for a Gaussian).
    """
    fwhm, beta = np.asarray(fwhm_px, float)[..., None], np.asarray(beta, float)[..., None]
    radius = 0.5 * CLIP_FWHM * fwhm * (_NODES + 1.0)
    area = np.pi * CLIP_FWHM * fwhm * radius * _WEIGHTS
    value = in_pixel(radius**2, fwhm, beta)
    return np.stack([(area * value**k).sum(axis=-1) for k in (1, 2, 3)])


def photon_factor(fwhm_px: ArrayLike, beta: ArrayLike) -> Floats:
    """Give Σw²P: how many times the variance of its photons a star's flux by optimal extraction has."""
    s1, s2, s3 = profile_moments(fwhm_px, beta)
    factor: Floats = s1 * s3 / s2**2
    return factor


def fit_profile(
    stamps: NDArray[Any], x: ArrayLike, y: ArrayLike, sky_adu: ArrayLike, *, fwhm_px: float
) -> tuple[float, float, int]:
    """Fit one round Moffat profile to the stars of a frame, each with a height of its own.

    Least squares over the pixels within 1.5 FWHM of each star, in units of its height, so that all stars count alike;
    stars that are unlike the rest are left out, once.

    Parameters
    ----------
    stamps : array (n, h, w)
        Pixels around bright stars that are not saturated, in ADU; a star whose pixels are not all there is left out.
    x, y, sky_adu : array (n,)
        Their positions in pixels of the stamps, and their skies; stars with any of them NaN are left out.
    fwhm_px : float
        Roughly their FWHM.

    Returns
    -------
    fwhm_px, beta : float
        Of the profile before pixels collect its light. With fewer than 3 stars: the FWHM as given, and β = 4.
    n_stars : int
        How many stars it was fitted to; 0 if there were too few.

    Notes
    -----
    Moffat 1969, A&A 3, 455.
    """
    stack = as_stack(stamps)
    x, y, sky = (np.asarray(v, dtype=np.float64) for v in (x, y, sky_adu))
    rows, columns = np.indices(stack.shape[1:])
    radius2 = np.square(columns - x[:, None, None]) + np.square(rows - y[:, None, None])
    near = radius2 <= (1.5 * fwhm_px) ** 2
    light = stack - sky[:, None, None]
    whole = np.isfinite(np.where(near, light, 0.0)).all(axis=(1, 2)) & np.isfinite(x + y)
    stars = np.flatnonzero(whole)
    fallback = float(fwhm_px), USUAL_BETA, 0
    for last in (False, True):
        if stars.size < MIN_STARS:
            return fallback
        fitted = _fit(light[stars], radius2[stars], near[stars], fwhm_px)
        if fitted is None:
            return fallback
        fwhm, beta, unlike = fitted
        alike = unlike <= _UNLIKE * np.median(unlike)
        if last or alike.all():
            break
        stars = stars[alike]
    return fwhm, beta, int(stars.size)


def _fit(light: NDArray[Any], radius2: Floats, near: NDArray[np.bool_], fwhm_px: float) -> tuple[float, float, Floats] | None:
    """Fit FWHM and β; gives each star's rms difference from the profile too."""
    from scipy.optimize import least_squares

    n_near = near.sum(axis=(1, 2))

    def differences(parameters: Floats) -> Floats:
        model = np.where(near, in_pixel(radius2, np.exp(parameters[0]), 1.0 / parameters[1]), 0.0)
        height = (model * light).sum(axis=(1, 2)) / np.square(model).sum(axis=(1, 2))
        with np.errstate(invalid="ignore", divide="ignore"):
            rest: Floats = np.where(near, light / height[:, None, None] - model, 0.0)
        return rest

    low, high = (np.log(fwhm_px / 3.0), 1.0 / _BETAS[1]), (np.log(3.0 * fwhm_px), 1.0 / _BETAS[0])
    start = (np.log(fwhm_px), 1.0 / USUAL_BETA)
    first = differences(np.array(start))
    if not np.isfinite(first).all():
        return None
    found = least_squares(lambda p: differences(p).ravel(), start, bounds=(low, high), x_scale=(0.1, 0.1), max_nfev=40)
    rest = differences(found.x)
    if not np.isfinite(rest).all():
        return None
    unlike: Floats = np.sqrt(np.square(rest).sum(axis=(1, 2)) / n_near)
    return float(np.exp(found.x[0])), float(1.0 / found.x[1]), unlike
