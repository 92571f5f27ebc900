"""Gain and read noise from skies with known ones: whatever is fixed to the pixels, and where it cannot be told."""

import numpy as np
import pytest

from photdb.algorithms.photon_transfer import estimate_camera, pair_noise

SHAPE = (192, 224)


def pairs(seed=1, *, gain=1.5, read=5.0, sky=(500.0, 650.0), pedestal=0.0, prnu=0.0, vignette=0.0, flat=False, n=24):
    """Frames two by two of a sky that brightens, with stars that drift, through optics and pixels of one response."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    shade = 1.0 - vignette * ((x - 112.0) ** 2 + (y - 96.0) ** 2) / 112.0**2 / 2.0
    response = shade * (1.0 + prnu * rng.normal(size=SHAPE))
    response /= response.mean()
    stars = rng.uniform(0, 1, (12, 2)) * SHAPE[::-1], 10.0 ** rng.uniform(2.5, 4.8, 12)
    for level in np.linspace(*sky, n):
        two = []
        for _ in range(2):
            drift, width = rng.normal(0, 1.0, 2), rng.uniform(1.2, 1.5)
            light = np.full(SHAPE, level)
            for (sx, sy), flux in zip(*stars, strict=True):
                away = (x - sx - drift[0]) ** 2 + (y - sy - drift[1]) ** 2
                light += flux / (2 * np.pi * width**2) * np.exp(-away / (2 * width**2))
            electrons = rng.poisson(light * response * gain) + rng.normal(0, read, SHAPE)
            adu = electrons / gain / (response if flat else 1.0) + pedestal
            two.append(np.rint(adu).astype(np.int32))
        yield two


def estimate(**how):
    return estimate_camera([pair_noise(*two) for two in pairs(**how)])


@pytest.mark.parametrize(
    "how",
    [
        {"gain": 0.4},
        {"gain": 10.0, "read": 0.0},
        {"prnu": 0.02, "vignette": 0.4},
        {"prnu": 0.02, "vignette": 0.4, "flat": True},
        {"pedestal": 300.0},
        {"sky": (5000.0, 6500.0), "prnu": 0.01},
        {"sky": (20.0, 30.0), "read": 8.0},
    ],
    ids=["low", "high, no read noise", "not flat-fielded", "flat-fielded", "pedestal", "bright", "dark"],
)
def test_the_gain_is_right_within_its_error(how):
    truth = how.get("gain", 1.5)
    found = estimate(**how)
    assert found.gain_err_e_per_adu < 0.05 * truth
    assert found.gain_e_per_adu == pytest.approx(truth, abs=3.0 * found.gain_err_e_per_adu)


def test_errors_are_as_stated():
    """Over ten nights the deviations are as large as their errors say: 1 ± 0.3 of them, rms."""
    found = [estimate(seed=seed, n=12) for seed in range(10)]
    pull = [(c.gain_e_per_adu - 1.5) / c.gain_err_e_per_adu for c in found]
    assert 0.6 < np.sqrt(np.mean(np.square(pull))) < 1.4


def test_the_read_noise_is_told_of_dark_skies_without_a_pedestal_and_else_left_out():
    dark = estimate(sky=(20.0, 30.0), read=8.0)
    assert dark.read_noise_err_e < 0.8
    assert dark.read_noise_e == pytest.approx(8.0, abs=3 * dark.read_noise_err_e)
    pedestal = estimate(pedestal=300.0)
    assert (pedestal.read_noise_e, pedestal.read_noise_err_e) == (None, None)
    assert pedestal.message == "the read noise cannot be told from the sky"


def test_where_the_frames_cannot_tell_they_say_so():
    still = estimate(sky=(500.0, 500.0))
    assert still.gain_e_per_adu is None
    assert "the level of the sky varies too little" in still.message or "does not rise" in still.message
    assert "2 pairs of like frames, and 6 are needed" in estimate(n=2).message
    # each pixel the mean of itself and its neighbour, as by a shift of half a pixel
    resampled = [[(f + np.roll(f, 1, axis=1)) / 2.0 for f in two] for two in pairs()]
    assert "not independent (correlation 0.2" in estimate_camera([pair_noise(*two) for two in resampled]).message
    empty = [[np.full(SHAPE, 100, np.int16)] * 2] * 8
    assert "no noise above the rounding" in estimate_camera([pair_noise(*two) for two in empty]).message


def test_a_frame_smaller_than_a_tile_is_no_use():
    small = np.ones((20, 20))
    assert estimate_camera([pair_noise(small, small)] * 8).gain_e_per_adu is None
