"""The window of `photdb select`: what it is given of the project, and what is done with what it gives."""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from photdb.cli.common import Console
from photdb.errors import FrameError, PhotdbError
from photdb.wording import count, why_unread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from photdb.stages.select import Field
    from photdb.store.project import Project
    from photdb.viewers.windows.night import Night
    from photdb.viewers.windows.picks import Change, Pick, Picks
    from photdb.viewers.windows.select_window import SelectWindow


def select_in_window(console: Console, n_auto: int, *, web: bool) -> bool:
    """Open the window and save what was selected in it, all or nothing; gives whether it was saved.

    The project is read before and written at the end: no other command has to wait while the window is open.
    """
    from photdb.viewers.windows.picks import changes
    from photdb.viewers.windows.screen import show

    window = make_window(console, n_auto)
    before = window.state
    picks = show(window, web=web, say=console.say)
    if picks is None:
        console.say("Closed: nothing was changed.")
        return False
    done = changes(before, picks)
    for change in done:
        console.say(shlex.join(["photdb", "select", *change.arguments()]))
    console.say(f"{count(len(picks.sources), 'source')}, {len(done)} changed.")
    return True


def make_window(console: Console, n_auto: int) -> "SelectWindow":
    """Make the window of a project, with so many proposals at first."""
    from photdb.stages.select import make_anchors, propose_references, read_field
    from photdb.viewers.windows.doubts import doubts
    from photdb.viewers.windows.picks import Anchor, Pick, Picks, changes
    from photdb.viewers.windows.select_window import SelectWindow

    with console.reading() as project:
        field = read_field(project)
        night = _read_night(project, field)
        sources = _read_picks(project, night)
        title = f"photdb select: {project.path.stem}"
    has_asteroid = any(pick.role == "asteroid" for pick in sources)
    before = Picks(sources, "reference" if has_asteroid or n_auto else "asteroid")

    def snap(number: int, x: float, y: float) -> Anchor:
        i = night.place(number)
        (found,) = make_anchors(field, [(int(field.frames.id[i]), x, y)])
        ((x_ref, y_ref),) = night.to_reference(i, [(found.x_px, found.y_px)])
        return Anchor(number, found.x_px, found.y_px, x, y, float(x_ref), float(y_ref))

    def propose(picks: Picks, wanted: int) -> Sequence[Anchor]:
        """Propose beside the sources in the window, of which the project knows nothing yet."""
        gone = [pick.label for pick in sources if picks.get(pick.label) is None]
        with console.reading() as project:
            places = propose_references(project, ignoring=gone)
        found: list[Anchor] = []
        reach = 2 * max(radius for radius, _, _ in night.apertures)
        stars = [pick.place for pick in picks.sources if pick.role != "asteroid"]
        for x, y in places:
            if len(found) == wanted or any((x - a) ** 2 + (y - b) ** 2 < reach**2 for a, b in stars):
                continue
            try:
                anchor = snap(int(field.frames.number[night.reference]), round(x, 1), round(y, 1))
            except PhotdbError:
                continue  # it cannot be fitted
            if not doubts(night, picks, Pick("", "reference", (anchor,))):
                found.append(anchor)
        return found

    def save(picks: Picks) -> None:
        if wanted := changes(before, picks):
            _put(console, night, field, before, wanted)

    return SelectWindow(before, night, snap=snap, propose=propose, wanted=n_auto, title=title, save=save)


def _put(console: Console, night: "Night", field: "Field", before: "Picks", wanted: "Sequence[Change]") -> None:
    from photdb.stages.select import refuse_same_star
    from photdb.store.decisions import put_source, remove_source

    ids = dict(zip(field.frames.number.tolist(), field.frames.id.tolist(), strict=True))
    with console.locked("select") as project, project.transaction() as connection:
        if _read_picks(project, night) != before.sources:
            raise PhotdbError("another command has changed the sources meanwhile: close this window and open it again")
        for change in wanted:
            if change.role is None:
                remove_source(connection, change.label)
            else:
                rows = [(ids[a.frame], a.x_px, a.y_px, a.x_given_px, a.y_given_px) for a in change.anchors]
                put_source(connection, change.label, change.role, rows)
            project.record("select", change.arguments())
        refuse_same_star(project, field, [change.label for change in wanted if change.role is not None])


def _sources(project: "Project") -> "list[tuple[str, str, int]]":
    rows = project.connection.exec_driver_sql("SELECT label, role, id FROM source WHERE removed_at IS NULL ORDER BY id")
    return [(label, role, id_) for label, role, id_ in rows]


def _read_night(project: "Project", field: "Field") -> "Night":
    """Give what the window has to know.

    Raises
    ------
    PhotdbError
        There are no shifts yet.
    """
    import numpy as np

    from photdb.frames import read_pixels
    from photdb.stages.apertures import propose_apertures
    from photdb.stages.errors import DEFAULT_FWHM_PX
    from photdb.stages.shifts import reference_frame, star_lists
    from photdb.store.arrays import read_apertures
    from photdb.store.facts import session_number
    from photdb.viewers.windows.night import Night

    connection, frames = project.connection, field.frames
    reference_id = reference_frame(connection)
    if reference_id is None or not np.isfinite(field.shifts.dx_px).any():
        raise PhotdbError("positions are carried from frame to frame by the shifts: run `photdb shifts` first")
    widths = field.fwhm_px[frames.accepted & np.isfinite(field.fwhm_px)]
    fwhm = float(np.median(widths)) if widths.size else DEFAULT_FWHM_PX
    specs = [a.spec for a in read_apertures(connection)] or propose_apertures(fwhm)
    circles = tuple((float(s.radius_px(fwhm)), s.inner_px, s.outer_px) for s in specs)

    def read(i: int) -> "NDArray[Any]":
        try:
            return read_pixels(field.folder / frames.path[i])[0]
        except FrameError as error:
            frame = f"frame {frames.number[i]} ({frames.path[i]})"
            raise PhotdbError(f"{frame} cannot be read: {why_unread(error)}") from error

    fact = connection.exec_driver_sql("SELECT value FROM session WHERE fact = 'object'").scalar()
    stars: NDArray[np.float64] = star_lists(connection, [reference_id]).get(reference_id, np.empty((0, 3)))
    return Night(
        frames,
        field.shifts,
        field.fwhm_px,
        frames.index(reference_id),
        stars,
        circles,
        session_number(connection, "saturation_adu"),
        read,
        None if fact is None else " ".join(str(fact).split())[:64],
    )


def _read_picks(project: "Project", night: "Night") -> "tuple[Pick, ...]":
    from photdb.viewers.windows.picks import Anchor, Pick

    picks = []
    for label, role, source_id in _sources(project):
        rows = project.connection.exec_driver_sql(
            "SELECT f.number, a.x_px, a.y_px, a.x_given_px, a.y_given_px FROM source_anchor a"
            " JOIN frame f ON f.id = a.frame_id WHERE a.source_id = ? ORDER BY f.number",
            (source_id,),
        ).all()
        anchors = []
        for number, x, y, x_given, y_given in rows:
            ((x_ref, y_ref),) = night.to_reference(night.place(number), [(x, y)])
            anchors.append(Anchor(number, x, y, x_given, y_given, float(x_ref), float(y_ref)))
        picks.append(Pick(label, role, tuple(anchors)))
    return tuple(picks)
