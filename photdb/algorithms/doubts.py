"""Where a search would eat a real signal, or its winner is merely lucky: what an observer should be told.

The search sees what R leaves of a curve. A signal that is slow against the window leaves nothing, and no choice of
references can hide it. One that is not leaves a part of itself in the figure, and sets whose own variation happens to
undo it are then preferred.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from photdb.algorithms.noise import HighPass

#: A signal's part in the noise is said from this part of the noise² on (0.25: half of the noise itself),
LEAK_PART: Final = 0.25
#: and if it is so many times the standard error of what white noise makes of it.
LEAK_SIGMAS: Final = 5.0
#: An ensemble that leaves less than this of the target's variation is said, as is
SHARED_LEFT: Final = 0.85
#: a hold-out noise of more than so many times the noise.
LUCKY_TIMES: Final = 1.25


@dataclass(frozen=True, slots=True)
class Leak:
    """The part of a signal that passes R."""

    leak_mag: float
    significant: bool


def signal_leak(curve: ArrayLike, highpass: HighPass, noise_mag: float) -> Leak:
    """Estimate what a signal puts into the noise figure: R applied to the smoothed curve S m (Tukey's twicing, 1977).

    S m is mostly signal, and R S m what R would leave of it. White noise makes ‖R S m‖² = σ²‖R S‖² on average, which is
    subtracted; the rest over tr(R Rᵀ) is the signal's part in noise². Signals that vary faster than the window are in S
    m no more and cannot be told from noise.

    Parameters
    ----------
    curve : array_like, shape (n,)
        The best curve in the comparison frames.
    highpass : HighPass
        Its operator.
    noise_mag : float
        Its noise.
    """
    smoothed = highpass.smooth(curve)
    twice = np.zeros(smoothed.shape)
    for index, weight in zip(highpass.index.T, highpass.weight.T, strict=True):
        twice += weight * smoothed[index]
    seen = float(np.sum(np.square(smoothed - twice)))
    norm2 = _high_low_norm2(highpass)
    excess = seen - noise_mag**2 * norm2
    # R S has no eigenvalue above 1/4 where S is symmetric: tr((R S Sᵀ Rᵀ)²) ≤ ‖R S‖²/16.
    error = noise_mag**2 * np.sqrt(2.0 * norm2 / 16.0)
    part = max(excess, 0.0) / highpass.trace
    return Leak(
        float(np.sqrt(part)), bool(part > LEAK_PART * noise_mag**2 and excess > LEAK_SIGMAS * max(error, 1e-300))
    )


def _high_low_norm2(highpass: HighPass) -> float:
    """Sum of squares of the elements of R S, from bands."""
    index, weight = highpass.index, highpass.weight
    n = len(index)
    k = np.arange(n)
    offset = index - k[:, None]
    reach = int(np.max(np.abs(offset), initial=0))
    s = np.zeros((n, 4 * reach + 1))  # S on the middle diagonals of a band wide enough for S S
    for o, w in zip(offset.T, weight.T, strict=True):
        s[k, o + 2 * reach] += w
    inner = s[:, reach : 3 * reach + 1]
    ss = np.zeros_like(s)
    columns = np.arange(2 * reach + 1)
    for j, o, w in zip(index.T, offset.T, weight.T, strict=True):
        ss[k[:, None], o[:, None] + reach + columns] += w[:, None] * inner[j]
    return float(np.sum(np.square(s - ss)))


def variation_left(target: ArrayLike, refs: ArrayLike, curve: ArrayLike, highpass: HighPass) -> tuple[float, float]:
    """Compare the target's variation in its best curve with that against the median of all references.

    Parameters
    ----------
    target : array_like, shape (n,)
    refs : array_like, shape (N, n)
        Instrumental magnitudes of all references that were searched.
    curve : array_like, shape (n,)
        The best curve.
    highpass : HighPass

    Returns
    -------
    left : float
        Part of the smoothed variation that is left in the best curve: its regression on that against the median. NaN
        for fewer than three references, whose median is no judge.
    variation_mag : float
        Rms of the variation against the median.
    """
    refs = np.asarray(refs, dtype=np.float64)
    if len(refs) < 3:
        return float("nan"), float("nan")
    level = refs - np.median(refs - refs[0], axis=1, keepdims=True)  # on one zero point, clouds and all
    whole, best = (
        highpass.smooth(np.asarray(series)) for series in (np.asarray(target) - np.median(level, axis=0), curve)
    )
    whole, best = whole - np.mean(whole), best - np.mean(best)
    power = float(np.sum(np.square(whole)))
    return (float(np.sum(whole * best)) / power if power > 0 else float("nan")), float(np.sqrt(np.mean(whole**2)))


def doubts(
    target: ArrayLike,
    refs: ArrayLike,
    curve: ArrayLike,
    highpass: HighPass,
    *,
    noise_mag: float,
    holdout_mag: float | None,
    holdout_err: float,
    window: int,
) -> list[str]:
    """Put into words what there is to doubt in a search's winner; empty if all is well.

    Parameters
    ----------
    target, refs, curve, highpass
        As for `variation_left`.
    noise_mag, holdout_mag : float
        Of the winner, and judged on frames that did not choose it (None: too few).
    holdout_err : float
        Relative error of the latter.
    window : int
        Of the smoother.
    """
    said = []
    curve = np.asarray(curve, dtype=np.float64)
    leak = signal_leak(curve, highpass, noise_mag)
    if leak.significant:
        smaller = f"a smaller --window than {window}" if window > 3 else "a higher --degree"
        said.append(
            f"the target varies so fast that about {1e3 * leak.leak_mag:.1f} mmag of its own variation count as noise,"
            f" and references that hide it are preferred: {smaller} lets less of it through"
        )
    left, variation = variation_left(target, refs, curve, highpass)
    error = 4.0 * noise_mag / np.sqrt(curve.size)
    if left < SHARED_LEFT and (1.0 - left) * variation > error and variation > noise_mag:
        said.append(
            f"the best ensemble takes {100 * (1 - left):.0f} % of the target's variation away, as seen against the"
            " median of all references: some of its references vary with the target (look at `photdb check`)"
        )
    if holdout_mag is not None and noise_mag > 0:
        far = holdout_mag - noise_mag > 2.0 * holdout_err * holdout_mag
        if holdout_mag > LUCKY_TIMES * noise_mag and far:
            said.append(
                f"the winner is lucky: on frames that did not choose it its noise is {1e3 * holdout_mag:.2f} mmag;"
                " fewer references or apertures leave less to chance"
            )
    return said


def worse_for_terms(noise_mag: float, without_mag: float, relative_error: float) -> list[str]:
    """Say that a curve is noisier with its terms taken out than without: then they could not be told apart.

    Parameters
    ----------
    noise_mag, without_mag : float
        Noise of the curve with the terms taken out, and of the same combination's as it was.
    relative_error : float
        Of each.
    """
    if noise_mag <= without_mag * (1.0 + relative_error):
        return []
    return [
        f"what was fitted makes the best curve noisier: without it the noise is {1e3 * without_mag:.2f} mmag; such"
        " terms can hardly be told from each other or from the signal, take fewer"
    ]
