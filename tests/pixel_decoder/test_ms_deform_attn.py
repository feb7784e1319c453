"""Multi-scale deformable attention, in all of its forms.

Mutants that must fail: x and y swapped; width and height swapped; `- 0.5` left out
(align_corners); the border repeated instead of zero; `x <= width`; `1 - fraction` for the wrong
corner; a level's start left out; heads in another order; places in half precision; offsets
multiplied by the size; softmax over points alone; sine and cosine swapped in the first offsets;
padding read as it is; level sizes born in inference mode.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from minioneformer.pixel_decoder import ms_deform_attn as module
from minioneformer.pixel_decoder.ms_deform_attn import (
    MultiScaleDeformableAttention,
    ms_deform_attn,
)

LEVELS = [(3, 5), (1, 2), (4, 1)]
FORMS = {"dense": 10**9, "bags": -1, "maps": 0}  # the last is what is exported


@pytest.fixture(params=FORMS)
def form(request, monkeypatch) -> str:
    """Every way to gather."""
    monkeypatch.setattr(module, "is_exporting", lambda: request.param == "maps")
    monkeypatch.setattr(module, "DENSE_MAX_CELLS", FORMS[request.param])
    return request.param


def inputs(
    levels: list[tuple[int, int]],
    *,
    batch: int = 2,
    queries: int = 3,
    heads: int = 2,
    points: int = 4,
    channels: int = 3,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor, Tensor]:
    """Value, locations (a third of them outside), weights."""
    rng = torch.Generator().manual_seed(seed)
    cells = sum(height * width for height, width in levels)
    value = torch.randn(batch, cells, heads, channels, generator=rng, dtype=dtype)
    samples = batch, queries, heads, len(levels), points
    locations = torch.rand(*samples, 2, generator=rng, dtype=dtype) * 1.4 - 0.2
    return value, locations, torch.randn(samples, generator=rng, dtype=dtype)


def by_loops(
    value: Tensor, levels: list[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Five nested loops around one bilinear sample."""
    batch, queries, heads, _, points = weights.shape
    out = value.new_zeros(batch, queries, heads, value.shape[-1])
    for b in range(batch):
        for q in range(queries):
            for m in range(heads):
                start = 0
                for level, (height, width) in enumerate(levels):
                    table = value[b, start : start + height * width, m]
                    for p in range(points):
                        x, y = locations[b, q, m, level, p].tolist()
                        sample = bilinear(table.reshape(height, width, -1), x, y)
                        out[b, q, m] += weights[b, q, m, level, p] * sample
                    start += height * width
    return out.flatten(2)


def bilinear(table: Tensor, x: float, y: float) -> Tensor:
    """Each cell counts by how near its centre is: a tent of width 2; nothing is outside."""
    height, width, channels = table.shape
    total = torch.zeros(channels, dtype=table.dtype)
    for row in range(height):
        for column in range(width):
            near_x = max(0.0, 1 - abs(x * width - (column + 0.5)))
            near_y = max(0.0, 1 - abs(y * height - (row + 0.5)))
            total += near_x * near_y * table[row, column]
    return total


