"""A model of transformers, saved to disk, opened here: every field of the output is the same, and
transformers opens what we save.

Mutants that must fail: a table that swaps two names of the same shape; heads of the cross-attention
not averaged; hidden states in another order; a weight lost on the way back.
"""

import pytest
import torch
from torch import nn

from minioneformer.checkpoints.model_folder import read_model
from minioneformer.hf.modeling import OneFormerForUniversalSegmentation

pytestmark = [
    pytest.mark.parity,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

STAGES = ["stage1", "stage2", "stage3", "stage4"]
# backbone, K, N: each value of K and N of the published models is there
CASES = {
    "swin_window_7": (
        "SwinConfig",
        {"embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24], "window_size": 7},
        19,
        100,
    ),
    "swin_window_12": (
        "SwinConfig",
        {"embed_dim": 32, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 4, 8], "window_size": 12},
        133,
        150,
    ),
    "convnext": (
        "ConvNextConfig",
        {"hidden_sizes": [24, 48, 96, 192], "depths": [2, 2, 3, 2], "layer_scale_init_value": 1.0},
        150,
        250,
    ),
    "resnet": (
        "ResNetConfig",
        {"depths": [2, 2, 3, 2], "hidden_sizes": [64, 128, 256, 512], "embedding_size": 32},
        150,
        150,
    ),
}


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory):
    """A model of transformers with random weights throughout, its folder, and ours from it."""
    transformers = pytest.importorskip("transformers")
    kind, sizes, num_classes, num_queries = CASES[request.param]
    config = transformers.OneFormerConfig(
        backbone_config=getattr(transformers, kind)(**sizes, out_features=STAGES),
        num_labels=num_classes,
        num_queries=num_queries,
    )
    torch.manual_seed(0)
    theirs = transformers.OneFormerForUniversalSegmentation(config).eval()
    with torch.no_grad():
        for name, value in theirs.state_dict().items():
            if value.is_floating_point():
                # zeros and ones would hide a mistaken name; variances must stay positive
                noise = torch.randn_like(value) * 0.05
                value += noise.abs() if name.endswith("running_var") else noise
    folder = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(folder)
    ours = OneFormerForUniversalSegmentation.from_pretrained(folder)
    return theirs, ours, folder


def flat(value: object, name: str) -> dict[str, torch.Tensor]:
    """Every tensor in nested tuples and dictionaries, by its path."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    items = value.items() if hasattr(value, "items") else enumerate(value)
    return {k: v for key, entry in items for k, v in flat(entry, f"{name}.{key}").items()}


def batch(size: tuple[int, int], images: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(size))
    pixel_values = torch.randn(images, 3, *size, generator=generator, dtype=torch.float64)
    pixel_mask = torch.ones(images, *size, dtype=torch.int64)
    pixel_mask[1:, size[0] - 40 :] = 0
    tasks = torch.zeros(images, 77, dtype=torch.int64)
    for row, task in zip(tasks, (29119, 1072), strict=False):
        row[:5] = torch.tensor([49406, 518, 10549, task, 49407])
    return {
        "pixel_values": pixel_values * pixel_mask[:, None],
        "pixel_mask": pixel_mask,
        "task_inputs": tasks,
    }


@pytest.mark.parametrize(
    ("size", "images", "attentions"),
    [((131, 150), 1, True), ((200, 333), 1, False), ((96, 130), 2, False)],
)
def test_every_field_of_the_output_is_the_same(pair, size, images, attentions):
    theirs, ours = (model.to(torch.float64) for model in pair[:2])
    inputs = batch(size, images)
    with torch.no_grad():
        found = ours(**inputs, output_attentions=attentions)
        expected = theirs(
            **inputs | {"task_inputs": inputs["task_inputs"].double()},
            output_attentions=attentions,
        )
    assert set(found.keys()) - {"pixel_mask"} == set(expected.keys())
    for name, values in expected.items():
        mine, his = flat(found[name], name), flat(values, name)
        assert mine.keys() == his.keys()
        for key, value in his.items():
            worst = float((mine[key] - value).abs().max() / value.abs().max().clamp(min=1e-9))
            assert mine[key].shape == value.shape and worst < 1e-4, f"{key}: {worst:.1e}"
    assert len(found.attentions) == 9


def test_transformers_opens_what_is_saved_and_answers_the_same(pair, tmp_path):
    theirs, ours, _ = (pair[0].double(), pair[1].float(), pair[2])
    ours.save_pretrained(tmp_path)
    again, info = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert {kind: names for kind, names in info.items() if names} == {}
    inputs = batch((64, 96), 1)
    inputs["task_inputs"] = inputs["task_inputs"].double()
    with torch.no_grad():
        found, expected = again.double().eval()(**inputs), theirs(**inputs)
    torch.testing.assert_close(found.class_queries_logits, expected.class_queries_logits)
    torch.testing.assert_close(found.masks_queries_logits, expected.masks_queries_logits)


def test_shards_and_older_files_are_read(pair, tmp_path):
    theirs, ours, _ = pair
    theirs.float().save_pretrained(tmp_path / "shards", max_shard_size="1MB")
    theirs.config.save_pretrained(tmp_path / "old")
    torch.save(theirs.state_dict(), tmp_path / "old" / "pytorch_model.bin")  # names in memory
    theirs.model.save_pretrained(tmp_path / "bare")  # no criterion, no prefix
    expected = dict(ours.float().model.oneformer.state_dict())
    for name in ("shards", "old", "bare"):
        found = read_model(tmp_path / name)[1].model.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected), name


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_as_many_parameters_but_for_a_norm_that_nothing_reads(pair):
    theirs, ours, _ = pair
    unused = sum(
        p.numel() for name, p in theirs.named_parameters() if ".encoder.swin.layernorm." in name
    )
    assert count(ours) == count(theirs) - unused
