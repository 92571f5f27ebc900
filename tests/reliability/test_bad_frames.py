"""Bad frames among good ones: each is named with its reason, none costs anything, and the good ones' numbers stay."""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fits_mutator import NAMES, NO_TEXT, Bad, corpus, odd_places, with_cards
from nights import FOLDERS, Night, invoke, snapshot

from photdb.algorithms.cards import as_angle, as_number, parse_cards
from photdb.store.project import Project
from photdb.wording import count

#: A command on all of them may take so much of a processor: none takes a tenth of it. And so long, which stops a hang.
LIMIT_CPU_S = 60
LIMIT_S = 400
#: By how much a process may exceed, in memory, one that works on the good frames alone. A frame has 0.14 MB.
LIMIT_MIB = 100
#: And what no command may ask the system for, be it only to reserve it.
RESERVED = 4 << 30

#: A command in a process of its own, warnings errors, memory limited; its peak is written where it is told to.
COMMAND = """
import atexit, resource, sys
from pathlib import Path
peak = Path(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv.pop(1)),) * 2)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv.pop(1)),) * 2)
status = Path("/proc/self/status")
if status.exists():
    atexit.register(lambda: peak.write_text(status.read_text().partition("VmHWM:")[2].split()[0]))
from photdb.cli import main
main()
"""


@dataclass
class Session:
    """A project of some frames, brought as far as fluxes by commands of their own."""

    folder: Path
    name: str
    said: dict[str, str] = field(default_factory=dict)  # by command
    peak_mib: dict[str, float] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.photdb"

    def photdb(self, command: str, *arguments: object) -> None:
        peak = self.folder / f"{self.name}.peak"
        words = [sys.executable, "-W", "error", "-c", COMMAND, peak, RESERVED, LIMIT_CPU_S, command, *arguments]
        done = subprocess.run(
            [os.fsencode(str(word)) for word in words],
            env={**os.environ, "PHOTDB_PROJECT": str(self.path)},
            capture_output=True,
            timeout=LIMIT_S,
        )
        said, errors = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert done.returncode == 0, errors
        assert "Traceback" not in errors
        assert "Warning" not in errors
        self.said[command] = said + errors
        if peak.exists():
            self.peak_mib[command] = int(peak.read_text()) / 1024

    def rows(self, sql: str) -> list[tuple]:
        with Project.read(self.path) as project:
            return [tuple(row) for row in project.connection.exec_driver_sql(sql)]

    def run(self, frames: Path, good: list[str], night: Night) -> None:
        """Measure all frames, those of the night's sources as in the night, and in apertures that are given."""
        self.photdb("init", frames, "--filter", "R")
        # A fact that no good frame tells is taken from whichever does, and one of the odd ones tells of a telescope.
        self.photdb("set", "--aperture-diameter", 0.2)
        number = {Path(path).name: n for n, path in self.rows("SELECT number, path FROM frame")}
        self.photdb("qc", "-j", 1)
        self.photdb("shifts", "--reference-frame", number[good[0]], "-j", 1)
        for label, role in zip(night.truth.labels, night.truth.roles, strict=True):
            at = [0, len(good) - 1] if role == "asteroid" else [0]
            places = [v for i in at for v in ("--at", number[good[i]], *night.place(label, i + 1))]
            result = invoke("select", role, label, *places, env={"PHOTDB_PROJECT": str(self.path)})
            assert result.exit_code == 0, result.stderr
        self.photdb("measure", "--apertures", "3,10,16", "optimal,10,16", "-j", 1)
        self.photdb("times")
        self.photdb("status")
        assert "Everything is up to date" in self.said["status"] or "Next: photdb check" in self.said["status"]


@dataclass
class Both:
    """The same night without and with the bad frames."""

    without: Session
    with_bad: Session
    good: list[str]
    bad: list[Bad]
    odd: dict[str, str]


@pytest.fixture(scope="module")
def both(built_night: Night, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("bad frames")
    good = [built_night.truth.file_names[i] for i in FOLDERS["frames"]]
    for name in ("clean", "mixed"):
        (folder / name).mkdir()
        for file in good:
            os.link(built_night.folder / "frames" / file, folder / name / file)
    mixed = folder / "mixed"
    frame = (mixed / good[7]).read_bytes()
    bad = corpus(frame)
    for i, name in enumerate(NAMES):  # good ones, but for a time and a name that are no one else's
        bad.append(Bad(name, with_cards(frame, DATE_OBS=f"'2011-10-01T23:{i:02d}:07'")))
    for one in bad:
        (mixed / one.name).write_bytes(one.content)
    Path(os.fsdecode(os.fsencode(mixed) + b"/" + NO_TEXT)).write_bytes(frame)
    odd = odd_places(mixed, frame)
    sessions = {name: Session(folder, name) for name in ("clean", "mixed")}
    for name, session in sessions.items():
        session.run(folder / name, good, built_night)
    return Both(sessions["clean"], sessions["mixed"], good, bad, odd)


# --- what took ages ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "value", [" " * 10 + "1" * 20 + " " * 10 + "1" * 20 + "x", "1 " * 39 + "x", "1" * 78 + "#", "1" * 10**6]
)
def test_what_is_no_angle_or_number_is_soon_known(value: str) -> None:
    start = time.process_time()
    assert as_angle(value) is None
    assert as_number(value) is None
    assert time.process_time() - start < 0.1


