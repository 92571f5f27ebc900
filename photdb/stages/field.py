"""Stage `field`: the stars and hot pixels that single frames do not show, from a stack of at most 40 frames.

The frames are chosen by their stars and sky alone, never by what the user rejected: so that a rejection, which follows
from the stars found here, does not change them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete

from photdb.algorithms.background import Background
from photdb.stages import Plan, stage_named
from photdb.stages.positions import Expected, expected_positions
from photdb.stages.runner import Session
from photdb.stages.shifts import Shifts, read_shifts, reference_frame, star_lists
from photdb.stages.strips import SkyTask, Strip, StripTask, sky_maps, stack_strip
from photdb.store import schema
from photdb.store.arrays import Frames, read_by_frame, replace_columns, replace_rows
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.facts import session_number
from photdb.store.project import Project
from photdb.wording import numbers

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Frames in the stack, at most: depth grows with their square root, and time with them.
_MOST_FRAMES = 40
_FEWEST_FRAMES = 3
_MATCH_PX = 2.0
_FEWEST_MATCHES = 3
#: Rows of the stack a task works on.
_STRIP = 128
#: Of the stack's own scatter, 3 x 3 pixels: stars far fainter than an aperture's noise are of no interest.
_N_SIGMAS = 5.0
_MOST_STARS = 20_000
#: Around an asteroid, pixels of a frame are left out of the stack.
_MASK_FWHM = 3.0
#: The stack covers all its frames, unless these lie so far apart that it would be this many times a frame's size.
_MOST_AREA = 4.0
_S_PER_MPX = 0.02
_S_PER_SKY_MPX = 0.003


@dataclass(frozen=True, slots=True)
class State:
    """What the stack would be made of; arrays are by `frames`."""

    expected: Expected
    shifts: Shifts
    light: Floats
    fwhm_px: Floats
    chosen: NDArray[np.intp]
    input: int

    @property
    def frames(self) -> Frames:
        """All frames."""
        return self.expected.frames


@dataclass(frozen=True, slots=True)
class Stacked:
    """What came out of the frames."""

    image: NDArray[np.float32]  # in the reference frame's pixels, sky subtracted, NaN where there is nothing
    count: NDArray[np.int16]  # frames that each of its pixels is the mean of
    hot: tuple[NDArray[np.intp], NDArray[np.intp], Floats]  # x and y of hot pixels, and ADU
    n_frames: int


def plan(project: Project, params: dict[str, Any]) -> Plan:
    """See whether the frames of the stack, their shifts, or the tracks through them changed."""
    plan = Plan(params, 1)
    if reference_frame(project.connection) is None:
        plan.blocked = "there are no shifts yet: `photdb shifts`"
        return plan
    state = read_state(project)
    plan.found = state
    if state.chosen.size < _FEWEST_FRAMES:
        plan.blocked = f"fewer than {_FEWEST_FRAMES} frames can be stacked: look at `photdb plot shifts`"
        return plan
    known = driver(project.connection).execute("SELECT input FROM field").fetchone()
    if known is None or known[0] != state.input:
        plan.work = [state]
        plan.reasons.append("stars of the field not looked for" if known is None else "frames or tracks changed")
    return plan


def read_state(project: Project) -> State:
    """Choose the frames of the stack, and digest all that it is made from."""
    from photdb.algorithms.stacking import choose_frames

    connection = project.connection
    expected = expected_positions(project)
    frames, shifts = expected.frames, read_shifts(connection, expected.frames)
    fwhm, sky = read_by_frame(connection, "frame_quality", ["fwhm_px", "background_adu"], frames)
    light = _light(project, frames, shifts)
    exposure = np.where(np.isfinite(frames.exposure_s) & (frames.exposure_s > 0), frames.exposure_s, 1.0)
    usable = frames.usable & np.isfinite(shifts.dx_px)
    chosen = choose_frames(light / exposure, fwhm, sky, usable, most=_MOST_FRAMES)
    crc = dict(driver(connection).execute("SELECT id, content_crc32 FROM frame").fetchall())
    made_from = (
        stage_named("field").version,
        [crc[f] for f in frames.id[chosen].tolist()],
        np.stack([shifts.dx_px, shifts.dy_px, shifts.rotation_deg, shifts.scale, fwhm, exposure])[:, chosen],
        _tracks(expected)[chosen],
        light,
        session_number(connection, "saturation_adu"),
    )
    return State(expected, shifts, light, fwhm, chosen, digest(*made_from))


def _light(project: Project, frames: Frames, shifts: Shifts) -> Floats:
    """Give the light of each frame's stars against those of the reference frame: the median of their ratios."""
    lists = star_lists(project.connection)
    reference = lists.get(reference_frame(project.connection) or 0, np.empty((0, 3)))
    light = np.full(frames.id.size, np.nan)
    ids = frames.id.tolist()
    # All at once: lists that are shorter than the longest are filled up.
    places = np.full((len(ids), max((len(stars) for stars in lists.values()), default=0), 2), np.nan)
    for i, frame_id in enumerate(ids):
        if frame_id in lists:
            places[i, : len(lists[frame_id])] = lists[frame_id][:, :2]
    places = shifts.to_reference(places)
    for i, frame_id in enumerate(ids):
        stars = lists.get(frame_id)
        if stars is None or not np.isfinite(shifts.dx_px[i]) or not len(reference):
            continue
        xy = places[i, : len(stars)]
        distance2 = (xy[:, None, 0] - reference[:, 0]) ** 2 + (xy[:, None, 1] - reference[:, 1]) ** 2
        nearest = distance2.argmin(axis=1)
        same = distance2[np.arange(len(xy)), nearest] < _MATCH_PX**2
        if same.sum() >= _FEWEST_MATCHES:
            light[i] = np.median(stars[same, 2] / reference[nearest[same], 2])
    return light


