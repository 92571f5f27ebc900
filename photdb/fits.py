"""The layout of FITS files: opening them, their headers, and where the pixels are; `photdb.frames` has the rest.

Headers are read by a parser of our own, because what telescopes write must be understood rather than verified, and
because thousands are read at once. Whatever is wrong with a file is a `FrameError`, whose message is the readable
reason without the path.
"""

import gzip
import io
import math
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from photdb.algorithms.cards import CARD, Value, parse_cards
from photdb.errors import FrameError, UnreadableError
from photdb.wording import MISSING

Compression = Literal["none", "gzip", "tile"]

#: Type of the stored pixels by BITPIX.
STORED: Final = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}

#: What the keywords begin with that say where the pixels are and what they mean.
LAYOUT: Final = (
    *("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "BSCALE", "BZERO", "BLANK"),
    *("ZIMAGE", "ZCMPTYPE", "ZBITPIX", "ZNAXIS", "ZBLANK"),
)

#: Kinds of compressed tiles that are read. The decoders that there are for the others (HCOMPRESS_1, PLIO_1) believe
#: what damaged tiles say, and write where they should not.
_TILES: Final = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "NOCOMPRESS")
_BLOCK: Final = 2880
_FIRST_READ: Final = 10 * _BLOCK
_MAX_HEADER: Final = 2000 * _BLOCK
_MAX_PIXELS: Final = 1 << 30
#: Of a gzip file nothing behind is looked at for an image: a small file can expand to any length.
_MAX_EXPANDED: Final = 1 << 30
#: A byte of a gzip file stands for so many at most (RFC 1951: 258 for 2 bits).
_MAX_RATIO: Final = 1032
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class HeaderRead:
    """The header of a frame, and where its pixels are.

    Attributes
    ----------
    cards : dict
        Keyword (upper case) to value: the first of equals wins, an extension's card wins over the primary header's.
        Comments, history, blank and unreadable cards are left out; `HIERARCH` keywords come without that word. For a
        tile-compressed image, `BITPIX` and `NAXIS…` are the image's, not the table's.
    hdu : int
        Which header and data unit holds the image; 0 is the primary one.
    width_px, height_px, bitpix, bscale, bzero, blank
        Of the image, as FITS defines them.
    data_offset, data_end : int
        Bytes before the image's data and up to their end (in the expanded stream of a gzip file).
    compression : str
        ``none``, ``gzip`` (the whole file) or ``tile`` (FITS tiles in a table).
    header_crc32 : int
        Over the bytes of the primary header and, if that is another, of the image's.
    size_bytes, mtime_ns : int
        Of the file, from the descriptor that was read.
    """

    cards: dict[str, Value]
    hdu: int
    width_px: int
    height_px: int
    bitpix: int
    bscale: float
    bzero: float
    blank: int | None
    data_offset: int
    data_end: int
    compression: Compression
    header_crc32: int
    size_bytes: int
    mtime_ns: int


def read_header(path: str | Path) -> HeaderRead:
    """Read the header of the first image of a file.

    Parameters
    ----------
    path : str or Path
        A FITS file, plain or gzipped, its image in the primary unit or an extension, tile-compressed or not.

    Returns
    -------
    HeaderRead

    Raises
    ------
    FrameError
        If the file cannot be read, is not FITS, is truncated, or its first image is not one plane of pixels.
    """
    with opened(path) as (file, status):
        header = header_of(file, status)
        if header.compression == "gzip":
            # The last four bytes tell the length of the last gzip member, nearly always the only one. Where that does
            # not look like a whole image, only expanding the file can tell.
            file.seek(-4, os.SEEK_END)
            needed = header.data_end
            if not needed <= int.from_bytes(file.read(4), "little") <= 2 * needed:
                for _ in _expanded(file, header):  # nothing is kept: a small file may expand to gigabytes
                    pass
        return header


