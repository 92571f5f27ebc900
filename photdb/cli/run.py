"""`photdb run`: everything that is outstanding, in order."""

import click

from photdb.cli.common import Console, console_options, workers_options


@click.command()
@workers_options
@console_options
def run_command(console: Console, workers: int | str | None) -> None:
    """Bring every stage up to date, as far as the decisions made allow.

    \b
    Example:
      photdb run
    """
    from photdb.cli.solve import print_solutions
    from photdb.stages import STAGES
    from photdb.stages.runner import plan, run

    with console.writing() as project, console.session(workers) as session:
        for name in STAGES:
            blocked = plan(project, name).blocked
            if blocked is not None:
                console.say(f"{name}: {blocked}")
                break
            run(project, name, session)
        else:
            print_solutions(console, project, most=1)
