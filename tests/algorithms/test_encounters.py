"""Stars near sources: which are within reach, and what those in the ring do to the sky."""

import numpy as np
import pytest

from photdb.algorithms.encounters import error_mag, running_median, sky_raised, within_reach
from photdb.algorithms.profiles import gaussian_profile
from photdb.algorithms.sky import ring_sky


def test_pairs_within_reach_are_those_of_all_distances() -> None:
    rng = np.random.default_rng(1)
    x, y = np.linspace(10, 200, 700), np.linspace(50, 90, 700)
    x[5] = np.nan
    star_x, star_y = rng.random((2, 300)) * 250
    reach = rng.uniform(5, 20, 700)
    frame, star = within_reach(x, y, star_x, star_y, reach)
    with np.errstate(invalid="ignore"):
        near = np.hypot(x[:, None] - star_x, y[:, None] - star_y) < reach[:, None]
    np.testing.assert_array_equal(np.stack([frame, star]), np.nonzero(near))


@pytest.mark.parametrize("flux", [300.0, 2_000.0, 20_000.0])
def test_a_star_in_the_ring_raises_its_clipped_median_as_foretold(flux: float) -> None:
    rng = np.random.default_rng(2)
    n, half, sigma, inner, outer = 1500, 20, 15.0, 13.0, 18.0
    sky = rng.normal(0.0, sigma, (n, 2 * half + 1, 2 * half + 1))
    grid_y, grid_x = np.mgrid[-half : half + 1, -half : half + 1]
    profile = gaussian_profile(3.2)
    star = flux * profile.at(np.hypot(grid_x - 15.0, grid_y), 3.2)
    everything, middle = np.arange(n), np.full(n, float(half))
    with_star, scatter, n_sky = ring_sky(sky + star, everything, middle, middle, inner_px=inner, outer_px=outer)
    without, _, _ = ring_sky(sky, everything, middle, middle, inner_px=inner, outer_px=outer)
    measured = float(np.mean(with_star - without))
    error = float(np.std(with_star - without) / np.sqrt(n))
    one = np.ones(1)
    foretold = sky_raised(
        profile, flux * one, 15.0 * one, 3.2 * one, sigma * one, float(np.median(n_sky)) * one, inner_px=13, outer_px=18
    )[0]
    assert measured == pytest.approx(foretold, rel=0.3, abs=4 * error)
    assert foretold > 10 * error, "nothing was tested"


def test_errors_and_running_medians() -> None:
    assert error_mag(np.array([0.0, 100.0]), np.array([1000.0, 1000.0])) == pytest.approx([0.0, -0.10348], abs=1e-4)
    assert np.isnan(error_mag(np.array([1.0]), np.array([-5.0])))[0]
    values = np.array([1.0, np.nan, 3.0, 100.0, 5.0])
    np.testing.assert_array_equal(running_median(values, 3), [1.0, 2.0, 51.5, 5.0, 52.5])
    assert running_median(values[:0], 3).size == 0
