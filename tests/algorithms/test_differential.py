"""Magnitudes, ensembles, the high-pass operator and the noise it defines, against definitions and Monte Carlo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from photdb.algorithms.differential import (
    differential_error,
    differential_magnitude,
    ensemble_magnitude,
    instrumental_magnitude,
    magnitude_error,
    reference_weights,
)
from photdb.algorithms.noise import noise, robust_noise, smoother

CADENCE_D = 30 / 86400


def times(n, *, gaps=(), seed=0):
    """A night's times: jittered cadence, a gap of 20 cadences before each of the frames named."""
    rng = np.random.default_rng(seed)
    steps = CADENCE_D * rng.uniform(0.8, 1.2, n)
    steps[list(gaps)] = 20 * CADENCE_D
    return 2458107.5 + np.cumsum(steps)


def dense(highpass):
    """The matrix R of a high-pass."""
    return highpass.residual(np.eye(len(highpass.index))).T


def test_magnitudes_of_what_has_none_are_nan():
    flux = np.array([100.0, 1.0, 0.0, -3.0, np.nan])
    assert instrumental_magnitude(flux) == pytest.approx([-5.0, 0.0, np.nan, np.nan, np.nan], nan_ok=True, abs=1e-15)
    err = magnitude_error(flux, np.ones(5))
    assert err == pytest.approx([0.010857362, 1.0857362, np.nan, np.nan, np.nan], nan_ok=True, rel=1e-7)


def test_weights_are_those_of_the_design():
    flux = np.array([[100.0, 300.0, 200.0], [50.0, 10.0, 20.0]])
    err = np.array([[0.001, 0.003, 0.002], [0.02, 0.01, 0.04]])
    assert reference_weights("mean", flux, err).tolist() == [1.0, 1.0]
    assert reference_weights("flux", flux, err).tolist() == [200.0, 20.0]
    expected = [1 / (0.002**2 + 0.003**2), 1 / (0.02**2 + 0.003**2)]
    assert reference_weights("variance", flux, err, floor_mag=0.003) == pytest.approx(expected, rel=1e-14)
    with pytest.raises(ValueError, match="weighting must be one of"):
        reference_weights("best", flux, err)
    with pytest.raises(ValueError, match="no valid flux"):
        reference_weights("flux", -flux, err)


def test_ensemble_is_the_weighted_mean_and_misses_what_a_member_misses():
    rng = np.random.default_rng(1)
    refs, weights, target = rng.normal(size=(4, 5, 30)), rng.uniform(1, 9, (4, 5)), rng.normal(size=(4, 30))
    expected = np.average(refs, axis=1, weights=np.repeat(weights[:, :, None], 30, axis=2))
    assert ensemble_magnitude(refs, weights) == pytest.approx(expected, abs=1e-14)
    assert differential_magnitude(target, refs, weights) == pytest.approx(target - expected, abs=1e-14)
    refs[2, 3, 7] = np.nan
    assert np.argwhere(np.isnan(ensemble_magnitude(refs, weights))).tolist() == [[2, 7]]
    with pytest.raises(ValueError, match="at least one reference"):
        ensemble_magnitude(np.empty((0, 30)), np.empty(0))


def test_flux_weights_give_the_sum_of_fluxes_to_first_order():
    rng = np.random.default_rng(2)
    flux = np.array([9e5, 3e5, 1e5])[:, None] * (1 + 0.005 * rng.normal(size=(3, 400)))
    ensemble = ensemble_magnitude(instrumental_magnitude(flux), np.median(flux, axis=1))
    difference = ensemble - instrumental_magnitude(np.sum(flux, axis=0))
    assert np.std(difference) < 3e-5  # of 5 mmag: second order is 0.005²


def test_differential_error_is_the_scatter_of_a_simulation():
    rng = np.random.default_rng(3)
    target_err, refs_err, weights = 0.01, np.array([0.02, 0.005, 0.03]), np.array([1.0, 4.0, 0.5])
    n = 40000
    target = target_err * rng.normal(size=n)
    curve = differential_magnitude(target, refs_err[:, None] * rng.normal(size=(3, n)), weights)
    err = differential_error(np.full(n, target_err), np.repeat(refs_err[:, None], n, axis=1), weights)
    assert np.std(curve) == pytest.approx(err[0], rel=0.015)  # 4 σ of 40000 draws
    assert np.ptp(err) == 0


@pytest.mark.parametrize(("window", "degree"), [(7, 2), (5, 1), (9, 4), (11, 3)])
def test_smoother_of_a_regular_series_is_savitzky_golay(window, degree):
    series = np.random.default_rng(4).normal(size=60)
    smooth = smoother(np.arange(60.0), window=window, degree=degree).smooth(series)
    assert smooth == pytest.approx(savgol_filter(series, window, degree, mode="interp"), abs=1e-12)


