"""The leave-one-out check of references, and the advice that follows from it.

Each reference is compared with the mean of the others, in the frames where all have a magnitude: does it scatter more
than it should, drift over the night, or jump (a fit captured by a neighbour, a star crossed by the asteroid)? A bad
reference shows in the others' curves too, by 1/(N−1) of itself. So advice goes by what is each star's own
(`own_square`), takes the worst first, and judges those left again without it.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.noise import Floats, HighPass, noise, product_norm2, smoother

#: Frames in a fit of the smoother that shows drift; its degree is 2.
DRIFT_WINDOW: Final = 31

#: A reference without a magnitude in more than this part of the frames costs too many.
MISSING_MAX: Final = 0.2
#: Frames whose errors are so many times the usual ones would drown the others: advice leaves them out.
FOG_RATIO: Final = 3.0
#: A jump is at least so large, and so many times what its frame's errors and the curve's scatter allow.
JUMP_MIN_MAG: Final = 0.1
JUMP_SIGMAS: Final = 8.0
#: A reference that jumps in no more than this part of the frames (or in one) is kept, without them.
JUMP_FRAMES_MAX: Final = 0.01
#: A drift is at least so large, so many times the others' median, and so many standard errors above white noise.
DRIFT_MIN_MAG: Final = 0.005
DRIFT_RATIO: Final = 3.0
DRIFT_SIGMAS: Final = 8.0
#: A scatter is this many times (more, where frames are few) both the others' median and what its errors foretell.
SCATTER_RATIO: Final = 2.0


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """What each of N references does against the mean of the others."""

    scatter_mag: Floats  # (N,) noise of the curve
    drift_mag: Floats  # (N,) rms of the smoothed curve about its mean, white noise's part subtracted
    worst_jump_mag: Floats  # (N,) largest deviation from the curve's running median; positive is fainter
    worst_frame: NDArray[np.intp]  # (N,) index of its frame, −1 if there is none
    n_frames: int  # frames in which all references have a magnitude


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about one reference, and why."""

    reference: int
    remove: bool  # if not, leave out the `frames`; or without these, look: of two it can't be told which is bad
    reason: str
    frames: tuple[int, ...] = ()  # indices of the frames in which it jumps


@dataclass(frozen=True, slots=True)
class _Curves:
    """Leave-one-out curves and their figures, on common frames alone."""

    frames: NDArray[np.intp]  # (f,) indices of the common frames
    scatter2: Floats  # (N,)
    relative_error: float  # of the scatter, for white noise
    drift2: Floats  # (N,) may be negative: an unbiased estimate
    drift2_err: Floats  # (N,) its standard error for white noise
    mag: Floats  # (N, f) about the curve's median

    def deviation(self) -> Floats:
        """Deviation (N, f) from the running median."""
        return self.mag - _running_median(self.mag)


@dataclass(frozen=True, slots=True)
class Operators:
    """What scatter and drift of curves take from their times alone."""

    highpass: HighPass
    wide: HighPass
    trace_b: float
    trace_b2: float


def leave_one_out(mags: ArrayLike, t_d: ArrayLike, *, window: int = 7, degree: int = 2) -> LeaveOneOut:
    """Compare each reference with the mean of the others.

    Only frames in which all references have a magnitude are used: a mean over those left would lie on another zero
    point. Scatter is `noise` of the curve. Drift is the rms about its mean of the curve smoothed by a quadratic over 31
    frames, less what white noise of that scatter leaves on average (zero if that is more). The root mean square of the
    drifts of a solution's references is the solution's drift.

    Parameters
    ----------
    mags : array_like, shape (N, n)
        Instrumental magnitudes of the references, NaN where missing or left out.
    t_d : array_like, shape (n,)
        Times in days, not decreasing.
    window, degree : int
        Of the `smoother` that defines noise.

    Returns
    -------
    LeaveOneOut
        NaN throughout for one reference (nothing to compare with). Two have one and the same curve, up to its sign.
        Scatter and drift are NaN where too few frames are common.
    """
    mags = np.asarray(mags, dtype=np.float64)
    curves = _curves(mags, np.asarray(t_d, dtype=np.float64), window, degree)
    jump, frame = np.full(len(mags), np.nan), np.full(len(mags), -1, dtype=np.intp)
    if len(mags) > 1 and len(curves.frames):
        deviation = curves.deviation()
        worst = np.argmax(np.abs(deviation), axis=1)
        jump, frame = deviation[np.arange(len(mags)), worst], curves.frames[worst]
    drift2 = np.maximum(curves.drift2, 0.0)
    return LeaveOneOut(np.sqrt(curves.scatter2), np.sqrt(drift2), jump, frame, len(curves.frames))


