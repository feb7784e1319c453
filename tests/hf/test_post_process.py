"""Results in the published form: hand-worked, against loops, and the traps of other code.

Mutants that must fail: raw logits compared with thresholds; the score in the area test; an id
listed twice; a map of -1; stuff among the instances; the quality left out of the score.
"""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.hf.class_info import categories_of
from minioneformer.hf.post_process import instance_results, panoptic_results, semantic_results
from minioneformer.inference.panoptic import panoptic_inference
from minioneformer.inference.semantic import semantic_inference

CAT, DOG, SKY = range(3)
METADATA = {"0": "cat", "1": "dog", "2": "sky", "thing_ids": [CAT, DOG]}
METADATA["class_names"] = ["cat", "dog", "sky"]


def output(scored, masks):
    """Queries as {label: probability}, and their mask probabilities on a row of pixels."""
    probs = torch.full((len(scored), 4), 1e-9)
    for query, chances in enumerate(scored):
        for label, chance in chances.items():
            probs[query, label] = chance
        probs[query, 3] = 1 - sum(chances.values())
    return SimpleNamespace(
        class_queries_logits=probs.clamp(min=1e-9).log()[None],
        masks_queries_logits=torch.tensor(masks).logit()[None, :, None],  # (1, N, 1, W)
    )


def one(results):
    (result,) = results
    assert result["segmentation"].dtype == torch.int32
    return result["segmentation"][0].tolist(), result["segments_info"]


def entries(info):
    return [(entry["id"], entry["label_id"]) for entry in info]


def test_an_instance_is_where_its_mask_is_sure():
    """One cat does not cover the image; the score is 0.9 x (0.8 + 0.6) / 2."""
    outputs = output([{CAT: 0.9}], [[0.8, 0.6, 0.3, 0.01]])
    segmentation, info = one(instance_results(outputs, metadata=METADATA))
    assert segmentation == [1, 1, 0, 0]
    assert info == [{"id": 1, "label_id": CAT, "was_fused": False, "score": 0.63}]


def test_an_instance_has_one_label_and_stuff_is_left_out():
    outputs = output(
        [{CAT: 0.55, DOG: 0.4}, {SKY: 0.9}, {DOG: 0.8}],
        [[0.9, 0.9, 0.1, 0.1], [0.1, 0.9, 0.9, 0.1], [0.1, 0.1, 0.1, 0.9]],
    )
    segmentation, info = one(instance_results(outputs, metadata=METADATA, threshold=0.3))
    assert (segmentation, entries(info)) == ([2, 2, 0, 1], [(1, DOG), (2, CAT)])
    _, info = one(instance_results(outputs, metadata=METADATA, task_type="panoptic"))
    assert entries(info) == [(1, DOG), (2, CAT)]
    _, info = one(instance_results(outputs))  # nobody says that sky is stuff
    assert (1, SKY) in entries(info)
    with pytest.raises(ValueError, match=r"things is not known, got task_type='panoptic'"):
        instance_results(outputs, task_type="panoptic")


def test_the_threshold_of_instances_is_for_demonstrations():
    outputs = output([{CAT: 0.4}], [[0.9, 0.1]])
    assert one(instance_results(outputs, metadata=METADATA)) == ([0, 0], [])
    segmentation, info = one(instance_results(outputs, metadata=METADATA, is_demo=False))
    assert (segmentation, entries(info)) == ([1, 0], [(1, CAT)])


def test_things_of_ade20k_are_numbered_among_themselves_outside_demonstrations():
    metadata = {**METADATA, "thing_ids": [DOG, SKY]}
    outputs = output([{SKY: 0.9}, {CAT: 0.95}], [[0.9, 0.1], [0.1, 0.9]])
    options = {"metadata": metadata, "class_info_file": "ade20k_panoptic.json"}
    assert entries(one(instance_results(outputs, **options))[1]) == [(1, SKY)]
    _, info = one(instance_results(outputs, is_demo=False, **options))
    assert entries(info) == [(1, 1)]  # the second thing; the cat, which is stuff here, is left out
    _, info = one(instance_results(outputs, is_demo=False, task_type="panoptic", **options))
    assert entries(info) == [(1, SKY)]


