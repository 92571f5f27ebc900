"""The story of a synthetic night: from a plan to the truth about every frame, source, star and defect.

It follows AsPyLib's example, asteroid (1036) Ganymed: the mount drifts and is recentred, the asteroid crosses
reference 1 and later a faint star, moonlight slopes the sky, the exposure is longer for a while, reference 3 fades, fog
ends it all.
"""

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from photdb.simulate.plan import NightPlan
from photdb.simulate.truth import Bools, Floats, Ints, Truth, place_in_frames

# When things happen, in parts of the night.
RECENTRINGS: Final = (0.18, 0.43, 0.66, 0.86)
CROSSING: Final = 0.2135
GRADIENT: Final = (0.32, 0.37)
LONG_EXPOSURE: Final = (0.50, 0.56)
MERIDIAN_FLIP: Final = 0.585
REFOCUS: Final = 0.62
TRAIL: Final = 0.72
FAINT_CROSSING: Final = 0.78
FOG: Final = 0.93

# The asteroid's track in parts of the frame, and how close it comes to what it crosses, in FWHM.
TRACK: Final = ((0.12, 0.62), (0.86, 0.42))
CROSSING_FWHM: Final = 0.4
FAINT_CROSSING_FWHM: Final = 0.6
FAINT_STAR: Final = 0.04

# The place, and the sky over it.
SITE_LAT_DEG: Final = 46.2
SITE_LON_DEG: Final = 2.1
RA_DEG: Final = 15.0
DEC_DEG: Final = 20.0
EXTINCTION_MAG: Final = 0.15

# The camera's defects.
HOT_PER_PX: Final = 2e-4
HOT_ADU: Final = (150.0, 5000.0)
COSMIC_PER_PX_S: Final = 4e-7
COSMIC_ADU: Final = (500.0, 8000.0)
REFOCUS_SCALE: Final = 1.00035
REFOCUS_FWHM: Final = 0.92

# Each thing has random numbers of its own, so that switching one off leaves all others as they are.
_SOURCES, _STARS, _MOUNT, _WEATHER, _HOT, _COSMIC, FRAME_STREAM = range(7)


def start_time(plan: NightPlan, index: int) -> datetime:
    """Return the start of a frame's exposure, to whole milliseconds, as its header tells it."""
    return datetime.fromisoformat(plan.start_utc) + timedelta(milliseconds=round(1e3 * plan.cadence_s * index))


def _track(plan: NightPlan) -> Floats:
    """Return the asteroid's first and last place on the plate, [[x, y], [x, y]]."""
    ends: Floats = np.array(TRACK) * (np.array([plan.width_px, plan.height_px]) - 1)
    return ends


def _places_of_sources(plan: NightPlan, n_stars: int) -> tuple[Floats, Floats]:
    """Spread stars over the inner field, off one another and the asteroid's track; the first may lie on it."""
    rng = np.random.default_rng([plan.seed, _SOURCES])
    margin, size = plan.margin_px, np.array([plan.width_px, plan.height_px])
    start, end = _track(plan)
    taken = start + np.linspace(0.0, 1.0, 200)[:, None] * (end - start)
    places = np.empty((n_stars, 2))
    for star in range(n_stars):
        # the first candidate that is not much nearer to what is there already than the farthest one
        candidates = margin + rng.random((200, 2)) * (size - 1 - 2.0 * margin)
        gaps = np.hypot(*(candidates[:, None, :] - taken).transpose(2, 0, 1)).min(1)
        places[star] = candidates[np.argmax(gaps >= 0.6 * gaps.max())]
        if star == 0 and plan.crossing:
            places[star] = _beside_track(plan, CROSSING, CROSSING_FWHM)
        taken = np.vstack([taken, places[star]])
    return places[:, 0], places[:, 1]


def _beside_track(plan: NightPlan, part: float, distance_fwhm: float) -> Floats:
    start, end = _track(plan)
    along = (end - start) / np.hypot(*(end - start))
    place: Floats = start + part * (end - start) + distance_fwhm * plan.fwhm_px * np.array([-along[1], along[0]])
    return place


