"""The quietest set of each size, against all sets one by one, and against the search that `solve` uses."""

import itertools

import numpy as np
import pytest

from photdb.algorithms import sizes
from photdb.algorithms.combinations import search
from photdb.algorithms.noise import noise, smoother
from photdb.algorithms.sizes import quietest_by_size

N_FRAMES = 40
T = np.linspace(0.0, 0.2, N_FRAMES)
HIGHPASS = smoother(T)


def night(n_references: int, seed: int = 1):
    rng = np.random.default_rng(seed)
    clouds = 0.2 * np.sin(40.0 * T)
    scatter = rng.uniform(0.002, 0.02, n_references)[:, None]
    refs = clouds + scatter * rng.normal(size=(n_references, N_FRAMES)) + rng.uniform(-3, 3, n_references)[:, None]
    target = clouds + 0.1 * np.cos(30.0 * T) + 0.004 * rng.normal(size=N_FRAMES)
    return target, refs, rng.uniform(0.2, 3.0, n_references)


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_each_size_is_the_least_of_all_sets_of_that_size(n):
    target, refs, weights = night(n)
    found = quietest_by_size(target, refs, weights=weights, highpass=HIGHPASS)
    for size in range(1, n + 1):
        best = min(
            float(noise(target - np.average(refs[list(s)], axis=0, weights=weights[list(s)]), HIGHPASS))
            for s in itertools.combinations(range(n), size)
        )
        assert found[size - 1] == pytest.approx(best, rel=1e-9)


def test_over_several_blocks_it_agrees_with_the_search():
    target, refs, weights = night(15)
    found = quietest_by_size(target, refs, weights=weights, highpass=HIGHPASS)
    best = search(target, refs, weights=weights, highpass=HIGHPASS, top=300)
    assert found.min() == pytest.approx(best[0].noise_mag, rel=1e-9)
    for size in {len(c.references) for c in best}:
        first = next(c.noise_mag for c in best if len(c.references) == size)
        assert found[size - 1] == pytest.approx(first, rel=1e-9)


def test_exchanges_find_the_best_of_most_sizes_and_never_a_quieter_one(monkeypatch):
    n_best = 0
    for seed in range(5):
        target, refs, weights = night(14, seed)
        proven = quietest_by_size(target, refs, weights=weights, highpass=HIGHPASS)
        monkeypatch.setattr(sizes, "MAX_EXHAUSTIVE", 5)
        found = quietest_by_size(target, refs, weights=weights, highpass=HIGHPASS)
        monkeypatch.undo()
        assert (found >= proven * (1 - 1e-9)).all()
        assert found[[0, -1]] == pytest.approx(proven[[0, -1]], rel=1e-9)  # of these there is no doubt
        n_best += int((found <= proven * (1 + 1e-9)).sum())
    assert n_best >= 0.9 * 5 * 14


def test_too_few_frames_are_refused():
    target, refs, weights = night(3)
    with pytest.raises(ValueError, match="too few comparison frames"):
        quietest_by_size(target[:3], refs[:, :3], weights=weights, highpass=smoother(T[:3]))
