"""Ephemerides: Horizons' text in its forms, plain columns, what is refused, and values between rows."""

import numpy as np
import pytest

from photdb.algorithms.ephemerides import Ephemeris, at_times, parse_ephemeris
from photdb.algorithms.sky_coordinates import pixels_to_sky

HEAD = """*******************************************************************************
Target body name: 2713 Luxembourg (1938 EA)       {source: JPL#54}
Range units     : AU
*******************************************************************************
"""
COLUMNS = (
    HEAD
    + """ Date__(UT)__HR:MN     R.A._____(ICRF)_____DEC    APmag   S-brt             delta      deldot     S-O-T /r
***************************************************************************************************************
$$SOE
 2018-Oct-18 03:00 *m  04 10 09.00 +22 50 30.0   15.432    n.a.  1.50000000000000  -14.9876543  133.2650 /L
 2018-Oct-18 04:00 Am  04 10 06.00 -00 30 00.0   15.431    n.a.  1.49990000000000  -14.9876543  133.3050 /L
$$EOE
"""
)
COMMAS = (
    HEAD
    + """ Date__(UT)__HR:MN, , , R.A._(ICRF), DEC_(ICRF), APmag, delta, deldot,
*****
$$SOE
 2018-Oct-18 03:00,*,m, 62.537500, 22.841667, 15.4, 1.50000000000000, -14.98,
 2018-Oct-18 04:00,*,m, 62.525000, -0.500000, 15.4, 1.49990000000000, -14.98,
$$EOE
"""
)
PLAIN = """# time, ra, dec, distance
JD ra dec au
2458409.625, 62.5375, 22.841667, 1.5
2018-10-18 04:00:00 62.525 -0.5 1.4999
"""
JD = 2458409.625


@pytest.mark.parametrize("text", [COLUMNS, COMMAS, PLAIN], ids=["columns", "commas", "plain"])
def test_forms_of_a_table_give_the_same_rows(text):
    found = parse_ephemeris(text)
    np.testing.assert_allclose(found.jd_utc, [JD, JD + 1 / 24], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.distance_au, [1.5, 1.4999], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.ra_deg, [62.5375, 62.525], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.dec_deg, [22.841667, -0.5], rtol=0, atol=1e-6)


def test_kilometres_other_time_scales_and_distances_alone():
    in_km = COLUMNS.replace(": AU", ": KM").replace("1.50000000000000", "149597870.700000")
    assert parse_ephemeris(in_km).distance_au[0] == pytest.approx(1.0, abs=1e-12)
    in_tt = COLUMNS.replace("Date__(UT)__HR:MN", "Date__(TT)__HR:MN")
    assert (JD - parse_ephemeris(in_tt).jd_utc[0]) * 86400.0 == pytest.approx(69.184, abs=1e-3)
    alone = parse_ephemeris("2458409.5 1.5\n2458410.5 1.49 # later\n")
    assert alone.ra_deg is None
    assert alone.distance_au.tolist() == [1.5, 1.49]
    # positions of date are not what is wanted
    assert parse_ephemeris(COLUMNS.replace("R.A._____(ICRF)_____DEC", "R.A.__(a-apparent)__DEC")).ra_deg is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "fewer than two rows"),
        ("2458409.5 1.5\n2458409.5 1.5\n", "the same time"),
        ("2458409.5 1.5\n2458410.5 -1\n", "not positive"),
        ("2458409.5 1.5\n2458410.5 one\n", "line 2 is not"),
        ("2458409.5 1.5\n12 1.5\n", "line 2 is not"),
        ("2458409.5 1.5\n2458410.5 1.5 2\n", "line 2 is not"),
        (COLUMNS.replace("delta ", "r     "), "no column `delta`"),
        (COLUMNS.replace("1.49990000000000", "            n.a."), "this row cannot be read: 2018-Oct-18 04:00"),
    ],
)
def test_what_is_no_table_is_refused_in_words(text, message):
    with pytest.raises(ValueError, match=message):
        parse_ephemeris(text)


def test_between_rows_of_a_day_a_parabola_is_exact_and_right_ascension_goes_through_zero():
    t = JD + np.arange(5.0)
    distance = 1.5 - 0.01 * (t - JD) + 2e-4 * (t - JD) ** 2
    table = Ephemeris(t, distance, (359.5 + 0.25 * (t - JD)) % 360.0, 0.1 * (t - JD))
    at = JD + np.array([0.0, 0.3, 1.7, 2.5, 4.0])
    distance, ra, dec = at_times(table, at)
    np.testing.assert_allclose(distance, 1.5 - 0.01 * (at - JD) + 2e-4 * (at - JD) ** 2, rtol=0, atol=1e-12)
    off = (ra - (359.5 + 0.25 * (at - JD)) + 180.0) % 360.0 - 180.0
    assert np.abs(off).max() < 1e-6
    assert np.abs(dec - 0.1 * (at - JD)).max() < 1e-6
    with pytest.raises(ValueError, match=r"it runs from JD 2458409\.62500 to 2458413\.62500, the frames from"):
        at_times(table, [JD - 0.01])


