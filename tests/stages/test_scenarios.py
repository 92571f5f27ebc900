"""Decisions made late, frames that come late, stars that change their role: what stays, and what is computed anew."""

import os
import shutil

import numpy as np
import pytest
from nights import DECISIONS, N_FRAMES, N_SOURCES, interrupt_after, select_all, small_steps

#: What no decision about frames and sources changes.
MEASURED = ("frame", "frame_quality", "detection", "shift", "centroid", "flux")


def points(night, target="Ganymed"):
    return [n for (n,) in night.rows("SELECT frame FROM best_light_curve WHERE target = ? ORDER BY frame", target)]


@pytest.mark.parametrize("which", ["first", "reference frame"])
def test_rejecting_a_frame_recomputes_check_and_solve_alone(night, reads, which):
    number = (
        1
        if which == "first"
        else night.one("SELECT number FROM frame WHERE id = (SELECT reference_frame_id FROM project)")
    )
    before, runs, solutions = night.snapshot(*MEASURED), night.runs(), night.snapshot("solution_point")
    assert number in points(night)
    night.photdb("reject", "frames", number, "--reason", "a bird")
    assert night.work() == {"noise": 1, "check": 1, "solve": 2}
    night.photdb("run")
    assert night.states() == dict.fromkeys(night.states(), "done")
    assert night.runs() - runs == {"noise": 1, "check": 1, "solve": 1}
    assert night.snapshot(*MEASURED) == before
    assert reads.pixels == reads.cutouts == reads.digests == []
    assert points(night) == [n for n in range(1, N_FRAMES + 1) if n != number]
    night.photdb("accept", "frames", number)
    night.photdb("run")
    assert night.snapshot("solution_point") == solutions


def test_rejections_of_sources_and_apertures_recompute_check_and_solve_alone(night, reads):
    before = night.snapshot(*MEASURED)
    solved = night.snapshot("reference_check", "search", "solution", "solution_point")
    decisions = (
        ("frames", "7", "--source", "Ganymed", "--aperture", "2"),
        ("source", "R2"),
        ("aperture", "3"),
        ("source", "R4", "--aperture", "1"),
        ("frames", "3-5", "--source", "R1"),
    )
    for decision in decisions:
        night.photdb("reject", *decision)
        assert set(night.work()) == {"noise", "solve"} | (set() if "Ganymed" in decision else {"check"})
    night.photdb("run")
    assert night.work() == {}
    assert night.snapshot("solution_point")["solution_point"] != solved["solution_point"]
    for decision in decisions:
        assert "Took back" in night.photdb("accept", *decision).stderr
    night.photdb("run")
    assert night.snapshot(*MEASURED) == before
    assert night.snapshot("reference_check", "search", "solution", "solution_point") == solved
    assert reads.pixels == reads.cutouts == []


def test_rejecting_the_target_or_all_of_something_says_so(night):
    night.photdb("reject", "source", "V1")
    night.photdb("run")
    assert night.work() == {}
    night.photdb("reject", "source", "Ganymed")
    assert "every target is rejected" in " ".join(night.status()["stages"][-1]["reasons"])
    night.photdb("accept", "source", "Ganymed")
    for label in ("R1", "R2", "R3", "R4"):
        night.photdb("reject", "source", label)
    assert night.photdb("run").stderr.count("every reference is rejected") == 1
    night.photdb("accept", "source", "R1")
    night.photdb("run")
    assert night.work() == {}
    assert night.one("SELECT reference_labels FROM best_combination WHERE target = 'Ganymed' AND rank = 1") == "R1"


@pytest.mark.parametrize("what", ["frames", "apertures"])
def test_nothing_left_is_an_answer_not_a_loop(night, what):
    if what == "frames":
        night.photdb("reject", "frames", f"1-{N_FRAMES}")
    else:
        for (aperture,) in night.rows("SELECT id FROM aperture WHERE removed_at IS NULL"):
            night.photdb("reject", "aperture", aperture)
    result = night.photdb("run")
    assert ("too few frames" if what == "frames" else "no aperture is left") in result.stderr
    if what == "apertures":
        assert "no aperture is left" in night.photdb("solve", code=1).stderr
    else:
        assert "no accepted frame" in night.photdb("check", code=1).stderr
    assert night.rows("SELECT * FROM best_light_curve") == []
    assert night.work() == {}


