"""Shifts against known truth: precision, hard cases, and what must not be accepted."""

import dataclasses
import math

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from photdb.algorithms import registration
from photdb.algorithms.background import background
from photdb.algorithms.detection import detect_stars
from photdb.algorithms.flags import Flag
from photdb.algorithms.registration import Batch, choose_reference, prepare, register, register_batch
from photdb.algorithms.transform import to_frame, to_reference

WIDTH, HEIGHT = 1024, 800
SIZE = {"width_px": WIDTH, "height_px": HEIGHT}
CORNERS = np.array([[0.0, 0.0], [WIDTH - 1, 0], [0, HEIGHT - 1], [WIDTH - 1, HEIGHT - 1]])
NO_SHIFT = {"dx_px": 0.0, "dy_px": 0.0, "rotation_deg": 0.0, "scale": 1.0}


def a_shift(dx_px=0.0, dy_px=0.0, rotation_deg=0.0, scale=1.0):
    return {"dx_px": dx_px, "dy_px": dy_px, "rotation_deg": rotation_deg, "scale": scale}


def shift_of(registration):
    return {name: getattr(registration, name) for name in NO_SHIFT}


def a_sky(rng, n=150):
    """Give positions (reference pixels) and fluxes of stars, about `n` in a frame, far beyond its edges too."""
    xy = rng.uniform((-WIDTH, -HEIGHT), (2 * WIDTH, 2 * HEIGHT), (9 * n, 2))
    return xy, 10 ** (3 + np.minimum(rng.exponential(0.7, len(xy)), 3.0))


def seen(rng, sky, shift, *, best_px=0.01, depth=800.0, fog=1.0, others=None):
    """Give the star list of a frame: centroid errors grow as 1/flux; `others` (x, y, flux) are in frame pixels."""
    xy, flux = to_frame(sky[0], **shift, **SIZE), sky[1] * fog
    inside = ((xy > 0) & (xy < (WIDTH - 1, HEIGHT - 1))).all(axis=1) & (flux > depth)
    xy, flux = xy[inside], flux[inside]
    xy = xy + rng.normal(size=xy.shape) * np.hypot(best_px, 200 / flux)[:, np.newaxis]
    flux = flux * rng.normal(1.0, 0.02, len(flux))
    if others is not None:
        xy, flux = np.vstack((xy, others[:, :2])), np.concatenate((flux, others[:, 2]))
    brightest = np.argsort(-flux)[:150]
    return xy[brightest, 0], xy[brightest, 1], flux[brightest]


def false_stars(rng, n):
    return np.column_stack((rng.uniform(0, WIDTH, n), rng.uniform(0, HEIGHT, n), 10 ** rng.uniform(3, 5.5, n)))


def worst_px(registration, shift):
    """Give the error of a shift at the worst corner of the frame."""
    error = to_frame(CORNERS, **shift_of(registration), **SIZE) - to_frame(CORNERS, **shift, **SIZE)
    return np.hypot(error[:, 0], error[:, 1]).max()


# ------------------------------------------------------------------------------------------------ positions


def test_positions_follow_the_definition_of_a_shift():
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    # 90° from x to y: what lies 100 px to the right of the centre comes to lie 100·1.01 px below it
    moved = to_frame(centre + [[100, 0]], **a_shift(3.0, -2.0, 90.0, 1.01), **SIZE)
    np.testing.assert_allclose(moved, centre + [[3.0, -2.0 + 101.0]], rtol=0, atol=1e-10)


