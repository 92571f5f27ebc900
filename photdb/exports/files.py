"""The files of an export: names that stay in their folder, and no file of others overwritten."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from photdb.errors import PhotdbError
from photdb.outputs import write_whole

#: How far into a file its mark is looked for.
_HEAD_CHARACTERS = 65536


@dataclass(frozen=True, slots=True)
class Draft:
    """A file to be written: its name, its text, and the mark in its head by which a later export knows it."""

    name: str
    text: str
    mark: str


def safe_name(label: str, taken: set[str]) -> str:
    """Turn a label into a part of a file name: letters, digits, `-`, `_` and `.` only, unlike any other taken.

    Parameters
    ----------
    label : str
        Whatever a user called a thing.
    taken : set of str
        Names in use, in lower case as some file systems see them; the new one is added.

    Returns
    -------
    str
    """
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).strip("._-") or "unnamed"
    name, n = stem, 1
    while name.lower() in taken:
        n += 1
        name = f"{stem}-{n}"
    taken.add(name.lower())
    return name


def write_files(folder: Path, drafts: Sequence[Draft], *, overwrite: bool = False) -> list[Path]:
    """Write files into a folder, which is made if need be: all of them or none.

    Parameters
    ----------
    folder : Path
        Where to.
    drafts : sequence of Draft
        What.
    overwrite : bool
        Also files that no export made.

    Returns
    -------
    list of Path
        The files, in the order given.

    Raises
    ------
    PhotdbError
        A file of that name is there and no export made it, or one cannot be written; nothing is written then.
    """
    if folder.exists() and not folder.is_dir():
        raise PhotdbError(f"there is a file {folder}: name a folder to export to")
    foreign = [draft.name for draft in drafts if not _may_replace(folder / draft.name, draft.mark, overwrite)]
    if foreign:
        raise PhotdbError(
            f"the file {folder / foreign[0]} was not made by this export, so nothing is written: choose another"
            " folder, or give --overwrite"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole({folder / draft.name: draft.text.encode() for draft in drafts})
    return [folder / draft.name for draft in drafts]


def _may_replace(path: Path, mark: str, overwrite: bool) -> bool:
    if not path.exists():
        return True
    if not path.is_file():
        return False
    if overwrite:
        return True
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return mark in file.read(_HEAD_CHARACTERS)
