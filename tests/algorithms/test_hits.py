"""Cosmic rays and hot pixels, found against the source's own profile."""

import numpy as np
import pytest

from photdb.algorithms.hits import find_hits
from photdb.simulate import NightPlan
from photdb.simulate.profile import stamps as profiles

GAIN, SKY, READ = 1.5, 300.0, 8.0


def night(n: int, flux: float, seed: int, plan: NightPlan) -> tuple[np.ndarray, dict[str, object]]:
    """Draw stamps of one star through a night of changing seeing, and what is known of them."""
    rng = np.random.default_rng(seed)
    half = 11
    fwhm = 3.0 * (1.0 + 0.15 * np.sin(np.linspace(0, 9, n)))
    offset = rng.uniform(-0.5, 0.5, (2, n))
    light = np.concatenate([profiles(plan, offset[0, [i]], offset[1, [i]], float(fwhm[i]), half) for i in range(n)])
    mean = (SKY + flux * light) * GAIN
    pixels = (rng.normal(mean, np.sqrt(mean + READ**2)) / GAIN).astype(np.float64)
    known = {
        "sky_adu": np.full(n, SKY),
        "sky_scatter_adu": np.full(n, np.sqrt(SKY / GAIN + (READ / GAIN) ** 2)),
        "fwhm_px": fwhm,
        "usable": np.ones(n, bool),
        "radius_px": 8.0,
        "gain_e_per_adu": GAIN,
    }
    return pixels, {"x": half + offset[0] + rng.normal(0, 0.02, n), "y": half + offset[1], **known}


@pytest.mark.parametrize("profile", ["gaussian", "moffat"])
@pytest.mark.parametrize("flux", [20_000.0, 200_000.0])
def test_hits_are_found_and_no_pixel_of_the_star_is_one(profile: str, flux: float) -> None:
    plan = NightPlan(profile=profile)
    pixels, known = night(60, flux, 1, plan)
    assert find_hits(pixels, **known).stamp.size == 0
    put = {(7, 11, 16, 400.0), (20, 5, 9, 3000.0), (20, 6, 9, 900.0), (33, 14, 8, 600.0)}  # stamp, x, y, ADU
    for i, x, y, adu in put:
        pixels[i, y, x] += adu
    found = find_hits(pixels, **known)
    assert {(i, x, y) for i, x, y, _ in put} == set(
        zip(found.stamp.tolist(), found.x.tolist(), found.y.tolist(), strict=True)
    )
    true = {(i, x, y): adu for i, x, y, adu in put}
    for i, x, y, excess, sigmas in zip(found.stamp, found.x, found.y, found.excess_adu, found.sigmas, strict=True):
        assert excess == pytest.approx(true[i, x, y], abs=80.0 + 0.002 * flux)
        assert sigmas > 3.0


def test_another_star_beside_is_no_hit() -> None:
    pixels, known = night(40, 100_000.0, 3, NightPlan())
    for i in range(10, 14):
        pixels[i] += 60_000.0 * profiles(NightPlan(), np.array([4.0]), np.array([2.0]), 3.2, 11)[0]
    assert find_hits(pixels, **known).stamp.size == 0


def test_few_frames_make_no_profile() -> None:
    pixels, known = night(5, 100_000.0, 4, NightPlan())
    pixels[2, 11, 15] += 5000.0
    assert find_hits(pixels, **known).stamp.size == 0
