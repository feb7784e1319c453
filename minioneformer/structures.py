"""The data that travels between the parts: samples, targets, batches, predictions.

Paper: OneFormer (arXiv 2211.06220), Sec. 3; the arrows of Figure 2 rather than its boxes.

Everything here is data without behaviour. Conventions used throughout the package: sizes are
(H, W) in pixels, points are (x, y) in [0, 1], a boolean mask is named for what True means, a
*label* is the position of a class in the catalogue (0 .. K-1), an *id* names one segment.

Not here: how a batch is made (`data/`), how a prediction is decoded (`inference/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

Task = Literal["semantic", "instance", "panoptic"]
TASKS: tuple[Task, ...] = ("semantic", "instance", "panoptic")
"""The tasks, in this order wherever there is one."""

VOID_ID = 0  # the id of pixels that belong to no segment, in annotations and in predictions


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """One class of a catalogue; its position in the catalogue is its label.

    Args:
        name: As it enters the text prompts, verbatim.
        is_thing: True for countable objects, False for stuff.
        color: RGB, 0 to 255 each.
        dataset_id: The id by which the annotation files name the class.
    """

    name: str
    is_thing: bool
    color: tuple[int, int, int]
    dataset_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """One segment of a panoptic annotation.

    Args:
        id: Value of its pixels in the segment map, > 0.
        label: Position of its class in the catalogue.
        is_crowd: True for a region of many objects nobody separated: never a target, never
            counted as missed.
        area: Pixels, as the annotation file states them; None means count the segment map.
    """

    id: int
    label: int
    is_crowd: bool = False
    area: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PanopticSample:
    """An image with its panoptic annotation.

    Args:
        image: RGB, 0 to 255.
        segment_map: Segment id of each pixel; `VOID_ID` where nothing is annotated.
        segments: In the order of the annotation file.
        image_id: As the annotation file names the image.
        file_name: Of the image, relative to the data root; empty for generated images.
    """

    image: UInt8[Tensor, "3 H W"]
    segment_map: Int[Tensor, "H W"]
    segments: tuple[Segment, ...]
    image_id: int | str
    file_name: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTarget:
    """What one task asks of one image (Sec. 3.1): M masks with labels.

    Args:
        task: The task these masks answer.
        labels: Class of each mask.
        masks: True where the mask is; M may be 0.
    """

    task: Task
    labels: Int[Tensor, " M"]
    masks: Bool[Tensor, "M H W"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What the model and the criterion are fed.

    Args:
        images: Normalised RGB, zero in the padding (right and bottom).
        padding_mask: True where a pixel is padding.
        task_tokens: Token ids of the task prompts.
        text_tokens: Token ids of the padded text lists; None when no text branch is trained.
        targets: One per image, at the padded size; empty when there are no annotations.
        tasks: One per image.
        image_ids: One per image, for reports.
    """

    images: Float[Tensor, "B 3 H W"]
    padding_mask: Bool[Tensor, "B H W"]
    task_tokens: Int[Tensor, "B T"]
    text_tokens: Int[Tensor, "B N_text T"] | None
    targets: tuple[TaskTarget, ...]
    tasks: tuple[Task, ...]
    image_ids: tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskPrediction:
    """N classes and N masks, the masks still factored.

    Mask logits are the product of two small tensors; they are multiplied out only where
    somebody needs pixels, because (N, H/4, W/4) is the largest tensor of the model.

    Args:
        class_logits: Before softmax; the last class is "no object".
        mask_embeddings: One vector per query.
        mask_features: One vector per stride-4 cell, shared by all predictions of a forward.
    """

    class_logits: Float[Tensor, "B N K_plus_1"]
    mask_embeddings: Float[Tensor, "B N C"]
    mask_features: Float[Tensor, "B C h w"]

    @property
    def mask_logits(self) -> Float[Tensor, "B N h w"]:
        """Before sigmoid, at stride 4; computed anew at each access."""
        return torch.einsum("bnc,bchw->bnhw", self.mask_embeddings, self.mask_features)


@dataclass(frozen=True, kw_only=True, slots=True)
class SemanticPrediction:
    """A label for each pixel.

    Args:
        label_map: Position of the class in the catalogue; every pixel has one.
        scores: Sum over queries of class probability x mask probability; not normalised.
            None unless asked for.
    """

    label_map: Int[Tensor, "H W"]
    scores: Float[Tensor, "K H W"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InstancePrediction:
    """Scored masks that may overlap, best first.

    Args:
        masks: True where the object is.
        labels: Class of each mask.
        scores: Class probability x mean mask probability inside the mask, in [0, 1].
        queries: Index of the query each mask came from; a query may appear with several labels.
    """

    masks: Bool[Tensor, "M H W"]
    labels: Int[Tensor, " M"]
    scores: Float[Tensor, " M"]
    queries: Int[Tensor, " M"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictedSegment:
    """One segment of a panoptic prediction.

    Args:
        id: Value of its pixels in the segment map, > 0.
        label: Position of its class in the catalogue.
        score: Class probability of the query it came from (the first one for fused stuff).
    """

    id: int
    label: int
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PanopticPrediction:
    """Non-overlapping segments.

    Args:
        segment_map: Segment id of each pixel, `VOID_ID` where no segment was sure enough.
        segments: One entry per id, in order of acceptance.
    """

    segment_map: Int[Tensor, "H W"]
    segments: tuple[PredictedSegment, ...]
