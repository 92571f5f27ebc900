"""`photdb plot`: every stage into every format; one sentence where that cannot be; the project stays as it is."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import pytest
from nights import invoke

from photdb.cli.plot import _STAGES
from photdb.plots.figures import PLOTS

LABELS = ("JD", "HJD_UTC", "BJD_TDB")
START = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


def test_the_command_knows_every_plot():
    assert tuple(PLOTS) == _STAGES


@pytest.mark.parametrize("stage", _STAGES)
def test_every_plot_is_saved_and_the_project_left_as_it_is(night, stage, tmp_path):
    before = hashlib.sha256(night.path.read_bytes()).hexdigest()
    for form, start in START.items():
        file = tmp_path / f"a.{form}"
        said = night.photdb("plot", stage, "--save", file)
        assert said.stdout == ""
        assert said.stderr == f"Written to {file}.\n"
        assert file.read_bytes().startswith(start)
    height, width, _ = matplotlib.image.imread(tmp_path / "a.png").shape
    assert width == 1000
    assert height > 400
    assert hashlib.sha256(night.path.read_bytes()).hexdigest() == before
    assert {path.name for path in night.folder.glob("night.photdb*")} <= {"night.photdb", "night.photdb.lock"}


def test_options_choose_what_is_shown(night, tmp_path):
    def svg(*arguments):
        night.photdb("plot", *arguments, "--save", tmp_path / "a.svg")
        return (tmp_path / "a.svg").read_text(encoding="utf-8")

    assert "night: V1, noise" in svg("lightcurve", "--target", "V1")
    assert "night: Ganymed, noise" in svg("lightcurve")
    assert "night: search for V1" in svg("search", "--target", "V1")
    number, radii = night.rows(
        "SELECT id, printf('%g,%g,%g', radius_px, annulus_inner_px, annulus_outer_px) FROM aperture"
    )[0]
    assert f"aperture {radii} px" in svg("references", "--aperture", number)
    assert svg("references", "--aperture", number) == svg("references", "--aperture", radii)
    assert "night: frame 20" in svg("field", "--frame", "last")
    assert "night: frame 3" in svg("field", "--frame", "3")


def test_the_time_axis_is_the_one_asked_for(night, tmp_path):
    def label(*arguments):
        night.photdb("plot", "lightcurve", *arguments, "--save", tmp_path / "a.svg")
        found = (tmp_path / "a.svg").read_text(encoding="utf-8")
        return {label for label in LABELS if f"{label} − 2455" in found}

    assert label() == label("--time", "jd") == {"JD"}
    assert label("--time", "hjd", "--target", "V1") == {"HJD_UTC"}
    assert label("--time", "BJD") == {"BJD_TDB"}
    assert "--time is for lightcurve, not for apertures" in night.refused(
        "plot", "apertures", "--time", "bjd", "--save", tmp_path / "b.svg", code=2
    )


def test_without_coordinates_there_is_no_time_but_jd(night, tmp_path):
    night.change("UPDATE source SET label = 'V 1' WHERE label = 'V1'")
    night.change("UPDATE frame SET ra_deg = NULL, dec_deg = NULL")
    night.photdb("run")
    for time in ("hjd", "bjd"):
        assert night.refused("plot", "lightcurve", "--target", "V 1", "--time", time, "--save", tmp_path / "a.png") == (
            "V 1 has no coordinates, so no HJD and BJD: `photdb times 'V 1' --radec RA DEC`."
        )
    assert not (tmp_path / "a.png").exists()
    night.photdb("plot", "lightcurve", "--target", "V 1", "--save", tmp_path / "a.png")
    night.photdb("times", "V 1", "--radec", "31.04", "46.69")
    night.photdb("plot", "lightcurve", "--target", "V 1", "--time", "bjd", "--save", tmp_path / "a.png")
    night.change("DELETE FROM target_time")
    night.change("DELETE FROM target_coordinates")
    assert night.refused("plot", "lightcurve", "--time", "bjd", "--save", tmp_path / "b.png") == (
        "HJD and BJD of Ganymed are not computed yet: run `photdb times`."
    )


def test_names_are_shown_as_they_are(night, tmp_path):
    night.change("UPDATE source SET label = '_$\\bad{$ <b>&' WHERE label = 'Ganymed'")
    for stage in _STAGES:
        night.photdb("plot", stage, "--save", tmp_path / "a.svg")
    night.photdb("plot", "lightcurve", "--save", tmp_path / "a.svg")
    assert "_$\\bad{$ &lt;b&gt;&amp;" in (tmp_path / "a.svg").read_text(encoding="utf-8")


def test_a_backend_that_matplotlib_does_not_know_is_named(night, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "photdb", "plot", "qc", "-p", night.path, "--save", tmp_path / "qc.png"],
        env={**os.environ, "MPLBACKEND": "nonsense", "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: MPLBACKEND=nonsense is no backend of matplotlib: unset it")
    assert len(done.stderr.splitlines()) == 1


def test_without_a_display_one_sentence_says_so(night, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert night.refused("plot", "qc") == "There is no display to show it on: --save FILE.png writes it to a file."


def test_what_cannot_be_drawn_is_said(night, tmp_path):
    to = ("--save", tmp_path / "a.png")
    assert night.refused("plot", "qc", "--save", "a.gif").startswith(
        "--save a.gif: the name of the file says its format"
    )
    assert "there is no folder" in night.refused("plot", "qc", "--save", tmp_path / "no" / "a.png").lower()
    assert night.refused("plot", "lightcurve", "--target", "R1", *to) == (
        "There is no target R1: the targets are Ganymed, V1."
    )
    assert night.refused("plot", "noise", "--aperture", "77", *to).startswith("There is no aperture 77:")
    assert night.refused("plot", "field", "--frame", "99", *to).startswith("There is no frame 99:")
    assert "--target is for apertures, lightcurve, search, not for qc" in night.refused(
        "plot", "qc", "--target", "V1", *to, code=2
    )
    night.refused("plot", "sky", *to, code=2)
    night.frame_path(2).unlink()
    said = night.refused("plot", "field", "--frame", "2", *to)
    assert said.endswith("cannot be shown: the file does not exist; where frames have moved, `photdb relocate DIR`.")
    night.photdb("reject", "aperture", "1")
    assert "aperture 1 is rejected" in night.refused("plot", "references", "--aperture", "1", *to).lower()
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("point", ["new", "shifted", "selected", "measured"])
def test_a_session_on_its_way_has_a_plot_or_a_sentence(night_at, point, tmp_path):
    night = night_at(point)
    for stage in _STAGES:
        file = tmp_path / f"{stage}.png"
        done = invoke("plot", stage, "--save", file, "-p", night.path)
        assert done.exit_code == (0 if file.exists() else 1)
        if done.exit_code:
            assert done.stderr.count("\n") == 1
            assert done.stderr.startswith("Error: ")
    made = {path.stem for path in tmp_path.glob("*.png")}
    always = {"qc", "shifts", "field"}
    assert (
        made
        == {
            "new": always,
            "shifted": always,
            "selected": always,
            "measured": {*always, "references", "apertures", "growth", "search", "noise"},
        }[point]
    )
