"""Warnings where a search would eat a signal: said when it is so, silent when all is well."""

import numpy as np
import pytest

from photdb.algorithms.doubts import doubts, signal_leak, variation_left, worse_for_terms
from photdb.algorithms.noise import noise, smoother

N = 142
T = np.arange(N) * 180 / 86400
HIGHPASS = smoother(T)
SIGMA = 0.004


def said(target, refs, *, holdout=None, highpass=HIGHPASS, chosen=slice(None)):
    curve = target - refs[chosen].mean(axis=0)
    figure = float(noise(curve, highpass))
    return doubts(target, refs, curve, highpass, noise_mag=figure, holdout_mag=holdout, holdout_err=0.07, window=7)


def references(rng, n=6):
    return np.abs(rng.normal(size=N)) + SIGMA * rng.normal(size=(n, N))


@pytest.mark.parametrize("period", [142, 60, 30])
def test_a_slow_signal_is_no_reason_for_doubt(period):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        refs = references(rng)
        cloud = refs.mean(axis=0) - (refs - refs.mean(axis=0)).mean(axis=0)
        target = cloud + SIGMA * rng.normal(size=N) + 0.05 * np.sin(2 * np.pi * np.arange(N) / period)
        assert said(target, refs) == []


@pytest.mark.parametrize(("period", "amplitude"), [(8, 0.03), (10, 0.1), (12, 0.2)])
def test_a_signal_that_the_window_lets_through_is_said_with_its_size(period, amplitude):
    rng = np.random.default_rng(period)
    refs = references(rng)
    signal = amplitude * np.sin(2 * np.pi * np.arange(N) / period)
    target = refs.mean(axis=0) + SIGMA * rng.normal(size=N) + signal
    true = float(noise(signal, HIGHPASS))  # what the signal alone puts into the figure
    leak = signal_leak(signal + SIGMA * rng.normal(size=N), HIGHPASS, float(np.hypot(SIGMA, true)))
    assert leak.significant
    assert 0.2 * true < leak.leak_mag < 1.1 * true
    (text,) = said(target, refs)
    assert "count as noise" in text
    assert "smaller --window than 7" in text


def test_an_ensemble_that_varies_with_the_target_is_said():
    rng = np.random.default_rng(3)
    refs = references(rng)
    signal = 0.03 * np.sin(2 * np.pi * np.arange(N) / 90)
    cloud = np.median(refs, axis=0)
    refs[:2] += 0.6 * signal
    target = cloud + SIGMA * rng.normal(size=N) + signal
    left, variation = variation_left(target, refs, target - refs[:2].mean(axis=0), HIGHPASS)
    assert left == pytest.approx(0.45, abs=0.06)
    assert 0.6 * 0.03 < variation * np.sqrt(2) < 0.03  # the median of six knows of two
    (text,) = said(target, refs, chosen=slice(0, 2))
    assert "% of the target's variation away" in text
    assert said(target, refs, chosen=slice(2, None)) == []


def test_a_winner_far_quieter_than_its_holdout_is_said():
    rng = np.random.default_rng(4)
    refs = references(rng)
    target = refs.mean(axis=0) + SIGMA * rng.normal(size=N)
    assert said(target, refs, holdout=1.1 * SIGMA) == []
    (text,) = said(target, refs, holdout=1.6 * SIGMA)
    assert "winner is lucky" in text


def test_terms_that_make_a_curve_noisier_are_said():
    assert worse_for_terms(0.0041, 0.0040, 0.08) == []
    (text,) = worse_for_terms(0.0200, 0.00243, 0.08)
    assert "without it the noise is 2.43 mmag" in text
