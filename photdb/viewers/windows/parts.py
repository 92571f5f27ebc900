"""The parts that every window has: keys, buttons and a page of help."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from matplotlib.artist import Artist

from photdb.viewers.windows.quick_text import QuickText

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Height of a row of buttons and of a line of text in the bar at the bottom, hundredths of an inch.
ROW: Final = 34.0
LINE: Final = 19.0
#: Windows narrower than this, such as on a phone, are laid out from top to bottom.
NARROW: Final = 700.0
TEXT, WARNING = "#222222", "#B00020"


@dataclass(frozen=True, slots=True)
class Key:
    """What keys do: their names as matplotlib gives them, a text for the help, and the action.

    Keys that belong together stand in one line of the help: one of them has the text and all their names in `shown`,
    the others have no text.
    """

    names: tuple[str, ...]
    text: str
    action: Callable[[], None]
    shown: str = ""

    def in_help(self) -> str:
        """Give their names as they stand on keyboards."""
        return self.shown or ", ".join(map(_on_keyboard, self.names[:2]))


def _on_keyboard(name: str) -> str:
    """Name a key as it stands on keyboards."""
    words = {"left": "←", "right": "→", "up": "↑", "down": "↓", " ": "Space"}
    return words.get(name, name if len(name) == 1 else "+".join(part.capitalize() for part in name.split("+")))


class Button:
    """A button in the bar.

    Parameters
    ----------
    figure : Figure
        Where it is drawn.
    text : str
        What is written on it.
    action : callable
        What it does.
    """

    def __init__(self, figure: "Figure", text: str, action: Callable[[], None]) -> None:
        from matplotlib.patches import FancyBboxPatch

        self.action = action
        self.width = 16.0 + 8.2 * len(text)
        self._box = FancyBboxPatch((0, 0), 1, 1, transform=None, boxstyle="round,pad=0,rounding_size=4", zorder=4)
        figure.add_artist(self._box)
        self._text = figure.text(0, 0, text, ha="center", va="center", fontsize=9.5, zorder=5)
        self.text, self.is_on = text, False
        self.light(False, "#0072B2" if text == "Save" else "white", "white" if text == "Save" else TEXT)

    def light(self, is_on: bool, off: str = "white", letters: str = TEXT) -> bool:
        """Show it as in force, or not; gives whether that is another look."""
        changed, self.is_on = is_on != self.is_on, is_on
        self._box.set(facecolor="#FFD966" if is_on else off, edgecolor="#444444" if is_on else "#888888")
        self._text.set_color(letters)
        return changed

    def place(self, left: float, bottom: float, width: float, height: float) -> None:
        """Place its row in a figure of this size, hundredths of an inch."""
        figure = self._text.get_figure()
        unit = 1.0 if figure is None else float(figure.dpi) / 100.0
        bottom, tall = bottom + 3.0, ROW - 6.0
        self._box.set_bounds(left * unit, bottom * unit, self.width * unit, tall * unit)
        self._text.set_position(((left + self.width / 2) / width, (bottom + tall / 2) / height))

    def holds(self, x: float, y: float) -> bool:
        """Tell whether a place on the canvas is on it."""
        left, bottom = self._box.get_x(), self._box.get_y()
        return left <= x <= left + self._box.get_width() and bottom <= y <= bottom + self._box.get_height()


def place_buttons(buttons: Sequence[Button], width: float, height: float) -> float:
    """Place buttons in rows from the lower right corner of a figure; gives how high they reach."""
    rows: list[list[Button]] = [[]]
    for button in reversed(buttons):
        if rows[-1] and sum(b.width + 6.0 for b in (*rows[-1], button)) > width - 6.0:
            rows.append([])
        rows[-1].append(button)
    for n, row in enumerate(rows):
        right = width - 6.0
        for button in row:
            button.place(right - button.width, 2.0 + n * ROW, width, height)
            right -= button.width + 6.0
    return 2.0 + len(rows) * ROW


class HelpPage(Artist):
    """A page over the window that says what mouse and keys do: pairs of gesture or key, and meaning."""

    def __init__(self, figure: "Figure", rows: Sequence[tuple[str, str]]) -> None:
        from matplotlib.patches import Rectangle

        super().__init__()
        self.set_figure(figure)
        self._page = Rectangle((0, 0), 1, 1, transform=None, fc="white", ec="#555555", alpha=0.96)
        figure.add_artist(self._page)
        self._page.set_animated(True)
        self._rows = rows
        self.set_visible(False)

    @property
    def shown(self) -> bool:
        """Whether it is shown."""
        return self.get_visible()

    def toggle(self) -> None:
        """Show or hide it."""
        self.set_visible(not self.shown)

    def draw(self, renderer: Any) -> None:
        """Draw it in the middle of the figure, as large as there is room."""
        figure: Any = self.figure
        width, height = figure.bbox.size
        unit = figure.dpi / 100.0
        step = min(23.0, 0.94 * height / unit / (len(self._rows) + 2), 0.96 * width / unit / 30.0)
        size = 10.0 * step / 23.0
        wide, tall = 30.0 * step * unit, step * (len(self._rows) + 1.5) * unit
        left, top = (width - wide) / 2, (height + tall) / 2
        self._page.set_bounds(left, top - tall, wide, tall)
        self._page.draw(renderer)
        for n, (key, text) in enumerate(self._rows):
            y = top - (n + 1.25) * step * unit
            for words, x in ((key, 1.0), (text, 8.5)):
                line = QuickText(figure, size=size, color=TEXT if key else "#0072B2")
                line.text, line.x, line.y = words, left + x * step * unit, y
                line.draw(renderer)
