from pathlib import Path

import matplotlib.image
import numpy as np
from matplotlib.colors import to_hex

from photdb.viewers.curves import light_curve_figure

T = 2455836.35 + np.linspace(0.0, 0.2, 41)
TRUTH = 0.1 * np.sin(30.0 * (T - T[0]))
RNG = np.random.default_rng(3)
MAG = TRUTH + RNG.normal(0.0, 0.003, 41)
ERR = np.full(41, 0.003)


def test_bright_is_up_and_the_figure_is_readable_at_800_pixels(tmp_path: Path) -> None:
    figure = light_curve_figure(T, MAG, ERR, number=np.arange(1, 42), model=TRUTH, model_label="truth", title="Ganymed")
    figure.savefig(tmp_path / "a.png")
    height, width, _ = matplotlib.image.imread(tmp_path / "a.png").shape
    assert (width, height) == (1000, 700)
    upper, lower = figure.axes
    for axes in (upper, lower):
        bottom, top = axes.get_ylim()
        assert bottom > top
    assert upper.get_title(loc="left") == "Ganymed"
    assert upper.get_xlabel() == "JD − 2455836, days (UTC, mid-exposure)"
    assert upper.xaxis.get_label_position() == "top"
    (below,) = lower.child_axes
    assert below.get_xlabel() == "frame"
    assert upper.get_ylabel() == "differential magnitude"
    assert lower.get_ylabel() == "residual, mmag"


def test_the_time_is_called_what_it_is() -> None:
    for time, label in (
        ("hjd", "HJD_UTC − 2455836, days (mid-exposure)"),
        ("bjd", "BJD_TDB − 2455836, days (mid-exposure)"),
    ):
        with_frames = light_curve_figure(T, MAG, number=np.arange(41), model=TRUTH, time=time)
        assert with_frames.axes[0].get_xlabel() == label
        assert light_curve_figure(T, MAG, time=time).axes[-1].get_xlabel() == label


def test_what_is_drawn_is_what_was_given() -> None:
    left_out = np.zeros(41, bool)
    left_out[[3, 7]] = True
    mag = MAG.copy()
    mag[20] = np.nan
    figure = light_curve_figure(T, mag, ERR, left_out=left_out, model=TRUTH, model_label="truth")
    upper, lower = figure.axes
    kept = ~left_out & np.isfinite(mag)
    for axes, values in ((upper, mag), (lower, 1000.0 * (mag - TRUTH))):
        # of the container of error bars, the line of the markers
        (container,) = axes.containers
        data, _, _ = container.lines
        np.testing.assert_array_equal(data.get_xdata(), T[kept] - 2455836.0)
        np.testing.assert_array_equal(data.get_ydata(), values[kept])
        (faint,) = [line for line in axes.lines if line.get_label() == "left out"]
        np.testing.assert_array_equal(faint.get_ydata(), values[left_out])
        assert to_hex(faint.get_markeredgecolor()) == "#999999"
    (line,) = [line for line in upper.lines if line.get_label() == "truth"]
    np.testing.assert_array_equal(line.get_ydata(), TRUTH)


def test_encounters_are_a_band_along_the_bottom_and_what_was_left_out_there_has_its_own_look() -> None:
    met, left_out = np.zeros(41, bool), np.zeros(41, bool)
    met[[0, 10, 11, 12, 40]] = True
    left_out[[11, 12, 20]] = True
    figure = light_curve_figure(
        T, MAG, ERR, left_out=left_out, met=met, because=met & left_out, model=TRUTH, model_label="truth"
    )
    figure.canvas.draw()
    for axes, values in zip(figure.axes, (MAG, 1000.0 * (MAG - TRUTH)), strict=True):
        (band,) = [c for c in axes.collections if c.get_label() == "encounter expected"]
        reached = [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in band.get_paths()]
        day, half = 2455836.0, 0.0025  # half the time between frames
        ends = [(0, 0), (10, 12), (40, 40)]
        np.testing.assert_allclose(reached, [(T[a] - day - half, T[b] - day + half) for a, b in ends], atol=1e-6)
        assert max(path.vertices[:, 1].max() for path in band.get_paths()) < 0.05, "of the height of the axes"
        (there,) = [line for line in axes.lines if line.get_label() == "left out in an encounter"]
        np.testing.assert_array_equal(there.get_ydata(), values[[11, 12]])
        (elsewhere,) = [line for line in axes.lines if line.get_label() == "left out"]
        np.testing.assert_array_equal(elsewhere.get_ydata(), values[[20]])
        assert there.get_marker() != elsewhere.get_marker()
    # So many names would cover the curve: they stand below it, in order.
    assert figure.axes[0].get_legend() is None
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["measured", "truth", "encounter expected", "left out", "left out in an encounter"]
    lowest = figure.axes[1].get_tightbbox()
    assert legend.get_window_extent().y1 <= lowest.y0 + 1.0


