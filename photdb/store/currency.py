"""What is up to date is computed, never stored as a flag: each unit's row carries a digest of all it was made from."""

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NAN = struct.pack("<d", np.nan)


def digest(*parts: Any) -> int:
    """Digest values to 64 bits of BLAKE2b, as a signed integer that SQLite can keep.

    Parameters
    ----------
    *parts : None, bool, int, float, str, bytes, numpy array, or a sequence or mapping of these
        Every value counts with its type and place; all NaNs are one, and so are 0.0 and -0.0.

    Raises
    ------
    TypeError
        A part is of another type.
    """
    return int.from_bytes(hashlib.blake2b(_encode(parts), digest_size=8).digest(), "big", signed=True)


class Encoded(bytes):
    """A part that was encoded once, for many digests; `digest` takes it for the part itself."""


def encoded(part: Any) -> Encoded:
    """Encode a part that many digests share."""
    return Encoded(_encode(part))


def digests(common: Sequence[Any], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Digest each row of an array together with what all rows have in common; fast for many rows.

    Parameters
    ----------
    common : sequence
        As for `digest`.
    values : ndarray (n, k)
        One row a unit.

    Returns
    -------
    ndarray (n,)
        Equal to nothing that `digest` gives, but as good for comparing.
    """
    return grouped_digests([common], values[None]).reshape(-1)


def grouped_digests(common: Sequence[Sequence[Any]], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Do as `digests` does for many groups of rows at once.

    Parameters
    ----------
    common : sequence of sequences (m,)
        What the rows of each group have in common.
    values : ndarray (m, n, k)
        Groups of rows.

    Returns
    -------
    ndarray (m, n)
        A group's are those that `digests` gives.
    """
    raw = _canonical(values).tobytes()
    m, n, k = values.shape
    size, out = k * 8, []
    for group in range(m):
        keyed = hashlib.blake2b(digest_size=8, key=struct.pack(">q", digest(common[group]))).copy
        for i in range(group * n * size, (group + 1) * n * size, size):
            row = keyed()  # cheaper than to begin again with the key
            row.update(raw[i : i + size])
            out.append(row.digest())
    return np.frombuffer(b"".join(out), ">i8").astype(np.int64).reshape(m, n)


def _encode(value: Any) -> bytes:
    # What the digest of a frame is mostly made of, without asking for all else first: there are thousands.
    kind = type(value)
    if kind is int:
        raw = b"%d" % value
        return b"i%d:%b" % (len(raw), raw)
    if kind is tuple or kind is list:
        return b"l%d:" % len(value) + b"".join([_encode(part) for part in value])
    if kind is Encoded:
        return bytes(value)
    if kind is float:
        return b"f" + (struct.pack("<d", value + 0.0) if value == value else _NAN)  # noqa: PLR0124
    match value:
        case None:
            return b"N"
        case bool() | np.bool_():
            return b"T" if value else b"F"
        case int() | np.integer():
            return _encode(int(value))
        case float() | np.floating():
            return _encode(float(value))
        case str():
            raw = value.encode()
            return b"s%d:" % len(raw) + raw
        case bytes():
            return b"b%d:" % len(value) + value
        case np.ndarray() if value.dtype.kind in "biuf":
            array = _canonical(value) if value.dtype.kind == "f" else np.ascontiguousarray(value)
            return f"a{array.dtype.str}{array.shape}".encode() + array.tobytes()
        case dict():
            return b"d" + _encode(sorted(value.items()))
        case list() | tuple():
            return _encode(list(value))
        case _:
            raise TypeError(f"cannot digest {type(value).__name__}")


def _canonical(values: NDArray[Any]) -> NDArray[np.float64]:
    array = np.array(values, "<f8", order="C")  # a copy: the caller's array stays as it is
    array[np.isnan(array)] = np.nan
    array[array == 0] = 0.0
    return array
