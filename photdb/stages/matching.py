"""The worker's side of `shifts`: match the stars of frames with the reference frame's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Stars = NDArray[np.float64]

#: Columns of `shift` that are measured, beside the flags.
SHIFT = ("dx_px", "dy_px", "rotation_deg", "scale", "n_matched", "residual_px")


@dataclass(frozen=True, slots=True)
class MatchTask:
    """Stars of some frames, and of the reference frame: (n, 3) of x, y in pixels and flux in ADU, brightest first."""

    frames: tuple[tuple[int, Stars], ...]
    reference: Stars
    width_px: int
    height_px: int

    def __str__(self) -> str:
        return f"the stars of {len(self.frames)} frames"


def register_frames(task: MatchTask) -> list[tuple[Any, ...]]:
    """Match the frames of a task; runs in a worker. Gives a tuple a frame: its id, `SHIFT`, flags."""
    from photdb.algorithms.registration import prepare, register

    reference = prepare(*task.reference.T, width_px=task.width_px, height_px=task.height_px)
    out = []
    for frame_id, stars in task.frames:
        found = register(stars[:, 0], stars[:, 1], stars[:, 2], reference)
        out.append((frame_id, *(getattr(found, name) for name in SHIFT), int(found.flags)))
    return out
