"""Stage `encounters`: for each source, in which frames stars, asteroids, hot pixels and edges come within reach.

Nothing but what is stored is read.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete

from photdb.algorithms.encounters import error_mag, running_median, sky_raised, within_reach
from photdb.algorithms.flags import Flag
from photdb.algorithms.profiles import REACH_FWHM, circle, part_within
from photdb.stages import Plan, stage_named
from photdb.stages.runner import Session
from photdb.stages.surroundings import Fluxes, Surroundings, read_fluxes, read_surroundings
from photdb.store import schema
from photdb.store.arrays import replace_rows
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.project import Project
from photdb.wording import count

Floats = NDArray[np.float64]

#: Light below this part of a flux's error is not kept.
LEAST_LEVEL = 0.1
#: Frames of the running median of fluxes.
_SMOOTH = 15


def plan(project: Project, params: dict[str, Any]) -> Plan:
    """Find sources whose surroundings, positions or fluxes changed."""
    plan = Plan(params)
    if driver(project.connection).execute("SELECT 1 FROM field").fetchone() is None:
        plan.blocked = "the stars of the field are not known yet: `photdb suggest`"
        return plan
    around = read_surroundings(project)
    if not around.apertures:
        return plan
    plan.n_units, plan.found = len(around.expected.sources), around
    known = dict(driver(project.connection).execute("SELECT source_id, input FROM encounter_input").fetchall())
    for k, source in enumerate(around.expected.sources):
        fluxes = read_fluxes(project, around, k)
        if known.get(source.id) != _input(around, k, fluxes):
            plan.work.append((k, fluxes))
    if plan.work:
        plan.reasons.append(f"{count(len(plan.work), 'source')} not held against the field")
    return plan


def _input(around: Surroundings, k: int, fluxes: Fluxes) -> int:
    asteroids = [j for j, s in enumerate(around.expected.sources) if s.role == "asteroid" or j == k]
    return digest(
        stage_named("encounters").version,
        around.input,
        around.expected.sources[k].role,
        [a.id for a in around.apertures],
        around.expected.frames.exposure_s,
        around.xy_ref[:, asteroids],
        fluxes.flux,
        fluxes.error,
        fluxes.flags,
    )


def run(project: Project, plan: Plan, session: Session) -> None:
    """Hold sources against the field."""
    around: Surroundings = plan.found
    circles = tuple(circle(around.profile, a.spec.radius, around.fwhm_px) for a in around.apertures)
    around = replace(around, circles=circles)
    names = [c.name for c in schema.encounter.columns]
    asteroids = {
        j: _asteroid(project, around, j) for j, s in enumerate(around.expected.sources) if s.role == "asteroid"
    }
    with session.progress("encounters", len(plan.work)) as advance:
        for k, fluxes in plan.work:
            rows = encounters_of(around, k, fluxes, asteroids)
            source_id = around.expected.sources[k].id
            with project.transaction() as connection:
                connection.execute(delete(schema.encounter).where(schema.encounter.c.source_id == source_id))
                replace_rows(connection, "encounter", names, rows)
                input_ = (source_id, _input(around, k, fluxes))
                replace_rows(connection, "encounter_input", ("source_id", "input"), [input_])
            advance(1)


def encounters_of(around: Surroundings, k: int, fluxes: Fluxes, asteroids: "dict[int, Near]") -> list[tuple[Any, ...]]:
    """Give the rows of `encounter` of a source; asteroids by their place among the sources."""
    rows: list[tuple[Any, ...]] = []
    moving = around.expected.sources[k].role == "asteroid"
    stars = _stars(around, k)
    # What is always in the ring of a source that stands still changes nothing.
    raised = _raised(around, k, fluxes, stars) if moving else {}
    for p, aperture in enumerate(around.apertures):
        own = _own_flux(fluxes.flux[:, p], _light(around, k, stars, p) if moving else None)
        for kind, near in (("star", stars), *(("asteroid", other) for j, other in asteroids.items() if j != k)):
            light = _pairs_light(around, k, near, p)
            rows += _rows(around, k, p, fluxes, own, "aperture", kind, near, light, varies=moving or kind == "asteroid")
        if moving:
            ring = -raised[aperture.annulus_inner_px, aperture.annulus_outer_px] * np.pi * aperture.spec.radius**2
            rows += _rows(around, k, p, fluxes, own, "ring", "star", stars, ring, varies=True)
        hot, light = _hot(around, k, aperture.spec.radius)
        rows += _rows(around, k, p, fluxes, own, "aperture", "hot", hot, light, varies=True)
        for part, flag in (("aperture", Flag.EDGE), ("ring", Flag.RING_EDGE)):
            over = np.flatnonzero((fluxes.flags[:, p] & flag) != 0)
            key = [(int(i), aperture.id, part, "edge") for i in over]
            rows += [
                (around.expected.sources[k].id, int(around.expected.frames.id[i]), *rest, *[None] * 7)
                for i, *rest in key
            ]
    return rows


@dataclass(frozen=True, slots=True)
class Near:
    """Pairs of a frame and something near a source in it, (m,)."""

    frame: NDArray[np.intp]
    x: Floats
    y: Floats
    distance_px: Floats
    flux: Floats  # in that frame
    name: list[str | None]


def _stars(around: Surroundings, k: int) -> Near:
    xy = around.xy_ref[:, k]
    # A ring sees no farther than its rim and three FWHM.
    rim = max(a.annulus_outer_px for a in around.apertures) - (REACH_FWHM - 3.0) * float(around.fwhm_px.min())
    reach = max([a.spec.radius for a in around.apertures] + [rim])
    far = (reach + REACH_FWHM * around.fwhm_px) / np.where(np.isfinite(around.shifts.scale), around.shifts.scale, 1.0)
    frame, star = within_reach(xy[:, 0], xy[:, 1], around.star_x, around.star_y, far)
    if around.expected.sources[k].role != "asteroid":  # it is one of the field's stars itself
        middle = np.nanmedian(xy, axis=0) if np.isfinite(xy).any() else np.full(2, np.inf)
        own = np.hypot(around.star_x - middle[0], around.star_y - middle[1]) < max(1.0, 0.6 * around.profile.fwhm_px)
        frame, star = frame[~own[star]], star[~own[star]]
    known = np.isfinite(around.light[frame])
    frame, star = frame[known], star[known]
    x, y = around.star_x[star], around.star_y[star]
    distance = np.hypot(x - xy[frame, 0], y - xy[frame, 1]) * around.shifts.scale[frame]
    names = _names(around)
    return Near(frame, x, y, distance, around.star_flux[star] * around.light[frame], [names[s] for s in star.tolist()])


def _names(around: Surroundings) -> list[str | None]:
    """Give which of the field's stars are sources, by name."""
    names: list[str | None] = [None] * around.star_x.size
    for k, source in enumerate(around.expected.sources):
        xy = around.xy_ref[:, k]
        if source.role == "asteroid" or not np.isfinite(xy).any() or not names:
            continue
        middle = np.nanmedian(xy, axis=0)
        distance = np.hypot(around.star_x - middle[0], around.star_y - middle[1])
        if distance.min() < max(1.0, 0.6 * around.profile.fwhm_px):
            names[int(distance.argmin())] = source.label
    return names