def test_run_lengths_are_given_on_request_also_of_nothing():
    outputs = output([{CAT: 0.9}], [[0.8, 0.6, 0.3, 0.8]])
    (result,) = instance_results(outputs, metadata=METADATA, return_coco_annotation=True)
    assert result["segmentation"] == [[3, 1], [1, 2, 4, 1]]
    (result,) = instance_results(
        outputs, metadata=METADATA, return_coco_annotation=True, threshold=0.95
    )
    assert result == {"segmentation": [[1, 4]], "segments_info": []}


def test_a_mask_of_0_6_and_a_score_of_0_7_is_a_segment():
    outputs = output([{CAT: 0.7}], [[0.6, 0.6, 0.1]])
    segmentation, info = one(panoptic_results(outputs, metadata=METADATA))
    assert segmentation == [1, 1, 0]
    assert info == [{"id": 1, "label_id": CAT, "was_fused": False, "score": 0.7}]


def test_pixels_below_the_mask_threshold_stay_void():
    outputs = output([{CAT: 0.9}], [[0.9, 0.6, 0.2]])
    assert one(panoptic_results(outputs, metadata=METADATA))[0] == [1, 1, 0]
    # the mask has one pixel now, and owns three
    assert one(panoptic_results(outputs, metadata=METADATA, mask_threshold=0.7))[0] == [1, 0, 0]


def test_an_overlap_of_just_the_threshold_is_enough():
    outputs = output(
        [{CAT: 0.9}, {DOG: 0.8}], [[0.9, 0.1, 0.1, 0.1, 0.1], [0.6, 0.9, 0.9, 0.9, 0.9]]
    )
    segmentation, _ = one(panoptic_results(outputs, metadata=METADATA))
    assert segmentation == [1, 2, 2, 2, 2]  # the dog owns 4 of 5, which is 0.8
    segmentation, _ = one(
        panoptic_results(outputs, metadata=METADATA, overlap_mask_area_threshold=0.81)
    )
    assert segmentation == [1, 0, 0, 0, 0]


STUFF_TWICE = output(
    [{SKY: 0.9}, {CAT: 0.9}, {SKY: 0.8}, {DOG: 0.9}],
    (torch.eye(4) * 0.8 + 0.1).tolist(),
)


def test_ids_are_unique_and_fused_stuff_is_listed_once():
    segmentation, info = one(panoptic_results(STUFF_TWICE, label_ids_to_fuse={SKY}))
    assert segmentation == [1, 2, 1, 3]
    assert entries(info) == [(1, SKY), (2, CAT), (3, DOG)]
    assert [entry["was_fused"] for entry in info] == [True, False, False]
    assert [entry["score"] for entry in info] == pytest.approx([0.9] * 3, abs=1e-5)


def test_what_is_fused_comes_from_the_metadata_unless_it_is_said():
    assert one(panoptic_results(STUFF_TWICE, metadata=METADATA))[0] == [1, 2, 1, 3]
    separate = one(panoptic_results(STUFF_TWICE, metadata=METADATA, label_ids_to_fuse=set()))
    assert separate[0] == [1, 2, 3, 4]


def test_nothing_is_fused_with_a_warning_where_nothing_is_known():
    with pytest.warns(UserWarning, match="label_ids_to_fuse is not given"):
        segmentation, _ = one(panoptic_results(STUFF_TWICE))
    assert segmentation == [1, 2, 3, 4]
    metadata = {"0": "sky", "thing_ids": [], "class_names": ["sky"]}
    with pytest.warns(UserWarning) as caught:
        one(panoptic_results(STUFF_TWICE, metadata=metadata))
    assert "got len(categories)=1 and num_classes=3" in str(caught[0].message)
    with pytest.warns(UserWarning, match="not that of the model"):
        assert len(one(instance_results(STUFF_TWICE, metadata=metadata))[1]) == 4


def test_nothing_found_is_a_map_of_zeros():
    outputs = output([{CAT: 0.3}], [[0.9, 0.9]])
    for function in (panoptic_results, instance_results):
        assert one(function(outputs, metadata=METADATA)) == ([0, 0], [])
        (result,) = function(outputs, metadata=METADATA, target_sizes=[(3, 5)])
        assert result["segmentation"].shape == (3, 5)


