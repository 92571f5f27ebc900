"""Text that is drawn again and again: made into pixels once, as matplotlib takes a millisecond for every line."""

import functools
import math
from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

_MARGIN: Final = 3
_FAMILY: Final = {False: "sans-serif", True: "monospace"}


@functools.lru_cache(maxsize=2048)
def _line(
    text: str, color: str, size: float, dpi: float, *, outline: str | None = None, mono: bool = False
) -> NDArray[np.uint8]:
    """Give a line of text as pixels (h, w, 4) on nothing, from the bottom up, with a margin of `_MARGIN` pixels.

    All lines of one size are equally high, and their letters stand on the same row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patheffects import withStroke

    figure = Figure(dpi=dpi)
    canvas: Any = FigureCanvasAgg(figure)
    effects = [] if outline is None else [withStroke(linewidth=2.6, foreground=outline)]
    family = _FAMILY[mono]
    artist = figure.text(0, 0, text, color=color, fontsize=size, path_effects=effects, family=family, va="baseline")
    em = size * dpi / 72.0
    box = artist.get_window_extent(canvas.get_renderer())
    width, height = math.ceil(box.width) + 2 * _MARGIN, math.ceil(1.3 * em) + 2 * _MARGIN
    figure.set_size_inches(width / dpi, height / dpi)
    figure.patch.set_visible(False)
    artist.set_position(((_MARGIN - box.x0) / width, (_MARGIN + round(0.32 * em)) / height))
    figure.draw(renderer := canvas.get_renderer())
    return np.array(renderer.buffer_rgba())[::-1]


def _typed(text: str, color: str, size: float, dpi: float) -> NDArray[np.uint8]:
    """Give a line put together of letters of one width: for figures that change all the time."""
    advance = (_line(20 * "0", color, size, dpi, mono=True).shape[1] - 2 * _MARGIN) / 20
    height = _line("0", color, size, dpi, mono=True).shape[0]
    out = np.zeros((height, round(advance * len(text)) + 4 * _MARGIN, 4), np.uint8)
    for k, letter in enumerate(text):
        if letter != " ":
            part = _line(letter, color, size, dpi, mono=True)
            x = max(0, round(k * advance + (advance - part.shape[1]) / 2 + _MARGIN))  # narrow ones in the middle
            _put(out, part, x, 0)
    return out


def _block(lines: list[NDArray[np.uint8]], step: int) -> NDArray[np.uint8]:
    """Put lines above each other, the first one at the top."""
    height, width = lines[0].shape[0], max(line.shape[1] for line in lines)
    out = np.zeros((height + step * (len(lines) - 1), width, 4), np.uint8)
    for n, line in enumerate(reversed(lines)):
        _put(out, line, 0, n * step)
    return out


def _put(out: NDArray[np.uint8], part: NDArray[np.uint8], x: int, y: int) -> None:
    place = out[y : y + part.shape[0], x : x + part.shape[1]]
    np.copyto(place, part, where=part[..., 3:] > place[..., 3:])


class QuickText(Artist):
    """Text at a place of the canvas, pixels from its lower left corner; `x` is its left side.

    Parameters
    ----------
    figure : Figure
        That it belongs to.
    size : float
        Points.
    color : str
        Of the text.
    outline : str, optional
        Color of a line around the letters, for text on a frame.
    top : bool
        Whether `y` is the upper side of the text, not its middle.
    mono : bool
        In letters of one width, for figures that change all the time.
    """

    def __init__(
        self,
        figure: Figure | SubFigure,
        *,
        size: float = 9.0,
        color: str = "#222222",
        outline: str | None = None,
        top: bool = False,
        mono: bool = False,
    ) -> None:
        super().__init__()
        self.set_figure(figure)
        self.text, self.color, self.x, self.y = "", color, 0.0, 0.0
        self._size, self._outline, self._top, self._mono = size, outline, top, mono

    def draw(self, renderer: Any, within: Bbox | None = None) -> None:
        """Draw it, or of it what is within a box."""
        if not self.text:
            return
        dpi = float(self.figure.dpi) if self.figure is not None else 100.0
        if self._mono:
            lines = [_typed(line, self.color, self._size, dpi) for line in self.text.split("\n")]
        else:
            lines = [_line(t, self.color, self._size, dpi, outline=self._outline) for t in self.text.split("\n")]
        pixels = _block(lines, round(1.45 * self._size * dpi / 72.0))
        gc = renderer.new_gc()
        if within is not None:
            gc.set_clip_rectangle(within)
        below = pixels.shape[0] if self._top else pixels.shape[0] / 2
        renderer.draw_image(gc, round(self.x) - _MARGIN, round(self.y - below), pixels)
        gc.restore()
