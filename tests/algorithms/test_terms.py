"""Terms taken out of curves: operators against dense matrices, coefficients against truth, and what they eat."""

import numpy as np
import pytest

from photdb.algorithms.noise import gaps, noise, smoother, take_out
from photdb.algorithms.terms import detrending, joined, offsets, signal_left, term_errors

N = 142
T = 2458107.5 + np.arange(N) * 180 / 86400
AIRMASS = 1.0 + 0.8 * (np.linspace(-0.3, 1.0, N)) ** 2
EVERY = np.ones(N, bool)


def dense(highpass):
    return highpass.residual(np.eye(len(highpass.index))).T


@pytest.mark.parametrize("degree", [0, 2])
def test_figures_of_the_operator_are_those_of_its_matrix(degree):
    rng = np.random.default_rng(1)
    fwhm = rng.normal(3, 0.2, N)
    frames = rng.uniform(size=N) > 0.2
    stretch = (np.arange(N) >= 60).astype(int)
    terms = joined(
        offsets(["east", "west"], stretch, T, frames),
        detrending(["a", "f"], [AIRMASS, fwhm], frames, baseline=T < T[99]),
    )
    highpass = take_out(smoother(T[frames], degree=degree), terms.basis[:, frames], terms.fit)
    r = dense(highpass)
    assert highpass.trace == pytest.approx(np.sum(r**2), rel=1e-9)
    assert highpass.row_norm2 == pytest.approx(np.sum(r**2, axis=1), abs=1e-12)
    assert highpass.trace_a2 == pytest.approx(np.sum((r @ r.T) ** 2), rel=1e-9)
    m = rng.normal(size=(3, frames.sum()))
    assert highpass.residual(m) == pytest.approx(m @ r.T, abs=1e-12)
    # what is fitted leaves nothing, whatever its size
    there = terms.basis[:, frames]
    assert highpass.coefficients(m[0] + 5 * there[0] - 3 * there[2]) - highpass.coefficients(m[0]) == pytest.approx(
        [5, 0, -3], abs=1e-9
    )


def test_noise_of_white_noise_is_unbiased_when_terms_are_fitted():
    rng = np.random.default_rng(2)
    n = 40
    values = rng.normal(size=(5, n))
    terms = detrending("abcde", values, np.ones(n, bool))
    highpass = take_out(smoother(T[:n]), terms.basis, terms.fit)
    squares = noise(rng.normal(0, 0.003, (4000, n)), highpass) ** 2
    assert np.sqrt(squares.mean()) == pytest.approx(0.003, rel=0.01)
    assert squares.std() / squares.mean() / 2 == pytest.approx(highpass.relative_error, rel=0.06)


def test_a_drift_with_airmass_is_found_with_its_error():
    rng = np.random.default_rng(3)
    terms = detrending(["airmass"], [AIRMASS], EVERY)
    highpass = take_out(smoother(T), terms.basis, terms.fit)
    curves = 0.004 * rng.normal(size=(400, N)) + 0.030 * (AIRMASS - 1)
    found = highpass.coefficients(curves)[:, 0]
    truth = 0.030 * np.ptp(AIRMASS)
    errors = np.array([term_errors(terms, c, 0.004, lag=21)[0] for c in highpass.cleaned(curves)])
    assert found.mean() == pytest.approx(truth, abs=4 * found.std() / 20)
    # as large as it scatters; never smaller than for white noise, so a little larger at times
    assert 0.9 < np.median(errors) / found.std() < 1.25
    assert np.abs(highpass.cleaned(curves).mean(axis=0) - curves.mean()).max() < 0.0015


