"""What is known is taken over, by name; what is not begins anew and is named.

Mutants that must fail: class rows by position; the row of no object lost; the task token's position
not last; weights of another model taken in silence.
"""

import dataclasses

import pytest
import torch

from minioneformer.checkpoints.model_folder import TrainedModules, write_model
from minioneformer.config import OneFormerConfig, SwinConfig
from minioneformer.training.initialize import read_start, start_from, take_over
from minioneformer.training.recipes import nuclei

SMALL = OneFormerConfig(
    backbone_config=SwinConfig(
        embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=3
    ),
    id2label={0: "sky", 1: "circle"},
    num_queries=7,
    text_encoder_n_ctx=2,
    text_encoder_num_layers=1,
    text_encoder_width=64,
    text_encoder_vocab_size=50,
    conv_dim=32,
    hidden_dim=32,
    mask_dim=12,
    encoder_feedforward_dim=16,
    dim_feedforward=20,
    encoder_layers=1,
    decoder_layers=2,
    query_dec_layers=1,
    num_attention_heads=4,
)
HEAD = "model.transformer_decoder.heads.class_head"
POSITIONS = "model.query_positions.weight"


@pytest.fixture
def saved(tmp_path):
    modules = TrainedModules.from_config(SMALL)
    write_model(tmp_path / "old", SMALL, modules)
    return tmp_path / "old", modules.state_dict()


def other(**changes) -> TrainedModules:
    torch.manual_seed(7)
    return TrainedModules.from_config(dataclasses.replace(SMALL, **changes))


def test_the_same_model_is_taken_over_whole(saved):
    folder, old = saved
    modules = other()
    report = start_from(modules, read_start(folder), ["sky", "circle"])
    assert report.complete and not report.skipped and not report.mismatched
    assert all(torch.equal(modules.state_dict()[name], old[name]) for name in old)


def test_classes_are_matched_by_name_and_no_object_is_kept(saved):
    folder, old = saved
    names = ["circle", "nucleus", "sky"]
    modules = other(id2label=dict(enumerate(names)), num_labels=None)
    fresh = modules.state_dict()[f"{HEAD}.weight"].clone()
    start_from(modules, read_start(folder), names)
    new = modules.state_dict()[f"{HEAD}.weight"]
    for row, expected in enumerate([old[f"{HEAD}.weight"][1], fresh[1], old[f"{HEAD}.weight"][0]]):
        assert torch.equal(new[row], expected), row
    assert torch.equal(new[3], old[f"{HEAD}.weight"][2])
    assert torch.equal(modules.state_dict()[f"{HEAD}.bias"][0], old[f"{HEAD}.bias"][1])


def test_as_many_other_classes_are_not_taken_for_the_old_ones(saved):
    folder, old = saved
    modules = other(id2label={0: "nucleus", 1: "background"}, num_labels=None)
    fresh = modules.state_dict()[f"{HEAD}.weight"].clone()
    start_from(modules, read_start(folder), ["nucleus", "background"])
    new = modules.state_dict()[f"{HEAD}.weight"]
    assert torch.equal(new[:2], fresh[:2]) and torch.equal(new[2], old[f"{HEAD}.weight"][2])


@pytest.mark.parametrize("names", [{0: "sky", 1: "circle"}, {0: "a", 1: "circle", 2: "b"}])
def test_the_weight_of_no_object_is_that_of_the_new_configuration(saved, names):
    folder, _ = saved
    modules = other(no_object_weight=0.3, id2label=names, num_labels=len(names))
    report = start_from(modules, read_start(folder), list(names.values()))
    assert modules.criterion.class_weights.tolist() == pytest.approx([1.0] * len(names) + [0.3])
    assert not report.mismatched and "criterion.class_weights" not in report.loaded


def test_more_queries_keep_the_old_positions_and_the_task_token_last(saved):
    folder, old = saved
    modules = other(num_queries=9)
    fresh = modules.state_dict()[POSITIONS].clone()
    start_from(modules, read_start(folder), ["sky", "circle"])
    new = modules.state_dict()[POSITIONS]
    assert torch.equal(new[:6], old[POSITIONS][:6])
    assert torch.equal(new[8], old[POSITIONS][6])
    assert torch.equal(new[6:8], fresh[6:8])


def test_a_text_branch_that_is_not_there_begins_anew_and_is_named(saved):
    report = start_from(other(is_training=True), read_start(saved[0]), ["sky", "circle"])
    assert report.reinitialised
    assert all(name.startswith("model.text_mapper.") for name in report.reinitialised)


def test_another_model_is_refused(saved):
    modules = other(conv_dim=64, hidden_dim=64, mask_dim=16)
    before = {name: value.clone() for name, value in modules.state_dict().items()}
    with pytest.raises(ValueError, match=r"of another model, got \d+ of \d+ tensors that fit"):
        start_from(modules, read_start(saved[0]), ["sky", "circle"])
    assert all(torch.equal(modules.state_dict()[name], before[name]) for name in before)


def test_a_recipe_takes_over_sizes_and_keeps_the_rest():
    recipe = take_over(nuclei(), "toy")
    toy = read_start("toy").config
    assert recipe.model.backbone_config == toy.backbone_config
    assert recipe.model.num_queries == max(toy.num_queries, nuclei().model.num_queries)
    assert (recipe.init, recipe.vocabulary, recipe.model.is_training) == ("toy", "shipped", True)
    assert recipe.data == nuclei().data and recipe.optimization == nuclei().optimization


def test_a_folder_brings_its_vocabulary(saved, tmp_path):
    from minioneformer.text.tokenizer import BPETokenizer

    BPETokenizer.shipped().save(saved[0])
    assert take_over(nuclei(), saved[0]).vocabulary == str(saved[0])
    with pytest.raises(FileNotFoundError, match="absent"):
        take_over(nuclei(), tmp_path / "absent")
