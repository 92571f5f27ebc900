"""Whole sessions by mouse, on the simulated night and on a real one: they equal the ones made by options."""

from pathlib import Path

import pytest
from nights import DECISIONS, N_FRAMES, Night
from plan import Plan, StagePlan
from replays import REPLAYED, commands, replay
from test_select_window import select_five

#: The real night's asteroid in its first and last frame, and stars of its first frame under the names that the
#: simulated night gives them.
ASTEROID = {1: (602.3, 465.8), 22: (603.1, 449.2)}
STARS = {"R1": (210.0, 619.4), "R2": (895.9, 702.7), "R3": (128.0, 707.9), "R4": (768.4, 802.4)}
STARS |= {"V1": (636.4, 894.7), "C1": (607.1, 103.0)}


class Luxembourg(Plan):
    """Where things are in the window of `select` on the real night."""

    def star(self, label: str, number: int) -> tuple[float, float]:
        """Give where a star or the asteroid is; stars stay where they are while other frames are shown."""
        return self.pixel(1, *STARS[label]) if label in STARS else self.pixel(number, *ASTEROID[number])


def whole_session(window, night: Night, other: Night, places: Plan, apertures: list[object], pictures: Path) -> None:
    """Select, check and solve by mouse; the same by options in the other project; the two are equal."""
    process, pilot = window(night, "select")
    select_five(pilot, places)
    pilot.save(pictures / f"select-{type(pilot).__name__}.png")
    pilot.key("Return")
    process.ends()
    name = night.one("SELECT label FROM source WHERE role = 'asteroid'")
    night.photdb("measure", *apertures)

    middle = f"{night.one('SELECT id FROM aperture ORDER BY radius_px LIMIT 1 OFFSET 1')}"
    process, pilot = window(night, "check", "--interactive", "--aperture", middle)
    plan = StagePlan(night, "check", middle)
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
    assert said.count(f"In aperture {middle} ") == 2

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
    other.photdb("measure", *apertures)
    spec = plan.window.m.specs[-1]
    for words in ("check", "reject source R2", "check", "solve", f"reject aperture {spec}"):
        other.photdb(*words.split())
    other.photdb("reject", "frames", "12-14", "--source", name)
    other.photdb("solve")
    assert other.snapshot(*DECISIONS) == night.snapshot(*DECISIONS)
    assert other.snapshot() == night.snapshot()


def test_a_whole_session_by_mouse_equals_one_by_options(night_at, window, pictures, tmp_path):
    """Asteroid, five references, one dropped in check, a span rejected in solve."""
    night, other = night_at("shifted"), night_at("shifted", "other")
    whole_session(window, night, other, Plan(night), [], pictures)
    assert night.one("SELECT max(n_frames) FROM search") == N_FRAMES - 3

    again = replay(night, tmp_path / "again")
    assert again.snapshot(*REPLAYED) == night.snapshot(*REPLAYED)
    assert again.snapshot() == night.snapshot()


def test_a_whole_session_on_a_real_night(real_night, window, pictures, tmp_path):
    """(2713) Luxembourg, 22 frames; the one that was lit goes by a threshold dragged in the window of qc."""
    nights = [Night(tmp_path / name, None) for name in ("night", "other")]
    for night in nights:
        night.folder.mkdir()
        (night.folder / "frames").symlink_to(real_night("luxembourg"))
        night.photdb("init", night.folder / "frames")
        night.photdb("set", "--saturation", 45000)
        night.photdb("qc")
    night, other = nights

    process, pilot = window(night, "qc", "--interactive")
    plan = StagePlan(night, "qc")
    x, y = plan.edge(2, top=True)
    pilot.drag((x, y), (x, plan.at(2, 1, 12_000)[1]))
    pilot.save(pictures / f"real-qc-{type(pilot).__name__}.png")
    pilot.key("Return")
    process.ends()
    rule = commands(night)[-1]
    assert rule[:2] == ["qc", "--max-background"]
    assert float(rule[2]) == pytest.approx(12_000, abs=400)  # two pixels of the window
    other.photdb(*rule)
    for night in nights:
        night.photdb("shifts")
    night = nights[0]

    whole_session(window, night, other, Luxembourg(night), ["--radii", "4:8:2", "--annulus", 16, 26], pictures)
    assert night.rows("SELECT number FROM frame_status WHERE NOT accepted") == [(8,)]
    assert night.one("SELECT max(n_frames) FROM search") == 22 - 1 - 3
    again = replay(night, tmp_path / "again")
    assert again.snapshot(*REPLAYED) == night.snapshot(*REPLAYED)
    assert again.snapshot() == night.snapshot()
