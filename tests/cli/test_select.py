"""`photdb select`: positions as typed, snapped or not, and what is refused."""

import json

import numpy as np
import pytest
from nights import N_FRAMES


def anchors(night, label):
    return night.rows(
        "SELECT frame_id, x_px, y_px, x_given_px, y_given_px FROM source_anchor a JOIN source s ON s.id = a.source_id"
        " WHERE label = ? AND removed_at IS NULL ORDER BY frame_id",
        label,
    )


def test_a_click_is_snapped_to_the_star_under_it(night_at):
    night = night_at("shifted")
    x, y = night.place("R1", 3)
    true_x, true_y = (v[FRAME_3, 1] for v in (night.truth.x_px, night.truth.y_px))
    result = night.photdb("select", "reference", "R1", "--at", 3, x + 2.2, y - 1.7)
    assert "snapped from" in result.stderr
    assert result.stdout == ""
    ((frame, sx, sy, gx, gy),) = anchors(night, "R1")
    assert (frame, gx, gy) == (3, pytest.approx(x + 2.2), pytest.approx(y - 1.7))
    assert np.hypot(sx - true_x, sy - true_y) < 0.05


FRAME_3 = 6  # index in the whole night of the project's frame 3


def test_no_snap_takes_positions_as_they_are_and_one_based_ones_less_one(night_at):
    night = night_at("shifted")
    night.photdb("select", "check", "C1", "--at", 2, 40.25, 50.5, "--no-snap")
    assert anchors(night, "C1") == [(2, 40.25, 50.5, 40.25, 50.5)]
    result = night.photdb("select", "check", "C2", "--at", 2, 41.25, 51.5, "--no-snap", "--one-based")
    assert anchors(night, "C2") == [(2, 40.25, 50.5, 40.25, 50.5)]
    assert "(41.25, 51.50)" in result.stderr  # as the user counts
    night.photdb("select", "check", "C3", "--at", 2, 1, 1, "--no-snap", "--one-based")
    assert anchors(night, "C3")[0][1:3] == (0.0, 0.0)
    x, y = night.place("R2", 2)
    night.photdb("select", "reference", "R2", "--at", 2, x + 1, y + 1, "--one-based")
    night.photdb("select", "check", "C4", "--at", 2, x, y)
    assert anchors(night, "R2")[0][1:3] == anchors(night, "C4")[0][1:3]


def test_first_and_last_are_of_the_accepted_frames(night_at):
    night = night_at("shifted")
    night.photdb("reject", "frames", 1, N_FRAMES)
    (x1, y1), (x2, y2) = night.place("Ganymed", 2), night.place("Ganymed", N_FRAMES - 1)
    night.photdb("select", "asteroid", "G", "--at", "last", x2, y2, "--at", "first", x1, y1)
    assert [row[0] for row in anchors(night, "G")] == [2, N_FRAMES - 1]


def test_names_are_given_where_none_is_typed(night_at):
    night = night_at("shifted")
    for label in ("R1", "R2"):
        night.photdb("select", "reference", *night.at(label, 1))
    night.photdb("select", "check", *night.at("C1", 1))
    listed = night.photdb("select", "list").stdout.splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [["R1", "reference"], ["R2", "reference"], ["C1", "check"]]
    night.photdb("select", "remove", "R1")
    night.photdb("select", "reference", *night.at("R3", 1))
    assert night.one("SELECT count(*) FROM source WHERE label = 'R1'") == 2


