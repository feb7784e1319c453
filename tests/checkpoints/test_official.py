"""The names are written out a second time here, from the published patterns.

Mutants that must fail: the levels of the input projections reversed; norm and convolution of a
downsampling swapped; keys and values of a fused projection swapped; a forgotten index buffer.
"""

import pytest
import torch

from minioneformer.backbone.windows import relative_position_index
from minioneformer.checkpoints.huggingface import (
    from_huggingface,
    huggingface_table,
    to_huggingface,
)
from minioneformer.checkpoints.key_table import check_table, to_theirs
from minioneformer.checkpoints.official import from_official, official_table, to_official
from minioneformer.config import (
    ConvNextConfig,
    DinatConfig,
    OneFormerConfig,
    ResNetConfig,
    SwinConfig,
)
from minioneformer.losses.criterion import Criterion
from minioneformer.model import OneFormer

NUM_CLASSES = 150
BACKBONES = {
    "swin": SwinConfig(),
    "swin_without_bias": SwinConfig(qkv_bias=False, depths=(1, 2, 1, 1)),
    "convnext": ConvNextConfig(),
    "convnext_without_scale": ConvNextConfig(layer_scale_init_value=0.0),
    "dinat": DinatConfig(),
    "dinat_with_scale": DinatConfig(layer_scale_init_value=1e-5, qkv_bias=False),
    "resnet": ResNetConfig(),
    "resnet_frozen": ResNetConfig(frozen_batch_norm=True, embedding_size=256),
}


def config_of(backbone, **changes) -> OneFormerConfig:
    settings = {"num_labels": NUM_CLASSES, "is_training": True} | changes
    return OneFormerConfig(backbone_config=backbone, **settings)


def some_weights(config: OneFormerConfig) -> dict[str, torch.Tensor]:
    """A different tensor for each name of ours; three rows, so that each can be cut."""
    names = [name for entry in official_table(config) for name in entry.ours]
    return {name: torch.randn(3, 2) for name in names}


class Shapes(dict[str, tuple[int, ...]]):
    """Shapes by name, written a module at a time."""

    def layer(self, name, out, *inputs, bias=True):
        self[f"{name}.weight"] = (out, *inputs)
        if bias:
            self[f"{name}.bias"] = (out,)

    def norms(self, name, *parts, width=256):
        for part in parts:
            self.layer(f"{name}{part}", width)

    def attention(self, name):
        self[f"{name}.in_proj_weight"] = (768, 256)
        self[f"{name}.in_proj_bias"] = (768,)
        self.layer(f"{name}.out_proj", 256, 256)

    def hidden(self, name, first, second, width, hidden):
        self.layer(f"{name}.{first}", hidden, width)
        self.layer(f"{name}.{second}", width, hidden)


def expected_shapes() -> Shapes:
    """Swin-T, 150 queries and classes, with text branch, from the published patterns."""
    shapes = Shapes()
    shapes.layer("backbone.patch_embed.proj", 96, 3, 4, 4)
    shapes.layer("backbone.patch_embed.norm", 96)
    for stage, (depth, heads) in enumerate(zip((2, 2, 6, 2), (3, 6, 12, 24), strict=True)):
        add_stage(shapes, stage, depth, heads)
    add_pixel_decoder(shapes)
    add_predictor(shapes)
    add_text(shapes)
    shapes.layer("task_mlp.layers.0", 256, 77)
    shapes.layer("task_mlp.layers.1", 256, 256)
    shapes["criterion.empty_weight"] = (151,)
    shapes["criterion.logit_scale"] = ()
    return shapes


