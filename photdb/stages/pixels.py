"""The worker's side of `qc`: metrics and stars of frames, each from one reading of its pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photdb.errors import FrameError, UnreadableError
from photdb.store.currency import digest

Region = tuple[int, int, int, int]

#: Columns of `detection` that are measured.
STARS = ("x_px", "y_px", "flux_adu", "peak_adu", "fwhm_px", "elongation")


@dataclass(frozen=True, slots=True)
class PixelTask:
    """Some frames to be measured."""

    frames: tuple[tuple[int, Path], ...]
    region: Region | None
    saturation_adu: float | None

    def __str__(self) -> str:
        return " ".join(path.name for _, path in self.frames)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a frame was found to be."""

    frame_id: int
    content_crc32: int | None  # None: the file could not be read at all
    metrics: dict[str, Any]
    flags: int
    stars: NDArray[np.float64]  # (n, 6), brightest first
    detection_digest: int | None
    error: str | None


def measure_frames(task: PixelTask) -> list[Measured]:
    """Measure the frames of a task; runs in a worker."""
    return [_measure(frame_id, path, task.region, task.saturation_adu) for frame_id, path in task.frames]


def _measure(frame_id: int, path: Path, region: Region | None, saturation_adu: float | None) -> Measured:
    from photdb.algorithms.background import background
    from photdb.algorithms.detection import detect_stars
    from photdb.algorithms.quality import frame_quality
    from photdb.frames import content_crc32, read_pixels

    none = np.empty((0, len(STARS)))
    try:
        pixels, crc, _, _ = read_pixels(path)
    except UnreadableError as error:  # it says nothing of the frame: it is tried again
        return Measured(frame_id, None, {}, 0, none, None, str(error))
    except FrameError as error:
        try:
            crc, *seen = content_crc32(path)
            if tuple(seen) != error.seen:  # what is said of one content must not be kept for another
                raise UnreadableError("the file was changed while it was read")
        except FrameError as changed:
            return Measured(frame_id, None, {}, 0, none, None, str(changed))
        return Measured(frame_id, crc, {}, 0, none, None, str(error))
    sky = background(pixels)
    stars = detect_stars(pixels, sky, saturation_adu=saturation_adu)
    found = frame_quality(pixels, sky, stars, region=region, saturation_adu=saturation_adu)
    quality = {name: getattr(found, name) for name in found.__slots__}
    flags = int(quality.pop("flags"))
    quality["n_found"] = stars.n_found
    if saturation_adu is None:
        quality["n_saturated_px"] = None  # nobody knows
    table = np.stack([np.asarray(getattr(stars, name), float) for name in STARS], axis=1)
    return Measured(frame_id, crc, quality, flags, table, digest(table), None)