def _tracks(expected: Expected) -> Floats:
    """Give where asteroids are, (n_frames, n_asteroids, 2)."""
    return expected.xy_px[:, [k for k, s in enumerate(expected.sources) if s.role == "asteroid"]]


def run(project: Project, plan: Plan, session: Session) -> None:
    """Stack, and find stars, their profile, and hot pixels.

    Raises
    ------
    PhotdbError
        There is nothing to be seen in the stack.
    """
    from photdb.algorithms.background import background
    from photdb.algorithms.detection import detect_stars
    from photdb.algorithms.profiles import STEP_FWHM, gaussian_profile, measure_profile, remaining_stars
    from photdb.algorithms.stacking import stars_drift

    state: State = plan.work[0]
    x0, y0, shape = _canvas(state)
    middle = np.array([(state.shifts.width_px - 1) / 2, (state.shifts.height_px - 1) / 2])
    at = state.shifts.of(state.chosen).to_frame(middle[None, None])[:, 0]
    drift_px = float(np.hypot(*np.ptp(at, axis=0)))
    usual = float(np.median(state.fwhm_px[state.chosen]))
    drifts = stars_drift(at[:, 0], at[:, 1], usual)
    stacked = _stacked(project, state, session, (x0, y0), shape, detector=drifts)
    stack = stacked.image
    sky = background(stack)
    saturation = session_number(project.connection, "saturation_adu")
    stars = detect_stars(stack, sky, max_stars=_MOST_STARS, n_sigmas=_N_SIGMAS)
    fwhm = float(np.median(stars.fwhm_px)) if stars.x_px.size else usual
    # What is full in the frames is full in their mean.
    full = np.zeros(stars.x_px.size, bool)
    if saturation is not None:
        full = stars.peak_adu > 0.8 * (saturation - sky.background_adu)
    profile = gaussian_profile(fwhm)
    if stars.x_px.size:
        profile = measure_profile(
            stack, stars.x_px, stars.y_px, stars.flux_adu, fwhm, sky.background_scatter_adu, full=full
        )
    x, y, flux, width = stars.x_px, stars.y_px, stars.flux_adu, stars.fwhm_px
    # Fewer frames, more noise: at the rim of the stack, and where an asteroid was.
    scatter = sky.background_scatter_adu * np.sqrt(np.median(stacked.count) / np.maximum(stacked.count, 1))
    more = remaining_stars(stack, x, y, flux, profile, scatter.astype(np.float32), n_sigmas=_N_SIGMAS)
    x, y, flux = (np.concatenate([known, new]) for known, new in zip((x, y, flux), more, strict=True))
    width = np.concatenate([width, np.full(x.size - width.size, fwhm)])
    full = np.concatenate([full, np.zeros(x.size - full.size, bool)])
    order = np.argsort(-flux, kind="stable")
    hot_x, hot_y, hot = stacked.hot
    message = None
    if not drifts:
        message = f"the stars move by {drift_px:.1f} px only: hot pixels cannot be told from them"
    with project.transaction() as connection:
        for table in (schema.field, schema.field_frame, schema.field_star, schema.field_profile, schema.hot_pixel):
            connection.execute(delete(table))
        row = (
            1,
            state.input,
            stacked.n_frames,
            fwhm,
            sky.background_scatter_adu,
            drift_px,
            len(hot) if drifts else None,
        )
        names = [c.name for c in schema.field.columns]
        replace_rows(connection, "field", names, [(*row, message)])
        chosen = np.isin(np.arange(state.light.size), state.chosen).astype(np.int64)
        values = {"frame_id": state.frames.id, "light": state.light, "stacked": chosen}
        replace_columns(connection, "field_frame", values)
        values = {
            "rank": np.arange(1, x.size + 1),
            "x_px": x[order] + x0,
            "y_px": y[order] + y0,
            "flux_adu": flux[order],
            "fwhm_px": width[order],
            "saturated": full[order].astype(np.int64),
        }
        replace_columns(connection, "field_star", values)
        steps = np.arange(profile.per_px2.size)
        values = {"step": steps, "radius_px": steps * STEP_FWHM * profile.fwhm_px, "per_px2": profile.per_px2}
        replace_columns(connection, "field_profile", values)
        if len(hot):
            replace_columns(connection, "hot_pixel", {"x_px": hot_x, "y_px": hot_y, "adu": hot})