def _asteroid(project: Project, around: Surroundings, j: int) -> Near:
    """Give an asteroid as something that any source may be near to: distances are of that source, made later."""
    fluxes = read_fluxes(project, around, j)
    middle = len(around.apertures) // 2
    part = part_within(around.circles[middle], np.zeros(around.fwhm_px.size), around.fwhm_px)
    good = (fluxes.flags[:, middle] & int(Flag.NO_POSITION | Flag.SATURATED | Flag.CONTAMINATED | Flag.EDGE)) == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.where(good, fluxes.flux[:, middle] / part / around.light, np.nan)
    usual = float(np.nanmedian(total)) if np.isfinite(total).any() else 0.0
    frame = np.flatnonzero(np.isfinite(around.light) & np.isfinite(around.xy_ref[:, j, 0]))
    x, y = around.xy_ref[frame, j].T
    label = around.expected.sources[j].label
    return Near(frame, x, y, np.zeros(frame.size), usual * around.light[frame], [label] * frame.size)


def _distance(around: Surroundings, k: int, near: Near) -> Floats:
    xy = around.xy_ref[near.frame, k]
    distance: Floats = np.hypot(near.x - xy[:, 0], near.y - xy[:, 1]) * around.shifts.scale[near.frame]
    return np.where(np.isfinite(distance), distance, 1e6)


