"""The apertures that photdb proposes: from the FWHM of the accepted frames, once, stored as a decision."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from photdb.errors import PhotdbError
from photdb.store.apertures import Spec
from photdb.store.arrays import Aperture, read_apertures, read_by_frame, read_frames
from photdb.store.decisions import set_apertures
from photdb.store.project import Project

#: Radii in units of the FWHM: the least noise of a faint star lies near 0.7, that of a bright one beyond 1.5.
_FACTORS = (0.7, 0.85, 1.0, 1.2, 1.45, 1.75, 2.1, 2.5)


def propose_apertures(fwhm_px: float, *, kinds: Sequence[str] = ("fixed",), sky: str = "median") -> list[Spec]:
    """Give apertures for stars of a FWHM: eight radii around it, and one ring that holds nothing of the star.

    Of kind `fixed` they are in pixels, of kind `fwhm` they follow each frame's FWHM; of kind `optimal` there is one.

    The ring begins at four FWHM and has ten times the area of a circle of 1.2 FWHM, so that the sky's own error adds
    about five per cent to the variance of a faint star in it.
    """
    inner = math.ceil(max(4.0 * fwhm_px, 6.0))
    outer = math.ceil(max(math.sqrt(inner**2 + 10 * (1.2 * fwhm_px) ** 2), inner + 5.0))
    radii = {
        "fixed": dict.fromkeys(round(max(factor * fwhm_px, 1.0), 1) for factor in _FACTORS),
        "fwhm": _FACTORS,
        "optimal": (0.0,),
    }
    return [Spec(radius, float(inner), float(outer), kind, sky) for kind in kinds for radius in radii[kind]]


NO_FWHM: Final = (
    "no accepted frame has a FWHM to choose apertures from: give them with `photdb measure --apertures`, or see"
    " `photdb reject list`"
)


def can_choose(project: Project) -> bool:
    """Tell whether an accepted frame has a FWHM, or may yet get one from qc."""
    sql = "SELECT 1 FROM frame_status WHERE accepted AND (fwhm_px IS NOT NULL OR n_stars IS NULL) LIMIT 1"
    return project.connection.exec_driver_sql(sql).first() is not None


def choose_apertures(project: Project, *, kinds: Sequence[str] = ("fixed",), sky: str = "median") -> list[Aperture]:
    """Put proposed apertures in force, for the median FWHM of the accepted frames.

    Raises
    ------
    PhotdbError
        No accepted frame has a FWHM.
    """
    frames = read_frames(project.connection)
    fwhm = read_by_frame(project.connection, "frame_quality", ["fwhm_px"], frames)[0][frames.accepted]
    fwhm = fwhm[np.isfinite(fwhm)]
    if not fwhm.size:
        raise PhotdbError(NO_FWHM)
    with project.transaction() as connection:
        proposed = propose_apertures(float(np.median(fwhm)), kinds=kinds, sky=sky)
        set_apertures(connection, proposed, origin="auto")
    return read_apertures(project.connection)