def test_positions_of_many_frames_keep_their_bits_whatever_the_batch_and_come_back():
    rng = np.random.default_rng(1)
    xy = rng.uniform(0, 800, (23, 2))
    shifts = {
        "dx_px": rng.normal(0, 50, 40),
        "dy_px": rng.normal(0, 50, 40),
        "rotation_deg": rng.uniform(-180, 180, 40),
        "scale": rng.normal(1, 1e-3, 40),
    }
    together = to_frame(xy, **shifts, **SIZE)
    assert together.shape == (40, 23, 2)
    np.testing.assert_allclose(to_reference(together, **shifts, **SIZE), np.broadcast_to(xy, (40, 23, 2)), atol=1e-9)
    for size in (1, 7):
        parts = [
            to_frame(xy, **{name: values[k : k + size] for name, values in shifts.items()}, **SIZE)
            for k in range(0, 40, size)
        ]
        assert np.array_equal(np.concatenate(parts), together)
    alone = to_frame(xy, **{name: values[3] for name, values in shifts.items()}, **SIZE)
    assert np.array_equal(alone, together[3])
    # a moving source has a reference position of its own in each frame
    moving = to_frame(np.repeat(xy[5][np.newaxis, np.newaxis], 40, axis=0), **shifts, **SIZE)
    assert np.array_equal(moving[:, 0], together[:, 5])


def test_without_a_shift_there_are_no_positions():
    none = register([], [], [], prepare([], [], [], **SIZE))
    assert none.flags == Flag.NOT_MATCHED
    assert none.n_matched == 0
    assert np.isnan(to_frame(CORNERS, **shift_of(none), **SIZE)).all()
    assert np.isnan(to_reference(CORNERS, **shift_of(none), **SIZE)).all()


# ------------------------------------------------------------------------------------------------ precision


@settings(max_examples=60)
@given(
    st.floats(-0.45 * WIDTH, 0.45 * WIDTH),
    st.floats(-0.45 * HEIGHT, 0.45 * HEIGHT),
    st.floats(-180, 180),
    st.floats(0.99, 1.01),
    st.integers(0, 2**32 - 1),
)
def test_any_shift_is_found_to_the_last_digits_when_positions_are_perfect(dx_px, dy_px, rotation_deg, scale, seed):
    rng = np.random.default_rng(seed)
    xy, flux = a_sky(rng)
    shift = a_shift(dx_px, dy_px, rotation_deg, scale)
    lists = []
    for where in (NO_SHIFT, shift):
        p = to_frame(xy, **where, **SIZE)
        inside = ((p > 0) & (p < (WIDTH - 1, HEIGHT - 1))).all(axis=1)
        lists.append((p[inside, 0], p[inside, 1], flux[inside]))
    found = register(*lists[1], prepare(*lists[0], **SIZE))
    # the prior of the scale pulls a scale of 1 % by the square of (0.01 px error / 0.001 · field · √n) of it: some 1e-8
    assert worst_px(found, shift) < 1e-3
    assert found.flags == Flag(0)
    assert found.residual_px < 1e-3


def test_errors_reach_the_limit_set_by_the_centroids():
    """100 stars of equal error σ: the shift's rms error is σ/√100 per axis, the rotation's σ/(√100·rms distance)."""
    rng = np.random.default_rng(2)
    sigma, errors, turns = 0.1, [], []
    for _ in range(200):
        xy = rng.uniform(0, (WIDTH, HEIGHT), (100, 2))
        frame = to_frame(xy, **a_shift(31.0, -12.0, 0.4, 1.0002), **SIZE) + rng.normal(0, sigma, xy.shape)
        found = register(*frame.T, np.full(100, 1e4), prepare(*xy.T, np.full(100, 1e4), **SIZE))
        errors.append((found.dx_px - 31.0, found.dy_px + 12.0))
        turns.append(math.radians(found.rotation_deg - 0.4))
        assert 0.11 < found.residual_px < 0.17  # √2 σ
    # 400 and 200 numbers: their rms is known to 3.5 and 5 %
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(sigma / 10, rel=0.12)
    arm = math.sqrt((WIDTH**2 + HEIGHT**2) / 12)
    assert np.sqrt(np.mean(np.square(turns))) == pytest.approx(sigma / 10 / arm, rel=0.17)


