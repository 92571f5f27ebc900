"""What windows of stages decide, as values: transitions, and the commands that lead from one to another."""

import numpy as np
import pytest

from photdb.viewers.quality import Rule
from photdb.viewers.windows import choices as c

NUMBER = np.arange(1, 9)
#: Frame 8 cannot be used.
FACTS = c.Facts(
    NUMBER,
    2455836.5 + 0.001 * NUMBER,
    NUMBER < 8,
    {"range_adu": np.array([9.0, 5, 9, 9, 3, 9, np.nan, 9]), "fwhm_px": np.array([3.0, 3, 3, 5, 5, 3, 3, 3])},
)
OPTIONS = {("range_adu", "<"): "min_range", ("fwhm_px", ">"): "max_fwhm"}


def left(choices):
    return NUMBER[FACTS.left(choices)].tolist()


def done(before, after):
    return [(x.command, *x.arguments({4: "3,8,12"})) for x in c.changes(before, after)]


def test_rules_reject_and_end():
    one = c.with_limit(c.Choices(), "range_adu", "<", 6.0)
    assert left(one) == [1, 3, 4, 6, 7]  # nothing is known of 7: no rule rejects it
    two = c.with_limit(one, "fwhm_px", ">", 4.0)
    assert left(two) == [1, 3, 6, 7]
    assert left(c.with_limit(two, "range_adu", "<", 5.0)) == [1, 2, 3, 6, 7]  # 5 is not below 5
    assert c.new_limits(c.Choices(), two, OPTIONS) == {"min_range": 6.0, "max_fwhm": 4.0}
    assert c.new_limits(two, c.with_limit(two, "range_adu", "<", None), OPTIONS) == {"min_range": "none"}
    assert c.with_limit(c.with_limit(two, "range_adu", "<", None), "range_adu", "<", 6.0) == two


def test_frames_rejected_and_taken_back_are_what_commands_do():
    start = c.Choices((Rule("range_adu", "<", 6.0),), frozenset({(3, None, None)}))
    assert left(start) == [1, 4, 6, 7]
    after = c.taken_back(start, [2, 3], FACTS, start)
    assert left(after) == [1, 2, 3, 4, 6, 7]
    assert done(start, after) == [("accept", "frames", "2-3")]
    after = c.rejected(after, [1, 2, 4])
    assert left(after) == [3, 6, 7]
    assert done(start, after) == [("reject", "frames", "1-2", "4"), ("accept", "frames", "3")]
    # Rejected and taken back within the window: nothing has happened.
    assert c.taken_back(c.rejected(start, [6]), [6], FACTS, start) == start
    accepted = c.Choices(start.rules, accepted=frozenset({2, 5}))
    assert done(accepted, c.Choices(start.rules)) == [("accept", "frames", "2", "5", "--undo")]
    assert done(accepted, c.rejected(accepted, [2])) == [("reject", "frames", "2")]
    assert left(c.rejected(accepted, [8])) == left(accepted)


def test_sources_and_apertures():
    none = c.Choices()
    after = c.toggled(c.rejected(c.toggled(none, (None, "-R2", None)), [3, 4, 7], "A b"), (None, None, 4))
    assert done(none, after) == [
        ("reject", "aperture", "3,8,12"),
        ("reject", "source", "--", "-R2"),
        ("reject", "frames", "3-4", "7", "--source=A b"),
    ]
    assert done(after, none) == [
        ("accept", "aperture", "3,8,12"),
        ("accept", "source", "--", "-R2"),
        ("accept", "frames", "3-4", "7", "--source=A b"),
    ]
    assert c.toggled(c.toggled(none, (None, "R1", None)), (None, "R1", None)) == none
    assert [c.is_out(after, s, p) for s, p in (("-R2", 1), ("A b", 4), ("A b", 1), ("R1", 1))] == [1, 1, 0, 0]
    mask = c.mask(after, FACTS, ["-R2", "A b"], [1, 4])
    assert np.argwhere(~mask).tolist() == [[i, 1, p] for i in (2, 3, 6) for p in (0, 1)]
    assert left(after) == [1, 2, 3, 4, 5, 6, 7]  # the frames themselves stay


@pytest.mark.parametrize(
    ("value", "step", "expected"),
    [(8012.3456, 74.0, 8010.0), (8012.3456, 0.5, 8012.3), (0.123456, 0.002, 0.123), (735.4, 8.0, 735.0)],
)
def test_values_are_as_fine_as_the_screen(value, step, expected):
    assert c.rounded(value, step) == expected


def test_rectangles_are_within_the_frame():
    assert c.rectangle(90.4, -7, 12.6, 300, 100, 80) == (13, 0, 90, 79)
