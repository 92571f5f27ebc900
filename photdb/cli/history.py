"""`photdb history`: every command that changed the project."""

import shlex

import click

from photdb.cli.common import Console, console_options
from photdb.cli.terminal import echo, echo_data


@click.command()
@click.option("--as-script", is_flag=True, help="Print a shell script that repeats the session to the same numbers.")
@console_options
def history_command(console: Console, as_script: bool) -> None:
    """List the commands that changed the project, with their times and outcomes; or as a script that repeats them.

    The script reads the frames from $FRAMES, where they are now by default, and makes a new project, $PROJECT.

    \b
    Example:
      photdb history
      photdb history --as-script > again.sh; PROJECT=/tmp/again.photdb sh again.sh
    """
    from photdb.cli._replay import script, typed

    if as_script:
        with console.reading() as project:
            echo_data(script(project))
        return
    with console.reading() as project:
        rows = project.connection.exec_driver_sql(
            "SELECT at, command, arguments, version, user, host, outcome FROM history ORDER BY id"
        ).all()
    for row in rows:
        line = shlex.join(["photdb", row.command, *typed(row.arguments)])
        who = f"{row.user or '?'}@{row.host}, photdb {row.version}"
        state = row.outcome or "killed, or still at work"
        echo(f"{row.at}  {line}" + ("" if state == "ok" else f"   [{state}]"))
        console.detail(f"    {who}")
