"""The windows of `photdb check` and `photdb solve`: references judged by eye, and curves in every aperture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.noise import noise, smoother
from photdb.algorithms.references import leave_one_out
from photdb.viewers.apertures import ApertureCurves, draw_aperture_differences, draw_apertures
from photdb.viewers.references import ReferenceCurves, draw_references, offsets
from photdb.viewers.style import FAINT, frames_below, points
from photdb.viewers.windows import choices as c
from photdb.viewers.windows.curves_window import CurvesWindow
from photdb.viewers.windows.parts import NARROW, Key
from photdb.viewers.windows.source_marks import SourceMarks
from photdb.wording import count, numbers

if TYPE_CHECKING:
    from matplotlib.backend_bases import MouseEvent

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Magnitudes:
    """Instrumental magnitudes of sources, none of them left out; frames as in `Facts`.

    Attributes
    ----------
    sources, roles : list of str
        Labels (k) and roles.
    apertures, names, specs : list
        Ids (p), what they are called, and as typed.
    mag : ndarray (n, k, p)
        NaN where a flux is missing or flagged.
    xy_px : ndarray (n, k, 2)
        Where they are in the frames.
    """

    sources: list[str]
    roles: list[str]
    apertures: list[int]
    names: list[str]
    specs: list[str]
    mag: Floats
    xy_px: Floats

    def of(self, *roles: str) -> list[int]:
        """Give the places of the sources of some roles."""
        return [k for k, role in enumerate(self.roles) if role in roles]


class MagnitudeWindow(CurvesWindow):
    """Curves of magnitudes, drawn anew when something changes; sources are marked in the frame."""

    def __init__(self, magnitudes: Magnitudes, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        self.m = magnitudes

    def build(self) -> None:
        super().build()
        frames_below(self.panels, self.facts.number, self.facts.jd_utc_mid)
        self._marks = SourceMarks(self)
        self.layers.add(self.curve_layer + 1, self._marks)

    def show(self) -> None:
        low, high = self.panels[0].get_xlim()
        for panel in self.panels:  # not `clear`, which makes axes and ticks anew: half of the time that a click takes
            for artist in (*panel.lines, *panel.texts):
                artist.remove()
        self.draw()
        self.panels[0].set_xlim(low, high)
        self.redraw()

    def marked(self) -> Sequence[int]:
        """Give the places of the sources that are marked in the frame."""
        return ()

    def out_by_hand(self, source: str) -> list[int]:
        """Give the frames in which a source is left out by hand."""
        return sorted(n for n, label, p in self.state.rejected if n is not None and label == source and p is None)

    def mask(self) -> Bools:
        """Tell what is not left out by hand in single frames (n, k, p)."""
        return c.mask(self.state, self.facts, self.m.sources, self.m.apertures)


class ReferencesWindow(MagnitudeWindow):
    """The window of `photdb check`: a click on a reference's curve drops it, another takes it back."""

    margin = 92.0

    def __init__(self, magnitudes: Magnitudes, p: int, *rest: Any, **more: Any) -> None:
        super().__init__(magnitudes, *rest, **more)
        self.p = p  # the place of the aperture that is shown

    def draw(self) -> None:
        left, (axes,) = self.facts.left(self.state), self.panels
        raw = self.m.mag[left, :, self.p].T
        mag = np.where(self.mask()[left, :, self.p].T, raw, np.nan)
        self._kept = np.array([not c.is_out(self.state, s, self.m.apertures[self.p]) for s in self.m.sources], bool)
        number, jd = self.facts.number[left], self.facts.jd_utc_mid[left]
        curve, median = self._against_the_mean(mag, mag)
        scatter = np.full(len(mag), np.nan)
        if self._kept.sum() > 1:
            scatter[self._kept] = leave_one_out(mag[self._kept], jd).scatter_mag
        self._labels = [s if kept else f"{s} dropped" for s, kept in zip(self.m.sources, self._kept, strict=True)]
        drawn = ReferenceCurves(self._labels, number, jd, curve, scatter, self.m.specs[self.p])
        lines = draw_references(axes, drawn)
        self._offsets = offsets(curve)
        self._drawn: list[tuple[Any, Any]] = []
        everything, _ = self._against_the_mean(raw, mag)
        for k, (label, kept) in enumerate(zip(self._labels, self._kept, strict=True)):
            if not kept:
                lines[label].set(mfc="none", mec=FAINT, mew=0.8)
            y = np.where(np.isfinite(mag[k]), np.nan, everything[k] - median[k]) + self._offsets[k]
            hollow = np.isfinite(y)
            if hollow.any():
                points(axes, number[hollow], y[hollow], left_out=np.ones(hollow.sum(), bool), marker="o")

    def _against_the_mean(self, mag: Floats, of: Floats) -> tuple[Floats, Floats]:
        """Give curves (k, n) against the mean of the others that are kept, about their medians, and these (k, 1)."""
        n = int(self._kept.sum())
        out = np.full(mag.shape, np.nan)
        if n > 1:
            out = mag - (mag if mag is not of else of)[self._kept].mean(axis=0)
            out[self._kept] *= n / (n - 1)
        if mag is not of:
            return out, np.zeros((len(mag), 1))
        known = np.isfinite(out).any(axis=1)
        median = np.zeros((len(mag), 1))
        median[known] = np.nanmedian(out[known], axis=1, keepdims=True)
        return out - median, median

    def row(self, event: "MouseEvent") -> int:
        """Give the place of the reference whose curve is at the mouse's height."""
        return int(np.abs(self._offsets - float(event.ydata or 0.0)).argmin())

    def marked(self) -> Sequence[int]:
        return range(len(self.m.sources))

    def lines(self) -> Sequence[str]:
        kept = [s for s, k in zip(self.m.sources, self._kept, strict=True) if k]
        out = [f"aperture {self.m.specs[self.p]} px", f"{count(len(kept), 'reference')} kept: {' '.join(kept)}"]
        dropped = [s for s, k in zip(self.m.sources, self._kept, strict=True) if not k]
        out += [f"dropped: {' '.join(dropped)}"] if dropped else []
        for source in self.m.sources:
            if out_there := self.out_by_hand(source):
                out.append(f"{source} left out in {numbers(out_there, most=5)}")
        return out

    # --- the mouse ----------------------------------------------------------------------------------------------------
    def mouse_help(self) -> Sequence[tuple[str, str]]:
        return (
            ("left click", "on a curve: drop the reference, or take it back"),
            ("left drag", "along a curve: leave it out in these frames"),
            ("right click", "leave it out in this frame, or take it back"),
            ("wheel", "zoom along the frames"),
        )

    def click(self, event: "MouseEvent") -> None:
        if event.inaxes is not self.panels[0]:
            return
        source = self.m.sources[self.row(event)]
        i = self.at_column(event)
        self.i = self.i if i is None else i
        dropped = (None, source, None) in self.state.rejected
        self.change(c.toggled(self.state, (None, source, None)))
        self.say(f"{source} is {'taken back' if dropped else 'dropped'}.")

    def is_out(self, i: int, event: "MouseEvent | None" = None) -> bool:
        if event is None:
            return super().is_out(i)
        return (int(self.facts.number[i]), self.m.sources[self.row(event)], None) in self.state.rejected

    def leave_out(self, frames: Sequence[int], event: "MouseEvent | None" = None) -> c.Choices:
        left = self.facts.number[self.facts.left(self.state)]
        if event is None:
            return super().leave_out(frames)
        return c.rejected(self.state, sorted(set(frames) & set(left.tolist())), self.m.sources[self.row(event)])

    def take_back(self, frames: Sequence[int], event: "MouseEvent | None" = None) -> c.Choices:
        if event is None:
            return super().take_back(frames)
        scopes = {(n, self.m.sources[self.row(event)], None) for n in frames}
        return replace(self.state, rejected=self.state.rejected - scopes)

    def keys(self) -> Sequence[Key]:
        more = Key(("a",), "the next aperture", self._next_aperture)
        return (more, *super().keys())

    def _next_aperture(self) -> None:
        self.p = (self.p + 1) % len(self.m.apertures)
        self.refresh()


