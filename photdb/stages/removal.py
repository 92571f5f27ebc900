"""Stars that an asteroid crosses, subtracted: measured in the same aperture, at the same place, when it is away.

The aperture is laid over the place of the crossing, where the asteroid's track says it is, in other frames of like
seeing; with its ring. What it holds there, scaled by the light of all stars, is what the asteroid's flux has too much:
every star near, seen with the same profile, and what stars in the ring did to the sky. Where that is known less well
than to a twentieth (faint stars; places that no frame of like seeing shows), the stars' fluxes in the stack of the
field, where the asteroid is left out, are taken instead, with the stack's profile stretched to the frame's seeing.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.flags import Flag
from photdb.algorithms.profiles import circle, part_within
from photdb.algorithms.suspicion import median_of_known
from photdb.stages.corrections import Cell, measured_cells
from photdb.stages.errors import frame_errors, shape_of, with_errors
from photdb.stages.stamps import StampTask, measure_stamps
from photdb.stages.surroundings import Surroundings, read_surroundings
from photdb.store.connection import driver
from photdb.store.project import Project

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

#: Frames that show a place without the asteroid: at most, at least.
_MOST = 15
_FEWEST = 3
#: It is away when it is this many FWHM outside the aperture.
_AWAY_FWHM = 2.0
#: Wider or narrower stars than by these parts are another profile.
_LIKE = 0.25
#: Between frames of different seeing, no light is scaled by more than this.
_MOST_SCALED = 1.5
#: Light that is foretold from the stack is good to this part of itself.
_MODEL_ERROR = 0.05


def remove_stars(project: Project, session: Any, k: int) -> dict[tuple[int, int], Cell]:
    """Give the corrected fluxes of an asteroid, the source at place `k`, where stars are met."""
    around = read_surroundings(project)
    source = around.expected.sources[k]
    rows = driver(project.connection).execute(
        "SELECT DISTINCT frame_id FROM encounter WHERE source_id = ? AND part = 'aperture' AND kind = 'star'",
        (source.id,),
    )
    place = {frame_id: i for i, frame_id in enumerate(around.expected.frames.id.tolist())}
    met = sorted(place[frame_id] for (frame_id,) in rows if np.isfinite(around.light[place[frame_id]]))
    shown = {f: _shown(around, k, f) for f in met}
    if not met or not around.apertures:
        return {}
    # Each place is looked at in its own frame first, then in those that show it without the asteroid.
    where = [(f, g) for f in met for g in (f, *shown[f].tolist())]
    flux, noise = _measured(project, session, around, k, where)
    model = _model(around, k, where)
    cells: dict[tuple[int, int], Cell] = {}
    start = 0
    xy = around.shifts.to_frame(around.xy_ref[:, [k]])[:, 0]
    frames = around.expected.frames
    known = measured_cells(project, source.id, frames.id[met].tolist())
    for f in met:
        stop = start + 1 + shown[f].size
        others = slice(start + 1, stop)
        scale = (around.light[f] / around.light[shown[f]])[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            seeing = np.where(model[others] > 0, model[start] / model[others], 1.0)
        seeing = np.clip(np.nan_to_num(seeing, nan=1.0), 1.0 / _MOST_SCALED, _MOST_SCALED)
        light = np.where(_away(around, k, f, shown[f]), flux[others] * scale * seeing, np.nan)
        star, error = _clipped_mean(light)
        foretold = model[start] * around.light[f]
        better = ~(error < _MODEL_ERROR * foretold)
        star, error = np.where(better, foretold, star), np.where(better, _MODEL_ERROR * foretold, error)
        for p, aperture in enumerate(around.apertures):
            raw, flags = flux[start, p], int(noise[start, p, 1])
            if not (np.isfinite(raw) and np.isfinite(star[p])):
                continue
            value = raw - star[p]
            flags = (flags & ~int(Flag.CONTAMINATED)) | int(Flag.STAR_REMOVED)
            flags = flags | int(Flag.NOT_POSITIVE) if value <= 0 else flags & ~int(Flag.NOT_POSITIVE)
            sigma = float(np.hypot(noise[start, p, 0], error[p]))
            key = (int(frames.id[f]), aperture.id)
            if key in known:  # pixels that are full are so whatever is subtracted
                flags |= known[key].flags & int(Flag.SATURATED | Flag.NO_POSITION)
            cells[key] = Cell(float(value), sigma, float(star[p]), flags, float(xy[f, 0]), float(xy[f, 1]))
        start = stop
    return cells


def _shown(around: Surroundings, k: int, f: int) -> Ints:
    """Choose frames that show the place of a crossing without asteroids: in most apertures, then with like seeing."""
    at = around.xy_ref[f, k]
    good = around.ordinary.copy()
    n_away = _away(around, k, f, np.arange(good.size)).sum(axis=1)
    good &= n_away > 0
    # The whole ring, too.
    xy = around.shifts.to_frame(np.broadcast_to(at, (good.size, 1, 2)))[:, 0]
    rim = max(a.annulus_outer_px for a in around.apertures)
    good &= (xy.min(axis=1) > rim) & (xy[:, 0] < around.shifts.width_px - 1 - rim)
    good &= xy[:, 1] < around.shifts.height_px - 1 - rim
    unlike = np.abs(np.log(around.fwhm_px / around.fwhm_px[f]))
    candidates = np.flatnonzero(good & (unlike < _LIKE))
    order = np.lexsort((unlike[candidates], -n_away[candidates]))
    return np.sort(candidates[order][:_MOST])


def _away(around: Surroundings, k: int, f: int, frames: Ints) -> Bools:
    """Tell in which frames (n) and apertures asteroids leave the place of a crossing alone, (n, apertures)."""
    at, radii = around.xy_ref[f, k], np.array([a.spec.radius for a in around.apertures])
    clear = (radii + _AWAY_FWHM * around.fwhm_px[frames, None]) / around.shifts.scale[frames, None]
    away = np.ones(clear.shape, bool)
    for j, source in enumerate(around.expected.sources):
        if source.role == "asteroid":
            away &= ~(np.hypot(*(around.xy_ref[frames, j] - at).T)[:, None] < clear)
    return away


def _measured(
    project: Project, session: Any, around: Surroundings, k: int, where: list[tuple[int, int]]
) -> tuple[Floats, Floats]:
    """Measure places of crossings `f` in frames `g`: fluxes (n, apertures), errors and flags (n, apertures, 2)."""
    rows = driver(project.connection).execute("SELECT id, path, size_bytes, mtime_ns FROM frame")
    files = {frame_id: rest for frame_id, *rest in rows}
    ids = around.expected.frames.id.tolist()
    radii = np.array([a.spec.radius for a in around.apertures])
    rings = np.array([(a.annulus_inner_px, a.annulus_outer_px) for a in around.apertures])
    of, to = np.array(where, np.intp).T
    xy = around.shifts.of(to).to_frame(around.xy_ref[of, k][:, None])[:, 0]
    order = np.argsort(to, kind="stable")
    frames = np.unique(to)
    tasks = []
    for chunk in np.array_split(frames, max(1, frames.size // 16)):
        mine = order[np.isin(to[order], chunk)]
        tasks.append(
            StampTask(
                paths=tuple(project.frame_folder / files[ids[g]][0] for g in chunk.tolist()),
                seen=tuple((files[ids[g]][1], files[ids[g]][2]) for g in chunk.tolist()),
                stamp_frame=np.searchsorted(chunk, to[mine]),
                x_px=xy[mine, 0],
                y_px=xy[mine, 1],
                fwhm_px=around.fwhm_px[to[mine]],
                max_offset_px=np.zeros(mine.size),
                search_px=2,
                fit=False,
                radius_px=radii,
                rings=rings,
                sky=tuple(a.sky for a in around.apertures),
            )
        )
    found = list(session.workers.run(measure_stamps, tasks, estimate_s=5e-5 * to.size))
    columns = {name: np.concatenate([part.flux[name] for part in found]) for name in found[0].flux}
    flags = np.concatenate([part.flux_flags for part in found])
    facts = frame_errors(project.connection, around.expected.frames)
    error, flags = with_errors(
        facts.detector,
        flux_adu=columns["flux_adu"],
        noise_area_px=columns["noise_area_px"],
        shape=shape_of(around.apertures, around.fwhm_px[to[order]], columns["noise_area_px"], np.ones(order.size)),
        sky_scatter_adu=columns["sky_scatter_adu"],
        n_sky=columns["n_sky"],
        peak_adu=np.full((order.size, 1), -np.inf),
        fwhm_px=around.fwhm_px[to[order]][:, None],
        passing_px=np.full((order.size, 1), np.inf),
        scintillation_mag=facts.scintillation_mag[to[order]][:, None],
        flags=flags,
    )
    flux, noise = np.empty_like(columns["flux_adu"]), np.empty((*error.shape, 2))
    flux[order], noise[order, :, 0], noise[order, :, 1] = columns["flux_adu"], error, flags
    return flux, noise


def _model(around: Surroundings, k: int, where: list[tuple[int, int]]) -> Floats:
    """Give the stars' light in the apertures, (n, apertures), as the profile foretells it, per unit of light."""
    of, to = np.array(where, np.intp).T
    at = around.xy_ref[of, k]
    near = np.flatnonzero(np.hypot(around.star_x - at[:, :1], around.star_y - at[:, 1:]).min(axis=0) < 200.0)
    distance = np.hypot(around.star_x[near] - at[:, :1], around.star_y[near] - at[:, 1:])
    fwhm = np.broadcast_to(around.fwhm_px[to][:, None], distance.shape)
    out = np.empty((of.size, len(around.apertures)))
    for p, aperture in enumerate(around.apertures):
        table = circle(around.profile, aperture.spec.radius, around.fwhm_px)
        out[:, p] = (around.star_flux[near] * part_within(table, distance, fwhm)).sum(axis=1)
    return out


def _clipped_mean(light: Floats) -> tuple[Floats, Floats]:
    """Average over frames (n, p) without what is far off, and give the mean's error; NaN for fewer than three."""
    if not len(light):
        return np.full(light.shape[1], np.nan), np.full(light.shape[1], np.nan)
    middle = median_of_known(light, 0)
    spread = 1.4826 * median_of_known(np.abs(light - middle), 0)
    use = np.abs(light - middle) <= 3.0 * spread + 1e-9
    n = np.where(use.sum(axis=0) >= _FEWEST, use.sum(axis=0), np.nan)
    mean = np.where(use, light, 0.0).sum(axis=0) / n
    error: Floats = np.sqrt(np.where(use, (light - mean) ** 2, 0.0).sum(axis=0) / (n - 1) / n)
    return mean, error
