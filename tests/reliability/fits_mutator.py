"""Bad frames, made from a good one by a seeded mutator: what telescopes, disks, downloads and ill will can leave.

Each is a `Bad`: the name it gets, its bytes, and what photdb must make of it. The same seed gives the same bytes.
"""

import gzip
import io
import os
import random
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

BLOCK = 2880
CARD = 80
ESCAPES = "\x1b[31mred\x1b[0m\x07\x1b]0;title\x07"


@dataclass(frozen=True)
class Bad:
    """A bad frame: `reason` is a pattern of why it is refused; where it is None the frame is used, or may be."""

    name: str
    content: bytes
    reason: str | None = None
    flagged: bool = False  # its pixels must be said to be odd


def corpus(frame: bytes, seed: int = 1) -> list[Bad]:
    """Make all bad frames of a good one, of 16 bits in its primary unit."""
    found: list[Bad] = []
    for make in (
        truncations,
        flips,
        layouts,
        headers,
        texts,
        dates,
        places,
        pixels,
        scalings,
        units,
        compressed,
        quantised,
    ):
        found += make(frame, random.Random(f"{make.__name__} {seed}"))
    names = [bad.name for bad in found]
    assert len(set(names)) == len(names)
    return found


# --- files card by card -----------------------------------------------------------------------------------------------
def parts(frame: bytes) -> tuple[list[bytes], bytes]:
    """Part a file into its cards, without END, and what is behind the header."""
    cards = [frame[i : i + CARD] for i in range(0, len(frame), CARD)]
    end = next(i for i, card in enumerate(cards) if card.rstrip() == b"END")
    return cards[:end], frame[-(-(end + 1) * CARD // BLOCK) * BLOCK :]


def card(keyword: str, value: object) -> bytes:
    """Write a card, however wrong; text that is given in bytes goes in as it is."""
    head = keyword.encode("latin-1").ljust(8) + b"= "
    body = value if isinstance(value, bytes) else str(value).encode("utf-8")
    return (head + body)[:CARD].ljust(CARD)


def joined(cards: list[bytes], data: bytes, end: bytes = b"END") -> bytes:
    header = b"".join(cards) + end.ljust(CARD)
    return header.ljust(-(-len(header) // BLOCK) * BLOCK) + data


def with_cards(frame: bytes, data: bytes | None = None, **values: object) -> bytes:
    """Replace cards of a file, in their place; None leaves one out, an underscore stands for a hyphen."""
    cards, behind = parts(frame)
    for name, value in values.items():
        keyword = name.replace("_", "-")
        at = [i for i, c in enumerate(cards) if c[:8].rstrip() == keyword.encode()]
        place = at[0] if at else len(cards)
        cards[place : place + len(at)] = [] if value is None else [card(keyword, value)]
    return joined(cards, behind if data is None else data)


def padded(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")


def size_of(frame: bytes) -> tuple[int, int]:
    header = fits.Header.fromstring(frame[:BLOCK])
    return header["NAXIS2"], header["NAXIS1"]


def image_of(frame: bytes) -> np.ndarray:
    """Give the pixels of a good frame."""
    with fits.open(io.BytesIO(frame)) as hdus:
        return np.array(hdus[0].data)


def written(*hdus: Any) -> bytes:
    buffer = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(buffer, output_verify="ignore")
    return buffer.getvalue()


# --- damage -----------------------------------------------------------------------------------------------------------
_TRUNCATED = "^(the file is truncated|the header has no end|the file is empty|not a FITS file)"


def truncations(frame: bytes, rng: random.Random) -> Iterator[Bad]:
    """Cut at every boundary of a block, beside it, and anywhere."""
    height, width = size_of(frame)
    needed = len(frame) - len(parts(frame)[1]) + 2 * width * height
    cuts = set(range(0, len(frame), BLOCK)) | {1, 2, 79, 80, 81, 2879, 2881, needed - 1, needed, needed + 1}
    cuts |= {rng.randrange(len(frame)) for _ in range(10)}
    for n in sorted(cuts):
        if n < len(frame):
            yield Bad(f"cut-{n:07d}.fits", frame[:n], _TRUNCATED if n < needed else None)


def flips(frame: bytes, rng: random.Random) -> Iterator[Bad]:
    """Flip bits: of the header, of the data, of both; and overwrite parts."""
    length = {"header": len(frame) - len(parts(frame)[1]), "all": len(frame)}
    for where, most in length.items():
        for i in range(40 if where == "header" else 8):
            damaged = bytearray(frame)
            for _ in range(rng.choice([1, 1, 3, 30])):
                damaged[rng.randrange(most)] ^= 1 << rng.randrange(8)
            yield Bad(f"flip-{where}-{i:02d}.fits", bytes(damaged))
    for i in range(6):
        start, n = rng.randrange(len(frame)), rng.choice([80, 2880, 20_000])
        damaged = bytearray(frame)
        damaged[start : start + n] = rng.choice([bytes(n), b"\xff" * n, rng.randbytes(n)])[: len(frame) - start]
        yield Bad(f"hole-{i}.fits", bytes(damaged))
    yield Bad("zeros.fits", bytes(len(frame)), "^not a FITS file")
    yield Bad("noise.fits", rng.randbytes(len(frame)), "^not a FITS file")
    yield Bad("text.fits", b"SIMPLE minds\n" * 1000, "^the header has no end")
    yield Bad("page.fits", b"<!DOCTYPE html><html>404" * 100, "^not a FITS file")


def layouts(frame: bytes, rng: random.Random) -> Iterator[Bad]:
    """Say wrong things about where the pixels are."""
    height, width = size_of(frame)
    none = r"^(no image in the file|the header has no|an image of)"
    cases: list[tuple[str, str | None, dict[str, object]]] = [
        ("naxis-0", none, {"NAXIS": 0}),
        ("naxis-1", none, {"NAXIS": 1}),
        ("naxis-3", "^the header has no NAXIS3", {"NAXIS": 3}),
        ("naxis-minus", none, {"NAXIS": -2}),
        ("naxis-999", "^the header has no NAXIS3", {"NAXIS": 999}),
        ("naxis-huge", "^the header has no NAXIS3", {"NAXIS": 10**30}),
        ("naxis-real", None, {"NAXIS": 2.0}),
        ("naxis-e300", "^the header has no NAXIS3", {"NAXIS": "1E300"}),
        ("naxis-e999", "^NAXIS = inf is not a whole number", {"NAXIS": "1E999"}),
        ("naxis-text", "^NAXIS = two is not a whole number", {"NAXIS": "'two'"}),
        ("naxis-true", "^NAXIS = True is not a whole number", {"NAXIS": "T"}),
        ("naxis-none", "^the header has no NAXIS", {"NAXIS": None}),
        ("naxis1-none", "^the header has no NAXIS1", {"NAXIS1": None}),
        ("naxis1-minus", "^an image of -", {"NAXIS1": -width}),
        ("naxis12-minus", "^an image of -", {"NAXIS1": -width, "NAXIS2": -height}),
        ("naxis1-0", "^an image of 0×", {"NAXIS1": 0}),
        ("naxis1-more", "^the file is truncated", {"NAXIS1": width * 1000}),
        ("naxis1-2e31", "^an image of", {"NAXIS1": 2**31}),
        ("naxis1-2e63", "^an image of", {"NAXIS1": 2**63}),
        ("naxis1-1e40", "^an image of", {"NAXIS1": 10**40}),
        ("naxis-100000", "^an image of 100000×100000 pixels cannot be read", {"NAXIS1": 100_000, "NAXIS2": 100_000}),
        ("naxis-30000", "^the file is truncated", {"NAXIS1": 30_000, "NAXIS2": 30_000}),
        ("naxis-1x1", "^its size is 1×1", {"NAXIS1": 1, "NAXIS2": 1}),
        ("naxis-1xn", f"^its size is 1×{height}", {"NAXIS1": 1}),
        ("naxis-nx1", f"^its size is {width}×1", {"NAXIS2": 1}),
        ("naxis-2x2", "^its size is 2×2", {"NAXIS1": 2, "NAXIS2": 2}),
        ("naxis-swapped", f"^its size is {height}×{width}", {"NAXIS1": height, "NAXIS2": width}),
        ("pcount-minus", None, {"PCOUNT": -width * height}),
        ("pcount-more", "^the file is truncated", {"PCOUNT": 10**30}),
        ("pcount-text", "^PCOUNT = x is not a whole number", {"PCOUNT": "'x'"}),
        ("bitpix-none", "^the header has no BITPIX", {"BITPIX": None}),
        ("simple-f", None, {"SIMPLE": "F"}),
        ("simple-none", "^not a FITS file", {"SIMPLE": None}),
    ]
    cases += [(f"bitpix{n}", f"^BITPIX = {n} is not a kind", {"BITPIX": n}) for n in (0, 1, 7, 12, 24, -8, -16, 128)]
    cases += [(f"bitpix{n}", "^the file is truncated", {"BITPIX": n}) for n in (32, 64, -32, -64, 10**6)[:4]]
    cases += [("bitpix8", None, {"BITPIX": 8}), ("bitpix-text", "^BITPIX = sixteen", {"BITPIX": "'sixteen'"})]
    for name, reason, cards in cases:
        yield Bad(f"layout-{name}.fits", with_cards(frame, **cards), reason)
    # The header says too little, and the image is truncated for all that it says of what is behind.
    short = with_cards(frame, PCOUNT=-width * height)
    yield Bad("layout-pcount-cut.fits", short[: len(short) - len(frame) // 2], "^the file is truncated")


def headers(frame: bytes, rng: random.Random) -> Iterator[Bad]:
    """Build headers that go on and on, end nowhere, or say everything twice."""
    cards, data = parts(frame)
    end = f"^(the header has no end|{_TRUNCATED[1:]})"
    yield Bad("end-none.fits", b"".join(cards).ljust(BLOCK) + data, end)
    yield Bad("end-lower.fits", joined(cards, data, b"end"), end)
    yield Bad("end-equals.fits", joined(cards, data, b"END     = 5"), end)
    yield Bad("end-shifted.fits", joined(cards, data, b" END"), end)
    yield Bad("end-nul.fits", joined(cards, data, b"END\0\0"))
    yield Bad("end-late.fits", joined([*cards, *[b"COMMENT later".ljust(CARD)] * 4000], data))
    yield Bad("end-twice.fits", joined([*cards, b"END".ljust(CARD), *cards], data))
    yield Bad("end-too-late.fits", joined([*cards, *[b" " * CARD] * 80_000], b""), "^the header has no end")
    yield Bad(
        "cards-1e6.fits", joined([*cards, *[b"COMMENT more".ljust(CARD)] * 1_000_000], b""), "^the header has no end"
    )
    yield Bad("cards-70000.fits", joined([*cards, *[card(f"K{i}", i) for i in range(70_000)]], data))
    yield Bad(
        "continued.fits", joined([*cards, card("OBJECT", "'&'"), *[b"CONTINUE  'and on&'".ljust(CARD)] * 70_000], data)
    )
    digits = [card("DATE-AVG", "'2011-10-01T22:33:44.&'"), *[b"CONTINUE  '".ljust(78, b"1") + b"&'"] * 200]
    yield Bad("continued-digits.fits", joined([*digits[:0], *cards, *digits], data))
    spaces = b"'" + (b" " * 10 + b"1" * 20) * 2 + b"x'"
    keys = ("OBJCTRA", "RA", "OBJCTDEC", "DEC", "SITELAT", "SITELONG", "OBJCTALT", "OBJCTHA", "HA", "LST", "ST")
    yield Bad("angles.fits", joined([*cards, *[card(key, spaces) for key in keys]], data))
    yield Bad("twice.fits", joined([c for c in cards for _ in range(2)], data))
    yield Bad("twice-other.fits", joined([*cards, card("NAXIS1", 7), card("BITPIX", 8), card("EXPTIME", 1)], data))
    yield Bad("reversed.fits", joined([cards[0], *cards[:0:-1]], data))
    shuffled = cards[1:]
    rng.shuffle(shuffled)
    yield Bad("shuffled.fits", joined([cards[0], *shuffled], data))
    yield Bad("lower.fits", joined([cards[0], *[c[:8].lower() + c[8:] for c in cards[1:]]], data))
    yield Bad("lines.fits", b"\n".join(c.rstrip() for c in cards).ljust(BLOCK) + data, end)


def texts(frame: bytes, rng: random.Random) -> Iterator[Bad]:
    """Write what is no text, or too much of one, into values and keywords."""
    cards, data = parts(frame)
    for name, value in {
        "escapes": b"'" + ESCAPES.encode() + b"'",
        "latin": b"'caf\xe9 \xa0\x9b31m'",
        "utf8": "'Größe \u202egnp.exe\u2028 \U0001f52d'",
        "broken-utf8": b"'\xc3\x28\xff\xfe'",
        "nul": b"'a\0b\0\0\0'",
        "lines": b"'a\r\nb\tc'",
        "sql": b"'Robert''); DROP TABLE frame;--'",
        "html": b"'<script>alert(1)</script>'",
        "percent": b"'%s %n {0} {x}'",
        "unclosed": b"'never closed",
        "quotes": b"'" * 60,
        "empty": b"",
    }.items():
        damaged = with_cards(frame, OBJECT=value, OBSERVER=value, TELESCOP=value, GAIN=value, CTYPE1=value)
        yield Bad(f"text-{name}.fits", damaged)
    yield Bad("text-filter.fits", with_cards(frame, FILTER="'B'"))
    yield Bad(
        "text-in-reason.fits", with_cards(frame, NAXIS1=b"'" + ESCAPES.encode() + b"'"), "^NAXIS1 = [^\x00-\x1f\x7f]*$"
    )
    yield Bad("text-in-time.fits", with_cards(frame, DATE_OBS=b"'" + ESCAPES.encode() + b"'"), "^no time in its header")
    yield Bad(
        "text-keyword.fits", joined([*cards, card(ESCAPES[:8], 1), b"\xff" * CARD, b"\0" * CARD, b"=" * CARD], data)
    )
    yield Bad("text-noise.fits", joined([*cards, *[rng.randbytes(CARD) for _ in range(40)]], data))


# --- values -----------------------------------------------------------------------------------------------------------
def dates(frame: bytes, rng: random.Random) -> Iterator[Bad]:
    """Write times that never were, and exposures that cannot be."""
    no_time = "^no time in its header"
    for name, value, reason in (
        ("year-0", "'0000-01-01T00:00:00'", no_time),
        ("year-1", "'0001-01-01T00:00:00'", None),
        ("year-9999", "'9999-12-31T23:59:60.9'", None),
        ("year-10000", "'10000-01-01T00:00:00'", no_time),
        ("leap", "'2016-12-31T23:59:60.5'", None),
        ("leap-61", "'2016-12-31T23:59:61'", no_time),
        ("february", "'2011-02-30T00:00:00'", no_time),
        ("month-13", "'2011-13-01T00:00:00'", no_time),
        ("us", "'10/01/2011 10:11:12 PM'", no_time),
        ("german", "'01.10.2011 22:11:12'", no_time),
        ("words", "'Sat Oct  1 22:11:12 2011'", no_time),
        ("zone", "'2011-10-01T22:11:12+99:99'", no_time),
        ("zone-14", "'2011-10-01T22:11:12-14:00'", None),
        ("digits", "'2011-10-01T22:11:12." + "9" * 40 + "'", None),
        ("arabic", "'٢٠١١-١٠-٠١T٢٢:١١:١٢'", None),
        ("number", 20111001, no_time),
        ("minus", "'-2011-10-01T22:11:12'", no_time),
        ("empty", "''", no_time),
        ("none", None, no_time),
    ):
        yield Bad(f"date-{name}.fits", with_cards(frame, DATE_OBS=value), reason)
    for value in ("NaN", "1E999", "-1E999", "1E-320", "0", "9" * 60, "2455836.5", "'55835.9'", "1_0", "-5", "T"):
        name = f"mjd-{value.replace(chr(39), '')}"
        yield Bad(f"{name}.fits", with_cards(frame, DATE_OBS=None, MJD_OBS=value, JD=value, UT=value))
    for value in ("TAI", "TDB", "LOCAL", "x" * 60, "GPS"):
        yield Bad(f"timesys-{value}.fits", with_cards(frame, TIMESYS=f"'{value}'"))
    for value in ("NaN", "-60.0", "0", "1E300", "1E999", "-1E999", "'long'", "T", "9" * 65, "1E-320", "''"):
        yield Bad(f"exposure-{value.replace(chr(39), '')}.fits", with_cards(frame, EXPTIME=value))


def places(frame: bytes, rng: random.Random) -> Iterator[Bad]:
    """Write coordinates and projections that cannot be."""
    wcs: dict[str, object] = {
        "CTYPE1": "'RA---TAN'", "CTYPE2": "'DEC--TAN'", "CRVAL1": 30.0, "CRVAL2": 20.0, "CRPIX1": 10.0, "CRPIX2": 10.0,
        "CD1_1": -1e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 1e-4,
    }  # fmt: skip
    no_matrix: dict[str, object] = dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2"))
    changes: dict[str, dict[str, object]] = {
        "good": {},
        "singular": {"CD1_1": 0.0},
        "huge": {"CD1_1": 1e300, "CD2_2": 1e300, "CRPIX1": 1e300},
        "huger": {"CD1_1": "1E308", "CD2_2": "1E308", "CRPIX1": "-1E308", "CRVAL1": "1E308"},
        "infinite": {"CRVAL1": "1E999"},
        "nan": {"CRVAL1": "NaN"},
        "text": {"CRVAL1": "'here'"},
        "tiny": {"CD1_1": 1e-320, "CD2_2": 1e-320},
        "pole": {"CRVAL2": 90.0},
        "beyond": {"CRVAL2": 1234.5, "CRVAL1": -9e9},
        "sip": {"CTYPE1": "'RA---TAN-SIP'", "CTYPE2": "'DEC--TAN-SIP'", "A_ORDER": 99},
        "sip-half": {"CTYPE1": "'RA---TAN-SIP'", "A_ORDER": 2},
        "unknown": {"CTYPE1": "'RA---XYZ'", "CTYPE2": "'DEC--XYZ'"},
        "unit": {"CUNIT1": "'furlong'", "CUNIT2": "'fortnight'", "RADECSYS": "'FK9'", "EQUINOX": "'J'"},
        "swapped": {"CTYPE1": "'DEC--TAN'", "CTYPE2": "'RA---TAN'"},
        "twice": {"CTYPE2": "'RA---TAN'"},
        "pc-and-cd": {"PC1_1": 1.0, "CDELT1": 1.0, "CROTA2": 45.0},
        "rotation": {**no_matrix, "CDELT1": 1e200, "CDELT2": 1.0, "CROTA2": 1e300},
        "no-matrix": no_matrix,
    }  # fmt: skip
    for name, change in changes.items():
        values = {**wcs, **change}
        cards, data = parts(frame)
        cards += [card(key, value) for key, value in values.items() if value is not None]
        yield Bad(f"wcs-{name}.fits", joined(cards, data))
    for value in ("NaN", "1E999", "-1E308", "'99 99 99'", "'-0'", "'91 N'", "'W'", "T", "''", "9" * 60):
        cards, data = parts(frame)
        cards = [c for c in cards if not c.startswith((b"SITELAT", b"SITELONG", b"SITEELEV", b"AIRMASS"))]
        for key in ("SITELAT", "SITELONG", "SITEELEV", "OBJCTRA", "OBJCTDEC", "OBJCTALT", "OBJCTHA", "LST", "ST", "HA",
                    "AIRMASS", "OBSGEO-L", "EGAIN", "RDNOISE", "SATURATE", "APTDIA", "FOCALLEN"):  # fmt: skip
            cards.append(card(key, value))
        yield Bad(f"place-{value.replace(chr(39), '')}.fits", joined(cards, data))


def pixels(frame: bytes, rng: random.Random) -> Iterator[Bad]:
    """Write pixels that are no numbers, no sky, or all alike."""
    image = image_of(frame).astype(float)
    height, width = image.shape
    noise = np.random.default_rng(rng.randrange(2**32))
    some = noise.random(image.shape) < 0.01
    y, x = np.mgrid[:height, :width]

    def like(value: float, where: Any = True) -> np.ndarray:
        return np.where(where, value, image)

    for kind, limit in ((">f4", 3.4e38), (">f8", 1.79e308)):
        cases = {
            "plain": (image, False),
            "nan-some": (like(np.nan, some), True),
            "nan-half": (like(np.nan, x < width // 2), True),
            "nan-all": (like(np.nan), True),
            "nan-but-one": (like(np.nan, (x != 9) | (y != 9)), True),
            "inf-some": (like(np.inf, some), True),
            "inf-both": (np.where(some, np.where(x % 2, np.inf, -np.inf), image), True),
            "inf-all": (like(np.inf), True),
            "huge-some": (like(limit, some), False),
            "huge-both": (np.where(some, np.where(x % 2, limit, -limit), image), False),
            "huge-all": (like(limit), True),
            "huge-noise": (noise.uniform(-limit / 2, limit / 2, image.shape) * 2, False),
            "huge-negative": (like(-limit, ~some), False),
            "huge-scaled": (image * (limit / 70_000), False),
            "denormal": (noise.integers(0, 50, image.shape) * (1e-45 if kind == ">f4" else 5e-324), False),
            "tiny-scaled": (image * (1e-42 if kind == ">f4" else 1e-320), False),
            "zero": (like(0.0), True),
            "minus": (-image, False),
            "steps": (x // 8 * 1000.0 + y // 8 * 777.0, False),
            "chess": ((x + y) % 2 * 60_000.0, False),
            "grid": ((x % 3 == 1) * (y % 3 == 1) * 60_000.0, False),
            "plateau": (np.where((x - 50) ** 2 + (y - 40) ** 2 < 900, 65_535.0, image), False),
            "gradient": (x * 1e6 + y, False),
        }
        for name, (values, flagged) in cases.items():
            data = padded(values.astype(kind).tobytes())
            bad = with_cards(frame, data, BITPIX=-8 * int(kind[2]), BZERO=None, BSCALE=None)
            yield Bad(f"pixels-{kind[1:]}-{name}.fits", bad, flagged=flagged)
    for name, value in (("zero", 0), ("full", 65_535), ("middle", 32_768), ("one", 1)):
        data = padded(np.full(image.shape, value ^ 0x8000, ">u2").tobytes())
        yield Bad(f"pixels-u2-{name}.fits", with_cards(frame, data), flagged=True)
    for bits, kind in ((8, "u1"), (16, ">i2"), (32, ">i4"), (64, ">i8")):
        info = np.iinfo(kind)
        values = noise.integers(info.min, info.max, image.shape, kind.strip(">"), endpoint=True).astype(kind)
        for zero in (0, {8: -128}.get(bits, 2 ** (bits - 1))):
            cards = {"BITPIX": bits, "BZERO": zero, "BSCALE": 1}
            yield Bad(f"pixels-noise-{bits}-{zero}.fits", with_cards(frame, padded(values.tobytes()), **cards))


def scalings(frame: bytes, rng: random.Random) -> Iterator[Bad]:
    """Write nonsense about what the stored pixels mean."""
    for value, reason, flagged in (
        ("NaN", "^B.* = NaN is not a number", False),
        ("1E999", "^B.* = inf is not a finite number", False),
        ("-1E999", "^B.* = -inf is not a finite number", False),
        ("9" * 69, None, False),
        ("1E300", None, False),
        ("-1E300", None, False),
        ("1E-300", None, False),
        ("-1", None, False),
        ("0.5", None, False),
        ("'a lot'", "^B.* = a lot is not a number", False),
        ("T", "^B.* = True is not a number", False),
    ):
        name = value.replace("'", "")[:20]
        yield Bad(f"scale-bzero{name}.fits", with_cards(frame, BZERO=value), reason, flagged)
        yield Bad(f"scale-bscale{name}.fits", with_cards(frame, BSCALE=value), reason, flagged)
        yield Bad(f"scale-both{name}.fits", with_cards(frame, BSCALE=value, BZERO=value), reason, flagged)
    yield Bad("scale-zero.fits", with_cards(frame, BSCALE=0), "^BSCALE = 0 leaves nothing")
    middle = int(np.median(image_of(frame))) - 32768
    for value in (0, middle, -32768, 32767, 32768, -(2**31), 2**63, 10**60):
        yield Bad(f"blank-{value}.fits", with_cards(frame, BLANK=value))
        yield Bad(f"blank-scaled-{value}.fits", with_cards(frame, BLANK=value, BSCALE=0.1))
    yield Bad("blank-real.fits", with_cards(frame, BLANK=0.5), "^BLANK = 0.5 is not a whole number")
    yield Bad("blank-text.fits", with_cards(frame, BLANK="'x'"), "^BLANK = x is not a whole number")


# --- units and compression --------------------------------------------------------------------------------------------
def units(frame: bytes, rng: random.Random) -> Iterator[Bad]:
    """Put the image elsewhere, or something else in its place."""
    image, header = image_of(frame), fits.Header.fromstring(b"".join(parts(frame)[0]))
    del header["BZERO"], header["BSCALE"]
    table = fits.BinTableHDU.from_columns([fits.Column("t", "J", array=np.arange(50))])
    first = fits.PrimaryHDU(header=header)
    cube = r"^not one plane of pixels but \d+: colour images and cubes must be split$"
    yield Bad("unit-cube.fits", written(fits.PrimaryHDU(np.stack([image] * 4), header)), cube)
    yield Bad("unit-rgb.fits", written(fits.PrimaryHDU(np.stack([image] * 3, axis=-1), header)), cube)
    yield Bad("unit-4d.fits", written(fits.PrimaryHDU(image[None, None], header)))
    yield Bad("unit-1d.fits", written(fits.PrimaryHDU(image[0], header)), "^no image in the file$")
    yield Bad("unit-table.fits", written(first, table), "^no image in the file$")
    yield Bad("unit-ascii.fits", written(first, fits.TableHDU.from_columns(table.columns)), "^no image in the file$")
    yield Bad("unit-tables.fits", written(first, *[table] * 300), "^no image in the file$")
    yield Bad("unit-none.fits", written(first), "^no image in the file$")
    yield Bad("unit-extension.fits", written(first, fits.ImageHDU(image)))
    yield Bad("unit-behind-table.fits", written(first, table, fits.ImageHDU(image)))
    yield Bad("unit-two.fits", written(fits.PrimaryHDU(image, header), fits.ImageHDU(image), table))
    whole = written(first, table, fits.ImageHDU(image))
    for i in range(6):
        yield Bad(f"unit-cut-{i}.fits", whole[: rng.randrange(len(whole) - len(image) * 2)], f"{_TRUNCATED}|^no image")
    yield Bad("unit-lost.fits", whole.replace(b"PCOUNT  =                    0", b"PCOUNT  =            123456789", 1),
              "^no image in the file$")  # fmt: skip
    yield Bad("unit-behind.fits", frame + rng.randbytes(100_001))
    groups = with_cards(frame, NAXIS1=0, GROUPS="T", GCOUNT=5, PCOUNT=3)
    yield Bad("unit-groups.fits", groups, "^an image of 0×")


def compressed(frame: bytes, rng: random.Random) -> Iterator[Bad]:
    """Compress, and damage what comes of it."""
    image, header = image_of(frame), fits.Header.fromstring(b"".join(parts(frame)[0]))
    for key in ("BZERO", "BSCALE"):
        del header[key]
    damaged_gzip = "^(the compressed file is damaged|the file is truncated|not a FITS file|the header has no end)"
    packed = gzip.compress(frame, 1, mtime=0)
    yield Bad("gzip.fits.gz", packed)
    for i in range(8):
        yield Bad(f"gzip-cut-{i}.fits.gz", packed[: rng.randrange(2, len(packed) - 8)], damaged_gzip)
    for i in range(8):
        wrong = bytearray(packed)
        wrong[rng.randrange(10, len(wrong) - 8)] ^= 1 << rng.randrange(8)
        yield Bad(f"gzip-flip-{i}.fits.gz", bytes(wrong))
    yield Bad("gzip-crc.fits.gz", packed[:-8] + b"1234" + packed[-4:])
    yield Bad("gzip-behind.fits.gz", packed + rng.randbytes(5000))
    yield Bad("gzip-of-gzip.fits.gz", gzip.compress(packed, 1, mtime=0), "^not a FITS file")
    yield Bad("gzip-none.fits.gz", gzip.compress(b"", mtime=0), "^(not a FITS file|the compressed file is damaged)")
    yield Bad("gzip-magic.fits.gz", b"\x1f\x8b", damaged_gzip)
    yield Bad("gzip-member.fits.gz", gzip.compress(frame[:5000], 1, mtime=0) + gzip.compress(frame[5000:], 1, mtime=0))
    zeros = gzip.compress(bytes(1 << 24), 9, mtime=0)
    many = zeros * 128  # 2 GiB in 2 MB
    for name, cards, reason in (
        ("none", {"NAXIS": 0}, "^no image in the file"),
        ("behind-none", {"NAXIS": 1, "NAXIS1": 10**15}, "^no image in the file"),
        ("image", {"NAXIS1": 32_768, "NAXIS2": 8192}, "^its size is 32768×8192"),
        ("too-large", {"NAXIS1": 32_768, "NAXIS2": 30_000, "BITPIX": -64}, "^the file is truncated"),
        ("behind", {}, None),
    ):
        start = gzip.compress(with_cards(frame, **cards), 1, mtime=0)
        yield Bad(f"bomb-{name}.fits.gz", start + (many if name != "too-large" else zeros), reason)
    endless = gzip.compress(b"".join(parts(frame)[0]) + b" " * (1 << 24), 9, mtime=0)
    yield Bad("bomb-header.fits.gz", endless + many, "^the header has no end")
    for kind in ("RICE_1", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS"):
        plain = (image >> 1).astype("i2") if kind != "PLIO_1" else (image & 0xFFF).astype("i2")
        whole = written(fits.PrimaryHDU(), fits.CompImageHDU(plain, header, compression_type=kind))
        if kind in ("PLIO_1", "HCOMPRESS_1"):
            yield Bad(f"tile-{kind}.fits.fz", whole, f"^tiles of the kind {kind} are not read: expand the file first")
            continue
        yield Bad(f"tile-{kind}.fits.fz", whole)
        start = whole.index(b"XTENSION")
        data = start + (whole[start:].index(b"END" + b" " * 77) // BLOCK + 1) * BLOCK
        for i in range(10):
            wrong = bytearray(whole)
            for _ in range(rng.choice([1, 5, 200])):
                wrong[rng.randrange(data, len(whole))] = rng.randrange(256)
            yield Bad(f"tile-{kind}-flip-{i}.fits.fz", bytes(wrong))
        for i in range(6):
            wrong = bytearray(whole)
            for _ in range(3):
                wrong[rng.randrange(start, data)] ^= 1 << rng.randrange(8)
            yield Bad(f"tile-{kind}-header-{i}.fits.fz", bytes(wrong))
        for key, value in (("ZNAXIS1", 30_000), ("ZTILE1", 0), ("ZTILE1", -5), ("ZTILE2", 10**9), ("ZBITPIX", -64),
                           ("ZBITPIX", 7), ("ZCMPTYPE", "'NONE'"), ("ZIMAGE", "F"), ("PCOUNT", 0), ("TFIELDS", 0),
                           ("NAXIS2", 1), ("THEAP", 10**12), ("ZBLANK", 5), ("ZNAXIS", 3)):  # fmt: skip
            wrong = bytearray(whole)
            at = whole.find(key.encode().ljust(8) + b"=", start, data)
            if at < 0:
                continue
            wrong[at : at + CARD] = card(key, value)
            yield Bad(f"tile-{kind}-{key}-{str(value).strip(chr(39))}.fits.fz", bytes(wrong))
        yield Bad(f"tile-{kind}-cut.fits.fz", whole[: len(whole) - BLOCK * 3], "^the file is truncated")
        if kind.startswith(("RICE", "GZIP")):
            yield from short_tiles(kind, whole, data)
        if kind == "RICE_1":
            yield Bad("tile-in-gzip.fits.gz", gzip.compress(whole, 1, mtime=0), "^a compressed image in a compressed")


def short_tiles(kind: str, whole: bytes, data: int) -> Iterator[Bad]:
    """Say of tiles that they are shorter, or elsewhere, or of other pixels than they are; or make them expand."""
    no = "^the compressed image cannot be decoded$"
    header = fits.Header.fromstring(whole[whole.index(b"XTENSION") : data])
    heap = data + header["NAXIS1"] * header["NAXIS2"]
    length, at = struct.unpack(">ii", whole[data : data + 8])

    def with_first(n: int, offset: int) -> bytes:
        return whole[:data] + struct.pack(">ii", n, offset) + whole[data + 8 :]

    for n, offset in ((1, at), (length // 2, at), (length, at + 1), (-1, at), (length, -5), (2**31 - 1, 0), (0, 0)):
        yield Bad(f"tile-{kind}-first-{n}-{offset}.fits.fz", with_first(n, offset), no)
    yield Bad(f"tile-{kind}-zeros.fits.fz", whole[:heap] + bytes(len(whole) - heap), no)
    if kind == "RICE_1":
        for name, values in (("BYTEPIX", (0, 3, 8, 10**6, -2)), ("BLOCKSIZE", (0, -1, 2**31 - 1, 2**40))):
            at = next(i for i in (1, 2) if header[f"ZNAME{i}"] == name)
            for value in values:
                place = whole.index(f"ZVAL{at}   =".encode())
                wrong = whole[:place] + card(f"ZVAL{at}", value) + whole[place + CARD :]
                yield Bad(f"tile-{kind}-{name}-{value}.fits.fz", wrong, no if value != 2**31 - 1 else None)
    else:  # 64 MB, in the place of 600 bytes
        bomb = gzip.compress(bytes(1 << 26), 9, mtime=0)
        far = len(whole) - heap
        wrong = with_first(len(bomb), far) + bomb
        place = wrong.index(b"PCOUNT  =")
        wrong = wrong[:place] + card("PCOUNT", far + len(bomb)) + wrong[place + CARD :]
        yield Bad(f"tile-{kind}-bomb.fits.fz", padded(wrong), no)


def quantised(frame: bytes, rng: random.Random) -> Iterator[Bad]:
    """Compress floats, which are whole numbers then, with a seed for what was added to them."""
    image = image_of(frame).astype("f4") + np.float32(0.3)
    header = fits.Header.fromstring(b"".join(parts(frame)[0]))
    for key in ("BZERO", "BSCALE"):
        del header[key]
    for name, options in {
        "plain": {"quantize_method": -1},
        "dithered": {"quantize_method": 1, "dither_seed": 77},
        "zeros": {"quantize_method": 2, "dither_seed": 9999},
    }.items():
        tiles = fits.CompImageHDU(image, header, compression_type="RICE_1", quantize_level=16, **options)
        whole = written(fits.PrimaryHDU(), tiles)
        yield Bad(f"quantised-{name}.fits.fz", whole)
        for i in range(6):
            wrong = bytearray(whole)
            for _ in range(rng.choice([1, 20])):
                wrong[rng.randrange(whole.index(b"XTENSION"), len(whole))] = rng.randrange(256)
            yield Bad(f"quantised-{name}-{i}.fits.fz", bytes(wrong))
        for seed in (-5, 0, 10_001, 2**40) if name != "plain" else ():
            place = whole.index(b"ZDITHER0=")
            wrong = whole[:place] + card("ZDITHER0", seed) + whole[place + CARD :]
            yield Bad(f"quantised-{name}-seed-{seed}.fits.fz", wrong, "^the compressed image cannot be decoded$")


# --- what is no file --------------------------------------------------------------------------------------------------
#: Names that a project can hold, and that are hard on terminals, shells, formats and patterns.
NAMES = (
    *("new\nline.fits", "-p.fits", "--help.fits", "quote'\".fits", "%s%n{0}.fits", "\x1b[31mred.fits", "*.fits"),
    *("[a].fits", "blank .fits", "größe \u202e.fits", "a" * 250 + ".fits", "~.fits", "$HOME.fits", "a;b|c&d.fits"),
)
#: One that it cannot.
NO_TEXT = b"no\xfftext.fits"


def odd_places(folder: Path, frame: bytes) -> dict[str, str]:
    """Make what is called like a frame and is none, or has a long tail; gives names and patterns of the reasons."""
    os.mkfifo(folder / "pipe.fits")
    here = socket.socket(socket.AF_UNIX)
    there = os.open(folder, os.O_RDONLY)
    try:
        here.bind(f"/proc/self/fd/{there}/socket.fits")  # by a path that is short enough
    finally:
        os.close(there)
        here.close()
    (folder / "sparse.fits").write_bytes(frame)
    os.truncate(folder / "sparse.fits", 1 << 29)  # nothing but zeros behind the image, which take no room
    (folder / "device.fits").symlink_to("/dev/zero")
    (folder / "null.fits").symlink_to("/dev/null")
    (folder / "loop.fits").symlink_to("pool.fits")
    (folder / "pool.fits").symlink_to("loop.fits")
    (folder / "self.fits").symlink_to("self.fits")
    (folder / "dangling.fits").symlink_to("nowhere.fits")
    (folder / "folder.fits").mkdir()
    (folder / "folder.fits" / "inside.fits").write_bytes(frame)
    (folder / "to-folder.fits").symlink_to("folder.fits")
    no_file = "^a folder or a device, not a file$"
    loop = "^the file cannot be read: Too many levels of symbolic links$"
    return {
        **dict.fromkeys(("pipe.fits", "socket.fits", "device.fits", "null.fits"), no_file),
        **dict.fromkeys(("loop.fits", "pool.fits", "self.fits"), loop),
        "dangling.fits": "^the file does not exist",
    }


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Damage any file once more, at random: for loops that have no end."""
    wrong = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(max(len(wrong), 1))
        match rng.randrange(6):
            case 0:
                wrong[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del wrong[at : at + rng.choice([1, CARD, BLOCK])]
            case 2:
                wrong[at:at] = rng.randbytes(rng.choice([1, CARD, 200]))
            case 3:
                n = rng.choice([CARD, 8, BLOCK])
                start = at // n * n
                other = rng.randrange(max(len(wrong), 1)) // n * n
                wrong[start : start + n] = wrong[other : other + n]
            case 4:
                start = min(at, BLOCK) // CARD * CARD + 10
                value = rng.choice(["-1", "0", "1E300", "1E999", "NaN", "T", "'x'", "2147483648", "9" * 30, "0.5", "2"])
                wrong[start : start + 20] = value.rjust(20).encode()
            case _:
                special = rng.choice([b"\x7f\x80\0\0", b"\xff\x80\0\0", b"\x7f\xc0\0\0", b"\x7f\x7f\xff\xff", bytes(4)])
                wrong[at // 4 * 4 : at // 4 * 4 + 4] = special
    return bytes(wrong)
