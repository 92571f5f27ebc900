"""Heliocentric and barycentric times against astropy, against light's way by hand, and for things that are near."""

import numpy as np
import pytest

from photdb.algorithms.barycentre import LIGHT_S_PER_AU, times_elsewhere

WHIPPLE = (-110.88, 31.68, 1268.0)
#: From 1980 to 2024, over a night as well.
JD = np.array([2444240.1, 2451545.0, 2455197.5, 2458107.56508, 2458107.70, 2458107.93, 2460310.2])


@pytest.mark.parametrize(("ra", "dec"), [(31.04276, 46.68785), (200.0, -60.0), (266.4, -23.4), (0.0, 90.0)])
def test_times_are_those_of_astropys_built_in_ephemeris(ra, dec):
    import astropy.units as u
    from astropy.coordinates import EarthLocation, SkyCoord
    from astropy.time import Time
    from astropy.utils import iers

    with iers.conf.set_temp("auto_download", False), iers.conf.set_temp("auto_max_age", None):
        site = EarthLocation.from_geodetic(WHIPPLE[0] * u.deg, WHIPPLE[1] * u.deg, WHIPPLE[2] * u.m)
        time = Time(JD, format="jd", scale="utc", location=site)
        star = SkyCoord(ra * u.deg, dec * u.deg)
        bjd = time.tdb + time.light_travel_time(star, "barycentric", ephemeris="builtin")
        hjd = time + time.light_travel_time(star, "heliocentric", ephemeris="builtin")
        found = times_elsewhere(JD, ra, dec, site_deg_m=WHIPPLE)
        # a Julian date in one float resolves 40 µs
        assert np.abs((bjd - Time(found.bjd_tdb, format="jd", scale="tdb")).sec).max() < 1e-4
        assert np.abs((hjd - Time(found.hjd_utc, format="jd", scale="utc")).sec).max() < 1e-4
    assert found.leap_seconds_known
    assert found.light_time_s is None


def test_without_a_site_it_is_the_earths_centre_at_most_21_ms_away():
    here, centre = (times_elsewhere(JD, 31.04, 46.69, site_deg_m=site).bjd_tdb for site in (WHIPPLE, None))
    off_s = np.abs(here - centre) * 86400.0
    assert off_s.max() <= 0.0213
    assert off_s.max() > 0.01


def test_the_year_is_in_it():
    """A star on the ecliptic is seen up to 499 s early or late; one at its pole hardly so. TDB is 69.184 s ahead."""
    year = 2458107.5 + np.arange(366.0)
    ahead_s = (times_elsewhere(year, 0.0, 0.0).bjd_tdb - year) * 86400.0 - 69.184
    assert ahead_s.max() == pytest.approx(LIGHT_S_PER_AU, abs=8.0)  # the orbit is no circle, the Sun not the barycentre
    assert ahead_s.min() == pytest.approx(-LIGHT_S_PER_AU, abs=12.0)
    at_pole_s = (times_elsewhere(year, 270.0, 66.5607).bjd_tdb - year) * 86400.0 - 69.184
    assert np.abs(at_pole_s).max() < 5.0
    helio_s = (times_elsewhere(year, 0.0, 0.0).hjd_utc - year) * 86400.0
    assert np.abs(helio_s - ahead_s).max() < 5.0  # the Sun is at most 0.01 au from the barycentre
    # 22 September: the Earth is at 0° as seen from the Sun, 1.0034 au away (equinox 2018-09-23 01:54 UTC)
    (equinox_s,) = (times_elsewhere([2458384.5792], 0.0, 0.0).hjd_utc - 2458384.5792) * 86400.0
    assert equinox_s == pytest.approx(1.0034 * LIGHT_S_PER_AU, abs=0.1)


def test_a_known_barycentric_time_of_hat_p_32():
    """First frame of the real night: 382 s, within 10 ms of what astropy gives."""
    (bjd,) = times_elsewhere([2458107.56543191], 31.042783, 46.687833, site_deg_m=WHIPPLE).bjd_tdb
    assert (bjd - 2458107.56543191) * 86400.0 == pytest.approx(382.375, abs=0.01)


def test_light_of_a_near_object_is_no_plane_wave():
    """At opposition 1 au from here the object is 2 au from the Sun: its light gets there 1 au later, and no more."""
    jd = 2458107.5
    plane = times_elsewhere([jd], 88.0, 23.4).hjd_utc
    near = times_elsewhere([jd], 88.0, 23.4, distance_au=[1.0])
    far = times_elsewhere([jd], 88.0, 23.4, distance_au=[1e9])
    assert near.light_time_s == pytest.approx([499.00478], abs=1e-4)
    assert far.hjd_utc == pytest.approx(plane, abs=1e-9)
    # |r + d n| − d, worked out with vectors: r to (88°, 23.4°) is nearly along the Earth's own direction
    assert 0.0 <= (near.hjd_utc[0] - plane[0]) * 86400.0 < 1.0
    beside = times_elsewhere([jd], 178.0, 0.0, distance_au=[1.0])
    plane = times_elsewhere([jd], 178.0, 0.0)
    # at right angles the way is √(0.984² + 1) − 1 au instead of none
    assert (beside.hjd_utc[0] - plane.hjd_utc[0]) * 86400.0 == pytest.approx(0.403 * LIGHT_S_PER_AU, abs=6.0)


def test_each_frame_is_computed_by_itself():
    all_at_once = times_elsewhere(JD, 10.0, 20.0, site_deg_m=WHIPPLE)
    one_by_one = [times_elsewhere([jd], 10.0, 20.0, site_deg_m=WHIPPLE).bjd_tdb[0] for jd in JD]
    np.testing.assert_array_equal(all_at_once.bjd_tdb, one_by_one)


def test_dates_beyond_the_known_leap_seconds_are_told():
    assert not times_elsewhere([2470000.5], 0.0, 0.0).leap_seconds_known


def test_a_date_of_another_century_is_computed_and_said():
    """Headers may say anything, from the year 1 to 9999: no warning, and light takes at most 1.02 au to the Sun."""
    for jd in (1721425.5, 2415020.5 - 400.0, 2488069.5 + 400.0, 5373484.5):
        found = times_elsewhere([jd], 10.0, 20.0, site_deg_m=WHIPPLE)
        assert not found.earth_known
        assert np.abs(found.hjd_utc - jd).max() * 86400.0 < 1.05 * LIGHT_S_PER_AU
    assert times_elsewhere([2415420.5, 2487669.5], 10.0, 20.0).earth_known
