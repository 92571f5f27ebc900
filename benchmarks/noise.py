"""The noise of a light curve, the same for every program: from fluxes alone, at each one's best aperture.

A transit's target is compared with the sum of all other stars: 1.4826 · MAD of successive differences / √2. An asteroid
with the sum of all stars, and second differences / √6, as it varies fast against the cadence.
"""

import sqlite3
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


def noise_mmag(mag: Floats, n_asteroids: int) -> float:
    """Give the noise of one curve (frame,), without its NaN."""
    mag = mag[np.isfinite(mag)]
    order = 2 if n_asteroids else 1
    if len(mag) < order + 3:
        return float("nan")
    steps = np.diff(mag, order)
    mad = np.median(np.abs(steps - np.median(steps)))
    return float(1000 * 1.4826 * mad / np.sqrt(6 if n_asteroids else 2))


def best(mag: Floats, n_asteroids: int) -> int:
    """Give the aperture of least noise."""
    noises = [noise_mmag(column, n_asteroids) for column in mag.T]
    return int(np.nanargmin(noises)) if np.isfinite(noises).any() else 0


def least_mmag(mag: Floats, n_asteroids: int) -> float:
    """Give the noise at the best aperture."""
    return noise_mmag(mag[:, best(mag, n_asteroids)], n_asteroids)


def on_common(mag: Floats, other: Floats, n_asteroids: int) -> tuple[float, float]:
    """Give the noise of two programs on the frames that both have, each at its own best aperture there."""
    missing = np.isnan(mag).all(axis=1) | np.isnan(other).all(axis=1)
    one, two = (least_mmag(np.where(missing[:, None], np.nan, m), n_asteroids) for m in (mag, other))
    return one, two


def photdb_fluxes(project: Path, frames: list[str], n_stars: int, n_asteroids: int, radii: list[float]) -> Floats:
    """Read a project's fluxes of accepted frames as a peer gives them; its sources are S0, S1, …, then A0, …."""
    place = {Path(path).name: i for i, path in enumerate(frames)}
    labels = [f"S{k}" for k in range(n_stars)] + [f"A{k}" for k in range(n_asteroids)]
    fluxes = np.full((len(frames), len(labels), len(radii)), np.nan)
    connection = sqlite3.connect(project)
    rows = connection.execute(
        "SELECT f.path, s.label, a.radius_px, x.flux_adu FROM flux x JOIN frame f ON f.id = x.frame_id"
        " JOIN frame_status t ON t.frame_id = f.id AND t.accepted"
        " JOIN source s ON s.id = x.source_id AND s.removed_at IS NULL"
        " JOIN aperture a ON a.id = x.aperture_id AND a.removed_at IS NULL"
    ).fetchall()
    connection.close()
    for path, label, radius, flux in rows:
        fluxes[place[Path(path).name], labels.index(label), radii.index(radius)] = np.nan if flux is None else flux
    return fluxes
