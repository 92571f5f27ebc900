"""Odd situations: every command has an answer in each of them, a result or one sentence.

Too little of everything (frames, sources, references, apertures, shifts), too much of it, the same star twice, times
that stand still, run backwards or meet a leap second, names that mean something elsewhere.
"""

import re
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from memory import folder_in_memory
from nights import Night, invoke

from photdb.simulate import Truth, clear_night, simulate_night
from photdb.simulate.fits import write_fits
from photdb.store import schema
from photdb.store.project import Project

N_FRAMES = 9
PLAN = clear_night(
    n_frames=N_FRAMES,
    width_px=220,
    height_px=180,
    seed=5,
    n_stars=45,
    fwhm_px=3.0,
    duration_h=1.0,
    reference_flux_adu=(150_000.0, 120_000.0, 100_000.0),
    variable=True,
)
#: What is typed in each situation, in this order; `run` first brings it as far as it goes.
ALL = (
    ("status",),
    ("run", "-j", "1"),
    ("status", "--json"),
    ("qc", "-j", "1"),
    ("shifts", "-j", "1"),
    ("measure", "-j", "1"),
    ("check",),
    ("solve",),
    ("solve", "--weighting", "all", "--window", "3", "--degree", "0"),
    ("times",),
    ("suggest", "-j", "1"),
    ("measure", "--hits", "mend", "--remove-stars", "-j", "1"),
    ("measure", "--hits", "keep", "--keep-stars", "-j", "1"),
    ("select", "list"),
    ("select", "reference", "--auto", "3"),
    ("run", "-j", "1"),
    ("reject", "list"),
    ("reject", "frames", "1"),
    ("accept", "frames", "1"),
    ("set",),
    ("history",),
    ("history", "--as-script"),
    ("sql", "SELECT * FROM excluded"),
    ("export", "x"),
)
#: What takes its time: all plots are in the report.
LONG = (
    ("report", "x.html"),
    ("export", "x", *(word for view in schema.VIEWS for word in ("--view", view)), "--format", "ecsv"),
)
PLOTS = ("qc", "shifts", "field", "references", "apertures", "growth", "lightcurve", "search", "noise")


class Built:
    """A folder with the small night's frames, from which each situation takes what it wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.truth: Truth = simulate_night(folder / "all", PLAN)
        self.count = 0

    def night(self, frames: int = N_FRAMES, times: list[str] | None = None, *, shifts: bool = True) -> Night:
        """Make a project of the first frames, with other times if some are given."""
        self.count += 1
        folder = self.folder / f"night{self.count}"
        (folder / "frames").mkdir(parents=True)
        for i, name in enumerate(self.truth.file_names[:frames]):
            data = (self.folder / "all" / name).read_bytes()
            if times is not None:
                place = data.index(b"DATE-OBS=")
                data = data[:place] + f"DATE-OBS= '{times[i]}'".encode().ljust(80) + data[place + 80 :]
            (folder / "frames" / name).write_bytes(data)
        night = Night(folder, self.truth)
        night.photdb("init", folder / "frames")
        if shifts:
            night.photdb("shifts", "-j", "1")
        return night

    def at(self, label: str, *numbers: int) -> list[object]:
        k = self.truth.labels.index(label)
        return [
            word
            for n in numbers
            for word in (
                "--at",
                n,
                round(float(self.truth.x_px[n - 1, k]), 1),
                round(float(self.truth.y_px[n - 1, k]), 1),
            )
        ]

    def selected(self, frames: int = N_FRAMES, times: list[str] | None = None, roles: str = "avrc") -> Night:
        """Make a project with the night's sources selected, of some roles."""
        night = self.night(frames, times)
        first = 1 + self.truth.file_names.index(night.one("SELECT path FROM frame WHERE number = 1"))
        for label, role in zip(self.truth.labels, self.truth.roles, strict=True):
            if role[0] in roles:
                at = self.at(label, *((1, frames) if role == "asteroid" else (first,)))
                at[1] = 1
                night.photdb("select", role, label, *at)
        return night


