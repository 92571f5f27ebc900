"""What `photdb suggest` found, as plots and reports show it; and what was left out of detrended curves."""

import re
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nights import Night, invoke

from photdb.plots.curves import aperture_curves
from photdb.plots.encounters import frames_met
from photdb.plots.field import read_field
from photdb.plots.light_curve import light_curve
from photdb.report.encounters import encounters
from photdb.report.noise import noise_ratios
from photdb.simulate import Truth, clear_night, contamination, encircled, expected_error_mag, simulate_night
from photdb.store.arrays import read_circles, read_frames
from photdb.store.project import Project

PLAN = replace(
    clear_night(seed=5, n_frames=30, crossing=True, hot_pixels=True),
    n_stars=100,
    reference_flux_adu=(150_000.0, 120_000.0, 90_000.0, 80_000.0),
)


def photdb(path: Path, *arguments: object) -> str:
    result = invoke(*arguments, env={"PHOTDB_PROJECT": str(path)})
    assert result.exit_code == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Truth, Path]:
    """A night in which the asteroid crosses reference 1 and fainter stars, with all suggestions followed."""
    folder = tmp_path_factory.mktemp("crossed")
    truth, path = simulate_night(folder / "frames", PLAN), folder / "night.photdb"
    photdb(path, "init", folder / "frames", "-p", path)
    photdb(path, "shifts")
    for k, (label, role) in enumerate(zip(truth.labels, truth.roles, strict=True)):
        at = [(n, truth.x_px[n - 1, k], truth.y_px[n - 1, k]) for n in ((1, 30) if role == "asteroid" else (1,))]
        photdb(path, "select", role, label, *(v for n, x, y in at for v in ("--at", n, f"{x:.1f}", f"{y:.1f}")))
    photdb(path, "measure")
    photdb(path, "suggest", "--apply")
    photdb(path, "solve")
    return truth, path


def rows_of(html: str) -> list[list[str]]:
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(<td.*?)</tr>", html)]


def test_frames_are_marked_where_light_of_others_is_above_a_fifth_of_the_noise(crossed: tuple[Truth, Path]) -> None:
    truth, path = crossed
    with Project.read(path) as project:
        apertures, frames = read_circles(project.connection), read_frames(project.connection)
        met = frames_met(project, "Ganymed", frames.id, [a.id for a in apertures])
    assert met.shape == (8, 30)
    n_sure = 0
    for aperture, marked in zip(apertures[::2], met[::2], strict=True):
        radius = float(aperture.spec.radius)
        light = truth.flux_adu[:, 0] * encircled(truth.plan, radius, truth.fwhm_px)
        noise = expected_error_mag(truth, radius)[:, 0] * light * np.log(10.0) / 2.5
        nearer, as_is, farther = (contamination(truth, radius + d)[:, 0] / noise for d in (0.5, 0.0, -0.5))
        sure = np.minimum(as_is, farther) > 1.1 * 0.2
        assert marked[sure].all()
        assert not marked[np.maximum(as_is, nearer) < 0.9 * 0.2].all()
        n_sure += int(sure.sum())
    assert n_sure > 8


def test_a_night_that_nobody_looked_through_has_no_marks(night: Night) -> None:
    with Project.read(night.path) as project:
        assert not light_curve(project, "Ganymed").met.any()
        curves = aperture_curves(project, "Ganymed")
        assert curves.met is not None
        assert not curves.met.any()
        assert curves.left_out_mag is None
        field = read_field(project)
        assert field.met_stars_px is not None
        assert len(field.met_stars_px) == 0
        assert encounters(project) == "<p>Nobody has looked for them yet (photdb suggest).</p>"


def test_what_was_left_out_there_is_shown_as_it_was_measured(crossed: tuple[Truth, Path]) -> None:
    truth, path = crossed
    with Project.read(path) as project:
        found, curves = light_curve(project, "Ganymed"), aperture_curves(project, "Ganymed")
    best = found.best
    out = found.met & ~best.kept
    assert out.sum() >= 3
    residual = best.mag - truth.mag[:, 0]
    residual = residual - np.median(residual[best.kept])
    # Reference 1 has 0.7 of the asteroid's light: both together are brighter by a third of a magnitude or more.
    assert np.nanmin(residual[out]) < -0.1
    assert np.abs(residual[best.kept]).max() < 0.015
    assert curves.left_out_mag is not None
    assert np.isfinite(curves.left_out_mag).sum() >= 8
    assert not (np.isfinite(curves.left_out_mag) & np.isfinite(curves.mag)).any()
    place = curves.names.index(best.aperture.label)
    left_out = curves.left_out_mag[place]
    there = np.isfinite(left_out)
    # The mean of the references in place of their weights, and about the median: what is bright is as bright.
    np.testing.assert_allclose(left_out[there], (best.mag - np.median(best.mag[best.kept]))[there], atol=0.05)


def test_the_field_shows_the_stars_that_are_passed_on_the_track(crossed: tuple[Truth, Path]) -> None:
    truth, path = crossed
    with Project.read(path) as project:
        field = read_field(project, number=1)
    assert field.met_stars_px is not None
    assert field.met_hot_px is not None
    x, y = truth.x_px[0], truth.y_px[0]
    one = truth.labels.index("R1")
    assert np.hypot(*(field.met_stars_px - (x[one], y[one])).T).min() < 0.3, "reference 1 is passed"
    track = next(s.track_px for s in field.sources if s.label == "Ganymed")
    assert track is not None
    reach = {len(places): places for places in (field.met_stars_px, field.met_hot_px)}
    for places in reach.values():
        for place in places:
            assert np.hypot(*(track - place).T).min() < 25.0, "an aperture, its star's profile, and half a step"


