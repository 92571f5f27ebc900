"""The questions of `photdb guide` where there is no screen: each answer is done as the command that it stands for."""

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from photdb.cli.common import Console
from photdb.cli.terminal import echo, echo_block
from photdb.errors import PhotdbError

_ROLES = ("asteroid", "variable", "reference", "check")


class Left(Exception):  # noqa: N818 - it is no error
    """The user has left the guide."""


def command_line(*words: str) -> None:
    """Run another command as if it were typed.

    Raises
    ------
    ClickException
        It was refused.
    Exit
        It was interrupted.
    """
    from photdb.cli import cli

    code = cli.main(list(words), prog_name="photdb", standalone_mode=False)
    if isinstance(code, int) and code:
        raise click.exceptions.Exit(code)


def call(console: Console, *words: str) -> None:
    """Run another command on the same project, as if it were typed; raises as `command_line`."""
    with _project_in_environment(str(console.path())):
        end = words.index("--") if "--" in words else len(words)
        command_line(*words[:end], *(["-q"] if console.verbosity < 0 else []), *words[end:])


@contextlib.contextmanager
def _project_in_environment(path: str) -> Iterator[None]:
    before = os.environ.get("PHOTDB_PROJECT")
    os.environ["PHOTDB_PROJECT"] = path
    try:
        yield
    finally:
        if before is None:
            del os.environ["PHOTDB_PROJECT"]
        else:
            os.environ["PHOTDB_PROJECT"] = before


def ask(question: str) -> str:
    """Ask for a line.

    Raises
    ------
    Left
        The input has ended.
    """
    echo(f"{question}: ", end="")
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        raise Left
    if not sys.stdin.isatty():
        echo(line.rstrip("\n"))  # what a terminal would have shown
    return line.strip()


def say_refused(error: PhotdbError | click.ClickException) -> None:
    """Say what is wrong with an answer; how the command is used is no matter here."""
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    echo(f"Error: {text}" + ("" if text.endswith((".", "?")) else "."), err=True)


def _answered(question: str, do: Callable[[str], None]) -> str:
    """Ask until an answer, which may be empty, can be done; gives it."""
    while True:
        answer = ask(question)
        try:
            do(answer)
        except (PhotdbError, click.ClickException) as error:
            say_refused(error)
        else:
            return answer


def _words(answer: str) -> list[str]:
    try:
        return shlex.split(answer)
    except ValueError:
        raise PhotdbError(f"{answer!r} has a quotation mark without its pair") from None


