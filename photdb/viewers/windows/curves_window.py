"""A window that shows curves along the frames of a night, with a picture of one frame beside them."""

import contextlib
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.errors import PhotdbError
from photdb.viewers.windows import choices as c
from photdb.viewers.windows.frame_image import FrameImage
from photdb.viewers.windows.night import Album
from photdb.viewers.windows.parts import NARROW, Key
from photdb.viewers.windows.quick_text import QuickText
from photdb.viewers.windows.window import Drag, Window
from photdb.wording import count, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import MouseEvent

#: How near the mouse must be to what it takes hold of, hundredths of an inch.
REACH: Final = 9.0
REJECT: Final = "#C00000"
_EXCLUDED: Final = "#F0A000"
_REGION: Final = "#2ECC71"


class CurvesWindow(Window[c.Choices]):
    """Curves over frame numbers, a frame, and a list. Subclasses draw the curves, and say what is rejected by what.

    Parameters
    ----------
    choices : Choices
        What is decided so far.
    facts : Facts
        The frames.
    read : callable
        Gives the pixels of a frame by its place.
    title, save
        As for `Window`.
    """

    #: Heights of the panels, in parts.
    heights: Sequence[float] = (1.0,)
    #: Room to the right of the panels, hundredths of an inch.
    margin = 12.0

    def __init__(
        self,
        choices: c.Choices,
        facts: c.Facts,
        read: Callable[[int], NDArray[Any]],
        *,
        title: str,
        save: Callable[[c.Choices], None] | None = None,
    ) -> None:
        super().__init__(choices, title=title, save=save)
        self.facts, self.album = facts, Album(read)
        usable = np.flatnonzero(facts.usable)
        self.i = int(usable[0]) if usable.size else 0
        self._problem = ""  # why the frame cannot be shown

    # --- what subclasses say ------------------------------------------------------------------------------------------
    def draw(self) -> None:
        """Draw the curves into `panels`, anew where they were drawn before."""

    def show(self) -> None:
        """Bring the curves in line with the state."""

    def near(self, event: "MouseEvent") -> int | None:
        """Give the place of the frame whose point is under the mouse; None where there is no point."""
        return self.at_column(event)

    def is_out(self, i: int, event: "MouseEvent | None" = None) -> bool:
        """Tell whether a frame is left out, so that a click on its point takes it back."""
        return not bool(self.facts.left(self.state)[i])

    def leave_out(self, frames: Sequence[int], event: "MouseEvent | None" = None) -> c.Choices:
        """Give the choices without frames, by their numbers."""
        return c.rejected(self.state, frames)

    def take_back(self, frames: Sequence[int], event: "MouseEvent | None" = None) -> c.Choices:
        """Give the choices with frames again."""
        return c.taken_back(self.state, frames, self.facts, self._initial)

    def lines(self) -> Sequence[str]:
        """Give the list beside the curves."""
        return ()

    # --- what is in it ------------------------------------------------------------------------------------------------
    def build(self) -> None:
        from matplotlib.collections import LineCollection
        from matplotlib.lines import Line2D
        from matplotlib.patches import Rectangle

        figure = self.figure
        self.panels: list[Axes] = []
        for _ in self.heights:
            first = self.panels[0] if self.panels else None
            self.panels.append(figure.add_axes((0, 0, 1, 1), sharex=first))
        for panel in self.panels[:-1]:
            panel.tick_params(labelbottom=False)
        self.draw()
        n = self.facts.number
        edge = max(1.0, 0.015 * np.ptp(n)) if n.size else 1.0
        self._whole_x = (n.min(initial=0) - edge, n.max(initial=1) + edge)
        self.panels[0].set_xlim(*self._whole_x)
        self.whole_numbers()
        self._aspect = 0.8  # of frames, height over width
        with contextlib.suppress(PhotdbError):  # said when it is to be shown
            tall, wide = self.album.get(self.i).pixels.shape
            self._aspect = min(max(tall / wide, 0.3), 1.5)
        self.picture = figure.add_axes((0, 0, 1, 1))
        self.picture.set_axis_off()
        self.image = FrameImage(self.picture)
        self._regions = LineCollection([], linewidths=1.5)
        self.picture.add_collection(self._regions, autolim=False)
        self._head, self._list = QuickText(figure, top=True), QuickText(figure, top=True)
        self.curve_layer = self.layer()
        self._side_layer = self.layer(self.image, self._regions, self._head, self._list)
        self._here = [Line2D([], [], color="#444444", lw=1.0, alpha=0.8) for _ in self.panels]
        self._span = Rectangle((0, 0), 1, 1, transform=None, fc=REJECT, ec=REJECT, alpha=0.25, visible=False)
        self._live = QuickText(figure, size=10.0, color=REJECT, outline="white")
        for artist in (*self._here, self._span):
            figure.add_artist(artist)
        for line, panel in zip(self._here, self.panels, strict=True):
            line.set_transform(panel.get_xaxis_transform())
            line.set_clip_path(panel.patch)
        self.mark_layer = self.layer(*self._here, self._span, self._live)

    def whole_numbers(self) -> None:
        """Have whole frames below the curves."""
        from matplotlib.ticker import MaxNLocator

        self.panels[0].xaxis.set_major_locator(MaxNLocator(9, integer=True))

    def place(self, width: float, height: float) -> None:
        left, low = 98.0, self.bar + 42
        if width < NARROW:
            wide = min(0.55 * width, 0.34 * (height - self.bar) / self._aspect)
            tall = wide * self._aspect
            low += tall + 50
            right = width - self.margin - 4
            box = (6.0, self.bar + 44, wide, tall)
            texts = (6.0, self.bar + 40), (wide + 14, self.bar + 44 + tall)
        else:
            panel = 0.31 * width
            right = width - panel - self.margin
            wide = min(panel - 12, 0.5 * (height - self.bar) / self._aspect)
            tall = wide * self._aspect
            box = (width - panel, height - tall - 12, wide, tall)
            texts = (width - panel, height - tall - 18), (width - panel, height - tall - 66)
        total, gap = height - low - 50, 8.0
        unit = (total - gap * (len(self.heights) - 1)) / sum(self.heights)
        top = low + total
        for axes, part in zip(self.panels, self.heights, strict=True):
            self.put(axes, left, top - unit * part, right - left, unit * part)
            top -= unit * part + gap
        self.put(self.picture, *box)
        for text, (x, y) in zip((self._head, self._list), texts, strict=True):
            text.x, text.y = x * self.unit, y * self.unit

    def refresh(self) -> None:
        self.show()
        self._look()
        self.redraw(self.curve_layer)

    @property
    def number(self) -> int:
        """The number of the frame that is shown."""
        return int(self.facts.number[self.i])

    def _look(self) -> None:
        """Show the frame, and what is said about it and the rest."""
        try:
            shot = self.album.get(self.i) if self.facts.usable[self.i] else None
            self._problem = "" if shot is not None else "cannot be used"
        except PhotdbError as error:
            shot, self._problem = None, str(error)
        self.image.shot = shot
        if shot is not None:
            self.frame_height, self.frame_width = shot.pixels.shape
            box = self.picture.bbox
            scale = max(self.frame_width / box.width, self.frame_height / box.height)
            # In the upper left corner of its room.
            self.picture.set_xlim(-0.5, box.width * scale - 0.5)
            self.picture.set_ylim(self.frame_height - 0.5 - box.height * scale, self.frame_height - 0.5)
        state = "left out" if self.is_out(self.i) else "accepted"
        self._head.text = f"frame {self.number}, {self._problem or state}\n{self.about(self.i)}"
        room = max(16, int((self.extent[0] - self._list.x / self.unit) / 6.6))
        wrapped = [textwrap.wrap(line, room, subsequent_indent="   ") or [""] for line in self.lines()]
        self._list.text = "\n".join(part for parts in wrapped for part in parts)
        boxes = [(box, _EXCLUDED) for box in self.state.exclude]
        boxes += [(self.state.region, _REGION)] if self.state.region else []
        self._regions.set_segments([c.outline(box) for box, _ in boxes])
        self._regions.set_color([color for _, color in boxes])
        for line in self._here:
            line.set_data([self.number] * 2, [0, 1])
        self.redraw(self._side_layer)

    def about(self, i: int) -> str:
        """Give a line about a frame."""
        jd = self.facts.jd_utc_mid[i]
        return f"JD {jd:.5f}" if np.isfinite(jd) else "no time"

    # --- the mouse ----------------------------------------------------------------------------------------------------
    def mouse_help(self) -> Sequence[tuple[str, str]]:
        return (
            ("left drag", "over curves: reject these frames"),
            ("left click", "show the frame; a rejected point is taken back"),
            ("right click", "reject the frame, or take it back"),
            ("wheel", "zoom along the frames"),
        )

    def at_column(self, event: "MouseEvent") -> int | None:
        """Give the place of the frame that is nearest to a column."""
        if event.xdata is None or not self.facts.number.size:
            return None
        return int(np.abs(self.facts.number - event.xdata).argmin())

    def point_at(self, axes: "Axes", event: "MouseEvent", x: Any, y: Any) -> int | None:
        """Give the place in x, y of the point that is under the mouse."""
        xy = axes.transData.transform(np.column_stack([x, y]).astype(float))
        far = np.hypot(xy[:, 0] - event.x, xy[:, 1] - event.y)
        far[~np.isfinite(far)] = np.inf
        best = int(far.argmin()) if far.size else 0
        return best if far.size and far[best] <= REACH * self.unit else None

    def go_to(self, i: int) -> None:
        """Show another frame, by its place."""
        if i != self.i:
            self.i = i
            self._look()

    def click(self, event: "MouseEvent") -> None:
        if event.inaxes is self.picture:
            self.click_frame(float(event.xdata or 0), float(event.ydata or 0))
        elif event.inaxes in self.panels:
            i = self.near(event)
            column = i if i is not None else self.at_column(event)
            if column is None:
                return
            self.go_to(column)
            if i is not None and self.facts.usable[i] and self.is_out(i, event):
                self._toggle(i, event)

    def click_frame(self, x: float, y: float) -> None:
        """Do what a click on the frame does."""

    def select(self, event: "MouseEvent") -> None:
        if event.inaxes in self.panels:
            i = self.near(event)
            i = self.at_column(event) if i is None else i
            if i is not None:
                self.go_to(i)
                self._toggle(i, event)

    def _toggle(self, i: int, event: "MouseEvent | None" = None) -> None:
        number = int(self.facts.number[i])
        if not self.facts.usable[i]:
            raise PhotdbError(f"frame {number} cannot be used, so it is neither rejected nor taken back")
        if self.is_out(i, event):
            self.change(self.take_back([number], event))
            self.say(f"Frame {number} is taken back.")
        else:
            self.change(self.leave_out([number], event))
            self.say(f"Frame {number} is rejected; a click on its point takes it back.")

    def grab(self, event: "MouseEvent") -> Drag | None:
        if event.inaxes not in self.panels or event.xdata is None:
            return None
        start, pressed, axes = float(event.xdata), event, self.panels[0]

        def drag(event: "MouseEvent") -> None:
            x = float(axes.transData.inverted().transform((event.x, 0))[0])
            low, high = sorted((start, x))
            inside = self.facts.number[(self.facts.number >= low) & (self.facts.number <= high)].tolist()
            box = axes.bbox
            left, right = np.clip([min(pressed.x, event.x), max(pressed.x, event.x)], box.x0, box.x1)
            self._span.set_bounds(left, self.panels[-1].bbox.y0, right - left, box.y1 - self.panels[-1].bbox.y0)
            self._span.set_visible(event.name != "button_release_event")
            what = f"reject frame {numbers(inside)}" if inside else "no frame"
            self.show_live(what if self._span.get_visible() else "", event)
            if not self._span.get_visible() and inside:
                self.change(self.leave_out(inside, pressed))
                self.say(f"{count(len(inside), 'frame')} rejected: {numbers(inside)}.")

        return drag

    def show_live(self, text: str, event: "MouseEvent") -> None:
        """Show a text beside the mouse, or none."""
        self._live.text = text
        room = float(self.figure.bbox.width) - 7.5 * len(text) * self.unit
        self._live.x, self._live.y = min(event.x + 12 * self.unit, room), event.y + 14 * self.unit
        self.redraw(self.mark_layer)

    def scroll(self, event: "MouseEvent") -> None:
        if event.inaxes not in self.panels or event.xdata is None:
            return
        low, high = self.panels[0].get_xlim()
        factor = 0.75**event.step
        low, high = event.xdata - (event.xdata - low) * factor, event.xdata + (high - event.xdata) * factor
        low, high = max(low, self._whole_x[0]), min(high, self._whole_x[1])
        if high - low > 4:
            self._zoom(low, high)

    def _zoom(self, low: float, high: float) -> None:
        self.panels[0].set_xlim(low, high)
        self.redraw()

    # --- keys ---------------------------------------------------------------------------------------------------------
    def keys(self) -> Sequence[Key]:
        return (
            Key(("left",), "a frame back or on; ↓ ↑: fifty frames", lambda: self._step(-1), "← →"),
            Key(("right",), "", lambda: self._step(1)),
            Key(("down", "pageup"), "", lambda: self._step(-50)),
            Key(("up", "pagedown"), "", lambda: self._step(50)),
            Key(("x", "delete"), "reject the frame that is shown, or take it back", lambda: self._toggle(self.i)),
            Key(("f",), "type frames to reject, such as 283-310", self._ask_frames),
            Key(("g",), "go to a frame by its number", self._ask_frame),
            Key(("w", "0"), "all frames, after zooming", lambda: self._zoom(*self._whole_x)),
            Key(("s",), "stretch of the frame: zscale or asinh", self._swap_stretch),
            Key(("i",), "invert black and white", self._invert),
        )

    def _step(self, n: int) -> None:
        self.go_to(int(np.clip(self.i + n, 0, self.facts.number.size - 1)))

    def _ask_frame(self) -> None:
        self.ask("Frame", "", lambda text: self.go_to(self.facts.place(c.typed_frames(text, self.facts)[0])))

    def _ask_frames(self) -> None:
        def reject(text: str) -> None:
            if text.strip():
                self.change(self.leave_out(c.typed_frames(text, self.facts)))

        self.ask("Reject frames", "", reject)

    def _swap_stretch(self) -> None:
        now = self.image.stretch
        self.image.stretch = replace(now, kind="linear" if now.kind == "asinh" else "asinh")
        self._look()

    def _invert(self) -> None:
        self.image.stretch = replace(self.image.stretch, inverted=not self.image.stretch.inverted)
        self._look()
