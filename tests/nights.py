"""A small simulated night, and what tests of whole sessions do with it: commands, snapshots, interruptions, spies."""

import contextlib
import inspect
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from photdb.cli import cli
from photdb.simulate import clear_night, simulate_night
from photdb.simulate.truth import Truth
from photdb.store.project import Project

PLAN = clear_night(
    n_frames=34,
    width_px=300,
    height_px=240,
    seed=3,
    n_stars=60,
    fwhm_px=3.0,
    duration_h=3.4,
    reference_flux_adu=(150_000.0, 120_000.0, 100_000.0, 80_000.0),
    variable=True,
)
#: The night's frames by folder: those the project begins with, four that are earlier, ten that are later.
FOLDERS = {"early": range(0, 4), "frames": range(4, 24), "late": range(24, 34)}
N_FRAMES = len(FOLDERS["frames"])
N_SOURCES = 7

RESULTS = (
    "frame",
    "frame_wcs",
    "frame_quality",
    "detection",
    "shift",
    "centroid",
    "flux",
    "frame_error",
    "target_coordinates",
    "target_time",
    "profile",
    "correction_input",
    "correction",
    "reference_check",
    "source_noise",
    "search",
    "solution",
    "solution_reference",
    "solution_point",
    "solution_term",
    "check_curve",
    "check_point",
)
#: Of stages that only some commands ask for.
ASKED_FOR = (
    "field",
    "field_frame",
    "field_star",
    "field_profile",
    "hot_pixel",
    "encounter_input",
    "encounter",
    "hit_input",
    "hit",
)
DECISIONS = ("source", "source_anchor", "ephemeris", "camera", "aperture", "rejection", "acceptance", "rule", "project")
_NOT_COMPARED = {"id", "added_at", "mtime_ns", "created_at", "withdrawn_at", "removed_at", "group_id", "name"}
_NOT_COMPARED |= {"measured_at"}


def invoke(*arguments: object, env: dict[str, str] | None = None) -> Result:
    """Run a command in this process; whatever is no answer to the user is raised."""
    apart = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    return CliRunner(**apart).invoke(cli, [str(a) for a in arguments], env=env, catch_exceptions=False)


@dataclass
class Night:
    """A folder with the frames of the night and a project of it."""

    folder: Path
    truth: Truth

    @property
    def path(self) -> Path:
        return self.folder / "night.photdb"

    def photdb(self, *arguments: object, code: int | None = 0) -> Result:
        """Run a command on the project, and see that it ends as it should (0 or 1 where `code` is None)."""
        result = invoke(*arguments, env={"PHOTDB_PROJECT": str(self.path)})
        wanted = (0, 1) if code is None else (code,)
        assert result.exit_code in wanted, (result.exit_code, result.stdout, result.stderr)
        if code:
            assert "Traceback" not in result.stderr
        return result

    def refused(self, *arguments: object, code: int = 1) -> str:
        """Run a command that is refused, with -q; gives the one sentence (after the usage, where it was misused)."""
        result = self.photdb(*arguments, "-q", code=code)
        assert result.stdout == ""
        *before, last = [line for line in result.stderr.splitlines() if line]
        assert last.startswith("Error: "), result.stderr
        assert len(before) == (0 if code == 1 else 2), result.stderr
        return last.removeprefix("Error: ")

    def frame_path(self, number: int) -> Path:
        """Give where a frame's file is."""
        return self.folder / "frames" / self.one("SELECT path FROM frame WHERE number = ?", number)

    def frame(self, number: int) -> Path:
        """Give a frame's file by its number, as one that may be changed."""
        file = self.frame_path(number)
        if file.stat().st_nlink > 1:  # shared with the other tests
            shutil.copy2(file, file.with_suffix(".own"))
            os.replace(file.with_suffix(".own"), file)
        return file

    def replace_frame(self, number: int, index: int) -> None:
        """Put other pixels into a frame: those of the night's frame of that index, from 0."""
        source = next(f for f in self.folder.rglob(self.truth.file_names[index]) if f.is_file())
        shutil.copyfile(source, self.frame(number))

    def place(self, label: str, number: int) -> tuple[float, float]:
        """Give where a source truly is in a frame of the folder `frames`, by its number there."""
        index, k = FOLDERS["frames"][number - 1], self.truth.labels.index(label)
        return round(float(self.truth.x_px[index, k]), 1), round(float(self.truth.y_px[index, k]), 1)

    def at(self, label: str, *numbers: int) -> list[object]:
        """Give the options that select a source in some frames."""
        return [v for n in numbers for v in ("--at", n, *self.place(label, n))]

    def rows(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
        with Project.read(self.path) as project:
            return [tuple(row) for row in project.connection.exec_driver_sql(sql, arguments).all()]

    def one(self, sql: str, *arguments: object) -> Any:
        """Give the one value of a query."""
        ((value,),) = self.rows(sql, *arguments)
        return value

    def change(self, sql: str, *arguments: object) -> None:
        """Write behind the back of the commands."""
        with Project.write(self.path, "test") as project, project.transaction() as connection:
            connection.exec_driver_sql(sql, arguments)

    def states(self) -> dict[str, str]:
        return {s["stage"]: s["state"] for s in self.status()["stages"]}

    def work(self) -> dict[str, int]:
        """Give how many units of each stage are out of date; stages without any are left out."""
        return {s["stage"]: s["work"] for s in self.status()["stages"] if s["work"]}

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.photdb("status", "--json").stdout)
        return found

    def runs(self) -> Counter[str]:
        """Count the runs of each stage."""
        return Counter(stage for (stage,) in self.rows("SELECT stage FROM stage_run"))

    def snapshot(self, *tables: str) -> dict[str, list[str]]:
        """Give tables (all results by default) with frames by number, sources by label: what two projects share."""
        with Project.read(self.path) as project:
            return snapshot(project, *tables)


