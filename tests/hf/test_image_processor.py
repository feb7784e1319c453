"""Images and maps in, tensors out; save and load.

Mutants that must fail: settings of a call kept; targets of a batch mixed up; channels guessed
again after the resize.
"""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from minioneformer.hf.image_processor import OneFormerImageProcessor

CLASSES = {
    str(i): {"name": name, "isthing": int(name != "sky")}
    for i, name in enumerate(("cat", "dog", "sky"))
}
CAT, DOG, SKY = range(3)


@pytest.fixture
def processor(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(CLASSES))
    return OneFormerImageProcessor(
        repo_path=str(tmp_path),
        class_info_file="c.json",
        num_text=3,
        size={"shortest_edge": 8, "longest_edge": 20},
    )


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (12, 18, 3), dtype=np.uint8)


def test_one_image_without_maps(processor, image):
    batch = processor(image, return_tensors="pt")
    assert list(batch) == ["pixel_values", "pixel_mask", "task_inputs"]
    assert batch.pixel_values.shape == (1, 3, 8, 12) and batch.pixel_mask.all()
    assert batch.pixel_values.dtype == torch.float32 and batch.pixel_mask.dtype == torch.int64
    assert batch.task_inputs == ["the task is panoptic"]
    assert processor.preprocess(image)["pixel_values"][0].shape == (3, 8, 12)
    assert OneFormerImageProcessor.model_input_names == list(batch)


def test_images_of_a_batch_are_padded_and_a_bare_string_is_for_all(processor, image):
    batch = processor([image, image[:, :9]], "semantic", return_tensors="pt")
    assert batch.pixel_values.shape == (2, 3, 10, 12)
    assert [int(mask.sum()) for mask in batch.pixel_mask] == [8 * 12, 10 * 8]
    assert not batch.pixel_values[0, :, 8:].any()
    assert batch.task_inputs == ["the task is semantic"] * 2


def test_a_narrow_image_is_read_once(processor):
    """8 x 4 after the resize, which read again could be an image of 4 channels."""
    batch = processor(np.zeros((20, 10, 3), dtype=np.uint8), size={"height": 8, "width": 4})
    assert batch.pixel_values[0].shape == (3, 8, 4)


def test_targets_and_texts_are_those_of_each_image_alone(processor, image):
    segmentation_map = np.full((12, 18), 255)
    segmentation_map[:6], segmentation_map[6:, :9] = 1, 2
    batch = processor(
        [image, image, image],
        ["panoptic", "instance", "instance"],
        [segmentation_map, segmentation_map, np.full((12, 18), 255)],
        [{1: CAT, 2: SKY}, {1: DOG, 2: SKY}, {}],
        ignore_index=255,
        return_tensors="pt",
    )
    assert [labels.tolist() for labels in batch.class_labels] == [[CAT, SKY], [DOG], []]
    assert [tuple(masks.shape) for masks in batch.mask_labels] == [
        (2, 8, 12),
        (1, 8, 12),
        (0, 8, 12),
    ]
    assert batch.mask_labels[0][0].tolist() == [[1.0] * 12] * 4 + [[0.0] * 12] * 4
    assert batch.text_inputs == [
        ["a photo with a cat", "a photo with a sky", "a panoptic photo"],
        ["a photo with a dog", "an instance photo", "an instance photo"],
        ["an instance photo"] * 3,
    ]
    assert processor.ignore_index is None  # it was for that call


def test_settings_can_be_set_later(processor, image):
    processor.num_text = 1
    processor.size = {"height": 6, "width": 7}
    processor.metadata = {"0": "hat", "thing_ids": [0], "class_names": ["hat"]}
    batch = processor(image, "panoptic", np.zeros((12, 18), dtype=np.uint8))
    assert batch.text_inputs == [["a photo with a hat"]]
    assert batch.pixel_values[0].shape == (3, 6, 7)
    assert processor(image, do_resize=False).pixel_values[0].shape == (3, 12, 18)


