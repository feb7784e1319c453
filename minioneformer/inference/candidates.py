"""Which queries can become segments or instances: what the class logits alone decide.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; Figure 2(c), after the box "Classes".

Masks at full size are the largest thing in inference. Most queries are dropped because of
their class, so that choice comes first, and masks are made for the rest only.

Not here: choices that need masks (`panoptic.py`, `instance.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minioneformer.structures import Category


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """Queries that are still in, with a class each.

    Args:
        queries: Position of the query; may repeat with other labels.
        labels: Class of each.
        scores: Probability of that class, in [0, 1].
    """

    queries: Int[Tensor, " M"]
    labels: Int[Tensor, " M"]
    scores: Float[Tensor, " M"]


def panoptic_candidates(
    class_logits: Float[Tensor, "N K_plus_1"], *, object_threshold: float
) -> Candidates:
    """Keep the queries that are sure to be something, each with its best class.

    Args:
        class_logits: Before softmax; the last class is "no object".
        object_threshold: Probability that the best class must exceed.

    Returns:
        In the order of the queries.

    Raises:
        ValueError: If a logit is not finite.

    Example:
        Logits [[2, 0, 0], [0, 0, 2]] for two classes and no object: the first query is class 0
        with probability 0.787; the second is no object. With threshold 0.8 none is kept.
    """
    scores, labels = class_probs(class_logits).max(-1)  # (N)
    no_object = class_logits.shape[-1] - 1
    queries = torch.nonzero((labels != no_object) & (scores > object_threshold)).squeeze(-1)
    return Candidates(queries=queries, labels=labels[queries], scores=scores[queries])


def instance_candidates(
    class_logits: Float[Tensor, "N K_plus_1"],
    categories: Sequence[Category],
    *,
    num_instances: int | None = None,
    class_threshold: float | None = None,
) -> Candidates:
    """Take the best pairs of query and class, then drop those of stuff.

    Args:
        class_logits: Before softmax; the last class is "no object".
        categories: The catalogue.
        num_instances: Pairs taken; None takes as many as there are queries.
        class_threshold: Probability that the class must exceed; None sets no limit.

    Returns:
        Most probable first. Fewer than `num_instances` if stuff was among the best pairs.

    Raises:
        ValueError: If a logit is not finite, or the catalogue does not fit the logits.

    Example:
        One query with probabilities (0.5, 0.4) for two thing classes and `num_instances` 2
        gives two candidates of the same query.

    Fidelity:
        As the official code, stuff is dropped after the choice, and takes places in it.
        The official code uses the threshold in its demonstration only, as we do by default.
    """
    check_catalogue(class_logits, categories)
    scores = class_probs(class_logits)[:, :-1].flatten()  # (N * K)
    scores, pairs = scores.sort(descending=True, stable=True)
    best = len(class_logits) if num_instances is None else num_instances
    scores, pairs = scores[:best], pairs[:best]
    queries, labels = pairs // len(categories), pairs % len(categories)
    is_thing = torch.tensor([c.is_thing for c in categories], device=labels.device)
    kept = is_thing[labels]
    if class_threshold is not None:
        kept &= scores > class_threshold
    return Candidates(queries=queries[kept], labels=labels[kept], scores=scores[kept])


def class_probs(class_logits: Float[Tensor, "N K_plus_1"]) -> Float[Tensor, "N K_plus_1"]:
    """Softmax in float32.

    Args:
        class_logits: Before softmax; the last class is "no object".

    Raises:
        ValueError: If a logit is not finite: comparisons with nan are False, so that the
            prediction would silently be empty.
    """
    broken = int((~class_logits.isfinite()).sum())
    if broken:
        raise ValueError(
            f"class_logits must be finite, got {broken=} of {class_logits.numel()} entries; "
            f"the weights or the image are not finite."
        )
    return class_logits.float().softmax(-1)


def check_catalogue(
    class_logits: Float[Tensor, "N K_plus_1"], categories: Sequence[Category]
) -> None:
    """Refuse a catalogue of another length than the logits have classes.

    Args:
        class_logits: Of any values; the last class is "no object".
        categories: The catalogue.

    Raises:
        ValueError: If the numbers differ.
    """
    num_classes = class_logits.shape[-1] - 1
    if num_classes != len(categories):
        raise ValueError(
            f"the catalogue must have one entry per class of the model, got {num_classes=}, "
            f"{len(categories)=}; load the catalogue the model was trained with."
        )
