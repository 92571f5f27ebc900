"""The examples on the real nights: every command succeeds in silence, and the curves look as their README says."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray

from photdb.store.project import Project

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
#: Times and magnitudes.
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
needs_batman = pytest.mark.skipif(sys.version_info >= (3, 14), reason="batman-package has no wheel for Python 3.14")


def curve_of(name: str, frames: Path, folder: Path) -> Curve:
    """Run an example; give the times and magnitudes of its best curve."""
    commands = folder / "bin"
    commands.mkdir()
    (commands / "photdb").write_text(f'#!/bin/sh\nexec "{sys.executable}" -W error -m photdb "$@"\n')
    (commands / "photdb").chmod(0o755)
    environment = {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(EXAMPLES.parent)
    command = ["sh", EXAMPLES / f"{name}.sh", frames, folder / name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"Traceback|Warning|^Error", done.stderr, re.MULTILINE), done.stderr
    assert list((folder / name / "export").glob("*best_diff_magnitudes*")), done.stdout
    with Project.read(folder / name / f"{name}.photdb") as project:
        rows = project.connection.exec_driver_sql(
            "SELECT jd_utc_mid, mag FROM best_light_curve ORDER BY jd_utc_mid"
        ).all()
    jd, mag = np.array([tuple(row) for row in rows]).T
    return jd, mag


@pytest.mark.skipif(os.name == "nt", reason="the examples are shell scripts")
def test_luxembourg_fades_and_brightens(real_night: Callable[[str], Path], tmp_path: Path) -> None:
    """Half a rotation: a minimum near JD 2458409.653, half a magnitude below both ends."""
    jd, mag = curve_of("luxembourg", real_night("luxembourg"), tmp_path)
    assert 20 <= len(jd) <= 21
    faintest = int(np.argmax(mag))
    assert jd[faintest] == pytest.approx(2458409.653, abs=0.004)
    assert mag[faintest] - mag[0] == pytest.approx(0.48, abs=0.06)
    assert mag[faintest] - mag[-1] == pytest.approx(0.52, abs=0.06)
    assert (np.diff(mag)[faintest:] < 0.03).all(), "smoothly"


@pytest.fixture(scope="module")
def hatp32(real_night: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Curve]:
    """The folder in which the example of HAT-P-32 has worked, and its curve; two tests look at them."""
    folder = tmp_path_factory.mktemp("hatp32")
    return folder / "hatp32", curve_of("hatp32", real_night("hatp32"), folder)


@pytest.mark.skipif(os.name == "nt", reason="the examples are shell scripts")
def test_hatp32_is_in_transit(hatp32: tuple[Path, Curve]) -> None:
    """EXOTIC's published run on these frames: mid-transit 2458107.714 BJD_TDB, depth 2.4 %, scatter 0.54 %."""
    jd, mag = hatp32[1]
    assert len(jd) >= 141
    flux = 10 ** (-0.4 * (mag - np.median(mag)))
    before, inside, after = flux[jd < 2458107.640], flux[np.abs(jd - 2458107.7075) < 0.04], flux[jd > 2458107.780]
    depth = 1 - inside.mean() / (0.5 * (before.mean() + after.mean()))
    assert depth == pytest.approx(0.024, abs=0.004)
    assert np.std(inside) < 0.0065
    assert np.std(before) < 0.0065


@pytest.mark.skipif(os.name == "nt", reason="the examples are shell scripts")
@needs_batman
def test_the_transit_comes_when_and_as_deep_as_it_should(hatp32: tuple[Path, Curve]) -> None:
    """The ephemeris (Wang et al. 2019) says 2458107.7113 BJD_TDB; EXOTIC's run on these frames Rp/Rs 0.154."""
    found = fitted(hatp32[0] / "export")
    assert found["mid-transit"][0] == pytest.approx(2458107.7113, abs=0.0015)
    assert found["Rp/Rs"][0] == pytest.approx(0.154, abs=0.004)
    # EXOTIC's own errors are 0.00097 d and 0.0033.
    assert 0.0005 < found["mid-transit"][1] < 0.002
    assert 0.0015 < found["Rp/Rs"][1] < 0.005