def test_earlier_frames_added_later_leave_numbers_and_decisions(night):
    decisions = night.snapshot(*DECISIONS)
    numbers = dict(night.rows("SELECT path, number FROM frame"))
    result = night.photdb("add", night.folder / "early")
    assert "earlier than frames the project had" in result.stderr
    assert night.snapshot(*DECISIONS) == decisions
    now = dict(night.rows("SELECT path, number FROM frame"))
    assert {path: now[path] for path in numbers} == numbers
    assert sorted(now[path] for path in set(now) - set(numbers)) == [21, 22, 23, 24]
    night.photdb("run")
    assert night.snapshot(*DECISIONS) == decisions
    in_time = night.rows("SELECT frame FROM best_light_curve WHERE target = 'Ganymed' ORDER BY jd_utc_mid")
    assert [n for (n,) in in_time] == [21, 22, 23, 24, *range(1, 21)]
    # `first` is the first in time, whatever its number
    assert "frame first" in night.photdb("select", "variable", "V2", "--at", "first", *night.place("C1", 1)).stderr
    assert night.one("SELECT frame_id FROM source_anchor a JOIN source s ON s.id = source_id AND label = 'V2'") == 21


def test_adding_frames_late_gives_what_all_at_once_gives(night, night_at):
    whole = night_at("new", "whole")
    for other in (night, whole):
        if other is whole:
            whole.photdb("add", whole.folder / "late")
            whole.photdb("qc")
            whole.change(
                "UPDATE project SET reference_frame_id = ?, reference_frame_origin = 'auto'",
                night.one("SELECT reference_frame_id FROM project"),
            )
            whole.photdb("shifts")
            select_all(whole)
            spec = [
                ",".join(f"{v:g}" for v in row)
                for row in night.rows("SELECT radius_px, annulus_inner_px, annulus_outer_px FROM aperture ORDER BY id")
            ]
            whole.photdb("measure", "--apertures", *spec)
        else:
            night.photdb("add", night.folder / "late")
        other.photdb("run")
    assert night.snapshot() == whole.snapshot()


def test_ten_frames_more_cost_ten_frames(night, reads):
    runs = night.runs()
    centroids = set(night.snapshot("centroid")["centroid"])
    night.photdb("add", night.folder / "late")
    assert night.work() == {"qc": 10, "times": 2, "noise": 1, "check": 1, "solve": 2}  # shifts and measure wait for qc
    night.photdb("run", "-j", "1")
    assert sorted(reads.pixels) == sorted(reads.cutouts) == [f"night-{n:04d}.fits" for n in range(25, 35)]
    assert night.work() == {}
    assert night.runs() - runs == dict.fromkeys(("qc", "shifts", "measure", "times", "noise", "check", "solve"), 1)
    now = set(night.snapshot("centroid")["centroid"])
    assert centroids < now
    assert len(now - centroids) == 10 * N_SOURCES
    assert points(night) == list(range(1, N_FRAMES + 11))
    runs = night.runs()
    night.photdb("run")
    assert night.runs() == runs


def test_a_rule_meets_frames_added_later(night):
    backgrounds = night.rows("SELECT number, background_adu FROM frame_status ORDER BY number")
    limit = max(b for _, b in backgrounds) + 0.001
    night.photdb("qc", "--max-background", limit)
    assert night.one("SELECT total(accepted) FROM frame_status") == N_FRAMES
    night.photdb("add", night.folder / "late")
    night.photdb("run")
    rejected = [n for (n,) in night.rows("SELECT frame FROM excluded WHERE kind = 'rule' ORDER BY frame")]
    brighter = [n for n, b in night.rows("SELECT number, background_adu FROM frame_status") if b > limit]
    assert rejected == sorted(brighter)
    assert len(rejected) >= 5
    assert min(rejected) > N_FRAMES
    assert not set(points(night)) & set(rejected)


