"""The cards of FITS headers, 80 bytes each, a keyword and a value; and the numbers and angles in the values.

Telescopes write what the standard forbids (`060.00`, `099`, strings without quotes, keywords in lower case): what can
be understood is, and what cannot is left out, so that one bad card costs nothing but itself.
"""

import contextlib
import functools
import math
import re
from collections.abc import Mapping
from typing import Final

Value = str | int | float | bool | None

#: Length of a card in bytes.
CARD: Final = 80
#: Longest text that is kept of a string which goes on and on; numbers, angles and times fit on one card.
_MAX_TEXT: Final = 1000

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_REAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([EeDd][+-]?[0-9]+)?")
_QUOTED: Final = re.compile(r"'((?:[^']|'')*)")
# There is but one way in which each of these can match: what does not match is found out at once, however long it is.
_NUMBER: Final = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[EeDd][+-]?\d+)?)(?:\s*[A-Za-z][A-Za-z/-]*)?")
_ANGLE: Final = re.compile(
    r"(?:([NSEW])\s*)?(?:([+-])\s*)?(\d+(?:\.\d*)?)"
    r"(?:(?:\s*[:hd°]\s*|\s+)(\d+(?:\.\d*)?))?(?:(?:\s*[:m'′]\s*|\s+)(\d+(?:[.:,]\d*)?))?"
    r"(?:\s*[s\"″°])?(?:\s*([NSEW]))?",
    re.IGNORECASE,
)


def parse_cards(block: bytes, only: tuple[str, ...] = ("",)) -> dict[str, Value]:
    """Parse the cards of a header, leniently: one that cannot be read is left out.

    Parameters
    ----------
    block : bytes
        Cards of 80 bytes.
    only : tuple of str
        What the keywords that are wanted begin with; all by default.

    Returns
    -------
    dict
        Keyword to value, the first of equals wins. Understood beyond the letter of the standard (FITS 4.0, 4.1–4.2):
        `060.00`, `099`, `D` exponents, lower-case keywords, strings without (closing) quotes, values that begin
        anywhere, long strings (`CONTINUE`), bytes that are not ASCII.
    """
    text = block.decode("latin-1")
    cards: dict[str, Value] = {}
    # What a card that matters may begin with; the others, most of them, need not be split.
    initials = {word[:1] for word in (*only, "HIERARCH", "CONTINUE", "END")}
    last = ""  # the keyword of the card before, whose string a CONTINUE card would go on with
    for start in range(0, len(text), CARD):
        card = text[start : start + CARD]
        if "" not in initials and card[:1].upper() not in initials:
            last = ""
            continue
        word, key, body = _split(card)
        if word == "CONTINUE":
            before = cards.get(last)
            if isinstance(before, str) and before.endswith("&"):
                more = _value(card[8:])
                cards[last] = (before[:-1] + ("" if more is None else str(more)))[:_MAX_TEXT]
            continue
        if word == "END":
            break
        if body is None:
            continue
        last = ""
        if key and key not in cards and key.startswith(only):
            cards[key] = _value(body)
            last = key
    return cards


# Most cards of a frame are those of the frame before, to the letter: they are parsed once.
@functools.lru_cache(4096)
def _split(card: str) -> tuple[str, str, str | None]:
    """Give the word a card begins with, its keyword, and what is behind its equals sign, None if there is nothing."""
    word = card[:8].rstrip(" \0").upper()
    if word == "HIERARCH":
        key, _, body = card[9:].partition("=")
        return word, key.strip().upper(), body
    return word, word, None if card[8:9] != "=" or word in ("COMMENT", "HISTORY") else card[9:]


@functools.lru_cache(4096)
def _value(body: str) -> Value:
    """Parse what is behind the equals sign of a card."""
    body = body.strip(" \0")
    if body.startswith("'"):
        match = _QUOTED.match(body)
        return _text(match[1].replace("''", "'").rstrip(" \0")) if match else None
    word = body.partition("/")[0].rstrip()
    if _INTEGER.fullmatch(word):
        return int(word)
    if _REAL.fullmatch(word):
        return float(word.upper().replace("D", "E"))
    if word in ("T", "F"):
        return word == "T"
    # A string without quotes may have slashes; the comment's has a blank before.
    return _text(body.partition(" /")[0].rstrip()) if word else None


def _text(text: str) -> str:
    """Give a string that was read byte by byte its proper letters, if it was written in UTF-8.

    What cannot be printed (FITS forbids it: control characters, and with them commands to a terminal) is a question
    mark, or a blank if it is some other kind of space.
    """
    if not text.isascii():
        with contextlib.suppress(UnicodeDecodeError):
            text = text.encode("latin-1").decode("utf-8")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)


def as_number(value: object) -> float | None:
    """Read a finite number, also from a text, with a unit behind or not; None if it is none."""
    if isinstance(value, str) and len(value) <= CARD and (match := _NUMBER.fullmatch(value.strip())):
        value = float(match[1].upper().replace("D", "E"))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def as_angle(value: object) -> tuple[float, bool, str] | None:
    """Read an angle, as a number or in sexagesimal text.

    Returns
    -------
    tuple of float, bool, str, or None
        Its size in the unit it is written in, whether it is sexagesimal, its letter of the compass if it has one.
    """
    match = _ANGLE.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= CARD else None
    if match is None:
        number = as_number(value)
        return None if number is None else (number, False, "")
    first, sign, whole, minutes, seconds, last = match.groups()
    # One dialect separates even the fraction of the seconds by a colon.
    of_hour, of_minute = float(minutes or 0), float(re.sub("[:,]", ".", seconds or "0"))
    if max(of_hour, of_minute) > 60:  # 60.0 is what is written where seconds are rounded
        return None
    size = float(whole) + of_hour / 60 + of_minute / 3600
    letter = (first or last or "").upper()
    return (-size if sign == "-" else size), minutes is not None, letter


def first(
    cards: Mapping[str, object], keywords: tuple[str, ...], low: float, high: float, notes: list[str]
) -> tuple[str, float | None]:
    """Give the first of some keywords that has a number from `low` to `high`, and the number; note impossible ones."""
    for keyword in keywords:
        value = cards.get(keyword)
        if value is None or value == "":
            continue
        number = as_number(value)
        if number is not None and low <= number <= high:
            return keyword, number
        notes.append(f"{keyword} = {value} is not possible and was not taken")
    return keywords[0], None


def first_angle(
    cards: Mapping[str, object], keywords: tuple[str, ...], limit: float, notes: list[str]
) -> tuple[str, float | None]:
    """Give the first of some keywords that has an angle within ± `limit` degrees, and the angle, south negative."""
    for keyword in keywords:
        value = cards.get(keyword)
        if value is None or value == "":
            continue
        angle = as_angle(value)
        if angle is not None and abs(angle[0]) <= limit:
            return keyword, -abs(angle[0]) if angle[2] == "S" else angle[0]
        notes.append(f"{keyword} = {value} is not possible and was not taken")
    return keywords[0], None
