"""What `solve` says of its curves beside their noise, and the terms it takes out of them when asked."""

import numpy as np
import pytest

from photdb.algorithms.differential import instrumental_magnitude
from photdb.stages import STAGES
from photdb.stages.series import Series
from photdb.stages.solve import _solve
from photdb.stages.terms import Asked
from photdb.store.arrays import Aperture, Source
from photdb.store.catalogue import Catalogue

N = 142
SIGMA = 0.004
PART = np.arange(N) / (N - 1)
AIRMASS = 1.1 + 0.7 * PART**2
DIP = 0.02 * (np.abs(PART - 0.5) < 0.15)
WAVE = 0.1 * np.sin(2 * np.pi * PART)
FLIPPED = PART > 0.62
LEVEL = {"R1": 0.0, "R2": 0.3, "R3": 0.5, "R4": 0.8, "C1": 1.0, "V1": 0.2}
NOTHING = Catalogue(None, None, None, None)


def night(signal, *, seed=1, wild=0.0):
    """Give a series of white noise under clouds: four references, a check star, and a target with a signal."""
    rng = np.random.default_rng(seed)
    cloud = 0.05 * rng.normal(size=N)
    mag = np.array([-12.0 + level + cloud + SIGMA * rng.normal(size=N) for level in LEVEL.values()]).T[:, :, None]
    mag[:, 5, 0] += signal
    mag[:, 1, 0] += wild * rng.normal(size=N)
    flux = 10 ** (-0.4 * mag)
    roles = {"R": "reference", "C": "check", "V": "variable"}
    sources = [Source(i + 1, label, roles[label[0]], (1,), ((0.0, 0.0),)) for i, label in enumerate(LEVEL)]
    return Series(
        frame_id=np.arange(1, N + 1),
        number=np.arange(1, N + 1),
        jd_utc_mid=2458107.5 + 0.002 * np.arange(N),
        exposure_s=np.full(N, 60.0),
        sources=sources,
        apertures=[Aperture(1, "fixed", 4.0, None, 10.0, 16.0, "median", "user")],
        flux_adu=flux,
        mag=instrumental_magnitude(flux),
        mag_err=np.full(flux.shape, SIGMA),
        allowed=np.ones((len(LEVEL), 1), bool),
    )


def asked(names=(), values=(), *, flipped=None, baseline=None):
    stretch = np.zeros(N, np.int64) if flipped is None else flipped.astype(np.int64)
    labels = ("offset from frame 1", f"offset from frame {1 + np.argmax(stretch)}")
    rows = np.array(values, float).reshape(len(names), N)
    return Asked(tuple(names), rows, None if flipped is None else "pier", stretch, labels, baseline)


def solved(series, wanted=None, *, told=None, **params):
    catalogue = {s.id: (told or {}).get(s.label, NOTHING) for s in series.sources}
    return _solve(series, 5, {**STAGES["solve"].defaults, **params}, catalogue, wanted)


def curve(found, rank=1):
    return np.array([mag for _, mag, _ in found["solutions"][rank - 1]["points"]])


def test_holdout_systematic_and_check_star_come_with_every_solution():
    found = solved(night(WAVE), weighting=["mean", "flux", "variance", "least"])
    best = found["solutions"][0]
    true = SIGMA * np.sqrt(1 + 1 / 4)
    assert found["noise_holdout_mag"] == pytest.approx(true, abs=3 * found["noise_holdout_mag_err"])
    assert 0.05 < found["noise_holdout_mag_err"] / found["noise_holdout_mag"] < 0.09
    by_weighting = {s["weighting"]: s["noise_holdout_mag"] for s in found["solutions"]}
    assert all(v == pytest.approx(true, rel=0.25) for v in by_weighting.values())
    assert best["systematic_mag"] < 0.001
    ((source_id, figure, error, points),) = best["checks"]
    assert (source_id, len(points)) == (5, N)
    assert figure == pytest.approx(SIGMA * np.sqrt(1 + 1 / best["n_references"]), abs=3 * error)
    ids, weights = zip(*best["references"], strict=True)
    ensemble = np.average([LEVEL[f"R{i}"] for i in ids], weights=weights)
    assert np.mean([m for _, m, _ in points]) == pytest.approx(LEVEL["C1"] - ensemble, abs=0.003)
    assert found["doubts"] is None
    assert "detrended" not in found


def test_least_noise_weights_silence_a_reference_that_errors_do_not_know_of():
    series = night(WAVE, wild=0.03)
    least = solved(series, weighting=["least"])
    best = least["solutions"][0]
    weights = dict(best["references"])
    assert best["weighting"] == "least"
    assert weights.get(2, 0.0) < 0.1 * max(weights.values())
    # Of all four: no worse than leaving the wild one out, and half as noisy as what its errors say.
    everyone = next(s for s in solved(series, weighting=["variance"], top=100)["solutions"] if s["n_references"] == 4)
    all_least = next(s for s in solved(series, weighting=["least"], top=100)["solutions"] if s["n_references"] >= 3)
    assert all_least["noise_mag"] < 0.6 * everyone["noise_mag"]


