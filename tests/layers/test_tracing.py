"""Mutants that must fail: the flags swapped; a copy in eager mode; `contiguous` for the copy."""

import pytest
import torch
from torch import nn

from minioneformer.layers.tracing import is_exporting, with_plain_strides


class Asks(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 if is_exporting() else x


class Flattens(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return with_plain_strides(x.transpose(1, 2)).flatten(1)


def test_eager_code_is_not_being_exported():
    assert not is_exporting()


def test_an_export_is_noticed():
    program = torch.export.export(Asks(), (torch.zeros(2, 3),), strict=False)
    assert torch.equal(program.module()(torch.zeros(2, 3)), torch.ones(2, 3))
    assert not is_exporting()


def test_a_compilation_is_no_export():
    compiled = torch.compile(Asks(), backend="eager")
    assert torch.equal(compiled(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_nothing_is_copied_in_eager_mode():
    x = torch.zeros(2, 3, 4).transpose(1, 2)
    assert with_plain_strides(x) is x


@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 4, 7)])
def test_an_exported_copy_holds_for_other_sizes(shape):
    sizes = {1: torch.export.Dim("rows", min=2, max=64), 2: torch.export.Dim("columns", min=2)}
    program = torch.export.export(
        Flattens(), (torch.zeros(2, 4, 6),), dynamic_shapes=({0: torch.export.Dim.AUTO, **sizes},),
        strict=False,
    )  # fmt: skip
    x = torch.randn(2, *shape[1:])
    assert torch.equal(program.module()(x), Flattens()(x))
