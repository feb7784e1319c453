"""NumPy alone gives what `inference/` gives.

Mutants that must fail: align_corners; the sigmoid before the resize; no cropping of the padding;
`>=` for the object threshold; things fused like stuff; scores without the mask's share.
"""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.export import numpy_post_process as post
from minioneformer.inference.instance import instance_inference
from minioneformer.inference.panoptic import panoptic_inference
from minioneformer.inference.semantic import semantic_inference
from minioneformer.inference.upsample import ImageSizes, upsample_logits
from minioneformer.structures import Category

IS_THING = [False, True, True, False, True]
CATEGORIES = [
    Category(name=f"class {i}", is_thing=thing, color=(0, 0, 0), dataset_id=i)
    for i, thing in enumerate(IS_THING)
]
PADDED, RESIZED, ORIGINAL = (64, 96), (50, 83), (75, 41)
SIZES = post.Sizes(padded=PADDED, resized=RESIZED, original=ORIGINAL)


def random_logits(seed: int, queries: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    """Confident classes and smooth masks."""
    rng = torch.Generator().manual_seed(seed)
    classes = 4 * torch.randn(queries, len(IS_THING) + 1, generator=rng)
    blobs = torch.randn(1, queries, 4, 6, generator=rng)
    masks = 6 * F.interpolate(blobs, (PADDED[0] // 4, PADDED[1] // 4), mode="bicubic")[0]
    return classes, masks


def at_original_size(masks: torch.Tensor) -> torch.Tensor:
    return upsample_logits(masks, ImageSizes(original=ORIGINAL, resized=RESIZED, padded=PADDED))


def logit(*probs: float) -> np.ndarray:
    return np.log(np.array(probs) / (1 - np.array(probs))).astype(np.float32)


def sure(*labels: int, num_classes: int) -> np.ndarray:
    return 100 * np.eye(num_classes + 1, dtype=np.float32)[list(labels)]


def test_the_file_needs_numpy_alone():
    tree = ast.parse(Path(post.__file__).read_text())
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported == {"__future__", "collections", "dataclasses", "typing", "numpy"}


@settings(max_examples=25, deadline=None)
@given(*[st.integers(1, 17)] * 4)
def test_resizing_is_that_of_torch(old_height, old_width, height, width):
    masks = torch.randn(2, old_height, old_width)
    wanted = F.interpolate(masks[None], (height, width), mode="bilinear", align_corners=False)[0]
    got = post.resize_bilinear(masks.numpy(), (height, width))
    np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_resizing_by_hand():
    row = np.array([[[0.0, 4.0]]], dtype=np.float32)
    assert post.resize_bilinear(row, (1, 4)).tolist() == [[[0.0, 1.0, 3.0, 4.0]]]


def test_sigmoid_by_hand():
    with np.errstate(all="raise", under="ignore"):
        probs = post.sigmoid(np.array([0.0, -200.0, 200.0, np.log(3)], dtype=np.float32))
    np.testing.assert_allclose(probs, [0.5, 0.0, 1.0, 0.75], atol=1e-7)


def test_votes_by_hand():
    """Votes 0.59 and 0.67."""
    classes = np.log(np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1]]))
    masks = logit(0.9, 0.5).reshape(2, 1, 1)
    assert post.semantic_labels(classes, masks).tolist() == [[1]]


def test_the_score_of_an_instance_by_hand():
    """0.9 x 0.7."""
    found = post.instances(np.log([[0.9, 0.1]]), logit(0.8, 0.6, 0.3).reshape(1, 1, 3), [True])
    assert found.masks.tolist() == [[[True, True, False]]]
    np.testing.assert_allclose(found.scores, [0.63], atol=1e-6)


def test_a_query_that_loses_half_of_its_mask_is_dropped():
    masks = np.stack([logit(0.9, 0.9, 0.2), logit(0.2, 0.6, 0.9)])[:, None]
    segment_map, segments = post.panoptic_segments(sure(0, 1, num_classes=2), masks, [True, True])
    assert segment_map.tolist() == [[1, 1, 0]]
    assert [(s.id, s.label) for s in segments] == [(1, 0)]


@pytest.mark.parametrize(("is_thing", "wanted"), [(True, [1, 2]), (False, [1, 1])])
def test_stuff_is_fused_and_things_are_not(is_thing, wanted):
    masks = np.stack([logit(0.9, 0.2), logit(0.2, 0.9)])[:, None]
    segment_map, segments = post.panoptic_segments(sure(0, 0, num_classes=1), masks, [is_thing])
    assert segment_map.tolist() == [wanted]
    assert len(segments) == max(wanted)


@pytest.mark.parametrize("seed", range(4))
def test_labels_equal_ours(seed):
    classes, masks = random_logits(seed)
    ours = semantic_inference(classes, at_original_size(masks))
    got = post.semantic_labels(classes.numpy(), masks.numpy(), SIZES)
    assert (got == ours.label_map.numpy()).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limits", [(None, None), (5, 0.2), (40, None)])
def test_instances_equal_ours(seed, limits):
    classes, masks = random_logits(seed)
    options = {"num_instances": limits[0], "class_threshold": limits[1]}
    ours = instance_inference(classes, at_original_size(masks), CATEGORIES, **options)
    got = post.instances(classes.numpy(), masks.numpy(), IS_THING, SIZES, **options)
    assert len(ours.labels) > 0
    np.testing.assert_allclose(got.scores, ours.scores.numpy(), rtol=1e-5, atol=1e-7)
    assert (got.labels == ours.labels.numpy()).all()
    assert (got.masks == ours.masks.numpy()).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("thresholds", [(0.8, 0.8), (0.5, 0.3), (0.0, 0.0)])
def test_segments_equal_ours(seed, thresholds):
    classes, masks = random_logits(seed)
    options = dict(zip(("object_threshold", "overlap_threshold"), thresholds, strict=True))
    ours = panoptic_inference(classes, at_original_size(masks), CATEGORIES, **options)
    segment_map, segments = post.panoptic_segments(
        classes.numpy(), masks.numpy(), IS_THING, SIZES, **options
    )
    assert (segment_map == ours.segment_map.numpy()).all()
    assert [(s.id, s.label) for s in segments] == [(s.id, s.label) for s in ours.segments]
    np.testing.assert_allclose(
        [s.score for s in segments], [s.score for s in ours.segments], rtol=1e-5
    )


def test_nothing_sure_is_an_empty_map():
    classes, masks = random_logits(0)
    found = post.panoptic_segments(
        0 * classes.numpy(), masks.numpy(), IS_THING, SIZES, object_threshold=0.9
    )
    assert found[0].shape == ORIGINAL
    assert not found[0].any()
    assert found[1] == []
    none = post.instances(0 * classes.numpy(), masks.numpy(), IS_THING, SIZES, class_threshold=0.9)
    assert none.masks.shape == (0, *ORIGINAL)


def test_logits_that_are_not_finite_are_refused():
    classes, masks = (x.numpy() for x in random_logits(0))
    classes[3, 1] = np.nan
    with pytest.raises(ValueError, match="broken=1"):
        post.semantic_labels(classes, masks)


def test_no_queries_are_refused():
    with pytest.raises(ValueError, match="needs queries"):
        post.semantic_labels(np.zeros((0, 3)), np.zeros((0, 4, 4)))


@pytest.mark.parametrize("decode", [post.instances, post.panoptic_segments])
def test_classes_of_another_number_are_refused(decode):
    classes, masks = (x.numpy() for x in random_logits(0))
    with pytest.raises(ValueError, match=r"num_classes=5, len\(is_thing\)=2"):
        decode(classes, masks, [True, False])
