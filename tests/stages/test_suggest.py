"""`photdb suggest` on nights whose truth is known: it finds what happened, and proposes no clean frame."""

import json
import shlex
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nights import Night, invoke

from photdb.simulate import NightPlan, Truth, clean, clear_night, contamination, encircled, expected_error_mag
from photdb.simulate import simulate_night as simulate

#: A star's light counts above this part of the noise; a night is judged on what it does to light that is a tenth more
#: or less, and half a pixel nearer or farther.
LEVEL = 0.2


def photdb(path: Path, *arguments: object) -> str:
    result = invoke(*arguments, env={"PHOTDB_PROJECT": str(path)})
    assert result.exit_code == 0, result.stdout + result.stderr
    return result.stdout


def measured(folder: Path, plan: NightPlan) -> tuple[Truth, Path]:
    """Simulate a night, and take it to its measurements without any decision about frames."""
    truth, path = simulate(folder / "frames", plan), folder / "night.photdb"
    photdb(path, "init", folder / "frames", "-p", path)
    photdb(path, "shifts")
    late = round(0.9 * plan.n_frames)  # before the fog
    for k, (label, role) in enumerate(zip(truth.labels, truth.roles, strict=True)):
        at = [(n, truth.x_px[n - 1, k], truth.y_px[n - 1, k]) for n in ((1, late) if role == "asteroid" else (1,))]
        photdb(path, "select", role, label, *(v for n, x, y in at for v in ("--at", n, f"{x:.1f}", f"{y:.1f}")))
    photdb(path, "measure")
    return truth, path


def suggested(path: Path, *options: object) -> list[list[str]]:
    """Give the commands that are suggested, as words."""
    lines = photdb(path, "suggest", *options).splitlines()
    return [shlex.split(line) for line in lines if line.strip().startswith("photdb reject")]