def test_proposed_references_are_bright_isolated_and_keep_what_was_decided(night_at):
    night = night_at("shifted")
    night.photdb("select", "asteroid", "Ganymed", *night.at("Ganymed", 1, 20))
    result = night.photdb("select", "reference", "--auto", 3)
    assert "3 references proposed: R1 R2 R3." in result.stderr
    assert "saturation" not in result.stderr  # the headers have it
    before = {label: anchors(night, label) for label in ("R1", "R2", "R3")}
    night.photdb("reject", "source", "R2", "--reason", "red")
    night.photdb("select", "reference", "--auto", 4)
    assert {label: anchors(night, label) for label in before} == before
    assert night.one("SELECT source FROM excluded") == "R2"
    ids = night.rows("SELECT id, label FROM source WHERE removed_at IS NULL")
    night.photdb("shifts", "--reference-frame", 1)  # the same stars in other pixels
    night.photdb("select", "reference", "--auto", 4)
    assert night.rows("SELECT id, label FROM source WHERE removed_at IS NULL") == ids
    assert night.one("SELECT source FROM excluded") == "R2"
    night.photdb("select", "reference", "--auto", 1)
    assert night.one("SELECT count(*) FROM source WHERE removed_at IS NULL AND role = 'reference'") == 1


def test_a_reference_placed_by_the_user_stays_when_others_are_proposed(night_at):
    night = night_at("shifted")
    night.photdb("select", "reference", "--auto", 2)
    night.photdb("select", "reference", "R2", *night.at("C1", 1))
    night.photdb("select", "reference", "--auto", 2)
    given = anchors(night, "R2")
    assert np.hypot(given[0][1] - night.place("C1", 1)[0], given[0][2] - night.place("C1", 1)[1]) < 0.5
    assert night.one("SELECT count(*) FROM source WHERE removed_at IS NULL") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("variable", "X"), 1, "needs a position"),
        (("reference",), 2, "--at"),
        (("asteroid", "X", "--at", 1, 50, 50, "--no-snap"), 1, "two positions"),
        (("asteroid", "X", "--at", 1, 29.8, 151.5, "--at", 1, 29.8, 151.5, "--no-snap"), 2, "same frame"),
        (("check", "X", "--at", 99, 50, 50), 1, "no frame 99"),
        (("check", "X", "--at", "²", 50, 50), 1, "is no frame"),
        (("check", "X", "--at", "next", 50, 50), 1, "`first` or `last`"),
        (("check", "X", "--at", 1, 300, 50), 1, "off the frame"),
        (("check", "X", "--at", 1, "nan", 50), 2, "finite"),
        (("check", "X", "--at", 1, "fifty", 50), 2, "not a number"),
        (("check", " X", "--at", 1, 50, 50, "--no-snap"), 1, "printable"),
        (("reference", "R1", "--auto", 3), 2, "--auto chooses"),
        (("remove", "R7"), 1, "no source R7"),
    ],
)
def test_what_cannot_be_selected_is_one_sentence_and_no_source(night_at, arguments, code, said):
    night = night_at("shifted")
    assert said in night.refused("select", *arguments, code=code)
    assert night.one("SELECT count(*) FROM source") == 0


def test_empty_sky_is_no_star(night_at):
    night = night_at("shifted")
    stars = np.array(night.rows("SELECT x_px, y_px FROM detection WHERE frame_id = 1"))
    grid = np.stack(np.meshgrid(np.arange(30, 270, 2), np.arange(30, 210, 2)), axis=-1).reshape(-1, 2)
    gap = np.hypot(*(grid[:, None] - stars).transpose(2, 0, 1)).min(axis=1)
    x, y = grid[gap.argmax()]
    assert gap.max() > 15
    assert "No star within" in night.refused("select", "check", "X", "--at", 1, x, y)


def test_positions_need_shifts(night_at):
    night = night_at("new")
    assert "photdb shifts" in night.refused("select", "check", "X", "--at", 1, 50, 50)
    assert "photdb shifts" in night.refused("select", "reference", "--auto", 3)
    assert "No source is selected yet" in night.photdb("select", "list").stderr


def test_a_frame_whose_file_is_gone_is_said(night_at):
    night = night_at("shifted")
    night.frame(1).unlink()
    assert "frame 1" in night.refused("select", "check", "X", *night.at("R1", 1)).lower()
    night.photdb("select", "check", "X", *night.at("R1", 1), "--no-snap")


