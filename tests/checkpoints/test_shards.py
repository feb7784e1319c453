"""Mutants that must fail: a tensor larger than a shard left out; a shard outside of the folder
accepted; an index without tensors taken for an empty model.
"""

import json

import pytest
import torch

from minioneformer.checkpoints.shards import (
    index_text,
    listed_shards,
    read_index,
    shard_names,
    split_weights,
)


def tensors(*sizes: int) -> dict[str, torch.Tensor]:
    return {f"t{i}": torch.zeros(size // 4) for i, size in enumerate(sizes)}


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((40, 40, 60), [["t0", "t1"], ["t2"]]),
        ((40, 60, 4), [["t0", "t1"], ["t2"]]),
        ((200, 4, 200), [["t0"], ["t1"], ["t2"]]),
        ((40,), [["t0"]]),
        ((), [[]]),
    ],
)
def test_shards_are_filled_in_order(sizes, expected):
    assert [list(shard) for shard in split_weights(tensors(*sizes), 100)] == expected


def test_a_size_that_holds_nothing_is_refused():
    with pytest.raises(ValueError, match="size of a shard must be positive, got max_bytes=0"):
        split_weights(tensors(4), 0)


def test_names_count_from_one():
    assert shard_names("model.safetensors", 1) == ["model.safetensors"]
    assert shard_names("model.safetensors", 2) == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]


def test_an_index_comes_back(tmp_path):
    shards = split_weights(tensors(40, 40, 60), 100)
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(index_text(["a.safetensors", "b.safetensors"], shards))
    assert json.loads(path.read_text())["metadata"] == {"total_size": 140}
    assert read_index(path) == {"t0": "a.safetensors", "t1": "a.safetensors", "t2": "b.safetensors"}
    assert listed_shards(path) == {tmp_path / "a.safetensors", tmp_path / "b.safetensors"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"x.index.json is no index of shards \(JSONDecodeError"),
        ("[" * 100_000, "x.index.json is no index of shards"),
        ("[]", "x.index.json is no index of shards"),
        ("{}", r"x.index.json is no index of shards \(KeyError: 'weight_map'\)"),
        ('{"weight_map": {}}', "x.index.json lists no tensors"),
        ('{"weight_map": []}', "x.index.json lists no tensors"),
    ],
    ids=["cut", "deep", "list", "without", "empty", "no map"],
)
def test_what_is_no_index_is_refused(tmp_path, content, message):
    path = tmp_path / "x.index.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_index(path)
    assert listed_shards(path) == set()


@pytest.mark.parametrize(
    "name",
    ["../x", "a/x", "/etc/x", "..", ".", "", "..\\x", "C:\\x", "C:x", "x\0", 3, "y.index.json"],
)
def test_a_shard_is_a_file_of_the_same_folder(tmp_path, name):
    path = tmp_path / "x.index.json"
    path.write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ValueError, match="x.index.json must list files beside it, got .*trust"):
        read_index(path)


def test_an_index_that_is_not_there_lists_nothing(tmp_path):
    assert listed_shards(tmp_path / "x.index.json") == set()
