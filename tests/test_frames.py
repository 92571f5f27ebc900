import gzip
import os
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from photdb.errors import FrameError, PhotdbError
from photdb.fits import LAYOUT, header_of, opened
from photdb.frames import FrameReader, content_crc32, find_frames, read_header, read_pixels

H, W = 41, 57
KINDS = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


def image(kind: str) -> NDArray[Any]:
    rng = np.random.default_rng(7)
    if kind[0] == "f":
        return rng.normal(1000, 300, (H, W)).astype(kind)
    info = np.iinfo(kind)
    pixels = rng.integers(info.min, info.max, (H, W), dtype=kind, endpoint=True)
    pixels[0, :2] = info.min, info.max
    return pixels


def primary(path: Path, data: NDArray[Any], **cards: Any) -> Path:
    hdu = fits.PrimaryHDU(data)
    hdu.header.update(cards)
    hdu.writeto(path)
    return path


def raw_fits(path: Path, data: bytes, *cards: str) -> Path:
    """Write a file card by card, with exactly these bytes behind."""
    header = "".join(card.ljust(80) for card in (*cards, "END"))
    path.write_bytes(header.ljust(-(-len(header) // 2880) * 2880).encode() + data)
    return path


def in_primary(path: Path, data: NDArray[Any]) -> Path:
    return primary(path.with_suffix(".fits"), data)


def gzipped(path: Path, data: NDArray[Any]) -> Path:
    plain = primary(path.with_suffix(".fits"), data)
    packed = path.with_suffix(".fits.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    return packed


def in_two_gzip_members(path: Path, data: NDArray[Any]) -> Path:
    content = primary(path.with_suffix(".fits"), data).read_bytes()
    packed = path.with_suffix(".fits.gz")
    packed.write_bytes(gzip.compress(content[:3000]) + gzip.compress(content[3000:]))
    return packed


def in_extension(path: Path, data: NDArray[Any]) -> Path:
    table = fits.BinTableHDU.from_columns([fits.Column("t", "J", array=np.arange(3000))])
    hdus = fits.HDUList([fits.PrimaryHDU(), table, fits.ImageHDU(data), fits.ImageHDU(np.zeros((3, 3)))])
    hdus.writeto(path.with_suffix(".fts"))
    return path.with_suffix(".fts")


def tiled(path: Path, data: NDArray[Any]) -> Path:
    # RICE cannot hold 64 bits nor floats without loss
    kind = "RICE_1" if data.dtype.kind != "f" and data.dtype.itemsize < 8 else "GZIP_1"
    hdu = fits.CompImageHDU(data, compression_type=kind, quantize_level=0)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path.with_suffix(".fits.fz"))
    return path.with_suffix(".fits.fz")


def as_a_plane(path: Path, data: NDArray[Any]) -> Path:
    return primary(path.with_suffix(".fit"), data[None])


WRITERS = [in_primary, gzipped, in_two_gzip_members, in_extension, as_a_plane]
#: Tiles hold no integers of 64 bits, and astropy compresses no signed bytes.
TILED = [(tiled, kind) for kind in ("u1", "i2", "u2", "i4", "u4", "f4", "f8")]


@pytest.mark.parametrize(("write", "kind"), [(write, kind) for write in WRITERS for kind in KINDS] + TILED)
def test_pixels_and_cutouts_of_every_kind(tmp_path: Path, kind: str, write: Callable[..., Path]) -> None:
    data = image(kind)
    path = write(tmp_path / "frame", data)
    header = read_header(path)
    assert (header.width_px, header.height_px) == (W, H)
    assert abs(header.bitpix) == data.dtype.itemsize * 8
    pixels, crc, size, mtime = read_pixels(path)
    assert pixels.dtype == np.dtype(kind)
    assert pixels.dtype.isnative
    np.testing.assert_array_equal(pixels, data)
    pixels += 1  # the caller's own
    status = path.stat()
    assert (crc, size, mtime) == (zlib.crc32(path.read_bytes()), status.st_size, status.st_mtime_ns)
    assert content_crc32(path) == (crc, size, mtime)
    assert (header.size_bytes, header.mtime_ns) == (size, mtime)
    with FrameReader(path) as reader:
        cutout = reader.cutouts(np.array([20]), np.array([10]), 3)
        assert (reader.width_px, reader.height_px, reader.size_bytes, reader.mtime_ns) == (W, H, size, mtime)
    assert cutout.dtype == (np.float32 if kind in ("u1", "i1", "i2", "u2", "f4") else np.float64)
    exact = data[7:14, 17:24].astype(cutout.dtype)
    # 64-bit integers do not fit a double: their 2^63 is added to the rounded half
    np.testing.assert_allclose(cutout[0], exact, rtol=1e-15 if kind == "u8" else 0, atol=2**11 if kind == "u8" else 0)


@pytest.mark.parametrize(("kind", "result"), [("u1", "f4"), ("i2", "f4"), ("i4", "f8"), ("f4", "f4"), ("f8", "f8")])
def test_scaled_pixels_and_blank(tmp_path: Path, kind: str, result: str) -> None:
    data = image(kind)
    path = primary(tmp_path / "a.fits", data)
    content = path.read_bytes()
    cards = "BSCALE  = 0.25".ljust(80) + "BZERO   = 100.5".ljust(80)
    if kind[0] != "f":
        data[3, 5] = data[20, 20] = 77
        cards += "BLANK   = 77".ljust(80)
    cards += "END".ljust(80)
    end = content.index(b"END" + b" " * 77)
    path.write_bytes((content[:end] + cards.encode()).ljust(2880) + data.astype(f">{kind}").tobytes())
    expected = data.astype("f8") * 0.25 + 100.5
    if kind[0] != "f":
        expected[data == 77] = np.nan
        assert np.isnan(expected[20, 20])
    pixels, *_ = read_pixels(path)
    assert pixels.dtype == np.dtype(result)
    np.testing.assert_allclose(pixels, expected, rtol=2e-7 if result == "f4" else 1e-15)
    with FrameReader(path) as reader:
        cutout = reader.cutouts(np.array([20, 0]), np.array([20, 0]), 5)
    np.testing.assert_array_equal(cutout[0], pixels[15:26, 15:26])  # bit for bit, NaN included
    np.testing.assert_array_equal(cutout[1, 5:, 5:], pixels[:6, :6])


def test_blank_alone(tmp_path: Path) -> None:
    data = np.arange(H * W, dtype="i2").reshape(H, W)
    never = primary(tmp_path / "never.fits", data, BLANK=-1)
    np.testing.assert_array_equal(read_pixels(never)[0], data)
    assert read_pixels(never)[0].dtype == np.int16
    once = read_pixels(primary(tmp_path / "once.fits", data, BLANK=5))[0]
    assert once.dtype == np.float32
    assert np.flatnonzero(np.isnan(once)).tolist() == [5]


def test_quantised_floats_are_what_astropy_says(tmp_path: Path) -> None:
    path = tmp_path / "a.fits.fz"
    fits.CompImageHDU(image("f4"), compression_type="RICE_1", quantize_level=16).writeto(path)
    np.testing.assert_array_equal(read_pixels(path)[0], fits.getdata(path))


def test_a_frame_can_be_closed_while_its_pixels_are_looked_at(tmp_path: Path) -> None:
    """As Dask's profiler does, which holds on to the variables of a running task."""
    with FrameReader(primary(tmp_path / "frame.fits", image("u2"))) as reader:
        held = reader._pixels[2:5]
    assert held.shape == (3, W)


@settings(max_examples=60)
@given(data=st.data(), half=st.integers(0, 30), n=st.integers(0, 9))
def test_cutouts_are_slices(data: st.DataObject, half: int, n: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "cutouts.fits"
    pixels = image("u2")
    if not path.exists():
        primary(path, pixels)
    x = np.array(data.draw(st.lists(st.integers(-40, W + 40), min_size=n, max_size=n)), int)
    y = np.array(data.draw(st.lists(st.integers(-40, H + 40), min_size=n, max_size=n)), int)
    with FrameReader(path) as reader:
        cut = reader.cutouts(x, y, half)
        alone = [reader.cutouts(x[i : i + 1], y[i : i + 1], half)[0] for i in range(n)]
    padded = np.pad(pixels.astype(np.float32), 80, constant_values=np.nan)
    assert cut.shape == (n, 2 * half + 1, 2 * half + 1)
    assert cut.dtype == np.float32
    for i in range(n):
        expected = padded[80 + y[i] - half : 81 + y[i] + half, 80 + x[i] - half : 81 + x[i] + half]
        np.testing.assert_array_equal(cut[i], expected)
        np.testing.assert_array_equal(alone[i], expected)


def test_the_place_of_pixels_needs_few_cards(tmp_path: Path) -> None:
    path = tmp_path / "frame.fits"
    cards = [("OBJECT", "END"), ("HIERARCH ESO DET BITPIX", 7), ("BSCALE", 2.0), ("BZERO", 3.0), ("BLANK", 9)]
    hdu = fits.PrimaryHDU(image("i2"))
    for key, value in cards:
        hdu.header[key] = value
    hdu.writeto(path)
    path.write_bytes(path.read_bytes().replace(b"NAXIS1  ", b"naxis1\0\0").replace(b"BLANK   ", b"Blank   "))
    with opened(path) as (file, status):
        whole, few = header_of(file, status), header_of(file, status, LAYOUT)
    assert (whole.bscale, whole.bzero, whole.blank) == (2.0, 3.0, 9)
    assert few.cards.items() < whole.cards.items()
    assert replace(few, cards={}) == replace(whole, cards={})


def test_headers_of_extensions_and_tables(tmp_path: Path) -> None:
    data = image("u2")
    first = fits.PrimaryHDU()
    first.header.update({"OBJECT": "field", "FILTER": "V"})
    image_hdu, tiles = fits.ImageHDU(data), fits.CompImageHDU(data)
    image_hdu.header["FILTER"] = tiles.header["FILTER"] = "R"
    image_hdu.header["EXTNAME"] = "SCI"
    for hdu, compression in ((image_hdu, "none"), (tiles, "tile")):
        path = tmp_path / f"{compression}.fits"
        fits.HDUList([first, hdu]).writeto(path)
        header = read_header(path)
        assert (header.hdu, header.compression, header.bitpix, header.bzero) == (1, compression, 16, 32768.0)
        assert (header.cards["OBJECT"], header.cards["FILTER"], header.cards["NAXIS1"]) == ("field", "R", W)
    one = primary(tmp_path / "one.fits", data, OBJECT="a")
    other = primary(tmp_path / "other.fits", data, OBJECT="b")
    assert read_header(one).header_crc32 != read_header(other).header_crc32
    assert read_header(one).header_crc32 == zlib.crc32(one.read_bytes()[:2880])


def test_a_long_header_and_one_without_padding(tmp_path: Path) -> None:
    data = image("i2").astype(">i2").tobytes()
    structure = ["SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 2", f"NAXIS1  = {W}", f"NAXIS2  = {H}"]
    endless = [f"KEY{i:<5}= 'END      '" for i in range(1000)]
    path = raw_fits(tmp_path / "long.fits", data, *structure, *endless)
    assert len(read_header(path).cards) == 1005
    np.testing.assert_array_equal(read_pixels(path)[0], image("i2"))
    lower = raw_fits(tmp_path / "lower.fits", data, *structure[:2], "naxis   = 2", "naxis1  = 057", f"NAXIS2  = {H}.0")
    np.testing.assert_array_equal(read_pixels(lower)[0], image("i2"))


CARDS = ("SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 2", "NAXIS1  = 20", "NAXIS2  = 10")


@pytest.mark.parametrize(
    ("cards", "n_bytes", "reason"),
    [
        (CARDS, 399, "the file is truncated: 3,279 of 3,280 bytes"),
        (CARDS, 0, "the file is truncated: 2,880 of 3,280 bytes"),
        (("XTENSION= 'IMAGE'", *CARDS[1:]), 400, "not a FITS file"),
        ((*CARDS[:2], "NAXIS   = 0"), 0, "no image in the file"),
        ((*CARDS[:2], "NAXIS   = 1", "NAXIS1  = 200"), 400, "no image in the file"),
        ((*CARDS[:2], "NAXIS   = 3", *CARDS[3:], "NAXIS3  = 3"), 1200, "not one plane of pixels but 3"),
        ((*CARDS[:4], "NAXIS2  = 0"), 400, "an image of 20×0 pixels cannot be read"),
        ((*CARDS[:4], "NAXIS2  = -10"), 400, "an image of 20×-10 pixels cannot be read"),
        ((*CARDS[:3], "NAXIS1  = 40000", "NAXIS2  = 40000"), 400, "an image of 40000×40000 pixels cannot be read"),
        ((CARDS[0], "BITPIX  = 12", *CARDS[2:]), 400, "BITPIX = 12 is not a kind of pixel that FITS knows"),
        ((*CARDS[:3], "NAXIS1  = 'many'", CARDS[4]), 400, "NAXIS1 = many is not a whole number"),
        (CARDS[:4], 400, "the header has no NAXIS2"),
        ((CARDS[0], *CARDS[2:]), 400, "the header has no BITPIX"),
        ((*CARDS, "BZERO   = 'x'"), 400, "BZERO = x is not a number"),
        ((*CARDS, "BSCALE  = 0"), 400, "BSCALE = 0"),
        ((*CARDS[:2], "NAXIS   = 1", "NAXIS1  = " + "9" * 40), 400, "no image in the file"),
        ((*CARDS[:2], "NAXIS   = 1", "NAXIS1  = -9999"), 400, "no image in the file"),
    ],
)
def test_frames_that_cannot_be_used_say_why(tmp_path: Path, cards: tuple[str, ...], n_bytes: int, reason: str) -> None:
    path = raw_fits(tmp_path / "bad.fits", bytes(n_bytes), *cards)
    for read in (read_header, read_pixels, FrameReader):
        with pytest.raises(FrameError) as caught:
            read(path)
        assert str(caught.value).startswith(reason)
        assert not str(caught.value).endswith(".")
        assert "bad.fits" not in str(caught.value)


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    good = primary(tmp_path / "good.fits", image("u2"))
    content = good.read_bytes()
    packed = gzip.compress(content)
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    tiles = tiled(tmp_path / "tiles", image("u2")).read_bytes()
    files = {
        "empty": (b"", "the file is empty"),
        "text": (b"hello " * 1000, "not a FITS file"),
        "header": (content[:160], "the header has no end: the file is truncated or damaged"),
        "cut.gz": (packed[: len(packed) // 2], "the compressed file is damaged or truncated"),
        "short.gz": (gzip.compress(content[:5000]), f"the file is truncated: 5,000 of {2880 + 2 * W * H:,} bytes"),
        "cut.fz": (tiles[: len(tiles) - 2880], "the file is truncated: "),
        "magic.gz": (b"\x1f\x8b", "the compressed file is damaged or truncated"),
    }
    for name, (written, reason) in files.items():
        (tmp_path / name).write_bytes(written)
        for read in (read_header, read_pixels, FrameReader):
            with pytest.raises(FrameError) as caught:
                read(tmp_path / name)
            assert str(caught.value).startswith(reason)
    (tmp_path / "damaged.gz").write_bytes(damaged)
    with pytest.raises(FrameError, match="^the compressed file is damaged or truncated$"):
        read_pixels(tmp_path / "damaged.gz")
    for read in (read_header, read_pixels, content_crc32, FrameReader):
        with pytest.raises(FrameError, match="^the file does not exist$"):
            read(tmp_path / "missing.fits")
        with pytest.raises(FrameError, match="^a folder or a device, not a file$"):
            read(tmp_path)
    if os.geteuid() != 0:
        good.chmod(0)
        with pytest.raises(FrameError, match="^no permission to read the file$"):
            read_header(good)


def test_damaged_tiles_say_so(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a", image("f8"))
    content = bytearray(path.read_bytes())
    content[-2880 * 5 : -2880] = bytes(2880 * 4)
    path.write_bytes(content)
    with pytest.raises(FrameError, match="^the compressed image cannot be decoded"):
        read_pixels(path)


def test_frames_are_not_changed_and_closed(tmp_path: Path) -> None:
    path = primary(tmp_path / "a.fits", image("u2"))
    before = path.read_bytes(), path.stat().st_mtime_ns
    with FrameReader(path) as reader:
        cutout = reader.cutouts(np.array([20]), np.array([20]), 5)
        cutout[:] = 0
    read_pixels(path)[0][:] = 0
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert reader._file.closed


def test_find_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["a.FITS", "b.fit", "c.FtS", "d.fits.gz", "e.fit.GZ", "f.fts.fz", "g.fz"]
    for name in [*wanted, "._a.fits", "x.fits.txt", "y.gz", "fits", "z.new"]:
        (tmp_path / name).touch()
    (tmp_path / "sub.fits").mkdir()
    (tmp_path / "sub.fits" / "deep.fits").touch()
    (tmp_path / "link.fits").symlink_to(tmp_path / "z.new")
    folder = sorted([tmp_path / name for name in [*wanted, "link.fits"]])
    assert find_frames([tmp_path]) == folder
    assert find_frames([str(tmp_path), tmp_path / "b.fit", f"{tmp_path}/*.f?t"]) == folder
    assert find_frames([tmp_path / "z.new", tmp_path / "fits"]) == [tmp_path / "fits", tmp_path / "z.new"]
    assert find_frames([f"{tmp_path}/*.fits.*"]) == [tmp_path / "d.fits.gz", tmp_path / "x.fits.txt"]
    assert find_frames([f"{tmp_path}/su*"]) == [tmp_path / "sub.fits" / "deep.fits"]
    monkeypatch.chdir(tmp_path)
    assert find_frames(["./b.fit", "b.fit", "sub.fits/../b.fit"]) == [tmp_path / "b.fit"]
    (tmp_path / "with[1].fits").touch()
    assert find_frames(["with[1].fits"]) == [tmp_path / "with[1].fits"]
    assert find_frames([]) == []
    (tmp_path / "bare").mkdir()
    for nothing in ("none.fits", "none*.fits", "bare"):
        with pytest.raises(PhotdbError, match=nothing.replace("*", r"\*")):
            find_frames(["b.fit", nothing])


@pytest.mark.parametrize("night", ["hatp32", "luxembourg"])
def test_real_frames_are_what_astropy_reads(night: str, real_night: Callable[[str], Path]) -> None:
    paths = find_frames([real_night(night)])
    assert len(paths) == (142 if night == "hatp32" else 22)
    path = paths[0]
    header, known = read_header(path), fits.getheader(path)
    for key, value in header.cards.items():
        if key not in ("BSCALE", "BZERO"):
            assert (value.strip() if isinstance(value, str) else value) == known[key]
    assert set(header.cards) >= {k for k in known if k not in ("", "COMMENT", "HISTORY")}
    np.testing.assert_array_equal(read_pixels(path)[0], fits.getdata(path))
