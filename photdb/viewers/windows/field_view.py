"""The frame with its sources: what is shown of it, and marks that are told apart by shape as well as by colour."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.artist import Artist

from photdb.viewers.windows.doubts import track
from photdb.viewers.windows.frame_image import FrameImage
from photdb.viewers.windows.night import Floats, Night, Shot
from photdb.viewers.windows.picks import Pick, Picks
from photdb.viewers.windows.quick_text import QuickText

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Marker of each role, its colour on dark ground, and on light.
STYLE: Final = {
    "asteroid": ("D", "#FF3B30", "#C00000"),
    "variable": ("s", "#56B4E9", "#0072B2"),
    "reference": ("o", "#2ECC71", "#00703C"),
    "check": ("^", "#F0E442", "#7A6000"),
}
#: The same shapes in texts.
SIGNS: Final = {"asteroid": "◆", "variable": "■", "reference": "●", "check": "▲"}
_PROPOSAL: Final = "#FF9ECF"
_CIRCLE: Final = np.stack([np.cos(np.linspace(0, 2 * np.pi, 49)), np.sin(np.linspace(0, 2 * np.pi, 49))], axis=1)


class FieldView:
    """The axes of a frame, in pixels of the reference frame.

    Parameters
    ----------
    axes : Axes
        Empty.
    night : Night
        Frames, shifts, apertures.

    Attributes
    ----------
    artists, cross : list of Artist
        The frame and its marks; the cross-hair, for a layer of its own.
    scale : float
        Pixels of the reference frame in a hundredth of an inch.
    """

    def __init__(self, axes: "Axes", night: Night) -> None:
        import matplotlib.patheffects as effects
        from matplotlib.collections import LineCollection

        self.axes, self._night = axes, night
        axes.set_axis_off()
        self.image = FrameImage(axes)
        self._middle, self.scale, self._is_whole = self._centre(), 0.0, True
        outline = [effects.withStroke(linewidth=2.6, foreground="black")]
        self._rings = LineCollection([], linewidths=1.0)
        self._tracks = LineCollection([], colors=STYLE["asteroid"][1], linewidths=1.2)
        self._markers = {
            role: axes.plot([], [], marker, ls="", ms=13, mfc="none", mec=color, mew=1.6, path_effects=outline)[0]
            for role, (marker, color, _) in STYLE.items()
        }
        (self._anchors,) = axes.plot([], [], "D", ls="", ms=5, color=STYLE["asteroid"][1], mec="black", mew=0.7)
        (self._proposals,) = axes.plot(
            [], [], "o", ls="", ms=15, mfc="none", mec=_PROPOSAL, mew=1.6, path_effects=outline
        )
        axes.add_collection(self._rings, autolim=False)
        axes.add_collection(self._tracks, autolim=False)
        self._labels = _Labels(axes)
        axes.autoscale(False)
        style: dict[str, Any] = {"color": "#00C8FF", "lw": 0.8, "visible": False}
        self.cross: list[Artist] = [axes.axvline(0, **style), axes.axhline(0, **style)]
        marks = (self._tracks, self._rings, self._anchors, *self._markers.values(), self._proposals, self._labels)
        self.artists: list[Artist] = [self.image, *marks]

    # --- what is shown ------------------------------------------------------------------------------------------------
    def whole(self) -> None:
        """Show the whole reference frame, whatever the size of the axes."""
        self._is_whole = True
        self.fit_axes()

    def _centre(self) -> Floats:
        return np.array([(self._night.shifts.width_px - 1) / 2, (self._night.shifts.height_px - 1) / 2])

    def fit_axes(self) -> None:
        """Give the axes the limits of what is shown, after their size or the view has changed."""
        box = self.axes.bbox
        unit = float(self.axes.figure.dpi) / 100.0
        w, h = box.width / unit, box.height / unit
        fit = 1.01 * max(self._night.shifts.width_px / w, self._night.shifts.height_px / h)
        if self._is_whole:
            self.scale, self._middle = fit, self._centre()
        self.scale = min(self.scale, 1.5 * fit)
        x, y = self._middle
        self.axes.set_xlim(x - self.scale * w / 2, x + self.scale * w / 2)
        self.axes.set_ylim(y - self.scale * h / 2, y + self.scale * h / 2)

    def grab(self, x: float, y: float) -> Callable[[float, float], None]:
        """Begin to move what is shown at a place of the canvas; gives what follows the mouse."""
        middle, unit = self._middle.copy(), float(self.axes.figure.dpi) / 100.0

        def move(to_x: float, to_y: float) -> None:
            self._middle = middle - np.array([to_x - x, to_y - y]) / unit * self.scale
            limit = np.array([self._night.shifts.width_px, self._night.shifts.height_px], float)
            self._middle, self._is_whole = np.clip(self._middle, 0, limit), False
            self.fit_axes()

        return move

    def zoom(self, factor: float, x: Any, y: Any) -> None:
        """Zoom around a place that stays where it is."""
        new = max(self.scale * factor, 0.02)
        place = np.array([float(x), float(y)])
        self._middle = place + (self._middle - place) * new / self.scale
        self.scale, self._is_whole = new, False
        self.fit_axes()

    # --- what is drawn ------------------------------------------------------------------------------------------------
    def show_frame(self, shot: Shot, affine: Floats) -> None:
        """Show a frame."""
        self.image.shot, self.image.affine = shot, affine

    def show_cross(self, place: tuple[float, float] | None) -> None:
        """Show the cross-hair, or hide it."""
        for line, at in zip(self.cross, place or (0.0, 0.0), strict=True):
            line.set_visible(place is not None)
            line.set_data(*(([at, at], [0, 1]) if line is self.cross[0] else ([0, 1], [at, at])))  # type: ignore[attr-defined]

    def show_sources(self, picks: Picks, i: int) -> None:
        """Show the sources, their apertures, and the tracks of asteroids; and where these are in a frame."""
        light = self.image.stretch.inverted
        places: dict[str, list[tuple[float, float]]] = {role: [] for role in STYLE}
        tracks, anchors, labels, rings, colors = [], [], [], [], []
        radius = max((r for r, _, _ in self._night.apertures), default=0.0)
        ring = max(((inner, outer) for _, inner, outer in self._night.apertures), default=(0.0, 0.0))
        for pick in picks.sources:
            color = STYLE[pick.role][1 + light]
            at = self._now(pick, i)
            if pick.role == "asteroid":
                path = track(self._night, pick)
                tracks.append(path[np.isfinite(path).all(axis=1)])
                anchors += [(a.x_ref_px, a.y_ref_px) for a in pick.anchors]
            if at is None:
                continue
            places[pick.role].append(at)
            labels.append((at, f"{SIGNS[pick.role]} {pick.label}", color))
            for size, alpha in ((radius, 1.0), (ring[0], 0.6), (ring[1], 0.6)):
                rings.append(_CIRCLE * size + at)
                colors.append((*_rgb(color), alpha))
        for role, line in self._markers.items():
            line.set_data(*(np.array(places[role]).reshape(-1, 2).T))
            line.set_markeredgecolor(STYLE[role][1 + light])
        self._tracks.set_segments(tracks)
        self._tracks.set_color(STYLE["asteroid"][1 + light])
        self._anchors.set_data(*(np.array(anchors).reshape(-1, 2).T))
        self._rings.set_segments(rings)
        self._rings.set_color(colors)
        # Circles say where a source is once they are larger than its marker.
        large = radius / self.scale > 9.0
        for line in self._markers.values():
            line.set_markersize(7 if large else 13)
            line.set_visible(not large)
        self._rings.set_visible(ring[1] / self.scale > 6.0)
        self._proposals.set_data(*(np.array([(a.x_ref_px, a.y_ref_px) for a in picks.proposals]).reshape(-1, 2).T))
        self._labels.show(labels, 0.75 * max(12.0, radius / self.scale) + 3, "white" if light else "black")

    def _now(self, pick: Pick, i: int) -> tuple[float, float] | None:
        """Give where a source is in a frame, in pixels of the reference frame."""
        if pick.role != "asteroid":
            return pick.place
        here = pick.anchor_in(int(self._night.frames.number[i]))
        if here is not None:
            return here.x_ref_px, here.y_ref_px
        x, y = track(self._night, pick)[i]
        return (float(x), float(y)) if np.isfinite(x) else None


def _rgb(color: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(color)


class _Labels(Artist):
    """Names beside the sources."""

    def __init__(self, axes: "Axes") -> None:
        super().__init__()
        self._axes = axes
        self._labels: list[tuple[tuple[float, float], str, str]] = []
        self._offset, self._outline = 0.0, "black"

    def show(self, labels: list[tuple[tuple[float, float], str, str]], offset: float, outline: str) -> None:
        """Take places, names and colours, and how far beside the places the names stand, hundredths of an inch."""
        self._labels, self._offset, self._outline = labels, offset, outline

    def draw(self, renderer: Any) -> None:
        """Draw those that are in sight."""
        box, figure = self._axes.bbox, self._axes.figure
        away = self._offset * figure.dpi / 100.0
        for at, label, color in self._labels:
            x, y = self._axes.transData.transform(at)
            if box.contains(x, y):
                text = QuickText(figure, size=9.5, color=color, outline=self._outline)
                text.text, text.x, text.y = label, x + away, y + 0.7 * away
                text.draw(renderer, within=box)
