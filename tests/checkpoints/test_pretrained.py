"""A model folder gives back what was put in, and says what is wrong with it.

Mutants that must fail: the criterion's temperature not saved; the text branch loaded unasked; a
missing tensor left random; the vocabulary not compared; weights written first.
"""

import dataclasses
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from minioneformer.checkpoints import model_folder
from minioneformer.checkpoints.image_settings import ImageSettings
from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.checkpoints.pretrained import Pretrained, load_pretrained, save_pretrained
from minioneformer.config import OneFormerConfig, SwinConfig
from minioneformer.data.categories import load_catalog
from minioneformer.structures import Category
from minioneformer.text.tokenizer import BPETokenizer

CATEGORIES = (
    Category(name="sky, clear", is_thing=False, color=(0, 128, 255), dataset_id=7),
    Category(name="Katze ä", is_thing=True, color=(255, 0, 1), dataset_id=3),
)
CONFIG = OneFormerConfig(
    backbone_config=SwinConfig(
        embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=3
    ),
    id2label={0: "sky, clear", 1: "Katze ä"},
    num_queries=7,
    text_encoder_n_ctx=2,
    text_encoder_num_layers=1,
    text_encoder_width=64,
    text_encoder_vocab_size=BPETokenizer.shipped().vocab_size,
    conv_dim=32,
    hidden_dim=32,
    mask_dim=12,
    encoder_feedforward_dim=16,
    dim_feedforward=20,
    encoder_layers=1,
    decoder_layers=2,
    query_dec_layers=1,
    num_attention_heads=4,
    is_training=True,
)
SETTINGS = ImageSettings(
    shortest_edge=24, longest_edge=None, object_threshold=0.3, overlap_threshold=0.6
)


