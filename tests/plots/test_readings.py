"""What plots show of a project is what its stages found; nothing of it is written."""

import numpy as np
import pytest
from nights import N_FRAMES

from photdb.errors import PhotdbError
from photdb.plots.curves import aperture_curves, reference_curves, target_label
from photdb.plots.field import read_field
from photdb.plots.light_curve import light_curve
from photdb.plots.noise import noise_diagram
from photdb.plots.search import noise_map
from photdb.store.project import Project
from photdb.viewers.quality import read_quality
from photdb.viewers.shifts import read_shift_curves


def test_references_scatter_as_check_says(night):
    with Project.read(night.path) as project:
        for aperture_id, radius in night.rows("SELECT id, radius_px FROM aperture"):
            curves = reference_curves(project, aperture_id=aperture_id)
            stored = night.rows(
                "SELECT s.label, k.scatter_mag FROM reference_check k JOIN source s ON s.id = k.source_id"
                " WHERE k.aperture_id = ? ORDER BY s.id",
                aperture_id,
            )
            assert list(zip(curves.labels, curves.scatter_mag.tolist(), strict=True)) == stored
            assert curves.aperture.startswith(f"{radius:g},")
            assert np.nanmedian(curves.mag, axis=1) == pytest.approx(np.zeros(len(curves.labels)), abs=1e-12)
        # the default is the aperture of the best curve
        best = night.one("SELECT min(radius_px) FROM best_combination WHERE rank = 1 AND target = 'Ganymed'")
        assert reference_curves(project).aperture.startswith(f"{best:g},")


def test_a_jump_put_into_one_reference_shows_in_its_curve(night):
    night.change(
        "UPDATE flux SET flux_adu = flux_adu * 1.1 WHERE frame_id = (SELECT id FROM frame WHERE number = 9)"
        " AND source_id = (SELECT id FROM source WHERE label = 'R1')"
    )
    with Project.read(night.path) as project:
        curves = reference_curves(project)
    place = curves.number.tolist().index(9)
    jump = -2.5 * np.log10(1.1)
    assert curves.mag[curves.labels.index("R1"), place] == pytest.approx(jump, abs=0.03)
    others = [i for i, label in enumerate(curves.labels) if label != "R1"]
    assert curves.mag[others, place] == pytest.approx(np.full(len(others), -jump / len(others)), abs=0.03)


def test_the_best_curve_is_that_of_its_aperture(night):
    with Project.read(night.path) as project:
        target = target_label(project, None)
        curves, found = aperture_curves(project, target), light_curve(project, target)
        radius, references = night.rows(
            "SELECT radius_px, reference_labels FROM best_combination WHERE rank = 1 AND target = ?", target
        )[0]
    assert curves.references == references.split()
    mag = curves.mag[curves.names.index(f"{radius:g} px")]
    here = np.isin(curves.number, found.best.number[found.best.kept])
    best = found.best.mag[found.best.kept]
    np.testing.assert_allclose(mag[here] - mag[here][0], best - best[0], atol=1e-12)


def test_the_band_holds_all_curves_kept_on_the_zero_point_of_the_best(night):
    with Project.read(night.path) as project:
        found = light_curve(project, "Ganymed")
    kept = found.best.kept
    assert found.n_curves == night.one("SELECT count(*) FROM best_combination WHERE target = 'Ganymed'") > 1
    assert (found.low_mag[kept] <= found.best.mag[kept]).all()
    assert (found.high_mag[kept] >= found.best.mag[kept]).all()
    width = found.high_mag[kept] - found.low_mag[kept]
    assert 0 < np.median(width) < 3 * found.best.noise_mag, "no zero points of other references in it"
    assert np.isnan(found.low_mag[~kept]).all()


def test_the_times_of_a_curve_are_those_of_its_points(night):
    night.photdb("reject", "frames", "3")
    night.photdb("run")
    for time, column in (("jd", "jd_utc_mid"), ("hjd", "hjd_utc_mid"), ("bjd", "bjd_tdb_mid")):
        with Project.read(night.path) as project:
            found = light_curve(project, "V1", time=time)
        stored = dict(night.rows(f"SELECT frame, {column} FROM best_light_curve WHERE target = 'V1'"))
        kept = found.best.kept
        assert dict(zip(found.best.number[kept].tolist(), found.jd[kept].tolist(), strict=True)) == stored
        assert len(stored) == N_FRAMES - 1
        assert np.isfinite(found.jd).all(), "left out, but drawn"


