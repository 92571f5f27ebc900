"""Scintillation: how much the air alone makes a star's light vary from one exposure to the next."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: Median over observatories, m^(2/3) s^(1/2); single ones have medians of 1.3 to 1.7.
C_Y: Final = 1.5
#: Of the turbulence that makes it.
SCALE_HEIGHT_M: Final = 8000.0
_MOST_MAG: Final = 1.0


def scintillation_mag(
    *, diameter_m: float | None, airmass: ArrayLike, exposure_s: ArrayLike, height_m: float | None = None
) -> Floats:
    """Give the standard deviation of a star's magnitude by scintillation, for exposures that average over it.

    σ² = 10⁻⁵ C_Y² D^(−4/3) t⁻¹ X³ exp(−2 h / 8000 m) of the relative flux, in metres and seconds. It is the same for
    all stars of a frame, and independent between stars more than some arcseconds apart.

    Parameters
    ----------
    diameter_m : float, optional
        Of the telescope's aperture; its obstruction makes little of a difference.
    airmass, exposure_s : array_like
        Of each frame; they broadcast.
    height_m : float, optional
        Of the site; taken as sea level where it is not known, which is 13 % too much a kilometre.

    Returns
    -------
    ndarray
        Magnitudes; NaN where something is not known or makes no sense, as where it would be more than a magnitude: the
        formula is one of weak scintillation, and headers may say that an exposure took 10⁻³⁰⁰ s.

    Notes
    -----
    Young 1967, AJ 72, 747; in this form, and with the median C_Y = 1.5 in place of Young's 1, Osborn et al. 2015,
    MNRAS 452, 1707, eq. 7. On a given night it may be half or twice as much.
    """
    x, t = (np.asarray(v, dtype=np.float64) for v in (airmass, exposure_s))
    known = np.isfinite(x) & (x > 0) & np.isfinite(t) & (t > 0)
    if diameter_m is None or not diameter_m > 0:
        return np.full(known.shape, np.nan)
    t = np.where(known, t, 1.0)
    with np.errstate(over="ignore"):
        height = np.exp(-2.0 * (height_m or 0.0) / SCALE_HEIGHT_M)
        variance = 1e-5 * C_Y**2 * diameter_m ** (-4.0 / 3.0) / t * np.where(known, x, 1.0) ** 3 * height
    magnitudes = 2.5 / np.log(10.0) * np.sqrt(variance)
    return np.where(known & (magnitudes <= _MOST_MAG), magnitudes, np.nan)
