"""The frames on disk: which files are meant, their headers, whole arrays, and cut-outs around positions.

Together with `photdb.fits` and `photdb.tiles`, whose face it is, this is the only module that reads FITS. Frames are
opened read-only and never changed. Pixels are read in one go together with the digest of the file's bytes, cut-outs by
the rows they lie in. A file that changes meanwhile is never half believed: it is an `UnreadableError`. (Mapping the
file would be no faster, and end the process where somebody cuts it short.) Whatever is wrong with a file is a
`FrameError`, whose message is the readable reason without the path.
"""

import contextlib
import glob
import io
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from photdb.algorithms import frame_kernels
from photdb.errors import PhotdbError, UnreadableError
from photdb.fits import LAYOUT, STORED, HeaderRead, check_unchanged, expand, header_of, opened, read_header
from photdb.wording import named

__all__ = ["FrameReader", "HeaderRead", "content_crc32", "find_frames", "read_header", "read_pixels"]

_CHUNK: Final = 1 << 15
_BEHIND: Final = 1 << 18
#: No detector counts as far (ADU): what is larger is damage, and the sums and squares of it would overflow.
_MOST_ADU: Final = 1e15
#: FITS has one signedness per size of integer, and writes the other with this BZERO: one bit of a pixel is flipped.
_FLIPPED: Final = {(8, -(2.0**7)): "i1", (16, 2.0**15): "u2", (32, 2.0**31): "u4", (64, 2.0**63): "u8"}
_EXTENSION: Final = re.compile(r"(\.(fit|fits|fts)(\.(gz|fz))?|\.fz)$", re.IGNORECASE)


def find_frames(inputs: Iterable[str | Path]) -> list[Path]:
    """Find the frames that a user means by files, folders and patterns.

    A folder stands for the files in it (not in its subfolders, nor hidden ones) called `.fit`, `.fits` or `.fts` in any
    case, also with `.gz` or `.fz` behind, or `.fz`. A pattern stands for what a shell would have made of it. A file
    that is named is taken whatever its extension.

    Parameters
    ----------
    inputs : iterable of str or Path
        What the user gave.

    Returns
    -------
    list of Path
        Absolute paths, symbolic links kept, each once, sorted.

    Raises
    ------
    PhotdbError
        If one of the inputs stands for nothing.
    """
    found: set[Path] = set()
    for given in map(str, inputs):
        is_pattern = glob.has_magic(given) and not os.path.lexists(given)
        matches = sorted(glob.glob(given)) if is_pattern else [given]
        frames = [frame for match in matches for frame in _frames_at(Path(os.path.abspath(match)))]
        if not frames and os.path.isdir(given):
            raise PhotdbError(f"the folder {named(given)} holds no frames (.fit, .fits or .fts, also with .gz or .fz)")
        if not frames:
            raise PhotdbError(f"no file, folder or match for {named(given)}")
        found.update(frames)
    return sorted(found)


def _frames_at(path: Path) -> list[Path]:
    if path.is_dir():
        return [p for p in path.iterdir() if _EXTENSION.search(p.name) and p.name[0] != "." and not p.is_dir()]
    return [path] if os.path.lexists(path) else []


def read_pixels(path: str | Path) -> tuple[NDArray[Any], int, int, int]:
    """Read the pixels of a frame, in one read of the file.

    Integers stay integers of their own size (unsigned ones included) unless they are scaled or some are `BLANK`:
    those become float32 if they have 8 or 16 bits, float64 if they have more, with NaN for `BLANK`. Floats of more
    than 1e15 ADU in size are NaN: they are damage.

    Parameters
    ----------
    path : str or Path
        As for `read_header`.

    Returns
    -------
    pixels : ndarray, shape (height_px, width_px)
        In native byte order, indexed ``[y, x]``, in ADU; the caller may change them.
    content_crc32 : int
        Over all bytes of the file as it is stored.
    size_bytes, mtime_ns : int
        Of the descriptor that was read.

    Raises
    ------
    FrameError
        As for `read_header`; also if the compressed data are damaged.
    """
    with opened(path) as (file, status):
        header = header_of(file, status, LAYOUT)
        content = _content(file, status, header)
        crc = crc32(content)  # before the pixels among the bytes are changed in place
        while chunk := file.read(_BEHIND):  # what is behind the image is never held in memory
            crc = crc32(chunk, crc)
        check_unchanged(file, status)
        pixels = _physical(_stored(content, header), header)
    return pixels, crc, status.st_size, status.st_mtime_ns


