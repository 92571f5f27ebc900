"""Apertures scaled by the FWHM, optimal ones, and other skies, in a whole session: what is work, and what stays."""

import numpy as np
import pytest

from tests.nights import N_FRAMES, N_SOURCES, interrupt_after, small_steps

APERTURES = ("3,13,18", "1.1fwhm,13,18", "optimal,13,18")
MEASURE = ("measure", "-j", 1, "--apertures", *APERTURES)


def fluxes(night, aperture, columns="x.flux_adu, x.flux_err_adu, x.flags"):
    return night.rows(
        f"SELECT {columns} FROM flux x JOIN aperture a ON a.id = x.aperture_id JOIN frame f ON f.id = x.frame_id"
        f" WHERE a.kind = '{aperture}' AND a.removed_at IS NULL ORDER BY f.number, x.source_id, a.id"
    )


@pytest.fixture(scope="module")
def measured(built_night, tmp_path_factory):
    """The night, measured with all kinds; not to be changed."""
    from tests.nights import copy_night

    night = copy_night(built_night, tmp_path_factory.mktemp("kinds") / "night", "selected")
    night.photdb(*MEASURE)
    return night


def test_a_scaled_circle_is_the_fixed_one_of_that_radius(measured, night_at):
    other = night_at("selected")
    number, fwhm = measured.rows("SELECT f.number, q.fwhm_px FROM frame f JOIN frame_quality q ON q.frame_id = f.id")[7]
    other.photdb("measure", "--apertures", f"{1.1 * fwhm!r},13,18")
    where = "frame = ? ORDER BY source"
    sql = f"SELECT source, flux_adu, flux_err_adu, flags FROM instrumental WHERE {where}"
    fixed = other.rows(sql, number)
    scaled = measured.rows(sql.replace("WHERE", "WHERE aperture LIKE '1.1fwhm%' AND"), number)
    assert [(label, flags) for label, _, _, flags in scaled] == [(label, flags) for label, _, _, flags in fixed]
    for column in (1, 2):
        np.testing.assert_allclose([r[column] for r in scaled], [r[column] for r in fixed], rtol=1e-12)


def test_optimal_fluxes_are_right(measured):
    """Against the truth: the same part of the light for all, to 0.5 % for these bright stars."""
    rows = measured.rows(
        "SELECT f.path, s.label, x.flux_adu FROM flux x JOIN aperture a ON a.id = x.aperture_id AND a.kind = 'optimal'"
        " JOIN frame f ON f.id = x.frame_id JOIN source s ON s.id = x.source_id"
    )
    assert len(rows) == N_FRAMES * N_SOURCES
    truth = measured.truth
    parts = [f / truth.flux_adu[truth.file_names.index(path), truth.labels.index(label)] for path, label, f in rows]
    assert np.median(parts) == pytest.approx(1.0, abs=0.02)
    assert np.std(parts) < 0.005
    for fwhm, beta, n_stars, n_sources, x, y in measured.rows(
        "SELECT p.fwhm_px / q.fwhm_px, beta, p.n_stars, n_sources, x_offset_px, y_offset_px FROM profile p"
        " JOIN frame_quality q ON q.frame_id = p.frame_id"
    ):
        assert fwhm == pytest.approx(1.0, abs=0.05)
        assert beta > 10  # the stars are Gaussian
        assert (n_stars >= 3, n_sources) == (True, N_SOURCES - 1)
        assert np.hypot(x, y) < 0.05


def test_the_same_bits_whatever_the_workers_batches_and_order(measured, night_at, monkeypatch):
    tables = ("flux", "profile", "centroid")
    wanted = measured.snapshot(*tables)
    small_steps(monkeypatch)
    for name, commands in {
        "steps": [MEASURE],
        "later": [("measure", "--apertures", "3,13,18"), MEASURE],
        "first": [("measure", "--apertures", "optimal,13,18"), ("measure", "-j", 2, "--apertures", *APERTURES)],
    }.items():
        night = night_at("selected", name)
        for command in commands:
            night.photdb(*command)
        assert night.snapshot(*tables) == wanted, name
        assert night.work().keys() <= {"check", "solve", "noise", "times"}


@pytest.mark.parametrize("calls", [1, 3])
def test_interrupted_it_goes_on(measured, night_at, monkeypatch, calls):
    night = night_at("selected")
    night.photdb("measure", "--apertures", "3,13,18")
    small_steps(monkeypatch)
    with monkeypatch.context() as patch:
        interrupt_after(patch, "measure", calls)
        night.photdb(*MEASURE, code=130)
    assert night.work()["measure"] > 0
    night.photdb("measure", "-j", 1)
    assert night.snapshot("flux", "profile") == measured.snapshot("flux", "profile")


