"""What is written to the terminal: no text of a header, a name or a file can steer it.

All that commands print goes through here; a test holds this.
"""

import sys

import click

from photdb.wording import printable


def echo(line: str = "", *, err: bool = False, end: str = "\n") -> None:
    """Print one line; what would break it, or steer the terminal, is shown as its escape."""
    click.echo(printable(line) + end, err=err, nl=False)


def echo_block(text: str) -> None:
    """Print lines of our own making, such as a table; what is in them is shown as `echo` does."""
    for line in text.split("\n"):
        echo(line)


def echo_data(text: str) -> None:
    """Print data that a program may read: exactly as they are, but on a terminal as `echo_block` does."""
    if sys.stdout.isatty():
        echo_block(text.removesuffix("\n"))
    else:
        sys.stdout.write(text)  # click would leave out what looks like colours
        sys.stdout.flush()
