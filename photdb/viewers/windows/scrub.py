"""The bar below a frame that goes through all frames: where one is, which are rejected, where an asteroid was given."""

from typing import TYPE_CHECKING

import numpy as np

from photdb.viewers.windows.night import Night
from photdb.viewers.windows.picks import Pick

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes


class ScrubBar:
    """A bar of all frames in time order."""

    def __init__(self, axes: "Axes", night: Night) -> None:
        self.axes, self._night = axes, night
        n = night.frames.id.size
        axes.set(xlim=(-0.5, n - 0.5), ylim=(0, 1), yticks=[], facecolor="#DDE6EE")
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        ticks = np.unique(np.linspace(0, n - 1, min(n, 9)).round().astype(int))
        axes.set_xticks(ticks, [str(night.frames.number[i]) for i in ticks])
        axes.tick_params(labelsize=8, length=2, pad=1)
        left_out = np.flatnonzero(~night.used)
        axes.vlines(left_out, 0, 1, color="#AAAAAA", lw=max(0.5, 500 / n))
        (self._anchors,) = axes.plot([], [], "D", ms=5, color="#D00000", mec="white", mew=0.7)
        self._here = axes.axvline(night.reference, color="#0072B2", lw=3)
        self.artists: list[Artist] = [self._here, self._anchors]

    def show(self, i: int, asteroid: Pick | None) -> None:
        """Show where one is, and the frames in which an asteroid was given."""
        self._here.set_xdata([i, i])
        places = [self._night.place(a.frame) for a in asteroid.anchors] if asteroid else []
        self._anchors.set_data(places, [0.5] * len(places))

    def frame_at(self, x: float) -> int:
        """Give the place of the frame with a shift that is nearest to a column of the canvas."""
        at = self.axes.transData.inverted().transform((x, 0))[0]
        shown = np.flatnonzero(self._night.has_shift)
        return int(shown[np.abs(shown - at).argmin()])
