"""The types of options: numbers within limits, and `none` to give up what was set."""

import re
from collections.abc import Callable
from typing import Any

import click


def number(
    *, above: float | None = None, least: float | None = None, most: float | None = None
) -> Callable[[Any], float]:
    """Make the type of an option: a finite number within limits."""

    def convert(value: Any) -> float:
        try:
            if not str(value).isascii() or "_" in str(value):  # Python would take 1_5 for 15, and ٣ for 3
                raise ValueError
            number = float(value)
        except ValueError:
            raise click.BadParameter(f"{value!r} is not a number.") from None
        if not abs(number) < float("inf"):
            raise click.BadParameter(f"{value!r} is not a finite number.")
        if above is not None and number <= above:
            raise click.BadParameter(f"{value} is not above {above:g}.")
        if least is not None and number < least:
            raise click.BadParameter(f"{value} is below {least:g}.")
        if most is not None and number > most:
            raise click.BadParameter(f"{value} is above {most:g}.")
        return number

    convert.__name__ = "number"
    return convert


class Whole(click.IntRange):
    """The type of an option: a whole number within limits."""

    name = "whole number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take digits, and nothing else that Python would read as a number."""
        if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]{1,18}", value):
            self.fail(f"{value!r} is not a whole number.", param, ctx)
        return super().convert(value, param, ctx)


def or_none(inner: Callable[[Any], Any], *more: str) -> Callable[[Any], Any]:
    """Make the type of an option that also takes words, as `none` to give up what was set; the value is then that."""

    def convert(value: Any) -> Any:
        return value if value in ("none", *more) else inner(value)

    convert.__name__ = "|".join(("text" if inner is str else "number", *more, "none"))
    return convert


def given_value(value: Any) -> Any:
    """Turn the string 'none' into None."""
    return None if value == "none" else value
