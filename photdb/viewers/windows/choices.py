"""What the windows of stages decide, as a value: rules, what is left out by hand, regions. A change gives a new one.

Nothing here knows of matplotlib or of a project: `changes` says what leads from one to another in commands as they are
typed, and `photdb.cli._stage_window` does them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.errors import PhotdbError
from photdb.viewers.quality import Rule
from photdb.wording import numbers

Bools = NDArray[np.bool_]
#: What a rejection leaves out: a frame by its number, a source by its label, an aperture by its id; None: all.
Scope = tuple[int | None, str | None, int | None]
#: Corners, as options take them.
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Choices:
    """All that is decided: rules, rejections, frames accepted against rules, and regions of the stage."""

    rules: tuple[Rule, ...] = ()
    rejected: frozenset[Scope] = frozenset()
    accepted: frozenset[int] = frozenset()
    region: Rectangle | None = None
    exclude: tuple[Rectangle, ...] = ()

    def limit(self, metric: str, operator: str) -> float | None:
        """Give the value of a rule; None where there is none."""
        return next((r.value for r in self.rules if (r.metric, r.operator) == (metric, operator)), None)


@dataclass(frozen=True)
class Facts:
    """What rules go by: frames in time order, whether they can be used at all, and their metrics (n,)."""

    number: NDArray[np.int64]
    jd_utc_mid: NDArray[np.float64]
    usable: Bools
    metrics: Mapping[str, NDArray[np.float64]]
    _places: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._places.update({int(n): i for i, n in enumerate(self.number)})

    def place(self, number: int) -> int:
        """Give the place of a frame by its number."""
        return self._places[number]

    def hit(self, rule: Rule) -> Bools:
        """Tell which frames a rule rejects (n,)."""
        values = self.metrics[rule.metric]
        return values < rule.value if rule.operator == "<" else values > rule.value

    def ruled(self, choices: Choices) -> Bools:
        """Tell which frames any rule rejects, whether or not they are accepted against it (n,)."""
        return np.any([self.hit(rule) for rule in choices.rules], axis=0) if choices.rules else self.usable & False

    def left(self, choices: Choices) -> Bools:
        """Tell which frames are accepted (n,)."""
        rejected, accepted = np.zeros(self.number.size, bool), np.zeros(self.number.size, bool)
        rejected[[self.place(n) for n, source, p in choices.rejected if n is not None and source is None is p]] = True
        accepted[[self.place(n) for n in choices.accepted]] = True
        return self.usable & ~rejected & (accepted | ~self.ruled(choices))


def with_limit(choices: Choices, metric: str, operator: str, value: float | None) -> Choices:
    """Put a rule in force in place of the one before; None ends it."""
    rules = [r for r in choices.rules if (r.metric, r.operator) != (metric, operator)]
    if value is not None:
        rules.append(Rule(metric, operator, value))
    return replace(choices, rules=tuple(sorted(rules, key=lambda r: (r.metric, r.operator))))


def rejected(choices: Choices, frames: Iterable[int], source: str | None = None) -> Choices:
    """Leave out frames, altogether or for one source."""
    numbers = frozenset(int(n) for n in frames)
    more = frozenset((n, source, None) for n in numbers)
    accepted = choices.accepted - numbers if source is None else choices.accepted
    return replace(choices, rejected=choices.rejected | more, accepted=accepted)


def taken_back(choices: Choices, frames: Iterable[int], facts: Facts, initial: Choices) -> Choices:
    """Take frames in again: against rules too, where these reject them, and where they were rejected in the project.

    The latter is what `photdb accept frames` does with them.
    """
    numbers = {int(n) for n in frames}
    ruled = facts.ruled(choices)
    against = {n for n in numbers if ruled[facts.place(n)] or (n, None, None) in initial.rejected}
    return replace(
        choices,
        rejected=choices.rejected - {(n, None, None) for n in numbers},
        accepted=choices.accepted | against,
    )


def toggled(choices: Choices, scope: Scope) -> Choices:
    """Leave a source, an aperture, or one of these in a frame out; or take it in again."""
    return replace(choices, rejected=choices.rejected ^ {scope})


def is_out(choices: Choices, source: str | None, aperture: int | None) -> bool:
    """Tell whether a source is left out in an aperture, in all frames."""
    return bool(choices.rejected & {(None, source, None), (None, None, aperture), (None, source, aperture)})


def mask(choices: Choices, facts: Facts, sources: Sequence[str], apertures: Sequence[int]) -> Bools:
    """Tell what is left of magnitudes (frame, source, aperture) when that is taken out which is rejected by hand.

    Sources and apertures that are left out for the whole night stay in: see `is_out`.
    """
    out = np.zeros((facts.number.size, len(sources), len(apertures)), bool)
    for number, source, aperture in choices.rejected:
        if number is None or (source is None and aperture is None):
            continue
        k = slice(None) if source is None else sources.index(source) if source in sources else None
        p = slice(None) if aperture is None else apertures.index(aperture) if aperture in apertures else None
        if k is not None and p is not None:
            out[facts.place(number), k, p] = True
    return ~out


# --- what it is in commands -------------------------------------------------------------------------------------------
#: What is done, in the order in which it is done.
_VERBS: Final = ("reject", "accept", "undo")


@dataclass(frozen=True, slots=True)
class Change:
    """Something rejected or taken in again: frames (of a source, in an aperture), or a source or an aperture."""

    verb: str
    frames: tuple[int, ...] | None
    source: str | None
    aperture: int | None

    @property
    def command(self) -> str:
        """The command that does it."""
        return "reject" if self.verb == "reject" else "accept"

    def arguments(self, apertures: Mapping[int, str]) -> list[str]:
        """Give it as that command takes it; apertures are named by their radii."""
        spec = [] if self.aperture is None else [apertures[self.aperture]]
        if self.frames is not None:
            words = ["frames", *intervals(self.frames)]
            words += [] if self.source is None else [f"--source={self.source}"]
            words += [f"--aperture={text}" for text in spec]
            return [*words, "--undo"] if self.verb == "undo" else words
        if self.source is None:
            return ["aperture", *spec]
        label = ["--", self.source] if self.source.startswith("-") else [self.source]
        return ["source", *(f"--aperture={text}" for text in spec), *label]


def changes(before: Choices, after: Choices) -> list[Change]:
    """Give what leads from one to the other in rejections and accepts."""
    found: dict[tuple[str, bool, str | None, int | None], list[int]] = {}

    def note(verb: str, number: int | None, source: str | None, aperture: int | None) -> None:
        key = (verb, number is not None, source, aperture)
        found.setdefault(key, [])
        if number is not None:
            found[key].append(number)

    for scope in after.rejected - before.rejected:
        note("reject", *scope)
    for number, source, aperture in before.rejected - after.rejected:
        note("accept", number, source, aperture)
    again = {n for n, source, aperture in before.rejected - after.rejected if source is None is aperture}
    for n in after.accepted - before.accepted - again:
        note("accept", n, None, None)
    # Frames rejected as a whole are no longer accepted against rules: that needs no word.
    for n in before.accepted - after.accepted:
        if (n, None, None) not in after.rejected:
            note("undo", n, None, None)
    keys = sorted(found, key=lambda key: (_VERBS.index(key[0]), key[1], key[2] or "", key[3] or 0))
    return [
        Change(verb, tuple(sorted(found[verb, of_frames, source, aperture])) if of_frames else None, source, aperture)
        for verb, of_frames, source, aperture in keys
    ]


def new_limits(before: Choices, after: Choices, options: Mapping[tuple[str, str], str]) -> dict[str, float | str]:
    """Give the options that lead from the rules of one to those of the other; `none` ends a rule."""
    out: dict[str, float | str] = {}
    for (metric, operator), option in options.items():
        value = after.limit(metric, operator)
        if value != before.limit(metric, operator):
            out[option] = "none" if value is None else value
    return out


def intervals(frames: Sequence[int]) -> list[str]:
    """Write frame numbers as commands take them: `3`, `17-20`."""
    runs: list[list[int]] = []
    for n in sorted(frames):
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    return [f"{a}" if a == b else f"{a}-{b}" for a, b in runs]


def rounded(value: float, step: float) -> float:
    """Round a value as finely as a step of the screen lets choose it."""
    if not step > 0:
        return value
    digits = -int(np.floor(np.log10(step)))
    return float(round(value, digits)) if digits > 0 else float(round(value / 10**-digits) * 10**-digits)


def rectangle(x0: Any, y0: Any, x1: Any, y1: Any, width: int, height: int) -> Rectangle:
    """Make a rectangle of two corners in any order, within a frame."""
    (left, right), (low, top) = sorted((x0, x1)), sorted((y0, y1))
    return (
        int(min(max(round(left), 0), width - 1)),
        int(min(max(round(low), 0), height - 1)),
        int(min(max(round(right), 0), width - 1)),
        int(min(max(round(top), 0), height - 1)),
    )


def outline(box: Rectangle) -> list[tuple[int, int]]:
    """Give the corners of a rectangle, the first one again at the end."""
    x0, y0, x1, y1 = box
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]


def typed_frames(text: str, facts: Facts) -> list[int]:
    """Read frames as typed: `17 283-310`.

    Raises
    ------
    PhotdbError
        There are no such frames.
    """
    found: list[int] = []
    known = set(facts.number.tolist())
    for word in text.replace(",", " ").split():
        first, _, last = word.partition("-")
        ends = [int(end) if end.isdecimal() else -1 for end in (first, last or first)]
        if not known.issuperset(ends) or ends[0] > ends[1]:
            raise PhotdbError(f"{word} is no frame nor interval: the frames are {numbers(sorted(known))}")
        found += sorted(n for n in known if ends[0] <= n <= ends[1])
    if not found:
        raise PhotdbError("no frame was typed")
    return found