def test_optimal_fluxes_follow_the_sources_of_the_frame_and_nothing_else_does(night_at, reads):
    """The offset is that of all sources that stand still: another reference moves it; circles are left alone."""
    night = night_at("selected")
    night.photdb(*MEASURE)
    before, fixed = night.rows("SELECT * FROM profile"), fluxes(night, "fixed")
    night.photdb("select", "remove", "R4")
    assert "optimal apertures follow" in night.photdb("status").stdout
    reads.clear()
    night.photdb("measure", "-j", 1)
    assert night.rows("SELECT * FROM profile") != before
    assert fluxes(night, "fixed") == fixed
    assert night.work().keys() <= {"check", "solve", "noise", "times"}
    reads.clear()
    night.photdb("measure", "-j", 1)
    assert reads.cutouts == []


def test_an_optimal_aperture_that_was_out_of_force_comes_back_with_what_still_holds(night_at, reads):
    night = night_at("selected")
    night.photdb(*MEASURE)
    kept = fluxes(night, "optimal")
    night.photdb("measure", "-j", 1, "--apertures", "3,13,18")
    reads.clear()
    night.photdb(*MEASURE)
    assert reads.cutouts == []
    assert fluxes(night, "optimal") == kept
    night.photdb("measure", "-j", 1, "--apertures", "optimal,13,20")
    night.photdb("select", "remove", "R4")
    night.photdb("measure", "-j", 1)  # with another profile, from which those of the other ring are not
    night.photdb(*MEASURE)
    again = night_at("selected", "again")
    again.photdb("select", "remove", "R4")
    again.photdb(*MEASURE)
    sql = "SELECT source, frame, flux_adu, flags FROM instrumental WHERE aperture = 'optimal,13,18' ORDER BY 1, 2"
    assert night.rows(sql) == again.rows(sql)


def test_errors_follow_the_gain_without_a_pixel(measured, night_at, reads):
    """Refreshed errors are those that measuring with the new gain states, in every kind and with every sky."""
    typed = ("3,13,18", "1.1fwhm,13,18,mode", "optimal,13,18,plane")
    one, two = night_at("selected", "one"), night_at("selected", "two")
    one.photdb("measure", "-j", 1, "--apertures", *typed)
    reads.clear()
    one.photdb("set", "--gain", 4.0)
    one.photdb("measure", "-j", 1)
    assert reads.cutouts == []
    two.photdb("set", "--gain", 4.0)
    two.photdb("measure", "-j", 1, "--apertures", *typed)
    sql = "SELECT source, frame, aperture, flux_err_adu, flags FROM instrumental ORDER BY 1, 2, 3"
    assert one.rows(sql) == two.rows(sql)


def test_skies_are_chosen_for_all_apertures_or_for_one(night_at):
    night = night_at("measured")
    n = night.one("SELECT count(*) FROM aperture WHERE removed_at IS NULL")
    said = night.photdb("measure", "--sky", "plane").stderr
    assert said.count(",plane") == n
    found = night.rows("SELECT DISTINCT sky FROM aperture WHERE removed_at IS NULL")
    assert found == [("plane",)]
    night.photdb("measure", "--apertures", "3,13,18", "4,13,18,median", "--sky", "mode")
    sql = "SELECT radius_px, sky FROM aperture WHERE removed_at IS NULL ORDER BY 1"
    assert night.rows(sql) == [(3.0, "mode"), (4.0, "mode")]
    night.photdb("measure", "--radii", "3:4:1", "--annulus", 13, 18)
    assert night.rows(sql) == [(3.0, "median"), (4.0, "median")]
    night.photdb("measure", "--radii", "0.8:1.2:0.2fwhm", "--annulus", 13, 18)
    assert night.rows("SELECT radius_fwhm, sky FROM aperture WHERE removed_at IS NULL ORDER BY 1") == [
        (0.8, "median"), (1.0, "median"), (1.2, "median"),
    ]  # fmt: skip


def test_kinds_are_proposed(night_at):
    night = night_at("selected")
    night.photdb("measure", "--kinds", "fixed,fwhm,optimal")
    sql = "SELECT kind, count(*), min(origin) FROM aperture WHERE removed_at IS NULL GROUP BY kind"
    assert night.rows(sql) == [("fixed", 8, "auto"), ("fwhm", 8, "auto"), ("optimal", 1, "auto")]
    assert "no kind" not in night.refused("measure", "--kinds", "round", code=2)
    assert "proposes" in night.refused("measure", "--kinds", "fixed", "--apertures", "3,8,12", code=2)
    assert "is no aperture" in night.refused("measure", "--apertures", "3,8", code=2)


