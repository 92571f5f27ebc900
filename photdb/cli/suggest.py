"""`photdb suggest`: what to leave out, why, and the commands that do it."""

import shlex
from typing import TYPE_CHECKING

import click

from photdb.cli.common import Console, console_options, say_unknown_gain, workers_options
from photdb.cli.terminal import echo
from photdb.cli.values import number
from photdb.wording import count

if TYPE_CHECKING:
    from photdb.stages.suggestion import Command
    from photdb.store.project import Project


@click.command()
@click.option("--apply", "apply_all", is_flag=True, help="Do what is suggested.")
@click.option(
    "--level",
    type=number(above=0),
    default=0.2,
    show_default=True,
    help="Light of other stars counts above this part of a flux's error.",
)
@workers_options
@console_options
def suggest_command(console: Console, apply_all: bool, level: float, workers: int | str | None) -> None:
    """Suggest what to leave out: crossings, fog, trailed frames, outliers, bad references, hot pixels, with the reason.

    The field's stars are first looked for in a stack of some frames, and held against the track of each asteroid.
    Nothing is left out unless you type the commands, or --apply. What you take back with `photdb accept` is not
    suggested again.

    \b
    Example:
      photdb suggest
      photdb suggest --apply
    """
    from photdb.stages.corrections import kept_as_measured
    from photdb.stages.runner import run
    from photdb.stages.suggest import suggestions
    from photdb.store.connection import driver

    with console.writing() as project, console.session(workers) as session:
        for name in ("encounters", "hits"):
            run(project, name, session)
        (message,) = driver(project.connection).execute("SELECT message FROM field").fetchone()
        found = suggestions(project, level=level)
        about = None
        for suggestion in found:
            if suggestion.about != about:
                echo(f"{suggestion.about}:")
                about = suggestion.about
            echo(f"  {suggestion.what}")
            for line in suggestion.details:
                echo(f"    {line}")
            for command in suggestion.commands:
                echo(f"    photdb reject {shlex.join(command.arguments)}")
        commands = [command for suggestion in found for command in suggestion.commands]
        if apply_all and commands:
            with project.transaction():
                n = sum(_apply(project, command) for command in commands)
            console.say(f"Done: {count(len(commands), 'command')}, {count(n, 'rejection')}. Next: photdb run")
        elif commands:
            console.say(f"{count(len(found), 'suggestion')}. All at once: photdb suggest --apply")
        else:
            console.say("Nothing is to be left out.")
        for note in (message, kept_as_measured(project.connection)):
            if note is not None:
                console.say(f"Note: {note}.")
        say_unknown_gain(console, project)


def _apply(project: "Project", command: "Command") -> int:
    """Do what a command would, and keep it in the history as that command; gives how many rejections are new."""
    from photdb.store.decisions import aperture_id, reject, source_id
    from photdb.store.typed import frame_ids

    connection = project.connection
    project.record("reject", command.arguments)
    frames = frame_ids(connection, command.frames) if command.frames else None
    source = None if command.source is None else source_id(connection, command.source)
    apertures: list[int | None] = [aperture_id(connection, text) for text in command.apertures] or [None]
    return sum(reject(connection, frames=frames, source=source, aperture=a, reason=command.reason) for a in apertures)