def snapshot(project: Project, *tables: str) -> dict[str, list[str]]:
    """Give rows of tables as sorted text, to the last bit of each number, without ids and moments."""
    query = project.connection.exec_driver_sql
    names: dict[str, dict[int, object]] = {
        "frame": {i: path for i, path in query("SELECT id, path FROM frame")},
        "source": {
            i: label if removed is None else f"{label}, removed"
            for i, label, removed in query("SELECT id, label, removed_at FROM source")
        },
        "aperture": {
            i: spec
            for i, *spec in query(
                "SELECT id, kind, radius_px, radius_fwhm, annulus_inner_px, annulus_outer_px, sky FROM aperture"
            )
        },
    }
    names["solution"] = {i: (names["source"][t], r) for i, t, r in query("SELECT id, target_id, rank FROM solution")}
    found = {}
    for table in tables or RESULTS:
        cursor = query(f"SELECT * FROM {table}")
        rows = []
        for row in cursor.mappings():
            values = {}
            for column, value in row.items():
                if column.endswith("_id") and column not in _NOT_COMPARED:
                    of = column.removesuffix("_id").removeprefix("worst_").removeprefix("reference_")
                    value = value and names[of.replace("target", "source")][value]
                elif column in _NOT_COMPARED:
                    value = column in ("withdrawn_at", "removed_at") and value is not None
                values[column] = value
            rows.append(repr(values))
        found[table] = sorted(rows)
    return found


# --- building it once -------------------------------------------------------------------------------------------------
#: How far a session can have got; the projects of a built night are kept at each.
POINTS = ("new", "shifted", "selected", "measured", "solved")


def build_night(folder: Path) -> Night:
    """Simulate the night, and bring a project of it through all stages, with a copy at each point."""
    truth = simulate_night(folder / "all", PLAN)
    for name, indices in FOLDERS.items():
        (folder / name).mkdir()
        for i in indices:
            (folder / "all" / truth.file_names[i]).rename(folder / name / truth.file_names[i])
    night = Night(folder, truth)
    night.photdb("init", folder / "frames")
    keep(night, "new")
    night.photdb("qc")
    night.photdb("shifts")
    keep(night, "shifted")
    select_all(night)
    keep(night, "selected")
    night.photdb("measure")
    keep(night, "measured")
    night.photdb("run")
    keep(night, "solved")
    night.path.unlink()
    return night


def select_all(night: Night) -> None:
    """Select the night's sources, as an observer would."""
    for label, role in zip(night.truth.labels, night.truth.roles, strict=True):
        night.photdb("select", role, label, *night.at(label, *([1, 20] if role == "asteroid" else [1])))


def keep(night: Night, point: str) -> None:
    shutil.copy2(night.path, night.folder / f"{point}.kept")


def copy_night(built: Night, folder: Path, point: str) -> Night:
    """Copy a built night, with its project at a point; frames are shared until `Night.frame` gives one out."""
    folder.mkdir(parents=True)
    for name in FOLDERS:
        (folder / name).mkdir()
        for file in (built.folder / name).iterdir():
            try:
                os.link(file, folder / name / file.name)
            except OSError:
                shutil.copy2(file, folder / name / file.name)
    shutil.copy2(built.folder / f"{point}.kept", folder / "night.photdb")
    return Night(folder, built.truth)


# --- interruptions and spies ------------------------------------------------------------------------------------------
@dataclass
class Reads:
    """The files that were read, by name: whole, as cut-outs, or for their digest alone."""

    pixels: list[str] = field(default_factory=list)
    cutouts: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)

    def clear(self) -> None:
        for names in (self.pixels, self.cutouts, self.digests):
            names.clear()


def spy_on_reads(monkeypatch: Any) -> Reads:
    """Note every reading of a frame in this process."""
    from photdb import frames

    reads = Reads()
    pixels, reader, crc = frames.read_pixels, frames.FrameReader, frames.content_crc32

    def noting(into: list[str], function: Any) -> Any:
        def noted(path: Path) -> Any:
            into.append(Path(path).name)
            return function(path)

        return noted

    monkeypatch.setattr(frames, "read_pixels", noting(reads.pixels, pixels))
    monkeypatch.setattr(frames, "FrameReader", noting(reads.cutouts, reader))
    monkeypatch.setattr(frames, "content_crc32", noting(reads.digests, crc))
    return reads


def small_steps(monkeypatch: Any) -> None:
    """Have stages work and commit in steps of few frames, so that there is a middle to interrupt."""
    from photdb.stages import measurements, qc, runner, shifts

    monkeypatch.setattr(qc, "_CHUNK", 3)
    monkeypatch.setattr(shifts, "_CHUNK", 3)
    monkeypatch.setattr(measurements, "_MOST_STAMPS", 20)
    monkeypatch.setattr(runner, "COMMIT_FRAMES", 5)


def interrupt_after(monkeypatch: Any, label: str, calls: int) -> None:
    """Have Ctrl-C pressed when the progress of a stage was told so many times."""
    from photdb.cli.common import Console

    @contextlib.contextmanager
    def progress(self: Console, shown: str, total: int) -> Iterator[Any]:
        left = calls

        def advance(n: int) -> None:
            nonlocal left
            left -= 1
            if shown == label and left == 0:
                raise KeyboardInterrupt

        yield advance

    monkeypatch.setattr(Console, "progress", progress)