def drifts(mags: ArrayLike, t_d: ArrayLike) -> Floats:
    """Drift of each reference against the mean of the others, (N,): `drift_mag` of `leave_one_out`, and no more."""
    curves = _curves(np.asarray(mags, dtype=np.float64), np.asarray(t_d, dtype=np.float64), 7, 2)
    return np.sqrt(np.maximum(curves.drift2, 0.0))


def advise(
    mags: ArrayLike,
    mag_err: ArrayLike,
    t_d: ArrayLike,
    *,
    window: int = 7,
    degree: int = 2,
    numbers: Sequence[int] | None = None,
) -> list[Advice]:
    """Name the references that are better left out, the worst first, and why.

    References that are missing in many frames go first, then one at a time, the others being judged again each time:
    what jumps (most first), drifts, scatters. The constants of this module are the thresholds. Expected errors count: a
    star that is merely fainter is not blamed, and foggy frames are left out. At least two references are left, of
    which it can't be told which is bad: then both get the same advice, to look.

    Parameters
    ----------
    mags, mag_err : array_like, shape (N, n)
        Instrumental magnitudes of the references and their errors by the CCD equation, NaN where missing or left out;
        a magnitude without a positive error counts as missing.
    t_d : array_like, shape (n,)
        Times in days, not decreasing.
    window, degree : int
        Of the `smoother` that defines noise.
    numbers : sequence of int, optional
        What the frames are called in the reasons; by default their indices.

    Returns
    -------
    list of Advice
        Empty if all is well.
    """
    mags = np.array(mags, dtype=np.float64)
    err, t = np.asarray(mag_err, dtype=np.float64), np.asarray(t_d, dtype=np.float64)
    names = np.arange(mags.shape[1]) if numbers is None else np.asarray(numbers)
    mags[~(err > 0)] = np.nan
    kept = list(range(len(mags)))
    advice = _drop_missing(mags, kept)
    mags[:, _foggy(mags, err)] = np.nan
    allowed = max(1, int(JUMP_FRAMES_MAX * mags.shape[1]))
    without: dict[int, Advice] = {}
    while len(kept) > 1:
        curves = _curves(mags[kept], t, window, degree)
        if not len(curves.frames):
            break
        worst, reasons, jumps = _worst(curves, err[kept][:, curves.frames], names)
        if not reasons:
            break
        reason = "; ".join(reasons)
        if len(kept) == 2:
            reason += "; with two references it cannot be told which of them it is"
            advice += [Advice(i, False, reason) for i in kept]
            break
        i, frames = kept[worst], tuple(curves.frames[jumps].tolist())
        if 0 < len(frames) <= allowed and i not in without:
            without[i] = Advice(i, False, f"{reasons[0]}: leave it out there", frames)
            mags[i, list(frames)] = np.nan
        else:
            without.pop(i, None)
            advice.append(Advice(i, True, reason, frames))
            kept.remove(i)
    return advice + list(without.values())


