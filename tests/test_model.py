"""Figure 2, top to bottom.

Mutants that must fail: the task token never normalised, or always; predictions[0] for the result;
auxiliary predictions shifted, or given unasked; cached tensors born in inference mode, or in an
export; position codes that raise half precision.
"""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from minioneformer.config import OneFormerConfig, SwinConfig
from minioneformer.losses.criterion import Criterion
from minioneformer.model import OneFormer, OneFormerOutput
from minioneformer.structures import TaskTarget

TINY = OneFormerConfig(
    backbone_config=SwinConfig(
        embed_dim=8, depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 4), window_size=3, drop_path_rate=0.1
    ),
    id2label={0: "sky", 1: "cat", 2: "dog"},
    num_queries=7,
    text_encoder_n_ctx=2,
    text_encoder_vocab_size=50,
    text_encoder_num_layers=1,
    text_encoder_width=64,
    text_encoder_context_length=9,
    task_seq_len=9,
    conv_dim=32,
    hidden_dim=32,
    mask_dim=12,
    encoder_feedforward_dim=16,
    dim_feedforward=20,
    encoder_layers=2,
    decoder_layers=5,
    num_attention_heads=4,
    is_training=True,
    train_num_points=50,
)
SIZES = [(67, 45), (32, 96)]


def tiny(**changes) -> OneFormer:
    return OneFormer.from_config(dataclasses.replace(TINY, **changes))


