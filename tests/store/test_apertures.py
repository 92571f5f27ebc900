"""Apertures as they are typed, kept, and found again; projects from before there were other skies."""

import pytest

from photdb.errors import PhotdbError
from photdb.store import decisions
from photdb.store.apertures import Spec, parsed
from photdb.store.arrays import read_apertures
from photdb.store.project import Project


@pytest.fixture
def connection(night):
    with Project.write(night.path, "test") as project, project.transaction() as connection:
        yield connection


@pytest.mark.parametrize(
    ("text", "spec", "said", "label"),
    [
        ("4,8,40", Spec(4.0, 8.0, 40.0), "4,8,40", "4 px"),
        ("4.0, 8, 40", Spec(4.0, 8.0, 40.0), "4,8,40", "4 px"),
        ("1.2fwhm,8,40", Spec(1.2, 8.0, 40.0, "fwhm"), "1.2fwhm,8,40", "1.2 FWHM"),
        ("1.2FWHM,8,40,mode", Spec(1.2, 8.0, 40.0, "fwhm", "mode"), "1.2fwhm,8,40,mode", "1.2 FWHM, mode"),
        ("optimal,8,40", Spec(0.0, 8.0, 40.0, "optimal"), "optimal,8,40", "optimal"),
        ("optimal,8,40,median", Spec(0.0, 8.0, 40.0, "optimal"), "optimal,8,40", "optimal"),
        ("3.5,8,40,plane", Spec(3.5, 8.0, 40.0, "fixed", "plane"), "3.5,8,40,plane", "3.5 px, plane"),
    ],
)
def test_as_typed(text, spec, said, label):
    found = parsed(text)
    assert found == spec
    assert (str(found), found.label) == (said, label)
    assert parsed(str(found)) == found


@pytest.mark.parametrize(
    "text",
    ["", "4", "4,8", "4,8,40,mean", "4,8,40,mode,1", "fwhm,8,40", "optimal", "x,8,40", "4px,8,40"],
)
def test_what_is_none(text):
    assert parsed(text) is None


def test_all_kinds_are_kept_and_found_in_order(connection):
    typed = ["optimal,8,12", "1.2fwhm,8,12", "4,8,12,mode", "4,8,12", "0.8fwhm,8,12", "3,8,12", "optimal,8,12,plane"]
    decisions.set_apertures(connection, [parsed(text) for text in typed], origin="user")
    found = read_apertures(connection)
    in_order = ["3,8,12", "4,8,12", "4,8,12,mode", "0.8fwhm,8,12", "1.2fwhm,8,12", "optimal,8,12", "optimal,8,12,plane"]
    assert [str(a) for a in found] == in_order
    for a in found:
        assert decisions.aperture_id(connection, str(a)) == decisions.aperture_id(connection, str(a.id)) == a.id
    assert decisions.aperture_id(connection, "4.00,8,12,median") == found[1].id
    decisions.set_apertures(connection, [parsed("optimal,8,12")], origin="user")
    assert [a.id for a in read_apertures(connection)] == [found[5].id]  # the one it was
    assert {str(a) for a in read_apertures(connection, removed=True)} > set(in_order)
    with pytest.raises(PhotdbError, match=r"no aperture 4,8,12: those in force are \d+ \(optimal,8,12\)$"):
        decisions.aperture_id(connection, "4,8,12")


@pytest.mark.parametrize(
    "spec",
    [Spec(0.0, 8, 12, "fwhm"), Spec(25.0, 8, 12, "fwhm"), Spec(0.0, 12, 8, "optimal"), Spec(4.0, 8, 12, "square")],
)
def test_what_cannot_be(connection, spec):
    with pytest.raises(PhotdbError, match="aperture"):
        decisions.set_apertures(connection, [spec], origin="user")
