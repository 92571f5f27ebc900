"""Terms that are fitted to a curve together with its references: detrending, and offsets between stretches of a night.

All are linear in the magnitudes: a term's coefficient is an inner product of the curve with a row that depends on times
and on the term's own values alone. So D = I − B G, which takes the terms out, goes before R in the search
(`noise.take_out`), and every combination is judged by the curve that would be kept of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.noise import Floats

Bools = NDArray[np.bool_]

#: Offsets are found from so many windows of frames on each side of a step.
STEP_WINDOWS: Final = 2
#: Terms are taken to say the same if a mixture of them is so much smaller than they are.
_ALIKE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of one target's curves.

    Attributes
    ----------
    names : tuple of str (q,)
        What they are called.
    span : ndarray (q,)
        How far each term's own value ranges in the frames of the fit; 1 for offsets.
    basis : ndarray (q, n_all)
        The terms in all frames, scaled to a range of 1: coefficients are amplitudes, from least to most, in magnitudes.
        NaN where a term's value is not known.
    frames : ndarray of bool (n_all,)
        Those of the fit.
    fit : ndarray (q, n)
        What gives the coefficients from the magnitudes in these frames.
    local : ndarray of bool (q,)
        Offsets, which are found from the neighbourhood of a step.
    """

    names: tuple[str, ...]
    span: Floats
    basis: Floats
    frames: Bools
    fit: Floats
    local: Bools


def detrending(names: Sequence[str], values: ArrayLike, frames: Bools, *, baseline: Bools | None = None) -> Terms:
    """Fit quantities of the frames, such as the airmass, by linear least squares.

    The coefficients are those of an ordinary fit of a constant and all terms to the curve. What of a signal looks like
    the terms is taken for them: `signal_left` tells how much. A baseline, frames without signal such as those outside
    of a transit, has the fit see nothing of it.

    Parameters
    ----------
    names : sequence of str (q,)
    values : array_like, shape (q, n_all)
        In all frames; NaN where not known.
    frames : ndarray of bool, shape (n_all,)
        Those that curves are compared on. All values are known in them.
    baseline : ndarray of bool, shape (n_all,), optional
        Fit in these of the frames only.

    Returns
    -------
    Terms

    Raises
    ------
    ValueError
        A term does not vary, some say the same, or the frames are too few.
    """
    v = np.asarray(values, dtype=np.float64)
    used = frames if baseline is None else frames & baseline
    n = int(used.sum())
    if n < len(v) + 3:
        what = f"{len(v)} term{'s' * (len(v) != 1)} cannot be fitted to {n} frame{'s' * (n != 1)}"
        raise ValueError(f"{what}: take fewer terms or a longer baseline")
    span = np.ptp(v[:, used], axis=1)
    for name, of_term in zip(names, span, strict=True):
        if not of_term > 0:
            raise ValueError(f"{name} is the same in all frames of the fit: leave it out of --detrend")
    basis = (v - np.mean(v[:, used], axis=1, keepdims=True)) / span[:, None]
    design = np.vstack([np.ones(n), basis[:, used]])
    u, size, vt = np.linalg.svd(design.T, full_matrices=False)
    if size[-1] < _ALIKE * size[0]:
        raise ValueError(f"of {', '.join(names)} one follows from the others in these frames: leave one out")
    fit = np.zeros((len(v), int(frames.sum())))
    fit[:, used[frames]] = ((vt.T / size) @ u.T)[1:]
    return Terms(tuple(names), span, basis, frames, fit, np.zeros(len(v), bool))


def offsets(names: Sequence[str], stretch: ArrayLike, t_d: ArrayLike, frames: Bools, *, window: int = 7) -> Terms:
    """Fit a constant to each stretch of a night but the first, from the steps between them.

    Around each step a parabola in time that jumps there is fitted to two windows of frames on each side (as far as
    there are so many), so that an offset is what the curve's own course does not explain; a slow signal is left whole.

    Parameters
    ----------
    names : sequence of str
        Of the stretches, by their number.
    stretch : array_like of int, shape (n_all,)
        Number of the stretch that each frame is in, not falling with time.
    t_d : array_like, shape (n_all,)
        Times in days, in order.
    frames : ndarray of bool, shape (n_all,)
        Those that curves are compared on.
    window : int
        Of the smoother.

    Returns
    -------
    Terms
        A term for each stretch but the first that has frames; none if there is only one. Frames in stretches without
        any of `frames` have no known offset: NaN.

    Raises
    ------
    ValueError
        There are too few frames around a step.
    """
    where, t_all = np.asarray(stretch), np.asarray(t_d, dtype=np.float64)
    part, t = where[frames], t_all[frames]
    present = np.unique(part)
    reach = STEP_WINDOWS * window
    rows, steps = [], np.zeros(part.size)
    for before, after in zip(present[:-1], present[1:], strict=True):
        near = np.r_[np.flatnonzero(part == before)[-reach:], np.flatnonzero(part == after)[:reach]]
        step = (part[near] == after).astype(float)
        degree = min(2, near.size - 4)  # a frame more than there are unknowns, at least
        if degree < 0:
            raise ValueError(f"there are too few frames around the step to {names[after]}")
        x = t[near] - t[near].mean()
        x /= np.max(np.abs(x)) or 1.0
        design = np.stack([*(x**power for power in range(degree + 1)), step], axis=1)
        steps = steps.copy()
        steps[near] += np.linalg.pinv(design)[-1]
        rows.append(steps)
    q, n = len(rows), part.size
    basis = np.array([(where == number).astype(float) for number in present[1:]]).reshape(q, where.size)
    basis[:, ~np.isin(where, present)] = np.nan
    fit = np.array(rows).reshape(q, n)
    return Terms(tuple(names[i] for i in present[1:]), np.ones(q), basis, frames, fit, np.ones(q, bool))


