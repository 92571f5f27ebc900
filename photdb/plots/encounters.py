"""Where plots mark encounters: the frames in which a target meets a star, a hot pixel, a cosmic ray or an edge."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from photdb.stages.meetings import meetings
from photdb.store.connection import driver
from photdb.store.project import Project


def frames_met(
    project: Project, target: str, frame_id: NDArray[np.int64], aperture_ids: Sequence[int]
) -> NDArray[np.bool_]:
    """Tell in which frames (n,) a target meets something that counts in each of some apertures: (n_apertures, n).

    It is what `photdb suggest` found when it last looked, by its own levels, and as it is measured: also where it was
    subtracted or mended since. Before the first `photdb suggest` nothing is met.
    """
    sql = "SELECT id, role FROM target WHERE label = ?"
    source_id, role = driver(project.connection).execute(sql, (target,)).fetchone()
    found = meetings(project, source_id, moving=role == "asteroid")
    there = {r[:2] for near in found.values() for r in near}
    return np.array([[(f, a) in there for f in frame_id.tolist()] for a in aperture_ids]).reshape(-1, frame_id.size)