def test_reduced_labels(processor, image):
    segmentation_map = np.zeros((12, 18), dtype=np.uint8)
    segmentation_map[:, :6], segmentation_map[:, 6:9] = 3, 255
    batch = processor(image, None, segmentation_map, do_reduce_labels=True, ignore_index=255)
    assert batch.class_labels[0].tolist() == [SKY]
    assert batch.mask_labels[0].sum() == 8 * 4


def test_what_is_missing_for_targets_is_named(image):
    processor = OneFormerImageProcessor()
    segmentation_map = np.zeros((12, 18), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"which classes there are is not known"):
        processor(image, "panoptic", segmentation_map)
    processor.metadata = {"0": "sky", "thing_ids": [], "class_names": ["sky"]}
    with pytest.raises(ValueError, match=r"got self\.num_text=None\. Set num_text"):
        processor(image, "panoptic", segmentation_map)


def test_mistakes_are_named(processor, image):
    with pytest.raises(TypeError, match=r"got sizes=5\. Did you mean 'size'\?"):
        processor(image, sizes=5)
    with pytest.raises(TypeError, match="no such setting, got repo_path='x'"):
        processor(image, repo_path="x")
    with pytest.raises(ValueError, match="at least one image"):
        processor([])
    with pytest.raises(ValueError, match="return_tensors='tf'"):
        processor(image, return_tensors="tf")
    with pytest.raises(ValueError, match="the size of its image"):
        processor(image, "panoptic", np.zeros((18, 12), dtype=np.uint8))


def test_encode_inputs_takes_images_as_they_are(processor):
    images = [torch.randn(3, 5, 7), torch.randn(3, 6, 4)]
    maps = [torch.zeros(5, 7, dtype=torch.int64), torch.ones(6, 4, dtype=torch.int64)]
    batch = processor.encode_inputs(images, ["semantic", "panoptic"], maps, return_tensors="pt")
    assert torch.equal(batch.pixel_values[1, :, :6, :4], images[1])
    assert batch.mask_labels[0].shape == (1, 6, 7) and batch.mask_labels[0].sum() == 35
    assert [labels.tolist() for labels in batch.class_labels] == [[CAT], [DOG]]


def test_post_processing_knows_the_metadata(processor):
    outputs = SimpleNamespace(
        class_queries_logits=torch.tensor([[[0.0, 0, 9, 0]] * 2]),
        masks_queries_logits=torch.tensor([[[[9.0, -9, -9]], [[-9.0, -9, 9]]]]),
    )
    (panoptic,) = processor.post_process_panoptic_segmentation(outputs)
    assert panoptic["segmentation"].tolist() == [[1, 0, 1]]
    (separate,) = processor.post_process_panoptic_segmentation(outputs, label_ids_to_fuse=set())
    assert separate["segmentation"].tolist() == [[1, 0, 2]]
    (instance,) = processor.post_process_instance_segmentation(outputs)
    assert instance["segments_info"] == []
    (semantic,) = processor.post_process_semantic_segmentation(outputs, [(2, 6)])
    assert semantic.tolist() == [[SKY] * 6] * 2


def test_a_saved_processor_is_the_same_and_needs_its_folder_alone(processor, tmp_path):
    processor.ignore_index = 255
    folder = processor.save_pretrained(tmp_path / "saved")
    (tmp_path / "c.json").unlink()
    loaded = OneFormerImageProcessor.from_pretrained(folder)
    assert loaded.repo_path == str(folder) and loaded.metadata == processor.metadata
    names = ("size", "num_text", "ignore_index", "class_info_file", "resample", "do_resize")
    assert all(getattr(loaded, name) == getattr(processor, name) for name in names)
    assert OneFormerImageProcessor.from_pretrained(folder, num_text=9).num_text == 9
    with pytest.raises(TypeError, match=r"Did you mean 'num_text'\?"):
        OneFormerImageProcessor.from_pretrained(folder, num_texts=9)


def test_metadata_of_the_settings_serves_where_there_is_no_class_file(processor, tmp_path):
    folder = processor.save_pretrained(tmp_path / "saved")
    values = json.loads((folder / "preprocessor_config.json").read_text())
    values["repo_path"] = "owner/name"
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    (folder / "c.json").unlink()
    assert OneFormerImageProcessor.from_pretrained(folder).metadata == processor.metadata