def test_every_command_knows_them(night_at, tmp_path):
    """Searched, judged, rejected, plotted, exported, reported and repeated."""
    night = night_at("selected")
    night.photdb(*MEASURE)
    night.photdb("check", "--aperture", "1.1fwhm,13,18")
    night.photdb("reject", "aperture", "3,13,18")
    night.photdb("reject", "frames", "3", "--aperture", "1.1fwhm,13,18", "--source", "R1")
    solved = night.photdb("solve").stdout
    assert {word for line in solved.splitlines()[1:] for word in line.split() if "13,18" in word} == set(APERTURES[1:])
    assert "1.1 FWHM" in night.photdb("reject", "list").stdout
    night.photdb("plot", "noise", "--aperture", "optimal,13,18", "--save", tmp_path / "optimal.png")
    night.photdb("report", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "optimal,13,18" in page
    assert "1.1 FWHM" in page
    night.photdb("export", tmp_path / "out")
    names = {p.name.partition("aperture_")[2] for p in (tmp_path / "out").iterdir() if "aperture_" in p.name}
    assert {name.partition("_")[2] for name in names} == {"r3.txt", "r1.1fwhm.txt", "optimal.txt"}
    script = night.photdb("history", "--as-script").stdout
    assert "photdb measure --apertures 3,13,18 1.1fwhm,13,18 optimal,13,18" in script


def test_a_curve_of_growth_needs_two_circles(night_at, tmp_path):
    night = night_at("measured")
    night.photdb("plot", "growth", "--save", tmp_path / "growth.png")
    from photdb.plots.growth import growth_curves
    from photdb.store.project import Project

    with Project.read(night.path) as project:
        found = growth_curves(project)
    assert found.typical[-1] == 1.0
    assert (np.diff(found.typical) > 0).all()
    np.testing.assert_allclose(found.middle, np.tile(found.typical, (len(found.labels), 1)), atol=0.01)
    assert (found.low <= found.middle).all()
    assert (found.middle <= found.high).all()
    # a Gaussian of the frames' FWHM: the light within r
    expected = 1 - np.exp(-4 * np.log(2) * found.radius_px**2 / found.fwhm_px**2)
    np.testing.assert_allclose(found.typical, expected / expected[-1], atol=0.02)
    night.photdb("measure", "--apertures", "3,13,18", "optimal,13,18")
    assert "two fixed apertures" in night.refused("plot", "growth", "--save", tmp_path / "no.png")


def test_the_noise_budget_adds_up_in_every_kind_when_measured_and_when_facts_change(night_at):
    night = night_at("selected")
    night.photdb("set", "--aperture-diameter", 0.2)
    night.photdb("measure", "-j", 1, "--apertures", "3,13,18", "1.1fwhm,13,18,mode", "optimal,13,18,plane")
    parts = "photon_adu2 + sky_photon_adu2 + read_noise_adu2 + sky_estimate_adu2 + scintillation_adu2"
    sql = f"SELECT aperture, {parts}, flux_err_adu FROM noise_budget WHERE flux_err_adu IS NOT NULL"
    errors = []
    for gain in (None, 3.0):
        if gain is not None:
            night.photdb("set", "--gain", gain)
            night.photdb("measure", "-j", 1)
        rows = night.rows(sql)
        assert {row[0] for row in rows} == {"3,13,18", "1.1fwhm,13,18,mode", "optimal,13,18,plane"}
        for _, total, error in rows:
            assert total == pytest.approx(error**2, rel=1e-9)
        errors.append([row[2] for row in rows])
    assert errors[0] != errors[1]


def test_what_comes_near_is_looked_for_in_fixed_circles_and_that_is_said(night_at):
    night = night_at("selected")
    said = "not in 1.1fwhm,13,18, optimal,13,18"
    result = night.photdb(*MEASURE, "--hits", "mend", "--remove-stars")
    assert said in result.stderr
    assert (
        night.one("SELECT count(*) FROM correction c JOIN aperture a ON a.id = c.aperture_id AND kind <> 'fixed'") == 0
    )
    assert said in night.photdb("suggest").stderr
    # Without any such circle nothing is corrected, and nothing fails.
    night.photdb("measure", "-j", 1, "--apertures", *APERTURES[1:])
    assert said in night.photdb("suggest").stderr
    assert night.work().keys() <= {"check", "solve", "noise", "times", "camera"}
