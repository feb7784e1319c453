"""One batch, however it is cut into parts and processes.

Mutants that must fail: sums divided by the own part's totals; the classification by its own
weights; contrast of the own images only; a gather without gradients; slopes not multiplied by the
number of parts; the temperature's slope multiplied too; other dropout in the second pass; batch
statistics counted twice; gradients exchanged at every part, or never.
"""

import dataclasses
import functools

import pytest
import torch

from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.config import ResNetConfig
from minioneformer.processes import rank
from minioneformer.structures import Batch, TaskTarget
from minioneformer.training.parts import build_dataset, build_pretrained, build_stream
from minioneformer.training.recipes import override, toy
from minioneformer.training.update import CONTRASTIVE, UpdateLosses

TINY = (
    "data.image_size=(32,48)",
    "data.shortest_edges=()",
    "data.longest_edge=None",
    "optimization.batch_size=8",
    "model.hidden_dim=32",
    "model.conv_dim=32",
    "model.mask_dim=16",
    "model.num_attention_heads=2",
    "model.num_queries=7",
    "model.text_encoder_n_ctx=2",
    "model.text_encoder_width=64",
    "model.text_encoder_num_layers=1",
    "model.encoder_layers=1",
    "model.decoder_layers=3",
    "model.query_dec_layers=1",
    "model.train_num_points=20",
    "model.encoder_feedforward_dim=16",
    "model.dim_feedforward=16",
    "model.backbone_config.embed_dim=8",
    "model.backbone_config.depths=(1,1,1,1)",
    "model.backbone_config.num_heads=(1,1,2,2)",
    "model.backbone_config.window_size=3",
)
NO_NOISE = ("model.dropout=0", "model.backbone_config.drop_path_rate=0")