def test_an_accept_stands_against_rules(night, reads):
    (bad, worst), *_ = night.rows("SELECT number, fwhm_px FROM frame_status ORDER BY fwhm_px DESC LIMIT 1")
    ruled = night.photdb("qc", "--max-fwhm", worst - 0.001)
    assert f"rejects 1 frame: {bad}" in ruled.stdout
    assert "1 frame now accepted" in night.photdb("accept", "frames", bad).stderr
    for again in (("qc",), ("qc", "--max-fwhm", worst - 0.002), ("qc", "--default"), ("run",)):
        result = night.photdb(*again)
        assert bad in points(night)
        if again[0] == "qc":
            assert f"accepted all the same: {bad}" in result.stdout
    night.photdb("qc", "--region", 0, 0, 200, 200, "--max-fwhm", "none")  # every metric anew, and another rule
    night.photdb("qc", "--max-elongation", 1)
    accepted = {n for (n,) in night.rows("SELECT number FROM frame_status WHERE accepted")}
    assert accepted == {bad}
    night.photdb("reject", "frames", bad)
    assert night.one("SELECT total(accepted) FROM frame_status") == 0
    night.photdb("accept", "frames", bad)
    assert night.one("SELECT group_concat(number) FROM frame_status WHERE accepted") == str(bad)
    assert reads.cutouts == []


def test_a_reference_that_becomes_a_check_star_is_not_measured_again(night, reads):
    before, flux = night.snapshot("reference_check", "search", "solution", "solution_point"), night.snapshot(*MEASURED)
    assert "now check, was reference" in night.photdb("select", "check", "R2").stderr
    assert night.work() == {"noise": 1, "check": 1, "solve": 2}
    night.photdb("run")
    assert not [x for (x,) in night.rows("SELECT reference_labels FROM best_combination") if "R2" in x]
    assert night.snapshot(*MEASURED) == flux
    night.photdb("select", "reference", "R2")
    night.photdb("run")
    assert night.snapshot("reference_check", "search", "solution", "solution_point") == before
    assert reads.pixels == reads.cutouts == []


def test_a_target_that_becomes_a_reference_has_no_light_curve_any_more(night):
    assert points(night, "V1")
    night.photdb("select", "reference", "V1")
    result = night.photdb("run")
    assert "V1" in night.one("SELECT reference_labels FROM best_combination WHERE target = 'Ganymed' AND rank = 1")
    assert points(night, "V1") == []
    assert "variable V1" not in result.stderr
    assert night.rows("SELECT * FROM best_combination WHERE target = 'V1'") == []


def test_an_asteroid_cannot_become_a_star_without_a_position(night):
    assert "--at" in night.refused("select", "variable", "Ganymed")


def test_selecting_a_label_again_moves_the_source_and_measures_it_alone(night, reads):
    x, y = night.place("R2", 1)
    before = night.rows("SELECT * FROM centroid WHERE source_id <> 2 AND source_id <> 5")
    assert "R2 is that star" in night.refused("select", "reference", "C1", "--at", 1, x + 0.6, y)
    said = night.photdb("select", "check", "R1", "--at", 1, x + 0.6, y, "--no-snap").stderr
    assert "now check, was reference, moved" in said
    assert night.work()["measure"] == N_FRAMES
    reads.clear()
    night.photdb("run")
    assert len(reads.cutouts) == N_FRAMES
    other = "SELECT c.* FROM centroid c JOIN source s ON s.id = c.source_id WHERE s.label NOT IN ('C1', 'R1', 'R4')"
    assert len(before) == 5 * N_FRAMES
    assert all(row in before + night.rows("SELECT * FROM centroid") for row in night.rows(other))
    same = night.rows(
        "SELECT abs(a.x_px - b.x_px) FROM centroid a JOIN centroid b USING (frame_id)"
        " WHERE a.source_id = (SELECT id FROM source WHERE label = 'R2')"
        " AND b.source_id = (SELECT id FROM source WHERE label = 'R1')"
    )
    assert max(d for (d,) in same) < 0.01


