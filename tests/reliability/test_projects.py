"""What is no project, or one that was truncated or damaged, for every command: one sentence, and the file untouched."""

import os
import random
import sqlite3
from contextlib import closing

import pytest
from nights import DECISIONS, invoke

from photdb.cli import COMMANDS

#: Every command that is on a project, with what it needs.
EVERY = [
    ("status",),
    ("status", "--json"),
    ("history",),
    ("history", "--as-script"),
    ("sql", "SELECT count(*) FROM flux"),
    ("set",),
    ("set", "--gain", 2),
    ("add", __file__),
    ("qc", "-j", 1),
    ("shifts", "-j", 1),
    ("select", "list"),
    ("select", "asteroid", "X", "--at", 1, 50, 50, "--at", 9, 60, 60),
    ("select", "variable", "V", "--at", 1, 50, 50),
    ("select", "reference", "--auto", 3),
    ("select", "check", "C9", "--at", 1, 50, 50),
    ("select", "remove", "C1"),
    ("measure", "-j", 1),
    ("times",),
    ("times", "Ganymed", "--radec", "31.0", "46.7"),
    ("suggest", "-j", 1),
    ("suggest", "--apply", "-j", 1),
    ("check",),
    ("reject", "list"),
    ("reject", "frames", 1),
    ("reject", "source", "R1"),
    ("reject", "aperture", 1),
    ("accept", "frames", 1),
    ("accept", "source", "R1"),
    ("accept", "aperture", 1),
    ("solve",),
    ("run", "-j", 1),
    ("plot", "qc", "--save", "a.png"),
    ("report", "a.html"),
    ("guide", "--questions"),
    ("export", "out"),
    ("relocate", "."),
    ("check-project", "-j", 1),
    ("init", "frames"),
]
PAGE = 4096


def test_every_command_is_among_them():
    assert {words[0] for words in EVERY} == set(COMMANDS) - {"demo"}  # which makes a project of its own


def raw(path, *statements):
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA foreign_keys=OFF")
        for statement in statements:
            other.execute(statement)
        other.commit()


def another_database(path, good):
    raw(path, "CREATE TABLE frame (id)", "CREATE TABLE alembic_version (version_num)", "PRAGMA application_id=77")


def with_statements(*statements):
    def make(path, good):
        path.write_bytes(good)
        raw(path, *statements)

    return make


def with_log(path, good):
    """As a program leaves it that was killed in SQLite's write-ahead mode: the last rows are in another file."""
    path.write_bytes(good)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("UPDATE project SET observer = 'somebody'")
        other.commit()
        log, content = path.with_name(f"{path.name}-wal").read_bytes(), path.read_bytes()
    path.write_bytes(content)
    path.with_name(f"{path.name}-wal").write_bytes(log)


def noise(path, good):
    path.write_bytes(random.Random(1).randbytes(PAGE) + good[PAGE:])


