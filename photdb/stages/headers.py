"""Stage `headers`: what each frame's header says, which frames cannot be used and why, and which changed on disk."""

import functools
import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from photdb.errors import FrameError, PhotdbError, UnreadableError
from photdb.stages import STAGES, Plan
from photdb.stages.runner import Session, save_in_batches
from photdb.store import schema
from photdb.store.connection import driver, insert_row, update_row
from photdb.store.currency import Encoded, digest, encoded
from photdb.store.facts import frame_size
from photdb.store.lock import now
from photdb.store.project import Project
from photdb.wording import MOVED, count, named, numbers, why_unread

if TYPE_CHECKING:
    from photdb.algorithms.header_times import Means

#: About what reading all bytes of a frame costs, to judge whether a pool of processes is worth its start.
_S_PER_FRAME = 0.003
_OTHER_SIZE = "its size is"
_OTHER_FILTER = "its filter is"
_COPY = "a copy of frame"
NO_TIME = "no time in its header: name its keyword with `photdb set --time-keyword`"


@dataclass(frozen=True, slots=True)
class TimeRule:
    """How times are read from headers, where the user said so."""

    time_keyword: str | None = None
    time_means: "Means | None" = None
    time_offset_s: float = 0.0


# --- the stage --------------------------------------------------------------------------------------------------------
def plan(project: Project, params: dict[str, Any]) -> Plan:
    """Find frames whose file changed, by size and time, or whose header an older photdb or other settings read."""
    rule = time_rule(project.connection)
    rows = (
        driver(project.connection)
        .execute("SELECT id, number, path, size_bytes, mtime_ns, header_crc32, input, error FROM frame ORDER BY number")
        .fetchall()
    )
    folder = str(project.frame_folder)
    missing: list[tuple[int, int]] = []
    touched: list[tuple[int, int]] = []
    reread: list[tuple[int, int]] = []
    for id_, number, name, size_bytes, mtime_ns, header_crc32, known, error in rows:
        path = os.path.join(folder, name)
        try:
            status = os.stat(path)
        except (OSError, ValueError):  # gone, or of a name that no file can have
            # What was measured stays valid without the file; what its header says now cannot be known.
            if error is None:
                (missing if known == _input(header_crc32, rule) else reread).append((id_, number))
            continue
        if size_bytes is None and not (stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK)):
            continue  # as unreadable as ever
        if (status.st_size, status.st_mtime_ns) != (size_bytes, mtime_ns):
            touched.append((id_, number))
        elif known != _input(header_crc32, rule):
            reread.append((id_, number))
    plan = Plan(params, len(rows), [id_ for id_, _ in touched + reread])
    if touched:
        plan.reasons.append(f"changed on disk, or written anew: frame {numbers([n for _, n in touched])}")
    if reread:
        plan.reasons.append(f"header to be read again: {count(len(reread), 'frame')}")
    if missing:
        plan.notes.append(f"not in {folder} any more: frame {numbers([n for _, n in missing])}; {MOVED}")
    return plan


def run(project: Project, plan: Plan, session: Session) -> None:
    """Read the headers again; a content that changed by its bytes makes all that depends on it work.

    Files that cannot be read become a problem of the session; what is known of them stays.
    """
    rule = time_rule(project.connection)
    folder = project.frame_folder
    ids = ", ".join(map(str, plan.work))
    sql = f"SELECT id, number, path, size_bytes, mtime_ns, content_crc32, error FROM frame WHERE id IN ({ids})"  # noqa: S608 - of ours
    rows = project.connection.exec_driver_sql(sql).all()
    tasks = [
        _Task(folder / row.path, rule, (row.size_bytes, row.mtime_ns) if row.content_crc32 is not None else None)
        for row in rows
    ]
    unread: list[tuple[int, str]] = []

    def save(connection: Connection, batch: list[tuple[Any, dict[str, Any]]]) -> None:
        for row, values in batch:
            if values["size_bytes"] is None:
                if row.error is None:  # of a frame that never could be read nobody expects more
                    unread.append((row.number, values["error"]))
            elif values["header_crc32"] is None:
                # What a damaged file said before stays: sources may have been selected in it, at its time.
                kept = ("error", "input", "header_crc32", "size_bytes", "mtime_ns", "content_crc32")
                update_row(connection, "frame", row.id, {name: values[name] for name in kept if name in values})
            else:
                _save_wcs(connection, row.id, values.pop("wcs"))
                update_row(connection, "frame", row.id, values)

    n_touched = sum(row.content_crc32 is not None for row in rows)
    results = session.workers.run(_reread, tasks, estimate_s=n_touched * _S_PER_FRAME)
    save_in_batches(project, session, "headers", ((1, r) for r in zip(rows, results, strict=True)), len(rows), save)
    with project.transaction() as connection:
        _compare(connection, folder)
    if unread:
        which = numbers([number for number, _ in unread])
        why = why_unread(unread[0][1])
        session.problems.append(f"the header of frame {which} in {folder} cannot be read again ({why})")