@pytest.fixture(scope="module")
def built() -> Iterator[Built]:
    with folder_in_memory() as folder:
        yield Built(folder)


def answered(
    night: Night, monkeypatch: pytest.MonkeyPatch, *, long: bool = False, plots: tuple[str, ...] = ()
) -> dict[str, str]:
    """Type everything; give what was said of errors by command."""
    monkeypatch.chdir(night.folder)
    monkeypatch.setenv("MPLBACKEND", "agg")
    said: dict[str, str] = {}
    for words in (*ALL, *(LONG if long else ()), *(("plot", stage, "--save", "x.png") for stage in plots)):
        result = invoke(*words, env={"PHOTDB_PROJECT": str(night.path)})
        assert result.exit_code in (0, 1), (words, result.stderr)
        assert "Traceback" not in result.stderr
        assert "nan" not in re.findall(r"[a-z]+", (result.stderr + result.stdout).lower()) or words[0] in ("sql",), (
            words,
            result.output,
        )
        if result.exit_code:
            last = result.stderr.splitlines()[-1]
            assert last.startswith("Error: ") and last.endswith("."), (words, result.stderr)  # noqa: PT018
            said[" ".join(words[:2])] = last
    states = night.states()
    assert set(states.values()) <= {"done", "waits", "out of date", "to do"}
    n = night.one("SELECT count(*) FROM stage_run WHERE n_units > 0")
    invoke("run", "-j", "1", env={"PHOTDB_PROJECT": str(night.path)})
    invoke("run", "-j", "1", env={"PHOTDB_PROJECT": str(night.path)})
    assert night.one("SELECT count(*) FROM stage_run WHERE n_units > 0") <= n + 6, "each run makes all anew"
    shutil.rmtree(night.folder)
    return said


# --- too little -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_frames(built: Built, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    night = built.selected(n, roles="vrc" if n == 1 else "avrc")
    said = answered(night, monkeypatch, long=True)
    assert "too few frames" in said["solve"].lower()
    assert ("solve --weighting" in said) == (n < 3)


