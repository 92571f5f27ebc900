"""What `solve --detrend` and `--offset` ask for, as values of the frames: read here, fitted in `algorithms.terms`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.noise import gaps
from photdb.algorithms.terms import Terms, detrending, joined, offsets
from photdb.errors import PhotdbError
from photdb.stages.series import Series
from photdb.store.arrays import columns
from photdb.store.project import Project
from photdb.store.typed import frame_numbers
from photdb.wording import count

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: What curves can be detrended by, with its unit; `x` and `y` are where the target is in the frame.
DETREND: Final = {"airmass": "", "time": "d", "fwhm": "px", "x": "px", "y": "px", "sky": "ADU"}
#: What can begin a stretch of frames with an offset of its own.
OFFSETS: Final = ("pier", "jumps", "gaps")
#: A recentring moves the field by so many pixels at least, and so many times as far as frames usually move.
_JUMP_PX: Final = 3.0
_JUMP_TIMES: Final = 8.0


@dataclass(frozen=True, slots=True)
class Asked:
    """The terms asked for with their values, over the frames of a series."""

    names: tuple[str, ...]
    values: Floats  # (q, n_frames) NaN where not known
    offset: str | None
    stretch: NDArray[np.int64]  # (n_frames,) counted from 0
    stretch_names: tuple[str, ...]
    baseline: Bools | None  # frames that detrending is fitted in

    def parts(self) -> list[Any]:
        """Give what results depend on, for the digest of a unit."""
        return [self.names, self.values, self.offset, self.stretch, self.baseline]

    def known(self) -> Bools:
        """Tell in which frames all values are known."""
        return np.asarray(np.isfinite(self.values).all(axis=0))


def asked(project: Project, series: Series, source_id: int, params: dict[str, Any]) -> Asked | None:
    """Read the values of the terms asked for, for a target; None if none are.

    Raises
    ------
    PhotdbError
        A frame of the baseline does not exist.
    """
    names, offset = tuple(params["detrend"]), params["offset"]
    if not names and offset is None:
        return None
    values = term_values(project, source_id, names, frame_id=series.frame_id, jd_utc_mid=series.jd_utc_mid)
    stretch = _stretches(project, series, offset)
    begins = np.flatnonzero(np.r_[True, np.diff(stretch) > 0][: stretch.size])
    baseline = None
    if params["baseline"]:
        baseline = np.isin(series.number, frame_numbers(project.connection, params["baseline"]))
    labels = tuple(f"offset from frame {series.number[i]}" for i in begins)
    return Asked(names, values, offset, stretch, labels, baseline)


def fitted(found: Asked, series: Series, frames: Bools, window: int) -> tuple[Terms | None, list[str]]:
    """Make the terms for curves that are compared on some frames, and say what was asked for in vain.

    Raises
    ------
    ValueError
        They cannot be fitted there.
    """
    terms: Terms | None = None
    notes = []
    if found.offset is not None:
        steps = offsets(found.stretch_names, found.stretch, series.jd_utc_mid, frames, window=window)
        if steps.names:
            terms = steps
        else:
            notes.append(
                f"--offset {found.offset}: no {_STEP[found.offset]} among these frames, so no offset is fitted"
            )
    if found.names:
        trends = detrending(found.names, found.values, frames, baseline=found.baseline)
        terms = trends if terms is None else joined(terms, trends)
    return terms, notes


_STEP: Final = {"pier": "change of the pier side", "jumps": "recentring", "gaps": "gap"}


def unknown_note(found: Asked, frames: Bools) -> str | None:
    """Say which values are not known in how many of the frames that are left out for it."""
    lost = frames & ~found.known()
    if not lost.any():
        return None
    what = [name for name, row in zip(found.names, found.values, strict=True) if not np.isfinite(row[lost]).all()]
    return f"{' and '.join(what)} not known in {count(int(lost.sum()), 'frame')}, left out of detrended curves"


def term_values(
    project: Project, source_id: int, names: Sequence[str], *, frame_id: NDArray[np.int64], jd_utc_mid: Floats
) -> Floats:
    """Read what curves of a source can be detrended by (`DETREND`), in frames (n,): values (q, n); NaN: not known."""
    sql = {
        "airmass": "SELECT id, airmass FROM frame",
        "fwhm": "SELECT frame_id, fwhm_px FROM frame_quality",
        "sky": "SELECT frame_id, background_adu FROM frame_quality",
        "x": f"SELECT frame_id, x_expected_px FROM centroid WHERE source_id = {source_id:d}",  # noqa: S608 - a number
        "y": f"SELECT frame_id, y_expected_px FROM centroid WHERE source_id = {source_id:d}",  # noqa: S608
    }
    rows = []
    for name in names:
        if name == "time":
            rows.append(jd_utc_mid)
            continue
        known, value = columns(project.connection, sql[name], "if")
        of = dict(zip(known.tolist(), value.tolist(), strict=True))
        rows.append(np.array([of.get(id_, np.nan) for id_ in frame_id.tolist()]))
    return np.array(rows).reshape(len(names), frame_id.size)


def _stretches(project: Project, series: Series, offset: str | None) -> NDArray[np.int64]:
    """Count stretches of frames, from 0: between meridian flips, recentrings or gaps."""
    n = series.frame_id.size
    if offset is None or not n:
        return np.zeros(n, np.int64)
    if offset == "gaps":
        return np.cumsum(gaps(series.jd_utc_mid))
    frame_id, dx, dy, rotation = columns(
        project.connection, "SELECT frame_id, dx_px, dy_px, rotation_deg FROM shift", "ifff"
    )
    place = {id_: i for i, id_ in enumerate(frame_id.tolist())}
    of = [place.get(id_, -1) for id_ in series.frame_id.tolist()]
    if -1 in of:
        raise PhotdbError("an offset needs the shifts of all frames: run `photdb shifts` first")
    turned = np.abs((rotation[of] + 180.0) % 360.0 - 180.0) > 90.0
    begins = np.r_[False, np.diff(turned.astype(np.int64)) != 0]
    if offset == "jumps":
        moved = np.hypot(np.diff(dx[of]), np.diff(dy[of]))
        usual = float(np.median(moved)) if moved.size else 0.0
        begins |= np.r_[False, moved > max(_JUMP_PX, _JUMP_TIMES * usual)]
    return np.cumsum(begins)