def test_removed_and_selected_again_gives_the_same_numbers(night):
    def numbers():
        return night.rows("SELECT target, rank, noise_mag, radius_px, reference_labels FROM best_combination")

    def curve():
        return night.rows("SELECT target, frame, mag, mag_err FROM best_light_curve ORDER BY target, frame")

    def fluxes():
        return night.rows("SELECT * FROM instrumental WHERE source = 'R4' ORDER BY frame, aperture_id")

    before = numbers(), curve(), fluxes()
    night.photdb("reject", "frames", "3", "--source", "R4")
    night.photdb("select", "remove", "R4")
    night.photdb("run")
    assert not [row for row in numbers() if "R4" in row[-1]]
    night.photdb("select", "reference", "R4", *night.at("R4", 1))
    night.photdb("run")
    assert (numbers(), curve(), fluxes()) == before
    assert night.rows("SELECT * FROM excluded") == []


def test_a_new_reference_or_aperture_measures_only_itself(night, reads):
    before = night.snapshot("centroid", "flux")
    night.photdb("select", "reference", "R9", *night.at("C1", 1), "--no-snap")
    assert night.work() == {"measure": N_FRAMES, "noise": 1, "check": 1, "solve": 2}
    night.photdb("measure")
    after = night.snapshot("centroid", "flux")
    assert len(after["centroid"]) == len(before["centroid"]) + N_FRAMES
    assert set(before["centroid"]) < set(after["centroid"])
    assert set(before["flux"]) < set(after["flux"])
    before, reads.pixels[:] = after, []
    night.photdb("measure", "--apertures", "4.25,13,18", "5,13,18")
    after = night.snapshot("centroid", "flux")
    assert after["centroid"] == before["centroid"]
    assert set(before["flux"]) < set(after["flux"])
    assert len(after["flux"]) == len(before["flux"]) + 2 * N_FRAMES * (N_SOURCES + 1)
    assert reads.pixels == []
    reads.clear()
    night.photdb("measure", "--apertures", "4.25,13,18")  # nothing new
    assert reads.cutouts == []
    assert set(night.work()) == {"noise", "check", "solve"}


def test_apertures_that_only_removed_sources_have_are_measured_at_once(night_at):
    night = night_at("selected")
    night.photdb("measure", "--apertures", "3,13,18")
    night.photdb("select", "remove", *night.truth.labels)
    night.photdb("select", "check", "C2", *night.at("R1", 1))
    night.photdb("measure", "--apertures", "4,13,18")
    night.photdb("measure", "--apertures", "3,13,18", "4,13,18", "5,13,18")
    assert "measure" not in night.work()
    assert night.one("SELECT count(*) FROM instrumental") == 3 * N_FRAMES


def test_anchors_without_a_shift_are_refused(night):
    (lost,) = night.rows("SELECT id FROM frame WHERE number = 4")
    night.change("UPDATE shift SET dx_px = NULL, dy_px = NULL WHERE frame_id = ?", *lost)
    assert "frame 4 has no shift" in night.refused("select", "reference", "R7", *night.at("R1", 4)).lower()
    assert night.one("SELECT count(*) FROM source") == N_SOURCES


def test_a_changed_anchor_frame_makes_what_depends_on_it_work(night):
    places = (
        "SELECT frame_id, label, x_expected_px, y_expected_px FROM centroid c JOIN source s ON s.id = source_id"
        " WHERE frame_id <> 1 AND NOT (frame_id = 20 AND label = 'Ganymed')"  # its second anchor stays where it is
    )
    before = night.rows(places)
    night.replace_frame(1, 25)  # where all sources were selected
    assert "changed on disk" in night.status()["stages"][0]["reasons"][0]
    night.photdb("run")
    assert night.work() == {}
    assert night.one("SELECT n_units FROM stage_run WHERE stage = 'measure' ORDER BY id DESC LIMIT 1") == N_FRAMES
    assert not set(before) & set(night.rows(places))