def content_crc32(path: str | Path) -> tuple[int, int, int]:
    """Take the digest of a file's bytes.

    Parameters
    ----------
    path : str or Path
        Any file that is not empty.

    Returns
    -------
    crc32, size_bytes, mtime_ns : int
        Of the descriptor that was read.

    Raises
    ------
    FrameError
        If the file cannot be read.
    """
    crc = 0
    with opened(path) as (file, status):
        while chunk := file.read(1 << 18):
            crc = crc32(chunk, crc)
        check_unchanged(file, status)
    return crc, status.st_size, status.st_mtime_ns


class FrameReader:
    """A frame opened for cut-outs: only the rows asked for are read, unless the file is compressed.

    Use it as a context manager; `cutouts` raises `UnreadableError` where the file was changed meanwhile.

    Parameters
    ----------
    path : str or Path
        As for `read_header`.

    Attributes
    ----------
    width_px, height_px : int
        Of the image.
    size_bytes, mtime_ns : int
        Of the descriptor that is read.

    Raises
    ------
    FrameError
        As for `read_pixels`.
    """

    def __init__(self, path: str | Path) -> None:
        self._open = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self._file, self._status = stack.enter_context(opened(path))
            self._header = header = header_of(self._file, self._status, LAYOUT)
            if header.compression == "none":
                self._pixels = np.empty((header.height_px, header.width_px), STORED[header.bitpix])
            else:
                self._pixels = _stored(_content(self._file, self._status, header), header)
            self._open = stack.pop_all()
        self.width_px, self.height_px = header.width_px, header.height_px
        self.size_bytes, self.mtime_ns = header.size_bytes, header.mtime_ns

    def cutouts(self, x_px: NDArray[np.integer[Any]], y_px: NDArray[np.integer[Any]], half: int) -> NDArray[Any]:
        """Cut squares out of the frame.

        Parameters
        ----------
        x_px, y_px : ndarray of int, shape (n,)
            The central pixels; they may lie off the frame.
        half : int
            Number of pixels on each side of the central one.

        Returns
        -------
        ndarray of float32 or float64, shape (n, 2 half + 1, 2 half + 1)
            Indexed ``[n, y, x]``; NaN off the frame, for `BLANK` and beyond 1e15 ADU in size. float32 for pixels of 8
            and 16 bits (exact unless they are scaled) and for float32 ones, else float64.
        """
        size = 2 * half + 1
        x_px, y_px = np.asarray(x_px, np.int64), np.asarray(y_px, np.int64)
        left, low = x_px - half, y_px - half
        inside = (left >= 0) & (low >= 0) & (left + size <= self.width_px) & (low + size <= self.height_px)
        # Squares that overlap so much that they hold more pixels than the frame: each pixel is scaled once.
        crowded = inside.size * size**2 > self._pixels.size
        if self._header.compression == "none":
            self._read_rows([0] if crowded else sorted(low.tolist()), self.height_px if crowded else size)
        frame = _scaled(self._pixels, self._header) if crowded else self._pixels
        # A view of all squares that there are: numpy then copies the rows of those asked for.
        view = np.lib.stride_tricks.sliding_window_view
        if inside.all() and inside.size:
            squares = view(frame, (size, size))[low, left]
            return squares if crowded else _scaled(squares, self._header)
        squares = np.zeros((inside.size, size, size), frame.dtype)
        if inside.any():
            squares[inside] = view(frame, (size, size))[low[inside], left[inside]]
        outside = np.flatnonzero(~inside)
        for i, x, y in zip(outside.tolist(), left[outside].tolist(), low[outside].tolist(), strict=True):
            part = frame[max(y, 0) : max(y + size, 0), max(x, 0) : max(x + size, 0)]
            squares[i, max(-y, 0) :, max(-x, 0) :][: part.shape[0], : part.shape[1]] = part
        pixels = squares if crowded else _scaled(squares, self._header)
        x, y = left[outside, None] + np.arange(size), low[outside, None] + np.arange(size)
        off_x, off_y = (x < 0) | (x >= self.width_px), (y < 0) | (y >= self.height_px)
        pixels[outside] = np.where(off_y[:, :, None] | off_x[:, None, :], np.nan, pixels[outside])
        return pixels

    def _read_rows(self, first: list[int], n_rows: int) -> None:
        """Read the rows of squares that begin at some rows, ascending."""
        row_bytes = self._pixels.strides[0]
        content: Any = memoryview(self._pixels.view(np.uint8).reshape(-1))  # type: ignore[arg-type]
        done = 0
        try:
            for row in first:
                start = max(row, done)
                done = max(min(row + n_rows, self.height_px), done)
                place = content[start * row_bytes : done * row_bytes]
                if place:
                    self._file.seek(self._header.data_offset + start * row_bytes)
                while place and (n := self._file.readinto(place)):
                    place = place[n:]
        except OSError as error:
            raise UnreadableError(f"the file cannot be read: {error.strerror or error}") from error
        check_unchanged(self._file, self._status)

    def rows(self, first: int, after: int) -> NDArray[Any]:
        """Give whole rows of the frame as floats, those from `first` to before `after`, as `cutouts` does."""
        if self._header.compression == "none":
            self._read_rows([first], after - first)
        return _scaled(self._pixels[first:after], self._header)

    def close(self) -> None:
        """Close the frame; its cut-outs stay."""
        self._pixels = np.empty((0, 0))
        self._open.close()

    def __enter__(self) -> Self:
        """Give the open frame."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the frame."""
        self.close()


