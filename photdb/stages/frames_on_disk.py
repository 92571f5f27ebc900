"""The frames on disk against what the project knows of them: there, the same to the last byte, or not; and their move.

No stage: what stages compute does not depend on where a frame is, only on its bytes.
"""

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from photdb.errors import FrameError, PhotdbError
from photdb.stages.headers import relative_posix
from photdb.stages.runner import Session
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.wording import MISSING, count, numbers

#: About what reading all bytes of a frame costs, to judge whether a pool of processes is worth its start.
_S_PER_FRAME = 0.003
#: So many folders are looked into for frames that are not where they were said to be.
_MOST_FOLDERS = 2000
_CHUNK = 8


@dataclass(slots=True)
class Compared:
    """What became of the frames' files; frames by their numbers."""

    same: dict[int, tuple[int, int]] = field(default_factory=dict)  # number: size and mtime (ns)
    missing: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    touched: list[int] = field(default_factory=list)  # only looked at: another time or size, so that they must be read
    silent: list[int] = field(default_factory=list)  # other bytes, though size and time are the old ones
    unreadable: dict[int, str] = field(default_factory=dict)
    never_read: list[int] = field(default_factory=list)  # nothing to compare with

    @property
    def fits(self) -> bool:
        """Whether every frame that can be compared is the same."""
        return not (self.missing or self.changed or self.unreadable)


@dataclass(frozen=True, slots=True)
class _Known:
    """A frame as the project knows it."""

    number: int
    path: Path
    size_bytes: int | None
    mtime_ns: int | None
    content_crc32: int | None
    header_crc32: int | None


def compare_frames(project: Project, folder: Path, session: Session, *, quick: bool = False) -> Compared:
    """Compare the files of all frames, below a folder, with what the project knows of them.

    Parameters
    ----------
    project : Project
        Open for reading is enough.
    folder : Path
        Where the frames are: `Project.frame_folder`, or where they are to be.
    session : Session
        Workers that read, and progress.
    quick : bool
        Look at sizes and times only; without it each byte is read.
    """
    known = list(_known(project, folder))
    found = Compared()
    if quick:
        results: Iterator[list[str | tuple[int, int, bool]]] = ([_glance(frame)] for frame in known)
        chunks = [[frame] for frame in known]
    else:
        chunks = [known[i : i + _CHUNK] for i in range(0, len(known), _CHUNK)]
        results = session.workers.run(_read_all, chunks, estimate_s=len(known) * _S_PER_FRAME)
    with session.progress("frames", len(known)) as advance:
        for chunk, verdicts in zip(chunks, results, strict=True):
            for frame, verdict in zip(chunk, verdicts, strict=True):
                _sort(found, frame, verdict, quick=quick)
            advance(len(chunk))
    return found


def _known(project: Project, folder: Path) -> Iterator[_Known]:
    sql = "SELECT number, path, size_bytes, mtime_ns, content_crc32, header_crc32 FROM frame ORDER BY number"
    for number, path, *rest in driver(project.connection).execute(sql).fetchall():
        yield _Known(number, Path(os.path.normpath(folder / path)), *rest)


def _sort(found: Compared, frame: _Known, verdict: str | tuple[int, int, bool], *, quick: bool) -> None:
    if verdict == MISSING:
        found.missing.append(frame.number)
    elif isinstance(verdict, str):
        found.unreadable[frame.number] = verdict
    elif frame.size_bytes is None:
        found.never_read.append(frame.number)
    elif verdict[2]:
        found.same[frame.number] = verdict[:2]
    elif quick:
        found.touched.append(frame.number)
    else:
        found.changed.append(frame.number)
        if verdict[:2] == (frame.size_bytes, frame.mtime_ns):
            found.silent.append(frame.number)


def _glance(frame: _Known) -> str | tuple[int, int, bool]:
    """Give size, time, and whether they are those known; or why they cannot be had."""
    try:
        status = os.stat(frame.path)
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        return error.strerror or str(error)
    seen = (status.st_size, status.st_mtime_ns)
    return (*seen, seen == (frame.size_bytes, frame.mtime_ns))


def _read_all(frames: list[_Known]) -> list[str | tuple[int, int, bool]]:
    """Give size, time, and whether the bytes are those known, of each frame; or why it cannot be read."""
    from photdb.frames import content_crc32, read_header

    verdicts: list[str | tuple[int, int, bool]] = []
    for frame in frames:
        try:
            crc, *seen = content_crc32(frame.path)
            same = seen[0] == frame.size_bytes
            if frame.content_crc32 is not None:
                same &= crc == frame.content_crc32
            elif frame.header_crc32 is not None:  # its pixels were never read
                same &= read_header(frame.path).header_crc32 == frame.header_crc32
            verdicts.append((seen[0], seen[1], same))
        except FrameError as error:
            verdicts.append(str(error))
    return verdicts


