"""The profile of a frame's stars: a Moffat function with elliptical contours, fitted to its bright stars.

It is the mask of optimal extraction (`photdb.algorithms.aperture`), the same for all stars of a frame: where it is not
quite theirs, that costs a little noise, but takes the same part of the light of all (Naylor 1998, MNRAS 296, 339).
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.stamps import as_stack

Floats = NDArray[np.float64]

#: The mask ends so many FWHM from the star: of a Gaussian nothing is beyond, of a Moffat profile of β = 3 some 4 %.
CLIP_FWHM: Final = 2.0
#: Fewer stars say too little of the wings; the profile is then round, of this β, and of the frame's FWHM.
MIN_STARS: Final = 3
USUAL_BETA: Final = 4.0
#: Wings beyond these are those of neighbours, or of a Gaussian.
_BETAS: Final = (1.6, 50.0)
#: Axes of 1 to 3 are trails.
_MOST_ELLIPTIC: Final = 0.8
#: The fit looks so far around each star, and takes so many steps.
_FIT_FWHM: Final = 1.5
_MOST_STEPS: Final = 30
#: Of its height: how well a profile can be known, and the pixels' noise that a star may have at most.
_MODEL_ERROR: Final = 0.02
_MOST_NOISE: Final = 0.1
#: Stars whose pixels differ from the common profile so many times as much as is usual are none, or double.
_UNLIKE: Final = 2.5
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


@dataclass(frozen=True, slots=True)
class Moffat:
    """A profile (1 + r²/α²)^−β with r² = ((1 + e₊) dx² + 2 eₓ dx dy + (1 − e₊) dy²) / √(1 − e₊² − eₓ²).

    Attributes
    ----------
    fwhm_px : float
        Geometric mean of those along the axes. It is of the light as pixels have it, at the distances of their centres:
        a pixel's own width is in it.
    beta : float
        50 is nearly a Gaussian.
    e_plus, e_cross : float
        (a² − b²) / (a² + b²) of the axes, times cos 2θ and sin 2θ with the sign turned: 0 is round.
    n_stars : int
        How many stars it was fitted to; 0 if there were too few.
    """

    fwhm_px: float
    beta: float
    e_plus: float
    e_cross: float
    n_stars: int


def alpha2_px(fwhm_px: ArrayLike, beta: ArrayLike) -> Floats:
    """Give the squared core radius of Moffat profiles of these FWHM."""
    value: Floats = np.square(fwhm_px) / (4.0 * (np.exp2(1.0 / np.asarray(beta, float)) - 1.0))
    return value


def quadratic(fwhm_px: ArrayLike, beta: ArrayLike, e_plus: ArrayLike, e_cross: ArrayLike) -> Floats:
    """Give a, b, c of r²/α² = a dx² + 2 b dx dy + c dy², and β, along a new last axis."""
    e_plus, e_cross = np.asarray(e_plus, float), np.asarray(e_cross, float)
    unit = 1.0 / (alpha2_px(fwhm_px, beta) * np.sqrt(1.0 - e_plus**2 - e_cross**2))
    parts = np.broadcast_arrays((1.0 + e_plus) * unit, e_cross * unit, (1.0 - e_plus) * unit, np.asarray(beta, float))
    return np.stack(parts, axis=-1)


def profile_moments(fwhm_px: ArrayLike, beta: ArrayLike) -> Floats:
    """Integrate a profile, 1 at its peak, its square and its cube over the mask: shape (3, …); pixels.

    With P normalised to 1 within the mask, the weights P / ΣP² of a faint star have Σw = Σw² = s₁² / s₂ (the noise
    area), and its own photons count Σw²P = s₁ s₃ / s₂² times as much as in a circle (4/3 for a Gaussian).
    """
    fwhm, beta = np.asarray(fwhm_px, float)[..., None], np.asarray(beta, float)[..., None]
    radius = 0.5 * CLIP_FWHM * fwhm * (_NODES + 1.0)
    area = np.pi * CLIP_FWHM * fwhm * radius * _WEIGHTS
    value = (1.0 + radius**2 / alpha2_px(fwhm, beta)) ** -beta
    return np.stack([(area * value**k).sum(axis=-1) for k in (1, 2, 3)])


def photon_factor(fwhm_px: ArrayLike, beta: ArrayLike) -> Floats:
    """Give Σw²P: how many times the variance of its photons a star's flux by optimal extraction has."""
    s1, s2, s3 = profile_moments(fwhm_px, beta)
    factor: Floats = s1 * s3 / s2**2
    return factor