def test_faint_stars_do_not_spoil_the_bright_ones():
    """20 good stars among 100 poor ones: the error is near that of the weighted fit with all errors known."""
    rng = np.random.default_rng(3)
    flux = 10 ** np.concatenate((rng.uniform(5, 6, 20), rng.uniform(3, 3.5, 100)))
    sigma = np.hypot(0.01, 20 / np.sqrt(flux) / 2)
    limit, errors = 1 / math.sqrt((sigma**-2).sum()), []
    for _ in range(150):
        xy = rng.uniform(0, (WIDTH, HEIGHT), (120, 2))
        frame = to_frame(xy, **a_shift(5.0), **SIZE) + rng.normal(size=xy.shape) * sigma[:, np.newaxis]
        found = register(*frame.T, flux, prepare(*xy.T, flux, **SIZE))
        errors.append((found.dx_px - 5.0, found.dy_px))
    rms = np.sqrt(np.mean(np.square(errors)))
    assert limit < 0.005
    assert rms < 1.25 * limit
    assert np.mean(sigma) / math.sqrt(120) > 2 * limit  # what equal weights would give


def test_a_bright_star_with_a_wrong_position_does_not_carry_the_fit():
    rng = np.random.default_rng(4)
    sky = a_sky(rng)
    x, y, flux = seen(rng, sky, a_shift(8.0, 3.0))
    x[:3] += 0.5  # saturated
    found = register(x, y, flux, prepare(*seen(rng, sky, NO_SHIFT), **SIZE))
    assert worst_px(found, a_shift(8.0, 3.0)) < 0.03


# ------------------------------------------------------------------------------------------------ hard cases


@pytest.mark.parametrize(
    ("shift", "frame", "n_hot", "n_false", "limit_px"),
    [
        pytest.param(a_shift(-12.0, 7.0, 0.2, 1.0003), {}, 0, 0, 0.05, id="ordinary"),
        pytest.param(a_shift(500.0, 395.0, 0.5), {}, 0, 0, 0.2, id="a quarter of the frame in common"),
        pytest.param(a_shift(-20.0, 11.0, 180.02), {}, 0, 0, 0.05, id="meridian flip"),
        pytest.param(a_shift(40.0, 90.0, 77.0, 0.99), {}, 0, 0, 0.05, id="turned by any angle, scale 0.99"),
        pytest.param(a_shift(30.0, -14.0, 0.1), {}, 100, 0, 0.05, id="as many hot pixels as stars"),
        pytest.param(a_shift(1.5, -0.8), {}, 100, 0, 0.08, id="hot pixels, hardly a drift"),
        pytest.param(a_shift(0.1, -0.05), {}, 0, 0, 0.05, id="no drift"),
        pytest.param(a_shift(0.0, 0.0, 0.0), {}, 50, 0, 0.08, id="no drift, hot pixels"),
        pytest.param(a_shift(25.0, 3.0), {}, 0, 100, 0.08, id="100 false stars, many the brightest"),
        pytest.param(a_shift(25.0, 3.0), {"fog": 0.02, "best_px": 0.03}, 0, 0, 0.4, id="fog of 4 mag"),
        pytest.param(a_shift(25.0, 3.0), {"fog": 0.02, "best_px": 0.03}, 20, 0, 0.4, id="fog and hot pixels"),
        pytest.param(a_shift(-9.0, 4.0), {"depth": 2e4}, 0, 0, 0.1, id="a much shorter exposure"),
    ],
)
def test_hard_cases(shift, frame, n_hot, n_false, limit_px):
    """All of 25 fields matched; at the frame's worst corner never off by more than the limit."""
    for seed in range(25):
        rng = np.random.default_rng((5, seed))
        sky = a_sky(rng)
        hot = false_stars(rng, n_hot)
        reference = prepare(*seen(rng, sky, NO_SHIFT, others=hot), **SIZE)
        hot[:, :2] += rng.normal(0, 0.03, (n_hot, 2))
        others = np.vstack((hot, false_stars(rng, n_false)))
        found = register(*seen(rng, sky, shift, others=others, **frame), reference)
        assert worst_px(found, shift) < limit_px, seed


