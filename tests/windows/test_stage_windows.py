"""The windows of qc, shifts, check and solve, by mouse and keyboard: what they save equals what options make."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nights import DECISIONS, N_FRAMES, Night
from pilots import ROOT, SIZE, Browser, until
from plan import Plan
from test_select_window import select_five

from photdb.cli._stage_window import make_window
from photdb.cli.common import Console
from photdb.viewers.windows.parts import ROW

#: What a replayed session shares with the first one; the project says where the frames are.
REPLAYED = [table for table in DECISIONS if table != "project"]


class StagePlan:
    """Where things are in the window of a stage, from the window's own layout."""

    def __init__(self, night: Night, stage: str) -> None:
        self.window: Any = make_window(Console(str(night.path), 0), stage)
        figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100)
        FigureCanvasAgg(figure)
        self.window.start(figure, lambda: None)
        figure.canvas.draw()

    def at(self, panel: int, number: float, y: float) -> tuple[float, float]:
        """Give where a point of a panel is on the window."""
        x, up = self.window.panels[panel].transData.transform((number, y))
        return float(x), SIZE[1] - float(up)

    def value(self, panel: int, y: float) -> float:
        """Give the value at a row of the window in a panel, and what a pixel is there."""
        return float(self.window.panels[panel].transData.inverted().transform((0, SIZE[1] - y))[1])

    def edge(self, panel: int, *, top: bool) -> tuple[float, float]:
        """Give where a threshold waits that is not in force."""
        box = self.window.panels[panel].bbox
        return box.x1 - 12, SIZE[1] - (box.y1 - 4 if top else box.y0 + 4)

    def point(self, panel: int, metric: str, number: int) -> tuple[float, float]:
        """Give where the point of a frame is."""
        facts = self.window.facts
        return self.at(panel, number, facts.metrics[metric][facts.place(number)])

    def picture(self, x: float, y: float) -> tuple[float, float]:
        """Give where a place of the frame is."""
        at = self.window.picture.transData.transform((x, y))
        return float(at[0]), SIZE[1] - float(at[1])

    def button(self, text: str) -> tuple[float, float]:
        """Give the middle of a button."""
        found = next(b for b in self.window._buttons if b.text == text)
        return found._box.get_x() + found._box.get_width() / 2, SIZE[1] - ROW / 2 - 2


def commands(night: Night) -> list[list[str]]:
    """Give the history's commands with their arguments."""
    rows = night.rows("SELECT command, arguments FROM history ORDER BY id")
    return [[command, *json.loads(arguments)] for command, arguments in rows]


def replay(night: Night, folder: Path) -> Night:
    """Repeat a session by the script of its history, from its frames, in a project of its own."""
    folder.mkdir()
    (folder / "again.sh").write_text(night.photdb("history", "--as-script").stdout)
    (folder / "photdb").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m photdb "$@"\n')
    (folder / "photdb").chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    env |= {"PROJECT": str(folder / "night.photdb"), "FRAMES": str(night.folder / "frames")}
    subprocess.run(["sh", "again.sh"], cwd=folder, env=env, check=True, capture_output=True, timeout=300)
    return Night(folder, night.truth)