def add_stage(shapes, stage, depth, heads):
    width = 96 * 2**stage
    for number in range(depth):
        block = f"backbone.layers.{stage}.blocks.{number}"
        shapes.norms(block, ".norm1", ".norm2", width=width)
        shapes.layer(f"{block}.attn.qkv", 3 * width, width)
        shapes.layer(f"{block}.attn.proj", width, width)
        shapes[f"{block}.attn.relative_position_bias_table"] = (169, heads)
        shapes[f"{block}.attn.relative_position_index"] = (49, 49)
        shapes.hidden(f"{block}.mlp", "fc1", "fc2", width, 4 * width)
    if stage < 3:
        merge = f"backbone.layers.{stage}.downsample"
        shapes.layer(f"{merge}.norm", 4 * width)
        shapes.layer(f"{merge}.reduction", 2 * width, 4 * width, bias=False)
    shapes.layer(f"backbone.norm{stage}", width)


def add_pixel_decoder(shapes):
    head = "sem_seg_head.pixel_decoder"
    for level, width in enumerate((768, 384, 192)):
        shapes.layer(f"{head}.input_proj.{level}.0", 256, width, 1, 1)
        shapes.layer(f"{head}.input_proj.{level}.1", 256)
    shapes[f"{head}.transformer.level_embed"] = (3, 256)
    for j in range(6):
        layer = f"{head}.transformer.encoder.layers.{j}"
        shapes.layer(f"{layer}.self_attn.sampling_offsets", 192, 256)
        shapes.layer(f"{layer}.self_attn.attention_weights", 96, 256)
        shapes.layer(f"{layer}.self_attn.value_proj", 256, 256)
        shapes.layer(f"{layer}.self_attn.output_proj", 256, 256)
        shapes.hidden(layer, "linear1", "linear2", 256, 1024)
        shapes.norms(layer, ".norm1", ".norm2")
    shapes.layer(f"{head}.adapter_1", 256, 96, 1, 1, bias=False)
    shapes.layer(f"{head}.layer_1", 256, 256, 3, 3, bias=False)
    shapes.norms(head, ".adapter_1.norm", ".layer_1.norm")
    shapes.layer(f"{head}.mask_features", 256, 256, 1, 1)


def add_predictor(shapes):
    head = "sem_seg_head.predictor"
    shapes.layer(f"{head}.class_input_proj", 256, 256, 1, 1)
    for j in range(2):
        layer = f"{head}.class_transformer.decoder.layers.{j}"
        shapes.attention(f"{layer}.self_attn")
        shapes.attention(f"{layer}.multihead_attn")
        shapes.hidden(layer, "linear1", "linear2", 256, 2048)
        shapes.norms(layer, ".norm1", ".norm2", ".norm3")
    shapes.norms(head, ".class_transformer.decoder.norm", ".decoder_norm")
    for i in range(9):
        shapes.attention(f"{head}.transformer_cross_attention_layers.{i}.multihead_attn")
        shapes.attention(f"{head}.transformer_self_attention_layers.{i}.self_attn")
        shapes.hidden(f"{head}.transformer_ffn_layers.{i}", "linear1", "linear2", 256, 2048)
        for kind in ("cross_attention", "self_attention", "ffn"):
            shapes.norms(head, f".transformer_{kind}_layers.{i}.norm")
    shapes[f"{head}.query_embed.weight"] = (150, 256)
    shapes[f"{head}.level_embed.weight"] = (3, 256)
    shapes.layer(f"{head}.class_embed", 151, 256)
    for n in range(3):
        shapes.layer(f"{head}.mask_embed.layers.{n}", 256, 256)


def add_text(shapes):
    shapes["text_encoder.token_embedding.weight"] = (49408, 256)
    shapes["text_encoder.positional_embedding"] = (77, 256)
    shapes.norms("text_encoder", ".ln_final")
    for t in range(6):
        layer = f"text_encoder.transformer.resblocks.{t}"
        shapes.attention(f"{layer}.attn")
        shapes.norms(layer, ".ln_1", ".ln_2")
        shapes.hidden(f"{layer}.mlp", "c_fc", "c_proj", 256, 1024)
    shapes.layer("text_projector.layers.0", 256, 256)
    shapes.layer("text_projector.layers.1", 256, 256)
    shapes["prompt_ctx.weight"] = (16, 256)


