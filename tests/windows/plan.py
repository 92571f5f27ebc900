"""Where things are in windows: told by windows of the same size that nobody sees."""

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nights import Night
from pilots import SIZE

from photdb.cli import _select_window, _stage_window
from photdb.cli.common import Console
from photdb.viewers.windows.parts import ROW


class Plan:
    """Where things are in a window that shows the whole frame: as a person sees it, from the window's own layout."""

    def __init__(self, night: Night) -> None:
        self.window: Any = _select_window.make_window(Console(str(night.path), 0), 0)
        figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100)
        FigureCanvasAgg(figure)
        self.window.start(figure, lambda: None)
        self.night = night
        self.last = int(self.window.night.frames.number[-1])

    def star(self, label: str, number: int) -> tuple[float, float]:
        """Give where a source of the truth is on the window while a frame is shown."""
        return self.pixel(number, *self.night.place(label, number))

    def pixel(self, number: int, x: float, y: float) -> tuple[float, float]:
        """Give where a place of a frame is on the window while that frame is shown."""
        at = self.window.night.to_reference(self.window.night.place(number), [(x, y)])[0]
        across, up = self.window.view.axes.transData.transform(at)
        return float(across), SIZE[1] - float(up)

    def bar(self, number: int) -> tuple[float, float]:
        """Give where a frame is on the bar."""
        x, y = self.window.scrub.axes.transData.transform((self.window.night.place(number), 0.5))
        return float(x), SIZE[1] - float(y)

    def button(self, text: str) -> tuple[float, float]:
        """Give the middle of a button."""
        found = next(b for b in self.window._buttons if b.text == text)
        return found._box.get_x() + found._box.get_width() / 2, SIZE[1] - ROW / 2 - 2


class StagePlan:
    """Where things are in the window of a stage, from the window's own layout."""

    def __init__(self, night: Night, stage: str, aperture: str | None = None) -> None:
        self.window: Any = _stage_window.make_window(Console(str(night.path), 0), stage, aperture)
        figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100)
        FigureCanvasAgg(figure)
        self.window.start(figure, lambda: None)
        figure.canvas.draw()

    def at(self, panel: int, number: float, y: float) -> tuple[float, float]:
        """Give where a point of a panel is on the window."""
        x, up = self.window.panels[panel].transData.transform((number, y))
        return float(x), SIZE[1] - float(up)

    def value(self, panel: int, y: float) -> float:
        """Give the value at a row of the window in a panel, and what a pixel is there."""
        return float(self.window.panels[panel].transData.inverted().transform((0, SIZE[1] - y))[1])

    def edge(self, panel: int, *, top: bool) -> tuple[float, float]:
        """Give where a threshold waits that is not in force."""
        box = self.window.panels[panel].bbox
        return box.x1 - 12, SIZE[1] - (box.y1 - 4 if top else box.y0 + 4)

    def point(self, panel: int, metric: str, number: int) -> tuple[float, float]:
        """Give where the point of a frame is."""
        facts = self.window.facts
        return self.at(panel, number, facts.metrics[metric][facts.place(number)])

    def picture(self, x: float, y: float) -> tuple[float, float]:
        """Give where a place of the frame is."""
        at = self.window.picture.transData.transform((x, y))
        return float(at[0]), SIZE[1] - float(at[1])

    def button(self, text: str) -> tuple[float, float]:
        """Give the middle of a button."""
        found = next(b for b in self.window._buttons if b.text == text)
        return found._box.get_x() + found._box.get_width() / 2, SIZE[1] - ROW / 2 - 2
