"""Magnitudes as they are read: what was read before is used again only while it is the same."""

import dataclasses

import numpy as np

from photdb.stages import series as module
from photdb.stages.series import load_series
from photdb.store.project import Project

ROLES = ("asteroid", "variable", "reference")


def assert_same(one, other):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, err_msg=field.name, strict=True)
        else:
            assert a == b, field.name


def test_a_part_of_what_was_read_is_what_would_be_read(night):
    night.photdb("reject", "source", "R2", "--aperture", "1")
    with Project.read(night.path) as project, Project.read(night.path) as other:
        whole = load_series(project, *ROLES)
        assert len(whole.of("reference")) < len(whole.sources)
        for roles in (("reference",), ("asteroid", "reference"), ("variable",), ("check",), ROLES):
            assert_same(load_series(project, *roles), module._read_series(other, *roles))


def test_nothing_is_read_twice_while_nobody_writes_and_anew_after(night, monkeypatch):
    read = []
    inner = module._read_series
    monkeypatch.setattr(module, "_read_series", lambda *args: read.append(args[1:]) or inner(*args))
    with Project.write(night.path, "test") as project:
        before = load_series(project, *ROLES)
        assert load_series(project, *ROLES) is before
        load_series(project, "reference")
        assert read == [ROLES]
        with project.transaction() as connection:
            connection.exec_driver_sql("UPDATE flux SET flux_adu = 2 * flux_adu WHERE aperture_id = 1")
        after = load_series(project, *ROLES)
        assert read == [ROLES, ROLES]
    np.testing.assert_array_equal(after.flux_adu[:, :, 0], 2 * before.flux_adu[:, :, 0])
    np.testing.assert_array_equal(after.flux_adu[:, :, 1:], before.flux_adu[:, :, 1:])


def test_status_reads_the_fluxes_once(night, monkeypatch):
    read = []
    inner = module._read_series
    monkeypatch.setattr(module, "_read_series", lambda *args: read.append(args[1:]) or inner(*args))
    night.status()
    assert read == [(*ROLES, "check")]
