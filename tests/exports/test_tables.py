import csv
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from click.testing import CliRunner, Result

from photdb.cli import cli
from photdb.store.project import Project
from photdb.store.schema import VIEWS


def export(project: Path, folder: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["export", str(folder), "-p", str(project), *options])


def rows_of(project: Path, view: str) -> tuple[list[str], list[tuple[object, ...]]]:
    with Project.read(project) as opened:
        result = opened.connection.exec_driver_sql(f"SELECT * FROM {view}")  # noqa: S608 - one of VIEWS
        return list(result.keys()), [tuple(row) for row in result.all()]


@pytest.mark.parametrize("view", VIEWS)
def test_csv_holds_every_view_as_it_is(solved: Path, tmp_path: Path, view: str) -> None:
    assert export(solved, tmp_path, "--view", view).exit_code == 0
    with (tmp_path / f"{view}.csv").open(encoding="utf-8", newline="") as file:
        names, *rows = list(csv.reader(file))
    expected_names, expected = rows_of(solved, view)
    assert names == expected_names
    assert len(expected) > 0
    # A float's repr is exact: equal texts are equal bits.
    assert sorted(map(tuple, rows)) == sorted(tuple("" if v is None else str(v) for v in row) for row in expected)


@pytest.mark.parametrize("view", VIEWS)
def test_ecsv_reads_back_with_types_units_and_gaps(solved: Path, tmp_path: Path, view: str) -> None:
    assert export(solved, tmp_path, "--view", view, "--format", "ecsv").exit_code == 0
    table = Table.read(tmp_path / f"{view}.ecsv", format="ascii.ecsv")
    names, rows = rows_of(solved, view)
    assert table.colnames == names
    found = [tuple(None if v is np.ma.masked else v.item() for v in row) for row in table]
    if view == "session":  # one column of numbers and texts
        rows = [(fact, None if value is None else str(value), origin) for fact, value, origin in rows]
    assert sorted(found, key=repr) == sorted(rows, key=repr)


def test_ecsv_has_units(solved: Path, tmp_path: Path) -> None:
    assert (
        export(solved, tmp_path, "--view", "best_light_curve", "--view", "frame_status", "--format", "ecsv").exit_code
        == 0
    )
    curve = Table.read(tmp_path / "best_light_curve.ecsv")
    assert [str(curve[name].unit) for name in ("jd_utc_mid", "mag", "mag_err")] == ["d", "mag", "mag"]
    frames = Table.read(tmp_path / "frame_status.ecsv")
    units = {"exposure_s": "s", "range_adu": "adu", "fwhm_px": "pix", "rotation_deg": "deg", "n_saturated_px": "None"}
    assert {name: str(frames[name].unit) for name in units} == units


@pytest.mark.parametrize("form", ["csv", "ecsv"])
def test_own_files_are_replaced_with_the_same_bytes_and_others_are_kept(
    solved: Path, tmp_path: Path, form: str
) -> None:
    options = ("--view", "light_curve", "--format", form)
    path = tmp_path / f"light_curve.{form}"
    assert export(solved, tmp_path, *options).exit_code == 0
    before = path.read_bytes()
    assert export(solved, tmp_path, *options).exit_code == 0
    assert path.read_bytes() == before
    path.write_text("time,mag\n1,2\n")
    result = export(solved, tmp_path, *options)
    assert result.exit_code == 1
    assert "was not made by this export" in result.output
    assert path.read_text() == "time,mag\n1,2\n"
    assert export(solved, tmp_path, *options, "--overwrite").exit_code == 0
    assert path.read_bytes() == before


def test_an_unknown_view_is_one_sentence(solved: Path, tmp_path: Path) -> None:
    result = export(solved, tmp_path, "--view", "sqlite_master")
    assert result.exit_code == 1
    assert "there is no view sqlite_master" in result.output.lower()
    assert list(tmp_path.iterdir()) == []


def test_format_needs_a_view(solved: Path, tmp_path: Path) -> None:
    assert export(solved, tmp_path, "--format", "ecsv").exit_code == 2