def our_shapes(config: OneFormerConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        modules = {
            "model": OneFormer.from_config(config),
            "criterion": Criterion.from_config(config),
        }
    return {
        f"{prefix}.{name}": tuple(tensor.shape)
        for prefix, module in modules.items()
        for name, tensor in module.state_dict().items()
    }


def test_a_published_swin_t_is_read_completely_and_fits_the_model():
    expected = expected_shapes()
    assert len(expected) == 605 + 2
    weights = {name: torch.empty(shape, device="meta") for name, shape in expected.items()}
    config = config_of(SwinConfig())
    ours, skipped = from_official(config, weights)
    assert {name: tuple(tensor.shape) for name, tensor in ours.items()} == our_shapes(config)
    assert len(skipped) == 12
    assert all(name.endswith("attn.relative_position_index") for name in skipped)
    assert set(skipped.values()) == {"index of the bias table, computed here"}


def test_what_is_written_of_a_swin_t_has_exactly_the_published_names():
    config = config_of(SwinConfig())
    written = to_official(config, some_weights(config))
    assert set(written) == set(expected_shapes())
    index = written["backbone.layers.2.blocks.5.attn.relative_position_index"]
    assert index.dtype == torch.int64
    assert torch.equal(index, relative_position_index(7))


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)
def test_there_and_back_is_the_identity(backbone):
    config = config_of(backbone)
    weights = some_weights(config)
    back, _ = from_official(config, to_official(config, weights))
    assert set(back) == set(weights)
    assert all(torch.equal(back[name], weights[name]) for name in weights)