def test_a_shifted_anchor_frame_makes_its_sources_work(night):
    night.change("UPDATE shift SET dx_px = dx_px + 0.01 WHERE frame_id = 20")  # the asteroid's second anchor
    (measure,) = (s for s in night.status()["stages"] if s["stage"] == "measure")
    # the track still goes through its first anchor, and the second stays where it is in its frame
    assert measure["work"] == N_FRAMES - 1
    assert f"Ganymed is expected elsewhere than it was measured in {N_FRAMES - 2} frames" in measure["reasons"]
    assert "R1 is expected elsewhere than it was measured in 1 frame" in measure["reasons"]


def test_a_changed_frame_is_measured_again_alone(night, reads):
    before = {table: set(rows) for table, rows in night.snapshot("frame_quality", "shift", "centroid").items()}
    number = 6
    assert night.rows("SELECT 1 FROM project, frame f WHERE f.id = reference_frame_id AND number = ?", number) == []
    name = night.frame(number).name
    night.replace_frame(number, 30)
    assert "changed on disk" in night.photdb("status").stdout
    night.photdb("run")
    assert (reads.pixels, reads.cutouts, reads.digests) == ([name], [name], [name])
    for table, n in (("frame_quality", 1), ("shift", 1), ("centroid", N_SOURCES)):
        assert len(before[table] - set(night.snapshot(table)[table])) == n
    assert night.work() == {}


def test_a_touched_but_equal_file_costs_its_digest_alone(night, reads):
    before, runs = night.snapshot(), night.runs()
    file = night.frame(7)
    os.utime(file)
    assert night.work() == {"headers": 1}
    night.photdb("run")
    assert (reads.pixels, reads.cutouts, reads.digests) == ([], [], [file.name])
    assert night.snapshot() == before
    assert night.runs() - runs == {"headers": 1}


def test_gain_read_noise_and_saturation_read_no_pixel(night_at, reads):
    late, early = night_at("solved", "late"), night_at("selected", "early")
    facts = ("--gain", "2.5", "--read-noise", "12", "--saturation", "60000")
    early.photdb("set", *facts)
    early.photdb("run")
    reads.clear()
    errors = late.snapshot("flux")
    late.photdb("set", *facts)
    assert set(late.work()) == {"measure"}
    late.photdb("run")
    assert reads.pixels == reads.cutouts == []
    assert late.snapshot("flux") != errors
    assert late.snapshot() == early.snapshot()
    late.photdb("set", "--gain", "none", "--read-noise", "none", "--saturation", "none")
    late.photdb("run")
    assert late.snapshot("flux") == errors


def test_saturation_flags_what_was_measured(night):
    peak = night.one("SELECT DISTINCT peak_adu FROM instrumental WHERE source = 'R1' AND frame = 5")
    night.photdb("set", "--saturation", peak)
    night.photdb("run")
    flagged = night.rows(
        "SELECT DISTINCT source, frame FROM instrumental, flag WHERE name = 'SATURATED' AND flags & bit"
    )
    assert ("R1", 5) in flagged
    assert set(flagged) == set(night.rows("SELECT source, frame FROM instrumental WHERE peak_adu >= ?", peak))


def test_saturation_outside_the_region_counts_for_the_stars(night):
    night.photdb("qc", "--region", 0, 0, 60, 60)
    inside, brightest = night.rows("SELECT max(max_adu), (SELECT max(peak_adu) FROM detection) FROM frame_quality")[0]
    assert inside < brightest
    night.photdb("set", "--saturation", (inside + brightest) / 2)
    night.photdb("qc")
    stars = night.snapshot("detection", "frame_quality")
    night.change("UPDATE frame_quality SET input = 0")
    night.photdb("qc")
    assert night.snapshot("detection", "frame_quality") == stars


