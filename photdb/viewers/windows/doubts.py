"""What speaks against a choice, said while it can still be changed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.motion import position_at
from photdb.viewers.windows.night import Floats, Night
from photdb.viewers.windows.picks import Pick, Picks
from photdb.wording import numbers

#: A neighbour of less than this part of a star's light does not disturb it.
_FAINT = 0.01
_SAME_PX = 2.0


def track(night: Night, pick: Pick) -> Floats:
    """Give where an asteroid is in all frames, (n, 2) in the reference frame; NaN with fewer than two positions."""
    times = night.frames.jd_utc_mid[[night.place(a.frame) for a in pick.anchors]]
    if len(pick.anchors) < 2 or not np.isfinite(times).all() or np.unique(times).size < times.size:
        return np.full((night.frames.id.size, 2), np.nan)
    return position_at(night.frames.jd_utc_mid, times, [(a.x_ref_px, a.y_ref_px) for a in pick.anchors])


def doubts(night: Night, picks: Picks, pick: Pick, peak_adu: float = np.nan) -> list[str]:
    """List what speaks against a source.

    Parameters
    ----------
    night : Night
        Frames, shifts, stars, apertures.
    picks : Picks
        All sources.
    pick : Pick
        The one that is judged.
    peak_adu : float
        Its highest pixel where it was just selected; NaN if it is not known.

    Returns
    -------
    list of str
        Whole clauses, the gravest first; empty where all is well.
    """
    out = []
    radius = max((r for r, _, _ in night.apertures), default=0.0)
    outer = max((o for _, _, o in night.apertures), default=0.0)
    if night.saturation_adu is not None and peak_adu >= night.saturation_adu:
        out.append(f"saturated (peak {peak_adu:.0f} ADU)")
    path = track(night, pick) if pick.role == "asteroid" else np.array([pick.place])
    if not np.isfinite(path).any():
        return out
    out += _edge(night, path, radius, outer)
    if pick.role != "asteroid":
        out += _neighbour(night, path[0], radius + night.fwhm(night.reference))
    out += _meetings(night, picks, pick, radius)
    return out


def _edge(night: Night, path: Floats, radius: float, outer: float) -> list[str]:
    used = night.used
    if not used.any():
        return []
    xy = night.shifts.of(used).to_frame(path[used][:, None] if len(path) > 1 else path[None])[:, 0]
    right, top = night.shifts.width_px - 1, night.shifts.height_px - 1
    room = np.minimum(np.minimum(xy[:, 0], right - xy[:, 0]), np.minimum(xy[:, 1], top - xy[:, 1]))
    if np.any(room < radius):
        return [f"reaches over the edge in {_frames(night, used, room < radius)}"]
    if np.any(room < outer):
        return [f"its ring reaches over the edge in {_frames(night, used, room < outer)}"]
    return []


def _neighbour(night: Night, place: Floats, reach: float) -> list[str]:
    distance = np.hypot(*(night.stars[:, :2] - place).T) if len(night.stars) else np.empty(0)
    own = distance < _SAME_PX
    light = night.stars[own, 2].max() if own.any() else 0.0
    near = ~own & (distance < 2 * reach) & (night.stars[:, 2] > _FAINT * light)
    if not near.any():
        return []
    nearest = int(np.argmin(np.where(near, distance, np.inf)))
    share = f"{100 * night.stars[nearest, 2] / light:.0f} % of its light" if light > 0 else "brighter"
    return [f"has a neighbour {distance[nearest]:.0f} px away ({share})"]


def _meetings(night: Night, picks: Picks, pick: Pick, radius: float) -> list[str]:
    """Find asteroids on the way of a star, or stars on the way of an asteroid."""
    used, out = night.used, []
    reach = radius + 2 * night.fwhm(night.reference)
    for other in picks.sources:
        if (other.role == "asteroid") == (pick.role == "asteroid") or other.label == pick.label:
            continue
        moving, still = (pick, other) if pick.role == "asteroid" else (other, pick)
        distance = np.hypot(*(track(night, moving)[used] - still.place).T)
        if np.any(distance < reach):
            where = _frames(night, used, distance < reach)
            out.append(f"{other.label} comes within {np.nanmin(distance):.0f} px in {where}")
    return out


def _frames(night: Night, used: NDArray[np.bool_], which: Any) -> str:
    return f"frame {numbers(night.frames.number[used][which].tolist(), most=3)}"
