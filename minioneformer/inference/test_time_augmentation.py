"""Semantic results averaged over sizes of the image and its mirror image ("ms+flip").

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1, the multi-scale columns of its tables; not drawn in
Figure 2.

Every view of the image goes through the model alone. Its votes are brought to the size of the
original, mirrored back, and averaged; each pixel takes the class with most. What is kept of a view
are its masks before they are multiplied out; votes are there for a few rows at a time, since those
of all classes at every pixel of a large image would not fit into memory. Segments and
instances of different views would have to be matched first, which neither paper nor official code
does: their figures are of one view.

Not here: one view (`predictor.py`), the votes (`semantic.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from minioneformer.inference.predictor import NO_LIMIT, ImageInput, Prediction, Predictor
from minioneformer.inference.semantic import semantic_from_votes, votes_of_strips
from minioneformer.inference.upsample import FactoredMasks
from minioneformer.pixels import read_image, resize_image, shortest_edge_size
from minioneformer.structures import Category, SemanticPrediction, Task

# class logits and masks of one view
Look: TypeAlias = tuple[Float[Tensor, "N K_plus_1"], FactoredMasks]

# by data set and size of its recipe: shorter sides, upper bound of the longer one
PUBLISHED_SCALES: dict[tuple[str, int], tuple[tuple[int, ...], int]] = {
    ("ade20k", 512): ((256, 384, 512, 640, 768, 896), 3584),
    ("ade20k", 640): ((320, 480, 640, 800, 960, 1120), 4480),
    ("ade20k", 896): ((448, 678, 896, 1120, 1344, 1568), 6272),
    ("ade20k", 1280): ((640, 960, 1280, 1600, 1920, 2240), 8960),
    ("cityscapes", 1024): ((512, 768, 1024, 1280, 1536, 1792), 4096),
    ("mapillary_vistas", 2048): ((512, 768, 1024, 1280, 1536, 1792), 4096),
}


class MultiScalePredictor:
    """A predictor that looks several times.

    Args:
        predictor: Sees each view. Its own resizing comes first, so that a view is resized twice,
            as in the official code.
        shortest_edges: Length of the shorter side of each view, in pixels.
        longest_edge: Upper bound of the longer side; None sets no bound.
        flip: Whether each view is also seen mirrored, left to right.

    Raises:
        ValueError: If there are no views, or an edge is below 1.

    Example:
        With one edge and without `flip`, results equal those of a plain predictor that has this
        `shortest_edge`. The result of a mirrored image is the mirrored result, to the last bit,
        if the image need not be resized.

    Fidelity:
        As the official code: votes are averaged, not probabilities, at the size of the original.
    """

    def __init__(
        self,
        *,
        predictor: Predictor,
        shortest_edges: Sequence[int],
        longest_edge: int | None = None,
        flip: bool = True,
    ) -> None:
        edges = [*shortest_edges, *([] if longest_edge is None else [longest_edge])]
        if not shortest_edges or min(edges) < 1:
            raise ValueError(
                f"there must be one view or more, with edges >= 1, "
                f"got {shortest_edges=}, {longest_edge=}."
            )
        self.predictor = predictor
        self.shortest_edges = tuple(shortest_edges)
        self.longest_edge = NO_LIMIT if longest_edge is None else longest_edge
        self.flip = flip

    @property
    def categories(self) -> tuple[Category, ...]:
        """The catalogue the model was trained with."""
        return self.predictor.categories

    def predict(self, image: ImageInput, task: Task = "semantic") -> SemanticPrediction:
        """Label the pixels of one image.

        Args:
            image: RGB, 0 to 255, or the path of an image file.
            task: The token that conditions the model.

        Returns:
            At the size of the image, on the CPU; with averaged votes, a float per class and pixel,
            if the predictor keeps them.

        Raises:
            ValueError: As `Predictor.predict`.
        """
        pixels = read_image(image) if isinstance(image, str | Path) else image
        looks = self._looks(pixels, task)
        class_logits, masks = looks[0]
        result = semantic_from_votes(
            self._mean_votes(looks),
            (class_logits.shape[-1] - 1, *masks.sizes.original),
            device=class_logits.device,
            keep_scores=self.predictor.keep_scores,
        )
        scores = None if result.scores is None else result.scores.cpu()
        return SemanticPrediction(label_map=result.label_map.cpu(), scores=scores)

    def predict_forms(
        self, images: Sequence[ImageInput], task: Task, forms: Sequence[Task]
    ) -> list[dict[Task, Prediction]]:
        """What an evaluation asks of a predictor.

        Args:
            images: RGB, 0 to 255, or paths, of any sizes.
            task: The token that conditions the model.
            forms: Only "semantic".

        Returns:
            For each image, in their order, its prediction.

        Raises:
            ValueError: If another form is asked for; otherwise as `Predictor.predict`.
        """
        if tuple(forms) != ("semantic",):
            raise ValueError(
                f"only semantic results are averaged over views, got {forms=}. Evaluate the other "
                f"tasks with the plain predictor, and this one with tasks=('semantic',)."
            )
        return [{"semantic": self.predict(image, task)} for image in images]

    @torch.no_grad()
    def _looks(self, image: UInt8[Tensor, "3 H W"], task: Task) -> list[Look]:
        """What the model says of each view, and after each of its mirror image."""
        original = (image.shape[-2], image.shape[-1])
        looks = []
        for view in self._views(image):
            for seen in (view, view.flip(-1)) if self.flip else (view,):
                prediction, sizes = self.predictor.logits_of_resized(
                    seen[None], task, original=original
                )
                looks.append(self.predictor.one_image(prediction, 0, sizes))
        return looks

    def _views(self, image: UInt8[Tensor, "3 H W"]) -> Iterator[UInt8[Tensor, "3 _ _"]]:
        seen = _resized(image, self.predictor.resized_size((image.shape[-2], image.shape[-1])))
        for edge in self.shortest_edges:
            size = shortest_edge_size((seen.shape[-2], seen.shape[-1]), edge, self.longest_edge)
            yield _resized(seen, size)

    def _mean_votes(self, looks: Sequence[Look]) -> Iterator[Float[Tensor, "K _ W"]]:
        """Votes, averaged over the views, strip by strip."""
        rows = min(masks.rows_per_strip for _, masks in looks)
        votes = [votes_of_strips(class_logits, masks.strips(rows)) for class_logits, masks in looks]
        for strips in zip(*votes, strict=True):
            yield self._sum(strips).div_(len(looks))

    def _sum(self, strips: Sequence[Float[Tensor, "K rows W"]]) -> Float[Tensor, "K rows W"]:
        """Votes of all views at the same rows, those of mirror images mirrored back."""
        total = torch.zeros_like(strips[0])
        if not self.flip:
            for strip in strips:
                total += strip
            return total
        # subtle: view and mirror image are added up before the sum of all, so that mirroring the
        # image mirrors the result exactly: a + b is b + a, but (s + a) + b need not be (s + b) + a
        for straight, mirrored in zip(strips[::2], strips[1::2], strict=True):
            total += straight + mirrored.flip(-1)
        return total


def published_scales(dataset: str, shortest_edge: int) -> tuple[tuple[int, ...], int]:
    """The views of the published recipes.

    Args:
        dataset: "ade20k", "cityscapes" or "mapillary_vistas".
        shortest_edge: At which the recipe evaluates, in pixels.

    Returns:
        Shorter sides, and the upper bound of the longer one: `shortest_edges` and `longest_edge`
        of `MultiScalePredictor`.

    Raises:
        ValueError: If there is no such recipe.

    Example:
        ("ade20k", 512) gives (256, 384, 512, 640, 768, 896) and 3584.
    """
    if (dataset, shortest_edge) not in PUBLISHED_SCALES:
        known = ", ".join(f"{name} at {edge}" for name, edge in PUBLISHED_SCALES)
        raise ValueError(
            f"no published recipe has views for this, got {dataset=}, {shortest_edge=}. "
            f"There are some for {known}."
        )
    return PUBLISHED_SCALES[dataset, shortest_edge]


def _resized(image: UInt8[Tensor, "3 _ _"], size: tuple[int, int]) -> UInt8[Tensor, "3 H W"]:
    if image.shape[-2:] == size:
        return image
    return resize_image(image.cpu(), size)