def by_grid_sample(
    value: Tensor, levels: list[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """As Deformable DETR writes it: one grid_sample per level."""
    batch, queries, heads, _, points = weights.shape
    out, start = 0, 0
    for level, (height, width) in enumerate(levels):
        table = value[:, start : start + height * width]
        maps = table.permute(0, 2, 3, 1).reshape(batch * heads, -1, height, width)
        grid = locations[:, :, :, level].transpose(1, 2).reshape(batch * heads, queries, points, 2)
        sampled = F.grid_sample(maps, 2 * grid - 1, align_corners=False)  # (B M, D, Q, P)
        level_weights = weights[:, :, :, level].transpose(1, 2).reshape(-1, 1, queries, points)
        out = out + (sampled * level_weights).sum(-1)
        start += height * width
    return out.reshape(batch, -1, queries).transpose(1, 2)


@pytest.mark.parametrize("levels", [LEVELS, [(1, 1)], [(2, 7), (5, 3)]], ids=str)
def test_equals_five_nested_loops_and_grid_sample(levels, form):
    value, locations, weights = inputs(levels)
    out = ms_deform_attn(value, levels, locations, weights)
    torch.testing.assert_close(out, by_loops(value, levels, locations, weights))
    torch.testing.assert_close(out, by_grid_sample(value, levels, locations, weights))


@pytest.mark.parametrize("dense_max_cells", [21, 20])
def test_the_form_is_chosen_by_the_number_of_cells(dense_max_cells, monkeypatch):
    monkeypatch.setattr(module, "DENSE_MAX_CELLS", dense_max_cells)
    other = "_gather_bags" if dense_max_cells == 21 else "_gather_dense"
    monkeypatch.delattr(module, other)
    assert ms_deform_attn(*with_levels(LEVELS)).shape == (2, 3, 6)  # 21 cells


def with_levels(levels: list[tuple[int, int]], **options) -> tuple:
    value, locations, weights = inputs(levels, **options)
    return value, levels, locations, weights


@pytest.mark.parametrize(
    ("x", "expected"), [(0.5, 15.0), (0.25, 10.0), (0.0, 5.0), (1.0, 10.0), (-0.3, 0.0)]
)
def test_the_example_of_the_docstring(x, expected, form):
    value = torch.tensor([10.0, 20.0]).view(1, 2, 1, 1)
    locations = torch.tensor([x, 0.5]).view(1, 1, 1, 1, 1, 2)
    out = ms_deform_attn(value, [(1, 2)], locations, torch.ones(1, 1, 1, 1, 1))
    assert out.flatten().tolist() == pytest.approx([expected])


sizes = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(levels=st.lists(sizes, min_size=1, max_size=3), form=st.sampled_from(list(FORMS)))
@settings(max_examples=25, deadline=None)
def test_equals_the_loops_for_any_levels(levels, form):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "DENSE_MAX_CELLS", FORMS[form])
        value, locations, weights = inputs(levels, batch=1, queries=2, points=1)
        out = ms_deform_attn(value, levels, locations, weights)
    expected = by_loops(value, levels, locations, weights)
    torch.testing.assert_close(out, expected)


def test_a_constant_comes_out_as_it_is(form):
    value, locations, weights = inputs(LEVELS)
    for level, (height, width) in enumerate(LEVELS):  # between the outermost centres
        margin = torch.tensor([0.5 / width, 0.5 / height], dtype=torch.float64)
        part = locations[:, :, :, level]
        locations[:, :, :, level] = part.clamp(min=margin, max=1 - margin)
    weights = weights.flatten(3).softmax(-1).view_as(weights)
    out = ms_deform_attn(torch.full_like(value, 7.0), LEVELS, locations, weights)
    torch.testing.assert_close(out, torch.full_like(out, 7.0))


def test_it_is_linear_in_values_and_in_weights(form):
    value, locations, weights = inputs(LEVELS)
    other_value, _, other_weights = inputs(LEVELS, seed=1)

    def read(value: Tensor, weights: Tensor) -> Tensor:
        return ms_deform_attn(value, LEVELS, locations, weights)

    torch.testing.assert_close(
        read(2 * value - other_value, weights),
        2 * read(value, weights) - read(other_value, weights),
    )
    torch.testing.assert_close(
        read(value, 2 * weights - other_weights),
        2 * read(value, weights) - read(value, other_weights),
    )


def test_the_order_of_levels_is_of_no_concern(form):
    value, locations, weights = inputs(LEVELS)
    out = ms_deform_attn(value, LEVELS, locations, weights)
    order = [2, 0, 1]
    parts = value.split([height * width for height, width in LEVELS], 1)
    permuted = ms_deform_attn(
        torch.cat([parts[level] for level in order], 1),
        [LEVELS[level] for level in order],
        locations[:, :, :, order],
        weights[:, :, :, order],
    )
    torch.testing.assert_close(permuted, out)


def test_gradients_are_exact_in_float64(form):
    levels = [(3, 2), (1, 4)]
    value, locations, weights = inputs(levels, batch=2, queries=2, points=2, channels=2)
    # Places are computed in float32 at least; here they are float64, as their inputs. Keep them
    # off the centres, where the slope jumps.
    for level, (height, width) in enumerate(levels):
        size = torch.tensor([width, height], dtype=torch.float64)
        cell = locations[:, :, :, level] * size - 0.5
        cell = cell.floor() + (cell - cell.floor()).clamp(0.1, 0.9)
        locations[:, :, :, level] = (cell + 0.5) / size

    def read(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
        return ms_deform_attn(value, levels, locations, weights)

    tensors = [x.requires_grad_() for x in (value, locations, weights)]
    assert torch.autograd.gradcheck(read, tensors)


def test_gradients_equal_those_of_grid_sample(form):
    value, locations, weights = (x.requires_grad_() for x in inputs(LEVELS, dtype=torch.float64))
    upstream = torch.randn(2, 3, 6, dtype=torch.float64)
    tensors = value, locations, weights
    ours = torch.autograd.grad(ms_deform_attn(value, LEVELS, locations, weights), tensors, upstream)
    theirs = torch.autograd.grad(
        by_grid_sample(value, LEVELS, locations, weights), tensors, upstream
    )
    for mine, its in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, its)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_values_keep_exact_places(dtype, form):
    """In bfloat16 the places of a level of 300 cells would be rounded by a whole cell."""
    levels = [(1, 300)]
    value = torch.arange(300.0).view(1, 300, 1, 1) % 128  # exact in bfloat16
    wanted = torch.tensor([3, 130, 255, 287, 298])
    x = (wanted + 0.5) / 300
    locations = torch.stack([x, torch.full_like(x, 0.5)], -1).view(1, 5, 1, 1, 1, 2)
    weights = torch.ones(1, 5, 1, 1, 1, dtype=dtype)
    out = ms_deform_attn(value.to(dtype), levels, locations, weights)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float().flatten(), (wanted % 128).float(), atol=0.02, rtol=5e-3)


