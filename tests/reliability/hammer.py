"""Eight processes on one project at once, readers and writers, each a command after the other: no error but the lock's.

Each worker draws commands from a seed of its own and runs them through a warm server, which is as quick as one process
can be; what a writer was told is done (exit 0) it notes, and all of it must be in the project at the end.
"""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from nights import RESULTS, Night, build_night, copy_night
from warm import ENVIRONMENT, Ended, Warm

from photdb.store.project import Project

N_PROCESSES = 8
READERS = (
    ("status",),
    ("status", "--json"),
    ("sql", "SELECT count(*) AS n, total(mag) FROM light_curve"),
    ("history",),
    ("reject", "list"),
    ("export", "out-{who}"),
)
#: What a second writer is told, whoever the first is.
HELD = re.compile(
    r"Error: Another photdb is writing to this project( \(`photdb [a-z]+`, process \d+ on \S+, since \S+Z\))?:"
    r" try again when it is done\."
)


def command(random: Random, who: int, n: int) -> tuple[tuple[str, ...], str | None]:
    """Draw a command; gives also the mark by which what it decides is known, if it decides something."""
    kind = random.choice(("read", "read", "read", "reject", "accept", "set", "qc", "measure", "check", "solve", "run"))
    frame = str(random.randint(1, 8))  # of twenty: enough are left for curves
    mark = f"{who}/{n}"
    if kind == "read":
        return tuple(word.format(who=who) for word in random.choice(READERS)), None
    if kind == "reject":
        of = ("--source", random.choice(("R1", "R2", "V1"))) if random.random() < 0.7 else ()
        return ("reject", "frames", frame, *of, "--reason", mark), mark
    if kind == "accept":
        return ("accept", "frames", frame), None
    if kind == "set":
        return ("set", "--observer", mark), mark
    if kind == "qc":
        return ("qc", "--max-fwhm", f"{random.uniform(5, 9):.3f}", "-j", "1"), None
    return (kind, *(("-j", "1") if kind in ("measure", "run") else ())), None


def hammer(folder: Path, project: Path, who: int, seed: int, seconds: float) -> None:
    """Work on a project for some time; the log says of each command how it ended."""
    random = Random(f"{seed}/{who}")
    own = folder / f"worker-{who}"
    own.mkdir()
    end = time.monotonic() + seconds
    n = 0
    with Warm(own, None) as warm, (folder / f"log-{who}").open("w", encoding="utf-8") as log:
        print("ready", flush=True)
        sys.stdin.readline()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            n += 1
            arguments, mark = command(random, who, n)
            done = warm(project, *arguments)
            log.write(json.dumps((arguments, mark, done.code, done.seconds, done.stderr)) + "\n")


def hammered(built: Night, folder: Path, seconds: float, seed: int) -> dict[str, list[Ended]]:
    """Have all of them at work; gives how their commands ended, by command.

    Raises
    ------
    AssertionError
        One ended otherwise than well or with the lock's sentence, a reader did not end well, a row is lost, or the end
        is not what the decisions made give.
    """
    night = copy_night(built, folder / "night", "solved")
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder), str(night.path), str(who), str(seed), str(seconds)],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in range(N_PROCESSES)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.communicate("go\n", timeout=seconds + 120)
        assert worker.returncode == 0
    ended: dict[str, list[Ended]] = {}
    decided = Counter[str]()
    n_written = 0
    for who in range(N_PROCESSES):
        for line in (folder / f"log-{who}").read_text(encoding="utf-8").splitlines():
            arguments, mark, code, took, said = json.loads(line)
            reads = arguments[0] in {words[0] for words in READERS} and arguments[1:2] != ["frames"]
            ended.setdefault(arguments[0] if arguments[:2] != ["reject", "list"] else "list", []).append(
                Ended(code, took, None, None, "", said, 0)
            )
            assert code in (0, 1), (arguments, code, said)
            if code == 1:
                assert not reads, (arguments, said)
                assert HELD.fullmatch(said.splitlines()[-1]), (arguments, said)
            elif not reads:
                n_written += 1
                decided[json.dumps([arguments[0], arguments[1:]])] += 1
    see_nothing_lost(built, night, folder, decided, n_written)
    return ended


def see_nothing_lost(built: Night, night: Night, folder: Path, decided: Counter[str], n_written: int) -> None:
    raw = sqlite3.connect(night.path)
    try:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        n_before = len(list(_history(built.folder / "solved.kept")))
        history = list(raw.execute("SELECT command, arguments, outcome FROM history ORDER BY id"))[n_before:]
        reasons = {reason for (reason,) in raw.execute("SELECT reason FROM rejection")}
        (observer,) = raw.execute("SELECT observer FROM project").fetchone()
    finally:
        raw.close()
    found = Counter(json.dumps([command, json.loads(arguments)]) for command, arguments, outcome in history)
    assert found == decided, (found - decided, decided - found)
    assert {outcome for _, _, outcome in history} == {"ok"}
    assert len(history) == n_written
    # The decisions themselves, in the order of the history: who set last is there, and all that was new in a rejection.
    sets = [json.loads(arguments)[1] for command, arguments, _ in history if command == "set"]
    assert observer == (sets[-1] if sets else None)
    again = replayed(built, folder, history)
    with Project.read(again.path) as project:
        assert reasons == {r for (r,) in project.connection.exec_driver_sql("SELECT reason FROM rejection").all()}
    for one in (night, again):
        one.photdb("run")
    for tables in (RESULTS, ("rejection", "acceptance")):
        assert night.snapshot(*tables) == again.snapshot(*tables)
    in_force = "SELECT stage, metric, operator, value FROM rule WHERE withdrawn_at IS NULL"
    assert night.rows(in_force) == again.rows(in_force)
    left = sorted(path.name for path in night.folder.iterdir() if path.name.startswith((".night", "night.")))
    assert left == ["night.photdb"], left


def replayed(built: Night, folder: Path, history: list[tuple[str, str, str]]) -> Night:
    """Give the project that the same decisions make, one after the other, in one process."""
    again = copy_night(built, folder / "again", "solved")
    last = {name: i for i, (name, _, _) in enumerate(history)}
    for i, (name, arguments, _) in enumerate(history):
        # Of observers and thresholds the last one counts; what is not here decides nothing.
        if name in ("reject", "accept") or (name in ("set", "qc") and i == last[name]):
            again.photdb(name, *json.loads(arguments))
    return again


def _history(path: Path) -> list[tuple[str]]:
    raw = sqlite3.connect(path)
    try:
        return raw.execute("SELECT command FROM history").fetchall()
    finally:
        raw.close()


def hammer_long(folder: Path, seconds: float, seed: int) -> int:
    """Hammer as a command of its own, and print the counts."""
    (folder / "built").mkdir()
    ended = hammered(build_night(folder / "built"), folder, seconds, seed)
    print(f"{'command':10}{'ended':>8}{'refused':>8}{'longest s':>11}")
    for name, all_ in sorted(ended.items()):
        n_refused = sum(e.code == 1 for e in all_)
        print(f"{name:10}{len(all_):>8}{n_refused:>8}{max(e.seconds for e in all_):>11.2f}")
    n = sum(map(len, ended.values()))
    print(f"{n} commands of {N_PROCESSES} processes in {seconds:.0f} s (seed {seed}); nothing lost.")
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    hammer(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
