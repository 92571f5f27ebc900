"""A full disk, a limit on the size of files, read-only files and folders: a sentence, nothing lost, and it goes on."""

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from faults import nearly_full, small_disk
from nights import DECISIONS, RESULTS, copy_night

from photdb.store.project import Project


def session(night):
    """A night's commands, every one of which writes, with `-j 1`."""
    asteroid = night.at("Ganymed", 1, 20)
    return [
        ("init", night.folder / "frames"),
        ("add", night.folder / "late"),
        ("qc", "-j", 1, "--max-fwhm", 4.1),
        ("shifts", "-j", 1, "--max-residual", 1),
        ("set", "--gain", 2),
        ("select", "asteroid", "Ganymed", *asteroid),
        ("select", "reference", "--auto", 4),
        ("measure", "-j", 1),
        ("check",),
        ("reject", "frames", 9, "--reason", "a plane"),
        ("solve",),
        ("reject", "source", "R4"),
        ("accept", "frames", 9),
        ("run", "-j", 1),
    ]


@pytest.fixture(scope="module")
def undisturbed(built_night, commands, tmp_path_factory):
    """What the session gives where there is room."""
    night = copy_night(built_night, tmp_path_factory.mktemp("undisturbed") / "night", "new")
    night.path.unlink()
    for words in session(night):
        ended = commands.run(night.path, *words)
        assert ended.code == 0, ended
    return night.snapshot(*RESULTS, *DECISIONS)


