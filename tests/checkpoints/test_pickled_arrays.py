"""Mutants that must fail: any name of NumPy allowed; a name looked up before it is judged; the byte
order forgotten; arrays stored by column read by row.
"""

import builtins
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.checkpoints.pickled_arrays import ForbiddenGlobalError, read_pickled_arrays

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


class Caller:
    """Unpickling it calls a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_protocol_are_read(protocol):
    values = {
        "model": OrderedDict(
            rows=ARRAY,
            columns=np.asfortranarray(ARRAY),
            other_end=ARRAY.astype(">f2"),
            integers=np.array([1, -2]),
            flags=np.array([True, False]),
            number=np.float64(3.5),
            single=np.array(7),
            empty=np.zeros((0, 3)),
        ),
        "__author__": "someone",
        "matching_heuristics": True,
    }
    content = read_pickled_arrays(pickle.dumps(values, protocol=protocol))
    assert content["__author__"] == "someone"
    weights = content["model"]
    for name in ("rows", "columns"):
        assert weights[name].dtype == torch.float32
        assert weights[name].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert weights["other_end"].dtype == torch.float16
    assert weights["other_end"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert weights["integers"].tolist() == [1, -2]
    assert weights["flags"].tolist() == [True, False]
    assert weights["number"] == 3.5
    assert weights["single"].shape == ()
    assert weights["single"] == 7
    assert weights["empty"].shape == (0, 3)
    weights["rows"][0, 0] = 9  # the memory is our own


def test_a_pickle_of_python_2_has_byte_strings():
    """As its `pickle.dumps(array, 2)` left it: bytes are text there."""
    content = (
        b"\x80\x02}q\x00U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03"
        b"K\x00\x85q\x04U\x01bq\x05\x87q\x06Rq\x07(K\x01K\x01\x85q\x08cnumpy\ndtype\nq\tU\x02f4q\n"
        b"K\x00K\x01\x87q\x0bRq\x0c(K\x03U\x01<q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb"
        b"\x89U\x04\x00\x00\x80?q\x0ftq\x10bs."
    )
    assert read_pickled_arrays(content)["a"].tolist() == [1.0]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.mkdir, ["made"], "mkdir"),
        (builtins.eval, ["__import__('os').mkdir('made')"], "eval"),
        (getattr, [os, "mkdir"], "getattr"),
        (np.load, ["x.npy"], "numpy.load"),
        (np.fromfile, ["/dev/zero"], "fromfile"),
    ],
    ids=["mkdir", "eval", "getattr", "load", "fromfile"],
)
def test_a_call_is_refused_before_it_happens(
    tmp_path, monkeypatch, protocol, function, arguments, name
):
    monkeypatch.chdir(tmp_path)
    arguments = ["os" if argument is os else argument for argument in arguments]
    content = pickle.dumps({"model": {"a": Caller(function, *arguments)}}, protocol=protocol)
    with pytest.raises(ForbiddenGlobalError, match=f"{name}, which weights do not need"):
        read_pickled_arrays(content)
    assert list(tmp_path.iterdir()) == []


def test_the_same_pickle_does_run_where_nobody_watches(tmp_path, monkeypatch):
    """Otherwise the test above would show nothing."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps({"model": {"a": Caller(os.mkdir, "made")}}))
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps([ARRAY]), "it holds a list and no dictionary"),
        (pickle.dumps({"a": np.array(["text"])}), "holds 'U4' and no numbers"),
        (pickle.dumps({"a": np.array([object], dtype=object)}), "holds 'O8' and no numbers"),
        (pickle.dumps({"a": np.zeros(1, dtype="f4,i2")}), "holds 'V6' and no numbers"),
        (b"\x80\x04cnumpy\nndarray\n)R}(X\x01\x00\x00\x00ah\x00u.", "the pickle is broken"),
        (b"\x80\x02}U\x01acnumpy\nndarray\n)Rs.", "an array has no content"),
        (b"\x80\x02}U\x01ac_codecs\nencode\nU\x01aU\x05rot13\x86Rs.", "bytes in 'rot13'"),
        (b"\x80\x04K\x01Q.", "the pickle is broken"),
    ],
    ids=["list", "text", "objects", "records", "garbage", "hollow", "codec", "persistent"],
)
def test_what_holds_no_arrays_of_numbers_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        read_pickled_arrays(content)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_damaged_pickle_is_an_error_or_still_a_dictionary(data):
    content = bytearray(pickle.dumps({"model": {"a": ARRAY, "b": np.float32(2)}}, protocol=4))
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(read_pickled_arrays(bytes(content)), dict)
    except ValueError as error:
        assert str(error)


def test_a_damaged_length_that_asks_for_all_memory_is_refused():
    content = bytearray(pickle.dumps({"model": {"a": ARRAY, "b": np.float32(2)}}, protocol=4))
    content[11] = 150  # bytearray of a length that the next eight bytes give
    with pytest.raises(ValueError, match="the pickle is broken"):
        read_pickled_arrays(bytes(content))


@pytest.mark.parametrize("length", [0, 1, 20, 100])
def test_a_pickle_that_is_cut_off_is_refused(length):
    content = pickle.dumps({"a": ARRAY})
    with pytest.raises(ValueError, match="the pickle is broken"):
        read_pickled_arrays(content[:length])
