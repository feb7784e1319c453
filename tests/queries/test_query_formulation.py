"""Object queries from task token and mask features.

Mutants that must fail: image content in the values; image content nowhere; position codes left
out of the keys; query positions in the values, or nowhere; positions of the wrong N - 1 queries;
the task token first; the task token normalised again; the final norm left out; zeros for the
seed, or never; the task token appended although it is no query, or counted among the positions;
a residual left out; a dropout left out; cells column by column.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minioneformer.layers.position_encoding import sine_position_encoding
from minioneformer.queries.query_formulation import QueryFormulation, QueryLayer

DIM, MASK_DIM, NUM_QUERIES = 8, 6, 5


def formulation(**options) -> QueryFormulation:
    settings = {"num_heads": 2, "feed_forward_dim": 7, "dropout": 0.0} | options
    module = QueryFormulation(hidden_dim=DIM, mask_dim=MASK_DIM, **settings)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, 0.5)
    return module


def inputs(batch: int = 2, size: tuple[int, int] = (3, 5)) -> tuple[Tensor, Tensor, Tensor]:
    """Task token, mask features, query positions."""
    return (
        torch.randn(batch, DIM),
        torch.randn(batch, MASK_DIM, *size),
        torch.randn(NUM_QUERIES, DIM),
    )


@torch.no_grad()
@pytest.mark.parametrize("seed_with_task", [True, False])
def test_every_step_with_position_codes_for_values(seed_with_task):
    """Every step written out, one image at a time."""
    module = formulation(seed_with_task=seed_with_task)
    task_token, mask_features, positions = inputs()
    out = module(task_token, mask_features, positions)
    code = sine_position_encoding((3, 5), DIM, torch.device("cpu")).flatten(2).mT  # (1, hw, C)
    weight, bias = module.input_projection.weight, module.input_projection.bias
    for image in range(2):
        content = mask_features[image].flatten(1).T @ weight[:, :, 0, 0].T + bias
        queries = task_token[image : image + 1].repeat(NUM_QUERIES - 1, 1)[None]
        if not seed_with_task:
            queries = torch.zeros_like(queries)
        place = positions[: NUM_QUERIES - 1]
        for layer in module.layers:
            asking = queries + place
            queries = layer.self_attention_norm(
                queries + layer.self_attention(asking, asking, queries)
            )
            read = layer.cross_attention(queries + place, code + content, code)
            queries = layer.cross_attention_norm(queries + read)
            first, second = layer.feed_forward.linear1, layer.feed_forward.linear2
            queries = layer.feed_forward_norm(queries + second(F.relu(first(queries))))
        torch.testing.assert_close(out[image, :-1], module.norm(queries)[0])


@torch.no_grad()
def test_the_last_of_n_rows_is_the_task_token_as_given():
    task_token, mask_features, positions = inputs()
    out = formulation()(task_token, mask_features, positions)
    assert out.shape == (2, NUM_QUERIES, DIM)
    assert torch.equal(out[:, -1], task_token)


def silence_keys(module: QueryFormulation) -> None:
    for layer in module.layers:
        nn.init.zeros_(layer.cross_attention.key_proj.weight)


@torch.no_grad()
def test_the_image_decides_where_queries_look_and_not_what_they_read():
    module = formulation()
    task_token, mask_features, positions = inputs()
    other_image = torch.randn_like(mask_features) * 9
    looking = module(task_token, mask_features, positions)
    assert not torch.allclose(module(task_token, other_image, positions), looking)
    silence_keys(module)
    blind = module(task_token, mask_features, positions)
    assert torch.equal(module(task_token, other_image, positions), blind)
    wider = torch.randn(2, MASK_DIM, 3, 7)
    assert not torch.allclose(module(task_token, wider, positions), blind)


@torch.no_grad()
def test_keys_hold_position_codes_too():
    module = formulation()
    task_token, mask_features, positions = inputs()
    nn.init.zeros_(module.input_projection.weight)
    out = module(task_token, mask_features, positions)
    silence_keys(module)
    assert not torch.allclose(module(task_token, mask_features, positions), out)


@torch.no_grad()
def test_another_task_gives_other_queries():
    module = formulation()
    task_token, mask_features, positions = inputs()
    out = module(task_token, mask_features, positions)
    other = module(task_token + torch.randn(DIM), mask_features, positions)
    assert ((out - other).abs().amax(-1) > 1e-5).all()


@torch.no_grad()
def test_without_seeding_only_the_last_row_knows_the_task():
    module = formulation(seed_with_task=False)
    task_token, mask_features, positions = inputs()
    out = module(task_token, mask_features, positions)
    other = module(task_token + 1, mask_features, positions)
    assert torch.equal(out[:, :-1], other[:, :-1])
    assert torch.equal(other[:, -1], task_token + 1)


@torch.no_grad()
def test_images_do_not_see_each_other():
    module = formulation()
    task_token, mask_features, positions = inputs(batch=3)
    out = module(task_token, mask_features, positions)
    order = [2, 0, 1]
    permuted = module(task_token[order], mask_features[order], positions)
    torch.testing.assert_close(permuted, out[order])
    alone = module(task_token[1:2], mask_features[1:2], positions)
    torch.testing.assert_close(alone, out[1:2])


@torch.no_grad()
def test_queries_differ_by_their_positions_alone_and_move_with_them():
    module = formulation()
    task_token, mask_features, positions = inputs()
    out = module(task_token, mask_features, positions)
    order = torch.tensor([3, 1, 0, 2, 4])
    moved = module(task_token, mask_features, positions[order])
    torch.testing.assert_close(moved, out[:, order])
    same = module(task_token, mask_features, torch.zeros_like(positions))
    torch.testing.assert_close(same[:, :-1], same[:, :1].expand(-1, NUM_QUERIES - 1, -1))


@torch.no_grad()
def test_the_position_of_the_task_token_is_not_used_here():
    module = formulation()
    task_token, mask_features, positions = inputs()
    out = module(task_token, mask_features, positions)
    positions[-1] = 77.0
    assert torch.equal(module(task_token, mask_features, positions), out)


@torch.no_grad()
def test_one_query_is_the_task_token_alone():
    task_token, mask_features, positions = inputs()
    out = formulation()(task_token, mask_features, positions[:1])
    assert torch.equal(out, task_token[:, None])


def test_dropout_acts_in_training_only():
    module = formulation(dropout=0.5)
    arguments = inputs()
    assert not torch.equal(module(*arguments), module(*arguments))
    module.eval()
    assert torch.equal(module(*arguments), module(*arguments))


@torch.no_grad()
def test_dropout_comes_before_each_residual_on_weights_and_on_hidden_channels():
    layer = QueryLayer(dim=DIM, num_heads=2, feed_forward_dim=7, dropout=1.0)
    for parameter in layer.parameters():
        parameter.normal_()
    queries, place = torch.randn(1, 3, DIM), torch.randn(3, DIM)
    keys, values = torch.randn(2, 1, 4, DIM)
    expected = queries  # nothing is ever added
    for norm in (layer.self_attention_norm, layer.cross_attention_norm, layer.feed_forward_norm):
        expected = norm(expected)
    torch.testing.assert_close(layer(queries, place, keys, values), expected)
    assert layer.self_attention.dropout == layer.cross_attention.dropout == 1.0
    assert layer.feed_forward.dropout.p == 1.0


@torch.no_grad()
def test_values_of_one_serve_all_images_in_a_layer():
    layer = QueryLayer(dim=DIM, num_heads=2, feed_forward_dim=7, dropout=0.0)
    queries, place = torch.randn(2, 3, DIM), torch.randn(3, DIM)
    keys, values = torch.randn(2, 4, DIM), torch.randn(1, 4, DIM)
    out = layer(queries, place, keys, values)
    alone = layer(queries[1:], place, keys[1:], values)
    torch.testing.assert_close(out[1:], alone)


def test_heads_that_do_not_divide_the_channels_are_refused():
    with pytest.raises(ValueError, match="got dim=8, num_heads=3"):
        QueryFormulation(hidden_dim=8, mask_dim=6, num_heads=3)


@torch.no_grad()
@pytest.mark.parametrize("seed_with_task", [True, False])
def test_a_token_that_is_no_query_leaves_its_place_to_one_from_the_transformer(seed_with_task):
    """The last query then is made like the others: the same as the first of N + 1 positions."""
    module = formulation(seed_with_task=seed_with_task)
    task_token, mask_features, positions = inputs()
    longer = torch.cat([positions, torch.randn(1, DIM)])
    expected = module(task_token, mask_features, longer)[:, :-1]
    module.append_task = False
    out = module(task_token, mask_features, positions)
    assert out.shape == (2, NUM_QUERIES, DIM)
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("seed_with_task", [True, False])
@pytest.mark.parametrize("append_task", [True, False])
def test_the_queries_depend_on_the_task_unless_both_uses_are_off(seed_with_task, append_task):
    module = formulation(seed_with_task=seed_with_task, append_task=append_task)
    task_token, mask_features, positions = inputs()
    task_token.requires_grad_()
    module(task_token, mask_features, positions).square().sum().backward()
    assert module.reads_task == (seed_with_task or append_task)
    reached = task_token.grad is not None and bool((task_token.grad != 0).any())
    assert reached == module.reads_task