def _field_stars(plan: NightPlan, source_x: Floats, source_y: Floats) -> tuple[Floats, Floats, Floats]:
    """Scatter stars over the field and a border, off the sources, and off the track where it crosses nothing."""
    rng = np.random.default_rng([plan.seed, _STARS])
    faintest, brightest = plan.star_flux_adu
    # N(> flux) ∝ flux^−0.7, cut at both ends
    low, high = faintest**-0.7, brightest**-0.7
    flux = (low + rng.random(plan.n_stars) * (high - low)) ** (-1.0 / 0.7)
    start, end = _track(plan)
    along = end - start
    keep_off = plan.isolation_fwhm * plan.fwhm_px
    border = plan.margin_px
    x, y = np.empty(plan.n_stars), np.empty(plan.n_stars)
    n_placed = 0
    # the border's corners are always off everything, so that this ends
    while n_placed < plan.n_stars:
        new_x = -border + rng.random(plan.n_stars) * (plan.width_px + 2.0 * border)
        new_y = -border + rng.random(plan.n_stars) * (plan.height_px + 2.0 * border)
        good = np.hypot(new_x[:, None] - source_x, new_y[:, None] - source_y).min(1) > keep_off
        if not plan.crossing:
            part = np.clip(((new_x - start[0]) * along[0] + (new_y - start[1]) * along[1]) / (along**2).sum(), 0.0, 1.0)
            good &= np.hypot(new_x - start[0] - part * along[0], new_y - start[1] - part * along[1]) > keep_off
        new = np.flatnonzero(good)[: plan.n_stars - n_placed]
        x[n_placed : n_placed + len(new)], y[n_placed : n_placed + len(new)] = new_x[new], new_y[new]
        n_placed += len(new)
    if plan.crossing:
        faint_x, faint_y = _beside_track(plan, FAINT_CROSSING, FAINT_CROSSING_FWHM)
        x, y = np.append(x, faint_x), np.append(y, faint_y)
        flux = np.append(flux, FAINT_STAR * plan.asteroid_flux_adu)
    return x, y, flux


