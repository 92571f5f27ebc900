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
