"""Wrong input for every option and argument of every command, made from click's own tree of commands."""

from collections.abc import Iterator
from typing import Final

import click

from photdb.cli import cli
from photdb.cli.values import Whole

#: What each command is happy with on the small solved night; None: by itself it opens a window or only groups others.
FINE: Final[dict[str, list[str] | None]] = {
    "init": ["frames"],
    "add": ["late"],
    "set": [],
    "qc": [],
    "shifts": [],
    "select": None,
    "select asteroid": ["A2", "--at", "1", "100", "100", "--at", "20", "120", "120", "--no-snap"],
    "select variable": ["V2", "--at", "1", "100", "100", "--no-snap"],
    "select reference": ["R9", "--at", "1", "100", "100", "--no-snap"],
    "select check": ["C9", "--at", "1", "100", "100", "--no-snap"],
    "select list": [],
    "select remove": ["R1"],
    "measure": [],
    "times": ["Ganymed"],
    "suggest": [],
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
    "relocate": ["frames"],
    "check-project": [],
    "status": [],
    "history": [],
    "sql": ["SELECT 1"],
    "plot": ["qc", "--save", "plot.svg"],
    "report": ["night.html"],
    "guide": ["--questions"],
    "export": ["curves"],
    "demo": ["frames"],  # not empty: refused before anything is simulated
}

#: What is no number, whatever an option takes.
NO_NUMBERS: Final = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1.5.2",
    "5-3",
    "1_0",
    "٣",
    "²",
    "ünïcödé-☃",
    "\x1b[31mred",
    "two\nlines",
    "\u202etxt.exe",
    "'; DROP TABLE frame; --",
    "../../outside",
    "x" * 5000,
)
#: Numbers that are out of most ranges.
NUMBERS: Final = ("-1", "0", "99999", "1" + 30 * "0")


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


def takes_numbers(option: click.Option) -> bool:
    """Tell whether all values of an option are numbers (or `none`)."""
    return isinstance(option.type, Whole) or option.type.name in ("number", "number|none")


def mistakes(name: str, command: click.Command, *, whole: bool) -> Iterator[tuple[str, list[str], bool]]:
    """Give lines to type that are probably wrong.

    Parameters
    ----------
    name, command
        Of the command.
    whole : bool
        Also options that all commands have, and each value in both ways of writing it.

    Yields
    ------
    what is wrong (an option, or the name of an argument), the words, and whether they are wrong usage for certain
    """
    words, fine = name.split(), FINE[name]
    if fine is None:
        return
    for option in command.params:
        if not isinstance(option, click.Option):
            continue
        flag = option.opts[-1]
        if option.is_flag:
            yield flag, [*words, f"{flag}=yes", *fine], True
            continue
        if option.name in ("project_path", "n_workers", "scheduler") and not whole and name not in ("status", "qc"):
            continue
        yield flag, [*words, *fine, flag], True  # its value is missing
        for i, value in enumerate((*NO_NUMBERS, *NUMBERS)):
            certain = takes_numbers(option) and value in NO_NUMBERS
            if option.nargs > 1:
                yield flag, [*words, *fine, flag, *["1"] * (option.nargs - 1), value], certain
            elif whole or i % 2:
                yield flag, [*words, *fine, f"{flag}={value}"], certain
            if option.nargs == 1 and (whole or not i % 2):
                yield flag, [*words, *fine, flag, value], certain
    for argument in command.params:
        if isinstance(argument, click.Argument) and name != "demo":  # that would make a demo of any name
            others = fine[fine.index("--at") :] if "--at" in fine else fine[1:]
            for value in (*NO_NUMBERS, *NUMBERS):
                yield argument.human_readable_name, [*words, *others, "--", value], False
