"""Mutants that must fail: a pickle opened without a list of names; a part of a fused tensor written
with the memory of the whole; an old file replaced by half a new one; an old shard left behind.
"""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors import safe_open

from minioneformer.checkpoints import weight_files
from minioneformer.checkpoints.weight_files import (
    read_weight_file,
    write_official,
    write_weight_file,
)

WEIGHTS = {
    "a": torch.arange(10.0),
    "b": torch.zeros(3, 5, dtype=torch.int64),
    "c": torch.tensor(2.5, dtype=torch.float64),
    "d": torch.ones(0, 4),
}
TWO = {"a": torch.ones(9), "b": torch.ones(9)}


class Caller:
    """Unpickling it makes a folder."""

    def __reduce__(self):
        return os.mkdir, ("made",)


def old_torch(values, path):
    torch.save(values, path, _use_new_zipfile_serialization=False)


def old_pickle(values, path):
    arrays = {name: tensor.numpy() for name, tensor in values["model"].items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "someone"}))


def assert_equal(weights, expected):
    assert sorted(weights) == sorted(expected)
    for name in expected:
        assert weights[name].dtype == expected[name].dtype
        assert torch.equal(weights[name], expected[name])


@pytest.mark.parametrize(
    "write",
    [
        lambda path: torch.save(WEIGHTS, path),
        lambda path: torch.save({"model": WEIGHTS, "iteration": 3}, path),
        lambda path: torch.save({"state_dict": WEIGHTS, "optimizer": {"lr": 0.1}}, path),
        lambda path: old_torch({"model": WEIGHTS}, path),
        lambda path: old_pickle({"model": WEIGHTS}, path),
        lambda path: write_official(path, WEIGHTS),
        lambda path: write_weight_file(path, WEIGHTS),
    ],
    ids=["plain", "model", "state_dict", "old torch", "pickle", "official", "safetensors"],
)
def test_a_file_is_what_its_content_says_whatever_its_name(tmp_path, write):
    write(tmp_path / "weights.xyz")
    assert_equal(read_weight_file(str(tmp_path / "weights.xyz")), WEIGHTS)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.xyz"]


def test_parameters_come_as_tensors(tmp_path):
    torch.save({"a": torch.nn.Parameter(torch.ones(2))}, tmp_path / "x.bin")
    assert not read_weight_file(tmp_path / "x.bin")["a"].requires_grad


def test_a_file_of_ours_says_what_transformers_asks_for(tmp_path):
    write_weight_file(tmp_path / "x.safetensors", WEIGHTS)
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("write", [write_weight_file, write_official])
def test_views_of_one_tensor_are_written_alone(tmp_path, write):
    whole = torch.arange(3000.0)
    first, second, _ = whole.chunk(3)
    weights = {"first": first, "again": first, "second": second, "turned": whole.view(3, -1).t()}
    write(tmp_path / "x", weights)
    assert_equal(read_weight_file(tmp_path / "x"), weights)
    write(tmp_path / "one", {"first": first})
    assert (tmp_path / "one").stat().st_size < 4000 + 2000


def test_the_original_layout_is_under_model(tmp_path):
    assert write_official(tmp_path / "x.pth", WEIGHTS) == tmp_path / "x.pth"
    assert list(torch.load(tmp_path / "x.pth", weights_only=True)) == ["model"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.pth is empty: copy or download it again"),
        (b"\n <!DOCTYPE html><html>", "x.pth is a web page saved by mistake: download the file"),
        (b"<HTML lang=en>", "x.pth is a web page saved by mistake: download the file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "is a git-lfs pointer"),
        (b"hello world", "x.pth is truncated or no file of weights: need safetensors"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "x.pth is truncated or no file of weights: need"),
        (b"PK\x03\x04", "x.pth is truncated or no file of weights .*: copy or download it again"),
        (b"\x10\0\0\0\0\0\0\0{", "x.pth is truncated or no safetensors file .*: copy or make"),
        (pickle.dumps([1]), "x.pth is truncated or no file of weights .*list and no dictionary"),
    ],
    ids=["empty", "html", "HTML", "lfs", "text", "hdf5", "zip", "safetensors", "list"],
)
def test_what_is_no_file_of_weights_is_named_with_the_cure(tmp_path, content, message):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_weight_file(tmp_path / "x.pth")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 350 + len(str(tmp_path))


