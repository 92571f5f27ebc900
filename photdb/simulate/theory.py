"""What theory expects of measurements on a synthetic night: the light of others in an aperture, the CCD error."""

import math
from functools import lru_cache

import numpy as np

from photdb.simulate.night import trail_distance
from photdb.simulate.plan import NightPlan
from photdb.simulate.profile import encircled, intensity, reach_px, seen_intensity, stamps
from photdb.simulate.truth import Bools, Floats, Truth, frame_positions


def contamination(truth: Truth, radius_px: float) -> Floats:
    """Return the light of other stars and sources in the aperture of each source.

    Parameters
    ----------
    truth
        The night.
    radius_px
        Radius of the aperture about each source's true place.

    Returns
    -------
    adu
        (n_frames, n_sources); hot pixels, cosmic rays and trails are not in it.
    """
    star_x, star_y = frame_positions(truth, truth.star_x_px, truth.star_y_px)
    star_flux = np.outer(truth.transparency * truth.exposure_s / truth.plan.exposure_s, truth.star_flux_adu)
    reach = radius_px + np.array([reach_px(truth.plan, fwhm, bright=True) for fwhm in truth.fwhm_px.tolist()])
    adu = np.zeros_like(truth.x_px)
    for column in range(adu.shape[1]):
        x, y = truth.x_px[:, column, None], truth.y_px[:, column, None]
        for other_x, other_y, other_flux in (
            (star_x, star_y, star_flux),
            *(
                (truth.x_px[:, [other]], truth.y_px[:, [other]], truth.flux_adu[:, [other]])
                for other in range(adu.shape[1])
                if other != column
            ),
        ):
            distance = np.hypot(other_x - x, other_y - y)
            frame, star = np.nonzero(distance < reach[:, None])
            part = _part_within(truth, radius_px, distance[frame, star], truth.fwhm_px[frame])
            adu[:, column] += np.bincount(frame, other_flux[frame, star] * part, minlength=len(adu))
    return adu


def _part_within(truth: Truth, radius_px: float, distance_px: Floats, fwhm_px: Floats) -> Floats:
    """Integrate a unit profile over a circle some distance away, in polar coordinates about the circle's middle."""
    step = 0.3 * float(truth.fwhm_px.min())
    nodes, weights = np.polynomial.legendre.leggauss(8 + math.ceil(radius_px / step))
    n_angles = 12 + math.ceil(np.pi * radius_px / step)
    cosine = np.cos(np.pi * (np.arange(n_angles) + 0.5) / n_angles)[:, None]
    rho = 0.5 * radius_px * (nodes + 1.0)
    weights = 0.5 * radius_px * weights * rho * 2.0 * np.pi / n_angles
    part = np.empty(len(distance_px))
    for first in range(0, len(part), 1024):
        these = slice(first, first + 1024)
        distance = distance_px[these, None, None]
        square = np.maximum(rho**2 + distance**2 - 2.0 * distance * (rho * cosine), 0.0)
        part[these] = (seen_intensity(truth.plan, square, fwhm_px[these, None, None]) * weights).sum((1, 2))
    return part


def clean(truth: Truth, radius_px: float, *, ring_px: tuple[float, float] | None = None) -> Bools:
    """Tell where nothing disturbs the measurement of a source.

    Parameters
    ----------
    truth
        The night.
    radius_px
        Radius of the aperture.
    ring_px
        Inner and outer radius of a sky ring; the trail must then miss it too, and it must lie within the frame.
        (Stars and hot pixels in the ring are left to the sky's robustness.)

    Returns
    -------
    clean
        (n_frames, n_sources): the aperture lies within the frame and holds no hot pixel, cosmic ray, trail, or
        saturated pixel, and light of other stars of less than a fifth of the expected error. Fog, moonlight and changed
        exposures are told by the truth's own arrays.
    """
    plan = truth.plan
    x, y = truth.x_px, truth.y_px
    outer = radius_px if ring_px is None else max(radius_px, ring_px[1])
    good = (np.minimum(x, y) > outer - 0.5) & (x < plan.width_px - 0.5 - outer) & (y < plan.height_px - 0.5 - outer)
    good &= ~truth.has_trail[:, None] | (np.abs(trail_distance(plan, x, y)) > outer + 5.0)
    # a pixel of which any part is in the aperture
    reach = radius_px + math.sqrt(0.5)
    for hot_x, hot_y in zip(truth.hot_x_px.tolist(), truth.hot_y_px.tolist(), strict=True):
        good &= np.hypot(x - hot_x, y - hot_y) > reach
    frame = truth.cosmic_frame
    hit = np.hypot(x[frame] - truth.cosmic_x_px[:, None], y[frame] - truth.cosmic_y_px[:, None]) <= reach
    good[frame[np.nonzero(hit)[0]], np.nonzero(hit)[1]] = False
    # the brightest pixel cannot be above the profile's own peak; a few sigma of noise are kept clear of the saturation
    peak = truth.flux_adu * intensity(plan, np.zeros(()), truth.fwhm_px)[:, None] + truth.sky_adu[:, None]
    good &= plan.pedestal_adu + peak + 6.0 * np.sqrt(peak / plan.gain_e_per_adu) < plan.saturation_adu
    error_adu = expected_error_mag(truth, radius_px) * _light(truth, radius_px) * (math.log(10.0) / 2.5)
    result: Bools = good & (contamination(truth, radius_px) < 0.2 * error_adu)
    return result


