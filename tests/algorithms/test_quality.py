"""Background, non-uniformity and the figures of a frame, against frames of known sky."""

import numpy as np
import pytest

from photdb.algorithms.background import Background, background
from photdb.algorithms.detection import detect_stars
from photdb.algorithms.flags import Flag
from photdb.algorithms.quality import frame_quality

TYPES = (np.uint16, np.int16, np.int32, np.float32, np.float64)


def noise(shape=(512, 640), *, level=1000.3, scatter=20.0, seed=1, dtype=np.uint16):
    pixels = np.random.default_rng(seed).normal(level, scatter, shape)
    return pixels.astype(dtype) if np.dtype(dtype).kind == "f" else np.rint(pixels).astype(dtype)


def quality(pixels, **options):
    sky = background(pixels)
    stars = detect_stars(pixels, sky, saturation_adu=options.get("saturation_adu"))
    return frame_quality(pixels, sky, stars, **options)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("scatter", [2.0, 30.0])
def test_background_of_white_noise(dtype, scatter):
    sky = background(noise(scatter=scatter, dtype=dtype))
    assert sky.background_adu == pytest.approx(1000.3, abs=0.03 * scatter)
    assert sky.background_scatter_adu == pytest.approx(scatter, rel=0.03)
    assert np.std(sky.level_adu) < 0.1 * scatter
    assert np.std(sky.scatter_adu) < 0.06 * scatter


def test_background_resolves_fractions_of_an_adu():
    sky = background(noise(level=100.3, scatter=0.6))
    assert sky.background_adu == pytest.approx(100.3, abs=0.1)
    assert sky.background_scatter_adu == pytest.approx(np.hypot(0.6, np.sqrt(1 / 12)), rel=0.1)


def test_background_ignores_stars_hot_pixels_a_trail_and_dead_rows():
    pixels = noise()
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:512, :640]
    for x0, y0, flux in rng.uniform((0, 0, 3), (640, 512, 6.5), (60, 3)):
        near = (slice(max(0, int(y0) - 15), int(y0) + 16), slice(max(0, int(x0) - 15), int(x0) + 16))
        star = 10**flux / 14 * np.exp(-((x[near] - x0) ** 2 + (y[near] - y0) ** 2) / 4.5)
        pixels[near] = np.minimum(pixels[near] + star, 65535)
    pixels[rng.integers(0, 512, 500), rng.integers(0, 640, 500)] = 60000
    pixels[np.abs(x - 1.1 * y + 20) < 3] += 500
    pixels[:8] //= 2
    pixels[:, :2] = 0
    sky = background(pixels)
    assert sky.background_adu == pytest.approx(1000.3, abs=2.0)  # 0.1 scatters
    assert sky.background_scatter_adu == pytest.approx(20.0, rel=0.05)
    # The worst tile lies under the brightest stars: still within half a scatter.
    assert np.abs(sky.level_adu - 1000.3).max() < 10.0
    assert quality(pixels).nonuniformity_adu < 4.0


def level_of(sky, shape):
    """Interpolate the level at every pixel, from the tables that the search for stars takes."""
    (tiles_y, part_y), (tiles_x, part_x) = sky.between(shape)
    rows = (1 - part_y)[:, None] * sky.level_adu[tiles_y[0]] + part_y[:, None] * sky.level_adu[tiles_y[1]]
    return (1 - part_x) * rows[:, tiles_x[0]] + part_x * rows[:, tiles_x[1]]


def test_background_follows_a_gradient_to_the_edges():
    y, x = np.mgrid[:512, :640]
    plane = 2000 + 1.5 * x - 0.7 * y
    pixels = np.rint(plane + noise(level=0, dtype=np.float64)).astype(np.int32)
    sky = background(pixels)
    x, y = np.array([0, 5, 300, 639]), np.array([511, 3, 200, 0])
    assert level_of(sky, pixels.shape)[y, x] == pytest.approx(plane[y, x], abs=8.0)
    assert sky.scatter_adu == pytest.approx(20.0, rel=0.15)
    assert sky.background_scatter_adu == pytest.approx(20.0, rel=0.03)


def test_map_is_exact_at_the_centres_of_tiles():
    sky = Background(np.array([[1.0, 2.0], [3.0, 5.0]]), np.ones((2, 2)), 10, 20, 2.5, 1.0)
    level = level_of(sky, (40, 20))  # a centre is between four pixels
    for y, x, value in ((9, 4, 1.0), (29, 14, 5.0), (19, 9, 2.75)):
        assert level[y : y + 2, x : x + 2].mean() == pytest.approx(value, rel=1e-12)


