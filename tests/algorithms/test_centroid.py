"""Centroids against known positions, against scipy, and against neighbours that would capture them."""

import json

import numpy as np
import pytest
from astropy.io import fits
from scipy.optimize import least_squares

from photdb.algorithms.centroid import Centroids, centroids
from photdb.algorithms.flags import Flag
from photdb.algorithms.gaussian import fit_gaussians

SIZE = 31
GAIN = 1.5


def _stars(x, y, amplitude, fwhm, *, moffat=False):
    yy, xx = np.mgrid[:SIZE, :SIZE]
    x, y, amplitude = (v[:, None, None] for v in np.broadcast_arrays(x, y, amplitude))
    r2 = (xx - x) ** 2 + (yy - y) ** 2
    if moffat:
        return amplitude * (1 + r2 * 4 * (2 ** (1 / 3) - 1) / fwhm**2) ** -3.0
    return amplitude * np.exp(-4 * np.log(2) * r2 / fwhm**2)


def _noisy(image, rng, *, sky=400.0, sigma=1.5):
    return (image + sky + rng.normal(size=image.shape) * np.sqrt(sigma**2 + image / GAIN)).astype(np.float32)


def _positions(n, rng, reach=0.5):
    return SIZE // 2 + rng.uniform(-reach, reach, n), SIZE // 2 + rng.uniform(-reach, reach, n)


@pytest.mark.parametrize("fwhm", [2.0, 3.0, 5.5])
def test_noiseless_gaussian_is_recovered(fwhm):
    rng = np.random.default_rng(1)
    x, y = _positions(50, rng, 2.0)
    stamps = _stars(x, y, 3000.0, fwhm) + 20000.0
    found = centroids(stamps, x + 0.1, y - 0.1, fwhm_px=1.2 * fwhm, search_px=4)
    assert not found.flags.any()
    np.testing.assert_allclose(found.x_px, x, atol=2e-5)
    np.testing.assert_allclose(found.y_px, y, atol=2e-5)
    np.testing.assert_allclose(found.fwhm_px, fwhm, rtol=1e-4)
    np.testing.assert_allclose(found.elongation, 1.0, atol=1e-4)
    np.testing.assert_allclose(found.amplitude_adu, 3000.0, rtol=1e-4)
    np.testing.assert_allclose(found.background_adu, 20000.0, atol=0.5)


def test_peak_is_the_highest_raw_pixel():
    rng = np.random.default_rng(2)
    x, y = _positions(20, rng)
    stamps = _noisy(_stars(x, y, 500.0, 3.0), rng)
    found = centroids(stamps, x, y, fwhm_px=3.0, search_px=3)
    np.testing.assert_array_equal(found.peak_adu, stamps[:, 11:20, 11:20].max(axis=(1, 2)))


@pytest.mark.parametrize(("amplitude", "most"), [(15.0, 1.3), (100.0, 1.65), (5000.0, 2.0)])
def test_noise_of_centroids_is_near_the_cramer_rao_bound(amplitude, most):
    """Variance over the bound: near 1 for faint stars, 16/9 for bright ones (uniform weights)."""
    rng = np.random.default_rng(3)
    fwhm = 3.0
    x, y = _positions(1500, rng)
    found = centroids(_noisy(_stars(x, y, amplitude, fwhm), rng), x, y, fwhm_px=fwhm, search_px=3)
    good = found.flags == 0
    assert good.mean() > 0.995
    model = _stars(np.array([15.0]), np.array([15.0]), amplitude, fwhm)[0]
    slope = model * (np.arange(SIZE) - 15) * 8 * np.log(2) / fwhm**2
    bound = 1 / (slope**2 / (1.5**2 + model / GAIN)).sum()
    error = np.concatenate([(found.x_px - x)[good], (found.y_px - y)[good]])
    assert 0.9 < error.var() / bound < most
    assert abs(error.mean()) < 4 * error.std() / np.sqrt(error.size)


@pytest.mark.parametrize("masked", [False, True])
def test_fit_agrees_with_scipy(masked):
    rng = np.random.default_rng(4)
    k, size = 32, 9
    yy, xx = np.mgrid[-4:5, -4:5].astype(float)

    def model(p):
        return p[0] * np.exp(-((xx - p[1]) ** 2) / 2 / p[3] ** 2 - (yy - p[2]) ** 2 / 2 / p[4] ** 2) + p[5]

    widths = rng.uniform(1, 1.8, (2, k))
    truth = np.stack([rng.uniform(15, 2000, k), *rng.uniform(-0.6, 0.6, (2, k)), *widths, np.full(k, 1000.0)])
    boxes = np.stack([model(p) for p in truth.T]) + rng.normal(0, 1.5, (k, size, size))
    usable = np.ones_like(boxes)
    if masked:
        usable[:, :3] = 0
        usable[rng.random(boxes.shape) < 0.1] = 0
    fit = fit_gaussians(boxes * usable, usable, x=np.zeros(k), y=np.zeros(k), sigma=np.full(k, 1.3))
    assert fit.converged.all()
    for i in range(k):
        use = usable[i] > 0
        best = least_squares(
            lambda p, i=i, use=use: (model(p) - boxes[i])[use], truth[:, i], x_scale="jac", ftol=1e-14, xtol=1e-14
        )
        np.testing.assert_allclose(fit.parameters[1:3, i], best.x[1:3], atol=1e-3)
        np.testing.assert_allclose(fit.parameters[3:5, i], np.abs(best.x[3:5]), rtol=5e-3)


