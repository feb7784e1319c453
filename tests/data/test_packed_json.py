"""Values come back as they went in, from memory that nothing writes to.

Mutants that must fail: an end off by one; bytes counted as characters.
"""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.data.packed_json import PackedJson

VALUES = st.recursive(
    st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
)


@settings(max_examples=25, deadline=None)
@given(st.lists(VALUES, max_size=6))
def test_a_list_comes_back(values):
    packed = PackedJson(values)
    assert [packed[i] for i in range(len(packed))] == values
    if values:
        assert packed[-1] == values[-1]


def test_there_is_nothing_beyond_the_end():
    assert len(PackedJson([])) == 0
    with pytest.raises(IndexError):
        PackedJson([1])[1]


def test_it_is_about_as_large_as_its_text():
    packed = PackedJson({"id": i, "file_name": "x"} for i in range(1000))
    assert len(pickle.dumps(packed)) < 1000 * 45
