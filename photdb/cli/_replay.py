"""The history of a project as a shell script that repeats it, from the frames to the same numbers."""

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from photdb.cli._rules import RULES
from photdb.errors import PhotdbError

if TYPE_CHECKING:
    from photdb.store.project import Project

#: Options that say where and how a command works, not what it does.
_ELSEWHERE: Final = {"project_path", "verbose", "quiet", "n_workers", "scheduler", "interactive", "web", "apply_all"}
#: Parameters that decide something before the work begins, and so even if the work does not end.
_DECIDING: Final = {*RULES, "reference_frame", "apertures", "more", "radii", "annulus", "kinds", "sky"}
#: Commands that are not repeated: what `guide` did stands there as other commands, and frames and file are others then.
_LEFT_OUT: Final = {"guide", "relocate", "check-project"}
#: What a history holds, `init` and `add` apart; of a project that came from a stranger nothing else is repeated.
_REPEATED: Final = {
    *("set", "qc", "shifts", "select", "measure", "check", "reject", "accept", "solve", "run", "times", "suggest")
}
#: Where decisions are kept, and the columns that say when they were made.
_STAMPS: Final = {
    "rule": ("created_at", "withdrawn_at"),
    "aperture": ("created_at", "removed_at"),
    "source": ("created_at", "removed_at"),
    "rejection": ("created_at", "withdrawn_at"),
    "acceptance": ("created_at", "withdrawn_at"),
    "frame": ("added_at",),
}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A command of the history, and what it left."""

    command: str
    arguments: list[str]
    outcome: str | None
    added: list[str]  # paths of frames
    decided: bool
    runs: list[tuple[str, str | None]]  # stages it ran, with their outcomes
    worked: bool  # there was something to do for a stage of the night's own


def script(project: "Project", *, for_others: bool = False) -> str:
    """Write the session as a POSIX shell script.

    Frames come from the folder `$FRAMES` (where they are now) and go into a new project `$PROJECT`. Commands that
    failed or were interrupted are comments, unless they had decided something before, which is then repeated.

    Parameters
    ----------
    project : Project
    for_others : bool
        Do not tell where the frames are here: whoever runs it must say where they are there.

    Raises
    ------
    PhotdbError
        The history does not begin with `photdb init`.
    """
    entries = list(_history(project))
    if not entries or entries[0].command != "init":
        raise PhotdbError("the project's history does not begin with `photdb init`: it cannot be repeated")
    versions = project.connection.exec_driver_sql("SELECT DISTINCT version FROM history ORDER BY id").scalars().all()
    name = project.path.stem
    lines = [
        "#!/bin/sh",
        _comment(f"Repeats the session of {project.path.name}, from its frames to the same numbers."),
        _comment(f"photdb {', '.join(versions)}. FRAMES and PROJECT can be given in the environment."),
        "set -eu",
        "FRAMES=${FRAMES:?is the folder of the frames: give it in the environment}"
        if for_others
        else f"FRAMES=${{FRAMES:-{shlex.quote(str(project.frame_folder))}}}",
        f"PROJECT=${{PROJECT:-{shlex.quote(name + '-again.photdb')}}}",
        'export PHOTDB_PROJECT="$PROJECT"',
        "",
    ]
    known: set[Path] = set()
    finished: set[str] = set()  # stages whose options are remembered from a run that ended
    for entry in entries:
        if entry.command in ("init", "add"):
            files = [project.frame_folder / path for path in entry.added]
            if files:
                lines.append(_frames_command(entry, project.frame_folder, files, known))
            known.update(_normal(file) for file in files)
        elif entry.command in _REPEATED:
            lines += [_with_ephemeris(project, entry, line) for line in _command(entry, finished)]
        elif entry.command not in _LEFT_OUT:
            lines.append(_comment(f"not a command of photdb's history: {entry.command}"))
        finished.update(stage for stage, outcome in entry.runs if outcome in (None, "ok"))
    return "\n".join(lines) + "\n"


def _history(project: "Project") -> Iterator[_Entry]:
    from photdb.stages import STAGES

    query = project.connection.exec_driver_sql
    rows = query("SELECT at, command, arguments, outcome FROM history ORDER BY id").all()
    runs = query("SELECT started_at, stage, outcome, n_units FROM stage_run ORDER BY id").all()
    frames = query("SELECT added_at, path FROM frame ORDER BY number").all()
    stamps = [
        at
        for table, columns in _STAMPS.items()
        for column in columns
        for at in query(f"SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL").scalars()  # noqa: S608
    ]
    ends = [row.at for row in rows[1:]] + ["~"]  # after all times
    for row, end in zip(rows, ends, strict=True):
        yield _Entry(
            row.command,
            typed(row.arguments),
            row.outcome,
            [path for at, path in frames if row.at <= at < end],
            any(row.at <= at < end for at in stamps),
            [(stage, outcome) for at, stage, outcome, _ in runs if row.at <= at < end],
            any(row.at <= at < end and stage in STAGES and n for at, stage, _, n in runs),
        )


def typed(arguments: str) -> list[str]:
    """Read the arguments of a row of the history; what no photdb wrote is one argument."""
    try:
        words = json.loads(arguments)
    except (ValueError, TypeError):
        words = None
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return words
    return [str(arguments)]


def _command(entry: _Entry, finished: set[str]) -> list[str]:
    """Write a command, or why it is not repeated."""
    # What `suggest --apply` does stands behind it, as `reject`; on its way apertures may have been chosen.
    if entry.command == "suggest" and not entry.worked:
        return []
    parts = list(_parts(entry.command, entry.arguments))
    typed = [word for name, words in parts if name not in _ELSEWHERE for word in words]
    if entry.outcome in (None, "ok"):
        return [_line(entry.command, typed)]
    said = _comment(f"{entry.outcome}: {_line(entry.command, typed)}")
    own = [outcome for stage, outcome in entry.runs if stage == entry.command]
    deciding = [word for name, words in parts if name in _DECIDING for word in words]
    # When apertures came into force or went is no longer known once a later `measure` has changed it back.
    if not entry.decided and not entry.runs and not (entry.command == "measure" and deciding):
        return [said]
    if any(outcome != "ok" for outcome in own) and (entry.command in finished or "interrupted" not in own):
        # Of a run that did not end, options are forgotten; what was decided before it is not, nor what it stood on, in
        # which apertures and the reference frame may have been chosen.
        before = [stage for stage, outcome in entry.runs if stage not in ("headers", entry.command) and outcome == "ok"]
        again = _line(entry.command, deciding) if deciding else _line(before[-1], []) if before else None
        return [said, *([again + " || true"] if again is not None else [])]
    return [said, _line(entry.command, typed) + " || true"]


def _frames_command(entry: _Entry, folder: Path, files: list[Path], known: set[Path]) -> str:
    """Write `init` or `add`: of folders where these stand for just these frames, else of each frame."""
    options = [
        word
        for name, words in _parts(entry.command, entry.arguments)
        if name not in _ELSEWHERE and name != "frames"
        for word in words
    ]
    parents = list(dict.fromkeys(file.parent for file in files))
    given = parents if _listing(parents) - known == {_normal(file) for file in files} else files
    places = [_place(path, folder) for path in given]
    break_ = " \\\n    " if len(places) > 3 else " "
    return break_.join([" ".join(["photdb", entry.command, *map(shlex.quote, options)]), *places])


def _with_ephemeris(project: "Project", entry: _Entry, line: str) -> str:
    """Have `photdb times --ephemeris` read the rows that the project holds, wherever the file is by now."""
    parts = list(_parts(entry.command, entry.arguments)) if entry.command == "times" else []
    files = [words[-1].partition("=")[2] or words[-1] for name, words in parts if name == "ephemeris"]
    if not files or line.startswith("#"):
        return line
    labels = [words[-1] for name, words in parts if name == "label"]
    rows = project.connection.exec_driver_sql(
        "SELECT jd_utc, e.ra_deg, e.dec_deg, distance_au FROM ephemeris e JOIN source s ON s.id = source_id"
        " WHERE s.removed_at IS NULL AND s.label = coalesce(?, s.label) ORDER BY jd_utc",
        (labels[0] if labels else None,),
    ).all()
    if not rows:  # it was given up later
        return _comment(f"its table is not kept any more: {line}")
    typed = [word for name, words in parts if name not in {*_ELSEWHERE, "ephemeris"} for word in words]
    table = "\n".join(" ".join(repr(v) for v in row if v is not None) for row in rows)
    name = f'"$EPHEMERIDES"/{shlex.quote(Path(files[-1]).name)}'
    command = " ".join([f"photdb times --ephemeris {name}", *map(shlex.quote, typed)])
    return f"EPHEMERIDES=$(mktemp -d)\ncat > {name} <<'END'\n{table}\nEND\n{command}\nrm -r \"$EPHEMERIDES\""


def _place(path: Path, folder: Path) -> str:
    if not Path(path).is_relative_to(folder):  # it was given by its whole path
        return shlex.quote(str(path))
    inside = Path(path).relative_to(folder).as_posix()
    return '"$FRAMES"' + ("" if inside == "." else "/" + shlex.quote(inside))


def _listing(folders: Sequence[Path]) -> set[Path]:
    from photdb.frames import find_frames

    try:
        return {_normal(path) for path in find_frames(folders)}
    except (PhotdbError, OSError):  # gone, or empty by now
        return set()


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path))


def _line(command: str, arguments: Iterable[str]) -> str:
    return shlex.join(["photdb", command, *arguments])


def _comment(text: str) -> str:
    """Keep a text in its comment: what follows a line break would be a command."""
    return "# " + "".join(c if c.isprintable() else " " for c in text)


def _parts(name: str, arguments: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Part arguments as typed into those of each parameter: its name in the code, and its words."""
    from photdb.cli import cli

    root = click.Context(cli)
    command = cli.get_command(root, name)
    waiting = list(arguments)
    while isinstance(command, click.Group) and waiting:
        yield "subcommand", waiting[:1]
        command = command.get_command(root, waiting.pop(0))
    options: dict[str, Any] = {}
    positional = "frames"
    for parameter in command.params if command is not None else []:
        if isinstance(parameter, click.Option):
            options |= dict.fromkeys(parameter.opts + parameter.secondary_opts, parameter)
        else:
            positional = parameter.name or ""
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            yield positional, [word, *waiting]
            return
        flag, joined = word, False
        if word.startswith("--") and "=" in word:
            flag, joined = word.partition("=")[0], True
        elif len(word) > 2 and word[0] == "-" and word[1] != "-" and word[:2] in options:
            flag = word[:2]
            joined = not options[flag].is_flag
            if not joined and len(word) > 2:  # several flags in one, such as -vq
                waiting.insert(0, "-" + word[2:])
                word = flag
        option = options.get(flag)
        if option is None:
            yield positional, [word]
            continue
        n_values = 0 if option.is_flag else option.nargs - joined
        yield option.name or "", [word, *waiting[:n_values]]
        del waiting[:n_values]
