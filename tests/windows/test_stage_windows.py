"""The windows of qc, shifts, check and solve, by mouse and keyboard: what they save equals what options make."""

import numpy as np
import pytest
from nights import DECISIONS
from pilots import BACKEND, SIZE, Browser, until
from plan import Plan, StagePlan
from replays import REPLAYED, commands, replay
from test_select_window import select_five


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
        return command(night, "guide", DISPLAY=desktop.display, MPLBACKEND=BACKEND)

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
