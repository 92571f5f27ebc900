"""Sessions of any commands in any order: after each one, what the design promises is looked at.

A state machine (Hypothesis) types commands, right and wrong ones, on a night of a few small frames, and keeps beside
the project a model of what was decided. At the end of a session its script is replayed, and must give the same numbers
to the last bit. In the suite few sessions are played, the same ones each time. To play others for a while:

    PHOTDB_SESSIONS_MINUTES=30 python -m pytest -s tests/reliability/test_sessions.py

prints how many sessions and commands there were. A session that fails is printed as it was played.
"""

import contextlib
import os
import re
import shlex
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from memory import folder_in_memory
from nights import DECISIONS, RESULTS, Night, invoke, snapshot

from photdb.simulate import clear_night, simulate_night
from photdb.stages import STAGES
from photdb.store.arrays import read_apertures
from photdb.store.project import Project

N_FRAMES, N_LATE = 10, 3
PLAN = clear_night(
    n_frames=N_FRAMES + N_LATE,
    width_px=220,
    height_px=180,
    seed=5,
    n_stars=45,
    fwhm_px=3.0,
    duration_h=1.5,
    reference_flux_adu=(150_000.0, 120_000.0, 100_000.0, 80_000.0),
    variable=True,
)
#: How many sessions the suite plays, and of how many commands at most.
SESSIONS, COMMANDS = 15, 25
#: The tables of decisions that a command may change. Beside them, what is chosen by itself is chosen once: see `run`.
OWNED = {
    "add": set(),
    "set": {"project"},
    "qc": {"rule"},
    "shifts": {"rule", "project"},
    "select": {"source", "source_anchor", "rejection", "ephemeris"},
    "measure": {"aperture"},
    "times": {"source", "ephemeris"},
    "suggest": {"rejection"},
    "check": set(),
    "reject": {"rejection", "acceptance"},
    "accept": {"rejection", "acceptance"},
    "solve": set(),
    "run": set(),
}
LOOKS = (
    ("status",),
    ("status", "--check"),
    ("history",),
    ("history", "--as-script"),
    ("reject", "list"),
    ("select", "list"),
    ("set",),
    ("sql", "SELECT * FROM excluded"),
    ("sql", "SELECT * FROM best_light_curve", "--format", "json"),
    ("plot", "qc", "--save", "look.png"),
    ("plot", "field", "--save", "look.png"),
    ("plot", "references", "--save", "look.png"),
    ("plot", "lightcurve", "--save", "look.png"),
    ("export", "looked"),
)
MISTAKES = (
    ("qc", "--min-range", "nan"),
    ("qc", "--region", "5", "5", "1", "1"),
    ("shifts", "--reference-frame", "99"),
    ("shifts", "--exclude", "0", "0", "999", "999"),
    ("select", "reference", "R9", "--at", "99", "10", "10"),
    ("select", "asteroid", "A9", "--at", "1", "60", "60"),
    ("select", "remove", "nobody"),
    ("measure", "--apertures", "3,2,1"),
    ("measure", "--radii", "9:1:1", "--annulus", "12", "18"),
    ("reject", "frames", "5-3"),
    ("reject", "frames", "1-99"),
    ("reject", "source", "nobody"),
    ("accept", "aperture", "77"),
    ("solve", "--window", "4"),
    ("solve", "--detrend", "moon"),
    ("times", "nobody"),
    ("times", "Ganymed", "--ephemeris", "nowhere.txt"),
    ("suggest", "--level", "-1"),
    ("add", "nowhere"),
    ("set", "--gain", "-1"),
    ("export", "frames/night-0001.fits"),
)
LABELS = st.sampled_from(["Ganymed", "R1", "R2", "R3", "R4", "C1", "V1", "R5", "Ü 'x' $y_1"])
INTERVALS = st.builds(lambda a, b: (min(a, b), max(a, b)), st.integers(1, N_FRAMES), st.integers(1, N_FRAMES))
APERTURES = st.sampled_from([None, None, None, 1, 2, 3, 9])


