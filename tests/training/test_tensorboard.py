"""What is written is read back with TensorBoard's own reader.

Mutants that must fail: no purging after a resumption; pictures of other steps; the figures of an
earlier evaluation; a missing package noticed only at the first step.
"""

import importlib.util
import io
import json

import numpy as np
import pytest
from PIL import Image

from minioneformer.training import tensorboard
from minioneformer.training.tensorboard import TensorBoardWriter, tag

ROW = {"loss": 3.0, "loss_mask": 1.0, "auxiliary_loss_mask": 2.0, "lr": 0.1, "seconds": 0.5}


@pytest.fixture
def read(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def reader():
        events = EventAccumulator(str(tmp_path / "tensorboard"))
        events.Reload()
        return events

    return reader


def evaluate(folder, step, **figures):
    with (folder / "evaluations.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, **figures}) + "\n")
    (folder / "samples").mkdir(exist_ok=True)
    Image.new("RGB", (9, 5), (step, 0, 250)).save(folder / "samples" / f"step_{step:08d}.png")


def points(events, name):
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)]


def run(folder, steps, factor=1.0):
    writer = TensorBoardWriter(folder)
    for step in steps:
        writer({"step": step, **{name: factor * value for name, value in ROW.items()}})
    writer.close()


def test_every_value_of_a_row_comes_back(tmp_path, read):
    run(tmp_path, [1, 2])
    events = read()
    assert set(events.Tags()["scalars"]) == {tag(name) for name in ROW}
    assert points(events, "loss/total") == [(1, 3.0), (2, 3.0)]
    assert points(events, "auxiliary/mask") == [(1, 2.0), (2, 2.0)]
    assert points(events, "optimization/lr") == [(1, 0.1), (2, 0.1)]


def test_figures_and_pictures_come_after_an_evaluation(tmp_path, read):
    writer = TensorBoardWriter(tmp_path)
    writer({"step": 1, "loss": 3.0})
    evaluate(tmp_path, 2, pq=12.5, ap=None)
    writer({"step": 2, "loss": 2.0})
    writer({"step": 3, "loss": 1.0})
    events = read()  # evaluations are written out at once
    assert points(events, "evaluation/pq") == [(2, 12.5)]
    assert "evaluation/ap" not in events.Tags()["scalars"]
    (image,) = events.Images("predictions")
    pixels = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
    assert (image.step, pixels.shape) == (2, (5, 9, 3))
    assert (pixels == (2, 0, 250)).all()
    writer.close()


def test_a_resumed_run_hides_the_steps_that_it_does_again(tmp_path, read):
    run(tmp_path, [1, 2, 3, 4])
    run(tmp_path, [3, 4, 5], factor=2.0)
    assert points(read(), "loss/total") == [(1, 3.0), (2, 3.0), (3, 6.0), (4, 6.0), (5, 6.0)]


def test_nothing_is_written_before_the_first_step(tmp_path):
    pytest.importorskip("tensorboard")
    writer = TensorBoardWriter(tmp_path)
    writer.close()
    assert list(tmp_path.iterdir()) == []


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr(tensorboard, "is_main", lambda: False)
    run(tmp_path, [1, 2])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'minioneformer\[tensorboard\]'"):
        TensorBoardWriter(tmp_path)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("loss", "loss/total"),
        ("loss_contrastive", "loss/contrastive"),
        ("auxiliary_loss_mask", "auxiliary/mask"),
        ("matched_accuracy", "optimization/matched_accuracy"),
        ("lr_backbone", "optimization/lr_backbone"),
        ("images_per_second", "speed/images_per_second"),
        ("memory_gib", "speed/memory_gib"),
    ],
)
def test_values_are_grouped(name, shown):
    assert tag(name) == shown
