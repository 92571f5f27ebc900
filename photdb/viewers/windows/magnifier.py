"""The star under the mouse: a magnified cut-out with apertures to scale, its radial profile, and its figures."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.centroid import centroids
from photdb.viewers.windows.frame_image import Stretch, shades
from photdb.viewers.windows.night import Shot

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.patches import Circle

Floats = NDArray[np.float64]

# Okabe and Ito's colours, as in the plots.
_STAR, _FIT, _APERTURE, _RING = "#0072B2", "#D55E00", "#009E73", "#E69F00"
#: Side of the cut-out in the outer radii of the ring.
_SIDE: Final = 2.3


@dataclass(frozen=True, slots=True)
class Star:
    """What is under the mouse, in pixels of the frame; NaN where no star is."""

    x_px: float
    y_px: float
    fwhm_px: float
    peak_adu: float
    amplitude_adu: float
    background_adu: float

    @property
    def is_there(self) -> bool:
        """Whether there is a star."""
        return bool(np.isfinite(self.fwhm_px))


def star_at(pixels: NDArray[Any], x: float, y: float, fwhm_px: float) -> Star:
    """Find the star at a place of a frame, as selecting it does."""
    reach = max(2.0 * fwhm_px, 4.0)
    half = int(np.ceil(reach + 3 * fwhm_px)) + 2
    stamp = cutout(pixels, round(x), round(y), half)[None]
    dx, dy = round(x) - half, round(y) - half
    found = centroids(stamp, [x - dx], [y - dy], fwhm_px=fwhm_px, search_px=int(np.ceil(reach)), max_offset_px=reach)
    figures = (found.fwhm_px, found.peak_adu, found.amplitude_adu, found.background_adu)
    return Star(*(float(v[0]) for v in (found.x_px + dx, found.y_px + dy, *figures)))


def cutout(pixels: NDArray[Any], x: int, y: int, half: int) -> NDArray[np.float64]:
    """Cut a square out of a frame, NaN off it."""
    h, w = pixels.shape
    out = np.full((2 * half + 1, 2 * half + 1), np.nan)
    x0, x1, y0, y1 = max(x - half, 0), min(x + half + 1, w), max(y - half, 0), min(y + half + 1, h)
    if x1 > x0 and y1 > y0:
        out[y0 - y + half : y1 - y + half, x0 - x + half : x1 - x + half] = pixels[y0:y1, x0:x1]
    return out


class Magnifier:
    """Two panels: the cut-out and the profile.

    Parameters
    ----------
    cut, profile : Axes
        Where they are drawn.
    apertures : sequence of (radius, inner, outer)
        One or more. The smallest and the largest circle and the largest ring are drawn, to scale.
    """

    def __init__(self, cut: "Axes", profile: "Axes", apertures: tuple[tuple[float, float, float], ...]) -> None:
        self._cut, self._profile = cut, profile
        self._radii = sorted({r for r, _, _ in apertures})
        self._rings = sorted({(i, o) for _, i, o in apertures}, reverse=True)
        outer = self._rings[0][1]
        self.half = int(np.ceil(_SIDE / 2 * outer))
        side = 2 * self.half + 1
        self._image = cut.imshow(
            np.zeros((side, side, 3), np.uint8), origin="lower", interpolation="nearest", aspect="equal"
        )
        cut.set(xticks=[], yticks=[])
        circles = [(radius, _APERTURE, "-") for radius in self._shown_radii()]
        circles += [(radius, _RING, "--") for radius in self._rings[0]]
        self._circles = [self._circle(*circle) for circle in circles]
        (self._points,) = profile.plot([], [], ".", ms=3, color=_STAR)
        (self._fit,) = profile.plot([], [], "-", lw=1.5, color=_FIT)
        for radius in self._shown_radii():
            profile.axvline(radius, color=_APERTURE, lw=1)
        profile.axvspan(*self._rings[0], color=_RING, alpha=0.2, lw=0)
        profile.set_xlim(0, outer)
        profile.set_xlabel("distance from the centre, px", fontsize=8, labelpad=1)
        profile.set_yticks([])
        profile.tick_params(labelsize=7.5, direction="in", pad=2)
        # Levels are written by hand: an axis takes longer to draw than everything else here.
        self._levels = [
            profile.text(-0.02, at, "", transform=profile.transAxes, ha="right", va=va, fontsize=7.5)
            for at, va in ((0.0, "bottom"), (1.0, "top"))
        ]
        profile.text(-0.02, 0.5, "ADU", transform=profile.transAxes, ha="right", va="center", fontsize=8)
        self.artists: list[Artist] = [self._image, *self._circles, self._points, self._fit, *self._levels]

    def _shown_radii(self) -> list[float]:
        return [self._radii[0], self._radii[-1]] if len(self._radii) > 1 else self._radii

    def _circle(self, radius: float, color: str, style: str) -> "Circle":
        from matplotlib.patches import Circle

        circle = Circle((self.half, self.half), radius, fill=False, ec=color, ls=style, lw=1.3)
        self._cut.add_patch(circle)
        return circle

    def show(self, shot: Shot, star: Star, x: float, y: float, stretch: Stretch) -> None:
        """Show the star, or without one the place under the mouse."""
        x, y = (star.x_px, star.y_px) if star.is_there else (x, y)
        cx, cy = round(x), round(y)
        stamp = cutout(shot.pixels, cx, cy, self.half)
        self._image.set_data(shades(stamp, shot, stretch))
        at = (x - cx + self.half, y - cy + self.half)
        for circle in self._circles:
            circle.set_center(at)
        steps = np.arange(2 * self.half + 1)
        distance = np.hypot(steps - at[0], (steps - at[1])[:, None])
        shown = (distance < self._profile.get_xlim()[1]) & np.isfinite(stamp)
        self._points.set_data(distance[shown], stamp[shown])
        r = np.linspace(0, self._profile.get_xlim()[1], 100)
        if star.is_there:
            fit = star.background_adu + star.amplitude_adu * np.exp(-4 * np.log(2) * (r / star.fwhm_px) ** 2)
            self._fit.set_data(r, fit)
        else:
            self._fit.set_data([], [])
        if shown.any():
            low, high = float(stamp[shown].min()), float(stamp[shown].max())
            margin = 0.06 * (high - low) or 1.0
            self._profile.set_ylim(low - margin, high + margin)
            for text, level in zip(self._levels, (low, high), strict=True):
                text.set_text(f"{level:.0f}")