def _pairs_light(around: Surroundings, k: int, near: Near, p: int) -> Floats:
    return near.flux * part_within(around.circles[p], _distance(around, k, near), around.fwhm_px[near.frame])


def _light(around: Surroundings, k: int, near: Near, p: int) -> Floats:
    light = _pairs_light(around, k, near, p)
    return np.bincount(near.frame, light, minlength=around.fwhm_px.size).astype(np.float64)


def _own_flux(flux: Floats, light: Floats | None) -> Floats:
    """Give a source's own flux: what was measured, less the light of others; where that fails the running median."""
    own = flux - (0.0 if light is None else light)
    usual = running_median(own, _SMOOTH)
    return np.where((own > 0.3 * usual) & np.isfinite(own), own, usual)


def _raised(around: Surroundings, k: int, fluxes: Fluxes, near: Near) -> dict[tuple[float, float], Floats]:
    """Give, by ring, how much each pair raises the sky."""
    out = {}
    for p, aperture in enumerate(around.apertures):
        ring = (aperture.annulus_inner_px, aperture.annulus_outer_px)
        if ring not in out:
            out[ring] = sky_raised(
                around.profile,
                near.flux,
                near.distance_px,
                around.fwhm_px[near.frame],
                np.nan_to_num(fluxes.sky_scatter[near.frame, p]),
                np.nan_to_num(fluxes.n_sky[near.frame, p]),
                inner_px=ring[0],
                outer_px=ring[1],
            )
    return out


def _hot(around: Surroundings, k: int, radius_px: float) -> tuple[Near, Floats]:
    """Give the hot pixels in a circle about a source, and their light in it."""
    from photdb.algorithms.aperture import circle_overlap

    xy = around.shifts.to_frame(around.xy_ref[:, [k]])[:, 0]
    reach = np.full(len(xy), radius_px + 0.71)
    frame, pixel = within_reach(xy[:, 0], xy[:, 1], around.hot_x, around.hot_y, reach)
    dx, dy = around.hot_x[pixel] - xy[frame, 0], around.hot_y[pixel] - xy[frame, 1]
    exposure = around.expected.frames.exposure_s
    usual = np.nanmedian(exposure) if np.isfinite(exposure).any() else 1.0
    times = np.where(np.isfinite(exposure) & (exposure > 0), exposure / usual, 1.0)[frame]
    flux = around.hot_adu[pixel] * times
    light = flux * circle_overlap(dx, dy, np.full(dx.shape, radius_px))
    near = Near(frame, around.hot_x[pixel], around.hot_y[pixel], np.hypot(dx, dy), flux, [None] * frame.size)
    return near, light


def _rows(
    around: Surroundings,
    k: int,
    p: int,
    fluxes: Fluxes,
    own: Floats,
    part: str,
    kind: str,
    near: Near,
    light: Floats,
    *,
    varies: bool,
) -> list[tuple[Any, ...]]:
    """Give the rows of one kind in one aperture or ring: frames where its light counts, each with the worst of them."""
    n = own.size
    total = np.bincount(near.frame, light, minlength=n).astype(np.float64)
    matters = np.abs(total) > LEAST_LEVEL * fluxes.error[:, p]  # false for NaN
    if not matters.any():
        return []
    error = error_mag(total, own)
    if not varies:  # what is always there changes no differential magnitude
        error = error - np.nanmedian(error)
    worst = np.full(n, -1)
    order = np.argsort(np.abs(light), kind="stable")
    worst[near.frame[order]] = order
    at = np.flatnonzero(matters)
    distance = near.distance_px if kind != "asteroid" else _distance(around, k, near)
    w = worst[at]
    source, ids, aperture = (
        around.expected.sources[k].id,
        around.expected.frames.id[at].tolist(),
        around.apertures[p].id,
    )
    values = (near.x[w], near.y[w], distance[w], total[at], total[at] / own[at], error[at])
    return [
        (source, i, aperture, part, kind, near.name[j], *rest)
        for i, j, *rest in zip(ids, w.tolist(), *(v.tolist() for v in values), strict=True)
    ]
