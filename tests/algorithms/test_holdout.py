"""The winner's noise against its true noise, with and without hold-out: white noise, known truth."""

import numpy as np
import pytest

from photdb.algorithms.combinations import inner_products, search, set_noise2
from photdb.algorithms.holdout import halves, judge, pooled, quietest_set
from photdb.algorithms.noise import smoother

SIGMA_T = 0.004


def judged(target, refs, cut, weights=None):
    w = np.ones(len(refs)) if weights is None else weights
    d = cut.highpass.residual(target - refs)
    grams = tuple(inner_products(np.ascontiguousarray(d[:, h])) / cut.trace(h) for h in cut.each)
    return pooled([judge(grams, (w, w))], cut)


@pytest.mark.parametrize("n", [60, 142])
def test_holdout_is_unbiased_where_the_winner_is_lucky(n):
    rng = np.random.default_rng(5)
    t = np.arange(n) * 30 / 86400
    highpass, cut = smoother(t), halves(t, window=7, degree=2)
    sigma = np.full(7, 0.012)
    lucky, honest = [], []
    for _ in range(150):
        target = SIGMA_T * rng.normal(size=n)
        refs = sigma[:, None] * rng.normal(size=(7, n))
        best = search(target, refs, weights=np.ones(7), highpass=highpass, top=1)[0]
        true = np.sqrt(SIGMA_T**2 + 0.012**2 / len(best.references))
        lucky.append(best.noise_mag / true)
        honest.append(judged(target, refs, cut) / true)
    lucky, honest = np.array(lucky), np.array(honest)
    assert np.mean(lucky) < (0.93 if n == 60 else 0.97)
    # Within its error of the truth. A little above: half of the frames find a set that is truly somewhat noisier.
    assert 0.99 < np.sqrt(np.mean(honest**2)) < 1 + cut.highpass.relative_error


def test_holdout_is_the_mean_square_truth_of_what_the_halves_chose():
    rng = np.random.default_rng(6)
    n = 120
    cut = halves(np.arange(n) / 2880, window=7, degree=2)
    sigma = np.array([0.004, 0.006, 0.009, 0.013, 0.02])
    ratio = []
    for _ in range(400):
        target, refs = SIGMA_T * rng.normal(size=n), sigma[:, None] * rng.normal(size=(5, n))
        d = cut.highpass.residual(target - refs)
        grams = [inner_products(np.ascontiguousarray(d[:, h])) / cut.trace(h) for h in cut.each]
        true2 = 0.0
        for half in (0, 1):
            mask = quietest_set(grams[half], np.ones(5))
            members = [i for i in range(5) if mask >> i & 1]
            of_set2 = SIGMA_T**2 + np.sum(sigma[members] ** 2) / len(members) ** 2
            true2 += of_set2 * cut.trace(cut.each[1 - half]) / cut.highpass.trace
        ratio.append(judged(target, refs, cut) ** 2 / true2)
    error = 2 * cut.highpass.relative_error / np.sqrt(400)
    assert np.mean(ratio) == pytest.approx(1, abs=3 * error)
    assert np.std(ratio) == pytest.approx(2 * cut.highpass.relative_error, rel=0.15)


def test_halves_know_nothing_of_each_other():
    n = 100
    cut = halves(np.arange(n) / 2880, window=7, degree=2)
    assert cut.odd[:20].all()
    assert not cut.odd[20:40].any()
    assert 0.4 < cut.odd.mean() <= 0.6
    series = np.where(cut.odd, 7.0, np.random.default_rng(7).normal(size=n))
    assert cut.highpass.residual(series)[cut.odd] == pytest.approx(np.zeros(cut.odd.sum()), abs=1e-12)
    assert halves(np.arange(59) / 2880, window=7, degree=2) is None


@pytest.mark.parametrize("n_references", [1, 5, 14, 16])
def test_the_quietest_set_is_the_searchs(n_references):
    rng = np.random.default_rng(n_references)
    n, w = 90, rng.uniform(0.3, 1, n_references)
    target, refs = rng.normal(size=n), rng.uniform(0.5, 3, (n_references, 1)) * rng.normal(size=(n_references, n))
    highpass = smoother(np.arange(n) / 2880)
    gram = inner_products(highpass.residual(target - refs)) / highpass.trace
    best = search(target, refs, weights=w, highpass=highpass, top=1)[0]
    assert quietest_set(gram, w) == best.mask


def test_of_many_references_a_local_optimum_is_taken():
    rng = np.random.default_rng(8)
    n, sigma = 200, rng.uniform(0.5, 3, 26)
    target, refs = rng.normal(size=n), sigma[:, None] * rng.normal(size=(26, n))
    highpass = smoother(np.arange(n) / 2880)
    gram = inner_products(highpass.residual(target - refs)) / highpass.trace
    found = set_noise2(gram, np.ones(26), np.array([quietest_set(gram, np.ones(26)), 2**26 - 1]))
    assert found[0] < 0.95 * found[1]