class AperturesWindow(MagnitudeWindow):
    """The window of `photdb solve`: a target's curve in every aperture; its frames and the apertures are left out."""

    heights = (2.6, 2.0)

    def __init__(self, magnitudes: Magnitudes, references: dict[str, list[str]], *rest: Any, **more: Any) -> None:
        super().__init__(magnitudes, *rest, **more)
        self._references = references  # of each target, those it is compared with
        self.target = next(iter(references))

    def draw(self) -> None:
        left, k = self.facts.left(self.state), self.m.sources.index(self.target)
        number, jd = self.facts.number[left], self.facts.jd_utc_mid[left]
        raw, ok = self.m.mag[left], self.mask()[left]
        mag, everything = np.full((2, len(self.m.apertures), number.size), np.nan)
        for p, aperture in enumerate(self.m.apertures):
            here = [
                j
                for j in map(self.m.sources.index, self._references[self.target])
                if not c.is_out(self.state, self.m.sources[j], aperture)
            ]
            if here and not c.is_out(self.state, self.target, aperture):
                everything[p] = raw[:, k, p] - raw[:, here, p].mean(axis=1)
                mag[p] = np.where(ok[:, [k, *here], p].all(axis=1), everything[p], np.nan)
                if np.isfinite(mag[p]).any():
                    median = np.nanmedian(mag[p])
                    mag[p], everything[p] = mag[p] - median, everything[p] - median
        drawn = ApertureCurves(self.target, self._references[self.target], self.m.names, number, jd, mag)
        upper, lower = self.panels
        draw_apertures(upper, drawn)
        draw_aperture_differences(lower, drawn)
        out = np.isfinite(everything).any(axis=0) & ~np.isfinite(mag).any(axis=0)
        p = drawn.middle
        points(upper, number[out], everything[p, out], left_out=np.ones(out.sum(), bool), marker="o")
        if np.isfinite(everything).any():  # rejected points stay in sight as far as they are not wild
            low, high = upper.get_ylim()
            upper.set_ylim(low + 0.3 * (low - high), high)  # room for the legend
        shown = [line for line, curve in zip(upper.get_lines(), mag, strict=False) if np.isfinite(curve).any()]
        upper.legend(
            handles=shown,
            loc="lower center",
            ncols=8 if self.extent[0] >= NARROW else 4,
            fontsize=8,
            markerscale=2.0 if number.size >= 150 else 1.2,
            handletextpad=0.2,
            columnspacing=1.0,
        )
        self._points = (np.tile(number, 2), np.concatenate([mag[p], everything[p]]))
        self._noise = _noises(mag, jd)

    def show(self) -> None:
        super().show()
        force = [t for a, t in zip(self.m.apertures, self._names(), strict=True) if not c.is_out(self.state, None, a)]
        self.light(self.target, *force)

    def _names(self) -> list[str]:
        alike = len(set(self.m.names)) < len(self.m.names)
        return self.m.specs if alike else self.m.names

    def buttons(self) -> Sequence[tuple[str, Callable[[], None]]]:
        targets = [(label, self._show_target(label)) for label in self._references] if len(self._references) > 1 else []
        return (
            *targets,
            *((n, self._toggle_aperture(a)) for n, a in zip(self._names(), self.m.apertures, strict=True)),
        )

    def _show_target(self, label: str) -> Callable[[], None]:
        def show() -> None:
            self.target = label
            self.refresh()

        return show

    def _toggle_aperture(self, aperture: int) -> Callable[[], None]:
        def toggle() -> None:
            self.change(c.toggled(self.state, (None, None, aperture)))

        return toggle

    def marked(self) -> Sequence[int]:
        return [self.m.sources.index(label) for label in (self.target, *self._references[self.target])]

    def lines(self) -> Sequence[str]:
        out = [self.target, f"against {' '.join(self._references[self.target])}", "", "aperture, noise"]
        for name, value, a in zip(self._names(), self._noise, self.m.apertures, strict=True):
            known = "left out" if c.is_out(self.state, self.target, a) else f"{1000 * value:.1f} mmag"
            out.append(f"  {name}: {known if known[0] != 'n' else 'too few points'}")
        if rejected := self.out_by_hand(self.target):
            out += ["", f"left out for {self.target}", f"  {numbers(rejected, most=5)}"]
        return out

    # --- the mouse ----------------------------------------------------------------------------------------------------
    def mouse_help(self) -> Sequence[tuple[str, str]]:
        return (*super().mouse_help(), ("a radius below", "leave the aperture out, or take it back"))

    def near(self, event: "MouseEvent") -> int | None:
        if event.inaxes is not self.panels[0]:
            return self.at_column(event)
        at = self.point_at(self.panels[0], event, *self._points)
        return None if at is None else self.facts.place(int(self._points[0][at]))

    def is_out(self, i: int, event: "MouseEvent | None" = None) -> bool:
        return super().is_out(i) or (int(self.facts.number[i]), self.target, None) in self.state.rejected

    def leave_out(self, frames: Sequence[int], event: "MouseEvent | None" = None) -> c.Choices:
        left = self.facts.number[self.facts.left(self.state)]
        return c.rejected(self.state, sorted(set(frames) & set(left.tolist())), self.target)

    def take_back(self, frames: Sequence[int], event: "MouseEvent | None" = None) -> c.Choices:
        scopes = {(n, self.target, None) for n in frames}
        return replace(self.state, rejected=self.state.rejected - scopes)


def _noises(curves: Floats, jd: Floats) -> list[float]:
    """Give the noise of curves (p, n), mag; NaN where one has too few points."""
    smoothers, out = {}, []
    for mag in curves:
        there = np.isfinite(mag) & np.isfinite(jd)
        key = there.tobytes()
        if there.sum() >= 3 and key not in smoothers:  # the same frames in most apertures
            smoothers[key] = smoother(jd[there], window=7, degree=2)
        out.append(float(noise(mag[there][None], smoothers[key])[0]) if key in smoothers else float("nan"))
    return out
