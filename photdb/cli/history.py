"""`photdb history`: every command that changed the project."""

import json
import shlex

import click

from photdb.cli.common import Console, console_options


@click.command()
@console_options
def history_command(console: Console) -> None:
    """List the commands that changed the project, with their times and outcomes.

    \b
    Example:
      photdb history
    """
    with console.reading() as project:
        rows = project.connection.exec_driver_sql(
            "SELECT at, command, arguments, version, user, host, outcome FROM history ORDER BY id"
        ).all()
    for row in rows:
        line = shlex.join(["photdb", row.command, *json.loads(row.arguments)])
        who = f"{row.user or '?'}@{row.host}, photdb {row.version}"
        state = row.outcome or "killed, or still at work"
        click.echo(f"{row.at}  {line}" + ("" if state == "ok" else f"   [{state}]"))
        console.detail(f"    {who}")
