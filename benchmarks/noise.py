"""The noise of a light curve, the same for every program: from fluxes alone, at each one's best aperture.

A transit's target is compared with the sum of all other stars: 1.4826 · MAD of successive differences / √2. An asteroid
with the sum of all stars, and second differences / √6, as it varies fast against the cadence.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def curves(fluxes: Floats, n_asteroids: int) -> Floats:
    """Give differential magnitudes (frame, aperture) of the night's target; NaN where a source has no flux."""
    target = -1 if n_asteroids else 0
    references = np.delete(fluxes, [fluxes.shape[1] - 1] if n_asteroids else [0], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mag: Floats = -2.5 * np.log10(fluxes[:, target] / references.sum(axis=1))
    mag[~np.isfinite(mag)] = np.nan
    return mag


def _steps(mag: Floats, n_asteroids: int) -> Floats:
    """Differences whose scatter is that of one point."""
    order, factor = (2, 6.0) if n_asteroids else (1, 2.0)
    steps: Floats = np.diff(mag[np.isfinite(mag)], order) / np.sqrt(factor)
    return steps


def _scatter_mmag(steps: Floats) -> Floats:
    """Robust scatter along the last axis, mmag."""
    middle = np.median(steps, axis=-1, keepdims=True)
    scatter: Floats = 1482.6 * np.median(np.abs(steps - middle), axis=-1)
    return scatter


def _rms_mmag(steps: Floats) -> Floats:
    """Root of the mean square along the last axis, mmag."""
    rms: Floats = 1000.0 * np.sqrt(np.mean(np.square(steps), axis=-1))
    return rms


def noise_mmag(mag: Floats, n_asteroids: int) -> float:
    """Give the noise of one curve (frame,), without its NaN."""
    steps = _steps(mag, n_asteroids)
    return float(_scatter_mmag(steps)) if len(steps) > 2 else float("nan")


def best(mag: Floats, n_asteroids: int) -> int:
    """Give the aperture of least noise."""
    noises = [noise_mmag(column, n_asteroids) for column in mag.T]
    return int(np.nanargmin(noises)) if np.isfinite(noises).any() else 0


def n_measured(fluxes: Floats, n_asteroids: int) -> int:
    """Give the number of frames that have the target in its best aperture."""
    mag = curves(fluxes, n_asteroids)
    return int(np.isfinite(mag[:, best(mag, n_asteroids)]).sum())


def _common(mag: Floats, other: Floats, n_asteroids: int) -> tuple[Floats, Floats]:
    """Give both curves, each at its best aperture, on the frames that both have."""
    missing = np.isnan(mag).all(axis=1) | np.isnan(other).all(axis=1)
    one, two = (m[~missing][:, best(m[~missing], n_asteroids)] for m in (mag, other))
    both = np.isfinite(one + two)
    return one[both], two[both]


@dataclass(frozen=True)
class Pair:
    """Two programs on the frames that both have, each at its own best aperture."""

    n_frames: int  # on which both have the target
    mmag: tuple[float, float]  # the target's noise
    ratio: tuple[float, float]  # of them, and its standard error
    rms_ratio: tuple[float, float]  # of the rms of the same differences, which a few points can decide
    stars_ratio: tuple[float, float]  # of the other stars' noise: geometric mean, and its error by the stars' scatter


def pair(fluxes: Floats, other: Floats, n_asteroids: int) -> Pair:
    """Compare the fluxes (frame, source, aperture) of two programs: noises, and the first one's over the other's."""
    one, two = _common(curves(fluxes, n_asteroids), curves(other, n_asteroids), n_asteroids)
    steps = _steps(one, n_asteroids), _steps(two, n_asteroids)
    # errors from 2000 bootstrap samples, with the same steps of both
    drawn = np.random.default_rng(1).integers(0, len(steps[0]), (2000, len(steps[0])))
    found = []
    for scatter in (_scatter_mmag, _rms_mmag):
        ratio = scatter(steps[0]) / scatter(steps[1])
        with np.errstate(invalid="ignore", divide="ignore"):  # of a few frames, a sample may be one step only
            samples = np.log(scatter(steps[0][drawn]) / scatter(steps[1][drawn]))
        found.append((float(ratio), float(ratio * np.std(samples[np.isfinite(samples)]))))
    of_stars = np.log(np.divide(*_star_noises(fluxes, other, n_asteroids)))
    mean = float(np.exp(of_stars.mean()))
    stars = mean, mean * float(of_stars.std(ddof=1) / np.sqrt(len(of_stars)))
    return Pair(len(one), (noise_mmag(one, n_asteroids), noise_mmag(two, n_asteroids)), *found, stars)


def _star_noises(fluxes: Floats, other: Floats, n_asteroids: int) -> tuple[Floats, Floats]:
    """Give the noise of each star but the target against the sum of the others; the aperture is best for their median.

    By first differences, as they stand still, on the frames in which both programs have all stars.
    """
    stars = slice(0, -n_asteroids) if n_asteroids else slice(1, None)
    cubes = fluxes[:, stars], other[:, stars]
    both = np.logical_and(*(np.isfinite(cube).all(axis=1).any(axis=1) for cube in cubes))
    found = []
    for cube in cubes:
        noises = np.full(cube.shape[1:], np.nan)
        for k, p in np.ndindex(noises.shape):
            mag = curves(np.roll(cube[both][:, :, [p]], -k, axis=1), 0)[:, 0]
            noises[k, p] = noise_mmag(mag, 0)
        medians = np.nanmedian(noises, axis=0)
        found.append(noises[:, np.nanargmin(medians)])
    return found[0], found[1]


def photdb_fluxes(
    project: Path, frames: list[str], n_stars: int, n_asteroids: int, radii: list[float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Read a project's fluxes as a peer gives them, stars as they were selected, then asteroids; and what is accepted.

    Rejected frames are measured too; `accepted` (frame,) says which are not rejected. Where hits were mended, the
    mended fluxes.
    """
    place = {Path(path).name: i for i, path in enumerate(frames)}
    fluxes = np.full((len(frames), n_stars + n_asteroids, len(radii)), np.nan)
    accepted = np.zeros(len(frames), bool)
    connection = sqlite3.connect(project)
    sources = connection.execute("SELECT label FROM source WHERE removed_at IS NULL ORDER BY role = 'asteroid', id")
    labels = [label for (label,) in sources]
    for (path,) in connection.execute("SELECT path FROM frame_status WHERE accepted"):
        accepted[place[Path(path).name]] = True
    rows = connection.execute(
        "SELECT f.path, i.source, i.radius_px, i.flux_adu FROM instrumental i JOIN frame f ON f.number = i.frame"
    ).fetchall()
    connection.close()
    for path, label, radius, flux in rows:
        fluxes[place[Path(path).name], labels.index(label), radii.index(radius)] = np.nan if flux is None else flux
    return fluxes, accepted
