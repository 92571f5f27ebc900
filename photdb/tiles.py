"""Images in compressed tiles: decoded by astropy, once it is sure that its decoders find what they believe to find.

Those are C functions that read on where a damaged tile ends too soon, and expand whatever they are given; so each tile
is looked at first (FITS 4.0, section 10). Whatever is wrong is a `FrameError`.
"""

import io
import re
import warnings
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms import frame_kernels
from photdb.errors import FrameError
from photdb.fits import STORED, HeaderRead

_RICE: Final = ("RICE_1", "RICE_ONE")
_GZIP: Final = ("GZIP_1", "GZIP_2")
_DITHERED: Final = ("SUBTRACTIVE_DITHER_1", "SUBTRACTIVE_DITHER_2")
_DAMAGED: Final = "the compressed image cannot be decoded"
#: Bytes of a pixel before it is compressed, at most.
_WIDEST: Final = 8


def decode_tiles(content: NDArray[np.uint8], header: HeaderRead) -> NDArray[Any]:
    """Decode an image that is stored in compressed tiles.

    Parameters
    ----------
    content : array of uint8
        The file, as far as the image goes.
    header : HeaderRead
        Its header, with `compression` ``tile``.

    Returns
    -------
    ndarray, shape (height_px, width_px)
        The pixels as they would be stored without compression: not yet scaled, in FITS's byte order.

    Raises
    ------
    FrameError
        They cannot be decoded.
    """
    from astropy.io import fits

    file: Any = memoryview(content)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about cards that are none of our business here
        try:
            with fits.open(io.BytesIO(file), disable_image_compression=True, memmap=False) as hdus:
                if isinstance(hdus[header.hdu], fits.BinTableHDU):
                    _check(hdus[header.hdu], content, header)
            with fits.open(io.BytesIO(file), do_not_scale_image_data=True, memmap=False) as hdus:
                tiles = np.asarray(hdus[header.hdu].data)
            return tiles.astype(STORED[header.bitpix], casting="equiv").reshape(header.height_px, header.width_px)
        except (FrameError, MemoryError):
            raise
        except Exception as error:  # whatever astropy makes of damaged tiles
            raise FrameError(_DAMAGED) from error


def _check(table: Any, content: NDArray[np.uint8], header: HeaderRead) -> None:
    """See that each tile has as many pixels in it as its decoder will look for."""
    cards = table.header
    kind = str(cards["ZCMPTYPE"]).strip()
    settings: dict[str, Any] = {}
    for key, name in cards["ZNAME*"].items():
        settings.setdefault(str(name).strip().upper(), []).append(cards[key.replace("ZNAME", "ZVAL")])
    block, pixel_bytes = (_only(settings.get(name, [default])) for name, default in (("BLOCKSIZE", 32), ("BYTEPIX", 4)))
    seed = cards.get("ZDITHER0", 0)
    if kind in _RICE and (block < 1 or pixel_bytes not in (1, 2, 4)):
        raise FrameError(_DAMAGED)
    if cards.get("ZQUANTIZ") in _DITHERED and not 1 <= seed <= 10_000:  # a place in a table of random numbers
        raise FrameError(_DAMAGED)
    across, down = _only([cards.get("ZTILE1", header.width_px)]), _only([cards.get("ZTILE2", 1)])
    if across < 1 or down < 1:
        raise FrameError(_DAMAGED)
    columns = [_tiles_of(table, content, header, name) for name in ("COMPRESSED_DATA", "GZIP_COMPRESSED_DATA")]
    n_across = -(-header.width_px // across)
    for row in range(n_across * -(-header.height_px // down)):
        x, y = row % n_across * across, row // n_across * down
        n_pixels = min(across, header.width_px - x) * min(down, header.height_px - y)
        tile, other = (column[row] if column else b"" for column in columns)
        if len(tile) and kind in _RICE:
            whole = frame_kernels.rice_is_whole(np.frombuffer(tile, np.uint8), n_pixels, block, pixel_bytes)
        elif len(tile) and kind not in _GZIP:
            whole = len(tile) <= _WIDEST * n_pixels
        else:
            whole = _expands_to(bytes(tile if len(tile) else other), _WIDEST * n_pixels)
        if not whole:
            raise FrameError(_DAMAGED)


def _only(values: list[Any]) -> int:
    """Give the one whole number of a list."""
    if len(values) != 1 or isinstance(values[0], bool) or not isinstance(values[0], int):
        raise FrameError(_DAMAGED)
    return values[0]


def _tiles_of(table: Any, content: NDArray[np.uint8], header: HeaderRead, name: str) -> list[memoryview] | None:
    """Give the tiles of a column, all in the table's heap; None if there is no such column."""
    if name not in table.columns.names:
        return None
    if not re.match(r"1?[PQ]B", table.columns[name].format):
        raise FrameError(_DAMAGED)
    length = table.header["NAXIS1"] * table.header["NAXIS2"]
    start, end = table.header.get("THEAP", length), length + table.header["PCOUNT"]
    heap = memoryview(content)[header.data_offset :][:end][start:]  # type: ignore[arg-type]
    descriptors = table.data.view(np.ndarray)[name].astype(np.int64)
    if start < length or (descriptors < 0).any() or (descriptors.sum(axis=1) > len(heap)).any():
        raise FrameError(_DAMAGED)
    return [heap[at : at + n] for n, at in descriptors.tolist()]


def _expands_to(tile: bytes, most: int) -> bool:
    """Say whether a gzip stream is a whole one of not more than so many bytes."""
    if not tile:
        return True
    stream = zlib.decompressobj(31)
    expanded = stream.decompress(tile, most + 1)
    return len(expanded) <= most and stream.eof and not stream.unused_data.strip(b"\0")
