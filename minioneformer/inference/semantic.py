r"""A label for each pixel.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; after Figure 2(c).

Every query votes for its classes where its mask is: with P the class probabilities without
"no object", and $\sigma$ the sigmoid of a mask,

$$s_k(x) = \sum_q P_{qk}\, \sigma_q(x), \qquad \text{label}(x) = \arg\max_k s_k(x)$$

Not here: bringing masks to the size of the image (`upsample.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from minioneformer.inference.candidates import class_probs
from minioneformer.structures import SemanticPrediction


def semantic_inference(
    class_logits: Float[Tensor, "N K_plus_1"],
    mask_logits: Float[Tensor, "N H W"],
    *,
    keep_scores: bool = False,
) -> SemanticPrediction:
    """Let all queries vote.

    Args:
        class_logits: Before softmax; the last class is "no object".
        mask_logits: Before sigmoid, at the size of the result.
        keep_scores: Whether the votes are returned too; they need K floats per pixel.

    Returns:
        The label with most votes; each pixel has one, the smaller of two equal ones.

    Raises:
        ValueError: If a class logit is not finite.

    Example:
        Two queries with P = (0.6, 0.3) and (0.1, 0.8) and masks 0.9 and 0.5 at a pixel:
        s = (0.59, 0.67), label 1.

    Fidelity:
        As the official code. The Hugging Face port adds up votes at stride 4 and resizes them.
    """
    _, H, W = mask_logits.shape
    return semantic_from_chunks(class_logits, [mask_logits], (H, W), keep_scores=keep_scores)


def semantic_from_chunks(
    class_logits: Float[Tensor, "N K_plus_1"],
    mask_chunks: Iterable[Float[Tensor, "_ H W"]],
    size: tuple[int, int],
    *,
    keep_scores: bool = False,
) -> SemanticPrediction:
    """`semantic_inference` for masks that come a few at a time.

    Args:
        class_logits: Before softmax; the last class is "no object".
        mask_chunks: Mask logits at the size of the result; together one per query, in order.
        size: Of the result, (H, W) in pixels.
        keep_scores: Whether the votes are returned too.

    Returns:
        The same up to rounding.

    Raises:
        ValueError: If a class logit is not finite.
    """
    probs = class_probs(class_logits)[:, :-1]  # (N, K)
    votes = probs.new_zeros(probs.shape[1], size[0] * size[1])  # (K, H * W)
    first = 0
    for mask_logits in mask_chunks:
        some = probs[first : first + len(mask_logits)]  # (m, K)
        votes.addmm_(some.T, mask_logits.float().sigmoid().flatten(1))
        first += len(mask_logits)
    scores = votes.unflatten(1, size)  # (K, H, W)
    return SemanticPrediction(label_map=scores.argmax(0), scores=scores if keep_scores else None)


def semantic_from_strips(
    class_logits: Float[Tensor, "N K_plus_1"],
    strips: Iterable[Float[Tensor, "N _ W"]],
    size: tuple[int, int],
    *,
    keep_scores: bool = False,
) -> SemanticPrediction:
    """`semantic_inference` for masks that come a few rows at a time.

    Votes of K classes at every pixel are the largest thing in inference. Where only the winner
    is asked for, they are there for one strip at a time.

    Args:
        class_logits: Before softmax; the last class is "no object".
        strips: Mask logits of all queries at the size of the result; together all rows, in order.
        size: Of the result, (H, W) in pixels.
        keep_scores: Whether the votes are returned too.

    Returns:
        The same up to rounding.

    Raises:
        ValueError: If a class logit is not finite.
    """
    return semantic_from_votes(
        votes_of_strips(class_logits, strips),
        (class_logits.shape[-1] - 1, *size),
        device=class_logits.device,
        keep_scores=keep_scores,
    )


def semantic_from_votes(
    strips: Iterable[Float[Tensor, "K _ W"]],
    shape: tuple[int, int, int],
    *,
    device: torch.device,
    keep_scores: bool = False,
) -> SemanticPrediction:
    """The winner at each pixel, from votes that come a few rows at a time.

    Args:
        strips: Votes at the size of the result; together all rows, in order.
        shape: Of all votes, (K, H, W).
        device: Where they are, and the result will be.
        keep_scores: Whether the votes are returned too.

    Returns:
        The label with most votes; each pixel has one, the smaller of two equal ones.

    Example:
        Votes (0.59, 0.67) of two classes at a pixel: label 1.
    """
    label_map = torch.empty(shape[1:], dtype=torch.int64, device=device)
    scores = torch.empty(shape, device=device) if keep_scores else None
    first = 0
    for votes in strips:  # (K, rows, W)
        last = first + votes.shape[1]
        label_map[first:last] = votes.argmax(0)
        if scores is not None:
            scores[:, first:last] = votes
        first = last
    return SemanticPrediction(label_map=label_map, scores=scores)


def votes_of_strips(
    class_logits: Float[Tensor, "N K_plus_1"], strips: Iterable[Float[Tensor, "N _ W"]]
) -> Iterator[Float[Tensor, "K _ W"]]:
    """Votes of all queries, a few rows at a time.

    Args:
        class_logits: Before softmax; the last class is "no object".
        strips: Mask logits of all queries.

    Returns:
        Votes of each strip.

    Raises:
        ValueError: If a class logit is not finite.
    """
    probs = class_probs(class_logits)[:, :-1]  # (N, K)
    for mask_logits in strips:
        rows, width = mask_logits.shape[1:]
        votes = probs.T @ mask_logits.float().sigmoid().flatten(1)  # (K, rows * W)
        yield votes.unflatten(1, (rows, width))
