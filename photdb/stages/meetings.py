"""What sources meet, as suggestions: stars and asteroids in their apertures, hot pixels, cosmic rays, edges."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from photdb.algorithms.flags import Flag
from photdb.stages.suggestion import Command, Night, Suggestion, commands_of
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.wording import numbers

#: A reference that a hot pixel troubles in more than this part of the frames is better left out in that aperture: its
#: frames would be missing in every comparison.
_MOST_FRAMES = 0.1
#: What hot pixels and cosmic rays do below this many errors is left to the curve's own noise; so is what stars in the
#: ring do, which the sky's median bears well and which is estimated less well.
_HIT_LEVEL = 1.0
_RING_LEVEL = 3.0
#: So much of a star's light is left when it was subtracted.
_LEFT = 0.05


def met(project: Project, night: Night, k: int, level: float) -> Iterator[Suggestion]:
    """Suggest what follows from stars, asteroids, hits and edges in a source's apertures, and stars in its rings."""
    series, source = night.series, night.series.sources[k]
    rows = (
        driver(project.connection)
        .execute(
            "SELECT e.frame_id, e.aperture_id, e.part, e.kind, e.what, e.x_px, e.y_px, e.flux_ratio, e.error_mag,"
            " abs(e.light_adu) / x.flux_err_adu, x.flux_adu FROM encounter e JOIN flux x ON x.frame_id = e.frame_id"
            " AND x.source_id = e.source_id AND x.aperture_id = e.aperture_id WHERE e.source_id = ?"
            " ORDER BY e.frame_id, e.aperture_id",
            (source.id,),
        )
        .fetchall()
    )
    moving = source.role == "asteroid"
    removed, mended = _corrected(project, source.id)
    # Of a star that was subtracted little is left, of a hit that was mended nothing.
    rows = [r if r[:2] not in removed else (*r[:9], _LEFT * (r[9] or 0), r[10]) for r in rows]
    rows = [r for r in rows if r[3] != "hot" or r[:2] not in mended]
    kinds = {
        "star": (
            "light of other stars",
            [r for r in rows if r[2:4] == ("aperture", "star") and moving and (r[9] or 0) > level],
        ),
        "ring": (
            "a star in the sky ring",
            [r for r in rows if r[2:4] == ("ring", "star") and moving and (r[9] or 0) > _RING_LEVEL],
        ),
        "asteroid": ("an asteroid passes", [r for r in rows if r[3] == "asteroid" and (r[9] or 0) > level]),
        "hot": ("a hot pixel", [r for r in rows if r[3] == "hot" and (r[9] or 0) > _HIT_LEVEL]),
        "edge": ("the edge of the frame", [r for r in rows if r[3] == "edge" and r[2] == "aperture"]),
    }
    hits = {kind: [r for r in _hit(project, night, k, kind) if r[:2] not in mended] for kind in ("hot", "cosmic")}
    kinds["hot"] = ("a hot pixel", kinds["hot"][1] + hits["hot"])
    kinds["cosmic"] = ("a cosmic ray", hits["cosmic"])
    for kind, (what, near) in kinds.items():
        cells = {(r[0], r[1]): r for r in near}
        dear = _costly(night, k, set(cells)) if kind == "hot" and source.role == "reference" else []
        commands = commands_of(night, k, {c for c in cells if c[1] not in [series.apertures[p].id for p in dear]}, what)
        for p in dear:
            if not night.settled(None, source.id, series.apertures[p].id):
                many = f"{what} in {sum(c[1] == series.apertures[p].id for c in cells)} frames"
                commands.append(Command((), source.label, (str(series.apertures[p]),), many))
        if commands:
            yield Suggestion(source.label, what, _events(night, list(cells.values()), kind), commands)


def _corrected(project: Project, source_id: int) -> tuple[set[Any], set[Any]]:
    """Give the frames and apertures in which stars were subtracted from a source, and hits mended or rejected."""
    rows = driver(project.connection).execute(
        "SELECT frame_id, aperture_id, flags FROM correction WHERE source_id = ?", (source_id,)
    )
    done = [(row[:2], row[2]) for row in rows]
    stars = {key for key, flags in done if flags & Flag.STAR_REMOVED}
    return stars, {key for key, flags in done if flags & (Flag.MENDED | Flag.HIT_REJECTED)}


