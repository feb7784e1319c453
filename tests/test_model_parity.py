"""The whole model against transformers: same weights in, same logits and same loss out."""

import pytest
import torch
from torch import nn

from minioneformer.checkpoints.huggingface import from_huggingface
from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.config import OneFormerConfig, SwinConfig
from minioneformer.losses.criterion import Criterion
from minioneformer.losses.matcher import pad_targets
from minioneformer.model import OneFormer
from minioneformer.structures import TaskTarget

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::FutureWarning")]

NUM_QUERIES, NUM_CLASSES, NUM_CONTEXT = 20, 7, 4

SWIN_T = SwinConfig()
SWIN_WINDOW_12 = SwinConfig(
    embed_dim=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=12
)


def both_models(swin: SwinConfig, dtype: torch.dtype) -> tuple[OneFormer, nn.Module]:
    """A random transformers model and ours with its weights."""
    transformers = pytest.importorskip("transformers")
    config = OneFormerConfig(
        backbone_config=swin,
        id2label={k: f"class {k}" for k in range(NUM_CLASSES)},
        num_queries=NUM_QUERIES,
        text_encoder_n_ctx=NUM_CONTEXT,
        text_encoder_vocab_size=600,
        text_encoder_num_layers=2,
        is_training=True,
        dropout=0.0,
        train_num_points=500,
    )
    theirs = transformers.OneFormerForUniversalSegmentation(
        transformers.OneFormerConfig(
            backbone_config=transformers.SwinConfig(
                embed_dim=swin.embed_dim,
                depths=list(swin.depths),
                num_heads=list(swin.num_heads),
                window_size=swin.window_size,
                drop_path_rate=0.0,
                out_features=["stage1", "stage2", "stage3", "stage4"],
            ),
            num_labels=NUM_CLASSES,
            num_queries=NUM_QUERIES,
            text_encoder_n_ctx=NUM_CONTEXT,
            text_encoder_vocab_size=600,
            text_encoder_num_layers=2,
            is_training=True,
            dropout=0.0,
            train_num_points=500,
        )
    )
    with torch.no_grad():
        for parameter in theirs.parameters():
            # random weights throughout: zeros and ones would hide a mistaken name
            parameter.add_(torch.randn_like(parameter) * 0.05)
    weights, _ = from_huggingface(config, theirs.state_dict())
    modules = TrainedModules.from_config(config)
    modules.load_state_dict(weights)
    ours = modules.model
    for layer in theirs.model.text_mapper.text_encoder.transformer.layers:
        make_causal(layer)
    return ours.to(dtype).eval(), theirs.to(dtype).eval()


def make_causal(layer: nn.Module) -> None:
    """Pass the mask that transformers builds and forgets (docs/fidelity.md)."""
    inner = layer.self_attn.forward

    def forward(query, key, value, **options):
        length = query.shape[0]
        mask = torch.full((length, length), float("-inf"), dtype=query.dtype).triu(1)
        return inner(query, key, value, attn_mask=mask, **options)

    layer.self_attn.forward = forward


def assert_near(ours: torch.Tensor, theirs: torch.Tensor, what: str) -> None:
    worst = float((ours - theirs).abs().max() / theirs.abs().max())
    assert worst < 1e-4, f"{what}: {worst:.1e} of the largest value"


def inputs(size: tuple[int, int], dtype: torch.dtype) -> dict[str, torch.Tensor]:
    text = torch.zeros(2, NUM_QUERIES - NUM_CONTEXT, 77, dtype=torch.long)
    text[:, :, :6] = torch.tensor([598, 3, 40, 5, 9, 599])
    text[1, 2, :5] = torch.tensor([598, 77, 12, 599, 0])
    task = torch.zeros(2, 77, dtype=torch.long)
    task[0, :4] = torch.tensor([598, 100, 7, 599])
    task[1, :4] = torch.tensor([598, 101, 8, 599])
    return {
        "images": torch.randn(2, 3, *size, dtype=dtype),
        "task_tokens": task,
        "text_tokens": text,
    }


@pytest.mark.slow
@pytest.mark.parametrize("swin", [SWIN_T, SWIN_WINDOW_12], ids=["swin_t", "window_12"])
@pytest.mark.parametrize("size", [(131, 150), (67, 45)])
def test_all_logits_equal_those_of_transformers(swin, size):
    # float64, because a mask logit that rounds to the other side of zero opens or blocks a cell
    ours, theirs = both_models(swin, torch.float64)
    batch = inputs(size, torch.float64)
    with torch.no_grad():
        output = ours(**batch)
        expected = theirs(
            batch["images"],
            batch["task_tokens"].double(),
            text_inputs=batch["text_tokens"],
            output_auxiliary_logits=True,
        )
    assert_near(output.task_token, expected.task_token, "task token")
    assert_near(
        output.object_queries, expected.transformer_decoder_contrastive_queries, "object queries"
    )
    assert_near(output.text_queries, expected.text_queries, "text queries")
    assert len(output.auxiliary) == len(expected.auxiliary_predictions) == 9
    for index, (mine, his) in enumerate(
        zip(output.auxiliary, expected.auxiliary_predictions, strict=True)
    ):
        assert_near(mine.class_logits, his["class_queries_logits"], f"classes {index}")
        assert_near(mine.mask_logits, his["masks_queries_logits"], f"masks {index}")
    assert_near(output.predictions.class_logits, expected.class_queries_logits, "classes")
    assert_near(output.predictions.mask_logits, expected.masks_queries_logits, "masks")


@pytest.mark.slow
def test_total_loss_equals_that_of_transformers_on_fixed_points(monkeypatch):
    ours, theirs = both_models(SWIN_WINDOW_12, torch.float32)
    batch = inputs((67, 45), torch.float32)
    generator = torch.Generator().manual_seed(3)
    fixed = torch.rand(4000, 2, generator=generator)
    # every row of points is the same, however many rows are drawn at once
    monkeypatch.setattr(
        torch, "rand", lambda rows, count, two, **_: fixed[:count].expand(rows, -1, -1).clone()
    )
    noise = torch.empty(3, 67, 45).uniform_(generator=generator)
    masks = [noise < 0.4, torch.zeros(1, 67, 45).bool()]
    masks[1][0, 5:30, 10:20] = True
    labels = [torch.tensor([1, 5, 1]), torch.tensor([6])]
    targets = [
        TaskTarget(task="panoptic", labels=k, masks=m) for k, m in zip(labels, masks, strict=True)
    ]
    criterion = Criterion(num_classes=NUM_CLASSES, num_points=500)
    with torch.no_grad():
        criterion.log_inverse_temperature.copy_(theirs.criterion.logit_scale)
        output = ours(**batch)
        losses = criterion(
            [*output.auxiliary, output.predictions],
            targets,
            output.object_queries,
            output.text_queries,
        )
        expected = theirs(
            batch["images"],
            batch["task_tokens"].float(),
            text_inputs=batch["text_tokens"],
            mask_labels=[m.float() for m in masks],
            class_labels=labels,
        )
    assert len(losses) == 31
    assert pad_targets(targets).valid.sum() == 4
    total = float(sum(losses.values()))
    assert total == pytest.approx(float(expected.loss), rel=1e-4)
