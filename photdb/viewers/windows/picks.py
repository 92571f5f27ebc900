"""What the window of `select` decides: sources with their anchors, as a value; every change gives a new one.

Nothing here knows of matplotlib or of a project: `commands` says what a change is in commands as they are typed, and
`photdb.cli.select` does them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from photdb.errors import PhotdbError

ROLES: Final = ("asteroid", "variable", "reference", "check")
#: What names begin with.
LETTERS: Final = {"asteroid": "A", "variable": "V", "reference": "R", "check": "C"}
#: Two stars nearer than this, in pixels of the reference frame, are one.
SAME_PX: Final = 2.0


@dataclass(frozen=True, slots=True)
class Anchor:
    """A position in the pixels of a frame, as snapped and as given; and carried to the reference frame."""

    frame: int  # its number
    x_px: float
    y_px: float
    x_given_px: float
    y_given_px: float
    x_ref_px: float
    y_ref_px: float


@dataclass(frozen=True, slots=True)
class Pick:
    """A source: its anchors by frame."""

    label: str
    role: str
    anchors: tuple[Anchor, ...]

    @property
    def place(self) -> tuple[float, float]:
        """Where one that stands still is in the reference frame: the mean of its anchors."""
        n = len(self.anchors)
        return sum(a.x_ref_px for a in self.anchors) / n, sum(a.y_ref_px for a in self.anchors) / n

    def anchor_in(self, frame: int) -> Anchor | None:
        """Give its anchor in a frame, if it has one there."""
        return next((a for a in self.anchors if a.frame == frame), None)


@dataclass(frozen=True, slots=True)
class Picks:
    """All sources, the role that the next click gives, and proposals that wait to be accepted."""

    sources: tuple[Pick, ...] = ()
    role: str = "asteroid"
    current: str | None = None  # the asteroid that further clicks belong to
    proposals: tuple[Anchor, ...] = ()

    def get(self, label: str) -> Pick | None:
        """Give the source of a label."""
        return next((pick for pick in self.sources if pick.label == label), None)


def with_role(picks: Picks, role: str) -> Picks:
    """Have the next clicks select sources of this role; of an asteroid anew, where its role is in force already."""
    current = None if picks.role == role == "asteroid" else picks.current
    return replace(picks, role=role, current=current)


def at(picks: Picks, anchor: Anchor, *, name: str | None = None) -> Picks:
    """Select what is at a position, in the role that is in force.

    An asteroid gets one anchor more, or has the one that it had in this frame moved. A star that is a source takes the
    role.

    Raises
    ------
    PhotdbError
        The star is a source in this role already.
    """
    if picks.role == "asteroid":
        return _with_anchor(picks, anchor, name)
    here = still_at(picks, anchor.x_ref_px, anchor.y_ref_px)
    if here is None:
        return _put(picks, Pick(name or free_label(picks, picks.role), picks.role, (anchor,)))
    if here.role == picks.role:
        raise PhotdbError(f"{here.label} is that star already")
    return _put(picks, replace(here, role=picks.role))


def _with_anchor(picks: Picks, anchor: Anchor, name: str | None) -> Picks:
    label = picks.current or name or free_label(picks, "asteroid")
    asteroid = picks.get(label) or Pick(label, "asteroid", ())
    if picks.get(label) is not None and asteroid.role != "asteroid":
        label = free_label(picks, "asteroid")
        asteroid = Pick(label, "asteroid", ())
    others = tuple(a for a in asteroid.anchors if a.frame != anchor.frame)
    anchors = tuple(sorted((*others, anchor), key=lambda a: a.frame))
    return replace(_put(picks, replace(asteroid, anchors=anchors)), current=label)


def still_at(picks: Picks, x_ref_px: float, y_ref_px: float, reach_px: float = SAME_PX) -> Pick | None:
    """Give the source that stands still and is nearest to a place in the reference frame, within reach."""
    near = [
        (math.hypot(x - x_ref_px, y - y_ref_px), pick)
        for pick in picks.sources
        if pick.role != "asteroid"
        for x, y in [pick.place]
    ]
    return min((d, p) for d, p in near if d <= reach_px)[1] if any(d <= reach_px for d, _ in near) else None


def without(picks: Picks, label: str) -> Picks:
    """Take a source out."""
    left = tuple(pick for pick in picks.sources if pick.label != label)
    return replace(picks, sources=left, current=None if picks.current == label else picks.current)


def without_anchor(picks: Picks, label: str, frame: int) -> Picks:
    """Take an asteroid's anchor in a frame out, and the asteroid with its last one."""
    pick = picks.get(label)
    if pick is None:
        return picks
    anchors = tuple(a for a in pick.anchors if a.frame != frame)
    return _put(picks, replace(pick, anchors=anchors)) if anchors else without(picks, label)