def test_a_drift_with_airmass_is_taken_out_with_every_set_and_said():
    truth = 0.05 * np.ptp(AIRMASS)
    series = night(DIP + 0.05 * (AIRMASS - 1.1))
    quiet = np.abs(PART - 0.5) > 0.16
    plain, fitted = solved(series), solved(series, asked(["airmass"], [AIRMASS], baseline=quiet))
    for solution in fitted["solutions"]:
        ((name, kind, size, error, span),) = solution["terms"]
        assert (name, kind) == ("airmass", "detrend")
        assert size == pytest.approx(truth, abs=4 * error)
        assert 0.0005 < error < 0.003
        assert span == pytest.approx(np.ptp(AIRMASS[quiet]))
    depth = [curve(f)[DIP > 0].mean() - curve(f)[DIP == 0].mean() for f in (plain, fitted)]
    assert depth[0] < 0.016
    assert depth[1] == pytest.approx(0.02, abs=0.002)
    assert fitted["detrended"] == "airmass"
    assert fitted["dip_left"] > 0.99
    assert plain["solutions"][0]["terms"] == []
    # Fitted in all frames it eats of the dip, and says how much of one.
    eaten = solved(series, asked(["airmass"], [AIRMASS]))
    assert eaten["dip_left"] < 0.99
    assert eaten["wave_left"] < 0.8
    assert solved(series, asked(["airmass"], [AIRMASS]))["solutions"] == eaten["solutions"]


def test_an_offset_at_the_flip_is_taken_out_and_the_slow_signal_stays():
    series = night(WAVE + 0.03 * FLIPPED)
    found = solved(series, asked(flipped=FLIPPED))
    ((name, kind, size, error, _),) = found["solutions"][0]["terms"]
    assert (name, kind) == (f"offset from frame {1 + np.argmax(FLIPPED)}", "offset")
    assert size == pytest.approx(0.03, abs=4 * error)
    rest = curve(found) - WAVE
    assert rest[FLIPPED].mean() - rest[~FLIPPED].mean() == pytest.approx(0, abs=4 * error)
    assert found["solutions"][0]["noise_mag"] < solved(series)["solutions"][0]["noise_mag"]
    both = solved(series, asked(["airmass"], [AIRMASS], flipped=FLIPPED))
    assert [t[0] for t in both["solutions"][0]["terms"]] == [name, "airmass"]


def test_terms_that_only_do_harm_are_doubted():
    rng = np.random.default_rng(5)
    # The place in the frame turns over with the flip: next to nothing tells it from the offset but its jitter.
    x = np.where(FLIPPED, -80.0, 80.0) + 0.4 * rng.normal(size=N) - 8 * PART
    found = solved(night(WAVE), asked(["airmass", "x"], [AIRMASS, x], flipped=FLIPPED))
    assert "what was fitted makes the best curve noisier: without it the noise is " in found["doubts"]
    assert solved(night(WAVE), asked(["airmass"], [AIRMASS]))["doubts"] is None


def test_frames_whose_terms_are_not_known_are_left_out_and_said():
    airmass = AIRMASS.copy()
    airmass[10:13] = np.nan
    found = solved(night(WAVE), asked(["airmass"], [airmass]))
    assert found["n_frames"] == N - 3
    assert found["solutions"][0]["n_points"] == N - 3
    assert found["message"] == "airmass not known in 3 frames, left out of detrended curves"
    vain = solved(night(WAVE), asked(flipped=np.zeros(N, bool)))
    assert "no change of the pier side among these frames" in vain["message"]
    assert vain["solutions"][0]["terms"] == []


def test_zero_points_come_from_the_references_of_the_curve():
    told = {f"R{i}": Catalogue(11.0 + LEVEL[f"R{i}"], 0.01, "V", 0.4 + 0.2 * i) for i in range(1, 5)}
    found = solved(night(WAVE), told=told)
    for solution in found["solutions"]:
        zero = solution["zero_mag"]
        mags = np.array([m for _, m, _ in solution["points"]]) - WAVE
        assert zero + mags.mean() == pytest.approx(11.2, abs=4 * SIGMA / np.sqrt(N) + 0.001)
        assert (solution["band"], solution["n_zero"]) == ("V", solution["n_references"])
        assert solution["zero_mag_err"] == pytest.approx(np.hypot(0.01, 0.005) / np.sqrt(solution["n_zero"]), rel=0.01)
        assert solution["colour_term"] is None
    # The target's colour makes a colour term, and another band than most have is left out.
    told |= {"V1": Catalogue(None, None, None, 0.8), "R4": Catalogue(12.9, 0.01, "R", 1.2)}
    of_three = next(s for s in solved(night(WAVE), told=told, top=100)["solutions"] if s["n_references"] == 4)
    assert of_three["n_zero"] == 3
    assert of_three["colour_term"] == pytest.approx(0, abs=0.03)
    told["R4"] = NOTHING
    assert solved(night(WAVE), told={})["solutions"][0]["zero_mag"] is None


