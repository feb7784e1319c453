"""From the model's output to results in the published form: maps and lists of dictionaries.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4; after Figure 2(c), in the form of the published
interface.

The decisions are those of the original code, made by the package's own functions: logits are
brought to the size of the result, padding is cut off, and what follows works on probabilities.

Not here: those decisions (`inference/`), metadata (`hf/class_info.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from minioneformer.hf.class_info import categories_of
from minioneformer.hf.mask_output import MaskOutput, PixelMask, TargetSizes, split_batch
from minioneformer.hf.run_lengths import run_lengths
from minioneformer.inference.candidates import (
    Candidates,
    instance_candidates,
    panoptic_candidates,
)
from minioneformer.inference.instance import mask_quality
from minioneformer.inference.panoptic import merge_masks
from minioneformer.inference.semantic import semantic_from_chunks
from minioneformer.structures import Category

DECIMALS = 6  # of a score

Metadata: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class SemanticSegmentationOutput:
    """A map with the votes that it comes from.

    Args:
        segmentation: Class of each pixel.
        segmentation_scores: Votes for each class; not normalised.
    """

    segmentation: Int[Tensor, "H W"]
    segmentation_scores: Float[Tensor, "K H W"]


@torch.no_grad()
def semantic_results(
    outputs: MaskOutput,
    *,
    target_sizes: TargetSizes | None = None,
    pixel_mask: PixelMask | None = None,
    return_segmentation_scores: bool = False,
) -> list[Tensor] | list[SemanticSegmentationOutput]:
    """Give each pixel a class.

    Args:
        outputs: Of the model.
        target_sizes: (H, W) of each result in pixels; None leaves the size of the mask logits.
        pixel_mask: 1 where a pixel of the input is real; None takes the whole input for real.
        return_segmentation_scores: Whether the votes are returned too.

    Returns:
        One map per image, or one object with map and votes.

    Raises:
        ValueError: If sizes or pixel masks do not fit the batch, or logits are not finite.

    Fidelity:
        As the official code: logits are brought to the size of the result before they vote.
        transformers adds up votes at stride 4, resizes those, and stretches padding.
    """
    results = []
    for image in split_batch(outputs, target_sizes, pixel_mask):
        queries = torch.arange(len(image.class_logits), device=image.class_logits.device)
        results.append(
            semantic_from_chunks(
                image.class_logits,
                image.chunks(queries),
                image.sizes.original,
                keep_scores=return_segmentation_scores,
            )
        )
    if not return_segmentation_scores:
        return [result.label_map for result in results]
    return [
        SemanticSegmentationOutput(segmentation=r.label_map, segmentation_scores=r.scores)
        for r in results
        if r.scores is not None
    ]


@torch.no_grad()
def panoptic_results(
    outputs: MaskOutput,
    *,
    metadata: Metadata | None = None,
    threshold: float = 0.5,
    mask_threshold: float = 0.5,
    overlap_mask_area_threshold: float = 0.8,
    label_ids_to_fuse: Collection[int] | None = None,
    target_sizes: TargetSizes | None = None,
    pixel_mask: PixelMask | None = None,
) -> list[dict[str, Any]]:
    """Cut each image into segments that do not overlap.

    Args:
        outputs: Of the model.
        metadata: Of the processor; says what is stuff.
        threshold: Class probability that a query must exceed.
        mask_threshold: Mask probability from which on a pixel is inside a mask.
        overlap_mask_area_threshold: Share of its mask that a query must own, at least.
        label_ids_to_fuse: Classes of which an image has one segment at most. None takes the stuff
            of the metadata, where there is metadata.
        target_sizes: (H, W) of each result in pixels; None leaves the size of the mask logits.
        pixel_mask: 1 where a pixel of the input is real; None takes the whole input for real.

    Returns:
        For each image "segmentation", the id of each pixel or 0, and "segments_info", one entry
        per id with "id", "label_id", "was_fused" and "score".

    Raises:
        ValueError: If sizes or pixel masks do not fit the batch, or logits are not finite.

    Warns:
        UserWarning: If nothing says what to fuse.

    Fidelity:
        As the official code. transformers weighs masks with the score before the area tests,
        fills owned pixels outside the mask, needs more than the share, and can give an id twice;
        where nothing is found, its map is -1.
    """
    images = split_batch(outputs, target_sizes, pixel_mask)
    num_classes = outputs.class_queries_logits.shape[-1] - 1
    if label_ids_to_fuse is None:
        label_ids_to_fuse = _stuff(metadata, num_classes)
    fused = {int(label) for label in label_ids_to_fuse}
    results = []
    for image in images:
        candidates = panoptic_candidates(image.class_logits, object_threshold=threshold)
        merged = merge_masks(
            candidates,
            image.chunks(candidates.queries),
            image.sizes.original,
            fused_labels=fused,
            overlap_threshold=overlap_mask_area_threshold,
            mask_threshold=mask_threshold,
        )
        info = _segments_info(candidates, merged.first_candidates, fused)
        results.append({"segmentation": merged.segment_map.int(), "segments_info": info})
    return results


@torch.no_grad()
def instance_results(
    outputs: MaskOutput,
    *,
    metadata: Metadata | None = None,
    class_info_file: str | None = None,
    task_type: str = "instance",
    is_demo: bool = True,
    threshold: float = 0.5,
    mask_threshold: float = 0.5,
    overlap_mask_area_threshold: float = 0.8,
    target_sizes: TargetSizes | None = None,
    return_coco_annotation: bool | None = False,
    pixel_mask: PixelMask | None = None,
) -> list[dict[str, Any]]:
    """Cut the things out of each image.

    Args:
        outputs: Of the model.
        metadata: Of the processor; says what is a thing. Without it every class counts as one.
        class_info_file: Name of the class file. For that of ADE20K, labels count the things alone
            unless `is_demo`, as its annotation of instances does.
        task_type: "instance", or "panoptic" if the model was asked for that; needs metadata then.
        is_demo: Whether the threshold is applied.
        threshold: Class probability that an instance must exceed.
        mask_threshold: Mask probability from which on a pixel is inside a mask.
        overlap_mask_area_threshold: Share of its mask that an instance must own, at least.
        target_sizes: (H, W) of each result in pixels; None leaves the size of the mask logits.
        return_coco_annotation: Whether a map is given as run lengths, as `run_lengths` writes it.
        pixel_mask: 1 where a pixel of the input is real; None takes the whole input for real.

    Returns:
        As `panoptic_results`, best class first. A score is the class probability times the mean
        mask probability inside the mask.

    Raises:
        ValueError: If sizes or pixel masks do not fit the batch, logits are not finite, or the
            task is "panoptic" and there is no metadata.

    Fidelity:
        Choice and scores as in the official code, which leaves overlaps; the published form has
        none, so they are settled as in the panoptic case. transformers compares logits with the
        thresholds, keeps stuff unless the task is "panoptic", and scores with the class alone.
    """
    images = split_batch(outputs, target_sizes, pixel_mask)
    num_classes = outputs.class_queries_logits.shape[-1] - 1
    categories = _instance_categories(metadata, num_classes, task_type)
    renumber = "ade20k" in (class_info_file or "") and not is_demo and "instance" in task_type
    things = [label for label, category in enumerate(categories) if category.is_thing]
    results = []
    for image in images:
        candidates = instance_candidates(
            image.class_logits, categories, class_threshold=threshold if is_demo else None
        )
        qualities: list[Tensor] = [candidates.scores[:0]]
        merged = merge_masks(
            candidates,
            _note_quality(image.chunks(candidates.queries), qualities),
            image.sizes.original,
            fused_labels=(),
            overlap_threshold=overlap_mask_area_threshold,
            mask_threshold=mask_threshold,
        )
        scored = Candidates(
            queries=candidates.queries,
            labels=candidates.labels,
            scores=candidates.scores * torch.cat(qualities),
        )
        info = _segments_info(scored, merged.first_candidates, ())
        if renumber:
            info = [{**entry, "label_id": things.index(entry["label_id"])} for entry in info]
        segment_map = merged.segment_map.int()
        results.append(
            {
                "segmentation": run_lengths(segment_map) if return_coco_annotation else segment_map,
                "segments_info": info,
            }
        )
    return results


def _segments_info(
    candidates: Candidates, first_candidates: Sequence[int], fused: Collection[int]
) -> list[dict[str, Any]]:
    labels, scores = candidates.labels.tolist(), candidates.scores.tolist()
    return [
        {
            "id": number,
            "label_id": labels[first],
            "was_fused": labels[first] in fused,
            "score": round(scores[first], DECIMALS),
        }
        for number, first in enumerate(first_candidates, start=1)
    ]


def _note_quality(chunks: Iterator[Tensor], qualities: list[Tensor]) -> Iterator[Tensor]:
    """Pass masks on, keeping how sure each is of its pixels."""
    for mask_logits in chunks:
        qualities.append(mask_quality(mask_logits))
        yield mask_logits


def _known_categories(metadata: Metadata | None, num_classes: int) -> tuple[Category, ...] | None:
    """The classes, unless the metadata is that of another model."""
    if metadata is None:
        return None
    categories = categories_of(metadata)
    if len(categories) != num_classes:
        warnings.warn(
            f"the processor's metadata is not that of the model, got {len(categories)=} and "
            f"{num_classes=}; it is not used. Load the processor with the model's class file.",
            stacklevel=2,
        )
        return None
    return categories


def _stuff(metadata: Metadata | None, num_classes: int) -> set[int]:
    categories = _known_categories(metadata, num_classes)
    if categories is None:
        warnings.warn(
            "label_ids_to_fuse is not given and there is no metadata that says which classes are "
            "stuff: no segments are fused.",
            stacklevel=2,
        )
        return set()
    return {label for label, category in enumerate(categories) if not category.is_thing}


def _instance_categories(
    metadata: Metadata | None, num_classes: int, task_type: str
) -> tuple[Category, ...]:
    categories = _known_categories(metadata, num_classes)
    if categories is not None:
        return categories
    if task_type == "panoptic":
        raise ValueError(
            f"which classes are things is not known, got {task_type=}. Give the image processor a "
            f"class_info_file of the model's classes."
        )
    return tuple(
        Category(name=str(label), is_thing=True, color=(0, 0, 0), dataset_id=label)
        for label in range(num_classes)
    )
