"""What sources meet, as suggestions: stars and asteroids in their apertures, hot pixels, cosmic rays, edges."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from photdb.algorithms.flags import Flag
from photdb.stages.suggestion import Command, Night, Suggestion, commands_of
from photdb.store.arrays import Frames
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.wording import numbers

#: Light of other stars counts above this part of a flux's error, unless another is asked for.
LEVEL = 0.2
#: A reference that a hot pixel troubles in more than this part of the frames is better left out in that aperture: its
#: frames would be missing in every comparison.
_MOST_FRAMES = 0.1
#: What hot pixels and cosmic rays do below this many errors is left to the curve's own noise; so is what stars in the
#: ring do, which the sky's median bears well and which is estimated less well.
_HIT_LEVEL = 1.0
_RING_LEVEL = 3.0
#: So much of a star's light is left when it was subtracted.
_LEFT = 0.05


class Meeting(NamedTuple):
    """What a source meets in a frame and an aperture; light and errors as they are measured there."""

    frame_id: int
    aperture_id: int
    part: str  # "aperture" or "ring"
    kind: str
    what: str | None  # the source that it is, if it is one
    x_px: float | None  # of a star in the reference frame; of pixels on the detector
    y_px: float | None
    flux_ratio: float | None
    error_mag: float | None
    n_errors: float | None  # its light against the flux's error
    flux_adu: float | None


#: Neither the aperture nor the source in it is left out for the whole night.
_IN_FORCE: Final = (
    "NOT EXISTS (SELECT 1 FROM rejection j WHERE j.withdrawn_at IS NULL AND j.frame_id IS NULL"
    " AND j.aperture_id = x.aperture_id AND coalesce(j.source_id, x.source_id) = x.source_id)"
)
#: What is met, by the names under which `meetings` gives it.
KINDS: Final = {
    "star": "light of other stars",
    "ring": "a star in the sky ring",
    "asteroid": "an asteroid passes",
    "hot": "a hot pixel",
    "edge": "the edge of the frame",
    "cosmic": "a cosmic ray",
}


def meetings(
    project: Project, source_id: int, *, moving: bool, level: float = LEVEL, as_measured: bool = True
) -> dict[str, list[Meeting]]:
    """Give what a source meets and what counts, by kind, in the apertures that are not left out.

    Parameters
    ----------
    project : Project
        With encounters and hits, up to date or not; without them nothing is met.
    source_id : int
    moving : bool
        It is an asteroid. Stars that are always near change nothing.
    level : float
        Light of another star or asteroid counts if it is above this part of a flux's error.
    as_measured : bool
        Count what was subtracted or mended since (`photdb measure --remove-stars`, `--hits`) as if it were there.

    Returns
    -------
    dict of str to list of Meeting
        With the keys of `KINDS`; by frame id, then aperture.
    """
    found = driver(project.connection).execute(
        "SELECT e.frame_id, e.aperture_id, e.part, e.kind, e.what, e.x_px, e.y_px, e.flux_ratio, e.error_mag,"  # noqa: S608
        " abs(e.light_adu) / x.flux_err_adu, x.flux_adu FROM encounter e JOIN flux x ON x.frame_id = e.frame_id"
        " AND x.source_id = e.source_id AND x.aperture_id = e.aperture_id"
        f" JOIN aperture a ON a.id = e.aperture_id AND a.removed_at IS NULL WHERE e.source_id = ? AND {_IN_FORCE}"
        " ORDER BY e.frame_id, e.aperture_id",
        (source_id,),
    )
    rows = [Meeting(*row) for row in found]
    hits = {kind: _hit(project, source_id, kind) for kind in ("hot", "cosmic")}
    if not as_measured:
        removed, mended = corrected(project, source_id)
        # Of a star that was subtracted little is left, of a hit that was mended nothing.
        rows = [r if r[:2] not in removed else r._replace(n_errors=_LEFT * (r.n_errors or 0)) for r in rows]
        rows = [r for r in rows if r.kind != "hot" or r[:2] not in mended]
        hits = {kind: [r for r in near if r[:2] not in mended] for kind, near in hits.items()}

    def near(part: str, kind: str, above: float) -> list[Meeting]:
        return [r for r in rows if (r.part, r.kind) == (part, kind) and (r.n_errors or 0) > above]

    return {
        "star": near("aperture", "star", level) if moving else [],
        "ring": near("ring", "star", _RING_LEVEL) if moving else [],
        "asteroid": near("aperture", "asteroid", level),
        "hot": near("aperture", "hot", _HIT_LEVEL) + hits["hot"],
        "edge": [r for r in rows if (r.part, r.kind) == ("aperture", "edge")],
        "cosmic": hits["cosmic"],
    }


def met(project: Project, night: Night, k: int, level: float) -> Iterator[Suggestion]:
    """Suggest what follows from stars, asteroids, hits and edges in a source's apertures, and stars in its rings."""
    series, source = night.series, night.series.sources[k]
    kinds = meetings(project, source.id, moving=source.role == "asteroid", level=level, as_measured=False)
    for kind, near in kinds.items():
        what, cells = KINDS[kind], {r[:2]: r for r in near}
        dear = _costly(night, k, set(cells)) if kind == "hot" and source.role == "reference" else []
        commands = commands_of(night, k, {c for c in cells if c[1] not in [series.apertures[p].id for p in dear]}, what)
        for p in dear:
            if not night.settled(None, source.id, series.apertures[p].id):
                many = f"{what} in {sum(c[1] == series.apertures[p].id for c in cells)} frames"
                commands.append(Command((), source.label, (str(series.apertures[p]),), many))
        if commands:
            yield Suggestion(source.label, what, _in_words(night, list(cells.values()), kind), commands)


