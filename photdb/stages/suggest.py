"""What to leave out, and why: read from results, proposed as commands, never done by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photdb.stages.series import Series, load_series
from photdb.store.arrays import Aperture, Frames, read_apertures, read_by_frame, read_frames
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.wording import count, numbers

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Frames are odd where these metrics exceed the median by such a factor.
_ODD = {"background_adu": (3.0, "the sky is {:.1f} times as bright as usual"),
        "fwhm_px": (1.7, "the stars are {:.1f} times as wide as usual"),
        "elongation": (1.35, "the stars are trailed: {:.2f} times as long as usual")}  # fmt: skip
#: A reference that a hot pixel troubles in more than this part of the frames is better left out in that aperture: its
#: frames would be missing in every comparison.
_MOST_FRAMES = 0.1
#: What hot pixels and cosmic rays do below this many errors is left to the curve's own noise; so is what stars in the
#: ring do, which the sky's median bears well and which is estimated less well.
_HIT_LEVEL = 1.0
_RING_LEVEL = 3.0


@dataclass(frozen=True, slots=True)
class Command:
    """A rejection as it is typed: its arguments behind `photdb reject`."""

    frames: tuple[int, ...]  # by number; empty: a source as a whole
    source: str | None
    apertures: tuple[str, ...]  # empty: all
    reason: str

    @property
    def arguments(self) -> list[str]:
        """Give the words behind `photdb reject`."""
        words = ["frames", *numbers(self.frames, most=len(self.frames)).split(", ")] if self.frames else ["source"]
        if not self.frames:
            words.append(self.source or "")
        elif self.source is not None:
            words += ["--source", self.source]
        for aperture in self.apertures:
            words += ["--aperture", aperture]
        return [*words, "--reason", self.reason]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One finding: about a source or about frames, what it is, its details, and the commands that follow."""

    about: str  # a source's name, or "frames"
    what: str
    details: list[str]
    commands: list[Command]


@dataclass(slots=True)
class _Night:
    """What is there, and what was proposed so far."""

    frames: Frames
    apertures: list[Aperture]
    series: Series
    taken_back: set[tuple[int | None, int | None, int | None]]
    in_force: set[tuple[int | None, int | None, int | None]]
    accepted_by_hand: set[int]
    out: Bools = field(init=False)  # (frame, source, aperture) of the series
    costly: Bools = field(init=False)  # (source, aperture) in which a reference has a hot pixel in many frames

    def __post_init__(self) -> None:
        self.out = np.zeros(self.series.mag.shape, bool)
        self.costly = np.zeros(self.series.mag.shape[1:], bool)

    def number(self, frame_id: int) -> int:
        return int(self.frames.number[self.frames.index(frame_id)])

    def settled(self, frame_id: int | None, source_id: int | None, aperture_id: int | None) -> bool:
        """Tell whether this, or more than this, was rejected, or taken back by the user."""
        wider = {(frame_id, source_id, aperture_id), (frame_id, source_id, None), (None, source_id, aperture_id)}
        if source_id is None:
            wider = {(frame_id, None, None)}
            if frame_id in self.accepted_by_hand:
                return True
        force = wider | {(None, source_id, None), (frame_id, None, None), (None, None, aperture_id)}
        return bool(wider & self.taken_back) or bool({k for k in force if k != (None, None, None)} & self.in_force)


def suggestions(project: Project, *, level: float) -> list[Suggestion]:
    """Find what should be left out; of what the user rejected or took back already, nothing.

    Parameters
    ----------
    project : Project
        With encounters and hits up to date.
    level : float
        Light of another star counts if it is above this part of a flux's error.
    """
    night = _read(project)
    found = list(_frames(project, night))
    for k, source in enumerate(night.series.sources):
        if source.role in ("asteroid", "variable"):
            found += _met(project, night, k, level)
    for k, source in enumerate(night.series.sources):
        if source.role == "reference":
            found += _met(project, night, k, level)
    for k, source in enumerate(night.series.sources):
        if source.role in ("asteroid", "variable"):
            found += _points(night, k)
    return found + list(_references(night))


def _read(project: Project) -> _Night:
    connection = project.connection
    rows = driver(connection).execute(
        "SELECT frame_id, source_id, aperture_id, withdrawn_at IS NULL FROM rejection ORDER BY id"
    )
    in_force, taken_back = set(), set()
    for frame_id, source_id, aperture_id, held in rows:
        (in_force if held else taken_back).add((frame_id, source_id, aperture_id))
    by_hand = driver(connection).execute("SELECT frame_id FROM acceptance WHERE withdrawn_at IS NULL")
    return _Night(
        read_frames(connection),
        read_apertures(connection),
        load_series(project, "asteroid", "variable", "reference"),
        taken_back - in_force,
        in_force,
        {frame_id for (frame_id,) in by_hand},
    )


