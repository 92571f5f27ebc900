"""From the truth to pixels: the light that is expected in each pixel, and one noisy, digitised frame of it.

A star is its profile integrated over each pixel, at its place at mid-exposure: movement within it leaves no trail.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from photdb.simulate import night
from photdb.simulate.fits import Value
from photdb.simulate.plan import NightPlan
from photdb.simulate.profile import reach_px, stamps
from photdb.simulate.truth import Floats, Truth, frame_positions

#: Stars brighter than this are drawn with all their wings.
BRIGHT_ADU: Final = 20_000.0
#: Below this mean a pixel's electrons are drawn as Poisson numbers, above it as normal ones with Poisson's skewness.
FEW_E: Final = 40.0
_TRAIL_SIGMA_PX: Final = 1.2
_ROWS: Final = 64


def expected_frame(truth: Truth, index: int) -> NDArray[np.float32]:
    """Return the light that is expected in each pixel of a frame: no noise, no rounding, no saturation.

    Parameters
    ----------
    truth
        The night.
    index
        The frame, counted from 0 in time order.

    Returns
    -------
    adu
        (height, width); sky, stars, hot pixels and cosmic rays, without the pedestal.
    """
    plan = truth.plan
    fwhm = float(truth.fwhm_px[index])
    exposure = float(truth.exposure_s[index]) / plan.exposure_s
    star_x, star_y = frame_positions(truth, truth.star_x_px, truth.star_y_px, index)
    x = np.concatenate([truth.x_px[index], star_x])
    y = np.concatenate([truth.y_px[index], star_y])
    flux = np.concatenate([truth.flux_adu[index], truth.star_flux_adu * float(truth.transparency[index]) * exposure])

    # a border for the widest stamp of a star that just reaches into the frame, so that no stamp needs to be cut
    border = 2 * reach_px(plan, fwhm, bright=True)
    canvas = np.full((plan.height_px + 2 * border, plan.width_px + 2 * border), truth.sky_adu[index], dtype=np.float32)
    for bright in (True, False):
        reach = reach_px(plan, fwhm, bright=bright)
        seen = (x > -reach) & (x < plan.width_px - 1 + reach) & (y > -reach) & (y < plan.height_px - 1 + reach)
        chosen = seen & ((flux > BRIGHT_ADU) == bright)
        _add_stars(plan, canvas, border, x[chosen], y[chosen], flux[chosen], fwhm, reach)
    frame = canvas[border : border + plan.height_px, border : border + plan.width_px]

    frame[truth.hot_y_px, truth.hot_x_px] += (truth.hot_adu * exposure).astype(np.float32)
    hits = slice(*np.searchsorted(truth.cosmic_frame, [index, index + 1]))
    np.add.at(frame, (truth.cosmic_y_px[hits], truth.cosmic_x_px[hits]), truth.cosmic_adu[hits].astype(np.float32))
    if truth.gradient_adu[index] or truth.has_trail[index]:
        grid_y, grid_x = np.mgrid[: plan.height_px, : plan.width_px].astype(np.float32)
        slope = 0.6 * (grid_x / (plan.width_px - 1) - 0.5) + 0.4 * (grid_y / (plan.height_px - 1) - 0.5)
        frame += np.float32(truth.gradient_adu[index]) * slope
        if truth.has_trail[index]:
            distance = night.trail_distance(plan, grid_x, grid_y) / np.float32(_TRAIL_SIGMA_PX)
            frame += np.float32(plan.trail_adu) * np.exp(-0.5 * np.square(distance))
    return frame


def _add_stars(
    plan: NightPlan,
    canvas: NDArray[np.float32],
    border: int,
    x_px: Floats,
    y_px: Floats,
    flux_adu: Floats,
    fwhm_px: float,
    reach: int,
) -> None:
    column, row = np.rint(x_px).astype(np.int64), np.rint(y_px).astype(np.int64)
    light = stamps(plan, x_px - column, y_px - row, fwhm_px, reach)
    light *= flux_adu.astype(np.float32)[:, None, None]
    size = 2 * reach + 1
    corners = zip((row + border - reach).tolist(), (column + border - reach).tolist(), light, strict=True)
    for top, left, stamp in corners:
        canvas[top : top + size, left : left + size] += stamp


def _digitise(plan: NightPlan, expected_adu: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Count electrons with photon and read noise, and digitise them, a few rows at a time to stay in the cache.

    Photon and read noise together are one normal number z, bent by `κ₃/(6σ²)·(z² − 1)` to Poisson's third moment κ₃
    (Cornish and Fisher 1938, first term). The bend's own variance, at most 1/18 e², drowns above `FEW_E`.
    """
    gain, read = np.float32(plan.gain_e_per_adu), np.float32(plan.read_noise_e)
    pixels = np.empty(expected_adu.shape, np.uint16)
    for top in range(0, len(pixels), _ROWS):
        mean = expected_adu[top : top + _ROWS] * gain
        z = rng.standard_normal(mean.shape, np.float32)
        # never quite zero, for a dark sky and a camera without read noise
        variance = np.maximum(mean + read * read, np.float32(1e-6))
        bend = mean / variance
        bend *= np.float32(1.0 / 6.0)
        electrons = np.sqrt(variance, out=variance)
        electrons *= z
        electrons += mean
        np.square(z, out=z)
        z -= np.float32(1.0)
        z *= bend
        electrons += z
        few = mean < FEW_E
        if few.any():
            n_few = np.count_nonzero(few)
            electrons[few] = rng.poisson(np.maximum(mean[few], 0.0)) + read * rng.standard_normal(n_few, np.float32)
        electrons /= gain
        electrons += np.float32(plan.pedestal_adu)
        np.rint(electrons, out=electrons)
        np.clip(electrons, 0.0, plan.saturation_adu, out=electrons)
        pixels[top : top + _ROWS] = electrons
    return pixels


def simulate_frame(plan: NightPlan, index: int) -> tuple[NDArray[np.uint16], dict[str, Value]]:
    """Make one frame of a night: the same bits alone as with all others.

    Parameters
    ----------
    plan
        What the night is.
    index
        The frame, counted from 0 in time order.

    Returns
    -------
    pixels
        (height, width), ADU.
    header
        FITS keywords and values, without those that describe the pixels.

    Raises
    ------
    IndexError
        The night has no such frame.
    """
    if not 0 <= index < plan.n_frames:
        raise IndexError(f"a night of {plan.n_frames} frames has no frame of index {index}")
    truth = night.truth_of(plan)
    rng = np.random.default_rng([plan.seed, night.FRAME_STREAM, index])
    pixels = _digitise(plan, expected_frame(truth, index), rng)
    return pixels, {
        "OBJECT": "(1036) Ganymed",
        "TELESCOP": "simulated",
        "INSTRUME": "photdb simulator",
        "IMAGETYP": "Light Frame",
        "FILTER": "R",
        "DATE-OBS": night.start_time(plan, index).isoformat(timespec="milliseconds"),
        "EXPTIME": float(truth.exposure_s[index]),
        "EGAIN": plan.gain_e_per_adu,
        "RDNOISE": plan.read_noise_e,
        "SATURATE": plan.saturation_adu,
        "OBJCTRA": "01 00 00",
        "OBJCTDEC": "+20 00 00",
        "SITELAT": night.SITE_LAT_DEG,
        "SITELONG": night.SITE_LON_DEG,
        "SITEELEV": 500.0,
        "AIRMASS": round(float(truth.airmass[index]), 4),
    }
