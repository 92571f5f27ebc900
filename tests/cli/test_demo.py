import re
import shlex
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from click.testing import CliRunner, Result

from photdb.cli import cli
from photdb.simulate import load_truth
from photdb.store.project import Project
from photdb.viewers.best_curve import read_best_curve


def demo(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(cli, ["demo", str(folder), "-j", "1", *options])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo") / "a demo"
    here, mine = Path.cwd(), folder.with_name("mine.photdb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHOTDB_PROJECT", str(mine))  # of the user, and no business of the demo's
        result = demo(folder, "--frames", "40")
    assert result.exit_code == 0, result.output
    assert not mine.exists()
    assert Path.cwd() == here
    return folder, result.output


def best_curve(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    with Project.read(folder / "demo.photdb") as project:
        rows = project.connection.exec_driver_sql("SELECT frame, mag FROM best_light_curve ORDER BY frame").all()
    return np.array([row.frame for row in rows]), np.array([row.mag for row in rows])


def test_the_curve_is_as_near_to_the_truth_as_theory_lets_expect(done: tuple[Path, str]) -> None:
    folder, output = done
    said = re.search(
        r"by ([\d.]+) mmag rms \(a constant removed, (\d+) frames\)\. Its noise_mag is ([\d.]+) ± [\d.]+ mmag;"
        r" the CCD equation expects ([\d.]+) mmag",
        output,
    )
    assert said is not None
    frame, mag = best_curve(folder)
    truth = load_truth(folder / "frames")
    difference = mag - truth.mag[frame - 1, 0]
    error_mmag = 1000.0 * np.std(difference)
    assert float(said[1]) == pytest.approx(error_mmag, abs=0.006)
    assert int(said[2]) == frame.size >= 25
    # 30 points scatter by 13 %: twice that, and a little for faint stars under the asteroid
    assert error_mmag <= 1.3 * float(said[4])
    assert 2.0 < float(said[4]) < 4.0


def test_it_leaves_a_picture_and_text_files(done: tuple[Path, str]) -> None:
    folder, _ = done
    picture = matplotlib.image.imread(folder / "light_curve.png")
    assert picture.shape[:2] == (700, 1000)
    assert picture[..., :3].std() > 0.05  # something is drawn on it
    assert len(list((folder / "export").glob("demo-0*.txt"))) >= 10


def test_it_does_what_an_observer_does(done: tuple[Path, str]) -> None:
    _, output = done
    typed = re.findall(r"^\$ photdb (\w+)", output, re.MULTILINE)
    order = [name for i, name in enumerate(typed) if i == 0 or typed[i - 1] != name]
    assert order == ["init", "qc", "shifts", "select", "measure", "reject", "suggest", "check", "solve"] + [
        "status",
        "export",
    ]
    assert re.search(r"^    photdb reject source R3 --reason 'drifts", output, re.MULTILINE)
    # The asteroid meets reference 1 in frames 9 and 10 of 40, and both are left out for either.
    assert re.search(r"^    photdb reject frames .*\b9-10\b.* --source Ganymed --reason", output, re.MULTILINE)
    assert re.search(r"^    photdb reject frames 9-10 --source R1 --reason", output, re.MULTILINE)
    # Nothing is left for `check` to advise.
    assert "photdb reject" not in output[output.index("$ photdb check") :]
    assert "Everything is up to date." in output


def test_the_same_lines_typed_again_give_the_same_curve(
    done: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, output = done
    shutil.copytree(folder / "frames", tmp_path / "frames")
    monkeypatch.chdir(tmp_path)
    for line in re.findall(r"^\$ photdb (.*)$", output, re.MULTILINE):
        assert CliRunner().invoke(cli, shlex.split(line)).exit_code == 0
    for one, again in zip(best_curve(folder), best_curve(tmp_path), strict=True):
        np.testing.assert_array_equal(one, again)


def test_a_folder_of_others_is_refused_with_or_without_overwrite(tmp_path: Path) -> None:
    (tmp_path / "night-0001.fits").write_text("precious")
    for options in ((), ("--overwrite",)):
        result = demo(tmp_path, *options)
        assert result.exit_code == 1
        assert "not a former demo" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["night-0001.fits"]
    assert (tmp_path / "night-0001.fits").read_text() == "precious"


def test_a_former_demo_is_made_anew_only_if_asked_for(done: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(done[0], folder)
    (folder / "notes.txt").write_text("mine")
    result = demo(folder, "--frames", "30")
    assert result.exit_code == 1
    assert "--overwrite" in result.output
    assert len(list((folder / "frames").glob("*.fits"))) == 40
    assert demo(folder, "--frames", "30", "--overwrite").exit_code == 0
    assert len(list((folder / "frames").glob("*.fits"))) == 30
    assert (folder / "notes.txt").read_text() == "mine"


def test_full_has_its_own_number_of_frames(tmp_path: Path) -> None:
    assert demo(tmp_path / "d", "--full", "--frames", "100").exit_code == 2
    assert not (tmp_path / "d").exists()


def test_a_disk_too_small_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**10, 0, 3 * 10**9))
    result = demo(tmp_path / "d", "--full")
    assert result.exit_code == 1
    assert "3647 MB" in result.output
    assert not (tmp_path / "d").exists()


def test_the_curve_drawn_is_the_curve_of_the_project(done: tuple[Path, str]) -> None:
    folder, _ = done
    frame, mag = best_curve(folder)
    with Project.read(folder / "demo.photdb") as project:
        drawn = read_best_curve(project, "Ganymed")
        assert read_best_curve(project, "R1") is None
        errors = (
            project.connection.exec_driver_sql("SELECT mag_err FROM best_light_curve ORDER BY frame").scalars().all()
        )
    assert drawn is not None
    np.testing.assert_array_equal(drawn.number, np.arange(1, 41))
    np.testing.assert_array_equal(drawn.number[drawn.kept], frame)
    np.testing.assert_allclose(drawn.mag[drawn.kept], mag, rtol=0, atol=1e-12)
    np.testing.assert_allclose(drawn.mag_err[drawn.kept], errors, rtol=1e-12)
    # The crossing, rejected, is bright: the light of reference 1 and the asteroid's own.
    truth = load_truth(folder / "frames")
    residual = drawn.mag - truth.mag[:, 0]
    assert np.nanmin(residual[8:10]) < np.median(residual[drawn.kept]) - 0.02
