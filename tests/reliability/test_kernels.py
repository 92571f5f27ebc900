"""The kernels, and what calls them, on pixels that no sky has; `fuzz_kernels` does the same under sanitizers."""

import io

import numpy as np
import pytest
from astropy.io import fits
from fuzz_kernels import look

from photdb.algorithms import candidate_kernels, frame_kernels, shape_kernels
from photdb.algorithms.sky import ring_sky

N_IMAGES = 400
#: The most that reading leaves in a frame.
MOST_ADU = 1e15


def test_odd_pixels_raise_nothing_and_warn_of_nothing() -> None:
    for seed in range(N_IMAGES):
        try:
            look(np.random.default_rng([7, seed]), MOST_ADU)
        except Exception as error:  # the seed is what one needs to know
            raise AssertionError(f"seed {seed}") from error


@pytest.mark.parametrize("place", [np.nan, np.inf, -np.inf, 1e300, -1e300, -50.0, 5000.0])
def test_places_outside_the_image_are_at_its_edge(place: float) -> None:
    """A saturated star's centre can run away from its pixels."""
    image = np.full((60, 80), 50_000.0)
    x, y = np.full(200, place), np.linspace(0, 59, 200)
    for axes in ((x, y), (y, x), (x, x)):
        chosen = candidate_kernels.spread(*axes, side=12.0, n_across=7, n_down=6, n=150)
        assert sorted(set(chosen.tolist())) == sorted(chosen.tolist())
        assert len(chosen) == 150
        flux, here = np.arange(200.0), np.linspace(5, 50, 200).round()
        led = shape_kernels.led_to(image, here, here, *axes, flux, 40_000.0, 24)
        assert led[:-1].all()
        assert not led[-1]
        highest = shape_kernels.highest(image, *axes, 2)
        assert set(highest.tolist()) <= {50_000.0, -np.inf}
    assert (shape_kernels.highest(image, x, x, 2) == -np.inf).all()


@pytest.mark.parametrize("large", [2.0**31, 2.0**31 + 256, -(2.0**31) - 256, 4.3e9, 1e17, -1e17, 3e38])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_sky_pixels_beyond_whole_numbers_of_32_bits(kind: str, large: float) -> None:
    """What a processor makes of them as integers differs from one to another, and must not count."""
    rng = np.random.default_rng(2)
    stamps = rng.integers(990, 1011, (1, 41, 41)).astype(kind)
    plain, *_ = ring_sky(stamps, np.array([0]), np.array([20.0]), np.array([20.0]), inner_px=8.0, outer_px=15.0)
    stamps[0, 9:11, ::7] = large
    sky, scatter, n = ring_sky(stamps, np.array([0]), np.array([20.0]), np.array([20.0]), inner_px=8.0, outer_px=15.0)
    assert abs(sky[0] - plain[0]) < 1.0
    assert 5 < scatter[0] < 8
    assert n[0] > 400


@pytest.mark.parametrize("kind", ["u1", "i2", "i4"])
@pytest.mark.parametrize("noise", [0.0, 0.4, 20.0, 1e9])
def test_a_rice_coded_tile_is_whole_unless_its_end_is_missing(kind: str, noise: float) -> None:
    rng = np.random.default_rng(5)
    info = np.iinfo(kind)
    image = np.clip(rng.normal(100, noise, (40, 173)), info.min, info.max).astype(kind)
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(image, compression_type="RICE_1")]).writeto(file)
    with fits.open(io.BytesIO(file.getvalue()), disable_image_compression=True) as hdus:
        tiles = [np.array(tile) for tile in hdus[1].data["COMPRESSED_DATA"]]
    assert len(tiles) == 40
    size = np.dtype(kind).itemsize
    for tile in tiles:
        assert frame_kernels.rice_is_whole(tile, 173, 32, size)
        assert not frame_kernels.rice_is_whole(tile[:-1], 173, 32, size)
        assert not frame_kernels.rice_is_whole(np.zeros_like(tile), 173 * 32 * 8 * len(tile), 32, size)