def test_a_mistyped_option_costs_nothing(night):
    before = night.snapshot()
    for wrong in (
        ("qc", "--region", 50, 50, 10, 10),
        ("qc", "--region", 0, 0, 5000, 10),
        ("shifts", "--exclude", 9, 9, 9, 9),
        ("shifts", "--reference-frame", 99),
        ("measure", "--apertures", "3,2,1"),
        ("solve", "--window", "3", "--degree", "5"),
        ("check", "--aperture", "99"),
    ):
        night.refused(*wrong)
        assert night.snapshot() == before
        assert night.work() == {}, wrong


def test_a_mistyped_region_and_ctrl_c_leave_all_rows(night, monkeypatch):
    before = night.snapshot()
    small_steps(monkeypatch)
    interrupt_after(monkeypatch, "qc", 2)
    night.photdb("qc", "--region", 0, 0, 99, 99, code=130)
    assert [len(rows) for rows in night.snapshot().values()] == [len(rows) for rows in before.values()]
    assert 0 < night.work()["qc"] < N_FRAMES
    monkeypatch.undo()
    night.photdb("run")
    assert night.snapshot() == before


def test_frames_of_a_filter_do_not_join_frames_without_one(night):
    night.change("UPDATE frame SET filter = NULL")
    night.change("UPDATE project SET filter = NULL")
    assert "name no filter, these R" in night.refused("add", night.folder / "late")
    assert night.one("SELECT count(*) FROM frame") == N_FRAMES


@pytest.mark.skipif(os.name != "posix", reason="names are text there")
def test_a_file_whose_name_is_no_text_is_said(night):
    odd = os.fsencode(night.folder / "late") + b"/\xff.fits"
    shutil.copyfile(night.frame_path(1), odd)
    assert "not valid UTF-8" in night.refused("add", os.fsdecode(odd))
    assert night.one("SELECT count(*) FROM frame") == N_FRAMES
    said = night.photdb("add", night.folder / "late").stderr
    assert "left out: the name of the file '../late/\\udcff.fits' is not valid UTF-8: rename it, and add it" in said
    assert night.one("SELECT count(*) FROM frame") == N_FRAMES + 10


def test_frames_of_another_size_or_copies_stay_out_until_they_are_put_right(night):
    before = night.snapshot()
    whole = night.frame(6).read_bytes()
    night.frame(6).write_bytes(whole.replace(b"NAXIS1  =                  300", b"NAXIS1  =                  299"))
    night.photdb("run")
    assert "299×240 pixels, not 300×240" in night.one("SELECT reasons FROM frame_status WHERE number = 6")
    shutil.copyfile(night.frame_path(5), night.frame_path(6))
    night.photdb("run")
    assert night.one("SELECT reasons FROM frame_status WHERE number = 6") == "a copy of frame 5"
    assert len(points(night)) == N_FRAMES - 1
    night.frame(6).write_bytes(whole)
    night.photdb("run")
    assert night.snapshot() == before


def test_a_file_that_is_gone_stops_nothing_else(night_at):
    """Everything else is done, options are kept, exit code 1 names the frame; with the file back its part is done."""
    night, whole = night_at("new", "gone"), night_at("new", "whole")
    hidden = night.folder / "hidden.fits"
    lost = night.frame(5)
    lost.rename(hidden)
    for part in (night, whole):
        part.photdb("qc", "--region", 10, 10, 280, 220, code=1 if part is night else 0)
    whole.photdb("shifts", "--reference-frame", 3)
    assert "frame 5" in night.photdb("shifts", "--reference-frame", 3, code=1).stderr
    assert night.one("SELECT count(*) FROM frame_quality") == N_FRAMES - 1
    select_all(night)
    assert "frame 5" in night.photdb("measure", "--apertures", "3,10,16", code=1).stderr
    assert night.one("SELECT count(DISTINCT frame_id) FROM flux") == N_FRAMES - 1
    night.photdb("solve", code=1)
    assert 5 not in points(night)
    hidden.rename(lost)
    night.photdb("run")
    select_all(whole)
    whole.photdb("measure", "--apertures", "3,10,16")
    assert night.snapshot("frame_quality", "flux") == whole.snapshot("frame_quality", "flux")
    assert 5 in points(night)


