"""Choosing sources: positions as given are snapped to the star under them, and references are proposed."""

import shlex
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.flags import Flag
from photdb.errors import FrameError, PhotdbError
from photdb.stages.apertures import propose_apertures
from photdb.stages.errors import DEFAULT_FWHM_PX
from photdb.stages.positions import anchors_in_reference, expected_positions
from photdb.stages.shifts import Shifts, read_shifts, reference_frame, star_lists
from photdb.store.arrays import Frames, columns, read_apertures, read_by_frame, read_frames, read_sources
from photdb.store.decisions import free_label, put_source, remove_source
from photdb.store.facts import session_number
from photdb.store.project import Project

Floats = NDArray[np.float64]

#: How far a position may be from its star, in FWHM, and at least, in pixels.
_SNAP_FWHM = 2.0
_SNAP_PX = 4.0
#: A proposed reference peaks below this part of the saturation in every frame, and is found in this part of the frames.
_PEAK = 0.8
_FOUND = 0.8
_MATCH_PX = 2.0


@dataclass(frozen=True, slots=True)
class Anchor:
    """A position as given and as snapped, in the pixels of a frame."""

    frame_id: int
    x_px: float
    y_px: float
    x_given_px: float
    y_given_px: float

    def row(self) -> tuple[int, float, float, float, float]:
        """Give it as `put_source` takes it."""
        return (self.frame_id, self.x_px, self.y_px, self.x_given_px, self.y_given_px)


def anchor(project: Project, frame_id: int, x_px: float, y_px: float, *, snap: bool = True) -> Anchor:
    """Make an anchor of a position in a frame, on the centroid of the star under it.

    Raises
    ------
    PhotdbError
        The frame has no shift, the position is off the frame, or no star is there.
    """
    frames = read_frames(project.connection)
    i = frames.index(frame_id)
    number = int(frames.number[i])
    shifts = read_shifts(project.connection, frames)
    if not np.isfinite(shifts.dx_px[i]):
        raise PhotdbError(
            f"frame {number} has no shift, so positions in it cannot be carried to others: choose another"
        )
    if not (-0.5 <= x_px < shifts.width_px - 0.5 and -0.5 <= y_px < shifts.height_px - 0.5):
        raise PhotdbError(
            f"({x_px:g}, {y_px:g}) is off the frame: x runs from 0 to {shifts.width_px - 1},"
            f" y to {shifts.height_px - 1}"
        )
    if not snap:
        return Anchor(frame_id, x_px, y_px, x_px, y_px)
    from photdb.algorithms.centroid import centroids
    from photdb.frames import FrameReader

    fwhm = float(read_by_frame(project.connection, "frame_quality", ["fwhm_px"], frames)[0][i])
    fwhm = fwhm if np.isfinite(fwhm) else DEFAULT_FWHM_PX
    reach = max(_SNAP_FWHM * fwhm, _SNAP_PX)
    half = int(np.ceil(reach + 3 * fwhm)) + 2
    x0, y0 = round(x_px), round(y_px)
    try:
        with FrameReader(project.frame_folder / frames.path[i]) as reader:
            stamp = reader.cutouts(np.array([x0]), np.array([y0]), half)
    except FrameError as error:
        raise PhotdbError(f"frame {number} ({frames.path[i]}) cannot be read: {error}") from error
    found = centroids(
        stamp,
        np.array([x_px - x0 + half]),
        np.array([y_px - y0 + half]),
        fwhm_px=fwhm,
        search_px=int(np.ceil(reach)),
        max_offset_px=reach,
    )
    if found.flags[0]:
        why = "nothing stands out there" if found.flags[0] & Flag.NO_PEAK else "what is there is no star"
        raise PhotdbError(
            f"no star within {reach:.1f} pixels of ({x_px:g}, {y_px:g}) in frame {number} ({why}): look again, or keep"
            " the position as it is with --no-snap"
        )
    return Anchor(frame_id, float(found.x_px[0] + x0 - half), float(found.y_px[0] + y0 - half), x_px, y_px)


