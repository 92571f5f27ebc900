"""Gain and read noise of a camera from the frames of a night: the noise of the sky against its level.

Two frames that follow each other are subtracted pixel by pixel, so that what is fixed to the pixels (a flat field that
was not divided out, hot pixels, vignetting) leaves nothing; half the variance of what remains is that of one pixel.
Each tile of the frame is compared with itself at other times only, so that frames whose noise differs from place to
place, as that of flat-fielded ones does, are no worse. As the sky's level varies during the night, its noise follows,
and the slope of the variance is one over the gain.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TILE_PX: Final = 32
#: Tiles a pair: 330,000 pixels.
_MOST_TILES: Final = 320
#: Pixels above the median of their tile by more than so many scatters may hold a star.
_STARLESS: Final = 1.0
_CLIP: Final = 3.0
#: The variance of a normal distribution that is cut off at ± 3 σ.
_CLIPPED: Final = 1.0 - 2.0 * _CLIP * math.exp(-(_CLIP**2) / 2.0) / math.sqrt(2.0 * math.pi) / math.erf(_CLIP / 2**0.5)
_FEWEST_PIXELS: Final = 300
#: A tile counts if hardly any of its differences were clipped.
_LEAST_KEPT: Final = 0.95
#: Neighbouring pixels of a camera are independent; those of frames that were resampled are not.
_MOST_CORRELATED: Final = 0.1
#: Variances below are mostly rounding.
_LEAST_VARIANCE_ADU2: Final = 0.25
FEWEST_PAIRS: Final = 6
#: A gain that is worse than this tells little.
_MOST_ERROR: Final = 0.2


@dataclass(frozen=True, slots=True)
class PairNoise:
    """What two frames say: per tile (T,) level, variance of one pixel, and pixels used; NaN where a tile is no use."""

    level_adu: Floats
    variance_adu2: Floats
    n_pixels: Floats
    correlation: float  # of pixels side by side


@dataclass(frozen=True, slots=True)
class Camera:
    """An estimate of the camera; None where it cannot be told, with one sentence that says why."""

    gain_e_per_adu: float | None = None
    gain_err_e_per_adu: float | None = None
    read_noise_e: float | None = None
    read_noise_err_e: float | None = None
    message: str | None = None


def pair_noise(first: NDArray[Any], second: NDArray[Any]) -> PairNoise:
    """Measure level and noise of the sky in the tiles of two frames of one field, taken one after the other.

    Parameters
    ----------
    first, second : array (H, W)
        Pixels in ADU, of any number type.

    Returns
    -------
    PairNoise
        Of at most 320 tiles of 32 x 32 pixels, spread over the frame.
    """
    one, other = _tiles(first), _tiles(second)
    total, difference = one + other, one - other
    # The sum of two equal normal variables is independent of their difference: to choose pixels by it changes nothing.
    n = total.shape[1]
    ordered = np.partition(total, [round(0.16 * n), n // 2], axis=1)
    middle = ordered[:, [n // 2]]
    scatter = np.maximum(middle - ordered[:, [round(0.16 * n)]], 0.5)
    with np.errstate(invalid="ignore"):
        starless = (total < middle + _STARLESS * scatter) & (total > middle - 4.0 * scatter)
    n_starless = starless.sum(axis=1)
    mean = np.zeros_like(middle)
    variance = np.maximum(scatter**2, 2.0 / 3.0)  # of the difference as of the sum
    for _ in range(4):
        with np.errstate(invalid="ignore"):
            used = starless & (np.abs(difference - mean) <= _CLIP * np.sqrt(variance))
        count = np.maximum(used.sum(axis=1, keepdims=True), 2)
        mean = np.where(used, difference, 0).sum(axis=1, keepdims=True) / count
        residual = np.where(used, difference - mean, 0)
        variance = np.einsum("ij,ij->i", residual, residual)[:, None] / (count - 1) / _CLIPPED
    variance = np.maximum(variance, 1e-12)
    level = np.where(used, total, 0).sum(axis=1) / count[:, 0] / 2.0
    good = (count[:, 0] >= _FEWEST_PIXELS) & (count[:, 0] >= _LEAST_KEPT * n_starless)
    good &= variance[:, 0] / 2.0 >= _LEAST_VARIANCE_ADU2
    return PairNoise(
        np.where(good, level, np.nan).astype(np.float64),
        np.where(good, variance[:, 0] / 2.0, np.nan).astype(np.float64),
        np.where(good, count[:, 0], 0).astype(np.float64),
        _correlation(residual[good], used[good], variance[good]),
    )


def _tiles(pixels: NDArray[Any]) -> NDArray[np.float32]:
    ny, nx = (n // _TILE_PX for n in pixels.shape)
    chosen = np.unique(np.linspace(0, max(ny * nx - 1, 0), min(ny * nx, _MOST_TILES)).round().astype(np.int64))
    tiles = pixels[: ny * _TILE_PX, : nx * _TILE_PX].reshape(ny, _TILE_PX, nx, _TILE_PX).transpose(0, 2, 1, 3)
    rows, columns = np.divmod(chosen, max(nx, 1))
    return tiles[rows, columns].reshape(len(chosen), _TILE_PX**2).astype(np.float32)


def _correlation(residual: Any, used: Any, variance: Any) -> float:
    if not len(residual):
        return float("nan")
    unit = (residual / np.sqrt(variance)).reshape(-1, _TILE_PX, _TILE_PX)
    used = used.reshape(unit.shape)
    found = [
        (unit[a] * unit[b]).sum() / max(np.count_nonzero(used[a] & used[b]), 1)
        for a, b in (
            (np.s_[:, :, 1:], np.s_[:, :, :-1]),
            (np.s_[:, 1:, :], np.s_[:, :-1, :]),
        )
    ]
    return float(np.mean(found))


def estimate_camera(pairs: Sequence[PairNoise]) -> Camera:
    """Estimate gain and read noise.

    Parameters
    ----------
    pairs : sequence of PairNoise
        Of one camera, with the sky at several levels.

    Returns
    -------
    Camera
        The errors are those of a jackknife over pairs. The read noise is that of a level of zero, and so holds only
        for frames without a pedestal: where the level has one, it comes out too small, and is left out once it would
        be imaginary. Whatever it is, it is in the sky's scatter already.

    Notes
    -----
    Photon transfer: Janesick 2007, Photon Transfer (SPIE). On simulated skies the gain is right within its error, and
    that within 5 % where the level varies by a tenth of what is above the pedestal.
    """
    if len(pairs) < FEWEST_PAIRS:
        return Camera(message=f"there are {len(pairs)} pairs of like frames, and {FEWEST_PAIRS} are needed")
    level, variance, n = (
        np.array([getattr(p, name) for p in pairs]) for name in ("level_adu", "variance_adu2", "n_pixels")
    )
    seen = np.isfinite(variance).sum(axis=0) >= max(FEWEST_PAIRS, len(pairs) // 2)
    if not seen.any():
        return Camera(message="the sky has no noise above the rounding to whole ADU, or no place without stars")
    level, variance, n = level[:, seen], variance[:, seen], n[:, seen]
    correlation = float(np.nanmedian([p.correlation for p in pairs]))
    if abs(correlation) > _MOST_CORRELATED:
        return Camera(
            message=f"neighbouring pixels are not independent (correlation {correlation:.2f}), as in resampled frames"
        )
    weight = n / np.square(np.nanmedian(variance, axis=0))
    level, variance = np.nan_to_num(level), np.nan_to_num(variance)  # of weight zero
    slope, intercept = _line(level, variance, weight)
    each = np.array([_line(*(np.delete(v, i, axis=0) for v in (level, variance, weight))) for i in range(len(pairs))])
    k = len(pairs)
    if not slope > 0 or not (each[:, 0] > 0).all():
        return Camera(message="the noise of the sky does not rise with its level")
    # gain, and read noise squared, in electrons
    found = np.array([1.0 / slope, (intercept - 1.0 / 12.0) / slope**2])
    jackknife = np.stack([1.0 / each[:, 0], (each[:, 1] - 1.0 / 12.0) / each[:, 0] ** 2])
    gain_err, read_err = np.sqrt((k - 1) * np.var(jackknife, axis=1))
    gain, read2 = found.tolist()
    if gain_err > _MOST_ERROR * gain:
        mean = (weight * level).sum(axis=1) / weight.sum(axis=1)
        return Camera(
            message=f"the level of the sky varies too little, by {np.ptp(mean):.3g} ADU, to tell it"
            f" ({gain:.3g} ± {gain_err:.2g} e/ADU)"
        )
    read = math.sqrt(read2) if read2 > 2.0 * read_err else None
    why = None if read is not None else "the read noise cannot be told from the sky"
    return Camera(gain, float(gain_err), read, None if read is None else float(read_err) / (2.0 * read), why)


def _line(level: Floats, variance: Floats, weight: Floats) -> tuple[float, float]:
    """Fit variance = own level of each tile + slope · level; gives the slope, and the mean variance at level 0."""
    total = np.maximum(weight.sum(axis=0), 1e-300)
    x = level - (weight * level).sum(axis=0) / total
    y = variance - (weight * variance).sum(axis=0) / total
    spread = float((weight * x * x).sum())
    slope = float((weight * x * y).sum()) / spread if spread > 0 else 0.0
    return slope, float((weight * (variance - slope * level)).sum() / weight.sum())