def _light(truth: Truth, radius_px: float) -> Floats:
    light: Floats = truth.flux_adu * encircled(truth.plan, radius_px, truth.fwhm_px)[:, None]
    return light


@lru_cache(maxsize=512)
def optimal_sums(plan: NightPlan, fwhm_px: float) -> tuple[float, float]:
    """Return 1/ΣP² and ΣP³/(ΣP²)² of a star's light P in each pixel, on average over its places within a pixel.

    The first is the noise area, in pixels, of the sum of least noise for a faint star (Naylor 1998, MNRAS 296, 339),
    and also its Σw; the second is how many times as much as in a circle that holds all light its own photons count.
    """
    places = (np.arange(4) + 0.5) / 8.0
    x, y = (grid.ravel() for grid in np.meshgrid(places, places))
    light = stamps(plan, x, y, fwhm_px, math.ceil(6.0 * fwhm_px)).astype(np.float64)
    square, cube = (light**power for power in (2, 3))
    square, cube = square.sum((1, 2)), cube.sum((1, 2))
    return float(np.mean(1.0 / square)), float(np.mean(cube / square**2))


def optimal_error_mag(
    truth: Truth, *, n_sky_px: Floats | float | None = None, sky_factor: float = math.pi / 2.0
) -> Floats:
    """Return the error of magnitudes by optimal extraction, with the stars' true profile and places.

    Parameters
    ----------
    truth
        The night.
    n_sky_px, sky_factor
        As for `expected_error_mag`.

    Returns
    -------
    error_mag
        (n_frames, n_sources).
    """
    plan, gain = truth.plan, truth.plan.gain_e_per_adu
    sums = np.array([optimal_sums(plan, round(fwhm, 4)) for fwhm in truth.fwhm_px.tolist()])
    area, photons = sums[:, :1], sums[:, 1:]
    pixel_adu2 = (truth.sky_adu / gain + (plan.read_noise_e / gain) ** 2 + 1.0 / 12.0)[:, None]
    variance = photons * truth.flux_adu / gain + area * pixel_adu2
    if n_sky_px is not None:
        variance = variance + area**2 * pixel_adu2 * sky_factor / n_sky_px
    error: Floats = 2.5 / math.log(10.0) * np.sqrt(variance) / truth.flux_adu
    return error


@lru_cache(maxsize=64)
def mean_noise_area_px(radius_px: float) -> float:
    """Return Σw² of a circle's exact overlaps w with pixels, on average over its places within a pixel.

    Parameters
    ----------
    radius_px
        Radius of the circle.

    Returns
    -------
    float
        Pixels; less than πr², as a partly used pixel brings less than its share of noise.
    """
    grid = np.arange(-math.ceil(radius_px) - 1, math.ceil(radius_px) + 2)
    lines = (np.arange(64) + 0.5) / 64.0 - 0.5
    places = (np.arange(8) + 0.5) / 16.0
    total = 0.0
    for y in places:
        # exact along x, 64 lines per pixel along y; a quarter pixel holds all places by symmetry
        half = np.sqrt(np.maximum(radius_px**2 - np.square(grid[:, None] + lines - y), 0.0))[:, :, None]
        for x in places:
            left, right = grid - 0.5 - x, grid + 0.5 - x
            overlap = np.maximum(np.minimum(half, right) - np.maximum(-half, left), 0.0).mean(1)
            total += float(np.square(overlap).sum())
    return total / len(places) ** 2


def expected_error_mag(
    truth: Truth,
    radius_px: float,
    *,
    n_sky_px: Floats | float | None = None,
    sky_factor: float = math.pi / 2.0,
    noise_area_px: Floats | float | None = None,
) -> Floats:
    """Return the error of instrumental magnitudes by the CCD equation, from what is true.

    Photon noise of source and sky, read noise, rounding to whole ADU (1/12 ADU² a pixel), and the error of the sky
    itself (Merline and Howell 1995, Experimental Astronomy 6, 163). Sky pixels count by Σw², the noise area.

    Parameters
    ----------
    truth
        The night.
    radius_px
        Radius of the aperture.
    n_sky_px
        Number of pixels from which the sky is estimated; a perfectly known sky by default.
    sky_factor
        Variance of the sky's estimate against the mean's: π/2 for a median, 1 for a mean.
    noise_area_px
        Σw² of the aperture's weights, broadcast to (n_frames, n_sources); by default `mean_noise_area_px`.

    Returns
    -------
    error_mag
        (n_frames, n_sources); to first order, so that it means little for errors above 0.2 mag.
    """
    plan = truth.plan
    gain = plan.gain_e_per_adu
    light = _light(truth, radius_px)
    pixel_adu2 = (truth.sky_adu / gain + (plan.read_noise_e / gain) ** 2 + 1.0 / 12.0)[:, None]
    area = mean_noise_area_px(radius_px) if noise_area_px is None else noise_area_px
    variance = light / gain + area * pixel_adu2
    if n_sky_px is not None:
        variance = variance + (math.pi * radius_px**2) ** 2 * pixel_adu2 * sky_factor / n_sky_px
    error: Floats = 2.5 / math.log(10.0) * np.sqrt(variance) / light
    return error