def test_fewer_than_sixty_frames_are_too_few_to_judge(night_at):
    project = night_at("solved")
    assert project.rows("SELECT noise_holdout_mag, detrended FROM search") == [(None, None)] * 2
    said = project.photdb("solve").stderr
    assert "Too few frames (20 of 60) to judge the best" in said
    assert "Check star C1 against the references of the best: " in said


def test_options_are_stored_said_replayed_and_given_up(night):
    plain = night.snapshot("solution_point")
    night.photdb("select", "reference", "R1", "--mag", 12.31, "--mag-err", 0.02, "--band", "V", "--colour", 0.62)
    done = night.photdb(
        "solve", "--detrend", "sky,airmass", "--baseline", "1-18", "--offset", "gaps", "--weighting", "least"
    )
    assert "DETRENDED: fitted to each of these curves and taken out of it, in the best airmass " in done.stderr
    assert "A signal loses by it: " in done.stderr
    assert "--offset gaps: no gap among these frames" in done.stderr
    terms = night.rows("SELECT DISTINCT term, kind FROM fitted_term ORDER BY term")
    assert terms == [("airmass", "detrend"), ("sky", "detrend")]
    assert night.one("SELECT count(*) FROM solution_term") == 2 * night.one("SELECT count(*) FROM solution")
    assert night.work() == {}
    script = night.photdb("history", "--as-script").stdout
    assert "photdb select reference R1 --mag 12.31 --mag-err 0.02 --band V --colour 0.62\n" in script
    assert "photdb solve --detrend sky,airmass --baseline 1-18 --offset gaps --weighting least\n" in script
    night.photdb("solve", "--detrend", "none", "--offset", "none", "--weighting", "mean")
    assert night.rows("SELECT * FROM solution_term") == []
    night.photdb("select", "reference", "R1", "--mag", "none")
    assert night.work() == {"solve": 2}
    night.photdb("solve", "--default")
    assert night.snapshot("solution_point") == plain


def test_wrong_options_are_refused_in_a_sentence(night):
    assert "give what to detrend by as well" in night.refused("solve", "--baseline", "1-10")
    assert "is none of airmass, time" in night.refused("solve", "--detrend", "moon", code=2)
    assert "here is no frame 99" in night.refused("solve", "--detrend", "time", "--baseline", "1-99")
    assert "cannot be fitted to 3 frames" in night.refused("solve", "--detrend", "time", "--baseline", "1-3")
    assert "a magnitude needs its band" in night.refused("select", "reference", "R1", "--mag", 12)
    assert "belong to a magnitude" in night.refused("select", "reference", "R1", "--band", "V")
    at = ("--at", 1, 5, 5)
    assert "of one star: give its NAME" in night.refused("select", "reference", *at, "--mag", 12, "--band", "V", code=2)
    assert "of one star: give its NAME" in night.refused("select", "reference", "--auto", 3, "--mag", 12, code=2)
    assert night.rows("SELECT * FROM source WHERE catalogue_mag IS NOT NULL OR band IS NOT NULL") == []
    assert night.work() == {}


def test_catalogue_values_are_listed_and_reach_curves_and_views(night):
    assert "band" not in night.photdb("select", "list").stdout
    for label, mag in (("R1", 12.0), ("R2", 12.4), ("R3", 12.5), ("R4", 12.8)):
        night.photdb("select", "reference", label, "--mag", mag, "--band", "V")
    assert "12.4" in night.photdb("select", "list").stdout
    assert "catalogue values noted" in night.photdb("select", "asteroid", "Ganymed", "--colour", 0.8).stderr
    done = night.photdb("solve")
    assert "Zero point of the best: V = mag + 1" in done.stderr
    rows = night.rows("SELECT mag, mag_standard, band FROM light_curve")
    zeros = {round(standard - mag, 9) for mag, standard, _ in rows}
    assert len(rows) == 400
    assert {band for *_, band in rows} == {"V"}
    assert len(zeros) <= 20
    assert night.one("SELECT count(*) FROM best_light_curve WHERE mag_standard IS NULL") == 0
    assert night.one("SELECT count(*) FROM check_light_curve WHERE check_star = 'C1' AND mag_standard > 0") == 2 * 20
