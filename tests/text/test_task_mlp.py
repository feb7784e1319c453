"""Task MLP: ids as numbers, float32 always.

Mutants that must fail here: no ReLU; one layer; ids divided by something; autocast left on.
"""

import pytest
import torch

from minioneformer.text.task_mlp import TaskMLP

PUBLISHED = torch.tensor(
    [[49406, 518, 10549, 533, 29119, 1550, 49407], [49406, 518, 10549, 533, 34572, 49407, 0]]
)


def test_a_hand_worked_example():
    mlp = TaskMLP(context_length=2, hidden_dim=2)
    first, second = mlp.mlp.layers
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.0]]))
        first.bias.copy_(torch.tensor([0.5, 0.0]))
        second.weight.copy_(torch.tensor([[2.0, 7.0], [0.0, 7.0]]))
        second.bias.copy_(torch.tensor([0.0, -3.0]))
    # 1 * 10 + 2 * 20 + 0.5 = 50.5; -10 becomes 0; then 2 * 50.5 and -3.
    assert mlp(torch.tensor([[10, 20]])).tolist() == [[101.0, -3.0]]


def test_the_published_sizes():
    shapes = [tuple(p.shape) for p in TaskMLP().parameters()]
    assert shapes == [(256, 77), (256,), (256, 256), (256,)]


def test_autocast_changes_nothing():
    mlp = TaskMLP(context_length=7, hidden_dim=5)
    expected = mlp(PUBLISHED)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = mlp(PUBLISHED)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, expected)


def test_neighbouring_ids_stay_apart_under_autocast():
    """bfloat16 rounds 518 to 520, and 49406 and 49407 to the same number."""
    mlp = TaskMLP(context_length=2, hidden_dim=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        a, b, c = mlp(torch.tensor([[518, 49406], [520, 49406], [518, 49407]]))
    assert not torch.equal(a, b)
    assert not torch.equal(a, c)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_model_cast_as_a_whole_still_reads_exact_ids(dtype):
    """518 - 517 is 1; rounded to bfloat16 it is 520 - 516, and float16 loses 49407 - 49406."""
    mlp = TaskMLP(context_length=4, hidden_dim=2)
    with torch.no_grad():
        for parameter in mlp.parameters():
            parameter.zero_()
        mlp.mlp.layers[0].weight.copy_(torch.tensor([[1.0, -1, 0, 0], [0, 0, 1, -1]]))
        mlp.mlp.layers[1].weight.copy_(torch.eye(2))
    task_token = mlp.to(dtype)(torch.tensor([[518, 517, 49407, 49406]]))
    assert task_token.dtype == dtype
    assert task_token.tolist() == [[1.0, 1.0]]


def test_gradients_reach_the_weights():
    mlp = TaskMLP(context_length=7, hidden_dim=5)
    mlp(PUBLISHED).sum().backward()
    assert all(parameter.grad is not None for parameter in mlp.parameters())
    assert mlp.mlp.layers[1].bias.grad.tolist() == [2.0] * 5


def test_prompts_are_encoded_one_by_one_and_an_empty_batch_is_empty():
    mlp = TaskMLP(context_length=7, hidden_dim=5)
    both = mlp(PUBLISHED)
    torch.testing.assert_close(both, torch.cat([mlp(PUBLISHED[:1]), mlp(PUBLISHED[1:])]))
    assert mlp(PUBLISHED[:0]).shape == (0, 5)


def test_prompts_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"7 columns.*=\(2, 6\).*context_length=7"):
        TaskMLP(context_length=7)(PUBLISHED[:, :6])


@pytest.mark.parity
def test_equals_the_task_mlp_of_transformers():
    transformers = pytest.importorskip("transformers")
    from transformers.models.oneformer.modeling_oneformer import OneFormerTaskModel

    config = transformers.OneFormerConfig(task_seq_len=7, hidden_dim=16, conv_dim=16)
    theirs = OneFormerTaskModel(config)
    ours = TaskMLP(context_length=7, hidden_dim=16)
    ours.mlp.load_state_dict(
        {
            k.removeprefix("task_mlp.")
            .replace(".0.weight", ".weight")
            .replace(".0.bias", ".bias"): v
            for k, v in theirs.state_dict().items()
        }
    )
    torch.testing.assert_close(ours(PUBLISHED), theirs(PUBLISHED.float()))
