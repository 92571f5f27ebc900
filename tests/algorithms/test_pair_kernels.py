"""The compiled loops over pairs of stars against the same in plain numpy: equal to the last bit."""

import numpy as np
import pytest

from photdb.algorithms import pair_kernels


def stars(rng: np.random.Generator, n: int, *, grid: bool = False) -> np.ndarray:
    z = rng.uniform(-100, 100, n) + 1j * rng.uniform(-80, 80, n)
    return np.round(z) if grid else z  # on a grid many are equally near


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (1, 1), (150, 149), (20, 900)])
def test_pairs_and_nearest_ones(n: int, m: int, grid: bool) -> None:
    rng = np.random.default_rng(n + m)
    z, z_to = stars(rng, n, grid=grid), stars(rng, m, grid=grid)
    d = z[:, None] - z_to
    distance2 = d.real**2 + d.imag**2
    for within_px in (0.5, 7.0, 60.0, 400.0):
        i, j = pair_kernels.pairs_near(z, z_to, within_px)
        wanted = np.nonzero(distance2 < within_px**2)
        np.testing.assert_array_equal((i, j), wanted)
        of_pairs = distance2[i, j]
        assert pair_kernels.n_between(z, z_to, i, j, 3.0, 0.9 * within_px) == np.count_nonzero(
            (of_pairs < (0.9 * within_px) ** 2) & ~(of_pairs < 9.0)
        )
        for nearer_px in (within_px, 0.6 * within_px):
            nearest: dict[int, int] = {}
            nearest_to: dict[int, int] = {}
            for k in np.argsort(of_pairs, kind="stable").tolist():  # of equally near ones the first
                if of_pairs[k] < nearer_px**2:
                    nearest.setdefault(i[k], k)
                    nearest_to.setdefault(j[k], k)
            kept = np.array(sorted(set(nearest.values()) & set(nearest_to.values())), int)
            found = pair_kernels.each_others_nearest(z, z_to, i, j, nearer_px)
            for one, other in zip(found, (i[kept], j[kept], of_pairs[kept]), strict=True):
                np.testing.assert_array_equal(one, other)


def test_votes_count_neighbours_in_two_grids_of_cells() -> None:
    rng = np.random.default_rng(3)
    place = rng.normal(0, 1.5, (3, 500))
    place[0] += rng.choice([-120, 0, 120], 500)
    cells = [np.floor(place + offset).astype(int) for offset in (0.25, 0.75)]
    cells = [np.stack([c[0] % 240, c[1], c[2]]) for c in cells]
    alone = sum((c[:, :, None] == c[:, None, :]).all(axis=0).sum(axis=1) for c in cells)
    table = [(c[0] * 73856093 ^ c[1] * 19349663 ^ c[2] * 83492791) & 0xFFFF for c in cells]
    shared = sum((t[:, None] == t).sum(axis=1) for t in table)
    found = pair_kernels.votes(place, 240, 1 << 16)
    np.testing.assert_array_equal(found, shared)  # cells that share a place of the table add to each other
    assert (found >= alone).all()
    assert found.max() > 10


def test_stars_near_others_are_counted_inside_the_border() -> None:
    rng = np.random.default_rng(4)
    near = rng.random((30, 40)) < 0.3
    at = rng.uniform(-60, 60, (7, 200)) + 1j * rng.uniform(-60, 60, (7, 200))
    at[0, :3] = complex(np.inf, 0), complex(-np.inf, 0), complex(0, np.inf)
    row = (at.imag * 0.5 + 15.5).clip(0, 29).astype(int)
    column = (at.real * 0.5 + 20.5).clip(0, 39).astype(int)
    np.testing.assert_array_equal(pair_kernels.n_near_star(at, near, 0.5, 20.5, 15.5), near[row, column].sum(axis=1))
    assert pair_kernels.n_near_star(np.array([[complex(np.nan, np.nan)]]), near, 0.5, 20.5, 15.5) == [near[0, 0]]
