"""`photdb init` and `photdb add`: folders of frames become a project, and more frames come to it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photdb.cli.common import Console, console_options
from photdb.errors import PhotdbError
from photdb.wording import count, numbers

if TYPE_CHECKING:
    from photdb.store.project import Project


@click.command()
@click.argument("frames", nargs=-1, required=True)
@click.option("--filter", "filter_name", metavar="NAME", help="Take only the frames of this filter.")
@console_options
def init_command(console: Console, frames: tuple[str, ...], filter_name: str | None) -> None:
    """Make a project from FRAMES: files, folders or patterns. Only headers are read.

    \b
    Example:
      photdb init ~/nights/2011-10-01 -p ganymed.photdb
    """
    from photdb.frames import find_frames
    from photdb.stages.headers import add_frames, one_filter, relative_posix, survey
    from photdb.store.project import Project

    paths = find_frames(frames)
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    target = Path(console.given) if console.given is not None else Path.cwd() / f"{folder.name or 'night'}.photdb"
    if target.exists():
        Project.create(target, "photdb init")  # says what is in the way before headers are read
    surveyed = survey(paths)
    found, name = one_filter(surveyed, filter_name)
    if all(f["error"] is not None for f in found):
        raise PhotdbError(f"no frame can be used: {found[0]['file'].name}: {found[0]['error']}")
    typed = click.get_current_context().find_root().obj
    where = relative_posix(folder, target.parent.absolute())
    with Project.create(target, "photdb init", frame_folder=where, filter=name) as project:
        with project.recorded(typed[0], typed[1:]):
            notes = add_frames(project, found)
            project.publish()
        _report(console, project, _passed_over(surveyed, found) + notes)
    console.say(f"{target.name} is made. Next: photdb qc")


@click.command()
@click.argument("frames", nargs=-1, required=True)
@console_options
def add_command(console: Console, frames: tuple[str, ...]) -> None:
    """Add FRAMES to the project: files, folders or patterns. Numbers and decisions stay as they are.

    \b
    Example:
      photdb add ~/nights/2011-10-01/late
    """
    from photdb.frames import find_frames
    from photdb.stages.frames_on_disk import refuse_moved
    from photdb.stages.headers import add_frames, one_filter, survey, time_rule

    paths = find_frames(frames)
    with console.writing() as project:
        (name,) = project.connection.exec_driver_sql("SELECT filter FROM project").one()
        surveyed = survey(paths, time_rule(project.connection))
        refuse_moved(project, surveyed)
        found, new = one_filter(surveyed, name)
        if name is None and new is not None:
            raise PhotdbError(f"the project's frames name no filter, these {new}: a project holds one filter")
        notes = add_frames(project, found)
        _report(console, project, _passed_over(surveyed, found) + notes)


def _passed_over(surveyed: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[str]:
    n = len(surveyed) - len(found)
    return [f"{count(n, 'frame')} of other filters passed over"] if n else []


def _report(console: Console, project: "Project", notes: list[str]) -> None:
    rows = project.connection.exec_driver_sql(
        "SELECT number, path, time_source, time_note, error FROM frame ORDER BY number"
    ).all()
    good = [row for row in rows if row.error is None]
    console.say(f"{count(len(rows), 'frame')}, {len(good)} of them usable.")
    for row in rows:
        if row.error is not None:
            console.say(f"  frame {row.number} ({row.path}): {row.error}")
    for key in ("time_source", "time_note"):
        for value in dict.fromkeys(row[2 if key == "time_source" else 3] for row in good):
            if value is not None:
                which = [row.number for row in good if value in (row.time_source, row.time_note)]
                label = "time from" if key == "time_source" else "times disagree:"
                console.say(f"  {label} {value} (frame {numbers(which, most=3)})")
    same = project.connection.exec_driver_sql(
        "SELECT group_concat(number, ' and ') FROM frame WHERE error IS NULL GROUP BY jd_utc_mid HAVING count(*) > 1"
    )
    for numbers_ in same.scalars():
        console.say(f"  the same time: frames {numbers_}. If they are one exposure, reject all but one.")
    for note in notes:
        console.say(f"  {note}")
