"""Where a moving source is at any time, from the few positions (anchors) that the user gave for it."""

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]

#: How much larger than an anchor's own error that of a parabola through the anchors may be, anywhere between them.
MAX_GROWTH = 1.5


def position_at(t_d: ArrayLike, anchor_t_d: ArrayLike, anchor_xy: ArrayLike) -> Float:
    """Give the position of a moving source at any time: a path through all its anchors.

    One anchor is a source at rest, two a straight line. With three or more the path is their least-squares parabola
    (an asteroid's motion bends little and evenly over a night) plus what it leaves at each anchor, interpolated by a
    monotone cubic (Fritsch and Butland 1984, SIAM J. Sci. Stat. Comput. 5, 300), which does not swing beyond its
    points: through three anchors well spread in time goes an exact parabola. Anchors that lie badly for a parabola (two
    nearly at the same time turn their small errors into a wild swing elsewhere) have a straight line in its place: so
    wherever its error would exceed `MAX_GROWTH` times that of an anchor. Before the first and after the last anchor the
    source goes straight on, at the speed that the parabola or line has there.

    Parameters
    ----------
    t_d : array_like, shape (n,)
        Times, days.
    anchor_t_d : array_like, shape (k,)
        Times of the anchors, in any order, days on the same scale.
    anchor_xy : array_like, shape (k, 2)
        Positions of the anchors, pixels of the reference frame.

    Returns
    -------
    ndarray, shape (n, 2)
        Positions, pixels of the reference frame; NaN where a time is NaN.

    Raises
    ------
    ValueError
        Without anchors, with an anchor that is not finite, or with two anchors at the same time.
    """
    t = np.asarray(t_d, dtype=np.float64)
    anchor_t = np.asarray(anchor_t_d, dtype=np.float64)
    xy = np.asarray(anchor_xy, dtype=np.float64)
    if len(anchor_t) == 0:
        raise ValueError("a moving source needs at least one anchor")
    if not (np.isfinite(anchor_t).all() and np.isfinite(xy).all()):
        raise ValueError("the time and the position of an anchor must be finite")
    order = np.argsort(anchor_t, kind="stable")
    anchor_t, xy = anchor_t[order], xy[order]
    if (np.diff(anchor_t) == 0).any():
        raise ValueError("two anchors of a moving source are at the same time: give each a frame of its own")
    if len(anchor_t) == 1:
        return np.where(np.isnan(t)[:, np.newaxis], np.nan, xy)

    # time as −1 … 1 from the first to the last anchor
    middle, half = (anchor_t[0] + anchor_t[-1]) / 2, (anchor_t[-1] - anchor_t[0]) / 2
    u, anchor_u = (t - middle) / half, (anchor_t - middle) / half
    degree = 2 if len(anchor_t) > 2 and _parabola_growth(anchor_u) <= MAX_GROWTH else 1
    path = polynomial.polyfit(anchor_u, xy, degree)
    if len(anchor_t) == 2:
        return np.asarray(polynomial.polyval(u, path).T)
    from scipy.interpolate import PchipInterpolator  # half a second, which two anchors need not wait for

    rest = PchipInterpolator(anchor_u, xy - polynomial.polyval(anchor_u, path).T)
    within = np.clip(u, anchor_u[0], anchor_u[-1])
    speed = polynomial.polyval(within, polynomial.polyder(path)).T
    position: Float = polynomial.polyval(within, path).T + rest(within) + speed * (u - within)[:, np.newaxis]
    return position


def _parabola_growth(anchor_u: Float) -> float:
    """Give the largest error between the anchors of the parabola fitted to them, in units of an anchor's error."""
    gain = np.linalg.pinv(polynomial.polyvander(anchor_u, 2))
    between = polynomial.polyvander(np.linspace(-1.0, 1.0, 101), 2)
    weights = between[:, :, np.newaxis] * gain
    return float(np.sqrt((weights.sum(axis=1) ** 2).sum(axis=-1)).max())
