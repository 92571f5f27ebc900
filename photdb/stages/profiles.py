"""The stars' profile in each frame, and how far sources are from where they are expected: for optimal extraction.

A row of `profile` is made with the fluxes that are made from it, and its `input` says from what: the frame's content
and stars, and where its sources are expected. If it is another, all optimal fluxes of the frame are work.
"""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from photdb.errors import FrameError
from photdb.stages.positions import Expected
from photdb.stages.runner import Session
from photdb.store.arrays import columns, replace_rows
from photdb.store.connection import driver
from photdb.store.currency import digest
from photdb.store.facts import session_number
from photdb.store.project import Project

if TYPE_CHECKING:
    from photdb.algorithms.profile import Moffat

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Raised by hand when profiles, offsets or optimal fluxes are made in another way.
VERSION = 1
#: So many of the brightest stars show the profile.
_MOST_STARS = 24
#: A star is alone where none of more than a fiftieth of its light is within so many FWHM.
_ALONE_FWHM, _ALONE_LIGHT = 4.0, 0.02
#: The sky of these stars, FWHM.
_RING_FWHM = (4.0, 6.0)
#: Part of the saturation above which the response may bend.
_FULL = 0.8
#: What remains between where a bright star is found and expected, when the frame's mean offset is taken off: by
#: distortion, and by what the atmosphere disperses.
_STILL_PX = 0.03
#: Standard error, of x and of y, of the expected position of a star, and of an asteroid between its anchors in terms of
#: how far from it its centroid is believed.
STAR_ERR_PX = 0.05
ASTEROID_ERR = 0.25
#: Offsets are rounded as expected positions are.
_GRID = 2.0**20
_N_CHUNK = 8
_S_PER_FRAME = 0.01


@dataclass(frozen=True, slots=True)
class Profile:
    """What a frame's optimal fluxes are made from."""

    input: int
    fwhm_px: float
    beta: float
    e_plus: float
    e_cross: float
    photon_factor: float
    n_stars: int
    x_offset_px: float
    y_offset_px: float
    n_sources: int


@dataclass(frozen=True, slots=True)
class ProfileTask:
    """Some frames whose profile is to be found, each with its stars (k, 2), in pixels, and its FWHM."""

    paths: tuple[Path, ...]
    seen: tuple[tuple[int, int], ...]
    stars: tuple[Floats, ...]
    fwhm_px: tuple[float, ...]

    def __str__(self) -> str:
        return " ".join(path.name for path in self.paths)


def profile_inputs(connection: Connection, expected: Expected, inputs: Ints, saturation_adu: float | None) -> Ints:
    """Digest what each frame's profile and offset are to be made from, (n_frames,).

    Parameters
    ----------
    connection : Connection
    expected : Expected
        Frames and sources.
    inputs : ndarray (n_frames, n_sources)
        Of the centroids, which hold the frame's content and FWHM.
    saturation_adu : float, optional
    """
    stars = dict(driver(connection).execute("SELECT frame_id, detection_digest FROM frame_quality").fetchall())
    still = [k for k, source in enumerate(expected.sources) if source.role != "asteroid"]
    ids = [expected.sources[k].id for k in still]
    one = inputs[:, still] if still else inputs[:, :1]
    return np.array(
        [
            digest(VERSION, stars.get(frame_id), saturation_adu, ids, one[i])
            for i, frame_id in enumerate(expected.frames.id.tolist())
        ],
        np.int64,
    )


def read_profiles(connection: Connection) -> dict[int, Profile]:
    """Read the profiles there are, by frame id."""
    rows = driver(connection).execute(f"SELECT frame_id, {', '.join(Profile.__slots__)} FROM profile")  # noqa: S608
    return {frame_id: Profile(*values) for frame_id, *values in rows}


