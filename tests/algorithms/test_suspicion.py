"""Fog, odd frames, outliers and excursions: found where they are, and never in what the star does itself."""

import numpy as np
import pytest

from photdb.algorithms.suspicion import excursions, foggy, odd, outliers


def times(n: int, cadence_d: float = 0.002) -> np.ndarray:
    return 2458000.5 + cadence_d * np.arange(n)


@pytest.mark.parametrize("where", [slice(180, 200), slice(0, 15), slice(90, 104)])
def test_fog_is_found_to_its_edges_and_extinction_is_none(where: slice) -> None:
    rng = np.random.default_rng(1)
    t = times(200)
    mag = 0.4 * ((t - t[50]) / 0.4) ** 2 + rng.normal(0, 0.01, 200)  # airmass through the night, and seeing
    assert not foggy(t, 10 ** (-0.4 * mag))[0].any()
    bank = np.zeros(200)
    bank[where] = np.sin(np.linspace(0.1, 3.0, where.stop - where.start)) * 1.2
    fog, lost = foggy(t, 10 ** (-0.4 * (mag + bank)))
    np.testing.assert_array_equal(fog, bank > 0.0)
    assert lost[fog].max() == pytest.approx(1.2, abs=0.1)


def test_odd_frames_are_far_from_all_others() -> None:
    width = 3.0 + 0.1 * np.random.default_rng(2).normal(size=60)
    assert not odd(width, factor=1.5).any()
    width[7] = 6.5
    assert np.flatnonzero(odd(width, factor=1.5)).tolist() == [7]
    assert not odd(np.array([1.0, 9.0]), factor=1.5).any(), "two frames have no usual"


def test_outliers_are_single_and_a_transit_is_none() -> None:
    rng = np.random.default_rng(3)
    t = times(142)
    err = np.full((142, 3), 0.005)
    own = np.where(np.abs(t - t[70]) < 0.04, 0.024, 0.0)  # as deep as HAT-P-32's, and sharper
    own += 0.2 * np.sin((t - t[0]) / 0.06)  # and an asteroid's turning
    false = 0
    for _ in range(40):
        mag = own[:, None] + rng.normal(0, 0.005, (142, 1)) + rng.normal(0, 0.001, (142, 3))
        false += int(outliers(t, mag, err).sum())
    assert false == 0
    mag[30] += 0.08
    mag[99] -= 0.06
    assert np.flatnonzero(outliers(t, mag, err)).tolist() == [30, 99]
    mag[50:53] += 0.15  # it lasts: a flare, an eclipse, or something that the observer should look at
    assert not outliers(t, mag, err)[48:56].any()


def test_excursions_depend_on_the_aperture_and_seeing_is_none() -> None:
    rng = np.random.default_rng(4)
    n, p = 120, 4
    seeing = 0.02 * np.sin(np.linspace(0, 20, n))[:, None] * np.array([1.0, 0.6, 0.2, 0.0])
    err = np.tile(0.003 * np.array([1.0, 1.1, 1.4, 2.0]), (n, 1))

    def star() -> np.ndarray:
        return seeing + rng.normal(0, 0.003, (n, 1)) + rng.normal(0, 0.0015, (n, p)) * np.array([0.3, 0.5, 1.0, 1.6])

    others = np.stack([star() for _ in range(5)], axis=1)
    mag = star() + 0.3 * np.sin(np.linspace(0, 6, n))[:, None]
    assert not excursions(mag, err, others).any()
    mag[60:63, 2:] -= 0.05
    found = excursions(mag, err, others)
    assert found[60:63, 2:].all()
    assert not found[:, :2].any()
    assert found.sum() == 6
    mag[60] = np.nan
    assert not excursions(mag, err, others)[60].any()
