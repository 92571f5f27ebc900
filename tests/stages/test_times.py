"""Times of targets: where coordinates come from, what is stored and said, and the light time of an asteroid."""

import math

import numpy as np
import pytest
from nights import N_FRAMES

SITE = (10.5, 46.2, 500.0)


def ahead_s(night, target):
    return [s for (s,) in night.rows(
        "SELECT (m.bjd_tdb_mid - f.jd_utc_mid) * 86400 FROM target_time m JOIN source s ON s.id = m.target_id"
        " JOIN frame f ON f.id = m.frame_id WHERE s.label = ? ORDER BY f.jd_utc_mid", target
    )]  # fmt: skip


def test_coordinates_that_are_given_go_before_the_pointing_and_reach_every_face(night):
    from photdb.algorithms.barycentre import times_elsewhere

    said = night.photdb("times").stderr
    assert "V1: its coordinates are those of the pointing in the headers; for each 0.1°" in said
    pointing = ahead_s(night, "V1")
    assert len(pointing) == N_FRAMES
    night.photdb("set", "--site", *SITE)
    out = night.photdb("times", "V1", "--radec", "02:04:10.28", "+46:41:16.2")
    assert "31.04283" in out.stdout
    assert "pointing" not in out.stderr
    jd = np.array([v for (v,) in night.rows("SELECT jd_utc_mid FROM frame ORDER BY jd_utc_mid")])
    wanted = times_elsewhere(jd, 15 * (2 + 4 / 60 + 10.28 / 3600), 46 + 41 / 60 + 16.2 / 3600, site_deg_m=SITE)
    np.testing.assert_allclose(ahead_s(night, "V1"), (wanted.bjd_tdb - jd) * 86400, rtol=0, atol=1e-4)
    assert abs(ahead_s(night, "V1")[0] - pointing[0]) > 1.0
    assert night.work() == {}  # no magnitude is touched by it
    rows = night.rows(
        "SELECT b.bjd_tdb_mid, m.bjd_tdb_mid, b.hjd_utc_mid, b.light_time_s FROM best_light_curve b JOIN frame f"
        " ON f.number = b.frame JOIN source s ON s.label = b.target JOIN target_time m ON m.target_id = s.id"
        " AND m.frame_id = f.id WHERE b.target = 'V1'"
    )
    assert rows
    assert all(bjd == own and hjd is not None and light is None for bjd, own, hjd, light in rows)
    assert "photdb times V1 --radec 02:04:10.28 +46:41:16.2" in night.photdb("history", "--as-script").stdout
    night.photdb("times", "V1", "--forget")
    origin = "SELECT c.origin FROM target_coordinates c JOIN source s ON s.id = target_id WHERE label = 'V1'"
    assert night.one(origin) == "pointing"


def test_without_coordinates_columns_stay_empty_and_one_sentence_says_so(night):
    night.change("UPDATE frame SET ra_deg = NULL, dec_deg = NULL")
    said = night.photdb("times").stderr
    assert said.count("V1: no coordinates, so no BJD and HJD: photdb times V1 --radec RA DEC") >= 1
    assert night.one("SELECT count(*) FROM target_time") == 0
    assert night.one("SELECT count(bjd_tdb_mid) FROM light_curve") == 0
    night.photdb("run")
    assert night.work() == {}
    night.change("UPDATE project SET site_lon_deg = NULL")
    night.change("UPDATE frame SET site_lon_deg = NULL")
    said = night.photdb("times", "V1", "--radec", "31.04", "46.69").stderr
    assert "The site is not known: BJD and HJD are for the Earth's centre, up to 0.021 s off" in said


def test_a_wcs_gives_the_place_of_star_and_asteroid(night):
    """One arcsecond a pixel, north up, in the reference frame alone for the star; in all frames the asteroid moves."""
    reference = night.one("SELECT reference_frame_id FROM project")
    cell = 1 / 3600
    values = f"'RA---TAN', 'DEC--TAN', 31.0, 46.0, 1.0, 1.0, {-cell}, 0.0, 0.0, {cell}"
    night.change(f"INSERT INTO frame_wcs SELECT {reference}, {values}")
    night.photdb("times")
    x, y, ra, dec = night.rows(
        "SELECT c.x_expected_px, c.y_expected_px, m.ra_deg, m.dec_deg FROM target_time m JOIN source s"
        " ON s.id = m.target_id JOIN centroid c ON c.source_id = s.id AND c.frame_id = ? WHERE s.label = 'V1'"
        " AND m.frame_id = 1",
        reference,
    )[0]
    assert (ra - 31.0) * math.cos(math.radians(46.0)) == pytest.approx(-x * cell, abs=1e-4)
    assert dec - 46.0 == pytest.approx(y * cell, abs=1e-4)
    night.change(f"INSERT OR REPLACE INTO frame_wcs SELECT id, {values} FROM frame")
    night.photdb("times")
    moved = night.rows(
        "SELECT c.x_expected_px, m.ra_deg FROM target_time m JOIN source s ON s.id = m.target_id JOIN centroid c"
        " ON c.source_id = s.id AND c.frame_id = m.frame_id WHERE s.label = 'Ganymed' ORDER BY m.frame_id"
    )
    x, ra = np.array(moved).T
    np.testing.assert_allclose((ra - 31.0) * np.cos(np.radians(46.0)), -x * cell, rtol=0, atol=1e-3)
    assert np.ptp(ra) > 1e-3


def test_an_ephemeris_gives_light_time_and_is_kept_and_repeated(night, tmp_path):
    first, last = night.rows("SELECT min(jd_utc_mid), max(jd_utc_mid) FROM frame")[0]
    file = tmp_path / "way of ganymed.txt"
    file.write_text(f"{first - 1} 40.0 10.0 1.0\n{last + 1} 41.0 10.5 1.1\n")
    night.photdb("times", "Ganymed", "--ephemeris", file)
    rows = night.rows(
        "SELECT jd_utc_mid, light_time_s, jd_utc_emitted FROM best_light_curve WHERE target = 'Ganymed' ORDER BY frame"
    )
    for jd, light, emitted in rows:
        distance = 1.0 + 0.1 * (jd - first + 1) / (last - first + 2)
        assert light == pytest.approx(499.004784 * distance, abs=1e-3)
        assert (jd - emitted) * 86400 == pytest.approx(light, abs=1e-4)
    script = night.photdb("history", "--as-script").stdout
    assert "photdb times --ephemeris \"$EPHEMERIDES\"/'way of ganymed.txt' Ganymed\n" in script
    assert f"{first - 1!r} 40.0 10.0 1.0" in script
    before = night.snapshot("ephemeris", "target_time")
    short = tmp_path / "short.txt"
    short.write_text(f"{first} 1.0\n{(first + last) / 2} 1.1\n")
    assert "it runs from JD" in night.refused("times", "Ganymed", "--ephemeris", short)
    assert "cannot be read" in night.refused("times", "Ganymed", "--ephemeris", tmp_path / "none.txt")
    short.write_text("hello\n")
    assert "is no ephemeris: it has fewer than two rows" in night.refused("times", "Ganymed", "--ephemeris", short)
    assert night.snapshot("ephemeris", "target_time") == before
    assert "name the target: the targets are" in night.refused("times", "--forget").lower()
    assert "no right ascension" in night.refused("times", "V1", "--radec", "25:00:00", "1")
    night.refused("times", "V1", "--forget", "--radec", "1", "1", code=2)
