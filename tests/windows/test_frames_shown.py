"""What windows show and say of a night: frames in their place, levels as shades, doubts in numbers."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from photdb.stages.shifts import Shifts
from photdb.store.arrays import Frames
from photdb.viewers.windows.doubts import doubts
from photdb.viewers.windows.frame_image import FrameImage, Stretch, shades
from photdb.viewers.windows.magnifier import cutout, star_at
from photdb.viewers.windows.night import Album, Night, Shot
from photdb.viewers.windows.picks import Anchor, Pick, Picks

N, WIDTH, HEIGHT = 10, 200, 160


def make_night(**more: object) -> Night:
    """Ten frames, each shifted by (2 i, −i) pixels; the last one is rejected, and lies far off."""
    i = np.arange(N, dtype=float)
    dx = np.where(i == N - 1, 150.0, 2 * i)
    paths = [f"{k}.fits" for k in range(N)]
    frames = Frames(np.arange(N) + 100, np.arange(N) + 1, paths, 2.0 + i / 24, np.ones(N), i >= 0, i < N - 1)
    shifts = Shifts(dx, -i, np.zeros(N), np.ones(N), WIDTH, HEIGHT)
    stars = np.array([(60.0, 60.0, 1000.0), (75.0, 60.0, 50.0), (140.0, 100.0, 1000.0), (140.0, 110.0, 5.0)])
    given = {"saturation_adu": 50_000.0, "apertures": ((3.0, 10.0, 15.0), (6.0, 10.0, 15.0)), **more}
    return Night(frames=frames, shifts=shifts, fwhm_px=np.full(N, 3.0), reference=0, stars=stars, read=zeros, **given)


def zeros(i: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), i, np.uint16)


def star(label: str, x: float, y: float, role: str = "reference") -> Pick:
    return Pick(label, role, (Anchor(1, x, y, x, y, x, y),))


def test_doubts_are_named_in_numbers():
    night = make_night()

    def of(pick: Pick, *others: Pick, peak: float = 1000.0) -> list[str]:
        return doubts(night, Picks((pick, *others)), pick, peak)

    assert of(star("R1", 140, 100)) == []  # the neighbour has half a per cent of its light
    assert of(star("R1", 140, 100), peak=50_000) == ["saturated (peak 50000 ADU)"]
    assert of(star("R1", 60, 60)) == ["has a neighbour 15 px away (5 % of its light)"]
    # It moves by 2 px a frame to the right: of the nine accepted frames those with x + 2 i > 199 − 15.
    assert of(star("R1", 176, 100)) == ["its ring reaches over the edge in frame 6-9"]
    assert of(star("R1", 186, 100)) == ["reaches over the edge in frame 5-9"]
    path = tuple(Anchor(n, 0, 0, 0, 0, x, 100.0) for n, x in ((1, 100.0), (9, 180.0)))
    asteroid = Pick("A1", "asteroid", path)  # 10 px a frame: at x = 140 in frame 5
    assert of(star("R1", 140, 100), asteroid) == ["A1 comes within 0 px in frame 4-6"]
    assert "R1 comes within 0 px in frame 4-6" in of(asteroid, star("R1", 140, 100))
    assert of(Pick("A1", "asteroid", path[:1])) == []  # nobody knows where it goes


def test_a_frame_is_shown_in_the_reference_frame_shifted_turned_or_smaller():
    """Compared with looking up each pixel by the inverse of what shifts do."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 60_000, (HEIGHT, WIDTH), np.uint16)
    image = FrameImage(Figure().add_subplot())
    image.stretch = Stretch("linear")
    image.shot = Shot(pixels, 0.0, 60_000.0, {})
    x, y = np.arange(20, 120, dtype=float), np.arange(30, 90, dtype=float)
    for turn in (0.0, 0.4, 3.0, 180.0):
        night = make_night()
        night.shifts.rotation_deg[:] = turn
        affine = image.affine = night.affine(3)
        at = night.to_frame(3, np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)).reshape(60, 100, 2)
        assert np.abs(affine @ (25.0, 40.0, 1.0) - night.to_frame(3, [(25.0, 40.0)])[0]).max() < 1e-9
        column, row = np.floor(at + 0.5).astype(int).transpose(2, 0, 1)
        inside = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
        shown = image.picture(x, y)
        expected = shades(pixels[np.clip(row, 0, HEIGHT - 1), np.clip(column, 0, WIDTH - 1)], image.shot, image.stretch)
        # A turn of less than half a pixel over what is shown is no turn: pixels may be their neighbours.
        edge = np.abs(at + 0.5 - np.rint(at + 0.5)).min(axis=-1) < (0.25 if turn == 0.4 else 1e-3)
        same = (shown == expected).all(axis=-1)
        assert same[inside & ~edge].all()
        assert (shown[~inside] == (70, 78, 92, 255)).all()
    image.affine = np.eye(2, 3)
    flat = image.picture(np.arange(1.5, 200, 4), np.arange(1.5, 160, 4))  # means of 4 × 4 pixels
    means = pixels.reshape(40, 4, 50, 4).mean(axis=(1, 3))
    assert np.abs(flat[..., 0] - 255 * means / 60_000).max() < 1


