"""Plot `shifts`: where each frame lies against the reference frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from photdb.store.arrays import read_by_frame, read_frames
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.viewers.quality import Rule, draw_rules, read_rules
from photdb.viewers.style import (
    BLUE,
    FAINT,
    GREEN,
    PURPLE,
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


@dataclass(frozen=True, slots=True)
class ShiftCurves:
    """Shifts of all frames in time order; arrays of shape (n,), NaN where a frame could not be matched."""

    number: Ints
    jd_utc_mid: Floats
    accepted: Bools
    dx_px: Floats
    dy_px: Floats
    rotation_deg: Floats
    residual_px: Floats
    unmatched: Bools  # tried, and not matched
    reference: int | None  # number of the reference frame
    rules: list[Rule]


def read_shift_curves(project: Project) -> ShiftCurves:
    """Read what `shifts` found."""
    connection = project.connection
    frames = read_frames(connection)
    names = ("dx_px", "dy_px", "rotation_deg", "residual_px", "flags")
    dx, dy, rotation, residual, flags = read_by_frame(connection, "shift", names, frames)
    row = (
        driver(connection)
        .execute("SELECT f.number FROM project p JOIN frame f ON f.id = p.reference_frame_id")
        .fetchone()
    )
    return ShiftCurves(
        frames.number,
        frames.jd_utc_mid,
        frames.accepted,
        dx,
        dy,
        rotation,
        residual,
        np.isfinite(flags) & ~np.isfinite(dx),
        None if row is None else row[0],
        read_rules(project),
    )


def draw_shifts(axes: "Sequence[Axes]", shifts: ShiftCurves) -> None:
    """Draw into three axes (translation, rotation, residual); x is the frame's number."""
    left_out = ~shifts.accepted
    moved, turned, off = axes
    points(moved, shifts.number, shifts.dx_px, left_out=left_out, label="x", color=BLUE, marker="o")
    points(moved, shifts.number, shifts.dy_px, left_out=left_out, label="y", color=VERMILLION, marker="^")
    points(turned, shifts.number, shifts.rotation_deg, left_out=left_out, color=GREEN, marker="s")
    points(off, shifts.number, shifts.residual_px, left_out=left_out, color=PURPLE, marker="D")
    for panel in axes:
        if shifts.reference is not None:
            panel.axvline(shifts.reference, color=FAINT, lw=0.8, ls=":", label=f"reference frame {shifts.reference}")
        if shifts.unmatched.any():
            lost = shifts.number[shifts.unmatched]
            panel.plot(
                lost,
                np.zeros(lost.size),
                "x",
                ms=5,
                color="#777777",
                transform=panel.get_xaxis_transform(),
                clip_on=False,
                label="not matched",
            )
    draw_rules(off, shifts.rules, "residual_px", PURPLE)
    dress(moved, ylabel="shift, px")
    dress(turned, ylabel="rotation, °")
    dress(off, ylabel="residual, px")
    off.set_ylim(bottom=0.0)
    turned.ticklabel_format(axis="y", useOffset=False)
    legend(moved)
    frames_below(axes, shifts.number, shifts.jd_utc_mid)


def shifts_figure(shifts: ShiftCurves, *, title: str = "", width: float = WIDE) -> "Figure":
    """Draw the figure of `photdb plot shifts`."""
    figure, axes = panels([2.0, 1.2, 1.2], width=width)
    draw_shifts(axes, shifts)
    axes[0].set_title(title, fontsize=11, loc="left")
    figure.align_ylabels()
    return figure