class Sessions(RuleBasedStateMachine):
    """One session, and what is known of it without looking into the project."""

    built: Path
    folder: Path
    counted: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.built, self.folder)
        self.night = Night(self.folder, self.truth)
        self.rejected: set[tuple[int | None, str | None, int | None]] = set()
        self.accepted: set[int] = set()
        self.rules: dict[str, float] = {}
        self.said = ""
        self.counted["sessions"] += 1

    truth: Any

    # --- typing ---------------------------------------------------------------------------------------------------
    def type(self, *words: object, look: bool = True) -> int:
        """Type a command; look at what it may not have done, and at what must hold after any command."""
        before, n_history = self.decisions(), self.night.one("SELECT count(*) FROM history")
        result = invoke(*words, env={"PHOTDB_PROJECT": str(self.night.path), "MPLBACKEND": "agg"})
        self.counted["commands"] += 1
        self.counted[f"exit {result.exit_code}"] += 1
        self.said = result.stdout
        assert result.exit_code in (0, 1, 2), (words, result.stderr)
        assert "Traceback" not in result.stderr, (words, result.stderr)
        if result.exit_code:
            assert result.stderr.splitlines()[-1].startswith("Error: "), (words, result.stderr)
            assert result.stderr.rstrip().endswith((".", "?", "!")), (words, result.stderr)
        after = self.decisions()
        owned = OWNED[str(words[0])]
        for table, rows in before.items():
            if table in owned:
                continue
            if table == "aperture" and rows:  # the first ones are chosen when they are needed
                assert after[table] == rows, (words, table)
            elif table == "project":
                assert _without_reference(after[table]) == _without_reference(rows), words
                assert after[table] == rows or "'reference_frame_id': None" in rows[0], words
            elif table != "aperture":
                assert after[table] == rows, (words, table)
        if result.exit_code == 2:
            assert after == before, words
            assert self.night.one("SELECT count(*) FROM history") == n_history, words
        if look:
            self.look()
        return result.exit_code

    def decisions(self) -> dict[str, list[str]]:
        return self.night.snapshot(*DECISIONS)

    def look(self) -> None:
        """See that the file is sound, and that what was decided is what is kept."""
        with contextlib.closing(sqlite3.connect(self.night.path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        kept = self.night.rows(
            "SELECT f.number, s.label, r.aperture_id FROM rejection r LEFT JOIN frame f ON f.id = r.frame_id"
            " LEFT JOIN source s ON s.id = r.source_id WHERE r.withdrawn_at IS NULL"
        )
        assert set(kept) == self.rejected
        assert len(kept) == len(self.rejected)
        accepted = self.night.rows(
            "SELECT f.number FROM acceptance a JOIN frame f ON f.id = a.frame_id WHERE a.withdrawn_at IS NULL"
        )
        assert {n for (n,) in accepted} == self.accepted
        assert dict(self.night.rows("SELECT metric, value FROM rule WHERE withdrawn_at IS NULL")) == self.rules
        assert not list(self.folder.glob("*.lock"))
        assert not list(self.folder.glob("*-journal"))

    def work(self) -> dict[str, int]:
        return self.night.work()

    def runs(self) -> Counter[str]:
        return Counter(s for (s,) in self.night.rows("SELECT stage FROM stage_run WHERE n_units > 0"))

    # --- how a session begins -------------------------------------------------------------------------------------
    @initialize(point=st.sampled_from(["new", "selected", "solved"]))
    def begin(self, point: str) -> None:
        for name in ("new", "selected", "solved"):
            if name == point:
                shutil.copyfile(self.folder / f"{name}.kept", self.night.path)

    # --- what can be typed ----------------------------------------------------------------------------------------
    @rule(which=st.sampled_from(["late", "frames", "late/night-0011.fits"]))
    def add(self, which: str) -> None:
        assert self.type("add", self.folder / which) == 0

    @rule(
        option=st.sampled_from(
            [
                ("--gain", "2"),
                ("--gain", "none"),
                ("--read-noise", "7"),
                ("--saturation", "20000"),
                ("--saturation", "none"),
                ("--observer", "O'Brien $HOME `x`"),
                ("--time-offset", "5"),
                ("--time-offset", "0"),
            ]
        )
    )
    def set_facts(self, option: tuple[str, str]) -> None:
        assert self.type("set", *option) == 0

    @rule(
        fwhm=st.sampled_from([None, None, 0.5, 2.9, 3.05, 9, "none"]),
        stars=st.sampled_from([None, None, 5, 40, 1000, "none"]),
        more=st.sampled_from([(), (), ("--region", "10", "10", "150", "150"), ("--default",)]),
    )
    def qc(self, fwhm: object, stars: object, more: tuple[str, ...]) -> None:
        given = {"--max-fwhm": ("fwhm_px", fwhm), "--min-stars": ("n_stars", stars)}
        words = [w for option, (_, value) in given.items() if value is not None for w in (option, value)]
        self.put_rules(given)
        assert self.type("qc", "-j", "1", *words, *more) == 0

    @rule(
        reference=st.sampled_from([None, None, "auto", "1", "5", "last"]),
        residual=st.sampled_from([None, None, 0.01, 0.2, 5, "none"]),
        more=st.sampled_from([(), (), ("--exclude", "10", "10", "60", "60"), ("--default",)]),
    )
    def shifts(self, reference: str | None, residual: object, more: tuple[str, ...]) -> None:
        given = {"--max-residual": ("residual_px", residual)}
        words = [w for option, (_, value) in given.items() if value is not None for w in (option, value)]
        if reference is not None:
            words += ["--reference-frame", reference]
        if reference != "last":  # which may be refused, where no frame is accepted
            self.put_rules(given)
            self.type("shifts", "-j", "1", *words, *more)
        else:
            self.type("shifts", "-j", "1", "--reference-frame", "last", *more)

    def put_rules(self, given: dict[str, tuple[str, Any]]) -> None:
        for metric, value in given.values():
            if value == "none":
                self.rules.pop(metric, None)
            elif value is not None:
                self.rules[metric] = float(value)

    @rule(
        role=st.sampled_from(["asteroid", "variable", "reference", "check"]),
        label=LABELS,
        where=st.sampled_from(["Ganymed", "R1", "R2", "R3", "R4", "C1", "V1", "sky", None]),
        frame=st.sampled_from([1, 4, N_FRAMES]),
        snap=st.booleans(),
    )
    def select(self, role: str, label: str, where: str | None, frame: int, snap: bool) -> None:
        frames = [frame, 7] if role == "asteroid" else [frame]
        at: list[object] = []
        for number in frames if where is not None else []:
            place = (3.0, 3.0) if where == "sky" else self.place(str(where), number)
            at += ["--at", number, *place]
        self.type("select", role, *at, *([] if snap else ["--no-snap"]), "--", label)

    def place(self, label: str, number: int) -> tuple[float, float]:
        k = self.truth.labels.index(label)
        return tuple(round(float(v[number - 1, k]), 1) for v in (self.truth.x_px, self.truth.y_px))  # type: ignore[return-value]

    @rule(n=st.integers(1, 5))
    def select_auto(self, n: int) -> None:
        sources = "SELECT id, label FROM source WHERE removed_at IS NULL"
        before = dict(self.night.rows(sources))
        self.type("select", "reference", "--auto", n, look=False)
        gone = set(before) - set(
            dict(self.night.rows(sources))
        )  # those of an earlier proposal; others take their names
        self.forget({before[id_] for id_ in gone})
        self.look()

    @rule(label=LABELS)
    def remove(self, label: str) -> None:
        was = self.labels()
        self.forget({label})
        assert self.type("select", "remove", "--", label) == (0 if label in was else 1)

    def labels(self) -> set[str]:
        return {n for (n,) in self.night.rows("SELECT label FROM source WHERE removed_at IS NULL")}

    def forget(self, labels: set[str]) -> None:
        self.rejected = {r for r in self.rejected if r[1] not in labels}

    @rule(
        options=st.sampled_from(
            [
                (),
                ("--apertures", "3,12,18"),
                ("--apertures", "2.5,12,18", "3,12,18", "4,12,18"),
                ("--apertures", "auto"),
                ("--radii", "2:4:1", "--annulus", "10", "16"),
                ("--search", "4"),
                ("--apertures", "3,12,18", "1.2fwhm,12,18", "optimal,12,18,mode"),
                ("--sky", "plane"),
                ("--hits", "mend"),
                ("--hits", "flag", "--remove-stars"),
                ("--default",),
            ]
        )
    )
    def measure(self, options: tuple[str, ...]) -> None:
        self.type("measure", "-j", "1", *options)

    @rule(aperture=APERTURES)
    def check(self, aperture: int | None) -> None:
        self.type("check", *([] if aperture is None else ["--aperture", aperture]))

    @rule(
        options=st.sampled_from(
            [
                (),
                ("--weighting", "all"),
                ("--weighting", "flux", "--weighting", "mean"),
                ("--window", "5", "--degree", "1"),
                ("--window", "3", "--degree", "9"),
                ("--top", "3"),
                ("--weighting", "least", "--detrend", "time"),
                ("--detrend", "none"),
                ("--offset", "jumps"),
                ("--default",),
            ]
        )
    )
    def solve(self, options: tuple[str, ...]) -> None:
        self.type("solve", *options)

    @rule(label=LABELS, options=st.sampled_from([(), ("--radec", "31.0", "46.7"), "table", ("--forget",)]))
    def times(self, label: str, options: tuple[str, ...] | str) -> None:
        table = self.folder / "ephemeris.txt"
        table.write_text("2455835.5 1.50 31.0 46.7\n2455837.5 1.52 31.4 46.9\n")
        words = options if isinstance(options, tuple) else ("--ephemeris", str(table))
        self.type("times", *words, "--", label)

    @rule(apply=st.booleans())
    def suggest(self, apply: bool) -> None:
        """What is printed is what is done, neither more nor less."""
        result = self.invoked("suggest", "-j", "1", *(["--apply"] if apply else []))
        if result is None or not apply:
            return
        for line in result.splitlines():
            if line.strip().startswith("photdb reject "):
                self.rejected |= self.meant(shlex.split(line)[2:])
        self.look()

    def invoked(self, *words: str) -> str | None:
        """Type a command as `type` does; gives what it wrote, None where it failed."""
        code = self.type(*words, look=False)
        return self.said if code == 0 else None

    def meant(self, words: list[str]) -> set[tuple[int | None, str | None, int | None]]:
        """Give the rejections that the words of a `photdb reject` are about."""
        apertures = {str(a): a.id for a in self.apertures()}
        given = [(words[i], words[i + 1]) for i in range(len(words) - 1) if words[i].startswith("--")]
        where = [apertures[value] for option, value in given if option == "--aperture"] or [None]
        if words[0] == "source":
            return {(None, words[1], a) for a in where}
        until = next(i for i, word in enumerate(words) if word.startswith("--"))
        frames = {
            n
            for word in words[1:until]
            for first, _, last in [word.strip(",").partition("-")]
            for n in range(int(first), int(last or first) + 1)
        }
        source = next((value for option, value in given if option == "--source"), None)
        if source is None and where == [None]:
            self.accepted -= frames
        return {(f, source, a) for f in frames for a in where}

    def apertures(self) -> list[Any]:
        with Project.read(self.night.path) as project:
            return read_apertures(project.connection)

    @rule(interval=INTERVALS, label=st.none() | LABELS, aperture=APERTURES)
    def reject_frames(self, interval: tuple[int, int], label: str | None, aperture: int | None) -> None:
        frames = set(range(interval[0], interval[1] + 1))
        if self.known(label, aperture):
            self.rejected |= {(f, label, aperture) for f in frames}
            if label is None and aperture is None:
                self.accepted -= frames
        code = self.type("reject", "frames", f"{interval[0]}-{interval[1]}", *_scope(label, aperture))
        assert code == (0 if self.known(label, aperture) else 1)

    @rule(interval=INTERVALS, label=st.none() | LABELS, aperture=APERTURES, undo=st.booleans())
    def accept_frames(self, interval: tuple[int, int], label: str | None, aperture: int | None, undo: bool) -> None:
        frames = set(range(interval[0], interval[1] + 1))
        scope = _scope(label, aperture)
        wrong = undo and bool(scope)
        if not wrong and self.known(label, aperture):
            if undo:
                self.accepted -= frames
            else:
                self.rejected -= {(f, label, aperture) for f in frames}
                if not scope:
                    self.accepted |= frames
        words = ["accept", "frames", f"{interval[0]}-{interval[1]}", *scope, *(["--undo"] if undo else [])]
        assert self.type(*words) == (2 if wrong else 0 if self.known(label, aperture) else 1)

    @rule(verb=st.sampled_from(["reject", "accept"]), label=LABELS, aperture=APERTURES)
    def source(self, verb: str, label: str, aperture: int | None) -> None:
        if self.known(label, aperture):
            change = {(None, label, aperture)}
            self.rejected = self.rejected | change if verb == "reject" else self.rejected - change
        words = [] if aperture is None else ["--aperture", aperture]
        assert self.type(verb, "source", *words, "--", label) == (0 if self.known(label, aperture) else 1)

    @rule(verb=st.sampled_from(["reject", "accept"]), aperture=st.sampled_from([1, 2, 3, 9]))
    def aperture(self, verb: str, aperture: int) -> None:
        if self.known(None, aperture):
            change = {(None, None, aperture)}
            self.rejected = self.rejected | change if verb == "reject" else self.rejected - change
        assert self.type(verb, "aperture", aperture) == (0 if self.known(None, aperture) else 1)

    def known(self, label: str | None, aperture: int | None) -> bool:
        apertures = {n for (n,) in self.night.rows("SELECT id FROM aperture WHERE removed_at IS NULL")}
        return (label is None or label in self.labels()) and (aperture is None or aperture in apertures)

    @rule(number=st.integers(1, N_FRAMES))
    def touch(self, number: int) -> None:
        """Give a frame another time of writing: its bytes are the same, and so is all that was made of them."""
        results = self.night.snapshot(*RESULTS)
        path = self.folder / "frames" / f"night-{number:04d}.fits"
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000_000))
        with Project.read(self.night.path):
            assert self.night.snapshot(*RESULTS) == results

    # --- what looks, and what is wrong ----------------------------------------------------------------------------
    @rule(words=st.sampled_from(LOOKS))
    def look_at(self, words: tuple[str, ...]) -> None:
        """Commands that only look leave every byte of the project as it is."""
        before, stat = self.night.path.read_bytes(), self.night.path.stat()
        with contextlib.chdir(self.folder):
            result = invoke(*words, env={"PHOTDB_PROJECT": str(self.night.path), "MPLBACKEND": "agg"})
        self.counted["looks"] += 1
        assert result.exit_code in ((0, 3) if "--check" in words else (0, 1)), (words, result.stderr)
        assert "Traceback" not in result.stderr
        assert self.night.path.read_bytes() == before
        assert self.night.path.stat().st_mtime_ns == stat.st_mtime_ns

    @rule(words=st.sampled_from(MISTAKES))
    def mistake(self, words: tuple[str, ...]) -> None:
        """A command that cannot be done leaves decisions and results as they are."""
        decisions, results = self.decisions(), self.night.snapshot(*RESULTS)
        with contextlib.chdir(self.folder):
            if words[0] == "export":
                result = invoke(*words, env={"PHOTDB_PROJECT": str(self.night.path)})
                assert result.exit_code == 1
            else:
                assert self.type(*words) in (1, 2), words
        assert self.decisions() == decisions
        if words[0] not in ("measure", "shifts"):  # which first bring up to date what they stand on
            assert self.night.snapshot(*RESULTS) == results

    # --- bringing it up to date -----------------------------------------------------------------------------------
    @rule()
    def run(self) -> None:
        """`run` does what `status` says is to be done, and nothing twice; then all is up to date, and stays so."""
        states, work, runs = self.night.states(), self.work(), self.runs()
        self.type("run", "-j", "1")
        ran = self.runs() - runs
        for stage in work:
            # What a later stage will find depends on what the one before it makes: it may be what was there.
            if states[stage] != "waits" and not _above(stage) & set(work):
                assert ran[stage] == 1, (stage, states, work)
        for stage, state in states.items():
            if state == "done":
                assert ran[stage] == 0, (stage, states, work)
        self.up_to_date()
        results, decisions, runs = self.night.snapshot(*RESULTS), self.decisions(), self.runs()
        self.type("run", "-j", "1")
        assert self.runs() == runs
        assert self.night.snapshot(*RESULTS) == results
        assert self.decisions() == decisions
        self.nothing_rejected_is_in_a_solution()

    def up_to_date(self) -> None:
        waits = {stage["stage"] for stage in self.night.status()["stages"] if stage["state"] == "waits"}
        for stage in self.night.status()["stages"]:
            blocked = stage["stage"] in waits or _above(stage["stage"]) & waits
            assert stage["state"] == ("waits" if blocked else "done"), stage

    def nothing_rejected_is_in_a_solution(self) -> None:
        if self.night.status()["stages"][-1]["state"] != "done":
            return
        self.counted["solutions looked at"] += self.night.one("SELECT count(*) FROM best_combination")
        found = self.night.rows(
            "SELECT t.label, s.aperture_id, s.id, group_concat(r.label, '|') FROM solution s"
            " JOIN target t ON t.id = s.target_id JOIN solution_reference n ON n.solution_id = s.id"
            " JOIN source r ON r.id = n.source_id GROUP BY s.id"
        )
        out = {n for (n,) in self.night.rows("SELECT number FROM frame_status WHERE NOT accepted")}
        roles = dict(self.night.rows("SELECT label, role FROM source WHERE removed_at IS NULL"))
        for target, aperture, solution, references in found:
            sources = [target, *references.split("|")]
            assert roles[target] in ("asteroid", "variable")
            assert {roles[r] for r in sources[1:]} == {"reference"}
            for label in sources:
                assert not {(None, label, None), (None, label, aperture), (None, None, aperture)} & self.rejected
            frames = {
                n
                for (n,) in self.night.rows(
                    "SELECT number FROM solution_point JOIN frame f ON f.id = frame_id WHERE solution_id = ?", solution
                )
            }
            assert not frames & out
            for frame in frames:
                for label in sources:
                    conjunctions = {(frame, label, None), (frame, label, aperture), (frame, None, aperture)}
                    assert not conjunctions & self.rejected, (frame, label)

    @rule(interval=INTERVALS, label=st.none() | LABELS, aperture=st.sampled_from([None, None, 2]))
    def reject_and_accept(self, interval: tuple[int, int], label: str | None, aperture: int | None) -> None:
        """A rejection that is taken back leaves no trace in the numbers."""
        frames = set(range(interval[0], interval[1] + 1))
        new = {(f, label, aperture) for f in frames}
        if not self.known(label, aperture) or new & self.rejected:
            return
        self.type("run", "-j", "1")
        if label is None and aperture is None:  # `accept` would overrule rules
            out = {n for (n,) in self.night.rows("SELECT frame FROM excluded WHERE kind = 'rule'")}
            if out & frames:
                return
        before, words = self.night.snapshot(*RESULTS), [f"{interval[0]}-{interval[1]}", *_scope(label, aperture)]
        if not _scope(label, aperture):
            self.accepted -= frames
        self.rejected |= new
        assert self.type("reject", "frames", *words) == 0
        self.type("run", "-j", "1")
        self.rejected -= new
        if not _scope(label, aperture):
            self.accepted |= frames
        assert self.type("accept", "frames", *words) == 0
        self.type("run", "-j", "1")
        self.counted["taken back"] += 1
        assert self.night.snapshot(*RESULTS) == before

    # --- at the end -----------------------------------------------------------------------------------------------
    def teardown(self) -> None:
        """The script of the session, run on the frames, makes a project with the same numbers and decisions."""
        try:
            if self.night.path.exists():
                self.type("run", "-j", "1")
                again = self.replayed()
                with Project.read(self.night.path) as first, Project.read(again) as second:
                    a, b = snapshot(first, *RESULTS, *DECISIONS), snapshot(second, *RESULTS, *DECISIONS)
                for table, rows in a.items():
                    assert rows == b[table], table
                self.counted["replayed"] += 1
                self.counted["rows compared"] += sum(map(len, a.values()))
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def replayed(self) -> Path:
        script = self.night.photdb("history", "--as-script").stdout
        again = self.folder / "again.photdb"
        script = re.sub(r'"\$FRAMES"(/?)', lambda m: shlex.quote(str(self.folder / "frames")) + m[1], script)
        ephemerides = self.folder / "ephemerides"
        ephemerides.mkdir(exist_ok=True)
        for name, rows in re.findall(r"""^cat > "\$EPHEMERIDES"/(\S+) <<'END'\n(.*?)^END$""", script, re.M | re.S):
            (ephemerides / name).write_text(rows)  # all sessions have the same one
        script = script.replace('"$EPHEMERIDES"', shlex.quote(str(ephemerides)))
        for words, may_fail in _commands(script):
            result = invoke(*words, env={"PHOTDB_PROJECT": str(again), "MPLBACKEND": "agg"})
            assert result.exit_code == 0 or may_fail, (words, result.stderr, script)
        return again


