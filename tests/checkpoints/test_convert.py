"""From layout to layout and back: the same bits; and a file of the original code becomes a folder
that predicts.

Mutants that must fail: a text branch lost on the way; thresholds of another data set; a file taken
for the model of another size; an existing target replaced.
"""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

import minioneformer
from minioneformer.checkpoints.convert import convert, read_official
from minioneformer.checkpoints.model_folder import TrainedModules, read_model, write_model
from minioneformer.checkpoints.official import to_official
from minioneformer.checkpoints.pretrained import load_pretrained
from minioneformer.checkpoints.weight_files import read_weight_file, write_official
from minioneformer.cli import main
from minioneformer.config import (
    ConvNextConfig,
    DinatConfig,
    OneFormerConfig,
    ResNetConfig,
    SwinConfig,
)
from minioneformer.presets.published import published_model
from minioneformer.text.tokenizer import BPETokenizer

SMALL = OneFormerConfig(
    num_labels=3,
    num_queries=7,
    text_encoder_n_ctx=2,
    text_encoder_num_layers=1,
    text_encoder_width=64,
    text_encoder_vocab_size=50,
    conv_dim=64,
    hidden_dim=64,
    mask_dim=64,
    num_attention_heads=8,
    encoder_feedforward_dim=16,
    dim_feedforward=20,
    encoder_layers=1,
    decoder_layers=3,
    query_dec_layers=1,
    is_training=True,
)
BACKBONES = [
    SwinConfig(embed_dim=32, depths=(1, 2, 1, 1), num_heads=(1, 2, 4, 8), window_size=3),
    ConvNextConfig(hidden_sizes=(8, 16, 24, 32), depths=(1, 2, 1, 1), layer_scale_init_value=1.0),
    ResNetConfig(hidden_sizes=(16, 32, 48, 64), depths=(1, 2, 1, 1), embedding_size=8),
    DinatConfig(
        embed_dim=32,
        depths=(1, 2, 1, 1),
        num_heads=(1, 2, 4, 8),
        kernel_size=3,
        dilations=((1,), (1, 2), (1,), (1,)),
    ),
]


def same(first: TrainedModules, second: TrainedModules) -> bool:
    mine, his = first.state_dict(), second.state_dict()
    return mine.keys() == his.keys() and all(torch.equal(mine[k], his[k]) for k in mine)


@pytest.fixture(params=BACKBONES, ids=lambda backbone: backbone.model_type)
def small(request, tmp_path):
    """A folder of the published layout, with text branch, and what is in it."""
    config = dataclasses.replace(SMALL, backbone_config=request.param)
    modules = TrainedModules.from_config(config)
    with torch.no_grad():
        for parameter in modules.parameters():
            parameter.add_(torch.randn_like(parameter))
    return write_model(tmp_path / "folder", config, modules), config, modules


def test_to_the_original_layout_and_back_is_the_identity(small, tmp_path):
    folder, config, modules = small
    report = convert(folder, tmp_path / "model.pth", to="official")
    assert report.complete
    if config.backbone_config.model_type == "dinat":
        with pytest.raises(ValueError, match="model.pth: .*dilations"):
            read_official(tmp_path / "model.pth")
        return
    again = read_official(tmp_path / "model.pth")
    assert same(again.modules, modules) and again.published is None
    # drop path rates and whether batch norms learn are nowhere in the weights
    assert again.config.backbone_config.stage_dims == config.backbone_config.stage_dims
    convert(tmp_path / "model.pth", tmp_path / "again.pth", to="official")
    first, second = (read_weight_file(tmp_path / name) for name in ("model.pth", "again.pth"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def swin_tiny(tmp_path_factory):
    """A file under the name of the published Swin-T, with random weights and its text branch."""
    config = dataclasses.replace(published_model("ade20k_swin_tiny").config, is_training=True)
    modules = TrainedModules.from_config(config)
    path = tmp_path_factory.mktemp("official") / "150_16_swin_t_oneformer_ade20k_160k.pth"
    write_official(path, to_official(config, modules.state_dict()))
    return path, config, modules


def test_the_name_of_a_published_file_gives_classes_and_sizes(swin_tiny):
    path, config, modules = swin_tiny
    found = read_official(path)
    assert found.published.name == "ade20k_swin_tiny"
    assert found.config == config and found.config.id2label[0] == "wall"
    assert found.report.complete and same(found.modules, modules)
    assert {reason for reason in found.report.skipped.values()} == {
        "index of the bias table, computed here"
    }


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("ade20k_swin_large", "not those of ade20k_swin_large, got queries 150 instead of 250"),
        ("coco_swin_tiny", "got classes 150 instead of 133"),
        ("ade20k_resnet50", "got backbone swin instead of resnet"),
        ("ade20k_dinat_large", "not those of ade20k_dinat_large: .*dilations"),
        ("ade20k_swin_tine", "no such published model.*Near matches: ade20k_swin_tiny"),
    ],
)
def test_a_file_that_is_not_the_named_model_is_refused(swin_tiny, model, message):
    with pytest.raises(ValueError, match=message):
        read_official(swin_tiny[0], model=model)