def test_an_accept_outlives_rules_to_come(night):
    night.photdb("accept", "frames", "3")
    night.photdb("qc", "--min-stars", 10**6)
    assert night.rows("SELECT number FROM frame_status WHERE accepted") == [(3,)]
    night.photdb("reject", "frames", "3")
    assert night.rows("SELECT number FROM frame_status WHERE accepted") == []


def test_a_rejected_target_has_no_curve(night):
    label = night.one("SELECT target FROM best_light_curve LIMIT 1")
    night.photdb("reject", "source", label)
    night.photdb("run")
    assert night.one("SELECT count(*) FROM light_curve WHERE target = ?", label) == 0
    night.photdb("accept", "source", label)
    night.photdb("run")
    assert night.one("SELECT count(*) FROM light_curve WHERE target = ?", label) > 0


def test_apertures_added_later_have_the_bits_of_those_measured_at_once(night_at):
    """The size of a stamp follows from the largest ring; no number may."""
    at_once, later = night_at("selected", "at once"), night_at("selected", "later")
    at_once.photdb("measure", "--apertures", "3,8,12", "4,20,40")
    later.photdb("measure", "--apertures", "3,8,12")
    later.photdb("measure", "--apertures", "3,8,12", "4,20,40")
    assert later.snapshot("centroid", "flux") == at_once.snapshot("centroid", "flux")


def test_the_automatic_reference_frame_does_not_depend_on_the_one_before(night_at):
    night = night_at("shifted")
    chosen = "SELECT reference_frame_id FROM project"
    first = night.one(chosen)
    night.photdb("qc", "--region", 0, 0, 40, 40)
    night.photdb("shifts", "--reference-frame", 20 if first != 20 else 19, "--max-residual", 0.001)
    night.photdb("shifts", "--reference-frame", "auto", "--max-residual", "none")
    assert night.one(chosen) == first


def test_a_copy_stays_a_copy_while_its_original_is_away(night):
    shutil.copy2(night.frame_path(3), night.folder / "frames" / "copy.fits")
    night.photdb("add", night.folder / "frames")
    copy = "SELECT error FROM frame WHERE path LIKE '%copy.fits'"
    assert night.one(copy) == "a copy of frame 3"
    original = night.frame_path(3)
    hidden = original.rename(night.folder / "hidden.fits")
    night.photdb("add", night.folder / "late")
    assert night.one(copy) == "a copy of frame 3"
    hidden.rename(original)
    night.replace_frame(3, 30)
    night.photdb("run")
    assert night.one(copy) is None


def test_a_frame_without_a_finite_pixel_is_measured_once(night_at):
    night = night_at("new")
    night.photdb("set", "--saturation", 30000)
    file = night.frame(5)
    raw = file.read_bytes()
    header = raw[: raw.index(b"END     ") // 2880 * 2880 + 2880].replace(
        b"BITPIX  =                   16", b"BITPIX  =                  -32"
    )
    header = header.replace(b"BZERO   =                32768", b"BZERO   =                    0")
    data = np.full(300 * 240, np.nan, ">f4").tobytes()
    file.write_bytes(header + data + bytes(-len(data) % 2880))
    night.photdb("run")
    assert night.one("SELECT n_nonfinite_px FROM frame_quality WHERE frame_id = 5") == 300 * 240
    assert "qc" not in night.work()


def test_a_single_reference_is_ranked_once_and_the_top_is_full(night):
    night.photdb("solve", "--weighting", "all", "--top", 100)
    for target in ("Ganymed", "V1"):
        kept = "SELECT count(*) FROM best_combination WHERE target = ?"
        n_combinations, n_apertures = night.rows(
            "SELECT n_combinations, n_apertures FROM search JOIN target t ON t.id = target_id WHERE t.label = ?", target
        )[0]
        assert n_combinations == n_apertures * (3 * 15 - 2 * 4)
        assert night.one(kept, target) == min(100, n_combinations)
        assert night.one(f"{kept} AND n_references = 1 AND weighting <> 'mean'", target) == 0
