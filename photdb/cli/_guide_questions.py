"""The questions of `photdb guide` where there is no screen: each answer is done as the command that it stands for."""

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from photdb.cli.common import Console
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
        command_line(*words, *(["-q"] if console.verbosity < 0 else []))


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
    click.echo(f"{question}: ", nl=False)
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        raise Left
    if not sys.stdin.isatty():
        click.echo(line.rstrip("\n"))  # what a terminal would have shown
    return line.strip()


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
        from photdb.store.project import Project

        with Project.write(self.console.path(), "photdb guide") as project, project.transaction():
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
        answer = ask(
            "Stars of the whole frame (1, or Enter), without parts of it (2 X0 Y0 X1 Y1 …), or of a part (3 X0 Y0 X1 Y1)"
        )
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
        self._threshold("shifts", "residual_px", ">", "--max-residual", "Largest residual of a shift in pixels")
        self._reject_frames("Frames to reject after the shifts; Enter for none")

    def select(self) -> None:
        """Select sources in words, until an empty line."""
        click.echo(
            "A line a source: asteroid NAME FRAME X Y FRAME X Y, variable NAME FRAME X Y, reference FRAME X Y,\n"
            "check FRAME X Y, reference auto 7, remove NAME, list. FRAME is a number, first or last; Enter goes on."
        )
        while answer := ask("select"):
            try:
                self._select(shlex.split(answer))
            except ValueError:
                click.echo(f"Error: {answer!r} has a quotation mark without its pair", err=True)
            except PhotdbError as error:
                click.echo(f"Error: {error}", err=True)
            except click.ClickException as error:
                error.show()
        self.need_sources()

    def measure(self) -> None:
        """Measure, in apertures as typed."""
        answer = ask("Apertures as RADIUS,INNER,OUTER in pixels, such as 3,8,40 4,8,40; Enter for those by the FWHM")
        words = answer.split()
        self.call("measure", *(["--apertures", *words] if words else []))

    def check(self) -> None:
        """Judge the references, until all are fine."""
        self.call("check")
        while answer := ask("References to drop, such as R1 R3; Enter if all are fine"):
            for label in shlex.split(answer):
                self.call("reject", "source", *(["--", label] if label.startswith("-") else [label]))
            self.call("check")

    def solve(self) -> None:
        """Solve; leave apertures and frames out, and solve again."""
        self.call("solve")
        while True:
            apertures = ask("Apertures to reject, such as 9,13,18; Enter for none").split()
            for aperture in apertures:
                self.call("reject", "aperture", aperture)
            words = 0
            for target in self._labels("asteroid", "variable"):
                frames = ask(f"Frames to reject for {target}, such as 283-310 1292-1295; Enter for none").split()
                words += len(frames)
                if frames:
                    self.call("reject", "frames", *frames, f"--source={target}")
            if not apertures and not words:
                return
            self.call("solve")

    def export(self) -> None:
        """Write everything into a folder."""
        if folder := ask("Folder for the tables of the night; Enter for none"):
            self.call("export", *(["--", folder] if folder.startswith("-") else [folder]))

    # --- parts of them ------------------------------------------------------------------------------------------------
    def _threshold(self, stage: str, metric: str, operator: str, option: str, question: str) -> None:
        now = self._one("SELECT value FROM active_rule WHERE metric = ? AND operator = ?", metric, operator)
        keep = "Enter for none" if now is None else f"Enter for {now:g}, none for none"
        if answer := ask(f"{question}; {keep}"):
            self.call(stage, option, answer)

    def _reject_frames(self, question: str) -> None:
        if answer := ask(question):
            self.call("reject", "frames", *answer.replace(",", " ").split())

    def _select(self, words: list[str]) -> None:
        role, *rest = words
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
                    click.echo(f"{label[0]} needs a position in another frame, far from this one.")
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
        if not self._labels("asteroid", "variable"):
            raise PhotdbError("no target is selected yet: an asteroid, or a variable")
        if not self._labels("reference"):
            raise PhotdbError("no reference is selected yet: `reference auto 7`, say")
