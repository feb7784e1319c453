"""The toy model as files for other programs, and a result from them without PyTorch.

Mutants that must fail: tokens of another task under "panoptic"; colours from 0 to 1; a file that
keeps its name although it does not agree.
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from minioneformer import TASKS, ToyPanoptic, load_pretrained
from minioneformer.export import export_model as module
from minioneformer.export import numpy_post_process as post
from minioneformer.export.export_model import export_model
from minioneformer.export.graph import MAX_RELATIVE_ERROR, example_inputs
from minioneformer.inference.predictor import Predictor

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "export.md"
SCENE_SIZE = (70, 90)  # not multiples of 32


@pytest.fixture(scope="module")
def pretrained():
    return load_pretrained("toy")


@pytest.fixture(scope="module")
def onnx_report(pretrained, tmp_path_factory):
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    pytest.importorskip("onnxruntime", reason="the extra export is not installed")
    path = tmp_path_factory.mktemp("onnx") / "toy.onnx"
    return export_model(pretrained, path, format="onnx", image_size=(96, 128), optimize=False)


def prepared(image: np.ndarray, description: dict) -> np.ndarray:
    """Normalised and padded, with NumPy alone."""
    mean, std = (
        np.array(description[name], dtype=np.float32)[:, None, None]
        for name in ("image_mean", "image_std")
    )
    divisor = description["size_divisor"]
    bottom, right = (-side % divisor for side in image.shape[1:])
    return np.pad((image - mean) / std, ((0, 0), (0, bottom), (0, right)))[None]


@pytest.mark.parity
def test_the_onnx_file_agrees_at_every_size(onnx_report):
    assert onnx_report.dynamic
    assert onnx_report.agreement.image_sizes == ((96, 128), (64, 96), (128, 192))
    assert onnx_report.agreement.max_relative_error < 1e-5 < MAX_RELATIVE_ERROR


@pytest.mark.parity
@pytest.mark.parametrize("index", [0, 3])
def test_results_of_the_onnx_file_by_numpy_equal_ours(onnx_report, pretrained, index):
    import onnxruntime

    image = ToyPanoptic(split="val", size=SCENE_SIZE)[index].image
    options = {"object_threshold": 0.5, "overlap_threshold": 0.6}
    predictor = Predictor(
        model=pretrained.modules.model,
        tokenizer=pretrained.tokenizer,
        categories=pretrained.categories,
        **options,
    )
    description = json.loads(onnx_report.description.read_text())
    is_thing = [row["is_thing"] for row in description["classes"]]
    images = prepared(image.numpy(), description)
    sizes = post.Sizes(padded=images.shape[2:], resized=SCENE_SIZE, original=SCENE_SIZE)
    session = onnxruntime.InferenceSession(
        onnx_report.path, providers=["CPUExecutionProvider"], sess_options=quiet()
    )

    def logits(task):
        tokens = np.array([description["task_tokens"][task]])
        outputs = session.run(None, {"images": images, "task_tokens": tokens})
        return (output[0] for output in outputs)

    segment_map, segments = post.panoptic_segments(*logits("panoptic"), is_thing, sizes, **options)
    ours = predictor.predict(image, "panoptic")
    assert len(segments) > 1
    assert (segment_map == ours.segment_map.numpy()).all()
    assert [(s.id, s.label) for s in segments] == [(s.id, s.label) for s in ours.segments]

    labels = post.semantic_labels(*logits("semantic"), sizes)
    assert (labels == predictor.predict(image, "semantic").label_map.numpy()).all()

    found, wanted = (
        post.instances(*logits("instance"), is_thing, sizes),
        predictor.predict(image, "instance"),
    )
    sure = wanted.scores.numpy() > 0.1  # the order of the others hangs on the last digit
    assert sure.any()
    assert (found.labels[: sure.sum()] == wanted.labels.numpy()[sure]).all()
    assert (found.masks[: sure.sum()] == wanted.masks.numpy()[sure]).all()
    np.testing.assert_allclose(found.scores[: sure.sum()], wanted.scores.numpy()[sure], atol=1e-5)


def quiet():
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options


def test_the_torch_file_agrees_and_is_described(pretrained, tmp_path):
    report = export_model(
        pretrained, tmp_path / "toy.pt2", format="torch", image_size=(64, 96), dynamic=False
    )
    assert report.agreement.image_sizes == ((64, 96),)
    assert report.agreement.max_relative_error < 1e-5
    assert {path.name for path in tmp_path.iterdir()} == {"toy.pt2", "toy.pt2.json"}

    description = json.loads(report.description.read_text())
    assert description["image_size"] == [64, 96]
    assert description["dynamic"] is False
    assert description["image_mean"] == [123.675, 116.280, 103.530]
    assert [row["name"] for row in description["classes"]] == [
        category.name for category in pretrained.categories
    ]
    assert description["classes"][3] == {"label": 3, "name": "circle", "is_thing": True}
    for task in TASKS:
        assert (
            description["task_tokens"][task]
            == pretrained.tokenizer.tokenize(f"the task is {task}", 77)[0]
        )
    assert description["object_threshold"] == pretrained.settings.object_threshold


def test_a_file_that_does_not_agree_is_not_left_behind(pretrained, tmp_path, monkeypatch):
    class Other(torch.nn.Module):
        def forward(self, images, task_tokens):
            return torch.ones(1, 24, 9), torch.ones(1, 24, 16, 16)

    inputs = example_inputs(pretrained.modules.model, (64, 64))
    program = torch.export.export(Other(), inputs, strict=False)
    monkeypatch.setattr(module, "record_program", lambda *_, **__: program)
    with pytest.raises(RuntimeError, match="not the model's"):
        export_model(
            pretrained, tmp_path / "toy.pt2", format="torch", image_size=(64, 64), dynamic=False
        )
    assert list(tmp_path.iterdir()) == []


def test_settings_with_edges_are_described(pretrained, tmp_path):
    settings = dataclasses.replace(pretrained.settings, shortest_edge=640, longest_edge=2560)
    report = module.ExportReport(
        path=tmp_path / "a.onnx",
        description=tmp_path / "a.onnx.json",
        format="onnx",
        image_size=(640, 640),
        dynamic=True,
        agreement=None,
    )
    description = module.describe_export(dataclasses.replace(pretrained, settings=settings), report)
    assert (description["shortest_edge"], description["longest_edge"]) == (640, 2560)
    assert description["agreement"] is None