def test_long_texts_are_cut() -> None:
    start = time.process_time()
    cards = parse_cards(b"OBJECT  = 'a&'".ljust(80) + b"CONTINUE  'and on&'".ljust(80) * 70_000)
    assert cards["OBJECT"].startswith("aand onand on")
    assert len(cards["OBJECT"]) == 1000
    assert time.process_time() - start < 5


def test_texts_keep_what_can_be_printed() -> None:
    block = b"".join(
        card.ljust(80) for card in (b"A       = 'x\x1b[31my\x00\x07'", b"B       = 'Gr\xc3\xb6\xc3\x9fe\t1\x9b'")
    )
    assert parse_cards(block) == {"A": "x?[31my??", "B": "GrÃ¶Ã?e 1?"}
    assert parse_cards(b"C       = 'Gr\xc3\xb6\xc3\x9fe \xe2\x80\xae\xc2\xa0m'".ljust(80)) == {"C": "Größe ? m"}


def reasons(session: Session) -> dict[str, str | None]:
    """Give by name why frames cannot be used."""
    rows = session.rows(
        "SELECT f.path, coalesce(f.error, q.error) FROM frame f LEFT JOIN frame_quality q ON q.frame_id = f.id"
    )
    return {Path(path).name: error for path, error in rows}


def test_each_bad_frame_has_its_reason(both: Both) -> None:
    found = reasons(both.with_bad)
    # Those whose filter was damaged are passed over, and counted; the one without a name in letters is said.
    other_filter = {bad.name for bad in both.bad} - set(found)
    assert "text-filter.fits" in other_filter
    assert len(other_filter) < 5, other_filter
    assert f"{count(len(other_filter), 'frame')} of other filters passed over" in both.with_bad.said["init"]
    assert "'no\\udcfftext.fits'" in both.with_bad.said["init"]
    wrong = {}
    for name, reason in [*((bad.name, bad.reason) for bad in both.bad), *both.odd.items()]:
        error = found.get(name)
        if name not in other_filter and reason is not None and not (error and re.search(reason, error)):
            wrong[name] = reason, error
    assert not wrong
    for name in ("folder.fits", "to-folder.fits", "inside.fits"):
        assert name not in found
    lines = both.with_bad.said["init"].splitlines()
    refused = both.with_bad.rows("SELECT number, error FROM frame WHERE error IS NOT NULL")
    said = {number for number, _ in refused if any(line.startswith(f"  frame {number} (") for line in lines)}
    assert said == {number for number, _ in refused}
    assert len(refused) > 250


def test_what_is_kept_of_headers_can_be_printed(both: Both) -> None:
    texts = ("time_source", "time_note", "filter", "object", "observer", "header_notes", "site_note", "error")
    rows = both.with_bad.rows(f"SELECT path, {', '.join(texts)} FROM frame")
    wrong = {path: text for path, *values in rows for text in values if text and not text.isprintable()}
    assert not wrong
    assert max(len(text) for _, *values in rows for text in values if text) < 20_000
    assert any("red" in (row[4] or "") for row in rows)


def test_odd_pixels_are_flagged(both: Both) -> None:
    flags = {Path(path).name: f for path, f in both.with_bad.rows(
        "SELECT path, q.flags FROM frame JOIN frame_quality q ON q.frame_id = frame.id")}  # fmt: skip
    odd = [bad.name for bad in both.bad if bad.flagged]
    assert len(odd) > 20
    assert [name for name in odd if not flags[name]] == []


def test_the_numbers_of_the_good_frames_stay(both: Both) -> None:
    tables = ("frame", "frame_wcs", "frame_quality", "detection", "shift", "centroid", "flux", "frame_error", "profile")
    kept: list[dict[str, list[str]]] = []
    for session in (both.without, both.with_bad):
        with Project.read(session.path) as project:
            found = snapshot(project, *tables)
        mine = {}
        for table, rows in found.items():
            ours = [row for row in rows if any(name in row for name in both.good)]
            mine[table] = sorted(re.sub(r"'number': \d+, |(clean|mixed)/", "", row) for row in ours)
        kept.append(mine)
    assert [len(rows) for rows in kept[0].values()] == [20, 0, 20, len(kept[1]["detection"]), 20, 140, 280, 20, 20]
    assert kept[0] == kept[1]


def test_memory_stays_within_its_limit(both: Both) -> None:
    peaks = both.with_bad.peak_mib
    assert set(peaks) == (set(both.with_bad.said) if sys.platform == "linux" else set())
    assert set(both.with_bad.said) == {"init", "set", "qc", "shifts", "measure", "times", "status"}
    over = {command: peaks[command] - peak for command, peak in both.without.peak_mib.items()}
    assert max(over.values(), default=0.0) < LIMIT_MIB, over
