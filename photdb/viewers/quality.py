"""Plot `qc`: levels, uniformity, sky, width and number of stars of each frame, with the rules that reject frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from photdb.store.arrays import read_by_frame, read_frames
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.viewers.style import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    WIDE,
    Bools,
    Floats,
    Ints,
    dress,
    frames_below,
    legend,
    panels,
    points,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The panels: heights in inches, label with unit, and for each metric its name, colour and marker. The range is a line:
#: its points would cover those of the maximum.
PANELS: Final = (
    (
        1.5,
        "level, ADU",
        (("min_adu", "minimum", GREEN, "v"), ("max_adu", "maximum", BLUE, "^"), ("range_adu", "range", VERMILLION, "")),
    ),
    (1.1, "non-uniformity,\nADU", (("nonuniformity_adu", "", PURPLE, "s"),)),
    (1.1, "background,\nADU", (("background_adu", "", SKY, "o"),)),
    (1.1, "FWHM, px", (("fwhm_px", "", ORANGE, "D"),)),
    (1.1, "stars", (("n_stars", "", GREEN, "P"),)),
)
_METRICS: Final = tuple(name for _, _, curves in PANELS for name, *_ in curves)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule in force: frames are rejected where the metric is below (`<`) or above (`>`) the value."""

    metric: str
    operator: str
    value: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Metrics of all frames in time order; arrays of shape (n,), NaN where a frame has none."""

    number: Ints
    jd_utc_mid: Floats
    accepted: Bools
    metrics: dict[str, Floats]
    rules: list[Rule]


def read_quality(project: Project) -> Quality:
    """Read what `qc` found."""
    frames = read_frames(project.connection)
    values = read_by_frame(project.connection, "frame_quality", _METRICS, frames)
    metrics = dict(zip(_METRICS, values, strict=True))
    return Quality(frames.number, frames.jd_utc_mid, frames.accepted, metrics, read_rules(project))


def read_rules(project: Project) -> list[Rule]:
    """Read the rules in force."""
    rows = driver(project.connection).execute("SELECT metric, operator, value FROM active_rule ORDER BY id")
    return [Rule(*row) for row in rows]


def draw_quality(axes: "Sequence[Axes]", quality: Quality) -> None:
    """Draw into five axes; x is the frame's number."""
    for panel, (_, label, curves) in zip(axes, PANELS, strict=True):
        for name, text, colour, marker in curves:
            values = quality.metrics[name]
            if marker:
                points(
                    panel, quality.number, values, left_out=~quality.accepted, label=text, color=colour, marker=marker
                )
            else:
                order = np.argsort(quality.number)
                panel.plot(quality.number[order], values[order], lw=0.9, color=colour, label=text)
            draw_rules(panel, quality.rules, name, colour)
        dress(panel, ylabel=label)
        panel.yaxis.label.set_fontsize(9)
    legend(axes[0], columns=3)
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.22 * (high - low))  # room for the legend
    frames_below(axes, quality.number, quality.jd_utc_mid)


def draw_rules(axes: "Axes", rules: Sequence[Rule], metric: str, colour: str) -> None:
    """Draw the rules about a metric as lines that say what they reject."""
    for rule in rules:
        if rule.metric == metric:
            above = rule.operator == ">"
            axes.axhline(rule.value, color=colour, lw=1.0, ls="--")
            axes.annotate(
                f"{'above' if above else 'below'} {rule.value:g}: rejected",
                (1.0, rule.value),
                xycoords=("axes fraction", "data"),
                xytext=(-4, 2 if above else -2),
                textcoords="offset points",
                ha="right",
                va="bottom" if above else "top",
                fontsize=8,
                annotation_clip=True,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5},
            )
            axes.margins(y=0.2)  # room for the words


def quality_figure(quality: Quality, *, title: str = "", width: float = WIDE) -> "Figure":
    """Draw the figure of `photdb plot qc`."""
    figure, axes = panels([height for height, *_ in PANELS], width=width)
    draw_quality(axes, quality)
    axes[0].set_title(title, fontsize=11, loc="left")
    figure.align_ylabels()
    return figure