def test_the_report_lists_encounters_the_worst_first_and_what_was_done(crossed: tuple[Truth, Path]) -> None:
    _, path = crossed
    with Project.read(path) as project:
        lines = rows_of(encounters(project))
        ratios = rows_of(noise_ratios(project))
    assert 2 <= len(lines) <= 20
    first = {(line[0], line[1], line[2]): line for line in lines[:2]}
    assert set(first) == {("Ganymed", "light of other stars", "R1"), ("R1", "an asteroid passes", "Ganymed")}
    assert all(line[7] == "left out" for line in lines)
    errors = [abs(float(line[6])) for line in lines if line[6] != "–"]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.3
    with sqlite3.connect(path) as raw:
        sql = "SELECT source || ' ' || aperture_id, printf('%.2f', ratio) FROM noise_ratio WHERE ratio IS NOT NULL"
        known = dict(raw.execute(sql))
        ids = [id_ for (id_,) in raw.execute("SELECT id FROM aperture ORDER BY radius_px")]
    assert {line[0] for line in ratios} >= {"Ganymed", "R1", "R2"}
    for label, *values in ratios:
        assert values == [known.get(f"{label} {id_}", "–") for id_ in ids]


def test_what_was_mended_and_what_was_kept_is_told_apart(crossed: tuple[Truth, Path], tmp_path: Path) -> None:
    _, there = crossed
    path = there.with_name("mended.photdb")
    path.write_bytes(there.read_bytes())
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM rejection")
    photdb(path, "run")
    with Project.read(path) as project:
        kept = rows_of(encounters(project))
    photdb(path, "measure", "--remove-stars")
    photdb(path, "run")
    with Project.read(path) as project:
        mended = rows_of(encounters(project))
        best = light_curve(project, "Ganymed").best
    assert any(line[0] == "Ganymed" and line[7].startswith(("kept", "left out")) for line in kept)
    assert not any("mended" in line[7] for line in kept)
    stars = [line for line in mended if line[1] == "light of other stars"]
    assert stars
    assert all("mended" in line[7] for line in stars)
    photdb(path, "measure", "--keep-stars", "--hits", "mend")
    photdb(path, "run")
    with Project.read(path) as project:
        hits = rows_of(encounters(project))
    assert not any("mended" in line[7] for line in hits if line[1] == "light of other stars")
    assert any(line[1] == "a hot pixel" and "mended" in line[7] for line in hits)
    photdb(path, "measure", "--remove-stars", "--hits", "keep")
    photdb(path, "run")
    with sqlite3.connect(path) as raw:
        points = dict(raw.execute("SELECT frame, mag FROM best_light_curve WHERE target = 'Ganymed'"))
    drawn = dict(zip(best.number[best.kept].tolist(), best.mag[best.kept].tolist(), strict=True))
    assert drawn == points, "corrected points are drawn as they are"


@pytest.mark.parametrize("options", [("--detrend", "time,sky"), ("--detrend", "x", "--offset", "gaps")])
def test_points_left_out_of_a_detrended_curve_have_the_same_terms_taken_out(
    night: Night, options: tuple[str, ...]
) -> None:
    night.photdb("reject", "frames", "5", "11-12", "--source", "V1")
    night.photdb("solve", *options)
    with Project.read(night.path) as project:
        best = light_curve(project, "V1").best
    assert best.detrended is not None
    out = np.isin(best.number, [5, 11, 12])
    assert (best.kept == ~out).all()
    # What was taken out of the points is linear in the terms: their values in the other frames tell what is there.
    columns = {"time": best.jd_utc_mid - best.jd_utc_mid[0]}
    sky = dict(night.rows("SELECT frame_id, background_adu FROM frame_quality"))
    x = dict(
        night.rows("SELECT frame_id, x_expected_px FROM centroid JOIN source s ON s.id = source_id AND label = 'V1'")
    )
    columns["sky"] = np.array([sky[i] for i in best.frame_id.tolist()])
    columns["x"] = np.array([x[i] for i in best.frame_id.tolist()])
    design = np.stack([np.ones(20), *(columns[name] - columns[name].mean() for name in options[1].split(","))], axis=1)
    taken = best.measured_mag - best.mag
    fit, *_ = np.linalg.lstsq(design[best.kept], taken[best.kept], rcond=None)
    np.testing.assert_allclose(taken, design @ fit, atol=1e-9)
    assert np.ptp(taken) > 1e-4, "something is taken out"


def test_an_offset_is_taken_out_only_where_it_is_known(night: Night) -> None:
    night.change("UPDATE frame SET jd_utc_mid = jd_utc_mid + 0.025 WHERE number > 10")
    night.photdb("reject", "frames", "4", "10", "20", "--source", "V1")
    night.photdb("solve", "--offset", "gaps")
    with Project.read(night.path) as project:
        best = light_curve(project, "V1").best
    assert best.detrended is not None
    taken = best.measured_mag - best.mag
    # Frame 4 lies among points of the first stretch; 10 could belong to either, 20 to one that follows.
    np.testing.assert_allclose(taken[best.number < 10], taken[0], atol=1e-9)
    assert np.isnan(best.mag[np.isin(best.number, [10, 20])]).all()
    np.testing.assert_allclose(taken[(best.number > 10) & (best.number < 20)], taken[10], atol=1e-9)
    assert abs(taken[10] - taken[0]) > 1e-5