# --- whole frames -----------------------------------------------------------------------------------------------------
def _frames(project: Project, night: _Night) -> Iterator[Suggestion]:
    """Fog, a lit sky, wide or trailed stars."""
    from photdb.algorithms.suspicion import foggy, odd

    frames, connection = night.frames, project.connection
    (light,) = read_by_frame(connection, "field_frame", ["light"], frames)
    exposure = np.where(np.isfinite(frames.exposure_s) & (frames.exposure_s > 0), frames.exposure_s, 1.0)
    usable = frames.usable & np.isfinite(frames.jd_utc_mid)
    fog, lost = foggy(np.where(usable, frames.jd_utc_mid, np.nan), np.where(usable, light / exposure, np.nan))
    said = np.zeros(fog.size, bool)
    if (found := _frame_suggestion(night, fog, "fog or clouds", lambda i: f"{lost[i].max():.1f} mag lost at most")):
        yield found
    said |= fog
    for name, (factor, text) in _ODD.items():
        (values,) = read_by_frame(connection, "frame_quality", [name], frames)
        # a longer exposure gathers more sky
        values = values / exposure if name == "background_adu" else values
        which = odd(np.where(frames.usable & ~fog, values, np.nan), factor=factor) & ~said
        said |= which
        usual = np.nanmedian(values) if np.isfinite(values).any() else 1.0
        what = {"background_adu": "a bright sky", "fwhm_px": "wide stars", "elongation": "trailed stars"}[name]
        worst = lambda i, v=values, u=usual, t=text: t.format(v[i].max() / u)  # noqa: E731
        if found := _frame_suggestion(night, which, what, worst):
            yield found
    left_out = night.frames.id[said]
    night.out[np.isin(night.series.frame_id, left_out)] = True


def _frame_suggestion(night: _Night, which: Bools, what: str, detail: Any) -> Suggestion | None:
    frames = night.frames
    new = [int(i) for i in np.flatnonzero(which & frames.accepted) if not night.settled(int(frames.id[i]), None, None)]
    if not new:
        return None
    command = Command(tuple(frames.number[new].tolist()), None, (), what)
    return Suggestion("frames", what, [f"{numbers(frames.number[new].tolist())}: {detail(new)}"], [command])


# --- what sources meet ------------------------------------------------------------------------------------------------
def _met(project: Project, night: _Night, k: int, level: float) -> Iterator[Suggestion]:
    """Stars, asteroids, hot pixels and edges in a source's apertures; in its rings, what the sky's median does not bear."""
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
    kinds["hot"] = ("a hot pixel", kinds["hot"][1] + _hit(project, night, k, "hot"))
    kinds["cosmic"] = ("a cosmic ray", _hit(project, night, k, "cosmic"))
    for kind, (what, met) in kinds.items():
        cells = {(r[0], r[1]): r for r in met}
        dear = _costly(night, k, set(cells)) if kind == "hot" and source.role == "reference" else []
        commands = _commands(night, k, {c for c in cells if c[1] not in [series.apertures[p].id for p in dear]}, what)
        for p in dear:
            if not night.settled(None, source.id, series.apertures[p].id):
                many = f"{what} in {sum(c[1] == series.apertures[p].id for c in cells)} frames"
                commands.append(Command((), source.label, (str(series.apertures[p]),), many))
        if commands:
            yield Suggestion(source.label, what, _events(night, list(cells.values()), kind), commands)


def _costly(night: _Night, k: int, cells: set[tuple[int, int]]) -> list[int]:
    """Give the apertures in which so many frames of a reference would go that it should go itself, and note them."""
    ids = set(night.series.frame_id.tolist())
    found = []
    for p, aperture in enumerate(night.series.apertures):
        n = sum(frame_id in ids and aperture_id == aperture.id for frame_id, aperture_id in cells)
        if night.series.allowed[k, p] and n > _MOST_FRAMES * len(ids):
            night.costly[k, p] = True
            found.append(p)
    return found


def _hit(project: Project, night: _Night, k: int, kind: str) -> list[Any]:
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
            found.append((frame_id, aperture_id, "aperture", kind, None, x, y, excess / flux, mag, excess / error, flux))
    return found


def _commands(night: _Night, k: int, cells: set[tuple[int, int]], reason: str) -> list[Command]:
    """Make commands of cells (frame, aperture) of a source: frames that go in the same apertures together."""
    source, series = night.series.sources[k], night.series
    place = {frame_id: i for i, frame_id in enumerate(series.frame_id.tolist())}
    wanted = [p for p in range(len(series.apertures)) if series.allowed[k, p]]
    by_frame: dict[int, list[int]] = {}
    for frame_id, aperture_id in cells:
        if frame_id in place and not night.out[place[frame_id]].all():  # else it goes as a whole
            by_frame.setdefault(frame_id, []).append(aperture_id)
    together: dict[tuple[int, ...], list[int]] = {}  # frames by the apertures in which they are to go
    for frame_id, apertures in sorted(by_frame.items(), key=lambda item: place[item[0]]):
        here = [p for p in wanted if series.apertures[p].id in apertures]
        night.out[place[frame_id], k, here] = True
        if night.settled(frame_id, source.id, None):
            continue
        here = [p for p in here if not night.settled(frame_id, source.id, series.apertures[p].id)]
        if here:
            together.setdefault(tuple(here), []).append(night.number(frame_id))
    commands = []
    for here, frames in sorted(together.items(), key=lambda item: (-len(item[0]), item[0])):
        names = () if len(here) == len(wanted) else tuple(str(series.apertures[p]) for p in here)
        commands.append(Command(tuple(frames), source.label, names, reason))
    return commands


