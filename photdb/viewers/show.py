"""Where figures go: into a window, when there is a display, or into a file."""

import io
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from photdb.errors import PhotdbError
from photdb.outputs import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What figures are saved as.
FORMATS: Final = ("png", "pdf", "svg")


def has_display() -> bool:
    """Tell whether windows can be opened here."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def need_display() -> None:
    """See that windows can be opened, before anything is drawn.

    Raises
    ------
    PhotdbError
        There is no display.
    """
    if not has_display():
        raise PhotdbError("there is no display to show it on: --save FILE.png writes it to a file")


def show(figure: "Figure") -> None:
    """Show a figure in a window, and wait until it is closed.

    Raises
    ------
    PhotdbError
        There is no display, or nothing to draw windows with.
    """
    need_display()
    import matplotlib
    from matplotlib import pyplot

    backend = matplotlib.get_backend()
    if backend.lower() in ("agg", "pdf", "ps", "svg", "cairo", "template"):
        raise PhotdbError(
            "matplotlib has nothing to draw windows with here (install PyQt6, say): --save FILE.png writes it to a file"
        )
    pyplot.figure(FigureClass=lambda *args, **kwargs: figure)  # type: ignore[arg-type]  # as it is, with a window
    pyplot.show(block=True)


def need_format(path: Path) -> str:
    """Give the format that a file's name says, before anything is drawn.

    Raises
    ------
    PhotdbError
        The name ends in none of `FORMATS`, or there is no such folder.
    """
    form = path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise PhotdbError(f"--save {path}: the name of the file says its format, .{', .'.join(FORMATS)}")
    if not path.parent.is_dir():
        raise PhotdbError(f"there is no folder {path.parent}: make it first")
    return form


def save(figure: "Figure", path: Path) -> None:
    """Write a figure to a file, whole or not at all; its name says the format.

    Raises
    ------
    PhotdbError
        As `need_format`, or the file cannot be written.
    """
    form = need_format(path)
    write_whole({path: rendered(figure, form)})


def rendered(figure: "Figure", form: str, **options: Any) -> bytes:
    """Draw a figure in a format, also jpg: the same figure gives the same bytes, whenever that is."""
    import matplotlib

    out = io.BytesIO()
    # No dates, and no random names within: files of the same numbers are the same.
    undated: Any = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    with matplotlib.rc_context({"svg.hashsalt": "photdb", "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")  # a name in a script that the font does not have
        figure.savefig(out, format=form, metadata=undated, **options)
    return out.getvalue()
