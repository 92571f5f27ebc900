"""A deep image of the field from some of its frames, and one of the detector: what stands still on each.

Frames are carried into the reference frame's pixels bilinearly, scaled to the same light of the stars, and averaged
without what is far from the median of a pixel: cosmic rays, and whatever moves. On the detector itself a low quantile
of frames whose stars drift leaves hot pixels alone: what is bright in most of them.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms import stack_kernels
from photdb.algorithms.background import Background

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Bools = NDArray[np.bool_]

#: Pixels of the stack with fewer values mean nothing.
LEAST: Final = 3
_CLIP_SIGMAS: Final = 3.0
#: Frames whose stars are wider, or fainter per second, than these parts of the median spoil the stack.
_MOST_WIDTH: Final = 1.35
_LEAST_LIGHT: Final = 0.6
_MOST_SKY: Final = 2.5
#: A hot pixel exceeds its surroundings by this many times the image's scatter, and what is around it by this factor.
_HOT_SIGMAS: Final = 7.0
_HOT_SHARP: Final = 1.5
#: These quantiles of a pixel are dark even if a star lingers there in 60 % of the frames; and a hot one is as hot in
#: the lower one, where a star that lingers longer still is dark.
_DARK: Final = (0.3, 0.1)
_MOST_STILL: Final = 0.6
_STEADY: Final = 0.5


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the pixels of an image of the reference frame's scale lie in a frame: x0 + a j − b i, y0 + b j + a i."""

    a: float
    b: float
    x0: float
    y0: float


def choose_frames(light: Floats, fwhm_px: Floats, sky_adu: Floats, usable: Bools, *, most: int) -> NDArray[np.intp]:
    """Choose the frames of a stack: evenly through the night, among those with usual stars and sky.

    Parameters
    ----------
    light : array (n,)
        Light of the stars per second against other frames; NaN where unknown.
    fwhm_px, sky_adu : array (n,)
        Width of the stars, and level of the sky.
    usable : array (n,)
        Which frames there are.
    most : int
        How many at most.

    Returns
    -------
    array (m,)
        Their places, ascending.
    """
    good = usable & np.isfinite(light) & np.isfinite(fwhm_px) & np.isfinite(sky_adu)
    for value, low, high in ((light, _LEAST_LIGHT, np.inf), (fwhm_px, 0.0, _MOST_WIDTH), (sky_adu, -np.inf, _MOST_SKY)):
        if good.any():
            usual = float(np.median(value[good]))
            good &= (value >= low * usual) & (value <= high * usual)
    places = np.flatnonzero(good)
    if places.size <= most:
        return places
    return places[np.rint(np.linspace(0, places.size - 1, most)).astype(np.intp)]


def placed(
    *,
    dx_px: float,
    dy_px: float,
    rotation_deg: float,
    scale: float,
    width_px: int,
    height_px: int,
    x_px: int,
    y_px: int,
) -> Placed:
    """Say where an image whose first pixel is (x_px, y_px) of the reference frame lies in a frame, by its shift."""
    a, b = scale * math.cos(math.radians(rotation_deg)), scale * math.sin(math.radians(rotation_deg))
    cx, cy = (width_px - 1) / 2, (height_px - 1) / 2
    x, y = x_px - cx, y_px - cy
    return Placed(a, b, a * x - b * y + dx_px + cx, b * x + a * y + dy_px + cy)


def rows_needed(at: Placed, shape: tuple[int, int], height_px: int) -> tuple[int, int]:
    """Give the rows of a frame, first and one after the last, under an image of this shape that lies in it."""
    corners = [at.y0 + at.b * j + at.a * i for j in (0, shape[1] - 1) for i in (0, shape[0] - 1)]
    first = min(max(math.floor(min(corners)), 0), height_px)
    return first, max(min(math.floor(max(corners)) + 2, height_px), first)


def without_sky(rows: NDArray[Any], first_row: int, sky: Background, shape: tuple[int, int]) -> Singles:
    """Subtract the map of the sky from rows of a frame of this shape."""
    (tiles_y, part_y), (tiles_x, part_x) = sky.between(shape)
    here = slice(first_row, first_row + len(rows))
    low, high = sky.level_adu[tiles_y[:, here]]
    level = low + (high - low) * part_y[here, None]
    left, there = level.take(tiles_x[0], axis=1), level.take(tiles_x[1], axis=1)
    there -= left  # in place: this is done to every row of every frame of a stack, and again for hot pixels
    there *= part_x
    there += left
    found: Singles = np.subtract(rows, there, out=np.empty(rows.shape, np.float32), casting="same_kind")
    return found


