"""What every peer is given, and the places of the sources in it."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Job:
    """Frames in time order, sources in pixels, 0-based."""

    frames: list[str]
    jd: list[float]
    stars: np.ndarray  # (n, 2) in the first frame
    asteroids: np.ndarray  # (m, 4) in the first and in the last frame, x y x y
    radii: list[float]
    annulus: tuple[float, float]
    saturation: float
    fwhm: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Give the shape of the fluxes."""
        return len(self.frames), len(self.stars) + len(self.asteroids), len(self.radii)

    def places(self, last_to_first) -> np.ndarray:
        """Give all sources in the first frame's pixels at the time of each frame, (n_frames, n_sources, 2).

        `last_to_first` turns points (m, 2) of the last frame into those of the first.
        """
        jd = np.array(self.jd)
        part = ((jd - jd[0]) / (jd[-1] - jd[0]))[:, None, None]
        fixed = np.broadcast_to(self.stars, (len(jd), *self.stars.shape))
        if not len(self.asteroids):
            return fixed
        start, end = self.asteroids[:, :2], np.asarray(last_to_first(self.asteroids[:, 2:]))
        return np.concatenate([fixed, start + part * (end - start)], axis=1)


def read_job(path: str | Path) -> Job:
    """Read what `benchmarks.nights` wrote."""
    job = json.loads(Path(path).read_text())
    job["stars"] = np.array(job["stars"], float).reshape(-1, 2)
    job["asteroids"] = np.array(job["asteroids"], float).reshape(-1, 4)
    return Job(**job)
