"""Stochastic depth. Mutants that must fail: no scaling, one draw per cell, active in eval."""

from __future__ import annotations

import pytest
import torch

from minioneformer.layers.drop_path import DropPath, linear_drop_path_rates


def test_evaluation_and_rate_zero_are_the_identity():
    x = torch.randn(3, 5, 2)
    assert DropPath(0.5).eval()(x) is x
    assert DropPath(0.0).train()(x) is x
    assert DropPath()(x) is x


def test_a_survivor_at_rate_three_quarters_is_multiplied_by_four():
    y = DropPath(0.75)(torch.ones(64, 3, 2, 5))
    assert set(y.flatten().tolist()) == {0.0, 4.0}


def test_whole_samples_are_dropped_and_never_parts_of_them():
    y = DropPath(0.5)(torch.ones(200, 3, 5))
    per_sample = y.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    assert per_sample[:, 0].unique().tolist() == [0.0, 2.0]


def test_the_share_of_dropped_samples_is_the_rate_and_the_mean_stays():
    y = DropPath(0.3)(torch.ones(20_000, 1))
    assert (y == 0).double().mean() == pytest.approx(0.3, abs=0.01)
    assert y.mean() == pytest.approx(1.0, abs=0.02)


def test_the_same_seed_repeats_the_draw_and_another_does_not():
    drop, x = DropPath(0.5), torch.ones(64, 1)
    torch.manual_seed(1)
    first = drop(x)
    torch.manual_seed(1)
    again = drop(x)
    torch.manual_seed(2)
    other = drop(x)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_gradients_are_zero_for_dropped_samples_and_scaled_for_the_others():
    x = torch.randn(16, 3, requires_grad=True)
    y = DropPath(0.5)(x)
    y.sum().backward()
    dropped = (y == 0).all(dim=1)
    assert 0 < dropped.sum() < 16
    assert x.grad is not None
    assert (x.grad[dropped] == 0).all()
    assert (x.grad[~dropped] == 2).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_stays_and_an_empty_batch_passes(dtype: torch.dtype):
    drop = DropPath(0.5)
    assert drop(torch.ones(4, 3, dtype=dtype)).dtype == dtype
    assert drop(torch.ones(0, 3, dtype=dtype)).shape == (0, 3)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_outside_zero_to_one_is_refused(rate: float):
    with pytest.raises(ValueError, match="got rate="):
        DropPath(rate)


def test_rates_rise_linearly_over_all_blocks_and_not_per_stage():
    first, second, third = linear_drop_path_rates(0.3, (1, 2, 1))  # the docstring's example
    assert first == [0.0]
    assert second == pytest.approx([0.1, 0.2])
    assert third == pytest.approx([0.3])
    expected = torch.linspace(0, 0.4, 36).tolist()  # as the official code of ConvNeXt does it
    assert sum(linear_drop_path_rates(0.4, (3, 3, 27, 3)), []) == pytest.approx(expected)


def test_a_single_block_is_never_dropped_and_stages_may_be_empty():
    assert linear_drop_path_rates(0.3, (0, 1)) == [[], [0.0]]
