"""How a text file of an export is laid out: lines of `#` that say what it is, then columns with tabs between."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb import __version__
from photdb.algorithms.flags import MEANING
from photdb.exports.files import Draft
from photdb.store.arrays import Frames, Source
from photdb.store.connection import driver
from photdb.store.project import Project

#: The first words of every file.
MARK: Final = "# photdb export: "

#: Digits of a Julian date (a millisecond), of magnitudes, and of positions.
JD, MAG, PX = 8, 5, 3

#: Names of columns, with their cells.
Columns = list[tuple[str, list[str]]]


@dataclass(frozen=True, slots=True)
class Night:
    """What all files draw on: the project, its frames in time order, its sources, and how file names begin."""

    project: Project
    frames: Frames
    sources: list[Source]
    stem: str

    def common(self) -> Columns:
        """Give the columns that open every file with a line a frame."""
        return [
            ("frame", whole(self.frames.number)),
            ("jd_utc_mid", fixed(self.frames.jd_utc_mid, JD)),
            ("accepted", whole(self.frames.accepted)),
        ]

    def draft(self, name: str, about: str, notes: Iterable[str], data: Columns) -> Draft:
        """Lay out a file."""
        return lay_out(f"{self.stem}-{name}.txt", about, [f"project {self.stem}", *notes], data)

    def told(self, target_id: int) -> list[str]:
        """Say what a target's heliocentric and barycentric times rest on."""
        sql = "SELECT origin, note FROM target_coordinates WHERE target_id = ?"
        return [
            f"coordinates of the target: {origin or 'none'}" + (f"; {note}" if note else "")
            for origin, note in self.query(sql, (target_id,))
        ]

    def query(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read rows."""
        rows: list[tuple[Any, ...]] = driver(self.project.connection).execute(sql, arguments).fetchall()
        return rows


def lay_out(name: str, about: str, notes: Iterable[str], data: Columns) -> Draft:
    """Lay out a file.

    Parameters
    ----------
    name : str
        Of the file.
    about : str
        What it holds, for its first line.
    notes : iterable of str
        What else is to be known, a line each.
    data : list of (str, list of str)
        The columns; their names are the last line that starts with `#`.

    Returns
    -------
    Draft
    """
    head = [
        f"{MARK}{clean(about)}",
        f"# photdb {__version__}",
        *(f"# {clean(note)}" for note in notes),
        "# " + "\t".join(clean(heading) for heading, _ in data),
    ]
    lines = ["\t".join(row) for row in zip(*(column for _, column in data), strict=True)]
    return Draft(name, "\n".join(head + lines) + "\n", MARK)


def fixed(values: ArrayLike, digits: int) -> list[str]:
    """Format numbers with so many digits behind the point; None, NaN and infinities are `nan`."""
    array = np.asarray(values, dtype=np.float64)
    return [f"{v:.{digits}f}" if ok else "nan" for v, ok in zip(array.tolist(), np.isfinite(array), strict=True)]


def whole(values: NDArray[Any]) -> list[str]:
    """Format whole numbers, and truth as 1 and 0."""
    return [str(int(v)) for v in values]


def clean(text: Any) -> str:
    """Keep a text in its cell: no tabs, no line breaks; `-` for none."""
    return "".join(c if c.isprintable() else " " for c in str(text)).strip() if text else "-"


def cells(rows: Sequence[Sequence[Any]], *headings: tuple[str, int | None]) -> Columns:
    """Give the columns of rows: numbers with so many digits, or text (None)."""
    out = []
    for i, (name, digits) in enumerate(headings):
        values = [row[i] for row in rows]
        out.append((name, [clean(v) for v in values] if digits is None else fixed(values, digits)))
    return out


def spread(
    values: NDArray[np.float64], frame_id: NDArray[np.int64], all_frame_ids: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Put values of some frames at their places among all frames; NaN elsewhere."""
    order = np.argsort(all_frame_ids)
    out = np.full(all_frame_ids.size, np.nan)
    out[order[np.searchsorted(all_frame_ids[order], frame_id)]] = values
    return out


def source_note(night: Night) -> str:
    """Name the sources with their roles."""
    return "sources: " + ", ".join(f"{s.label} ({s.role})" for s in night.sources)


def flag_notes(first_bit: int, end_bit: int) -> list[str]:
    """Explain the flags that can stand in a file, of which a cell holds the sum: bits `first_bit` to `end_bit` - 1."""
    return [
        f"flag {int(flag)}, {flag.name}: {meaning}"
        for flag, meaning in MEANING.items()
        if 1 << first_bit <= int(flag) < 1 << end_bit
    ]