def resampled(rows: Singles, first_row: int, at: Placed, shape: tuple[int, int], scale: float) -> Singles:
    """Carry rows of a frame into an image of this shape that lies in it; NaN where it is off the rows."""
    out = np.empty(shape, np.float32)
    stack_kernels.resample(rows, first_row, at.a, at.b, at.x0, at.y0, scale, out)
    return out


def mask_circles(image: Singles, x: Floats, y: Floats, radius_px: float) -> None:
    """Set circles of an image to NaN, in place: what moves there is no part of the field."""
    for cx, cy in zip(x.tolist(), y.tolist(), strict=True):
        if not (math.isfinite(cx) and math.isfinite(cy)):
            continue
        x0, x1 = max(math.floor(cx - radius_px), 0), max(math.ceil(cx + radius_px) + 1, 0)
        y0, y1 = max(math.floor(cy - radius_px), 0), max(math.ceil(cy + radius_px) + 1, 0)
        part = image[y0:y1, x0:x1]
        grid_y, grid_x = np.mgrid[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
        part[np.hypot(grid_x - cx, grid_y - cy) < radius_px] = np.nan


def clipped_mean(stack: Singles) -> tuple[Singles, NDArray[np.int16]]:
    """Average a stack (n, h, w) without what is more than 3 σ from each pixel's median; gives how many values counted.

    NaN and 0 for fewer than 3 values.
    """
    return stack_kernels.clipped_mean(stack, LEAST, _CLIP_SIGMAS)


def dark(stack: Singles) -> Singles:
    """Give two low quantiles (2, h, w) of a stack (n, h, w), with NaN where fewer than 3 values are finite."""
    return stack_kernels.quantiles(stack, LEAST, np.array(_DARK))


def longest_stay(x_px: Floats, y_px: Floats, reach_px: float) -> float:
    """Give the largest part of frames (n,) in which a star, whose places these are, is near one and the same pixel."""
    distance = np.hypot(x_px[:, None] - x_px, y_px[:, None] - y_px)
    return float((distance < reach_px).mean(axis=1).max()) if x_px.size else 1.0


def stars_drift(x_px: Floats, y_px: Floats, fwhm_px: float) -> bool:
    """Tell whether stars move enough over the detector: no place is within a FWHM of one in over 60 % of the frames."""
    return longest_stay(x_px, y_px, fwhm_px) <= _MOST_STILL


def hot_pixels(images: Singles) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Find the hot pixels of a detector in low quantiles of frames whose stars drift, less their sky (see `dark`).

    A hot pixel stands 7 σ above the median of the 24 pixels around it (σ: the image's scatter), 1.5 times as high as
    the third highest of these, and at least half as high in the lower of the quantiles. Two or three hot ones side by
    side are found too; what is left of a star, wherever stars linger, is as broad as a star.

    Parameters
    ----------
    images : array (2, h, w)
        ADU of the usual exposure.

    Returns
    -------
    x_px, y_px : array of int (k,)
    adu : array (k,)
        Above their surroundings.
    """
    image = images[0]
    finite = image[np.isfinite(image)]
    if not finite.size:
        return np.empty(0, np.intp), np.empty(0, np.intp), np.empty(0)
    limit = _HOT_SIGMAS * 1.4826 * float(np.median(np.abs(finite - np.median(finite))))
    y, x = np.nonzero(image > limit)  # the sky is subtracted: hot pixels are among these
    around, lower = (_around(one, y, x) for one in images)
    level = np.nanmedian(around, axis=0)
    third = np.sort(np.nan_to_num(around, nan=-np.inf), axis=0)[-3] - level
    above, above_lower = image[y, x] - level, images[1][y, x] - np.nanmedian(lower, axis=0)
    hot = (above > limit) & (above > _HOT_SHARP * third) & (above_lower > _STEADY * above)
    return x[hot], y[hot], above[hot].astype(np.float64)


def _around(image: Singles, y: NDArray[np.intp], x: NDArray[np.intp]) -> Floats:
    """Give the 24 pixels around others, (24, k); NaN off the image."""
    steps = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0)]
    around = np.full((len(steps), y.size), np.nan)
    for row, (dy, dx) in zip(around, steps, strict=True):
        inside = (y + dy >= 0) & (y + dy < image.shape[0]) & (x + dx >= 0) & (x + dx < image.shape[1])
        row[inside] = image[y[inside] + dy, x[inside] + dx]
    return around
