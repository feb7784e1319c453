r"""From exported logits to the three results, with NumPy alone.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; after Figure 2(c).

This file imports nothing but NumPy and may be copied to where a graph is used without PyTorch.
It gives what `inference/` gives; why each step is as it is stands there. Shapes stand in the prose,
because the tool that checks our annotations would be one more thing to install:
N queries, K classes, (h, w) cells of the mask logits, (H, W) pixels of the result.

Not here: the graph (`export/graph.py`), its input (a resized, normalised, padded image).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
EPSILON = np.float32(1e-6)  # pixels; an empty mask has score 0
VOID_ID = 0
CHUNK = 16  # masks at full size at one time


@dataclass(frozen=True)
class Sizes:
    """The sizes of an image on its way through the graph, (H, W) in pixels.

    Args:
        padded: Of the input of the graph.
        resized: Of the image in it; the rest, right and bottom, is padding.
        original: Of the result.
    """

    padded: tuple[int, int]
    resized: tuple[int, int]
    original: tuple[int, int]


@dataclass(frozen=True)
class Instances:
    """Scored masks that may overlap, best first.

    Args:
        masks: Bool (M, H, W), True where the object is.
        labels: Int (M), class of each.
        scores: Float (M), in [0, 1].
    """

    masks: NDArray[np.bool_]
    labels: NDArray[np.int64]
    scores: Floats


@dataclass(frozen=True)
class PanopticSegment:
    """One segment.

    Args:
        id: Value of its pixels in the segment map, > 0.
        label: Its class.
        score: Probability of the class.
    """

    id: int
    label: int
    score: float


def semantic_labels(
    class_logits: Floats, mask_logits: Floats, sizes: Sizes | None = None
) -> NDArray[np.int64]:
    """Let all queries vote for the class of each pixel.

    Args:
        class_logits: (N, K + 1) of one image; the last class is "no object".
        mask_logits: (N, h, w) of the same image, before sigmoid.
        sizes: To bring masks to the size of the original; None if they have it.

    Returns:
        (H, W): the label with most votes; the smaller of two equal ones.

    Raises:
        ValueError: If a class logit is not finite.

    Example:
        Two queries with probabilities (0.6, 0.3) and (0.1, 0.8) of two classes and mask
        probabilities 0.9 and 0.5 at a pixel: votes 0.59 and 0.67, label 1.
    """
    probs = softmax(class_logits)[:, :-1]  # (N, K)
    if not len(probs):
        raise ValueError(f"a prediction needs queries, got {class_logits.shape=}.")
    size = mask_logits.shape[1:] if sizes is None else sizes.original
    votes = np.zeros((probs.shape[1], size[0] * size[1]), dtype=np.float32)  # (K, H * W)
    for first in range(0, len(probs), CHUNK):
        some = slice(first, first + CHUNK)
        masks = np.stack(
            [sigmoid(mask).reshape(-1) for mask in _full_masks(mask_logits[some], sizes)]
        )
        votes += probs[some].T @ masks
    labels: NDArray[np.int64] = votes.argmax(0).reshape(size)
    return labels


def instances(
    class_logits: Floats,
    mask_logits: Floats,
    is_thing: Sequence[bool],
    sizes: Sizes | None = None,
    *,
    num_instances: int | None = None,
    class_threshold: float | None = None,
) -> Instances:
    """Cut out the best pairs of query and class.

    Args:
        class_logits: (N, K + 1) of one image; the last class is "no object".
        mask_logits: (N, h, w) of the same image, before sigmoid.
        is_thing: Of each class, True for countable objects.
        sizes: To bring masks to the size of the original; None if they have it.
        num_instances: Pairs considered, stuff included; None considers N.
        class_threshold: Probability that the class must exceed; None sets no limit.

    Returns:
        Things only, best score first; the score is the probability of the class times the mean
        mask probability inside the mask.

    Raises:
        ValueError: If a class logit is not finite, or `is_thing` does not have K entries.

    Example:
        Class probability 0.9 and mask probabilities (0.8, 0.6, 0.3): the mask is the first two
        pixels, the score 0.9 x 0.7 = 0.63.
    """
    _check_classes(class_logits, is_thing)
    probs = softmax(class_logits)[:, :-1].reshape(-1)  # (N * K)
    best = len(class_logits) if num_instances is None else num_instances
    pairs = np.argsort(-probs, kind="stable")[:best]
    queries, labels, scores = pairs // len(is_thing), pairs % len(is_thing), probs[pairs]
    kept = np.asarray(is_thing, dtype=bool)[labels]
    if class_threshold is not None:
        kept &= scores > class_threshold
    queries, labels, scores = queries[kept], labels[kept], scores[kept]

    distinct, which = np.unique(queries, return_inverse=True)  # one mask serves all its pairs
    size = mask_logits.shape[1:] if sizes is None else sizes.original
    masks = np.zeros((len(distinct), *size), dtype=bool)
    qualities = np.zeros(len(distinct), dtype=np.float32)
    for row, mask in enumerate(_full_masks(mask_logits[distinct], sizes)):
        masks[row] = mask > 0
        certainty = sigmoid(mask)[masks[row]].sum(dtype=np.float32)
        qualities[row] = certainty / (np.float32(masks[row].sum()) + EPSILON)

    scores = scores * qualities[which]
    order = np.argsort(-scores, kind="stable")
    return Instances(masks[which[order]], labels[order], scores[order])


def panoptic_segments(
    class_logits: Floats,
    mask_logits: Floats,
    is_thing: Sequence[bool],
    sizes: Sizes | None = None,
    *,
    object_threshold: float = 0.8,
    overlap_threshold: float = 0.8,
) -> tuple[NDArray[np.int64], list[PanopticSegment]]:
    """Merge the masks of confident queries into one map.

    Args:
        class_logits: (N, K + 1) of one image; the last class is "no object".
        mask_logits: (N, h, w) of the same image, before sigmoid.
        is_thing: Of each class; stuff of one class becomes one segment.
        sizes: To bring masks to the size of the original; None if they have it.
        object_threshold: Probability that a query's best class must exceed.
        overlap_threshold: Share of its mask that a query must own to be kept; at least.

    Returns:
        (H, W) ids, 0 where nothing is; the segments with ids 1, 2, ...

    Raises:
        ValueError: If a class logit is not finite, or `is_thing` does not have K entries.

    Example:
        Mask probabilities (0.9, 0.9, 0.2) and (0.2, 0.6, 0.9) on a row of three pixels, both
        queries of score 1 and of thing classes: the first owns two pixels of its two; the
        second owns one of its two, 0.5 < 0.8, and is dropped. The map is (1, 1, 0).
    """
    _check_classes(class_logits, is_thing)
    probs = softmax(class_logits)
    scores, labels = probs.max(-1), probs.argmax(-1)  # (N)
    queries = np.flatnonzero((labels != len(is_thing)) & (scores > object_threshold))
    scores, labels = scores[queries], labels[queries]

    size = mask_logits.shape[1:] if sizes is None else sizes.original
    best = np.full(size, -1, dtype=np.float32)  # every probability is better
    owner = np.zeros(size, dtype=np.int64)
    inside_owner = np.zeros(size, dtype=bool)
    areas = []
    for row, mask in enumerate(_full_masks(mask_logits[queries], sizes)):
        prob = sigmoid(mask)
        strength, inside = prob * scores[row], prob >= 0.5
        better = strength > best  # strictly: the first of equals owns the pixel
        best[better], owner[better] = strength[better], row
        inside_owner[better] = inside[better]
        areas.append(int(inside.sum()))

    ids, segments = _accept(owner, inside_owner, areas, labels, scores, is_thing, overlap_threshold)
    return np.where(inside_owner, ids[owner], VOID_ID), segments


def upsample_logits(mask_logits: Floats, sizes: Sizes) -> Floats:
    """Bring masks to the size of the original: enlarge, cut the padding off, resize.

    Args:
        mask_logits: (N, h, w), before sigmoid, at any stride of the padded image.
        sizes: Of the image.

    Returns:
        (N, H, W), before sigmoid.

    Example:
        A constant mask stays constant.
    """
    height, width = sizes.resized
    padded = resize_bilinear(mask_logits, sizes.padded)
    return resize_bilinear(padded[:, :height, :width], sizes.original)


def resize_bilinear(masks: Floats, size: tuple[int, int]) -> Floats:
    """Resize without antialiasing, with cell centres at half numbers (align_corners=False).

    Args:
        masks: (N, h, w).
        size: Wanted (H, W).

    Returns:
        (N, H, W), float32.

    Example:
        The row (0, 4) becomes (0, 1, 3, 4) with twice the cells: the new centres lie at -0.25,
        0.25, 0.75 and 1.25 old cells, and outside the border value holds.
    """
    masks = masks.astype(np.float32)
    if masks.shape[1:] == tuple(size):
        return masks
    top, bottom, down = _neighbours(masks.shape[1], size[0])
    left, right, across = _neighbours(masks.shape[2], size[1])
    down = down[:, None]
    upper = masks[:, top][:, :, left] * (1 - across) + masks[:, top][:, :, right] * across
    lower = masks[:, bottom][:, :, left] * (1 - across) + masks[:, bottom][:, :, right] * across
    resized: Floats = upper * (1 - down) + lower * down
    return resized


def softmax(logits: Floats) -> Floats:
    """Probabilities over the last axis, in float32.

    Args:
        logits: Of any shape.

    Returns:
        Same shape; sums to 1 over the last axis.

    Raises:
        ValueError: If a logit is not finite.
    """
    if not np.isfinite(logits).all():
        broken = int((~np.isfinite(logits)).sum())
        raise ValueError(f"class_logits must be finite, got {broken=} of {logits.size} entries.")
    logits = logits.astype(np.float32)
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    probs: Floats = powers / powers.sum(-1, keepdims=True)
    return probs


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)) in float32, without overflow.

    Args:
        logits: Of any shape.

    Returns:
        Same shape, in [0, 1].

    Example:
        0 gives 0.5.
    """
    small = np.exp(-np.abs(logits.astype(np.float32)))  # in (0, 1]
    probs: Floats = np.where(logits >= 0, np.float32(1), small) / (1 + small)
    return probs


