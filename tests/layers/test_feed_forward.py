"""Feed-forward. Mutants that must fail: no ReLU; ReLU after the second layer; no dropout."""

import math

import pytest
import torch

from minioneformer.layers.feed_forward import FeedForward


def test_a_hand_worked_example():
    layer = FeedForward(dim=1, hidden_dim=2)
    with torch.no_grad():
        layer.linear1.weight.copy_(torch.tensor([[2.0], [-1.0]]))
        layer.linear1.bias.copy_(torch.tensor([1.0, 0.0]))
        layer.linear2.weight.copy_(torch.tensor([[-3.0, 5.0]]))
        layer.linear2.bias.copy_(torch.tensor([0.5]))
    # 4: hidden 9 and relu(-4) = 0, so -27 + 0.5. -4: hidden relu(-7) = 0 and 4, so 20.5.
    assert layer(torch.tensor([[4.0], [-4.0]])).tolist() == [[-26.5], [20.5]]


@pytest.mark.parametrize("leading", [(), (3,), (2, 0), (2, 3, 5)])
def test_each_position_is_transformed_on_its_own(leading):
    layer = FeedForward(dim=4, hidden_dim=7)
    x = torch.randn(*leading, 4)
    y = layer(x)
    assert y.shape == x.shape
    for one, result in zip(x.reshape(-1, 4), y.reshape(-1, 4), strict=True):
        torch.testing.assert_close(layer(one), result)


def test_dropout_acts_on_hidden_channels_in_training_only():
    layer = FeedForward(dim=1, hidden_dim=1, dropout=0.75)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(1.0)
    x = torch.ones(200, 1)  # hidden 2, dropped to 0 or multiplied by 4; the bias 1 stays
    assert set(layer.train()(x).flatten().tolist()) == {1.0, 9.0}
    assert set(layer.eval()(x).flatten().tolist()) == {3.0}


def test_weights_start_at_xavier():
    layer = FeedForward(dim=30, hidden_dim=50)
    for linear in (layer.linear1, layer.linear2):
        assert 0.95 < float(linear.weight.detach().abs().max()) / math.sqrt(6 / 80) <= 1
