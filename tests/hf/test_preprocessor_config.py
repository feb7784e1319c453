"""Settings on disk, in all the forms that published folders have.

Mutants that must fail: unknown settings dropped without a word; old names not understood.
"""

import json

import pytest

from minioneformer.hf.image_settings import SETTINGS
from minioneformer.hf.preprocessor_config import check_names, read_settings


def write(folder, values, name="preprocessor_config.json"):
    (folder / name).write_text(json.dumps(values))


def test_known_settings_are_taken_and_what_says_nothing_is_left(tmp_path):
    idle = {"image_processor_type": "x", "do_pad": True, "crop_size": None, "device": None}
    write(tmp_path, {"num_text": 7, "size": {"shortest_edge": 5}, **idle})
    assert read_settings(tmp_path, SETTINGS) == {"num_text": 7, "size": {"shortest_edge": 5}}


def test_the_nested_form_is_read_where_the_plain_one_is_not(tmp_path):
    write(tmp_path, {"image_processor": {"num_text": 7}}, "processor_config.json")
    assert read_settings(tmp_path, SETTINGS) == {"num_text": 7}
    write(tmp_path, {"num_text": 8})
    assert read_settings(tmp_path, SETTINGS) == {"num_text": 8}


def test_old_names_are_understood(tmp_path):
    write(tmp_path, {"reduce_labels": True, "size": 640, "max_size": 2560})
    assert read_settings(tmp_path, SETTINGS) == {
        "do_reduce_labels": True,
        "size": {"shortest_edge": 640, "longest_edge": 2560},
    }


def test_folders_of_training_runs_are_read(tmp_path):
    own = {"object_threshold": 0.8, "overlap_threshold": 0.8, "longest_edge": None}
    write(tmp_path, {"shortest_edge": None, **own})
    assert read_settings(tmp_path, SETTINGS) == {"do_resize": False}
    write(tmp_path, {"shortest_edge": 64, "num_text": 7, **own})
    size = {"shortest_edge": 64, "longest_edge": None}
    assert read_settings(tmp_path, SETTINGS) == {"size": size, "num_text": 7}


def test_settings_that_nothing_reads_are_named(tmp_path):
    write(tmp_path, {"do_center_crop": True, "crop_size": 5, "num_text": 7, "flavour": 1})
    with pytest.warns(UserWarning, match="not read: crop_size, do_center_crop, flavour"):
        assert read_settings(tmp_path, SETTINGS) == {"num_text": 7}


def test_a_folder_without_settings_is_refused(tmp_path):
    write(tmp_path, {"max_seq_length": 77}, "processor_config.json")
    with pytest.raises(FileNotFoundError, match=r"no preprocessor_config\.json in"):
        read_settings(tmp_path, SETTINGS)


def test_unknown_names_are_refused_with_the_nearest():
    check_names({"num_text": 7}, SETTINGS)
    with pytest.raises(TypeError, match=r"got num_texts=7\. Did you mean 'num_text'\?"):
        check_names({"num_texts": 7}, SETTINGS)