def test_nothing_done_yet(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    said = answered(built.night(shifts=False), monkeypatch, plots=PLOTS)
    assert "no source is selected" in said["measure -j"].lower()


@pytest.mark.parametrize(("roles", "missing"), [("av", ""), ("r", "target"), ("c", "target")])
def test_roles_that_nobody_has(built: Built, monkeypatch: pytest.MonkeyPatch, roles: str, missing: str) -> None:
    said = answered(built.selected(roles=roles), monkeypatch)
    assert missing in said.get("solve", "").lower()
    assert "reference" in said.get("check", "reference").lower()


def test_no_shift_anywhere(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = built.folder / "flat"
    for i in range(3):
        (folder / "frames").mkdir(parents=True, exist_ok=True)
        import numpy as np

        cards = {"DATE-OBS": f"2011-10-01T20:3{i}:00", "EXPTIME": 60.0, "FILTER": "R"}
        write_fits(folder / "frames" / f"{i}.fits", np.full((60, 80), 1000, np.uint16), cards)
    night = Night(folder, built.truth)
    night.photdb("init", folder / "frames")
    said = answered(night, monkeypatch, plots=PLOTS)
    assert "shifts -j" in said
    assert "select reference" in said


@pytest.mark.parametrize("what", ["frames", "references", "targets", "apertures", "all but one reference"])
def test_nothing_left(built: Built, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    night = built.selected()
    night.photdb("run", "-j", "1")
    night.photdb("solve", "--detrend", "time", "--offset", "jumps")
    labels = {"references": ("R1", "R2", "R3"), "targets": ("Ganymed", "V1"), "all but one reference": ("R1", "R2")}
    for label in labels.get(what, ()):
        night.photdb("reject", "source", label)
    if what == "frames":
        night.photdb("reject", "frames", f"1-{N_FRAMES}")
    if what == "apertures":
        for (aperture,) in night.rows("SELECT id FROM aperture"):
            night.photdb("reject", "aperture", aperture)
    said = answered(night, monkeypatch, long=True)
    if what == "all but one reference":
        assert said == {}
    elif what != "references":  # then `select reference --auto` brings others
        assert "solve" in said


def test_no_aperture_at_all(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    night = built.selected()
    night.photdb("measure", "-j", "1")
    night.change("UPDATE aperture SET removed_at = '2020'")
    assert answered(night, monkeypatch) == {}  # they are chosen anew


# --- the same twice, and times ----------------------------------------------------------------------------------------
def test_a_target_that_is_a_reference(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    night = built.selected(roles="vr")
    assert "V1 is that star" in night.refused("select", "reference", "R9", *built.at("V1", 1), "--no-snap")
    x, y = night.rows("SELECT x_px, y_px FROM source_anchor JOIN source ON id = source_id WHERE label = 'V1'")[0]
    night.change("UPDATE source_anchor SET x_px = ?, y_px = ? WHERE source_id = 1", x, y)  # behind our back
    answered(night, monkeypatch, long=True)


TIMES = {
    "all the same": ["2011-10-01T20:30:00"] * N_FRAMES,
    "two the same": ["2011-10-01T20:30:00"] * 2 + [f"2011-10-01T20:{30 + i}:00" for i in range(1, N_FRAMES - 1)],
    "backwards": [f"2011-10-01T20:{50 - i}:00" for i in range(N_FRAMES)],
    "shuffled": [f"2011-10-01T20:{30 + (i * 4) % N_FRAMES}:00" for i in range(N_FRAMES)],
    "midnight": [*(f"2011-12-31T23:5{i}:00" for i in range(6, 10)), *(f"2012-01-01T00:0{i}:00" for i in range(5))],
    "leap second": [
        *(f"2016-12-31T23:59:{s}" for s in (20, 40, 59.5, 60.0, 60.5)),
        *(f"2017-01-01T00:00:{s:02d}" for s in (0, 1, 20, 40)),
    ],
    "centuries apart": [f"{1990 + 10 * (i % 3)}-01-0{1 + i}T00:00:00" for i in range(N_FRAMES)],
}


@pytest.mark.parametrize("name", TIMES)
def test_times(built: Built, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    night = built.selected(times=TIMES[name], roles="vrc")
    jd = [t for (t,) in night.rows("SELECT jd_utc_mid FROM frame ORDER BY number")]
    assert all(t is not None for t in jd), night.rows("SELECT path, error FROM frame")
    assert jd == sorted(jd)
    if name == "midnight":
        assert max(b - a for a, b in zip(jd, jd[1:], strict=False)) * 1440 == pytest.approx(1.0, abs=1e-5)
    if name == "leap second":
        seconds = [86400 * (t - jd[0]) for t in jd]
        assert sorted(set(seconds)) == pytest.approx(sorted(set(seconds)))
        assert seconds[-1] == pytest.approx(80.0, abs=1.0 + 1e-3)  # a Julian date of UTC has no place for the second
    if name == "all the same":
        again = invoke("init", night.folder / "frames", "-p", night.folder / "again.photdb")
        assert "the same time: frames 1 and 2 and 3" in again.stderr
    said = answered(night, monkeypatch)
    assert "solve" not in said or name == "centuries apart"


# --- too much ---------------------------------------------------------------------------------------------------------
def test_a_hundred_apertures_and_one_larger_than_the_frame(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    night = built.selected(roles="vr")
    night.photdb("measure", "--radii", "1:11:0.1", "--annulus", "14", "20", "-j", "1")
    assert night.one("SELECT count(*) FROM aperture WHERE removed_at IS NULL") == 101
    assert "outer ≤ 90 px" in night.refused("measure", "--apertures", "60,100,150")
    assert answered(night, monkeypatch, long=True) == {}


def test_an_aperture_as_large_as_the_frame(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    night = built.selected(roles="vr")
    night.photdb("measure", "--apertures", "88,89,90", "-j", "1")
    assert "solve" in answered(night, monkeypatch)


def test_more_references_than_can_be_searched_one_by_one(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    night = built.selected(roles="vr")
    put_many(night, 60, "reference")
    said = answered(night, monkeypatch, long=True)
    for text in said.values():
        assert "reference" in text.lower()


def put_many(night: Night, n: int, role: str) -> None:
    """Put sources into the frame by a grid, behind the back of `select`."""
    with Project.write(night.path, "test") as project, project.transaction() as connection:
        for i in range(n):
            connection.exec_driver_sql(
                "INSERT INTO source (id, label, role, origin, created_at) VALUES (?, ?, ?, 'user', '2020')",
                (1000 + i, f"S{i}", role),
            )
            x, y = 5 + (i * 7.3) % 210, 5 + (i * 3.7) % 170
            connection.exec_driver_sql("INSERT INTO source_anchor VALUES (?, 1, ?, ?, ?, ?)", (1000 + i, x, y, x, y))


@pytest.mark.skipif(sys.platform == "win32", reason="the memory of a process is asked for in the way of POSIX")
def test_thirty_thousand_sources(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    night = built.selected(3, roles="vr")
    put_many(night, 30_000, "check")
    start = time.process_time()
    monkeypatch.chdir(night.folder)
    for words in (
        ("measure", "--apertures", "3,12,18", "-j", "1", "-q"),
        ("check",),
        ("solve", "--window", "3", "--degree", "0"),
        ("status",),
        ("report", "x.html"),
        ("export", "x"),
        ("select", "list"),
    ):
        result = invoke(*words, env={"PHOTDB_PROJECT": str(night.path), "MPLBACKEND": "agg"})
        assert result.exit_code in (0, 1), (words, result.stderr[-500:])
        assert len(result.stderr) < 20_000, words
    said = night.refused("reject", "source", "nobody")
    assert said.endswith("more.")
    assert len(said) < 600
    assert night.one("SELECT count(*) FROM centroid") == 3 * 30_004
    assert time.process_time() - start < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2_000_000  # kB: 2 GB
    shutil.rmtree(night.folder)


# --- places and names -------------------------------------------------------------------------------------------------
def test_a_source_that_is_outside_of_all_frames(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    night = built.selected(roles="vr")
    put_many(night, 4, "reference")
    night.change("UPDATE source_anchor SET x_px = -5000, y_px = 1e6 WHERE source_id >= 1000")
    night.change("UPDATE source SET role = 'variable' WHERE id = 1003")
    said = answered(night, monkeypatch, long=True)
    assert "S0" in said["solve"] or "too few frames (0)" in said["solve"], said


def test_facts_of_the_camera_that_no_camera_has(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    night = built.selected(roles="vr")
    for facts in (
        ("--gain", "1e6", "--read-noise", "1e6"),
        ("--gain", "1e-6", "--read-noise", "0"),
        ("--saturation", "1e-9", "--aperture-diameter", "1000"),
    ):
        night.photdb("set", *facts)
        for words in (
            ("measure", "-j", "1"),
            ("check",),
            ("solve", "--weighting", "all"),
            ("plot", "noise", "--save", night.folder / "x.png"),
        ):
            result = invoke(*words, env={"PHOTDB_PROJECT": str(night.path), "MPLBACKEND": "agg"})
            assert result.exit_code in (0, 1), (facts, words, result.stderr)
    for fact in ("--gain", "--read-noise", "--saturation", "--aperture-diameter"):
        assert "is above" in night.refused("set", fact, "1e30", code=2)
    assert "is below" in night.refused("set", "--gain", "1e-300", code=2)
    shutil.rmtree(night.folder)


@pytest.mark.parametrize("name", ["", "a/b", "x" * 300, "no\nname", "-p"])
def test_a_project_of_an_odd_name(built: Built, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = built.folder / "named"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    monkeypatch.chdir(folder)
    result = invoke("init", built.folder / "all", f"--project={name}")
    assert result.exit_code in (0, 1, 2)
    made = [p.name for p in folder.iterdir()]
    if result.exit_code:
        assert made == []
        assert result.stderr.splitlines()[-1].startswith("Error: ")
    else:
        assert made == [name]
        for words in (("status",), ("history", "--as-script"), ("export", "out"), ("run", "-j", "1")):
            assert invoke(*words, f"--project={name}").exit_code == 0, words
