"""How counts, frame numbers, and names that others chose are written in what people read."""

import re
from collections.abc import Sequence
from typing import Final

#: What to say when work ends early.
KEPT: Final = "what was done is kept, and `photdb run` goes on"
#: Why a frame cannot be read that is not where it was.
MISSING: Final = "the file does not exist"
#: What to do then.
MOVED: Final = "where frames have moved, `photdb relocate DIR`"
#: Longer names are cut where they are named.
_LONGEST_NAME: Final = 120


def numbers(values: Sequence[int], *, most: int = 8) -> str:
    """Write frame numbers as people do: `3, 17-20, 44`, cut after `most` pieces."""
    pieces: list[tuple[int, int]] = []
    for value in sorted(values):
        if pieces and value == pieces[-1][1] + 1:
            pieces[-1] = (pieces[-1][0], value)
        else:
            pieces.append((value, value))
    shown = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in pieces[:most])
    return shown + (f" and {len(pieces) - most} more" if len(pieces) > most else "")


def count(number: int, noun: str) -> str:
    """Write a count with its noun: `1 frame`, `12 frames`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def why_unread(reason: object) -> str:
    """Write why a project's frame cannot be read, with what to do if it is not there."""
    return f"{reason}; {MOVED}" if str(reason) == MISSING else str(reason)


def sentence(message: str) -> str:
    """Write a message as a sentence on one line, with its first letter and its full stop; names cannot steer it."""
    message = shortened(printable(" ".join(message.split())))  # SQLite quotes statements on the lines they had
    if message.split(maxsplit=1)[0].isalpha():  # else it begins with a name or a value
        message = message[0].upper() + message[1:]
    return message + ("" if message.endswith((".", "?", "!")) else ".")


def listed(names: Sequence[str], *, most: int = 40) -> str:
    """List names with commas between, cut after `most` of them."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def printable(text: str) -> str:
    """Show what cannot be printed as its escape, so that no name steers a terminal.

    That is control characters, line breaks, what turns the direction of writing, and bytes of a file name that are no
    UTF-8.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def named(name: object) -> str:
    """Write a name that somebody typed as it is where that is clear, else in quotation marks, cut if it is long."""
    text = str(name)
    cut = text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"
    return cut if cut == text and cut.isprintable() and cut == cut.strip() != "" else repr(cut)


def shortened(text: str) -> str:
    """Cut words that are far too long to be read, in their middle."""
    return re.sub(r"\S{300,}", lambda word: f"{word[0][:100]}…{word[0][-100:]}", text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
