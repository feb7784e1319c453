"""A memory for constant tensors.

Mutants that must fail: no memory; memory also while compiling; inference mode left on.
"""

import pytest
import torch

from minioneformer.layers.cached_by_size import MAX_SIZES, cached_by_size


def counting():
    calls = []

    @cached_by_size
    def make(size: tuple[int, int], scale: float = 1.0) -> torch.Tensor:
        """Make ones."""
        calls.append(size)
        return torch.ones(size) * scale

    return make, calls


def test_the_second_call_returns_the_tensor_of_the_first():
    make, calls = counting()
    assert make((2, 3)) is make((2, 3))
    assert make((3, 2)).shape == (3, 2)
    assert make((2, 3), scale=2.0).sum() == 12
    assert calls == [(2, 3), (3, 2), (2, 3)]


def test_only_so_many_sizes_are_remembered():
    make, calls = counting()
    for width in range(MAX_SIZES + 1):
        make((1, width))
    make((1, MAX_SIZES))  # remembered
    make((1, 0))  # forgotten
    assert len(calls) == MAX_SIZES + 2


def test_it_keeps_name_and_docstring():
    make, _ = counting()
    assert (make.__name__, make.__doc__) == ("make", "Make ones.")


def test_what_inference_mode_has_made_serves_a_later_training_step():
    make, _ = counting()
    with torch.inference_mode():
        constant = make((2, 3))
    assert not constant.is_inference()
    weight = torch.ones(2, 3, requires_grad=True)
    (weight * make((2, 3), 1.0)).sum().backward()
    (weight * constant).sum().backward()
    assert weight.grad.tolist() == [[2.0] * 3] * 2


def test_nothing_is_remembered_with_a_gradient():
    weight = torch.ones(2, requires_grad=True)

    @cached_by_size
    def make(size: int) -> torch.Tensor:
        return weight * size

    assert not make(3).requires_grad


@pytest.mark.parametrize("seen_before", [True, False])
def test_symbols_of_a_compiler_are_neither_kept_nor_given_the_kept(seen_before, monkeypatch):
    make, calls = counting()
    if seen_before:
        make((2, 3))
    with monkeypatch.context() as compiling:
        compiling.setattr(torch.compiler, "is_compiling", lambda: True)
        symbol = make((2, 3))
    assert len(calls) == 1 + seen_before
    assert make((2, 3)) is not symbol