@pytest.mark.parametrize("part", [0.01, 0.3, 0.9, 0.99])
@pytest.mark.parametrize(
    "write",
    [
        lambda path: torch.save({"model": WEIGHTS}, path),
        lambda path: old_torch({"model": WEIGHTS}, path),
        lambda path: old_pickle({"model": WEIGHTS}, path),
        lambda path: write_weight_file(path, WEIGHTS),
    ],
    ids=["torch", "old torch", "pickle", "safetensors"],
)
def test_a_truncated_file_is_named_with_the_cure(tmp_path, write, part):
    path = tmp_path / "x.bin"
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ValueError, match="x.bin is truncated or no .*file") as caught:
        read_weight_file(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize(
    "write",
    [torch.save, old_torch, lambda values, path: path.write_bytes(pickle.dumps(values))],
    ids=["torch", "old torch", "pickle"],
)
def test_nothing_of_a_file_is_run(tmp_path, monkeypatch, write, wrapped):
    monkeypatch.chdir(tmp_path)
    values = {"a": Caller()}
    write({"model": values} if wrapped else values, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x.pth asks for \w+.mkdir and could run code, nothing"):
        read_weight_file(tmp_path / "x.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], "x.pth must hold tensors by name, got a list"),
        ({"a": 1, "b": torch.ones(1), "c": "text"}, "got other values: a, c. Need them at the top"),
        ({"model": {"a": {}}}, "got other values: a. Need them at the top"),
    ],
    ids=["list", "mixed", "nested"],
)
def test_other_things_than_tensors_are_refused(tmp_path, values, message):
    torch.save(values, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=message):
        read_weight_file(tmp_path / "x.pth")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="weights are missing, got '.*x.pth'"):
        read_weight_file(tmp_path / "x.pth")
    with pytest.raises(FileNotFoundError, match="no weights in .*: need one of model.safetensors"):
        read_weight_file(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_is_searched_for_its_weights(tmp_path, name):
    torch.save({"other": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    if name == "model.safetensors":
        write_weight_file(tmp_path / name, WEIGHTS)
    else:
        torch.save(WEIGHTS, tmp_path / name)
    assert_equal(read_weight_file(tmp_path), WEIGHTS)


def test_shards_are_read_from_folder_and_index_alike(tmp_path):
    weights = {"a": torch.arange(10.0), "c": torch.ones(15), "b": torch.zeros(10)}
    files = write_weight_file(tmp_path / "model.safetensors", weights, 100)
    assert [file.name for file in files] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    expected = {name: weights[name] for name in sorted(weights)}
    assert_equal(read_weight_file(tmp_path), expected)
    assert_equal(read_weight_file(files[-1]), expected)


def test_shards_of_torch_files_are_read(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "one.bin")
    torch.save({"b": torch.ones(2)}, tmp_path / "two.bin")
    index = {"weight_map": {"a": "one.bin", "b": "two.bin"}}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert_equal(read_weight_file(tmp_path), {"a": torch.ones(1), "b": torch.ones(2)})


@pytest.mark.parametrize("before", [100, 40, 10**9])
@pytest.mark.parametrize("after", [100, 40, 10**9])
def test_what_was_written_before_is_gone(tmp_path, before, after):
    path = tmp_path / "model.safetensors"
    other = tmp_path / "model-of-somebody.safetensors"
    write_weight_file(other, {"z": torch.ones(1)})
    write_weight_file(path, {"x": torch.ones(10), "y": torch.ones(15), "z": torch.ones(1)}, before)
    weights = {"a": torch.zeros(15), "b": torch.zeros(15)}
    files = write_weight_file(path, weights, after)
    assert_equal(read_weight_file(tmp_path), weights)
    assert sorted(tmp_path.iterdir()) == sorted([*files, other])


def test_a_missing_shard_is_named(tmp_path):
    files = write_weight_file(
        tmp_path / "model.safetensors", {"a": torch.ones(9), "b": torch.ones(9)}, 40
    )
    files[1].unlink()
    with pytest.raises(FileNotFoundError, match="a shard that .*json lists is missing, got .*-0"):
        read_weight_file(tmp_path)


def test_a_truncated_shard_is_named(tmp_path):
    files = write_weight_file(
        tmp_path / "model.safetensors", {"a": torch.ones(9), "b": torch.ones(9)}, 40
    )
    files[1].write_bytes(files[1].read_bytes()[:-1])
    with pytest.raises(ValueError, match="model-00002-of-00002.safetensors is truncated"):
        read_weight_file(tmp_path)


def test_a_shard_of_other_weights_is_named(tmp_path):
    files = write_weight_file(
        tmp_path / "model.safetensors", {"a": torch.ones(9), "b": torch.ones(9)}, 40
    )
    write_weight_file(files[1], {"c": torch.ones(9)})
    with pytest.raises(ValueError, match="00002.safetensors does not hold .* in one .* only: b, c"):
        read_weight_file(tmp_path)


def test_a_shard_elsewhere_is_not_opened(tmp_path):
    secret, folder = tmp_path / "secret.bin", tmp_path / "model"
    folder.mkdir()
    torch.save({"a": torch.ones(1)}, secret)
    index = {"weight_map": {"a": "../secret.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"must list files beside it, got '../secret.bin'"):
        read_weight_file(folder)


@pytest.mark.parametrize("limit", [10**9, 40])
def test_weights_that_cannot_be_written_leave_the_old_ones(tmp_path, monkeypatch, limit):
    path = tmp_path / "model.safetensors"
    before = write_weight_file(path, TWO, limit)
    calls = []

    def fail_at_last(weights, file, metadata):
        calls.append(file)
        file.write_bytes(b"half")
        if len(calls) == (1 if limit > 40 else 2):
            raise OSError("no space left")

    monkeypatch.setattr(weight_files, "save_file", fail_at_last)
    with pytest.raises(OSError, match="no space left"):
        write_weight_file(path, {"a": torch.zeros(9), "b": torch.zeros(9)}, limit)
    assert sorted(tmp_path.iterdir()) == sorted(before)
    assert_equal(read_weight_file(tmp_path), TWO)


def test_an_official_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    write_official(tmp_path / "x.pth", WEIGHTS)

    def fail(values, file):
        file.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed\nlong story")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="cannot write .*x.pth: PytorchStreamWriter failed.$"):
        write_official(tmp_path / "x.pth", {"a": torch.ones(1)})
    assert_equal(read_weight_file(tmp_path / "x.pth"), WEIGHTS)
    assert [path.name for path in tmp_path.iterdir()] == ["x.pth"]


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path):
    for write in (write_weight_file, write_official):
        with pytest.raises(OSError, match="x.pth"):
            write(tmp_path / "none" / "x.pth", WEIGHTS)


def test_arrays_of_a_zip_are_no_weights(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones(2))
    with pytest.raises(ValueError, match="x.npz is truncated or no file of weights"):
        read_weight_file(tmp_path / "x.npz")


@pytest.mark.parametrize("error", [MemoryError, PermissionError])
def test_what_is_not_the_fault_of_the_file_is_not_blamed_on_it(error, tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    torch.save({"a": torch.zeros(2)}, path)

    def fail(*_arguments, **_keywords):
        raise error("no")

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(error, match="^no$"):
        read_weight_file(path)