def test_what_a_fit_eats_of_a_signal_is_told_and_a_baseline_saves_it():
    dip = 0.02 * (np.abs((T - T[0]) / (T[-1] - T[0]) - 0.5) < 1 / 6)
    symmetric = np.linspace(-1, 1, N) ** 2
    terms = detrending(["airmass"], [symmetric], EVERY)
    wave, left = signal_left(terms, T)
    rest = take_out(smoother(T), terms.basis, terms.fit).cleaned(dip)
    depth = rest[dip > 0].mean() - rest[dip == 0].mean()
    assert left == pytest.approx(depth / 0.02, rel=1e-9)
    assert 0.4 < left < 0.5  # the correlation of a dip and a parabola
    assert 0.5 < wave < 0.8
    spared = detrending(["airmass"], [symmetric], EVERY, baseline=dip == 0)
    assert signal_left(spared, T)[1] == pytest.approx(1, abs=1e-12)
    rest = take_out(smoother(T), spared.basis, spared.fit).cleaned(dip + 0.05 * symmetric)
    assert rest[dip > 0].mean() - rest[dip == 0].mean() == pytest.approx(0.02, abs=1e-12)
    # the error knows of the signal that the fit took for airmass
    found = float((terms.fit @ dip)[0])
    (error,) = term_errors(terms, dip - found * terms.basis[0], 0.001, lag=21)
    assert 0.2 * abs(found) < error < 2 * abs(found)


@pytest.mark.parametrize("gap", [0, 6])
def test_an_offset_at_a_flip_is_found_whatever_the_slow_signal(gap):
    rng = np.random.default_rng(4)
    after = np.arange(N) >= 70
    t = T + after * gap * 180 / 86400
    assert gaps(t).sum() == (gap > 0)
    signal = 0.2 * np.sin(2 * np.pi * (t - t[0]) / 0.45)  # a rotation of 11 h
    terms = offsets(["east", "west"], after.astype(int), t, EVERY)
    assert terms.names == ("west",)
    highpass = take_out(smoother(t), terms.basis, terms.fit)
    curves = 0.004 * rng.normal(size=(300, N)) + signal + 0.05 * after
    found = highpass.coefficients(curves)[:, 0]
    (error,) = term_errors(terms, highpass.cleaned(curves[0]), 0.004, lag=21)
    assert found.std() == pytest.approx(error, rel=0.15)
    assert found.mean() == pytest.approx(0.05, abs=0.003 if gap else 0.001)
    assert error < (0.010 if gap else 0.004)
    assert signal_left(terms, t)[0] == pytest.approx(1, abs=0.15 if gap else 0.02)


def test_of_a_dip_that_no_frame_sees_nothing_is_taken():
    after = np.arange(N) >= 70
    t = T + after * 1.0  # the middle third of the night is the gap
    _, dip = signal_left(offsets(["a", "b"], after.astype(int), t, EVERY), t)
    assert dip == 1.0


def test_three_stretches_and_one_without_frames():
    stretch = np.repeat([0, 1, 2, 3], [40, 40, 22, 40])
    frames = stretch != 2
    terms = offsets("abcd", stretch, T, frames)
    assert terms.names == ("b", "d")
    assert np.isnan(terms.basis[:, stretch == 2]).all()
    curve = 0.1 * (T - T[0]) + np.array([0, 0.03, 9, -0.02])[stretch]
    assert terms.fit @ curve[frames] == pytest.approx([0.03, -0.02], abs=1e-10)
    assert len(offsets("abcd", np.zeros(N, int), T, EVERY).names) == 0


def test_terms_that_say_nothing_or_the_same_are_refused():
    with pytest.raises(ValueError, match="fwhm is the same in all frames"):
        detrending(["fwhm"], [np.full(N, 3.0)], EVERY)
    with pytest.raises(ValueError, match="one follows from the others"):
        detrending(["time", "x"], [T - T[0], 30 - 4 * (T - T[0])], EVERY)
    with pytest.raises(ValueError, match="2 terms cannot be fitted to 4 frames"):
        detrending(["a", "b"], np.random.default_rng(0).normal(size=(2, N)), np.arange(N) < 4)
    with pytest.raises(ValueError, match="too few frames around the step to west"):
        offsets(["east", "west"], [0, 0, 1], T[:3], EVERY[:3])
