"""Wrong answers that learners give, and the hint that each gets."""

import pytest
import torch

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.segments_metrics import (
    check_average_precision,
    check_panoptic_map,
    check_panoptic_quality,
)


def contest(
    scores,
    mask_probs,
    least_share,
    *,
    weigh=True,
    paint_all=False,
    strict=False,
    count_outside=True,
):
    weights = scores[:, None, None] if weigh else 1
    owner = (weights * mask_probs).argmax(0)
    segments, number = torch.zeros_like(owner), 0
    for q, probs in enumerate(mask_probs):
        inside, owned = probs >= 0.5, owner == q
        share = (owned if count_outside else owned & inside).sum() / inside.sum()
        enough = share > least_share if strict else share >= least_share
        if enough and (inside & owned).any():
            number += 1
            segments[owned if paint_all else inside & owned] = number
    return segments


def quality(found_map, true_map, *, least=0.5, void=0, divide="all", equal_is_enough=False):
    total, tp = 0.0, 0
    found_ids, true_ids = (m[m != 0].unique() for m in (found_map, true_map))
    for f in found_ids:
        for t in true_ids:
            found, true = found_map == f, true_map == t
            union = (found | true) & (true_map != 0 if void == 0 else True)
            iou = ((found & true).sum() / union.sum()).item()
            if iou > least or (equal_is_enough and iou == least):
                total, tp = total + iou, tp + 1
    below = {"all": (len(found_ids) + len(true_ids)) / 2, "true": len(true_ids), "tp": tp}[divide]
    return total / below if below else 0.0


def precision_at_recalls(scores, hits, num_objects, *, order=True, later=True, of_all=True):
    pairs = list(zip(scores, hits, strict=True))
    pairs = sorted(pairs, reverse=True) if order else pairs
    points, right = [], 0
    for rank, (_, hit) in enumerate(pairs, start=1):
        right += hit
        points.append((right / rank, right / (num_objects if of_all else max(sum(hits), 1))))
    total = 0.0
    for k in range(101):
        reached = [p for p, r in points if r >= k / 100]
        total += (max(reached) if later else reached[0]) if reached else 0.0
    return total / 101


def test_right_answers_pass(capsys):
    check_panoptic_map(contest)
    check_panoptic_quality(quality)
    check_average_precision(precision_at_recalls)
    assert capsys.readouterr().out.count("right in all") == 3


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"weigh": False}, "class probability times mask probability"),
        ({"paint_all": True}, "painted only where the mask probability is at least"),
        ({"strict": True}, "equal is enough"),
        ({"count_outside": False}, "the share counts all owned pixels, also those outside"),
    ],
)
def test_mistakes_of_the_contest_are_noticed(mistake, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_panoptic_map(lambda *arguments: contest(*arguments, **mistake))


def test_numbers_of_dropped_queries_are_noticed():
    def wrong(scores, mask_probs, least_share):
        owner = (scores[:, None, None] * mask_probs).argmax(0)
        segments = torch.zeros_like(owner)
        for q, probs in enumerate(mask_probs):
            inside, owned = probs >= 0.5, owner == q
            if owned.sum() >= least_share * inside.sum():
                segments[inside & owned] = q + 1
        return segments

    with pytest.raises(ExerciseError, match="takes no number: the next one kept is 2"):
        check_panoptic_map(wrong)


def test_a_segment_without_pixels_and_a_transposed_map_are_noticed():
    def wrong(scores, mask_probs, least_share):
        owner = (scores[:, None, None] * mask_probs).argmax(0)
        segments, number = torch.zeros_like(owner), 0
        for q, probs in enumerate(mask_probs):
            inside, owned = probs >= 0.5, owner == q
            if owned.sum() >= least_share * inside.sum():
                number += 1
                segments[inside & owned] = number
        return segments

    with pytest.raises(ExerciseError, match="a segment without any is none"):
        check_panoptic_map(wrong)
    with pytest.raises(ExerciseError, match=r"shape \(3, 2\) is not \(2, 3\)"):
        check_panoptic_map(lambda *arguments: contest(*arguments).T)


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"equal_is_enough": True}, "only an IoU above one half is a match"),
        ({"least": 0.4}, "only an IoU above one half is a match"),
        ({"divide": "tp"}, "here TP, FP and FN are 1 each"),
        ({"divide": "true"}, "not by TP or the truth"),
        ({"void": None}, "leave the union"),
    ],
)
def test_mistakes_of_panoptic_quality_are_noticed(mistake, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_panoptic_quality(lambda *maps: quality(*maps, **mistake))


def test_segments_that_are_matched_by_their_numbers_are_noticed():
    def wrong(found_map, true_map):
        same = (found_map == true_map) & (true_map != 0)
        return same.float().mean().item()

    with pytest.raises(ExerciseError, match="numbers mean nothing across two maps"):
        check_panoptic_quality(wrong)


@pytest.mark.parametrize(
    ("mistake", "hint"),
    [
        ({"order": False}, "sort by score"),
        ({"later": False}, "the best precision at this recall or more"),
        ({"of_all": False}, "recall is the share of all objects"),
    ],
)
def test_mistakes_of_average_precision_are_noticed(mistake, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_average_precision(lambda *arguments: precision_at_recalls(*arguments, **mistake))
