import pytest
import torch
from torch import nn

from minioneformer.training.weight_average import WeightAverage


def scalar_model(value: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(value)
    return model


def test_the_mean_by_hand():
    """d is min(0.5, 2 / 11), then min(0.5, 3 / 12)."""
    model = scalar_model(1.0)
    average = WeightAverage(model, 0.5)
    means = []
    for weight in (3.0, 5.0):
        model.weight.data.fill_(weight)
        average.update()
        means.append(average.means[0].item())
    first = 2 / 11 * 1 + 9 / 11 * 3
    assert means == pytest.approx([first, 0.25 * first + 0.75 * 5])


def test_after_many_updates_the_decay_is_the_one_asked_for():
    model = scalar_model(0.0)
    average = WeightAverage(model, 0.5)
    for _ in range(20):
        average.update()
    model.weight.data.fill_(1.0)
    average.update()
    assert average.means[0].item() == pytest.approx(0.5)


def test_inside_the_model_has_the_mean_and_outside_its_own_weights_even_after_an_error():
    model = scalar_model(2.0)
    average = WeightAverage(model, 0.9)
    model.weight.data.fill_(7.0)
    with average.in_place():
        assert model.weight.item() == 2
    assert model.weight.item() == 7
    with pytest.raises(RuntimeError, match="broken"), average.in_place():
        raise RuntimeError("broken")
    assert model.weight.item() == 7
    assert average.means[0].item() == 2


def test_its_state_comes_back():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average = WeightAverage(model, 0.9)
    for _ in range(3):
        nn.init.normal_(model[0].weight)
        average.update()
    state = average.state_dict()
    again = WeightAverage(model, 0.9)
    again.load_state_dict(state)
    assert again.updates == 3
    for one, other in zip(average.means, again.means, strict=True):
        assert torch.equal(one, other)
    again.update()
    average.update()
    assert torch.equal(again.means[0], average.means[0])


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match="ema_decay must be inside"):
        WeightAverage(scalar_model(0.0), decay)