def test_a_bright_asteroid_does_not_mislead():
    for seed in range(20):
        rng = np.random.default_rng((6, seed))
        sky = a_sky(rng, n=8)
        reference = prepare(*seen(rng, sky, NO_SHIFT, others=np.array([[500.0, 400, 1e7]])), **SIZE)
        frame = seen(rng, sky, a_shift(3.0, 2.0), others=np.array([[501.0, 403, 1e7]]))
        found = register(*frame, reference)
        if len(frame[0]) >= 8:
            assert worst_px(found, a_shift(3.0, 2.0)) < 0.5, seed


def test_few_stars_of_fog_are_matched_and_flagged():
    """Five stars with errors of 0.1 px are a match nearly always; no shift is ever wrong, and the scale stays sane."""
    matched, scales = 0, []
    for seed in range(60):
        rng = np.random.default_rng((7, seed))
        sky = a_sky(rng)
        reference = prepare(*seen(rng, sky, NO_SHIFT), **SIZE)
        x, y, flux = (values[:5] for values in seen(rng, sky, a_shift(12.0, -5.0, 0.1), best_px=0.1, fog=0.1))
        found = register(x, y, flux, reference)
        if found.flags & Flag.NOT_MATCHED:
            continue
        matched += 1
        assert found.flags == Flag.FEW_MATCHED
        assert worst_px(found, a_shift(12.0, -5.0, 0.1)) < 1.5
        scales.append(found.scale - 1)
    assert matched >= 55
    assert np.sqrt(np.mean(np.square(scales))) < 4e-4


# ------------------------------------------------------------------------------------------------ what is refused


