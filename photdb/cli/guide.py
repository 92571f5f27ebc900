"""`photdb guide`: the original's way of working, one stage after the other, each with its window or its questions."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click

from photdb.cli.common import Console, console_options, workers_options
from photdb.cli.terminal import echo
from photdb.errors import PhotdbError
from photdb.interruptions import exit_code

if TYPE_CHECKING:
    from photdb.cli._guide_questions import Guide

#: In the order of the night; the last is where nothing is left to do.
STEPS: Final = ("range", "uniformity", "frames", "shifts", "select", "measure", "check", "solve", "export", "end")
#: Steps that have a window, and the step after it.
_WINDOWS: Final = {
    "range": ("qc", "shifts"),
    "uniformity": ("qc", "shifts"),
    "frames": ("qc", "shifts"),
    "shifts": ("shifts", "select"),
    "select": ("select", "measure"),
    "check": ("check", "solve"),
    "solve": ("solve", "export"),
}


@click.command()
@click.argument("frames", nargs=-1)
@click.option("--from", "start", type=click.Choice(STEPS), help="Begin at this step, and go on from there.")
@click.option("--web", is_flag=True, help="Open the windows in a browser.")
@click.option("--questions", is_flag=True, help="Ask instead of opening windows, as where there is no display.")
@workers_options
@console_options
def guide_command(
    console: Console,
    frames: tuple[str, ...],
    start: str | None,
    web: bool,
    questions: bool,
    workers: int | str | None,
) -> None:
    """Go through the night stage by stage: see, decide, see what was rejected, and on to the next.

    With a display, or --web, each stage opens its window; without one it asks: type 8000 and Enter for a threshold,
    Enter alone for none. Left at any point (Escape, Ctrl-C, end of input), it goes on there the next time. What is
    decided stands in the history as the commands that do it. FRAMES, if given, become a project first.

    \b
    Example:
      photdb guide ~/nights/2011-10-01
      photdb guide
    """
    from photdb.cli._guide_questions import Guide, Left, command_line
    from photdb.viewers.show import has_display

    if web and questions:
        raise click.UsageError("--web and --questions exclude each other")
    if frames:
        command_line("init", *(() if console.given is None else ("-p", console.given)), "--", *frames)
    guide = Guide(console, workers)
    step = start or guide.where(STEPS)
    if start is not None:
        guide.note(start)
    in_windows = web or (has_display() and not questions)
    try:
        while step != "end":
            if step in _WINDOWS and in_windows:
                stage, following = _WINDOWS[step]
                echo(f"== {stage} ==")
                _window(guide, stage, web=web)
            else:
                following = STEPS[STEPS.index(step) + 1]
                echo(f"== {step} ==")
                _retrying(getattr(guide, step))
            guide.note(following)
            step = following
    except (Left, KeyboardInterrupt, click.exceptions.Exit) as end:
        echo()
        console.say(f"Left at {step}: `photdb guide` goes on there.")
        if not isinstance(end, Left):
            click.get_current_context().exit(getattr(end, "exit_code", exit_code()))
        return
    console.say("All is done. To go back: photdb guide --from STEP; to look at it: photdb report")


def _window(guide: "Guide", stage: str, *, web: bool) -> None:
    """Run a stage and open its window; whoever closes it without saving leaves the guide."""
    from photdb.cli._guide_questions import Left
    from photdb.cli._select_window import select_in_window
    from photdb.cli._stage_window import decide_in_window

    console = guide.console
    if stage == "select":
        saved = select_in_window(console, 0, web=web)
        if saved:
            guide.need_sources()
    else:
        guide.call(stage)
        saved = decide_in_window(console, stage, web=web)
    if not saved:
        raise Left


def _retrying(ask: Callable[[], None]) -> None:
    """Begin a step again that was refused, and say why."""
    from photdb.cli._guide_questions import say_refused

    while True:
        try:
            return ask()
        except (PhotdbError, click.ClickException) as error:
            say_refused(error)
