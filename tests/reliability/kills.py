"""Kill a command at a moment drawn from a seed, look at what is left, go on, and compare with an undisturbed run.

A `Bench` holds a session of commands that was once gone through undisturbed, with the project as it was before each of
them and what each left. `Bench.trial` then puts one of these projects back, kills its command, and sees that

- the first who looks (`status`, `sql`, SQLite's own check, the command again; now and then killed, too) finds a whole
  project, with the rows it had before or those that the command makes, and no other, to the last bit;
- what was decided before is there, and what the command decided if it ended with 0;
- no worker is left over;
- the same command and `photdb run` bring the end that an undisturbed run has, to the last bit, and leave no litter.
"""

import functools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from nights import ASKED_FOR, DECISIONS, RESULTS, Night, snapshot
from science import spoil_files
from warm import PATIENCE_S, ROOT, Ended, Warm

from photdb.store.project import Project

Rows = dict[str, list[str]]

#: What comes before the first line of ours is Python's own, and says "begun" at its end.
FROM_THE_FIRST_LINE = (
    "-c",
    "import runpy, sys; sys.argv[0] = 'photdb'; from photdb.interruptions import heed; heed();"
    " print('begun', flush=True); runpy.run_module('photdb', run_name='__main__')",
)
#: What the head of a journal says while SQLite must still roll it back.
_HOT = bytes.fromhex("d9d505f920a163d7")
#: What may be in the folder at the end, beside safety copies.
_KNOWN = {"frames", "early", "late", "night.photdb", "migrations", "ephemeris.txt"}


