"""The examples on the real nights: every command succeeds in silence, and the curves look as their README says."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from photdb.store.project import Project

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def curve_of(name: str, frames: Path, folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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


@pytest.mark.skipif(os.name == "nt", reason="the examples are shell scripts")
def test_hatp32_is_in_transit(real_night: Callable[[str], Path], tmp_path: Path) -> None:
    """EXOTIC's published run on these frames: mid-transit 2458107.714 BJD_TDB, depth 2.4 %, scatter 0.54 %."""
    jd, mag = curve_of("hatp32", real_night("hatp32"), tmp_path)
    assert len(jd) >= 141
    flux = 10 ** (-0.4 * (mag - np.median(mag)))
    before, inside, after = flux[jd < 2458107.640], flux[np.abs(jd - 2458107.7075) < 0.04], flux[jd > 2458107.780]
    depth = 1 - inside.mean() / (0.5 * (before.mean() + after.mean()))
    assert depth == pytest.approx(0.024, abs=0.004)
    assert np.std(inside) < 0.0065
    assert np.std(before) < 0.0065