@contextmanager
def opened(path: str | Path) -> Iterator[tuple[io.FileIO, os.stat_result]]:
    """Open a file for reading, with its status; what the system says against it becomes a readable reason."""
    if "\0" in os.fspath(path):
        raise FrameError("no file can have this name")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
            raise FrameError("a folder or a device, not a file")
        with open(path, "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            try:
                if status.st_size == 0:
                    raise FrameError("the file is empty")
                yield file, status
            except FrameError as error:
                error.seen = (status.st_size, status.st_mtime_ns)
                raise
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                damaged = FrameError("the compressed file is damaged or truncated")
                damaged.seen = (status.st_size, status.st_mtime_ns)
                raise damaged from error
    except FileNotFoundError:
        raise UnreadableError(MISSING) from None
    except PermissionError:
        raise UnreadableError("no permission to read the file") from None
    except MemoryError:
        raise UnreadableError("there is not enough memory for its pixels") from None
    except OSError as error:
        raise UnreadableError(f"the file cannot be read: {error.strerror or error}") from error


def check_unchanged(file: io.FileIO, status: os.stat_result) -> None:
    """See that a file is still what it was when it was opened: a camera, say, may be writing it.

    Raises
    ------
    UnreadableError
        It is not.
    """
    now = os.fstat(file.fileno())
    if (now.st_size, now.st_mtime_ns) != (status.st_size, status.st_mtime_ns):
        raise UnreadableError("the file was changed while it was read")


def expand(file: io.FileIO | io.BytesIO, header: HeaderRead) -> bytearray:
    """Expand a gzip file as far as the image goes, however much there is behind."""
    expanded, at = bytearray(), 0
    for chunk in _expanded(file, header):
        expanded = expanded or bytearray(header.data_end)  # at once: growing would take twice the room
        expanded[at : at + len(chunk)] = chunk
        at += len(chunk)
    return expanded


def _expanded(file: io.FileIO | io.BytesIO, header: HeaderRead) -> Iterator[bytes]:
    """Expand a gzip file piece by piece as far as the image goes."""
    if header.data_end > _MAX_RATIO * header.size_bytes:
        raise FrameError(f"the file is truncated: its {header.size_bytes:,} bytes cannot hold {header.data_end:,}")
    file.seek(0)
    stream, left = gzip.GzipFile(fileobj=file), header.data_end
    while left:
        chunk = stream.read(min(_CHUNK, left))
        if not chunk:
            raise FrameError(f"the file is truncated: {header.data_end - left:,} of {header.data_end:,} bytes")
        left -= len(chunk)
        yield chunk
    stream.read(_BLOCK)  # where the file ends with the image, this compares gzip's own digest


def header_of(file: io.FileIO, status: os.stat_result, only: tuple[str, ...] = ("",)) -> HeaderRead:
    """Read the header of the first image of an open file, as `read_header`, but for whether a gzip file is whole.

    `only` as in `parse_cards`: the other cards are left out.
    """
    magic = file.read(2)
    file.seek(0)
    is_gzip = magic == b"\x1f\x8b"
    return _first_image(gzip.GzipFile(fileobj=file) if is_gzip else file, status, only, is_gzip=is_gzip)


def _first_image(
    file: io.FileIO | gzip.GzipFile, status: os.stat_result, only: tuple[str, ...], *, is_gzip: bool
) -> HeaderRead:
    """Read header after header up to the first image's."""
    block, data_offset = _header_block(file, 0)
    if not block.startswith(b"SIMPLE"):
        raise FrameError("not a FITS file")
    cards = primary = parse_cards(block, only)
    crc, hdu = zlib.crc32(block), 0
    while not _is_image(cards, hdu):
        offset = data_offset + -(-_data_bytes(cards) // _BLOCK) * _BLOCK
        here = offset < (_MAX_EXPANDED if is_gzip else status.st_size)
        block, data_offset = _header_block(file, offset) if here else (b"", 0)
        if not block:
            raise FrameError("no image in the file")
        cards, hdu = parse_cards(block, only), hdu + 1
    data_bytes = _data_bytes(cards)
    is_tiled = cards.get("ZIMAGE") is True
    if is_tiled:
        cards |= {key[1:]: value for key, value in cards.items() if re.fullmatch(r"Z(BITPIX|NAXIS\d*|BLANK)", key)}
    axes, bitpix = _axes(cards), _integer(cards, "BITPIX")
    if len(axes) < 2:
        raise FrameError(f"an image of {len(axes)} axes cannot be read")
    n_pixels = math.prod(axes[:2])
    if min(axes) <= 0 or n_pixels > _MAX_PIXELS:
        raise FrameError(f"an image of {'×'.join(map(str, axes))} pixels cannot be read")
    if math.prod(axes[2:]) != 1:
        raise FrameError(f"not one plane of pixels but {math.prod(axes[2:])}: colour images and cubes must be split")
    if bitpix not in STORED:
        raise FrameError(f"BITPIX = {bitpix} is not a kind of pixel that FITS knows")
    if is_tiled and (kind := str(cards.get("ZCMPTYPE")).strip()) not in _TILES:
        raise FrameError(f"tiles of the kind {kind} are not read: expand the file first, as funpack does")
    if is_tiled and is_gzip:
        raise FrameError("a compressed image in a compressed file: expand the file first, as gunzip does")
    header = HeaderRead(
        cards=primary | cards,
        hdu=hdu,
        width_px=axes[0],
        height_px=axes[1],
        bitpix=bitpix,
        bscale=_real(cards, "BSCALE", 1.0),
        bzero=_real(cards, "BZERO", 0.0),
        blank=_integer(cards, "BLANK") if "BLANK" in cards and bitpix > 0 else None,
        data_offset=data_offset,
        # Whatever the header says is behind the pixels, they themselves must be there.
        data_end=data_offset + (data_bytes if is_tiled else abs(bitpix) // 8 * n_pixels),
        compression="tile" if is_tiled else "gzip" if is_gzip else "none",
        header_crc32=zlib.crc32(block, crc) if hdu else crc,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
    )
    if header.bscale == 0:
        raise FrameError("BSCALE = 0 leaves nothing of the pixels")
    needed = max(header.data_end, data_offset + data_bytes)
    if not is_gzip and status.st_size < needed:
        raise FrameError(f"the file is truncated: {status.st_size:,} of {needed:,} bytes")
    return header


def _header_block(file: io.FileIO | gzip.GzipFile, offset: int) -> tuple[bytes, int]:
    """Read the header at an offset, with the offset of what follows it; nothing if the file ends before."""
    file.seek(offset)
    block, searched = b"", 0
    while len(block) < _MAX_HEADER:
        more = file.read(_FIRST_READ)
        block += more
        while (end := block.find(b"END", searched)) >= 0:
            searched = end + 1
            if end % CARD == 0 and not block[end + 3 : end + CARD].strip(b" \0"):
                blocks = end // _BLOCK + 1
                return block[: blocks * _BLOCK], offset + blocks * _BLOCK
        searched = max(len(block) - 2, 0)
        if not more or (offset == 0 and not block.startswith(b"SIMPLE")):
            break
    if offset == 0 and block.startswith(b"SIMPLE"):
        raise FrameError("the header has no end: the file is truncated or damaged")
    return (block, 0) if offset == 0 else (b"", 0)


def _is_image(cards: dict[str, Value], hdu: int) -> bool:
    kind = cards.get("XTENSION") if hdu else "IMAGE"
    return cards.get("ZIMAGE") is True or (kind == "IMAGE" and _integer(cards, "NAXIS") > 1)


def _axes(cards: dict[str, Value]) -> list[int]:
    return [_integer(cards, f"NAXIS{i + 1}") for i in range(min(_integer(cards, "NAXIS"), 999))]


def _data_bytes(cards: dict[str, Value]) -> int:
    """Length of a unit's data, without the padding behind."""
    axes = _axes(cards)
    size = abs(_integer(cards, "BITPIX")) // 8 * (_integer(cards, "PCOUNT", 0) + math.prod(axes)) if axes else 0
    return min(max(size, 0), 1 << 60)  # whatever a damaged header says, it does not lead backwards or to infinity


def _integer(cards: dict[str, Value], key: str, default: int | None = None) -> int:
    value = cards.get(key, default)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise FrameError(f"the header has no {key}" if value is None else f"{key} = {value} is not a whole number")
    return value


def _real(cards: dict[str, Value], key: str, default: float) -> float:
    value = cards.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FrameError(f"{key} = {value} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise FrameError(f"{key} = {value} is not a finite number")
    return number
