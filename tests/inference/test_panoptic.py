"""Segments without overlap: hand-worked, against loops, and the traps of other code.

Mutants that must fail: `>= 0.5` to `> 0.5`; `<` to `<=` in the overlap test; owner by probability
alone; owned pixels below 0.5 painted; stuff not fused; ids rewound after fusing.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minioneformer.inference.candidates import Candidates, panoptic_candidates
from minioneformer.inference.panoptic import (
    merge_masks,
    panoptic_from_chunks,
    panoptic_inference,
)
from minioneformer.structures import Category

THING, OTHER_THING, STUFF = range(3)
CLASSES = [
    Category(name=f"class {i}", is_thing=i != STUFF, color=(i, i, i), dataset_id=i)
    for i in range(3)
]


def run(scored, masks, overlap_threshold=0.8, object_threshold=0.5):
    """Queries as (label, score) and their mask probabilities on a row of pixels."""
    probs = torch.zeros(len(scored), 4)
    for q, (label, score) in enumerate(scored):
        probs[q, label], probs[q, 3] = score, 1 - score
    mask_logits = torch.logit(torch.tensor(masks))[:, None]
    return panoptic_inference(
        torch.log(probs.clamp(min=1e-20)),
        mask_logits,
        CLASSES,
        object_threshold=object_threshold,
        overlap_threshold=overlap_threshold,
    )


def entries(result):
    return [(s.id, s.label) for s in result.segments]


def test_the_docstring_example():
    result = run([(THING, 0.999), (THING, 0.999)], [[0.9, 0.9, 0.2], [0.2, 0.6, 0.9]])
    assert result.segment_map.tolist() == [[1, 1, 0]]
    assert entries(result) == [(1, THING)]
    assert result.segments[0].score == pytest.approx(0.999)


def test_score_times_probability_decides_who_owns_a_pixel():
    result = run([(THING, 0.9), (OTHER_THING, 0.6)], [[0.7, 0.7, 0.7], [0.8, 0.2, 0.99]], 0.1)
    # 0.63 against 0.48, 0.12 and 0.594
    assert result.segment_map.tolist() == [[1, 1, 1]]


def test_a_probability_of_one_half_is_inside_and_less_is_not_painted():
    result = run([(THING, 0.9)], [[0.5, 0.4999, 0.9]])
    assert result.segment_map.tolist() == [[1, 0, 1]]


@pytest.mark.parametrize(("threshold", "kept"), [(0.5, True), (0.51, False)])
def test_an_overlap_equal_to_the_threshold_is_enough(threshold, kept):
    result = run([(THING, 0.9), (OTHER_THING, 0.9)], [[0.9, 0.9, 0.2], [0.2, 0.6, 0.9]], threshold)
    assert entries(result) == [(1, THING), (2, OTHER_THING)][: 1 + kept]


def test_owned_pixels_below_one_half_count_for_the_overlap():
    # owns three pixels, its mask has two: 3 / 2 passes; the third is not painted
    result = run([(THING, 0.9)], [[0.9, 0.9, 0.3]], 1.0)
    assert result.segment_map.tolist() == [[1, 1, 0]]


def test_a_mask_that_owns_no_pixel_inside_itself_is_dropped():
    result = run([(THING, 0.99), (OTHER_THING, 0.9)], [[0.9, 0.2, 0.2], [0.6, 0.3, 0.3]], 0.0)
    assert entries(result) == [(1, THING)]


def test_stuff_is_one_segment_with_the_score_of_its_first_query():
    result = run(
        [(STUFF, 0.8), (THING, 0.9), (STUFF, 0.95), (OTHER_THING, 0.7)],
        [[0.9, 0.1, 0.1, 0.1], [0.1, 0.9, 0.1, 0.1], [0.1, 0.1, 0.9, 0.1], [0.1, 0.1, 0.1, 0.9]],
    )
    # subtle: the id after a fused query must be a new one
    assert result.segment_map.tolist() == [[1, 2, 1, 3]]
    assert entries(result) == [(1, STUFF), (2, THING), (3, OTHER_THING)]
    assert result.segments[0].score == pytest.approx(0.8)


def test_things_of_one_class_stay_apart():
    result = run([(THING, 0.9)] * 2, [[0.9, 0.1], [0.1, 0.9]])
    assert result.segment_map.tolist() == [[1, 2]]


def test_the_class_score_does_not_shrink_a_mask():
    assert run([(THING, 0.7)], [[0.6, 0.6]]).segment_map.tolist() == [[1, 1]]


def test_nothing_sure_gives_an_empty_map():
    result = run([(THING, 0.4)], [[0.9, 0.9, 0.9]])
    assert result.segment_map.tolist() == [[0, 0, 0]]
    assert result.segments == ()


def test_of_equal_queries_the_first_owns():
    result = run([(THING, 0.9), (OTHER_THING, 0.9)], [[0.9, 0.9], [0.9, 0.9]])
    assert entries(result) == [(1, THING)]


def test_of_equal_queries_in_two_chunks_the_first_owns():
    candidates = Candidates(
        queries=torch.tensor([0, 1]),
        labels=torch.tensor([THING, OTHER_THING]),
        scores=torch.tensor([0.9, 0.9]),
    )
    chunks = torch.ones(2, 3, 5).split(1)
    assert entries(panoptic_from_chunks(candidates, chunks, (3, 5), CLASSES)) == [(1, THING)]


def slow_panoptic(class_logits, mask_logits, object_threshold, overlap_threshold):
    """The rules, query by query and pixel by pixel."""
    scores, labels = class_logits.softmax(-1).max(-1)
    kept = [
        q for q in range(len(labels)) if labels[q] != len(CLASSES) and scores[q] > object_threshold
    ]
    probs = mask_logits.sigmoid()
    H, W = mask_logits.shape[1:]
    pixels = [(y, x) for y in range(H) for x in range(W)]
    owner = {p: max(kept, key=lambda q: scores[q] * probs[q][p]) for p in pixels if kept}
    segment_map, segments, stuff = [[0] * W for _ in range(H)], [], {}
    for q in kept:
        inside = {p for p in pixels if probs[q][p] >= 0.5}
        owned = {p for p in pixels if owner[p] == q}
        if not inside & owned or len(owned) / len(inside) < overlap_threshold:
            continue
        label = int(labels[q])
        segment_id = stuff.get(label, len(segments) + 1)
        if label not in stuff:
            segments.append((segment_id, label))
        if not CLASSES[label].is_thing:
            stuff[label] = segment_id
        for y, x in inside & owned:
            segment_map[y][x] = segment_id
    return segment_map, segments


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.6, 0.8]), st.integers(1, 5))
def test_it_agrees_with_loops_and_chunks_change_nothing(seed, overlap_threshold, chunk):
    rng = torch.Generator().manual_seed(seed)
    class_logits = torch.randn(7, 4, generator=rng) * 3
    coarse = torch.randn(7, 3, 3, generator=rng) * 4
    mask_logits = coarse.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :7]
    mask_logits = (mask_logits + torch.randn(7, 7, 9, generator=rng)).round()  # ties happen
    result = panoptic_inference(
        class_logits,
        mask_logits,
        CLASSES,
        object_threshold=0.4,
        overlap_threshold=overlap_threshold,
    )
    segment_map, segments = slow_panoptic(class_logits, mask_logits, 0.4, overlap_threshold)
    assert entries(result) == segments
    assert result.segment_map.tolist() == segment_map

    candidates = panoptic_candidates(class_logits, object_threshold=0.4)
    chunks = mask_logits[candidates.queries].split(chunk)
    again = panoptic_from_chunks(
        candidates, chunks, (7, 9), CLASSES, overlap_threshold=overlap_threshold
    )
    assert torch.equal(again.segment_map, result.segment_map)
    assert again.segments == result.segments


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_ids_count_up_from_one_each_with_pixels_and_stuff_once(seed):
    rng = torch.Generator().manual_seed(seed)
    result = panoptic_inference(
        torch.randn(9, 4, generator=rng) * 3,
        torch.randn(9, 7, 9, generator=rng) * 3,
        CLASSES,
        object_threshold=0.3,
        overlap_threshold=0.2,
    )
    ids = [s.id for s in result.segments]
    assert ids == list(range(1, len(ids) + 1))
    assert set(result.segment_map.unique().tolist()) - {0} == set(ids)
    assert sum(s.label == STUFF for s in result.segments) <= 1
    assert all(0.3 < s.score <= 1 for s in result.segments)


def test_a_catalogue_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"got num_classes=4, len\(categories\)=3"):
        panoptic_inference(torch.zeros(2, 5), torch.zeros(2, 3, 5), CLASSES)


def test_a_higher_mask_threshold_makes_masks_smaller():
    """The example of the docstring of merge_masks."""
    probs = torch.tensor([[[0.9, 0.9, 0.2]], [[0.2, 0.6, 0.9]]])
    candidates = Candidates(
        queries=torch.tensor([0, 1]), labels=torch.tensor([0, 1]), scores=torch.ones(2)
    )
    for mask_threshold, expected in ((0.5, [[1, 1, 0]]), (0.7, [[1, 1, 2]])):
        merged = merge_masks(
            candidates, [probs.logit()], (1, 3), fused_labels=(), mask_threshold=mask_threshold
        )
        assert merged.segment_map.tolist() == expected
