"""Where tables begin in a damaged file, told by the pages themselves: a page that fits, and that no other leads to.

A list of tables that is grafted onto a file (`photdb.store.graft`) says where each table begins in a new project. In
one that was migrated this holds for the tables of the first revision; those of later ones begin where there was room at
that time. (The file format is described at sqlite.org/fileformat2.html.)
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from sqlalchemy import Float, Integer, Table

_INDEX_INTERIOR: Final = 2
_INTERIOR: Final = 5
_INDEX_LEAF: Final = 10
_LEAF: Final = 13
_FAMILY: Final = {_INDEX_INTERIOR: "index", _INDEX_LEAF: "index", _INTERIOR: "table", _LEAF: "table"}
_DEEPEST: Final = 20


@dataclass(frozen=True, slots=True)
class Shape:
    """What the rows of a table look like in the file."""

    family: str  # of its pages: "index" where rows are kept by their key, without a number
    kinds: tuple[frozenset[str], ...]  # of the values of a row, in the order in which they stand
    measured: tuple[int, ...]  # places of values that are hardly all without a fraction; empty: there are none


def shape_of(table: Table) -> Shape:
    """Give what rows of a table look like in the file."""
    by_key = not table.dialect_options["sqlite"]["with_rowid"]
    keys = list(table.primary_key.columns)
    columns = [*keys, *(c for c in table.columns if not c.primary_key)] if by_key else list(table.columns)
    kinds = []
    for column in columns:
        if column.primary_key and not by_key and len(keys) == 1 and isinstance(column.type, Integer):
            kinds.append(frozenset({"null"}))  # it is the row's number, which stands elsewhere
            continue
        # SQLite keeps a float without a fraction as an integer.
        own = {Integer: {"integer"}, Float: {"real", "integer"}}.get(type(column.type), {"text"})
        kinds.append(frozenset(own | ({"null"} if column.nullable else set())))
    measured = [i for i, c in enumerate(columns) if isinstance(c.type, Float) and not (c.nullable or c.primary_key)]
    return Shape("index" if by_key else "table", tuple(kinds), tuple(measured))


def beginnings(
    file: bytes, page: int, shapes: Mapping[str, Shape], listed: Mapping[str, int]
) -> dict[str, tuple[int, bool]]:
    """Find where tables begin.

    Parameters
    ----------
    file : bytes
        A damaged database.
    page : int
        The size of its pages, bytes.
    shapes : mapping of str to Shape
        The tables that are looked for.
    listed : mapping of str to int
        Where they begin in a new project.

    Returns
    -------
    dict of str to (int, bool)
        The number of the page, and whether there is no doubt that this is all of the table. Those that begin nowhere
        are left out. A table without rows begins at any page without rows.
    """
    pages = _Pages(file, page)
    as_new = [n for n, shape in shapes.items() if pages.could_be(listed[n], shape)]
    if 2 * len(as_new) > len(shapes):  # some pages may be damaged
        return {name: (listed[name], True) for name in shapes}
    found = {}
    for name, shape in shapes.items():
        fitting = [n for n in pages.unreferenced if pages.fits(n, shape)]
        if fitting:
            # A beginning never moves: what was added to the table later, and lost its parent, stands behind it.
            found[name] = (fitting[0], len(fitting) == 1)
        else:
            empty = [n for n in pages.unreferenced if pages.is_empty(n, shape.family)]
            if empty:
                found[name] = (empty[0], True)
    return found


class _Pages:
    def __init__(self, file: bytes, page: int) -> None:
        self._file, self._page = file, page
        self._n = len(file) // page

    @cached_property
    def unreferenced(self) -> list[int]:
        """Numbers of pages that no page of a tree leads to, but the first."""
        inner = [n for n in range(2, self._n + 1) if self._kind(n) in (_INTERIOR, _INDEX_INTERIOR)]
        led_to = {child for n in inner for child in self._children(n)}
        return [n for n in range(2, self._n + 1) if n not in led_to and self._kind(n) in _FAMILY]

    def could_be(self, number: int, shape: Shape) -> bool:
        """Tell whether a table could begin at a page."""
        return number in self.unreferenced and (self.fits(number, shape) or self.is_empty(number, shape.family))

    def fits(self, number: int, shape: Shape) -> bool:
        """Tell whether a page has rows, and all of them could be of a table."""
        for _ in range(_DEEPEST):
            if _FAMILY.get(self._kind(number)) != shape.family:
                return False
            if self._kind(number) != _INTERIOR:  # whose rows are farther down
                break
            children = self._children(number)
            if not children:
                return False
            number = children[0]
        rows = [self._row(number, cell) for cell in self._cells(number)]
        return (
            bool(rows)
            and all(
                row is not None
                and len(row) == len(shape.kinds)
                and all(kind in kinds for kind, kinds in zip(row, shape.kinds, strict=True))
                for row in rows
            )
            and (not shape.measured or any(row[i] == "real" for row in rows if row for i in shape.measured))
        )

    def is_empty(self, number: int, family: str) -> bool:
        """Tell whether a page is the beginning of a table without rows."""
        leaf = _INDEX_LEAF if family == "index" else _LEAF
        return self._kind(number) == leaf and self._bytes(number)[3:5] == b"\0\0"

    def _bytes(self, number: int) -> bytes:
        return self._file[(number - 1) * self._page : number * self._page]

    def _kind(self, number: int) -> int:
        return self._file[(number - 1) * self._page] if 1 <= number <= self._n else 0

    def _cells(self, number: int) -> list[int]:
        """Give where the cells of a page begin; none where these cannot be."""
        content = self._bytes(number)
        head = 12 if self._kind(number) in (_INTERIOR, _INDEX_INTERIOR) else 8
        (n,) = struct.unpack_from(">H", content, 3)
        if head + 2 * n > self._page:
            return []
        cells = list(struct.unpack_from(f">{n}H", content, head))
        return cells if all(head + 2 * n <= cell <= self._page - 4 for cell in cells) else []

    def _children(self, number: int) -> list[int]:
        """Give the children of an inner page; none where these are no pages of its kind of tree."""
        content, cells = self._bytes(number), self._cells(number)
        family = _FAMILY[self._kind(number)]
        children = [struct.unpack_from(">I", content, at)[0] for at in (*cells, 8)]
        return children if all(_FAMILY.get(self._kind(child)) == family for child in children) else []

    def _row(self, number: int, cell: int) -> list[str] | None:
        """Give the kinds of the values of a row; None where it is none."""
        content, kind = self._bytes(number), self._kind(number)
        try:
            at = cell + (4 if kind == _INDEX_INTERIOR else 0)
            _, at = varint(content, at)  # the size of the row
            if kind == _LEAF:
                _, at = varint(content, at)  # its number
            size, first = varint(content, at)
            return [_kind_of(serial) for serial in _serials(content, first, at + size)]
        except IndexError:
            return None


def _serials(content: bytes, at: int, end: int) -> Iterator[int]:
    while at < end:
        serial, at = varint(content, at)
        yield serial


def _kind_of(serial: int) -> str:
    if serial >= 12:
        return "text" if serial % 2 else "blob"
    return {0: "null", 7: "real", 10: "none", 11: "none"}.get(serial, "integer")


def varint(content: bytes | bytearray, at: int) -> tuple[int, int]:
    """Read an integer of SQLite's variable length; gives it, and where the next thing begins.

    Raises
    ------
    IndexError
        It ends behind the content.
    """
    value = 0
    for i in range(8):
        value = value << 7 | content[at + i] & 0x7F
        if content[at + i] < 0x80:
            return value, at + i + 1
    return value << 8 | content[at + 8], at + 9
