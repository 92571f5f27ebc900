"""Wrong input for every option and argument of every command, made from click's own tree of commands."""

from collections.abc import Iterator
from typing import Final

import click

from photdb.cli import cli

#: The arguments that each command is happy with on the small solved night; options are put behind them.
FINE: Final = {
    "init": ["frames", "-p", "other.photdb"],
    "add": ["late"],
    "set": ["--observer", "me"],
    "qc": [],
    "shifts": [],
    "select": None,  # by itself it opens a window
    "select asteroid": ["A2", "--at", "1", "100", "100", "--at", "20", "120", "120", "--no-snap"],
    "select variable": ["V2", "--at", "1", "100", "100", "--no-snap"],
    "select reference": ["R9", "--at", "1", "100", "100", "--no-snap"],
    "select check": ["C9", "--at", "1", "100", "100", "--no-snap"],
    "select list": [],
    "select remove": ["R1"],
    "measure": [],
    "check": [],
    "reject": None,
    "reject frames": ["3"],
    "reject source": ["R1"],
    "reject aperture": ["1"],
    "reject list": [],
    "accept": None,
    "accept frames": ["3"],
    "accept source": ["R1"],
    "accept aperture": ["1"],
    "solve": [],
    "run": [],
    "status": [],
    "history": [],
    "sql": ["SELECT 1"],
    "plot": ["qc", "--save", "plot.svg"],
    "report": ["night.html"],
    "guide": ["--questions"],
    "export": ["curves"],
    "demo": ["frames"],  # not empty: refused before anything is simulated
}

#: What is typed by mistake, by others, or by mischief.
NONSENSE: Final = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-1",
    "0",
    "1" + 30 * "0",
    "1.5.2",
    "99999",
    "5-3",
    "ünïcödé-☃",
    "\x1b[31mred",
    "two\nlines",
    "\u202etxt.exe",
    "'; DROP TABLE frame; --",
    "../../outside",
    "x" * 5000,
    "٣",
    "²",
    "1_0",
    "--",
)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Give every command with its name, those in groups and the groups included."""
    root = click.Context(cli)
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for inner, subcommand in command.commands.items():
                yield f"{name} {inner}", subcommand


def options(command: click.Command) -> Iterator[click.Option]:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield parameter


def mistakes(name: str, command: click.Command, values: tuple[str, ...] = NONSENSE) -> Iterator[tuple[str, list[str]]]:
    """Give lines to type that are probably wrong, each with what it is about: an option, or an argument's name."""
    words = name.split()
    fine = FINE[name]
    if fine is None:
        return
    for option in options(command):
        flag = option.opts[-1]
        if option.is_flag:
            yield flag, [*words, f"{flag}=yes", *fine]
            continue
        if option.name in ("n_workers", "scheduler"):  # said of once, not of each command
            continue
        yield flag, [*words, *fine, flag]  # its value is missing
        for value in values:
            given = [value] * option.nargs
            yield flag, [*words, *fine, flag, *given]
            yield (
                flag,
                [*words, *fine, flag, *["1"] * (option.nargs - 1), value]
                if option.nargs > 1
                else [*words, *fine, f"{flag}={value}"],
            )
    for argument in command.params:
        if not isinstance(argument, click.Argument):
            continue
        others = [w for w in fine[fine.index("--at") :]] if "--at" in fine else fine[1:]
        for value in values:
            yield argument.human_readable_name, [*words, "--", value] if not others else [*words, *others, "--", value]
