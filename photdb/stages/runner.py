"""Runs stages: resolves their options, brings what they read up to date first, logs each run, commits in batches."""

import contextlib
import functools
import json
import platform
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection

from photdb import __version__
from photdb.errors import PhotdbError
from photdb.interruptions import held_back
from photdb.stages import Plan, stage_named
from photdb.store.connection import driver, insert_row
from photdb.store.lock import now
from photdb.store.project import Project
from photdb.wording import count

if TYPE_CHECKING:
    from photdb.executors import Workers

Result = TypeVar("Result")

#: A commit waits for the disk, some 16 ms: more often would be slow, less often would lose more.
COMMIT_FRAMES = 256
COMMIT_S = 0.5


def _silent(message: str) -> None:
    """Say nothing."""


def _no_progress(label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
    return contextlib.nullcontext(lambda done: None)


def _in_process() -> "Workers":
    from photdb.executors import Workers

    return Workers(1)


@dataclass
class Session:
    """What a command's runs need beside the project: workers, where to say what is done, and what has been done."""

    workers: "Workers" = field(default_factory=_in_process)
    say: Callable[[str], None] = _silent
    progress: Callable[[str, int], AbstractContextManager[Callable[[int], None]]] = _no_progress
    done: set[str] = field(default_factory=set)  # stages brought up to date by this command
    problems: list[str] = field(default_factory=list)  # what could not be done, while everything else was


def resolve(connection: Connection, name: str, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Give a stage's options: those given, else those of its last run, else the defaults.

    The last run is the last one that succeeded or was killed, so that a killed run goes on as it was. One that was
    interrupted by hand counts only where there is no other: a mistyped option is forgotten with its Ctrl-C.
    """
    last = (
        driver(connection)
        .execute(
            "SELECT params FROM stage_run WHERE stage = ? AND coalesce(outcome, 'ok') IN ('ok', 'interrupted')"
            " ORDER BY outcome IS 'interrupted', id DESC LIMIT 1",
            (name,),
        )
        .fetchone()
    )
    params = dict(stage_named(name).defaults)
    if last is not None:
        params.update({key: value for key, value in json.loads(last[0]).items() if key in params})
    params.update(given or {})
    return params


def plan(project: Project, name: str, given: Mapping[str, Any] | None = None) -> Plan:
    """Say what a stage has to do, as far as its upstream stages have got."""
    made: Plan = stage_named(name).module.plan(project, resolve(project.connection, name, given))
    return made


def run(project: Project, name: str, session: Session, given: Mapping[str, Any] | None = None) -> Plan:
    """Bring a stage up to date, and before it all that it reads.

    Files that cannot be read stop nothing: they are named in `session.problems`, and stay work.

    Returns
    -------
    Plan
        What there was to do.

    Raises
    ------
    PhotdbError
        The stage, or one before it, cannot be done; what was finished is kept.
    KeyboardInterrupt
        Likewise; its argument says in words what was finished.
    """
    for upstream in stage_named(name).upstream:
        if upstream not in session.done:
            run(project, upstream, session)
    todo = plan(project, name, given)
    if todo.blocked is not None:
        raise PhotdbError(todo.blocked)
    with _logged(project, name, todo):
        if todo.work:
            for reason in todo.reasons:
                session.say(f"{name}: {reason}")
            stage_named(name).module.run(project, todo, session)
    session.done.add(name)
    return todo


@contextlib.contextmanager
def _logged(project: Project, name: str, todo: Plan) -> Iterator[None]:
    values = {
        "stage": name,
        "version": stage_named(name).version,
        "params": json.dumps(todo.params, sort_keys=True),
        "started_at": now(),
        "n_units": len(todo.work),
        "photdb_version": __version__,
    }
    sql = "SELECT outcome, params FROM stage_run WHERE stage = ? ORDER BY id DESC LIMIT 1"
    last = driver(project.connection).execute(sql, (name,)).fetchone()
    if not todo.work and last == ("ok", values["params"]):
        yield
        return
    with project.transaction() as connection:
        run_id = insert_row(connection, "stage_run", {**values, "libraries": _libraries()})
    with project.outcome("stage_run", run_id):
        yield


@functools.cache
def _libraries() -> str:
    from importlib.metadata import distribution, version

    versions = {}
    for name in ("numpy", "scipy", "astropy", "sqlalchemy"):
        # `version` parses their whole descriptions, some 4 ms in all.
        found = re.search(r"^Version: (\S+)", distribution(name).read_text("METADATA") or "", re.MULTILINE)
        versions[name] = found[1] if found else version(name)
    return json.dumps({"python": sys.version.split()[0], **versions, "machine": platform.machine()})


def save_in_batches(
    project: Project,
    session: Session,
    label: str,
    results: Iterable[tuple[int, Result]],
    n_frames: int,
    save: Callable[[Connection, list[Result]], None],
) -> None:
    """Take results as they come, and commit them every 256 frames or half a second.

    Parameters
    ----------
    project, session
        Where to save, and where to show progress.
    label : str
        What the progress is called.
    results : iterable of (int, Result)
        Each with the number of frames it stands for.
    n_frames : int
        How many frames there are in all.
    save : callable
        Called inside a transaction with the results of a batch.

    Raises
    ------
    KeyboardInterrupt
        After what had come was committed; its argument says how much that was.
    """
    pending: list[Result] = []
    n_pending = n_done = 0
    last_commit = time.monotonic()

    def commit() -> None:
        nonlocal n_pending, last_commit
        if pending:
            with held_back():  # else Ctrl-C might come where no transaction could be ended
                with project.transaction() as connection:
                    save(connection, pending)
                pending.clear()
        n_pending, last_commit = 0, time.monotonic()

    with session.progress(label, n_frames) as advance:
        try:
            for n, result in results:
                pending.append(result)
                n_pending += n
                n_done += n
                if n_pending >= COMMIT_FRAMES or time.monotonic() - last_commit > COMMIT_S:
                    commit()
                advance(n)
            commit()
        except KeyboardInterrupt:
            commit()
            raise KeyboardInterrupt(f"{label}: {count(n_done, 'frame')} of {n_frames} done and kept") from None
        except PhotdbError:  # a worker died
            commit()
            raise