def test_a_folder_needs_a_vocabulary_and_classes(swin_tiny, tmp_path):
    with pytest.raises(ValueError, match="holds no tokenizer: pass CLIP's vocabulary"):
        convert(swin_tiny[0], tmp_path / "folder", to="huggingface")
    BPETokenizer.shipped().save(tmp_path)
    with pytest.raises(ValueError, match="another vocabulary, got tokenizer.vocab_size=856"):
        convert(swin_tiny[0], tmp_path / "folder", to="huggingface", vocabulary=tmp_path)
    renamed = tmp_path / "mine.pth"
    renamed.symlink_to(swin_tiny[0])
    with pytest.raises(ValueError, match="name the published model.*minioneformer models"):
        convert(renamed, tmp_path / "folder", to="huggingface")
    assert not (tmp_path / "folder").exists()


def test_an_original_file_becomes_a_folder_that_predicts(swin_tiny, tmp_path, shared_data, capsys):
    path, config, modules = swin_tiny
    merges = shared_data / "clip_bpe" / "bpe_simple_vocab_16e6.txt.gz"
    folder = tmp_path / "folder"
    words = ["convert", str(path), str(folder), "--to", "huggingface", "--vocabulary", str(merges)]
    assert main(words) == 0
    assert "loaded 6" in capsys.readouterr().out
    assert same(read_model(folder)[1], modules)
    found = load_pretrained(folder)
    assert (found.settings.shortest_edge, found.settings.longest_edge) == (512, 2048)
    assert (found.settings.object_threshold, found.settings.overlap_threshold) == (0.5, 0.8)
    assert found.categories[0].name == "wall" and len(found.categories) == 150
    assert found.tokenizer.vocab_size == 49408
    assert main(["convert", str(folder), str(tmp_path / "back.pth"), "--to", "official"]) == 0
    first, second = read_weight_file(path), read_weight_file(tmp_path / "back.pth")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_folder_can_be_copied(tmp_path, capsys):
    toy = Path(minioneformer.__file__).parent / "assets" / "toy"
    assert main(["convert", str(toy), str(tmp_path / "copy"), "--to", "huggingface"]) == 0
    assert same(load_pretrained(tmp_path / "copy").modules, load_pretrained("toy").modules)
    assert "loaded" in capsys.readouterr().out


def test_a_target_that_is_there_is_left_alone(tmp_path, capsys):
    (tmp_path / "there.pth").write_text("mine")
    assert main(["convert", "toy", str(tmp_path / "there.pth"), "--to", "official"]) == 2
    assert "the target is there already, got" in capsys.readouterr().err
    assert (tmp_path / "there.pth").read_text() == "mine"


def test_models_are_listed_and_written(tmp_path, capsys):
    assert main(["models", "--dataset", "coco", "--output", str(tmp_path / "models.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 4 + 1 and "57.9" in lines[4]
    values = json.loads((tmp_path / "models.json").read_text())
    assert values["coco_swin_large"]["hub_id"] == "shi-labs/oneformer_coco_swin_large"
    assert main(["models", "--dataset", "cocoa"]) == 2
    assert "Known: ade20k, cityscapes, coco, mapillary_vistas" in capsys.readouterr().err


def test_a_model_is_found_as_by_every_other_command(tmp_path, capsys):
    assert main(["convert", "toy", str(tmp_path / "toy.pth"), "--to", "official"]) == 0
    again = read_official(tmp_path / "toy.pth").modules
    assert same(again, load_pretrained("toy").modules)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model").symlink_to(Path(minioneformer.__file__).parent / "assets" / "toy")
    words = ["convert", str(tmp_path / "run"), str(tmp_path / "run.pth"), "--to", "official"]
    assert main(words) == 0 and (tmp_path / "run.pth").is_file()
    assert main(["convert", str(tmp_path / "no"), str(tmp_path / "x.pth"), "--to", "official"]) == 2
    assert "no model in" in capsys.readouterr().err
