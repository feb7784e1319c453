"""Batch norm over processes: against one process with all images, and worked by hand.

Mutants that must fail: the mean of means (unequal numbers); biased running variance; sums of the
backward pass over one process; statistics in bfloat16; a frozen norm replaced.
"""

import copy

import pytest
import torch
from torch import nn

from minioneformer.backbone.resnet import FrozenBatchNorm, ResNet
from minioneformer.layers.sync_batch_norm import SyncBatchNorm, synchronise_batch_norms
from minioneformer.processes import mean_over_processes, rank

SPLITS = {2: [3, 2], 3: [1, 4, 0]}  # images of each process


def lively(norm, rng):
    """Weights and statistics that are not those of a new norm."""
    for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
        tensor.copy_(torch.rand(tensor.shape, generator=rng) + 0.5)
    return norm


def step(norm, x, target):
    """Everything that one training step gives."""
    x = x.clone().requires_grad_()
    y = norm(x)
    ((y - target) ** 3).mean((1, 2, 3)).sum().backward()
    return y.detach(), x.grad, norm.weight.grad, norm.bias.grad, *norm.buffers()


@pytest.mark.parametrize("num_processes", [2, 3])
def test_processes_with_parts_of_a_batch_equal_one_with_all_of_it(in_processes, rng, num_processes):
    x, target = (torch.randn(5, 4, 3, 7, generator=rng).double() for _ in range(2))
    x = 3 * x + 100
    plain = lively(nn.BatchNorm2d(4).double(), rng)
    synchronised = synchronise_batch_norms(copy.deepcopy(plain))

    def part():
        own_x, own_target = (t.split(SPLITS[num_processes])[rank()] for t in (x, target))
        y, into_x, *into_weights_and_buffers = step(synchronised, own_x, own_target)
        into_weights = [mean_over_processes(grad) for grad in into_weights_and_buffers[:2]]
        values = (y, into_x, *into_weights, *into_weights_and_buffers[2:])
        return [value.numpy() for value in values]

    results = [[torch.from_numpy(v) for v in part] for part in in_processes(part, num_processes)]
    y, into_x, into_weight, into_bias, *buffers = step(plain, x, target)
    exactly = dict(rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(torch.cat([part[0] for part in results]), y, **exactly)
    torch.testing.assert_close(torch.cat([part[1] for part in results]), into_x, **exactly)
    for part in results:
        shared = [into_weight / num_processes, into_bias / num_processes, *buffers]
        torch.testing.assert_close(part[2:], shared, **exactly)


def test_the_docstring_example(in_processes):
    def part():
        norm = SyncBatchNorm(1, momentum=1.0, eps=0.0)
        cells = [[0.0, 0.0], [6.0]][rank()]
        return norm(torch.tensor(cells).reshape(-1, 1, 1, 1))[-1].item(), norm.running_var.item()

    results = in_processes(part, 2)
    assert results[1] == pytest.approx((1.4142, 12.0), abs=1e-4)
    assert results[0] == pytest.approx((-0.7071, 12.0), abs=1e-4)


def test_with_one_process_it_is_the_batch_norm_of_torch(rng):
    x, target = (torch.randn(3, 4, 5, 2, generator=rng) for _ in range(2))
    plain = lively(nn.BatchNorm2d(4, eps=0.1, momentum=0.3), rng)
    synchronised = synchronise_batch_norms(copy.deepcopy(plain))
    assert type(synchronised) is SyncBatchNorm
    for value, expected in zip(step(synchronised, x, target), step(plain, x, target), strict=True):
        assert torch.equal(value, expected)
    assert torch.equal(synchronised.eval()(x), plain.eval()(x))


def test_in_evaluation_mode_processes_do_not_wait_for_each_other(in_processes):
    def part():
        norm = SyncBatchNorm(2).eval()
        return [norm(torch.ones(1, 2, 3, 5)).sum().item() for _ in range(rank())]

    assert [len(sums) for sums in in_processes(part, 2)] == [0, 1]


def test_statistics_under_autocast_are_those_of_float32(in_processes, rng):
    x = (torch.randn(4, 2, 9, 7, generator=rng) + 50).bfloat16()

    def part():
        norm, own = SyncBatchNorm(2, momentum=1.0), x[2 * rank() : 2 * rank() + 2]
        own = own.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = norm(own)
        (y.float() ** 3).sum().backward()
        assert y.dtype == own.grad.dtype == torch.bfloat16
        return norm.running_mean.tolist(), norm.running_var.tolist()

    variance, mean = torch.var_mean(x.float(), (0, 2, 3))
    for result in in_processes(part, 2):
        assert result[0] == pytest.approx(mean.tolist(), rel=1e-6)
        assert result[1] == pytest.approx(variance.tolist(), rel=1e-5)


def test_a_backbone_learns_the_same_with_recomputed_blocks(in_processes, rng):
    """The second forward of a block must not count its batch again."""
    sizes = dict(embedding_size=4, hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))
    images = torch.rand(2, 3, 33, 47, generator=rng)
    torch.manual_seed(1)
    weights = ResNet(**sizes).state_dict()

    def part():
        values = []
        for recompute in (False, True):
            backbone = ResNet(**sizes, checkpoint_blocks=recompute)
            backbone.load_state_dict(weights)
            synchronise_batch_norms(backbone)
            features = backbone(images[rank() : rank() + 1])
            sum(f.square().mean() for f in features.values()).backward()
            values.append([backbone.stem.conv.weight.grad, *backbone.buffers()])
        same = all(torch.allclose(a, b) for a, b in zip(*values, strict=True))
        return same, values[0][1].tolist()

    results = in_processes(part, 2)
    assert [same for same, _ in results] == [True, True]
    assert results[0][1] == results[1][1]


def test_batch_norms_that_learn_are_replaced_and_keep_their_parameters():
    backbone = ResNet(embedding_size=4, hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))
    before, names = dict(backbone.named_parameters()), list(backbone.state_dict())
    assert synchronise_batch_norms(backbone.eval()) is backbone
    assert all(parameter is before[name] for name, parameter in backbone.named_parameters())
    assert list(backbone.state_dict()) == names
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 17 and {type(norm) for norm in norms} == {SyncBatchNorm}
    assert not any(norm.training for norm in norms)


def test_frozen_batch_norms_stay():
    frozen = nn.Sequential(FrozenBatchNorm(3), nn.LayerNorm(3))
    before = list(frozen)
    assert list(synchronise_batch_norms(frozen)) == before


@pytest.mark.parametrize("option", ["affine", "track_running_stats", "momentum"])
def test_batch_norms_of_other_kinds_are_refused(option):
    options = {option: None if option == "momentum" else False}
    with pytest.raises(ValueError, match=r"can be synchronised, got BatchNorm2d\(3"):
        synchronise_batch_norms(nn.Sequential(nn.BatchNorm2d(3, **options)))
