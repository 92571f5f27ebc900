"""How far work is, on standard error: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import click

from photdb.cli.terminal import echo

#: When piped, progress is a line so often.
_PLAIN_S = 10.0


def progress_shown(label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    """Show how far work is; what is given back is told of each step how much was done."""
    on_terminal = sys.stderr is not None and sys.stderr.isatty()  # it may be closed
    return _bar(label, total) if on_terminal else _lines(label, total)


@contextlib.contextmanager
def _bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    start, done = time.monotonic(), 0
    bar: Any
    with click.progressbar(
        length=total,
        label=label,
        file=sys.stderr,
        show_pos=True,
        item_show_func=lambda _: f"{done / max(time.monotonic() - start, 1e-3):.0f}/s",
    ) as bar:

        def advance(n: int) -> None:
            nonlocal done
            done += n
            bar.update(n, n)

        yield advance


@contextlib.contextmanager
def _lines(label: str, total: int) -> Iterator[Callable[[int], None]]:
    start = said = time.monotonic()
    done = 0

    def advance(n: int) -> None:
        nonlocal done, said
        done += n
        now = time.monotonic()
        if now - said > _PLAIN_S and done < total:
            said = now
            rate = done / (now - start)
            echo(f"{label}: {done} of {total}, {rate:.0f}/s, {(total - done) / rate:.0f} s left", err=True)

    yield advance
    if done:
        echo(f"{label}: {done} of {total} in {time.monotonic() - start:.1f} s", err=True)
