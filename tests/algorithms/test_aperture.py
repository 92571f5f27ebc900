"""Aperture sums against photutils, skies against known ones, errors against the scatter of many measurements."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photdb.algorithms.aperture import Apertures, circle_overlap, flux_error, measure_apertures
from photdb.algorithms.flags import Flag

SIZE = 61
CENTRE = 30.0
RING = {"annulus_inner_px": 12.0, "annulus_outer_px": 25.0}
YY, XX = np.mgrid[:SIZE, :SIZE]


def _sky(stamps, x=None, y=None, **ring):
    at = np.full(len(stamps), CENTRE)
    found = measure_apertures(stamps, at if x is None else x, at if y is None else y, radii_px=4.0, **(ring or RING))
    return found.sky_adu[:, 0], found.sky_scatter_adu[:, 0], found.n_sky[:, 0]


def _ring_of(stamp, x, y):
    r2 = (XX - x) ** 2 + (YY - y) ** 2
    return stamp[(r2 >= 12**2) & (r2 < 25**2)].astype(float)


def test_sums_equal_photutils_exact_method():
    """1000 random positions, edges included, to 1e-6 relative."""
    photutils = pytest.importorskip("photutils.aperture")
    rng = np.random.default_rng(1)
    n, radii = 1000, np.array([0.3, 1.0, 2.5, 6.0, 11.3])
    frame = rng.uniform(500, 1500, (41, 47))
    x, y = rng.uniform(-0.5, 46.5, n), rng.uniform(-0.5, 40.5, n)
    found = measure_apertures(
        np.broadcast_to(frame, (n, 41, 47)), x, y, radii_px=radii, annulus_inner_px=12, annulus_outer_px=18
    )
    sums = found.flux_adu + found.sky_adu * found.area_px
    edge = (found.flags & Flag.EDGE) > 0
    assert 100 < edge.sum() < 4000
    for j, radius in enumerate(radii):
        circles = photutils.CircularAperture(np.stack([x, y], axis=1), radius)
        np.testing.assert_allclose(sums[:, j], circles.do_photometry(frame, method="exact")[0], rtol=1e-9)
        areas = circles.do_photometry(np.ones_like(frame), method="exact")[0]
        np.testing.assert_allclose(found.area_px[:, j], areas, rtol=1e-9, atol=1e-12)
        outside = (np.minimum(x, 46 - x) < radius - 0.5) | (np.minimum(y, 40 - y) < radius - 0.5)
        np.testing.assert_array_equal(edge[:, j], outside)


@settings(max_examples=200)
@given(st.floats(-7, 7), st.floats(-7, 7), st.floats(0.05, 6))
def test_overlap_is_the_shared_area(dx, dy, radius):
    """Against the integral over columns of the pixel, which has an error of some 1e-5 at 4000 columns."""
    t = dx - 0.5 + (np.arange(4000) + 0.5) / 4000
    s = np.sqrt(np.maximum(radius**2 - t**2, 0.0))
    column = np.maximum(np.minimum(dy + 0.5, s) - np.maximum(dy - 0.5, -s), 0.0)
    assert circle_overlap(dx, dy, radius) == pytest.approx(column.mean(), abs=3e-5)


def test_overlaps_fill_the_circle():
    grid = np.arange(-12, 13)
    for radius in (0.4, 1.0, 3.5, 11.9):
        weights = circle_overlap(grid[:, None] - 0.3, grid + 0.45, radius)
        assert weights.sum() == pytest.approx(np.pi * radius**2, rel=1e-12)
        assert weights.min() == 0.0
        assert weights.max() <= 1.0


def test_noise_area_is_the_sum_of_squared_weights():
    stamps = np.zeros((1, SIZE, SIZE))
    found = measure_apertures(stamps, [30.2], [29.7], radii_px=[3.0, 5.5], **RING)
    for j, radius in enumerate((3.0, 5.5)):
        weights = circle_overlap(XX - 30.2, YY - 29.7, radius)
        assert found.noise_area_px[0, j] == pytest.approx((weights**2).sum(), rel=1e-12)
        assert found.area_px[0, j] == pytest.approx(np.pi * radius**2, rel=1e-12)


@pytest.mark.parametrize("scatter", [0.3, 5.0, 300.0])
def test_sky_of_normal_noise(scatter):
    """The median of the ring's pixels to 0.01 σ, its noise that of a median, its scatter the truth."""
    rng = np.random.default_rng(2)
    stamps = rng.normal(2000.0, scatter, (400, SIZE, SIZE)).astype(np.float32)
    x, y = rng.uniform(29.5, 30.5, (2, 400))
    sky, sigma, n = _sky(stamps, x, y)
    for i in range(0, 400, 10):
        ring = _ring_of(stamps[i], x[i], y[i])
        median = np.median(ring[np.abs(ring - np.median(ring)) <= 3 * ring.std()])
        assert sky[i] == pytest.approx(median, abs=0.02 * scatter)
        assert 0.985 < n[i] / ring.size <= 1.0
    assert abs(sky.mean() - 2000.0) < 4 * sky.std() / 20
    assert 1.3 < sky.var() * n.mean() / scatter**2 < 2.0
    assert sigma.mean() == pytest.approx(scatter, rel=0.004)


