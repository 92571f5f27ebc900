"""Giving a damaged database back its list of tables: that of a new project is grafted onto it.

The list (`sqlite_master`) is a B-tree that begins on the first page, and nothing can be read without it. But projects
are all built by the same statements, so that each table's own tree begins on the same page in all of them (where one
was migrated, `photdb.store.roots` finds the others). The pages of
a new project's list are added behind the damaged file's, and its first page put in place of the first. (The file format
is described at sqlite.org/fileformat2.html.)
"""

import struct
from typing import Final

from photdb.store.roots import varint

_INTERIOR: Final = 5
_LEAF: Final = 13
_HEAD: Final = 100


def graft(damaged: bytes, fresh: bytes) -> bytes:
    """Put the list of tables of a fresh database into a damaged one.

    Parameters
    ----------
    damaged : bytes
        A file whose pages have the same size as the fresh one's.
    fresh : bytes
        A new project.

    Returns
    -------
    bytes
        The damaged file, padded to whole pages, with another first page and some more at its end.
    """
    page = int.from_bytes(fresh[16:18], "big")
    n_pages = -(-len(damaged) // page)
    trees, chains = _pages_of_list(fresh, page)
    added = [number for number in (*trees, *chains) if number != 1]
    place = {1: 1, **{number: n_pages + 1 + i for i, number in enumerate(added)}}
    moved = {}
    for number in trees:
        content = bytearray(fresh[(number - 1) * page : number * page])
        for at in _pointers(content, number, page):
            struct.pack_into(">I", content, at, place[struct.unpack_from(">I", content, at)[0]])
        moved[number] = content
    for number in chains:
        content = bytearray(fresh[(number - 1) * page : number * page])
        (following,) = struct.unpack_from(">I", content)
        struct.pack_into(">I", content, 0, place[following] if following else 0)
        moved[number] = content
    first = moved.pop(1)
    struct.pack_into(">I", first, 28, n_pages + len(added))  # pages in the file
    first[92:96] = first[24:28]  # ... which holds for this state of it
    struct.pack_into(">II", first, 32, 0, 0)  # no free pages: what they held is not asked for
    whole = damaged.ljust(n_pages * page, b"\0")
    return bytes(first) + whole[page:] + b"".join(bytes(moved[number]) for number in added)


def _pages_of_list(file: bytes, page: int) -> tuple[list[int], list[int]]:
    """Give the numbers of the pages of the tree that begins on the first one, and of those its rows overflow to."""
    trees, chains, waiting = [], [], [1]
    while waiting:
        number = waiting.pop()
        trees.append(number)
        content = file[(number - 1) * page : number * page]
        is_leaf = content[_HEAD if number == 1 else 0] == _LEAF
        for at in _pointers(content, number, page):
            (target,) = struct.unpack_from(">I", content, at)
            if not is_leaf:
                waiting.append(target)
            while is_leaf and target:
                chains.append(target)
                (target,) = struct.unpack_from(">I", file, (target - 1) * page)
    return trees, chains


def _pointers(content: bytes | bytearray, number: int, page: int) -> list[int]:
    """Give where a page holds numbers of other pages: its children, or where its rows go on."""
    head = _HEAD if number == 1 else 0
    kind, n_cells = content[head], struct.unpack_from(">H", content, head + 3)[0]
    cells = struct.unpack_from(f">{n_cells}H", content, head + (12 if kind == _INTERIOR else 8))
    if kind == _INTERIOR:
        return [*cells, head + 8]
    if kind != _LEAF:
        raise ValueError(f"page {number} is not of a table")
    found = []
    for cell in cells:
        size, start = varint(content, cell)
        _, start = varint(content, start)  # the row's number
        here = _kept_here(size, page)
        if here < size:
            found.append(start + here)
    return found


def _kept_here(size: int, page: int) -> int:
    """Give how many bytes of a row stay on its own page."""
    if size <= page - 35:
        return size
    least = (page - 12) * 32 // 255 - 23
    most = least + (size - least) % (page - 4)
    return most if most <= page - 35 else least
