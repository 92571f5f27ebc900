"""Paths of moving sources through their anchors, against known motion."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photdb.algorithms.motion import MAX_GROWTH, _parabola_growth, position_at

START_D = 2458409.63


def asteroid(t_d):
    """Give a near-Earth asteroid's track: 70 px/h, bent by the observer's turning with the Earth (±15 px in a day)."""
    h = (np.asarray(t_d) - START_D) * 24
    return np.column_stack(
        (300 + 70 * h + 15 * np.sin(2 * np.pi * (h - 2) / 24), 500 - 6 * h + 15 * np.cos(2 * np.pi * (h - 2) / 24))
    )


def test_one_anchor_stays_where_it_is():
    np.testing.assert_array_equal(position_at([1.0, 2.0, np.nan], [5.0], [[3.0, 4.0]])[:2], [[3, 4], [3, 4]])


def test_two_anchors_are_a_straight_line_and_beyond():
    t = START_D + np.array([-0.1, 0.0, 0.025, 0.1, 0.3])
    anchors = START_D + np.array([0.0, 0.1])
    expected = [[90, 204], [100, 200], [102.5, 199], [110, 196], [130, 188]]
    # a Julian date's last bit is 4e-10 d: 1e-7 px here
    np.testing.assert_allclose(position_at(t, anchors, [[100, 200], [110, 196]]), expected, rtol=0, atol=1e-6)


def test_three_anchors_are_a_parabola_and_its_tangents():
    def parabola(h):
        return np.column_stack((10 + 30 * h + 0.4 * h**2, 50 - 2 * h + 0.7 * h**2))

    anchors = np.array([0.0, 2.5, 6.0])
    h = np.linspace(0, 6, 50)
    found = position_at(START_D + h / 24, START_D + anchors / 24, parabola(anchors))
    np.testing.assert_allclose(found, parabola(h), rtol=0, atol=1e-5)
    beyond = position_at(START_D + np.array([-1.0, 7.0]) / 24, START_D + anchors / 24, parabola(anchors))
    speed = np.array([[30, -2], [30 + 0.8 * 6, -2 + 1.4 * 6]])
    np.testing.assert_allclose(beyond, parabola(np.array([0.0, 6.0])) + speed * [[-1], [1]], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("n_anchors", "limit_px"), [(3, 0.5), (4, 0.25), (6, 0.08)])
def test_a_bent_track_over_six_hours(n_anchors, limit_px):
    t = START_D + np.linspace(0, 0.25, 300)
    anchors = START_D + np.linspace(0, 0.25, n_anchors)
    assert np.abs(position_at(t, anchors, asteroid(anchors)) - asteroid(t)).max() < limit_px
    straight = position_at(t, anchors[[0, -1]], asteroid(anchors[[0, -1]]))
    assert np.abs(straight - asteroid(t)).max() > 5 * limit_px


@pytest.mark.parametrize("hours", [(0.0, 0.05, 6.0), (0.0, 3.0, 3.05, 6.0), (0.0, 5.9, 5.95, 6.0)])
def test_errors_of_anchors_close_in_time_do_not_swing(hours):
    """Anchors 3 minutes apart with errors of 0.3 px: between the anchors the path stays within 2.5 px of the truth."""
    rng = np.random.default_rng(1)
    anchors = START_D + np.array(hours) / 24
    t = START_D + np.linspace(0, 0.25, 300)
    line = np.column_stack(((t - START_D) * 900, (t - START_D) * -300))
    at = np.column_stack(((anchors - START_D) * 900, (anchors - START_D) * -300))
    for _ in range(50):
        found = position_at(t, anchors, at + rng.normal(0, 0.3, at.shape))
        assert np.abs(found - line).max() < 2.5


@settings(max_examples=100)
@given(st.lists(st.integers(0, 2000), min_size=1, max_size=8, unique=True), st.integers(0, 2**32 - 1))
def test_the_path_goes_through_all_anchors_smoothly(steps, seed):
    rng = np.random.default_rng(seed)
    anchors = START_D + np.array(steps) * 1e-4
    xy = rng.uniform(0, 1000, (len(steps), 2))
    np.testing.assert_allclose(position_at(anchors, anchors, xy), xy, rtol=0, atol=1e-6)
    # no jump anywhere: over 1e-7 d nothing moves by more than the steepest speed possible allows
    t = START_D + np.linspace(0, 0.2, 500)
    speed = 3 * 1000 / 1e-4
    jump = np.abs(position_at(t + 1e-7, anchors, xy) - position_at(t, anchors, xy))
    assert jump.max() <= 1.1 * speed * 1e-7


def test_order_of_anchors_and_batch_of_times_change_no_bit():
    anchors = START_D + np.array([0.0, 0.07, 0.11, 0.25])
    xy = asteroid(anchors) + [[0.1, 0.0], [-0.2, 0.1], [0.0, 0.3], [0.1, 0.1]]
    t = START_D + np.linspace(-0.02, 0.3, 50)
    together = position_at(t, anchors, xy)
    for order in itertools.permutations(range(4)):
        assert np.array_equal(position_at(t, anchors[list(order)], xy[list(order)]), together)
    for size in (1, 7):
        parts = [position_at(t[k : k + size], anchors, xy) for k in range(0, 50, size)]
        assert np.array_equal(np.concatenate(parts), together)


def test_a_time_that_is_not_known_has_no_position():
    found = position_at([np.nan, START_D], [START_D, START_D + 0.1, START_D + 0.2], asteroid([START_D] * 3))
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()
    assert np.isnan(position_at([np.nan], [START_D], [[1.0, 2.0]])).all()


def test_anchors_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="at least one anchor"):
        position_at([1.0], [], np.empty((0, 2)))
    with pytest.raises(ValueError, match="same time"):
        position_at([1.0], [2.0, 3.0, 2.0], [[1, 2], [3, 4], [1, 2]])
    with pytest.raises(ValueError, match="finite"):
        position_at([1.0], [2.0, 3.0], [[1, 2], [np.nan, 4]])


def test_growth_of_errors_is_that_of_a_parabola():
    """By hand: weights of the parabola through −1, u, 1 (Lagrange) at its worst place."""
    for u in (0.0, 0.4, 0.9):
        s = np.linspace(-1, 1, 2001)
        weights = np.array(
            [
                (s - u) * (s - 1) / (2 * (1 + u)),
                (s + 1) * (s - 1) / ((u + 1) * (u - 1)),
                (s + 1) * (s - u) / (2 * (1 - u)),
            ]
        )
        expected = np.sqrt((weights**2).sum(axis=0)).max()
        assert _parabola_growth(np.array([-1.0, u, 1.0])) == pytest.approx(expected, rel=1e-3)
    assert _parabola_growth(np.array([-1.0, 0.5, 1.0])) < MAX_GROWTH < _parabola_growth(np.array([-1.0, 0.6, 1.0]))