def renamed(picks: Picks, label: str, name: str) -> Picks:
    """Give a source another name.

    Raises
    ------
    PhotdbError
        Another source has it.
    """
    name = name.strip()
    if not name or name == label:
        return picks
    for other in picks.sources:
        if other.label != label and other.label.casefold() == name.casefold():
            raise PhotdbError(f"there is a source {other.label} already")
    sources = tuple(replace(p, label=name) if p.label == label else p for p in picks.sources)
    return replace(picks, sources=sources, current=name if picks.current == label else picks.current)


def with_proposals(picks: Picks, proposals: Sequence[Anchor]) -> Picks:
    """Propose references, in place of those proposed before."""
    return replace(picks, proposals=tuple(proposals))


def accepted(picks: Picks, which: Sequence[Anchor]) -> Picks:
    """Make proposals references."""
    for anchor in which:
        if still_at(picks, anchor.x_ref_px, anchor.y_ref_px) is None:
            picks = _put(picks, Pick(free_label(picks, "reference"), "reference", (anchor,)))
    return replace(picks, proposals=tuple(a for a in picks.proposals if a not in which))


def dropped(picks: Picks, which: Sequence[Anchor]) -> Picks:
    """Drop proposals."""
    return replace(picks, proposals=tuple(a for a in picks.proposals if a not in which))


def free_label(picks: Picks, role: str) -> str:
    """Give the first of R1, R2, … that no source has."""
    taken = {pick.label.casefold() for pick in picks.sources}
    letter = LETTERS[role]
    return next(n for i in range(1, len(taken) + 2) if (n := f"{letter}{i}").casefold() not in taken)


def _put(picks: Picks, pick: Pick) -> Picks:
    if picks.get(pick.label) is None:
        return replace(picks, sources=(*picks.sources, pick))
    return replace(picks, sources=tuple(pick if p.label == pick.label else p for p in picks.sources))


@dataclass(frozen=True, slots=True)
class Change:
    """What is done about one source: without a role it is taken out; without anchors those it has stay."""

    label: str
    role: str | None = None
    anchors: tuple[Anchor, ...] = ()

    def arguments(self) -> list[str]:
        """Give it as `photdb select` takes it."""
        label = ["--", self.label] if self.label.startswith("-") else [self.label]
        if self.role is None:
            return ["remove", *label]
        # A position that was not snapped stays where it is; so do all others, as they were snapped already.
        is_free = any((a.x_px, a.y_px) == (a.x_given_px, a.y_given_px) for a in self.anchors)
        where = ["--no-snap"] if is_free else []
        for a in self.anchors:
            x, y = (a.x_px, a.y_px) if is_free else (a.x_given_px, a.y_given_px)
            where += ["--at", str(a.frame), repr(x), repr(y)]
        return [self.role, *where, *label] if label[0] == "--" else [self.role, *label, *where]


def changes(before: Picks, after: Picks) -> list[Change]:
    """Give what leads from one to the other, in an order in which it can be done.

    Raises
    ------
    PhotdbError
        An asteroid has one anchor only.
    """
    for pick in after.sources:
        if pick.role == "asteroid" and len(pick.anchors) < 2:
            raise PhotdbError(
                f"{pick.label} has a position in frame {pick.anchors[0].frame} only: select it in another one as well"
            )
    out = [Change(pick.label) for pick in before.sources if after.get(pick.label) is None]
    for pick in after.sources:
        old = before.get(pick.label)
        if old is None or old.anchors != pick.anchors:
            out.append(Change(pick.label, pick.role, pick.anchors))
        elif old.role != pick.role:
            out.append(Change(pick.label, pick.role))
    return out


Snap = Callable[[int, float, float], Anchor]
