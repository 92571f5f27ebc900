"""`photdb sql`: any question to the project, answered by SQLite itself, and nothing but questions."""

import csv
import io
import json
import math
import sqlite3
from typing import Any

import click

from photdb.cli.common import Console, console_options, table
from photdb.errors import PhotdbError

_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
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
        try:
            cursor = raw.execute(query)
            names = [column[0] for column in cursor.description or ()]
            rows = cursor.fetchall()
        except (sqlite3.Error, sqlite3.Warning) as error:
            if "not authorized" in str(error) or "prohibited" in str(error):
                raise PhotdbError(f"`photdb sql` only reads ({error})") from error
            raise PhotdbError(f"SQLite says: {error}") from error
        finally:
            raw.set_authorizer(None)
    if form == "json":
        click.echo(json.dumps([dict(zip(names, map(_finite, row), strict=True)) for row in rows], indent=1))
    elif form == "csv":
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([names, *(map(_plain, row) for row in rows)])
        click.echo(out.getvalue(), nl=False)
    else:
        click.echo(table(names, [[_shown(v) for v in row] for row in rows]))


def _authorize(action: int, first: str | None, second: str | None, database: str | None, inner: str | None) -> int:
    if action == sqlite3.SQLITE_FUNCTION and second == "load_extension":
        return sqlite3.SQLITE_DENY
    if action in _ALLOWED or (action == sqlite3.SQLITE_PRAGMA and first in _TELLING):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _finite(value: Any) -> Any:
    """Give what JSON can hold: it knows no infinity."""
    return None if value in (math.inf, -math.inf) else _plain(value)


def _shown(value: Any) -> Any:
    """Take control characters out, which could steer a terminal."""
    value = _plain(value)
    return "".join(c if c.isprintable() else " " for c in value) if isinstance(value, str) else value
