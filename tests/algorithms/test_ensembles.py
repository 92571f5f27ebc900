"""Least-noise weights against the optimum of known covariances, and the jackknife against drifts of known size."""

import numpy as np
import pytest

from photdb.algorithms.ensembles import jackknife, least_noise_weights
from photdb.algorithms.noise import smoother
from photdb.algorithms.references import leave_one_out

N = 142
T = np.arange(N) * 180 / 86400
HIGHPASS = smoother(T)


SIGMA_T = 0.003


def drawn(rng, covariance, n=N):
    """A target and references of that covariance, under clouds."""
    cloud = 2 * np.abs(rng.normal(size=n))
    refs = np.linalg.cholesky(covariance) @ rng.normal(size=(len(covariance), n))
    return SIGMA_T * rng.normal(size=n) + cloud, refs + cloud


def noise_of(weights, covariance):
    """True noise of a curve."""
    w = weights / weights.sum()
    return np.sqrt(SIGMA_T**2 + w @ covariance @ w)


def above_the_least(covariance, *, n, seed, runs=50):
    """True noise of curves with the weights found, over the least there can be; and that of the plain mean."""
    rng, highpass = np.random.default_rng(seed), smoother(np.arange(n) / 480)
    least = np.sqrt(SIGMA_T**2 + 1 / np.sum(np.linalg.inv(covariance)))
    found = [noise_of(least_noise_weights(*drawn(rng, covariance, n), highpass), covariance) for _ in range(runs)]
    return np.mean(found) / least, noise_of(np.ones(len(covariance)), covariance) / least


@pytest.mark.parametrize(("n", "most"), [(60, 1.05), (142, 1.03)])
def test_independent_references_get_their_inverse_variances(n, most):
    sigma = np.array([0.003, 0.004, 0.005, 0.006, 0.008, 0.012, 0.020, 0.030])
    found, plain = above_the_least(np.diag(sigma**2), n=n, seed=1)
    assert 1 < found < most
    assert plain > 1.5


@pytest.mark.parametrize("n", [60, 142])
def test_where_the_mean_is_the_best_next_to_nothing_is_lost(n):
    assert above_the_least(np.diag(np.full(10, 0.006**2)), n=n, seed=2)[0] < 1.015


def test_variation_that_references_share_is_allowed_for():
    sigma, shared = np.array([4, 4, 4, 5, 6, 6]) * 1e-3, np.array([1, 1, 1, 0, 0, 0]) * 0.008
    covariance = np.diag(sigma**2) + np.outer(shared, shared)  # three stars in a corner that flickers
    found, plain = above_the_least(covariance, n=142, seed=3)
    assert found < 1.03
    assert plain > 1.25


def test_weights_are_positive_and_a_hopeless_reference_gets_next_to_none():
    rng = np.random.default_rng(3)
    sigma = np.array([0.004, 0.004, 0.005, 0.2])
    weights = least_noise_weights(*drawn(rng, np.diag(sigma**2)), HIGHPASS)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(4)
    assert weights[3] < 0.02
    target, refs = drawn(rng, np.diag([0.004**2, 0.03**2]), 400)
    assert least_noise_weights(target, refs, smoother(np.arange(400) / 480))[0] > 1.8
    assert least_noise_weights(target[:N], refs[:1, :N], HIGHPASS).tolist() == [1]
    assert least_noise_weights(np.zeros(N), np.zeros((3, N)), HIGHPASS).tolist() == [1, 1, 1]


def test_weights_of_a_half_know_nothing_of_the_other():
    rng, highpass = np.random.default_rng(4), smoother(T, breaks=[70])
    target, refs = rng.normal(size=N), rng.normal(size=(5, N))
    frames = np.arange(N) < 70
    one = least_noise_weights(target, refs, highpass, frames=frames)
    other = least_noise_weights(target, np.where(frames, refs, 9 * rng.normal(size=(5, N))), highpass, frames=frames)
    assert one == pytest.approx(other, rel=1e-9)
    assert np.ptp(one) > 0.1


def test_the_jackknife_is_the_drift_that_one_reference_brings_in():
    rng = np.random.default_rng(5)
    drift = 0.02 * np.sin(2 * np.pi * np.arange(N) / N)
    refs = np.zeros((5, N))
    refs[2] = drift
    clean = jackknife(refs, np.ones(5), T)
    # the jackknife of one deviation among k: 1/k of it, as it is in the mean
    assert clean == pytest.approx(np.std(drift) / 5, rel=0.05)
    noisy = [jackknife(refs + 0.004 * rng.normal(size=(5, N)), np.ones(5), T) for _ in range(40)]
    assert np.mean(noisy) == pytest.approx(clean, rel=0.1)
    none = [jackknife(0.004 * rng.normal(size=(5, N)), np.ones(5), T) for _ in range(40)]
    assert np.mean(none) < 0.1 * clean
    assert np.isnan(jackknife(refs[:1], np.ones(1), T))


def test_with_equal_weights_it_is_the_references_drift_scaled():
    rng = np.random.default_rng(6)
    refs = np.cumsum(rng.normal(0, 0.002, (6, N)), axis=1)
    drifts = leave_one_out(refs, T).drift_mag
    assert jackknife(refs, np.full(6, 3.0), T) == pytest.approx(np.sqrt(np.mean(drifts**2) * 5) / 6, rel=1e-6)
