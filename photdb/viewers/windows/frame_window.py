"""A window that shows frames: any of the night's, shift-corrected, with the star under the mouse beside it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from photdb.errors import PhotdbError
from photdb.viewers.windows.field_view import FieldView
from photdb.viewers.windows.magnifier import Magnifier, star_at
from photdb.viewers.windows.night import Album, Night
from photdb.viewers.windows.parts import NARROW, Key
from photdb.viewers.windows.quick_text import QuickText
from photdb.viewers.windows.scrub import ScrubBar
from photdb.viewers.windows.window import Drag, State, Window
from photdb.wording import numbers

if TYPE_CHECKING:
    from matplotlib.backend_bases import MouseEvent

_PANEL: Final = 300.0
_SCRUB: Final = 34.0
_BLINK_MS: Final = 400


class FrameWindow(Window[State]):
    """A frame, the bar of all frames, the star under the mouse, and a list. Subclasses draw marks and do the rest.

    Parameters
    ----------
    state, title, save
        As for `Window`.
    night : Night
        Frames and what belongs to them.

    Attributes
    ----------
    i : int
        Place of the frame that is shown.
    mouse : (float, float) or None
        Where the mouse is, pixels of the reference frame.
    """

    def __init__(self, state: State, night: Night, **rest: Any) -> None:
        super().__init__(state, **rest)
        self.night, self.album = night, Album(night.read)
        self.i = night.reference
        self.mouse: tuple[float, float] | None = None
        self._marked = night.reference  # the frame to blink with
        self._timer: Any = None

    # --- what subclasses say ------------------------------------------------------------------------------------------
    def show_marks(self) -> None:
        """Bring the marks on the frame and on the bar in line with the state."""

    def lines(self) -> Sequence[str]:
        """Give the list beside the frame."""
        return ()

    # --- what is in it ------------------------------------------------------------------------------------------------
    def build(self) -> None:
        figure, night = self.figure, self.night
        self.view = FieldView(figure.add_axes((0, 0, 1, 1)), night)
        self.scrub = ScrubBar(figure.add_axes((0, 0, 1, 1)), night)
        self._cut, self._profile = figure.add_axes((0, 0, 1, 1)), figure.add_axes((0, 0, 1, 1))
        self._magnifier = Magnifier(self._cut, self._profile, night.apertures)
        self._head, self._read_out = QuickText(figure, top=True, mono=True), QuickText(figure, top=True, mono=True)
        self._list = QuickText(figure, top=True)
        self._text_layer = self.layer(*self.scrub.artists, self._head, self._list)
        self._view_layer = self.layer(*self.view.artists)
        self._hover_layer = self.layer(*self.view.cross, *self._magnifier.artists, self._read_out)

    def place(self, width: float, height: float) -> None:
        low = self.bar + _SCRUB
        if width < NARROW:  # the frame, below it the cut-out beside the profile, and texts
            half, tall = width / 2, 0.46 * (height - low)
            side = min(half - 12, tall - 128)
            top = low + tall - 6
            self.put(self.view.axes, 0, low + tall, width, height - low - tall)
            self.put(self._cut, half - side - 6, top - side, side, side)
            self.put(self._profile, half + 42, top - side + 26, half - 50, side - 26)
            below = top - side - 8
            texts = (6.0, below), (6.0, below - 54), (half + 10, below)
            span = width
        else:
            panel = min(_PANEL, 0.34 * width)
            left, top = width - panel, height - 64
            tall = min(130.0, 0.16 * height)
            side = min(panel - 12, max(80.0, height - self.bar - tall - 310))
            below = top - side - 8 - tall
            self.put(self.view.axes, 0, low, left - 8, height - low)
            self.put(self._cut, left, top - side, side, side)
            self.put(self._profile, left + 44, below, panel - 56, tall)
            texts = (left, height - 6), (left, below - 34), (left, below - 92)
            span = left
        self.put(self.scrub.axes, 12, self.bar + 14, span - 32, _SCRUB - 18)
        for text, (x, y) in zip((self._head, self._read_out, self._list), texts, strict=True):
            text.x, text.y = x * self.unit, y * self.unit
        self.view.fit_axes()

    def refresh(self) -> None:
        self.view.show_frame(self.album.get(self.i), self.night.affine(self.i))
        self._head.text = self._about_frame()
        self.show_marks()
        self._list.text = "\n".join(self.lines())
        self._look()
        self.redraw(self._text_layer)

    @property
    def number(self) -> int:
        """The number of the frame that is shown."""
        return int(self.night.frames.number[self.i])

    def _about_frame(self) -> str:
        night, i = self.night, self.i
        what = " (reference)" if i == night.reference else ""
        state = "" if night.frames.accepted[i] else ", rejected"
        jd = night.frames.jd_utc_mid[i]
        day = f"JD {jd:.5f}" if np.isfinite(jd) else "no time"
        return f"frame {self.number}{what}{state}\n{day}\nFWHM {night.fwhm(i):.1f} px   {self.view.image.stretch}"

    # --- the mouse ----------------------------------------------------------------------------------------------------
    def mouse_help(self) -> Sequence[tuple[str, str]]:
        return (
            ("left drag", "move the frame; on the bar below it, go through the frames"),
            ("wheel", "zoom; on the bar, one frame on or back"),
        )

    def hover(self, event: "MouseEvent") -> None:
        if event.inaxes is not self.view.axes or event.xdata is None or event.ydata is None:
            self.leave()
            return
        self.mouse = (float(event.xdata), float(event.ydata))
        self._look()
        self.redraw(self._hover_layer)

    def leave(self) -> None:
        if self.mouse is not None:
            self.mouse = None
            self._look()
            self.redraw(self._hover_layer)

    def _look(self) -> None:
        """Show what is under the mouse; the last star stays when the mouse has gone."""
        self.view.show_cross(self.mouse)
        if self.mouse is None:
            return
        shot = self.album.get(self.i)
        x, y = self.night.to_frame(self.i, [self.mouse])[0].tolist()
        star = star_at(shot.pixels, x, y, self.night.fwhm(self.i))
        self._magnifier.show(shot, star, x, y, self.view.image.stretch)
        h, w = shot.pixels.shape
        inside = -0.5 <= x < w - 0.5 and -0.5 <= y < h - 0.5
        level = f"{shot.pixels[round(y), round(x)]:.0f} ADU" if inside else "off the frame"
        lines = [f"x {x:7.1f}   y {y:7.1f}   {level}"]
        if star.is_there:
            full = self.night.saturation_adu
            over = "  SATURATED" if full is not None and star.peak_adu >= full else ""
            lines.append(f"x {star.x_px:8.2f}  y {star.y_px:8.2f}  star")
            lines.append(f"FWHM {star.fwhm_px:.2f} px  peak {star.peak_adu:.0f} ADU{over}")
        else:
            lines.append("no star here")
        self._read_out.text = "\n".join(lines)

    def grab(self, event: "MouseEvent") -> Drag | None:
        if event.inaxes is self.scrub.axes:
            self._scrub(event)
            return self._scrub
        if event.inaxes is not self.view.axes:
            return None
        move = self.view.grab(event.x, event.y)

        def drag(event: "MouseEvent") -> None:
            move(event.x, event.y)
            self._view_moved()

        return drag

    def _scrub(self, event: "MouseEvent") -> None:
        self.go_to(self.scrub.frame_at(event.x))

    def scroll(self, event: "MouseEvent") -> None:
        if event.inaxes is self.view.axes:
            self.view.zoom(0.8**event.step, event.xdata, event.ydata)
            self._view_moved()
        elif event.inaxes is self.scrub.axes:
            self._step(-int(event.step))

    def _view_moved(self) -> None:
        self.show_marks()
        self.redraw(self._view_layer)

    # --- keys ---------------------------------------------------------------------------------------------------------
    def keys(self) -> Sequence[Key]:
        return (
            Key(("left",), "a frame back or on; ↓ ↑: fifty frames", lambda: self._step(-1), "← →"),
            Key(("right",), "", lambda: self._step(1)),
            Key(("down", "pageup"), "", lambda: self._step(-50)),
            Key(("up", "pagedown"), "", lambda: self._step(50)),
            Key(("home",), "the first or the last accepted frame", lambda: self._go_to_end(0), "Home, End"),
            Key(("end",), "", lambda: self._go_to_end(-1)),
            Key(("g",), "go to a frame by its number", self._ask_frame),
            Key(("m",), "mark this frame, to blink with", self._mark),
            Key(("b",), "blink between this frame and the marked one", self._blink),
            Key(("w", "0"), "the whole frame", self._whole),
            Key(("s",), "stretch: zscale or asinh", self._swap_stretch),
            Key(("i",), "invert black and white", self._invert),
            Key(("+", "="), "more or less contrast", lambda: self._stretch(contrast=1.3), "+ −"),
            Key(("-",), "", lambda: self._stretch(contrast=1 / 1.3)),
            Key((".",), "brighter or darker", lambda: self._stretch(brightness=0.1), ". ,"),
            Key((",",), "", lambda: self._stretch(brightness=-0.1)),
        )

    def go_to(self, i: int) -> None:
        """Show another frame, by its place."""
        if i != self.i:
            self.album.get(i)  # before anything changes: it may be unreadable
            self.i = i
            self.refresh()

    def _go_to_end(self, end: int) -> None:
        used = np.flatnonzero(self.night.used)
        used = used if used.size else np.flatnonzero(self.night.has_shift)
        self.go_to(int(used[end]))

    def _step(self, n: int) -> None:
        """Go so many frames on, of those that have a shift."""
        shown = np.flatnonzero(self.night.has_shift)
        at = int(np.searchsorted(shown, self.i))
        self.go_to(int(shown[np.clip(at + n, 0, shown.size - 1)]))

    def _ask_frame(self) -> None:
        def go(text: str) -> None:
            known = self.night.frames.number.tolist()
            if not text.isdecimal() or int(text) not in known:
                raise PhotdbError(f"there is no frame {text}: they are {numbers(known)}")
            i = self.night.place(int(text))
            if not self.night.has_shift[i]:
                raise PhotdbError(f"frame {text} has no shift, so it cannot be shown in its place")
            self.go_to(i)

        self.ask("Frame", "", go)

    def _mark(self) -> None:
        self._marked = self.i
        self.say(f"b blinks between frame {self.number} and the one shown.")

    def _blink(self) -> None:
        if self._timer is not None:
            self.closed()
            self.say("")
        elif self._marked == self.i:
            self.say("Mark a frame with m and go to another: b blinks between them.")
        else:
            pair = [int(self.night.frames.number[i]) for i in (self.i, self._marked)]
            self.say(f"Blinking between frames {pair[0]} and {pair[1]}; b stops.")
            self._timer = self.figure.canvas.new_timer(interval=_BLINK_MS)
            self._timer.add_callback(self._swap)
            self._timer.start()

    def _swap(self) -> None:
        i, self._marked = self._marked, self.i
        self.go_to(i)
        self.flush()

    def closed(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _whole(self) -> None:
        self.view.whole()
        self._view_moved()

    def _stretch(self, contrast: float = 1.0, brightness: float = 0.0) -> None:
        self.view.image.stretch = self.view.image.stretch.more(contrast, brightness)
        self.refresh()

    def _swap_stretch(self) -> None:
        now = self.view.image.stretch
        self.view.image.stretch = replace(now, kind="linear" if now.kind == "asinh" else "asinh")
        self.refresh()

    def _invert(self) -> None:
        now = self.view.image.stretch
        self.view.image.stretch = replace(now, inverted=not now.inverted)
        self.refresh()
