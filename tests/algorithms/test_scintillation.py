"""Scintillation by the formula, and as Young wrote it."""

import numpy as np
import pytest

from photdb.algorithms.scintillation import C_Y, scintillation_mag


def test_figures_by_hand():
    # √(10⁻⁵ · 1.5² · 1 · 1 · 1) = 0.474 % of a 1 m telescope in 1 s at the zenith and the sea: 5.15 mmag
    assert scintillation_mag(diameter_m=1.0, airmass=1.0, exposure_s=1.0) == pytest.approx(5.150e-3, abs=1e-6)
    at_sea = scintillation_mag(diameter_m=0.3546, airmass=[1.0, 2.0], exposure_s=[60.0, 240.0])
    assert at_sea[0] == pytest.approx(5.150e-3 * 0.3546 ** (-2 / 3) / np.sqrt(60.0), rel=1e-3)
    assert at_sea[1] / at_sea[0] == pytest.approx(np.sqrt(2.0**3 / 4.0), rel=1e-12)
    high = scintillation_mag(diameter_m=0.3546, airmass=1.0, exposure_s=60.0, height_m=4000.0)
    assert high / at_sea[0] == pytest.approx(np.exp(-0.5), rel=1e-12)


def test_youngs_own_form_is_met_but_for_the_median_site():
    """0.09 D^(−2/3) X^(3/2) / √(2 t), D in centimetres (Young 1967), agrees with C_Y = 1 within 8 %."""
    young = 2.5 / np.log(10.0) * 0.09 * 20.0 ** (-2 / 3) * 1.5**1.5 / np.sqrt(2.0 * 30.0)
    assert scintillation_mag(diameter_m=0.2, airmass=1.5, exposure_s=30.0) / C_Y == pytest.approx(young, rel=0.08)


def test_what_is_not_known_is_left_out():
    some = scintillation_mag(diameter_m=0.2, airmass=[1.0, np.nan, 1.0, 1.0], exposure_s=[10.0, 10.0, 0.0, np.nan])
    assert np.isfinite(some).tolist() == [True, False, False, False]
    assert np.isnan(scintillation_mag(diameter_m=None, airmass=[1.0], exposure_s=[10.0])).all()


def test_headers_that_no_telescope_has_tell_nothing():
    """Of an exposure of 10⁻³⁰⁰ s or an airmass of 10²⁰⁰ there is no warning, and no scintillation of 10¹⁴⁷ mag."""
    some = scintillation_mag(
        diameter_m=0.2, airmass=[1.0, 1.0, 1e200, -1.0, 1.0], exposure_s=[1e-300, 5e-324, 30.0, 30.0, 1e-5]
    )
    assert np.isnan(some).all()
    # 1 mag is 0.92 of the flux, or 8.48e-1 = 2.25e-5 · 0.2^(−4/3) / t: at t = 227 µs.
    limit = 2.25e-5 * 0.2 ** (-4 / 3) / (np.log(10.0) / 2.5) ** 2
    assert limit == pytest.approx(2.268e-4, rel=1e-3)
    near = scintillation_mag(diameter_m=0.2, airmass=1.0, exposure_s=[0.999 * limit, 1.001 * limit])
    assert np.isnan(near).tolist() == [True, False]