def _content(file: io.FileIO, status: os.stat_result, header: HeaderRead) -> NDArray[np.uint8]:
    """Read a file up to the end of its image; of a gzip file no more than the image could need."""
    file.seek(0)
    # Without compression to speak of, gzip adds less than a thousandth.
    end = header.data_end + (header.data_end // 1000 + (1 << 16) if header.compression == "gzip" else 2880)
    n = min(end, status.st_size)
    content = np.fromfile(file, np.uint8, n)
    if content.size != n:
        raise UnreadableError("the file was changed while it was read")
    return content


def _view(content: Any, header: HeaderRead) -> NDArray[Any]:
    shape = (header.height_px, header.width_px)
    return np.frombuffer(content, STORED[header.bitpix], math.prod(shape), header.data_offset).reshape(shape)


def _stored(content: Any, header: HeaderRead) -> NDArray[Any]:
    """Give the pixels as they are stored: not yet scaled, perhaps in the other byte order."""
    if header.compression == "none":
        return _view(content, header)
    if header.compression == "gzip":
        return _view(expand(io.BytesIO(content), header), header)
    from photdb.tiles import decode_tiles

    return decode_tiles(content, header)


def _physical(stored: NDArray[Any], header: HeaderRead) -> NDArray[Any]:
    """Turn stored pixels into those that are meant, in place where their size stays."""
    flipped = _FLIPPED.get((header.bitpix, header.bzero))
    if header.bscale != 1 or (header.bzero != 0 and flipped is None) or _has_blank(stored, header):
        return _scaled(stored, header)
    pixels = stored.view(stored.dtype.newbyteorder("="))
    flip = 0 if flipped is None else 1 << (header.bitpix - 1)
    if pixels.dtype != stored.dtype and header.bitpix == 16:  # nearly all cameras
        frame_kernels.swap_bytes(pixels.reshape(-1).view(np.uint16), flip)
        flip = 0
    elif pixels.dtype != stored.dtype:
        # Touching fresh memory costs as much as reading the file, and byteswap() is slow: copy in place, through a
        # buffer in the cache.
        flat, swapped = pixels.reshape(-1), stored.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            flat[start : start + _CHUNK] = swapped[start : start + _CHUNK]
    if flip:
        pixels ^= np.array(flip, f"u{pixels.itemsize}").view(pixels.dtype)
    if flipped is not None:
        return pixels.view(flipped)
    return _possible(pixels) if pixels.dtype.kind == "f" else pixels


def _scaled(stored: NDArray[Any], header: HeaderRead) -> NDArray[Any]:
    """Turn stored pixels into new floats."""
    pixels: NDArray[Any] = stored.astype(_float(header))
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is infinite, and flagged like that
        if header.bscale != 1:
            pixels *= header.bscale
        if header.bzero != 0:
            pixels += header.bzero
    if _has_blank(stored, header):
        pixels[stored == header.blank] = np.nan
    kind = (header.bitpix, header.bzero)
    whole = header.bitpix > 0 and header.bscale == 1 and (header.bzero == 0 or kind in _FLIPPED)
    return pixels if whole else _possible(pixels)


def _possible(pixels: NDArray[Any]) -> NDArray[Any]:
    """Put NaN, in place, for what no detector can have counted."""
    if pixels.size:
        with np.errstate(invalid="ignore"):
            low, high = pixels.min(), pixels.max()
        if not (low >= -_MOST_ADU and high <= _MOST_ADU):  # or there is a NaN, which hides the others
            pixels[np.abs(pixels) > _MOST_ADU] = np.nan
    return pixels


def _float(header: HeaderRead) -> type[np.floating[Any]]:
    return np.float64 if header.bitpix in (32, 64, -64) else np.float32


def _has_blank(stored: NDArray[Any], header: HeaderRead) -> bool:
    if header.blank is None or stored.dtype.kind == "f":
        return False
    info = np.iinfo(stored.dtype)  # a value that no pixel can have is no reason to compare them all
    return info.min <= header.blank <= info.max and bool((stored == header.blank).any())
