"""The class file and the metadata made from it.

Mutants that must fail: order of the file instead of the labels; a download at construction.
"""

import json
import sys
from types import ModuleType

import pytest

from minioneformer.hf.class_info import (
    categories_of,
    class_info_from_metadata,
    is_local,
    metadata_from_class_info,
    read_class_info,
)

CLASSES = {"1": {"name": "cat", "isthing": 1}, "0": {"name": "sky", "isthing": 0}}
METADATA = {"0": "sky", "1": "cat", "thing_ids": [1], "class_names": ["sky", "cat"]}


def test_the_example_of_the_docstring_and_back():
    assert metadata_from_class_info(CLASSES) == METADATA
    assert class_info_from_metadata(METADATA) == dict(sorted(CLASSES.items()))


def test_the_order_of_the_file_does_not_count():
    rows = {str(label): {"name": f"class {label}", "isthing": 1} for label in (2, 0, 1)}
    metadata = metadata_from_class_info(rows)
    assert metadata["thing_ids"] == [0, 1, 2]
    assert metadata["class_names"] == ["class 0", "class 1", "class 2"]


def test_the_package_sees_categories():
    sky, cat = categories_of(METADATA)
    assert (sky.name, sky.is_thing, cat.name, cat.is_thing) == ("sky", False, "cat", True)
    assert (sky.dataset_id, cat.dataset_id) == (0, 1)


@pytest.mark.parametrize(
    ("class_info", "message"),
    [
        ({"1": {"name": "cat", "isthing": 1}}, "must have the keys '0' .. '0', got 1"),
        ({"0": {"name": "cat"}}, "needs a 'name' and an 'isthing'.*for class 0"),
        ({"0": "cat"}, "needs a 'name' and an 'isthing'.*'cat' for class 0"),
    ],
)
def test_malformed_classes_are_named(class_info, message):
    with pytest.raises(ValueError, match=message):
        metadata_from_class_info(class_info)


def test_metadata_must_be_whole():
    with pytest.raises(ValueError, match=r"got none of \['thing_ids'\]"):
        categories_of({"class_names": ["sky"]})
    with pytest.raises(ValueError, match=r"labels, 0 to 0, got thing_ids with \[1\]"):
        categories_of({"class_names": ["sky"], "thing_ids": [1]})


def test_a_local_file_is_read_from_a_folder_or_by_its_path(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(CLASSES))
    assert read_class_info(str(tmp_path), "c.json") == CLASSES
    assert read_class_info(None, str(tmp_path / "c.json")) == CLASSES
    with pytest.raises(FileNotFoundError, match=r"no class file 'd\.json', got repo_path="):
        read_class_info(str(tmp_path), "d.json")
    with pytest.raises(FileNotFoundError, match=r"no class file 'd\.json', got repo_path=None"):
        read_class_info(None, "d.json")


def test_a_repository_of_data_is_asked_first_then_one_of_models(tmp_path, monkeypatch):
    asked = []

    def snapshot_download(name, *, repo_type, allow_patterns, **_):
        asked.append((name, repo_type, allow_patterns))
        if repo_type == "dataset":
            raise OSError("404")
        (tmp_path / "c.json").write_text(json.dumps(CLASSES))
        return str(tmp_path)

    module = ModuleType("huggingface_hub")
    module.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    assert not is_local("owner/name", "c.json")
    assert read_class_info("owner/name", "c.json") == CLASSES
    assert asked == [("owner/name", kind, ["c.json"]) for kind in ("dataset", "model")]