@pytest.mark.parametrize(("scatter", "most"), [(1.5, 2.0), (0.7, 4.5)])
def test_sky_of_integers_is_not_quantised(scatter, most):
    """Skies at random levels, rounded to integers: plain medians err with 0.29 ADU, whatever the number of pixels."""
    rng = np.random.default_rng(3)
    level = rng.uniform(399.5, 400.5, 400)
    stamps = np.round(level[:, None, None] + rng.normal(0, scatter, (400, SIZE, SIZE))).astype(np.float32)
    sky, sigma, n = _sky(stamps)
    plain = np.median(stamps[:, YY > 40], axis=1)
    assert (plain - level).var() * n.mean() / scatter**2 > 20
    assert (sky - level).var() * n.mean() / scatter**2 < most
    assert sigma.mean() == pytest.approx(np.hypot(scatter, np.sqrt(1 / 12)), rel=0.02)


@pytest.mark.parametrize("scatter", [0.4, 5.0, 300.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sky_of_halves_is_half_the_sky_of_integers(scatter, dtype):
    """Integers and other numbers take different ways to the same skies: to the bit, as halving loses none."""
    rng = np.random.default_rng(10)
    stamps = np.round(rng.normal(1000.0, scatter, (100, SIZE, SIZE))).astype(dtype)
    stamps[:, ::7, ::5] += 5000
    stamps[::3, :, :25] = np.nan
    whole, half = _sky(stamps), _sky(stamps / 2)
    assert np.isfinite(whole[0]).all()
    np.testing.assert_array_equal(half[0], whole[0] / 2)
    np.testing.assert_array_equal(half[1], whole[1] / 2)
    np.testing.assert_array_equal(half[2], whole[2])


def test_sky_with_stars_in_the_ring():
    """Eight stars in the ring: the bias is less than σ/4, where the plain median's is 0.4 σ."""
    rng = np.random.default_rng(4)
    stamps = rng.normal(400.0, 1.5, (200, SIZE, SIZE))
    for stamp in stamps:
        for _ in range(8):
            r, angle, height = rng.uniform(10, 27), rng.uniform(0, 7), 10 ** rng.uniform(0.5, 3)
            r2 = (XX - CENTRE - r * np.cos(angle)) ** 2 + (YY - CENTRE - r * np.sin(angle)) ** 2
            stamp += height * (1 + r2 / 5.5) ** -3.0
    sky, sigma, _ = _sky(stamps)
    plain = np.array([np.median(_ring_of(stamp, CENTRE, CENTRE)) for stamp in stamps])
    assert 0.3 < (plain.mean() - 400) / 1.5 < 0.5
    assert 0.0 < (sky.mean() - 400) / 1.5 < 0.25
    assert 1.0 < sigma.mean() / 1.5 < 1.2
    # bright pixels of any height and any kind
    dirty = rng.normal(400.0, 1.5, (50, SIZE, SIZE)).astype(np.float32)
    dirty[:, 5:50:5, 5:50:5] = 1e7
    dirty[:, 6:51:5, 6:51:5] = -1e5
    dirty[:, 7:52:5, 7:52:5] = np.nan
    sky, sigma, _ = _sky(dirty)
    np.testing.assert_allclose(sky, 400.0, atol=0.35)
    np.testing.assert_allclose(sigma, 1.5, rtol=0.1)


def test_constant_sky_and_too_few_pixels():
    stamps = np.full((3, SIZE, SIZE), 7.0, dtype=np.float32)
    stamps[1] = np.nan
    stamps[2, :, :] = np.nan
    stamps[2, 26:35, 26:35] = 9.0
    found = measure_apertures(stamps, [CENTRE] * 3, [CENTRE] * 3, radii_px=4.0, **RING)
    assert found.sky_adu[0, 0] == 7.0
    assert found.sky_scatter_adu[0, 0] == 0.0
    assert found.n_sky[:, 0].tolist() == [int(_ring_of(stamps[0], CENTRE, CENTRE).size), 0, 0]
    assert np.isnan(found.flux_adu[1:]).all()
    assert found.flags[:, 0].tolist() == [Flag.NOT_POSITIVE, Flag.NO_SKY | Flag.NONFINITE, Flag.NO_SKY]


def test_apertures_share_rings_or_not():
    rng = np.random.default_rng(5)
    stamps = rng.normal(400.0, 5, (5, SIZE, SIZE))
    at = rng.uniform(29.5, 30.5, (2, 5))
    both = measure_apertures(
        stamps, *at, radii_px=[3, 5, 7], annulus_inner_px=[12, 15, 12], annulus_outer_px=[25, 28, 25]
    )
    for j, (radius, inner, outer) in enumerate(((3, 12, 25), (5, 15, 28), (7, 12, 25))):
        alone = measure_apertures(stamps, *at, radii_px=radius, annulus_inner_px=inner, annulus_outer_px=outer)
        for name in Apertures.__slots__:
            np.testing.assert_array_equal(getattr(both, name)[:, [j]], getattr(alone, name))


def test_flags():
    stamps = np.full((7, SIZE, SIZE), 100.0)
    stamps += np.random.default_rng(6).normal(0, 1, stamps.shape)
    stamps[:, 28:33, 28:33] += 50.0
    x = np.array([30.0, 30.0, 30.0, 30.0, 30.0, np.nan, 30.0])
    y = np.full(7, 30.0)
    origin = np.array([[100, 100], [-25, 100], [-26, 100], [100, 100], [100, 100], [100, 100], [-10, 100]])
    stamps[1, :, :25] = np.nan
    stamps[2, :, :26] = np.nan
    stamps[3, 26, 30] = np.nan  # in the aperture
    stamps[4, 10, 30] = np.nan  # in the ring
    stamps[6, 28:33, 28:33] -= 200.0
    stamps[6, :, :10] = np.nan
    found = measure_apertures(stamps, x, y, radii_px=5.0, **RING, origin_px=origin, frame_shape=(1000, 1000))
    assert found.flags[:, 0].tolist() == [
        0,
        Flag.RING_EDGE,
        Flag.RING_EDGE | Flag.EDGE,
        Flag.NONFINITE,
        0,
        Flag.NO_POSITION,
        Flag.RING_EDGE | Flag.NOT_POSITIVE,
    ]
    assert found.area_px[3, 0] < found.area_px[0, 0] - 0.9
    assert found.n_sky[4, 0] > 1400
    assert np.isnan(found.flux_adu[5, 0])
    # the far edges
    far = measure_apertures(
        stamps[:2], [30.0] * 2, [30.0] * 2, radii_px=5.0, **RING, origin_px=[[30, 100], [100, 34]], frame_shape=(69, 66)
    )
    assert far.flags[:, 0].tolist() == [Flag.RING_EDGE | Flag.EDGE, Flag.RING_EDGE | Flag.EDGE]


@pytest.mark.parametrize("amplitude", [0.0, 20.0, 3000.0])
@pytest.mark.parametrize("rounded", [False, True])
def test_errors_are_the_scatter_of_fluxes(amplitude, rounded):
    """2000 measurements: their scatter is known to 1.6 %, and the equation's error must agree to 5 %."""
    rng = np.random.default_rng(7)
    n, gain, sigma = 2000, 2.0, 3.0
    star = amplitude * np.exp(-((XX - 30.2) ** 2 + (YY - 29.6) ** 2) / 2 / 1.3**2)
    scatters, errors = [], []
    for _ in range(10):
        frames = 300 + rng.poisson(star * gain, (n // 10, SIZE, SIZE)) / gain
        frames += rng.normal(rng.uniform(0, 1, (n // 10, 1, 1)), sigma, frames.shape)
        frames = np.round(frames) if rounded else frames
        found = measure_apertures(frames, 30.2, 29.6, radii_px=[4.0, 8.0], annulus_inner_px=10, annulus_outer_px=14)
        scatters.append(found.flux_adu)
        errors.append(
            flux_error(
                found.flux_adu,
                area_px=found.area_px,
                noise_area_px=found.noise_area_px,
                sky_scatter_adu=found.sky_scatter_adu,
                n_sky=found.n_sky,
                gain_e_per_adu=gain,
            )
        )
    scatter = np.concatenate(scatters).std(axis=0)
    np.testing.assert_allclose(np.sqrt((np.concatenate(errors) ** 2).mean(axis=0)) / scatter, 1.0, atol=0.05)


def test_flux_error_terms():
    terms = {"area_px": 50.0, "noise_area_px": 48.0, "n_sky": 1000}
    flat = flux_error([400.0, -5.0, np.nan], **terms, sky_scatter_adu=0.0, gain_e_per_adu=4.0)
    np.testing.assert_array_equal(flat, [10.0, 0.0, np.nan])
    assert flux_error(400.0, **terms, sky_scatter_adu=0.0) == 20.0
    pixels = 48.0 + 50.0**2 * np.pi / 2 / 1000
    assert flux_error(0.0, **terms, sky_scatter_adu=3.0) == pytest.approx(3.0 * np.sqrt(pixels))
    floor = flux_error(0.0, **terms, sky_scatter_adu=[0.1, 9.0], gain_e_per_adu=2.0, read_noise_e=10.0)
    np.testing.assert_allclose(floor, np.sqrt(pixels) * np.array([np.sqrt(25 + 1 / 12), 9.0]))
    none = flux_error(np.nan, area_px=50.0, noise_area_px=48.0, sky_scatter_adu=np.nan, n_sky=0)
    assert np.isnan(none)


def test_bits_do_not_depend_on_the_batch():
    rng = np.random.default_rng(8)
    n = 100
    stamps = rng.normal(400.0, 5, (n, SIZE, SIZE)).astype(np.float32)
    stamps[::3] = np.round(stamps[::3])
    stamps[::7, :20] = np.nan
    stamps[::5, 40:50, 40:50] += 1000
    x, y = rng.uniform(25, 36, (2, n))

    def measure(size):
        parts = [
            measure_apertures(stamps[p], x[p], y[p], radii_px=[2.5, 6], annulus_inner_px=[10, 12], annulus_outer_px=25)
            for p in (slice(i, i + size) for i in range(0, n, size))
        ]
        return [np.concatenate([getattr(part, name) for part in parts]).tobytes() for name in Apertures.__slots__]

    whole = measure(n)
    assert measure(1) == whole
    assert measure(7) == whole


def test_integer_and_big_endian_stamps():
    frames = np.random.default_rng(9).integers(90, 110, (3, SIZE, SIZE))
    at = np.full(3, 30.3)
    expected = measure_apertures(frames.astype(float), at, at, radii_px=4.0, **RING)
    for dtype in (np.uint16, ">i2", ">f4", np.int64):
        found = measure_apertures(frames.astype(dtype), at, at, radii_px=4.0, **RING)
        np.testing.assert_allclose(found.flux_adu, expected.flux_adu, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("far", [-1e300, -1e5, 1e5, 1e300])
def test_positions_far_outside(far):
    stamps = np.ones((2, SIZE, SIZE))
    found = measure_apertures(stamps, [far, CENTRE], [CENTRE, far], radii_px=4.0, **RING)
    np.testing.assert_array_equal(found.area_px, 0.0)
    np.testing.assert_array_equal(found.n_sky, 0)
    assert np.isnan(found.flux_adu).all()
    assert (found.flags[:, 0] == Flag.EDGE | Flag.RING_EDGE | Flag.NO_SKY).all()


def test_no_stamps_and_bad_arguments():
    stamps = np.zeros((2, SIZE, SIZE))
    assert measure_apertures(stamps[:0], [], [], radii_px=[3, 4], **RING).flux_adu.shape == (0, 2)
    with pytest.raises(ValueError, match="shape"):
        measure_apertures(stamps[0], 1.0, 1.0, radii_px=3, **RING)
    with pytest.raises(ValueError, match="radii"):
        measure_apertures(stamps, 1.0, 1.0, radii_px=0.0, **RING)
    with pytest.raises(ValueError, match="inner"):
        measure_apertures(stamps, 1.0, 1.0, radii_px=3, annulus_inner_px=9, annulus_outer_px=9)
    with pytest.raises(ValueError, match="together"):
        measure_apertures(stamps, 1.0, 1.0, radii_px=3, **RING, frame_shape=(9, 9))
    with pytest.raises(ValueError, match="positive"):
        circle_overlap(0.0, 0.0, 0.0)
