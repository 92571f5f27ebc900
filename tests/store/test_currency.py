"""Digests: everything counts, with its type and place; and nothing else does."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from photdb.store.currency import digest, digests, encoded, grouped_digests

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False).filter(lambda x: x != 0),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.binary(max_size=5),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


def typed(value):
    """Give a value together with its types, for comparing: 1, 1.0 and True are three things."""
    return [typed(v) for v in value] if isinstance(value, list) else (type(value), value)


@given(VALUES, VALUES)
@example(1, 1.0)
@example(1, True)
@example("1", 1)
@example("a", b"a")
@example([], None)
@example([[1], 2], [[1, 2]])
@example(["ab", "c"], ["a", "bc"])
@example([1, 23], [12, 3])
@example("", None)
def test_digests_are_equal_where_the_values_are(a, b):
    assert (digest(a) == digest(b)) == (typed(a) == typed(b))
    assert digest(a, b) == digest(a, b)
    assert digest(a, b) != digest([a, b])
    assert digest(a, encoded(b)) == digest(a, b)
    if typed(a) != typed(b):
        assert digest(a, b) != digest(b, a)


def test_the_same_for_ever():
    # Stored in projects: a change here makes every unit of every project work.
    assert digest(1, "a", 2.5, None, [True, b"x"], {"k": 1}, np.arange(3.0)) == -4373820470994825972


@given(VALUES)
def test_digests_fit_into_an_integer_of_sqlite(value):
    assert -(2**63) <= digest(value) < 2**63


def test_one_nan_one_zero_one_sequence():
    quiet, other = np.array([0x7FF8000000000000, 0xFFF0000000000001], np.uint64).view(np.float64)
    assert digest(quiet) == digest(other) == digest(float("nan")) == digest(np.float32("nan"))
    assert digest(np.array([quiet, 0.0])) == digest(np.array([other, -0.0]))
    assert digest(0.0) == digest(-0.0) != digest(0)
    assert digest([1, 2]) == digest((1, 2))
    assert digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1}) != digest({"a": 1, "b": 2})
    assert digest(np.float64(2.5)) == digest(2.5)
    assert digest(np.int32(7)) == digest(7)
    assert digest(np.bool_(True)) == digest(True)


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-10, 10)))
def test_arrays_count_with_shape_type_and_every_value(array):
    same = digest(array)
    assert digest(np.asfortranarray(array)) == digest(array[::1].copy()) == same
    assert digest(array.astype(">f8")) == same
    assert digest(array.reshape(-1, 1, 1)) != same or array.ndim == 3
    assert digest(array.astype(np.int64)) != same
    changed = array.copy()
    changed.flat[-1] += 1.0
    assert digest(changed) != same
    kept = array.copy()
    digest(array)
    np.testing.assert_array_equal(array, kept)


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(0, 6), st.integers(1, 3)), elements=st.floats(-5, 5)),
    st.lists(SCALARS, max_size=2),
)
def test_rows_are_digested_each_by_itself(values, common):
    whole = digests(common, values)
    assert whole.dtype == np.int64
    assert whole.shape == (len(values),)
    for i in range(len(values)):
        assert digests(common, values[i : i + 1])[0] == whole[i]
    assert (len(np.unique(whole)) == len(np.unique(values + 0.0, axis=0))) or not len(values)
    if len(values):
        assert (digests([*common, 1], values) != whole).all()


@given(hnp.arrays(np.float64, st.tuples(*[st.integers(1, 4)] * 3), elements=st.floats(-5, 5)))
def test_groups_of_rows_are_digested_each_by_itself(values):
    common = [("group", i) for i in range(len(values))]
    found = grouped_digests(common, values)
    assert found.shape == values.shape[:2]
    for group, head, rows in zip(found, common, values, strict=True):
        np.testing.assert_array_equal(group, digests(head, rows))


def test_digests_of_rows_are_those_of_existing_projects():
    assert digests((1, 5, 7), np.array([[1.5, np.nan], [0.0, -2.0]])).tolist() == [
        7542725800439430399,
        2144274217371219678,
    ]


def test_rows_with_nan_and_minus_zero_are_canonical():
    a = np.array([[np.nan, 0.0], [1.0, 2.0]])
    b = np.array([[-np.nan, -0.0], [1.0, 2.0]])
    np.testing.assert_array_equal(digests((), a), digests((), b))


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j, np.array([None]), np.array([1j]), np.array(["a"])])
def test_what_cannot_be_digested_is_refused(value):
    with pytest.raises(TypeError):
        digest(value)
