"""The parts that every window has: its buttons and its page of help."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

#: Height of the bar at the bottom, hundredths of an inch.
BAR: Final = 40.0
TEXT, WARNING = "#222222", "#B00020"


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
        self._width = 16.0 + 8.2 * len(text)
        main = text == "Save"
        self._box = FancyBboxPatch(
            (0, 0), 1, 1, transform=None, boxstyle="round,pad=0,rounding_size=4", fc="#0072B2" if main else "white"
        )
        self._box.set_edgecolor("#0072B2" if main else "#888888")
        figure.add_artist(self._box)
        self._text = figure.text(
            0, 0, text, ha="center", va="center", fontsize=9.5, color="white" if main else TEXT, zorder=5
        )
        self._box.set_zorder(4)

    def place(self, right: float, width: float, height: float) -> float:
        """Place it left of `right` in a figure of this size; gives its own left side, hundredths of an inch."""
        figure = self._text.get_figure()
        unit = 1.0 if figure is None else float(figure.dpi) / 100.0
        left, bottom, tall = right - self._width, 6.0, BAR - 12.0
        self._box.set_bounds(left * unit, bottom * unit, self._width * unit, tall * unit)
        self._text.set_position(((left + self._width / 2) / width, (bottom + tall / 2) / height))
        return left

    def holds(self, x: float, y: float) -> bool:
        """Tell whether a place on the canvas is on it."""
        left, bottom = self._box.get_x(), self._box.get_y()
        return left <= x <= left + self._box.get_width() and bottom <= y <= bottom + self._box.get_height()


class HelpPage:
    """A page over the window that says what mouse and keys do: pairs of gesture or key, and meaning."""

    def __init__(self, figure: "Figure", rows: Sequence[tuple[str, str]]) -> None:
        from matplotlib.patches import Rectangle

        self._page = Rectangle(
            (0, 0), 1, 1, transform=figure.transFigure, fc="white", ec="#555555", alpha=0.95, visible=False
        )
        figure.add_artist(self._page)
        left = "\n".join(key for key, _ in rows)
        right = "\n".join(text if key else text.upper() for key, text in rows)
        self._texts = [
            figure.text(0, 0, text, ha=ha, va="center", fontsize=10, linespacing=1.45, color=TEXT, visible=False)
            for text, ha in ((left, "right"), (right, "left"))
        ]
        self._n_rows = len(rows)
        self.artists: list[Artist] = [self._page, *self._texts]
        self.shown = False

    def place(self, width: float, height: float) -> None:
        """Place it in a figure of this size."""
        wide, tall = min(0.96 * width, 700.0), min(0.96 * height, 24.0 * self._n_rows + 50.0)
        self._page.set_bounds(0.5 - wide / 2 / width, 0.5 - tall / 2 / height, wide / width, tall / height)
        size = min(10.0, 10.0 * (tall - 30.0) / (21.0 * self._n_rows), 10.0 * wide / 620.0)
        for text, shift in zip(self._texts, (-0.12, -0.10), strict=True):
            text.set_position((0.5 + shift * wide / width, 0.5))
            text.set_fontsize(size)

    def toggle(self) -> None:
        """Show or hide it."""
        self.shown = not self.shown
        for artist in self.artists:
            artist.set_visible(self.shown)

