"""Text that is drawn again and again: made into pixels once, as matplotlib takes a millisecond for every line."""

import functools
from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure, SubFigure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

_FAMILY: Final = {False: "sans-serif", True: "monospace"}


@functools.lru_cache(maxsize=1024)
def pixels_of(
    text: str, color: str, size: float, dpi: float, *, outlined: bool = False, mono: bool = False
) -> NDArray[np.uint8]:
    """Give text as pixels (h, w, 4) on nothing, from the bottom up, with a margin of 3 pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patheffects import withStroke

    figure = Figure(dpi=dpi)
    canvas: Any = FigureCanvasAgg(figure)
    effects = [withStroke(linewidth=2.6, foreground="black")] if outlined else []
    artist = figure.text(
        0, 0, text, color=color, fontsize=size, linespacing=1.45, path_effects=effects, family=_FAMILY[mono]
    )
    box = artist.get_window_extent(canvas.get_renderer())
    width, height = int(np.ceil(box.width)) + 6, int(np.ceil(box.height)) + 6
    figure.set_size_inches(width / dpi, height / dpi)
    figure.patch.set_visible(False)
    artist.set_position(((3 - box.x0) / width, (3 - box.y0) / height))
    figure.draw(renderer := canvas.get_renderer())
    return np.array(renderer.buffer_rgba())[::-1]


def typed(text: str, color: str, size: float, dpi: float) -> NDArray[np.uint8]:
    """Give text as pixels, put together of letters of one width: for figures that change all the time."""
    advance = (pixels_of(20 * "0", color, size, dpi, mono=True).shape[1] - 6) / 20
    height = pixels_of("0", color, size, dpi, mono=True).shape[0]
    step = round(1.25 * (height - 6))
    lines = text.split("\n")
    out = np.zeros((height + step * (len(lines) - 1), round(advance * max(map(len, lines))) + 12, 4), np.uint8)
    for n, line in enumerate(reversed(lines)):
        for k, letter in enumerate(line):
            if letter != " ":
                part = pixels_of(letter, color, size, dpi, mono=True)[:height]
                # Narrow letters stand in the middle of their place.
                x = round(k * advance + (advance - part.shape[1] + 6) / 2)
                x = max(x, 0)
                np.maximum(place := out[n * step :, x : x + part.shape[1]][: len(part)], part, out=place)
    return out


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
    outlined : bool
        With a dark line around the letters, for text on a frame.
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
        outlined: bool = False,
        top: bool = False,
        mono: bool = False,
    ) -> None:
        super().__init__()
        self.set_figure(figure)
        self.text, self.color, self.x, self.y = "", color, 0.0, 0.0
        self._size, self._outlined, self._top, self._mono = size, outlined, top, mono

    def draw(self, renderer: Any, within: Bbox | None = None) -> None:
        """Draw it, or of it what is within a box."""
        if not self.text:
            return
        dpi = float(self.figure.dpi) if self.figure is not None else 100.0
        if self._mono:
            pixels = typed(self.text, self.color, self._size, dpi)
        else:
            pixels = pixels_of(self.text, self.color, self._size, dpi, outlined=self._outlined)
        gc = renderer.new_gc()
        if within is not None:
            gc.set_clip_rectangle(within)
        below = pixels.shape[0] if self._top else pixels.shape[0] / 2
        renderer.draw_image(gc, round(self.x) - 3, round(self.y - below), pixels)
        gc.restore()
