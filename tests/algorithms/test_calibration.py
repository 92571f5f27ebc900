"""Zero points and colour terms against truth."""

import numpy as np
import pytest

from photdb.algorithms.calibration import zero_point

NONE = np.full(5, np.nan)


def test_zero_point_is_the_weighted_mean_with_the_larger_error():
    own = np.array([-0.5, 0.1, 0.3, 0.0, 0.1])
    err = np.array([0.01, 0.02, 0.02, 0.03, 0.02])
    z = 14.2 + np.array([0.01, -0.02, 0.0, 0.02, -0.01])
    found = zero_point(own + z, err, own, colour=NONE)
    w = 1 / (err**2 + 0.005**2)
    assert found.zero_mag == pytest.approx(np.sum(w * z) / np.sum(w), abs=1e-12)
    assert found.zero_mag_err == pytest.approx(1 / np.sqrt(np.sum(w)), rel=1e-9)
    assert found.scatter_mag == pytest.approx(np.sqrt(np.sum((z - found.zero_mag) ** 2) / 4), rel=1e-9)
    wild = zero_point(own + 14.2 + 10 * (z - 14.2), err, own, colour=NONE)
    assert wild.zero_mag_err == pytest.approx(10 * found.zero_mag_err, rel=0.5)
    assert wild.zero_mag_err > 4 * found.zero_mag_err
    assert found.colour_term is None


def test_without_errors_all_count_alike_and_one_alone_has_none():
    own = np.array([0.0, 0.2, 0.4, 0.0, 0.0])
    mag = np.array([12.0, 12.22, 12.41, np.nan, np.nan])
    found = zero_point(mag, NONE, own, colour=NONE)
    assert found.zero_mag == pytest.approx(12.01)
    assert found.zero_mag_err == pytest.approx(0.01 / np.sqrt(3), rel=1e-6)
    assert found.n_references == 3
    one = zero_point(mag[:1], NONE[:1], own[:1], colour=NONE[:1])
    assert (one.zero_mag, one.zero_mag_err, one.scatter_mag, one.n_references) == (12.0, None, None, 1)
    assert zero_point(NONE, NONE, own, colour=NONE) is None


def test_a_colour_term_is_fitted_if_colours_are_told_and_differ():
    rng = np.random.default_rng(1)
    colour = np.array([0.3, 0.5, 0.7, 1.1, 1.4])
    own, err = rng.normal(size=5), np.full(5, 0.01)
    zeros, terms, pulls = [], [], []
    for _ in range(300):
        mag = own + 13.0 + 0.12 * colour + rng.normal(0, np.hypot(0.01, 0.005), 5)
        found = zero_point(mag, err, own, colour=colour, target_colour=0.8)
        zeros.append(found.zero_mag)
        terms.append(found.colour_term)
        pulls.append((found.zero_mag - 13.096) / found.zero_mag_err)
    assert np.mean(zeros) == pytest.approx(13.0 + 0.12 * 0.8, abs=0.001)
    assert np.mean(terms) == pytest.approx(0.12, abs=0.003)
    assert 0.75 < np.std(pulls) < 1.05  # errors are scaled up by bad luck, never down
    assert zero_point(mag, err, own, colour=colour).colour_term is None
    alike = zero_point(mag, err, own, colour=0.6 + 0.02 * colour, target_colour=0.6)
    assert alike.colour_term is None
