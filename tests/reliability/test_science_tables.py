"""Tables of the science of issue 6: what is damaged in them is found and made again, and what was given is kept."""

import sqlite3
from contextlib import closing

import pytest
from nights import ASKED_FOR, DECISIONS, RESULTS, Night, copy_night
from science import AGAIN, measured_with_everything
from test_projects import PAGE, raw, state

from photdb.stages import ASKED_FOR as STAGES_ASKED_FOR
from photdb.stages import STAGES
from photdb.store import schema
from photdb.store.row_checks import RESULTS as MADE_AGAIN

#: Tables that the second revision brought, with a column of each whose value is damaged.
NEW = {
    "frame_error": "read_noise_e",
    "profile": "beta",
    "correction_input": "input",
    "correction": "flux_adu",
    "target_coordinates": "input",
    "target_time": "bjd_tdb_mid",
    "source_noise": "noise_mag",
    "solution_term": "amplitude_mag",
    "check_curve": "noise_mag",
    "check_point": "mag",
    "field": "scatter_adu",
    "field_frame": "light",
    "field_star": "flux_adu",
    "field_profile": "per_px2",
    "hot_pixel": "adu",
    "encounter_input": "input",
    "encounter": "light_adu",
    "hit_input": "input",
    "hit": "sigmas",
}


@pytest.fixture(scope="module")
def made(built_night, tmp_path_factory):
    """The night with rows in every table, once; and what is in it."""
    night = measured_with_everything(copy_night(built_night, tmp_path_factory.mktemp("made") / "night", "selected"))
    return night, content(night)


@pytest.fixture
def night(made):
    """The same, put back after each test."""
    whole, _ = made
    kept = whole.path.read_bytes()
    yield whole
    for left in whole.folder.glob("night.photdb*"):
        left.unlink()
    whole.path.write_bytes(kept)


def content(night: Night) -> dict[str, list[str]]:
    return night.snapshot(*RESULTS, *ASKED_FOR, *DECISIONS)


def again(night: Night) -> None:
    for words in AGAIN:
        night.photdb(*words)


def test_what_is_compared_are_all_results_and_there_are_rows_in_each(made):
    _, found = made
    owned = {table for stage in (*STAGES.values(), *STAGES_ASKED_FOR.values()) for table in stage.tables}
    assert owned == {*RESULTS, *ASKED_FOR}
    assert owned - {"frame", "frame_wcs"} == set(MADE_AGAIN)
    assert {table for table, rows in found.items() if not rows} <= {"frame_wcs", "acceptance", "rule"}
    others = {"history", "stage_run", "flag"}
    assert set(found) | others == set(schema.metadata.tables)


@pytest.mark.parametrize("table", NEW)
def test_a_damaged_row_is_found_dropped_and_made_again_to_the_same_bits(made, night, table):
    _, wanted = made
    damage = f"UPDATE {table} SET {NEW[table]} = 'much' WHERE rowid = (SELECT min(rowid) FROM {table})"
    if not schema.metadata.tables[table].dialect_options["sqlite"]["with_rowid"]:
        keys = ", ".join(column.name for column in schema.metadata.tables[table].primary_key.columns)
        damage = f"UPDATE {table} SET {NEW[table]} = 'much' WHERE ({keys}) = (SELECT {keys} FROM {table} LIMIT 1)"
    raw(night.path, damage)
    before = state(night.folder)
    said = night.photdb("check-project", "--quick", code=1).stdout
    assert f"1 row of {table} with values of another type: --repair drops them" in said
    assert state(night.folder) == before
    night.photdb("check-project", "--quick", "--repair")
    assert night.photdb("check-project", "--quick").stdout == ""
    again(night)
    assert content(night) == wanted


#: Nothing tells how many rows there were: a source may have met nobody, and be hit by nothing.
NEVER_TOLD = ("encounter", "hit", "correction")


@pytest.mark.parametrize("table", [table for table in NEW if table not in NEVER_TOLD])
def test_rows_that_are_gone_are_said_or_made_anew(made, night, table):
    """All rows of a table gone, as where another page lies in the place of its own, which is sound in itself."""
    _, wanted = made
    raw(night.path, f"DELETE FROM {table}")
    found = night.photdb("check-project", "--quick", code=None).stdout
    assert bool(found) == (table in SAID)
    night.photdb("check-project", "--quick", "--repair")
    again(night)
    assert content(night) == wanted


#: Where `check-project` says that rows are gone; elsewhere the stage that made them does so anew.
SAID = ("target_time", "solution_term", "check_curve", "check_point", "field_frame", "field_star", "field_profile")
SAID += ("hot_pixel",)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DELETE FROM field_star WHERE rank = 7", "1 deep images lack"),
        ("DELETE FROM field_profile WHERE step = 7", "1 deep images lack"),
        ("DELETE FROM field_frame WHERE frame_id = (SELECT min(frame_id) FROM field_frame WHERE stacked)",
         "1 deep images lack"),
        ("DELETE FROM check_point WHERE (solution_id, source_id, frame_id) IN (SELECT solution_id, source_id, frame_id"
         " FROM check_point LIMIT 1)", "1 searches lack terms"),
    ],
)  # fmt: skip
def test_one_row_that_is_gone_is_said(made, night, damage, said):
    _, wanted = made
    raw(night.path, damage)
    assert said in night.photdb("check-project", "--quick", code=1).stdout
    night.photdb("check-project", "--quick", "--repair")
    again(night)
    assert content(night) == wanted


@pytest.mark.parametrize("of", ["solution", "target_time", "encounter"])
def test_a_salvage_keeps_what_was_given_and_all_else_is_made_again(made, night, of):
    """A page of zeros in a table of results: ephemeris, coordinates, catalogue magnitudes and the camera stay."""
    _, wanted = made
    with closing(sqlite3.connect(night.path)) as other:
        (root,) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (of,)).fetchone()
    damaged = bytearray(night.path.read_bytes())
    damaged[(root - 1) * PAGE : root * PAGE] = bytes(PAGE)
    night.path.write_bytes(damaged)
    said = night.photdb("check-project", "--repair", "-j", 1, "-v").stderr
    assert "2 ephemeris" in said
    assert "1 camera" in said
    assert "not whole" not in said
    assert night.snapshot(*DECISIONS) == {table: wanted[table] for table in DECISIONS}
    given = night.rows("SELECT label, catalogue_mag, band, colour, ra_deg, dec_deg, ephemeris FROM source ORDER BY id")
    assert ("R1", 12.31, "V", 0.62, None, None, None) in given
    assert ("Ganymed", None, None, None, None, None, "ephemeris.txt") in given
    assert [row[4] for row in given if row[0] == "V1"] == [pytest.approx(31.0428333, abs=1e-6)]
    again(night)
    assert content(night) == wanted


def test_without_its_frames_a_salvaged_night_keeps_what_errors_and_profiles_were(made, night):
    """Nothing can be measured again then: errors and profiles of the frames are saved with the fluxes."""
    _, wanted = made
    (night.folder / "frames").rename(night.folder / "away")
    try:
        damaged = bytearray(night.path.read_bytes())
        damaged[:PAGE] = bytes(PAGE)
        night.path.write_bytes(damaged)
        said = night.photdb("check-project", "--repair", "-j", 1, "-v", code=1).stderr
        assert "Results of 0 frames are to be made again" in said
        assert "not whole" not in said
        kept = ("flux", "centroid", "frame_error", "profile", "shift", *DECISIONS)
        assert night.snapshot(*kept) == {table: wanted[table] for table in kept}
    finally:
        (night.folder / "away").rename(night.folder / "frames")
