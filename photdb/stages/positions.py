"""Where each source is expected in each frame: anchors carried by shifts, and along the track of an asteroid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photdb.stages.shifts import Shifts, read_shifts
from photdb.store.arrays import Frames, Source, read_frames, read_sources
from photdb.store.project import Project
from photdb.wording import numbers

_GRID = 2.0**20


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected positions.

    Attributes
    ----------
    frames : Frames
        All frames.
    sources : list of Source
        All sources.
    xy_px : ndarray (n_frames, n_sources, 2)
        In each frame's own pixels; NaN where the frame, or a frame of the source's anchors, has no shift.
    notes : list of str
        Sources without positions, and why.
    """

    frames: Frames
    sources: list[Source]
    xy_px: NDArray[np.float64]
    notes: list[str]


def expected_positions(project: Project) -> Expected:
    """Compute where each source is expected in each frame."""
    from photdb.algorithms.motion import position_at

    connection = project.connection
    frames, sources = read_frames(connection), read_sources(connection)
    shifts = read_shifts(connection, frames)
    xy = np.full((frames.id.size, len(sources), 2), np.nan)
    notes, still = [], {}
    for k, source in enumerate(sources):
        places = [frames.index(frame_id) for frame_id in source.anchor_frame_id]
        times = frames.jd_utc_mid[places]
        in_reference = anchors_in_reference(source, frames, shifts)
        lost = [int(frames.number[i]) for i, p in zip(places, in_reference, strict=True) if not np.isfinite(p).all()]
        if lost:
            notes.append(f"{source.label} cannot be placed: frame {numbers(lost)}, where it was selected, has no shift")
        elif source.role == "asteroid" and (np.isnan(times).any() or np.unique(times).size < times.size):
            which = numbers(frames.number[places].tolist())
            notes.append(f"{source.label} cannot be placed: its positions, in frame {which}, need times of their own")
        elif source.role == "asteroid":
            at = position_at(frames.jd_utc_mid, times, in_reference)
            xy[:, k] = shifts.to_frame(at[:, None, :])[:, 0]
        else:
            still[k] = in_reference.mean(axis=0)
    if still:
        xy[:, list(still)] = shifts.to_frame(np.array(list(still.values()))[None])
    # To a millionth of a pixel: the last digits of a time are no reason to measure again, and sums with whole pixels
    # are exact, wherever a stamp is cut.
    xy = np.rint(xy * _GRID) / _GRID
    xy[~np.isfinite(xy).all(axis=2)] = np.nan
    return Expected(frames, sources, xy, notes)


def anchors_in_reference(source: Source, frames: Frames, shifts: Shifts) -> NDArray[np.float64]:
    """Carry a source's anchors to the reference frame: array (n_anchors, 2), NaN where their frame has no shift."""
    places = [frames.index(frame_id) for frame_id in source.anchor_frame_id]
    return shifts.of(places).to_reference(np.array(source.anchor_xy_px)[:, None, :])[:, 0]
