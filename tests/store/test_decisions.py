"""What users decide: made, changed, taken back; and what cannot be decided."""

import pytest

from photdb.errors import PhotdbError
from photdb.store import decisions, typed
from photdb.store.project import Project


@pytest.fixture
def project(night):
    with Project.write(night.path, "test") as project:
        yield project


@pytest.fixture
def connection(project):
    with project.transaction() as connection:
        yield connection


def in_force(connection):
    return [(r["frame_id"], r["source_id"], r["aperture_id"]) for r in decisions.rejections(connection)]


def test_frames_as_typed(connection):
    assert typed.frame_number(connection, "7") == 7
    assert typed.frame_number(connection, "first") == 1
    assert typed.frame_number(connection, "last") == 20
    decisions.reject(connection, frames=[1, 20], reason="x")
    assert typed.frame_number(connection, "first") == 2
    assert typed.frame_number(connection, "last") == 19
    decisions.reject(connection, frames=range(1, 21), reason="x")
    with pytest.raises(PhotdbError, match="no frame is accepted"):
        typed.frame_number(connection, "last")
    for text in ("0", "21", "-1", "x", "", "1.5", "²", "1" * 30):
        with pytest.raises(PhotdbError, match="no frame|neither"):
            typed.frame_number(connection, text)


def test_intervals_as_typed(connection):
    assert typed.frame_numbers(connection, ["3", "5-7", "6-8", "19-20"]) == [3, 5, 6, 7, 8, 19, 20]
    for text, said in {
        "7-5": "reversed: type 5-7",
        "30-40": "no frame 30",
        "19-99": "no frame 99",
        "21": "no frame 21",
        "-3": "neither",
        "3-": "neither",
        "a": "neither",
        "3,4": "neither",
        "1-2-3": "neither",
    }.items():
        with pytest.raises(PhotdbError, match=said):
            typed.frame_numbers(connection, [text])


def test_a_frame_is_rejected_once_and_an_interval_is_one_group(connection):
    assert decisions.reject(connection, frames=[3, 4, 5], reason="a") == 3
    assert decisions.reject(connection, frames=[5, 6], reason="b") == 1
    assert decisions.reject(connection, frames=[5, 6], source=1, reason="c") == 2
    assert decisions.reject(connection, source=1, reason="d") == 1
    assert decisions.reject(connection, source=1, reason="d") == 0
    rows = decisions.rejections(connection)
    assert [r["group_id"] for r in rows] == [1, 1, 1, 2, 3, 3, 4]
    assert [r["reason"] for r in rows] == ["a", "a", "a", "b", "c", "c", "d"]


def test_accepting_takes_back_whole_frames_alone(connection):
    decisions.reject(connection, frames=[3, 4], reason="a")
    decisions.reject(connection, frames=[3], source=2, reason="b")
    assert decisions.accept_frames(connection, [3]) == (1, 0)
    assert in_force(connection) == [(4, None, None), (3, 2, None)]
    assert decisions.accept_frames(connection, [3]) == (0, 0)
    kept = connection.exec_driver_sql("SELECT count(*), count(withdrawn_at) FROM rejection").one()
    assert tuple(kept) == (3, 1)  # taking back keeps the row


def test_an_accept_against_a_rule_is_one_until_the_frame_is_rejected(connection):
    decisions.set_rule(connection, "qc", "n_stars", "<", 1000.0)
    assert decisions.accept_frames(connection, [3, 4]) == (0, 2)
    assert decisions.accept_frames(connection, [3, 4]) == (0, 0)
    decisions.reject(connection, frames=[3], reason="x")
    decisions.reject(connection, frames=[4], source=1, reason="not the frame")
    assert decisions.accept_frames(connection, [3]) == (1, 1)
    accepted = connection.exec_driver_sql("SELECT frame_id FROM frame_status WHERE accepted").scalars().all()
    assert accepted == [3, 4]


def test_a_rule_is_replaced_and_taken_back(connection):
    def rows():
        query = "SELECT value, withdrawn_at IS NULL FROM rule ORDER BY id"
        return [tuple(row) for row in connection.exec_driver_sql(query)]

    decisions.set_rule(connection, "qc", "range_adu", "<", 8000.0)
    decisions.set_rule(connection, "qc", "range_adu", "<", 8000.0)
    assert rows() == [(8000.0, 1)]
    decisions.set_rule(connection, "qc", "range_adu", "<", 9000.0)
    assert rows() == [(8000.0, 0), (9000.0, 1)]
    decisions.set_rule(connection, "qc", "range_adu", "<", None)
    decisions.set_rule(connection, "qc", "range_adu", "<", None)
    assert rows() == [(8000.0, 0), (9000.0, 0)]