def test_levels_that_do_not_have_the_cells_of_the_value_are_refused(form):
    value, locations, weights = inputs(LEVELS)
    with pytest.raises(ValueError, match=r"num_cells=22, value.shape\[1\]=21"):
        ms_deform_attn(value, [(3, 5), (1, 3), (4, 1)], locations, weights)


# --- the module around it ---


def attention(**options) -> MultiScaleDeformableAttention:
    """Every weight random: the first ones are zeros and would hide mistakes."""
    layer = MultiScaleDeformableAttention(dim=6, num_heads=2, num_levels=3, **options).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.4)
    return layer


def tokens_and_points(queries: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    query = torch.randn(2, queries, 6, dtype=torch.float64)
    points = torch.rand(queries, 2, dtype=torch.float64)
    return query, points, torch.randn(2, 21, 6, dtype=torch.float64)


@torch.no_grad()
def test_the_module_equals_loops(form):
    layer = attention(num_points=2)
    query, points, tokens = tokens_and_points()
    offsets = layer.sampling_offsets(query).view(2, 4, 2, 3, 2, 2)  # (B, Q, M, L, P, xy)
    scores = layer.attention_weights(query).view(2, 4, 2, 6)  # (B, Q, M, L P)
    locations, weights = torch.empty_like(offsets), torch.empty(2, 4, 2, 3, 2).double()
    for q in range(4):
        for level, (height, width) in enumerate(LEVELS):
            for axis, cells in ((0, width), (1, height)):
                locations[:, q, :, level, :, axis] = (
                    points[q, axis] + offsets[:, q, :, level, :, axis] / cells
                )
            for p in range(2):
                share = scores[..., 2 * level + p].exp() / scores.exp().sum(-1)
                weights[:, q, :, level, p] = share[:, q]
    value = layer.value_proj(tokens).view(2, 21, 2, 3)
    expected = layer.output_proj(by_loops(value, LEVELS, locations, weights))
    out = layer(query, points, tokens, LEVELS)
    torch.testing.assert_close(out, expected)


def test_weights_sum_to_one_over_levels_and_points_together():
    weights = attention().weigh_samples(torch.randn(2, 3, 6, dtype=torch.float64))
    assert weights.shape == (2, 3, 2, 3, 4)
    torch.testing.assert_close(weights.sum((-1, -2)), torch.ones(2, 3, 2, dtype=torch.float64))


def test_head_m_first_looks_in_direction_m_and_point_p_at_distance_p_plus_1():
    layer = MultiScaleDeformableAttention(dim=8, num_heads=8, num_levels=3, num_points=2)
    query, points = torch.randn(1, 1, 8), torch.tensor([[0.5, 0.25]])
    locations = layer.sampling_locations(query, points, LEVELS)[0, 0]
    height, width = LEVELS[0]
    offsets = (locations[:, 0] - points) * torch.tensor([width, height])  # (M, P, 2), in cells
    clockwise = [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]  # y is down
    for head, direction in enumerate(clockwise):
        for point in range(2):
            expected = torch.tensor(direction) * (point + 1.0)
            torch.testing.assert_close(offsets[head, point], expected, atol=1e-5, rtol=0)
    weights = layer.weigh_samples(query)
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 6))


