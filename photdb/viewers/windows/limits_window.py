"""The windows of `photdb qc` and `photdb shifts`: thresholds that are dragged, frames, and regions of the frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from photdb.errors import PhotdbError
from photdb.viewers.quality import PANELS, Quality, Rule, draw_quality
from photdb.viewers.shifts import ShiftCurves, draw_shifts
from photdb.viewers.style import PURPLE, SKY, dress, points
from photdb.viewers.windows import choices as c
from photdb.viewers.windows.curves_window import REACH, REJECT, CurvesWindow
from photdb.viewers.windows.parts import Key
from photdb.viewers.windows.window import Drag
from photdb.wording import count, numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.backend_bases import MouseEvent


@dataclass(frozen=True, slots=True)
class Handle:
    """A threshold that can be dragged: the panel it is in, the metric, and what is rejected: `<` or `>` it."""

    panel: int
    metric: str
    operator: str
    name: str


class LimitsWindow(CurvesWindow):
    """Curves whose points are rejected by thresholds."""

    handles: Sequence[Handle] = ()

    def build(self) -> None:
        from matplotlib.lines import Line2D

        super().build()
        # All points were drawn as left out: pairs of a line of those that count, none yet, and of those that do not.
        self._pairs: list[tuple[int, Line2D, Line2D, Any, Any]] = []
        for n, panel in enumerate(self.panels):
            drawn = list(panel.lines)
            for kept, faint in zip(drawn, drawn[1:], strict=False):
                x, y = np.asarray(faint.get_xdata()), np.asarray(faint.get_ydata())
                if len(np.asarray(kept.get_xdata())) == 0 and x.size == self.facts.number.size:
                    self._pairs.append((n, kept, faint, x, y))
                    for line in (kept, faint):
                        self.layers.add(self.curve_layer, line)
            if panel.get_autoscaley_on():
                panel.margins(y=0.12)
            panel.autoscale(False)
        self._lines, self._tabs = [], []
        self._dragged: tuple[Handle, float | None] | None = None
        for handle in self.handles:
            panel = self.panels[handle.panel]
            line = Line2D([0, 1], [0, 0], color=REJECT, lw=1.4, ls="--", transform=panel.get_yaxis_transform())
            tab = Line2D([0.985], [0], color=REJECT, ls="", ms=9, marker="v" if handle.operator == ">" else "^")
            tab.set_transform(panel.get_yaxis_transform())
            for artist in (line, tab):
                self.figure.add_artist(artist)
                self.layers.add(self.mark_layer, artist)
            self._lines.append(line)
            self._tabs.append(tab)
        self._hits = Line2D([], [], color=REJECT, ls="", marker="x", ms=5, mew=1.2)
        self.figure.add_artist(self._hits)
        self.layers.add(self.mark_layer, self._hits)

    def show(self) -> None:
        left = self.facts.left(self.state)
        for _, kept, faint, x, y in self._pairs:
            kept.set_data(x[left], y[left])
            faint.set_data(x[~left], y[~left])
        self._show_handles()

    def _show_handles(self) -> None:
        for handle, line, tab in zip(self.handles, self._lines, self._tabs, strict=True):
            dragged = self._dragged is not None and self._dragged[0] == handle
            value = self._dragged[1] if self._dragged and dragged else self.state.limit(handle.metric, handle.operator)
            y = self._parked(handle) if value is None else value
            line.set_ydata([y, y])
            line.set_linewidth(2.2 if dragged else 1.4)
            line.set_visible(value is not None)
            # A little inside, to be seen whole.
            low, high = self.panels[handle.panel].get_ylim()
            step = 5.0 * self.unit * (high - low) / max(self.panels[handle.panel].bbox.height, 1.0)
            inside = float(np.clip(y, low + step, high - step))
            tab.set_ydata([inside + (step if handle.operator == ">" and value is not None else 0)])
            tab.set_markerfacecolor("white" if value is None else REJECT)
            tab.set_markeredgecolor(REJECT)

    def _parked(self, handle: Handle) -> float:
        """Give where a threshold waits that is not in force: at the end where it rejects nothing."""
        low, high = self.panels[handle.panel].get_ylim()
        return float(high if handle.operator == ">" else low)

    def about(self, i: int) -> str:
        why = [f"{r.metric} {self.facts.metrics[r.metric][i]:.6g}" for r in self.state.rules if self.facts.hit(r)[i]]
        if (self.number, None, None) in self.state.rejected:
            why.append("by hand")
        if why and self.number in self.state.accepted:
            return f"accepted against {', '.join(why)}"
        return f"rejected: {', '.join(why)}" if why else super().about(i)

    def lines(self) -> Sequence[str]:
        left = self.facts.left(self.state)
        out = [f"{int(left.sum())} of {count(left.size, 'frame')} accepted", ""]
        if self.state.rules:
            out.append("rules reject")
        for rule in self.state.rules:
            hit = self.facts.number[self.facts.hit(rule) & self.facts.usable].tolist()
            out.append(f"  {rule.metric} {rule.operator} {rule.value:g}: {count(len(hit), 'frame')}")
            if hit:
                out.append(f"     {numbers(hit, most=5)}")
        hand = [n for n, source, p in self.state.rejected if n is not None and source is None is p]
        if hand:
            out += ["rejected by hand", f"  {numbers(hand, most=5)}"]
        if self.state.accepted:
            out += ["accepted against rules", f"  {numbers(sorted(self.state.accepted), most=5)}"]
        if self.state.region:
            out.append(f"region {' '.join(map(str, self.state.region))}")
        out += [f"excluded {' '.join(map(str, box))}" for box in self.state.exclude]
        return out

    # --- the mouse ----------------------------------------------------------------------------------------------------
    def mouse_help(self) -> Sequence[tuple[str, str]]:
        return (
            ("drag a line", "or its mark at the edge: the threshold; back to the edge ends it"),
            *super().mouse_help(),
            ("drag on frame", "a rectangle; a click in one takes it away"),
        )

    def near(self, event: "MouseEvent") -> int | None:
        best: int | None = None
        for n, _, _, x, y in self._pairs:
            if best is None and self.panels[n] is event.inaxes:
                at = self.point_at(self.panels[n], event, x, y)
                best = None if at is None else self.facts.place(int(x[at]))
        return best

    def grab(self, event: "MouseEvent") -> Drag | None:
        if event.inaxes is self.picture:
            return self._grab_rectangle(event)
        for handle in self.handles:
            panel = self.panels[handle.panel]
            if event.inaxes is not panel:
                continue
            value = self.state.limit(handle.metric, handle.operator)
            y = panel.transData.transform((0, self._parked(handle) if value is None else value))[1]
            y = np.clip(y, panel.bbox.y0, panel.bbox.y1)
            right = panel.bbox.x1 - 30 * self.unit
            if abs(event.y - y) <= REACH * self.unit and (value is not None or event.x >= right):
                return self._grab_handle(handle, panel)
        return super().grab(event)

    def _grab_handle(self, handle: Handle, panel: "Axes") -> Drag:
        def drag(event: "MouseEvent") -> None:
            low, high = panel.get_ylim()
            step = (high - low) / max(float(panel.bbox.height), 1.0)
            y = float(panel.transData.inverted().transform((0, event.y))[1])
            ends = y >= high if handle.operator == ">" else y <= low
            # Beyond its own end the rule ends; beyond the other it would reject everything.
            value = None if ends else c.rounded(min(max(y, low, 0.0), high), step)
            if event.name == "button_release_event":
                self._dragged = None
                self._hits.set_data([], [])
                self.show_live("", event)
                self.change(c.with_limit(self.state, handle.metric, handle.operator, value))
                self._show_handles()
                return
            self._dragged = (handle, value)
            self._show_handles()
            hit = self.facts.number[:0]
            if value is not None:
                rule = c.Choices((Rule(handle.metric, handle.operator, value),))
                which = self.facts.ruled(rule) & self.facts.usable
                hit, values = self.facts.number[which], self.facts.metrics[handle.metric][which]
                self._hits.set_transform(panel.transData)
                self._hits.set_data(hit, values)
            text = (
                f"{handle.name} {handle.operator} {value:g}: {count(hit.size, 'frame')}"
                if value is not None
                else (f"no rule on {handle.name}")
            )
            self.show_live(text, event)

        return drag

    def _grab_rectangle(self, event: "MouseEvent") -> Drag | None:
        if self.image.shot is None or event.xdata is None or event.ydata is None:
            return None
        pressed, start = event, (float(event.xdata), float(event.ydata))

        def drag(event: "MouseEvent") -> None:
            x, y = self.picture.transData.inverted().transform((event.x, event.y))
            box = c.rectangle(*start, x, y, self.frame_width, self.frame_height)
            over = event.name == "button_release_event"
            self._span.set_bounds(
                min(pressed.x, event.x), min(pressed.y, event.y), abs(event.x - pressed.x), abs(event.y - pressed.y)
            )
            self._span.set_visible(not over)
            self.show_live("" if over else " ".join(map(str, box)), event)
            if over and box[0] < box[2] and box[1] < box[3]:
                self.change(self.with_rectangle(box))

        return drag

    def with_rectangle(self, box: c.Rectangle) -> c.Choices:
        """Give the choices with a rectangle that was dragged on the frame."""
        return replace(self.state, region=box)

    def click_frame(self, x: float, y: float) -> None:
        def holds(box: c.Rectangle) -> bool:
            return box[0] <= x <= box[2] and box[1] <= y <= box[3]

        inside = [box for box in self.state.exclude if holds(box)]
        if inside:
            self.change(replace(self.state, exclude=tuple(b for b in self.state.exclude if b != inside[-1])))
        elif self.state.region and holds(self.state.region):
            self.change(replace(self.state, region=None))

    # --- keys ---------------------------------------------------------------------------------------------------------
    def keys(self) -> Sequence[Key]:
        return (Key(("t",), "type the threshold of the panel under the mouse", self._ask_limit), *super().keys())

    def hover(self, event: "MouseEvent") -> None:
        self._under = event.inaxes

    _under: "Axes | None" = None

    def _ask_limit(self) -> None:
        here = [handle for handle in self.handles if self.panels[handle.panel] is self._under]
        if not here:
            raise PhotdbError("no threshold is in the panel under the mouse")
        handle = here[0]
        now = self.state.limit(handle.metric, handle.operator)

        def take(text: str) -> None:
            try:
                value = None if text.strip() in ("", "none") else float(text)
            except ValueError:
                raise PhotdbError(f"{text} is no number") from None
            if value is not None and not 0 <= value < np.inf:
                raise PhotdbError(f"{text}: a threshold is a number of 0 or more")
            self.change(c.with_limit(self.state, handle.metric, handle.operator, value))

        what = "below" if handle.operator == "<" else "above"
        self.ask(f"Reject frames with {handle.name} {what} (none: no rule)", "" if now is None else f"{now:g}", take)


_QC: Final = (
    Handle(0, "range_adu", "<", "range"),
    Handle(1, "nonuniformity_adu", ">", "non-uniformity"),
    Handle(2, "background_adu", ">", "background"),
    Handle(3, "fwhm_px", ">", "FWHM"),
    Handle(4, "n_stars", "<", "stars"),
    Handle(5, "elongation", ">", "elongation"),
)


class QualityWindow(LimitsWindow):
    """The window of `photdb qc`."""

    heights = (*(height for height, *_ in PANELS), 0.9)
    handles = _QC

    def __init__(self, quality: Quality, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        self._quality = quality

    def draw(self) -> None:
        nothing = replace(self._quality, accepted=self._quality.accepted & False, rules=[])
        draw_quality(self.panels[:5], nothing)
        draw_more(self.panels[5], self._quality, self.facts.metrics["elongation"], "elongation", SKY)
        self.panels[4].set_xlabel("")


class ShiftsWindow(LimitsWindow):
    """The window of `photdb shifts`."""

    heights = (2.0, 1.2, 1.2, 1.2)
    handles = (Handle(2, "residual_px", ">", "residual"), Handle(3, "n_matched", "<", "matched stars"))

    def __init__(self, shifts: ShiftCurves, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        self._shifts, self._excludes = shifts, True

    def draw(self) -> None:
        draw_shifts(self.panels[:3], replace(self._shifts, accepted=self._shifts.accepted & False, rules=[]))
        draw_more(self.panels[3], self._shifts, self.facts.metrics["n_matched"], "matched\nstars", PURPLE)
        self.panels[2].set_xlabel("")

    def show(self) -> None:
        super().show()
        self.light("Exclude" if self._excludes else "Region")

    def with_rectangle(self, box: c.Rectangle) -> c.Choices:
        if self._excludes:
            return replace(self.state, exclude=(*self.state.exclude, box))
        return super().with_rectangle(box)

    def buttons(self) -> Sequence[tuple[str, Callable[[], None]]]:
        return (("Exclude", lambda: self._dragging_means(True)), ("Region", lambda: self._dragging_means(False)))

    def keys(self) -> Sequence[Key]:
        return (
            Key(("e",), "rectangles exclude stars, or are the region of those used", self._swap),
            *super().keys(),
        )

    def _swap(self) -> None:
        self._dragging_means(not self._excludes)

    def _dragging_means(self, excludes: bool) -> None:  # noqa: FBT001
        self._excludes = excludes
        what = "leaves its stars out, in every frame" if excludes else "has only its stars used, in the reference frame"
        self.say(f"A rectangle dragged on the frame {what}.")
        self.refresh()


def draw_more(axes: "Axes", curves: Any, values: Any, label: str, color: str) -> None:
    """Draw one more metric below the others, all points as left out."""
    points(axes, curves.number, values, left_out=np.ones(len(values), bool), color=color, marker="o")
    dress(axes, ylabel=label)
    axes.yaxis.label.set_fontsize(9)
    axes.set_xlabel("frame")
