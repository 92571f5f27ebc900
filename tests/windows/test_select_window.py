"""The window of `photdb select`, by mouse and keyboard: what it saves equals what options make."""

import json
from typing import Any

import numpy as np
import pytest
from nights import DECISIONS, N_FRAMES
from pilots import SIZE, Browser, Pilot, until
from plan import Plan

FIVE = ("R1", "R2", "R3", "R4", "C1")


def go_to(pilot: Pilot, number: int) -> None:
    pilot.key("g")
    for digit in str(number):
        pilot.key(digit)
    pilot.key("Return")


def select_five(pilot: Pilot, plan: Plan) -> None:
    """Select the asteroid in the first and the last frame, and five references, one of them after a wrong one."""
    last = plan.last
    pilot.key("Home")
    pilot.click(*plan.star("Ganymed", 1), 3)
    pilot.drag(plan.bar(10), plan.bar(last))
    pilot.click(*plan.star("Ganymed", last), 3)
    pilot.click(*plan.button("Reference"))
    for label in FIVE[:4]:
        pilot.click(*plan.star(label, last), 3)
    pilot.click(*plan.star("V1", last), 3)
    pilot.key("u")
    pilot.click(*plan.star(FIVE[4], last), 3)


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


def test_what_speaks_against_a_choice_is_said_at_once(night_at, window):
    """Read off the window itself: the line in the bar is red."""
    night = night_at("selected")
    night.photdb("select", "remove", "R1", "V1")
    process, pilot = window(night, "select")
    plan = Plan(night)
    pilot.key("r")
    pilot.click(*plan.star("V1", plan.window.number), 3)
    assert not warned(pilot)
    pilot.click(*plan.star("R2", plan.window.number), 3)  # is a reference already
    until(lambda: warned(pilot), "a word about it")
    pilot.click(*plan.star("V1", plan.window.number), 3)
    assert warned(pilot)
    pilot.key("Escape")
    process.ends()


def warned(pilot: Pilot) -> bool:
    """Tell whether the bar says something in red."""
    bar = pilot.settled()[-80:, :600].astype(int)
    return bool((np.abs(bar - (176, 0, 32)).max(axis=-1) < 40).sum() > 40)


def test_proposals_are_accepted_and_dropped(night_at, window):
    night = night_at("selected")
    night.photdb("select", "remove", "R1", "R2", "R3", "R4")
    process, pilot = window(night, "select", "--auto", 3)
    plan = Plan(night)
    proposed = [(a.x_px, a.y_px) for a in plan.window._propose(plan.window.state, 3)]
    assert len(proposed) == 3
    number = plan.window.number  # they are in the reference frame, which is shown
    places = [plan.pixel(number, x, y) for x, y in proposed]
    pilot.move(*places[0])
    pilot.key("d")
    pilot.click(*places[2], 3)
    pilot.key("P")
    pilot.key("Return")
    process.ends()
    rows = night.rows(
        "SELECT s.label, x_px, y_px FROM source s JOIN source_anchor a ON a.source_id = s.id"
        " WHERE role = 'reference' AND removed_at IS NULL ORDER BY s.label"
    )
    assert [label for label, _, _ in rows] == ["R1", "R2"]
    for (_, *at), expected in zip(rows, (proposed[2], proposed[1]), strict=True):
        assert np.hypot(*np.subtract(at, expected)) < 0.01


def test_the_project_changed_meanwhile_is_not_written(night_at, window):
    night = night_at("selected")
    process, pilot = window(night, "select")
    plan = Plan(night)
    pilot.move(*plan.star("R3", plan.window.number))
    pilot.key("d")
    pilot.settled()
    night.photdb("select", "remove", "R4")
    pilot.key("Return")
    until(lambda: warned(pilot), "a word about it")
    assert process.process.poll() is None
    pilot.key("Escape")
    process.ends()
    assert night.one("SELECT count(*) FROM source WHERE label = 'R3' AND removed_at IS NULL") == 1


def test_an_asteroid_is_found_by_blinking_and_zooming(night_at, window):
    """Blinking shows two frames in turn, with stars in one place; a drag and the wheel move what is shown."""
    night = night_at("shifted")
    process, pilot = window(night, "select")
    plan = Plan(night)
    pilot.move(5, SIZE[1] - 5)
    pilot.key("Home")
    first = pilot.settled()
    pilot.key("m")
    pilot.key("End")
    box = around(plan.star("R1", 1))
    moving = around(plan.star("Ganymed", 1))
    until(lambda: brightness(first[moving]) > 2 * brightness(pilot.look()[moving]), "the asteroid to be gone")
    last = pilot.settled()
    assert brightness(first[box]) == pytest.approx(brightness(last[box]), rel=0.1)  # the star stays
    pilot.key("b")
    seen = set()
    until(lambda: seen.add(brightness(pilot.look()[moving]) > 1.5 * brightness(last[moving])) or len(seen) == 2, "both")
    pilot.key("b")
    pilot.key("End")

    def is_last() -> bool:
        return bool((pilot.look()[:600, :900] == last[:600, :900]).mean() > 0.99)

    until(is_last, "the last frame again")
    x, y = plan.star("R1", 1)
    pilot.wheel(x, y, 4)
    until(lambda: brightness(pilot.look()[box]) > 1.5 * brightness(last[box]), "it to be larger, under the mouse")
    pilot.settled()
    pilot.drag((x, y), (x + 150, y + 60))
    there = around((x + 150, y + 60))
    until(lambda: brightness(pilot.look()[there]) > 1.5 * brightness(last[box]), "it to be dragged along")
    pilot.key("w")
    pilot.move(5, SIZE[1] - 5)
    until(is_last, "the whole frame again")
    pilot.key("Escape")
    process.ends()


def around(place: tuple[float, float], half: int = 20) -> tuple[slice, slice]:
    x, y = round(place[0]), round(place[1])
    return slice(y - half, y + half), slice(x - half, x + half)


def brightness(pixels: Any) -> float:
    """Count pixels that are as bright as stars."""
    return float((pixels.min(axis=-1) > 150).sum())
