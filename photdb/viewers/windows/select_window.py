"""The window of `photdb select`: sources are selected by the mouse, in any frame."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from photdb.viewers.windows import picks as p
from photdb.viewers.windows.doubts import doubts
from photdb.viewers.windows.field_view import SIGNS
from photdb.viewers.windows.frame_window import FrameWindow
from photdb.viewers.windows.magnifier import star_at
from photdb.viewers.windows.night import Night
from photdb.viewers.windows.parts import Key
from photdb.wording import count, numbers

if TYPE_CHECKING:
    from matplotlib.backend_bases import MouseEvent

#: How many references are proposed unless it is said.
_PROPOSED: Final = 7


class SelectWindow(FrameWindow[p.Picks]):
    """Select sources by the mouse, in any frame.

    Parameters
    ----------
    picks : Picks
        The sources that there are.
    night : Night
        Frames and what belongs to them.
    snap : callable
        Makes an anchor of a frame's number and a position in its pixels, on the star under it.
    propose : callable
        Gives references that are proposed beside the sources there are, at most so many.
    wanted : int
        How many references to propose when the window opens; 0: none.
    title, save
        As for `Window`.
    """

    def __init__(
        self,
        picks: p.Picks,
        night: Night,
        *,
        snap: p.Snap,
        propose: Callable[[p.Picks, int], Sequence[p.Anchor]],
        wanted: int = 0,
        title: str,
        save: Callable[[p.Picks], None] | None = None,
    ) -> None:
        super().__init__(picks, night, title=title, save=save)
        self._snap, self._propose, self._wanted = snap, propose, wanted

    def build(self) -> None:
        super().build()
        if self._wanted:
            self.state = p.with_proposals(self.state, self._propose(self.state, self._wanted))

    def show_marks(self) -> None:
        self.light(self.state.role.capitalize())
        self.view.show_sources(self.state, self.i)
        self.scrub.show(self.i, self._current())

    def lines(self) -> Sequence[str]:
        return list(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"Right click selects\n{SIGNS[self.state.role]} {self._next()}"
        yield ""
        for role in p.ROLES:
            those = [pick for pick in self.state.sources if pick.role == role]
            if role == "asteroid":
                for pick in those:
                    where = numbers([a.frame for a in pick.anchors], most=4)
                    yield f"{SIGNS[role]} {pick.label}: frame {where}"
            elif those:
                more = f" and {len(those) - 9} more" if len(those) > 9 else ""
                yield f"{SIGNS[role]} {' '.join(pick.label for pick in those[:9])}{more}"
        if self.state.proposals:
            yield f"○ {count(len(self.state.proposals), 'proposal')}: P accepts all, X drops all"

    def _next(self) -> str:
        """Say what the next right click selects."""
        role = self.state.role
        if role == "asteroid" and self.state.current is not None:
            return f"{role} {self.state.current} in frame {self.number}"
        return f"{role} {self._new_label()}"

    def _new_label(self) -> str:
        """Name a new source: the first target as the headers call what was observed."""
        name = self.night.object
        has_target = any(pick.role in ("asteroid", "variable") for pick in self.state.sources)
        if self.state.role in ("asteroid", "variable") and not has_target and name and self.state.get(name) is None:
            return name
        return p.free_label(self.state, self.state.role)

    def _current(self) -> p.Pick | None:
        return None if self.state.current is None else self.state.get(self.state.current)

    # --- selecting ----------------------------------------------------------------------------------------------------
    def mouse_help(self) -> Sequence[tuple[str, str]]:
        return (("right click", "select the star; an asteroid in two frames or more"), *super().mouse_help())

    def select(self, event: "MouseEvent") -> None:
        if event.inaxes is not self.view.axes:
            return
        x, y = self.night.to_frame(self.i, [(event.xdata, event.ydata)])[0].tolist()
        anchor = self._snap(self.number, round(x, 1), round(y, 1))
        picks = self.state
        proposal = self._proposal_at(anchor.x_ref_px, anchor.y_ref_px, p.SAME_PX)
        if proposal is not None and picks.role == "reference":
            after = p.accepted(picks, [proposal])
        else:
            is_new = picks.role != "asteroid" or picks.current is None
            after = p.at(picks, anchor, name=self._new_label() if is_new else None)
            after = after if proposal is None else p.dropped(after, [proposal])
        self.change(after)
        moving = self._current() if after.role == "asteroid" else None
        pick = moving or p.still_at(after, anchor.x_ref_px, anchor.y_ref_px)
        if pick is not None:
            self._say_selected(pick, anchor)

    def _say_selected(self, pick: p.Pick, anchor: p.Anchor) -> None:
        star = star_at(self.album.get(self.i).pixels, anchor.x_px, anchor.y_px, self.night.fwhm(self.i))
        against = doubts(self.night, self.state, pick, star.peak_adu)
        where = f"{pick.role} {pick.label} at ({anchor.x_px:.2f}, {anchor.y_px:.2f})"
        if against:
            self.say(f"{where}: {'; '.join(against)}", warn=True)
        elif pick.role == "asteroid" and len(pick.anchors) == 1:
            self.say(f"{where}. Now go to a frame far from this one and click it there.")
        else:
            self.say(f"{where}.")

    def _under_mouse(self) -> p.Pick | None:
        if self.mouse is None:
            return None
        reach = max(8.0 * self.view.scale, 4.0)
        for pick in self.state.sources:
            here = pick.anchor_in(self.number) if pick.role == "asteroid" else None
            if here and np.hypot(here.x_ref_px - self.mouse[0], here.y_ref_px - self.mouse[1]) < reach:
                return pick
        return p.still_at(self.state, *self.mouse, reach_px=reach)

    def _proposal_at(self, x: float, y: float, reach: float) -> p.Anchor | None:
        near = [a for a in self.state.proposals if np.hypot(a.x_ref_px - x, a.y_ref_px - y) < reach]
        return near[0] if near else None

    # --- keys and buttons ---------------------------------------------------------------------------------------------
    def keys(self) -> Sequence[Key]:
        text = "right clicks select asteroid, variable, reference, check star"
        roles = [Key((role[0],), text if role == p.ROLES[0] else "", self._role(role), "a v r c") for role in p.ROLES]
        return (
            *roles,
            Key(("n",), "name the source under the mouse, or the asteroid", self._rename),
            Key(("d", "delete"), "take out the source, position or proposal under the mouse", self._drop),
            Key(("p",), "propose references", self._ask_proposals),
            Key(("P",), "accept or drop all proposals", self._accept_all, "P X"),
            Key(("X",), "", lambda: self.change(p.dropped(self.state, self.state.proposals))),
            *super().keys(),
        )

    def buttons(self) -> Sequence[tuple[str, Callable[[], None]]]:
        return tuple((role.capitalize(), self._role(role)) for role in p.ROLES)

    def _role(self, role: str) -> Callable[[], None]:
        def take() -> None:
            self.state = p.with_role(self.state, role)  # no decision: nothing to undo
            self.say(f"Right click selects {self._next()}.")
            self.refresh()

        return take

    def _drop(self) -> None:
        proposal = self._proposal_at(*self.mouse, 8.0 * self.view.scale) if self.mouse else None
        pick = self._under_mouse()
        if proposal:
            self.change(p.dropped(self.state, [proposal]))
        elif pick is None:
            self.say("No source is under the mouse in this frame.")
        elif pick.role == "asteroid":
            self.change(p.without_anchor(self.state, pick.label, self.number))
            self.say(f"{pick.label}: its position in frame {self.number} is taken out.")
        else:
            self.change(p.without(self.state, pick.label))
            self.say(f"{pick.label} is taken out.")

    def _rename(self) -> None:
        pick = self._under_mouse() or self._current()
        if pick is None:
            self.say("No source is under the mouse.")
            return
        label = pick.label
        self.ask(f"Name of {label}", label, lambda name: self.change(p.renamed(self.state, label, name)))

    def _accept_all(self) -> None:
        self.change(p.accepted(self.state, self.state.proposals))

    def _ask_proposals(self) -> None:
        found = self._propose(self.state, self._wanted or _PROPOSED)
        self.state = p.with_role(self.state, "reference")
        self.change(p.with_proposals(self.state, found))
        if found:
            self.say("Right click on a proposal accepts it, P all; d drops the one under the mouse, X all.")
        else:
            self.say("No more stars are bright, unsaturated, isolated, in the field all night and off the tracks.")
