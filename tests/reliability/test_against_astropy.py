"""What photdb reads of a header and of pixels is what astropy reads, wherever both accept a file, however damaged.

What they are not compared in, or may differ in, has its reasons:

- Cards that are not FITS (bytes that are no ASCII, texts without an end, texts over several cards): each understands of
  them what it can. Where both read a number, it is the same all the same.
- Where a keyword that says where the pixels are is written twice, the first counts for photdb. For astropy it does in
  the header, but the last for the pixels.
- astropy does not look for pixels in files that begin with SIMPLE = F.
- BLANK holds for unsigned integers too, and where it is 0, as FITS says; astropy then passes it over.
- Pixels beyond 1e15 ADU in size, infinite ones too, are NaN for photdb: no detector counts as far.
- Scaled pixels agree to the rounding of float32.
"""

import contextlib
import io
import random
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from fits_mutator import corpus, mutated

from photdb.errors import FrameError
from photdb.frames import HeaderRead, read_header, read_pixels
from photdb.simulate.fits import write_fits

#: Damaged at random, besides the corpus.
N_MUTATED = 1500
CONFORMING = re.compile(r"[A-Z0-9_-]{1,8} *= +('(?:[^']|'')*'|[TF]|[+-]?[0-9.]+(?:[ED][+-]?[0-9]+)?)? *(/.*)?")
LAYOUT = rb"(?i)(SIMPLE|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|BSCALE|BZERO|BLANK|GROUPS|EXTEND) *="


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("frame") / "frame.fits"
    rng = np.random.default_rng(3)
    cards = {"OBJECT": "field", "FILTER": "R", "DATE-OBS": "2011-10-01T20:30:00.000", "EXPTIME": 60.0, "SITELAT": 46.2}
    write_fits(path, rng.integers(900, 60_000, (30, 40)).astype(np.uint16), cards)
    return path.read_bytes()


def of_astropy(content: bytes, header: HeaderRead) -> tuple[dict[str, Any], np.ndarray | None]:
    """Give the cards that astropy can read of an image, by keyword the first of equals, and its pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(io.BytesIO(content), memmap=False, ignore_missing_end=True) as hdus:
            cards: dict[str, Any] = {}
            hdu = hdus[header.hdu]
            for source in (hdu.header, hdus[0].header):
                for card in source.cards:
                    value: Any = Ellipsis
                    with contextlib.suppress(Exception):  # that astropy does not accept the card
                        value = card.value
                    cards.setdefault(card.keyword.upper(), value)
            try:
                return cards, np.array(hdu.data)
            except Exception:
                return cards, None


def differences(path: Path, content: bytes) -> list[str]:
    """Say in what both differ; nothing where one of them refuses the file."""
    path.write_bytes(content)
    try:
        header = read_header(path)
        pixels, *_ = read_pixels(path)
    except FrameError:
        return []
    try:
        cards, data = of_astropy(content, header)
    except Exception:
        return []
    proper = fits_keywords(content[: header.data_offset])
    found = []
    for key, value in header.cards.items() if header.compression != "tile" else ():
        theirs = cards.get(key, Ellipsis)
        if not same_value(value, theirs, is_fits=key in proper):
            found.append(f"{key}: {value!r}, astropy: {theirs!r}")
    twice = len(re.findall(LAYOUT, content[: header.data_offset])) > len(set(re.findall(LAYOUT, content)))
    if data is None or header.cards.get("SIMPLE") is not True or (twice and header.hdu == 0):
        return found
    if data.size != pixels.size:
        found.append(f"shape {pixels.shape}, astropy: {data.shape}")
    elif not same_pixels(pixels, data.reshape(pixels.shape), header):
        found.append(f"pixels {pixels.dtype} {pixels.flat[:4]}, astropy: {data.dtype} {data.flat[:4]}")
    return found


def fits_keywords(header: bytes) -> set[str]:
    """Give the keywords whose every card is as FITS demands, and has no other card as its continuation."""
    cards = [header[i : i + 80].decode("latin-1") for i in range(0, len(header), 80)]
    proper = {card[:8].rstrip(): True for card in cards}
    for card, following in zip(cards, [*cards[1:], ""], strict=True):
        if not (card.isascii() and card.isprintable() and CONFORMING.fullmatch(card)) or following.startswith(
            "CONTINUE"
        ):
            proper[card[:8].rstrip()] = False
    return {key for key, is_proper in proper.items() if is_proper}


def same_value(value: object, theirs: object, *, is_fits: bool) -> bool:
    if theirs is Ellipsis or isinstance(theirs, fits.card.Undefined):
        return True
    return value == theirs or (not is_fits and (isinstance(value, str) or isinstance(theirs, str)))


def same_pixels(pixels: np.ndarray, data: np.ndarray, header: HeaderRead) -> bool:
    """Compare pixels; to the last bit where nothing is scaled."""
    with np.errstate(invalid="ignore"):  # NaN of the kind that signals
        ours, theirs = pixels.astype(float), data.astype(float)
    if data.dtype.kind == "f":
        theirs[~(np.abs(theirs) <= 1e15)] = np.nan
    if header.blank is not None and (data.dtype.kind != "f" or header.blank == 0):
        theirs[np.isnan(ours)] = np.nan
    if header.bscale == 1 and header.bzero in (0, -128, 2**15, 2**31, 2**63):
        return bool(np.array_equal(ours, theirs, equal_nan=True))
    size = np.nanmax(np.abs(theirs), initial=abs(header.bzero))
    return bool(np.allclose(ours, theirs, rtol=3e-7, atol=3e-7 * size, equal_nan=True))


def test_the_corpus(frame: bytes, tmp_path: Path) -> None:
    wrong = {}
    for bad in corpus(frame):
        if len(bad.content) < 1_000_000 and (found := differences(tmp_path / "frame.fits", bad.content)):
            wrong[bad.name] = found
    assert not wrong, "\n".join(f"{name}: {found}" for name, found in wrong.items())


def test_files_that_are_damaged_at_random(frame: bytes, tmp_path: Path) -> None:
    rng = random.Random(11)
    seeds = [bad.content for bad in corpus(frame) if bad.reason is None and len(bad.content) < 30_000]
    wrong = {}
    for i in range(N_MUTATED):
        content = mutated(rng.choice(seeds), rng)
        if found := differences(tmp_path / "frame.fits", content):
            wrong[i] = found
    assert not wrong, "\n".join(f"{i}: {found}" for i, found in wrong.items())
