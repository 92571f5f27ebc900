"""The search over combinations, against brute force."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photdb.algorithms import combinations
from photdb.algorithms.combinations import Combination, rank, search, search_all
from photdb.algorithms.differential import differential_magnitude
from photdb.algorithms.noise import noise, smoother


def night(n_references, n, *, seed=0, clouds=2.0, scatter=(0.002, 0.03)):
    """Magnitudes of a varying target and of references of different noise, under clouds."""
    rng = np.random.default_rng(seed)
    cloud = clouds * np.abs(rng.normal(size=n))
    target = -9 + cloud + 0.1 * np.sin(np.arange(n) / 30) + rng.normal(0, 0.004, n)
    sigma = rng.uniform(*scatter, n_references)
    refs = rng.uniform(-13, -8, (n_references, 1)) + cloud + sigma[:, None] * rng.normal(size=(n_references, n))
    weights = {"mean": np.ones(n_references), "flux": 10 ** (-0.4 * refs[:, 0]), "variance": 1 / (sigma**2 + 4e-6)}
    return target, refs, weights, smoother(np.arange(n) * 30 / 86400)


def brute_force(target, refs, weights, highpass):
    """Noise of every set, from its curve: (2^N − 1,), element mask − 1."""
    n_references = len(refs)
    curves = []
    for mask in range(1, 2**n_references):
        members = [i for i in range(n_references) if mask >> i & 1]
        curves.append(differential_magnitude(target, refs[members], weights[members]))
    return noise(np.array(curves), highpass)


@pytest.mark.parametrize("weighting", ["mean", "flux", "variance"])
@pytest.mark.parametrize("n_references", [1, 2, 5, 10])
def test_search_is_brute_force_under_clouds(n_references, weighting):
    target, refs, weights, highpass = night(n_references, 142)
    w = weights[weighting]
    noises = brute_force(target, refs, w, highpass)
    found = search(target, refs, weights=w, highpass=highpass, top=100)
    assert len(found) == min(100, len(noises))
    best = np.argsort(noises)[:100]
    assert [c.mask for c in found] == (best + 1).tolist()
    assert [c.noise_mag for c in found] == pytest.approx(noises[best], rel=1e-9)


@settings(max_examples=40)
@given(
    n_references=st.integers(1, 8),
    n=st.integers(5, 40),
    seed=st.integers(0, 10**6),
    clouds=st.sampled_from([0.0, 2.0, 5.0]),
    spread=st.floats(0, 6),
)
def test_search_is_brute_force_for_any_night(n_references, n, seed, clouds, spread):
    target, refs, _, highpass = night(n_references, n, seed=seed, clouds=clouds)
    w = 10 ** np.random.default_rng(seed).uniform(0, spread, n_references)
    noises = brute_force(target, refs, w, highpass)
    found = search(target, refs, weights=w, highpass=highpass)
    assert [c.noise_mag for c in found] == pytest.approx(np.sort(noises)[:10], rel=1e-9, abs=1e-13)
    assert [c.noise_mag for c in found] == pytest.approx([noises[c.mask - 1] for c in found], rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("weighting", ["mean", "flux"])
@pytest.mark.parametrize("scatter", [(0.002, 0.03), (0.005, 0.005)])
def test_the_walk_over_blocks_misses_no_set(weighting, scatter, monkeypatch):
    target, refs, weights, highpass = night(12, 60, scatter=scatter)
    w = weights[weighting]
    at_once = search(target, refs, weights=w, highpass=highpass)
    noises = brute_force(target, refs, w, highpass)
    assert [c.noise_mag for c in at_once] == pytest.approx(np.sort(noises)[:10], rel=1e-9)
    for block_bits, walk_bits, pool in ((3, 2, 20), (4, 8, 8192), (1, 1, 100), (8, 3, 100)):
        monkeypatch.setattr(combinations, "_BLOCK_BITS", block_bits)
        monkeypatch.setattr(combinations, "_WALK_BITS", walk_bits)
        monkeypatch.setattr(combinations, "_POOL", pool)
        assert search(target, refs, weights=w, highpass=highpass) == at_once  # to the last bit


@pytest.mark.parametrize("weighting", ["mean", "flux", "variance"])
@pytest.mark.parametrize("scatter", [(0.002, 0.03), (0.005, 0.005)])
@pytest.mark.parametrize("n_references", [13, 14, 16])  # a block holds 13: at once, and in walks of 2 and of 8 blocks
def test_all_sets_are_searched_on_both_sides_of_the_block(n_references, scatter, weighting):
    target, refs, weights, highpass = night(n_references, 40, scatter=scatter)
    form = highpass.residual(target - refs)
    bits = (np.arange(1, 2**n_references)[:, None] >> np.arange(n_references) & 1) * weights[weighting]
    curves = (bits / bits.sum(axis=1, keepdims=True)) @ form
    noises = np.sqrt(np.sum(curves**2, axis=1) / highpass.trace)
    found = search(target, refs, weights=weights[weighting], highpass=highpass, top=50)
    best = np.argsort(noises)[:50]
    assert [c.mask for c in found] == (best + 1).tolist()
    assert [c.noise_mag for c in found] == pytest.approx(noises[best], rel=1e-9)


def test_ties_go_to_fewer_references_then_to_the_lower_set():
    target, refs, _, highpass = night(3, 50)
    same = refs[[1, 1, 1]]
    found = search(target, same, weights=np.ones(3), highpass=highpass)
    assert [c.mask for c in found] == [0b001, 0b010, 0b100, 0b011, 0b101, 0b110, 0b111]
    assert len({c.noise_mag for c in found}) == 1


def test_ties_without_end_are_ranked_all_the_same(monkeypatch):
    monkeypatch.setattr(combinations, "_BLOCK_BITS", 5)
    monkeypatch.setattr(combinations, "_POOL", 50)
    target, refs, _, highpass = night(1, 50)
    found = search(target, np.repeat(refs, 14, axis=0), weights=np.ones(14), highpass=highpass, top=16)
    assert [c.mask for c in found] == [*(1 << i for i in range(14)), 0b11, 0b101]


def test_order_over_apertures_and_weightings():
    found = [
        Combination(0.2, 1),
        Combination(0.1, 3, aperture=1),
        Combination(0.1, 3, weighting=1),
        Combination(0.1, 5),
        Combination(0.1, 3),
        Combination(0.1, 8, aperture=2),
    ]
    assert [found.index(c) for c in rank(found)] == [5, 4, 2, 1, 3, 0]


def test_search_over_everything_is_the_best_of_each():
    nights = [night(6, 80, seed=seed) for seed in range(4)]
    targets, refs = np.array([x[0] for x in nights]), np.array([x[1] for x in nights])
    weights = np.array([list(x[2].values()) for x in nights])
    highpass = nights[0][3]
    found = search_all(targets, refs, weights=weights, highpass=highpass)
    each = [
        Combination(c.noise_mag, c.mask, aperture, weighting)
        for aperture in range(4)
        for weighting in range(3)
        for c in search(targets[aperture], refs[aperture], weights=weights[aperture, weighting], highpass=highpass)
    ]
    assert found == rank(each)[:10]


def test_numbering_of_references_and_zero_points_do_not_matter():
    target, refs, weights, highpass = night(9, 100)
    order = np.random.default_rng(1).permutation(9)
    found = search(target, refs, weights=weights["flux"], highpass=highpass)
    other = search(
        target + 5, refs[order] + np.arange(9)[:, None], weights=3e-5 * weights["flux"][order], highpass=highpass
    )
    assert [sorted(order[list(c.references)]) for c in other] == [list(c.references) for c in found]
    assert [c.noise_mag for c in other] == pytest.approx([c.noise_mag for c in found], rel=1e-9)


def test_one_noisy_reference_is_left_out_and_the_target_noise_found():
    target, refs, weights, highpass = night(8, 1000, scatter=(0.004, 0.004))
    refs[3] += 0.05 * np.random.default_rng(2).normal(size=1000)
    best = search(target, refs, weights=weights["mean"], highpass=highpass)[0]
    assert 3 not in best.references
    assert best.noise_mag == pytest.approx(0.004 * np.sqrt(1 + 1 / len(best.references)), rel=0.08)


def test_memory_is_small_and_progress_ends_at_all_sets():
    target, refs, weights, highpass = night(24, 300)
    seen = []
    tracemalloc.start()
    search(
        target,
        refs,
        weights=weights["mean"],
        highpass=highpass,
        progress=lambda done, of: seen.append((done, of)),
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 2**20
    assert seen == [(2**23, 2**24 - 1), (2**24 - 1, 2**24 - 1)]


@pytest.mark.parametrize(
    ("n_references", "change", "sentence"),
    [
        (0, {}, "at least one reference"),
        (33, {}, "keep at most 32 references"),
        (3, {"top": 0}, "top must be 1 to 300"),
        (3, {"top": 301}, "top must be 1 to 300"),
        (3, {"weights": [1.0, 0.0, 1.0]}, "weights of references must be positive"),
        (3, {"target": np.r_[np.nan, np.zeros(19)]}, "have a magnitude"),
        (3, {"highpass": smoother(np.arange(20.0) + 100 * (np.arange(20) // 2))}, "too few comparison frames"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_sentence(n_references, change, sentence):
    given_ = {
        "target": np.zeros(20),
        "refs": np.zeros((n_references, 20)),
        "weights": np.ones(n_references),
        "highpass": smoother(np.arange(20.0)),
    } | change
    with pytest.raises(ValueError, match=sentence):
        search(given_.pop("target"), given_.pop("refs"), **given_)
