"""What a suggestion is, and what it takes account of: what was rejected or taken back, and what was proposed so far."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from photdb.stages.series import Series, load_series
from photdb.store.arrays import Aperture, Frames, read_apertures, read_frames
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.wording import numbers

Bools = NDArray[np.bool_]
#: What a rejection is about: frame, source, aperture, by id; None stands for all.
Scope = tuple[int | None, int | None, int | None]


@dataclass(frozen=True, slots=True)
class Command:
    """A rejection as it is typed: its arguments behind `photdb reject`."""

    frames: tuple[int, ...]  # by number; empty: a source as a whole
    source: str | None
    apertures: tuple[str, ...]  # empty: all
    reason: str

    @property
    def arguments(self) -> list[str]:
        """Give the words behind `photdb reject`."""
        words = ["frames", *numbers(self.frames, most=len(self.frames)).split(", ")] if self.frames else ["source"]
        if not self.frames:
            words.append(self.source or "")
        elif self.source is not None:
            words += ["--source", self.source]
        for aperture in self.apertures:
            words += ["--aperture", aperture]
        return [*words, "--reason", self.reason]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One finding: about a source or about frames, what it is, its details, and the commands that follow."""

    about: str  # a source's name, or "frames"
    what: str
    details: list[str]
    commands: list[Command]


@dataclass(slots=True)
class Night:
    """What is there, and what was proposed so far."""

    frames: Frames
    apertures: list[Aperture]
    series: Series
    taken_back: set[Scope]
    in_force: set[Scope]
    accepted_by_hand: set[int]
    out: Bools = field(init=False)  # (frame, source, aperture) of the series
    costly: Bools = field(init=False)  # (source, aperture) in which a reference has a hot pixel in many frames

    def __post_init__(self) -> None:
        self.out = np.zeros(self.series.mag.shape, bool)
        self.costly = np.zeros(self.series.mag.shape[1:], bool)

    def number(self, frame_id: int) -> int:
        """Give the number of a frame by its id."""
        return int(self.frames.number[self.frames.index(frame_id)])

    def settled(self, frame_id: int | None, source_id: int | None, aperture_id: int | None) -> bool:
        """Tell whether this, or more than this, was rejected, or taken back by the user."""
        wider = {(frame_id, source_id, aperture_id), (frame_id, source_id, None), (None, source_id, aperture_id)}
        if source_id is None:
            wider = {(frame_id, None, None)}
            if frame_id in self.accepted_by_hand:
                return True
        force = wider | {(None, source_id, None), (frame_id, None, None), (None, None, aperture_id)}
        return bool(wider & self.taken_back) or bool({k for k in force if k != (None, None, None)} & self.in_force)


def read_night(project: Project) -> Night:
    """Read frames, series, and what the user decided."""
    connection = project.connection
    rows = driver(connection).execute(
        "SELECT frame_id, source_id, aperture_id, withdrawn_at IS NULL FROM rejection ORDER BY id"
    )
    in_force: set[Scope] = set()
    taken_back: set[Scope] = set()
    for frame_id, source_id, aperture_id, held in rows:
        (in_force if held else taken_back).add((frame_id, source_id, aperture_id))
    by_hand = driver(connection).execute("SELECT frame_id FROM acceptance WHERE withdrawn_at IS NULL")
    return Night(
        read_frames(connection),
        read_apertures(connection),
        load_series(project, "asteroid", "variable", "reference"),
        taken_back - in_force,
        in_force,
        {frame_id for (frame_id,) in by_hand},
    )


def commands_of(night: Night, k: int, cells: set[tuple[int, int]], reason: str) -> list[Command]:
    """Make commands of cells (frame, aperture) of a source: frames that go in the same apertures together."""
    source, series = night.series.sources[k], night.series
    place = {frame_id: i for i, frame_id in enumerate(series.frame_id.tolist())}
    wanted = [p for p in range(len(series.apertures)) if series.allowed[k, p]]
    by_frame: dict[int, list[int]] = {}
    for frame_id, aperture_id in cells:
        if frame_id in place and not night.out[place[frame_id]].all():  # else it goes as a whole
            by_frame.setdefault(frame_id, []).append(aperture_id)
    together: dict[tuple[int, ...], list[int]] = {}  # frames by the apertures in which they are to go
    for frame_id, apertures in sorted(by_frame.items(), key=lambda item: place[item[0]]):
        here = [p for p in wanted if series.apertures[p].id in apertures]
        night.out[place[frame_id], k, here] = True
        if night.settled(frame_id, source.id, None):
            continue
        here = [p for p in here if not night.settled(frame_id, source.id, series.apertures[p].id)]
        if here:
            together.setdefault(tuple(here), []).append(night.number(frame_id))
    commands = []
    for places, frames in sorted(together.items(), key=lambda item: (-len(item[0]), item[0])):
        names = () if len(places) == len(wanted) else tuple(str(series.apertures[p]) for p in places)
        commands.append(Command(tuple(frames), source.label, names, reason))
    return commands
