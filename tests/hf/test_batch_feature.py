"""A dictionary with attributes, whose tensors move together."""

import copy

import numpy as np
import pytest
import torch

from minioneformer.hf.batch_feature import BatchFeature, check_return_tensors, to_tensors


@pytest.fixture
def batch():
    return BatchFeature(
        pixel_values=[torch.zeros(3, 2, 5), torch.ones(3, 2, 5)],
        pixel_mask=[torch.ones(2, 5, dtype=torch.int64)] * 2,
        mask_labels=[torch.zeros(0, 2, 5), torch.ones(2, 2, 5)],
        task_inputs=["the task is semantic"] * 2,
    )


def test_entries_are_attributes_and_can_be_passed_on(batch):
    assert batch.task_inputs is batch["task_inputs"]
    assert list(dict(**batch)) == list(batch) == list(batch.data)
    assert copy.deepcopy(batch) is not batch
    with pytest.raises(AttributeError, match="no entry 'text_inputs', got 'pixel_values'"):
        _ = batch.text_inputs


def test_the_form_of_the_tensors(batch):
    assert to_tensors(copy.copy(batch), None) == batch
    as_tensors = to_tensors(copy.copy(BatchFeature(batch)), "pt")
    assert as_tensors.pixel_values.shape == (2, 3, 2, 5)
    assert [mask.shape[0] for mask in as_tensors.mask_labels] == [0, 2]
    arrays = to_tensors(BatchFeature(batch), "np")
    assert isinstance(arrays.pixel_mask, np.ndarray) and arrays.pixel_mask.shape == (2, 2, 5)
    assert isinstance(arrays.mask_labels[1], np.ndarray)
    assert arrays.task_inputs == batch.task_inputs


def test_other_forms_are_refused():
    with pytest.raises(ValueError, match="return_tensors='tf'"):
        check_return_tensors("tf")


def test_a_type_converts_floats_alone_and_a_device_moves_everything(batch):
    moved = to_tensors(batch, "pt").to("meta", torch.float16)
    assert moved is batch
    assert batch.pixel_values.dtype == torch.float16 and batch.pixel_mask.dtype == torch.int64
    assert {t.device.type for t in (batch.pixel_values, batch.pixel_mask, *batch.mask_labels)} == {
        "meta"
    }
    assert batch.to(torch.float32).mask_labels[0].dtype == torch.float32
    assert batch.pixel_mask.dtype == torch.int64
