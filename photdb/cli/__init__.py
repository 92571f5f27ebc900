"""The command line: `photdb COMMAND`. Each command is a small file here that parses, calls one function and prints."""

import atexit
import gc
import os
import signal
import sys
from importlib import import_module
from typing import Any

import click

from photdb import __version__
from photdb.errors import PhotdbError

#: Every command in the order of a night, and the module it is in.
COMMANDS = {
    "init": "init",
    "add": "init",
    "set": "set",
    "qc": "qc",
    "shifts": "shifts",
    "select": "select",
    "measure": "measure",
    "check": "check",
    "suggest": "suggest",
    "reject": "reject",
    "accept": "reject",
    "solve": "solve",
    "run": "run",
    "status": "status",
    "history": "history",
    "sql": "sql",
    "plot": "plot",
    "report": "report",
    "guide": "guide",
    "export": "export",
    "demo": "demo",
}


class _Commands(click.Group):
    """Imports a command's module only when it is asked for, and turns errors into one sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"photdb.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.obj = list(args)  # as typed, for the history
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            said = f" {interrupt}." if interrupt.args else " What was finished is kept."
            click.echo(f"Interrupted.{said} The same command goes on from there.", err=True)
            ctx.exit(130)
        except PhotdbError as error:
            raise click.ClickException(_sentence(str(error))) from error
        except BrokenPipeError:
            # Whoever read our output has gone (`photdb sql … | head`): nothing is wrong, and nothing can be said.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except OSError as error:
            name = f"the file {error.filename}: " if error.filename else ""
            raise click.ClickException(_sentence(f"{name}{error.strerror or error}")) from error
        except Exception as error:
            if (message := _database_message(error) or _backend_message(error)) is None:
                raise
            raise click.ClickException(_sentence(message)) from error


def _sentence(message: str) -> str:
    message = message.strip()
    if message.split(maxsplit=1)[0].isalpha():  # else it begins with a name or a value
        message = message[0].upper() + message[1:]
    return message + ("" if message.endswith((".", "?", "!")) else ".")


def _database_message(error: Exception) -> str | None:
    """Say what is wrong with a database that SQLite cannot read or write; None for any other error."""
    import sqlite3

    error = getattr(error, "orig", None) or error
    if not isinstance(error, sqlite3.Error):
        return None
    text = str(error)
    if "full" in text:
        return "the disk is full: make room and run the command again; all that was committed is kept"
    if "readonly" in text:
        return "the project cannot be written: is its file or folder read-only?"
    if "locked" in text:
        return "another program is using the project's file: try again when it is done"
    if isinstance(error, sqlite3.OperationalError | sqlite3.DatabaseError) and ("disk" in text or "malformed" in text):
        return f"the project's file cannot be used ({text}): restore a copy of it"
    return None


def _backend_message(error: Exception) -> str | None:
    """Say what is wrong with the backend that the environment names for matplotlib; None for any other error."""
    backend = os.environ.get("MPLBACKEND")
    if backend is None or not isinstance(error, ValueError) or not str(error).startswith("Key backend:"):
        return None
    return f"MPLBACKEND={backend} is no backend of matplotlib: unset it, or name one such as TkAgg"


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="A night, from frames to curves: photdb init FRAMES; photdb qc; photdb shifts; photdb select …; "
    "photdb measure; photdb check; photdb solve; photdb export DIR.",
)
@click.version_option(__version__, prog_name="photdb")
def cli() -> None:
    """Differential photometry of one observing night, kept in one SQLite project."""


def main() -> None:
    """Run the command line."""
    # Imports and rows make very many objects that stay. Looking through them for garbage whenever there are 700 more,
    # and once again at the end, takes a sixth of the time of `status` and a quarter of that of `set`.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    # A polite kill is an interruption like Ctrl-C: what was finished is kept, and said.
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    cli(prog_name="photdb")