def test_offsets_are_in_cells_of_the_level_that_is_read():
    layer = MultiScaleDeformableAttention(dim=8, num_heads=8, num_levels=3, num_points=1)
    points = torch.tensor([[0.5, 0.5]])
    locations = layer.sampling_locations(torch.randn(1, 1, 8), points, LEVELS)[0, 0, :, :, 0]
    for level, (height, width) in enumerate(LEVELS):
        right, down = locations[0, level], locations[2, level]
        assert right.tolist() == pytest.approx([0.5 + 1 / width, 0.5])
        assert down.tolist() == pytest.approx([0.5, 0.5 + 1 / height])


@torch.no_grad()
def test_padding_reads_as_zero_and_what_it_holds_is_of_no_concern(form):
    layer = attention()
    query, points, tokens = tokens_and_points()
    padding = torch.zeros(2, 21, dtype=torch.bool)
    padding[0, [4, 9, 14, 16]] = True  # the last column of the first level, half of the second
    out = layer(query, points, tokens, LEVELS, padding)
    without = layer(query, points, tokens, LEVELS)
    assert not torch.allclose(out[0], without[0])
    torch.testing.assert_close(out[1], without[1])
    tokens[padding] = 1e3
    torch.testing.assert_close(layer(query, points, tokens, LEVELS, padding), out)
    everything = torch.ones_like(padding)
    nothing_read = layer(query, points, tokens, LEVELS, everything)
    torch.testing.assert_close(nothing_read, layer.output_proj.bias.expand_as(nothing_read))


def test_what_inference_mode_has_cached_serves_a_later_training_step(form):
    layer = attention()
    query, points, _ = tokens_and_points()
    levels = [(2, 5), (1, 3)] + [(1, 4)]  # sizes that no other test uses
    tokens = torch.randn(2, 17, 6, dtype=torch.float64)
    with torch.inference_mode():
        expected = layer(query, points, tokens, levels)
    out = layer(query, points, tokens, levels)
    torch.testing.assert_close(out, expected.clone())
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_bounds_of_the_first_weights():
    layer = MultiScaleDeformableAttention(dim=48, num_heads=4)
    for proj in (layer.value_proj, layer.output_proj):
        assert 0.95 < float(proj.weight.detach().abs().max()) / math.sqrt(6 / 96) <= 1
        assert not proj.bias.any()
    for proj in (layer.sampling_offsets, layer.attention_weights):
        assert not proj.weight.any()
    assert not layer.attention_weights.bias.any()


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="got dim=6, num_heads=4"):
        MultiScaleDeformableAttention(dim=6, num_heads=4)


@pytest.mark.parametrize("place", [math.nan, math.inf, -math.inf])
def test_a_place_that_is_not_finite_gives_nan_to_its_query_alone(place, form):
    value = torch.arange(8.0).view(1, 8, 1, 1)
    locations = torch.full((1, 2, 1, 2, 1, 2), 0.5)
    locations[0, 1, 0, 0, 0, 0] = place
    weights = torch.full((1, 2, 1, 2, 1), 0.5)
    out = ms_deform_attn(value, [(2, 3), (1, 2)], locations, weights).flatten()
    assert out[0].item() == pytest.approx((2.5 + 6.5) / 2)
    if form != "maps":  # what is exported reads zeros there
        assert out[1].isnan()
