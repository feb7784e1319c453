"""Images, tasks and texts become what the model takes.

Mutants that must fail: one length for both kinds of text; texts of one image for all.
"""

import json

import numpy as np
import pytest
import torch

from minioneformer.hf.image_processor import OneFormerImageProcessor
from minioneformer.hf.processor import OneFormerProcessor
from minioneformer.text.tokenizer import BPETokenizer

CLASSES = {"0": {"name": "cat", "isthing": 1}, "1": {"name": "sky", "isthing": 0}}


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.shipped()


@pytest.fixture
def processor(tmp_path, tokenizer):
    (tmp_path / "c.json").write_text(json.dumps(CLASSES))
    image_processor = OneFormerImageProcessor(
        repo_path=str(tmp_path), class_info_file="c.json", num_text=2, size=8
    )
    return OneFormerProcessor(image_processor, tokenizer, max_seq_length=30, task_seq_length=20)


@pytest.fixture
def image():
    return np.zeros((8, 12, 3), dtype=np.uint8)


def test_the_published_lengths_are_the_defaults(tokenizer):
    processor = OneFormerProcessor(OneFormerImageProcessor(), tokenizer)
    assert (processor.max_seq_length, processor.task_seq_length) == (77, 77)


def test_tasks_and_texts_are_token_ids(processor, tokenizer, image):
    maps = [np.zeros((8, 12), dtype=np.uint8), np.ones((8, 12), dtype=np.uint8)]
    batch = processor([image, image], ["semantic", "panoptic"], maps, return_tensors="pt")
    assert batch.task_inputs.shape == (2, 20) and batch.text_inputs.shape == (2, 2, 30)
    assert batch.task_inputs.dtype == batch.text_inputs.dtype == torch.int64
    prompts = ["the task is semantic", "the task is panoptic"]
    assert batch.task_inputs.tolist() == tokenizer.tokenize(prompts, 20)
    texts = [["a photo with a cat", "a semantic photo"], ["a photo with a sky", "a panoptic photo"]]
    assert [rows.tolist() for rows in batch.text_inputs] == [
        tokenizer.tokenize(row, 30) for row in texts
    ]


def test_a_bare_string_is_a_task_and_arrays_are_given_on_request(processor, image):
    batch = processor([image, image], "instance", return_tensors="np")
    assert isinstance(batch.task_inputs, np.ndarray) and batch.task_inputs.shape == (2, 20)
    assert (batch.task_inputs[0] == batch.task_inputs[1]).all()
    assert processor(image, "instance").task_inputs.shape == (1, 20)


def test_encode_inputs_tokenizes_too(processor, image):
    ready = torch.randn(3, 5, 7)
    batch = processor.encode_inputs(
        [ready], ["panoptic"], [torch.tensor([[0, 255, 1, 1, 1, 1, 1]] * 5)], ignore_index=255
    )
    assert torch.equal(batch.pixel_values[0], ready)
    assert batch.text_inputs.shape == (1, 2, 30)
    assert batch.class_labels[0].tolist() == [0, 1]


def test_images_and_tasks_are_needed(processor, image):
    for function in (processor, processor.encode_inputs):
        with pytest.raises(ValueError, match="images are needed, got images=None"):
            function(None, ["panoptic"])
        with pytest.raises(ValueError, match="a task is needed, got task_inputs=None"):
            function(image)
        with pytest.raises(ValueError, match=r"got task='semantik'\. Did you mean 'semantic'\?"):
            function(image, ["semantik"])


def test_results_come_from_the_image_processor(processor):
    class Output:
        class_queries_logits = torch.tensor([[[0.0, 9, 0]]])
        masks_queries_logits = torch.tensor([[[[9.0, -9]]]])

    sizes = [(2, 4)]
    (semantic,) = processor.post_process_semantic_segmentation(Output(), sizes)
    assert semantic.shape == (2, 4)
    (instance,) = processor.post_process_instance_segmentation(Output(), target_sizes=sizes)
    assert instance["segments_info"] == []
    (panoptic,) = processor.post_process_panoptic_segmentation(Output(), target_sizes=sizes)
    assert panoptic["segmentation"].tolist() == [[1, 1, 0, 0]] * 2


def test_a_saved_processor_gives_the_same(processor, image, tmp_path):
    folder = processor.save_pretrained(tmp_path / "saved")
    loaded = OneFormerProcessor.from_pretrained(folder)
    assert (loaded.max_seq_length, loaded.task_seq_length) == (30, 20)
    maps = np.ones((8, 12), dtype=np.uint8)
    first, second = (p(image, "panoptic", maps, return_tensors="pt") for p in (processor, loaded))
    assert torch.equal(first.text_inputs, second.text_inputs)
    assert torch.equal(first.pixel_values, second.pixel_values)
    other = OneFormerProcessor.from_pretrained(folder, max_seq_length=9, num_text=4)
    assert (other.max_seq_length, other.image_processor.num_text) == (9, 4)
    with pytest.raises(TypeError, match=r"Did you mean 'max_seq_length'\?"):
        OneFormerProcessor.from_pretrained(folder, max_seq_len=9)


def test_a_folder_without_a_vocabulary_is_refused(processor, tmp_path):
    folder = processor.image_processor.save_pretrained(tmp_path / "saved")
    with pytest.raises(FileNotFoundError, match=r"no file .*vocab\.json"):
        OneFormerProcessor.from_pretrained(folder)
