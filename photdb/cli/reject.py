"""`photdb reject` and `photdb accept`: leave out frames, sources, apertures or their conjunctions, and take it back."""

import shlex
from typing import TYPE_CHECKING

import click

from photdb.cli.common import Console, console_options, table
from photdb.cli.terminal import echo_block
from photdb.wording import count, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from photdb.store.arrays import Aperture

reason_option = click.option("--reason", default="by hand", show_default=True, help="Why, for later.")
source_option = click.option("--source", "label", metavar="NAME", help="Only for this source.")
aperture_option = click.option(
    "--aperture", "apertures", metavar="N|APERTURE", multiple=True, help="Only in this aperture; may be repeated."
)


@click.group()
def reject_command() -> None:
    """Leave out frames, sources or apertures. No measurement is lost; `photdb accept` takes it back.

    \b
    Example:
      photdb reject frames 283-310 1292-1295 --source Ganymed --reason "crosses a star"
    """


@reject_command.command("frames")
@click.argument("intervals", nargs=-1, required=True)
@source_option
@aperture_option
@reason_option
@console_options
def reject_frames(
    console: Console, intervals: tuple[str, ...], label: str | None, apertures: tuple[str, ...], reason: str
) -> None:
    """Leave out frames by number, such as 17 or 283-310, both ends included.

    \b
    Example:
      photdb reject frames 283-310 1292-1295 --reason "the asteroid crosses a star"
    """
    from photdb.store.decisions import reject
    from photdb.store.typed import frame_ids, frame_numbers

    with console.writing() as project, project.transaction() as connection:
        wanted = frame_numbers(connection, intervals)
        source_id, aperture_ids = _ids(connection, label, apertures)
        ids = frame_ids(connection, wanted)
        n = sum(reject(connection, frames=ids, source=source_id, aperture=a, reason=reason) for a in aperture_ids)
        role = None
        if label is not None:
            role = connection.exec_driver_sql("SELECT role FROM source WHERE id = ?", (source_id,)).scalar()
    known = len(wanted) * len(aperture_ids) - n
    before = f" ({known} of them rejected before)" if known else ""
    console.say(f"Rejected frame {numbers(wanted, most=100)}{_scope(label, apertures)}{before}.")
    if role == "reference":
        console.say(
            f"All combinations are compared on frames where every reference counts: these frames leave the comparison."
            f" If they are many, drop the star instead: photdb reject source {shlex.quote(label or '')}"
        )


@reject_command.command("source")
@click.argument("label", metavar="NAME")
@aperture_option
@reason_option
@console_options
def reject_source(console: Console, label: str, apertures: tuple[str, ...], reason: str) -> None:
    """Leave out a source, altogether or in one aperture.

    \b
    Example:
      photdb reject source R3 --reason "drifts all night"
    """
    from photdb.store.decisions import reject

    with console.writing() as project, project.transaction() as connection:
        source_id, aperture_ids = _ids(connection, label, apertures)
        n = sum(reject(connection, source=source_id, aperture=a, reason=reason) for a in aperture_ids)
    console.say(f"{'Rejected' if n else 'Was rejected already:'} {label}{_scope(None, apertures)}.")


@reject_command.command("aperture")
@click.argument("aperture", metavar="N|APERTURE")
@reason_option
@console_options
def reject_aperture(console: Console, aperture: str, reason: str) -> None:
    """Leave out an aperture, by its number or its radii.

    \b
    Example:
      photdb reject aperture 8,12,25 --reason "takes in the neighbour"
    """
    from photdb.store.decisions import reject

    with console.writing() as project, project.transaction() as connection:
        _, (aperture_id,) = _ids(connection, None, [aperture])
        n = reject(connection, aperture=aperture_id, reason=reason)
    console.say(f"{'Rejected' if n else 'Was rejected already:'} aperture {aperture}.")


@reject_command.command("list")
@console_options
def reject_list(console: Console) -> None:
    """List what is left out, by whom, and why; and rules that the user overruled.

    \b
    Example:
      photdb reject list
    """
    from photdb.store.arrays import read_apertures

    with console.reading() as project:
        rows = project.connection.exec_driver_sql(
            "SELECT e.kind, e.frame, e.source, e.aperture_id, coalesce(u.text, e.reason) AS reason, e.overruled"
            " FROM excluded e LEFT JOIN active_rule u ON u.id = e.rule_id ORDER BY e.since, reason, e.frame"
        ).all()
        names = {a.id: f"{a.id} ({_short(a)})" for a in read_apertures(project.connection, removed=True)}
    groups: dict[tuple[object, ...], list[int]] = {}
    for row in rows:
        aperture = names.get(row.aperture_id)
        key = (row.kind, row.source, aperture, row.reason, "accepted all the same" if row.overruled else "left out")
        groups.setdefault(key, [])
        if row.frame is not None:
            groups[key].append(row.frame)
    lines = [
        (kind, numbers(frames, most=100) or None, source, aperture, what, reason)
        for (kind, source, aperture, reason, what), frames in groups.items()
    ]
    if lines:
        echo_block(table(("by", "frames", "source", "aperture", "state", "reason"), lines))
    else:
        console.say("Nothing is left out.")


