"""`photdb check-project`: whether all in the project is as it should be, and its frames are what they were."""

import click

from photdb.cli.common import Console, console_options, workers_options
from photdb.cli.terminal import echo
from photdb.wording import MOVED, count, numbers, sentence


@click.command()
@click.option("--quick", is_flag=True, help="Of the frames look at sizes and times only; without it each byte is read.")
@click.option(
    "--repair",
    "mend",
    is_flag=True,
    help="Put right what can be without losing a decision: views, indices, results that cannot be (they are made"
    " again), and of a damaged file a new one with what can be read. What was there stays beside it.",
)
@workers_options
@console_options
def check_project_command(console: Console, quick: bool, mend: bool, workers: int | str | None) -> None:
    """Check the project: pages, schema, rows, what belongs together, and every byte of its frames.

    Each finding is a sentence that says what to do. Nothing is written without --repair. The exit code is 0 if all is
    as it should be, 1 if not.

    \b
    Example:
      photdb check-project
      photdb check-project --repair
    """
    from photdb.store.inspection import inspect
    from photdb.store.lock import WriterLock
    from photdb.store.repair import repair
    from photdb.store.salvage import salvage

    path = console.path()
    findings = inspect(path)
    for finding in findings:
        echo(sentence(finding.said))
    if mend and findings:
        lock = WriterLock(path)
        lock.acquire("photdb check-project")
        try:
            findings = inspect(path)  # as it is now that nobody else writes
            for n in range(3):  # one cure may show what was behind it
                damaged = any(f.cure == "salvage" for f in findings)
                done = salvage(path) if damaged else repair(path, findings, keep=n == 0)
                for said in done:
                    console.say("  " + sentence(said))
                findings = inspect(path)
                if not done or not any(f.cure for f in findings):
                    break
        finally:
            lock.release()
        for finding in findings:
            echo("Still so: " + sentence(finding.said))
    if any(f.cure in ("salvage", "rollback mode", "mark") for f in findings):  # it cannot be opened
        click.get_current_context().exit(1)
    n_frames, about_frames = _frames(console, quick, workers)
    if not findings:
        _say_work(console)
    for said in about_frames:
        echo(sentence(said))
    if findings or about_frames:
        click.get_current_context().exit(1)
    looked = "looked at" if quick else "read"
    console.say(f"Nothing is wrong: the project is whole, and {count(n_frames, 'frame')} {looked} are what they were.")


def _frames(console: Console, quick: bool, workers: int | str | None) -> tuple[int, list[str]]:
    """Compare the frames with their files; gives how many there are, and what is to be said of them."""
    from photdb.stages.frames_on_disk import compare_frames
    from photdb.store.project import Project

    # An older project has the same frames, and is brought up to date by what writes.
    with Project.read_any_revision(console.path()) as project, console.session(workers) as session:
        found = compare_frames(project, project.frame_folder, session, quick=quick)
        folder = project.frame_folder
    said = []
    if found.missing:
        said.append(f"frame {numbers(found.missing)} is not in {folder}: {MOVED}; what was measured stays valid")
    loud = [number for number in found.changed if number not in found.silent]
    if loud or found.touched:
        said.append(f"frame {numbers(loud + found.touched)} is not what it was: `photdb run` measures it again")
    if found.silent:
        said.append(
            f"frame {numbers(found.silent)} has other bytes, though its size and time are the old ones: put back a copy"
            " if it was damaged; if it was changed on purpose, `touch` it, and `photdb run` measures it again"
        )
    for number, reason in found.unreadable.items():
        said.append(f"frame {number} cannot be read: {reason}")
    n_frames = sum(
        map(len, (found.same, found.missing, found.changed, found.touched, found.unreadable, found.never_read))
    )
    return n_frames, said


def _say_work(console: Console) -> None:
    """Say what is only out of date: that is no fault."""
    from photdb.stages import STAGES
    from photdb.stages.runner import plan
    from photdb.store import migrate
    from photdb.store.project import Project

    with Project.read_any_revision(console.path()) as project:
        if not migrate.is_current(project.connection, project.revision()):
            console.say("It was made by an older photdb: any command that writes brings it up to date.")
            return
        reasons = [f"{name}: {reason}" for name in STAGES for reason in plan(project, name).reasons]
    if reasons:
        console.say(sentence("Out of date, which is no fault: " + "; ".join(reasons)))
