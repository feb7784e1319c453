"""Multi-layer perceptron.

Mutants that must fail: ReLU after the last layer; none between; one layer too many.
"""

import pytest
import torch
from torch import nn

from minioneformer.layers.mlp import MLP


def ones(mlp: MLP) -> MLP:
    with torch.no_grad():
        for parameter in mlp.parameters():
            parameter.fill_(1.0)
    return mlp


def test_a_hand_worked_example():
    mlp = ones(MLP(input_dim=1, hidden_dim=2, output_dim=1, num_layers=3))
    # 2: 3, 3; 7, 7; 15. -2: relu(-1) = 0 twice; 1, 1; 3.
    assert mlp(torch.tensor([[2.0], [-2.0]])).tolist() == [[15.0], [3.0]]


def test_the_last_layer_may_give_negative_values():
    mlp = ones(MLP(input_dim=1, hidden_dim=1, output_dim=1, num_layers=2))
    with torch.no_grad():
        mlp.layers[1].weight.fill_(-1.0)
    assert mlp(torch.tensor([4.0])).tolist() == [-4.0]  # -(4 + 1) + 1


def test_one_layer_is_linear():
    mlp = MLP(input_dim=3, hidden_dim=99, output_dim=5, num_layers=1)
    linear = nn.Linear(3, 5)
    linear.load_state_dict(mlp.layers[0].state_dict())
    x = torch.randn(2, 3)
    assert torch.equal(mlp(x), linear(x))


@pytest.mark.parametrize(
    ("num_layers", "shapes"),
    [(1, [(3, 7)]), (2, [(3, 5), (5, 7)]), (4, [(3, 5), (5, 5), (5, 5), (5, 7)])],
)
def test_widths_from_input_to_output(num_layers, shapes):
    mlp = MLP(input_dim=3, hidden_dim=5, output_dim=7, num_layers=num_layers)
    assert [tuple(layer.weight.shape[::-1]) for layer in mlp.layers] == shapes
    assert mlp(torch.zeros(2, 0, 4, 3)).shape == (2, 0, 4, 7)


@pytest.mark.parametrize("num_layers", [0, -1])
def test_a_perceptron_without_layers_is_refused(num_layers):
    with pytest.raises(ValueError, match=f"got num_layers={num_layers}"):
        MLP(input_dim=3, hidden_dim=5, output_dim=7, num_layers=num_layers)