# --- their move -------------------------------------------------------------------------------------------------------
def relocate(project: Project, folder: Path, session: Session, *, anyway: bool = False) -> tuple[Path, Compared]:
    """Look for the frames below another folder from now on, if they are the same frames.

    Parameters
    ----------
    project : Project
        Open for writing.
    folder : Path
        The folder they are in now, or one above or below it: their paths within say which it is.
    session : Session
        As for `compare_frames`.
    anyway : bool
        Also if some are missing or others: these are work then.

    Returns
    -------
    folder : Path
        Where they are looked for.
    compared : Compared

    Raises
    ------
    PhotdbError
        They are not there, or not the same; nothing is changed.
    """
    paths = [path for (path,) in driver(project.connection).execute("SELECT path FROM frame ORDER BY number")]
    place = _place(folder, paths)
    if place is None:
        raise PhotdbError(
            f"none of the project's frames is below {folder}: they are called {paths[0]}, say; nothing is changed"
        )
    found = compare_frames(project, place, session)
    if not found.fits and not anyway:
        raise PhotdbError(
            f"not all frames in {place} are those of the project: {differences(found)}; nothing is changed. With"
            " --anyway the project looks for them there, and measures those that are others"
        )
    with project.transaction() as connection:
        raw = driver(connection)
        where = relative_posix(place, project.path.absolute().parent)
        raw.execute("UPDATE project SET frame_folder = ?", (where,))
        # What was compared byte by byte need not be read once more for its time.
        rows = [(*seen, number) for number, seen in found.same.items()]
        raw.executemany("UPDATE frame SET size_bytes = ?, mtime_ns = ? WHERE number = ?", rows)
        silent = [(number,) for number in found.silent]
        raw.executemany("UPDATE frame SET mtime_ns = NULL WHERE number = ?", silent)
    return place, found


def refuse_moved(project: Project, surveyed: list[dict[str, Any]]) -> None:
    """Refuse to add frames of the project that are not where they were: they would be in it twice.

    Parameters
    ----------
    project : Project
    surveyed : list of dict
        The files, as `photdb.stages.headers.survey` gives them.

    Raises
    ------
    PhotdbError
        Some are.
    """
    there = {(f["size_bytes"], f["header_crc32"]): f["file"] for f in surveyed if f["header_crc32"] is not None}
    sql = "SELECT number, path, size_bytes, header_crc32 FROM frame"
    moved = {
        number: there[size, crc]
        for number, path, size, crc in driver(project.connection).execute(sql).fetchall()
        if (size, crc) in there and not os.path.lexists(project.frame_folder / path)
    }
    if moved:
        place = next(iter(moved.values())).parent
        raise PhotdbError(
            f"frame {numbers(list(moved))} of the project is not in {project.frame_folder} any more, and is among these"
            f" files: put it back, or, if all frames have moved, `photdb relocate {shlex.quote(str(place))}`"
        )


def differences(found: Compared) -> str:
    """Say which frames are missing, others, or cannot be read."""
    parts = []
    if found.missing:
        parts.append(f"missing: frame {numbers(found.missing)}")
    if found.changed:
        parts.append(f"other bytes: frame {numbers(found.changed)}")
    if found.unreadable:
        reason = next(iter(found.unreadable.values()))
        parts.append(f"not to be read ({reason}): frame {numbers(list(found.unreadable))}")
    return ", ".join(parts) or f"none of {count(len(found.same), 'frame')}"


def _place(folder: Path, paths: list[str]) -> Path | None:
    """Find the folder below which most frames have their paths: the one given, else one below or just above it."""

    def n_there(place: Path) -> int:
        return sum(os.path.exists(os.path.normpath(place / path)) for path in paths)

    if n_there(folder):
        return folder
    first = paths[0]
    below = []
    for n, (place, folders, _) in enumerate(os.walk(folder)):
        folders.sort()
        if n >= _MOST_FOLDERS:
            break
        if os.path.exists(os.path.normpath(os.path.join(place, first))):
            below.append(Path(place))
    best = max([*below, folder.parent], key=n_there)
    return best if n_there(best) else None
