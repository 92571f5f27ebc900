"""The worker's side of `field`: maps of the sky of frames, and strips of the stack of all of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.background import Background
from photdb.algorithms.stacking import Placed
from photdb.errors import FrameError


@dataclass(frozen=True, slots=True)
class SkyTask:
    """Frames whose sky is to be mapped."""

    paths: tuple[Path, ...]
    seen: tuple[tuple[int, int], ...]  # size and mtime of the files whose content is known

    def __str__(self) -> str:
        return " ".join(path.name for path in self.paths)


@dataclass(frozen=True, slots=True)
class Strip:
    """A frame of the stack."""

    path: Path
    sky: Background
    place: Placed  # of the stack's first pixel
    scale: float  # to the light of the reference frame's stars
    detector_scale: float  # to the usual exposure
    mask: NDArray[np.float64]  # (k, 2) where asteroids are in the stack
    mask_px: float


@dataclass(frozen=True, slots=True)
class StripTask:
    """Rows of the stack, or of what is bright on the detector in most frames."""

    frames: tuple[Strip, ...]
    hot: tuple[NDArray[np.intp], NDArray[np.intp]]  # x and y of pixels that are left out of the stack
    rows: tuple[int, int]
    width_px: int
    detector: bool

    def __str__(self) -> str:
        return f"rows {self.rows[0]} to {self.rows[1]} of the stack"


def sky_maps(task: SkyTask) -> list[Background | str]:
    """Map the sky of frames; runs in a worker. A frame that cannot be read gives the reason."""
    from photdb.algorithms.background import background
    from photdb.frames import read_pixels

    found: list[Background | str] = []
    for path, seen in zip(task.paths, task.seen, strict=True):
        try:
            pixels, _, size, mtime = read_pixels(path)
            if (size, mtime) != seen:
                raise FrameError("it changed since its content was last checked: run the command again")
            found.append(background(pixels))
        except FrameError as error:
            found.append(str(error))
    return found


def stack_strip(task: StripTask) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Stack some rows, and count the frames of each pixel (none, on the detector); runs in a worker."""
    from photdb.algorithms import stacking
    from photdb.frames import FrameReader

    first, after = task.rows
    shape = (after - first, task.width_px)
    stack = np.empty((len(task.frames), *shape), np.float32)
    for image, frame in zip(stack, task.frames, strict=True):
        at = frame.place
        here = Placed(at.a, at.b, at.x0 - at.b * first, at.y0 + at.a * first)
        with FrameReader(frame.path) as reader:
            size = (reader.height_px, reader.width_px)
            low, high = (first, after) if task.detector else stacking.rows_needed(here, shape, size[0])
            rows = stacking.without_sky(reader.rows(low, high), low, frame.sky, size)
        if task.detector:
            image[...] = rows * np.float32(frame.detector_scale)
        else:
            hot_x, hot_y = task.hot
            there = (hot_y >= low) & (hot_y < high)
            rows[hot_y[there] - low, hot_x[there]] = np.nan
            image[...] = stacking.resampled(rows, low, here, shape, frame.scale)
            stacking.mask_circles(image, frame.mask[:, 0], frame.mask[:, 1] - first, frame.mask_px)
    if task.detector:
        return stacking.dark(stack), np.zeros((0, task.width_px), np.int16)
    return stacking.clipped_mean(stack)
