"""The windows of `qc`, `shifts`, `check` and `solve`: what they are given of the project, and what is done with it."""

import shlex
from typing import TYPE_CHECKING, Any

from photdb.cli._guide_questions import call
from photdb.cli._rules import RULES, print_rejected, put_rules
from photdb.cli.common import Console
from photdb.cli.terminal import echo
from photdb.errors import PhotdbError
from photdb.wording import numbers

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from photdb.store.project import Project
    from photdb.viewers.windows.choices import Change, Choices
    from photdb.viewers.windows.curves_window import CurvesWindow

_REASON = "by hand"


def decide_in_window(console: Console, stage: str, *, web: bool, aperture: str | None = None) -> bool:
    """Open the window of a stage, and do what was decided in it, as the commands do that are then in the history.

    Gives whether it was saved, not closed otherwise.

    The project is read before and written at the end: no other command has to wait while the window is open.
    """
    from photdb.viewers.windows.choices import changes, new_limits
    from photdb.viewers.windows.screen import show

    window = make_window(console, stage, aperture)
    before = window.state
    after = show(window, web=web, say=console.say)
    if after is None:
        console.say("Closed: nothing was changed.")
        return False
    if after == before:
        console.say("Nothing was changed.")
        return True
    with console.reading() as project:
        specs = _specs(project)
    limits = _limit_words(new_limits(before, after, _options()))
    if limits:
        console.say(shlex.join(["photdb", stage, *limits]))
    for change in changes(before, after):
        console.say(shlex.join(["photdb", change.command, *change.arguments(specs)]))
    for change in changes(before, after):
        _print_change(change, specs)
    regions = _region_words(stage, before, after)
    if regions or stage in ("check", "solve"):
        words = [stage, *regions, *(["--aperture", aperture] if aperture else [])]
        console.say(shlex.join(["photdb", *words]))
        call(console, *words)
    else:
        with console.reading() as project:
            print_rejected(console, project, stage)
    return True


def make_window(console: Console, stage: str, aperture: str | None = None) -> "CurvesWindow":
    """Make the window of a stage; that of `check` begins in the aperture that is given as by its option.

    Raises
    ------
    PhotdbError
        There is nothing to be shown in it.
    """
    from photdb.plots.decisions import compared_with, frame_reader, read_choices, read_facts, read_magnitudes
    from photdb.store.decisions import aperture_id
    from photdb.viewers.quality import read_quality
    from photdb.viewers.shifts import read_shift_curves
    from photdb.viewers.windows.limits_window import QualityWindow, ShiftsWindow
    from photdb.viewers.windows.magnitudes_window import AperturesWindow, ReferencesWindow

    with console.reading() as project:
        before = read_choices(project, stage)
        common = (before, read_facts(project), frame_reader(project))
        rest: dict[str, Any] = {"title": f"photdb {stage}: {project.path.stem}"}
        rest["save"] = lambda after: _save(console, stage, before, after)
        if stage == "qc":
            return QualityWindow(read_quality(project), *common, **rest)
        if stage == "shifts":
            return ShiftsWindow(read_shift_curves(project), *common, **rest)
        if stage == "check":
            magnitudes = read_magnitudes(project, "reference")
            if len(magnitudes.sources) < 2 or not magnitudes.apertures:
                raise PhotdbError("a reference is compared with the others: two or more are needed")
            p = 0 if aperture is None else magnitudes.apertures.index(aperture_id(project.connection, aperture))
            return ReferencesWindow(magnitudes, p, *common, **rest)
        references = compared_with(project)
        if not references:
            raise PhotdbError("no target is left: `photdb reject list`")
        return AperturesWindow(
            read_magnitudes(project, "asteroid", "variable", "reference"), references, *common, **rest
        )


def _save(console: Console, stage: str, before: "Choices", after: "Choices") -> None:
    """Write all that was decided but regions, which have frames read anew; all or nothing."""
    from photdb.plots.decisions import read_choices
    from photdb.viewers.windows.choices import changes, new_limits

    if after == before:
        return
    limits = new_limits(before, after, _options())
    with console.locked(stage) as project:
        if read_choices(project, stage) != before:
            raise PhotdbError("another command has decided something meanwhile: close this window and open it again")
        specs = _specs(project)
        with project.transaction() as connection:
            if limits:
                put_rules(connection, limits)
                project.record(stage, _limit_words(limits))
            for change in changes(before, after):
                _do(connection, change)
                project.record(change.command, change.arguments(specs))


def _do(connection: "Connection", change: "Change") -> None:
    from photdb.store.decisions import accept_frames, leave_to_rules, reject, rejections, source_id, withdraw
    from photdb.store.typed import frame_ids

    frames = None if change.frames is None else frame_ids(connection, change.frames)
    source = None if change.source is None else source_id(connection, change.source)
    scope = (source, change.aperture)
    if change.verb == "reject":
        reject(connection, frames=frames, source=source, aperture=change.aperture, reason=_REASON)
    elif change.verb == "undo":
        leave_to_rules(connection, frames or [])
    elif frames is not None and scope == (None, None):
        accept_frames(connection, frames)
    else:
        wanted = {None} if frames is None else set(frames)
        found = rejections(connection)
        withdraw(
            connection,
            [r["id"] for r in found if r["frame_id"] in wanted and (r["source_id"], r["aperture_id"]) == scope],
        )


def _specs(project: "Project") -> dict[int, str]:
    from photdb.store.arrays import read_apertures

    return {a.id: str(a) for a in read_apertures(project.connection)}


def _options() -> dict[tuple[str, str], str]:
    return {(metric, operator): name for name, (_, metric, operator, _) in RULES.items()}


def _limit_words(limits: dict[str, float | str]) -> list[str]:
    words: list[str] = []
    for name, value in limits.items():
        words += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else f"{value!r}".removesuffix(".0")]
    return words


def _region_words(stage: str, before: "Choices", after: "Choices") -> list[str]:
    """Give the options that lead to other regions; what is given up needs --default."""
    if (before.region, before.exclude) == (after.region, after.exclude):
        return []
    words = [] if after.region is None else ["--region", *map(str, after.region)]
    for box in after.exclude:
        words += ["--exclude", *map(str, box)]
    gone = (before.region and not after.region) or (before.exclude and not after.exclude)
    return ["--default", *words] if gone else words


def _print_change(change: "Change", specs: dict[int, str]) -> None:
    what = [] if change.frames is None else [f"frame {numbers(change.frames, most=100)}"]
    if change.source is not None:
        what.append(("for " if what else "") + change.source)
    if change.aperture is not None:
        what.append(("in " if what else "") + f"aperture {specs[change.aperture]}")
    done = {"reject": "Rejected", "accept": "Took back", "undo": "Left to the rules again:"}[change.verb]
    echo(f"{done} {' '.join(what)}.")