def test_a_source_is_made_changed_and_removed(connection):
    place, other = [(1, 10.0, 11.0, 10.2, 11.1)], [(2, 1.0, 1.0, 1.0, 1.0)]
    assert decisions.put_source(connection, "R9", "reference", place) == "new"
    id_ = decisions.source_id(connection, "R9")
    assert decisions.put_source(connection, "R9", "reference", []) == "unchanged"
    assert decisions.put_source(connection, "R9", "check", []) == "now check, was reference"
    assert decisions.put_source(connection, "R9", "variable", other) == "now variable, was check, moved"
    assert decisions.source_id(connection, "R9") == id_
    decisions.reject(connection, source=id_, reason="x")
    decisions.remove_source(connection, "R9")
    assert in_force(connection) == []
    with pytest.raises(PhotdbError, match="no source R9"):
        decisions.source_id(connection, "R9")
    decisions.put_source(connection, "R9", "reference", place)
    assert decisions.source_id(connection, "R9") != id_
    assert decisions.free_label(connection, "R") == "R5"


def test_what_no_source_can_be(connection):
    place, other = (1, 10.0, 11.0, 10.0, 11.0), (2, 10.0, 11.0, 10.0, 11.0)
    for label in ("", " a", "a ", "a\nb", "\x1b[0m", "x" * 65):
        with pytest.raises(PhotdbError, match="printable"):
            decisions.put_source(connection, label, "check", [place])
    with pytest.raises(PhotdbError, match="two positions"):
        decisions.put_source(connection, "A", "asteroid", [place])
    with pytest.raises(PhotdbError, match="needs a position"):
        decisions.put_source(connection, "A", "check", [])
    with pytest.raises(PhotdbError, match="needs a position"):
        decisions.put_source(connection, "Ganymed", "reference", [])  # its anchors are no place of a star
    connection.exec_driver_sql("UPDATE frame SET jd_utc_mid = 2455836.5 WHERE id IN (1, 2)")
    with pytest.raises(PhotdbError, match="same time"):
        decisions.put_source(connection, "A", "asteroid", [place, other])


def test_what_the_user_places_is_the_users(connection):
    place = [(1, 10.0, 11.0, 10.0, 11.0)]
    decisions.put_source(connection, "R8", "reference", place, origin="auto")
    decisions.put_source(connection, "R8", "reference", place)
    origin = connection.exec_driver_sql("SELECT origin FROM source WHERE label = 'R8'").scalar()
    assert origin == "user"


def test_apertures_in_force_are_those_set_last_and_old_ones_come_back(connection):
    def ids():
        query = "SELECT id FROM aperture WHERE removed_at IS NULL ORDER BY id"
        return connection.exec_driver_sql(query).scalars().all()

    decisions.set_apertures(connection, [(3.0, 8.0, 12.0), (4.0, 8.0, 12.0), (3.0, 8.0, 12.0)], origin="user")
    first = ids()
    assert len(first) == 2
    decisions.set_apertures(connection, [(4.0, 8.0, 12.0)], origin="user")
    assert ids() == first[1:]
    assert decisions.aperture_id(connection, "4,8,12") == decisions.aperture_id(connection, str(first[1])) == first[1]
    with pytest.raises(PhotdbError, match="no aperture 3,8,12"):
        decisions.aperture_id(connection, "3,8,12")
    decisions.set_apertures(connection, [(3.0, 8.0, 12.0)], origin="user")
    assert ids() == first[:1]
    for spec in ((0.0, 8.0, 12.0), (-1.0, 8.0, 12.0), (9.0, 8.0, 12.0), (3.0, 12.0, 12.0), (3.0, 8.0, 1001.0)):
        with pytest.raises(PhotdbError, match="0 < radius"):
            decisions.set_apertures(connection, [spec], origin="user")
    with pytest.raises(PhotdbError, match="0 < radius"):
        decisions.set_apertures(connection, [(float("nan"), 8.0, 12.0)], origin="user")
