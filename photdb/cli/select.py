"""`photdb select`: asteroids, variables, references and check stars, by their positions."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from photdb.cli.common import Console, console_options, fixed, only_by_itself, table, web_option
from photdb.cli.terminal import echo_block
from photdb.cli.values import Whole, given_value, number, or_none
from photdb.errors import PhotdbError
from photdb.wording import count

if TYPE_CHECKING:
    from photdb.store.project import Project

At = tuple[tuple[str, float, float], ...]

#: What the names of stars begin with that need none: R1, R2, …
_LETTERS = {"reference": "R", "check": "C"}


@click.group(invoke_without_command=True)
@click.option("--auto", "n_auto", type=Whole(1, 32), metavar="N", help="Show N proposals in the window.")
@web_option
@console_options
@click.pass_context
def select_command(context: click.Context, console: Console, n_auto: int | None, web: bool) -> None:
    """Select sources: without a subcommand in a window, by the mouse; with one by their positions.

    In the window a right click selects, Enter saves, Escape leaves the project as it was, and h shows what else mouse
    and keys do. What it saves stands in the history as the commands below.

    Positions are 0-based pixels: the centre of a frame's first pixel is (0, 0). A position is snapped to the star under
    it. FRAME is a frame's number, or first, or last.

    \b
    Example:
      photdb select
      photdb select --web --auto 7
      photdb select asteroid Ganymed --at first 812.3 410.9 --at last 188.0 433.1
      photdb select reference --at first 402 377 --at first 120.5 88 --at first 611 290
      photdb select reference --auto 7
    """
    if context.invoked_subcommand is not None:
        only_by_itself(context)
        return
    from photdb.cli._select_window import select_in_window

    select_in_window(console, n_auto or 0, web=web)


def _position_options(*, needed: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def add(command: Callable[..., None]) -> Callable[..., None]:
        command = click.option("--no-snap", is_flag=True, help="Take positions as they are, not the star under them.")(
            command
        )
        command = click.option(
            "--one-based", is_flag=True, help="Positions count from (1, 1), as DS9 and IRAF show them."
        )(command)
        return click.option(
            "--at",
            multiple=True,
            nargs=3,
            required=needed,
            type=(str, number(), number()),
            metavar="FRAME X Y",
            help="Where it is in a frame, pixels; can be given several times. An asteroid needs two frames or more.",
        )(command)

    return add


def _catalogue_options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options for what a catalogue says of one source."""
    options = {
        "mag": click.option("--mag", type=or_none(number(least=-30, most=40)), help="Its catalogue magnitude."),
        "mag_err": click.option("--mag-err", type=or_none(number(least=0, most=10)), help="Error of it."),
        "band": click.option("--band", type=or_none(str), help="Band of it, such as V."),
        "colour": click.option(
            "--colour", type=or_none(number(least=-20, most=20)), help="Its colour index, such as B-V, the same of all."
        ),
    }

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for name in reversed(names):
            command = options[name](command)
        return command

    return add


@select_command.command("asteroid")
@click.argument("label", metavar="NAME")
@_position_options(needed=False)
@_catalogue_options("colour")
@console_options
def select_asteroid(console: Console, label: str, at: At, one_based: bool, no_snap: bool, **told: Any) -> None:
    """Select a moving target by its positions in two frames or more.

    \b
    Example:
      photdb select asteroid Luxembourg --at first 602.3 465.8 --at last 603.1 449.2
    """
    _select(console, label, "asteroid", at, one_based, no_snap, told)


@select_command.command("variable")
@click.argument("label", metavar="NAME")
@_position_options(needed=False)
@_catalogue_options("colour")
@console_options
def select_variable(console: Console, label: str, at: At, one_based: bool, no_snap: bool, **told: Any) -> None:
    """Select a target that stands still: a variable star, a transit. A source there is takes this role.

    \b
    Example:
      photdb select variable HAT-P-32 --at first 423.2 286.0
    """
    _select(console, label, "variable", at, one_based, no_snap, told)


@select_command.command("reference", short_help="Select reference stars, or have them proposed.")
@click.argument("label", metavar="[NAME]", required=False)
@_position_options(needed=False)
@click.option("--auto", "n_auto", type=Whole(1, 32), metavar="N", help="Propose N references.")
@_catalogue_options("mag", "mag_err", "band", "colour")
@console_options
def select_reference(
    console: Console, label: str | None, at: At, one_based: bool, no_snap: bool, n_auto: int | None, **told: Any
) -> None:
    """Select reference stars. Without a NAME each --at is a star of its own: R1, R2, … all of them, or none.

    With a NAME it is one star, with a position in each frame that --at names; a source there is takes this role.

    --auto takes bright, unsaturated, isolated stars that are in the field all night and off the asteroids' tracks, in
    place of those it took before; references selected by position stay.

    --mag, --mag-err, --band and --colour say what a catalogue has of the star NAME, which may have been selected
    before; `none` takes a value back. Curves then get a zero point, and with the colours of three references and the
    target's a colour term.

    \b
    Example:
      photdb select reference --at first 402 377 --at first 120.5 88 --at first 611 290
      photdb select reference --auto 7
      photdb select reference R1 --mag 12.31 --mag-err 0.02 --band V --colour 0.62
    """
    if n_auto is not None and any(v is not None for v in told.values()):
        raise click.UsageError("catalogue values are of one star: give its NAME")
    if n_auto is not None:
        if label is not None or at:
            raise click.UsageError("--auto chooses the stars itself: give no NAME and no --at")
        _select_auto(console, n_auto)
        return
    _select(console, label, "reference", at, one_based, no_snap, told)


