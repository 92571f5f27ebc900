"""What a window that shows frames has to know of the night, and the few frames that it keeps in memory."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from photdb.stages.shifts import Shifts
    from photdb.store.arrays import Frames

Floats = NDArray[np.float64]

#: Pixels of frames that are kept: about a dozen frames of 1280 × 1024, two of 4096 × 4096.
_KEPT: Final = 1 << 24
#: What is taken for the FWHM where nobody knows it.
_FWHM_PX: Final = 4.0


@dataclass(frozen=True)
class Night:
    """Frames in time order, where they lie, and what sources are measured with.

    Attributes
    ----------
    frames : Frames
        All of them; those without a shift cannot be shown in their place.
    shifts : Shifts
        In their order.
    fwhm_px : ndarray (n,)
        Of each frame; NaN where it is not known.
    reference : int
        Place of the reference frame in them.
    stars : ndarray (k, 3)
        x, y and flux of the reference frame's stars.
    apertures : sequence of (radius, inner, outer)
        In force, or as they would be proposed, pixels.
    saturation_adu : float or None
        None where it is not known.
    read : callable
        Gives the pixels of a frame by its place.
    """

    frames: "Frames"
    shifts: "Shifts"
    fwhm_px: Floats
    reference: int
    stars: Floats
    apertures: tuple[tuple[float, float, float], ...]
    saturation_adu: float | None
    read: Callable[[int], NDArray[Any]]
    object: str | None = None
    _places: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._places.update({int(number): i for i, number in enumerate(self.frames.number)})

    def place(self, number: int) -> int:
        """Give the place of a frame by its number."""
        return self._places[number]

    @property
    def has_shift(self) -> NDArray[np.bool_]:
        """Whether frames have a shift (n,)."""
        return np.isfinite(self.shifts.dx_px)

    @property
    def used(self) -> NDArray[np.bool_]:
        """Frames that are accepted and have a shift (n,)."""
        return self.frames.accepted & self.has_shift

    def fwhm(self, i: int) -> float:
        """Give the FWHM of a frame."""
        return float(self.fwhm_px[i]) if np.isfinite(self.fwhm_px[i]) else _FWHM_PX

    def to_frame(self, i: int, xy_ref: Any) -> Floats:
        """Carry positions (k, 2) in the reference frame to a frame."""
        return np.asarray(self.shifts.of(np.array([i])).to_frame(np.asarray(xy_ref, float)[None])[0])

    def to_reference(self, i: int, xy: Any) -> Floats:
        """Carry positions (k, 2) in a frame to the reference frame."""
        return np.asarray(self.shifts.of(np.array([i])).to_reference(np.asarray(xy, float)[None])[0])

    def affine(self, i: int) -> Floats:
        """Give the shift of a frame as a matrix (2, 3): a place in the reference frame, and 1, to one in the frame."""
        origin, x, y = self.to_frame(i, [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
        return np.stack([x - origin, y - origin, origin], axis=1)


@dataclass(slots=True)
class Shot:
    """A frame in memory: pixels, the levels between which its sky and stars are shown, and coarser copies."""

    pixels: NDArray[Any]
    low: float
    high: float
    coarse: dict[int, NDArray[Any]]

    def at(self, bins: int) -> NDArray[Any]:
        """Give the means of bins × bins pixels."""
        if bins <= 1:
            return self.pixels
        if bins not in self.coarse:
            h, w = (n // bins * bins for n in self.pixels.shape)
            blocks = self.pixels[:h, :w].reshape(h // bins, bins, w // bins, bins)
            self.coarse[bins] = blocks.mean(axis=(1, 3), dtype=np.float32)
        return self.coarse[bins]


class Album:
    """The frames last shown: read when they are asked for, and given up when others need the room."""

    def __init__(self, read: Callable[[int], NDArray[Any]]) -> None:
        self._read = read
        self._shots: OrderedDict[int, Shot] = OrderedDict()

    def get(self, i: int) -> Shot:
        """Give a frame by its place.

        Raises
        ------
        PhotdbError
            It cannot be read.
        """
        if i not in self._shots:
            pixels = self._read(i)
            self._shots[i] = Shot(pixels, *levels(pixels), {})
            while len(self._shots) > 2 and sum(s.pixels.size for s in self._shots.values()) > _KEPT:
                self._shots.popitem(last=False)
        self._shots.move_to_end(i)
        return self._shots[i]


def levels(pixels: NDArray[Any]) -> tuple[float, float]:
    """Give the levels between which a frame is shown: IRAF's zscale."""
    from astropy.visualization import ZScaleInterval

    if not pixels.size or not np.isfinite(pixels).any():
        return 0.0, 1.0
    low, high = (float(v) for v in ZScaleInterval().get_limits(pixels))
    return (low, high) if high > low else (low, low + 1.0)
