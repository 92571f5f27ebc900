"""Where a figure is shown: in a window, when there is a display."""

import os
import sys
from typing import TYPE_CHECKING

from photdb.errors import PhotdbError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def has_display() -> bool:
    """Tell whether windows can be opened here."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show(figure: "Figure") -> None:
    """Show a figure in a window, and wait until it is closed.

    Raises
    ------
    PhotdbError
        There is no display, or nothing to draw windows with.
    """
    if not has_display():
        raise PhotdbError("there is no display to show it on: --save FILE.png writes it to a file")
    import matplotlib
    from matplotlib import pyplot

    backend = matplotlib.get_backend()
    if backend.lower() in ("agg", "pdf", "ps", "svg", "cairo", "template"):
        raise PhotdbError(
            "matplotlib has nothing to draw windows with here (install PyQt6, say): --save FILE.png writes it to a file"
        )
    pyplot.figure(FigureClass=lambda *args, **kwargs: figure)  # type: ignore[arg-type]  # as it is, with a window
    pyplot.show(block=True)