def _scope(label: str | None, aperture: int | None) -> list[object]:
    return [*(["--source", label] if label is not None else []), *(["--aperture", aperture] if aperture else [])]


def _above(stage: str) -> set[str]:
    """Give all stages that a stage stands on."""
    return {name for upstream in STAGES[stage].upstream for name in (upstream, *_above(upstream))}


def _without_reference(rows: list[str]) -> list[str]:
    return [re.sub(r"'reference_frame_(id|origin)': ('[^']*'|None),? ?", "", row) for row in rows]


def _commands(script: str) -> Iterator[tuple[list[str], bool]]:
    """Give the commands of a script as their words, and whether they may fail in it."""
    for line in script.replace("\\\n", " ").splitlines():
        if line.startswith("photdb "):
            words = shlex.split(line)
            may_fail = words[-2:] == ["||", "true"]
            yield words[1 : -2 if may_fail else None], may_fail


@pytest.fixture(scope="module")
def somewhere() -> Iterator[Path]:
    with folder_in_memory() as folder:
        yield folder


@pytest.fixture(scope="module")
def built(somewhere: Path) -> Path:
    """A folder with the night's frames, and projects of it at three points."""
    folder = somewhere / "built"
    truth = simulate_night(folder / "frames", PLAN)
    (folder / "late").mkdir()
    for name in truth.file_names[N_FRAMES:]:
        (folder / "frames" / name).rename(folder / "late" / name)
    night = Night(folder, truth)
    night.photdb("init", folder / "frames")
    shutil.copy2(night.path, folder / "new.kept")
    night.photdb("shifts", "-j", "1")
    for k, (label, role) in enumerate(zip(truth.labels, truth.roles, strict=True)):
        at: list[object] = []
        for i in (0, N_FRAMES - 1) if role == "asteroid" else (0,):
            at += ["--at", i + 1, round(float(truth.x_px[i, k]), 1), round(float(truth.y_px[i, k]), 1)]
        night.photdb("select", role, label, *at)
    shutil.copy2(night.path, folder / "selected.kept")
    night.photdb("run", "-j", "1")
    shutil.copy2(night.path, folder / "solved.kept")
    night.path.unlink()
    Sessions.truth = truth
    return folder


