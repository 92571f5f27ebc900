"""The leave-one-out check: figures against known truth, advice that is right on bad nights and silent on clean."""

import numpy as np
import pytest

from photdb.algorithms.noise import noise, smoother
from photdb.algorithms.references import advise, leave_one_out


def night(n_references, n=200, *, seed=0, err=(0.002, 0.03), fog=False):
    """Clean references of one night under clouds of up to 2 mag: magnitudes, errors, times."""
    rng = np.random.default_rng(seed)
    sigma = np.repeat(10 ** rng.uniform(*np.log10(err), (n_references, 1)), n, axis=1)
    if fog:
        sigma[:, n - n // 10 :] *= np.linspace(1, 10, n // 10)
    cloud = 2 * np.abs(np.sin(np.arange(n) / 9))
    mags = rng.uniform(-13, -9, (n_references, 1)) + cloud + sigma * rng.normal(size=(n_references, n))
    return mags, sigma, 2458107.5 + np.arange(n) / 3 / n


def test_figures_are_those_of_the_curve_against_the_mean_of_the_others():
    mags, _, t = night(5)
    check = leave_one_out(mags, t)
    curve = mags[3] - np.mean(mags[[0, 1, 2, 4]], axis=0)
    assert check.scatter_mag[3] == pytest.approx(noise(curve, smoother(t)), rel=1e-10)
    assert check.n_frames == 200
    boxcar = leave_one_out(mags, t, window=11, degree=0)
    assert boxcar.scatter_mag[3] == pytest.approx(noise(curve, smoother(t, window=11, degree=0)), rel=1e-10)


def test_drift_is_that_of_the_reference_and_white_noise_has_none():
    drift2 = []
    for seed in range(60):
        mags, _, t = night(6, seed=seed, err=(0.01, 0.01))
        assert np.max(leave_one_out(mags, t).drift_mag) < 0.006
        mags[2] += 0.1 * (np.arange(200) / 199 - 0.5)
        drift2.append(leave_one_out(mags, t).drift_mag[2] ** 2)
    truth = 0.1 * np.std(np.arange(200) / 199)
    assert np.sqrt(np.mean(drift2)) == pytest.approx(truth, rel=0.02)  # 0.4 % from 60 nights; unbiased in the square


def test_worst_jump_has_its_sign_and_frame_whole_or_in_a_slow_crossing():
    mags, _, t = night(6, err=(0.002, 0.004))
    mags[1, 77] += 0.5
    mags[4, 120:130] -= 0.8 * np.sin(np.pi * np.arange(1, 11) / 11)
    check = leave_one_out(mags, t)
    assert check.worst_frame[[1, 4]].tolist() in ([77, 124], [77, 125])
    assert check.worst_jump_mag[[1, 4]] == pytest.approx([0.5, -0.8], abs=0.03)


def test_only_common_frames_count_and_frames_keep_their_indices():
    mags, _, t = night(4, err=(0.003, 0.003))
    mags[0, 30:40] = np.nan
    mags[2, 150] += 0.3
    check = leave_one_out(mags, t)
    assert check.n_frames == 190
    assert check.worst_frame[2] == 150
    assert np.all(np.isfinite(check.scatter_mag))


def test_one_or_two_references():
    mags, err, t = night(2)
    alone = leave_one_out(mags[:1], t)
    assert np.isnan([alone.scatter_mag[0], alone.drift_mag[0], alone.worst_jump_mag[0]]).all()
    assert alone.worst_frame.tolist() == [-1]
    assert advise(mags[:1], err[:1], t) == advise(mags[:0], err[:0], t) == []
    both = leave_one_out(mags, t)
    assert both.scatter_mag[0] == pytest.approx(both.scatter_mag[1], rel=1e-9)
    assert both.worst_jump_mag[0] == pytest.approx(-both.worst_jump_mag[1], rel=1e-9)
    assert advise(mags, err, t) == []
    mags[1, 50:60] += 0.7
    advice = advise(mags, err, t)
    assert [(a.reference, a.remove) for a in advice] == [(0, False), (1, False)]
    assert all("cannot be told which" in a.reason for a in advice)


@pytest.mark.parametrize("t", [np.zeros(0), np.zeros(1), np.arange(3.0)])
def test_too_few_frames_give_nan_and_no_advice(t):
    check = leave_one_out(np.zeros((4, len(t))), t)
    assert np.isnan(check.scatter_mag).all()
    assert np.isnan(check.drift_mag).all()
    assert advise(np.zeros((4, len(t))), np.full((4, len(t)), 0.01), t) == []
    lost = np.full((4, len(t)), np.nan)
    assert leave_one_out(lost, t).n_frames == 0
    assert advise(lost, lost, t) == []


@pytest.mark.parametrize("fog", [False, True])
@pytest.mark.parametrize("n", [22, 142])
def test_clean_nights_get_no_advice(n, fog):
    """At most 2 % of nights, of three to twelve references that differ by a factor of 15 in error."""
    advised = [advise(*night(3 + seed % 10, n, seed=seed, fog=fog)) for seed in range(100)]
    assert sum(map(bool, advised)) <= 2


def spoil(mags, how, rng):
    n = mags.shape[1]
    if how == "drifts":
        mags += 0.1 * np.linspace(0, 1, n)
    elif how == "scatters":
        mags += 0.06 * rng.normal(size=n)
    else:
        mags[:, 20 : 20 + n // 20] -= 0.8
    return mags


@pytest.mark.parametrize("how", ["drifts", "scatters", "jumps"])
@pytest.mark.parametrize("n_references", [3, 4, 8])
def test_the_bad_one_is_named_and_no_other(how, n_references):
    named, others = 0, 0
    for seed in range(25):
        mags, err, t = night(n_references, seed=seed, err=(0.003, 0.015))
        mags[1:2] = spoil(mags[1:2], how, np.random.default_rng(seed))
        advice = advise(mags, err, t)
        named += any(a.reference == 1 and a.remove and how in a.reason for a in advice)
        others += any(a.reference != 1 for a in advice)
    assert named == 25
    assert others <= 1


def test_two_bad_ones_are_both_named_the_worst_kind_first():
    mags, err, t = night(7, err=(0.003, 0.01))
    mags[5] += 0.08 * np.linspace(0, 1, 200)
    mags[0, 40:60] -= 0.8
    advice = advise(mags, err, t, numbers=range(1000, 1200))
    assert [(a.reference, a.remove) for a in advice] == [(0, True), (5, True)]
    assert "jumps by -0.8" in advice[0].reason
    assert advice[0].frames == tuple(range(40, 60))
    assert any(f"frame {k} " in advice[0].reason for k in range(1040, 1060))
    assert "drifts by 2" in advice[1].reason


def test_a_faint_reference_is_not_blamed_but_one_as_noisy_and_bright_is():
    mags, err, t = night(6, err=(0.003, 0.003))
    rng = np.random.default_rng(1)
    mags[2] += 0.03 * rng.normal(size=200)
    faint = err.copy()
    faint[2] = 0.03
    assert advise(mags, faint, t) == []
    (advice,) = advise(mags, err, t)
    assert (advice.reference, advice.remove) == (2, True)
    assert "scatters" in advice.reason


def test_a_single_hit_costs_the_frame_not_the_reference():
    mags, err, t = night(6, err=(0.003, 0.01))
    mags[4, 33] -= 0.4
    (advice,) = advise(mags, err, t)
    assert (advice.reference, advice.remove, advice.frames) == (4, False, (33,))


def test_a_reference_that_is_often_missing_is_named():
    mags, err, t = night(5)
    mags[3, 120:] = np.nan
    mags[:, 10:20] = np.nan  # no star's fault
    (advice,) = advise(mags, err, t)
    assert (advice.reference, advice.remove) == (3, True)
    assert advice.reason == "has no valid flux in 80 of 190 frames"


def test_two_references_are_always_left():
    mags, err, t = night(4, err=(0.003, 0.003))
    for i in range(4):
        mags[i] += 0.2 * np.sin(np.arange(200) / (20 + 7 * i))
    removed = [a.reference for a in advise(mags, err, t) if a.remove]
    assert len(removed) == 2