def fit_profile(
    stamps: NDArray[Any],
    x: ArrayLike,
    y: ArrayLike,
    sky_adu: ArrayLike,
    scatter_adu: ArrayLike,
    *,
    fwhm_px: float,
) -> Moffat:
    """Fit one profile to the stars of a frame, each with a height of its own.

    Least squares over the pixels within 1.5 FWHM of each star, in units of its height, weighted by the noise that the
    sky has in these units, and 2 % for stars that are not quite alike. Stars that are lower than ten times the noise
    are left out, and once those that are unlike the rest.

    Parameters
    ----------
    stamps : array (n, h, w)
        Pixels around bright stars that are not saturated, in ADU; a star whose pixels are not all there is left out.
    x, y, sky_adu, scatter_adu : array (n,)
        Their positions in pixels of the stamps, their skies, and the noise of a pixel there; stars with any of them NaN
        are left out.
    fwhm_px : float
        Roughly their FWHM.

    Returns
    -------
    Moffat
        With fewer than 3 stars: round, of the FWHM as given and β = 4.

    Notes
    -----
    Moffat 1969, A&A 3, 455. The heights are eliminated (variable projection: Golub & Pereyra 1973, SIAM J. Numer. Anal.
    10, 413); the steps are Levenberg's and Marquardt's.
    """
    stack = as_stack(stamps)
    x, y, sky, scatter = (np.asarray(v, dtype=np.float64) for v in (x, y, sky_adu, scatter_adu))
    usual = Moffat(float(fwhm_px), USUAL_BETA, 0.0, 0.0, 0)
    if not len(stack):
        return usual
    rows, columns = np.indices(stack.shape[1:])
    dx, dy = columns - x[:, None, None], rows - y[:, None, None]
    near = dx**2 + dy**2 <= (_FIT_FWHM * fwhm_px) ** 2
    light = stack - sky[:, None, None]
    whole = np.array(np.isfinite(np.where(near, light, 0.0)).all(axis=(1, 2)) & near.any(axis=(1, 2)))
    usual_model = np.where(near, (1.0 + (dx**2 + dy**2) / alpha2_px(fwhm_px, USUAL_BETA)) ** -USUAL_BETA, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        height = np.where(near, usual_model * light, 0.0).sum(axis=(1, 2)) / np.square(usual_model).sum(axis=(1, 2))
        noise = scatter / height
    whole &= (noise >= 0) & (noise < _MOST_NOISE)  # false for NaN
    weight = 1.0 / np.sqrt(noise**2 + _MODEL_ERROR**2)
    for last in (False, True):
        if whole.sum() < MIN_STARS:
            return usual
        use = near & whole[:, None, None]
        star, _, _ = np.nonzero(use)
        star = np.unique(star, return_inverse=True)[1]
        found = _fit(dx[use], dy[use], light[use].astype(np.float64), star, weight[whole], fwhm_px)
        if found is None:
            return usual
        values, unlike = found
        alike = unlike <= _UNLIKE * np.median(unlike)
        if last or alike.all():
            break
        whole[np.flatnonzero(whole)[~alike]] = False
    return Moffat(*values, int(whole.sum()))


def _fit(
    dx: Floats, dy: Floats, light: Floats, star: NDArray[np.intp], weight: Floats, fwhm_px: float
) -> tuple[tuple[float, float, float, float], Floats] | None:
    """Fit FWHM, β and the ellipse to pixels of stars 0, 1, …; gives each star's difference from the profile too."""
    low = np.array([np.log(fwhm_px / 2.0), 1.0 / _BETAS[1], -_MOST_ELLIPTIC, -_MOST_ELLIPTIC])
    high = np.array([np.log(fwhm_px * 2.0), 1.0 / _BETAS[0], _MOST_ELLIPTIC, _MOST_ELLIPTIC])

    def differences(p: Floats) -> Floats:
        a, b, c, beta = quadratic(np.exp(p[0]), 1.0 / p[1], p[2], p[3])
        model = (1.0 + a * dx**2 + 2.0 * b * dx * dy + c * dy**2) ** -beta
        height = np.bincount(star, model * light) / np.bincount(star, model**2)
        rest: Floats = weight[star] * (light / height[star] - model)
        return rest

    def inside(p: Floats) -> Floats:
        p = np.clip(p, low, high)
        p[2:] *= min(1.0, _MOST_ELLIPTIC / max(float(np.hypot(p[2], p[3])), 1e-30))
        return p

    p = np.array([np.log(fwhm_px), 1.0 / USUAL_BETA, 0.0, 0.0])
    with np.errstate(all="ignore"):
        rest = differences(p)
        cost, damping = float(rest @ rest), 1e-3
        for _ in range(_MOST_STEPS):
            steps = np.full(4, 1e-5)
            jacobian = np.stack([(differences(p + s) - rest) / 1e-5 for s in np.diag(steps)])
            normal, slope = jacobian @ jacobian.T, jacobian @ rest
            if not np.isfinite(normal).all():
                return None
            new = inside(p - np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), slope))
            new_rest = differences(new)
            new_cost = float(new_rest @ new_rest)
            if new_cost < cost:
                small = bool(np.abs(new - p).max() < 1e-4)
                p, rest, cost, damping = new, new_rest, new_cost, damping * 0.2
                if small:
                    break
            elif damping > 1e4:
                break
            else:
                damping *= 8.0
    if not np.isfinite(cost):
        return None
    unlike = np.sqrt(np.bincount(star, rest**2) / np.bincount(star))
    return (float(np.exp(p[0])), float(1.0 / p[1]), float(p[2]), float(p[3])), unlike