def is_whole(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []


def do(night, attempt, status, sizes, said):
    """Do the session, each command with ever more room until it can be done; gives how many attempts failed."""
    failed = {}
    for n, words in enumerate(session(night)):
        for size in sizes(night.path.stat().st_size if n else 0):
            ended = attempt(size, *words)
            if night.path.exists():
                assert status().code == 0
                is_whole(night.path)
            else:
                assert words[0] == "init"
            left = sorted(file.name for file in night.folder.glob("*night.photdb*"))
            assert left in ([], ["night.photdb"]), left
            if ended.code == 0:
                break
            assert ended.code == 1, ended
            assert any(text in ended.sentence for text in said), ended
            failed[n] = failed.get(n, 0) + 1
        else:
            pytest.fail(f"{words} does not end with any room")
    assert failed.keys() == set(range(len(session(night)))), "each of the commands was hit"
    return sum(failed.values())


def test_no_command_minds_a_limit_on_files(commands, night_at, undisturbed):
    """From no byte to enough: the limit meets lock, journal, database and commit of each command."""
    night = night_at("new")
    night.path.unlink()

    def sizes(size):
        yield from (0, 600, 9000)
        yield from (size // 2, size - 4096, size)
        more = max(size, 20_000)
        for _ in range(30):
            more = int(more * 1.4)
            yield more

    n_failed = do(
        night,
        lambda size, *words: commands.run(night.path, *words, file_limit=max(size, 0)),
        lambda: commands.run(night.path, "status"),
        sizes,
        ["disk takes no more"],
    )
    assert n_failed > 55
    assert night.snapshot(*RESULTS, *DECISIONS) == undisturbed


def test_no_command_minds_a_full_disk(commands, built_night, tmp_path, undisturbed):
    """Real file system of 16 MB, from no free page to enough; and it stays at hand for the next command."""
    try:
        disk = small_disk(tmp_path / "disk", 16 << 20)
        folder = disk.__enter__()
    except PermissionError as error:
        pytest.skip(f"mounting needs root (the limit on files is tested all the same): {error}")
    try:
        night = copy_night(built_night, folder / "night", "new")
        night.path.unlink()

        def attempt(size, *words):
            with nearly_full(folder, size):
                return commands.run(night.path, *words)

        n_failed = do(
            night,
            attempt,
            lambda: commands.run(night.path, "status"),
            lambda size: [0, *(4096 << n for n in range(9))],
            ["disk is full", "takes no more", "No space left"],
        )
        assert n_failed > 40
        assert night.snapshot(*RESULTS, *DECISIONS) == undisturbed
    finally:
        disk.__exit__(None, None, None)


# --- files for people -------------------------------------------------------------------------------------------------
OUTPUTS = {
    "export": ("out/night-01_frames.txt", ("export", "out")),
    "view": (
        "out/light_curve.ecsv",
        ("export", "out", "--view", "light_curve", "--view", "excluded", "--format", "ecsv"),
    ),
    "report": ("out/page.html", ("report", "out/page.html")),
    "plot": ("out/a.png", ("plot", "qc", "--save", "out/a.png")),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_is_written_whole_or_stays_as_it_was(commands, night, name):
    out = night.folder / "out"
    out.mkdir()
    file, words = OUTPUTS[name]

    def listing():
        return {p.name: p.read_bytes() for p in out.iterdir()}

    def tried(limit=None):
        return commands.run(night.path, *words, cwd=night.folder, file_limit=limit)

    n_failed = 0
    for limit in (0, 1300, 30_000) if name == "export" else (1300,):
        ended = tried(limit)
        if ended.code == 0:
            break
        assert ended.code == 1
        assert "cannot be written (File too large): nothing was changed" in ended.sentence
        assert listing() == {}
        n_failed += 1
    assert n_failed >= 1
    assert tried().code == 0
    first = listing()
    assert Path(file).name in first
    night.photdb("reject", "frames", 5)
    night.photdb("run")
    assert tried(1300).code == 1
    assert listing() == first
    if name != "report":  # which takes a second or two
        assert tried().code == 0
        assert listing() != first


PRINTING = [
    ("status",),
    ("status", "--json"),
    ("history",),
    ("history", "--as-script"),
    ("sql", "SELECT * FROM flux"),
    ("select", "list"),
    ("reject", "list"),
    ("set",),
    ("qc", "-j", "1"),
    ("shifts", "-j", "1"),
    ("check",),
    ("solve",),
    ("run", "-j", "1"),
    ("--help",),
    ("qc", "--help"),
    ("--version",),
]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_what_cannot_be_printed_is_said(commands, night):
    night.photdb("reject", "frames", 5)
    for words in PRINTING:
        ended = commands.run(night.path, *words, stdout=Path("/dev/full"))
        assert ended.code == 1, (words, ended)
        assert ended.sentence.startswith("The output cannot be written (No space left on device): make room"), words
    assert night.one("SELECT outcome FROM history WHERE command = 'qc' ORDER BY id DESC LIMIT 1").startswith("failed: ")
    night.photdb("run")
    assert night.work() == {}


# --- what may not be written or read ----------------------------------------------------------------------------------
WRITING = [("run", "-j", 1), ("reject", "frames", 3), ("set", "--gain", 3), ("select", "remove", "C1")]
READING = [("status",), ("history",), ("sql", "SELECT count(*) FROM flux"), ("select", "list")]


@pytest.mark.parametrize("what", ["file", "folder", "both"])
def test_a_project_that_may_not_be_written_is_read_all_the_same(commands, public_night, what):
    night = public_night("solved")
    before = night.path.read_bytes()
    night.path.chmod(0o666 if what == "folder" else 0o444)
    night.folder.chmod(0o777 if what == "file" else 0o555)
    for words in READING:
        ended = commands.run(night.path, *words, nobody=True)
        assert (ended.code, ended.stderr) == (0, ""), ended
    for words in WRITING:
        ended = commands.run(night.path, *words, nobody=True)
        assert ended.code == 1
        needed = "night.photdb is read-only: make it writable" if what == "file" else "cannot write beside the project"
        assert needed.lower() in ended.sentence.lower()
        assert "copy" in ended.sentence
    assert night.path.read_bytes() == before
    assert sorted(p.name for p in night.folder.glob("night.photdb*")) == ["night.photdb"]
    night.path.chmod(0o666)
    night.folder.chmod(0o777)
    assert commands.run(night.path, "reject", "frames", 3, nobody=True).code == 0


def test_a_disk_that_is_read_only_can_be_looked_at(commands, built_night, tmp_path):
    try:
        disk = small_disk(tmp_path / "disk", 16 << 20)
        folder = disk.__enter__()
    except PermissionError as error:
        pytest.skip(f"mounting needs root (read-only files and folders are tested all the same): {error}")
    try:
        night = copy_night(built_night, folder / "night", "solved")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        for words in [*READING, ("check-project", "-j", 1)]:
            assert commands.run(night.path, *words).code == 0, words
        for words in [*WRITING, ("report",), ("export", folder / "out"), ("relocate", night.folder / "frames")]:
            ended = commands.run(night.path, *words)
            assert ended.code == 1
            assert "Read-only file system" in ended.sentence
    finally:
        disk.__exit__(None, None, None)


def test_a_demo_without_room_says_how_to_begin_anew(commands, tmp_path):
    ended = commands.run(None, "demo", tmp_path / "demo", "--frames", 30, file_limit=20_000)
    assert ended.code == 1
    assert "frames of the demo cannot be written (File too large): make room" in ended.sentence
    assert "photdb demo --overwrite" in ended.sentence


def test_a_project_that_may_not_be_read_is_said(commands, public_night):
    night = public_night("solved")
    night.folder.chmod(0o777)
    night.path.chmod(0o000)
    for words in READING + WRITING:
        ended = commands.run(night.path, *words, nobody=True)
        assert ended.code == 1
        assert ended.sentence.startswith("No permission to read night.photdb"), words
    assert sorted(p.name for p in night.folder.glob("night.photdb*")) == ["night.photdb"]


def test_what_a_killed_command_left_is_said_where_it_cannot_be_taken_back(commands, public_night):
    """A hot journal in a folder that may not be written: readers cannot roll back, and say so."""
    night = public_night("solved")
    before = night.snapshot()
    ended = commands.run(night.path, "reject", "frames", 3, before=("killed_in_transaction",))
    assert ended.code == -9
    assert night.path.with_name("night.photdb-journal").stat().st_size > 0
    night.folder.chmod(0o555)
    (night.path.with_name("night.photdb-journal")).chmod(0o444)
    night.path.chmod(0o444)
    ended = commands.run(night.path, "status", nobody=True)
    assert ended.code == 1
    assert "a command on night.photdb was killed" in ended.sentence.lower()
    night.path.chmod(0o644)
    night.folder.chmod(0o755)
    assert commands.run(night.path, "status").code == 0
    assert night.snapshot() == before


def test_folders_of_frames_that_may_not_be_entered(commands, public_night):
    night = public_night("solved")
    night.folder.chmod(0o777)
    night.path.chmod(0o666)
    frames = night.folder / "frames"
    frames.chmod(0o000)
    status = json.loads(commands.run(night.path, "status", "--json", nobody=True).stdout)
    assert "not in" in status["stages"][0]["notes"][0]
    assert commands.run(night.path, "run", "-j", 1, nobody=True).code == 0  # nothing to be read
    ended = commands.run(night.path, "measure", "--apertures", "3.3,10,15", "-j", 1, nobody=True)
    assert ended.code == 1
    assert "no permission to read the file" in ended.sentence
    assert "frame 1-20" in ended.sentence
    ended = commands.run(None, "init", frames, "-p", night.folder / "other.photdb", nobody=True)
    assert ended.code == 1
    assert "Permission denied" in ended.sentence
    frames.chmod(0o755)
    assert commands.run(night.path, "run", "-j", 1, nobody=True).code == 0
    with Project.read(night.path) as project:
        assert project.connection.exec_driver_sql("SELECT count(*) FROM flux").scalar() == 1120 + 140