@needs_batman
@pytest.mark.parametrize(("seed", "later_d", "rp_rs"), [(1, 0.004, 0.12), (2, -0.006, 0.17), (3, 0.0, 0.15)])
def test_a_transit_that_was_put_in_is_found_within_its_error(
    tmp_path: Path, seed: int, later_d: float, rp_rs: float
) -> None:
    """The light is summed over the planet's disc, which is not how the fit's model is made; 3 mmag of noise."""
    put_in = 2458107.7113 + later_d
    rng = np.random.default_rng(seed)
    bjd = 2458107.5701 + 0.0021 * np.arange(142)
    airmass = 1.02 + 30.0 * (bjd - 2458107.64) ** 2
    # Distance from the middle of the disc, radii of the star: a/Rs 6.05, inclination 88.9°, period 2.150008 d.
    phase = 2.0 * np.pi * (bjd - put_in) / 2.150008
    z = 6.05 * np.sqrt(np.sin(phase) ** 2 + (np.cos(np.radians(88.9)) * np.cos(phase)) ** 2)
    mag = -2.5 * np.log10(1.0 - covered(z, rp_rs)) + 0.01 * airmass + 0.3 + rng.normal(0.0, 0.003, bjd.size)
    mag[7] = np.nan
    tables = {
        "01_frames": (
            ["frame", "jd_utc_mid", "accepted", "exposure_s", "airmass", "path"],
            [bjd, "60.0", airmass, "a b"],
        ),
        "08_best_diff_magnitudes_x": (["frame", "jd_utc_mid", "accepted", "mag_1", "bjd_tdb_mid"], [bjd, mag, bjd]),
    }
    for name, (headings, (first, *rest)) in tables.items():
        lines = ["# photdb export: made by a test", "# " + "\t".join(headings)]
        for i in range(bjd.size):
            cells = [column if isinstance(column, str) else f"{column[i]:.8f}" for column in rest]
            lines.append("\t".join([str(i + 1), f"{first[i]:.8f}", str(int(i != 20)), *cells]))
        (tmp_path / f"night-{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = fitted(tmp_path)
    for name, true in (("mid-transit", put_in), ("Rp/Rs", rp_rs)):
        value, error = found[name]
        assert abs(value - true) < 3.0 * error
    assert 0.0002 < found["mid-transit"][1] < 0.001
    assert 0.0005 < found["Rp/Rs"][1] < 0.003


def test_a_folder_without_a_curve_is_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, EXAMPLES / "fit_transit.py", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path} holds 0 files of light curves; export one target of one night into it\n"


def covered(z: NDArray[np.float64], rp_rs: float) -> NDArray[np.float64]:
    """Sum the quadratically darkened light (0.34, 0.29) that a disc of rp_rs at distance z covers, over a grid."""
    x, y = np.meshgrid(*[(np.arange(120) + 0.5) / 60.0 - 1.0] * 2)  # of the planet's disc
    x, y = rp_rs * x[np.hypot(x, y) < 1.0], rp_rs * y[np.hypot(x, y) < 1.0]
    part = np.pi * rp_rs**2 / x.size
    mu = np.sqrt(np.clip(1.0 - (z[:, None] + x) ** 2 - y**2, 0.0, None))
    bright = np.where(mu > 0.0, 1.0 - 0.34 * (1.0 - mu) - 0.29 * (1.0 - mu) ** 2, 0.0)
    light: NDArray[np.float64] = part * bright.sum(axis=1) / (np.pi * (1.0 - 0.34 / 3.0 - 0.29 / 6.0))
    return light


def fitted(export: Path) -> dict[str, tuple[float, float]]:
    """Run `fit_transit.py`; give what it says, value and error, by name, when the picture is there too."""
    picture = export / "transit.png"
    command = [sys.executable, "-W", "error", EXAMPLES / "fit_transit.py", export, "--plot", picture]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert matplotlib.image.imread(picture).shape[:2] == (575, 1000)
    return {
        name: (float(value), float(error))
        for name, value, error in re.findall(r"^(\S+) +([\d.]+) ± ([\d.]+)", done.stdout, re.MULTILINE)
    }