def corrected(project: Project, source_id: int) -> tuple[set[Any], set[Any]]:
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


def _hit(project: Project, source_id: int, kind: str) -> list[Meeting]:
    """Give hits in a source's apertures that count."""
    rows = driver(project.connection).execute(
        "SELECT h.frame_id, x.aperture_id, sum(h.excess_adu), max(h.x_px), max(h.y_px), x.flux_adu, x.flux_err_adu"  # noqa: S608
        " FROM hit h JOIN centroid c ON c.source_id = h.source_id AND c.frame_id = h.frame_id"
        " JOIN flux x ON x.source_id = h.source_id AND x.frame_id = h.frame_id"
        " JOIN aperture a ON a.id = x.aperture_id AND a.removed_at IS NULL"
        f" WHERE h.source_id = ? AND h.kind = ? AND {_IN_FORCE}"
        " AND (h.x_px - c.x_px) * (h.x_px - c.x_px) + (h.y_px - c.y_px) * (h.y_px - c.y_px) < a.radius_px * a.radius_px"
        " GROUP BY h.frame_id, x.aperture_id ORDER BY h.frame_id, x.aperture_id",
        (source_id, kind),
    )
    found = []
    for frame_id, aperture_id, excess, x, y, flux, error in rows:
        if error and flux and excess > _HIT_LEVEL * error:
            mag = -2.5 * np.log10(1.0 + excess / max(flux - excess, 0.1 * flux)) if flux > 0 else None
            of = (None, x, y, excess / flux, mag, excess / error, flux)
            found.append(Meeting(frame_id, aperture_id, "aperture", kind, *of))
    return found


def events(frames: Frames, met: Sequence[Meeting], kind: str) -> list[list[Meeting]]:
    """Group what is met into events: intervals of frames, or a hot pixel. Of each frame there is the strongest."""
    strongest: dict[int, Meeting] = {}
    for r in met:
        if r.frame_id not in strongest or (r.n_errors or 0) > (strongest[r.frame_id].n_errors or 0):
            strongest[r.frame_id] = r
    order = [strongest[i] for i in frames.id.tolist() if i in strongest]
    if kind == "hot":
        pixels: dict[tuple[float | None, float | None], list[Meeting]] = {}
        for r in order:
            pixels.setdefault((r.x_px, r.y_px), []).append(r)
        return list(pixels.values())
    groups: list[list[Meeting]] = []
    at = {frame_id: i for i, frame_id in enumerate(frames.id.tolist())}
    for r in order:
        if groups and at[r.frame_id] - at[groups[-1][-1].frame_id] <= 1:
            groups[-1].append(r)
        else:
            groups.append([r])
    return groups


def worst_of(event: Sequence[Meeting]) -> Meeting:
    """Give the strongest of an event."""
    return max(event, key=lambda r: r.n_errors or 0)


def called(r: Meeting) -> str:
    """Say what is met: a source, a star, or a pixel."""
    if r.what is not None or r.kind == "edge":
        return r.what or KINDS["edge"]
    return f"a star at ({r.x_px:.0f}, {r.y_px:.0f})" if r.kind == "star" else f"({r.x_px:.0f}, {r.y_px:.0f})"


def _in_words(night: Night, met: Sequence[Meeting], kind: str) -> list[str]:
    """Say in words what comes near: one line an event."""
    lines = []
    for event in events(night.frames, met, kind):
        r, which = worst_of(event), numbers([night.number(of.frame_id) for of in event])
        if kind == "edge":
            lines.append(which)
            continue
        size = "" if r.flux_ratio is None else f", {100 * r.flux_ratio:.3g} % of its light"
        size += "" if r.error_mag is None else f", {1000 * r.error_mag:.3g} mmag"
        lines.append(f"{which}: {called(r)}{size}")
    return lines
