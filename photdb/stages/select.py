"""Choosing sources: positions as given are snapped to the star under them, and references are proposed."""

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.flags import Flag
from photdb.errors import FrameError, PhotdbError
from photdb.stages.apertures import propose_apertures
from photdb.stages.errors import DEFAULT_FWHM_PX
from photdb.stages.positions import expected_positions, places_in_reference
from photdb.stages.shifts import Shifts, read_shifts, reference_frame, star_lists
from photdb.store.arrays import Frames, Source, columns, read_apertures, read_by_frame, read_frames, read_sources
from photdb.store.decisions import free_label, put_source, remove_source
from photdb.store.facts import session_number
from photdb.store.project import Project
from photdb.wording import why_unread

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


@dataclass(frozen=True, slots=True)
class Field:
    """What positions are judged by, read once for a whole command: frames, their shifts, the width of their stars."""

    folder: Path
    frames: Frames
    shifts: Shifts
    fwhm_px: Floats

    def number(self, anchor: Anchor) -> int:
        """Give the number of an anchor's frame."""
        return int(self.frames.number[self.frames.index(anchor.frame_id)])


def read_field(project: Project) -> Field:
    """Read what `make_anchors` needs."""
    connection = project.connection
    frames = read_frames(connection)
    (fwhm,) = read_by_frame(connection, "frame_quality", ["fwhm_px"], frames)
    return Field(project.frame_folder, frames, read_shifts(connection, frames), fwhm)


def make_anchors(field: Field, places: Sequence[tuple[int, float, float]], *, snap: bool = True) -> list[Anchor]:
    """Make anchors of positions (frame_id, x_px, y_px), on the centroids of the stars under them, in the same order.

    Raises
    ------
    PhotdbError
        A frame has no shift, a position is off its frame, or no star is there.
    """
    found: dict[int, Anchor] = {}
    for frame_id in dict.fromkeys(frame_id for frame_id, _, _ in places):
        here = [i for i, place in enumerate(places) if place[0] == frame_id]
        given = np.array([places[i][1:] for i in here])
        _refuse_nowhere(field, frame_id, given)
        snapped = _snap(field, frame_id, given) if snap else given
        for i, xy, at in zip(here, snapped.tolist(), given.tolist(), strict=True):
            found[i] = Anchor(frame_id, *xy, *at)
    return [found[i] for i in range(len(places))]


def _refuse_nowhere(field: Field, frame_id: int, given: Floats) -> None:
    i, shifts = field.frames.index(frame_id), field.shifts
    if not np.isfinite(shifts.dx_px[i]):
        raise PhotdbError(
            f"frame {field.frames.number[i]} has no shift, so positions in it cannot be carried to others: choose"
            " another"
        )
    for x, y in given.tolist():
        if not (-0.5 <= x < shifts.width_px - 0.5 and -0.5 <= y < shifts.height_px - 0.5):
            raise PhotdbError(
                f"({x:g}, {y:g}) is off the frame: x runs from 0 to {shifts.width_px - 1}, y to {shifts.height_px - 1}"
            )


def _snap(field: Field, frame_id: int, given: Floats) -> Floats:
    """Give the centroids of the stars under positions (n, 2) in a frame."""
    from photdb.algorithms.centroid import centroids
    from photdb.frames import FrameReader

    i = field.frames.index(frame_id)
    number, path = int(field.frames.number[i]), field.frames.path[i]
    fwhm = float(field.fwhm_px[i]) if np.isfinite(field.fwhm_px[i]) else DEFAULT_FWHM_PX
    reach = max(_SNAP_FWHM * fwhm, _SNAP_PX)
    half = int(np.ceil(reach + 3 * fwhm)) + 2
    middle = np.rint(given).astype(np.int64)
    try:
        with FrameReader(field.folder / path) as reader:
            stamps = reader.cutouts(middle[:, 0], middle[:, 1], half)
    except FrameError as error:
        raise PhotdbError(f"frame {number} ({path}) cannot be read: {why_unread(error)}") from error
    x, y = (given - middle + half).T
    found = centroids(stamps, x, y, fwhm_px=fwhm, search_px=int(np.ceil(reach)), max_offset_px=reach)
    for (x_px, y_px), flags in zip(given.tolist(), found.flags.tolist(), strict=True):
        if flags:
            why = "nothing stands out there" if flags & Flag.NO_PEAK else "what is there is no star"
            raise PhotdbError(
                f"no star within {reach:.1f} pixels of ({x_px:g}, {y_px:g}) in frame {number} ({why}): look again, or"
                " keep the position as it is with --no-snap"
            )
    return np.stack([found.x_px, found.y_px], axis=1) + middle - half


