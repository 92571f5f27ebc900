"""Rules by options of `qc` and `shifts`: what they reject is listed, and changing them reads nothing."""

import pytest


@pytest.mark.parametrize(
    ("command", "option", "metric", "operator"),
    [
        ("qc", "--min-range", "range_adu", "<"),
        ("qc", "--max-nonuniformity", "nonuniformity_adu", ">"),
        ("qc", "--max-background", "background_adu", ">"),
        ("qc", "--max-fwhm", "fwhm_px", ">"),
        ("qc", "--max-elongation", "elongation", ">"),
        ("qc", "--min-stars", "n_stars", "<"),
        ("shifts", "--max-residual", "residual_px", ">"),
        ("shifts", "--min-matched", "n_matched", "<"),
    ],
)
def test_a_rule_rejects_what_its_metric_says(night, reads, command, option, metric, operator):
    values = dict(night.rows(f"SELECT number, {metric} FROM frame_status"))
    limit = sorted(values.values())[10]
    wanted = sorted(n for n, v in values.items() if (v < limit if operator == "<" else v > limit))
    assert 0 < len(wanted) < len(values)
    result = night.photdb(command, option, repr(limit))
    assert f"{metric} {operator} " in result.stdout
    assert f"rejects {len(wanted)} frame" in result.stdout
    assert f"{len(values) - len(wanted)} of {len(values)} frames accepted" in result.stderr
    assert [n for (n,) in night.rows("SELECT number FROM frame_status WHERE NOT accepted ORDER BY number")] == wanted
    assert metric in night.photdb("reject", "list").stdout
    night.photdb(command)  # holds until taken back
    assert night.one("SELECT count(*) FROM frame_status WHERE NOT accepted") == len(wanted)
    night.photdb(command, option, "none")
    assert night.one("SELECT count(*) FROM frame_status WHERE NOT accepted") == 0
    assert reads.pixels == reads.cutouts == reads.digests == []


def test_rules_of_both_stages_are_listed_where_they_belong(night):
    night.photdb("qc", "--min-stars", 1, "--max-background", 9999)
    assert "residual_px" not in night.photdb("qc").stdout
    night.photdb("shifts", "--max-residual", 99)
    listed = night.photdb("qc").stdout
    assert "n_stars < 1 rejects 0 frames" in listed
    assert "background_adu > 9999 rejects 0 frames" in listed
    assert "residual_px" not in listed
    assert "residual_px > 99 rejects 0 frames" in night.photdb("shifts").stdout


def test_a_rule_of_a_refused_command_is_not_in_force(night):
    night.refused("qc", "--min-stars", 1000, "--region", 50, 50, 10, 10)
    night.refused("shifts", "--min-matched", 1000, "--exclude", 50, 50, 10, 10)
    night.refused("shifts", "--min-matched", 1000, "--reference-frame", 99)
    assert night.rows("SELECT * FROM rule") == []