def inputs(size: tuple[int, int], batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Images, task tokens, text tokens (49 ends a text)."""
    text_tokens = torch.randint(1, 48, (batch, TINY.num_text, 9))
    text_tokens[..., 5], text_tokens[..., 6:] = 49, 0
    return torch.randn(batch, 3, *size), torch.randint(50, (batch, 9)), text_tokens


def targets(size: tuple[int, int], counts: tuple[int, ...] = (3, 1)) -> list[TaskTarget]:
    return [
        TaskTarget(
            task="panoptic",
            labels=torch.randint(3, (count,)),
            masks=torch.rand(count, *size) < 0.3,
        )
        for count in counts
    ]


def losses(output: OneFormerOutput, aims: list[TaskTarget]) -> dict[str, Tensor]:
    return Criterion.from_config(TINY)(
        [*output.auxiliary, output.predictions], aims, output.object_queries, output.text_queries
    )


@torch.no_grad()
@pytest.mark.parametrize("size", [*SIZES, (33, 1), (1, 64)])
def test_every_arrow_of_figure_2_has_its_shape(size):
    output = tiny()(*inputs(size))
    cells = [tuple(-(-side // stride) for side in size) for stride in (4, 8, 16, 32)]
    for stage, cell in enumerate(cells):
        assert output.features[f"res{stage + 2}"].shape == (2, 8 * 2**stage, *cell)
    assert [x.shape[1:] for x in output.multi_scale_features] == [
        (32, *cell) for cell in (cells[3], cells[2], cells[1])
    ]
    assert output.mask_features.shape == (2, 12, *cells[0])
    assert output.task_token.shape == (2, 32)
    for queries in (output.object_queries, output.text_queries, output.decoder_queries):
        assert queries.shape == (2, 7, 32)
    assert len(output.auxiliary) == 4
    for prediction in (output.predictions, *output.auxiliary):
        assert prediction.class_logits.shape == (2, 7, 4)
        assert prediction.mask_logits.shape == (2, 7, *cells[0])


@torch.no_grad()
@pytest.mark.parametrize("use_task_norm", [True, False])
def test_without_the_norm_of_the_token_queries_start_as_zeros_too(use_task_norm):
    model = tiny(use_task_norm=use_task_norm)
    assert model.use_task_norm == model.query_formulation.seed_with_task == use_task_norm
    assert not tiny(task_seeds_queries=False).query_formulation.seed_with_task
    assert tiny(task_seeds_queries=False).use_task_norm


@pytest.mark.parametrize("use_task_norm", [True, False])
def test_forward_is_the_figure_step_by_step(use_task_norm):
    model = tiny(use_task_norm=use_task_norm).eval()
    decoder = model.transformer_decoder
    nn.init.normal_(decoder.heads.norm.weight)  # so that normalising is not almost nothing
    images, task_tokens, text_tokens = inputs((67, 45))
    output = model(images, task_tokens, text_tokens)

    features = model.backbone(images)
    mask_features, levels = model.pixel_decoder(features)
    task_token = model.task_mlp(task_tokens)
    torch.testing.assert_close(output.task_token, task_token)
    seed = decoder.heads.norm(task_token) if use_task_norm else task_token
    positions = model.query_positions.weight
    object_queries = model.query_formulation(seed, mask_features, positions)
    torch.testing.assert_close(output.object_queries, object_queries)
    torch.testing.assert_close(output.object_queries[:, -1], seed)
    torch.testing.assert_close(output.text_queries, model.text_mapper(text_tokens))
    predictions, last = decoder(object_queries, positions, levels, mask_features)
    torch.testing.assert_close(output.decoder_queries, last)
    for mine, its in zip([*output.auxiliary, output.predictions], predictions, strict=True):
        torch.testing.assert_close(mine.class_logits, its.class_logits)
        torch.testing.assert_close(mine.mask_logits, its.mask_logits)


@torch.no_grad()
def test_texts_are_for_training_and_change_no_prediction():
    model = tiny().eval()
    images, task_tokens, text_tokens = inputs((67, 45))
    with_texts = model(images, task_tokens, text_tokens)
    without = model(images, task_tokens)
    assert without.text_queries is None
    assert torch.equal(without.predictions.mask_logits, with_texts.predictions.mask_logits)
    inference_only = tiny(is_training=False).eval()
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith("text_mapper.")}
    inference_only.load_state_dict(weights)
    same = inference_only(images, task_tokens)
    assert torch.equal(same.predictions.mask_logits, without.predictions.mask_logits)


def test_texts_for_a_model_without_a_text_mapper_are_refused():
    model = tiny(is_training=False)
    assert model.text_mapper is None
    with pytest.raises(ValueError, match=r"got text_tokens of shape \(2, 5, 9\).*is_training=True"):
        model(*inputs((32, 96)))


@torch.no_grad()
def test_without_auxiliary_predictions_the_result_is_the_same():
    model = tiny().eval()
    images, task_tokens, _ = inputs((67, 45))
    everything = model(images, task_tokens)
    result = model(images, task_tokens, auxiliary=False)
    assert result.auxiliary == []
    torch.testing.assert_close(result.predictions.class_logits, everything.predictions.class_logits)
    assert torch.equal(result.predictions.mask_logits, everything.predictions.mask_logits)


@torch.no_grad()
def test_a_batch_of_one_equals_a_batch_of_many():
    model = tiny().double().eval()
    images, task_tokens, text_tokens = inputs((67, 45), batch=3)
    images = images.double()
    together = model(images, task_tokens, text_tokens)
    for i in range(3):
        alone = model(images[i : i + 1], task_tokens[i : i + 1], text_tokens[i : i + 1])
        for name in ("class_logits", "mask_logits"):
            mine, its = getattr(alone.predictions, name), getattr(together.predictions, name)
            torch.testing.assert_close(mine, its[i : i + 1], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone.text_queries, together.text_queries[i : i + 1])


@torch.no_grad()
def test_another_task_gives_other_predictions_of_the_same_image():
    model = tiny().eval()
    images, task_tokens, _ = inputs((67, 45))
    images[1] = images[0]
    output = model(images, task_tokens)
    assert torch.equal(output.mask_features[0], output.mask_features[1])
    first, second = output.predictions.class_logits
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("counts", [(3, 1), (0, 0), (9, 0)], ids=str)
@pytest.mark.parametrize("size", SIZES)
def test_gradients_of_the_losses_reach_every_parameter(size, counts):
    model = tiny(backbone_config=dataclasses.replace(TINY.backbone_config, drop_path_rate=0.0))
    terms = losses(model(*inputs(size)), targets(size, counts))
    assert len(terms) == 5 * 3 + 1
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("size", [(59, 37), (32, 160)])  # sizes of no other test
def test_a_training_step_follows_inference_in_the_same_process(size):
    """What inference has cached (codes, points, sizes, masks) must serve training."""
    model = tiny()
    images, task_tokens, text_tokens = inputs(size)
    with torch.inference_mode():
        before = model.eval()(images, task_tokens, text_tokens).predictions.mask_logits.clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    output = model.train()(images, task_tokens, text_tokens)
    torch.stack(list(losses(output, targets(size)).values())).sum().backward()
    optimizer.step()
    with torch.inference_mode():
        after = model.eval()(images, task_tokens, text_tokens).predictions.mask_logits.clone()
    assert not torch.equal(before, after)


@torch.no_grad()
def test_evaluation_repeats_itself_and_training_draws():
    model = tiny()
    images, task_tokens, _ = inputs((67, 45))

    def masks() -> Tensor:
        return model(images, task_tokens).predictions.mask_logits

    assert not torch.equal(masks(), masks())
    model.eval()
    assert torch.equal(masks(), masks())
    assert torch.equal(masks(), model.eval()(images, task_tokens).predictions.mask_logits)


@torch.no_grad()
def test_padding_is_read_like_any_other_pixel():
    """As in the official code (docs/fidelity.md): nothing tells the model what is padding."""
    model = tiny().eval()
    images, task_tokens, _ = inputs((64, 96))
    other = images.clone()
    other[..., 64:] += 1.0
    cells = slice(0, 64 // 4)
    before = model(images, task_tokens).predictions.mask_logits[..., cells]
    after = model(other, task_tokens).predictions.mask_logits[..., cells]
    assert not torch.allclose(before, after, atol=1e-3)


def test_query_positions_and_level_embeddings_start_with_unit_variance():
    model = tiny(num_queries=300)
    positions = model.query_positions.weight.detach()
    assert positions.std().item() == pytest.approx(1.0, rel=0.05)
    levels = model.transformer_decoder.level_embedding.weight.detach()
    assert levels.std().item() == pytest.approx(1.0, rel=0.4)


@torch.no_grad()
def test_weights_are_all_there_is_to_a_model():
    model, other = tiny().eval(), tiny().eval()
    images, task_tokens, text_tokens = inputs((67, 45))
    output = model(images, task_tokens, text_tokens)
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
    other.load_state_dict(model.state_dict())
    same = other(images, task_tokens, text_tokens)
    assert torch.equal(same.predictions.mask_logits, output.predictions.mask_logits)
    assert torch.equal(same.text_queries, output.text_queries)


@torch.no_grad()
@pytest.mark.parametrize(
    "changes", [{"decoder_layers": 1}, {"num_queries": 1, "text_encoder_n_ctx": 0}]
)
def test_the_smallest_models_run(changes):
    images, task_tokens, _ = inputs((67, 45))
    output = tiny(**changes)(images, task_tokens)
    num_queries = changes.get("num_queries", 7)
    assert output.predictions.mask_logits.shape == (2, num_queries, 17, 12)
    assert len(output.auxiliary) == changes.get("decoder_layers", 5) - 1


def near(half: Tensor, full: Tensor) -> bool:
    return float((half.float() - full).abs().max() / full.abs().max()) < 0.06


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_cast_to_half_precision_runs(dtype):
    # Without masked layers: there a logit near zero may open a cell in one precision only.
    model = tiny(decoder_layers=1).eval()
    images, task_tokens, text_tokens = inputs((67, 45))
    expected = model(images, task_tokens, text_tokens)
    whole = tiny().to(dtype)(images.to(dtype), task_tokens, text_tokens)
    assert whole.predictions.mask_logits.dtype == dtype
    output = model.to(dtype)(images.to(dtype), task_tokens, text_tokens)
    assert near(output.mask_features, expected.mask_features)
    assert near(output.object_queries, expected.object_queries)
    assert near(output.text_queries, expected.text_queries)
    assert near(output.predictions.class_logits, expected.predictions.class_logits)


def test_bfloat16_autocast_trains():
    model = tiny()
    size = (67, 45)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(*inputs(size))
        assert output.task_token.dtype == torch.float32
        assert output.predictions.mask_embeddings.dtype == torch.bfloat16
        terms = losses(output, targets(size))
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


class Logits(nn.Module):
    """Tensors out, for `torch.export`."""

    def __init__(self, model: OneFormer) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, task_tokens: Tensor) -> tuple[Tensor, Tensor]:
        final = self.model(images, task_tokens, auxiliary=False).predictions
        return final.class_logits, final.mask_logits


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")  # of torch's own making
def test_an_exported_model_computes_the_same_and_leaves_nothing_behind():
    """Traced tensors have no values; kept in a cache they would empty every later result."""
    model = Logits(tiny(encoder_layers=1, decoder_layers=3).eval())
    images, task_tokens, _ = inputs((64, 107))  # a size of no other test
    exported = torch.export.export(model, (images, task_tokens), strict=False)
    expected = model(images, task_tokens)
    assert all(type(x) is Tensor and x.isfinite().all() for x in expected)
    for mine, its in zip(exported.module()(images, task_tokens), expected, strict=True):
        torch.testing.assert_close(mine, its, atol=1e-4, rtol=1e-4)


# --- the published sizes ---

SWIN_L = SwinConfig(embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), window_size=12)
SWIN_S = SwinConfig(depths=(2, 2, 18, 2))
SWIN_B = SwinConfig(embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window_size=12)


def count(config: OneFormerConfig) -> dict[str, int]:
    """Parameters by part, nothing allocated."""
    with torch.device("meta"):
        model = OneFormer.from_config(config)
    parts = {
        name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()
    }
    return parts | {"all": sum(p.numel() for p in model.parameters())}


def ade20k(swin: SwinConfig, num_queries: int, is_training: bool = False) -> OneFormerConfig:
    return OneFormerConfig(
        backbone_config=swin,
        num_queries=num_queries,
        id2label={label: str(label) for label in range(150)},
        is_training=is_training,
    )


def test_parameters_of_swin_tiny_part_by_part():
    parts = count(ade20k(SwinConfig(), 150, is_training=True))
    text = parts["text_mapper"]
    assert parts["all"] == 68_279_313  # the temperature is the criterion's
    assert parts["all"] - text == 50_736_401
    assert text == 17_542_912
    assert parts["task_mlp"] == 85_760
    assert round(parts["backbone"] / 1e6, 2) == 27.52
    assert round(parts["pixel_decoder"] / 1e6, 2) == 5.42
    transformer = parts["query_formulation"] + parts["transformer_decoder"]
    assert round((transformer + parts["query_positions"]) / 1e6, 2) == 17.71
    criterion = Criterion.from_config(TINY)
    assert sum(p.numel() for p in criterion.parameters()) == 1


@pytest.mark.parametrize(
    ("swin", "millions"), [(SwinConfig(), 50.74), (SWIN_S, 72.06), (SWIN_B, 110.22)]
)
def test_parameters_of_the_smaller_published_models(swin, millions):
    unused = 2 * swin.stage_dims[-1] + 1  # transformers' last Swin norm, and the temperature
    assert round((count(ade20k(swin, 150))["all"] + unused) / 1e6, 2) == millions


def test_parameters_of_swin_large():
    assert count(ade20k(SWIN_L, 250))["all"] == 218_811_147