def refuse_same_star(project: Project, label: str) -> None:
    """See that a variable or reference is where no other one is; a check star may be anywhere.

    Raises
    ------
    PhotdbError
        Another one is there: the same light would count twice, or a target against itself.
    """
    frames = read_frames(project.connection)
    shifts = read_shifts(project.connection, frames)
    places = {
        source.label: anchors_in_reference(source, frames, shifts).mean(axis=0)
        for source in read_sources(project.connection, "variable", "reference")
    }
    for other, place in places.items():
        if label in places and other != label and np.hypot(*(place - places[label])) < _MATCH_PX:
            raise PhotdbError(
                f"{other} is that star already: `photdb select variable|reference|check {shlex.quote(other)}` changes"
                " what it is, `photdb select remove` takes it out"
            )


def propose_references(project: Project, *, ignoring: Collection[str] = ()) -> list[tuple[float, float]]:
    """Find reference stars: bright, unsaturated, isolated, in the field all night, off every asteroid's track.

    Parameters
    ----------
    project : Project
        With shifts.
    ignoring : collection of str
        Labels of sources that may be proposed again; others are kept away from.

    Returns
    -------
    list of (x_px, y_px)
        Positions in the reference frame, brightest first.

    Raises
    ------
    PhotdbError
        There are no shifts yet.
    """
    connection = project.connection
    frames = read_frames(connection)
    reference_id = reference_frame(connection)
    stars = {} if reference_id is None else star_lists(connection, [reference_id])
    if reference_id is None or reference_id not in stars:
        raise PhotdbError("references are proposed from the shifts: run `photdb shifts` first")
    shifts = read_shifts(connection, frames)
    candidates = stars[reference_id]
    used = frames.accepted & np.isfinite(shifts.dx_px)
    if not used.any():
        raise PhotdbError("no accepted frame has a shift: look at `photdb reject list`")
    widths = read_by_frame(connection, "frame_quality", ["fwhm_px"], frames)[0][used]
    widths = widths[np.isfinite(widths)]  # qc's region may hold no star
    fwhm = float(np.median(widths)) if widths.size else DEFAULT_FWHM_PX
    radii = [(a.radius_px, a.annulus_outer_px) for a in read_apertures(connection)]
    radii = radii or [(radius, outer) for radius, _, outer in propose_apertures(fwhm)]
    radius, outer = max(r for r, _ in radii), max(o for _, o in radii)
    path = shifts.of(used).to_frame(candidates[None, :, :2])
    margin = outer + 2.0
    x, y = path[..., 0], path[..., 1]
    keep = ((x >= margin) & (x <= shifts.width_px - 1 - margin)).all(axis=0)
    keep &= ((y >= margin) & (y <= shifts.height_px - 1 - margin)).all(axis=0)
    keep &= _isolated(candidates, radius + fwhm)
    keep &= _off_tracks(project, used, path, radius + 2 * fwhm)
    keep &= _far_from(_places_of_sources(project, frames, shifts, ignoring), candidates, 2 * radius)
    keep[keep] = _well_measured(project, frames, np.flatnonzero(used), path[:, keep])  # the dearest question last
    return [(float(px), float(py)) for px, py in candidates[keep, :2]]  # the list is by brightness


