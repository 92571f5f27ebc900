"""`photdb guide` by its questions: text on stdin, cut anywhere, and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nights import DECISIONS, invoke

from photdb.cli.guide import STEPS

ROOT = Path(__file__).resolve().parents[2]


def answers(night):
    """A whole night in answers: a rule, frames, sources in words, a reference dropped, a span rejected."""
    (x0, y0), (x1, y1) = night.place("Ganymed", 1), night.place("Ganymed", 20)
    stars = [f"reference {label} 1 {x} {y}" for label in ("R1", "R2", "R3", "R4") for x, y in [night.place(label, 1)]]
    return [
        "17000",
        "nonsense",  # asked again
        "none",
        "3 18-19",
        "1",
        "",
        "",
        f"asteroid Ganymed 1 {x0} {y0}",
        f"asteroid Ganymed 20 {x1} {y1}",
        *stars,
        "reference R9 1 1",
        "",
        "2,8,12 3,8,12",
        "R2",
        "",
        "",
        "5-7",
        "",
        "",
        "",
    ]


def guide(night, lines, *options, code=0):
    """Run the guide in a process of its own, with these lines as its input."""
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    env |= {"PHOTDB_PROJECT": str(night.path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "photdb", "guide", *options],
        input="".join(f"{line}\n" for line in lines),
        cwd=night.folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def by_options(night):
    for words in ("qc", "qc --min-range 17000", "reject frames 3 18-19", "shifts"):
        night.photdb(*words.split())
    night.photdb("select", "asteroid", "Ganymed", *night.at("Ganymed", 1, 20))
    for label in ("R1", "R2", "R3", "R4"):
        night.photdb("select", "reference", label, *night.at(label, 1))
    for words in (
        "measure --apertures 2,8,12 3,8,12",
        "reject source R2",
        "reject frames 5-7 --source Ganymed",
        "check",
        "solve",
    ):
        night.photdb(*words.split())


def test_its_answers_are_the_commands(night_at):
    night, other = night_at("new"), night_at("new", "other")
    done = guide(night, answers(night))
    assert "Error: Invalid value for '--max-nonuniformity': 'nonsense' is not a number." in done.stderr
    n_rejected = night.one("SELECT count(*) FROM excluded WHERE kind = 'rule'")
    assert n_rejected > 0
    assert f"range_adu < 17000 rejects {n_rejected} frame" in done.stdout
    assert "Rejected frame 3, 18-19." in done.stderr
    assert "All is done." in done.stderr
    by_options(other)
    assert night.snapshot(*DECISIONS) == other.snapshot(*DECISIONS)
    assert night.snapshot() == other.snapshot()
    before = night.path.read_bytes()
    assert "All is done." in guide(night, []).stderr
    assert night.path.read_bytes() == before


def test_cut_after_every_answer_it_goes_on_there(night_at):
    """Input ends after one, two, … answers: what was asked then is asked first the next time."""
    night, other = night_at("new"), night_at("new", "other")
    lines = answers(night)
    asteroid = next(i for i, line in enumerate(lines) if line.startswith("asteroid"))
    begins = {1: "uniformity", 3: "frames", 4: "shifts", 7: "select", asteroid + 8: "measure"}
    begins |= {asteroid + 9: "check", asteroid + 11: "solve"}
    at = 0
    for end, step in begins.items():
        done = guide(night, lines[at:end])
        assert f"Left at {step}: `photdb guide` goes on there." in done.stderr
        at = end
    done = guide(night, lines[at:])
    assert done.stdout.startswith("== solve ==")
    assert "All is done." in done.stderr
    by_options(other)
    assert night.snapshot(*DECISIONS) == other.snapshot(*DECISIONS)
    assert night.snapshot() == other.snapshot()


def test_interrupted_within_a_step_nothing_is_lost(night_at):
    """Ctrl-C while sources are selected: those that were are there, and the guide is still at this step."""
    night = night_at("shifted")
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    env |= {"PHOTDB_PROJECT": str(night.path), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    words = [sys.executable, "-m", "photdb", "guide", "--from", "select"]
    x, y = night.place("R1", 1)
    with subprocess.Popen(
        words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(f"reference R1 1 {x} {y}\n")
        process.stdin.flush()
        end = time.monotonic() + 60
        while not night.one("SELECT count(*) FROM source") and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Left at select" in said
    assert night.rows("SELECT label, role FROM source") == [("R1", "reference")]
    done = guide(night, [""])
    assert "no target is selected yet" in done.stderr
    assert done.stdout.startswith("== select ==")


def test_it_leaves_no_trace_in_the_script(night_at):
    night = night_at("new")
    guide(night, ["17000", ""])
    script = night.photdb("history", "--as-script").stdout
    assert "photdb qc --min-range 17000" in script
    assert "guide" not in script
    commands = [(c, json.loads(a)) for c, a in night.rows("SELECT command, arguments FROM history ORDER BY id")]
    assert [a[-1] for c, a in commands if c == "guide"] == ["uniformity", "frames"]


def test_frames_become_a_project_first(night_at, tmp_path):
    night = night_at("new")
    target = tmp_path / "mine.photdb"
    done = invoke("guide", night.folder / "frames", "-p", target, "--questions")
    assert done.exit_code == 0, done.stderr
    assert "Left at range" in done.stderr
    assert target.exists()


def test_wrong_use(night_at):
    night = night_at("new")
    assert "exclude each other" in night.refused("guide", "--web", "--questions", code=2)
    assert "is not one of" in night.refused("guide", "--from", "nowhere", code=2)


@pytest.mark.parametrize("step", STEPS[:-1])
def test_each_step_asks(night_at, step):
    """From any step: it asks something, and nothing is decided by an end of input."""
    night = night_at("solved")
    before = night.snapshot(*DECISIONS)
    done = guide(night, [], "--from", step)
    assert f"== {step} ==" in done.stdout
    assert done.stdout.rstrip().endswith(":")
    assert night.snapshot(*DECISIONS) == before