def test_padding_is_cut_off_before_the_result_is_made():
    """Two images on a canvas of 16 x 24; the second is 8 x 12, its left half a cat."""
    mask_logits = torch.full((2, 1, 4, 6), -9.0)
    mask_logits[1, :, :2, :2] = 9.0
    mask_logits[1, :, :, 3:] = 9.0  # what the model says of the padding
    outputs = SimpleNamespace(
        class_queries_logits=torch.tensor([9.0, 0, 0, 0]).expand(2, 1, 4),
        masks_queries_logits=mask_logits,
    )
    pixel_mask = torch.zeros(2, 16, 24, dtype=torch.int64)
    pixel_mask[0] = 1
    pixel_mask[1, :8, :12] = 1
    for function in (panoptic_results, instance_results):
        _, second = function(
            outputs, metadata=METADATA, target_sizes=[(16, 24), (8, 12)], pixel_mask=pixel_mask
        )
        expected = [[1] * 8 + [0] * 2 + [0] * 2] * 8
        middle = torch.tensor(expected)[:, :7]
        assert torch.equal(second["segmentation"][:, :7].long(), middle)
        assert not second["segmentation"][:, 9:10].any()
    with_mask = semantic_results(outputs, target_sizes=[(4, 6), (2, 3)], pixel_mask=pixel_mask)
    assert [tuple(m.shape) for m in with_mask] == [(4, 6), (2, 3)]


def test_semantic_votes_by_hand():
    """P = (0.6, 0.3) and (0.1, 0.8), masks 0.9 and 0.5 at a pixel: votes 0.59 and 0.67."""
    outputs = output([{CAT: 0.6, DOG: 0.3}, {CAT: 0.1, DOG: 0.8}], [[0.9], [0.5]])
    (segmentation,) = semantic_results(outputs)
    assert segmentation.dtype == torch.int64 and segmentation.tolist() == [[DOG]]
    (scored,) = semantic_results(outputs, return_segmentation_scores=True)
    assert scored.segmentation.tolist() == [[DOG]]
    assert scored.segmentation_scores[:2].flatten().tolist() == pytest.approx([0.59, 0.67])


def test_logits_are_resized_and_not_votes():
    """Between logits 8 and -2 the middle is 3, a probability of 0.95, and not of 0.56."""
    outputs = output([{CAT: 1.0 - 1e-6}], [[0.5, 0.5]])
    outputs.masks_queries_logits = torch.tensor([[[[8.0, -2.0]]]])
    (scored,) = semantic_results(outputs, target_sizes=[(1, 3)], return_segmentation_scores=True)
    assert scored.segmentation_scores[CAT, 0, 1].item() == pytest.approx(0.9526, abs=1e-4)


def test_gradients_are_not_recorded_and_half_precision_works():
    outputs = SimpleNamespace(
        class_queries_logits=torch.randn(1, 5, 4).half().requires_grad_(),
        masks_queries_logits=torch.randn(1, 5, 3, 7).half().requires_grad_(),
    )
    (scored,) = semantic_results(outputs, target_sizes=[(6, 9)], return_segmentation_scores=True)
    assert not scored.segmentation_scores.requires_grad
    panoptic_results(outputs, metadata=METADATA)


def test_logits_that_are_not_finite_are_refused():
    outputs = output([{CAT: 0.9}], [[0.9]])
    outputs.class_queries_logits[0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="class_logits must be finite, got broken=1"):
        panoptic_results(outputs, metadata=METADATA)


@st.composite
def adversarial(draw):
    """Logits with ties, empty masks, full masks, and probabilities on the thresholds."""
    queries, height, width = (
        draw(st.integers(1, 6)),
        draw(st.integers(1, 4)),
        draw(st.integers(1, 5)),
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**20)))
    levels = torch.tensor(
        draw(st.sampled_from([[-1.0, 0.0, 1.0], [-20.0, 20.0], [-3.0, 0.0, 0.1, 3.0]]))
    )
    pick = torch.randint(len(levels), (2, queries, height, width), generator=generator)
    classes = torch.tensor([0.0, 1.0, 4.0])[torch.randint(3, (2, queries, 4), generator=generator)]
    return SimpleNamespace(class_queries_logits=classes, masks_queries_logits=levels[pick])