def test_background_without_pixels_in_some_tiles():
    pixels = noise(dtype=np.float32)
    pixels[100:300, 100:300] = np.nan
    pixels[400, ::2] = np.inf
    sky = background(pixels)
    assert np.isfinite(sky.level_adu).all()
    assert np.abs(sky.level_adu - 1000.3).max() < 8.0


@pytest.mark.parametrize("shape", [(0, 10), (10,), (2, 3, 4)])
def test_background_refuses_what_is_no_frame(shape):
    with pytest.raises(ValueError, match="two-dimensional"):
        background(np.zeros(shape))


def test_nonuniformity_of_a_uniform_frame_is_small():
    figures = [quality(noise((1024, 1280), scatter=20.0, seed=seed)).nonuniformity_adu for seed in range(5)]
    assert np.mean(figures) < 0.07 * 20.0
    assert max(figures) < 0.12 * 20.0


def test_nonuniformity_is_the_difference_of_areas():
    pixels = noise()
    pixels[:, :220] += 50  # the left third
    assert quality(pixels).nonuniformity_adu == pytest.approx(50.0, abs=3.0)


def test_dead_rows_at_the_bottom_are_no_gradient():
    pixels = noise((500, 650))
    pixels[:10] = 300
    assert quality(pixels).nonuniformity_adu < 4.0


@pytest.mark.parametrize("dtype", TYPES)
def test_range_and_saturated_pixels(dtype):
    pixels = noise(dtype=dtype)
    pixels[3, 4], pixels[7, 8] = 5, 30000
    pixels[200:203, 300] = 31000
    figures = quality(pixels, saturation_adu=29999.5)
    assert (figures.min_adu, figures.max_adu, figures.range_adu) == (5.0, 31000.0, 30995.0)
    assert figures.n_saturated_px == 4
    assert figures.n_nonfinite_px == 0
    assert figures.flags == Flag.NO_STARS


def test_nonfinite_pixels_are_counted_and_ignored():
    pixels = noise(dtype=np.float32)
    pixels[10:12, 20:25] = np.nan
    pixels[100, 100], pixels[100, 200] = np.inf, -np.inf
    pixels[50, 50] = 40000
    figures = quality(pixels, saturation_adu=30000)
    assert figures.n_nonfinite_px == 12
    assert figures.max_adu == 40000.0
    assert figures.n_saturated_px == 1
    assert figures.background_adu == pytest.approx(1000.3, abs=1.0)
    assert Flag.NONFINITE in figures.flags


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 70), (32, 32), (200, 100)])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_constant_frames(shape, dtype):
    figures = quality(np.full(shape, 7, dtype))
    assert figures.flags == Flag.NO_STARS | Flag.CONSTANT
    assert figures.background_adu == 7.0
    assert figures.range_adu == figures.nonuniformity_adu == 0.0
    assert np.isnan(figures.fwhm_px)


@pytest.mark.parametrize("shape", [(1, 1), (32, 32), (200, 100)])
def test_frames_without_a_finite_pixel(shape):
    figures = quality(np.full(shape, np.nan))
    assert figures.flags == Flag.NO_STARS | Flag.NONFINITE
    assert figures.n_nonfinite_px == shape[0] * shape[1]
    assert np.isnan([figures.min_adu, figures.range_adu, figures.background_adu, figures.nonuniformity_adu]).all()


def test_region_limits_all_figures():
    pixels = noise()
    pixels[:, 320:] += 300
    pixels[10, 500], pixels[20, 100] = 50000, 9000
    y, x = np.mgrid[:512, :640]
    for x0, y0 in ((100, 100), (200, 300), (500, 400)):
        pixels += np.rint(5000 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 4.5)).astype(np.uint16)
    whole, left = quality(pixels, saturation_adu=40000), quality(pixels, region=(0, 0, 319, 511), saturation_adu=40000)
    assert (whole.n_stars, left.n_stars) == (3, 2)
    assert (whole.n_saturated_px, left.n_saturated_px) == (1, 0)
    assert (whole.max_adu, left.max_adu) == (50000, 9000)
    assert left.background_adu == pytest.approx(1000.3, abs=1.0)
    assert whole.nonuniformity_adu > 290 > 4.0 > left.nonuniformity_adu
    assert left.fwhm_px == pytest.approx(1.5 * 2.3548, rel=0.02)
    # The edges of the region belong to it, and what lies outside the frame is ignored.
    assert quality(pixels, region=(500, 10, 500, 10)).max_adu == 50000
    assert quality(pixels, region=(-50, -50, 9999, 9999)) == quality(pixels)


@pytest.mark.parametrize("region", [(640, 0, 700, 10), (10, 10, 9, 20), (-20, -20, -1, -1)])
def test_region_without_pixels(region):
    with pytest.raises(ValueError, match="region"):
        quality(noise(), region=region)
