"""Whatever is typed wrong costs one sentence and nothing else: every option and argument of every command.

The mistakes are made from click's tree of commands (see `inputs.py`). With PHOTDB_ALL_MISTAKES=1 each is typed in each
way of writing it, also the options that all commands have in common (some 4000 lines), and all sentences are printed
with -s, to be read.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from inputs import FINE, commands, mistakes
from memory import folder_in_memory
from nights import DECISIONS, RESULTS, Night, copy_night, invoke

from photdb.wording import named, printable

WHOLE = bool(os.environ.get("PHOTDB_ALL_MISTAKES"))
COMMANDS = dict(commands())
#: Files that commands write when a mistake is none after all.
MADE = {"curves", "night.html", "plot.svg"}


def test_every_command_is_typed_wrong() -> None:
    assert set(FINE) == set(COMMANDS)


@pytest.fixture
def quick(built_night: Night) -> Iterator[Night]:
    """The small night, solved, in memory."""
    with folder_in_memory() as folder:
        yield copy_night(built_night, folder / "night", "solved")


def content(night: Night) -> dict[str, int]:
    """Digest what a project holds, its history apart."""
    with contextlib.closing(sqlite3.connect(night.path)) as database:
        return {t: hash(tuple(database.execute(f"SELECT * FROM {t}"))) for t in {*DECISIONS, *RESULTS}}


@pytest.mark.parametrize("name", [name for name, fine in FINE.items() if fine is not None])
def test_a_mistake_is_one_sentence_and_costs_nothing(quick: Night, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    night = quick
    (night.folder / "here").mkdir()
    for folder in ("frames", "late", "early"):
        (night.folder / "here" / folder).symlink_to(night.folder / folder)
    monkeypatch.chdir(night.folder / "here")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.delenv("DISPLAY", raising=False)
    kept, before = night.path.read_bytes(), content(night)
    environment = {"PHOTDB_PROJECT": None if name == "init" else str(night.path)}
    typed = 0
    for about, words, certain in mistakes(name, COMMANDS[name], whole=WHOLE):
        there = set(Path.cwd().iterdir())
        result = invoke(*words, env=environment)
        typed += 1
        assert result.exit_code in ((2,) if certain else (0, 1, 2)), (words, result.output)
        if result.exit_code:
            assert_one_sentence(about, words, result)
            assert set(Path.cwd().iterdir()) == there, words
            if night.path.read_bytes() != kept:
                assert result.exit_code == 1, (words, "wrong usage leaves no trace, not even in the history")
                assert content(night) == before, words
        else:
            assert about != "--filter", words
        for path in set(Path.cwd().iterdir()) - there:
            assert path.name in MADE or name in ("init", "export", "set") or about in ("--save", "--project"), words
            remove(path)
        if night.path.read_bytes() != kept:
            night.path.write_bytes(kept)
    assert typed > 3 or name in ("run", "status", "history", "select list", "reject list", "accept source")


def assert_one_sentence(about: str, words: list[str], result: Result) -> None:
    """See that an error is one sentence that can be read, and says what it is about."""
    lines = [line for line in result.stderr.splitlines() if line]
    errors = [line for line in lines if line.startswith("Error: ")]
    assert len(errors) == 1, (words, result.stderr)
    (said,) = errors
    if not said.startswith("Error: Missing argument"):
        assert lines[-1] == said, (words, result.stderr)
        assert said.endswith((".", "?", "!")), said
    assert said.isprintable(), said
    assert len(said) < 900, said
    typed = words[-1].partition("=")[2] if words[-1].startswith("--") and "=" in words[-1] else words[-1]
    names = {about, about.lstrip("-"), about.strip("[].").lower(), named(typed), repr(typed), printable(typed)}
    special = (
        "is a folder, not a project",
        "A source's name has",
        "SQLite says",
        "holds no frames",
        "No frame has a time",
        "The folder frames is not empty",
        "Give apertures either with",
        ".: the name of a report",
        ". cannot be read: Is a directory",
        "None of the project's frames is below",
    )
    shown = said.casefold()
    assert any(n and n.casefold()[:60] in shown for n in names) or any(s in said for s in special), (words, said)
    if WHOLE:
        print(result.exit_code, " ".join(map(named, words)), "→", said)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for inner in path.iterdir():
            remove(inner)
        path.rmdir()
    else:
        path.unlink()


#: Tables of times and distances in which something is wrong; the night is that of JD 2455836.
EPHEMERIDES = {
    "short": ("2455800 1.5", "2455801 1.5"),
    "infinite": ("2455800 inf", "2455900 1.5"),
    "rough": ("2455800 1.5", "2455800.00001 1.5", "2455800.00002 99", "2455900 1.5"),
    "nowhere": ("2455800 31 146 1.5", "2455900 31 46 1.5"),
}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("qc", "--region", "10", "10", "5", "20"), 1, "rectangle 10 10 5 20"),
        (("qc", "--region", "0", "0", "300", "240"), 1, "rectangle 0 0 300 240"),
        (("shifts", "--exclude", "-1", "0", "10", "10"), 1, "rectangle -1 0 10 10"),
        (("reject", "frames", "5-3"), 1, "reversed: type 3-5"),
        (("reject", "frames", "1-999"), 1, "no frame 999"),
        (("reject", "frames", "3", "--source", "R99"), 1, "no source R99"),
        (("reject", "frames", "3", "--aperture", "3,3"), 1, "no aperture 3,3"),
        (("accept", "frames", "3", "--undo", "--source", "R1"), 2, "--undo is about whole frames"),
        (("select", "reference", "R9", "--at", "1", "50", "50", "--at", "1", "60", "60"), 2, "the same frame"),
        (("select", "reference", "R9", "--at", "1", "50", "50", "--at", "first", "60", "60"), 1, "the same frame"),
        (("select", "asteroid", "A9", "--at", "1", "50", "50", "--no-snap"), 1, "two positions or more"),
        (("select", "reference", "R9", "--at", "1", "3000", "50", "--no-snap"), 1, "(3000, 50) is off the frame"),
        (("select", "reference", "R9", "--at", "1", "-50", "50"), 1, "(-50, 50) is off the frame"),
        (("select", "reference", "r1", "--at", "1", "60", "60", "--no-snap"), 1, "case only"),
        (("select", "remove", "R1", "R99"), 1, "no source R99"),
        (("measure", "--apertures", "30,200,400"), 1, "0 < radius ≤ inner < outer ≤ 120 px"),
        (("measure", "--apertures", "3,nan,8"), 1, "aperture 3,nan,8"),
        (("measure", "--apertures", "1e400,1,2"), 1, "aperture inf,1,2"),
        (("measure", "--radii", "1:300:1", "--annulus", "310", "320"), 2, "at most 200 radii"),
        (("measure", "--radii", "3:8:nan", "--annulus", "12", "18"), 2, "--radii 3:8:nan"),
        (
            ("solve", "--window", "3", "--degree", "9", "-q"),
            1,
            "degree must be at least 0 and less than the window of 3 frames, not 9",
        ),
        (("solve", "--window", "1", "--degree", "0", "-q"), 1, "No target has a light curve: too few frames"),
        (("check", "--aperture", "99"), 1, "no aperture 99"),
        (("times", "nobody"), 1, "no target nobody: the targets are Ganymed, V1"),
        (("times", "--radec", "31", "46"), 1, "name the target: the targets are Ganymed, V1"),
        (("times", "R1", "--radec", "31", "46"), 1, "no target R1"),
        (("times", "Ganymed", "--radec", "nonsense", "46"), 1, "--radec: 'nonsense' is no right ascension"),
        (("times", "Ganymed", "--radec", "400", "46"), 1, "--radec: '400' is no right ascension"),
        (("times", "Ganymed", "--radec", "25:00:00", "46"), 1, "'25:00:00' is no right ascension"),
        (("times", "Ganymed", "--radec", "10:61:00", "46"), 1, "'10:61:00' is no right ascension"),
        (("times", "Ganymed", "--radec", "31", "nan"), 1, "--radec: 'nan' is no declination"),
        (("times", "Ganymed", "--radec", "31", "90.1"), 1, "--radec: '90.1' is no declination"),
        (("times", "Ganymed", "--forget", "--radec", "31", "46"), 2, "--forget goes without"),
        (("times", "Ganymed", "--ephemeris", "missing.txt"), 1, "missing.txt cannot be read"),
        (("times", "Ganymed", "--ephemeris", "empty"), 2, "'empty' is a directory"),
        (("times", "Ganymed", "--ephemeris", "pipe"), 1, "pipe is a pipe or a device"),
        (("times", "Ganymed", "--ephemeris", "/dev/zero"), 1, "/dev/zero is a pipe or a device"),
        (("times", "Ganymed", "--ephemeris", "file"), 1, "file is no ephemeris: it has fewer than two rows"),
        (("times", "Ganymed", "--ephemeris", "binary"), 1, "binary is no ephemeris"),
        (("times", "Ganymed", "--ephemeris", "night.photdb"), 1, "night.photdb is no ephemeris"),
        (("times", "Ganymed", "--ephemeris", "frames/night-0005.fits"), 1, "is no ephemeris: it has fewer than"),
        (("times", "Ganymed", "--ephemeris", "short"), 1, "short cannot be used: it runs from JD 2455800.00000"),
        (("times", "Ganymed", "--ephemeris", "infinite"), 1, "a distance is not between 1e-09 and 1e+06 au"),
        (("times", "Ganymed", "--ephemeris", "rough"), 1, "do not run smoothly from row to row"),
        (("times", "Ganymed", "--ephemeris", "nowhere"), 1, "a right ascension or declination is not possible"),
        (("measure", "--kinds", "round"), 2, "--kinds round: type some of fixed, fwhm, optimal"),
        (("measure", "--kinds", ""), 2, "--kinds '': type some of"),
        (("measure", "--kinds", "fixed", "--apertures", "3,10,16"), 2, "--kinds is for apertures that photdb proposes"),
        (("measure", "--sky", "mean"), 2, "'mean' is not one of 'median', 'mode', 'plane'"),
        (("measure", "--hits", "repair"), 2, "'repair' is not one of 'keep', 'flag', 'mend', 'reject'"),
        (("measure", "--apertures", "3,10,16,mean"), 2, "'3,10,16,mean' is no aperture"),
        (("measure", "--apertures", "99fwhm,10,16"), 1, "a radius between 0 and 20 FWHM"),
        (("measure", "--apertures", "optimal,16,10"), 1, "0 ≤ inner < outer ≤ 120 px"),
        (("select", "reference", "R1", "--mag", "nan", "--band", "V"), 2, "'nan' is not a finite number"),
        (("select", "reference", "R1", "--mag", "99", "--band", "V"), 2, "99 is above 40"),
        (("select", "reference", "R1", "--mag", "12"), 1, "a magnitude needs its band: --mag 12 --band V"),
        (("select", "reference", "R1", "--band", "V"), 1, "belong to a magnitude"),
        (("select", "reference", "R1", "--mag", "12", "--band", ""), 1, "--band '': a band has 1 to 20 characters"),
        (("select", "reference", "R1", "--mag", "12", "--band", "x" * 21), 1, "a band has 1 to 20 characters"),
        (("select", "reference", "R1", "--mag", "12", "--band", "V\x1b[31m"), 1, "--band 'V\\x1b[31m': a band has"),
        (("select", "reference", "R1", "--colour", "1e300"), 2, "is above 20"),
        (("select", "reference", "R1", "--mag-err", "-1"), 2, "-1 is below 0"),
        (("select", "reference", "--auto", "3", "--mag", "12", "--band", "V"), 2, "of one star: give its NAME"),
        (("solve", "--weighting", "most"), 2, "'most' is not one of 'mean', 'flux', 'variance', 'least', 'all'"),
        (("solve", "--detrend", "colour"), 2, "'colour' is none of airmass, time, fwhm, x, y, sky"),
        (("solve", "--baseline", "1-5"), 1, "--baseline says where --detrend is fitted"),
        (("solve", "--detrend", "time", "--baseline", "5-1"), 1, "reversed: type 1-5"),
        (("solve", "--detrend", "time", "--baseline", "1-999"), 1, "no frame 999"),
        (("solve", "--detrend", "time", "--baseline", "1"), 1, "1 term cannot be fitted to 1 frame:"),
        (("solve", "--offset", "moon"), 2, "'moon' is not one of 'pier', 'jumps', 'gaps', 'none'"),
        (("suggest", "--level", "-1"), 2, "-1 is not above 0"),
        (("suggest", "--level", "nan"), 2, "'nan' is not a finite number"),
        (("suggest", "--apply=yes"), 2, "'--apply' does not take a value"),
        (("plot", "lightcurve", "--target", "R1", "--save", "x.png"), 1, "R1"),
        (("plot", "field", "--frame", "99", "--save", "x.png"), 1, "no frame 99"),
        (("plot", "qc", "--save", "nowhere/x.png"), 1, "no folder nowhere"),
        (("plot", "qc", "--save", "folder.png"), 1, "folder.png"),
        (("report", "folder.html"), 1, "folder.html"),
        (("report", "nowhere/x.html"), 1, "no folder nowhere"),
        (("export", "file"), 1, "a file file"),
        (("export", "out", "--format", "csv"), 2, "--format is for --view"),
        (("init", "empty", "-p", "new.photdb"), 1, "empty holds no frames"),
        (("init", "nowhere", "-p", "new.photdb"), 1, "nowhere"),
        (("init", "file", "-p", "new.photdb"), 1, "not a FITS file"),
        (("init", "frames", "-p", "nowhere/new.photdb"), 1, "no folder nowhere"),
        (("init", "frames", "-p", "empty"), 1, "empty"),
        (("status", "-p", "empty"), 1, "is a folder"),
        (("status", "-p", "file"), 1, "project"),
        (("status", "-p", "no where"), 1, "photdb init FRAMES -p 'no where'"),
        (("add",), 2, "Missing argument"),
        (("qc", "-j", "2", "--scheduler", "tcp://nowhere:1"), 2, "exclude each other"),
        (("guide", "--web", "--questions"), 2, "exclude each other"),
        (("demo", "--full", "--frames", "40"), 2, "--full"),
        (("set", "--site", "0", "0", "99999"), 2, "above 9000"),
    ],
)
def test_what_belongs_together_and_does_not_fit(
    quick: Night, words: tuple[str, ...], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = quick
    monkeypatch.chdir(night.folder)
    for name in ("folder.png", "folder.html", "empty"):
        (night.folder / name).mkdir()
    (night.folder / "file").write_text("not ours")
    (night.folder / "binary").write_bytes(bytes(range(256)) * 9)
    os.mkfifo(night.folder / "pipe")
    for name, rows in EPHEMERIDES.items():
        (night.folder / name).write_text("\n".join(rows))
    before, kept, there = content(night), night.path.read_bytes(), sorted(night.folder.rglob("*"))
    result = invoke(*words, env={"PHOTDB_PROJECT": str(night.path), "MPLBACKEND": "agg"})
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.stderr
    assert said.casefold() in result.stderr.splitlines()[-1].casefold(), result.stderr
    if code == 2:
        assert night.path.read_bytes() == kept
    after = content(night)
    if words[:3] != ("solve", "--window", "1"):  # which is an answer, if not a good one
        assert after == before
    assert sorted(night.folder.rglob("*")) == there