def refuse_repeated(field: Field, anchors: Sequence[Anchor]) -> None:
    """See that anchors that are to be stars of their own are not of the same star.

    Raises
    ------
    PhotdbError
        Two of them are; both are named.
    """
    where = field.frames.index
    at = np.array([[a.x_px, a.y_px] for a in anchors])
    shifts = field.shifts.of([where(a.frame_id) for a in anchors])
    xy = shifts.to_reference(at[:, None])[:, 0]
    for j, place in enumerate(xy):
        same = np.flatnonzero(np.hypot(*(xy[:j] - place).T) < _MATCH_PX)
        if same.size:
            one, other = anchors[same[0]], anchors[j]
            raise PhotdbError(
                f"({one.x_given_px:g}, {one.y_given_px:g}) in frame {field.number(one)} and ({other.x_given_px:g},"
                f" {other.y_given_px:g}) in frame {field.number(other)} are the same star: give it once, or, for"
                " several positions of one star, its NAME"
            )


def refuse_same_star(project: Project, field: Field, labels: Collection[str]) -> None:
    """See that variables and references of these labels are where no other one is; a check star may be anywhere.

    Raises
    ------
    PhotdbError
        Another one is there: the same light would count twice, or a target against itself.
    """
    sources = read_sources(project.connection, "variable", "reference")
    places = places_in_reference(sources, field.frames, field.shifts)
    for k, source in enumerate(sources):
        if source.label not in labels:
            continue
        near = np.hypot(*(places - places[k]).T) < _MATCH_PX
        near[k] = False
        if near.any():
            other = sources[int(near.argmax())].label
            which = "that star" if len(labels) == 1 else f"the star of {_anchor_text(field, source)}"
            raise PhotdbError(
                f"{other} is {which} already: `photdb select variable|reference|check {shlex.quote(other)}` changes"
                " what it is, `photdb select remove` takes it out"
            )


def _anchor_text(field: Field, source: Source) -> str:
    (x, y), frame_id = source.anchor_xy_px[0], source.anchor_frame_id[0]
    return f"({x:.2f}, {y:.2f}) in frame {field.frames.number[field.frames.index(frame_id)]}"


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
    specs = [a.spec for a in read_apertures(connection)] or propose_apertures(fwhm)
    radius, outer = max(s.radius_px(fwhm) for s in specs), max(s.outer_px for s in specs)
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
    field = read_field(project)
    known = [source for source in read_sources(connection, "reference") if source.label in earlier]
    places = places_in_reference(known, field.frames, field.shifts)
    positions = {source.label: place for source, place in zip(known, places.tolist(), strict=True)}
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
                (place,) = make_anchors(field, [(reference_id or 0, x, y)])
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
    sources = read_sources(project.connection, "variable", "reference", "check")
    return places_in_reference([source for source in sources if source.label not in ignoring], frames, shifts)


def _far_from(places: Floats, stars: Floats, reach_px: float) -> NDArray[np.bool_]:
    distance = np.hypot(stars[:, None, 0] - places[:, 0], stars[:, None, 1] - places[:, 1])
    return np.asarray(~(distance < reach_px).any(axis=1))