def test_the_same_star_is_no_target_and_reference_at_once(night_at):
    night = night_at("shifted")
    night.photdb("select", "reference", "R1", *night.at("R1", 1))
    x, y = night.place("R1", 3)
    for line in (("variable", "V"), ("reference", "R9"), ("reference",)):
        assert "R1 is that star already" in night.refused("select", *line, "--at", 3, x + 1, y)
    assert "differ in case only" in night.refused("select", "reference", "r1", *night.at("R2", 1))
    night.photdb("select", "check", "C1", "--at", 3, x, y)  # a check star may be anywhere
    assert "R1 is that star already" in night.refused("select", "reference", "C1")  # but stays one there
    assert night.one("SELECT role FROM source WHERE label = 'C1'") == "check"
    night.photdb("select", "reference", "R1", "--at", 3, x, y)  # and a star may be selected again as itself


def test_proposals_need_an_accepted_frame(night):
    night.photdb("qc", "--min-stars", 10**6)
    assert "no accepted frame" in night.refused("select", "reference", "--auto", 3).lower()


def test_proposals_do_without_the_stars_of_qcs_region(night_at):
    night = night_at("shifted")
    night.photdb("qc", "--region", 0, 0, 3, 3)
    assert night.one("SELECT count(fwhm_px) FROM frame_quality") == 0
    assert "2 references proposed" in night.photdb("select", "reference", "--auto", 2).stderr


def test_without_a_name_each_position_is_a_star_of_its_own(night_at):
    night = night_at("shifted")
    several = [v for label, frame in (("R1", 1), ("R2", 1), ("R3", 5)) for v in night.at(label, frame)]
    lines = night.photdb("select", "reference", *several).stderr.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        *("reference R1", "  frame 1", "reference R2", "  frame 1", "reference R3", "  frame 5")
    ]
    night.photdb("select", "check", *night.at("C1", 1), *night.at("R4", 1))
    together = {label: anchors(night, label) for label in ("R1", "R2", "R3", "C1", "C2")}
    alone = night_at("shifted", "alone")
    for label, role, place in (
        ("R1", "reference", alone.at("R1", 1)),
        ("R2", "reference", alone.at("R2", 1)),
        ("R3", "reference", alone.at("R3", 5)),
        ("C1", "check", alone.at("C1", 1)),
        ("C2", "check", alone.at("R4", 1)),
    ):
        alone.photdb("select", role, label, *place)
        assert anchors(alone, label) == together[label]  # to the last bit
    typed = night.one("SELECT arguments FROM history WHERE command = 'select' ORDER BY id LIMIT 1")
    assert json.loads(typed) == ["reference", *map(str, several)]


def test_stars_without_names_are_selected_all_or_none(night_at):
    night = night_at("shifted")
    night.photdb("select", "reference", "Old", *night.at("R2", 1))
    (x, y), (x5, y5) = night.place("R1", 1), night.place("R1", 5)
    for lines, code, said in (
        (("--at", 1, x, y, "--at", 5, x5, y5), 1, f"({x:g}, {y:g}) in frame 1 and ({x5:g}, {y5:g}) in frame 5 are the"),
        (("--at", 1, x, y, "--at", "first", x + 1, y), 1, "are the same star: give it once"),
        (("--at", 1, x, y, *night.at("R2", 5)), 1, "Old is the star of ("),
        (("--at", 1, x, y, "--at", 1, 999, y), 1, "(999, "),
        (("--at", 1, x, y, "--at", 99, x, y), 1, "no frame 99"),
        (("R9", "--at", 1, x, y, *night.at("R3", 1)), 2, "without a NAME each is a star of its own"),
    ):
        for role in ("reference",) if "Old" in said else ("reference", "check"):
            assert said in night.refused("select", role, *lines, code=code)
    assert night.one("SELECT count(*) FROM source") == 1


def test_with_a_name_positions_in_several_frames_are_one_star(night_at):
    night = night_at("shifted")
    night.photdb("select", "reference", "R9", *night.at("R1", 1, 5, 20))
    assert [row[0] for row in anchors(night, "R9")] == [1, 5, 20]
