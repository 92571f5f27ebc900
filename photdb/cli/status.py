"""`photdb status`: what is done, what is out of date and why, and what to type next."""

import json
from typing import TYPE_CHECKING, Any

import click

from photdb.cli.common import Console, console_options, table
from photdb.cli.terminal import echo, echo_block
from photdb.wording import count

if TYPE_CHECKING:
    from photdb.store.project import Project


@click.command()
@click.option("--check", is_flag=True, help="Exit with 3 if anything is out of date.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@console_options
def status_command(console: Console, check: bool, as_json: bool) -> None:
    """Show each stage: done, or out of date and why; when it ran, with what options; and the next command.

    \b
    Example:
      photdb status
    """
    with console.reading() as project:
        stages, following = _stages(project)
        facts = _facts(project)
    if as_json:
        echo_block(json.dumps({**facts, "stages": stages, "next": following}, indent=1))
    else:
        echo(
            f"{facts['name']}: {count(facts['frames'], 'frame')}, {facts['accepted']} accepted;"
            f" {', '.join(count(n, role) for role, n in facts['sources'].items()) or 'no sources yet'}"
        )
        rows = [(s["stage"], s["state"], s["when"], s["options"]) for s in stages]
        echo_block(table(("stage", "state", "last run", "options"), rows))
        for s in stages:
            for text in (*s["reasons"], *s["notes"]):
                echo(f"{s['stage']}: {text}")
        echo(f"Next: {following}" if following else "Everything is up to date.")
    if check and any(s["state"] != "done" for s in stages):
        click.get_current_context().exit(3)


def _facts(project: "Project") -> dict[str, Any]:
    connection = project.connection
    n, accepted = connection.exec_driver_sql("SELECT count(*), total(accepted) FROM frame_status").one()
    roles = connection.exec_driver_sql(
        "SELECT role, count(*) FROM source WHERE removed_at IS NULL GROUP BY role ORDER BY role"
    )
    return {
        "name": connection.exec_driver_sql("SELECT name FROM project").scalar_one(),
        "frames": n,
        "accepted": int(accepted),
        "sources": {role: k for role, k in roles.all()},
    }


def _stages(project: "Project") -> tuple[list[dict[str, Any]], str | None]:
    """Plan every stage; gives their states, and the command to type next."""
    from photdb.stages import STAGES
    from photdb.stages.runner import plan

    out: list[dict[str, Any]] = []
    waiting: list[str] = []
    blocked: list[str] = []
    following = None
    # What `noise` reads holds what the others read, which then is read once.
    plans = {name: plan(project, name) for name in dict.fromkeys(("noise", *reversed(STAGES)))}
    for name, stage in STAGES.items():
        made = plans[name]
        last = project.connection.exec_driver_sql(
            "SELECT started_at, finished_at, outcome FROM stage_run WHERE stage = ? ORDER BY id DESC LIMIT 1", (name,)
        ).first()
        before = [upstream for upstream in stage.upstream if upstream in waiting]
        stopped = next((upstream for upstream in stage.upstream if upstream in blocked), None)
        if made.blocked is not None:
            state, reasons = "waits", [made.blocked]
            blocked.append(name)
            following = following or ("photdb reject list" if "reject list" in made.blocked else _NEXT.get(name))
        elif stopped is not None:
            state, reasons = "waits", [f"for {stopped}"]
            blocked.append(name)
        elif made.work:
            state, reasons = "out of date" if last is not None else "to do", made.reasons
            if name not in _NO_COMMAND:  # those are done on the way
                following = following or f"photdb {name if name != 'headers' else 'run'}"
        elif before:
            state, reasons = "waits", [f"for {before[0]}"]
        else:
            state, reasons = "done", []
        if state != "done":
            waiting.append(name)
        given = {k: v for k, v in made.params.items() if v != stage.defaults.get(k) and v}
        out.append(
            {
                "stage": name,
                "state": state,
                "unit": stage.unit,
                "units": made.n_units,
                "work": len(made.work),
                "reasons": reasons,
                "notes": made.notes,
                "when": last.started_at[:19].replace("T", " ") if last is not None else None,
                "outcome": last.outcome if last is not None else None,
                "options": " ".join(f"{k}={_plain(v)}" for k, v in given.items()) or None,
            }
        )
    return out, following or ("photdb run" if waiting else None)


def _plain(value: Any) -> str:
    """Write an option's value without Python's brackets."""
    return ",".join(map(_plain, value)) if isinstance(value, list | tuple) else f"{value}"


#: Stages that later ones do on their way.
_NO_COMMAND = ("camera", "times", "noise")
#: What to do where a stage cannot start.
_NEXT = {
    "shifts": "photdb reject list",
    "measure": "photdb select",
    "check": "photdb select reference --auto 7",
    "solve": "photdb select",
}
