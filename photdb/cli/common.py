"""What commands share: finding the project, opening it, saying things, showing progress and tables."""

import contextlib
import functools
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photdb.cli._damage import damage_said
from photdb.cli._progress import progress_shown
from photdb.cli.terminal import echo
from photdb.cli.values import Whole
from photdb.errors import PhotdbError, ProjectError
from photdb.wording import printable

if TYPE_CHECKING:
    from photdb.stages.runner import Session
    from photdb.store.project import Project

#: So many are worth a pool of processes, or nearly.
_MANY_FRAMES = 300
#: After so many steps SQLite gives up counting.
_GLANCE_OPS = 100_000_000


@dataclass
class Console:
    """The project that a command works on, and what it says beside its data."""

    given: str | None
    verbosity: int

    def path(self) -> Path:
        """Find the project: as given, else the only one in this folder.

        Raises
        ------
        ProjectError
            There is none, or there are several.
        """
        if self.given is not None:
            return Path(self.given)
        here = sorted(Path.cwd().glob("*.photdb"))
        if len(here) == 1:
            return here[0]
        if not here:
            raise ProjectError(
                "no project: make one with `photdb init FRAMES`, go to its folder, or name it with -p or PHOTDB_PROJECT"
            )
        names = ", ".join(path.name for path in here)
        raise ProjectError(f"several projects here ({names}): choose one with -p or PHOTDB_PROJECT")

    def say(self, message: str) -> None:
        """Tell the user something, unless -q."""
        if self.verbosity >= 0:
            echo(message, err=True)

    def detail(self, message: str) -> None:
        """Tell the user something with -v."""
        if self.verbosity >= 1:
            echo(message, err=True)

    @contextlib.contextmanager
    def reading(self) -> "Iterator[Project]":
        """Open the project to look at it: in one state, whatever another process commits meanwhile."""
        from photdb.store.connection import driver
        from photdb.store.project import Project

        with Project.read(self.path()) as project:
            with damage_said(project):
                driver(project.connection).execute("BEGIN")
                yield project  # closing ends it

    @contextlib.contextmanager
    def locked(self, command: str) -> "Iterator[Project]":
        """Open the project to change it; others are told that `command` does so."""
        from photdb.store.project import Project

        with Project.write(self.path(), f"photdb {command}") as project, damage_said(project):
            yield project

    @contextlib.contextmanager
    def writing(self) -> "Iterator[Project]":
        """Open the project to change it, with a row in its history."""
        typed = click.get_current_context().find_root().obj
        with self.locked(typed[0]) as project, project.recorded(typed[0], typed[1:]):
            yield project

    @contextlib.contextmanager
    def creating(self, path: Path, **facts: Any) -> "Iterator[Project]":
        """Make a project, with a row in its history; it appears when what is inside has succeeded."""
        from photdb.store.project import Project

        typed = click.get_current_context().find_root().obj
        with Project.create(path, f"photdb {typed[0]}", **facts) as project, project.recorded(typed[0], typed[1:]):
            yield project
            project.publish()

    def expect_work(self, workers: int | str | None, table: str) -> None:
        """Let a pool of processes get ready while this one imports what it needs, if many frames are to be worked on.

        Parameters
        ----------
        workers : int or str, optional
            As for `session`.
        table : str
            Which rows the work makes, of each frame some.
        """
        if isinstance(workers, str) or (workers or os.cpu_count() or 1) == 1:
            return
        # A glance, with no lock and nothing but Python's own: whatever is wrong will be said by who opens it properly.
        with contextlib.suppress(sqlite3.Error):
            uri = f"{self.path().absolute().as_uri()}?mode=ro&immutable=1"
            sql = f"SELECT (SELECT count(*) FROM frame) - (SELECT count(DISTINCT frame_id) FROM {table})"  # noqa: S608
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
                database.set_progress_handler(lambda: 1, _GLANCE_OPS)  # whatever the file holds, it is a glance
                (n_frames,) = database.execute(sql).fetchone()
            if n_frames >= _MANY_FRAMES:
                from photdb.executors import prepare
                from photdb.stages import NEEDED_BY_WORKERS

                prepare(NEEDED_BY_WORKERS)

    @contextlib.contextmanager
    def session(self, workers: int | str | None = None) -> "Iterator[Session]":
        """Give what stages need to run.

        Parameters
        ----------
        workers : int or str, optional
            How many processes, or the address of a Dask scheduler, as `workers_options` gives it.

        Raises
        ------
        PhotdbError
            At the end, if something could not be done while everything else was.
        """
        from photdb.executors import Workers
        from photdb.stages import NEEDED_BY_WORKERS
        from photdb.stages.runner import Session

        where = {"scheduler": workers} if isinstance(workers, str) else {"n_workers": workers}
        with Workers(**where, preload=NEEDED_BY_WORKERS) as started:
            session = Session(started, self.say, self.progress)
            yield session
        if session.problems:
            raise PhotdbError("; ".join(session.problems) + ": everything else is done")

    def progress(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show how far work is: a bar on a terminal, a line now and then elsewhere."""
        if self.verbosity < 0 or total == 0:
            return contextlib.nullcontext(lambda done: None)
        return progress_shown(label, total)


def say_unknown_gain(console: Console, project: "Project") -> None:
    """Say that errors rest on an estimate or a guess, where nobody gave the gain."""
    from photdb.stages.camera import camera_sentence
    from photdb.store.facts import session_number

    sentence = camera_sentence(project.connection)
    if sentence is not None:
        console.say(sentence[0].upper() + sentence[1:] + ("" if "photdb set" in sentence else "."))
    elif session_number(project.connection, "gain_e_per_adu") is None:
        console.say(
            "The gain is not known: errors count 1 e/ADU until `photdb check` estimates it from the frames. If you know"
            " it: photdb set --gain E_PER_ADU"
        )


def console_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add -p, -v and -q, and give the command a `console`."""

    @click.option(
        "-p",
        "--project",
        "project_path",
        envvar="PHOTDB_PROJECT",
        metavar="PATH",
        help="The project. Without it: PHOTDB_PROJECT, else the only *.photdb in this folder.",
    )
    @click.option("-v", "--verbose", is_flag=True, help="Say more.")
    @click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
    @functools.wraps(command)
    def wrapped(*args: Any, project_path: str | None, verbose: bool, quiet: bool, **kwargs: Any) -> None:
        command(*args, console=Console(project_path, verbose - quiet), **kwargs)

    return wrapped


def workers_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add -j and --scheduler, and give the command `workers`: a number, the address of a scheduler, or None."""

    @click.option(
        "-j",
        "--workers",
        "n_workers",
        type=Whole(1, 256),
        metavar="N",
        help="How many processes work on frames; the cores by default. The results are the same.",
    )
    @click.option(
        "--scheduler",
        envvar="PHOTDB_SCHEDULER",
        metavar="ADDRESS",
        help="Have the workers of a Dask cluster work on frames: tcp://HOST:PORT of its scheduler. They need"
        " photdb[dask] in the same versions, and the frames under the same path. Without it: PHOTDB_SCHEDULER, unless"
        " -j is given.",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, n_workers: int | None, scheduler: str | None, **kwargs: Any) -> None:
        if n_workers is not None and scheduler is not None:
            if click.get_current_context().get_parameter_source("scheduler") is click.core.ParameterSource.COMMANDLINE:
                raise click.UsageError("-j and --scheduler exclude each other: the cluster has its own workers")
            scheduler = None
        command(*args, workers=scheduler or n_workers, **kwargs)

    return wrapped


web_option = click.option(
    "--web", is_flag=True, help="Open the window in a browser, as is done by itself where there is no display."
)


def only_by_itself(context: click.Context) -> None:
    """See that options of a group that opens a window are not given beside one of its subcommands.

    Raises
    ------
    click.UsageError
        One is: it would be without effect.
    """
    for name in context.params:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("give options behind the subcommand")


default_option = click.option(
    "--default", "use_default", is_flag=True, help="Give up the options of earlier runs: those not given now."
)


def stage_options(name: str, given: dict[str, Any], *, use_default: bool) -> dict[str, Any]:
    """Give the options for a run: those given, and with --default the defaults for the rest."""
    from photdb.stages import STAGES

    return (dict(STAGES[name].defaults) if use_default else {}) | {k: v for k, v in given.items() if v is not None}


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lay out rows under headings: numbers to the right, text to the left; None is a dash."""
    cells = [["-" if v is None else printable(str(v)) for v in row] for row in rows]
    right = [
        any(row[i] is not None for row in rows) and all(row[i] is None or _numeric(row[i]) for row in rows)
        for i in range(len(headings))
    ]
    widths = [max(len(h), *(len(row[i]) for row in cells)) if cells else len(h) for i, h in enumerate(headings)]
    lines = [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in [list(headings), *cells]
    ]
    return "\n".join(lines)


def _numeric(text: Any) -> bool:
    try:
        float(str(text))
    except ValueError:
        return False
    return True


def fixed(value: float | None, digits: int) -> str | None:
    """Format a number with so many digits behind the point; None stays None."""
    return None if value is None else f"{value:.{digits}f}"


def mmag(value: float | None) -> str | None:
    """Format magnitudes as millimagnitudes."""
    return fixed(None if value is None else 1000 * value, 2)
