import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from photdb.cli import cli
from photdb.errors import PhotdbError
from photdb.exports.files import Draft, safe_name, write_files
from photdb.store.project import Project

HALF_MAG, HALF_JD, HALF_PX = 0.5001e-5, 0.6e-8, 0.5001e-3  # half a last digit; a Julian date itself has 5e-10


def export(project: Path, folder: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["export", str(folder), "-p", str(project), *options])


def ask(project: Path, sql: str, *arguments: object) -> list[tuple[object, ...]]:
    with Project.read(project) as opened:
        return [tuple(row) for row in opened.connection.exec_driver_sql(sql, arguments).all()]


def headings(path: Path) -> list[str]:
    comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return comments[-1].removeprefix("# ").split("\t")


@pytest.fixture(scope="module")
def files(solved: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    result = export(solved, folder)
    assert result.exit_code == 0, result.output
    assert "not all is up to date" not in result.output
    return {path.name.removeprefix("small_night-").removesuffix(".txt"): path for path in folder.iterdir()}


def test_the_files_are_those_that_are_documented(files: dict[str, Path]) -> None:
    assert sorted(files) == [
        "01_frames",
        "02_quality",
        "03_shifts",
        "04_positions",
        "05_instrumental_magnitudes_aperture_1_r3",
        "05_instrumental_magnitudes_aperture_2_r4.5",
        "06_reference_check",
        "07_combinations_Ganymed",
        "07_combinations_x_y",
        "08_best_diff_magnitudes_Ganymed",
        "08_best_diff_magnitudes_x_y",
        "09_rejections",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "02_quality",
        "03_shifts",
        "04_positions",
        "05_instrumental_magnitudes_aperture_1_r3",
        "08_best_diff_magnitudes_Ganymed",
    ],
)
def test_loadtxt_reads_files_of_numbers_without_being_told_anything(files: dict[str, Path], name: str) -> None:
    values = np.loadtxt(files[name])
    assert values.shape == (24, len(headings(files[name])))
    np.testing.assert_array_equal(values[:, 0], np.arange(1, 25))


def test_frames(solved: Path, files: dict[str, Path]) -> None:
    numbers = np.loadtxt(files["01_frames"], delimiter="\t", usecols=range(5))
    rows = ask(solved, "SELECT number, jd_utc_mid, accepted, exposure_s, airmass FROM frame_status ORDER BY number")
    np.testing.assert_allclose(numbers, np.array(rows, float), rtol=0, atol=5.001e-5)
    np.testing.assert_allclose(numbers[:, 1], [row[1] for row in rows], rtol=0, atol=HALF_JD)
    text = [line.split("\t") for line in files["01_frames"].read_text(encoding="utf-8").splitlines()[-24:]]
    assert [row[5] for row in text] == [f"night-{n:04d}.fits" for n in range(1, 25)]
    assert text[8][2] == "0"
    assert text[8][6] == "by hand"
    assert text[0][6] == "-"


def test_positions(solved: Path, files: dict[str, Path]) -> None:
    column = headings(files["04_positions"]).index("x_px R2")
    values = np.loadtxt(files["04_positions"])
    rows = ask(
        solved,
        "SELECT c.x_px, c.y_px, c.flags FROM centroid c JOIN source s ON s.id = c.source_id AND s.label = 'R2'"
        " JOIN frame f ON f.id = c.frame_id ORDER BY f.number",
    )
    np.testing.assert_allclose(values[:, column : column + 3], np.array(rows, float), rtol=0, atol=HALF_PX)


def test_instrumental_magnitudes_are_of_the_measured_fluxes(solved: Path, files: dict[str, Path]) -> None:
    path = files["05_instrumental_magnitudes_aperture_2_r4.5"]
    names = headings(path)
    assert len(names) == 3 + 3 * 10
    values = np.loadtxt(path)
    for label in ("Ganymed", "C1", "R 7 = ü✓"):
        rows = np.array(
            ask(
                solved,
                "SELECT x.flux_adu, x.flux_err_adu, x.flags FROM flux x JOIN source s ON s.id = x.source_id"
                " JOIN frame f ON f.id = x.frame_id WHERE s.label = ? AND x.aperture_id = 2 ORDER BY f.number",
                label,
            ),
            float,
        )
        column = names.index(f"mag {label}")
        mag, err = -2.5 * np.log10(rows[:, 0]), 2.5 / np.log(10) * rows[:, 1] / rows[:, 0]
        np.testing.assert_allclose(values[:, column], mag, rtol=0, atol=HALF_MAG)
        np.testing.assert_allclose(values[:, column + 1], err, rtol=0, atol=HALF_MAG)
        np.testing.assert_array_equal(values[:, column + 2], rows[:, 2])


