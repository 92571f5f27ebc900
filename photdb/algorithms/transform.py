"""Positions carried from the reference frame to frames and back, by their shifts.

A shift is ``p = c + scale·Rot(θ)·(p_ref − c) + (dx, dy)`` with ``c = ((W − 1)/2, (H − 1)/2)``, θ positive from x to y.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]


def to_frame(
    xy_ref: ArrayLike,
    *,
    dx_px: ArrayLike,
    dy_px: ArrayLike,
    rotation_deg: ArrayLike,
    scale: ArrayLike,
    width_px: int,
    height_px: int,
) -> Float:
    """Carry positions in the reference frame to frames, by their shifts.

    Parameters
    ----------
    xy_ref : array_like, shape (n, 2) or (f, n, 2)
        Positions in the reference frame, pixels: the same in all frames, or one set for each.
    dx_px, dy_px, rotation_deg, scale : array_like, shape () or (f,)
        The shifts of `f` frames.
    width_px, height_px : int
        Size of the frames.

    Returns
    -------
    ndarray, shape (n, 2) or (f, n, 2)
        The positions in each frame's pixels; NaN where a frame has no shift.
    """
    dx, dy, size, cos, sin = _per_frame(dx_px, dy_px, scale, rotation_deg)
    xy = np.asarray(xy_ref, dtype=np.float64)
    centre_x, centre_y = (width_px - 1) / 2, (height_px - 1) / 2
    x, y = xy[..., 0] - centre_x, xy[..., 1] - centre_y
    return np.stack(
        (size * (cos * x - sin * y) + dx + centre_x, size * (sin * x + cos * y) + dy + centre_y),
        axis=-1,
    )


def to_reference(
    xy: ArrayLike,
    *,
    dx_px: ArrayLike,
    dy_px: ArrayLike,
    rotation_deg: ArrayLike,
    scale: ArrayLike,
    width_px: int,
    height_px: int,
) -> Float:
    """Carry positions in frames to the reference frame: the inverse of `to_frame`, with the same parameters."""
    dx, dy, size, cos, sin = _per_frame(dx_px, dy_px, scale, rotation_deg)
    xy = np.asarray(xy, dtype=np.float64)
    centre_x, centre_y = (width_px - 1) / 2, (height_px - 1) / 2
    x, y = xy[..., 0] - centre_x - dx, xy[..., 1] - centre_y - dy
    return np.stack(((cos * x + sin * y) / size + centre_x, (cos * y - sin * x) / size + centre_y), axis=-1)


def _per_frame(dx_px: ArrayLike, dy_px: ArrayLike, scale: ArrayLike, rotation_deg: ArrayLike) -> list[Float]:
    """Give dx, dy, scale, cos θ and sin θ with an axis for the positions."""
    turn = np.asarray(rotation_deg, dtype=np.float64)
    angles = [math.radians(angle) for angle in turn.ravel().tolist()]
    # one by one: vectorised sines may differ in the last bit with the length of the batch
    cos = np.reshape([math.cos(angle) for angle in angles], turn.shape)
    sin = np.reshape([math.sin(angle) for angle in angles], turn.shape)
    return [np.asarray(values, dtype=np.float64)[..., np.newaxis] for values in (dx_px, dy_px, scale, cos, sin)]
