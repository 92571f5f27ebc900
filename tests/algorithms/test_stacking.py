"""Stacks: frames carried into each other's pixels, clipped means, low quantiles, and the hot pixels in them."""

import numpy as np
import pytest

from photdb.algorithms.background import background
from photdb.algorithms.stacking import (
    choose_frames,
    clipped_mean,
    dark,
    hot_pixels,
    mask_circles,
    placed,
    resampled,
    rows_needed,
    stars_drift,
    without_sky,
)
from photdb.algorithms.transform import to_frame

SHIFT = {"dx_px": 3.3, "dy_px": -4.6, "rotation_deg": 180.4, "scale": 1.0004}
SIZE = {"width_px": 90, "height_px": 70}


def test_resampled_pixels_are_those_where_the_shift_says() -> None:
    grid_y, grid_x = np.mgrid[:70, :90].astype(np.float32)
    slope = 5.0 + 0.25 * grid_x - 0.5 * grid_y  # what bilinear interpolation keeps exactly
    shape = (20, 30)
    at = placed(**SHIFT, **SIZE, x_px=11, y_px=17)
    first, after = rows_needed(at, shape, 70)
    assert 0 < first < after < 70, "not all rows are needed"
    out = resampled(slope[first:after].copy(), first, at, shape, 2.0)
    iy, ix = np.mgrid[17 : 17 + 20, 11 : 11 + 30]
    there = to_frame(np.stack([ix.ravel(), iy.ravel()], axis=1).astype(float), **SHIFT, **SIZE)
    expected = 2.0 * (5.0 + 0.25 * there[:, 0] - 0.5 * there[:, 1]).reshape(shape)
    np.testing.assert_allclose(out, expected, atol=2e-4)


def test_what_lies_off_the_frame_is_not_known() -> None:
    at = placed(dx_px=0.0, dy_px=0.0, rotation_deg=0.0, scale=1.0, **SIZE, x_px=-5, y_px=-3)
    out = resampled(np.ones((70, 90), np.float32), 0, at, (20, 20), 1.0)
    assert np.isnan(out[:3]).all()
    assert np.isnan(out[:, :5]).all()
    assert (out[3:, 5:] == 1.0).all()


def test_a_clipped_mean_is_a_mean_without_what_is_far_off() -> None:
    rng = np.random.default_rng(1)
    stack = rng.normal(100.0, 10.0, (30, 40, 50)).astype(np.float32)
    plain, _ = clipped_mean(stack)
    # 3 σ of normal data cut 0.3 % of them: the error stays that of a mean of 30, 1.83
    assert np.std(plain) == pytest.approx(10.0 / np.sqrt(30), rel=0.05)
    stack[3, 5, 6], stack[4, 5, 6], stack[:28, 7, 7] = 5000.0, -900.0, np.nan
    mean, count = clipped_mean(stack)
    assert abs(mean[5, 6] - 100.0) < 8.0
    assert count[5, 6] <= 28
    assert np.isnan(mean[7, 7])
    assert count[7, 7] == 0
    two = dark(stack)
    expected = np.nanquantile(stack, [0.3, 0.1], axis=0)
    known = np.isfinite(stack).sum(axis=0) >= 3
    np.testing.assert_allclose(two[:, known], expected[:, known], rtol=1e-5)


def test_hot_pixels_are_told_from_stars_that_linger() -> None:
    rng = np.random.default_rng(2)
    n, size = 30, 80
    frames = rng.normal(300.0, 15.0, (n, size, size))
    grid_y, grid_x = np.mgrid[:size, :size]
    for i in range(n):  # a bright star that is about one place in half of the frames
        x = 40.0 + rng.normal(0, 0.5) + (0.0 if i % 2 else i)
        frames[i] += 20_000.0 * np.exp(-0.5 * ((grid_x - x) ** 2 + (grid_y - 40.0) ** 2) / 1.4**2)
    hot = {(10, 20): 120.0, (60, 70): 4000.0, (61, 70): 500.0, (45, 12): 200.0}
    for (x, y), adu in hot.items():
        frames[:, y, x] += adu
    pixels = frames.astype(np.float32)
    less = np.stack([without_sky(f, 0, background(f), f.shape) for f in pixels])
    x, y, adu = hot_pixels(dark(less))
    found = dict(zip(zip(x.tolist(), y.tolist(), strict=True), adu.tolist(), strict=True))
    assert found.keys() == hot.keys()
    for pixel, height in found.items():
        assert height == pytest.approx(hot[pixel], abs=15.0)  # a low quantile: half a σ low


def test_stars_must_drift() -> None:
    still = np.full(20, 5.0)
    assert not stars_drift(still, still, 3.0)
    assert stars_drift(np.linspace(0, 30, 20), still, 3.0)


def test_frames_of_a_stack_have_usual_stars() -> None:
    light, fwhm, sky = np.ones(100), np.full(100, 3.0), np.full(100, 200.0)
    light[3], fwhm[50], sky[70] = 0.2, 6.0, 5000.0
    usable = np.arange(100) != 0
    chosen = choose_frames(light, fwhm, sky, usable, most=40)
    assert chosen.size == 40
    assert chosen[0] == 1
    assert chosen[-1] == 99
    assert not {0, 3, 50, 70} & set(choose_frames(light, fwhm, sky, usable, most=100).tolist())


def test_circles_are_masked_where_they_are_on_the_image() -> None:
    image = np.zeros((20, 20), np.float32)
    mask_circles(image, np.array([0.0, 30.0, np.nan]), np.array([10.0, 5.0, 1.0]), 3.0)
    grid_y, grid_x = np.mgrid[:20, :20]
    np.testing.assert_array_equal(np.isnan(image), np.hypot(grid_x, grid_y - 10.0) < 3.0)


@pytest.mark.parametrize("n", [3, 4, 7, 31, 33, 40])
def test_any_number_of_frames_is_sorted_in_every_pixel(n: int) -> None:
    stack = np.random.default_rng(n).normal(0.0, 10.0, (n, 2, 300)).astype(np.float32)  # more than a block of pixels
    stack[np.random.default_rng(n).random(stack.shape) < 0.1] = np.nan
    known = np.isfinite(stack).sum(axis=0) >= 3
    expected = np.nanquantile(stack[:, known].astype(np.float64), [0.3, 0.1], axis=0)
    np.testing.assert_allclose(dark(stack)[:, known], expected, rtol=1e-6, atol=1e-6)
    assert np.isnan(dark(stack)[:, ~known]).all()
    mean, count = clipped_mean(stack)
    for y, x in zip(*np.nonzero(known), strict=True):
        values = np.sort(stack[:, y, x][np.isfinite(stack[:, y, x])].astype(np.float64))
        k = int(0.1587 * values.size)
        used = np.abs(values - np.median(values)) <= 1.5 * (values[-1 - k] - values[k])
        assert count[y, x] == used.sum()
        assert mean[y, x] == pytest.approx(values[used].mean(), rel=1e-5, abs=1e-5)