def _drop_missing(mags: Floats, kept: list[int]) -> list[Advice]:
    """Take references with few magnitudes out of `kept`; frames that fail most references are not held against them."""
    advice = []
    while len(kept) > 2:
        valid = np.isfinite(mags[kept])
        fair = np.mean(valid, axis=0) >= 0.5
        missing = np.sum(~valid[:, fair], axis=1)
        worst = int(np.argmax(missing))
        if missing[worst] <= MISSING_MAX * np.sum(fair):
            break
        reason = f"has no valid flux in {missing[worst]} of {np.sum(fair)} frames"
        advice.append(Advice(kept.pop(worst), True, reason))
    return advice


def _foggy(mags: Floats, err: Floats) -> NDArray[np.bool_]:
    """Frames (n,) in which the references' errors, each relative to its own median, are far above the usual."""
    known = np.isfinite(mags)
    stars, frames = np.any(known, axis=1), np.any(known, axis=0)
    relative = np.where(known, err, np.nan)[np.ix_(stars, frames)]
    foggy = np.zeros(mags.shape[1], dtype=bool)
    if relative.size:
        relative /= np.nanmedian(relative, axis=1, keepdims=True)
        foggy[frames] = np.nanmedian(relative, axis=0) > FOG_RATIO
    return foggy


def _curves(mags: Floats, t: Floats, window: int, degree: int) -> _Curves:
    """Compare each of the references (N, n) with the mean of the others in their common frames."""
    n_references = len(mags)
    frames = np.flatnonzero(np.all(np.isfinite(mags), axis=0))
    if n_references < 2 or not len(frames):
        nan = np.full(n_references, np.nan)
        return _Curves(frames, nan, np.nan, nan, nan, np.full((n_references, len(frames)), np.nan))
    mags, t, n = mags[:, frames], t[frames], len(frames)
    curves = (mags - np.mean(mags, axis=0)) * (n_references / (n_references - 1))  # minus the mean of the others
    curves -= np.median(curves, axis=1, keepdims=True)
    of = operators(t.tobytes(), window, degree)
    scatter2 = np.square(noise(curves, of.highpass))
    smoothed = of.wide.smooth(curves)
    smoothed -= np.mean(smoothed, axis=1, keepdims=True)
    drift2 = (np.sum(np.square(smoothed), axis=1) - scatter2 * of.trace_b) / n
    drift2_err = scatter2 * (np.sqrt(2.0 * max(of.trace_b2, 0.0)) + 2.0 * of.trace_b * of.highpass.relative_error) / n
    return _Curves(frames, scatter2, of.highpass.relative_error, drift2, drift2_err, curves)


@functools.lru_cache(maxsize=4)  # the same times come again for every aperture and solution
def operators(times: bytes, window: int, degree: int) -> Operators:
    """Make the operators of a series from its times (float64, as bytes)."""
    t = np.frombuffer(times)
    n = len(t)
    wide = smoother(t, window=DRIFT_WINDOW, degree=2)
    # ‖C S m‖² with C = I − 11ᵀ/n has the mean σ² tr(B) and the variance 2σ⁴ tr(B²) for white noise, B = SᵀC S.
    column = np.bincount(wide.index.ravel(), wide.weight.ravel(), minlength=n) / np.sqrt(n)
    trace_b = np.sum(np.square(wide.weight)) - np.sum(np.square(column))
    trace_b2 = (
        product_norm2(wide.index, wide.weight)
        - 2.0 * np.sum(np.square(wide.smooth(column)))
        + np.square(np.sum(np.square(column)))
    )
    return Operators(smoother(t, window=window, degree=degree), wide, float(trace_b), float(trace_b2))


