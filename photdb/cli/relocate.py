"""`photdb relocate`: the frames have moved to another folder, and are the same frames."""

from pathlib import Path

import click

from photdb.cli.common import Console, console_options, workers_options
from photdb.wording import count, named, numbers


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--anyway", is_flag=True, help="Also if some frames are missing there or others: they are work then.")
@workers_options
@console_options
def relocate_command(console: Console, folder: Path, anyway: bool, workers: int | str | None) -> None:
    """Say that the frames are in DIR now. Each byte of them is compared with what the project knows.

    If all are the same, everything measured stays up to date. If some are missing or others, they are named and nothing
    is changed.

    \b
    Example:
      photdb relocate /archive/2011-10-01
    """
    from photdb.errors import PhotdbError
    from photdb.stages.frames_on_disk import relocate

    if not folder.is_dir():
        raise PhotdbError(f"there is no folder {named(folder)}")
    with console.writing() as project, console.session(workers) as session:
        place, found = relocate(project, folder.absolute(), session, anyway=anyway)
        console.say(f"{count(len(found.same), 'frame')} of the project are in {place}, byte by byte the same.")
        for numbers_, said in (
            (found.missing, "missing there"),
            (found.changed, "others, so they will be measured again"),
            (list(found.unreadable), "not to be read there"),
            (found.never_read, "there, but could never be read before"),
        ):
            if numbers_:
                console.say(f"  frame {numbers(numbers_)}: {said}.")
        console.say("Next: photdb status")