@pytest.fixture(autouse=True)
def in_float64(monkeypatch):
    """So that no borderline bit of an attention mask falls differently by rounding."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.fixture
def same_points(monkeypatch):
    """Every draw of points gives the same ones, whatever the number of rows."""
    fixed = torch.rand(1, 200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(
        torch,
        "rand",
        lambda rows, count, two, **_: fixed[:, :count].expand(rows, -1, -1).clone(),
    )


def make(*settings: str, backbone: ResNetConfig | None = None) -> tuple[TrainedModules, Batch]:
    """A tiny model and 8 images."""
    recipe = override(override(toy(), TINY), settings)
    if backbone is not None:
        model = dataclasses.replace(recipe.model, backbone_config=backbone)
        recipe = dataclasses.replace(recipe, model=model)
    dataset, categories = build_dataset(recipe.data, "train", None)
    pretrained = build_pretrained(recipe, categories)
    batch = build_stream(recipe, pretrained, dataset)[0]
    batch = dataclasses.replace(batch, images=batch.images.double())
    return pretrained.modules.train().double(), batch


def without_objects(batch: Batch, images: range) -> Batch:
    height, width = batch.images.shape[-2:]
    empty = TaskTarget(
        task="panoptic",
        labels=torch.zeros(0, dtype=torch.long),
        masks=torch.zeros(0, height, width, dtype=torch.bool),
    )
    targets = [empty if i in images else target for i, target in enumerate(batch.targets)]
    return dataclasses.replace(batch, targets=tuple(targets))


def cut(batch: Batch, first: int, count: int) -> Batch:
    rows = slice(first, first + count)
    return Batch(
        images=batch.images[rows],
        padding_mask=batch.padding_mask[rows],
        task_tokens=batch.task_tokens[rows],
        text_tokens=None if batch.text_tokens is None else batch.text_tokens[rows],
        targets=batch.targets[rows],
        tasks=batch.tasks[rows],
        image_ids=batch.image_ids[rows],
    )


def gradients(modules: TrainedModules, parts: list[Batch]) -> tuple[dict, dict]:
    """Mean losses and gradients of one update, as the trainer makes them."""
    modules.zero_grad(set_to_none=True)
    means: dict[str, float] = {}
    for losses, _ in UpdateLosses(modules)(parts):
        (torch.stack([*losses.values()]).sum() / len(parts)).backward()
        for name, loss in losses.items():
            means[name] = means.get(name, 0.0) + float(loss.detach()) / len(parts)
    reached = {n: p.grad.clone() for n, p in modules.named_parameters() if p.grad is not None}
    return means, reached


def assert_same(found: tuple[dict, dict], expected: tuple[dict, dict]) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-9)
    norm = torch.cat([gradient.flatten() for gradient in expected[1].values()]).norm()
    for name, gradient in expected[1].items():
        torch.testing.assert_close(
            found[1][name], gradient, rtol=1e-5, atol=1e-8 * float(norm), msg=name
        )


EMPTY = {
    "none": range(0),
    "second half": range(4, 8),
    "all": range(8),
    "some": range(1, 4),
    "all but one": range(1, 8),
}


@pytest.mark.parametrize("contrastive_weight", [0.5, 0.0])
@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
def test_parts_give_the_gradient_of_the_whole(same_points, empty, contrastive_weight):
    modules, batch = make(*NO_NOISE, f"model.contrastive_weight={contrastive_weight}")
    batch = without_objects(batch, empty)
    whole = gradients(modules, [batch])
    for size in (4, 2):
        parts = [cut(batch, first, size) for first in range(0, 8, size)]
        assert_same(gradients(modules, parts), whole)


@pytest.mark.parametrize("contrastive_weight", [0.5, 0.0])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY)
def test_processes_give_the_gradient_of_the_whole(
    same_points, in_processes, empty, parts, contrastive_weight
):
    modules, batch = make(*NO_NOISE, f"model.contrastive_weight={contrastive_weight}")
    batch = without_objects(batch, empty)
    whole = gradients(modules, [batch])

    def share():
        size = 4 // parts
        own = [cut(batch, 4 * rank() + size * part, size) for part in range(parts)]
        return gradients(modules, own)

    first, second = in_processes(share, 2)
    mean_losses = {name: (first[0][name] + second[0][name]) / 2 for name in whole[0]}
    assert_same((mean_losses, first[1]), whole)
    for name, gradient in first[1].items():
        assert torch.equal(gradient, second[1][name]), name


def test_the_second_pass_has_the_noise_of_the_first(monkeypatch):
    """Otherwise the slopes would belong to other queries."""
    modules, batch = make("model.dropout=0.4", "model.backbone_config.drop_path_rate=0.5")
    monkeypatch.setattr(torch, "rand", functools.partial(torch.rand, dtype=torch.float64))
    seen: list[torch.Tensor] = []
    formulate = modules.model._formulate

    def spy(*arguments):
        result = formulate(*arguments)
        seen.append(result[1].detach())
        return result

    monkeypatch.setattr(modules.model, "_formulate", spy)
    parts = [cut(batch, 0, 4), cut(batch, 4, 4)]
    for losses, _ in UpdateLosses(modules)(parts):
        losses[CONTRASTIVE].backward()
    first, second = seen[:2], seen[2:]
    assert len(second) == 2
    for before, after in zip(first, second, strict=True):
        assert torch.equal(before, after)
    assert not torch.equal(first[0], first[1])


def test_weights_that_were_cast_without_a_graph_are_forgotten(same_points, monkeypatch):
    """Under autocast, torch before 2.11 would take them for the first part, and not train it."""
    modules, batch = make(*NO_NOISE)
    done: list[str] = []
    formulate = modules.model.formulate_queries
    monkeypatch.setattr(
        modules.model, "formulate_queries", lambda *a: done.append("queries") or formulate(*a)
    )
    monkeypatch.setattr(torch, "clear_autocast_cache", lambda: done.append("forget"))
    losses = UpdateLosses(modules)
    losses.part.register_forward_pre_hook(lambda *_: done.append("part"))
    with torch.autocast("cpu", torch.bfloat16):  # as long as it lasts, others forget nothing
        for _ in losses([cut(batch, 0, 4), cut(batch, 4, 4)]):
            pass
        own, done = done, []
    assert own == ["queries", "queries", "forget", "part", "part"]


def test_batch_statistics_are_counted_once(same_points):
    small = ResNetConfig(embedding_size=8, hidden_sizes=(8, 16, 16, 32), depths=(1, 1, 1, 1))
    modules, batch = make("model.dropout=0", backbone=small)
    for _ in UpdateLosses(modules)([cut(batch, 0, 4), cut(batch, 4, 4)]):
        pass
    counts = {
        int(buffer) for name, buffer in modules.named_buffers() if "num_batches_tracked" in name
    }
    assert counts == {2}


def test_one_image_alone_has_nothing_to_compare(same_points):
    modules, batch = make(*NO_NOISE)
    ((losses, _),) = UpdateLosses(modules)([cut(batch, 0, 1)])
    assert losses[CONTRASTIVE].item() == 0
    both = [losses for losses, _ in UpdateLosses(modules)([cut(batch, 0, 1), cut(batch, 1, 1)])]
    assert both[0][CONTRASTIVE].item() == both[1][CONTRASTIVE].item() > 0