@select_command.command("check")
@click.argument("label", metavar="[NAME]", required=False)
@_position_options(needed=False)
@_catalogue_options("mag", "mag_err", "band", "colour")
@console_options
def select_check(console: Console, label: str | None, at: At, one_based: bool, no_snap: bool, **told: Any) -> None:
    """Select check stars: measured like the rest, in no ensemble. A source there is takes this role.

    Without a NAME each --at is a star of its own: C1, C2, … all of them, or none.

    \b
    Example:
      photdb select check R7
    """
    _select(console, label, "check", at, one_based, no_snap, told)


@select_command.command("list")
@console_options
def select_list(console: Console) -> None:
    """List the sources with their positions as stored, 0-based.

    \b
    Example:
      photdb select list
    """
    with console.reading() as project:
        rows = project.connection.exec_driver_sql(
            "SELECT s.label, s.role, s.origin, f.number, a.x_px, a.y_px, a.x_given_px, a.y_given_px, s.catalogue_mag,"
            " s.mag_err, s.band, s.colour FROM source s"
            " JOIN source_anchor a ON a.source_id = s.id JOIN frame f ON f.id = a.frame_id"
            " WHERE s.removed_at IS NULL ORDER BY s.id, f.jd_utc_mid"
        ).all()
    if rows:
        headings: tuple[str, ...] = ("name", "role", "origin", "frame", "x", "y", "given x", "given y")
        lines = [tuple(r[:4]) + tuple(fixed(v, 2) for v in r[4:8]) for r in rows]
        if any(v is not None for r in rows for v in r[8:]):
            headings += ("mag", "mag err", "band", "colour")
            lines = [line + tuple(r[8:]) for line, r in zip(lines, rows, strict=True)]
        echo_block(table(headings, lines))
    else:
        console.say("No source is selected yet.")


@select_command.command("remove")
@click.argument("labels", metavar="NAME...", nargs=-1, required=True)
@console_options
def select_remove(console: Console, labels: tuple[str, ...]) -> None:
    """Take sources out of the project. To leave one out for a while, use `photdb reject source`.

    \b
    Example:
      photdb select remove R3
    """
    from photdb.store.decisions import remove_source

    with console.writing() as project, project.transaction() as connection:
        for label in dict.fromkeys(labels):
            remove_source(connection, label)
    console.say(f"Removed {count(len(labels), 'source')}.")


def _select(
    console: Console, label: str | None, role: str, at: At, one_based: bool, no_snap: bool, told: dict[str, Any]
) -> None:
    from photdb.stages.select import make_anchors, read_field, refuse_repeated, refuse_same_star
    from photdb.store.catalogue import set_catalogue
    from photdb.store.decisions import free_label, put_source
    from photdb.store.typed import frame_ids, frame_number

    if label is None and not at:
        raise click.UsageError("give a position with --at FRAME X Y, or the name of a source there is")
    alone = "" if role in ("asteroid", "variable") else "; without a NAME each is a star of its own"
    twice = f"two positions in the same frame: one --at a frame{alone}"
    if label is not None and len({frame for frame, _, _ in at}) < len(at):
        raise click.UsageError(twice)
    catalogue = {name: given_value(value) for name, value in told.items() if value is not None}
    if label is None and catalogue:
        raise click.UsageError("catalogue values are of one star: give its NAME")
    off = 1.0 if one_based else 0.0
    with console.writing() as project:
        _need_shifts(project)
        numbers = {frame: frame_number(project.connection, frame) for frame, _, _ in at}
        ids = dict(zip(numbers, frame_ids(project.connection, list(numbers.values())), strict=True))
        if label is not None and len(set(ids.values())) < len(at):
            raise PhotdbError(twice)
        field = read_field(project)
        places = [(ids[frame], x - off, y - off) for frame, x, y in at]
        anchors = make_anchors(field, places, snap=not no_snap)
        if label is None:
            refuse_repeated(field, anchors)
        said = [
            f"  frame {frame}: ({a.x_px + off:.2f}, {a.y_px + off:.2f})"
            + ("" if no_snap else f", snapped from ({a.x_given_px + off:g}, {a.y_given_px + off:g})")
            for a, (frame, _, _) in zip(anchors, at, strict=True)
        ]
        lines, names = [], []
        with project.transaction() as connection:
            for part in [slice(None)] if label is not None else [slice(i, i + 1) for i in range(len(at))]:
                name = label if label is not None else free_label(connection, _LETTERS[role])
                done = put_source(connection, name, role, [a.row() for a in anchors[part]])
                names.append(name)
                if catalogue:
                    set_catalogue(connection, name, catalogue)
                    done = "catalogue values noted" if done == "unchanged" else f"{done}, catalogue values noted"
                lines += [f"{role} {name}: {done}.", *said[part]]
            refuse_same_star(project, field, names)  # looks at what has just been put there, and takes it back
    for line in lines:
        console.say(line)


def _select_auto(console: Console, n_auto: int) -> None:
    from photdb.stages.select import put_proposed

    with console.writing() as project:
        _need_shifts(project)
        labels = put_proposed(project, n_auto)
        known = project.connection.exec_driver_sql("SELECT value FROM session WHERE fact = 'saturation_adu'").scalar()
    console.say(f"{count(len(labels), 'reference')} proposed: {' '.join(labels) or 'none fits'}.")
    if len(labels) < n_auto:
        console.say("No more stars are bright, unsaturated, isolated, in the field all night and off the tracks.")
    if known is None:
        console.say("The saturation is not known, so saturated stars may be among them: photdb set --saturation ADU")


def _need_shifts(project: "Project") -> None:
    if project.connection.exec_driver_sql("SELECT count(*) FROM shift WHERE dx_px IS NOT NULL").scalar() == 0:
        raise PhotdbError("positions are carried from frame to frame by the shifts: run `photdb shifts` first")