def test_empty_sky_is_no_peak():
    rng = np.random.default_rng(5)
    x, y = _positions(1000, rng)
    found = centroids(np.round(_noisy(np.zeros((1000, SIZE, SIZE)), rng)), x, y, fwhm_px=2.5, search_px=4)
    assert (found.flags == Flag.NO_PEAK).mean() > 0.99
    assert not (found.flags == 0).any()
    np.testing.assert_array_equal(found.x_px, x)
    assert np.isnan(found.fwhm_px).all()


def test_clean_star_is_never_flagged():
    """Positions good to 0.1 px, moffat profiles, faint to bright."""
    rng = np.random.default_rng(6)
    for fwhm in (2.2, 3.0, 5.0):
        x, y = _positions(600, rng)
        stamps = _noisy(_stars(x, y, 10 ** rng.uniform(1.5, 4.3, 600), fwhm, moffat=True), rng)
        found = centroids(stamps, *(v + rng.normal(0, 0.1, 600) for v in (x, y)), fwhm_px=fwhm, search_px=5)
        assert not found.flags.any()


@pytest.mark.parametrize("ratio", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("fwhm", [2.4, 4.0])
def test_brighter_neighbour_never_captures_silently(ratio, fwhm):
    """A second object crosses: every centroid is within reach of the truth, or is the expected position with a flag."""
    rng = np.random.default_rng(7)
    n = 100
    captured = []
    for separation in np.arange(0.25, 4.1, 0.25) * fwhm:
        x, y = _positions(n, rng)
        angle = rng.uniform(0, 2 * np.pi, n)
        dx, dy = separation * np.cos(angle), separation * np.sin(angle)
        image = _stars(x, y, 2000.0, fwhm, moffat=True) + _stars(x + dx, y + dy, 2000.0 * ratio, fwhm, moffat=True)
        x_expected, y_expected = x + rng.normal(0, 0.05, n), y + rng.normal(0, 0.05, n)
        found = centroids(_noisy(image, rng), x_expected, y_expected, fwhm_px=fwhm, search_px=max(3, round(1.5 * fwhm)))
        good = found.flags == 0
        assert (np.hypot(found.x_px - x_expected, found.y_px - y_expected) <= 1.0).all()
        np.testing.assert_array_equal(found.x_px[~good], x_expected[~good])
        captured.append((found.flags == Flag.CAPTURED).mean())
        if separation >= 3.5 * fwhm:
            assert good.all()
    # from one to one and a half FWHM the two cannot be told apart, and the pull is above 1 px
    assert min(captured[3:6]) > (0.8 if ratio == 1.0 else 0.95)


def test_search_prefers_the_source_to_a_brighter_one_in_the_box():
    rng = np.random.default_rng(8)
    x, y = _positions(200, rng)
    image = _stars(x, y, 400.0, 2.4) + _stars(x + 6.5, y, 4000.0, 2.4)
    found = centroids(_noisy(image, rng), x, y, fwhm_px=2.4, search_px=7)
    assert not found.flags.any()
    assert np.hypot(found.x_px - x, found.y_px - y).max() < 0.15


def test_moving_source_off_its_expected_position():
    rng = np.random.default_rng(9)
    x, y = _positions(200, rng)
    angle = rng.uniform(0, 2 * np.pi, 200)
    stamps = _noisy(_stars(x, y, 300.0, 3.0), rng)
    expected = x + 2 * np.cos(angle), y + 2 * np.sin(angle)
    found = centroids(stamps, *expected, fwhm_px=3.0, search_px=5, max_offset_px=np.full(200, 3.0))
    assert not found.flags.any()
    assert np.hypot(found.x_px - x, found.y_px - y).max() < 0.1
    found = centroids(stamps, *expected, fwhm_px=3.0, search_px=5)
    assert (found.flags == Flag.CAPTURED).all()


def test_hot_pixels_and_cosmic_rays_do_not_attract():
    rng = np.random.default_rng(10)
    n = 400
    x, y = _positions(n, rng)
    stamps = _noisy(_stars(x, y, 300.0, 2.5), rng)
    clean = centroids(stamps, x, y, fwhm_px=2.5, search_px=4)
    at = rng.integers(-3, 4, (2, n)) + SIZE // 2
    stamps[np.arange(n), at[1], at[0]] += 5000.0
    stamps[np.arange(n), at[1] + 3, at[0]] += 900.0
    hit = centroids(stamps, x, y, fwhm_px=2.5, search_px=4)
    good = hit.flags == 0
    assert good.mean() > 0.97
    assert np.hypot(hit.x_px - clean.x_px, hit.y_px - clean.y_px)[good].max() < 0.15


def test_saturated_cores_and_missing_pixels_are_left_out():
    rng = np.random.default_rng(11)
    x, y = _positions(200, rng)
    stamps = np.minimum(_noisy(_stars(x, y, 9000.0, 3.5), rng), 4000.0)
    stamps[::2, 17:, :] = np.nan
    found = centroids(stamps, x, y, fwhm_px=3.5, search_px=4, saturation_adu=4000.0)
    assert (found.flags == 0).mean() > 0.98
    good = found.flags == 0
    assert np.hypot(found.x_px - x, found.y_px - y)[good].max() < 0.06
    assert (found.peak_adu == 4000.0).all()


def test_nothing_there():
    stamps = np.full((3, SIZE, SIZE), np.nan, dtype=np.float32)
    stamps[1] = 7.0
    stamps[2] = 7.0
    found = centroids(stamps, [15.0, 15.0, np.nan], [15.0, 15.0, 15.0], fwhm_px=3.0, search_px=4)
    assert found.flags.tolist() == [Flag.FIT_FAILED, Flag.NO_PEAK, Flag.NO_POSITION]
    assert np.isnan(found.peak_adu).tolist() == [True, False, True]
    np.testing.assert_array_equal(found.x_px, [15.0, 15.0, np.nan])
    outside = centroids(stamps[1:2], [-50.0], [15.0], fwhm_px=3.0, search_px=4)
    assert outside.flags.tolist() == [Flag.FIT_FAILED]
    empty = centroids(stamps[:0], [], [], fwhm_px=3.0, search_px=4)
    assert empty.x_px.shape == (0,)


def test_bits_do_not_depend_on_the_batch():
    rng = np.random.default_rng(12)
    n = 160
    x, y = _positions(n, rng, 2.0)
    stamps = _noisy(_stars(x, y, 10 ** rng.uniform(0.5, 4, n), 2.6), rng)
    stamps[::7, 12:14] = np.nan
    stamps[3::11, 15, 15] += 5000
    fwhm = rng.uniform(2.0, 3.5, n)

    def measure(size):
        parts = [
            centroids(stamps[part], x[part], y[part], fwhm_px=fwhm[part], search_px=4, saturation_adu=5000.0)
            for part in (slice(i, i + size) for i in range(0, n, size))
        ]
        return [np.concatenate([getattr(p, name) for p in parts]).tobytes() for name in Centroids.__slots__]

    whole = measure(n)
    assert measure(1) == whole
    assert measure(7) == whole


@pytest.mark.parametrize(("night", "fwhm", "within"), [("hatp32", 2.5, 0.5), ("luxembourg", 4.1, 0.1)])
def test_stars_of_a_real_frame(real_night, night, fwhm, within):
    """All listed stars are found where another program found them, without a flag, and with much the same width."""
    folder = real_night(night)
    facts = json.loads((folder.parent / "targets.json").read_text())[night]
    first = sorted(folder.glob(facts["glob"]))[0]
    frame = np.pad(fits.getdata(first).astype(np.float32), 15, constant_values=np.nan)
    x, y = np.array(facts["stars_xy_first_frame"]).T
    column, row = np.rint(x).astype(int), np.rint(y).astype(int)
    stamps = np.stack([frame[j : j + SIZE, i : i + SIZE] for i, j in zip(column, row, strict=True)])
    found = centroids(stamps, x - column + 15, y - row + 15, fwhm_px=fwhm, search_px=4)
    assert not found.flags.any()
    assert np.hypot(found.x_px - 15 + column - x, found.y_px - 15 + row - y).max() < within
    np.testing.assert_allclose(found.fwhm_px, fwhm, rtol=0.1)


def test_arguments_are_checked():
    stamps = np.zeros((2, SIZE, SIZE))
    with pytest.raises(ValueError, match="shape"):
        centroids(stamps[0], [1.0], [1.0], fwhm_px=3.0, search_px=4)
    with pytest.raises(ValueError, match="search_px"):
        centroids(stamps, 15.0, 15.0, fwhm_px=3.0, search_px=0)
    with pytest.raises(ValueError, match="fwhm_px"):
        centroids(stamps, 15.0, 15.0, fwhm_px=[3.0, np.nan], search_px=4)
