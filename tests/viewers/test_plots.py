"""Axes of plots show the arrays given: points, rules, what was left out, frame numbers with their times."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.dates import num2date

from photdb.errors import PhotdbError
from photdb.viewers import show
from photdb.viewers.apertures import ApertureCurves, apertures_figure
from photdb.viewers.field import Field, FieldSource, field_figure, stretched
from photdb.viewers.noise import NoiseDiagram, noise_figure
from photdb.viewers.quality import Quality, Rule, quality_figure
from photdb.viewers.references import ReferenceCurves, offsets, references_figure
from photdb.viewers.search import NoiseMap, search_figure
from photdb.viewers.shifts import ShiftCurves, shifts_figure
from photdb.viewers.style import FAINT, nth, plain

N = 30
NUMBER = np.arange(1, N + 1)
JD = 2455836.0 + 0.4 + np.arange(N) / 1440.0  # a frame a minute, from 21:36 UTC on 2011-10-01
RNG = np.random.default_rng(5)
ACCEPTED = NUMBER % 10 != 0
NAMES = ("min_adu", "max_adu", "range_adu", "nonuniformity_adu", "background_adu", "fwhm_px", "n_stars")
QUALITY = Quality(
    NUMBER,
    JD,
    ACCEPTED,
    {name: RNG.uniform(100.0 * (i + 1), 100.0 * (i + 2), N) for i, name in enumerate(NAMES)},
    [Rule("fwhm_px", ">", 675.0)],
)


def drawn(axes):
    """Give the points of axes as (colour, x, y), without lines that only help."""
    return {to_hex(line.get_markeredgecolor()): line for line in axes.lines if len(line.get_xdata()) > 2}


def test_qc_shows_each_metric_with_what_was_left_out_grey_and_the_rule_as_a_line():
    figure = quality_figure(QUALITY, title="a night")
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "level, ADU",
        "non-uniformity,\nADU",
        "background,\nADU",
        "FWHM, px",
        "stars",
    ]
    width = figure.axes[3]
    kept, faint = (line for line in width.lines if len(line.get_xdata()) > 2)
    np.testing.assert_array_equal(kept.get_xdata(), NUMBER[ACCEPTED])
    np.testing.assert_array_equal(kept.get_ydata(), QUALITY.metrics["fwhm_px"][ACCEPTED])
    np.testing.assert_array_equal(faint.get_ydata(), QUALITY.metrics["fwhm_px"][~ACCEPTED])
    assert to_hex(faint.get_markeredgecolor()) == FAINT.lower()
    assert faint.get_markerfacecolor() == "none"
    (rule,) = [line for line in width.lines if len(line.get_xdata()) == 2]
    assert list(rule.get_ydata()) == [675.0, 675.0]
    assert "above 675: rejected" in [text.get_text() for text in width.texts]
    assert all(not axes.texts for axes in figure.axes if axes is not width)


def test_frames_stand_below_and_their_times_above():
    figure = quality_figure(QUALITY)
    figure.canvas.draw()
    assert figure.axes[-1].get_xlabel() == "frame"
    (top,) = figure.axes[0].child_axes
    assert top.get_xlabel() == "UTC, 2011-10-01"
    low, high = figure.axes[0].get_xlim()
    left, right = (num2date(x) for x in top.get_xlim())
    for x, time in ((low, left), (high, right)):
        minutes = 60 * time.hour + time.minute + time.second / 60 + time.microsecond / 6e7
        assert minutes == pytest.approx(21 * 60 + 36 + (x - 1), abs=0.001)


def test_without_an_order_of_time_no_times_are_claimed():
    assert quality_figure(replace(QUALITY, number=NUMBER[::-1])).axes[0].child_axes == []


def test_frames_without_a_shift_are_marked():
    lost = NUMBER == 7
    dx = np.where(lost, np.nan, 0.1 * NUMBER)
    shifts = ShiftCurves(
        NUMBER, JD, ACCEPTED & ~lost, dx, -dx, dx / 100, abs(dx), lost, 12, [Rule("residual_px", ">", 2)]
    )
    figure = shifts_figure(shifts)
    for axes in figure.axes:
        (cross,) = [line for line in axes.lines if line.get_label() == "not matched"]
        assert list(cross.get_xdata()) == [7]
        assert any(
            line.get_label() == "reference frame 12" and list(line.get_xdata()) == [12, 12] for line in axes.lines
        )
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "x"]
    np.testing.assert_array_equal(line.get_ydata(), dx[ACCEPTED & ~lost])


def test_references_lie_one_below_the_other_by_what_is_said():
    mag = RNG.normal(0, 0.004, (5, N))
    labels = ["R1", "_R2", "R$3$", "R4", "R5"]
    curves = ReferenceCurves(labels, NUMBER, JD, mag, np.full(5, 0.004), "5,10,20")
    (axes,) = references_figure(curves).axes
    lines = [line for line in axes.lines if len(line.get_xdata()) == N]
    for line, move, values in zip(lines, offsets(mag), mag, strict=True):
        np.testing.assert_allclose(line.get_ydata(), values + move)
    assert np.diff(offsets(mag)).min() > 5 * 0.004
    bottom, top = axes.get_ylim()
    assert bottom > top
    assert [text.get_text().partition("\n")[0] for text in axes.texts] == list(map(plain, labels))
    assert all(text.get_text().endswith("4.0 mmag") for text in axes.texts)


def test_apertures_are_compared_with_the_middle_one():
    mag = RNG.normal(0, 0.01, (3, N))
    curves = ApertureCurves("T", ["R1"], ["2 px", "3 px", "4 px"], NUMBER, JD, mag)
    upper, lower = apertures_figure(curves).axes
    assert [line.get_label() for line in upper.lines] == ["2 px", "3 px", "4 px"]
    first, _, last = lower.lines
    np.testing.assert_allclose(first.get_ydata(), 1000 * (mag[0] - mag[1]))
    np.testing.assert_allclose(last.get_ydata(), 1000 * (mag[2] - mag[1]))


def test_curves_in_every_aperture_show_what_an_encounter_left_out():
    mag = RNG.normal(0, 0.01, (3, N))
    met = NUMBER == 6
    left_out = np.where(met & (np.arange(3)[:, None] > 0), mag - 0.02, np.nan)
    kept = np.where(np.isfinite(left_out), np.nan, mag)
    curves = ApertureCurves("T", ["R1"], ["2 px", "3 px", "4 px"], NUMBER, JD, kept, met, left_out)
    figure = apertures_figure(curves)
    upper, lower = figure.axes
    for axes in (upper, lower):
        (band,) = [c for c in axes.collections if c.get_label() == "encounter expected"]
        (path,) = band.get_paths()
        assert (path.vertices[:, 0].min(), path.vertices[:, 0].max()) == (5.5, 6.5)
    i = int(np.flatnonzero(met)[0])
    hollow = [line for line in upper.lines if line.get_markerfacecolor() == "none" and len(line.get_xdata())]
    np.testing.assert_array_equal([line.get_ydata()[i] for line in hollow], left_out[:, i])
    # The middle aperture was left out too: differences are from what was measured in it.
    hollow = [line for line in lower.lines if line.get_markerfacecolor() == "none" and len(line.get_xdata())]
    assert hollow[2].get_ydata()[i] == pytest.approx(1000 * (left_out[2, i] - left_out[1, i]))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()][-2:] == ["encounter expected", "left out in an encounter"]


def test_search_rings_the_kept_and_names_the_best():
    noise = np.array([[0.009, 0.007, 0.008], [0.006, 0.005, 0.0055]])
    found = NoiseMap("T", ["3 px", "4 px"], noise, np.array([2.0, 3.0]), np.array([0.005, 0.0055]), True)
    (axes,) = search_figure(found).axes
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["4 px"].get_ydata(), [6.0, 5.0, 5.5])
    np.testing.assert_array_equal(lines["4 px"].get_xdata(), [1, 2, 3])
    assert [text.get_text() for text in axes.texts] == ["best: 5.00 mmag"]
    assert axes.get_xlabel() == "number of references"
    (axes,) = search_figure(replace(found, proven=False)).axes
    assert "found by exchange" in axes.get_xlabel()


def test_noise_shows_measured_and_foretold_of_each_source():
    values = np.array([[0.003, 0.002], [0.01, 0.008]])
    grid = np.linspace(-12, -8, 5)
    found = NoiseDiagram(
        ["R1", "T"], ["reference", "asteroid"], np.array([3.0, 4.0]), 1, np.array([[-11.0, -11.1], [-9.0, -9.1]]),
        values, values / 2, grid, grid * 0 + 0.01, grid * 0 + 0.005, grid * 0 + 0.004, 0.003,
        "gain estimated: 2 e/ADU", ["fixed"] * 2, "4 px",
    )  # fmt: skip
    upper, lower, ratio = noise_figure(found).axes
    assert {text.get_text() for text in upper.texts} == {"R1", "T"}
    markers = [(line.get_xdata()[0], line.get_ydata()[0]) for line in upper.lines if len(line.get_xdata()) == 1]
    np.testing.assert_allclose(markers, [(-11.1, 1.0), (-11.1, 2.0), (-9.1, 4.0), (-9.1, 8.0)])
    assert upper.get_legend_handles_labels()[1][0] == "CCD equation and scintillation (gain estimated: 2 e/ADU)"
    assert upper.get_legend_handles_labels()[1][-1] == "scintillation of the source"
    np.testing.assert_allclose(lower.lines[1].get_ydata(), [3.0, 2.0])
    for line in ratio.lines[:2]:  # the third is the limit, 1
        np.testing.assert_allclose(line.get_ydata(), [2.0, 2.0])


def test_a_field_is_shown_with_its_sources_tracks_and_apertures_to_scale():
    pixels = RNG.normal(500, 10, (80, 100)).astype(np.float32)
    track = np.array([[10.0, 20.0], [60.0, 30.0]])
    sources = [FieldSource("A", "asteroid", 30.0, 24.0, track), FieldSource("R1", "reference", 95.0, 70.0)]
    figure = field_figure(Field(pixels, 3, sources, [3.0, 5.0, 8.0], (10.0, 14.0)))
    main, first, second = figure.axes
    assert [text.get_text() for text in main.texts] == ["A", "R1"]
    assert main.get_ylim() == (-0.5, 79.5)
    np.testing.assert_array_equal(main.lines[0].get_xdata(), track[:, 0])
    assert [patch.radius for patch in first.patches] == [3.0, 8.0, 10.0, 14.0]
    assert {patch.center for patch in second.patches} == {(95.0, 70.0)}


def test_stars_passed_and_hot_pixels_met_are_marked_on_a_field():
    stars, hot = np.array([[20.0, 21.0], [40.0, 25.0]]), np.array([[30.0, 24.0]])
    track = np.array([[10.0, 20.0], [60.0, 30.0]])
    sources = [FieldSource("A", "asteroid", 30.0, 24.0, track)]
    axes = field_figure(Field(np.zeros((80, 100)), 3, sources, [3.0], None, stars, hot)).axes[0]
    shown = {line.get_label(): line.get_xydata() for line in axes.lines}
    np.testing.assert_array_equal(shown["star passed (2)"], stars)
    np.testing.assert_array_equal(shown["hot pixel met (1)"], hot)
    assert axes.get_legend() is not None
    nothing = field_figure(Field(np.zeros((80, 100)), 3, sources, [3.0], None, stars[:0], hot[:0])).axes[0]
    assert nothing.get_legend() is None


def test_a_frame_larger_than_a_screen_is_shown_smaller_in_its_own_pixels():
    pixels = np.zeros((40, 5201), np.uint16)
    pixels[30:33, 3000:3003] = 900
    (axes,) = field_figure(Field(pixels, 1, [], [], None)).axes
    (image,) = axes.images
    shown = np.asarray(image.get_array())
    assert shown.shape == (13, 1733)
    assert image.get_extent() == [-0.5, 5198.5, -0.5, 38.5]
    assert np.argwhere(shown > 0.5).tolist() == [[10, 1000]]
    assert axes.get_xlim() == (-0.5, 5200.5)


def test_very_many_sources_are_not_all_named():
    n = 100
    roles = ["check"] * (n - 2) + ["asteroid", "reference"]
    values, grid = np.full((n, 2), 0.01), np.linspace(-12, -8, 5)
    found = NoiseDiagram(
        [f"S{i}" for i in range(n)], roles, np.array([3.0, 4.0]), 0, RNG.uniform(-11, -9, (n, 2)), values, values,
        grid, grid * 0 + 0.01, grid * 0 + 0.005, grid * 0 + 0.004, None, "", ["fixed"] * 2, "3 px",
    )  # fmt: skip
    upper, lower, _ = noise_figure(found).axes
    names = {text.get_text() for text in upper.texts}
    assert {"S98", "S99"} < names
    assert len(names) == 35
    assert "65 more" in upper.get_legend_handles_labels()[1]
    sources = [FieldSource(f"S{i}", role, 5.0 + i, 7.0, None) for i, role in enumerate(roles)]
    axes = field_figure(Field(np.zeros((50, 120)), 1, sources, [3.0], (5.0, 8.0))).axes[0]
    assert [text.get_text() for text in axes.texts] == ["S98"]


def test_the_stretch_keeps_the_order_of_pixels_and_stays_within_black_and_white():
    pixels = np.sort(np.append(RNG.normal(500, 10, 4999), 60000.0)).reshape(50, 100)
    shown = stretched(pixels).reshape(-1)
    assert (np.diff(shown) >= 0).all()
    assert (shown[0], shown[-1]) == (0.0, 1.0)
    assert 0.05 < shown[2500] < 0.5
    assert (stretched(np.full((4, 4), np.nan)) == 0).all()
    assert np.isfinite(stretched(np.full((4, 4), 7, np.uint16))).all()


def test_no_two_of_forty_curves_look_alike():
    assert len({tuple(nth(i).values()) for i in range(42)}) == 42


@pytest.mark.parametrize(("form", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_figures_are_saved_the_same_each_time(tmp_path, form, start):
    for name in ("a", "b"):
        show.save(quality_figure(QUALITY, title=plain("$_")), tmp_path / f"{name}.{form}")
    content = (tmp_path / f"a.{form}").read_bytes()
    assert content.startswith(start)
    assert content == (tmp_path / f"b.{form}").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {f"a.{form}", f"b.{form}"}


def test_what_cannot_be_saved_or_shown_is_said(tmp_path, monkeypatch):
    with pytest.raises(PhotdbError, match=r"\.png, \.pdf, \.svg"):
        show.need_format(tmp_path / "a.gif")
    with pytest.raises(PhotdbError, match="there is no folder"):
        show.need_format(tmp_path / "b" / "a.png")
    monkeypatch.setattr(show.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PhotdbError, match="there is no display to show it on: --save"):
        show.need_display()
