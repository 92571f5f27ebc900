"""What the window of `select` decides, as values: no screen, no project."""

import pytest

from photdb.errors import PhotdbError
from photdb.viewers.windows import picks as p


def anchor(frame: int, x: float, y: float) -> p.Anchor:
    return p.Anchor(frame, x + 0.04, y - 0.03, x, y, x + 0.04, y - 0.03)


def select(picks: p.Picks, role: str, *anchors: p.Anchor) -> p.Picks:
    if picks.role != role:
        picks = p.with_role(picks, role)
    for one in anchors:
        picks = p.at(picks, one)
    return picks


def test_an_asteroid_gathers_positions_and_each_other_click_is_a_star():
    picks = select(p.Picks(), "asteroid", anchor(20, 30.0, 40.0), anchor(1, 10.0, 20.0), anchor(20, 31.0, 41.0))
    assert [(s.label, [a.frame for a in s.anchors]) for s in picks.sources] == [("A1", [1, 20])]
    assert picks.sources[0].anchors[1].x_given_px == 31.0  # the last click in a frame holds
    picks = select(picks, "reference", anchor(1, 50.0, 50.0), anchor(1, 80.0, 50.0))
    picks = select(picks, "check", anchor(1, 120.0, 50.0))
    picks = select(picks, "variable", anchor(1, 150.0, 50.0))
    assert [(s.label, s.role) for s in picks.sources[1:]] == [
        ("R1", "reference"), ("R2", "reference"), ("C1", "check"), ("V1", "variable")
    ]  # fmt: skip
    picks = p.with_role(select(picks, "asteroid"), "asteroid")  # again: another one
    picks = p.at(picks, anchor(1, 200.0, 60.0))
    assert picks.get("A2") is not None


def test_a_star_that_is_a_source_takes_the_role_and_is_not_selected_twice():
    picks = select(p.Picks(), "reference", anchor(1, 50.0, 50.0))
    with pytest.raises(PhotdbError, match="R1 is that star already"):
        p.at(picks, anchor(5, 51.0, 50.5))
    picks = select(picks, "check", anchor(5, 51.0, 50.5))
    assert [(s.label, s.role, len(s.anchors)) for s in picks.sources] == [("R1", "check", 1)]


def test_changes_are_the_commands_that_lead_there():
    before = select(p.Picks(), "reference", anchor(1, 50.0, 50.0), anchor(1, 80.0, 50.0), anchor(1, 90.0, 90.0))
    after = p.without(before, "R1")
    after = select(after, "check", anchor(1, 80.0, 50.0))
    after = p.renamed(after, "R3", "-odd name")
    after = select(after, "asteroid", anchor(1, 10.25, 20.0), anchor(9, 12.0, 21.5))
    assert [c.arguments() for c in p.changes(before, after)] == [
        ["remove", "R1"],
        ["remove", "R3"],
        ["check", "R2"],
        ["reference", "--at", "1", "90.0", "90.0", "--", "-odd name"],
        ["asteroid", "A1", "--at", "1", "10.25", "20.0", "--at", "9", "12.0", "21.5"],
    ]
    assert p.changes(before, before) == []


def test_a_position_that_was_not_snapped_is_not_snapped_when_it_is_replayed():
    free = p.Anchor(1, 10.2, 20.3, 10.2, 20.3, 10.2, 20.3)
    picks = select(p.Picks(), "asteroid", free, anchor(9, 12.0, 21.5))
    (change,) = p.changes(p.Picks(), picks)
    places = ["--at", "1", "10.2", "20.3", "--at", "9", "12.04", "21.47"]
    assert change.arguments() == ["asteroid", "A1", "--no-snap", *places]


def test_an_asteroid_with_one_position_cannot_be_saved():
    picks = select(p.Picks(), "asteroid", anchor(3, 10.0, 20.0))
    with pytest.raises(PhotdbError, match="A1 has a position in frame 3 only"):
        p.changes(p.Picks(), picks)
    picks = p.without_anchor(picks, "A1", 3)
    assert p.changes(p.Picks(), picks) == []


def test_names_are_free_and_apart():
    picks = select(p.Picks(), "reference", anchor(1, 50.0, 50.0), anchor(1, 80.0, 50.0))
    with pytest.raises(PhotdbError, match="there is a source R1 already"):
        p.renamed(picks, "R2", "r1")
    picks = p.renamed(picks, "R2", " Comparison ")
    assert [s.label for s in picks.sources] == ["R1", "Comparison"]
    assert select(picks, "reference", anchor(1, 99.0, 50.0)).sources[-1].label == "R2"


def test_proposals_are_accepted_or_dropped_one_by_one_or_all():
    three = [anchor(7, 10.0, 10.0), anchor(7, 60.0, 10.0), anchor(7, 90.0, 10.0)]
    picks = p.with_proposals(p.Picks(role="reference"), three)
    picks = p.dropped(picks, three[:1])
    picks = p.accepted(picks, three[1:2])
    assert (len(picks.proposals), [s.label for s in picks.sources]) == (1, ["R1"])
    picks = p.accepted(picks, picks.proposals)
    assert (picks.proposals, [s.label for s in picks.sources]) == ((), ["R1", "R2"])