def test_the_band_of_encounters_ends_at_gaps_whatever_the_order() -> None:
    t = np.r_[T[:20], T[20:] + 0.1]
    met = np.isin(np.arange(41), [18, 19, 20])
    back = slice(None, None, -1)
    axes = light_curve_figure(t[back], MAG[back], met=met[back]).axes[0]
    (band,) = [c for c in axes.collections if c.get_label() == "encounter expected"]
    reached = [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in band.get_paths()]
    ends = [(18, 19), (20, 20)]
    expected = [(t[a] - 2455836.0 - 0.0025, t[b] - 2455836.0 + 0.0025) for a, b in ends]
    np.testing.assert_allclose(reached, expected, atol=1e-6)


def test_without_an_encounter_there_is_no_band() -> None:
    figure = light_curve_figure(T, MAG, ERR, met=np.zeros(41, bool))
    assert "encounter expected" not in [c.get_label() for c in figure.axes[0].collections]


def test_a_rejected_point_far_off_does_not_stretch_the_axis() -> None:
    mag, left_out = MAG.copy(), np.zeros(41, bool)
    mag[5], left_out[5] = 9.0, True
    (axes,) = light_curve_figure(T, mag, ERR, left_out=left_out).axes
    assert max(axes.get_ylim()) < 0.2


def test_frame_numbers_stand_over_their_times() -> None:
    number = np.arange(1, 42) * 3
    figure = light_curve_figure(T, MAG, number=number)
    figure.canvas.draw()
    (top,) = figure.axes[0].child_axes
    left, right = top.get_xlim()
    low, high = figure.axes[0].get_xlim()
    # the axis is linear here: its ends are the numbers there, frames 0.005 d and 3 numbers apart
    np.testing.assert_allclose([left, right], 3 + 3 * (np.array([low, high]) - (T[0] - 2455836)) / 0.005, rtol=1e-6)


def test_no_frame_axis_where_numbers_do_not_follow_time() -> None:
    figure = light_curve_figure(T, MAG, number=np.arange(41)[::-1])
    assert figure.axes[0].child_axes == []


def test_a_curve_without_points_is_an_empty_figure(tmp_path: Path) -> None:
    nothing = np.full(41, np.nan)
    light_curve_figure(T, nothing, nothing).savefig(tmp_path / "a.png")
    light_curve_figure([], []).savefig(tmp_path / "b.png")
    assert (tmp_path / "a.png").stat().st_size > 5000
    assert (tmp_path / "b.png").stat().st_size > 5000


def test_of_many_check_stars_the_quietest_are_shown_and_it_is_said() -> None:
    """Of 40 stars of 1 to 40 mmag the first six; a star in two frames only, however quiet, is none of them."""
    wave = np.where(np.arange(41) % 2, 0.001, -0.001)
    checks = {f"C{i}": 12.0 + i * wave for i in range(1, 41)}
    checks["few"] = np.where(np.arange(41) < 2, 12.0, np.nan)
    figure = light_curve_figure(T, MAG, ERR, number=np.arange(1, 42), checks=checks)
    bottom = figure.axes[1]
    labels = [line.get_label() for line in bottom.lines if str(line.get_label()).startswith("check star")]
    assert labels == [f"check star C{i}" for i in range(1, 7)]
    assert bottom.get_title(loc="right") == "the 6 quietest of 41 check stars"
    few = light_curve_figure(T, MAG, ERR, number=np.arange(1, 42), checks={"C1": checks["C1"], "C2": checks["C2"]})
    assert few.axes[1].get_title(loc="right") == ""