def compiled_calls(folder: Path) -> Path | None:
    """Compile the library that counts system calls; None where there is no C compiler for it."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None or sys.platform != "linux":
        return None
    library = folder / "calls.so"
    source = Path(__file__).with_name("calls.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@dataclass(frozen=True, slots=True)
class Step:
    """A command of the session."""

    name: str
    arguments: tuple[str, ...]
    patches: tuple[str, ...] = ("small_steps",)

    @property
    def pool(self) -> bool:
        return "pool" in self.patches

    @property
    def again(self) -> "Step":
        """The same without a pool, which would take its time to start."""
        return Step(self.name, (*self.arguments[:-1], "1")) if self.pool else self


@dataclass(frozen=True, slots=True)
class Scene:
    """A step, the project before it, and what it leaves undisturbed."""

    step: Step
    kept: Path | None
    before: Rows
    after: Rows
    end: Rows  # after `photdb run`
    n_calls: int
    seconds: float  # warm


@dataclass(frozen=True, slots=True)
class Kill:
    """How a command is to be killed."""

    kind: str  # call: before a system call; clock: after some time; cold: likewise, with its start-up
    moment: float  # the call from 1, or seconds
    torn: bool = False
    whole_group: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """What a kill hit."""

    step: str
    kill: Kill
    when: str  # `before` it wrote, `in` the midst, `after` it had ended
    hot: bool  # a journal had to be rolled back
    looker: str  # who looked first
    looker_killed: bool


def session(night: Night) -> list[Step]:
    """Give the commands of a night, as an observer would type them."""
    n = night.truth.labels
    asteroid = n[night.truth.roles.index("asteroid")]
    steps = [
        Step("init", ("init", "frames")),
        Step("set", ("set", "--gain", "1.6", "--read-noise", "8")),
        Step("qc", ("qc", "--max-fwhm", "9", "-j", "1")),
        Step("add", ("add", "late")),
        Step("shifts", ("shifts", "-j", "1")),
    ]
    for label, role in zip(night.truth.labels, night.truth.roles, strict=True):
        at = night.at(label, *([1, 20] if role == "asteroid" else [1]))
        steps.append(Step("select", ("select", role, label, *map(str, at))))
    steps += [
        Step("measure", ("measure", "-j", "1")),
        Step("check", ("check",)),
        Step("solve", ("solve",)),
        Step("reject", ("reject", "frames", "3-5", "7", "--source", asteroid, "--reason", "crosses a star")),
        Step("run", ("run",)),
        Step("accept", ("accept", "frames", "4", "--source", asteroid)),
        Step("times", ("times", "--radec", "31.0", "46.7", asteroid)),
        Step("times", ("times", "--ephemeris", "ephemeris.txt", asteroid)),
        Step("measure --hits mend", ("measure", "--hits", "mend", "--remove-stars", "-j", "1")),
        Step("suggest --apply", ("suggest", "--apply", "-j", "1")),
        Step("migration", ("set", "--observer", "Somebody"), ("small_steps", "newer")),
    ]
    return steps


def see_polite(done: Ended, how: signal.Signals) -> None:
    """See that a command that was interrupted, unless it had ended, says so in one line, and its exit code, too."""
    assert "Traceback" not in done.stderr, done
    assert "Exception ignored" not in done.stderr, done
    assert done.code in (0, 128 + how), done
    if done.code:
        (said,) = [line for line in done.stderr.splitlines() if line.startswith("Interrupted")]
        assert said == done.stderr.splitlines()[-1]
        assert said == "Interrupted before anything was done." or said.endswith("The same command goes on from there.")


#: The same commands in a pool of processes.
IN_A_POOL = ("qc", "shifts", "measure", "measure --hits mend", "suggest --apply")


class Bench:
    """The session gone through once, and a folder in which its commands are killed."""

    def __init__(self, built: Night, folder: Path, warm: Warm) -> None:
        self.folder = folder
        self.path = folder / "night.photdb"
        self.warm = warm
        self.scenes: list[Scene] = []
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "late").symlink_to(built.folder / "late", target_is_directory=True)
        shutil.copytree(built.folder / "frames", folder / "frames")
        spoil_files(sorted((folder / "frames").iterdir()), built)  # so that there is something to mend
        (folder / "ephemeris.txt").write_text("2455835.5 1.50 31.0 46.7\n2455837.5 1.52 31.4 46.9\n")
        self.kept = folder.with_name(folder.name + "-kept")
        shutil.rmtree(self.kept, ignore_errors=True)
        self.kept.mkdir()
        seen: set[tuple[str, ...]] = set()
        for i, step in enumerate(session(built)):
            if step.arguments[:2] in seen:  # one more reference
                self.ok(*step.arguments)
            else:
                self._go_through(i, step)
            seen.add(step.arguments[:2])

    def _go_through(self, i: int, step: Step) -> None:
        """Do a step undisturbed; also what `photdb run` makes of it, which is then put away again."""
        kept = None
        if step.name != "init":
            kept = self.kept / f"{i}.photdb"
            shutil.copyfile(self.path, kept)
        before = self.rows() if kept is not None else {}
        done = self.ok(*step.arguments, patches=step.patches)
        after = self.rows()
        following = self.kept / "following.photdb"
        shutil.copyfile(self.path, following)
        self.ok("run", patches=step.patches)
        end = self.rows()
        pools = [Step(step.name, (*step.arguments[:-1], "2"), ("pool",))] if step.name in IN_A_POOL else []
        for variant in [step, *pools]:
            made = done
            if variant is not step:
                self.put(kept)
                made = self.ok(*variant.arguments, patches=variant.patches)
                assert self.rows() | {"history": []} == after | {"history": []}, f"{variant} gives other rows in a pool"
            scene = Scene(variant, kept, before, after, end, made.counted or 0, made.seconds)
            self.scenes.append(scene)
        self.put(following)

    @functools.cached_property
    def start_up_s(self) -> float:
        """How long a command takes before it does anything, from a cold start."""
        start = time.monotonic()
        with self._cold(Step("sql", ("sql", "SELECT 1"))) as process:
            process.communicate(timeout=PATIENCE_S)
        return time.monotonic() - start

    def _cold(self, step: Step, program: Sequence[str] = ("-m", "photdb")) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *program, *step.arguments],
            cwd=self.folder,
            env={**os.environ, "PHOTDB_PROJECT": str(self.path), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    # --- a project and its rows ---------------------------------------------------------------------------------------
    def put(self, kept: Path | None) -> None:
        """Put a project into an otherwise clean folder."""
        for path in self.folder.iterdir():
            if path.name not in _KNOWN or path.name == "night.photdb":
                path.unlink()
        if kept is not None:
            shutil.copyfile(kept, self.path)

    def ok(self, *arguments: str, patches: tuple[str, ...] = ("small_steps",)) -> Ended:
        """Run a command that is to end well."""
        done = self.warm(self.path, *arguments, patches=patches)
        assert done.code == 0, (arguments, done)
        return done

    def rows(self) -> Rows:
        """Give all results, decisions, and the history, to the last bit."""
        with Project.read_any_revision(self.path) as project:
            found = snapshot(project, *RESULTS, *ASKED_FOR, *DECISIONS)
            query = project.connection.exec_driver_sql
            found["history"] = [repr(tuple(row)) for row in query("SELECT command, arguments, outcome FROM history")]
        return found

    def is_hot(self) -> bool:
        journal = self.path.with_name("night.photdb-journal")
        return journal.exists() and journal.read_bytes()[:8] == _HOT

    # --- a kill -------------------------------------------------------------------------------------------------------
    def drawn(self, random: Random, scene: Scene, *, cold: bool = False) -> Kill:
        """Draw the moment of a kill."""
        if cold:
            return Kill("cold", random.uniform(0.0, self.start_up_s + scene.seconds), whole_group=random.random() < 0.5)
        if scene.n_calls and random.random() < 0.7:
            return Kill("call", random.randint(1, scene.n_calls), torn=random.random() < 0.4, whole_group=False)
        return Kill("clock", random.uniform(0.0, 1.05 * scene.seconds), whole_group=random.random() < 0.5)

    def trial(self, random: Random, scene: Scene, *, cold: bool = False) -> Found:
        """Kill a command, and see that nothing is lost.

        Raises
        ------
        AssertionError
            Something is; it says what.
        """
        kill = self.drawn(random, scene, cold=cold)
        self.put(scene.kept)
        unchanged = self.path.read_bytes() if scene.kept else b""
        code, group = self._kill(scene, kill)
        assert code in (0, -signal.SIGKILL), f"ended by itself with {code}"
        self._see_no_process(group)
        hot = self.is_hot()
        wrote = hot or (self.path.read_bytes() if self.path.exists() else b"") != unchanged
        when = "after" if code == 0 else "in" if wrote else "before"
        looker = random.choice(("status", "sql", "sqlite", "again"))
        looker_killed = looker != "sqlite" and self.warm.counts and random.random() < (0.8 if hot else 0.1)
        if looker_killed:
            self._look(looker, scene, kill_at=random.randint(1, 12))
        self._look(looker, scene)
        self._see_whole(scene, ended=code == 0, again=looker == "again")
        self._go_on(scene, ended=code == 0)
        return Found(
            scene.step.name + (" in a pool" if scene.step.pool else ""), kill, when, hot, looker, looker_killed
        )

    def _kill(self, scene: Scene, kill: Kill) -> tuple[int, int]:
        step = scene.step
        if kill.kind == "cold":
            with self._cold(step) as process:
                try:
                    process.communicate(timeout=kill.moment)
                except subprocess.TimeoutExpired:
                    if kill.whole_group:
                        os.killpg(process.pid, signal.SIGKILL)
                    else:
                        process.kill()
                    process.communicate()
            return process.returncode, process.pid
        if kill.kind == "call":
            done = self.warm(self.path, *step.arguments, kill_at=int(kill.moment), torn=kill.torn, patches=step.patches)
        else:
            done = self.warm(
                self.path,
                *step.arguments,
                after_s=kill.moment,
                whole_group=kill.whole_group,
                patches=step.patches,
            )
        return done.code, done.group

    # --- an interruption ----------------------------------------------------------------------------------------------
    def interruption(
        self, random: Random, scene: Scene, how: signal.Signals, *, cold: bool = False, at_call: int | None = None
    ) -> Ended:
        """Interrupt a command politely, and see that it says so, tidies up, and loses nothing.

        Parameters
        ----------
        random : Random
            Draws the moment, where `at_call` does not say it.
        scene : Scene
            The command.
        how : Signals
            What it gets.
        cold : bool
            With its start-up.
        at_call : int, optional
            The system call before which it comes.

        Raises
        ------
        AssertionError
            It does not.
        """
        self.put(scene.kept)
        step = scene.step
        whole_group = how == signal.SIGINT or random.random() < 0.5  # a terminal tells all of them
        if cold:
            done = self._interrupted_cold(step, random.uniform(0.0, self.start_up_s + scene.seconds), how)
        elif at_call is not None or (scene.n_calls and random.random() < 0.6):
            at = at_call or random.randint(1, scene.n_calls)
            done = self.warm(self.path, *step.arguments, kill_at=at, how=how, patches=step.patches)
        else:
            after_s = random.uniform(0.0, scene.seconds)
            done = self.warm(
                self.path, *step.arguments, after_s=after_s, how=how, whole_group=whole_group, patches=step.patches
            )
        see_polite(done, how)
        self._see_no_process(done.group)
        left = {path.name for path in self.folder.iterdir() if ".before-" not in path.name} - _KNOWN
        assert not left, f"left over: {left}"
        ended = done.code == 0
        if self.path.exists() and len(self.rows()["history"]) > len(scene.before.get("history", [])):
            last = self.rows()["history"][-1]
            ended = last.endswith(", 'ok')")  # also where it was interrupted after all was done
            assert ended or last.endswith(", 'interrupted')"), last
        self._see_whole(scene, ended=ended, again=False)
        self._go_on(scene, ended=ended)
        return done

    def _interrupted_cold(self, step: Step, after_s: float, how: signal.Signals) -> Ended:
        start = time.monotonic()
        with self._cold(step, FROM_THE_FIRST_LINE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(after_s)
            process.send_signal(how)
            out, err = process.communicate(timeout=PATIENCE_S)
        return Ended(process.returncode, time.monotonic() - start, None, None, out, err, process.pid)

    def _see_no_process(self, group: int) -> None:
        """See that workers and their server end by themselves."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                return
            assert time.monotonic() < end, f"processes of group {group} are left over"
            time.sleep(0.005)

    def _look(self, looker: str, scene: Scene, kill_at: int = 0) -> None:
        step = scene.step.again
        patches = step.patches
        if looker == "sqlite":
            return  # see _see_whole
        if looker == "again":
            if step.name != "init" or not self.path.exists():
                done = self.warm(self.path, *step.arguments, kill_at=kill_at, patches=patches)
                assert done.code == 0 or kill_at, (step, done)
            return
        arguments = ("status",) if looker == "status" else ("sql", "SELECT count(*) AS n FROM history")
        done = self.warm(self.path, *arguments, kill_at=kill_at, patches=patches)
        if kill_at and done.code == -signal.SIGKILL:
            return
        if not self.path.exists():
            assert done.code == 1, done
            assert done.stderr.startswith("Error: There is no project"), done
        elif done.code != 0:
            assert "newer" in patches, done
            assert "was made by an older photdb" in done.stderr, done
        assert "Traceback" not in done.stderr, done

    def _see_whole(self, scene: Scene, *, ended: bool, again: bool) -> None:
        if not self.path.exists():
            assert scene.kept is None, "the project is gone"
            return
        raw = sqlite3.connect(self.path)
        try:
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        finally:
            raw.close()
        assert not self.is_hot()
        found = self.rows()
        for table, rows in found.items():
            before, after = Counter(scene.before.get(table, ())), Counter(scene.after.get(table, ()))
            if table == "history":
                assert rows[: len(scene.before.get(table, ()))] == scene.before.get(table, []), (
                    "the history has changed"
                )
                continue
            now = Counter(rows)
            assert not (before & after) - now, f"lost from {table}: {(before & after) - now}"
            assert not now - (before | after), f"not of an undisturbed run, in {table}: {now - (before | after)}"
            if ended or again:
                assert now == after, f"it ended well, but {table} is not as it leaves it: {after - now} {now - after}"

    def _go_on(self, scene: Scene, *, ended: bool) -> None:
        step = scene.step.again
        if not ended and (step.name != "init" or not self.path.exists()):
            self.ok(*step.arguments, patches=step.patches)
        self.ok("run", patches=step.patches)
        found = self.rows()
        for table in (*RESULTS, *ASKED_FOR, *DECISIONS):
            now, end = Counter(found[table]), Counter(scene.end[table])
            assert now == end, f"{table} is another at the end: {end - now} is missing, {now - end} too much"
        left = {p.name for p in self.folder.iterdir() if not p.name.startswith("night.photdb.before-9999-")} - _KNOWN
        assert not any(p.name.endswith(".part") for p in self.folder.iterdir()), "half a safety copy is left"
        assert not left, f"left over: {left}"
