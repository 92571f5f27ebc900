"""The synthetic night is what other tests believe: here its pixels are held against its truth, that against theory."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from photutils.aperture import CircularAperture

from photdb import simulate
from photdb.simulate import NightPlan, clear_night

ALL_TROUBLES = NightPlan(n_frames=60, trail=True, meridian_flip=True, variable=True)


def sums(image, x_px, y_px, radius_px):
    aperture = CircularAperture(np.column_stack([x_px, y_px]), radius_px)
    return aperture.do_photometry(image.astype(float), method="exact")[0]


@pytest.mark.parametrize("sky_adu", [15.0, 300.0, 4000.0], ids=["Poisson", "sky of the default", "bright sky"])
def test_noise_has_the_moments_of_photons_and_read_out(sky_adu):
    plan = clear_night(n_frames=6, sky_adu=sky_adu, n_stars=0, read_noise_e=4.0)
    truth = simulate.truth_of(plan)
    residual, variance, third = [], [], []
    for index in range(plan.n_frames):
        expected = simulate.expected_frame(truth, index).astype(float)
        pixels, _ = simulate.simulate_frame(plan, index)
        # the gain cubed: third moment of a Poisson number in ADU; rounding and read noise have none
        residual.append(pixels - plan.pedestal_adu - expected)
        variance.append(expected / 1.5 + (4.0 / 1.5) ** 2 + 1 / 12)
        third.append(expected / 1.5**2)
    residual, variance, third = (np.concatenate([v.ravel() for v in values]) for values in (residual, variance, third))
    # 720,000 pixels: errors of the mean, of the variance and of the skewness are 0.0012, 0.0017 and 0.003
    assert abs((residual / np.sqrt(variance)).mean()) < 0.004
    assert abs((residual**2 / variance).mean() - 1.0) < 0.006
    assert abs(((residual**3 - third) / variance**1.5).mean()) < 0.012
    star = third > 1.2 * np.median(third)
    assert star.sum() > 400
    assert abs((residual**2 / variance)[star].mean() - 1.0) < 4.5 * np.sqrt(2.0 / star.sum())


@pytest.mark.parametrize("profile", ["gaussian", "moffat"])
@pytest.mark.parametrize("fwhm_px", [2.4, 3.2, 6.0])
def test_light_in_a_circle_is_the_fluxs_encircled_part(profile, fwhm_px):
    plan = clear_night(n_frames=8, profile=profile, fwhm_px=fwhm_px, n_stars=0)
    truth = simulate.truth_of(plan)
    for radius in (3.0, 5.0, 8.0):
        others = simulate.contamination(truth, radius)
        images = [simulate.expected_frame(truth, index) - truth.sky_adu[index] for index in range(plan.n_frames)]
        found = np.array([sums(*triple, radius) for triple in zip(images, truth.x_px, truth.y_px, strict=True)])
        part = (found - others) / truth.flux_adu
        # 72 sub-pixel places scatter by up to 0.002 about the mean over all places
        assert np.abs(part.mean() / simulate.encircled(plan, radius, truth.fwhm_px).mean() - 1.0) < 2e-3
        assert part.max() < 1.0 + 1e-6


@pytest.mark.parametrize("profile", ["gaussian", "moffat"])
def test_contamination_is_the_light_of_the_others(profile):
    plan = NightPlan(n_frames=60, profile=profile, n_stars=20)
    truth = simulate.truth_of(plan)
    crossing = int(np.argmax(simulate.contamination(truth, 5.0)[:, 1]))
    apart_px = np.hypot(np.diff(truth.x_px[crossing, :2]), np.diff(truth.y_px[crossing, :2]))
    assert apart_px[0] < 4.0
    for index in (crossing, crossing + 1):
        image = simulate.expected_frame(replace_hits(truth), index) - truth.sky_adu[index]
        found = sums(image, truth.x_px[index, :2], truth.y_px[index, :2], 5.0)
        own = truth.flux_adu[index, :2] * simulate.encircled(plan, 5.0, truth.fwhm_px[[index]])
        others = simulate.contamination(truth, 5.0)[index, :2]
        np.testing.assert_allclose(found - own, others, rtol=0, atol=0.005 * own.min())


def replace_hits(truth):
    """The same night with a camera that has no defects."""
    return replace(truth, hot_adu=0.0 * truth.hot_adu, cosmic_adu=0.0 * truth.cosmic_adu)


def test_bright_stars_lie_where_the_truth_says():
    plan = clear_night(
        n_frames=40, n_stars=0, sky_adu=5.0, read_noise_e=2.0, saturation_adu=65535, field_rotation_deg=2.0,
        reference_flux_adu=(600_000.0,) * 7, refocus=True, meridian_flip=True,
    )  # fmt: skip
    truth = simulate.truth_of(plan)
    errors = []
    for index in range(plan.n_frames):
        pixels, _ = simulate.simulate_frame(plan, index)
        for column in range(1, 8):
            x, y = truth.x_px[index, column], truth.y_px[index, column]
            near_x, near_y = np.arange(round(x) - 8, round(x) + 9), np.arange(round(y) - 8, round(y) + 9)
            light = pixels[np.ix_(near_y, near_x)] - plan.pedestal_adu - truth.sky_adu[index]
            total = light.sum()
            errors.append([(light.sum(0) * near_x).sum() / total - x, (light.sum(1) * near_y).sum() / total - y])
    errors = np.array(errors)
    # each moment has an error of about 0.003 px
    assert np.abs(errors.mean(0)).max() < 5e-4
    assert errors.std(0).max() < 5e-3


@pytest.mark.parametrize("reference", [0, 17, 59])
def test_relative_shifts_carry_stars_from_frame_to_frame(reference):
    truth = simulate.truth_of(ALL_TROUBLES)
    dx, dy, rotation, scale = simulate.relative_shifts(truth, reference)
    x, y = simulate.frame_positions(truth, truth.star_x_px, truth.star_y_px)
    for index in range(60):
        angle = np.radians(rotation[index])
        matrix = scale[index] * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle, shift = np.array([[199.5], [149.5]]), np.array([[dx[index]], [dy[index]]])
        carried = middle + matrix @ (np.array([x[reference], y[reference]]) - middle) + shift
        np.testing.assert_allclose(carried, [x[index], y[index]], rtol=0, atol=1e-9)
    assert (dx[reference], dy[reference], rotation[reference], scale[reference]) == (0.0, 0.0, 0.0, 1.0)
    one_x, _ = simulate.frame_positions(truth, truth.star_x_px, truth.star_y_px, 5)
    np.testing.assert_array_equal(one_x, x[5])


@pytest.mark.parametrize("plan", [ALL_TROUBLES, simulate.ganymed(), clear_night(width_px=200, height_px=150)])
def test_sources_stay_in_the_field(plan):
    truth = simulate.truth_of(plan)
    edge = np.minimum.reduce([truth.x_px, plan.width_px - 1 - truth.x_px, truth.y_px, plan.height_px - 1 - truth.y_px])
    assert edge.min() > 12.0


def test_files_are_those_of_single_frames_and_open_without_a_word(tmp_path):
    plan = NightPlan(n_frames=12, width_px=333, height_px=257)
    calls = []
    truth = simulate.simulate_night(tmp_path / "one", plan, progress=lambda: calls.append(1))
    simulate.simulate_night(tmp_path / "two", plan, workers=2)
    assert len(calls) == 12
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == sorted([*truth.file_names, "truth.npz"])
    for index, name in enumerate(truth.file_names):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        pixels, header = simulate.simulate_frame(plan, index)
        with fits.open(tmp_path / "one" / name) as hdus:
            hdus.verify("exception")
            stored = hdus[0].header.copy()
            assert hdus[0].data.dtype == np.uint16
            np.testing.assert_array_equal(hdus[0].data, pixels)
        assert {keyword: stored[keyword] for keyword in header} == header
        mid = Time(stored["DATE-OBS"], scale="utc").jd + stored["EXPTIME"] / 172800.0
        assert abs(mid - truth.jd_utc_mid[index]) * 86400.0 < 2e-4
        assert stored["EXPTIME"] == truth.exposure_s[index]
    other, _ = simulate.simulate_frame(replace(plan, seed=2), 0)
    assert (other != simulate.simulate_frame(plan, 0)[0]).any()
    with pytest.raises(FileExistsError, match="holds a night"):
        simulate.simulate_night(tmp_path / "one", plan)


def test_truth_is_read_as_it_was_written(tmp_path):
    written = simulate.truth_of(ALL_TROUBLES)
    simulate.save_truth(tmp_path, written)
    read = simulate.load_truth(tmp_path)
    assert read.plan == written.plan
    assert (read.labels, read.roles, read.file_names) == (written.labels, written.roles, written.file_names)
    for name in ("jd_utc_mid", "x_px", "flux_adu", "in_fog", "star_flux_adu", "hot_adu", "cosmic_x_px"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    with pytest.raises(ValueError, match="read-only"):
        read.x_px[0, 0] = 0.0


def test_the_story_of_the_default_night():
    truth = simulate.truth_of(NightPlan())
    assert truth.labels == ("Ganymed", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "C1")
    assert 3 <= truth.in_fog.sum() <= 6
    assert truth.in_fog[-1]
    assert truth.transparency[-1] < 0.2
    assert truth.sky_adu[-1] > 2.0 * truth.sky_adu[40]
    assert truth.exposure_changed.sum() == 4
    assert 2 <= (truth.gradient_adu > 0).sum() <= 4
    # four recentrings: that many steps back of more than 4 px
    assert (np.diff(truth.dx_px) < -4.0).sum() == 4
    assert np.unique(truth.scale).tolist() == [1.0, 1.00035]
    assert truth.mag[-1, 3] - truth.mag[0, 3] == pytest.approx(0.06, abs=1e-3)
    assert np.ptp(truth.mag[:, 0]) == pytest.approx(0.15, abs=0.02)
    assert np.ptp(truth.mag[:, [1, 2, 4, 5, 6, 7, 8]], axis=0).max() == 0.0
    # the differential magnitude of the fluxes is that of the true magnitudes
    fluxes = -2.5 * np.log10(truth.flux_adu)
    np.testing.assert_allclose(fluxes[:, 0] - fluxes[:, 4], truth.mag[:, 0] - truth.mag[:, 4], atol=1e-12)
    # the asteroid, brighter than reference 1, drowns it for some frames, and later meets a star of 4 % of its light
    assert (truth.flux_adu[:, 0] > truth.flux_adu[:, 1]).all()
    light = simulate.contamination(truth, 6.0)
    crossed = np.flatnonzero(light[:, 1] > truth.flux_adu[:, 1])
    assert 1 <= len(crossed) <= 4
    assert abs(crossed.mean() / 59 - 0.2135) < 0.02
    assert light[44:49, 0].max() > 0.03 * truth.flux_adu[46, 0]
    pixels = [simulate.simulate_frame(truth.plan, index)[0] for index in (10, 31, 59)]
    assert [(p == 32767).any() for p in pixels] == [False, True, False]


def test_the_long_night_crosses_reference_1_where_the_example_did():
    truth = simulate.truth_of(simulate.ganymed())
    light = simulate.contamination(truth, 5.0)[:, 1]
    numbers = np.flatnonzero(light > 0.002 * truth.flux_adu[:, 1]) + 1
    assert numbers.min() > 270
    assert numbers.max() < 325
    assert len(numbers) > 20
    assert truth.jd_utc_mid[-1] - truth.jd_utc_mid[0] == pytest.approx(5.5 / 24, abs=1e-6)


@pytest.mark.parametrize(
    ("feature", "index", "least_adu"),
    [("hot_pixels", 3, 1000), ("cosmic_rays", 3, 500), ("trail", 42, 200), ("gradient", 20, 25), ("fog", 59, 300)],
)
def test_troubles_are_in_the_pixels_only_where_they_are_asked_for(feature, index, least_adu):
    calm, troubled = clear_night(), clear_night(**{feature: True})
    with_it, without = (simulate.expected_frame(simulate.truth_of(plan), index) for plan in (troubled, calm))
    assert np.abs(with_it - without).max() > least_adu
    # nothing else changes: the first frame, but for defects that all frames have, is the same
    with_it, without = (simulate.expected_frame(simulate.truth_of(plan), 0) for plan in (troubled, calm))
    assert np.count_nonzero(with_it - without) <= {"hot_pixels": 24, "cosmic_rays": 60}.get(feature, 0)


def test_a_clear_night_is_clear():
    truth = simulate.truth_of(clear_night())
    assert len(truth.hot_adu) == len(truth.cosmic_adu) == 0
    assert not (truth.in_fog | truth.exposure_changed | truth.has_trail | (truth.gradient_adu > 0)).any()
    assert np.ptp(truth.mag[:, 1:], axis=0).max() == 0.0
    assert np.ptp(truth.scale) == 0.0
    assert simulate.clean(truth, 5.0, ring_px=(10.0, 14.0)).all()


def test_defects_are_where_the_truth_says():
    plan = NightPlan(n_frames=20)
    truth = simulate.truth_of(plan)
    bare = replace_hits(truth)
    for index in (2, 11):
        extra = simulate.expected_frame(truth, index) - simulate.expected_frame(bare, index)
        hits = truth.cosmic_frame == index
        assert hits.any()
        total = (truth.hot_adu * truth.exposure_s[index] / plan.exposure_s).sum() + truth.cosmic_adu[hits].sum()
        assert extra.sum(dtype=float) == pytest.approx(total, rel=1e-4)
        extra[truth.hot_y_px, truth.hot_x_px] = 0.0
        extra[truth.cosmic_y_px[hits], truth.cosmic_x_px[hits]] = 0.0
        assert not extra.any()
    flipped = simulate.truth_of(replace(plan, meridian_flip=True))
    assert (np.abs(flipped.rotation_deg - truth.rotation_deg) == 180.0).sum() == 8


@pytest.mark.parametrize("profile", ["gaussian", "moffat"])
def test_clean_measurements_scatter_by_the_ccd_equation(profile):
    radius, pulls, good, bad = 5.0, [], [], []
    for seed in (1, 2, 3):
        plan = NightPlan(profile=profile, seed=seed, trail=True, star_flux_adu=(1000.0, 60_000.0), n_stars=100)
        truth = simulate.truth_of(plan)
        error_adu = simulate.expected_error_mag(truth, radius) * np.log(10.0) / 2.5
        for index in range(0, 60, 2):
            x, y = truth.x_px[index], truth.y_px[index]
            # per place, the light that a noiseless frame without defects has there, but for other stars'
            alone = replace(replace_hits(truth), star_flux_adu=0.0 * truth.star_flux_adu)
            light = sums(simulate.expected_frame(alone, index) - truth.sky_adu[index], x, y, radius)
            pixels, _ = simulate.simulate_frame(plan, index)
            found = sums(pixels - plan.pedestal_adu - truth.sky_adu[index], x, y, radius)
            pulls.append((found / light - 1.0) / error_adu[index])
        # a slope is no fault of the aperture's, but it is not in this test's sky either
        even = truth.gradient_adu[::2] == 0.0
        good.append(simulate.clean(truth, radius)[::2] & even[:, None])
        bad.append(~simulate.clean(truth, radius)[::2] & even[:, None])
    pulls, good, bad = np.array(pulls), np.concatenate(good), np.concatenate(bad)
    # about 600 measurements: the scatter's own error is 0.03, and one in 1e5 is beyond 4.5
    assert good.sum() > 550
    assert 0.93 < pulls[good].std() < 1.07
    assert abs(pulls[good].mean()) < 0.2
    assert np.abs(pulls[good]).max() < 4.5
    assert (np.abs(pulls[bad]) > 6.0).sum() >= 5


@pytest.mark.parametrize("radius", [2.0, 3.3, 8.0, 15.5])
def test_noise_area_is_that_of_exact_overlaps(radius):
    rng = np.random.default_rng(5)
    areas = [
        np.square(mask.data).sum()
        for mask in CircularAperture(20.0 + rng.random((400, 2)), radius).to_mask(method="exact")
    ]
    assert simulate.mean_noise_area_px(radius) == pytest.approx(np.mean(areas), rel=1e-3)
    assert simulate.mean_noise_area_px(radius) < np.pi * radius**2


def test_a_dark_noiseless_camera_counts_whole_electrons():
    plan = clear_night(n_frames=2, sky_adu=0.0, read_noise_e=0.0, gain_e_per_adu=1.0, n_stars=0)
    pixels, _ = simulate.simulate_frame(plan, 0)
    expected = simulate.expected_frame(simulate.truth_of(plan), 0)
    assert (pixels[expected < 1e-6] == 100).all()
    assert (pixels - 100.0).sum() == pytest.approx(expected.sum(dtype=float), rel=5.0 * float(expected.sum()) ** -0.5)


def test_expected_error_by_hand():
    plan = clear_night(n_frames=3)
    truth = simulate.truth_of(plan)
    light = truth.flux_adu[0, 1] * simulate.encircled(plan, 6.0, truth.fwhm_px)[0]
    pixel_e2 = truth.sky_adu[0] * 1.5 + 64.0 + 1.5**2 / 12.0
    variance_e2 = light * 1.5 + 100.0 * pixel_e2 + (36.0 * np.pi) ** 2 * pixel_e2 / 500.0
    found = simulate.expected_error_mag(truth, 6.0, n_sky_px=500.0, sky_factor=1.0, noise_area_px=100.0)
    assert found.shape == (3, 9)
    assert found[0, 1] == pytest.approx(1.0857362 * np.sqrt(variance_e2) / (light * 1.5), rel=1e-6)
    assert (simulate.expected_error_mag(truth, 6.0) < simulate.expected_error_mag(truth, 6.0, n_sky_px=500.0)).all()


def test_clicks_are_near_the_sources():
    truth = simulate.truth_of(ALL_TROUBLES)
    clicks = simulate.clicks(truth)
    assert list(clicks) == list(truth.labels)
    assert [number for number, _, _ in clicks["Ganymed"]] == [1, 60]
    assert [number for number, _, _ in clicks["R5"]] == [1]
    number, x, y = clicks["Ganymed"][1]
    assert np.hypot(x - truth.x_px[number - 1, 0], y - truth.y_px[number - 1, 0]) < 0.08


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_frames": 1}, "two frames"),
        ({"profile": "airy"}, "no such profile"),
        ({"profile": "moffat", "moffat_beta": 1.0}, "beta > 1"),
        ({"saturation_adu": 70000}, "1..65535"),
        ({"reference_flux_adu": ()}, "at least one reference"),
        ({"width_px": 60}, "too small"),
        ({"n_frames": 1000}, "does not fit into a cadence"),
    ],
)
def test_plans_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        NightPlan(**changes)


def test_a_frame_that_is_not_there_is_refused():
    with pytest.raises(IndexError, match="no frame of index 60"):
        simulate.simulate_frame(NightPlan(), 60)
