"""Settings under the published names, all of which can be set later."""

import json

import pytest

from minioneformer.hf.image_settings import CALL_SETTINGS, SETTINGS, ImageProcessorSettings

CLASSES = {"0": {"name": "sky", "isthing": 0}, "1": {"name": "cat", "isthing": 1}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(CLASSES))
    return tmp_path


def test_the_defaults_are_the_published_ones():
    settings = ImageProcessorSettings()
    assert settings.size == {"shortest_edge": 800, "longest_edge": 1333}
    assert (settings.resample, settings.rescale_factor) == (2, 1 / 255)
    assert settings.do_resize and settings.do_rescale and settings.do_normalize
    assert settings.do_convert_rgb and not settings.default_to_square
    assert settings.image_mean == (0.485, 0.456, 0.406)
    assert settings.image_std == (0.229, 0.224, 0.225)
    assert settings.repo_path == "shi-labs/oneformer_demo"
    assert not settings.do_reduce_labels
    for name in ("ignore_index", "class_info_file", "num_text", "num_labels", "metadata"):
        assert getattr(settings, name) is None
    assert SETTINGS - CALL_SETTINGS == {"repo_path", "class_info_file", "metadata", "num_labels"}


def test_sizes_take_their_long_form():
    assert ImageProcessorSettings(size=640).size == {"shortest_edge": 640}
    square = ImageProcessorSettings(size=640, default_to_square=True)
    assert square.size == {"height": 640, "width": 640}


def test_a_local_class_file_is_read_at_once(folder):
    settings = ImageProcessorSettings(repo_path=str(folder), class_info_file="c.json")
    assert settings.metadata == {"0": "sky", "1": "cat", "thing_ids": [1]} | {
        "class_names": ["sky", "cat"]
    }
    with pytest.raises(FileNotFoundError, match=r"no class file 'd\.json'"):
        ImageProcessorSettings(repo_path=str(folder), class_info_file="d.json")


def test_the_hub_is_asked_at_the_first_use_and_not_before(monkeypatch):
    asked = []

    def read(repo_path, class_info_file):
        asked.append((repo_path, class_info_file))
        return CLASSES

    monkeypatch.setattr("minioneformer.hf.image_settings.read_class_info", read)
    settings = ImageProcessorSettings(repo_path="owner/name", class_info_file="c.json")
    assert asked == [] and settings.metadata is None
    assert settings.metadata_if_any() == settings.known_metadata()
    assert asked == [("owner/name", "c.json")]  # once


def test_without_a_class_file_classes_are_unknown():
    settings = ImageProcessorSettings()
    assert settings.metadata_if_any() is None
    with pytest.raises(ValueError, match=r"not known, got self\.class_info_file=None"):
        settings.known_metadata()


def test_what_is_written_names_the_folder_only_where_the_classes_are_local(folder, tmp_path):
    local = ImageProcessorSettings(repo_path=str(folder), class_info_file="c.json")
    assert local.to_dict(tmp_path / "new")["repo_path"] == str(tmp_path / "new")
    assert local.to_dict()["repo_path"] == str(folder)
    local.repo_path = "owner/name"
    assert local.to_dict(tmp_path / "new")["repo_path"] == "owner/name"
    assert "num_labels" not in local.to_dict()
