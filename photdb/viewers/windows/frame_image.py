"""A frame on screen: stretched, and carried to the reference frame's pixels, so that stars stand still."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.artist import Artist
from numpy.typing import NDArray

from photdb.viewers.windows.night import Shot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

_SHADES: Final = 1024
#: Outside the frame.
_NOTHING: Final = (70, 78, 92, 255)


@dataclass(frozen=True, slots=True)
class Stretch:
    """How levels become shades: `kind` linear (zscale) or asinh, around it contrast and brightness."""

    kind: str = "asinh"
    contrast: float = 1.0
    brightness: float = 0.0
    inverted: bool = False

    def more(self, contrast: float = 1.0, brightness: float = 0.0) -> "Stretch":
        """Give one of more (or less) contrast and brightness, within reason."""
        return replace(
            self,
            contrast=min(max(self.contrast * contrast, 0.05), 20.0),
            brightness=min(max(self.brightness + brightness, -2.0), 2.0),
        )

    def __str__(self) -> str:
        return f"{'zscale' if self.kind == 'linear' else 'asinh'}{', inverted' if self.inverted else ''}"


def shades(values: NDArray[Any], shot: Shot, stretch: Stretch) -> NDArray[np.uint8]:
    """Turn levels (h, w) into colours (h, w, 4), shades of grey; NaN is as the lowest level."""
    if values.dtype.kind in "iu" and values.itemsize == 2:  # all levels that there are, once
        every = np.arange(1 << 16, dtype=np.uint16)
        table = _curve(stretch)[_scaled(every.view(values.dtype), shot, stretch)]
        packed = table.take(values.view(np.uint16), mode="clip")
    else:
        packed = _curve(stretch).take(_scaled(values, shot, stretch), mode="clip")
    return np.ascontiguousarray(packed).view(np.uint8).reshape(*values.shape, 4)


def _scaled(values: NDArray[Any], shot: Shot, stretch: Stretch) -> Any:
    # asinh goes on to ten times the range above the sky, where stars are; linear ends where zscale says.
    span = (shot.high - shot.low) * (10.0 if stretch.kind == "asinh" else 1.0) / stretch.contrast
    low = shot.low - stretch.brightness * (shot.high - shot.low)
    scaled = np.subtract(values, low, dtype=np.float32)
    scaled *= np.float32((_SHADES - 1) / span)
    np.nan_to_num(scaled, copy=False)
    np.clip(scaled, 0, _SHADES - 1, out=scaled)
    return scaled.astype(np.intp)


def _curve(stretch: Stretch) -> NDArray[np.uint32]:
    """Give the colour of each shade, packed."""
    level = np.linspace(0.0, 1.0, _SHADES)
    if stretch.kind == "asinh":
        level = np.arcsinh(level / 0.1) / np.arcsinh(1 / 0.1)
    colors = np.full((_SHADES, 4), 255, np.uint8)
    colors[:, :3] = np.rint(255 * (1 - level if stretch.inverted else level))[:, None]
    return colors.view(np.uint32)[:, 0]


class FrameImage(Artist):
    """Draws the part of a frame that its axes show; the axes are in pixels of the reference frame."""

    def __init__(self, axes: "Axes") -> None:
        super().__init__()
        self.set_figure(axes.figure)
        self._on = axes
        self.shot: Shot | None = None
        self.affine: Floats = np.eye(2, 3)
        self.stretch = Stretch()

    def draw(self, renderer: Any) -> None:
        """Draw it; one pixel of the screen is one of the frame, or the mean of some."""
        if self.shot is None:
            return
        box = self._on.bbox
        left, bottom = round(box.x0), round(box.y0)
        width, height = round(box.x1) - left, round(box.y1) - bottom
        if width < 1 or height < 1:
            return
        (x0, x1), (y0, y1) = self._on.get_xlim(), self._on.get_ylim()
        rgba = self.picture(
            x0 + (np.arange(width) + 0.5) * (x1 - x0) / width, y0 + (np.arange(height) + 0.5) * (y1 - y0) / height
        )
        gc = renderer.new_gc()
        renderer.draw_image(gc, left, bottom, rgba)
        gc.restore()

    def picture(self, x_ref: Floats, y_ref: Floats) -> NDArray[np.uint8]:
        """Give the colours (h, w, 4) at columns (w,) and rows (h,) of the reference frame."""
        assert self.shot is not None  # noqa: S101 - for the type checker
        (xx, xy, xc), (yx, yy, yc) = self.affine
        step = abs(x_ref[-1] - x_ref[0]) / max(x_ref.size - 1, 1) * np.hypot(xx, yx)
        bins = max(1, int(step + 0.3))
        pixels = self.shot.at(bins)
        h, w = pixels.shape
        turn = max(abs(xy) * np.ptp(y_ref), abs(yx) * np.ptp(x_ref))
        if turn < 0.5:  # rows and columns are looked up apart
            column = _index(xx * x_ref + xy * y_ref.mean() + xc, bins)
            row = _index(yy * y_ref + yx * x_ref.mean() + yc, bins)
            found = pixels.take(row, axis=0, mode="clip").take(column, axis=1, mode="clip")
            out = shades(found, self.shot, self.stretch)
            out[(row < 0) | (row >= h)] = _NOTHING
            out[:, (column < 0) | (column >= w)] = _NOTHING
        else:
            # In 4096ths of a pixel, as whole numbers are added and cut in half the time.
            columns = (_fixed((xx * x_ref + xc + 0.5) / bins) + _fixed(xy * y_ref / bins)[:, None]) >> 12
            rows = (_fixed((yx * x_ref + yc + 0.5) / bins) + _fixed(yy * y_ref / bins)[:, None]) >> 12
            outside = (rows.view(np.uint32) >= h) | (columns.view(np.uint32) >= w)
            rows *= w
            rows += columns
            out = shades(pixels.reshape(-1).take(rows, mode="clip"), self.shot, self.stretch)
            out.view(np.uint32)[..., 0][outside] = np.array(_NOTHING, np.uint8).view(np.uint32)[0]
        return out


def _index(p: Floats, bins: int) -> NDArray[np.intp]:
    return np.floor((p + 0.5) / bins).astype(np.intp)


def _fixed(p: Floats) -> NDArray[np.int32]:
    return np.rint(4096 * p).astype(np.int32)
