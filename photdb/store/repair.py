"""Putting a project right in its own file, without losing a decision; `salvage` does where that is not safe."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from photdb.store import migrate
from photdb.store.inspection import fresh_statements, open_raw, tidy
from photdb.store.project import history_row
from photdb.store.row_checks import Finding
from photdb.wording import count


def repair(path: Path, findings: Sequence[Finding], *, keep: bool = True) -> list[str]:
    """Cure findings in the file, after a safety copy (unless `keep` is false); the caller holds the project's lock.

    Returns
    -------
    list of str
        What was done, in sentences.

    Raises
    ------
    ProjectError
        There is no room for the safety copy; nothing is changed.
    """
    cures = {finding.cure for finding in findings}
    said = []
    if "tidy" in cures:
        tidy(path)
        said.append("what commands that were killed had left beside the project is gone")
    if not cures & {"rollback mode", "mark", "reindex", "views", "drop"}:
        return said
    with closing(open_raw(path, write=True)) as raw:
        if keep:
            copy = migrate.copy_project(raw, path, "before-repair")
            said.append(f"{copy.name} is the project as it was")
        raw.execute("PRAGMA foreign_keys=ON")
        if "rollback mode" in cures:
            raw.execute("PRAGMA journal_mode=DELETE")
            said.append("the project is one file again")
        raw.execute("BEGIN IMMEDIATE")
        for statement in (s for f in findings if f.cure == "drop" for s in f.statements):
            n = raw.execute(statement).rowcount
            said.append(f"{count(n, 'row')} dropped: {statement.split()[2]}")
        if "reindex" in cures:
            _make_indices(raw)
            said.append("all indices are made anew")
        if cures & {"views", "mark"}:
            migrate.make_face(raw)
            said.append("all views are made anew, and the file is marked as photdb's")
        record(raw)
        raw.execute("COMMIT")
    return said


def record(raw: sqlite3.Connection) -> None:
    """Keep a row of the history for a repair."""
    row = history_row("check-project", ["--repair"]) | {"outcome": "ok"}
    sql = f"INSERT INTO history ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"  # noqa: S608 - names of ours
    raw.execute(sql, tuple(row.values()))


def _make_indices(raw: sqlite3.Connection) -> None:
    there = {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")}
    for (kind, name), statement in fresh_statements().items():
        if kind == "index":
            if name in there:
                raw.execute(f"DROP INDEX {name}")
            raw.execute(statement)
    raw.execute("REINDEX")