def _canvas(state: State) -> tuple[int, int, tuple[int, int]]:
    """Give the first pixel of the stack in the reference frame, and its shape: all its frames, or the reference's."""
    width, height = state.shifts.width_px, state.shifts.height_px
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], float)
    chosen = state.shifts.of(state.chosen)
    there = chosen.to_reference(np.broadcast_to(corners, (state.chosen.size, 4, 2))).reshape(-1, 2)
    low, high = np.floor(there.min(axis=0)).astype(int), np.ceil(there.max(axis=0)).astype(int)
    if np.prod(high - low + 1) > _MOST_AREA * width * height:
        return 0, 0, (height, width)
    return int(low[0]), int(low[1]), (int(high[1] - low[1] + 1), int(high[0] - low[0] + 1))


def _stacked(
    project: Project, state: State, session: Session, first: tuple[int, int], shape: tuple[int, int], *, detector: bool
) -> Stacked:
    """Stack the frames."""
    from photdb.algorithms.stacking import hot_pixels, placed

    rows = driver(project.connection).execute("SELECT id, path, size_bytes, mtime_ns FROM frame")
    files = {frame_id: rest for frame_id, *rest in rows}
    ids, shifts = state.frames.id.tolist(), state.shifts
    chosen = state.chosen.tolist()
    paths = [project.frame_folder / files[ids[i]][0] for i in chosen]
    seen = [(files[ids[i]][1], files[ids[i]][2]) for i in chosen]
    size_mpx = shifts.width_px * shifts.height_px / 1e6
    skies: list[Background | str] = []
    tasks = [SkyTask((path,), (file,)) for path, file in zip(paths, seen, strict=True)]
    with session.progress("field", len(tasks)) as advance:
        for found in session.workers.run(sky_maps, tasks, estimate_s=len(tasks) * size_mpx * _S_PER_SKY_MPX):
            skies += found
            advance(1)
    lost = [i for i, sky in zip(chosen, skies, strict=True) if isinstance(sky, str)]
    if lost:
        which = numbers(state.frames.number[lost].tolist())
        session.problems.append(f"frame {which} cannot be stacked ({next(s for s in skies if isinstance(s, str))})")
    known = {j: sky for j, sky in enumerate(skies) if not isinstance(sky, str)}
    exposure = state.frames.exposure_s[state.chosen]
    usual = np.nanmedian(exposure) if np.isfinite(exposure).any() else 1.0
    tracks = _tracks(state.expected)
    everything = tuple(
        Strip(
            path=paths[j],
            sky=sky,
            place=placed(
                dx_px=float(shifts.dx_px[chosen[j]]),
                dy_px=float(shifts.dy_px[chosen[j]]),
                rotation_deg=float(shifts.rotation_deg[chosen[j]]),
                scale=float(shifts.scale[chosen[j]]),
                width_px=shifts.width_px,
                height_px=shifts.height_px,
                x_px=first[0],
                y_px=first[1],
            ),
            scale=1.0 / float(state.light[chosen[j]]),
            detector_scale=float(usual / exposure[j]) if np.isfinite(exposure[j]) and exposure[j] > 0 else 1.0,
            mask=shifts.of([chosen[j]]).to_reference(tracks[[chosen[j]]])[0] - first,
            mask_px=_MASK_FWHM * float(state.fwhm_px[chosen[j]]),
        )
        for j, sky in known.items()
    )
    estimate = len(known) * size_mpx * _S_PER_MPX
    nowhere = (np.empty(0, np.intp), np.empty(0, np.intp))

    def strips(height: int, width: int, hot: Any, *, detector: bool) -> list[Any]:
        starts = range(0, height, _STRIP)
        parts = [StripTask(everything, hot, (y, min(y + _STRIP, height)), width, detector) for y in starts]
        return list(session.workers.run(stack_strip, parts, estimate_s=estimate))

    hot = (*nowhere, np.empty(0))
    if detector:  # before the stack: where the field lingers, a hot pixel would be a star in it
        images = [image for image, _ in strips(shifts.height_px, shifts.width_px, nowhere, detector=True)]
        hot = hot_pixels(np.concatenate(images, axis=1))
    parts = strips(*shape, hot[:2], detector=False)
    return Stacked(np.concatenate([i for i, _ in parts]), np.concatenate([n for _, n in parts]), hot, len(known))