#: How to make it, and a word or two of what is said.
BAD = {
    "empty": (lambda path, good: path.write_bytes(b""), "is empty, and no project"),
    "text": (lambda path, good: path.write_text("frames of last night\n" * 200), "no project of photdb"),
    "image": (
        lambda path, good: path.write_bytes(b"SIMPLE  =                    T".ljust(5760)),
        "no project of photdb",
    ),
    "magic alone": (lambda path, good: path.write_bytes(good[:16]), "no project of photdb"),
    "another application's": (another_database, "an SQLite database, but no project of photdb"),
    "application_id": (with_statements("PRAGMA application_id=77"), "an SQLite database, but no project of photdb"),
    "newer": (with_statements("UPDATE alembic_version SET version_num = '9999'"), "made by a newer photdb"),
    "write-ahead": (with_statements("PRAGMA journal_mode=WAL"), "write-ahead mode"),
    "write-ahead log": (with_log, "write-ahead mode"),
    "folder": (lambda path, good: path.mkdir(), "is a folder, not a project"),
    "pipe": (lambda path, good: os.mkfifo(path), "is a pipe or a device"),
    "device": (lambda path, good: path.symlink_to("/dev/null"), "is a pipe or a device"),
    "loop": (lambda path, good: path.symlink_to(path), "a symbolic link that leads to no file"),
    "dangling": (lambda path, good: path.symlink_to("gone"), "a symbolic link that leads to no file"),
    "first page": (noise, "no project of photdb"),
    "half": (lambda path, good: path.write_bytes(good[: len(good) // 2]), "is damaged"),
    "last byte": (lambda path, good: path.write_bytes(good[:-1]), "is damaged (truncated"),
}
#: What a command says instead, where it has nothing to do with what is in the file.
INSTEAD = {"init": "exists: add frames to it", "check-project": ""}


def state(folder):
    """Everything in a folder, to the last byte."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            found[path.name] = os.readlink(path)
        elif path.is_file():
            found[path.name] = path.read_bytes()
        else:
            found[path.name] = path.stat().st_mode
    return found


@pytest.mark.parametrize("kind", BAD)
def test_no_command_touches_what_is_no_project(night, monkeypatch, kind):
    make, said = BAD[kind]
    monkeypatch.chdir(night.folder)
    good = night.path.read_bytes()
    night.path.unlink()
    make(night.path, good)
    before = state(night.folder)
    for words in EVERY:
        if kind == "newer" and words[0] == "sql":
            assert night.photdb(*words).stdout.split() == ["count(*)", "1120"]
            continue
        done = night.photdb(*words, code=1)
        lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        if words[0] == "check-project" and not lines:
            assert done.stdout.count(".") >= 1
            assert "--repair" in done.stdout
        else:
            (line,) = lines
            assert len(line) < 300
            assert line.endswith(".")
            assert INSTEAD.get(words[0], said) in line, line
        assert state(night.folder) == before, words


def test_truncated_anywhere_it_is_said_and_left_alone(night):
    """At each page boundary, and at 30 places of seed 3 between them."""
    good = night.path.read_bytes()
    cuts = [*range(PAGE, len(good), PAGE), *random.Random(3).sample(range(1, len(good)), 30), len(good) - 1]
    assert len(cuts) > 100
    for cut in cuts:
        night.path.write_bytes(good[:cut])
        for words in (("status",), ("run", "-j", 1), ("sql", "SELECT 1"), ("reject", "frames", 3)):
            said = night.refused(*words)
            assert "is damaged" in said or "no project" in said, (cut, words, said)
            assert "`photdb check-project` says what can be saved" in said
        assert night.photdb("check-project", "-j", 1, code=1).stdout.startswith(
            ("It is truncated", "night.photdb does not")
        )
        assert night.path.read_bytes() == good[:cut]
        assert sorted(p.name for p in night.folder.glob("*night.photdb*")) == ["night.photdb"]


def damaged(good, seed, kinds=("zeros", "noise", "bits", "another")):
    """Damage some pages, but the first: zeros, noise, flipped bits, or another page's content."""
    random_, content = random.Random(seed), bytearray(good)
    n_pages = len(good) // PAGE
    for _ in range(random_.choice([1, 1, 1, 2, 5])):
        at = random_.randrange(1, n_pages) * PAGE
        kind = random_.choice(kinds)
        if kind == "zeros":
            content[at : at + PAGE] = bytes(PAGE)
        elif kind == "noise":
            content[at : at + PAGE] = random_.randbytes(PAGE)
        elif kind == "bits":
            for _ in range(8):
                content[at + random_.randrange(PAGE)] ^= 1 << random_.randrange(8)
        else:
            other = random_.randrange(1, n_pages) * PAGE
            content[at : at + PAGE] = good[other : other + PAGE]
    return bytes(content)


def decisions(path):
    """Rows of the tables of decisions that can be read; None for one that cannot."""
    found = {}
    with closing(sqlite3.connect(path)) as other:
        other.text_factory = bytes
        for table in DECISIONS:
            try:
                found[table] = other.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
            except (sqlite3.DatabaseError, UnicodeDecodeError):  # of a message in which SQLite repeats what is damaged
                found[table] = None
    return found


SEEDS = range(60)


def test_damaged_pages_are_a_sentence_and_no_decision_is_touched(night, tmp_path):
    """60 seeds: whatever was damaged, no command ends in a traceback, and one that fails leaves all decisions."""
    good = night.path.read_bytes()
    n_said = n_failed = 0
    for seed in SEEDS:
        content = damaged(good, seed)
        for words in (
            ("status",),
            ("sql", "SELECT * FROM best_light_curve"),
            ("history",),
            ("run", "-j", 1),
            ("solve",),
            ("export", tmp_path / "out", "--overwrite"),
        ):
            night.path.write_bytes(content)
            before = decisions(night.path)
            done = invoke(*words, env={"PHOTDB_PROJECT": str(night.path)})  # raises whatever is no answer
            assert done.exit_code in (0, 1), (seed, words)
            if done.exit_code:
                n_failed += 1
                (line,) = (line for line in done.stderr.splitlines() if line.startswith("Error: "))
                assert len(line) < 400
                n_said += "damaged" in line or "malformed" in line or "no project" in line
                assert decisions(night.path) == before, (seed, words)
            for left in night.folder.glob("night.photdb?*"):
                left.unlink()
    assert n_failed > 100
    assert n_said > 0.9 * n_failed