def _costly(night: Night, k: int, cells: set[tuple[int, int]]) -> list[int]:
    """Give the apertures in which so many frames of a reference would go that it should go itself, and note them."""
    ids = set(night.series.frame_id.tolist())
    found = []
    for p, aperture in enumerate(night.series.apertures):
        n = sum(frame_id in ids and aperture_id == aperture.id for frame_id, aperture_id in cells)
        if night.series.allowed[k, p] and n > _MOST_FRAMES * len(ids):
            night.costly[k, p] = True
            found.append(p)
    return found


def _hit(project: Project, night: Night, k: int, kind: str) -> list[Any]:
    """Give hits in a source's apertures that count, as rows of `encounter` are given to `_events`."""
    rows = driver(project.connection).execute(
        "SELECT h.frame_id, x.aperture_id, sum(h.excess_adu), max(h.x_px), max(h.y_px), x.flux_adu, x.flux_err_adu"
        " FROM hit h JOIN centroid c ON c.source_id = h.source_id AND c.frame_id = h.frame_id"
        " JOIN flux x ON x.source_id = h.source_id AND x.frame_id = h.frame_id"
        " JOIN aperture a ON a.id = x.aperture_id AND a.removed_at IS NULL"
        " WHERE h.source_id = ? AND h.kind = ?"
        " AND (h.x_px - c.x_px) * (h.x_px - c.x_px) + (h.y_px - c.y_px) * (h.y_px - c.y_px) < a.radius_px * a.radius_px"
        " GROUP BY h.frame_id, x.aperture_id ORDER BY h.frame_id, x.aperture_id",
        (night.series.sources[k].id, kind),
    )
    found: list[Any] = []
    for frame_id, aperture_id, excess, x, y, flux, error in rows:
        if error and flux and excess > _HIT_LEVEL * error:
            mag = -2.5 * np.log10(1.0 + excess / max(flux - excess, 0.1 * flux)) if flux > 0 else None
            found.append(
                (frame_id, aperture_id, "aperture", kind, None, x, y, excess / flux, mag, excess / error, flux)
            )
    return found


def _events(night: Night, met: Sequence[Any], kind: str) -> list[str]:
    """Say in words what comes near: one line an interval of frames, or a hot pixel."""
    strongest: dict[int, Any] = {}
    for r in met:
        if r[0] not in strongest or (r[9] or 0) > (strongest[r[0]][9] or 0):
            strongest[r[0]] = r
    order = [int(i) for i in night.frames.id if int(i) in strongest]
    groups: list[list[int]] = []
    if kind == "hot":
        pixels: dict[tuple[float, float], list[int]] = {}
        for frame_id in order:
            pixels.setdefault((strongest[frame_id][5], strongest[frame_id][6]), []).append(frame_id)
        groups, order = list(pixels.values()), []
    at = {frame_id: i for i, frame_id in enumerate(night.frames.id.tolist())}
    for frame_id in order:
        if groups and at[frame_id] - at[groups[-1][-1]] <= 1:
            groups[-1].append(frame_id)
        else:
            groups.append([frame_id])
    lines = []
    for group in groups:
        r = max((strongest[f] for f in group), key=lambda r: r[9] or 0)
        which = numbers([night.number(f) for f in group])
        if kind == "edge":
            lines.append(which)
            continue
        name = r[4] or (
            f"a star at ({r[5]:.0f}, {r[6]:.0f})" if kind in ("star", "ring") else f"({r[5]:.0f}, {r[6]:.0f})"
        )
        size = "" if r[7] is None else f", {100 * r[7]:.3g} % of its light"
        size += "" if r[8] is None else f", {1000 * r[8]:.3g} mmag"
        lines.append(f"{which}: {name}{size}")
    return lines
