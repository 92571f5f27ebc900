"""The quality of a frame: dynamic range, background and its scatter, non-uniformity, number and shape of its stars."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.background import Background, background
from photdb.algorithms.detection import Stars
from photdb.algorithms.flags import Flag
from photdb.algorithms.median import median

_N_AREAS: Final = 3
_N_TYPICAL: Final = 40

Pixels = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FrameQuality:
    """What one frame is worth; `frame_quality` says what each figure means."""

    min_adu: float
    max_adu: float
    range_adu: float
    background_adu: float
    background_scatter_adu: float
    nonuniformity_adu: float
    n_stars: int
    fwhm_px: float
    elongation: float
    n_saturated_px: int
    n_nonfinite_px: int
    flags: Flag


def frame_quality(
    pixels: Pixels,
    sky: Background,
    stars: Stars,
    *,
    region: tuple[int, int, int, int] | None = None,
    saturation_adu: float | None = None,
) -> FrameQuality:
    """Sum up a frame.

    Parameters
    ----------
    pixels : array (H, W)
        The frame, as for `background`.
    sky : Background
        The sky of the whole frame; not used with a region, whose own sky is mapped.
    stars : Stars
        The stars of the whole frame.
    region : (x0, y0, x1, y1), optional
        Pixels, ends included, that all figures are limited to; what lies outside the frame is ignored.
    saturation_adu : float, optional
        Pixels at or above count as saturated.

    Returns
    -------
    FrameQuality
        `min_adu`, `max_adu`, `range_adu`: plain minimum and maximum of the finite pixels, and their difference.
        `background_adu`, `background_scatter_adu`: medians over the tiles of the sky. `nonuniformity_adu`: the frame
        is cut into 3 x 3 areas (as many as there are tiles, below 160 pixels), each area's level is the median of the
        clipped medians of its tiles, and the figure is the highest level minus the lowest. Stars, hot pixels, a trail
        and dead rows at a border do not enter; vignetting does. It is never negative: white noise alone makes it
        about 0.05 scatters in a frame of 1280 x 1024 pixels, 0.1 in one of 650 x 500. `n_stars`: all stars found,
        before the cut to the brightest. `fwhm_px`, `elongation` (major over minor axis): medians over the 40
        brightest unsaturated stars, NaN without any. `flags`: NO_STARS, NONFINITE, CONSTANT. Figures that do not
        exist are NaN.

    Raises
    ------
    ValueError
        When no pixel of the region lies in the frame.
    """
    found = np.ones(stars.n_found, bool)
    good = ~stars.saturated
    if region is not None:
        x0, y0, x1, y1 = region
        pixels = pixels[max(y0, 0) : max(y1 + 1, 0), max(x0, 0) : max(x1 + 1, 0)]
        if pixels.size == 0:
            raise ValueError(f"the region {x0} {y0} {x1} {y1} has no pixel in the frame")
        sky = background(pixels)
        found = _inside(stars.found_x_px, stars.found_y_px, region)
        good &= _inside(stars.x_px, stars.y_px, region)
    flags = Flag(0)
    with np.errstate(invalid="ignore"):
        low, high = float(pixels.min()), float(pixels.max())
    n_nonfinite = 0
    if not (np.isfinite(low) and np.isfinite(high)):
        finite = pixels[np.isfinite(pixels)]
        n_nonfinite = pixels.size - finite.size
        flags |= Flag.NONFINITE
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)
    if low == high:
        flags |= Flag.CONSTANT
    typical = np.flatnonzero(good)[:_N_TYPICAL]
    n_stars = int(np.count_nonzero(found))
    if n_stars == 0:
        flags |= Flag.NO_STARS
    n_saturated = 0
    if saturation_adu is not None and high >= saturation_adu:
        # Compared on the pixels' own type: a float would convert the whole frame.
        limit = saturation_adu if pixels.dtype.kind == "f" else int(np.ceil(saturation_adu))
        n_saturated = int(np.count_nonzero(pixels >= limit))
        if n_nonfinite:
            n_saturated -= int(np.count_nonzero(pixels == np.inf))
    return FrameQuality(
        min_adu=low,
        max_adu=high,
        range_adu=high - low,
        background_adu=sky.background_adu,
        background_scatter_adu=sky.background_scatter_adu,
        nonuniformity_adu=_nonuniformity(sky),
        n_stars=n_stars,
        fwhm_px=median(stars.fwhm_px[typical]),
        elongation=median(stars.elongation[typical]),
        n_saturated_px=n_saturated,
        n_nonfinite_px=n_nonfinite,
        flags=flags,
    )


def _nonuniformity(sky: Background) -> float:
    """Give the highest minus the lowest median level of 3 x 3 areas of tiles."""
    if np.isnan(sky.background_adu):
        return np.nan
    rows, columns = (_parts(n) for n in sky.level_adu.shape)
    medians = [median(sky.level_adu[row, column]) for row in rows for column in columns]
    return max(medians) - min(medians)


@lru_cache
def _parts(n: int) -> list[slice]:
    """Split n tiles into three parts, or as many as there are."""
    parts = np.array_split(np.arange(n), min(n, _N_AREAS))
    return [slice(int(part[0]), int(part[-1]) + 1) for part in parts]


def _inside(x_px: Floats, y_px: Floats, region: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Say which positions lie on pixels of a region."""
    x0, y0, x1, y1 = region
    return (x_px >= x0 - 0.5) & (x_px < x1 + 0.5) & (y_px >= y0 - 0.5) & (y_px < y1 + 0.5)
