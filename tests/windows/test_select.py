"""The window of `photdb select`, by mouse and keyboard: what it saves equals what options make."""

import json
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nights import DECISIONS, N_FRAMES, Night
from pilots import SIZE, Browser, Pilot, until

from photdb.cli._select_window import make_window
from photdb.cli.common import Console
from photdb.viewers.windows.parts import ROW

FIVE = ("R1", "R2", "R3", "R4", "C1")


class Plan:
    """Where things are in a window that shows the whole frame: as a person sees it, from the window's own layout."""

    def __init__(self, night: Night) -> None:
        self.window: Any = make_window(Console(str(night.path), 0), 0)
        figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100)
        FigureCanvasAgg(figure)
        self.window.start(figure, lambda: None)
        self.night = night

    def star(self, label: str, number: int) -> tuple[float, float]:
        """Give where a source of the truth is on the window while a frame is shown."""
        i = self.window.night.place(number)
        at = self.window.night.to_reference(i, [self.night.place(label, number)])[0]
        x, y = self.window.view.axes.transData.transform(at)
        return float(x), SIZE[1] - float(y)

    def bar(self, number: int) -> tuple[float, float]:
        """Give where a frame is on the bar."""
        x, y = self.window.scrub.axes.transData.transform((self.window.night.place(number), 0.5))
        return float(x), SIZE[1] - float(y)

    def button(self, text: str) -> tuple[float, float]:
        """Give the middle of a button."""
        found = next(b for b in self.window._buttons if b.text == text)
        return found._box.get_x() + found._box.get_width() / 2, SIZE[1] - ROW / 2 - 2


def go_to(pilot: Pilot, number: int) -> None:
    pilot.key("g")
    for digit in str(number):
        pilot.key(digit)
    pilot.key("Return")


def select_five(pilot: Pilot, plan: Plan) -> None:
    """Select the asteroid in the first and the last frame, and five references, one of them after a wrong one."""
    pilot.key("Home")
    pilot.click(*plan.star("Ganymed", 1), 3)
    pilot.drag(plan.bar(10), plan.bar(N_FRAMES))
    pilot.click(*plan.star("Ganymed", N_FRAMES), 3)
    pilot.click(*plan.button("Reference"))
    for label in FIVE[:4]:
        pilot.click(*plan.star(label, N_FRAMES), 3)
    pilot.click(*plan.star("V1", N_FRAMES), 3)
    pilot.key("u")
    pilot.click(*plan.star(FIVE[4], N_FRAMES), 3)


def test_what_the_mouse_selects_equals_what_options_select(night_at, window):
    """Asteroid on the first and the last frame, five references, one undone, saved: replayed, the tables are equal."""
    night, other = night_at("shifted"), night_at("shifted", "other")
    process, pilot = window(night, "select")
    plan = Plan(night)
    select_five(pilot, plan)
    pilot.key("Return")
    process.ends()
    sources = night.rows("SELECT label, role, origin FROM source WHERE removed_at IS NULL ORDER BY id")
    name = night.one("SELECT value FROM session WHERE fact = 'object'") or "A1"
    assert sources == [(name, "asteroid", "user"), *((f"R{i}", "reference", "user") for i in range(1, 6))]
    for label, true in zip([name, *(f"R{i}" for i in range(1, 6))], ["Ganymed", *FIVE], strict=True):
        rows = night.rows(
            "SELECT f.number, a.x_px, a.y_px FROM source_anchor a JOIN frame f ON f.id = a.frame_id"
            " JOIN source s ON s.id = a.source_id WHERE s.label = ? ORDER BY 1",
            label,
        )
        assert [n for n, _, _ in rows] == ([1, N_FRAMES] if true == "Ganymed" else [N_FRAMES])
        for number, x, y in rows:
            assert np.hypot(*np.subtract((x, y), night.place(true, number))) < 0.5

    history = night.rows("SELECT command, arguments, outcome FROM history WHERE command = 'select' ORDER BY id")
    assert len(history) == 6
    for command, arguments, outcome in history:
        assert outcome == "ok"
        other.photdb(command, *json.loads(arguments))
    assert other.snapshot(*DECISIONS) == night.snapshot(*DECISIONS)
    assert other.snapshot() == night.snapshot()


def test_escape_closing_and_interrupting_leave_the_project_as_it_was(night_at, window):
    night = night_at("selected")
    before = night.path.read_bytes()
    for leave in ("escape", "button", "interrupt"):
        process, pilot = window(night, "select")
        plan = Plan(night)
        pilot.key("v")
        pilot.click(*plan.star("C1", plan.window.number), 3)
        pilot.settled()
        if leave == "escape":
            pilot.key("Escape")
        elif leave == "button":
            pilot.click(*plan.button("Cancel"))
        else:
            process.interrupt()
        assert "nothing was changed" in process.ends()
        assert night.path.read_bytes() == before
        if isinstance(pilot, Browser):
            until(lambda pilot=pilot: "nothing was saved" in pilot.note(), "a word in the page")


def test_sources_there_are_are_changed_named_and_taken_out(night_at, window):
    """A role changes, a name is given, a source is taken out, one position more for the asteroid: all at once."""
    night = night_at("selected")
    process, pilot = window(night, "select")
    plan = Plan(night)
    number = plan.window.number
    pilot.key("c")
    pilot.click(*plan.star("R1", number), 3)  # R1 becomes a check star
    pilot.move(*plan.star("R2", number))
    pilot.key("n")
    for _ in range(2):
        pilot.key("BackSpace")
    for letter in "north":
        pilot.key(letter)
    pilot.key("Return")
    pilot.move(*plan.star("R3", number))
    pilot.key("d")
    pilot.key("d")  # nothing is there any more
    pilot.key("a")
    go_to(pilot, 5)
    pilot.key("g")
    pilot.key("Escape")  # closes the question, not the window
    pilot.click(*plan.button("Save"))
    process.ends()
    roles = dict(night.rows("SELECT label, role FROM source WHERE removed_at IS NULL"))
    targets = {"Ganymed": "asteroid", "V1": "variable"}
    assert roles == {**targets, "C1": "check", "R1": "check", "north": "reference", "R4": "reference"}
    commands = [json.loads(a)[:2] for (a,) in night.rows("SELECT arguments FROM history ORDER BY id DESC LIMIT 4")]
    assert commands[::-1][:2] == [["remove", "R2"], ["remove", "R3"]]