def save_profiles(connection: Connection, profiles: dict[int, Profile]) -> None:
    """Save profiles by frame id, with all the optimal fluxes that are made from them.

    Those in apertures that are not in force are from another profile, and would else come back with them.
    """
    known = read_profiles(connection)
    changed = [frame_id for frame_id, p in profiles.items() if frame_id in known and known[frame_id] != p]
    driver(connection).executemany(
        "DELETE FROM flux WHERE frame_id = ? AND aperture_id IN"
        " (SELECT id FROM aperture WHERE kind = 'optimal' AND removed_at IS NOT NULL)",
        [(frame_id,) for frame_id in changed],
    )
    replace_rows(
        connection,
        "profile",
        ("frame_id", *Profile.__slots__),
        [(frame_id, *astuple(p)) for frame_id, p in profiles.items()],
    )


def profile_stars(connection: Connection, frame_id: int, fwhm_px: float, saturation_adu: float | None) -> Floats:
    """Choose the stars that show a frame's profile: bright, alone and not saturated; (k, 2), in pixels."""
    x, y, flux, peak = columns(
        connection,
        "SELECT x_px, y_px, flux_adu, peak_adu FROM detection WHERE frame_id = ? ORDER BY rank",
        "ffff",
        (frame_id,),
    )
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    np.fill_diagonal(distance, np.inf)
    disturbed = (distance < _ALONE_FWHM * fwhm_px) & (flux > _ALONE_LIGHT * flux[:, None])
    full = np.inf if saturation_adu is None else _FULL * saturation_adu
    good = np.flatnonzero(~disturbed.any(axis=1) & (peak < full))[:_MOST_STARS]
    return np.stack([x[good], y[good]], axis=1)


def find_profiles(task: ProfileTask) -> "list[Moffat | str]":
    """Fit the profile of each frame of a task, or say why it cannot be read; in a worker."""
    return [
        _find(path, seen, stars, fwhm)
        for path, seen, stars, fwhm in zip(task.paths, task.seen, task.stars, task.fwhm_px, strict=True)
    ]


def _find(path: Path, seen: tuple[int, int], stars: Floats, fwhm_px: float) -> "Moffat | str":
    from photdb.algorithms.centroid import centroids
    from photdb.algorithms.profile import USUAL_BETA, Moffat, fit_profile
    from photdb.algorithms.sky import ring_sky
    from photdb.algorithms.stamps import as_stack
    from photdb.frames import FrameReader

    if not len(stars):
        return Moffat(fwhm_px, USUAL_BETA, 0.0, 0.0, 0)
    half = math.ceil(_RING_FWHM[1] * fwhm_px + 1.5)
    x0, y0 = np.rint(stars).astype(np.int64).T
    try:
        with FrameReader(path) as reader:
            if (reader.size_bytes, reader.mtime_ns) != seen:
                return "it changed since its content was last checked: run the command again"
            stamps = as_stack(reader.cutouts(x0, y0, half))
    except FrameError as error:
        return str(error)
    x, y = stars[:, 0] - x0 + half, stars[:, 1] - y0 + half
    found = centroids(stamps, x, y, fwhm_px=fwhm_px, search_px=3, max_offset_px=1.0)
    x, y = (np.where(found.flags == 0, v, np.nan) for v in (found.x_px, found.y_px))
    good = np.flatnonzero(found.flags == 0)
    sky, scatter = np.full((2, x.size), np.nan)
    inner, outer = (r * fwhm_px for r in _RING_FWHM)
    sky[good], scatter[good], _ = ring_sky(stamps, good, x[good], y[good], inner_px=inner, outer_px=outer)
    reach = math.ceil(1.5 * fwhm_px + 1.5)
    near = slice(half - reach, half + reach + 1)
    return fit_profile(stamps[:, near, near], x - near.start, y - near.start, sky, scatter, fwhm_px=fwhm_px)