def test_a_wcs_is_read_as_astropy_reads_it():
    from astropy.wcs import WCS

    header = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 62.5, "CRVAL2": 80.0, "CRPIX1": 512.0, "CRPIX2": 500.0,
        "CD1_1": -3e-4, "CD1_2": 2e-5, "CD2_1": 1e-5, "CD2_2": 3e-4,
    }  # fmt: skip
    x, y = np.array([0.0, 511.0, 1000.0]), np.array([3.0, 499.0, 900.0])
    for swapped in (False, True):
        if swapped:
            header |= {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": -20.0, "CRVAL2": 359.9}
        wcs = {k.lower() + ("_deg" if k.startswith("CRVAL") else ""): v for k, v in header.items()}
        ra, dec = pixels_to_sky(wcs, x, y)
        wanted = WCS(header).celestial.pixel_to_world(x, y) if not swapped else WCS(header).pixel_to_world(x, y)
        np.testing.assert_allclose(ra, wanted.ra.deg, rtol=0, atol=1e-9)
        np.testing.assert_allclose(dec, wanted.dec.deg, rtol=0, atol=1e-9)


def test_a_damaged_wcs_puts_nothing_anywhere():
    """A scale of 10²⁰⁰ degrees a pixel, as a header may say, is no warning, and no place."""
    sound = {
        "ctype1": "RA---TAN", "ctype2": "DEC--TAN", "crval1_deg": 62.5, "crval2_deg": 80.0, "crpix1": 1.0,
        "crpix2": 1.0, "cd1_1": -3e-4, "cd1_2": 0.0, "cd2_1": 0.0, "cd2_2": 3e-4,
    }  # fmt: skip
    for damage in ({"cd1_1": 1e200}, {"cd1_1": 1e308, "cd1_2": -1e308}, {"crpix1": -1e300}, {"cd2_2": 0.2}):
        ra, dec = pixels_to_sky(sound | damage, [1e3, 1e150], [500.0, 500.0])
        assert np.isnan(ra).all(), damage
        assert np.isnan(dec).all(), damage
    # 45° is where the projection has a distance of one radian from its centre.
    scale = np.degrees(1.0) / 100.0
    ra, dec = pixels_to_sky(sound | {"cd2_2": scale, "crval2_deg": 0.0}, [0.0, 0.0], [100.0, 100.1])
    assert dec[0] == pytest.approx(45.0, abs=1e-9)
    assert np.isnan(dec).tolist() == [False, True]


def test_a_time_zone_is_taken_into_account():
    """02:00 two hours east of Greenwich is 00:00 UTC: JD 2458409.5."""
    table = parse_ephemeris("2018-10-18T02:00:00+02:00 1.5\n2018-10-19T00:00:00Z 1.6\n")
    assert table.jd_utc.tolist() == [2458409.5, 2458410.5]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("2458409.5 inf\n2458410.5 1", "not between"),
        ("2458409.5 1e-10\n2458410.5 1", "not between"),
        ("2458409.5 400 10 1\n2458410.5 0 10 1", "not possible"),
        ("2458409.5 10 95 1\n2458410.5 0 10 1", "not possible"),
        ("2458409.5 1_5\n2458410.5 1", "line 1"),
        ("0001-01-01T00:00:00+14:00 1\n2458410.5 1", "line 1"),
        ("2458409.5 1\n2458410.5 ٣", "line 2"),
    ],
)
def test_values_that_nothing_has_are_refused(rows, said):
    with pytest.raises(ValueError, match=said):
        parse_ephemeris(rows)


def test_rows_that_jump_are_no_ephemeris():
    """A cubic through two rows within a second and two far away would be 10⁹ au off between them."""
    table = parse_ephemeris("2458409 1.5\n2458409.00001 1.5\n2458409.00002 99\n2458500 1.5")
    with pytest.raises(ValueError, match="do not run smoothly"):
        at_times(table, [2458450.0])
    smooth = parse_ephemeris("2458409 1.5\n2458410 1.6\n2458411 1.5\n2458412 1.6")
    assert 0.75 < at_times(smooth, [2458409.5])[0][0] < 3.2
