"""How counts and frame numbers are written in what people read."""

from collections.abc import Sequence
from typing import Final

#: What to say when work ends early.
KEPT: Final = "what was done is kept, and `photdb run` goes on"
#: Why a frame cannot be read that is not where it was.
MISSING: Final = "the file does not exist"
#: What to do then.
MOVED: Final = "where frames have moved, `photdb relocate DIR`"


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
    """Write a message as a sentence on one line, with its first letter and its full stop."""
    message = " ".join(message.split())  # SQLite quotes statements as they were written, on several lines
    if message.split(maxsplit=1)[0].isalpha():  # else it begins with a name or a value
        message = message[0].upper() + message[1:]
    return message + ("" if message.endswith((".", "?", "!")) else ".")
