r"""Scored masks of things, which may overlap.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; after Figure 2(c).

The best pairs of query and class become instances. Their score is how sure the class is times
how sure the mask is of its own pixels:

$$\text{score} = P_{qk} \cdot \frac{\sum_{x \in M} \sigma_q(x)}{|M|}, \qquad
  M = \{x: \text{mask logit}_q(x) > 0\}$$

Not here: bringing masks to the size of the image (`upsample.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from minioneformer.inference.candidates import Candidates, instance_candidates
from minioneformer.structures import Category, InstancePrediction

EPSILON = 1e-6  # pixels; an empty mask has score 0


def instance_inference(
    class_logits: Float[Tensor, "N K_plus_1"],
    mask_logits: Float[Tensor, "N H W"],
    categories: Sequence[Category],
    *,
    num_instances: int | None = None,
    class_threshold: float | None = None,
) -> InstancePrediction:
    """Cut out the best instances.

    Args:
        class_logits: Before softmax; the last class is "no object".
        mask_logits: Before sigmoid, at the size of the result.
        categories: The catalogue.
        num_instances: Pairs of query and class considered, stuff included; None considers as
            many as there are queries.
        class_threshold: Class probability an instance must exceed; None sets no limit, as
            evaluation needs it.

    Returns:
        Best score first. A query may appear several times with different labels.

    Raises:
        ValueError: If a class logit is not finite, or the catalogue does not fit the logits.

    Example:
        Class probability 0.9 and mask probabilities (0.8, 0.6, 0.3): the mask is the first two
        pixels, the score 0.9 x 0.7 = 0.63.

    Fidelity:
        As the official code, which leaves the instances unsorted. The Hugging Face port gives a
        map without overlaps and a score without the mask's share.
    """
    candidates = instance_candidates(
        class_logits, categories, num_instances=num_instances, class_threshold=class_threshold
    )
    queries = candidates.queries.unique()
    _, H, W = mask_logits.shape
    return instance_from_chunks(candidates, [mask_logits[queries]], (H, W))


def instance_from_chunks(
    candidates: Candidates,
    mask_chunks: Iterable[Float[Tensor, "_ H W"]],
    size: tuple[int, int],
) -> InstancePrediction:
    """`instance_inference` for masks that come a few at a time.

    Args:
        candidates: Pairs of query and class.
        mask_chunks: Mask logits at the size of the result; together one per distinct query of
            the candidates, in ascending order.
        size: Of the result, (H, W) in pixels.

    Returns:
        The same, exactly.
    """
    device = candidates.scores.device
    masks: dict[int, Tensor] = {}
    qualities = [torch.zeros(0, device=device)]
    for mask_logits in mask_chunks:
        masks.update(enumerate(mask_logits > 0, start=len(masks)))
        qualities.append(mask_quality(mask_logits))

    # one mask serves all candidates of its query
    _, which = candidates.queries.unique(return_inverse=True)
    scores = candidates.scores * torch.cat(qualities)[which]
    scores, order = scores.sort(descending=True, stable=True)
    return InstancePrediction(
        masks=_arrange(masks, which[order].tolist(), size, device),
        labels=candidates.labels[order],
        scores=scores,
        queries=candidates.queries[order],
    )


def _arrange(
    masks: dict[int, Tensor],
    positions: list[int],
    size: tuple[int, int],
    device: torch.device,
) -> Bool[Tensor, "M H W"]:
    """Stack masks by their number; the dictionary is used up.

    A mask is dropped after its last use, so that large ones are not all there twice.
    """
    last_use = {position: i for i, position in enumerate(positions)}
    stacked = torch.empty(len(positions), *size, dtype=torch.bool, device=device)
    for i, position in enumerate(positions):
        stacked[i] = masks.pop(position) if last_use[position] == i else masks[position]
    return stacked


def mask_quality(mask_logits: Float[Tensor, "M H W"]) -> Float[Tensor, " M"]:
    """How sure masks are of their own pixels.

    Args:
        mask_logits: Before sigmoid.

    Returns:
        Mean probability inside each mask, 0.5 to 1; 0 for an empty mask.

    Example:
        Probabilities (0.8, 0.6, 0.3): the mean of the first two, 0.7.
    """
    inside = mask_logits > 0  # (M, H, W)
    certainty = (mask_logits.float().sigmoid() * inside).sum((1, 2))  # (M)
    return certainty / (inside.sum((1, 2)) + EPSILON)
