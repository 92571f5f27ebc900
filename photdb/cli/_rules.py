"""Options that set rules, such as `--min-range 8000`, and the list of the frames that rules reject."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from photdb.cli.common import Console
from photdb.cli.terminal import echo
from photdb.cli.values import given_value, number, or_none
from photdb.wording import count, numbers

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from photdb.store.project import Project

#: Option: stage, metric, operator of what is rejected, help.
RULES = {
    "min_range": ("qc", "range_adu", "<", "Reject frames with a smaller dynamic range (max − min), ADU."),
    "max_nonuniformity": ("qc", "nonuniformity_adu", ">", "Reject frames with a less uniform background, ADU."),
    "max_background": ("qc", "background_adu", ">", "Reject frames with a brighter background, ADU."),
    "max_fwhm": ("qc", "fwhm_px", ">", "Reject frames with wider stars, pixels."),
    "max_elongation": ("qc", "elongation", ">", "Reject frames with more elongated stars (1: round)."),
    "min_stars": ("qc", "n_stars", "<", "Reject frames with fewer stars."),
    "max_residual": ("shifts", "residual_px", ">", "Reject frames whose stars fit the shift worse, pixels."),
    "min_matched": ("shifts", "n_matched", "<", "Reject frames with fewer matched stars."),
}


def rule_options(stage: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the rule options of a stage to a command."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for name, (of, _, _, text) in reversed(RULES.items()):
            if of == stage:
                command = click.option(
                    f"--{name.replace('_', '-')}", name, type=or_none(number(least=0)), help=f"{text} `none` ends it."
                )(command)
        return command

    return add


def set_rules(project: "Project", given: dict[str, Any]) -> None:
    """Put the rules that were given in force, before any work: they hold even if the work is interrupted."""
    with project.transaction() as connection:
        put_rules(connection, given)


def put_rules(connection: "Connection", given: dict[str, Any]) -> None:
    """Put rules in force, inside a transaction."""
    from photdb.store.decisions import set_rule

    for name, value in given.items():
        if value is not None:
            stage, metric, operator, _ = RULES[name]
            set_rule(connection, stage, metric, operator, given_value(value))


def print_rejected(console: Console, project: "Project", stage: str) -> None:
    """List the frames that a stage's rules reject, and those that the user accepted all the same."""
    rows = project.connection.exec_driver_sql(
        "SELECT u.text AS rule, e.frame, e.overruled FROM active_rule u LEFT JOIN excluded e ON e.rule_id = u.id"
        " WHERE u.stage = ? ORDER BY u.id, e.frame",
        (stage,),
    ).all()
    for rule in dict.fromkeys(row.rule for row in rows):
        hit = [row.frame for row in rows if row.rule == rule and row.frame is not None and not row.overruled]
        kept = [row.frame for row in rows if row.rule == rule and row.frame is not None and row.overruled]
        text = f"{rule} rejects {count(len(hit), 'frame')}" + (f": {numbers(hit, most=100)}" if hit else "")
        echo(text + (f" (accepted all the same: {numbers(kept, most=100)})" if kept else ""))
    n, accepted = project.connection.exec_driver_sql("SELECT count(*), total(accepted) FROM frame_status").one()
    console.say(f"{int(accepted)} of {count(n, 'frame')} accepted.")
