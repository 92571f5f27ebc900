"""`photdb reject` and `photdb accept`: what is said, and what is refused."""

import pytest


def test_a_rejection_is_said_listed_and_taken_back(night):
    said = night.photdb("reject", "frames", "3-5", "9", "--reason", "clouds")
    assert said.stdout == ""
    assert said.stderr == "Rejected frame 3-5, 9.\n"
    night.photdb("reject", "frames", "7", "--source", "V1", "--aperture", "2")
    listed = night.photdb("reject", "list").stdout.splitlines()
    assert listed[0].split() == ["by", "frames", "source", "aperture", "state", "reason"]
    assert any("3-5, 9" in line and "clouds" in line for line in listed)
    assert any("V1" in line and "2 (r" in line and " 7 " in line for line in listed)
    assert night.photdb("accept", "frames", "4-9").stderr == "Took back 3 rejections.\n"
    assert night.photdb("accept", "frames", "7", "--source", "V1", "--aperture", "2").stderr.startswith("Took back 1")
    assert night.photdb("accept", "frames", "3").stderr.startswith("Took back 1 rejection.")
    assert night.photdb("reject", "list").stderr == "Nothing is left out.\n"


def test_rejecting_a_reference_in_frames_says_what_it_costs(night):
    assert "photdb reject source R1" in night.photdb("reject", "frames", "3", "--source", "R1").stderr
    assert "photdb reject source" not in night.photdb("reject", "frames", "3", "--source", "V1").stderr


def test_rejecting_twice_says_so(night):
    assert night.photdb("reject", "source", "R1").stderr == "Rejected R1.\n"
    assert "already" in night.photdb("reject", "source", "R1").stderr
    assert "already" not in night.photdb("reject", "source", "R1", "--aperture", "1").stderr
    assert night.photdb("reject", "aperture", "1").stderr == "Rejected aperture 1.\n"
    assert "already" in night.photdb("reject", "aperture", "1").stderr
    assert night.photdb("reject", "frames", "3", "3-4").stderr == "Rejected frame 3-4.\n"
    assert night.photdb("reject", "frames", "3-5").stderr == "Rejected frame 3-5 (2 of them rejected before).\n"


def test_a_frame_that_cannot_be_used_stays_out(night):
    night.change("UPDATE frame SET error = 'torn' WHERE number = 8")
    said = night.photdb("accept", "frames", "7-9").stderr
    assert "Left out all the same: frame 8 (" in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("reject", "frames", "310-283"), 1, "reversed: type 283-310"),
        (("reject", "frames", "99"), 1, "no frame 99"),
        (("reject", "frames", "a-b"), 1, "neither a frame nor an interval"),
        (("reject", "frames"), 2, "Missing argument"),
        (("reject", "frames", "3", "--source", "R99"), 1, "no source R99"),
        (("reject", "frames", "3", "--aperture", "99"), 1, "no aperture 99"),
        (("reject", "source", "r1"), 1, "no source r1"),
        (("reject", "aperture", "3,8"), 1, "no aperture 3,8"),
        (("accept", "source", "R99"), 1, "no source R99"),
        (("accept", "frames", "20-1"), 1, "reversed"),
    ],
)
def test_what_cannot_be_rejected_is_one_sentence_and_no_rejection(night, arguments, code, said):
    assert said in night.refused(*arguments, code=code)
    assert night.one("SELECT count(*) FROM rejection") == 0


def test_a_wrong_interval_among_right_ones_rejects_nothing(night):
    night.refused("reject", "frames", "3-5", "99")
    assert night.rows("SELECT * FROM excluded") == []


def test_an_accept_can_be_taken_back(night):
    night.photdb("accept", "frames", "3-4")
    night.photdb("qc", "--min-stars", 10**6)
    assert night.one("SELECT group_concat(number) FROM frame_status WHERE accepted") == "3,4"
    said = night.photdb("accept", "frames", "3-5", "--undo").stderr
    assert said == "Took back 2 accepts.\nLeft out all the same: frame 3-5 (`photdb reject list` says why).\n"
    assert night.one("SELECT total(accepted) FROM frame_status") == 0
    night.refused("accept", "frames", "3", "--undo", "--source", "R1", code=2)