@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)
def test_from_huggingface_by_way_of_the_original_layout_is_the_identity(backbone):
    config = config_of(backbone)
    theirs = to_theirs(huggingface_table(config), some_weights(config))
    ours, _ = from_huggingface(config, theirs)
    again, _ = from_official(config, to_official(config, ours))
    assert set(again) == set(ours)
    assert all(torch.equal(again[name], ours[name]) for name in ours)
    back = to_huggingface(config, again)
    assert all(torch.equal(back[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES.values(), ids=BACKBONES)
def test_both_tables_are_bijections_over_the_same_tensors_of_ours(backbone, training):
    config = config_of(backbone, is_training=training, text_encoder_n_ctx=0)
    tables = official_table(config), huggingface_table(config)
    names = []
    for table in tables:
        check_table(table)
        names.append({name for entry in table for name in entry.ours})
    assert names[0] == names[1] == set(our_shapes(config))


DINAT = """
patch_embed.proj.0.weight patch_embed.proj.0.bias patch_embed.proj.1.weight patch_embed.proj.1.bias
patch_embed.norm.weight levels.0.blocks.2.norm1.weight levels.1.blocks.3.attn.qkv.weight
levels.1.blocks.3.attn.qkv.bias levels.2.blocks.17.attn.rpb levels.3.blocks.4.attn.proj.bias
levels.3.blocks.4.mlp.fc2.weight levels.0.downsample.reduction.weight levels.2.downsample.norm.bias
norm0.weight norm3.bias
""".split()
CONVNEXT = """
downsample_layers.0.0.weight downsample_layers.0.1.bias downsample_layers.3.0.weight
downsample_layers.3.1.bias stages.0.2.dwconv.weight stages.2.26.norm.bias stages.1.0.pwconv1.weight
stages.3.2.pwconv2.bias stages.2.26.gamma norm0.weight norm3.bias
""".split()
RESNET = """
stem.conv1.weight stem.conv1.norm.weight stem.conv1.norm.bias stem.conv1.norm.running_mean
stem.conv1.norm.running_var res2.0.shortcut.weight res2.0.shortcut.norm.running_mean
res2.2.conv1.weight res3.3.conv2.norm.bias res4.5.conv3.weight res5.0.shortcut.norm.weight
""".split()


@pytest.mark.parametrize(
    ("backbone", "some", "absent", "count"),
    [
        (
            DinatConfig(embed_dim=192, depths=(3, 4, 18, 5), num_heads=(6, 12, 24, 48)),
            DINAT,
            ["levels.3.downsample.norm.weight", "levels.0.downsample.reduction.bias"],
            6 + 30 * 13 + 3 * 3 + 8,
        ),
        (
            ConvNextConfig(depths=(3, 3, 27, 3)),
            CONVNEXT,
            ["downsample_layers.4.0.weight"],
            4 + 36 * 9 + 3 * 4 + 8,
        ),
        (
            ResNetConfig(frozen_batch_norm=True),
            RESNET,
            ["res2.1.shortcut.weight", "res2.0.conv1.bias", "norm0.weight"],
            5 * (1 + 16 * 3 + 4),
        ),
    ],
    ids=["dinat", "convnext", "resnet"],
)
def test_names_of_the_other_backbones(backbone, some, absent, count):
    table = official_table(config_of(backbone))
    names = {name for entry in table for name in entry.theirs}
    own = {name.removeprefix("backbone.") for name in names if name.startswith("backbone.")}
    assert set(some) <= own
    assert not set(absent) & own
    assert len(own) == count
    assert names - {f"backbone.{name}" for name in own} == {
        name for name in expected_shapes() if not name.startswith("backbone.")
    }


def test_stem_and_downsampling_of_convnext_have_their_parts_in_another_order():
    config = config_of(ConvNextConfig())
    pairs = {entry.theirs[0]: entry.ours[0] for entry in official_table(config)}
    stages = "model.backbone.stages"
    assert (
        pairs["backbone.downsample_layers.0.0.weight"] == "model.backbone.patch_embed.proj.weight"
    )
    assert (
        pairs["backbone.downsample_layers.0.1.weight"] == "model.backbone.patch_embed.norm.weight"
    )
    assert pairs["backbone.downsample_layers.2.0.weight"] == f"{stages}.2.downsample.norm.weight"
    assert pairs["backbone.downsample_layers.2.1.weight"] == f"{stages}.2.downsample.proj.weight"


def test_a_text_branch_that_is_not_wanted_is_skipped():
    config = config_of(SwinConfig())
    written = to_official(config, some_weights(config))
    ours, skipped = from_official(config_of(SwinConfig(), is_training=False), written)
    assert not any(name.startswith("model.text_mapper") for name in ours)
    assert list(skipped.values()).count("text branch, used in training only") == 81


def test_a_learning_batch_norm_may_lose_its_counters_and_a_frozen_one_skips_them():
    live, frozen = ResNetConfig(), ResNetConfig(frozen_batch_norm=True)
    config = config_of(live)
    written = to_official(config, some_weights(config))
    assert sum(name.endswith("num_batches_tracked") for name in written) == 53
    ours, skipped = from_official(config_of(frozen), written)
    assert set(skipped.values()) == {"counter that a frozen batch norm does not have"}
    assert len(skipped) == 53
    again, _ = from_official(config, to_official(config_of(frozen), ours))
    assert set(again) == set(ours)


def test_constants_of_images_are_skipped():
    _, skipped = from_official(config_of(SwinConfig()), {"pixel_mean": torch.zeros(3, 1, 1)})
    assert skipped == {"pixel_mean": "normalisation of images, a constant here"}


def test_the_file_of_a_deeper_model_is_refused_and_not_cut():
    deep = config_of(SwinConfig(depths=(2, 2, 18, 2)))
    written = to_official(deep, some_weights(deep))
    with pytest.raises(
        ValueError, match=r"no place for 156 tensors, got backbone.layers.2.blocks.6"
    ):
        from_official(config_of(SwinConfig()), written)
    ours, skipped = from_official(config_of(SwinConfig()), written, allow_unknown=True)
    assert list(skipped.values()).count("not part of the model") == 156
    assert len(ours) == len(some_weights(config_of(SwinConfig())))
