"""Errors of fluxes: what they are made of, scintillation, a gain from the frames, and the noise beside them."""

import numpy as np
import pytest
from nights import N_FRAMES, N_SOURCES, PLAN

from photdb.store.project import Project

BUDGET = "photon_adu2 + sky_photon_adu2 + read_noise_adu2 + sky_estimate_adu2 + scintillation_adu2"


@pytest.fixture
def measured(night_at):
    return night_at("measured")


def forget_header_gain(night):
    """Make the night one whose headers say neither gain nor read noise."""
    night.change("UPDATE frame SET gain_e_per_adu = NULL, read_noise_e = NULL")


def test_the_budget_adds_up_to_the_error_and_scintillation_stands_apart(measured):
    night, reads_nothing = measured, "SELECT count(*) FROM noise_budget WHERE scintillation_adu2 > 0"
    assert night.one(reads_nothing) == 0
    before = dict(night.rows("SELECT source || frame || '-' || aperture_id, flux_err_adu FROM noise_budget"))
    assert len(before) > N_FRAMES * N_SOURCES
    night.photdb("set", "--aperture-diameter", "0.2")
    night.photdb("run")
    rows = night.rows(
        f"SELECT source || frame || '-' || aperture_id, flux_adu, flux_err_adu, {BUDGET}, scintillation_adu2, frame"
        " FROM noise_budget WHERE flux_err_adu IS NOT NULL"
    )
    airmass = dict(night.rows("SELECT number, airmass FROM frame"))
    height = night.one("SELECT value FROM session WHERE fact = 'site_height_m'")
    for key, flux, error, total, air, frame in rows:
        assert total == pytest.approx(error**2, rel=1e-9)
        part = 10e-6 * 1.5**2 * 0.2 ** (-4 / 3) / PLAN.exposure_s * airmass[frame] ** 3 * np.exp(-2 * height / 8000.0)
        assert air == pytest.approx(max(flux, 0.0) ** 2 * part, rel=1e-9)
        assert error**2 - air == pytest.approx(before[key] ** 2, rel=1e-9)
    night.photdb("set", "--aperture-diameter", "none")
    night.photdb("run")
    after = dict(night.rows("SELECT source || frame || '-' || aperture_id, flux_err_adu FROM noise_budget"))
    assert after == before  # to the last bit


def test_noise_is_beside_theory_for_every_source_and_aperture(night):
    rows = night.rows("SELECT source, aperture_id, noise_mag, expected_mag, ccd_mag, ratio, n_frames FROM noise_ratio")
    assert len(rows) == N_SOURCES * night.one("SELECT count(*) FROM aperture")
    for *_, noise, expected, ccd, ratio, n in rows:
        assert ratio == pytest.approx(noise / expected)
        assert ccd == expected
        assert n > 10
    # in clear frames of stars that are left alone the CCD equation holds: twenty frames say so to 25 % each
    assert np.median([row[5] for row in rows if row[0] in ("R1", "R2", "R3", "R4", "C1")]) == pytest.approx(1, abs=0.2)
    scatter = dict(night.rows("SELECT source_id || '-' || aperture_id, scatter_mag FROM reference_check"))
    stored = dict(night.rows("SELECT source_id || '-' || aperture_id, noise_mag FROM source_noise"))
    for key, value in scatter.items():
        assert stored[key] == pytest.approx(value, rel=1e-9)


def test_a_gain_that_nobody_gives_is_estimated_once_and_said_to_be(measured):
    night = measured
    forget_header_gain(night)
    said = night.photdb("measure").stderr
    assert "until `photdb check` estimates it from the frames" in said
    stderr = night.photdb("check").stderr
    gain, err = night.rows("SELECT gain_e_per_adu, gain_err_e_per_adu FROM camera")[0]
    assert gain == pytest.approx(PLAN.gain_e_per_adu, abs=3 * err)
    assert err < 0.2 * gain
    assert f"The gain is estimated from the frames: {gain:.4g} ± {err:.2g} e/ADU" in stderr
    assert night.rows("SELECT value, origin FROM session WHERE fact = 'gain_e_per_adu'") == [(gain, "estimated")]
    assert night.one("SELECT DISTINCT gain_e_per_adu FROM frame_error") == gain
    night.photdb("run")
    assert night.work() == {}
    # it stays, whatever is rejected; it is not what the user sets
    night.photdb("reject", "frames", "2-6")
    night.photdb("run")
    assert night.one("SELECT gain_e_per_adu FROM camera") == gain
    night.photdb("set", "--gain", "1.4")
    night.photdb("run")
    assert night.one("SELECT DISTINCT gain_e_per_adu FROM frame_error") == 1.4
    assert "estimated" not in night.photdb("check").stderr
    night.photdb("set", "--gain", "none")
    night.photdb("run")
    assert night.one("SELECT DISTINCT gain_e_per_adu FROM frame_error") == gain
    # estimated anew on request, from the frames that are accepted now
    night.photdb("set", "--gain", "auto")
    assert "camera" in night.states()
    night.photdb("run")
    assert night.one("SELECT gain_e_per_adu FROM camera") != gain


def test_auto_goes_before_what_headers_say_and_reads_no_pixel_of_sources(night, reads):
    night.photdb("set", "--gain", "auto")
    night.photdb("check")
    gain = night.one("SELECT gain_e_per_adu FROM camera")
    assert night.rows("SELECT value, origin FROM session WHERE fact = 'gain_e_per_adu'") == [(gain, "estimated")]
    assert reads.cutouts == []
    assert 0 < len(reads.pixels) <= 48
    night.photdb("set", "--gain", "none")
    assert night.rows("SELECT value, origin FROM session WHERE fact = 'gain_e_per_adu'") == [
        (PLAN.gain_e_per_adu, "header")
    ]


def test_where_frames_cannot_tell_errors_count_one_electron_and_it_is_said(measured):
    night = measured
    forget_header_gain(night)
    for number in range(1, N_FRAMES + 1):
        night.frame(number).unlink()
    night.photdb("reject", "frames", f"1-{N_FRAMES - 2}")
    stderr = night.photdb("check").stderr
    assert "The gain could not be estimated from the frames: " in stderr
    assert "Errors count 1 e/ADU; if it is another: photdb set --gain E_PER_ADU" in stderr
    assert night.one("SELECT gain_e_per_adu IS NULL AND message IS NOT NULL FROM camera") == 1
    with Project.read(night.path) as project:
        assert project.connection.exec_driver_sql("SELECT count(gain_e_per_adu) FROM frame_error").scalar() == 0
