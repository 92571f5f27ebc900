"""A small simulated night, taken through the whole session once for all tests of exports."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from photdb.cli import cli
from photdb.simulate import NightPlan, clicks, simulate_night

LABELS = {"V1": "../../x y", "R7": "R 7 = ü\u2713"}


@pytest.fixture(scope="session")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a project with all stages done, odd labels, rejections and an accepted frame. Copy it to change it."""
    folder = tmp_path_factory.mktemp("night")
    plan = NightPlan(n_frames=24, variable=True, gradient=False)
    truth = simulate_night(folder / "frames", plan)
    project = folder / "small night.photdb"

    def type_(*args: str) -> None:
        result = CliRunner().invoke(cli, [*args, "-p", str(project)], catch_exceptions=False)
        assert result.exit_code == 0, result.output

    type_("init", str(folder / "frames"))
    type_("qc", "--min-range", "8000", "-j", "1")
    type_("shifts", "-j", "1")
    roles = dict(zip(truth.labels, truth.roles, strict=True))
    for label, anchors in clicks(truth).items():
        at = [word for frame, x, y in anchors for word in ("--at", str(frame), str(x), str(y))]
        type_("select", roles[label], LABELS.get(label, label), *at)
    type_("measure", "--apertures", "3,10,16", "4.5,10,16", "-j", "1")
    type_("reject", "frames", "5-6", "--source", "Ganymed", "--reason", "crosses\ta star #1")
    type_("reject", "frames", "9")
    type_("accept", "frames", "24")
    for label in ("R1", "R2", "R3"):
        type_("select", "reference", label, "--mag", "12.3", "--mag-err", "0.02", "--band", "V")
    type_("solve", "--detrend", "airmass")
    type_("check")
    type_("suggest", "-j", "1")
    return project