def loops(scores, labels, probs, fused, overlap):
    """The original rules, pixel by pixel: (map, [(label, candidate)])."""
    height, width = probs.shape[1:]
    result, kept, id_of_label = torch.zeros(height, width, dtype=torch.int32), [], {}
    places = [(y, x) for y in range(height) for x in range(width)]
    owner = {
        p: max(range(len(scores)), key=lambda q: (scores[q] * probs[q][p], -q)) for p in places
    }
    for q, label in enumerate(labels):
        mine = [p for p in places if owner[p] == q]
        inside = [p for p in places if probs[q][p] >= 0.5]
        paint = [p for p in mine if probs[q][p] >= 0.5]
        if not mine or not inside or not paint or len(mine) / len(inside) < overlap:
            continue
        if label not in fused or label not in id_of_label:
            kept.append((label, q))
            id_of_label[label] = len(kept)
        for p in paint:
            result[p] = id_of_label[label] if label in fused else len(kept)
    return result, kept


@settings(max_examples=25, deadline=None)
@given(adversarial())
def test_panoptic_results_are_those_of_loops_and_of_the_predictor(outputs):
    results = panoptic_results(outputs, metadata=METADATA)
    for i, result in enumerate(results):
        scores, labels = outputs.class_queries_logits[i].softmax(-1).max(-1)
        keep = (labels != 3) & (scores > 0.5)
        if keep.any():
            segmentation, kept = loops(
                scores[keep],
                labels[keep].tolist(),
                outputs.masks_queries_logits[i][keep].sigmoid(),
                {SKY},
                0.8,
            )
            assert torch.equal(result["segmentation"], segmentation)
            assert entries(result["segments_info"]) == [
                (n, label) for n, (label, _) in enumerate(kept, start=1)
            ]
        prediction = panoptic_inference(
            outputs.class_queries_logits[i],
            outputs.masks_queries_logits[i],
            categories_of(METADATA),
            object_threshold=0.5,
        )
        assert torch.equal(result["segmentation"].long(), prediction.segment_map)
        assert entries(result["segments_info"]) == [(s.id, s.label) for s in prediction.segments]


@settings(max_examples=25, deadline=None)
@given(adversarial())
def test_instance_results_are_those_of_loops(outputs):
    results = instance_results(outputs, metadata=METADATA, threshold=0.2)
    for i, result in enumerate(results):
        probs = outputs.class_queries_logits[i].softmax(-1)[:, :3]
        masks = outputs.masks_queries_logits[i].sigmoid()
        pairs = sorted(
            ((q, k) for q in range(len(probs)) for k in range(3)), key=lambda p: -probs[p].item()
        )[: len(probs)]
        pairs = [p for p in pairs if p[1] != SKY and probs[p] > 0.2]
        if not pairs:
            assert not result["segmentation"].any() and result["segments_info"] == []
            continue
        segmentation, kept = loops(
            [probs[p] for p in pairs], [k for _, k in pairs], masks[[q for q, _ in pairs]], (), 0.8
        )
        assert torch.equal(result["segmentation"], segmentation)
        for entry, (label, candidate) in zip(result["segments_info"], kept, strict=True):
            mask = masks[pairs[candidate][0]]
            inside = mask[mask > 0.5]
            quality = inside.mean().item() if len(inside) else 0.0
            assert entry["label_id"] == label
            assert entry["score"] == pytest.approx(
                probs[pairs[candidate]].item() * quality, abs=1e-5
            )


@settings(max_examples=25, deadline=None)
@given(adversarial())
def test_semantic_results_are_those_of_the_predictor(outputs):
    for i, segmentation in enumerate(semantic_results(outputs)):
        prediction = semantic_inference(
            outputs.class_queries_logits[i], outputs.masks_queries_logits[i]
        )
        assert torch.equal(segmentation, prediction.label_map)
