"""Right ascension and declination of pixels, by the WCS of a header."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def pixels_to_sky(wcs: Mapping[str, Any], x_px: ArrayLike, y_px: ArrayLike) -> tuple[Floats, Floats]:
    """Give right ascension and declination of pixels by the gnomonic projection; distortion is left out.

    Parameters
    ----------
    wcs : mapping
        `ctype1`, `ctype2`, `crval1_deg` …, as in `photdb.algorithms.headers.HeaderFacts`.
    x_px, y_px : array_like
        0-based.

    Returns
    -------
    ra_deg, dec_deg : ndarray
        NaN where the projection puts a pixel more than 45° from its centre, which no camera sees: such a header is
        damaged.

    Notes
    -----
    Calabretta & Greisen 2002, A&A 395, 1077, section 5.1.3. An arcminute of distortion is 0.15 s in a barycentric time.
    """
    dx = np.asarray(x_px, np.float64) + 1.0 - wcs["crpix1"]
    dy = np.asarray(y_px, np.float64) + 1.0 - wcs["crpix2"]
    with np.errstate(over="ignore", invalid="ignore"):
        plane = [np.radians(wcs[f"cd{i}_1"] * dx + wcs[f"cd{i}_2"] * dy) for i in (1, 2)]
        seen = np.hypot(*plane) <= 1.0  # false for NaN
    plane = [np.where(seen, p, np.nan) for p in plane]
    centre = [np.radians(wcs[f"crval{i}_deg"]) for i in (1, 2)]
    if not str(wcs["ctype1"]).startswith("RA"):
        plane.reverse()
        centre.reverse()
    (xi, eta), (ra0, dec0) = plane, centre
    down = np.cos(dec0) - eta * np.sin(dec0)
    ra = ra0 + np.arctan2(xi, down)
    dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, down))
    return np.degrees(ra) % 360.0, np.degrees(dec)