def test_thresholds_spans_points_and_regions_of_qc_and_shifts(night_at, window, pictures, tmp_path):
    """Everything that can be done in them once; saved; and the script of the history gives the same tables."""
    night = night_at("shifted")
    process, pilot = window(night, "qc", "--interactive")
    plan = StagePlan(night, "qc")
    facts = plan.window.facts
    wide = np.sort(facts.metrics["fwhm_px"])[-4:]
    x, y = plan.edge(3, top=True)
    pilot.drag((x, y), (x, plan.at(3, 1, wide[:2].mean())[1]))  # a rule: the three widest frames go
    widest = int(facts.number[facts.metrics["fwhm_px"].argmax()])
    pilot.click(*plan.point(3, "fwhm_px", widest))  # a rejected point is taken back
    pilot.drag(plan.at(4, 4.6, 26.0), plan.at(4, 7.4, 26.0))  # a span
    pilot.click(*plan.at(2, 12, facts.metrics["background_adu"].mean()), 3)  # a right click
    pilot.key("u")
    pilot.drag(plan.picture(40, 30), plan.picture(260, 200))  # a region
    pilot.save(pictures / f"qc-{type(pilot).__name__}.png")
    pilot.click(*plan.button("Save"))
    said = process.ends()
    assert commands(night)[-5:][0] == ["qc", "--interactive"]
    rule, reject, accept, region = commands(night)[-4:]
    value = float(rule[2])
    assert rule[:2] == ["qc", "--max-fwhm"]
    assert wide[0] < value < wide[1]
    assert reject == ["reject", "frames", "5-7"]
    assert accept == ["accept", "frames", str(widest)]
    assert region[:2] == ["qc", "--region"]
    assert np.abs(np.array(region[2:], int) - (40, 30, 260, 200)).max() <= 2
    assert f"fwhm_px > {value:g} rejects 2 frames" in said
    assert f"accepted all the same: {widest}" in said
    assert "Rejected frame 5-7." in said

    process, pilot = window(night, "shifts", "--interactive")
    plan = StagePlan(night, "shifts")
    pilot.drag(plan.picture(100, 80), plan.picture(200, 160))
    pilot.click(*plan.picture(150, 120))  # taken away again
    pilot.drag(plan.picture(10, 10), plan.picture(60, 50))
    x, y = plan.edge(2, top=True)
    pilot.drag((x, y), (x, y + 6))
    pilot.drag((x, y + 6), (x, y - 12))  # back beyond the edge: no rule
    pilot.click(*plan.at(0, 6, 3))  # a frame that was rejected in the other window: only shown, as no point is there
    pilot.key("x")  # taken back
    pilot.save(pictures / f"shifts-{type(pilot).__name__}.png")
    pilot.key("Return")
    process.ends()
    accept, exclude = commands(night)[-2:]
    assert accept == ["accept", "frames", "6"]
    assert exclude[:2] == ["shifts", "--exclude"]
    assert len(exclude) == 6
    assert np.abs(np.array(exclude[2:], int) - (10, 10, 60, 50)).max() <= 2
    assert night.one("SELECT count(*) FROM active_rule") == 1

    again = replay(night, tmp_path / "again")
    assert again.snapshot(*REPLAYED) == night.snapshot(*REPLAYED)
    assert again.snapshot() == night.snapshot()


def test_a_whole_session_by_mouse_equals_one_by_options(night_at, window, pictures, tmp_path):
    """Asteroid, five references, one dropped in check, a span rejected in solve."""
    night, other = night_at("shifted"), night_at("shifted", "other")
    process, pilot = window(night, "select")
    select_five(pilot, Plan(night))
    pilot.key("Return")
    process.ends()
    name = night.one("SELECT label FROM source WHERE role = 'asteroid'")
    night.photdb("measure")

    process, pilot = window(night, "check", "--interactive")
    plan = StagePlan(night, "check")
    before = pilot.settled()
    pilot.click(*plan.at(0, 15, plan.window._offsets[1]))
    pilot.click(*plan.at(0, 10, plan.window._offsets[3]))  # two are dropped
    pilot.changes(before, 0.01)  # all curves are others
    pilot.save(pictures / f"check-{type(pilot).__name__}.png")
    pilot.key("u")
    pilot.key("Return")
    said = process.ends()
    assert "Rejected R2." in said
    assert said.count("\nR2 ") == 1  # in the first table only

    process, pilot = window(night, "solve", "--interactive")
    plan = StagePlan(night, "solve")
    pilot.drag(plan.at(1, 11.6, 0), plan.at(1, 14.4, 0))
    pilot.click(*plan.button(plan.window._names()[-1]))  # the largest aperture goes
    pilot.save(pictures / f"solve-{type(pilot).__name__}.png")
    pilot.key("Return")
    assert f"Rejected frame 12-14 for {name}." in process.ends()

    anchors = "SELECT f.number, a.x_given_px, a.y_given_px FROM source_anchor a JOIN frame f ON f.id = a.frame_id"
    for label, role in night.rows("SELECT label, role FROM source ORDER BY id"):
        of = f"{anchors} JOIN source s ON s.id = a.source_id WHERE s.label = ? ORDER BY f.number"
        other.photdb("select", role, label, *[w for row in night.rows(of, label) for w in ("--at", *row)])
    spec = plan.window.m.specs[-1]
    for words in ("measure", "check", "reject source R2", "check", "solve", f"reject aperture {spec}"):
        other.photdb(*words.split())
    other.photdb("reject", "frames", "12-14", "--source", name)
    other.photdb("solve")
    assert other.snapshot(*DECISIONS) == night.snapshot(*DECISIONS)
    assert other.snapshot() == night.snapshot()
    assert night.one("SELECT max(n_frames) FROM search") == N_FRAMES - 3

    again = replay(night, tmp_path / "again")
    assert again.snapshot(*REPLAYED) == night.snapshot(*REPLAYED)
    assert again.snapshot() == night.snapshot()


