"""The parts of the search that stand on their own: chance against SciPy, neighbours against all pairs."""

import numpy as np
import pytest
from scipy.special import gammainc

from photdb.algorithms.consensus import _chance_of, mutual_nearest


@pytest.mark.parametrize("n", [1, 2, 3, 7, 30, 148])
def test_the_chance_of_n_events_is_that_of_poisson(n):
    for expected in np.geomspace(1e-6, 0.99 * n, 40).tolist():
        assert _chance_of(n, expected) == pytest.approx(gammainc(n, expected), rel=1e-11, abs=0)
    assert _chance_of(n, n + 0.5) == 1.0  # no agreement at all


def test_a_chance_too_small_for_a_number_is_zero_as_in_scipy():
    """The widest tolerance is taken where chance explains none: the last bits of a shift hang on this limit."""
    assert gammainc(148, 0.4466) > 0
    assert _chance_of(148, 0.4466) > 0
    assert gammainc(148, 0.4464) == 0
    assert _chance_of(148, 0.4464) == 0


def by_all_pairs(z, z_to, within_px):
    distance = (z.real[:, None] - z_to.real) ** 2 + (z.imag[:, None] - z_to.imag) ** 2
    nearest, back = distance.argmin(axis=1), distance.argmin(axis=0)
    i = np.arange(len(z))
    keep = (back[nearest] == i) & (distance[i, nearest] < within_px**2)
    return i[keep], nearest[keep]


@pytest.mark.parametrize("within_px", [0.3, 5.0, 300.0])
@pytest.mark.parametrize("step_px", [0.0, 2.5], ids=["anywhere", "on a grid, with equal distances and positions"])
def test_mutual_neighbours_are_those_of_all_pairs(within_px, step_px):
    rng = np.random.default_rng(20)
    for n, n_to in ((1, 1), (1, 150), (150, 3), (150, 150)):
        for _ in range(20):
            z, z_to = (rng.uniform(-60, 60, k) + 1j * rng.uniform(-60, 60, k) for k in (n, n_to))
            if step_px:
                z, z_to = (np.round(points / step_px) * step_px for points in (z, z_to))
            for one, other in zip(mutual_nearest(z, z_to, within_px), by_all_pairs(z, z_to, within_px), strict=True):
                assert np.array_equal(one, other)


def test_empty_lists_have_no_neighbours():
    for n, n_to in ((0, 0), (0, 3), (3, 0)):
        i, j = mutual_nearest(np.zeros(n, complex), np.zeros(n_to, complex), 5.0)
        assert len(i) == len(j) == 0