def play(built: Path, *, sessions: int, commands: int, number: int | None = None) -> None:
    """Play sessions: the same ones each time, or, with a number, those of this number."""
    machine = type("Sessions", (Sessions,), {"built": built, "folder": built.parent / "played"})
    rules = settings(
        max_examples=sessions,
        stateful_step_count=commands,
        derandomize=number is None,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),  # to shorten a session takes minutes, and it is short enough to be read
    )
    run_state_machine_as_test(machine if number is None else seed(number)(machine), settings=rules)


def test_any_session_keeps_what_the_design_promises(built: Path) -> None:
    minutes = float(os.environ.get("PHOTDB_SESSIONS_MINUTES", "0"))
    Sessions.counted.clear()
    if not minutes:
        play(built, sessions=SESSIONS, commands=COMMANDS)
        assert Sessions.counted["replayed"] >= SESSIONS - 1
        assert Sessions.counted["commands"] > 10 * SESSIONS
        assert Sessions.counted["solutions looked at"] > 0
        return
    end, number = time.monotonic() + 60 * minutes, int(os.environ.get("PHOTDB_SESSIONS_FIRST", time.time_ns() % 10**9))
    while time.monotonic() < end:
        play(built, sessions=20, commands=50, number=number)
        print(f"{number}:", ", ".join(f"{n} {what}" for what, n in sorted(Sessions.counted.items())), flush=True)
        number += 1
