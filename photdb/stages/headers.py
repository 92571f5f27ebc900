"""Stage `headers`: what each frame's header says, which frames cannot be used and why, and which changed on disk."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, update

from photdb.algorithms import headers as interpretation
from photdb.errors import FrameError, PhotdbError
from photdb.frames import content_crc32, read_header
from photdb.stages import STAGES, Plan
from photdb.stages.runner import Session
from photdb.store import schema
from photdb.store.currency import digest
from photdb.store.lock import now
from photdb.store.project import Project
from photdb.wording import count, numbers

_OTHER_SIZE = "its size is"
_COPY = "a copy of frame"
NO_TIME = "no time in its header: name its keyword with `photdb set --time-keyword`"


@dataclass(frozen=True, slots=True)
class TimeRule:
    """How times are read from headers, where the user said so."""

    time_keyword: str | None = None
    time_means: str | None = None
    time_offset_s: float = 0.0


# --- the stage --------------------------------------------------------------------------------------------------------
def plan(project: Project, params: dict[str, Any]) -> Plan:
    """Find frames whose file changed, by size and time, or whose header an older photdb or other settings read."""
    rule = time_rule(project.connection)
    rows = project.connection.exec_driver_sql(
        "SELECT id, number, path, size_bytes, mtime_ns, header_crc32, input, error FROM frame ORDER BY number"
    ).all()
    folder = project.frame_folder
    missing, touched, reread = [], [], []
    for row in rows:
        try:
            status = os.stat(folder / row.path)
        except OSError:
            # What was measured stays valid without the file; a frame never read stays an error.
            if row.error is None:
                missing.append(row.number)
            continue
        if (status.st_size, status.st_mtime_ns) != (row.size_bytes, row.mtime_ns):
            touched.append((row.id, row.number))
        elif row.input != _input(row.header_crc32, rule):
            reread.append((row.id, row.number))
    plan = Plan(params, len(rows), [id_ for id_, _ in touched + reread])
    if touched:
        plan.reasons.append(f"changed on disk, or written anew: frame {numbers([n for _, n in touched])}")
    if reread:
        plan.reasons.append(f"header to be read again: {count(len(reread), 'frame')}")
    if missing:
        plan.notes.append(f"not in {folder} any more: frame {numbers(missing)}")
    return plan


def run(project: Project, plan: Plan, session: Session) -> None:
    """Read the headers again; a content that changed by its bytes makes all that depends on it work."""
    rule = time_rule(project.connection)
    folder = project.frame_folder
    frame = schema.frame
    rows = project.connection.execute(frame.select().where(frame.c.id.in_(plan.work))).all()
    with project.transaction() as connection:
        for row in rows:
            values = read_facts(folder / row.path, rule)
            wcs = values.pop("wcs")
            readable = values["header_crc32"] is not None
            if not readable:
                # What a damaged file said before stays: sources may have been selected in it, at its time.
                values = {name: values[name] for name in ("error", "input", "header_crc32", "size_bytes", "mtime_ns")}
            touched = (values["size_bytes"], values["mtime_ns"]) != (row.size_bytes, row.mtime_ns)
            if row.content_crc32 is not None and touched:
                try:
                    values["content_crc32"], _, _ = content_crc32(folder / row.path)
                except FrameError:
                    values["content_crc32"] = None
            connection.execute(update(frame).where(frame.c.id == row.id).values(**values))
            if readable:
                _save_wcs(connection, row.id, wcs)
        _compare(connection, folder)


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
    """Keep the frames of one filter; those that cannot be read are kept, to be listed.

    Raises
    ------
    PhotdbError
        More than one filter and none wanted, or none of the wanted one: the counts are named.
    """
    counts = Counter(f["filter"] for f in found if f["error"] is None)
    listing = ", ".join(f"{name or 'no filter'}: {n}" for name, n in counts.most_common())
    names = [name for name in counts if wanted is None or (name or "").casefold() == wanted.casefold()]
    if not names and counts:
        raise PhotdbError(f"no frame was taken through the filter {wanted} ({listing})")
    if len(names) > 1:
        raise PhotdbError(f"a project holds one filter, these frames {len(names)} ({listing}): choose with --filter")
    return [f for f in found if f["error"] is not None or f["filter"] in names], names[0] if names else wanted


def add_frames(project: Project, found: list[dict[str, Any]]) -> list[str]:
    """Make surveyed files the project's frames, numbered on from the last one; files it has already are passed over.

    Returns
    -------
    list of str
        What the user should know, in sentences.
    """
    folder = project.frame_folder
    frame = schema.frame
    with project.transaction() as connection:
        known = set(connection.execute(frame.select().with_only_columns(frame.c.path)).scalars())
        last_number, last_jd = connection.exec_driver_sql(
            "SELECT coalesce(max(number), 0), max(jd_utc_mid) FROM frame"
        ).one()
        new = [dict(f, path=relative_posix(f["file"], folder)) for f in found]
        new = [f for f in new if f["path"] not in known]
        for number, facts in enumerate(new, last_number + 1):
            wcs = facts.pop("wcs")
            del facts["file"]
            row = connection.execute(insert(frame).values(number=number, added_at=now(), **facts))
            _save_wcs(connection, (row.inserted_primary_key or (0,))[0], wcs)
        _compare(connection, folder)
    notes = []
    if len(new) < len(found):
        notes.append(f"{count(len(found) - len(new), 'file')} already in the project")
    times = [f["jd_utc_mid"] for f in new if f["jd_utc_mid"] is not None]
    if last_jd is not None and times and min(times) < last_jd:
        notes.append(
            "some of these frames are earlier than frames the project had: numbers stay as they are, so their order"
            " is not the order in time; all computation follows the times"
        )
    return notes


def read_facts(path: Path, rule: TimeRule) -> dict[str, Any]:
    """Read a header into columns of `frame` and `wcs`; what is wrong with the file is the column `error`."""
    columns = {c.name: None for c in schema.frame.columns if c.name not in _NOT_FROM_HEADER}
    values: dict[str, Any] = {**columns, "wcs": None}
    try:
        read = read_header(path)
        values["header_crc32"] = read.header_crc32
        for name in ("size_bytes", "mtime_ns", "hdu", "width_px", "height_px", "bitpix"):
            values[name] = getattr(read, name)
        facts = asdict(interpretation.interpret(read.cards, **asdict(rule)))
        values.update({name: value for name, value in facts.items() if name in values})
        values["header_notes"] = "; ".join(facts["notes"]) or None
        if values["jd_utc_mid"] is None:
            values["error"] = NO_TIME
    except FrameError as error:
        values["error"] = str(error)
        try:
            status = os.stat(path)
            values.update(size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)
        except OSError:
            pass  # the reason is in `error` already
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


def time_rule(connection: Connection) -> TimeRule:
    """Read how times are to be read from headers."""
    table = schema.project
    row = connection.execute(
        table.select().with_only_columns(table.c.time_keyword, table.c.time_means, table.c.time_offset_s)
    ).one()
    return TimeRule(*row)


def _input(header_crc32: int | None, rule: TimeRule) -> int:
    return digest(STAGES["headers"].version, header_crc32, asdict(rule))


def _save_wcs(connection: Connection, frame_id: int, wcs: dict[str, Any] | None) -> None:
    connection.execute(delete(schema.frame_wcs).where(schema.frame_wcs.c.frame_id == frame_id))
    if wcs is not None:
        connection.execute(insert(schema.frame_wcs).values(frame_id=frame_id, **wcs))


def _compare(connection: Connection, folder: Path) -> None:
    """Give frames that differ in size from the others, and copies of others, their reason."""
    frame = schema.frame
    # What was said of a frame beside another may have gone with the other.
    mine = frame.c.error.startswith(_OTHER_SIZE) | frame.c.error.startswith(_COPY)
    connection.execute(update(frame).where(mine).values(error=None))
    good = connection.execute(frame.select().where(frame.c.error.is_(None)).order_by(frame.c.number)).all()
    if not good:
        return
    size = connection.execute(schema.project.select()).one()
    width, height = size.width_px, size.height_px
    if width is None:
        (width, height), _ = Counter((row.width_px, row.height_px) for row in good).most_common(1)[0]
        connection.execute(update(schema.project).values(width_px=width, height_px=height))
    first: dict[tuple[int, int], Any] = {}
    for row in good:
        error = None
        same_header = first.setdefault((row.size_bytes, row.header_crc32), row)
        if (row.width_px, row.height_px) != (width, height):
            error = f"{_OTHER_SIZE} {row.width_px}×{row.height_px} pixels, not {width}×{height} as the others'"
        elif same_header is not row and _same_content(folder / same_header.path, folder / row.path):
            error = f"{_COPY} {same_header.number}"
        if error is not None:
            connection.execute(update(frame).where(frame.c.id == row.id).values(error=error))


def _same_content(one: Path, other: Path) -> bool:
    try:
        return content_crc32(one)[0] == content_crc32(other)[0]
    except FrameError:
        return False