def random_list(rng, n, clustered):
    if clustered:
        xy = rng.uniform(0, (WIDTH, HEIGHT), (1 + n // 10, 2))[rng.integers(0, 1 + n // 10, n)]
        xy = xy + rng.normal(0, 15, (n, 2))
    else:
        xy = rng.uniform(0, (WIDTH, HEIGHT), (n, 2))
    return *xy.T, rng.exponential(size=n)


@pytest.mark.parametrize("clustered", [False, True], ids=["even", "clustered"])
def test_lists_without_relation_are_not_matched(clustered):
    """None of 2 × 1230 pairs of lists: with MAX_CHANCE at 1e-2 (a hundred times as much) it is one in 2500."""
    rng = np.random.default_rng(8)
    for n, n_ref, n_times in ((3, 3, 200), (4, 150, 200), (5, 20, 200), (8, 8, 200), (10, 30, 200), (30, 30, 200)):
        for _ in range(n_times):
            found = register(*random_list(rng, n, clustered), prepare(*random_list(rng, n_ref, clustered), **SIZE))
            assert found.flags == Flag.NOT_MATCHED
    for _ in range(30):
        found = register(*random_list(rng, 150, clustered), prepare(*random_list(rng, 150, clustered), **SIZE))
        assert found.flags == Flag.NOT_MATCHED


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_stars_are_refused(n):
    rng = np.random.default_rng(10)
    x, y, flux = seen(rng, a_sky(rng), NO_SHIFT)
    whole = prepare(x, y, flux, **SIZE)
    assert register(x[:n], y[:n], flux[:n], whole).flags == Flag.NOT_MATCHED
    assert register(x, y, flux, prepare(x[:n], y[:n], flux[:n], **SIZE)).flags == Flag.NOT_MATCHED


def test_stars_without_position_or_flux_do_no_harm():
    rng = np.random.default_rng(11)
    sky = a_sky(rng)
    reference = prepare(*seen(rng, sky, NO_SHIFT), **SIZE)
    x, y, flux = (values[:60] for values in seen(rng, sky, a_shift(4.0)))
    clean = register(x, y, flux, reference)
    bad = np.array([np.nan, np.inf, 5.0])
    same = register(np.append(x, bad), np.append(y, bad[::-1]), np.append(flux, [1e9, 1e9, np.nan]), reference)
    assert same == clean
    no_flux = register(x, y, np.full(60, np.nan), reference)
    assert worst_px(no_flux, a_shift(4.0)) < 0.2


def test_a_list_has_one_shift_whatever_came_before_and_in_whatever_order():
    rng = np.random.default_rng(12)
    sky = a_sky(rng)
    list_ref, frame = seen(rng, sky, NO_SHIFT), seen(rng, sky, a_shift(17.0, 2.0, 0.3))
    first = register(*frame, prepare(*list_ref, **SIZE))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(frame[0]))
        order_ref = np.random.default_rng(seed + 100).permutation(len(list_ref[0]))
        reference = prepare(*(values[order_ref] for values in list_ref), **SIZE)
        register(*random_list(rng, 40, False), reference)
        again = register(*(values[order] for values in frame), reference)
        assert dataclasses.astuple(again) == dataclasses.astuple(first)


def test_a_first_search_with_few_stars_changes_no_bit(monkeypatch):
    """Shifts, with drift, false stars and fog, are the same to the last bit when many stars are asked at once."""
    cases, shifts = [], []
    for seed in range(40):
        rng = np.random.default_rng((18, seed))
        sky = a_sky(rng)
        shift = a_shift(*rng.uniform(-200, 200, 2), rng.normal(0, 0.3))
        frame = seen(rng, sky, shift, fog=rng.uniform(0.1, 1), others=false_stars(rng, seed))
        cases.append((frame, prepare(*seen(rng, sky, NO_SHIFT), **SIZE)))
    for at_first in (12, 30):
        monkeypatch.setattr(registration, "_FEW", at_first)
        shifts.append([dataclasses.astuple(register(*frame, reference)) for frame, reference in cases])
    assert shifts[0] == shifts[1]
    assert sum(shift[4] >= 6 for shift in shifts[0]) == 40


def test_a_batch_gives_what_its_frames_give_alone():
    rng = np.random.default_rng(19)
    sky = a_sky(rng)
    lists = [np.column_stack(seen(rng, sky, a_shift(dx))) for dx in (0.0, 5.0, -31.0)] + [np.empty((0, 3))]
    together = register_batch(Batch(tuple(lists), lists[0], WIDTH, HEIGHT))
    reference = prepare(*lists[0].T, **SIZE)
    assert together[:3] == [register(*stars.T, reference) for stars in lists[:3]]
    assert together[3].flags == Flag.NOT_MATCHED


def test_a_frame_lies_on_itself_exactly():
    rng = np.random.default_rng(13)
    x, y, flux = seen(rng, a_sky(rng), NO_SHIFT)
    found = register(x, y, flux, prepare(x, y, flux, **SIZE))
    assert worst_px(found, NO_SHIFT) < 1e-9
    assert found.n_matched == len(x)


# ------------------------------------------------------------------------------------------------ the reference frame


def test_the_reference_frame_has_most_stars_near_the_median_pointing():
    rng = np.random.default_rng(14)
    sky = a_sky(rng, n=60)
    drift_px = np.linspace(0, 301, 61)
    frames = [seen(rng, sky, a_shift(dx)) for dx in drift_px]
    n_stars = rng.integers(100, 200, 61)
    n_stars[0], n_stars[60] = 999, 500  # the best frames, at the ends of the drift
    near = np.abs(drift_px - 150.5) <= 0.05 * HEIGHT
    expected = int(np.flatnonzero(near)[np.argmax(n_stars[near])])
    assert choose_reference(frames, n_stars, **SIZE) == expected
    n_stars[:] = 7
    assert choose_reference(frames, n_stars, **SIZE) == np.flatnonzero(near)[0]


def test_a_frame_of_false_stars_is_not_the_reference_frame():
    rng = np.random.default_rng(15)
    sky = a_sky(rng, n=60)
    frames = [seen(rng, sky, a_shift(i * 0.1)) for i in range(12)]
    frames[3] = tuple(false_stars(rng, 150).T)
    n_stars = [60, 61, 62, 5000, 64, 63, 62, 60, 60, 60, 60, 60]
    assert choose_reference(frames, n_stars, **SIZE) == 4


def test_recentred_half_way_the_reference_frame_is_a_frame_of_one_half():
    rng = np.random.default_rng(16)
    sky = a_sky(rng, n=60)
    frames = [seen(rng, sky, a_shift(dx)) for dx in [0.0] * 10 + [240.0] * 10]
    assert choose_reference(frames, np.arange(20) + 40, **SIZE) in (9, 19)


def test_without_any_match_the_frame_with_most_stars_is_the_reference_frame():
    rng = np.random.default_rng(17)
    empty = (np.empty(0), np.empty(0), np.empty(0))
    assert choose_reference([empty, empty], [0, 2], **SIZE) == 1
    assert choose_reference([seen(rng, a_sky(rng), NO_SHIFT)], [99], **SIZE) == 0
    with pytest.raises(ValueError, match="no frame"):
        choose_reference([], [], **SIZE)


# ------------------------------------------------------------------------------------------------ real nights


def real_lists(folder, pattern, step):
    lists = []
    for path in sorted(folder.glob(pattern))[::step]:
        pixels = fits.getdata(path)
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
        stars = detect_stars(pixels, background(pixels))
        lists.append((stars.x_px, stars.y_px, stars.flux_adu))
    return lists, {"width_px": pixels.shape[1], "height_px": pixels.shape[0]}


@pytest.mark.parametrize(
    ("night", "pattern", "step", "rotation_deg", "scale", "closure_px"),
    [
        # the last frame taken against the first one: a drift of 270 of 650 px, with a turn
        ("hatp32", "*.FITS", 10, -0.573, 1 - 5e-4, 0.02),
        # a refocus in between; the frame that was lit is matched like the others
        ("luxembourg", "*.fit", 3, 0.004, 1 - 1.6e-4, 0.02),
    ],
)
def test_real_nights(real_night, night, pattern, step, rotation_deg, scale, closure_px):
    """All frames matched; shifts by way of another reference frame agree; a flip of the frame is found as such."""
    lists, size = real_lists(real_night(night), pattern, step)
    first, other = prepare(*lists[0], **size), prepare(*lists[len(lists) // 2], **size)
    points = np.array([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]) * (size["width_px"], size["height_px"])
    first_from_other = shift_of(register(*lists[0], other))
    errors = []
    for x, y, flux in lists:
        direct, by_way = register(x, y, flux, first), register(x, y, flux, other)
        assert direct.n_matched >= 30
        assert direct.residual_px < 0.15
        in_first = to_reference(points, **shift_of(direct), **size)
        in_other = to_reference(points, **shift_of(by_way), **size)
        errors.append(in_first - to_frame(in_other, **first_from_other, **size))
        flipped = register(size["width_px"] - 1 - x, size["height_px"] - 1 - y, flux, first)
        assert abs(math.remainder(flipped.rotation_deg - direct.rotation_deg - 180, 360)) < 0.002
    assert np.sqrt(np.mean(np.square(errors))) < closure_px
    assert direct.rotation_deg == pytest.approx(rotation_deg, abs=0.02)
    assert direct.scale == pytest.approx(scale, abs=1.5e-4)


def test_frames_of_one_real_night_do_not_match_the_other(real_night):
    one, _ = real_lists(real_night("hatp32"), "*.FITS", 16)
    other, size = real_lists(real_night("luxembourg"), "*.fit", 4)
    for reference in (prepare(*stars, **size) for stars in other):
        for stars in one:
            assert register(*stars, reference).flags == Flag.NOT_MATCHED
