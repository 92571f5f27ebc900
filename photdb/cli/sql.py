"""`photdb sql`: any question to the project, answered by SQLite itself, and nothing but questions."""

import csv
import io
import json
import math
import sqlite3
from typing import Any

import click

from photdb.cli.common import Console, console_options, table
from photdb.cli.terminal import echo, echo_block, echo_data
from photdb.errors import PhotdbError

_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
#: Functions that are in some builds of SQLite and reach beyond the project.
_REACHING = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}
#: A text or blob is at most so long, an answer that must be held whole has so many rows.
_MOST_BYTES = 100_000_000
_MOST_ROWS = 1_000_000
#: How often, in steps of SQLite, an interruption is looked for: some hundred times a second.
_LOOK_UP_OPS = 200_000
#: Pragmas that only tell.
_TELLING = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"}


@click.command()
@click.argument("query")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@console_options
def sql_command(console: Console, query: str, form: str) -> None:
    """Ask the project with SQL. It is read only: nothing can be written, attached or loaded.

    \b
    Example:
      photdb sql "SELECT frame, jd_utc_mid, mag, mag_err FROM best_light_curve"
      photdb sql "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')"
    """
    from photdb.store.connection import driver
    from photdb.store.project import Project

    with Project.read_any_revision(console.path()) as project:
        raw = driver(project.connection)
        raw.set_authorizer(_authorize)
        raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
        # SQLite itself hears no Ctrl-C: it comes while this is called, which then ends the query.
        raw.set_progress_handler(lambda: 0, _LOOK_UP_OPS)
        try:
            _answer(raw.execute(query), form)
        except (sqlite3.Error, sqlite3.Warning) as error:
            if "not authorized" in str(error) or "prohibited" in str(error):
                raise PhotdbError(f"`photdb sql` only reads ({error})") from error
            if str(error) == "interrupted":
                echo("Interrupted.", err=True)
                click.get_current_context().exit(130)
            raise PhotdbError(f"SQLite says: {error}") from error
        finally:
            raw.set_authorizer(None)


def _answer(cursor: sqlite3.Cursor, form: str) -> None:
    names = [column[0] for column in cursor.description or ()]
    if form == "csv":
        rows: list[Any] = [names]
        while rows:
            out = io.StringIO()
            csv.writer(out, lineterminator="\n").writerows([*map(_plain, row)] for row in rows)
            echo_data(out.getvalue())
            rows = cursor.fetchmany(10_000)
        return
    rows = cursor.fetchmany(_MOST_ROWS + 1)
    if len(rows) > _MOST_ROWS:
        raise PhotdbError(f"the answer has more than {_MOST_ROWS} rows: add a LIMIT, or take --format csv")
    if form == "json":
        echo_block(json.dumps([dict(zip(names, map(_finite, row), strict=True)) for row in rows], indent=1))
    else:
        echo_block(table(names, [[_plain(v) for v in row] for row in rows]))


def _authorize(action: int, first: str | None, second: str | None, database: str | None, inner: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _REACHING:
        return sqlite3.SQLITE_DENY
    if action in _ALLOWED or (action == sqlite3.SQLITE_PRAGMA and first in _TELLING):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _finite(value: Any) -> Any:
    """Give what JSON can hold: it knows no infinity."""
    return None if value in (math.inf, -math.inf) else _plain(value)
