"""The benchmarks run, on a tiny night, without peers or network: what they measure here means nothing."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))


def quiet(text: str) -> None:
    """Say nothing."""


def test_photdb_beside_the_plain_read(tmp_path: Path) -> None:
    from benchmarks import full_night, side_by_side
    from benchmarks.nights import simulated_night
    from benchmarks.processes import in_turns

    with_one_more = simulated_night(tmp_path / "frames", 8, small=True)
    night = full_night.without_added(with_one_more)
    assert len(night.stars) + len(night.asteroids) == 12
    assert len(night.radii) == 8
    for name in ("plain", "photdb"):
        (tmp_path / f"{name}.modules").write_text("[]")  # no run beforehand, to see what is imported
    programs = {
        "plain": side_by_side.peer_program("plain", night, tmp_path, quiet),
        side_by_side.OURS: side_by_side.photdb_inside(night, tmp_path, 1, quiet),
    }
    found = in_turns(programs, 1)
    assert "failed" not in found["plain"]
    assert "failed" not in found[side_by_side.OURS], found
    table, asked = side_by_side.tables(night, found, {"eloy": "not here"}, tmp_path)
    times, noises, _ = ([line.split("|")[1:-1] for line in part.splitlines()] for part in table.split("\n\n"))
    assert {len(row) for row in times} == {7}
    assert [row[0].strip() for row in times[2:]] == [
        "plain read (astropy, min, max)",
        "photdb -j 1, one script",
        "eloy 0.0.11b0",
    ]
    assert {len(row) for row in noises} == {8}
    assert re.fullmatch(r" [78] ", noises[2][1])
    assert asked == []

    changed = full_night.changes(with_one_more, tmp_path, quiet)()
    assert set(changed) == {"adding a reference", "changing apertures"}
    assert full_night.plain_read(night, tmp_path, 2, quiet)()["inside"] > 0


def test_a_program_that_fails_is_said_and_left_out() -> None:
    from benchmarks.processes import in_turns, python, run

    calls = []

    def fails() -> dict[str, float]:
        calls.append(1)
        return {"s": run(python("-c", "raise ValueError('no such thing')"))}

    found = in_turns({"good": lambda: {"s": 1.0}, "bad": fails}, 2)
    assert found["good"]["s"].values == [1.0, 1.0]
    assert [key for key in found["bad"] if key != "failed"] == ["ValueError: no such thing"]
    assert len(calls) == 1


def test_noise_is_that_of_the_data() -> None:
    """White noise of 5 mmag, with a trend and an outlier that it does not see."""
    from benchmarks import noise

    rng = np.random.default_rng(1)
    mag = 0.2 * np.linspace(-1, 1, 4000) ** 2 + rng.normal(0, 0.005, 4000)
    mag[17] = 3.0
    mag[100] = np.nan
    assert noise.noise_mmag(mag, 0) == pytest.approx(5.0, abs=0.25)
    assert noise.noise_mmag(mag, 1) == pytest.approx(5.0, abs=0.25)


def test_noise_pair_by_pair() -> None:
    """Two programs with noises of 4 and 5 mmag in all stars, of which the second has fewer frames."""
    from benchmarks import noise

    rng = np.random.default_rng(1)
    shared = rng.uniform(0.5, 1.0, (4000, 1, 1))  # clouds
    one, two = (5000.0 * shared * (1 + rng.normal(0, s, (4000, 12, 2))) for s in (0.004, 0.005))
    two[:1000] = np.nan
    for n_asteroids in (0, 1):
        found = noise.pair(one, two, n_asteroids)
        assert found.n_frames == 3000
        for (ratio, error), largest in ((found.ratio, 0.04), (found.rms_ratio, 0.03), (found.stars_ratio, 0.02)):
            assert ratio == pytest.approx(0.8, abs=4 * error)
            assert 0.002 < error < largest
        assert noise.n_measured(two, n_asteroids) == 3000


@pytest.mark.parametrize("name", ["gaussians", "skies", "rows", "many-sources"])
def test_point_runs(name: str) -> None:
    from benchmarks.points import POINTS

    lines = POINTS[name](True)
    assert lines
    assert all(len(line) == 3 and all(isinstance(text, str) for text in line) for line in lines)


def test_search_runs(tmp_path: Path) -> None:
    from benchmarks.kernels import search_one

    search_one(10, 2, 3, str(tmp_path / "out"))
    assert json.loads((tmp_path / "out").read_text())["seconds"] > 0


def test_optimal_extraction_beside_the_best_circle() -> None:
    """Faint stars on the same pixels, at a FWHM of 3.2 px: 0.959 by theory, to 2 or 3 standard errors of 2500 stars."""
    from benchmarks.grid import optimal_ratio

    ratio, error, radius, bias = optimal_ratio(3.2, n_frames=5, n_stars=500)
    assert ratio == pytest.approx(0.96, abs=0.015)
    assert error < 0.01
    assert 0.55 <= radius <= 0.85
    assert abs(bias) < 0.01


def test_errors_against_truth_and_theory(tmp_path: Path) -> None:
    """Two cells of the grid, crowded Moffat stars among them: the CCD equation to 10 %, three standard errors."""
    from benchmarks.grid import lines_of, measure_night, ratios

    found = []
    cells = (("gaussian", "3.2", "60", "sparse"), ("moffat", "3.2", "1000", "crowded"))
    for i, values in enumerate(cells):
        cell = dict(zip(("profile", "FWHM, px", "sky, ADU", "field"), values, strict=True))
        found += measure_night(cell, 7 + i, tmp_path / str(i), n_frames=40)
    for aperture in ("1.2 FWHM", "1.2 × each frame's", "optimal"):
        ccd, stated, n = ratios([p for p in found if p.aperture == aperture])
        assert n > 300
        assert ccd == pytest.approx(1.0, abs=0.1), aperture
        assert stated == pytest.approx(1.0, abs=0.1), aperture
    assert len(lines_of(found)) > 10


def test_command_names_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit):
        main(["no-such-part"])
    assert "no such part or program: no-such-part" in capsys.readouterr().err
    assert "benchmarks" in sys.modules