@pytest.mark.parametrize(("target", "name"), [("Ganymed", "Ganymed"), ("../../x y", "x_y")])
def test_best_curves_are_those_of_the_project(solved: Path, files: dict[str, Path], target: str, name: str) -> None:
    values = np.loadtxt(files[f"08_best_diff_magnitudes_{name}"])
    ((zero,),) = ask(solved, "SELECT zero_mag FROM best_combination WHERE target = ? AND rank = 1", target)
    assert headings(files[f"08_best_diff_magnitudes_{name}"])[23:] == [
        *("hjd_utc_mid", "bjd_tdb_mid", "light_time_s"),
        *(["mag_standard_1"] if zero is not None else []),
        "mag_check C1",
        "mag_err_check C1",
    ]
    expected = np.full((24, 20), np.nan)
    for rank, frame, mag, err in ask(
        solved, "SELECT rank, frame, mag, mag_err FROM light_curve WHERE target = ?", target
    ):
        expected[frame - 1, 2 * rank - 2 : 2 * rank] = mag, err
    assert np.isfinite(expected).sum() > 15 * 20
    np.testing.assert_allclose(values[:, 3:23], expected, rtol=0, atol=HALF_MAG)
    times = ask(
        solved,
        "SELECT m.hjd_utc_mid, m.bjd_tdb_mid FROM target_time m JOIN source s ON s.id = m.target_id JOIN frame f"
        " ON f.id = m.frame_id WHERE s.label = ? ORDER BY f.jd_utc_mid",
        target,
    )
    np.testing.assert_allclose(values[:, 23:25], np.array(times), rtol=0, atol=0.6e-8)
    assert np.isnan(values[:, 25]).all()  # no distance, no light time
    if zero is not None:
        np.testing.assert_allclose(values[:, 26], values[:, 3] + zero, rtol=0, atol=2 * HALF_MAG)
    checks = ask(solved, "SELECT frame, mag, mag_err FROM check_light_curve WHERE target = ? ORDER BY frame", target)
    known = np.isfinite(values[:, -2])
    assert known.sum() == len(checks) > 15
    order = np.argsort(values[known, 0])
    np.testing.assert_allclose(values[known][order][:, [0, -2, -1]], np.array(checks, float), rtol=0, atol=HALF_MAG)
    head = files[f"08_best_diff_magnitudes_{name}"].read_text(encoding="utf-8")
    ((size,),) = ask(solved, "SELECT amplitude_mag FROM fitted_term WHERE target = ? AND rank = 1", target)
    assert f"# DETRENDED: fitted to each curve and taken out of it; of the best: airmass {size:.5f} +- " in head
    combinations = np.loadtxt(files[f"07_combinations_{name}"], delimiter="\t", usecols=range(12))
    wanted = ask(
        solved,
        "SELECT rank, noise_mag, noise_mag_err, noise_robust_mag, drift_mag, aperture_id, radius_px, annulus_inner_px,"
        " annulus_outer_px, n_references, n_frames, n_points FROM best_combination WHERE target = ? ORDER BY rank",
        target,
    )
    np.testing.assert_allclose(combinations, np.array(wanted, float), rtol=0, atol=HALF_MAG)


def test_rejections_are_told_with_their_reasons(files: dict[str, Path]) -> None:
    lines = [line.split("\t") for line in files["09_rejections"].read_text(encoding="utf-8").splitlines()]
    rows = [row for row in lines if not row[0].startswith("#")]
    assert ["5", "nan", "0", "rejection", "Ganymed", "-", "crosses a star #1"] in rows
    assert ["9", "nan", "0", "rejection", "-", "-", "by hand"] in rows
    (overruled,) = [row for row in rows if row[2] == "1"]
    assert overruled[0] == "24"
    frames = np.loadtxt(files["09_rejections"], delimiter="\t", usecols=(0,))
    assert sorted(frames) == [5, 6, 9, 24]