def test_boxcar_is_shortened_symmetrically_at_ends_and_gaps():
    t = np.r_[np.arange(12.0), 100 + np.arange(9.0)]
    series = np.random.default_rng(5).normal(size=21)
    expected = []
    for start, stop in ((0, 12), (12, 21)):
        for k in range(start, stop):
            half = min(5, k - start, stop - 1 - k)
            expected.append(np.mean(series[k - half : k + half + 1]))
    highpass = smoother(t, window=11, degree=0)
    assert highpass.smooth(series) == pytest.approx(np.array(expected), abs=1e-14)
    assert highpass.residual(series)[[0, 11, 12, 20]].tolist() == [0, 0, 0, 0]


@settings(max_examples=60)
@given(st.data())
def test_smoother_is_the_polynomial_through_the_nearest_frames_of_the_run(data):
    n = data.draw(st.integers(1, 30))
    window = data.draw(st.sampled_from([3, 5, 7, 9]))
    degree = data.draw(st.integers(1, min(3, window - 1)))
    gaps = data.draw(st.sets(st.integers(0, n - 1), max_size=3 if n > 15 else 0))
    t = times(n, gaps=gaps, seed=data.draw(st.integers(0, 99)))
    series = np.random.default_rng(n).normal(size=n)
    run = np.cumsum(np.diff(t, prepend=t[0]) > 10 * CADENCE_D)
    smooth = smoother(t, window=window, degree=degree).smooth(series)
    for k in range(n):
        same = np.flatnonzero(run == run[k])
        near = same[np.argsort(np.abs(t[same] - t[k]), kind="stable")[:window]]
        x = (t[near] - t[k]) / CADENCE_D
        design = np.vander(x, degree + 1, increasing=True)
        assert smooth[k] == pytest.approx(np.linalg.lstsq(design, series[near], rcond=None)[0][0], abs=1e-7)


@pytest.mark.parametrize(("window", "degree"), [(7, 2), (11, 0), (5, 1), (3, 2)])
def test_polynomials_leave_nothing_and_gaps_are_not_crossed(window, degree):
    t = times(60, gaps=(20, 45))
    x = (t - t[0]) / CADENCE_D
    highpass = smoother(t, window=window, degree=degree)
    curve = 3.0 + 0.1 * x + (0.01 * x**2 if degree == 2 else 0)
    if degree > 0:  # a running mean leaves a slope something where the cadence jitters
        assert np.max(np.abs(highpass.residual(curve))) < 1e-11
    bump = np.where((np.arange(60) >= 20) & (np.arange(60) < 45), 100.0, 0.0)
    assert np.max(np.abs(highpass.residual(bump))) < 1e-11


@pytest.mark.parametrize(("window", "degree", "gaps"), [(7, 2, ()), (7, 2, (2, 20, 25)), (11, 0, (30,)), (21, 3, (9,))])
def test_traces_are_those_of_the_matrix(window, degree, gaps):
    highpass = smoother(times(50, gaps=gaps), window=window, degree=degree)
    r = dense(highpass)
    a = r.T @ r
    assert highpass.trace == pytest.approx(np.trace(a), rel=1e-12)
    assert highpass.trace_a2 == pytest.approx(np.trace(a @ a), rel=1e-12)
    assert highpass.row_norm2 == pytest.approx(np.sum(r**2, axis=1), abs=1e-12)


@pytest.mark.parametrize(
    ("n", "window", "degree", "gaps"),
    [
        (8, 7, 2, ()),
        (22, 7, 2, ()),
        (60, 11, 0, (20, 22)),
        (60, 7, 2, (3, 6, 11, 40)),
        (100, 15, 4, (50,)),
        (30, 5, 1, (15,)),
    ],
)
def test_noise_is_unbiased_for_white_noise_and_its_error_is_the_formula(n, window, degree, gaps):
    highpass = smoother(times(n, gaps=gaps), window=window, degree=degree)
    draws = 6000
    figures = noise(0.01 * np.random.default_rng(6).normal(size=(draws, n)), highpass)
    spread = np.sqrt(2 * highpass.trace_a2) / highpass.trace  # of noise² for σ = 1
    assert np.mean(figures**2) == pytest.approx(1e-4, abs=3e-4 * spread / np.sqrt(draws))
    assert np.std(figures**2) == pytest.approx(1e-4 * spread, rel=0.08)
    # noise itself is the square root: to first order, so good where the error is small
    assert np.std(figures) / 0.01 == pytest.approx(highpass.relative_error, rel=0.04 + highpass.relative_error**2)


