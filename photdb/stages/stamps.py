"""The worker's side of `measure`: cut sources out of frames, fit their centroids, sum them in apertures."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from photdb.errors import FrameError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Columns of `centroid` and of `flux` that are measured.
CENTROID = ("x_px", "y_px", "fwhm_px", "elongation", "peak_adu")
FLUX = ("flux_adu", "sky_adu", "sky_scatter_adu", "n_sky", "noise_area_px")


@dataclass(frozen=True, slots=True)
class StampTask:
    """Some sources of some frames: n stamps, all in the same p apertures."""

    paths: tuple[Path, ...]
    seen: tuple[tuple[int, int], ...]  # size and mtime of the files whose content is known
    stamp_frame: Ints  # (n,) which of the paths, ascending
    x_px: Floats  # (n,) expected, or where `fit` is false as measured before
    y_px: Floats
    fwhm_px: Floats
    max_offset_px: Floats
    search_px: int
    fit: bool
    radius_px: Floats  # (n, p) or (p,); NaN for optimal extraction
    rings: Floats  # (p, 2): inner and outer radius
    sky: tuple[str, ...]  # (p,)
    optimal: Floats | None = None  # (7, n): the frame's profile as in `Masks`, expected x and y, their error

    def __str__(self) -> str:
        return " ".join(path.name for path in self.paths)


@dataclass(frozen=True, slots=True)
class Stamps:
    """Columns of a task's sources; those of a frame that could not be read mean nothing."""

    centroid: dict[str, Floats]  # (n,) each; empty where nothing was fitted
    centroid_flags: Ints
    flux: dict[str, Floats]  # (n, p) each
    flux_flags: Ints
    unread: dict[int, str]  # place in paths: reason


def measure_stamps(task: StampTask) -> Stamps:
    """Measure the sources of a task; runs in a worker."""
    from photdb.algorithms.aperture import Masks, measure_apertures
    from photdb.algorithms.centroid import centroids
    from photdb.algorithms.profile import CLIP_FWHM
    from photdb.frames import FrameReader

    room = max(task.rings.max(initial=0.0), np.nanmax(task.radius_px, initial=0.0))
    if task.optimal is not None:
        fwhm, *_, x_expected, y_expected, _ = task.optimal
        apart = np.hypot(x_expected - task.x_px, y_expected - task.y_px)
        room = max(room, CLIP_FWHM * fwhm.max() + np.nanmax(apart, initial=0.0))
    if task.fit:  # as far as a source may be found, and for the box of the fit (1.2 FWHM) wherever its search ends
        fit = max(3.0, 1.2 * task.fwhm_px.max()) + 1
        room = max(room + task.max_offset_px.max(), fit + task.search_px)
    half = math.ceil(room + 0.5)  # positions are up to half a pixel from the middle of their stamp's central one
    x0, y0 = (np.rint(np.nan_to_num(v, nan=-1e6)).astype(np.int64) for v in (task.x_px, task.y_px))

    def nothing(mine: slice) -> NDArray[np.float32]:
        return np.full((mine.stop - mine.start, 2 * half + 1, 2 * half + 1), np.nan, np.float32)

    parts, unread = [], {}
    shape = (0, 0)
    first = np.searchsorted(task.stamp_frame, np.arange(len(task.paths) + 1))
    for j, (path, seen) in enumerate(zip(task.paths, task.seen, strict=True)):
        mine = slice(first[j], first[j + 1])
        if not np.isfinite(task.x_px[mine]).any():  # a frame without a shift: nothing in it is looked for
            parts.append(nothing(mine))
            continue
        try:
            with FrameReader(path) as reader:
                if (reader.size_bytes, reader.mtime_ns) != seen:
                    raise FrameError("it changed since its content was last checked: run the command again")
                shape = (reader.height_px, reader.width_px)
                parts.append(reader.cutouts(x0[mine], y0[mine], half))
        except FrameError as error:
            unread[j] = str(error)
            parts.append(nothing(mine))
    stamps = np.concatenate(parts) if len(parts) > 1 else parts[0]
    x, y = task.x_px - x0 + half, task.y_px - y0 + half
    centroid: dict[str, Floats] = {}
    centroid_flags = np.zeros(x.size, np.int64)
    if task.fit:
        found = centroids(
            stamps, x, y, fwhm_px=task.fwhm_px, search_px=task.search_px, max_offset_px=task.max_offset_px
        )
        x, y, centroid_flags = found.x_px, found.y_px, found.flags
        centroid = {name: getattr(found, name) for name in CENTROID}
        centroid |= {"x_px": x + (x0 - half), "y_px": y + (y0 - half)}
    masks = None
    if task.optimal is not None:
        fwhm, beta, e_plus, e_cross, x_expected, y_expected, expected_err = task.optimal
        masks = Masks(fwhm, beta, e_plus, e_cross, x_expected - x0 + half, y_expected - y0 + half, expected_err)
    inner, outer = task.rings.T
    fluxes = measure_apertures(
        stamps,
        x,
        y,
        radii_px=task.radius_px,
        annulus_inner_px=inner,
        annulus_outer_px=outer,
        sky=task.sky,
        masks=masks,
        origin_px=np.stack([x0, y0], axis=1) - half,
        frame_shape=shape,
    )
    flux = {name: np.asarray(getattr(fluxes, name), float) for name in FLUX}
    return Stamps(centroid, centroid_flags, flux, fluxes.flags, unread)