def test_a_second_export_gives_the_same_bytes(solved: Path, files: dict[str, Path]) -> None:
    folder = files["01_frames"].parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert export(solved, folder).exit_code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_project_is_left_as_it_was(solved: Path, tmp_path: Path) -> None:
    before = solved.read_bytes()
    assert export(solved, tmp_path / "out").exit_code == 0
    assert solved.read_bytes() == before


def test_nothing_leaves_the_folder(solved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b" / "c"
    assert export(solved, folder).exit_code == 0
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(folder.iterdir())
    assert len(set(folder.iterdir())) == 12


def test_a_file_of_others_is_not_overwritten_and_nothing_is_written(solved: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "small_night-09_rejections.txt"
    foreign.write_text("my notes\n")
    result = export(solved, tmp_path)
    assert result.exit_code == 1
    assert "was not made by this export" in result.output
    assert [path.name for path in tmp_path.iterdir()] == [foreign.name]
    assert foreign.read_text() == "my notes\n"
    assert export(solved, tmp_path, "--overwrite").exit_code == 0
    assert foreign.read_text(encoding="utf-8").startswith("# photdb export: ")


def test_a_file_in_place_of_the_folder_is_one_sentence(solved: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    result = export(solved, tmp_path / "out")
    assert result.exit_code == 1
    assert "There is a file" in result.output


def test_what_is_out_of_date_is_said_and_exported_all_the_same(solved: Path, tmp_path: Path) -> None:
    shutil.copytree(solved.parent, tmp_path / "copy")
    project = tmp_path / "copy" / solved.name
    result = CliRunner().invoke(cli, ["reject", "frames", "2", "-p", str(project)])
    assert result.exit_code == 0
    result = export(project, tmp_path / "out")
    assert result.exit_code == 0
    assert "solve: asteroid Ganymed: " in result.output
    assert (tmp_path / "out" / "small_night-08_best_diff_magnitudes_Ganymed.txt").is_file()


def test_files_of_an_earlier_export_that_are_no_more_are_named(solved: Path, tmp_path: Path) -> None:
    shutil.copytree(solved.parent, tmp_path / "copy")
    project = tmp_path / "copy" / solved.name
    assert export(project, tmp_path / "out").exit_code == 0
    assert CliRunner().invoke(cli, ["select", "remove", "../../x y", "-p", str(project)]).exit_code == 0
    result = export(project, tmp_path / "out")
    assert "small_night-07_combinations_x_y.txt" in result.output
    assert (tmp_path / "out" / "small_night-07_combinations_x_y.txt").is_file()


def test_a_project_without_measurements_exports_what_there_is(solved: Path, tmp_path: Path) -> None:
    frames = str(solved.parent / "frames")
    assert CliRunner().invoke(cli, ["init", frames, "-p", str(tmp_path / "new.photdb")]).exit_code == 0
    result = export(tmp_path / "new.photdb", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["new-01_frames.txt", "new-09_rejections.txt"]


@given(st.lists(st.text(max_size=64), max_size=8))
def test_names_are_safe_and_differ(labels: list[str]) -> None:
    taken: set[str] = set()
    names = [safe_name(label, taken) for label in labels]
    assert len({name.lower() for name in names}) == len(labels)
    for name in names:
        assert name[0].isalnum()
        assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def test_a_link_in_the_folder_is_replaced_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("# photdb export: old\n")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.txt").symlink_to(outside)
    write_files(folder, [Draft("a.txt", "new\n", "# photdb export: ")])
    assert outside.read_text() == "# photdb export: old\n"
    assert (folder / "a.txt").read_text() == "new\n"
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt"]


def test_a_folder_in_the_way_is_refused_even_with_overwrite(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(PhotdbError, match="not made by this export"):
        write_files(tmp_path, [Draft("a.txt", "new\n", "mark")], overwrite=True)