def _mount(plan: NightPlan, part: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Move the field: drift with recentrings, jitter, turning, meridian flip, refocus: dx, dy, rotation, scale."""
    rng = np.random.default_rng([plan.seed, _MOUNT])
    offsets = rng.normal(0.0, plan.jitter_px, (len(RECENTRINGS) + 1, 2))
    edges = np.array([0.0, *RECENTRINGS, 1.0]) if plan.recentrings else np.array([0.0, 1.0])
    stretch = np.clip(np.searchsorted(edges, part, side="right") - 1, 0, len(edges) - 2)
    since = (part - edges[stretch]) / np.diff(edges).max() - 0.5
    # the worm's period is no simple part of the night
    worm = 1.5 * plan.jitter_px * np.sin(2.0 * np.pi * 23.7 * part)
    jitter = rng.normal(0.0, plan.jitter_px, (2, plan.n_frames))
    dx = 0.86 * plan.drift_px * since + worm + jitter[0] + offsets[stretch, 0]
    dy = -0.5 * plan.drift_px * since + jitter[1] + offsets[stretch, 1]
    rotation = plan.field_rotation_deg * (part - 0.5)
    if plan.meridian_flip:
        rotation = rotation + np.where(part >= MERIDIAN_FLIP, 180.0, 0.0)
    scale = np.where(plan.refocus & (part >= REFOCUS), REFOCUS_SCALE, 1.0)
    return dx, dy, rotation, scale


def _airmass(jd_utc: Floats) -> Floats:
    sidereal_deg = 280.46062 + 360.98564737 * (jd_utc - 2451545.0) + SITE_LON_DEG
    hour_angle, lat, dec = np.radians(sidereal_deg - RA_DEG), math.radians(SITE_LAT_DEG), math.radians(DEC_DEG)
    sine = math.sin(lat) * math.sin(dec) + math.cos(lat) * math.cos(dec) * np.cos(hour_angle)
    # at any hour of the day a plan has some airmass, be it a silly one
    value: Floats = 1.0 / np.maximum(sine, 0.05)
    return value


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float], n: int) -> Floats:
    value: Floats = limits[0] * (limits[1] / limits[0]) ** rng.random(n)
    return value


def _cosmic_rays(plan: NightPlan, exposure_s: Floats) -> tuple[Ints, Ints, Ints, Floats]:
    """Throw short straight tracks on the frames: frame index, x, y and ADU of every pixel hit."""
    rng = np.random.default_rng([plan.seed, _COSMIC])
    n_hits = rng.poisson(COSMIC_PER_PX_S * plan.width_px * plan.height_px * exposure_s)
    frame = np.repeat(np.arange(plan.n_frames), n_hits)
    n = len(frame)
    x0, y0 = rng.random(n) * plan.width_px - 0.5, rng.random(n) * plan.height_px - 0.5
    angle, length = rng.random(n) * 2.0 * np.pi, 1.0 + rng.exponential(1.5, n)
    adu = _log_uniform(rng, COSMIC_ADU, n)
    steps = np.arange(8)
    on = steps < length[:, None]
    x = np.rint(x0[:, None] + steps * np.cos(angle)[:, None]).astype(np.int64)
    y = np.rint(y0[:, None] + steps * np.sin(angle)[:, None]).astype(np.int64)
    share = np.broadcast_to((adu / on.sum(1))[:, None], on.shape)
    on &= (x >= 0) & (x < plan.width_px) & (y >= 0) & (y < plan.height_px)
    return np.broadcast_to(frame[:, None], on.shape)[on], x[on], y[on], share[on]


def _hot_pixels(plan: NightPlan) -> tuple[Ints, Ints, Floats]:
    rng = np.random.default_rng([plan.seed, _HOT])
    n_px = plan.width_px * plan.height_px
    place = rng.choice(n_px, round(HOT_PER_PX * n_px) if plan.hot_pixels else 0, replace=False)
    adu = _log_uniform(rng, HOT_ADU, len(place))
    return place % plan.width_px, place // plan.width_px, adu


def trail_distance(plan: NightPlan, x_px: NDArray[np.floating], y_px: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return how far places of a frame lie from the line of the satellite's trail (signed)."""
    value: NDArray[np.floating] = math.sin(0.4) * (x_px - 0.5 * plan.width_px) + math.cos(0.4) * (
        y_px - 0.6 * plan.height_px
    )
    return value


def _own_magnitudes(plan: NightPlan, labels: list[str], part: Floats) -> Floats:
    """Return how each source itself varies, (n_frames, n_sources), magnitudes about its mean."""
    mag = np.zeros((plan.n_frames, len(labels)))
    turn = 2.0 * np.pi * part * plan.duration_h / plan.asteroid_period_h
    mag[:, 0] = plan.asteroid_amplitude_mag * (0.42 * np.cos(2.0 * turn + 0.7) + 0.12 * np.cos(turn + 2.0))
    if plan.drifting_reference and "R3" in labels:
        mag[:, labels.index("R3")] = plan.drift_mag * (part - 0.5)
    if plan.variable:
        mag[:, labels.index("V1")] = 0.1 * np.sin(2.0 * np.pi * part * plan.duration_h / 2.1)
    return mag


@lru_cache(maxsize=8)
def truth_of(plan: NightPlan) -> Truth:
    """Work out all that is true of a night. No pixel is made.

    Parameters
    ----------
    plan
        What the night is to be.

    Returns
    -------
    Truth
        Computed once for a plan, and shared.
    """
    story = np.linspace(0.0, 1.0, plan.n_frames)
    weather = np.random.default_rng([plan.seed, _WEATHER])

    exposure_changed: Bools = plan.exposure_change & (story >= LONG_EXPOSURE[0]) & (story < LONG_EXPOSURE[1])
    exposure_s = plan.exposure_s * np.where(exposure_changed, plan.exposure_factor, 1.0)
    first = datetime.fromisoformat(plan.start_utc)
    first_jd = (first.replace(tzinfo=UTC) - datetime(2000, 1, 1, 12, tzinfo=UTC)) / timedelta(days=1) + 2451545.0
    start_s = np.array([(start_time(plan, index) - first).total_seconds() for index in range(plan.n_frames)])
    mid_s = start_s + 0.5 * exposure_s
    jd_utc_mid = first_jd + mid_s / 86400.0
    part = mid_s / (3600.0 * plan.duration_h)

    fog = np.where(plan.fog & (story >= FOG), (story - FOG) / (1.0 - FOG), 0.0)
    phases = 2.0 * np.pi * weather.random(4)
    haze_mag = 0.5 * plan.haze_mag * (np.sin(2.0 * np.pi * 1.3 * story + phases[0]) + np.sin(34.0 * story + phases[1]))
    haze_mag += 0.1 * plan.haze_mag * weather.normal(size=plan.n_frames)
    airmass = _airmass(jd_utc_mid)
    transparency = 10.0 ** (-0.4 * (EXTINCTION_MAG * (airmass - 1.0) + haze_mag + plan.fog_mag * fog))
    sky_adu = plan.sky_adu * exposure_s / plan.exposure_s * (1.0 + 0.15 * story) * (1.0 + 1.5 * fog)
    gradient_adu = np.where(plan.gradient & (story >= GRADIENT[0]) & (story < GRADIENT[1]), plan.gradient_adu, 0.0)
    sky_adu += 0.5 * gradient_adu
    waves = 0.5 * (np.sin(2.0 * np.pi * 1.7 * story + phases[2]) + np.sin(47.0 * story + phases[3]))
    wobble = np.clip(weather.normal(size=plan.n_frames), -3.0, 3.0)
    fwhm_px = plan.fwhm_px * (1.0 + plan.seeing_variation * (waves + 0.3 * wobble))
    fwhm_px = fwhm_px * np.where(plan.refocus & (story >= REFOCUS), REFOCUS_FWHM, 1.0)
    dx_px, dy_px, rotation_deg, scale = _mount(plan, story)

    # the sources' places are drawn for a variable too, so that the field is the same with and without it
    references = [f"R{number}" for number in range(1, len(plan.reference_flux_adu) + 1)]
    labels = ["Ganymed", *references, "C1", "V1"]
    roles = ["asteroid", *("reference" for _ in references), "check", "variable"]
    star_x, star_y = _places_of_sources(plan, len(labels) - 1)
    field_x, field_y, field_flux = _field_stars(plan, star_x, star_y)
    flux = [plan.asteroid_flux_adu, *plan.reference_flux_adu, plan.check_flux_adu, plan.variable_flux_adu]
    n_sources = len(labels) if plan.variable else len(labels) - 1
    labels, roles, flux = labels[:n_sources], roles[:n_sources], flux[:n_sources]

    start, end = _track(plan)
    plate_x = np.column_stack([start[0] + part * (end[0] - start[0]), np.tile(star_x, (plan.n_frames, 1))])
    plate_y = np.column_stack([start[1] + part * (end[1] - start[1]), np.tile(star_y, (plan.n_frames, 1))])
    x_px, y_px = place_in_frames(
        plan, plate_x[:, :n_sources], plate_y[:, :n_sources], dx_px, dy_px, rotation_deg, scale
    )
    mag = -2.5 * np.log10(flux) + _own_magnitudes(plan, labels, part)
    flux_adu = 10.0 ** (-0.4 * mag) * (transparency * exposure_s / plan.exposure_s)[:, None]

    hot_x, hot_y, hot_adu = _hot_pixels(plan)
    cosmic_frame, cosmic_x, cosmic_y, cosmic_adu = _cosmic_rays(plan, exposure_s * plan.cosmic_rays)
    return Truth(
        plan=plan,
        file_names=tuple(f"night-{number:04d}.fits" for number in range(1, plan.n_frames + 1)),
        labels=tuple(labels),
        roles=tuple(roles),
        jd_utc_mid=jd_utc_mid,
        exposure_s=exposure_s,
        dx_px=dx_px,
        dy_px=dy_px,
        rotation_deg=rotation_deg,
        scale=scale,
        fwhm_px=fwhm_px,
        transparency=transparency,
        sky_adu=sky_adu,
        airmass=airmass,
        gradient_adu=gradient_adu,
        in_fog=fog > 0.0,
        exposure_changed=exposure_changed,
        has_trail=plan.trail & (np.arange(plan.n_frames) == round(TRAIL * (plan.n_frames - 1))),
        x_px=x_px,
        y_px=y_px,
        flux_adu=flux_adu,
        mag=mag,
        star_x_px=field_x,
        star_y_px=field_y,
        star_flux_adu=field_flux,
        hot_x_px=hot_x,
        hot_y_px=hot_y,
        hot_adu=hot_adu,
        cosmic_frame=cosmic_frame,
        cosmic_x_px=cosmic_x,
        cosmic_y_px=cosmic_y,
        cosmic_adu=cosmic_adu,
    )
