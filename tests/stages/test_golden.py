"""The numbers of every stage on one fixed night: where they change, the stage's version must be raised with them.

After raising the version in `photdb/stages/__init__.py`, write the new figures: `python tests/stages/test_golden.py`.
"""

import json
import math
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from photdb.cli import cli
from photdb.simulate import NightPlan, clicks, simulate_night
from photdb.stages import ASKED_FOR, STAGES
from photdb.store import schema
from photdb.store.project import Project

GOLDEN = Path(__file__).with_name("golden.json")
#: Digests and ids are no figures; sizes of solutions' tables follow from the others.
IGNORED = {"id", "frame_id", "source_id", "aperture_id", "target_id", "solution_id", "input", "error_input"}
ALL = STAGES | ASKED_FOR
IGNORED |= {"worst_frame_id", "detection_digest", "header_crc32", "size_bytes", "mtime_ns", "content_crc32", "number"}


def figures(folder: Path) -> dict[str, dict[str, object]]:
    """Run every stage on the night; give each stage's version, and sums over each column of its tables."""
    plan = NightPlan(n_frames=40, width_px=320, height_px=260, n_stars=120, seed=7)
    truth = simulate_night(folder / "frames", plan)
    path = folder / "golden.photdb"

    def run(*line: object) -> None:
        environment = {"PHOTDB_PROJECT": str(path)}
        result = CliRunner().invoke(cli, [str(a) for a in line], env=environment, catch_exceptions=False)
        assert result.exit_code == 0, result.output

    run("init", folder / "frames", "-p", path)
    run("qc", "--max-nonuniformity", 8)
    run("shifts")
    for label, role in zip(truth.labels, truth.roles, strict=True):
        run("select", role, label, *(v for at in clicks(truth)[label] for v in ("--at", *at)))
    run("measure", "--apertures", "3,14,22", "5,14,22")
    run("check")
    run("solve", "--weighting", "all")
    run("measure", "--hits", "mend", "--remove-stars")  # and with it the stages that are asked for
    out: dict[str, dict[str, object]] = {}
    with Project.read(path) as project:
        for stage in ALL.values():
            sums: dict[str, list[float]] = {}
            for table in stage.tables:
                for column in schema.metadata.tables[table].columns:
                    if column.name in IGNORED or column.type.python_type is str:
                        continue
                    values = project.connection.exec_driver_sql(
                        f"SELECT {column.name} FROM {table} WHERE {column.name} IS NOT NULL"  # noqa: S608
                    ).scalars()
                    numbers = [float(v) for v in values]
                    sums[f"{table}.{column.name}"] = [
                        len(numbers),
                        math.fsum(numbers),
                        math.fsum(abs(v) for v in numbers),
                    ]
            out[stage.name] = {"version": stage.version, "sums": sums}
    return out


def test_numbers_change_only_with_the_version(tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text())
    found = figures(tmp_path)
    for name, stage in ALL.items():
        assert golden[name]["version"] == stage.version, f"write {GOLDEN.name} anew: {name} has a new version"
        assert found[name]["sums"].keys() == golden[name]["sums"].keys()
        for column, (n, total, size) in golden[name]["sums"].items():
            here = found[name]["sums"][column]
            message = f"{column} changed: raise the version of {name}"
            assert here[0] == n, message
            assert here[1] == pytest.approx(total, rel=0, abs=1e-7 * size + 1e-12), message
            assert here[2] == pytest.approx(size, rel=1e-7, abs=1e-12), message


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(json.dumps(figures(Path(folder)), indent=1) + "\n")
