"""What is true of a synthetic night: the record of it, where it is kept, and what can be asked of it directly."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.simulate.plan import NightPlan

TRUTH_FILE: Final = "truth.npz"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """All that is true of a synthetic night; arrays are read-only.

    The stars' places are given on a *plate*, the frame that the mount would take without any shift. A place p of the
    plate is in a frame at `c + scale·Rot(rotation)·(p − c) + (dx, dy)`, c being the frame's middle.

    Parameters
    ----------
    plan
        The plan that the night follows.
    file_names, labels, roles
        The frames' file names in time order; the sources' names and roles.
    jd_utc_mid, exposure_s, dx_px, dy_px, rotation_deg, scale, fwhm_px, transparency, sky_adu, airmass
        Per frame, (n_frames,). The sky is that of the whole exposure in the frame's middle, without the pedestal.
        Transparency is 1 at airmass 1 in a clear sky.
    gradient_adu
        Rise of the background from the first pixel's corner to the last's, (n_frames,); 0 where there is none.
    in_fog, exposure_changed, has_trail
        Per frame, (n_frames,).
    x_px, y_px, flux_adu, mag
        Per frame and source, (n_frames, n_sources): place in the frame at mid-exposure, flux in it, and magnitude
        as it would be with a nominal exposure at airmass 1 in a clear sky: its own variation is all that varies.
    star_x_px, star_y_px, star_flux_adu
        The field's other stars, (n_stars,): places on the plate, fluxes as in the plan.
    hot_x_px, hot_y_px, hot_adu
        Hot pixels, the same in all frames; signal of a nominal exposure.
    cosmic_frame, cosmic_x_px, cosmic_y_px, cosmic_adu
        Pixels hit by cosmic rays: index of the frame (from 0), place, signal; in order of frames.
    """

    plan: NightPlan
    file_names: tuple[str, ...]
    labels: tuple[str, ...]
    roles: tuple[str, ...]
    jd_utc_mid: Floats
    exposure_s: Floats
    dx_px: Floats
    dy_px: Floats
    rotation_deg: Floats
    scale: Floats
    fwhm_px: Floats
    transparency: Floats
    sky_adu: Floats
    airmass: Floats
    gradient_adu: Floats
    in_fog: Bools
    exposure_changed: Bools
    has_trail: Bools
    x_px: Floats
    y_px: Floats
    flux_adu: Floats
    mag: Floats
    star_x_px: Floats
    star_y_px: Floats
    star_flux_adu: Floats
    hot_x_px: Ints
    hot_y_px: Ints
    hot_adu: Floats
    cosmic_frame: Ints
    cosmic_x_px: Ints
    cosmic_y_px: Ints
    cosmic_adu: Floats

    def __post_init__(self) -> None:
        # the truth of a plan is computed once and shared, so nobody may write on it
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False


def save_truth(folder: Path, truth: Truth) -> Path:
    """Write the truth beside its frames.

    Parameters
    ----------
    folder
        The folder of the frames.
    truth
        What is to be written.

    Returns
    -------
    Path
        The file, `truth.npz`.
    """
    values = {field.name: getattr(truth, field.name) for field in fields(truth) if field.name != "plan"}
    path = folder / TRUTH_FILE
    np.savez_compressed(path, plan=json.dumps(asdict(truth.plan)), **values)
    return path


def load_truth(folder: Path | str) -> Truth:
    """Read the truth of a night that was simulated into a folder.

    Parameters
    ----------
    folder
        The folder of the frames.

    Returns
    -------
    Truth

    Raises
    ------
    FileNotFoundError
        The folder holds no simulated night.
    """
    with np.load(Path(folder) / TRUTH_FILE) as stored:
        values: dict[str, Any] = {name: stored[name] for name in stored.files}
    plan: dict[str, Any] = json.loads(values["plan"].item())
    plan.update({key: tuple(value) for key, value in plan.items() if isinstance(value, list)})
    values["plan"] = NightPlan(**plan)
    for name in ("file_names", "labels", "roles"):
        values[name] = tuple(values[name].tolist())
    return Truth(**values)


def frame_positions(truth: Truth, x_px: Floats, y_px: Floats, index: int | None = None) -> tuple[Floats, Floats]:
    """Carry places on the plate to frames.

    Parameters
    ----------
    truth
        The night.
    x_px, y_px
        Places on the plate, (k,), or (n_frames, k) for something that moves.
    index
        One frame only, counted from 0; all of them by default.

    Returns
    -------
    x_px, y_px
        Places in the frames, (n_frames, k); (k,) for one frame.
    """
    chosen: slice | list[int] = slice(None) if index is None else [index]
    shifts = (truth.dx_px[chosen], truth.dy_px[chosen], truth.rotation_deg[chosen], truth.scale[chosen])
    x, y = place_in_frames(truth.plan, x_px, y_px, *shifts)
    return (x, y) if index is None else (x[0], y[0])


def place_in_frames(
    plan: NightPlan, x_px: Floats, y_px: Floats, dx_px: Floats, dy_px: Floats, rotation_deg: Floats, scale: Floats
) -> tuple[Floats, Floats]:
    """Apply the shifts of frames, (n_frames,), to places on the plate, (k,) or (n_frames, k); see `frame_positions`."""
    middle_x, middle_y = 0.5 * (plan.width_px - 1), 0.5 * (plan.height_px - 1)
    cos = (scale * np.cos(np.radians(rotation_deg)))[:, None]
    sin = (scale * np.sin(np.radians(rotation_deg)))[:, None]
    x, y = x_px - middle_x, y_px - middle_y
    return middle_x + cos * x - sin * y + dx_px[:, None], middle_y + sin * x + cos * y + dy_px[:, None]


def relative_shifts(truth: Truth, reference: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Tell where all frames lie against one of them, as the project's table of shifts does.

    Parameters
    ----------
    truth
        The night.
    reference
        Index of the reference frame, from 0.

    Returns
    -------
    dx_px, dy_px, rotation_deg, scale
        (n_frames,) each; the rotation in (−180, 180].
    """
    rotation = -((truth.rotation_deg[reference] - truth.rotation_deg + 180.0) % 360.0 - 180.0)
    scale = truth.scale / truth.scale[reference]
    cos, sin = scale * np.cos(np.radians(rotation)), scale * np.sin(np.radians(rotation))
    dx, dy = truth.dx_px[reference], truth.dy_px[reference]
    return truth.dx_px - (cos * dx - sin * dy), truth.dy_px - (sin * dx + cos * dy), rotation, scale


def clicks(truth: Truth) -> dict[str, list[tuple[int, float, float]]]:
    """Tell where an observer would click, to a tenth of a pixel.

    Parameters
    ----------
    truth
        The night.

    Returns
    -------
    dict
        For each source its anchors (frame number from 1, x_px, y_px): an asteroid in the first and the last frame, a
        star in the first.
    """
    last = len(truth.file_names) - 1
    return {
        label: [
            (index + 1, round(float(truth.x_px[index, column]), 1), round(float(truth.y_px[index, column]), 1))
            for index in ((0, last) if role == "asteroid" else (0,))
        ]
        for column, (label, role) in enumerate(zip(truth.labels, truth.roles, strict=True))
    }
