import pytest
import torch
from torch import nn

from minioneformer.training.precision import Precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16), (None, torch.float32)]
)
def test_a_forward_pass_has_the_precision_that_was_asked_for(name, dtype):
    with Precision(name, CPU).autocast():
        assert nn.Linear(3, 5)(torch.randn(2, 3)).dtype == dtype


def step(precision, model, gradient):
    """Plain descent on loss = gradient x weight; returns the weight."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    precision.backward(gradient * model.weight.sum())
    precision.unscale(optimizer)
    precision.step(optimizer)
    return model.weight.item()


@pytest.mark.parametrize("name", [None, "bf16", "fp16"])
def test_an_update_has_the_size_that_it_has_without_scaling(name):
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    assert step(Precision(name, CPU), model, 0.25) == -0.25


def test_after_an_overflow_the_weights_stay_and_the_scale_is_halved():
    precision = Precision("fp16", CPU)
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    before = precision.state_dict()["scale"]
    assert step(precision, model, 1e38) == 0
    assert precision.state_dict()["scale"] == before / 2
    again = Precision("fp16", CPU)
    again.load_state_dict(precision.state_dict())
    assert again.state_dict()["scale"] == before / 2


def test_only_float16_may_overflow_and_only_while_the_scale_is_to_blame():
    assert not Precision("bf16", CPU).may_overflow()
    assert not Precision(None, CPU).may_overflow()
    precision = Precision("fp16", CPU)
    assert precision.may_overflow()
    precision.load_state_dict(precision.state_dict() | {"scale": 2.0**-11})
    assert not precision.may_overflow()


def test_without_scaling_there_is_no_state():
    precision = Precision("bf16", CPU)
    assert precision.state_dict() == {}
    precision.load_state_dict({})


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="autocast must be 'bf16', 'fp16' or None .*got 'fp8'"):
        Precision("fp8", CPU)
