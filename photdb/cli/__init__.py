"""The command line: `photdb COMMAND`. Each command is a small file here that parses, calls one function and prints."""

import atexit
import contextlib
import errno
import gc
import io
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click

from photdb import __version__
from photdb.cli.terminal import echo
from photdb.errors import PhotdbError
from photdb.interruptions import AtWork, exit_code, heed, outlive_readers
from photdb.wording import named, sentence

#: Every command in the order of a night, and the module it is in.
COMMANDS = {
    "init": "init",
    "add": "init",
    "set": "set",
    "qc": "qc",
    "shifts": "shifts",
    "select": "select",
    "measure": "measure",
    "times": "times",
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
    "relocate": "relocate",
    "check-project": "check_project",
}


class _Commands(click.Group):
    """Imports a command's module only when it is asked for, and turns errors into one sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"photdb.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.obj = list(args)  # as typed, for the history
        with _readable():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with AtWork() as work:
            return self._invoke(ctx)
        if work.interruption is not None:
            said = f" {work.interruption}." if work.interruption.args else " What was finished is kept."
            with contextlib.suppress(OSError):  # the terminal may be gone
                echo(f"Interrupted.{said} The same command goes on from there.", err=True)
        ctx.exit(exit_code())

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            with _readable():
                return super().invoke(ctx)
        except PhotdbError as error:
            raise click.ClickException(sentence(str(error))) from error
        except OSError as error:
            raise click.ClickException(sentence(_system_message(error))) from error
        except UnicodeEncodeError as error:  # bytes that are no UTF-8, in a file's name or what was typed
            raise click.ClickException(sentence(f"{named(error.object)} is no text in UTF-8: rename it")) from error
        except Exception as error:
            from photdb.store.bad_files import refused

            if (message := refused(error) or _backend_message(error)) is None:
                raise
            raise click.ClickException(sentence(message)) from error


def _system_message(error: OSError) -> str:
    """Say what the system refused."""
    what = error.strerror or str(error)
    if error.filename:
        return f"the file {error.filename}: {what}"
    if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO):  # of a file without a name: standard output
        return f"the output cannot be written ({what}): make room, or send it elsewhere"
    return what


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """See that what click says of wrong usage can be read, whatever was typed."""
    try:
        yield
    except click.MissingParameter:  # holds nothing that was typed, and its lines are meant
        raise
    except click.UsageError as error:
        raise click.UsageError(sentence(error.format_message()), error.ctx) from error


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
    heed()
    outlive_readers()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # one that cannot say ± shows its escape
            stream.reconfigure(errors="backslashreplace")
    try:
        cli(prog_name="photdb")
    except OSError as error:  # of --help and --version, which are printed before there is a command
        echo(f"Error: {sentence(_system_message(error))}", err=True)
        sys.exit(1)
