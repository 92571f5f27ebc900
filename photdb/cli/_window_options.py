"""The options of stages that have a window: --interactive and --web."""

import functools
from collections.abc import Callable
from typing import Any

import click

from photdb.cli.common import Console


def window_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --interactive and --web to the command of a stage, and open its window when the stage is done."""

    @click.option("--interactive", is_flag=True, help="Then open a window to see the curves and decide by the mouse.")
    @click.option("--web", is_flag=True, help="The same in a browser, as is done by itself where there is no display.")
    @functools.wraps(command)
    def wrapped(*args: Any, console: Console, interactive: bool, web: bool, **kwargs: Any) -> None:
        command(*args, console=console, **kwargs)
        if interactive or web:
            from photdb.cli._stage_window import decide_in_window

            stage = click.get_current_context().info_name or ""
            decide_in_window(console, stage, web=web, aperture=kwargs.get("aperture"))

    return wrapped
