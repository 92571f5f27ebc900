"""`photdb export`: numbered text files of everything, and any view as CSV or ECSV."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from photdb.cli.common import Console, console_options
from photdb.wording import count

if TYPE_CHECKING:
    from photdb.store.project import Project


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--view", "views", multiple=True, metavar="NAME", help="Write this view as a table instead; several times for more."
)
@click.option("--format", "form", type=click.Choice(["csv", "ecsv"]), help="Of --view's table.  [default: csv]")
@click.option("--overwrite", is_flag=True, help="Also files of the same name that no export made.")
@console_options
def export_command(console: Console, folder: Path, views: tuple[str, ...], form: str | None, overwrite: bool) -> None:
    """Write everything measured and found into DIR as numbered text files, the ten best curves of each target included.

    The files say what they hold, open in spreadsheets and load with numpy.loadtxt. With --view, the view goes to
    DIR/NAME.csv or DIR/NAME.ecsv (read by astropy, with units). Files of an earlier export are replaced.

    \b
    Example:
      photdb export curves
      photdb export curves --view light_curve --view frame_status --format ecsv
    """
    from photdb.exports.files import write_files
    from photdb.exports.tables import view_file
    from photdb.exports.text import export_text

    if form is not None and not views:
        raise click.UsageError("--format is for --view: the numbered text files have one format")
    with console.reading() as project:
        _say_what_is_out_of_date(console, project)
        if views:
            drafts = [view_file(project, view, form or "csv") for view in dict.fromkeys(views)]
            paths = write_files(folder, drafts, overwrite=overwrite)
        else:
            paths = export_text(project, folder, overwrite=overwrite)
            prefix = paths[0].name.removesuffix("01_frames.txt")
            left = sorted(p.name for p in folder.glob(f"{prefix}[0-9][0-9]_*.txt") if p not in paths)
            if left:
                console.say(f"Left in {folder} from before, and not of this export: {', '.join(left)}.")
    for path in paths:
        console.detail(str(path))
    console.say(f"{count(len(paths), 'file')} written to {folder}.")


def _say_what_is_out_of_date(console: Console, project: "Project") -> None:
    from photdb.stages import STAGES
    from photdb.stages.runner import plan

    lines = []
    for name in STAGES:
        made = plan(project, name)
        lines += [f"  {name}: {reason}" for reason in ([made.blocked] if made.blocked else made.reasons)]
    if lines:
        for line in ("Exported as it is, though not all is up to date:", *lines):
            console.say(line)
