"""`photdb status` and what all commands share: exit codes, where things are printed, finding the project."""

import json

import pytest
from nights import N_FRAMES, invoke

from photdb.cli import COMMANDS


def test_status_of_a_session_from_its_start(night_at):
    expected = {
        "new": ("photdb qc", ["done", "to do", *["waits"] * 7]),
        "shifted": ("photdb select", [*["done"] * 4, "waits", "done", "waits", "waits", "waits"]),
        "selected": ("photdb measure", [*["done"] * 4, "to do", "to do", "waits", "to do", "to do"]),
        "measured": ("photdb check", [*["done"] * 5, *["to do"] * 4]),
        "solved": (None, ["done"] * 9),
    }
    for point, (following, states) in expected.items():
        night = night_at(point, point)
        status = night.status()
        assert [s["state"] for s in status["stages"]] == states, point
        assert status["next"] == following
        night.photdb("status", "--check", code=0 if point == "solved" else 3)
        text = night.photdb("status").stdout
        assert (f"Next: {following}" if following else "Everything is up to date.") in text


def test_status_says_in_words_what_is_out_of_date(night):
    def reasons():
        return [r for s in night.status()["stages"] for r in s["reasons"]]

    night.photdb("add", night.folder / "late")
    assert reasons()[0] == f"10 of {N_FRAMES + 10} frames not measured"
    night.photdb("run")
    night.photdb("select", "reference", "R9", *night.at("C1", 1))
    assert "reference R9 not measured" in reasons()
    night.photdb("run")
    night.photdb("set", "--gain", "2")
    assert any("gain" in r for r in reasons())
    night.photdb("run")
    night.photdb("reject", "frames", "2")
    assert reasons() == [
        "magnitudes of 8 sources changed",
        "magnitudes of 5 references changed",
        "asteroid Ganymed: its magnitudes, references or search changed",
        "variable V1: its magnitudes, references or search changed",
    ]


def test_status_is_json_with_counts(night):
    night.photdb("qc", "--max-fwhm", "3.1")
    found = json.loads(night.photdb("status", "--json").stdout)
    assert found["name"] == "night"
    assert found["frames"] == N_FRAMES
    assert found["sources"] == {"asteroid": 1, "check": 1, "reference": 4, "variable": 1}
    assert found["accepted"] == night.one("SELECT count(*) FROM frame_status WHERE fwhm_px <= 3.1")
    stage = found["stages"][1]
    assert (stage["stage"], stage["units"], stage["work"], stage["outcome"]) == ("qc", N_FRAMES, 0, "ok")


def test_reading_commands_change_nothing(night):
    before = night.path.read_bytes()
    for command in (
        ("status",),
        ("status", "--json"),
        ("status", "--check"),
        ("history",),
        ("select", "list"),
        ("reject", "list"),
        ("set",),
        ("sql", "SELECT 1"),
    ):
        night.photdb(*command)
    assert night.path.read_bytes() == before


def test_quiet_commands_say_nothing_when_all_is_fine(night_at):
    night = night_at("new")
    for command in (
        ("qc", "--max-background", "9999"),
        ("shifts",),
        ("select", "asteroid", "Ganymed", *night.at("Ganymed", 1, 20)),
        ("select", "reference", "--auto", "3"),
        ("measure",),
        ("check",),
        ("solve",),
        ("reject", "frames", "3", "--source", "R1"),
        ("reject", "source", "R2"),
        ("accept", "source", "R2"),
        ("accept", "frames", "3"),
        ("set", "--gain", "2"),
        ("run",),
        ("add", night.folder / "late"),
        ("run",),
        ("status",),
        ("history",),
    ):
        assert night.photdb(*command, "-q").stderr == "", command


def test_data_are_on_stdout_and_messages_are_not(night):
    for command, heading in {
        ("qc",): "metric",
        ("shifts",): "shift",
        ("check",): "reference",
        ("solve",): "rank",
        ("status",): "night: ",
        ("select", "list"): "name",
        ("set",): "fact",
    }.items():
        assert night.photdb(*command).stdout.startswith(heading), command
    for command in (("reject", "frames", "3"), ("accept", "frames", "3"), ("set", "--gain", "2")):
        assert night.photdb(*command).stdout == ""


def test_every_command_has_an_example_in_its_help():
    listed = invoke("--help").stdout
    for command in COMMANDS:
        assert f"\n  {command} " in listed
        assert "Example:" in invoke(command, "--help").stdout, command
    for group, commands in {
        "select": ("asteroid", "variable", "reference", "check", "list", "remove"),
        "reject": ("frames", "source", "aperture", "list"),
        "accept": ("frames", "source", "aperture"),
    }.items():
        for command in commands:
            assert "Example:" in invoke(group, command, "--help").stdout, command


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("qc", "--nonsense"),
        ("qc", "--region", "1", "2", "3"),
        ("qc", "--min-range", "much"),
        ("qc", "--min-range", "-5"),
        ("qc", "--min-range", "nan"),
        ("qc", "-j", "0"),
        ("measure", "3,8,40"),
        ("measure", "--apertures", "3,8"),
        ("measure", "--apertures", "3,8,40", "--radii", "3:8:1", "--annulus", "9", "12"),
        ("measure", "--radii", "3:8:1"),
        ("measure", "--radii", "8:3:1", "--annulus", "9", "12"),
        ("measure", "--radii", "3:8:0", "--annulus", "9", "12"),
        ("measure", "--search", "1"),
        ("solve", "--window", "4"),
        ("solve", "--degree", "-1"),
        ("solve", "--weighting", "best"),
        ("solve", "--top", "0"),
        ("set", "--gain", "0"),
        ("set", "--site", "1", "91", "0"),
        ("set", "--time-means", "noon"),
        ("sql",),
        ("sql", "SELECT 1", "--format", "xml"),
        ("init",),
    ],
)
def test_misuse_is_exit_code_2_and_costs_nothing(night, arguments):
    before = night.path.read_bytes()
    result = night.photdb(*arguments, code=2)
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert night.path.read_bytes() == before


def test_the_project_is_the_one_named_else_the_only_one_here(night, tmp_path, monkeypatch):
    monkeypatch.delenv("PHOTDB_PROJECT", raising=False)
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    result = invoke("status")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: No project: make one with `photdb init FRAMES`")
    assert result.stderr.count("\n") == 1
    monkeypatch.chdir(night.folder)
    assert invoke("status").exit_code == 0
    (night.folder / "second.photdb").write_bytes(night.path.read_bytes())
    result = invoke("status")
    assert result.exit_code == 1
    assert "Several projects here (night.photdb, second.photdb)" in result.stderr
    assert invoke("status", "-p", "second.photdb").exit_code == 0
    assert invoke("status", env={"PHOTDB_PROJECT": "second.photdb"}).exit_code == 0
    result = invoke("status", "-p", "third.photdb")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)


def test_views_of_another_photdb_are_made_anew_by_what_writes(night):
    night.change("DROP VIEW target")
    night.change("PRAGMA user_version=1")
    assert "older photdb" in night.refused("status")
    night.photdb("run")
    assert night.photdb("status").exit_code == 0
