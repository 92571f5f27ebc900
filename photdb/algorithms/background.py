"""The sky of a frame as a coarse map.

The frame is cut into tiles of about 64 x 64 pixels and the clipped median and scatter of every third pixel of every
fifth row of each are taken, on the pixels' own type: the whole frame is never converted.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms import frame_kernels
from photdb.algorithms.median import median

_TILE_PX: Final = 64
_STEP_X_PX: Final = 3  # odd: where rows or columns alternate both kinds are sampled
_STEP_Y_PX: Final = 5
_CLIP: Final = 3.0
_N_CLIPS: Final = 2
_MIN_SAMPLES: Final = 9
_TINY: Final = float(np.finfo(np.float32).tiny)

Pixels = NDArray[Any]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Background:
    """The sky of a frame on a coarse grid of tiles.

    `level_adu` and `scatter_adu` (both (ny, nx), finite) belong to the tiles' centres, ((i + ½)·tile_px − ½);
    `background_adu` and `background_scatter_adu` are the medians of both, NaN where the frame has no finite pixel.
    """

    level_adu: Floats
    scatter_adu: Floats
    tile_width_px: int
    tile_height_px: int
    background_adu: float
    background_scatter_adu: float

    def between(self, shape: tuple[int, int]) -> tuple[tuple[Integers, Floats], tuple[Integers, Floats]]:
        """Say for each row and for each column of a frame between which tiles (2, n) it lies, and how far (n,).

        Levels are bilinear between the centres of the tiles. Outside the outermost centres the level goes on linearly
        (parts below 0 and above 1); the scatter, which must stay positive, is constant there.
        """
        (ny, nx), (height, width) = self.level_adu.shape, shape
        return _between_pixels(height, ny, self.tile_height_px), _between_pixels(width, nx, self.tile_width_px)


def background(pixels: Pixels) -> Background:
    """Map the sky of a frame.

    Parameters
    ----------
    pixels : array (H, W)
        Integers or floats in native byte order; pixels that are not finite are ignored.

    Returns
    -------
    Background
        Per tile the median after two clips at 3 scatters on both sides (stars, dead rows), and the pixel-to-pixel
        scatter: half the distance between the 15.87 % and 84.13 % points of the differences of pixels three columns
        apart, clipped likewise, over √2, to which neither a gradient nor the correlation of neighbours adds. Values
        of integers count as spread evenly over ± ½, so that both resolve fractions of an ADU. The scatter of a tile
        is the median of its 3 x 3 neighbourhood; the level too where it is further than 3 scatters from that median
        (a bright star, a trail) or unknown.

    Raises
    ------
    ValueError
        When `pixels` is not two-dimensional or empty.

    Notes
    -----
    The scheme is that of SExtractor (Bertin & Arnouts 1996, A&AS 117, 393, section 3.1), on a fifteenth of the
    pixels. For white noise of 1 ADU the level of a tile of 64 x 64 is good to 0.08 ADU, its scatter to 5 %.
    """
    if pixels.ndim != 2 or pixels.size == 0:
        raise ValueError(f"a frame must be a non-empty two-dimensional array, not one of shape {pixels.shape}")
    ny, nx = (max(1, round(n / _TILE_PX)) for n in pixels.shape)
    height, width = pixels.shape[0] // ny, pixels.shape[1] // nx
    tiles = pixels[: ny * height, : nx * width].reshape(ny, height, nx, width)
    start_y, start_x = (min(height, _STEP_Y_PX) - 1) // 2, (min(width, _STEP_X_PX) - 1) // 2
    samples = tiles[:, start_y::_STEP_Y_PX, :, start_x::_STEP_X_PX].transpose(0, 2, 1, 3)
    is_float, is_narrow = pixels.dtype.kind == "f", pixels.dtype.itemsize < 4
    if not is_float and is_narrow:
        samples = samples.astype(np.int32)  # where there is no AVX-512, numpy sorts these six times as fast as 16 bits
    samples = samples.reshape(ny * nx, *samples.shape[2:])
    if is_float:
        samples = np.where(np.isfinite(samples), samples, samples.dtype.type(np.nan))
    level, own_scatter = _clipped(samples.reshape(len(samples), -1))
    if samples.shape[2] > 1:
        wide = samples.dtype if is_float or is_narrow else np.dtype(np.int64)  # room for the sign
        differences = np.subtract(samples[:, ::2, 1:], samples[:, ::2, :-1], dtype=wide)
        variance = _clipped(differences.reshape(len(samples), -1))[1] ** 2 / 2.0
        if not is_float:
            variance = np.maximum(variance - 1.0 / 24.0, 0.0)  # what the spread over ± ½ adds to a difference
        scatter = np.sqrt(variance)
    else:
        scatter = own_scatter
    level, scatter = level.reshape(ny, nx), scatter.reshape(ny, nx)
    known = np.isfinite(level) & np.isfinite(scatter)
    if not known.any():
        zeros = np.zeros((ny, nx))
        return Background(zeros, zeros + 1.0, width, height, np.nan, np.nan)
    if known.all():  # nearly always
        level_around, scatter_around = (frame_kernels.median_around(values, np.nan) for values in (level, scatter))
    else:
        level_around, scatter_around = (
            frame_kernels.median_around(np.where(known, values, np.nan), median(values[known]))
            for values in (level, scatter)
        )
    odd = ~known | (np.abs(level - level_around) > 3.0 * scatter_around)
    level = np.where(odd, level_around, level)
    # A frame without noise still needs a positive scale for thresholds.
    floor = np.maximum(1e-6 * np.abs(level), _TINY)
    return Background(level, np.maximum(scatter_around, floor), width, height, median(level), median(scatter))


@lru_cache(maxsize=16)
def _between_pixels(n_pixels: int, n: int, tile_px: int) -> tuple[Integers, Floats]:
    """Give the tiles on both sides of each pixel along one axis, and how far between them the pixels lie."""
    place = (np.arange(n_pixels) + 0.5) / tile_px - 0.5
    first = np.clip(np.floor(place), 0, max(n - 2, 0)).astype(np.int64)
    return np.stack([first, np.minimum(first + 1, n - 1)]), np.clip(place - first, -1.0, 2.0)


def _clipped(values: NDArray[Any]) -> tuple[Floats, Floats]:
    """Give the clipped median and scatter of each row, NaN where fewer than nine values are finite."""
    level, scatter = frame_kernels.clipped(np.sort(values, axis=1), _N_CLIPS, _CLIP, _MIN_SAMPLES)
    return level, scatter