class Guide:
    """The steps as questions.

    Parameters
    ----------
    console : Console
        The project.
    workers : int, str or None
        As -j and --scheduler give it.
    """

    def __init__(self, console: Console, workers: int | str | None = None) -> None:
        self.console = console
        self._workers = [] if workers is None else ["--scheduler" if isinstance(workers, str) else "-j", str(workers)]
        self._waiting: dict[str, list[tuple[str, str, str]]] = {}  # positions of asteroids that need another one

    def call(self, command: str, *words: str) -> None:
        """Run a command on the project."""
        call(self.console, command, *words, *(self._workers if command in ("qc", "shifts", "measure") else []))

    # --- where one is -------------------------------------------------------------------------------------------------
    def where(self, steps: Sequence[str]) -> str:
        """Give the step to go on with."""
        last = self._one("SELECT arguments FROM history WHERE command = 'guide' ORDER BY id DESC LIMIT 1")
        step = steps[0] if last is None else str(json.loads(last)[-1])
        return step if step in steps else steps[0]

    def note(self, step: str) -> None:
        """Note in the history where to go on."""
        with self.console.locked("guide") as project, project.transaction():
            project.record("guide", ["--from", step])

    def _one(self, sql: str, *arguments: object) -> Any:
        with self.console.reading() as project:
            return project.connection.exec_driver_sql(sql, arguments).scalar()

    def _labels(self, *roles: str) -> list[str]:
        from photdb.store.arrays import read_sources

        with self.console.reading() as project:
            return [source.label for source in read_sources(project.connection, *roles)]

    # --- the steps ----------------------------------------------------------------------------------------------------
    def range(self) -> None:
        """Reject frames of a small dynamic range."""
        self.call("qc")
        self._threshold("qc", "range_adu", "<", "--min-range", "Least dynamic range in ADU, such as 8000")

    def uniformity(self) -> None:
        """Reject frames with a background that is not uniform."""
        self._threshold(
            "qc", "nonuniformity_adu", ">", "--max-nonuniformity", "Largest non-uniformity of the background in ADU"
        )

    def frames(self) -> None:
        """Reject frames by number."""
        self._reject_frames("Further frames to reject, such as 17 283-310; Enter for none")
        self.call("reject", "list")

    def shifts(self) -> None:
        """Compute the shifts: of the whole frame, without parts of it, or of a part."""
        _answered(
            "Stars of the whole frame (1 or Enter), without parts (2 X0 Y0 X1 Y1 …), or of a part (3 X0 Y0 X1 Y1)",
            self._shifts,
        )
        self._threshold("shifts", "residual_px", ">", "--max-residual", "Largest residual of a shift in pixels")
        self._reject_frames("Frames to reject after the shifts; Enter for none")

    def _shifts(self, answer: str) -> None:
        kind, *corners = answer.split() or ["1"]
        boxes = [corners[i : i + 4] for i in range(0, len(corners), 4)]
        if kind == "1" and not corners:
            self.call("shifts")
        elif kind == "2" and boxes and len(boxes[-1]) == 4:
            self.call("shifts", "--default", *(word for box in boxes for word in ("--exclude", *box)))
        elif kind == "3" and len(corners) == 4:
            self.call("shifts", "--default", "--region", *corners)
        else:
            raise PhotdbError("type 1, or 2 or 3 and corners: X0 Y0 X1 Y1, such as 2 500 380 700 560")

    def select(self) -> None:
        """Select sources in words, until an empty line."""
        echo_block(
            "A line a source: asteroid NAME FRAME X Y FRAME X Y, variable NAME FRAME X Y, reference FRAME X Y,\n"
            "check FRAME X Y, reference auto 7, remove NAME, list. FRAME is a number, first or last; Enter goes on."
        )
        while _answered("select", self._select):
            pass
        self.need_sources()

    def measure(self) -> None:
        """Measure, in apertures as typed."""
        _answered(
            "Apertures as RADIUS,INNER,OUTER in pixels, such as 3,8,40 4,8,40; Enter for those by the FWHM",
            lambda answer: self.call("measure", *(["--apertures", *answer.split()] if answer else [])),
        )

    def check(self) -> None:
        """Judge the references, until all are fine."""
        self.call("check")
        while _answered("References to drop, such as R1 R3; Enter if all are fine", self._drop):
            self.call("check")

    def _drop(self, answer: str) -> None:
        for label in _words(answer):
            self.call("reject", "source", *(["--", label] if label.startswith("-") else [label]))

    def solve(self) -> None:
        """Solve; leave apertures and frames out, and solve again."""
        self.call("solve")
        while True:
            answers = [_answered("Apertures to reject, such as 9,13,18; Enter for none", self._reject_apertures)]
            for target in self._labels("asteroid", "variable"):
                question = f"Frames to reject for {target}, such as 283-310 1292-1295; Enter for none"
                answers.append(self._reject_frames(question, f"--source={target}"))
            if not any(answers):
                return
            self.call("solve")

    def _reject_apertures(self, answer: str) -> None:
        for aperture in answer.split():
            self.call("reject", "aperture", aperture)

    def export(self) -> None:
        """Write everything into a folder."""
        _answered(
            "Folder for the tables of the night; Enter for none",
            lambda folder: self.call("export", "--", folder) if folder else None,
        )

    # --- parts of them ------------------------------------------------------------------------------------------------
    def _threshold(self, stage: str, metric: str, operator: str, option: str, question: str) -> None:
        now = self._one("SELECT value FROM active_rule WHERE metric = ? AND operator = ?", metric, operator)
        keep = "Enter for none" if now is None else f"Enter for {now:g}, none for none"
        _answered(f"{question}; {keep}", lambda answer: self.call(stage, option, answer) if answer else None)

    def _reject_frames(self, question: str, *options: str) -> str:
        def reject(answer: str) -> None:
            if words := answer.replace(",", " ").split():
                self.call("reject", "frames", *words, *options)

        return _answered(question, reject)

    def _select(self, answer: str) -> None:
        role, *rest = words = _words(answer) or [""]
        if not role:
            return
        if role == "list" and not rest:
            self.call("select", "list")
        elif role == "remove" and rest:
            self.call("select", "remove", *rest)
        elif role == "reference" and rest[:1] == ["auto"] and len(rest) == 2:
            self.call("select", "reference", "--auto", rest[1])
        elif role in _ROLES and rest:
            label = rest[:1] if len(rest) % 3 == 1 else []
            places = rest[len(label) :]
            at = [(places[i], places[i + 1], places[i + 2]) for i in range(0, len(places) // 3 * 3, 3)]
            if len(at) * 3 != len(places) or (role in ("asteroid", "variable") and not label):
                raise PhotdbError(f"type {role} NAME FRAME X Y")
            if role == "asteroid":
                at = self._waiting.setdefault(label[0], []) + at
                self._waiting[label[0]] = at
                if len(at) == 1:
                    echo(f"{label[0]} needs a position in another frame, far from this one.")
                    return
            options = [word for place in at for word in ("--at", *place)]
            self._waiting.pop(label[0], None) if role == "asteroid" else None
            self.call("select", role, *options, *(["--", *label] if label else []))
        else:
            raise PhotdbError(f"{' '.join(words)!r} is not known: {', '.join(_ROLES)}, remove or list come first")

    def need_sources(self) -> None:
        """See that there are a target and references.

        Raises
        ------
        PhotdbError
            There are not.
        """
        if self._waiting:
            raise PhotdbError(f"{next(iter(self._waiting))} needs a position in another frame, far from the first")
        if not self._labels("asteroid", "variable"):
            raise PhotdbError("no target is selected yet: an asteroid, or a variable")
        if not self._labels("reference"):
            raise PhotdbError("no reference is selected yet: `reference auto 7`, say")