@pytest.mark.parametrize("stage", ["qc", "shifts", "check", "solve"])
def test_escape_leaves_the_project_as_it_was(night_at, window, stage):
    """The stage is up to date: the window is opened, something is rejected, and nothing is written."""
    night = night_at("solved")
    before = night.snapshot(*DECISIONS)
    process, pilot = window(night, stage, "--interactive")
    plan = StagePlan(night, stage)
    box = plan.window.panels[0].bbox
    middle = SIZE[1] - (box.y0 + box.y1) / 2
    pilot.drag((box.x0 + 0.4 * box.width, middle), (box.x0 + 0.6 * box.width, middle))
    pilot.settled()
    pilot.key("Escape")
    assert "nothing was changed" in process.ends()
    assert night.snapshot(*DECISIONS) == before
    assert commands(night)[-1] == [stage, "--interactive"]
    if isinstance(pilot, Browser):
        until(lambda: "nothing was saved" in pilot.note(), "a word in the page")


def test_what_is_decided_meanwhile_is_not_overwritten(night_at, window):
    """The window stays open and says so; a threshold can be typed."""
    night = night_at("solved")
    process, pilot = window(night, "qc", "--interactive")
    plan = StagePlan(night, "qc")
    pilot.move(*plan.at(4, 10, 29))
    pilot.key("t")
    for digit in "25":
        pilot.key(digit)
    pilot.key("Return")
    pilot.settled()
    night.photdb("reject", "frames", 9)
    before = night.snapshot(*DECISIONS)
    pilot.key("Return")
    pilot.settled()
    assert process.process.poll() is None
    assert night.snapshot(*DECISIONS) == before
    pilot.key("Escape")
    process.ends()
    process, pilot = window(night, "qc", "--interactive")
    pilot.move(*plan.at(4, 10, 29))
    pilot.key("t")
    for digit in "25":
        pilot.key(digit)
    pilot.key("Return")
    pilot.key("Return")
    assert "n_stars < 25 rejects" in process.ends()
    assert commands(night)[-1] == ["qc", "--min-stars", "25"]


def test_the_guide_goes_from_window_to_window(night_at, command, desktop):
    """Enter goes on to the next, Escape leaves; then it opens the window that was left."""
    night = night_at("new")

    def guide():
        return command(night, "guide", DISPLAY=desktop.display, MPLBACKEND="TkAgg")

    def opened(process, stage):
        until(lambda: process.process.poll() is not None or f"== {stage} ==" in process.said(), stage)
        until(lambda: process.process.poll() is not None or desktop.is_open(), "the window")
        assert process.process.poll() is None, process.said()
        desktop.settled()

    process = guide()
    opened(process, "qc")
    plan = StagePlan(night, "qc")
    desktop.drag(plan.at(4, 4.6, 29), plan.at(4, 6.4, 29))
    desktop.key("Return")
    opened(process, "shifts")
    desktop.key("Return")
    opened(process, "select")
    desktop.key("Escape")
    assert "Left at select" in process.ends()
    assert ["reject", "frames", "5-6"] in commands(night)
    process = guide()
    opened(process, "select")
    select_five(desktop, Plan(night))
    desktop.key("Return")
    until(lambda: "== measure ==" in process.said(), "the question for apertures")
    process.ends()  # the end of input leaves it there
    assert commands(night)[-1] == ["guide", "--from", "measure"]
