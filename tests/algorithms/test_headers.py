import json
import math
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import erfa
import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from photdb.algorithms.header_times import MEANING
from photdb.algorithms.headers import interpret
from photdb.frames import find_frames, read_header

# 2018-10-18T03:01:53.784 UTC, an exposure of 240 s, whose middle is 120 s later
START = 2458409.6263169444
MIDDLE = START + 120 / 86400
EXPOSURE = {"EXPTIME": 240.0}

DIALECTS: dict[str, tuple[dict[str, Any], float, str]] = {
    "MaxIm DL": (
        {"DATE-OBS": "2018-10-18T03:01:53.784", "EXPTIME": 240.0, "EXPOSURE": 240.0, "JD": 2458409.6263169444},
        MIDDLE,
        "DATE-OBS (start) + EXPTIME/2",
    ),
    "TheSkyX": (
        {**EXPOSURE, "DATE-OBS": "2018-10-18T03:01:53.784", "LOCALTIM": "10/17/2018 11:01:53.780 PM DST"},
        MIDDLE,
        "DATE-OBS (start) + EXPTIME/2",
    ),
    "NINA": (
        {
            "EXPOSURE": 240.0,
            "DATE-LOC": "2018-10-17T23:01:53.784",
            "DATE-OBS": "2018-10-18T03:01:53.784",
            "DATE-AVG": "2018-10-18T03:03:53.784",
            "MJD-OBS": 58409.12631694,
            "MJD-AVG": 58409.12770583,
        },
        MIDDLE,
        "DATE-AVG (middle)",
    ),
    "ASCOM with seven digits": (
        {**EXPOSURE, "DATE-OBS": "2018-10-18T03:01:53.7840000"},
        MIDDLE,
        "DATE-OBS (start) + EXPTIME/2",
    ),
    "IRAF": (
        {"EXPTIME": "240.", "DATE-OBS": "2018-10-18", "UT": "03:01:53.784", "ST": "00:02:10"},
        MIDDLE,
        "DATE-OBS and UT (start) + EXPTIME/2",
    ),
    "IRAF before 2000": (
        {"EXPTIME": 240, "DATE-OBS": "18/10/98", "TIME-OBS": "03:01:53.784"},
        MIDDLE - 7305,
        "DATE-OBS and TIME-OBS (start) + EXPTIME/2",
    ),
    "Siril": (
        {"EXPTIME": 240.0, "DATE-OBS": "2018-10-18T03:01:53.784", "EXPSTART": START, "EXPEND": START + 240 / 86400},
        MIDDLE,
        "DATE-OBS (start) + EXPTIME/2",
    ),
    "MicroObservatory": (
        {
            "EXPTIME": 240.0,
            "DATE-OBS": "2018-10-17T20:01:53.784-0700",
            "DATE-END": "2018-10-17T20:05:55.7-0700",
            "UT-OBS": "2018-10-18T03:01:53.784-0000",
            "MJD-OBS": 58409.126,
        },
        MIDDLE,
        "DATE-OBS (start, local time -07:00) + EXPTIME/2",
    ),
    "ESO": (
        {**EXPOSURE, "MJD-OBS": 58409.12631694, "DATE-OBS": "2018-10-18T03:01:53.784", "UTC": 10913.784, "LST": 130.0},
        MIDDLE,
        "DATE-OBS (start) + EXPTIME/2",
    ),
    "LCO": (
        {
            **EXPOSURE,
            "DATE": "2018-10-18",
            "DATE-OBS": "2018-10-18T03:01:53.784",
            "MJD-OBS": 58409.1263169,
            "UTSTART": "03:01:53.784",
            "UTSTOP": "03:05:53.800",
        },
        MIDDLE,
        "DATE-OBS (start) + EXPTIME/2",
    ),
    "AstroImageJ": (
        {**EXPOSURE, "DATE-OBS": "2018-10-18T03:01:53", "JD_SOBS": START, "JD_UTC": MIDDLE, "BJD_TDB": MIDDLE + 0.004},
        MIDDLE,
        "JD_UTC (middle)",
    ),
    "IRAF setjd writes the middle into JD": (
        {**EXPOSURE, "DATE-OBS": "2018-10-18", "UT": "03:01:53.784", "JD": MIDDLE},
        MIDDLE,
        "DATE-OBS and UT (start) + EXPTIME/2",
    ),
    "JD alone": ({**EXPOSURE, "JD": START}, MIDDLE, "JD (start) + EXPTIME/2"),
    "reduced JD": ({**EXPOSURE, "JD-OBS": START - 2_400_000}, MIDDLE, "JD-OBS (start) + EXPTIME/2"),
    "MJD alone, as text": ({**EXPOSURE, "MJD-OBS": "58409.12631694"}, MIDDLE, "MJD-OBS (start) + EXPTIME/2"),
    "end alone": ({**EXPOSURE, "DATE-END": "2018-10-18T03:05:53.784"}, MIDDLE, "DATE-END (end) - EXPTIME/2"),
    "Z": ({**EXPOSURE, "DATE-OBS": "2018-10-18T03:01:53.784Z"}, MIDDLE, "DATE-OBS (start) + EXPTIME/2"),
    "a blank, and UTC": (
        {**EXPOSURE, "DATE-OBS": "2018-10-18 03:01:53.784 UTC"},
        MIDDLE,
        "DATE-OBS (start) + EXPTIME/2",
    ),
    "east of Greenwich": (
        {**EXPOSURE, "DATE-OBS": "2018-10-18T08:31:53.784+05:30"},
        MIDDLE,
        "DATE-OBS (start, local time +05:30) + EXPTIME/2",
    ),
    "local time of day with its offset": (
        {**EXPOSURE, "DATE-OBS": "2018-10-17", "TIME-OBS": "20:01:53.784-0700"},
        MIDDLE,
        "DATE-OBS and TIME-OBS (start) + EXPTIME/2",
    ),
    "midnight stands for no time": (
        {**EXPOSURE, "DATE-OBS": "2018-10-18T00:00:00", "UT-OBS": "03:01:53.784"},
        MIDDLE,
        "DATE-OBS and UT-OBS (start) + EXPTIME/2",
    ),
    "hours as a number": (
        {**EXPOSURE, "DATE-OBS": "2018-10-18", "UT": 3 + 113.784 / 3600},
        MIDDLE,
        "DATE-OBS and UT (start) + EXPTIME/2",
    ),
    "hour 24, second 60": (
        {**EXPOSURE, "DATE-OBS": "2018-10-17T24:00:60"},
        2458409.5 + 180 / 86400,
        "DATE-OBS (start) + EXPTIME/2",
    ),
    "coarse MJD in the middle gives way": (
        {**EXPOSURE, "DATE-OBS": "2018-10-18T03:01:53.784", "MJD-MID": 58409.128},
        MIDDLE,
        "DATE-OBS (start) + EXPTIME/2",
    ),
    "TT": (
        {**EXPOSURE, "TIMESYS": "TT", "DATE-OBS": "2018-10-18T03:03:02.968"},
        MIDDLE,
        "DATE-OBS (start, TT) + EXPTIME/2",
    ),
    "TAI": (
        {**EXPOSURE, "TIMESYS": "tai", "MJD-OBS": 58409.12674518},
        MIDDLE,
        "MJD-OBS (start, TAI) + EXPTIME/2",
    ),
    "UT-OBS is UT whatever TIMESYS says": (
        {**EXPOSURE, "TIMESYS": "TAI", "DATE-OBS": "2018-10-18", "UT-OBS": "03:01:53.784"},
        MIDDLE,
        "DATE-OBS and UT-OBS (start) + EXPTIME/2",
    ),
    "after midnight": (
        {"EXPTIME": 240.0, "DATE-OBS": "2018-10-17T23:59:58", "UT": "23:59:58", "UTSTOP": "00:03:58"},
        2458409.5 + 118 / 86400,
        "DATE-OBS (start) + EXPTIME/2",
    ),
    "exposure from start and end": (
        {"DATE-BEG": "2018-10-18T03:01:53.784", "DATE-END": "2018-10-18T03:05:53.784"},
        MIDDLE,
        "DATE-BEG (start) + (end - start)/2",
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects_of_time(dialect: str) -> None:
    cards, jd, source = DIALECTS[dialect]
    facts = interpret(cards)
    assert facts.jd_utc_mid is not None
    assert abs(facts.jd_utc_mid - jd) < 1e-8  # 0.9 ms; day numbers are written to 8 decimals
    assert (facts.time_source, facts.time_note) == (source, None)
    assert facts.exposure_s == 240.0


@given(
    start=st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),
    exposure_s=st.floats(0, 3600),
    offset_min=st.sampled_from([None, 0, -7 * 60, 330, 14 * 60]),
)
def test_times_survive_writing_and_reading(start: datetime, exposure_s: float, offset_min: int | None) -> None:
    text = (start + timedelta(minutes=offset_min or 0)).isoformat(timespec="microseconds")
    if offset_min is not None:
        text += f"{'-' if offset_min < 0 else '+'}{abs(offset_min) // 60:02d}{abs(offset_min) % 60:02d}"
    jd = interpret({"DATE-OBS": text, "EXPTIME": exposure_s}).jd_utc_mid
    assert jd is not None
    since = start + timedelta(seconds=exposure_s / 2) - datetime(2000, 1, 1, 12)
    # timedelta keeps microseconds; half a unit in the last place of a double at 2.4 million is 2.3e-10 d
    assert abs((jd - 2451545) - (since.days + (since.seconds + since.microseconds / 1e6) / 86400)) <= 2.5e-10


@given(mjd=st.floats(20000, 90000))
def test_day_numbers_survive(mjd: float) -> None:
    for keyword, value in (("MJD-OBS", mjd), ("JD", mjd + 2400000.5)):
        jd = interpret({keyword: value, "EXPTIME": 0}).jd_utc_mid
        assert jd is not None
        assert abs(jd - (mjd + 2400000.5)) <= 5e-10


NEARLY = ["2018-10-18", "01:02:03", 58000.0, "RA---TAN", "DEC--TAN", 30, 0.0]
VALUES = st.one_of(st.text(max_size=30), st.floats(), st.integers(), st.none(), st.sampled_from(NEARLY))
KEYWORDS = [*MEANING, "TIMESYS", "EXPTIME", "FILTER", "GAIN", "EGAIN", "AIRMASS", "TELALT", "APTDIA", "SITELONG"]
KEYWORDS += ["SITELAT", "LST", "HA", "RA", "DEC", "NAXIS1", "CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CD1_1", "CD2_2"]


@given(st.dictionaries(st.sampled_from(KEYWORDS), VALUES))
def test_nothing_in_a_header_raises(cards: dict[str, Any]) -> None:
    facts = interpret(cards)
    assert facts.jd_utc_mid is None or math.isfinite(facts.jd_utc_mid)


@pytest.mark.parametrize("scale", ["tai", "tt", "tdb"])
def test_time_scales_agree_with_astropy(scale: str) -> None:
    for utc in ("1975-06-01T00:00:00", "1999-01-01T00:00:01", "2005-12-31T12:00:00", "2024-02-29T01:02:03"):
        time = Time(utc, scale="utc", precision=9)
        jd = interpret({"DATE-OBS": getattr(time, scale).isot, "TIMESYS": scale.upper(), "EXPTIME": 0}).jd_utc_mid
        assert jd is not None
        # TDB is taken for TT, which is within 2 ms; astropy stretches the day with a leap second, 2005-12-31
        assert abs(jd - time.jd) * 86400 < (0.6 if utc.startswith("2005") else 0.002)


@pytest.mark.parametrize(
    ("cards", "note"),
    [
        ({"DATE-OBS": "2018-10-18T03:01:53", "UT": "03:02:26.7"}, "DATE-OBS and UT (start) says 33.7 s later"),
        ({"DATE-OBS": "2018-10-17T20:01:53", "UT-OBS": "2018-10-18T03:01:53"}, "UT-OBS (start) says 7 h later"),
        ({"DATE-OBS": "2018-10-18T03:01:53", "MJD-OBS": 58408.126}, "MJD-OBS (start) says 24.01 h earlier"),
        ({"DATE-OBS": "2018-10-18T03:01:53", "DATE-AVG": "2018-10-18T03:01:53"}, "DATE-OBS (start) says 2 min later"),
        ({"DATE-OBS": "2018-10-18T03:01:53", "MJD-OBS": 0.0}, None),
        ({"MJD-OBS": 58409.126}, "MJD-OBS (start) is only written to 86 s"),
        ({"DATE-OBS": "2018-10-18T03:01"}, "DATE-OBS (start) is only written to 60 s"),
        ({"DATE-OBS": "2018-10-18T03:01:53", "TIMESYS": "LOCAL"}, "TIMESYS = LOCAL is not understood: UTC is assumed"),
    ],
)
def test_disagreements_are_said(cards: dict[str, Any], note: str | None) -> None:
    facts = interpret({**EXPOSURE, **cards})
    assert facts.jd_utc_mid is not None
    assert facts.time_note == note


def test_an_unknown_exposure_is_said() -> None:
    facts = interpret({"DATE-OBS": "2018-10-18T03:01:53.784"})
    assert facts.jd_utc_mid == pytest.approx(START, abs=1e-9)
    assert facts.exposure_s is None
    assert facts.time_note == "the exposure is unknown: this is the time of its start"
    assert facts.time_source == "DATE-OBS (start)"


@pytest.mark.parametrize(
    ("cards", "note"),
    [
        ({}, "the header gives no time"),
        ({"DATE-OBS": "2018-10-18"}, "not understood as a time: DATE-OBS = 2018-10-18"),
        ({"DATE-OBS": "10/17/2018", "UT": "3:01"}, "not understood as a time: DATE-OBS = 10/17/2018, UT = 3:01"),
        ({"DATE-OBS": "2018-10-18T25:00:00"}, "not understood as a time: DATE-OBS = 2018-10-18T25:00:00"),
        ({"MJD-OBS": -1.0}, "not understood as a time: MJD-OBS = -1.0"),
        ({"DATE-OBS": True, "UT": None}, "not understood as a time: DATE-OBS = True"),
    ],
)
def test_no_time_is_no_time(cards: dict[str, Any], note: str) -> None:
    facts = interpret({**EXPOSURE, **cards})
    assert (facts.jd_utc_mid, facts.time_source, facts.time_note) == (None, "", note)


def test_the_user_chooses_keyword_meaning_and_clock() -> None:
    cards = {**EXPOSURE, "DATE-OBS": "2018-10-18T03:01:53.784", "DATE-AVG": "2018-10-18T04:00:00"}
    cards["MYTIME"] = "03:05:53.784"
    by_keyword = interpret(cards, time_keyword="date-obs")
    assert by_keyword.jd_utc_mid == pytest.approx(MIDDLE, abs=1e-9)
    assert by_keyword.time_note is None
    unusual = interpret(cards, time_keyword="MYTIME", time_means="end")
    assert unusual.jd_utc_mid == pytest.approx(MIDDLE, abs=1e-9)
    assert unusual.time_source == "DATE-OBS and MYTIME (end) - EXPTIME/2"
    by_meaning = interpret(cards, time_means="middle", time_offset_s=-1.5)
    assert by_meaning.jd_utc_mid == pytest.approx(START - 1.5 / 86400, abs=1e-9)
    assert by_meaning.time_source == "DATE-OBS (middle) -1.5 s"
    missing = interpret(cards, time_keyword="MJD-OBS")
    assert (missing.jd_utc_mid, missing.time_note) == (None, "the header has no MJD-OBS")


@pytest.mark.parametrize("night", ["hatp32", "luxembourg"])
def test_real_nights(night: str, real_night: Callable[[str], Path]) -> None:
    folder = real_night(night)
    expected = json.loads((folder.parent / "targets.json").read_text())[night]["jd_utc_mid"]
    facts = [interpret(read_header(path).cards) for path in find_frames([folder])]
    assert np.abs(np.sort([f.jd_utc_mid for f in facts]) - expected).max() < 1e-7  # written to 7 decimals
    assert {f.time_note for f in facts} == {None}
    assert {f.notes for f in facts} == {()}
    assert all(f.site_note is not None and "west positive" in f.site_note for f in facts)
    first = facts[0]
    if night == "hatp32":
        assert (first.exposure_s, first.filter, first.object, first.airmass_source) == (
            60.0, "Clear", "HATP-32", "TELALT (Pickering 2002)",
        )  # fmt: skip
        assert (first.site_lon_deg, first.site_lat_deg) == (-110.88, 31.68)
    else:
        assert (first.exposure_s, first.filter, first.object, first.airmass_source) == (
            240.0, "Open", "2713 Luxembourg", "AIRMASS",
        )  # fmt: skip
        assert first.site_lon_deg == pytest.approx(-71.485, abs=1e-9)
        assert (first.gain_e_per_adu, first.aperture_diameter_m) == (2.07, 0.3546)


@pytest.mark.parametrize(
    ("cards", "gain", "n_notes"),
    [
        ({"EGAIN": 1.3, "GAIN": 100}, 1.3, 0),
        ({"CVF": 5.0}, 5.0, 0),
        ({"GAIN": 2.3}, 2.3, 0),
        ({"GAIN": "2.3"}, 2.3, 0),
        ({"GAIN": 100}, None, 1),
        ({"GAIN": 10}, None, 1),
        ({"GAIN": 120.0}, None, 1),
        ({"EGAIN": 0.0, "GAIN": 1.27}, 1.27, 1),
        ({"EGAIN": "INDEF"}, None, 1),
        ({}, None, 0),
    ],
)
def test_gain(cards: dict[str, Any], gain: float | None, n_notes: int) -> None:
    facts = interpret(cards)
    assert facts.gain_e_per_adu == gain
    assert len(facts.notes) == n_notes


def test_other_facts() -> None:
    facts = interpret(
        {"FILTER": "", "FILTER1": " V ", "OBJECT": "M 67 ", "RDNOISE": "4.5", "SATURATE": 60000, "DATAMAX": 3021.0}
        | {"AIRMASS": 0.0, "OBJCTALT": " 30.0", "APTDIA": 0.28, "SITEELEV": 1250, "OBSERVER": " ", "EXPTIME": -1}
    )
    assert (facts.filter, facts.object, facts.observer) == ("V", "M 67", None)
    assert (facts.read_noise_e, facts.saturation_adu, facts.site_height_m) == (4.5, 60000.0, 1250.0)
    assert facts.aperture_diameter_m == 0.28
    assert facts.exposure_s is None
    assert facts.airmass == pytest.approx(1.99344, abs=1e-3)  # Pickering 2002, at 30 degrees; sec z is 2
    assert facts.notes == (
        "EXPTIME = -1 is not possible and was not taken",
        "AIRMASS = 0.0 is not possible and was not taken",
    )
    assert interpret({"DATAMAX": 65535.0}).saturation_adu is None
    assert interpret({}).wcs is None


def sky_cards(utc: str) -> dict[str, Any]:
    """Give what a telescope at 110.88 W, 31.68 N that points at HAT-P-32 would write, by ERFA (UT1 = UTC)."""
    ra, dec = 31.3121, 46.7691
    time = Time(utc, scale="utc")
    lst = (math.degrees(erfa.gmst06(time.jd1, time.jd2, time.tt.jd1, time.tt.jd2)) - 110.88) % 360
    _, altitude = erfa.hd2ae(math.radians(lst - ra), math.radians(dec), math.radians(31.68))
    return {"DATE-OBS": utc, "RA": ra, "DEC": dec, "LST": lst / 15, "CENTALT": math.degrees(altitude), "SITELAT": 31.68}


@pytest.mark.parametrize("written", [110.88, -110.88, 249.12, "+110 52 48.0", "110:52:48 W", "249.12 E"])
@pytest.mark.parametrize("evidence", ["LST", "CENTALT", "HA", "AIRMASS"])
def test_the_sign_of_the_longitude(written: float | str, evidence: str) -> None:
    all_cards = sky_cards("2017-12-20T01:33:43.317")
    all_cards["HA"] = (all_cards["LST"] * 15 - all_cards["RA"]) % 360
    all_cards["AIRMASS"] = 1 / math.sin(math.radians(all_cards["CENTALT"]))
    hidden = {"LST", "CENTALT", "HA", "AIRMASS"} - {evidence}
    facts = interpret({**EXPOSURE, "SITELONG": written, **{k: v for k, v in all_cards.items() if k not in hidden}})
    assert facts.site_lon_deg == pytest.approx(-110.88, abs=1e-9)
    assert facts.site_note is not None
    assert "not checked" not in facts.site_note


def test_a_longitude_that_nothing_shows_the_sign_of() -> None:
    nothing = interpret({"SITELONG": 110.88, "SITELAT": 31.68})
    assert nothing.site_lon_deg == 110.88
    assert nothing.site_note == (
        "the sign of SITELONG is not checked, east is taken as positive: nothing in the header can show it"
    )
    # a sidereal time reckoned from local time is 7 h off and fits neither sign
    cards = sky_cards("2017-12-20T01:33:43.317")
    wrong = interpret({"DATE-OBS": cards["DATE-OBS"], "LST": "17:04:23", "SITELONG": 110.88})
    assert wrong.site_note is not None
    assert wrong.site_note.endswith("LST fits neither sign or both")
    assert interpret({"OBSGEO-L": -110.88, "OBSGEO-B": 31.68, "OBSGEO-H": 1268}).site_lon_deg == -110.88
    assert interpret({}).site_note is None


@pytest.mark.parametrize(
    "matrix",
    [
        {"CD1_1": -1e-4, "CD1_2": 2e-5, "CD2_1": 2e-5, "CD2_2": 1e-4},
        {"CDELT1": -1e-4, "CDELT2": 1.1e-4, "CROTA2": 25.0},
        {"CDELT1": -1e-4, "CDELT2": 1.1e-4, "PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8},
        {"CDELT1": -1e-4, "CDELT2": 1.1e-4},
    ],
)
def test_wcs_and_centre_agree_with_astropy(matrix: dict[str, float]) -> None:
    cards = {"NAXIS": 2, "NAXIS1": 1301, "NAXIS2": 1025, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
    cards |= {"CRVAL1": 359.98, "CRVAL2": 62.0, "CRPIX1": 200.0, "CRPIX2": 900.5, **matrix}
    facts = interpret({**cards, "OBJCTRA": "12 00 00", "OBJCTDEC": "-10 00 00"})
    header = fits.Header(cards.items())
    centre = WCS(header).pixel_to_world(650, 512)
    assert facts.ra_deg == pytest.approx(centre.ra.deg, abs=1e-8)
    assert facts.dec_deg == pytest.approx(centre.dec.deg, abs=1e-8)
    assert facts.wcs is not None
    scale = WCS(header).pixel_scale_matrix
    np.testing.assert_allclose([[facts.wcs[f"cd{i}_{j}"] for j in (1, 2)] for i in (1, 2)], scale, rtol=1e-12, atol=0)
    assert (facts.wcs["crpix1"], facts.wcs["crval1_deg"], facts.wcs["ctype2"]) == (200.0, 359.98, "DEC--TAN")


def test_a_broken_wcs_is_noted_and_the_pointing_taken() -> None:
    facts = interpret({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": 0.0, "RA": "02:05:15", "DEC": "+46 46 09"})
    assert facts.wcs is None
    assert facts.notes == ("the WCS is incomplete and was not taken",)
    assert facts.ra_deg == pytest.approx(31.3125)
    assert facts.dec_deg == pytest.approx(46.769167, abs=1e-6)
    assert interpret({"RA": 31.3125, "DEC": 95}).ra_deg is None