def _events(night: _Night, met: Sequence[Any], kind: str) -> list[str]:
    """Say in words what comes near, one line an interval of frames."""
    strongest: dict[int, Any] = {}
    for r in met:
        if r[0] not in strongest or (r[9] or 0) > (strongest[r[0]][9] or 0):
            strongest[r[0]] = r
    order = [int(i) for i in night.frames.id if int(i) in strongest]
    at = {frame_id: i for i, frame_id in enumerate(night.frames.id.tolist())}
    groups: list[list[int]] = []
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
        name = r[4] or (f"a star at ({r[5]:.0f}, {r[6]:.0f})" if kind in ("star", "ring") else f"({r[5]:.0f}, {r[6]:.0f})")
        size = "" if r[7] is None else f", {100 * r[7]:.3g} % of its light"
        size += "" if r[8] is None else f", {1000 * r[8]:.3g} mmag"
        lines.append(f"{which}: {name}{size}")
    return lines


# --- points of targets ------------------------------------------------------------------------------------------------
def _points(night: _Night, k: int) -> Iterator[Suggestion]:
    """Excursions that depend on the aperture, and outliers, of a target against its references."""
    from photdb.algorithms.suspicion import excursions, median_of_known, outliers

    series, source = night.series, night.series.sources[k]
    references = series.of("reference")
    apertures = [p for p in range(len(series.apertures)) if series.allowed[k, p] and series.allowed[references, p].any()]
    if not apertures or not references:
        return
    mag = np.where(night.out, np.nan, series.mag)[:, :, apertures]
    err = series.mag_err[:, :, apertures]
    ids = [series.apertures[p].id for p in apertures]
    away = excursions(mag[:, k], err[:, k], mag[:, references])
    cells = {(int(series.frame_id[i]), ids[p]) for i, p in zip(*np.nonzero(away), strict=True)}
    what = "differs between apertures as the others do not"
    if commands := _commands(night, k, cells, what):
        which = numbers(series.number[away.any(axis=1)].tolist())
        yield Suggestion(source.label, what, [f"{which}: light in the larger ones, of something unknown"], commands)
    mag = np.where(night.out, np.nan, series.mag)[:, :, apertures]
    ensemble = median_of_known(mag[:, references] - median_of_known(mag[:, references], 0), 1)
    known = np.isfinite(mag[:, references])
    of_ensemble = np.sqrt(np.where(known, err[:, references] ** 2, 0.0).sum(axis=1)) / np.maximum(known.sum(axis=1), 1)
    off = outliers(series.jd_utc_mid, mag[:, k] - ensemble, np.hypot(err[:, k], of_ensemble))
    cells = {(int(series.frame_id[i]), ids[p]) for i in np.flatnonzero(off) for p in range(len(ids))}
    if commands := _commands(night, k, cells, "an outlier"):
        yield Suggestion(source.label, "an outlier", [numbers(series.number[off].tolist())], commands)


# --- references -------------------------------------------------------------------------------------------------------
def _references(night: _Night) -> Iterator[Suggestion]:
    """References that drift, vary, jump, or are missing: the advice of `check`, without what was proposed already."""
    from photdb.algorithms.references import advise

    series = night.series
    references = series.of("reference")
    if len(references) < 2:
        return
    # In the aperture near the middle in which most of them are left.
    left = (series.allowed & ~night.costly)[references].sum(axis=0)
    p = min(range(len(series.apertures)), key=lambda p: (-left[p], abs(p - len(series.apertures) // 2)))
    references = [k for k in references if series.allowed[k, p] and not night.costly[k, p]]
    whole = night.out.all(axis=(1, 2))  # frames that should go as a whole
    mag = np.where(night.out, np.nan, series.mag)[~whole][:, references, p].T
    err = series.mag_err[~whole][:, references, p].T
    number, ids = series.number[~whole].tolist(), series.frame_id[~whole].tolist()
    # Where an asteroid passes a reference that reference alone is out: the others are judged in the frames left.
    for advice in advise(mag, err, series.jd_utc_mid[~whole], numbers=number):
        source = series.sources[references[advice.reference]]
        if advice.remove:
            if night.settled(None, source.id, None):
                continue
            command = Command((), source.label, (), advice.reason)
            yield Suggestion(source.label, advice.reason, [], [command])
        elif advice.frames:
            cells = {(int(ids[i]), a.id) for i in advice.frames for a in series.apertures}
            if commands := _commands(night, references[advice.reference], cells, advice.reason):
                yield Suggestion(source.label, advice.reason, [], commands)


def said(found: Sequence[Suggestion]) -> str:
    """Count suggestions in words."""
    return count(len(found), "suggestion")
