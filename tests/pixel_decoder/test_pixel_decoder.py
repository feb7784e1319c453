"""Pixel decoder.

Mutants that must fail: levels fine to coarse; nearest or corner-aligned enlarging; the coarsest
level enlarged; lateral left out; ReLU left out; level embeddings left out or in another order;
cells column by column; no padding in the 3 x 3 convolution; Xavier left out.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minioneformer.layers.position_encoding import sine_position_encoding
from minioneformer.pixel_decoder.encoder import reference_points
from minioneformer.pixel_decoder.pixel_decoder import PixelDecoder

CHANNELS = {"res2": 3, "res3": 5, "res4": 7, "res5": 6}
SIZES = {"res2": (17, 12), "res3": (9, 6), "res4": (5, 3), "res5": (3, 2)}


def pixel_decoder(**options) -> PixelDecoder:
    settings = {"num_layers": 2, "num_heads": 4, "feed_forward_dim": 11, "dropout": 0.1} | options
    return PixelDecoder(in_channels=CHANNELS, hidden_dim=32, mask_dim=10, **settings)


def randomise(module: nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.3)


def features(batch: int = 2) -> dict[str, Tensor]:
    return {name: torch.randn(batch, CHANNELS[name], *SIZES[name]) for name in CHANNELS}


def group_norm(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """32 groups, each normalised over its channels and cells."""
    batch, channels, height, width = x.shape
    groups = x.reshape(batch, 32, -1)
    groups = groups - groups.mean(-1, keepdim=True)
    groups = groups / (groups.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    x = groups.reshape(batch, channels, height, width)
    return x * norm.weight[:, None, None] + norm.bias[:, None, None]


def enlarge(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear: centres at (i + 0.5) / size, the border repeated."""
    rows, columns = (
        interpolation_matrix(old, new) for old, new in zip(x.shape[-2:], size, strict=True)
    )
    return rows @ x @ columns.T


def interpolation_matrix(old: int, new: int) -> Tensor:
    matrix = torch.zeros(new, old)
    for i in range(new):
        place = min(max((i + 0.5) / new * old - 0.5, 0), old - 1)
        below = min(math.floor(place), old - 1)
        above = min(below + 1, old - 1)
        matrix[i, below] += 1 - (place - below)
        matrix[i, above] += place - below
    return matrix


@torch.no_grad()
def test_every_step_in_the_order_of_the_paper():
    decoder = pixel_decoder().eval()
    randomise(decoder)
    maps = features()
    names = ("res5", "res4", "res3")
    tokens, codes = [], []
    for level, name in enumerate(names):
        conv, norm = decoder.input_projections[level]
        projected = torch.einsum("oi,bihw->bohw", conv.weight[:, :, 0, 0], maps[name])
        projected = group_norm(projected + conv.bias[:, None, None], norm)
        tokens.append(projected.flatten(2).mT)
        sine = sine_position_encoding(SIZES[name], 32, torch.device("cpu"))
        codes.append(sine.flatten(2).mT + decoder.level_embedding[level])
    x, levels = torch.cat(tokens, 1), [SIZES[name] for name in names]
    for layer in decoder.encoder:
        points = reference_points(tuple(levels), x.device)
        x = layer(x, torch.cat(codes, 1), points, levels)
    parts = x.split([height * width for height, width in levels], 1)
    expected = [part.mT.reshape(2, 32, *size) for part, size in zip(parts, levels, strict=True)]

    lateral_conv, lateral_norm = decoder.lateral
    lateral = torch.einsum("oi,bihw->bohw", lateral_conv.weight[:, :, 0, 0], maps["res2"])
    pyramid = group_norm(lateral, lateral_norm) + enlarge(expected[-1], SIZES["res2"])
    output_conv, output_norm = decoder.output
    pyramid = group_norm(F.conv2d(pyramid, output_conv.weight, padding=1), output_norm).clamp(min=0)
    projection = decoder.mask_projection
    expected_masks = torch.einsum("oi,bihw->bohw", projection.weight[:, :, 0, 0], pyramid)
    expected_masks += projection.bias[:, None, None]

    mask_features, multi_scale_features = decoder(maps)
    assert [tuple(x.shape) for x in multi_scale_features] == [
        (2, 32, 3, 2),
        (2, 32, 5, 3),
        (2, 32, 9, 6),
    ]
    for mine, its in zip(multi_scale_features, expected, strict=True):
        torch.testing.assert_close(mine, its, atol=1e-4, rtol=1e-4)
    assert mask_features.shape == (2, 10, 17, 12)
    torch.testing.assert_close(mask_features, expected_masks, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_image_is_decoded_alone_as_in_a_batch():
    decoder = pixel_decoder().eval()
    randomise(decoder)
    maps = features(3)
    mask_features, levels = decoder(maps)
    alone, alone_levels = decoder({name: x[1:2] for name, x in maps.items()})
    torch.testing.assert_close(alone, mask_features[1:2], atol=1e-5, rtol=1e-4)
    for one, all_of_them in zip(alone_levels, levels, strict=True):
        torch.testing.assert_close(one, all_of_them[1:2], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_level_embeddings_steer_the_attention_and_are_never_read():
    decoder = pixel_decoder().eval()  # fresh: nobody steers by the query yet
    maps = features()
    before, _ = decoder(maps)
    decoder.level_embedding.add_(3 * torch.randn_like(decoder.level_embedding))
    torch.testing.assert_close(decoder(maps)[0], before)
    decoder.encoder[0].attention.sampling_offsets.weight.normal_()
    steered, _ = decoder(maps)
    decoder.level_embedding.add_(torch.randn_like(decoder.level_embedding))
    assert not torch.allclose(decoder(maps)[0], steered, atol=1e-3)


def test_gradients_reach_every_parameter_and_every_map():
    decoder = pixel_decoder()
    randomise(decoder)
    maps = {name: x.requires_grad_() for name, x in features().items()}
    mask_features, levels = decoder(maps)
    (mask_features.square().sum() + sum(x.square().sum() for x in levels)).backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    assert all(x.grad.any() for x in maps.values())


def test_without_layers_the_features_are_the_projections():
    decoder = pixel_decoder(num_layers=0)
    maps = features()
    _, levels = decoder(maps)
    assert torch.equal(levels[2], decoder.input_projections[2](maps["res3"]))


def test_bounds_of_the_first_weights():
    decoder = pixel_decoder()
    for (conv, _), name in zip(decoder.input_projections, ("res5", "res4", "res3"), strict=True):
        bound = math.sqrt(6 / (CHANNELS[name] + 32))  # Xavier
        assert 0.9 < float(conv.weight.detach().abs().max()) / bound <= 1
        assert not conv.bias.any()
    for conv, fan_in in (
        (decoder.lateral[0], 3),
        (decoder.output[0], 32 * 9),
        (decoder.mask_projection, 32),
    ):
        bound = math.sqrt(3 / fan_in)  # Kaiming with slope 1
        assert 0.9 < float(conv.weight.detach().abs().max()) / bound <= 1
    assert decoder.lateral[0].bias is None and decoder.output[0].bias is None
    assert not decoder.mask_projection.bias.any()
    assert 0.7 < float(decoder.level_embedding.detach().std()) < 1.3


def test_channels_that_group_norm_cannot_split_are_refused():
    with pytest.raises(ValueError, match="multiple of 32, got hidden_dim=48"):
        PixelDecoder(in_channels=CHANNELS, hidden_dim=48, mask_dim=10)
