"""Circles around sources in the picture of a frame, with their names."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist

from photdb.viewers.windows.choices import is_out
from photdb.viewers.windows.field_view import STYLE
from photdb.viewers.windows.quick_text import QuickText

if TYPE_CHECKING:
    from photdb.viewers.windows.magnitudes_window import MagnitudeWindow


class SourceMarks(Artist):
    """Circles around sources in the frame that is shown, with their names."""

    def __init__(self, window: "MagnitudeWindow") -> None:
        super().__init__()
        self.set_figure(window.figure)
        self._window = window

    def draw(self, renderer: Any) -> None:
        """Draw those that are known in this frame."""
        from matplotlib.patches import Circle

        window = self._window
        if window.image.shot is None:
            return
        box = window.picture.bbox
        for k in window.marked():
            x, y = window.picture.transData.transform(window.m.xy_px[window.i, k])
            if not (np.isfinite(x) and box.contains(x, y)):
                continue
            dropped = is_out(window.state, window.m.sources[k], None)
            color = "#CCCCCC" if dropped else STYLE[window.m.roles[k]][1 + window.image.stretch.inverted]
            circle = Circle((x, y), 6.0 * window.unit, fill=False, ec=color, lw=1.5)
            circle.set_figure(window.figure)
            circle.draw(renderer)
            text = QuickText(
                window.figure, size=8.5, color=color, outline="white" if window.image.stretch.inverted else "black"
            )
            text.text, text.x, text.y = window.m.sources[k], x + 8 * window.unit, y + 6 * window.unit
            text.draw(renderer, within=box)
