r"""Non-overlapping segments: things and stuff.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; after Figure 2(c).

Confident queries compete for each pixel; a query that loses too much of its mask is dropped;
stuff of one class is one segment. For a kept query with score s and mask probability $\sigma$,

$$\text{owner}(x) = \arg\max_q s_q\, \sigma_q(x), \qquad
  \frac{|\{x: \text{owner}(x) = q\}|}{|\{x: \sigma_q(x) \ge 0.5\}|} \ge \text{overlap threshold}$$

Not here: bringing masks to the size of the image (`upsample.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from minioneformer.inference.candidates import Candidates, check_catalogue, panoptic_candidates
from minioneformer.structures import VOID_ID, Category, PanopticPrediction, PredictedSegment


def panoptic_inference(
    class_logits: Float[Tensor, "N K_plus_1"],
    mask_logits: Float[Tensor, "N H W"],
    categories: Sequence[Category],
    *,
    object_threshold: float = 0.8,
    overlap_threshold: float = 0.8,
) -> PanopticPrediction:
    """Merge the masks of confident queries into one map.

    Args:
        class_logits: Before softmax; the last class is "no object".
        mask_logits: Before sigmoid, at the size of the result.
        categories: The catalogue.
        object_threshold: Probability that a query's best class must exceed.
        overlap_threshold: Share of its mask that a query must own to be kept; at least.

    Returns:
        Ids are 1, 2, ... in the order of the queries. A segment consists of the owned pixels
        whose mask probability is at least 0.5; the rest is void.

    Raises:
        ValueError: If a class logit is not finite, or the catalogue does not fit the logits.

    Example:
        Masks of probability (0.9, 0.9, 0.2) and (0.2, 0.6, 0.9) on a row of three pixels, both
        queries of score 1 and of thing classes: the first owns two pixels of its two; the
        second owns one of its two, 0.5 < 0.8, and is dropped. The map is (1, 1, 0).

    Fidelity:
        As the official code. The Hugging Face port weighs masks before the area tests, fills
        owned pixels below 0.5, and can give one id to two segments.
    """
    check_catalogue(class_logits, categories)
    candidates = panoptic_candidates(class_logits, object_threshold=object_threshold)
    _, H, W = mask_logits.shape
    return panoptic_from_chunks(
        candidates,
        [mask_logits[candidates.queries]],
        (H, W),
        categories,
        overlap_threshold=overlap_threshold,
    )


def panoptic_from_chunks(
    candidates: Candidates,
    mask_chunks: Iterable[Float[Tensor, "_ H W"]],
    size: tuple[int, int],
    categories: Sequence[Category],
    *,
    overlap_threshold: float = 0.8,
) -> PanopticPrediction:
    """`panoptic_inference` for masks that come a few at a time.

    Args:
        candidates: Confident queries with their class.
        mask_chunks: Mask logits at the size of the result; together one per candidate.
        size: Of the result, (H, W) in pixels.
        categories: The catalogue.
        overlap_threshold: Share of its mask that a query must own to be kept; at least.

    Returns:
        The same, exactly.
    """
    stuff = {label for label, category in enumerate(categories) if not category.is_thing}
    merged = merge_masks(
        candidates, mask_chunks, size, fused_labels=stuff, overlap_threshold=overlap_threshold
    )
    labels, scores = candidates.labels.tolist(), candidates.scores.tolist()
    return PanopticPrediction(
        segment_map=merged.segment_map,
        segments=tuple(
            PredictedSegment(id=number, label=labels[first], score=scores[first])
            for number, first in enumerate(merged.first_candidates, start=1)
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedMasks:
    """A map without overlaps, and whose masks are in it.

    Args:
        segment_map: Ids 1, 2, ... in order of acceptance, `VOID_ID` elsewhere.
        first_candidates: For each id, the position of the candidate that it was given to.
    """

    segment_map: Int[Tensor, "H W"]
    first_candidates: tuple[int, ...]


def merge_masks(
    candidates: Candidates,
    mask_chunks: Iterable[Float[Tensor, "_ H W"]],
    size: tuple[int, int],
    *,
    fused_labels: Collection[int],
    overlap_threshold: float = 0.8,
    mask_threshold: float = 0.5,
) -> MergedMasks:
    """Let candidates compete for pixels, whatever kind of class they are of.

    Args:
        candidates: Confident queries with their class.
        mask_chunks: Mask logits at the size of the result; together one per candidate.
        size: Of the result, (H, W) in pixels.
        fused_labels: Classes whose segments are one segment.
        overlap_threshold: Share of its mask that a candidate must own to be kept; at least.
        mask_threshold: Mask probability from which on a pixel is inside a mask.

    Returns:
        The segments.

    Example:
        As `panoptic_inference`; with `mask_threshold` 0.7 the second mask has one pixel, owns it,
        and the map is (1, 1, 2).
    """
    if not len(candidates.scores):
        empty = torch.full(size, VOID_ID, device=candidates.labels.device)
        return MergedMasks(segment_map=empty, first_candidates=())
    contest = _contest(candidates.scores, mask_chunks, size, mask_threshold)

    count = len(candidates.scores)
    owned = torch.bincount(contest.owner.flatten(), minlength=count).tolist()
    painted = torch.bincount(contest.owner[contest.inside_owner], minlength=count).tolist()
    areas = contest.areas.tolist()

    id_of_candidate = [VOID_ID] * count
    id_of_fused: dict[int, int] = {}
    first_candidates: list[int] = []
    for i, label in enumerate(candidates.labels.tolist()):
        if min(owned[i], areas[i], painted[i]) == 0 or owned[i] / areas[i] < overlap_threshold:
            continue
        if label in id_of_fused:  # more of the same stuff: one segment, with the first's score
            id_of_candidate[i] = id_of_fused[label]
            continue
        first_candidates.append(i)
        id_of_candidate[i] = len(first_candidates)
        if label in fused_labels:
            id_of_fused[label] = id_of_candidate[i]

    ids = torch.tensor(id_of_candidate, device=contest.owner.device)
    segment_map = torch.where(contest.inside_owner, ids[contest.owner], VOID_ID)  # (H, W)
    return MergedMasks(segment_map=segment_map, first_candidates=tuple(first_candidates))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Contest:
    """Who owns each pixel, whether it lies inside that mask, and how large each mask is."""

    owner: Int[Tensor, "H W"]
    inside_owner: Bool[Tensor, "H W"]
    areas: Int[Tensor, " M"]


def _contest(
    scores: Float[Tensor, " M"],
    mask_chunks: Iterable[Float[Tensor, "_ H W"]],
    size: tuple[int, int],
    mask_threshold: float,
) -> _Contest:
    """Go through the masks once, keeping only the leader of each pixel."""
    best = torch.full(size, -1.0, device=scores.device)  # every probability is better
    owner = torch.zeros(size, dtype=torch.int64, device=scores.device)
    inside_owner = torch.zeros(size, dtype=torch.bool, device=scores.device)
    areas = []
    first = 0
    for mask_logits in mask_chunks:
        probs = mask_logits.float().sigmoid()  # (m, H, W)
        inside = probs >= mask_threshold
        weights = scores[first : first + len(probs), None, None]
        strongest, which = (probs * weights).max(0)  # (H, W)
        # subtle: strictly better, so that the first of equals owns the pixel, as argmax has it
        better = strongest > best
        best = torch.where(better, strongest, best)
        owner = torch.where(better, which + first, owner)
        inside_owner = torch.where(better, inside.gather(0, which[None])[0], inside_owner)
        areas.append(inside.sum((1, 2)))
        first += len(probs)
    return _Contest(owner=owner, inside_owner=inside_owner, areas=torch.cat(areas))