def joined(one: Terms, other: Terms) -> Terms:
    """Fit two kinds of terms over the same frames at once: each to what the other leaves.

    Raises
    ------
    ValueError
        They cannot be told apart.
    """
    q = len(one.names)
    system = np.eye(q + len(other.names))
    system[:q, q:] = one.fit @ other.basis[:, other.frames].T
    system[q:, :q] = other.fit @ one.basis[:, one.frames].T
    if np.linalg.cond(system) > 1.0 / _ALIKE:
        raise ValueError(f"{', '.join(one.names)} and {', '.join(other.names)} cannot be told apart in these frames")
    return Terms(
        one.names + other.names,
        np.r_[one.span, other.span],
        np.vstack([one.basis, other.basis]),
        one.frames,
        np.asarray(np.linalg.solve(system, np.vstack([one.fit, other.fit])), dtype=np.float64),
        np.r_[one.local, other.local],
    )


def term_errors(terms: Terms, curve: ArrayLike, noise_mag: float, *, lag: int) -> Floats:
    """Errors of the coefficients.

    For white noise: noise · the norm of the row of G. Of detrending, where the rest of the curve has a course of its
    own (the signal), that would be far too small: it is at least the error for a curve whose values are correlated over
    `lag` frames (Newey and West 1987, Econometrica 55, 703).

    Parameters
    ----------
    terms : Terms
    curve : array_like, shape (n,)
        Magnitudes in the frames of the fit, the terms taken out.
    noise_mag : float
        Noise of the curve.
    lag : int
        Frames.

    Returns
    -------
    ndarray of float64, shape (q,)
    """
    rest = np.asarray(curve, dtype=np.float64)
    errors: Floats = noise_mag * np.sqrt(np.sum(np.square(terms.fit), axis=1))
    for j in np.flatnonzero(~terms.local):
        a = terms.fit[j] * (rest - np.mean(rest[terms.fit[j] != 0]))  # outside of the baseline nothing counts
        variance = float(np.sum(a * a))
        for d in range(1, min(lag, len(a) - 1) + 1):
            variance += 2.0 * (1.0 - d / (lag + 1)) * float(np.sum(a[:-d] * a[d:]))
        errors[j] = max(errors[j], np.sqrt(max(variance, 0.0)))
    return errors


def signal_left(terms: Terms, t_d: ArrayLike) -> tuple[float, float]:
    """Tell how much of a signal the fit would leave, were there one.

    Parameters
    ----------
    terms : Terms
    t_d : array_like, shape (n,)
        Times in days of the frames of the fit.

    Returns
    -------
    wave : float
        Part of the amplitude of a sine of one cycle over the night that is left, on average over its phase.
    dip : float
        Part of the depth of a dip that is left which takes the middle third of the night, as a transit may; 1 where no
        frame, or each, lies there.
    """
    t = np.asarray(t_d, dtype=np.float64)
    part = (t - t[0]) / ((t[-1] - t[0]) or 1.0)
    shapes = np.array([np.sin(2.0 * np.pi * part), np.cos(2.0 * np.pi * part), np.abs(part - 0.5) < 1.0 / 6.0])
    shapes = shapes - np.mean(shapes, axis=1, keepdims=True)
    rest = shapes - (shapes @ terms.fit.T) @ terms.basis[:, terms.frames]
    size = np.sum(np.square(shapes), axis=1)
    left = np.divide(np.sum(shapes * rest, axis=1), size, out=np.ones(3), where=size > 0)
    return float(np.mean(left[:2])), float(left[2])
