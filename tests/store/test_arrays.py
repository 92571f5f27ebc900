"""Rows to arrays and back: cubes in the order asked for, whole or with holes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from photdb.store.arrays import (
    columns,
    read_apertures,
    read_by_frame,
    read_cube,
    read_fluxes,
    read_frames,
    read_sources,
    replace_columns,
    replace_rows,
)
from photdb.store.project import Project


@pytest.fixture(scope="module")
def flux_project(tmp_path_factory):
    """A project of 5 frames, 4 sources and 3 apertures, with no flux yet."""
    path = tmp_path_factory.mktemp("flux") / "flux.photdb"
    with Project.create(path, "test", frame_folder=".") as project:
        with project.transaction() as connection:
            for i in range(1, 6):
                replace_rows(connection, "frame", ("id", "number", "path", "added_at"), [(i, i, f"{i}.fits", "now")])
            for i in range(1, 5):
                names = ("id", "label", "role", "origin", "created_at")
                replace_rows(connection, "source", names, [(i, f"S{i}", "check", "user", "now")])
            for i in range(1, 4):
                names = ("id", "kind", "radius_px", "annulus_inner_px", "annulus_outer_px", "origin", "created_at")
                replace_rows(connection, "aperture", names, [(i, "fixed", float(i), 9.0, 12.0, "user", "now")])
        yield project


KEYS = [(f, s, a) for f in range(1, 6) for s in range(1, 5) for a in range(1, 4)]


def some(ids):
    return st.lists(st.sampled_from(ids), unique=True, max_size=len(ids))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    missing=st.sets(st.sampled_from(KEYS), max_size=8),
    missing_frame=st.sampled_from([0, 0, 2, 5]),
    corrected=st.sets(st.sampled_from(KEYS), max_size=5),
    frames=some(range(1, 6)),
    sources=some(range(1, 5)),
    apertures=some(range(1, 4)),
)
def test_cubes_have_what_the_rows_say(flux_project, missing, missing_frame, corrected, frames, sources, apertures):
    there = [key for key in KEYS if key not in missing and key[0] != missing_frame]
    value = {key: key[0] + key[1] / 10 + key[2] / 100 for key in there}
    value = {key: None if key == (3, 3, 3) else v for key, v in value.items()}  # NaN is NULL
    with flux_project.transaction() as connection:
        connection.exec_driver_sql("DELETE FROM flux")
        connection.exec_driver_sql("DELETE FROM centroid")
        replace_rows(
            connection,
            "flux",
            ("frame_id", "source_id", "aperture_id", "flux_adu", "flags"),
            [(*key, v, key[0] * key[1] * key[2]) for key, v in value.items()],
        )
        pairs = sorted({key[:2] for key in there})
        names = ("frame_id", "source_id", "input", "error_input", "flags")
        replace_rows(connection, "centroid", names, [(*pair, 0, 0, 0) for pair in pairs])
        connection.exec_driver_sql("DELETE FROM correction")
        names = ("frame_id", "source_id", "aperture_id", "flux_adu", "flags")
        replace_rows(connection, "correction", names, [(*key, -1.0, 7) for key in corrected if key in value])
    flux, flags = read_cube(
        flux_project.connection,
        ("flux_adu", "flags"),
        frame_ids=np.array(frames, np.int64),
        source_ids=sources,
        aperture_ids=apertures,
    )
    wanted = np.full((2, len(frames), len(sources), len(apertures)), np.nan)
    for i, f in enumerate(frames):
        for k, s in enumerate(sources):
            for p, a in enumerate(apertures):
                if (f, s, a) in value:
                    wanted[:, i, k, p] = np.nan if value[f, s, a] is None else value[f, s, a], f * s * a
    np.testing.assert_array_equal(flux, wanted[0])
    np.testing.assert_array_equal(flags, wanted[1])

    # As light curves are made of them: with corrections in their places.
    found = read_fluxes(
        flux_project.connection,
        ("flux_adu", "flags"),
        frame_ids=np.array(frames, np.int64),
        source_ids=sources,
        aperture_ids=apertures,
    )
    for f, s, a in corrected & set(value):
        if f in frames and s in sources and a in apertures:
            wanted[:, frames.index(f), sources.index(s), apertures.index(a)] = -1.0, 7
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "hole",
    [
        "DELETE FROM flux WHERE frame_id = 4 AND source_id = 3 AND aperture_id = 2",
        # as many rows as before, one of them in an aperture that is not asked for
        "UPDATE flux SET aperture_id = 99 WHERE frame_id = 4 AND source_id = 3 AND aperture_id = 2",
    ],
)
def test_a_whole_cube_of_the_night_and_one_with_a_hole_agree(night, hole):
    def cube():
        with Project.read(night.path) as project:
            frames = read_frames(project.connection)
            return read_cube(
                project.connection,
                ("flux_adu", "flux_err_adu", "flags"),
                frame_ids=frames.id,
                source_ids=[s.id for s in read_sources(project.connection)],
                aperture_ids=[a.id for a in read_apertures(project.connection)],
            )

    whole = cube()
    assert np.isfinite(whole).all()
    night.change(
        "INSERT INTO aperture (id, kind, radius_px, annulus_inner_px, annulus_outer_px, origin, created_at, removed_at)"
        " VALUES (99, 'fixed', 50, 60, 70, 'user', 'now', 'now')"
    )
    night.change(hole)
    holed = cube()
    for a, b in zip(whole, holed, strict=True):
        assert np.isnan(b[3, 2, 1])
        b[3, 2, 1] = a[3, 2, 1]
        assert a.tobytes() == b.tobytes()


def test_frames_are_in_the_order_of_time_with_those_without_one_last(night):
    night.change("UPDATE frame SET jd_utc_mid = NULL, error = 'no time' WHERE number IN (2, 1)")
    night.photdb("reject", "frames", "3")
    with Project.read(night.path) as project:
        frames = read_frames(project.connection)
    assert frames.number.tolist() == [*range(3, 21), 1, 2]
    assert frames.usable.tolist() == [True] * 18 + [False] * 2
    assert frames.accepted.tolist() == [False] + [True] * 17 + [False] * 2
    assert np.isnan(frames.jd_utc_mid[-2:]).all()
    assert frames.index(3) == 0


def test_values_by_frame_are_nan_where_there_is_no_row(night):
    night.change("DELETE FROM shift WHERE frame_id = 6")
    night.change("UPDATE shift SET dy_px = NULL WHERE frame_id = 7")
    with Project.read(night.path) as project:
        frames = read_frames(project.connection)
        dx, dy = read_by_frame(project.connection, "shift", ("dx_px", "dy_px"), frames)
    assert np.flatnonzero(np.isnan(dx)).tolist() == [5]
    assert np.flatnonzero(np.isnan(dy)).tolist() == [5, 6]
    night.change("DELETE FROM shift")
    with Project.read(night.path) as project:
        assert np.isnan(read_by_frame(project.connection, "shift", ("dx_px",), frames)[0]).all()


def test_columns_have_their_types_even_without_rows(night):
    with Project.read(night.path) as project:
        for where, n in (("", 20), (" WHERE 0", 0)):
            sql = f"SELECT number, jd_utc_mid, path, 1 FROM frame{where}"
            found = columns(project.connection, sql, "ifsb")
            assert [c.dtype for c in found] == [np.int64, np.float64, object, np.bool_]
            assert [c.size for c in found] == [n] * 4


def test_rows_replace_those_of_their_key_and_nan_is_null(night):
    with Project.write(night.path, "test") as project, project.transaction() as connection:
        replace_rows(connection, "shift", ("frame_id", "input", "dx_px", "flags"), [(1, 5, float("nan"), 0)])
        replace_rows(connection, "shift", ("frame_id", "input", "dx_px", "flags"), [])
    assert night.rows("SELECT input, dx_px, dy_px FROM shift WHERE frame_id = 1") == [(5, None, None)]
    assert night.one("SELECT count(*) FROM shift") == 20


def test_columns_are_written_as_rows_are(night):
    values = {"frame_id": np.arange(1, 21), "input": 2**62 + np.arange(20), "dx_px": np.linspace(0.0, 1.0, 20)}
    values["dx_px"][3] = np.nan
    with Project.write(night.path, "test") as project, project.transaction() as connection:
        replace_columns(connection, "shift", {**values, "flags": np.zeros(20, np.int64)})
    expected = [
        (*row[:2], None if np.isnan(row[2]) else row[2])
        for row in zip(*map(np.ndarray.tolist, values.values()), strict=False)
    ]
    assert night.rows("SELECT frame_id, input, dx_px FROM shift ORDER BY frame_id") == expected


@pytest.mark.parametrize("n", [1, 249, 250, 1001])
def test_however_many_rows_are_written(night, n):
    rows = [(i, 7 * i, f"{i}.fits", float("nan") if i % 3 else 0.1 * i) for i in range(1001, 1001 + n)]
    with Project.write(night.path, "test") as project, project.transaction() as connection:
        names = ("id", "number", "path", "exposure_s")
        replace_rows(connection, "frame", (*names, "added_at"), ((*row, "now") for row in rows))
    wanted = [(*row[:3], None if row[0] % 3 else row[3]) for row in rows]
    assert night.rows("SELECT id, number, path, exposure_s FROM frame WHERE id > 1000 ORDER BY id") == wanted


def test_sources_come_with_their_anchors_and_by_role(night):
    with Project.read(night.path) as project:
        everything = read_sources(project.connection)
        assert [s.label for s in everything] == list(night.truth.labels)
        asteroid = everything[0]
        assert (asteroid.role, asteroid.anchor_frame_id) == ("asteroid", (1, 20))
        assert np.hypot(*(np.array(asteroid.anchor_xy_px[1]) - night.place("Ganymed", 20))) < 0.5
        assert [s.label for s in read_sources(project.connection, "variable", "check")] == ["C1", "V1"]