def query(path: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(path) as raw:
        return raw.execute(sql).fetchall()


def left_out(path: Path, truth: Truth) -> dict[tuple[str, float], np.ndarray]:
    """Give, by source and radius, which frames rejections leave out; sources that are out as a whole are not there."""
    rows = query(
        path,
        "SELECT f.number, s.label, a.radius_px FROM rejection r LEFT JOIN frame f ON f.id = r.frame_id"
        " LEFT JOIN source s ON s.id = r.source_id LEFT JOIN aperture a ON a.id = r.aperture_id"
        " WHERE r.withdrawn_at IS NULL",
    )
    radii = [r for (r,) in query(path, "SELECT radius_px FROM aperture WHERE removed_at IS NULL")]
    out = {(label, r): np.zeros(truth.plan.n_frames, bool) for label in truth.labels for r in radii}
    for number, label, radius in rows:
        for key in [k for k in out if label in (None, k[0]) and radius in (None, k[1])]:
            if number is None:
                del out[key]
            else:
                out[key][number - 1] = True
    return out


@pytest.mark.parametrize(
    "plan",
    [NightPlan(seed=1), NightPlan(seed=2), NightPlan(seed=4), NightPlan(seed=21, profile="moffat")],
    ids=lambda plan: f"{plan.profile}-{plan.seed}",
)
def test_what_happened_is_found_and_no_clean_frame(tmp_path: Path, plan: NightPlan) -> None:
    truth, path = measured(tmp_path, plan)
    photdb(path, "suggest", "--apply")
    out = left_out(path, truth)
    # Reference 3 fades by 60 mmag: it goes as a whole. Of the others, only some aperture may.
    assert not any(label == "R3" for label, _ in out)
    assert {label for label, _ in out} == set(truth.labels) - {"R3"}
    # Fog takes 2.2 mag in the end; its first frame may have lost less than the haze takes.
    in_fog = np.flatnonzero(truth.in_fog)
    foggy = [n - 1 for (n,) in query(path, "SELECT number FROM frame_status WHERE NOT accepted ORDER BY number")]
    assert set(in_fog[1:]) <= set(foggy) <= set(in_fog)
    n_found = 0
    radii = sorted({radius for _, radius in out})[::2]
    for (label, radius), frames in out.items():
        if radius not in radii:
            continue
        k = truth.labels.index(label)
        if truth.roles[k] == "check":
            continue  # in no ensemble, and no target
        light = truth.flux_adu * encircled(plan, radius, truth.fwhm_px)[:, None]
        noise = expected_error_mag(truth, radius) * light * np.log(10.0) / 2.5
        nearer, as_is, farther = (contamination(truth, radius + d)[:, k] / noise[:, k] for d in (0.5, 0.0, -0.5))
        clear = ~truth.in_fog
        must = clear & (np.minimum(as_is, farther) > 1.1 * LEVEL)
        assert not (must & ~frames).any(), f"{label} in {radius}: {np.flatnonzero(must & ~frames) + 1} not found"
        never = clear & clean(truth, radius)[:, k] & (np.maximum(as_is, nearer) < 0.9 * LEVEL)
        assert not (never & frames).any(), f"{label} in {radius}: {np.flatnonzero(never & frames) + 1} are clean"
        n_found += int(must.sum())
        if label in ("Ganymed", "R1"):
            assert must.any(), "the crossing of reference 1"
    assert n_found > 20


def test_of_a_calm_night_nothing_is_suggested(tmp_path: Path) -> None:
    truth, path = measured(tmp_path, clear_night(seed=22, variable=True, n_frames=45))
    assert suggested(path) == []
    assert query(path, "SELECT count(*) FROM rejection") == [(0,)]


@pytest.fixture
def crossed(tmp_path: Path) -> tuple[Truth, Path]:
    """A short night in which the asteroid crosses a reference, with hot pixels and cosmic rays."""
    plan = clear_night(seed=5, n_frames=30, crossing=True, hot_pixels=True, cosmic_rays=True, fog=True)
    return measured(tmp_path, replace(plan, n_stars=100, reference_flux_adu=(150_000.0, 120_000.0, 90_000.0)))


def test_suggestions_are_commands_and_taken_back_they_do_not_come_again(crossed: tuple[Truth, Path]) -> None:
    truth, path = crossed
    commands = suggested(path)
    assert query(path, "SELECT count(*) FROM rejection") == [(0,)], "to look changes nothing"
    assert suggested(path, "--apply") == commands
    # Each stands in the history as the command it is, and did what the command does.
    told = query(path, "SELECT command, arguments FROM history WHERE command = 'reject' ORDER BY id")
    assert [["photdb", "reject", *json.loads(arguments)] for _, arguments in told] == commands
    applied = query(path, "SELECT frame_id, source_id, aperture_id, reason FROM rejection ORDER BY 1, 2, 3")
    photdb(path, "suggest")  # what is left out changes neither the stack nor what is met
    assert not [c for c in suggested(path) if "light of other stars" in c or "fog or clouds" in c]
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM rejection")
    for command in commands:
        photdb(path, *command[1:])
    by_hand = query(path, "SELECT frame_id, source_id, aperture_id, reason FROM rejection ORDER BY 1, 2, 3")
    assert by_hand == applied
    # One of them is taken back, for all apertures; and the fog is.
    crossing = next(c for c in commands if "--source" in c and "--aperture" not in c and "Ganymed" in c)
    first = crossing[3]
    photdb(path, "accept", "frames", first, "--source", "Ganymed")
    fog = next(c for c in commands if "fog or clouds" in c)[3]
    photdb(path, "accept", "frames", fog)
    before = query(path, "SELECT count(*) FROM rejection WHERE withdrawn_at IS NULL")
    assert all("Ganymed" not in c or first not in c for c in suggested(path, "--apply"))
    assert all("fog or clouds" not in c for c in suggested(path))
    assert query(path, "SELECT count(*) FROM rejection WHERE withdrawn_at IS NULL")[0][0] >= before[0][0]
    numbers = [n for (n,) in query(path, "SELECT number FROM frame_status WHERE accepted")]
    low, high = (int(n) for n in fog.split("-"))
    assert set(range(low, high + 1)) <= set(numbers)


def test_the_history_repeats_them(crossed: tuple[Truth, Path], tmp_path: Path) -> None:
    _, path = crossed
    photdb(path, "suggest", "--apply")
    photdb(path, "measure", "--hits", "mend", "--remove-stars")
    photdb(path, "solve")
    again = tmp_path / "again.photdb"
    script = photdb(path, "history", "--as-script")
    assert "photdb suggest" not in script  # what it applied stands there as commands
    for line in script.splitlines():
        if line.startswith("photdb "):
            words = shlex.split(line.replace('"$FRAMES"', shlex.quote(str(tmp_path / "frames"))))
            result = invoke(*words[1:], env={"PHOTDB_PROJECT": str(again)})
            assert result.exit_code == 0, result.stderr
    sql = (
        "SELECT source, frame, aperture_id, kind, reason FROM excluded ORDER BY 1, 2, 3",
        "SELECT * FROM light_curve ORDER BY 1, 2, 3",
        "SELECT * FROM correction ORDER BY 1, 2, 3",
    )
    assert [query(again, q) for q in sql] == [query(path, q) for q in sql]


def test_encounters_name_what_is_met(crossed: tuple[Truth, Path]) -> None:
    truth, path = crossed
    photdb(path, "suggest")
    met = query(
        path,
        "SELECT f.number, e.flux_ratio, e.error_mag, e.distance_px FROM encounter e JOIN frame f ON f.id = e.frame_id"
        " JOIN source s ON s.id = e.source_id JOIN aperture a ON a.id = e.aperture_id"
        " WHERE s.label = 'Ganymed' AND e.what = 'R1' AND e.part = 'aperture' AND a.radius_px ="
        " (SELECT max(radius_px) FROM aperture) ORDER BY 1",
    )
    radius = query(path, "SELECT max(radius_px) FROM aperture")[0][0]
    distance = np.hypot(truth.x_px[:, 0] - truth.x_px[:, 1], truth.y_px[:, 0] - truth.y_px[:, 1])
    light = contamination(truth, radius)[:, 0] / (truth.flux_adu[:, 0] * encircled(truth.plan, radius, truth.fwhm_px))
    strong = [(n, ratio, error, d) for n, ratio, error, d in met if light[n - 1] > 0.05]
    assert len(strong) >= 2
    for number, ratio, error, d in strong:
        assert d == pytest.approx(distance[number - 1], abs=0.3)
        assert ratio == pytest.approx(light[number - 1], rel=0.1)
        assert error == pytest.approx(-2.5 * np.log10(1 + ratio), abs=1e-9)


def test_results_do_not_depend_on_the_number_of_workers(crossed: tuple[Truth, Path]) -> None:
    _, path = crossed
    tables = ("field_star", "field_profile", "hot_pixel", "encounter", "hit")
    photdb(path, "suggest", "-j", "1")
    one = [query(path, f"SELECT * FROM {t}") for t in tables]
    with sqlite3.connect(path) as raw:
        for table in ("field", "encounter_input", "hit_input"):
            raw.execute(f"DELETE FROM {table}")
    photdb(path, "suggest", "-j", "2")
    assert [query(path, f"SELECT * FROM {t}") for t in tables] == one
    assert all(one)


def test_a_field_that_stands_still_shows_no_hot_pixels_and_that_is_said(tmp_path: Path) -> None:
    plan = clear_night(seed=6, n_frames=12, drift_px=0.0, jitter_px=0.1, n_stars=40, hot_pixels=True)
    _, path = measured(tmp_path, plan)
    result = invoke("suggest", env={"PHOTDB_PROJECT": str(path)})
    assert "hot pixels cannot be told from them" in result.stderr
    assert query(path, "SELECT n_hot FROM field") == [(None,)]


def test_what_is_missing_is_said(night_at: Callable[..., Night]) -> None:
    night = night_at("shifted")
    assert night.refused("suggest").startswith("No source is selected")
