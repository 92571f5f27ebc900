"""`photdb measure --hits` and `--remove-stars` against the truth; without them nothing is another number."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nights import Night, Reads, invoke

from photdb.algorithms.flags import INVALID_FLUX
from photdb.plots.decisions import read_magnitudes
from photdb.simulate import NightPlan, Truth, clear_night, contamination, encircled, expected_error_mag, simulate_night
from photdb.stages.series import load_series
from photdb.store.arrays import read_frames
from photdb.store.project import Project
from photdb.viewers.best_curve import read_best_curve


def photdb(path: Path, *arguments: object) -> str:
    result = invoke(*arguments, env={"PHOTDB_PROJECT": str(path)})
    assert result.exit_code == 0, result.stdout + result.stderr
    return result.stdout


def measured(folder: Path, plan: NightPlan) -> tuple[Truth, Path]:
    truth, path = simulate_night(folder / "frames", plan), folder / "night.photdb"
    photdb(path, "init", folder / "frames", "-p", path)
    photdb(path, "shifts")
    for k, (label, role) in enumerate(zip(truth.labels, truth.roles, strict=True)):
        numbers = (1, plan.n_frames) if role == "asteroid" else (1,)
        at = [(n, f"{truth.x_px[n - 1, k]:.1f}", f"{truth.y_px[n - 1, k]:.1f}") for n in numbers]
        photdb(path, "select", role, label, *(v for place in at for v in ("--at", *place)))
    photdb(path, "measure")
    return truth, path


def fluxes(path: Path, table: str, label: str, radius: float) -> dict[int, tuple[float, float, int]]:
    with sqlite3.connect(path) as raw:
        rows = raw.execute(
            f"SELECT f.number, x.flux_adu, x.flux_err_adu, x.flags FROM {table} x JOIN source s ON s.id = x.source_id"
            " JOIN frame f ON f.id = x.frame_id JOIN aperture a ON a.id = x.aperture_id"
            " WHERE s.label = ? AND a.radius_px = ?",
            (label, radius),
        ).fetchall()
    return {number: rest for number, *rest in rows}


def flag(path: Path, name: str) -> int:
    with sqlite3.connect(path) as raw:
        return raw.execute("SELECT bit FROM flag WHERE name = ?", (name,)).fetchone()[0]


def test_a_crossed_star_is_subtracted(tmp_path: Path) -> None:
    # Twice the frames of the demo's: the asteroid crosses reference 1 in some six of them, and a dozen fainter stars.
    plan = clear_night(seed=1, n_frames=90, crossing=True, exposure_s=60.0, duration_h=5.5)
    truth, path = measured(tmp_path, plan)
    photdb(path, "measure", "--remove-stars")
    radii = [r for (r,) in sqlite3.connect(path).execute("SELECT radius_px FROM aperture ORDER BY 1")]
    removed = flag(path, "STAR_REMOVED")
    for radius in radii[2:]:
        raw, mended = fluxes(path, "flux", "Ganymed", radius), fluxes(path, "correction", "Ganymed", radius)
        true = truth.flux_adu[:, 0] * encircled(plan, radius, truth.fwhm_px)
        noise_mag = expected_error_mag(truth, radius, n_sky_px=480.0)[:, 0]
        star_mag = contamination(truth, radius)[:, 0] / true * 1.0857
        clean = [n for n in raw if star_mag[n - 1] < 0.05 * noise_mag[n - 1]]
        zero = np.median([-2.5 * np.log10(raw[n][0] / true[n - 1]) for n in clean])

        met = [n for n in mended if star_mag[n - 1] > 0.2 * noise_mag[n - 1]]
        bright = [n for n in met if star_mag[n - 1] > 0.1]
        assert len(bright) >= 2
        assert len(met) > 8
        error = {
            which: float(np.sqrt(np.mean([(-2.5 * np.log10(values[n][0] / true[n - 1]) - zero) ** 2 for n in numbers])))
            for which, values, numbers in (("raw", raw, met), ("mended", mended, met), ("bright", mended, bright))
        }
        usual = float(np.sqrt(np.mean([noise_mag[n - 1] ** 2 for n in met])))
        # Up to 0.7 of its light too much: 0.1 to 0.3 mag rms before; after, within twice the noise of frames without.
        assert error["raw"] > 0.08
        assert error["mended"] < 2.0 * usual
        assert error["bright"] < 0.012
        # Its stated error grows by the star's own photons, and is not made up.
        ratio = [
            (-2.5 * np.log10(mended[n][0] / true[n - 1]) - zero) / (1.0857 * mended[n][1] / mended[n][0]) for n in met
        ]
        assert 0.5 < np.sqrt(np.mean(np.square(ratio))) < 2.0
        assert all(mended[n][2] & removed for n in met)
    with sqlite3.connect(path) as raw:
        (n,) = raw.execute(
            "SELECT count(*) FROM correction c JOIN source s ON s.id = c.source_id WHERE s.label <> 'Ganymed'"
        ).fetchone()
    assert n == 0, "stars are taken from asteroids only"


@pytest.fixture
def hit(tmp_path: Path) -> tuple[Truth, Path]:
    """A night with many cosmic rays and hot pixels."""
    return measured(tmp_path, clear_night(seed=11, n_frames=40, cosmic_rays=True, hot_pixels=True, exposure_s=400.0))


def test_hits_are_mended_flagged_or_left_out(hit: tuple[Truth, Path]) -> None:
    truth, path = hit
    radius = [r for (r,) in sqlite3.connect(path).execute("SELECT radius_px FROM aperture ORDER BY 1")][7]
    before = {label: fluxes(path, "flux", label, radius) for label in truth.labels}
    said = photdb(path, "measure", "--hits", "mend").splitlines()
    for label in truth.labels:
        assert sum(line.startswith(f"{label}: MENDED in ") for line in said) <= 1, "said of all apertures, once"
    assert any(": MENDED in " in line for line in said)
    n_mended, off, off_raw = 0, [], []
    for label in truth.labels:
        mended = fluxes(path, "correction", label, radius)
        k = truth.labels.index(label)
        noise = expected_error_mag(truth, radius, n_sky_px=480.0)[:, k]
        true = truth.flux_adu[:, k] * encircled(truth.plan, radius, truth.fwhm_px)
        zero = np.median([-2.5 * np.log10(f / true[n - 1]) for n, (f, _, _) in before[label].items()])
        for n, (flux, _, flags) in mended.items():
            assert flags & flag(path, "MENDED")
            off.append((-2.5 * np.log10(flux / true[n - 1]) - zero) / noise[n - 1])
            off_raw.append((-2.5 * np.log10(before[label][n][0] / true[n - 1]) - zero) / noise[n - 1])
        n_mended += len(mended)
    assert n_mended >= 12
    # In units of the noise: some are 100 σ off before; after it is noise.
    assert np.sqrt(np.mean(np.square(off_raw))) > 4.0
    assert np.sqrt(np.mean(np.square(off))) < 1.6
    photdb(path, "measure", "--hits", "flag")
    flagged = {label: fluxes(path, "correction", label, radius) for label in truth.labels}
    for label, values in flagged.items():
        for n, (flux, error, flags) in values.items():
            assert [flux, error] == before[label][n][:2]
            assert flags & flag(path, "HIT")
            assert not flags & flag(path, "MENDED")
    photdb(path, "measure", "--hits", "reject")
    with Project.read(path) as project:
        series = load_series(project, "asteroid", "reference")
    p = [a.radius_px for a in series.apertures].index(radius)
    for k, source in enumerate(series.sources):
        out = {n for n in series.number[np.isnan(series.mag[:, k, p])].tolist()}
        assert set(flagged[source.label]) <= out
    assert sum(map(len, flagged.values())) == n_mended


def test_they_are_off_by_default_and_given_up_again(hit: tuple[Truth, Path]) -> None:
    _, path = hit
    photdb(path, "solve")
    sql = ("SELECT * FROM flux ORDER BY 1, 2, 3", "SELECT * FROM light_curve ORDER BY 1, 2, 3")

    def ask() -> list[list[tuple[object, ...]]]:
        with sqlite3.connect(path) as raw:
            return [raw.execute(q).fetchall() for q in sql]

    plain = ask()
    photdb(path, "measure", "--hits", "mend", "--remove-stars")
    photdb(path, "run")
    mended = ask()
    assert mended[0] == plain[0], "what was measured stays"
    assert mended[1] != plain[1], "curves are made from what was corrected"
    photdb(path, "measure", "--hits", "keep", "--keep-stars")
    photdb(path, "run")
    assert ask() == plain


def test_users_see_the_fluxes_that_curves_are_made_of_and_what_was_measured(
    hit: tuple[Truth, Path], tmp_path: Path
) -> None:
    _, path = hit
    photdb(path, "measure", "--hits", "mend", "--remove-stars")
    photdb(path, "run")
    names = "s.label, f.number, x.aperture_id, x.flux_adu, x.flux_err_adu, x.flags"
    joined = "x JOIN source s ON s.id = x.source_id JOIN frame f ON f.id = x.frame_id"
    with sqlite3.connect(path) as raw:
        measured, corrected = (
            {row[:3]: row[3:] for row in raw.execute(f"SELECT {names} FROM {table} {joined}")}
            for table in ("flux", "correction")
        )
        seen = {
            row[:3]: row[3:]
            for row in raw.execute(
                "SELECT source, frame, aperture_id, flux_adu, flux_err_adu, flags, corrected, flux_measured_adu,"
                " flux_err_measured_adu, flags_measured FROM instrumental"
            )
        }
        weights: dict[int, dict[str, float]] = {}
        for rank, label, weight in raw.execute(
            "SELECT n.rank, s.label, r.weight FROM solution n JOIN solution_reference r ON r.solution_id = n.id"
            " JOIN source s ON s.id = r.source_id"
        ):
            weights.setdefault(rank, {})[label] = weight
        points = raw.execute("SELECT target, rank, frame, aperture_id, mag FROM light_curve").fetchall()
    assert seen.keys() == measured.keys()
    assert sum(corrected[key][0] != measured[key][0] for key in corrected) > 50
    for key, values in seen.items():
        assert values[:3] == corrected.get(key, measured[key])
        assert values[3] == (key in corrected)
        assert values[4:] == measured[key]

    # Each point of each curve, made again from the view by its definition.
    n_corrected = 0
    for target, rank, number, aperture, mag in points:
        of = {label: -2.5 * np.log10(seen[label, number, aperture][0]) for label in (target, *weights[rank])}
        ensemble = sum(w * of[label] for label, w in weights[rank].items()) / sum(weights[rank].values())
        assert of[target] - ensemble == pytest.approx(mag, abs=1e-9)
        n_corrected += any((label, number, aperture) in corrected for label in of)
    assert n_corrected >= 10, "each of the ten curves has a point with one"

    # What is drawn, what windows show, and what is exported.
    with Project.read(path) as project:
        best, shown = read_best_curve(project, "Ganymed"), read_magnitudes(project)
        numbers = read_frames(project.connection).number.tolist()
    for (label, number, aperture), (flux, _, flags) in corrected.items():
        mag = shown.mag[numbers.index(number), shown.sources.index(label), shown.apertures.index(aperture)]
        if not flags & INVALID_FLUX:
            assert mag == pytest.approx(-2.5 * np.log10(flux), abs=1e-12)
    assert best is not None
    drawn = {number: mag for target, rank, number, _, mag in points if rank == 1}
    assert dict(zip(best.number[best.kept].tolist(), best.mag[best.kept].tolist(), strict=True)) == pytest.approx(
        drawn, abs=1e-9
    )
    photdb(path, "export", tmp_path / "out")
    n_files = n_measured = 0
    for file in (tmp_path / "out").glob("*-05_*.txt"):
        n_files += 1
        aperture = int(file.name.split("_aperture_")[1].split("_")[0])
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        found = dict(zip(lines[-1].removeprefix("# ").split("\t"), np.loadtxt(file).T, strict=True))
        with_corrections = {label for label, _, a in corrected if a == aperture}
        assert {name.split()[1] for name in found if name.startswith("mag_measured")} == with_corrections
        for i, number in enumerate(found["frame"].astype(int).tolist()):
            for label in {label for label, _, _ in seen}:
                flux, error, flags, _, raw_flux, raw_error, raw_flags = seen[label, number, aperture]
                wanted = {"": (flux, error, flags)}
                if label in with_corrections:
                    wanted["_measured"] = (raw_flux, raw_error, raw_flags)
                    n_measured += 1
                for ending, (f, e, bits) in wanted.items():
                    assert found[f"mag{ending} {label}"][i] == pytest.approx(-2.5 * np.log10(f), abs=0.6e-5)
                    assert found[f"mag_err{ending} {label}"][i] == pytest.approx(1.0857362 * e / f, abs=0.6e-5)
                    assert found[f"flags{ending} {label}"][i] == bits
    assert n_files == 8
    assert n_measured > 0


def test_corrections_follow_what_they_are_made_from(night_at: Callable[..., Night], reads: Reads) -> None:
    night = night_at("measured")
    night.photdb("measure", "--hits", "mend")
    assert night.states()["measure"] == "done"
    reads.clear()
    night.photdb("run")
    assert (reads.pixels, reads.cutouts) == ([], [])
    night.photdb("set", "--gain", "2.5")  # another noise, other hits
    assert night.states()["measure"] == "out of date"
    night.photdb("run")
    assert night.states()["measure"] == "done"
