"""`photdb report`: one page of the night, for a person who has no photdb."""

from pathlib import Path

import click

from photdb.cli.common import Console, console_options
from photdb.errors import PhotdbError
from photdb.wording import named

#: By these words a page is known as one that may be replaced.
_MARK = '<meta name="generator" content="photdb '


@click.command()
@click.argument("file", metavar="[FILE.html]", required=False, type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Also a file that no report made.")
@console_options
def report_command(console: Console, file: Path | None, overwrite: bool) -> None:
    """Write one page of the night: summary, plots, what was left out and why, the best curves, how to repeat it.

    The page is one file that asks for no other, for a browser of any size, light or dark. Without FILE it is called
    after the project and goes beside it. A former report is replaced.

    \b
    Example:
      photdb report ganymed.html
    """
    from photdb.cli._replay import script
    from photdb.outputs import write_whole
    from photdb.report.page import report

    target = console.path().with_suffix(".html") if file is None else file
    if target.suffix.lower() not in (".html", ".htm"):
        raise PhotdbError(f"{named(target)}: the name of a report ends in .html")
    if not target.parent.is_dir():
        raise PhotdbError(f"there is no folder {target.parent}: make it first")
    with console.reading() as project:
        if target.exists() and not overwrite and not _is_report(target):
            raise PhotdbError(f"the file {target} was not made by this command: choose another, or give --overwrite")
        page = report(project, script(project, for_others=True))
    write_whole({target: page.encode("utf-8", errors="replace")})
    console.say(f"Written to {target}, {target.stat().st_size / 1e6:.1f} MB.")


def _is_report(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return _MARK in file.read(4096)
