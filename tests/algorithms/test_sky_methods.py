"""Skies as median, mode and plane against the truth: clean, sloping, cut off by the edge, crowded."""

import numpy as np
import pytest

from photdb.algorithms.sky import SKY_FACTOR, ring_sky

HALF = 22
YY, XX = np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1]
N = 1500


def skies(stack, dx=0.2, dy=-0.1):
    x, y = np.full(len(stack), HALF + dx), np.full(len(stack), HALF + dy)
    return {m: ring_sky(stack, np.arange(len(stack)), x, y, inner_px=13, outer_px=20, method=m) for m in SKY_FACTOR}


def clean(seed, n=N):
    return np.random.default_rng(seed).normal(500, 10, (n, *XX.shape))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clean_sky(dtype):
    """No bias; variances as the CCD equation takes them, to 12 % (three standard errors), scatter to 1 %."""
    for method, (sky, scatter, n_sky) in skies(np.rint(clean(1)).astype(dtype)).items():
        assert sky.mean() == pytest.approx(500, abs=3 * sky.std() / np.sqrt(N))
        assert sky.var() * n_sky.mean() / 100 == pytest.approx(SKY_FACTOR[method], rel=0.12)
        assert scatter.mean() == pytest.approx(10, rel=0.01)


def test_a_slope_is_followed_by_the_plane_even_where_the_ring_is_cut_off():
    """1 ADU/px across, half of the ring off the frame on one side."""
    stack = clean(2) + (1.0 * XX + 0.5 * YY)
    stack[:, :, HALF + 12 :] = np.nan
    found = skies(stack)
    true = 500 + 1.0 * 0.2 - 0.5 * 0.1
    sky, scatter, n_sky = found["plane"]
    assert sky.mean() == pytest.approx(true, abs=0.1)
    assert scatter.mean() == pytest.approx(10, rel=0.01)
    assert sky.var() * n_sky.mean() / 100 == pytest.approx(1.0, rel=0.12)  # so few pixels would have that in a mean
    assert found["median"][0].mean() < true - 4
    assert found["median"][1].mean() > 13  # it takes the slope for scatter


def test_the_mode_is_least_deceived_by_faint_stars():
    rng = np.random.default_rng(3)
    stack = clean(4, 300)
    for pixels in stack:
        for x, y, flux in zip(*rng.uniform(-HALF, HALF, (2, 40)), 10 ** rng.uniform(1.5, 3.5, 40), strict=True):
            pixels += flux / 11.6 * np.exp(-((XX - x) ** 2 + (YY - y) ** 2) / 3.7)
    bias = {method: sky.mean() - 500 for method, (sky, *_) in skies(stack).items()}
    assert bias["mode"] < 0.75 * bias["median"] < 0.75 * bias["plane"]
    assert bias["mode"] < 0.25 * 10


def test_bits_do_not_depend_on_company():
    stack = clean(5, 11).astype(np.float32)
    whole = skies(stack)
    for k in range(11):
        for method, found in skies(stack[k : k + 1]).items():
            assert [v[0] for v in found] == [v[k] for v in whole[method]]


def test_too_few_pixels_are_no_sky():
    stack = np.full((3, *XX.shape), np.nan)
    stack[1, HALF + 15, :] = 7.0  # in a line: no plane
    stack[2] = 5.0  # all the same
    for method, (sky, scatter, n_sky) in skies(stack).items():
        assert np.isnan(sky[0])
        assert n_sky[0] == 0
        assert (sky[2], scatter[2]) == (5.0, 0.0), method
    assert np.isnan(skies(stack)["plane"][0][1])