def test_stretches_rise_with_the_level_and_invert():
    shot = Shot(np.zeros((1, 1)), 1000.0, 1100.0, {})
    levels = np.array([[900, 1000, 1010, 1050, 1100, 1500, 2000, 60_000]], np.uint16)
    linear = shades(levels, shot, Stretch("linear"))[0, :, 0]
    assert np.abs(linear - np.array([0, 0, 25.5, 127.5, 255, 255, 255, 255])).max() <= 1
    asinh = shades(levels, shot, Stretch("asinh"))[0, :, 0].astype(int)
    assert (np.diff(asinh)[1:6] > 0).all()
    assert (asinh[0], asinh[-1]) == (0, 255)
    as_floats = shades(levels.astype(np.float32), shot, Stretch("asinh"))[0, :, 0]
    assert (as_floats == asinh).all()
    signed = shades(levels[:, :7].astype(np.int16), shot, Stretch("asinh"))[0, :, 0]
    assert (signed == asinh[:7]).all()
    assert (shades(levels, shot, Stretch("asinh", inverted=True))[0, :, 0] == 255 - asinh).all()
    assert shades(np.array([[np.nan]]), shot, Stretch())[0, 0].tolist() == [0, 0, 0, 255]
    brighter = shades(levels, shot, Stretch("linear").more(brightness=0.5))[0, :, 0]
    assert brighter[1] == pytest.approx(127, abs=1)


def test_few_frames_are_kept():
    read: list[int] = []

    def reading(i: int) -> np.ndarray:
        read.append(i)
        return np.full((2000, 2000), i, np.uint16)

    album = Album(reading)
    for i in (0, 1, 2, 1, 3, 4, 5, 0):
        assert album.get(i).pixels[0, 0] == i
    assert read == [0, 1, 2, 3, 4, 5, 0]  # four of 4 million pixels
    assert len(album._shots) == 4


def test_the_star_under_the_mouse_is_measured_also_at_the_edge():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    sigma = 3.0 / 2.3548
    pixels = 500 + sum(
        8000 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * sigma**2)) for a, b in ((50.3, 60.7), (1.2, 2.4))
    )
    pixels += np.random.default_rng(1).normal(0, 5, pixels.shape)
    for a, b in ((50.3, 60.7), (1.2, 2.4)):
        found = star_at(pixels, a + 2, b - 1.5, 3.0)
        assert found.is_there
        assert np.hypot(found.x_px - a, found.y_px - b) < 0.02
        assert found.fwhm_px == pytest.approx(3.0, abs=0.03)
    assert not star_at(pixels, 120.0, 100.0, 3.0).is_there
    square = cutout(pixels, 0, 1, 3)
    assert np.isnan(square).sum() == 49 - 4 * 5
    assert square[3, 3] == pixels[1, 0]
    assert np.isnan(cutout(pixels, -50, 20, 3)).all()