def build(config=CONFIG):
    return Pretrained(
        config=config,
        modules=TrainedModules.from_config(config),
        tokenizer=BPETokenizer.shipped(),
        categories=CATEGORIES,
        settings=SETTINGS,
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model and its folder; neither may be changed."""
    torch.manual_seed(5)
    model = build()
    with torch.no_grad():
        for parameter in model.modules.parameters():
            parameter.add_(torch.randn(parameter.shape))
    return model, save_pretrained(tmp_path_factory.mktemp("saved") / "deep" / "folder", model)


@pytest.fixture
def folder(saved, tmp_path):
    """A copy that may be broken."""
    for path in saved[1].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def edit(path, **changes):
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | changes))


def test_the_folder_has_the_published_files_and_nothing_else(saved):
    assert sorted(path.name for path in saved[1].iterdir()) == [
        "class_info.json",
        "config.json",
        "merges.txt",
        "model.safetensors",
        "preprocessor_config.json",
        "vocab.json",
    ]


def test_with_its_text_branch_everything_comes_back(saved):
    model, folder = saved
    again = load_pretrained(folder, with_text=True)
    assert again.config == model.config
    assert again.categories == CATEGORIES
    assert again.settings == SETTINGS
    state, expected = again.modules.state_dict(), model.modules.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert any(name.startswith("model.text_mapper.") for name in state)
    assert any(name.startswith("criterion.") for name in state)
    assert not any(module.training for module in again.modules.modules())
    text = "the task is panoptic, Katze ä"
    assert again.tokenizer.tokenize(text) == model.tokenizer.tokenize(text)
    assert again.tokenizer.token_to_id == model.tokenizer.token_to_id


def test_without_its_text_branch_the_rest_comes_back(saved):
    model, folder = saved
    again = load_pretrained(str(folder))
    state, expected = again.modules.state_dict(), model.modules.state_dict()
    assert state.keys() == {name for name in expected if not name.startswith("model.text_mapper.")}
    assert all(torch.equal(state[name], expected[name]) for name in state)
    assert again.config == dataclasses.replace(model.config, is_training=False)


def test_a_loaded_model_answers_as_the_saved_one(saved):
    model, folder = saved
    images, tokens = torch.randn(1, 3, 32, 64), torch.randint(1, 9, (1, 77))
    with torch.no_grad():
        expected = model.model.eval()(images, tokens, auxiliary=False).predictions
        found = load_pretrained(folder).model(images, tokens, auxiliary=False).predictions
    assert torch.equal(found.class_logits, expected.class_logits)
    assert torch.equal(found.mask_embeddings, expected.mask_embeddings)
    assert torch.equal(found.mask_features, expected.mask_features)


def test_saving_what_was_loaded_gives_the_same_files(saved, tmp_path):
    again = save_pretrained(tmp_path, load_pretrained(saved[1], with_text=True))
    for path in saved[1].iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_what_was_saved_without_text_has_none(saved, tmp_path):
    save_pretrained(tmp_path, load_pretrained(saved[1]))
    assert not any("text_mapper" in name for name in load_file(tmp_path / "model.safetensors"))
    assert load_pretrained(tmp_path).config.is_training is False
    with pytest.raises(ValueError, match="holds no text branch, got with_text=True"):
        load_pretrained(tmp_path, with_text=True)


def test_the_folder_of_a_run_will_do(saved, tmp_path):
    (tmp_path / "model").symlink_to(saved[1])
    assert load_pretrained(tmp_path).categories == CATEGORIES


def test_weights_are_written_last(saved, tmp_path, monkeypatch):
    def full(path, weights, max_shard_bytes):
        assert (tmp_path / "config.json").is_file() and (tmp_path / "vocab.json").is_file()
        raise OSError("no space left")

    monkeypatch.setattr(model_folder, "write_weight_file", full)
    with pytest.raises(OSError, match="no space left"):
        save_pretrained(tmp_path, saved[0])
    assert not (tmp_path / "model.safetensors").exists()


def test_loading_never_unpickles(folder, monkeypatch):
    def refuse(*_arguments, **_keywords):
        raise AssertionError("unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    load_pretrained(folder)


def test_a_pickle_in_the_place_of_the_weights_is_refused(folder):
    (folder / "model.safetensors").write_bytes(pickle.dumps(Path("anything")))
    with pytest.raises(ValueError, match="model.safetensors"):
        load_pretrained(folder)


def test_weights_of_another_size_are_named(folder):
    edit(folder / "config.json", mask_dim=16, decoder_layers=3)
    with pytest.raises(
        ValueError,
        match=r" does not fit the model: .* missing: .*layers\.1\..* and \d+ more;"
        r" .* of another shape: .*\(12, 32.*\) for \(16, 32.*\)",
    ):
        load_pretrained(folder)


def test_weights_that_nobody_knows_are_named(folder):
    path = folder / "model.safetensors"
    save_file(load_file(path) | {"model.stranger": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="no place for 1 tensors, got model.stranger"):
        load_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.safetensors", "no weights in '.*need one of model.safetensors"),
        ("class_info.json", "a file of the model is missing, got '.*class_info.json'"),
        ("preprocessor_config.json", "a file of the model is missing, got '.*preprocessor_config"),
        ("vocab.json", "vocab.json"),
        ("merges.txt", "merges.txt"),
    ],
)
def test_a_missing_file_is_named(folder, name, message):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        load_pretrained(folder)


def test_a_folder_without_a_model_is_named_with_what_it_needs(folder):
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="no model in .*config.json and model.safetensors"):
        load_pretrained(folder)
    with pytest.raises(FileNotFoundError, match="no model in '.*absent'"):
        load_pretrained(folder / "absent")


def test_published_files_of_classes_have_names_and_kinds_only(folder):
    rows = {str(k): {"name": c.name, "isthing": c.is_thing} for k, c in enumerate(CATEGORIES)}
    (folder / "class_info.json").write_text(json.dumps(rows))
    found = load_pretrained(folder).categories
    assert [(c.name, c.is_thing, c.dataset_id) for c in found] == [
        ("sky, clear", False, 0),
        ("Katze ä", True, 1),
    ]
    assert found[0].color != found[1].color


def test_published_settings_lack_thresholds(folder):
    path = folder / "preprocessor_config.json"
    values = json.loads(path.read_text())
    del values["object_threshold"], values["overlap_threshold"]
    values |= {"size": {"shortest_edge": 640, "longest_edge": 2560}, "do_resize": True}
    path.write_text(json.dumps(values))
    assert load_pretrained(folder).settings == ImageSettings(
        shortest_edge=640, longest_edge=2560, object_threshold=0.8, overlap_threshold=0.8
    )
    (folder / "ade20k_panoptic.json").write_bytes((folder / "class_info.json").read_bytes())
    edit(path, class_info_file="ade20k_panoptic.json", size=640, max_size=2560)
    settings = load_pretrained(folder).settings
    assert (settings.object_threshold, settings.longest_edge) == (0.5, 2560)


def test_a_published_file_of_classes_that_is_not_there_is_a_catalogue(folder):
    edit(folder / "preprocessor_config.json", class_info_file="toy_panoptic.json")
    with pytest.raises(FileNotFoundError, match="toy_panoptic.json"):  # another number of classes
        load_pretrained(folder)
    config = dataclasses.replace(
        CONFIG, id2label=dict(enumerate("abcdefgh")), num_labels=None, is_training=False
    )
    model_folder.write_model(folder, config, TrainedModules.from_config(config))
    assert load_pretrained(folder).categories == load_catalog("toy")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("config.json", {"num_queries": "7"}, "config.num_queries must be int, got '7'"),
        ("config.json", {"hidden_dim": 32.0}, "config.hidden_dim must be int, got 32.0"),
        ("config.json", {"num_attention_heads": 0}, "num_attention_heads must be >= 1"),
        ("config.json", {"backbone_config": []}, "config.backbone_config must be an object"),
        ("config.json", {"id2label": {"0": 1}}, "config.id2label must be"),
        ("preprocessor_config.json", {"size": {"shortest_edge": "x"}}, "size.shortest_edge must"),
        ("preprocessor_config.json", {"image_mean": [0.5, 0.5, 0.5]}, "image_mean must be that of"),
        ("preprocessor_config.json", {"object_threshold": None}, "object_threshold must be float"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_file(folder, name, change, message):
    edit(folder / name, **change)
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        load_pretrained(folder)


def test_a_field_that_means_nothing_is_a_warning_with_its_near_match(folder):
    edit(folder / "config.json", num_querys=7)
    with pytest.warns(UserWarning, match=r"mean nothing here, got 'num_querys' \(near match: num_"):
        assert load_pretrained(folder).config.num_queries == 7


def test_another_number_of_classes_is_refused(folder):
    edit(folder / "class_info.json", **{"2": {"name": "dog"}})
    with pytest.raises(ValueError, match="class_info.json must have the keys 0 .. 1, .*got 3 keys"):
        load_pretrained(folder)


def test_another_vocabulary_is_refused(folder):
    BPETokenizer.train(["sky cat"], 515).save(folder)
    with pytest.raises(
        ValueError, match="another vocabulary, got tokenizer.vocab_size=515, config"
    ):
        load_pretrained(folder)