def test_an_asteroid_leaves_40_mmag_in_a_boxcar_and_1_4_in_the_quadratic():
    t = np.arange(22) * 4 / 1440
    phases = np.linspace(0, 2 * np.pi, 60, endpoint=False)[:, None]
    curves = 0.25 * np.sin(2 * np.pi * t * 24 / 1.79 + phases)  # 0.5 mag peak to peak, two maxima in 3.58 h
    left = [
        np.sqrt(np.mean(noise(curves, smoother(t, window=window, degree=degree)) ** 2))
        for window, degree in ((11, 0), (7, 2))
    ]
    assert left[0] == pytest.approx(0.040, abs=0.002)
    assert left[1] == pytest.approx(0.0014, abs=0.0002)


def test_robust_noise_is_right_for_white_noise_and_unmoved_by_an_outlier():
    highpass = smoother(times(142, gaps=(70,)))
    series = 0.005 * np.random.default_rng(7).normal(size=(2000, 142))
    assert np.mean(robust_noise(series, highpass)) == pytest.approx(0.005, rel=0.02)
    series[:, 60] += 0.1
    assert np.mean(noise(series, highpass)) > 0.0085
    assert np.mean(robust_noise(series, highpass)) == pytest.approx(0.005, rel=0.1)


@pytest.mark.parametrize("t", [[], [1.0], [1.0, 2.0, 3.0], [0.0, 0.1, 50.0, 50.1, 50.2, 100.0, 100.1]])
def test_too_few_frames_in_every_run_have_no_noise(t):
    highpass = smoother(t)
    assert highpass.trace == 0
    assert np.isnan(highpass.relative_error)
    series = np.random.default_rng(8).normal(size=(3, len(t)))
    assert np.isnan(noise(series, highpass)).tolist() == [True] * 3
    assert np.isnan(robust_noise(series, highpass)).tolist() == [True] * 3
    assert highpass.residual(series).tolist() == np.zeros((3, len(t))).tolist()


def test_equal_times_are_harmless():
    t = np.repeat(times(20), 2)
    series = np.random.default_rng(9).normal(size=(3000, 40))
    assert np.mean(noise(series, smoother(t)) ** 2) == pytest.approx(1.0, abs=0.02)
    flat = smoother(np.zeros(9))  # no time passes: only the mean can be fitted
    assert flat.smooth(np.arange(9.0))[4] == pytest.approx(4.0, abs=1e-14)
    assert flat.trace == pytest.approx(9 * 6 / 7, rel=1e-12)


def test_a_missing_value_spoils_no_more_than_its_windows():
    series = np.zeros(40)
    series[20] = np.nan
    assert np.flatnonzero(np.isnan(smoother(times(40)).residual(series))).tolist() == list(range(17, 24))
    series = np.zeros(12)
    series[11] = np.nan
    assert np.flatnonzero(np.isnan(smoother(np.arange(12.0), window=11, degree=0).residual(series))).tolist() == [
        *range(6, 12)
    ]


@pytest.mark.parametrize(
    ("t", "options", "sentence"),
    [
        ([0.0, 1.0], {"window": 6}, "window must be an odd number"),
        ([0.0, 1.0], {"window": -1}, "window must be an odd number"),
        ([0.0, 1.0], {"window": 3, "degree": 3}, "degree must be at least 0 and less than the window"),
        ([0.0, 1.0], {"degree": -1}, "degree must be at least 0"),
        ([1.0, 0.0], {}, "time order"),
        ([0.0, np.nan], {}, "finite"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(t, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        smoother(t, **options)


@pytest.mark.parametrize("n", [9, 142, 1388])
def test_bits_do_not_depend_on_the_batch(n):
    rng = np.random.default_rng(10)
    highpass = smoother(times(n))
    series = rng.normal(size=(23, n))
    weights, refs = rng.uniform(1, 9, (23, 5)), rng.normal(size=(23, 5, n))
    for kernel in (
        lambda s: highpass.residual(series[s]),
        lambda s: noise(series[s], highpass),
        lambda s: robust_noise(series[s], highpass),
        lambda s: noise(np.asfortranarray(series[s]), highpass),
        lambda s: differential_magnitude(series[s], refs[s], weights[s]),
        lambda s: differential_error(series[s], refs[s], weights[s]),
    ):
        whole = kernel(slice(None))
        for size in (1, 7):
            parts = [kernel(slice(first, first + size)) for first in range(0, 23, size)]
            assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert noise(np.asfortranarray(series), highpass).tobytes() == noise(series, highpass).tobytes()


def test_a_window_longer_than_the_night_is_the_whole_night():
    t = times(20)
    series = np.random.default_rng(3).normal(0.0, 0.01, 20)
    for degree in (0, 2):
        huge, whole = smoother(t, window=10**7 + 1, degree=degree), smoother(t, window=21, degree=degree)
        np.testing.assert_array_equal(huge.residual(series), whole.residual(series))