def _running_median(curves: Floats) -> Floats:
    """Median of curves (N, n) over about a quarter of the frames, interpolated between some 64 places."""
    n = curves.shape[1]
    width = min(n, max(DRIFT_WINDOW, n // 4))
    first = np.unique(np.linspace(0, n - width, 64).astype(np.intp))
    medians = np.median(sliding_window_view(curves, width, axis=1)[:, first], axis=2)
    centre = first + (width - 1) / 2
    return np.array([np.interp(np.arange(n), centre, median) for median in medians])


def own_square(curve2: Floats) -> Floats:
    """Each star's own mean square, from those of the leave-one-out curves of independent stars (three or more).

    Solves curve2_i = own_i + Σ_{j≠i} own_j / (N−1)², the N-cornered hat.
    """
    n = len(curve2)
    share = 1.0 / (n - 1) ** 2
    total = np.sum(curve2) * (n - 1) / n
    return np.maximum((curve2 - share * total) / (1.0 - share), 0.0)


def _others(values: Floats) -> Floats:
    """Median of the other values, for each."""
    return np.array([np.median(np.delete(values, i)) for i in range(len(values))])


def _worst(curves: _Curves, err: Floats, names: NDArray[np.int_]) -> tuple[int, list[str], NDArray[np.bool_]]:
    """Find the worst reference, what is wrong with it (nothing, if all is well), and the frames in which it jumps."""
    n_references = len(err)
    # What errors foretell for each frame of each curve, and for its mean square.
    variance = np.square(err)
    expected2 = variance + (np.sum(variance, axis=0) - variance) / (n_references - 1) ** 2
    curve2 = np.mean(expected2, axis=1)
    # Few frames make bad figures; a few foggy frames that hold most of the variance are few frames, too.
    uneven = np.sqrt(np.mean(np.square(expected2), axis=1)) / curve2
    caution = 1.0 + 8.0 * np.square(uneven * curves.relative_error)

    deviation = curves.deviation()
    significance = deviation / np.sqrt(expected2)
    allowed = JUMP_SIGMAS * np.maximum(1.0, 1.4826 * np.median(np.abs(significance), axis=1, keepdims=True))
    jumps = (np.abs(deviation) > JUMP_MIN_MAG) & (np.abs(significance) > allowed)
    worst_jump = np.max(np.where(jumps, np.abs(deviation), 0.0), axis=1)

    if n_references > 2:
        scatter, drift = np.sqrt(own_square(curves.scatter2)), np.sqrt(own_square(curves.drift2))
        foretold = np.sqrt(np.mean(variance, axis=1))
        usual_drift, usual_scatter = _others(drift), _others(scatter)
        foretold = foretold * np.maximum(1.0, _others(scatter / foretold))
    else:  # one curve, to be judged by its errors alone
        scatter, drift = np.sqrt(curves.scatter2), np.sqrt(np.maximum(curves.drift2, 0.0))
        foretold = np.sqrt(curve2)
        usual_drift, usual_scatter = np.zeros(2), foretold
    drifts = (drift > np.maximum(DRIFT_MIN_MAG, DRIFT_RATIO * usual_drift)) & (
        curves.drift2 > DRIFT_SIGMAS * caution * uneven * curves.drift2_err
    )
    excess = scatter / np.maximum(usual_scatter, foretold)
    scatters = excess > SCATTER_RATIO * caution

    if np.any(jumps):
        worst = int(np.argmax(worst_jump))
    elif np.any(drifts):
        worst = int(np.argmax(np.where(drifts, drift, 0.0)))
    else:
        worst = int(np.argmax(np.where(scatters, excess, 0.0)))
    reasons = []
    if np.any(jumps[worst]):
        frame = int(np.argmax(np.where(jumps[worst], np.abs(deviation[worst]), 0.0)))
        reasons.append(
            f"jumps by {deviation[worst, frame]:+.2f} mag in frame {names[curves.frames[frame]]} (captured or crossed?)"
        )
    if drifts[worst]:
        reasons.append(f"drifts by {1e3 * drift[worst]:.0f} mmag rms over the night")
    if scatters[worst]:
        what = "the others' median" if usual_scatter[worst] > foretold[worst] else "what its errors foretell"
        reasons.append(f"scatters {1e3 * scatter[worst]:.0f} mmag, {excess[worst]:.1f} × {what}")
    return worst, reasons, jumps[worst]