@dataclass(frozen=True, slots=True)
class _Task:
    path: Path
    rule: TimeRule
    known: tuple[int, int] | None  # size and time of the content whose digest is stored


def _reread(task: _Task) -> dict[str, Any]:
    """Read a header, and the digest of the content if that is known and may have changed."""
    from photdb.frames import content_crc32

    values = read_facts(task.path, task.rule)
    if task.known is not None and (values["size_bytes"], values["mtime_ns"]) != task.known:
        try:
            values["content_crc32"], _, _ = content_crc32(task.path)
        except FrameError:
            values["content_crc32"] = None
    return values


# --- adding frames ----------------------------------------------------------------------------------------------------
def survey(paths: Sequence[Path], rule: TimeRule | None = None) -> list[dict[str, Any]]:
    """Read the headers of files that are to become frames, in the order of their times, then paths.

    Returns
    -------
    list of dict
        A dict a file: the columns of `frame` that its header fills, `wcs`, and `file`, its path.
    """
    found = [{"file": path, **read_facts(path, rule or TimeRule())} for path in paths]
    return sorted(found, key=lambda f: (f["jd_utc_mid"] is None, f["jd_utc_mid"] or 0.0, str(f["file"])))


def one_filter(found: list[dict[str, Any]], wanted: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """Keep the frames of one filter, and give its name; those that cannot be read are kept, to be listed.

    Raises
    ------
    PhotdbError
        More than one filter and none wanted, or none of the wanted one: the counts are named.
    """
    counts = Counter(f["filter"] for f in found if f["error"] is None)
    listing = ", ".join(f"{name or 'no filter'}: {n}" for name, n in counts.most_common())
    names = [name for name in counts if wanted is None or (name or "").casefold() == wanted.casefold()]
    if not names and counts:
        raise PhotdbError(f"no frame was taken through the filter {named(wanted)} ({listing})")
    if len(names) > 1:
        raise PhotdbError(f"a project holds one filter, these frames {len(names)} ({listing}): choose with --filter")
    return [f for f in found if f["error"] is not None or f["filter"] in names], names[0] if names else wanted


def add_frames(project: Project, found: list[dict[str, Any]]) -> list[str]:
    """Make surveyed files the project's frames, numbered on from the last one; files it has already are passed over.

    Returns
    -------
    list of str
        What the user should know, in sentences.

    Raises
    ------
    PhotdbError
        No file has a name that a project can hold.
    """
    folder = project.frame_folder
    with project.transaction() as connection:
        known = set(connection.exec_driver_sql("SELECT path FROM frame").scalars())
        last_number, last_jd = connection.exec_driver_sql(
            "SELECT coalesce(max(number), 0), max(jd_utc_mid) FROM frame"
        ).one()
        named, nameless = _named(found, folder)
        new = [f for f in named if f["path"] not in known]
        for number, facts in enumerate(new, last_number + 1):
            wcs = facts.pop("wcs")
            del facts["file"]
            frame_id = insert_row(connection, "frame", {"number": number, "added_at": now(), **facts})
            _save_wcs(connection, frame_id, wcs)
        _compare(connection, folder)
    notes = []
    if len(new) < len(named):
        notes.append(f"{count(len(named) - len(new), 'file')} already in the project")
    notes += [f"left out: {reason}, and add it" for reason in nameless]
    times = [f["jd_utc_mid"] for f in new if f["jd_utc_mid"] is not None]
    if last_jd is not None and times and min(times) < last_jd:
        notes.append(
            "some of these frames are earlier than frames the project had: numbers stay as they are, so their order"
            " is not the order in time; all computation follows the times"
        )
    return notes


def _named(found: list[dict[str, Any]], folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Give the files with their paths as the project holds them, and why others have none."""
    named: list[dict[str, Any]] = []
    nameless = []
    for facts in found:
        try:
            named.append(dict(facts, path=relative_posix(facts["file"], folder)))
        except PhotdbError as error:
            nameless.append(str(error))
    if nameless and not named:
        raise PhotdbError(nameless[0])
    return named, nameless


def read_facts(path: Path, rule: TimeRule) -> dict[str, Any]:
    """Read a header into columns of `frame` and `wcs`; what is wrong with the file is the column `error`."""
    from photdb.algorithms.headers import interpret
    from photdb.frames import read_header

    values: dict[str, Any] = dict.fromkeys((*_FROM_HEADER, "wcs"))
    try:
        read = read_header(path)
        values["header_crc32"] = read.header_crc32
        for name in ("size_bytes", "mtime_ns", "hdu", "width_px", "height_px", "bitpix"):
            values[name] = getattr(read, name)
        facts = interpret(
            read.cards,
            time_keyword=rule.time_keyword,
            time_means=rule.time_means,
            time_offset_s=rule.time_offset_s,
        )
        values.update({name: getattr(facts, name) for name in values if hasattr(facts, name)})
        values["header_notes"] = "; ".join(facts.notes) or None
        if values["jd_utc_mid"] is None:
            values["error"] = NO_TIME
    except UnreadableError as error:
        values["error"] = str(error)  # without a size, the file is tried again each time
    except FrameError as error:
        values["error"] = str(error)
        if error.seen is not None:  # of what was read: it may be another file by now
            values["size_bytes"], values["mtime_ns"] = error.seen
    values["input"] = _input(values["header_crc32"], rule)
    return values


def relative_posix(path: Path, start: Path) -> str:
    """Write a path relative to a folder, POSIX style; absolute where there is no way (another drive).

    Raises
    ------
    PhotdbError
        It is no text that a project can hold.
    """
    try:
        text = Path(os.path.relpath(path, start)).as_posix()
    except ValueError:
        text = path.as_posix()
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PhotdbError(f"the name of the file {text!a} is not valid UTF-8: rename it") from None
    return text


_NOT_FROM_HEADER = ("id", "number", "path", "content_crc32", "added_at")
_FROM_HEADER = tuple(c.name for c in schema.frame.columns if c.name not in _NOT_FROM_HEADER)


def time_rule(connection: Connection) -> TimeRule:
    """Read how times are to be read from headers."""
    sql = "SELECT time_keyword, time_means, time_offset_s FROM project"
    return TimeRule(*driver(connection).execute(sql).fetchone())


def _input(header_crc32: int | None, rule: TimeRule) -> int:
    return digest(STAGES["headers"].version, header_crc32, _encoded(rule))


@functools.lru_cache(1)
def _encoded(rule: TimeRule) -> Encoded:
    return encoded(asdict(rule))


def _save_wcs(connection: Connection, frame_id: int, wcs: dict[str, Any] | None) -> None:
    driver(connection).execute("DELETE FROM frame_wcs WHERE frame_id = ?", (frame_id,))
    if wcs is not None:
        insert_row(connection, "frame_wcs", {"frame_id": frame_id, **wcs})


def _compare(connection: Connection, folder: Path) -> None:
    """Give frames of another filter or size than the others', and copies of others, their reason, or take it back."""
    rows = connection.exec_driver_sql(
        "SELECT id, number, path, width_px, height_px, filter, size_bytes, header_crc32, error FROM frame"
        " WHERE error IS NULL OR error LIKE ? OR error LIKE ? OR error LIKE ? ORDER BY number",
        (f"{_OTHER_SIZE}%", f"{_COPY}%", f"{_OTHER_FILTER}%"),
    ).all()
    if not rows:
        return
    (of_all,) = driver(connection).execute("SELECT filter FROM project").fetchone()
    width, height = frame_size(connection)
    if not width:
        (width, height), _ = Counter((row.width_px, row.height_px) for row in rows).most_common(1)[0]
        update_row(connection, "project", 1, {"width_px": width, "height_px": height})
    earlier: dict[tuple[int, int], list[Any]] = {}
    for row in rows:
        error = None
        same_header = earlier.setdefault((row.size_bytes, row.header_crc32), [])
        if (row.filter or "").casefold() != (of_all or "").casefold():  # it could not be read when filters were chosen
            error = f"{_OTHER_FILTER} {row.filter or 'none'}, not {of_all or 'none'} as the others'"
        elif (row.width_px, row.height_px) != (width, height):
            error = f"{_OTHER_SIZE} {row.width_px}×{row.height_px} pixels, not {width}×{height} as the others'"
        else:
            for other in same_header:
                same = _same_content(folder / other.path, folder / row.path)
                if same or (same is None and row.error is not None):  # unknown: what was found before stands
                    error = row.error if same is None else f"{_COPY} {other.number}"
                    break
            else:
                same_header.append(row)
        if error != row.error:
            update_row(connection, "frame", row.id, {"error": error})


def _same_content(one: Path, other: Path) -> bool | None:
    """Compare the bytes of two files; None where they cannot be read."""
    from photdb.frames import content_crc32

    try:
        return content_crc32(one)[0] == content_crc32(other)[0]
    except FrameError:
        return None