def _full_masks(mask_logits: Floats, sizes: Sizes | None) -> Iterator[Floats]:
    """One mask after the other at the size of the result: all at once may not fit."""
    for mask in mask_logits:
        yield mask if sizes is None else upsample_logits(mask[None], sizes)[0]


def _neighbours(old: int, new: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """For each new cell the two old ones around it, and the share of the second."""
    scale = np.float32(old) / np.float32(new)
    place = scale * (np.arange(new, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    place = np.maximum(place, np.float32(0))
    first = np.minimum(place.astype(np.int64), old - 1)
    second = np.minimum(first + 1, old - 1)
    return first, second, place - first.astype(np.float32)


def _accept(
    owner: NDArray[np.int64],
    inside_owner: NDArray[np.bool_],
    areas: list[int],
    labels: NDArray[np.int64],
    scores: Floats,
    is_thing: Sequence[bool],
    overlap_threshold: float,
) -> tuple[NDArray[np.int64], list[PanopticSegment]]:
    """The id of each candidate (0: dropped) and the segments."""
    count = len(areas)
    ids = np.zeros(max(count, 1), dtype=np.int64)
    owned = np.bincount(owner.ravel(), minlength=count)
    painted = np.bincount(owner[inside_owner], minlength=count)
    id_of_stuff: dict[int, int] = {}
    segments: list[PanopticSegment] = []
    for row in range(count):
        label = int(labels[row])
        if min(owned[row], areas[row], painted[row]) == 0:
            continue
        if owned[row] / areas[row] < overlap_threshold:
            continue
        if label in id_of_stuff:  # more of the same stuff: one segment, with the first's score
            ids[row] = id_of_stuff[label]
            continue
        ids[row] = len(segments) + 1
        segments.append(PanopticSegment(int(ids[row]), label, float(scores[row])))
        if not is_thing[label]:
            id_of_stuff[label] = int(ids[row])
    return ids, segments


def _check_classes(class_logits: Floats, is_thing: Sequence[bool]) -> None:
    num_classes = class_logits.shape[-1] - 1
    if num_classes != len(is_thing):
        raise ValueError(
            f"is_thing needs one entry per class, got {num_classes=}, {len(is_thing)=}."
        )