@pytest.mark.parametrize("weighting", ["mean", "all"])
def test_the_least_of_the_map_is_the_best_that_solve_kept(night, weighting):
    night.photdb("solve", "--weighting", weighting)
    with Project.read(night.path) as project:
        for target in ("Ganymed", "V1"):
            found = noise_map(project, target)
            kept = night.rows(
                "SELECT n_references, radius_px, noise_mag FROM best_combination WHERE target = ? ORDER BY rank", target
            )
            assert found.proven
            assert np.nanmin(found.noise_mag) == pytest.approx(kept[0][2], rel=1e-9)
            for n, radius, noise in kept:
                least = found.noise_mag[found.names.index(f"{radius:g} px"), n - 1]
                assert least <= noise * (1 + 1e-9)
            np.testing.assert_array_equal(found.kept_noise_mag, [noise for _, _, noise in kept])


def test_noise_of_references_is_that_of_check_and_the_ccd_curve_meets_the_errors(night):
    with Project.read(night.path) as project:
        found = noise_diagram(project)
    stored = night.rows(
        "SELECT s.label, a.radius_px, k.scatter_mag, k.expected_mag FROM reference_check k"
        " JOIN source s ON s.id = k.source_id JOIN aperture a ON a.id = k.aperture_id"
    )
    for label, radius, scatter, expected in stored:
        place = found.labels.index(label), found.radius_px.tolist().index(radius)
        assert found.measured_mag[place] == pytest.approx(scatter, rel=1e-9)
        # by the mean of the squared errors, which is what noise is made of, not by their median
        assert found.expected_mag[place] == pytest.approx(expected, rel=0.02)
    assert set(found.roles) == {"asteroid", "variable", "reference", "check"}
    # the drawn curve and the errors of each source are one equation, but for the night's medians
    on_curve = np.interp(found.mag[:, found.place], found.curve_mag, found.total_mag)
    np.testing.assert_allclose(found.expected_mag[:, found.place], on_curve, rtol=0.2)
    assert (found.total_mag**2 > found.photon_mag**2 + found.sky_mag**2).all()


def test_the_field_places_sources_where_they_are(night):
    with Project.read(night.path) as project:
        field = read_field(project, number=7)
    assert field.pixels.shape == (240, 300)
    assert [s.role for s in field.sources[:3]] == ["asteroid", "variable", "check"]
    for source in field.sources:
        assert (source.x_px, source.y_px) == pytest.approx(night.place(source.label, 7), abs=0.7)
    asteroid = field.sources[0]
    assert asteroid.track_px.shape == (N_FRAMES, 2)
    assert asteroid.track_px[6] == pytest.approx((asteroid.x_px, asteroid.y_px), abs=0.7)
    with Project.read(night.path) as project:
        reference = night.one("SELECT number FROM frame JOIN project p ON p.reference_frame_id = frame.id")
        assert read_field(project).number == reference


def test_qc_and_shifts_are_read_as_they_are_stored(night):
    night.photdb("qc", "--max-fwhm", "3.1")
    with Project.read(night.path) as project:
        quality, shifts = read_quality(project), read_shift_curves(project)
    stored = night.rows("SELECT number, fwhm_px, dx_px, accepted FROM frame_status ORDER BY jd_utc_mid")
    values = (quality.number, quality.metrics["fwhm_px"], shifts.dx_px, quality.accepted)
    assert list(zip(*(v.tolist() for v in values), strict=True)) == stored
    assert [(r.metric, r.operator, r.value) for r in quality.rules] == [("fwhm_px", ">", 3.1)]
    assert not shifts.unmatched.any()


def test_what_is_not_there_yet_is_said(night_at):
    with Project.read(night_at("new", "a").path) as project:
        for read in (reference_curves, noise_diagram, lambda p: target_label(p, None)):
            with pytest.raises(PhotdbError, match="selected|no aperture|two or more"):
                read(project)
        assert read_field(project).sources == []
    with Project.read(night_at("measured", "b").path) as project:
        with pytest.raises(PhotdbError, match="no light curve yet: run `photdb solve`"):
            light_curve(project, "Ganymed")
        with pytest.raises(PhotdbError, match="there is no target R1: the targets are Ganymed, V1"):
            target_label(project, "R1")
        assert noise_map(project, "Ganymed").kept_noise_mag.size == 0
