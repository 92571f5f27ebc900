"""Where a window opens: on the desktop, through whatever GUI backend matplotlib finds, or in a browser."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from photdb.viewers.show import has_display
from photdb.viewers.windows.window import Window

State = TypeVar("State")


def show(window: Window[State], *, web: bool, say: Callable[[str], None]) -> State | None:
    """Open a window and wait until it is closed.

    Parameters
    ----------
    window : Window
        Any of them.
    web : bool
        In a browser, even where there is a display.
    say : callable
        Takes what the user has to know, such as the address.

    Returns
    -------
    State or None
        What was saved; None if the window was closed without saving.

    Raises
    ------
    PhotdbError
        There is neither a display nor what a browser needs.
    """
    if not web and not has_display():
        say("There is no display: the window opens in a browser.")
        web = True
    with _own_keys(), _closing_on_interrupt(window):
        if not web and not _show_on_desktop(window):
            say("matplotlib finds no GUI (Tk, Qt, GTK, wx) here: the window opens in a browser.")
            web = True
        if web:
            from photdb.viewers.windows.web import serve

            serve(window, say)
    if window.failure is not None:
        raise window.failure
    return window.saved


@contextlib.contextmanager
def _closing_on_interrupt(window: Window[Any]) -> Iterator[None]:
    """Take Ctrl-C for what it is while a window is open: closing it without saving."""
    try:
        yield
    except KeyboardInterrupt:
        window.cancel()


def _own_keys() -> Any:
    """Take matplotlib's own key bindings and toolbar away: all keys are the window's."""
    import matplotlib

    own: Any = {name: [] for name in matplotlib.rcParams if name.startswith("keymap.")}
    return matplotlib.rc_context(own | {"toolbar": "None"})


def _show_on_desktop(window: Window[Any]) -> bool:
    """Show a window in a GUI; False where there is none."""
    from matplotlib import pyplot as plt

    try:
        figure = plt.figure(figsize=window.size, dpi=100)
    except ImportError:  # of the toolkit that MPLBACKEND names
        return False
    manager, framework = figure.canvas.manager, getattr(figure.canvas, "required_interactive_framework", None)
    if framework is None or manager is None:
        plt.close(figure)
        return False
    manager.set_window_title(window.title)
    _fit(manager)
    window.start(figure, lambda: plt.close(figure))
    plt.show(block=True)
    return True


def _fit(manager: Any) -> None:
    """Make a window smaller that is larger than the screen, where the toolkit is asked for its size in a known way."""
    screen: Any = getattr(manager, "window", None)
    if hasattr(screen, "winfo_screenwidth"):  # Tk
        room = (screen.winfo_screenwidth(), screen.winfo_screenheight())
    elif hasattr(screen, "screen"):  # Qt
        area = screen.screen().availableGeometry()
        room = (area.width(), area.height())
    else:
        return
    width, height = manager.canvas.get_width_height(physical=True)
    if width > room[0] or height > room[1]:
        manager.resize(min(width, room[0]), min(height, room[1]))
