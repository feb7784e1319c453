"""Image in, results out.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.4 and 4.1; Figure 2 from "Image" to "Masks", and on.

Resizes, normalises and pads the image, asks the model for one task, and decodes the answer at
the size of the image. Masks are multiplied out for the queries that are kept, a few at a time.

Not here: the model (`model.py`), drawing (`visualize/`), metrics (`evaluation/`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from minioneformer.inference.candidates import (
    check_catalogue,
    instance_candidates,
    panoptic_candidates,
)
from minioneformer.inference.instance import instance_from_chunks
from minioneformer.inference.panoptic import panoptic_from_chunks
from minioneformer.inference.semantic import semantic_from_strips
from minioneformer.inference.separate_parts import separate_instances, separate_panoptic
from minioneformer.inference.upsample import MAX_PIXELS, FactoredMasks, ImageSizes
from minioneformer.pixels import (
    normalize,
    pad_to_multiple,
    read_image,
    resize_image,
    shortest_edge_size,
)
from minioneformer.structures import (
    TASKS,
    Category,
    InstancePrediction,
    MaskPrediction,
    PanopticPrediction,
    SemanticPrediction,
    Task,
)
from minioneformer.text.task_prompt import check_task, task_prompt
from minioneformer.text.tokenizer import BPETokenizer

ImageInput: TypeAlias = UInt8[Tensor, "3 _ _"] | str | Path
Prediction: TypeAlias = SemanticPrediction | InstancePrediction | PanopticPrediction
NO_LIMIT = 2**31 - 1


class Predictor:
    """A model with everything around it that turns an image into a result.

    Puts the model into evaluation mode once, when it is made; gradients are never recorded.

    Args:
        model: Called as `model(images, task_tokens, auxiliary=False)`, like `OneFormer`; images
            go to the device of its first parameter.
        tokenizer: The one the model was trained with.
        categories: The catalogue the model was trained with.
        shortest_edge: The image is resized so that its shorter side has this many pixels; None
            keeps its size.
        longest_edge: Upper bound of the longer side; None sets no bound.
        object_threshold: Panoptic: class probability a query must exceed. 0.8 for COCO and
            Cityscapes, 0.5 for ADE20K.
        overlap_threshold: Panoptic: share of its mask a query must own.
        num_instances: Instance: pairs of query and class considered; None: one per query.
        class_threshold: Instance: class probability that must be exceeded; None keeps all, as
            evaluation needs it.
        separate_parts: Panoptic and instance: connected parts of a thing with at least so many
            pixels become objects of their own, smaller ones are left out; 0 keeps things whole.
        keep_scores: Semantic: whether the votes are returned too.
        context_length: Tokens of the task prompt, padding included.
        size_divisor: Padding makes both sides multiples of this.
        max_pixels: Of the masks that are at full size at one time.

    Raises:
        ValueError: If a threshold is outside [0, 1], an edge or number is below 1, or
            `separate_parts` is negative.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        tokenizer: BPETokenizer,
        categories: Sequence[Category],
        shortest_edge: int | None = None,
        longest_edge: int | None = None,
        object_threshold: float = 0.8,
        overlap_threshold: float = 0.8,
        num_instances: int | None = None,
        class_threshold: float | None = None,
        separate_parts: int = 0,
        keep_scores: bool = False,
        context_length: int = 77,
        size_divisor: int = 32,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        _check_fraction("object_threshold", object_threshold)
        _check_fraction("overlap_threshold", overlap_threshold)
        _check_fraction("class_threshold", class_threshold)
        _check_count("shortest_edge", shortest_edge)
        _check_count("longest_edge", longest_edge)
        _check_count("num_instances", num_instances)
        self.model = model.eval()
        self.categories = tuple(categories)
        self.shortest_edge = shortest_edge
        self.longest_edge = longest_edge
        self.object_threshold = object_threshold
        self.overlap_threshold = overlap_threshold
        self.num_instances = num_instances
        self.class_threshold = class_threshold
        if separate_parts < 0:
            raise ValueError(f"separate_parts must be >= 0 pixels, got {separate_parts=}.")
        self.separate_parts = separate_parts
        self.keep_scores = keep_scores
        self.size_divisor = size_divisor
        self.max_pixels = max_pixels
        self.task_tokens = {
            task: torch.tensor(tokenizer.tokenize(task_prompt(task), context_length))  # (1, T)
            for task in TASKS
        }

    def predict(self, image: ImageInput, task: Task) -> Prediction:
        """Segment one image for one task.

        Args:
            image: RGB, 0 to 255, or the path of an image file.
            task: Decides both the token that conditions the model and the form of the result.

        Returns:
            The prediction of that task, at the size of the image, on the CPU.

        Raises:
            ValueError: If the task is unknown, the file is no image, or the model's classes do
                not fit the catalogue.
        """
        return self.predict_batch([image], task)[0]

    def predict_batch(self, images: Sequence[ImageInput], task: Task) -> list[Prediction]:
        """Segment several images for one task; those of equal size go through the model together.

        Args:
            images: RGB, 0 to 255, or paths, of any sizes.
            task: Decides both the token and the form of the results.

        Returns:
            One prediction per image, in their order.

        Raises:
            ValueError: As `predict`.
        """
        return [forms[task] for forms in self.predict_forms(images, task, (check_task(task),))]

    def predict_forms(
        self, images: Sequence[ImageInput], task: Task, forms: Sequence[Task]
    ) -> list[dict[Task, Prediction]]:
        """Run the model once per image and decode its output in several forms.

        Args:
            images: RGB, 0 to 255, or paths, of any sizes.
            task: The token that conditions the model.
            forms: The kinds of result wanted.

        Returns:
            For each image, in their order, a prediction of each form.

        Raises:
            ValueError: As `predict`.
        """
        forms = [check_task(form) for form in forms]
        tensors = [read_image(i) if isinstance(i, str | Path) else i for i in images]
        groups: dict[tuple[int, ...], list[int]] = {}
        for position, image in enumerate(tensors):
            groups.setdefault(tuple(image.shape), []).append(position)

        results: dict[int, dict[Task, Prediction]] = {}
        for positions in groups.values():
            prediction, sizes = self.logits(torch.stack([tensors[i] for i in positions]), task)
            for row, position in enumerate(positions):
                results[position] = {
                    form: self._decode(prediction, row, sizes, form) for form in forms
                }
        return [results[position] for position in range(len(tensors))]

    # subtle: no_grad and not inference_mode: what the model caches (position codes, window masks)
    # must stay usable for training, and results must stay writable
    @torch.no_grad()
    def logits(
        self, images: UInt8[Tensor, "B 3 H W"], task: Task
    ) -> tuple[MaskPrediction, ImageSizes]:
        """The model's raw answer for images of one size.

        Args:
            images: RGB, 0 to 255.
            task: The token that conditions the model.

        Returns:
            Classes and factored masks of the padded images, on the model's device, and the
            sizes needed to undo resizing and padding.

        Raises:
            ValueError: If the task is unknown.
        """
        check_task(task)
        original = (images.shape[-2], images.shape[-1])
        resized = self.resized_size(original)
        if resized != original:
            images = torch.stack([resize_image(image.cpu(), resized) for image in images])
        return self.logits_of_resized(images, task, original=original)

    @torch.no_grad()
    def logits_of_resized(
        self, images: UInt8[Tensor, "B 3 H W"], task: Task, *, original: tuple[int, int]
    ) -> tuple[MaskPrediction, ImageSizes]:
        """`logits` for images that have the size at which the model is to see them.

        Args:
            images: RGB, 0 to 255.
            task: The token that conditions the model.
            original: Size that results will have, (H, W) in pixels.

        Returns:
            As `logits`.

        Raises:
            ValueError: If the task is unknown.
        """
        task_tokens = self.task_tokens[check_task(task)]
        parameter = next(self.model.parameters(), None)
        device = images.device if parameter is None else parameter.device
        padded, _ = pad_to_multiple(normalize(images.to(device)), self.size_divisor)
        output = self.model(padded, task_tokens.expand(len(images), -1).to(device), auxiliary=False)
        sizes = ImageSizes(
            original=original,
            resized=(images.shape[-2], images.shape[-1]),
            padded=(padded.shape[-2], padded.shape[-1]),
        )
        return output.predictions, sizes

    def resized_size(self, original: tuple[int, int]) -> tuple[int, int]:
        """The size at which the model sees an image.

        Args:
            original: (H, W) of the image in pixels.

        Returns:
            (H, W) in pixels, before padding.
        """
        if self.shortest_edge is None and self.longest_edge is None:
            return original
        shortest = min(original) if self.shortest_edge is None else self.shortest_edge
        longest = NO_LIMIT if self.longest_edge is None else self.longest_edge
        return shortest_edge_size(original, shortest, longest)

    def one_image(
        self, prediction: MaskPrediction, row: int, sizes: ImageSizes
    ) -> tuple[Float[Tensor, "N K_plus_1"], FactoredMasks]:
        """What the model says of one image of a batch.

        Args:
            prediction: As `logits` gives it.
            row: Position of the image in the batch.
            sizes: As `logits` gives them.

        Returns:
            Class logits, and masks that are not multiplied out yet.

        Raises:
            ValueError: If the model's classes do not fit the catalogue.
        """
        class_logits = prediction.class_logits[row]
        check_catalogue(class_logits, self.categories)
        masks = FactoredMasks(
            mask_embeddings=prediction.mask_embeddings[row],
            mask_features=prediction.mask_features[row],
            sizes=sizes,
            max_pixels=self.max_pixels,
        )
        return class_logits, masks

    @torch.no_grad()
    def _decode(
        self, prediction: MaskPrediction, row: int, sizes: ImageSizes, form: Task
    ) -> Prediction:
        """The result of one image of a batch."""
        class_logits, masks = self.one_image(prediction, row, sizes)
        if form == "semantic":
            return self._semantic(class_logits, masks)
        if form == "instance":
            return self._instance(class_logits, masks)
        return self._panoptic(class_logits, masks)

    def _semantic(self, class_logits: Tensor, masks: FactoredMasks) -> SemanticPrediction:
        result = semantic_from_strips(
            class_logits, masks.strips(), masks.sizes.original, keep_scores=self.keep_scores
        )
        scores = None if result.scores is None else result.scores.cpu()
        return SemanticPrediction(label_map=result.label_map.cpu(), scores=scores)

    def _instance(self, class_logits: Tensor, masks: FactoredMasks) -> InstancePrediction:
        candidates = instance_candidates(
            class_logits,
            self.categories,
            num_instances=self.num_instances,
            class_threshold=self.class_threshold,
        )
        chunks = masks.chunks(candidates.queries.unique())
        result = instance_from_chunks(candidates, chunks, masks.sizes.original)
        result = InstancePrediction(
            masks=result.masks.cpu(),
            labels=result.labels.cpu(),
            scores=result.scores.cpu(),
            queries=result.queries.cpu(),
        )
        if not self.separate_parts:
            return result
        return separate_instances(result, smallest=self.separate_parts)

    def _panoptic(self, class_logits: Tensor, masks: FactoredMasks) -> PanopticPrediction:
        candidates = panoptic_candidates(class_logits, object_threshold=self.object_threshold)
        result = panoptic_from_chunks(
            candidates,
            masks.chunks(candidates.queries),
            masks.sizes.original,
            self.categories,
            overlap_threshold=self.overlap_threshold,
        )
        result = replace(result, segment_map=result.segment_map.cpu())
        if not self.separate_parts:
            return result
        return separate_panoptic(result, self.categories, smallest=self.separate_parts)


def _check_fraction(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{name} is a fraction, 0 to 1, got {value=}.")


def _check_count(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{name} must be >= 1, or None for no limit, got {value=}.")
