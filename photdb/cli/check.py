"""`photdb check`: each reference against the mean of the others, and which ones to leave out."""

import click

from photdb.cli._window_options import window_options
from photdb.cli.common import Console, console_options, fixed, mmag, say_unknown_gain, table
from photdb.cli.terminal import echo, echo_block
from photdb.errors import PhotdbError


@click.command()
@click.option("--aperture", metavar="N|APERTURE", help="The aperture to judge in; the smallest by default.")
@console_options
@window_options
def check_command(console: Console, aperture: str | None) -> None:
    """Compare each reference with the mean of the others: scatter, drift over the night, worst jump and its frame.

    Nothing is left out by itself: what should be is named, with the command that does it.

    \b
    Example:
      photdb check
      photdb reject source R3 --reason "drifts all night"
    """
    from photdb.stages.runner import run
    from photdb.store.arrays import read_apertures
    from photdb.store.decisions import aperture_id

    with console.writing() as project, console.session() as session:
        run(project, "check", session)
        wanted = None if aperture is None else aperture_id(project.connection, aperture)
        present = project.connection.exec_driver_sql("SELECT DISTINCT aperture_id FROM reference_check").scalars().all()
        used = [a for a in read_apertures(project.connection) if a.id in present and wanted in (None, a.id)]
        if not used:
            console.say("No reference can be judged there.")
            return
        rows = project.connection.exec_driver_sql(
            "SELECT s.label, k.scatter_mag, k.expected_mag, k.drift_mag, k.worst_jump_mag, f.number, k.n_frames,"
            " k.advice FROM reference_check k JOIN source s ON s.id = k.source_id"
            " LEFT JOIN frame f ON f.id = k.worst_frame_id WHERE k.aperture_id = ? ORDER BY s.id",
            (used[0].id,),
        ).all()
        echo_block(
            table(
                ("reference", "scatter mmag", "expected mmag", "drift mmag", "worst jump mag", "in frame", "frames"),
                [
                    (r.label, mmag(r.scatter_mag), mmag(r.expected_mag), mmag(r.drift_mag))
                    + (fixed(r.worst_jump_mag, 3), r.number, r.n_frames)
                    for r in rows
                ],
            )
        )
        console.say(f"In aperture {used[0].id} ({used[0]}).")
        say_unknown_gain(console, project)
        if not rows[0].n_frames:
            raise PhotdbError("there is no accepted frame in which all references can be used: `photdb reject list`")
        for r in rows:
            if r.advice is not None:
                echo(f"{r.label}: {r.advice}")
        if any(r.advice is not None for r in rows):
            console.say("Figures beside the commands are each star's own, those that should go left out of the mean.")
