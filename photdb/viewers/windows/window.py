"""What all windows share: buttons, keys, gestures, undo, a line of text, and layers that are redrawn by themselves.

A window shows a state, a plain value that is never changed but replaced (`change`), so that undo is a stack of values.
It is drawn in layers: the figure itself (axes, buttons) is drawn when its size changes, and kept as pixels; on top of
it come the window's own layers, each drawn again only when it, or one below, is out of date. That makes a window
follow the mouse in every backend, with or without one that knows blitting.
"""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from photdb.errors import PhotdbError
from photdb.viewers.windows.layers import Layers
from photdb.viewers.windows.parts import LINE, NARROW, TEXT, WARNING, Button, HelpPage, Key, place_buttons
from photdb.viewers.windows.quick_text import QuickText

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.backend_bases import CloseEvent, Event, KeyEvent, LocationEvent, MouseEvent, ResizeEvent
    from matplotlib.figure import Figure

State = TypeVar("State")
Drag = Callable[["MouseEvent"], None]

#: How far the mouse may move between press and release and it still is a click, in hundredths of an inch.
_CLICK: Final = 4.0


class Window(Generic[State]):
    """A window on a state. Subclasses say what is in it, and what mouse and keys do.

    Parameters
    ----------
    state : State
        What it shows at first: a plain value that is compared with ==.
    title : str
        Of the window, and of the page in a browser.
    save : callable, optional
        Takes the state when the user saves. A `PhotdbError` that it raises is shown, and the window stays open.

    Attributes
    ----------
    state : State
        What is shown now; replaced by `change` only.
    saved : State or None
        The state that was saved; None while it was not, and when the window was closed otherwise.
    figure, layers : Figure, Layers
        There from `start` on.
    """

    #: Of the figure, inches.
    size: tuple[float, float] = (12.8, 8.0)

    def __init__(self, state: State, *, title: str, save: Callable[[State], None] | None = None) -> None:
        self.state, self.title = state, title
        self.saved: State | None = None
        self.failure: BaseException | None = None
        self.figure: Figure
        self.layers: Layers
        self.bar = 0.0  # its height, hundredths of an inch
        self._initial, self._past = state, list[State]()
        self._save = save
        self._end: Callable[[], None] = lambda: None
        self._is_over = False
        self._press: MouseEvent | None = None
        self._drag: Drag | None = None
        self._dragging = False
        self._asking: tuple[str, str, Callable[[str], None]] | None = None

    # --- what subclasses say ------------------------------------------------------------------------------------------
    def build(self) -> None:
        """Make the axes, and the layers with `layer`."""

    def place(self, width: float, height: float) -> None:
        """Place the axes with `put` in a figure of this size, in hundredths of an inch, above the bar, `bar` high."""

    def refresh(self) -> None:
        """Bring what is drawn in line with the state: set data and texts, then `redraw` the layers that changed."""

    def keys(self) -> Sequence[Key]:
        """Give the keys of this window, in the order of its help."""
        return ()

    def buttons(self) -> Sequence[tuple[str, Callable[[], None]]]:
        """Give the buttons to the left of Undo."""
        return ()

    def mouse_help(self) -> Sequence[tuple[str, str]]:
        """Give what the mouse does, for the help: pairs of gesture and meaning."""
        return ()

    def select(self, event: "MouseEvent") -> None:
        """Do what a right click does."""

    def click(self, event: "MouseEvent") -> None:
        """Do what a left click does that is no drag."""

    def grab(self, event: "MouseEvent") -> Drag | None:
        """Give what is called with each motion of a left drag that begins here, and with its release."""
        return None

    def hover(self, event: "MouseEvent") -> None:
        """Follow the mouse; `event.inaxes` is None where it is over no axes."""

    def leave(self) -> None:
        """Do what is due when the mouse has left the window."""

    def scroll(self, event: "MouseEvent") -> None:
        """Turn the wheel, by `event.step`."""

    def closed(self) -> None:
        """Give back what was held, such as timers."""

    # --- what subclasses use ------------------------------------------------------------------------------------------
    def layer(self, *artists: "Artist") -> int:
        """Put artists into a new layer on top of the others; gives its number. In `build` only."""
        return self.layers.new(*artists)

    def redraw(self, layer: int = -1) -> None:
        """Have this layer, and those above it, drawn again when the event is dealt with; −1: the whole figure."""
        self.layers.redraw(layer)

    def flush(self) -> None:
        """Draw what is out of date: for timers, as it is done after each event."""
        self.layers.flush()

    def put(self, axes: Any, left: float, bottom: float, width: float, height: float) -> None:
        """Place axes, in hundredths of an inch from the lower left corner."""
        w, h = self.extent
        axes.set_position((left / w, bottom / h, max(width, 1.0) / w, max(height, 1.0) / h))

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height of the figure in hundredths of an inch."""
        width, height = self.figure.get_size_inches()
        return 100.0 * float(width), 100.0 * float(height)

    @property
    def unit(self) -> float:
        """A hundredth of an inch in pixels of the canvas."""
        return float(self.figure.dpi) / 100.0

    def change(self, state: State) -> None:
        """Replace the state; the one before can be brought back by undo."""
        if state != self.state:
            self._past.append(self.state)
            self.state = state
            self.refresh()

    def undo(self) -> None:
        """Bring back the state before the last change."""
        if not self._past:
            self.say("There is nothing to undo.")
            return
        self.state = self._past.pop()
        self.say("Undone.")
        self.refresh()

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to save."""
        return self.state != self._initial

    def say(self, text: str, *, warn: bool = False) -> None:
        """Show a line of text in the bar."""
        self._said = text
        width, _ = self.extent
        lines = textwrap.wrap(text, max(20, int(width / 6.6)), max_lines=2 if width < NARROW else 1, placeholder=" …")
        self._line.text, self._line.color = "\n".join(lines), WARNING if warn else TEXT
        self.redraw(self._bar_layer)

    def light(self, *texts: str) -> None:
        """Show which of the buttons to the left of Undo are in force."""
        own = self._buttons[: len(self._buttons) - self._n_common]
        if any([button.light(button.text in texts) for button in own]):
            self.redraw()

    def ask(self, prompt: str, text: str, then: Callable[[str], None]) -> None:
        """Have a text typed in the bar; Enter gives it to `then`, Escape to nobody."""
        self._asking = (prompt, text, then)
        self.say(f"{prompt}: {text}▏")

    def save(self) -> None:
        """Save and close; what speaks against it is shown, and the window stays."""
        if self._save is not None:
            self._save(self.state)
        self.saved = self.state
        self._close()

    def cancel(self) -> None:
        """Close without saving."""
        self._close()

    # --- the life of a window -----------------------------------------------------------------------------------------
    def start(self, figure: "Figure", close: Callable[[], None]) -> None:
        """Fill a figure that has its canvas; `close` ends the window. Called once, by `screen.show`."""
        self.figure, self.layers, self._end = figure, Layers(figure), close
        figure.set_facecolor("#F4F4F4")
        figure.set_layout_engine("none")
        common = (("Undo", self.undo), ("Help", self._toggle_help), ("Cancel", self.cancel), ("Save", self.save))
        self._n_common = len(common)
        self._buttons = [Button(figure, text, action) for text, action in (*self.buttons(), *common)]
        self._line, self._said = QuickText(figure, top=True), "h shows what mouse and keys do."
        self._bar_layer = self.layer(self._line)
        self.build()
        self._keys = (*self.keys(), *self._common_keys())
        self._by_name = {name: key.action for key in self._keys for name in key.names}
        rows = [("", "Mouse"), *self.mouse_help(), ("", "Keys")]
        rows += [(key.in_help(), key.text) for key in self._keys if key.text]
        self._help = HelpPage(figure, rows)
        self.layers.add(self.layers.top, self._help)  # over everything
        self._place()
        self.refresh()
        connect: Any = figure.canvas.mpl_connect
        connect("button_press_event", self._guarded(self._pressed))
        connect("button_release_event", self._guarded(self._released))
        connect("motion_notify_event", self._guarded(self._moved))
        connect("scroll_event", self._guarded(self.scroll))
        connect("key_press_event", self._guarded(self._typed))
        connect("figure_leave_event", self._guarded(self._left))
        connect("resize_event", self._guarded(self._resized))
        connect("draw_event", lambda event: self.layers.draw())
        connect("close_event", self._ended)

    def _common_keys(self) -> Iterator[Key]:
        yield Key(("u", "ctrl+z"), "undo", self.undo)
        yield Key(("h", "?", "f1"), "this page", self._toggle_help)
        yield Key(("enter", "ctrl+s"), "save and close", self.save)
        yield Key(("escape",), "close; nothing is saved", self.cancel)

    def _guarded(self, handler: Callable[[Any], None]) -> Callable[["Event"], None]:
        """Run a handler, then draw what it made out of date: what the user is meant to read goes to the bar."""

        def handle(event: "Event") -> None:
            if self._is_over:
                return
            try:
                try:
                    handler(event)
                except PhotdbError as error:
                    self.say(str(error), warn=True)
                if not self._is_over:
                    self.flush()
            except BaseException as error:  # backends swallow it: `screen.show` raises it
                self.failure = error
                self._close()

        return handle

    def _close(self) -> None:
        if not self._is_over:
            self._is_over = True
            self.closed()
            self._end()

    def _ended(self, event: "CloseEvent") -> None:
        self._close()

    # --- layout ------------------------------------------------------------------------------------------------------
    def _resized(self, event: "ResizeEvent") -> None:
        self.layers.forget()
        self._place()
        self.refresh()
        self.redraw()

    def _place(self) -> None:
        width, height = self.extent
        buttons = place_buttons(self._buttons, width, height)
        self.bar = buttons + LINE * (2 if width < NARROW else 1) + 2.0
        self._line.x, self._line.y = 10.0 * self.unit, self.bar * self.unit
        self.say(self._said, warn=self._line.color == WARNING)
        self.place(width, height)

    def _toggle_help(self) -> None:
        self._help.toggle()
        self.redraw(self.layers.top)

    # --- mouse and keys -----------------------------------------------------------------------------------------------
    def _pressed(self, event: "MouseEvent") -> None:
        if self._help.shown:
            self._toggle_help()
            return
        pressed = next((b for b in self._buttons if b.holds(event.x, event.y)), None)
        if pressed is not None:
            if event.button == 1:
                pressed.action()
        elif event.button == 1:
            self._press, self._drag = event, self.grab(event)
        elif event.button == 3:
            self.select(event)

    def _moved(self, event: "MouseEvent") -> None:
        if self._press is None:
            self.hover(event)
        elif self._drag is not None and (self._dragging or self._is_far(event, self._press)):
            self._dragging = True
            self._drag(event)

    def _released(self, event: "MouseEvent") -> None:
        if event.button != 1 or self._press is None:
            return
        press, drag, dragging = self._press, self._drag, self._dragging
        self._press, self._drag, self._dragging = None, None, False
        if drag is not None and dragging:
            drag(event)
        elif not self._is_far(event, press):
            self.click(event)

    def _is_far(self, event: "MouseEvent", press: "MouseEvent") -> bool:
        return max(abs(event.x - press.x), abs(event.y - press.y)) > _CLICK * self.unit

    def _left(self, event: "LocationEvent") -> None:
        if self._press is None:
            self.leave()

    def _typed(self, event: "KeyEvent") -> None:
        key = event.key or ""
        if self._asking is not None:
            self._answer(key)
        elif self._help.shown:
            self._toggle_help()
        elif key in self._by_name:
            self._by_name[key]()

    def _answer(self, key: str) -> None:
        assert self._asking is not None  # noqa: S101 - for the type checker
        prompt, text, then = self._asking
        if key in ("enter", "escape"):
            self._asking = None
            self.say("")
            if key == "enter":
                then(text)
            return
        if key == "backspace":
            text = text[:-1]
        elif key in ("space", " "):
            text += " "
        elif len(key) == 1:
            text += key
        self.ask(prompt, text, then)