def put_proposed(project: Project, wanted: int) -> list[str]:
    """Make proposed references sources, in place of those proposed earlier; gives their labels.

    A star that is proposed again stays the source that it was, with all that was measured of it.
    """
    connection = project.connection
    reference_id = reference_frame(connection)
    earlier = {
        label: id_
        for label, id_ in connection.exec_driver_sql(
            "SELECT label, id FROM source WHERE removed_at IS NULL AND origin = 'auto' AND role = 'reference'"
        ).all()
    }
    frames = read_frames(connection)
    shifts = read_shifts(connection, frames)
    positions = {
        s.label: anchors_in_reference(s, frames, shifts)[0] for s in read_sources(connection) if s.label in earlier
    }
    labels: list[str] = []
    with project.transaction():
        for x, y in propose_references(project, ignoring=set(earlier)):
            if len(labels) == wanted:
                break
            same = [n for n, (a, b) in positions.items() if np.hypot(a - x, b - y) < _MATCH_PX and n not in labels]
            if same:
                labels.append(same[0])
                continue
            label = free_label(connection, "R")
            try:
                place = anchor(project, reference_id or 0, x, y)
            except PhotdbError:
                continue  # a star that cannot be fitted; the next one may
            put_source(connection, label, "reference", [place.row()], origin="auto")
            labels.append(label)
        for label in earlier:
            if label not in labels:
                remove_source(connection, label)
    return labels


def _isolated(stars: Floats, reach_px: float) -> NDArray[np.bool_]:
    """Tell which stars have no neighbour within reach that is brighter than a hundredth of them."""
    distance = np.hypot(stars[:, None, 0] - stars[:, 0], stars[:, None, 1] - stars[:, 1])
    near = (distance < 2 * reach_px) & (stars[None, :, 2] > 0.01 * stars[:, None, 2])
    np.fill_diagonal(near, False)
    return np.asarray(~near.any(axis=1))


def _well_measured(project: Project, frames: Frames, used: NDArray[np.int64], path: Floats) -> NDArray[np.bool_]:
    """Tell which stars were found in most frames, and never near saturation."""
    saturation = session_number(project.connection, "saturation_adu") or np.inf
    found, too_bright = np.zeros(path.shape[1]), np.zeros(path.shape[1], bool)
    sql = "SELECT frame_id, x_px, y_px, peak_adu FROM detection ORDER BY frame_id, rank"
    frame_id, *stars = columns(project.connection, sql, "ffff")
    first, after = (np.searchsorted(frame_id, frames.id[used], side) for side in ("left", "right"))
    for a, b, expected in zip(first, after, path, strict=True):
        if a == b:
            continue
        seen = np.stack([column[a:b] for column in stars], axis=1)
        distance = np.hypot(expected[:, None, 0] - seen[:, 0], expected[:, None, 1] - seen[:, 1])
        nearest = distance.argmin(axis=1)
        here = distance[np.arange(len(nearest)), nearest] < _MATCH_PX
        found += here
        too_bright |= here & (seen[nearest, 2] > _PEAK * saturation)
    return ~too_bright & (found >= _FOUND * used.size)


def _off_tracks(project: Project, used: NDArray[np.bool_], path: Floats, reach_px: float) -> NDArray[np.bool_]:
    """Tell which stars no asteroid comes near."""
    expected = expected_positions(project)
    clear = np.ones(path.shape[1], bool)
    for k, source in enumerate(expected.sources):
        if source.role == "asteroid":
            there = expected.xy_px[used, k]
            distance = np.hypot(path[..., 0] - there[:, None, 0], path[..., 1] - there[:, None, 1])
            clear &= ~(distance < reach_px).any(axis=0)
    return clear


def _places_of_sources(project: Project, frames: Frames, shifts: Shifts, ignoring: Collection[str]) -> Floats:
    """Give where the sources that stand still are in the reference frame, (n, 2)."""
    places = [
        anchors_in_reference(source, frames, shifts).mean(axis=0)
        for source in read_sources(project.connection, "variable", "reference", "check")
        if source.label not in ignoring
    ]
    return np.array(places).reshape(-1, 2)


def _far_from(places: Floats, stars: Floats, reach_px: float) -> NDArray[np.bool_]:
    distance = np.hypot(stars[:, None, 0] - places[:, 0], stars[:, None, 1] - places[:, 1])
    return np.asarray(~(distance < reach_px).any(axis=1))
