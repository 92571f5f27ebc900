"""Where each source is expected in each frame: anchors carried by shifts, and along the track of an asteroid."""

from collections.abc import Iterator, Sequence
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
    for k, (source, (places, in_reference)) in enumerate(zip(sources, _anchors(sources, frames, shifts), strict=True)):
        times = frames.jd_utc_mid[places]
        lost = ~np.isfinite(in_reference).all(axis=1)
        if places.size < (2 if source.role == "asteroid" else 1):  # of a project that was damaged
            notes.append(f"{source.label} cannot be placed: it has too few positions left, so `photdb select` it again")
        elif lost.any():
            which = numbers(frames.number[places[lost]].tolist())
            notes.append(f"{source.label} cannot be placed: frame {which}, where it was selected, has no shift")
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


def places_in_reference(sources: Sequence[Source], frames: Frames, shifts: Shifts) -> NDArray[np.float64]:
    """Give where sources that stand still are in the reference frame: (n, 2), NaN where an anchor has no shift."""
    places = [xy.mean(axis=0) if len(xy) else (np.nan, np.nan) for _, xy in _anchors(sources, frames, shifts)]
    return np.array(places).reshape(-1, 2)


def _anchors(
    sources: Sequence[Source], frames: Frames, shifts: Shifts
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Give the places of each source's anchors in `frames`, and the anchors carried to the reference frame."""
    place = {frame_id: i for i, frame_id in enumerate(frames.id.tolist())}
    places = np.array([place[f] for source in sources for f in source.anchor_frame_id], np.int64)
    xy = np.array([xy for source in sources for xy in source.anchor_xy_px]).reshape(-1, 1, 2)
    in_reference = shifts.of(places).to_reference(xy)[:, 0]  # all at once: thousands of stars are no rarity
    stop = 0
    for source in sources:
        start, stop = stop, stop + len(source.anchor_frame_id)
        yield places[start:stop], in_reference[start:stop]
