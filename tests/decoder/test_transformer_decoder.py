"""The masked decoder.

Mutants that must fail: levels fine to coarse; the same level always; masks of the first queries
throughout; positions in the values, or nowhere; level embedding left out, or always the first;
classes in another order; auxiliary predictions unasked; classes of the first queries throughout;
the first queries returned for the last.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minioneformer.decoder.transformer_decoder import TransformerDecoder
from minioneformer.layers.position_encoding import sine_position_encoding

DIM, MASK_DIM, NUM_QUERIES, NUM_CLASSES = 8, 6, 5, 3
SIZES = [(3, 2), (5, 3), (9, 6)]


def transformer_decoder(num_layers: int = 4, std: float = 0.4) -> TransformerDecoder:
    module = TransformerDecoder(
        hidden_dim=DIM,
        num_heads=2,
        feed_forward_dim=7,
        num_layers=num_layers,
        num_classes=NUM_CLASSES,
        mask_dim=MASK_DIM,
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, std)
    return module


def inputs(batch: int = 2) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
    """Object queries, their positions, multi-scale features, mask features."""
    return (
        torch.randn(batch, NUM_QUERIES, DIM),
        torch.randn(NUM_QUERIES, DIM),
        [torch.randn(batch, DIM, *size) for size in SIZES],
        torch.randn(batch, MASK_DIM, 17, 12),
    )


@torch.no_grad()
def test_every_step_in_the_order_of_the_paper():
    """Nine layers, masks drawn at stride 4 and resized as the original does."""
    module = transformer_decoder(num_layers=9).double()
    queries, positions, levels, mask_features = inputs()
    queries, positions, mask_features = queries.double(), positions.double(), mask_features.double()
    levels = [x.double() for x in levels]
    predictions, last = module(queries, positions, levels, mask_features)
    assert len(predictions) == 10

    x = queries
    for index in range(10):
        class_logits, embeddings = module.heads(x)
        masks = torch.einsum("bnc,bchw->bnhw", embeddings, mask_features)
        torch.testing.assert_close(predictions[index].class_logits, class_logits)
        torch.testing.assert_close(predictions[index].mask_logits, masks)
        if index == 9:
            break
        level = index % 3  # strides 32, 16, 8 in turn
        size = SIZES[level]
        resized = F.interpolate(masks, size, mode="bilinear", align_corners=False)
        blocked = (resized.sigmoid() < 0.5).flatten(2)
        blocked[blocked.all(-1)] = False
        values = levels[level].flatten(2).mT + module.level_embedding.weight[level]
        sine = sine_position_encoding(size, DIM, x.device, torch.float64)
        x = module.layers[index](x, positions, values + sine.flatten(2).mT, values, blocked)
    torch.testing.assert_close(last, x)


@torch.no_grad()
@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
def test_layers_visit_strides_32_16_8_in_turn(num_layers):
    module = transformer_decoder(num_layers)
    queries, positions, levels, mask_features = inputs()
    visited = []
    for layer in module.layers:
        layer.cross_attention.register_forward_pre_hook(
            lambda _, arguments: visited.append(arguments[1].shape[1])
        )
    module(queries, positions, levels, mask_features)
    assert visited == [6, 15, 54, 6][:num_layers]


@torch.no_grad()
def test_permuting_queries_with_their_positions_permutes_all_predictions():
    module = transformer_decoder()
    queries, positions, levels, mask_features = inputs()
    predictions, last = module(queries, positions, levels, mask_features)
    order = [3, 0, 4, 1, 2]
    permuted, permuted_last = module(queries[:, order], positions[order], levels, mask_features)
    torch.testing.assert_close(permuted_last, last[:, order])
    for mine, its in zip(permuted, predictions, strict=True):
        torch.testing.assert_close(mine.class_logits, its.class_logits[:, order])
        torch.testing.assert_close(mine.mask_logits, its.mask_logits[:, order])


@torch.no_grad()
@pytest.mark.parametrize("num_layers", [0, 1, 4])
def test_without_auxiliary_predictions_the_last_one_stays_the_same(num_layers):
    module = transformer_decoder(num_layers)
    arguments = inputs()
    all_of_them, last = module(*arguments)
    (final,), same_last = module(*arguments, auxiliary=False)
    assert len(all_of_them) == num_layers + 1
    assert torch.equal(same_last, last)
    torch.testing.assert_close(final.class_logits, all_of_them[-1].class_logits)
    assert torch.equal(final.mask_embeddings, all_of_them[-1].mask_embeddings)
    assert final.mask_features is arguments[-1]


@torch.no_grad()
def test_without_layers_the_first_queries_are_predicted_from():
    module = transformer_decoder(num_layers=0)
    queries, positions, levels, mask_features = inputs()
    (only,), last = module(queries, positions, levels, mask_features)
    assert torch.equal(last, queries)
    torch.testing.assert_close(only.class_logits, module.heads(queries)[0])


@torch.no_grad()
def test_images_do_not_see_each_other():
    module = transformer_decoder()
    queries, positions, levels, mask_features = inputs(batch=3)
    predictions, _ = module(queries, positions, levels, mask_features)
    alone, _ = module(queries[1:2], positions, [x[1:2] for x in levels], mask_features[1:2])
    for mine, its in zip(alone, predictions, strict=True):
        torch.testing.assert_close(mine.class_logits, its.class_logits[1:2])
        torch.testing.assert_close(mine.mask_logits, its.mask_logits[1:2])


@torch.no_grad()
def test_a_query_reads_only_inside_its_own_mask():
    """Every query masks the left half; what happens on the right moves no query."""
    module = transformer_decoder()
    for parameter in module.heads.mask_head.layers[-1].parameters():
        parameter.zero_()
    module.heads.mask_head.layers[-1].bias[0] = 1.0  # the mask is the first mask feature
    queries, positions, _, mask_features = inputs()
    levels = [torch.randn(2, DIM, *size) for size in [(2, 4), (3, 4), (5, 8)]]
    mask_features = torch.randn(2, MASK_DIM, 10, 16)
    mask_features[:, 0, :, :8], mask_features[:, 0, :, 8:] = 1.0, -1.0
    _, last = module(queries, positions, levels, mask_features)
    for level in levels:
        level[..., level.shape[-1] // 2 :] = 30.0
    assert torch.equal(module(queries, positions, levels, mask_features)[1], last)
    levels[0][..., 0] += 1.0
    assert not torch.allclose(module(queries, positions, levels, mask_features)[1], last)


def test_gradients_reach_every_parameter_but_not_through_the_masks():
    module = transformer_decoder()
    queries, positions, levels, mask_features = inputs()
    mask_features.requires_grad_()
    predictions, last = module(queries, positions, levels, mask_features)
    last.sum().backward(retain_graph=True)
    assert mask_features.grad is None
    assert all(p.grad is None for p in module.heads.mask_head.parameters())
    sum(
        p.class_logits.square().sum() + p.mask_logits.square().sum() for p in predictions
    ).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    assert mask_features.grad.any()