def offsets(
    connection: Connection, expected: Expected, frame_ids: Sequence[int], fwhm_px: dict[int, float]
) -> dict[int, tuple[float, float, int]]:
    """Find how far the frames' sources are from where they are expected: x, y, and how many say so.

    The mean over sources that stand still, each weighted by the error of its centroid (0.6 FWHM over the signal to
    noise of its peak) and what distortion leaves.

    Parameters
    ----------
    connection, expected
        The project; its frames and sources.
    frame_ids : sequence of int
        Of which frames; their centroids are measured.
    fwhm_px : dict
        Of each, by its id.
    """
    still = {source.id for source in expected.sources if source.role != "asteroid"}
    frame, source, dx, dy, peak, sky, scatter = columns(
        connection,
        "SELECT c.frame_id, c.source_id, c.x_px - c.x_expected_px, c.y_px - c.y_expected_px, c.peak_adu,"
        " q.background_adu, q.background_scatter_adu FROM centroid c JOIN frame_quality q ON q.frame_id = c.frame_id"
        " WHERE c.flags = 0 ORDER BY c.frame_id, c.source_id",
        "iifffff",
    )
    use = np.isin(source, list(still)) & np.isfinite(dx + dy + peak + sky + scatter) & (peak > sky)
    frame, dx, dy, peak, sky, scatter = (v[use] for v in (frame, dx, dy, peak, sky, scatter))
    found = {}
    for frame_id in frame_ids:
        here = slice(*np.searchsorted(frame, [frame_id, frame_id + 1]).tolist())
        error = 0.6 * fwhm_px[frame_id] * scatter[here] / (peak[here] - sky[here])
        weight = 1.0 / (error**2 + _STILL_PX**2)
        total = float(weight.sum())
        x, y = (
            float(np.rint((weight * d[here]).sum() / total * _GRID) / _GRID) if weight.size else 0.0 for d in (dx, dy)
        )
        found[frame_id] = (x, y, int(weight.size))
    return found


def measure_profiles(
    project: Project, session: Session, expected: Expected, wanted: Sequence[int], fwhm_px: Floats, inputs: Ints
) -> tuple[dict[int, Profile], dict[int, str]]:
    """Find the profiles of some frames, by their places, whose centroids are measured; nothing is saved yet.

    Those that there are, and are made from the same, are taken as they are.

    Returns
    -------
    profiles : dict of Profile
    unread : dict of str
        Why the others could not be read.
    """
    from photdb.algorithms.profile import photon_factor

    connection = project.connection
    ids = expected.frames.id.tolist()
    known = read_profiles(connection)
    found = {i: known[ids[i]] for i in wanted if ids[i] in known and known[ids[i]].input == inputs[i]}
    missing = [i for i in wanted if i not in found]
    rows = driver(connection).execute("SELECT id, path, size_bytes, mtime_ns FROM frame")
    files = {frame_id: rest for frame_id, *rest in rows}
    saturation = session_number(connection, "saturation_adu")
    tasks = [
        ProfileTask(
            tuple(project.frame_folder / files[ids[i]][0] for i in part),
            tuple((files[ids[i]][1], files[ids[i]][2]) for i in part),
            tuple(profile_stars(connection, ids[i], float(fwhm_px[i]), saturation) for i in part),
            tuple(float(fwhm_px[i]) for i in part),
        )
        for part in (missing[n : n + _N_CHUNK] for n in range(0, len(missing), _N_CHUNK))
    ]
    made: list[Moffat | str] = []
    with session.progress("measure: profiles", len(missing)) as advance:
        for results in session.workers.run(find_profiles, tasks, estimate_s=_S_PER_FRAME * len(missing)):
            made += results
            advance(len(results))
    unread = {i: fit for i, fit in zip(missing, made, strict=True) if isinstance(fit, str)}
    read = [i for i in missing if i not in unread]
    moved = offsets(connection, expected, [ids[i] for i in read], {ids[i]: float(fwhm_px[i]) for i in read})
    for i, fit in zip(missing, made, strict=True):
        if not isinstance(fit, str):
            factor = float(photon_factor(fit.fwhm_px, fit.beta))
            shape = (fit.fwhm_px, fit.beta, fit.e_plus, fit.e_cross)
            found[i] = Profile(int(inputs[i]), *shape, factor, fit.n_stars, *moved[ids[i]])
    return found, unread
