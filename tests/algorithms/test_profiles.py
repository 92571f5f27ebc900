"""Profiles of stars as an image shows them, their part in a circle, and stars in the wings of others."""

import numpy as np
import pytest

from photdb.algorithms.profiles import circle, gaussian_profile, measure_profile, part_within, remaining_stars
from photdb.simulate import NightPlan, encircled
from photdb.simulate.profile import seen_intensity, stamps

MOFFAT = NightPlan(profile="moffat")
GAUSS = NightPlan()


def image_of(plan: NightPlan, x, y, flux, fwhm, noise, size=(360, 360), seed=1):
    """Draw stars on a dark sky."""
    out = np.random.default_rng(seed).normal(0.0, noise, size).astype(np.float32)
    reach = round(12 * fwhm)
    canvas = np.zeros((size[0] + 2 * reach, size[1] + 2 * reach), np.float32)
    ix, iy = np.rint(x).astype(int), np.rint(y).astype(int)
    light = stamps(plan, x - ix, y - iy, fwhm, reach) * flux[:, None, None].astype(np.float32)
    for left, top, stamp in zip(ix, iy, light, strict=True):
        canvas[top : top + 2 * reach + 1, left : left + 2 * reach + 1] += stamp
    return out + canvas[reach : reach + size[0], reach : reach + size[1]]


def test_the_part_in_a_circle_is_that_of_the_integral() -> None:
    fwhm = np.linspace(2.5, 4.5, 7)
    for radius in (2.0, 5.0, 9.0):
        table = circle(gaussian_profile(3.0), radius, fwhm)
        centred = part_within(table, np.zeros(7), fwhm)
        np.testing.assert_allclose(centred, 1.0 - np.exp(-4.0 * np.log(2.0) * (radius / fwhm) ** 2), rtol=0.02)
        # Far off, by sums over a fine grid.
        grid = np.arange(-radius, radius, 0.05) + 0.025
        dx, dy = np.meshgrid(grid, grid)
        inside = dx**2 + dy**2 < radius**2
        for distance in (radius + 1.0, radius + 4.0):
            d2 = (dx - distance) ** 2 + dy**2
            exact = [(gaussian_profile(3.0).at(np.sqrt(d2[inside]), f)).sum() * 0.05**2 for f in fwhm]
            np.testing.assert_allclose(part_within(table, np.full(7, distance), fwhm), exact, rtol=0.06, atol=2e-7)


@pytest.mark.parametrize(("plan", "tolerance"), [(GAUSS, 0.016), (MOFFAT, 0.04)])
def test_a_profile_is_measured_with_its_wings(plan: NightPlan, tolerance: float) -> None:
    rng = np.random.default_rng(3)
    x, y = (v.ravel() for v in np.meshgrid(np.arange(50.0, 330.0, 65.0), np.arange(50.0, 330.0, 65.0)))
    x, y = x + rng.random(x.size), y + rng.random(x.size)
    flux = np.sort(rng.uniform(50_000, 200_000, x.size))[::-1]
    image = image_of(plan, x, y, flux, 3.2, 4.0) + 6.0  # a sky that was not quite subtracted
    profile = measure_profile(image, x, y, flux, 3.2, 4.0)
    for radius in (2.0, 4.0, 8.0):
        table = circle(profile, radius, np.array([3.2]))
        part = part_within(table, np.zeros(1), np.array([3.2]))[0]
        # The smallest circle takes parts of pixels, which smears by another twelfth of a px²: 0.014 of the light.
        assert part == pytest.approx(encircled(plan, radius, np.array([3.2]))[0], abs=tolerance)
    far = profile.at(np.array([14.0, 20.0]), 3.2)
    true = seen_intensity(plan, np.array([14.0, 20.0]) ** 2, 3.2)
    if plan is MOFFAT:
        assert (far / true < 2.0).all()
        assert (far / true > 0.5).all()
    else:
        assert (far < 1e-6).all()


def test_stars_in_the_wings_of_others_are_found_and_nothing_else() -> None:
    profile = gaussian_profile(3.2)
    x, y = np.array([60.3, 120.7, 200.2]), np.array([80.6, 150.1, 90.4])
    flux = np.array([25_000.0, 8_000.0, 30_000.0])
    more_x, more_y = np.array([66.0, 118.3, 250.0]), np.array([83.0, 155.0, 200.0])
    more = np.array([900.0, 700.0, 400.0])
    noise = np.full((300, 300), 4.0, np.float32)
    every = [np.concatenate(v) for v in ((x, more_x), (y, more_y), (flux, more))]
    image = image_of(GAUSS, *every, 3.2, 4.0, (300, 300))
    found = np.stack(remaining_stars(image, x, y, flux, profile, noise, n_sigmas=5.0))
    for sx, sy, light in zip(more_x, more_y, more, strict=True):
        distance = np.hypot(found[0] - sx, found[1] - sy)
        assert distance.min() < 0.6
        assert found[2, distance.argmin()] == pytest.approx(light, rel=0.2)
    others = [np.hypot(every[0] - a, every[1] - b).min() for a, b in found[:2].T]
    assert sum(d > 4.0 for d in others) == 0, "light where there is none"