@click.group()
def accept_command() -> None:
    """Take rejections back; a frame that a rule rejects stands against it from now on.

    \b
    Example:
      photdb accept frames 283-310
    """


@accept_command.command("frames")
@click.argument("intervals", nargs=-1, required=True)
@source_option
@aperture_option
@click.option("--undo", is_flag=True, help="Take an earlier accept back: rules decide on these frames again.")
@console_options
def accept_frames_command(
    console: Console, intervals: tuple[str, ...], label: str | None, apertures: tuple[str, ...], undo: bool
) -> None:
    """Take frames in again; they stand against all rules from now on, those to come included.

    \b
    Example:
      photdb accept frames 283-310
    """
    from photdb.store.decisions import accept_frames, leave_to_rules, rejections, withdraw
    from photdb.store.typed import frame_ids, frame_numbers

    if undo and (label is not None or apertures):
        raise click.UsageError("--undo is about whole frames: give no --source and no --aperture")
    with console.writing() as project, project.transaction() as connection:
        wanted = frame_numbers(connection, intervals)
        ids = frame_ids(connection, wanted)
        source_id, aperture_ids = _ids(connection, label, apertures)
        against = 0
        if undo:
            said = f"Took back {count(leave_to_rules(connection, ids), 'accept')}."
        elif source_id is None and not apertures:
            n, against = accept_frames(connection, ids)
            said = f"Took back {count(n, 'rejection')}."
        else:
            found = [
                r["id"]
                for r in rejections(connection)
                if r["frame_id"] in ids and r["source_id"] == source_id and r["aperture_id"] in aperture_ids
            ]
            withdraw(connection, found)
            said = f"Took back {count(len(found), 'rejection')}{_scope(label, apertures)}."
        out = connection.exec_driver_sql("SELECT number FROM frame_status WHERE NOT accepted").scalars()
        still = sorted(set(wanted).intersection(out))
    console.say(said)
    if against:
        console.say(f"{count(against, 'frame')} now accepted against a rule.")
    if still:
        console.say(f"Left out all the same: frame {numbers(still, most=100)} (`photdb reject list` says why).")


@accept_command.command("source")
@click.argument("label", metavar="NAME")
@aperture_option
@console_options
def accept_source(console: Console, label: str, apertures: tuple[str, ...]) -> None:
    """Take a source in again.

    \b
    Example:
      photdb accept source R3
    """
    _accept(console, label, apertures)


@accept_command.command("aperture")
@click.argument("aperture", metavar="N|APERTURE")
@console_options
def accept_aperture(console: Console, aperture: str) -> None:
    """Take an aperture in again.

    \b
    Example:
      photdb accept aperture 8,12,25
    """
    _accept(console, None, (aperture,))


def _accept(console: Console, label: str | None, apertures: tuple[str, ...]) -> None:
    from photdb.store.decisions import rejections, withdraw

    with console.writing() as project, project.transaction() as connection:
        source_id, aperture_ids = _ids(connection, label, apertures)
        found = [
            r["id"]
            for r in rejections(connection)
            if (r["frame_id"], r["source_id"]) == (None, source_id) and r["aperture_id"] in aperture_ids
        ]
        withdraw(connection, found)
    console.say(f"Took back {count(len(found), 'rejection')}.")


def _ids(
    connection: "Connection", label: str | None, apertures: "Sequence[str]"
) -> tuple[int | None, list[int | None]]:
    """Give the ids of a source and of apertures; [None] stands for all of these."""
    from photdb.store.decisions import aperture_id, source_id

    return (
        None if label is None else source_id(connection, label),
        [aperture_id(connection, text) for text in dict.fromkeys(apertures)] or [None],
    )


def _short(aperture: "Aperture") -> str:
    return f"r {aperture.radius_px:g}" if (aperture.kind, aperture.sky) == ("fixed", "median") else aperture.label


def _scope(label: str | None, apertures: "Sequence[str]") -> str:
    return (f" for {label}" if label else "") + (f" in aperture {' '.join(apertures)}" if apertures else "")
