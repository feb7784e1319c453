"""What the documented models return: the published fields, by attribute, key or position.

Paper: OneFormer (arXiv 2211.06220); the arrows of Figure 2 under the names of the published
documentation.

Not here: how they are computed (`hf/modeling.py`), the same arrows in the words of the paper
(`OneFormerOutput` in `model.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from minioneformer.structures import MaskPrediction


class LazyPrediction(Mapping[str, Tensor]):
    """An earlier prediction of the decoder as the published dictionary.

    Mask logits are multiplied out when they are looked up: nine sets of them would be most of the
    memory of a forward pass, and most callers never look.

    Args:
        prediction: With its masks still factored.
    """

    def __init__(self, prediction: MaskPrediction) -> None:
        self._prediction = prediction

    def __getitem__(self, key: str) -> Tensor:
        """Look up "class_queries_logits" or "masks_queries_logits"."""
        if key == "class_queries_logits":
            return self._prediction.class_logits
        if key == "masks_queries_logits":
            return self._prediction.mask_logits
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        """Both keys."""
        return iter(("class_queries_logits", "masks_queries_logits"))

    def __len__(self) -> int:
        """Two."""
        return 2


@dataclass(frozen=True, kw_only=True)
class _Output:
    """Fields that are None are absent: neither keys nor positions count them."""

    def keys(self) -> tuple[str, ...]:
        """Names of the fields that are there, in order."""
        names = (field.name for field in dataclasses.fields(self))
        return tuple(name for name in names if getattr(self, name) is not None)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the fields that are there."""
        return iter(self.keys())

    def to_tuple(self) -> tuple[Any, ...]:
        """Values of the fields that are there, in order."""
        return tuple(getattr(self, name) for name in self.keys())

    def __getitem__(self, key: str | int | slice) -> Any:
        """Look up a field by name, or by position among those that are there."""
        if isinstance(key, str):
            if key not in self.keys():
                raise KeyError(f"no such output, got {key!r}. There are: {', '.join(self.keys())}.")
            return getattr(self, key)
        return self.to_tuple()[key]


@dataclass(frozen=True, kw_only=True)
class OneFormerModelOutput(_Output):
    """Every intermediate of a forward pass.

    Shape legend: B images, N queries, C channels, K classes, h x w at stride 4.

    Args:
        encoder_hidden_states: Backbone maps, strides 4, 8, 16, 32; if asked for.
        pixel_decoder_hidden_states: Mask features (stride 4), then strides 32, 16, 8; if asked
            for.
        transformer_decoder_hidden_states: The earlier predictions once more (published so); if
            asked for.
        transformer_decoder_object_queries: (B, N, C), as they leave the last layer.
        transformer_decoder_contrastive_queries: (B, N, C), as they enter the decoder.
        transformer_decoder_mask_predictions: (B, N, h, w), logits of the last layer.
        transformer_decoder_class_predictions: (B, N, K + 1), logits of the last layer; the last
            class is "no object".
        transformer_decoder_auxiliary_predictions: One mapping with `class_queries_logits` and
            `masks_queries_logits` per earlier prediction; with `use_auxiliary_loss`.
        text_queries: (B, N, C); when texts were given.
        task_token: (B, C), before any normalisation.
        attentions: Per decoder layer: weights of the self-attention (B, heads, N, N), and of the
            cross-attention (B, N, cells), mean over the heads; empty tuples unless asked for.
    """

    encoder_hidden_states: tuple[Tensor, ...] | None = None
    pixel_decoder_hidden_states: tuple[Tensor, ...] | None = None
    transformer_decoder_hidden_states: tuple[LazyPrediction, ...] | None = None
    transformer_decoder_object_queries: Tensor
    transformer_decoder_contrastive_queries: Tensor
    transformer_decoder_mask_predictions: Tensor
    transformer_decoder_class_predictions: Tensor
    transformer_decoder_auxiliary_predictions: tuple[LazyPrediction, ...] | None = None
    text_queries: Tensor | None = None
    task_token: Tensor
    attentions: tuple[tuple[Tensor, ...], ...]


@dataclass(frozen=True, kw_only=True)
class OneFormerForUniversalSegmentationOutput(_Output):
    """Loss, result, and every intermediate.

    Args:
        loss: (1,), the weighted sum; when labels were given.
        class_queries_logits: (B, N, K + 1); the last class is "no object".
        masks_queries_logits: (B, N, h, w), before sigmoid, at stride 4.
        auxiliary_predictions: The earlier predictions; None with
            `output_auxiliary_logits=False`.
        encoder_hidden_states: See `OneFormerModelOutput`.
        pixel_decoder_hidden_states: See there.
        transformer_decoder_hidden_states: See there.
        transformer_decoder_object_queries: See there.
        transformer_decoder_contrastive_queries: See there.
        transformer_decoder_mask_predictions: See there.
        transformer_decoder_class_predictions: See there.
        transformer_decoder_auxiliary_predictions: See there.
        text_queries: See there.
        task_token: See there.
        attentions: See there.
        pixel_mask: As it was given, so that post-processing can cut off the padding of each
            image; not among the published fields.
    """

    loss: Tensor | None = None
    class_queries_logits: Tensor
    masks_queries_logits: Tensor
    auxiliary_predictions: tuple[LazyPrediction, ...] | None = None
    encoder_hidden_states: tuple[Tensor, ...] | None = None
    pixel_decoder_hidden_states: tuple[Tensor, ...] | None = None
    transformer_decoder_hidden_states: tuple[LazyPrediction, ...] | None = None
    transformer_decoder_object_queries: Tensor
    transformer_decoder_contrastive_queries: Tensor
    transformer_decoder_mask_predictions: Tensor
    transformer_decoder_class_predictions: Tensor
    transformer_decoder_auxiliary_predictions: tuple[LazyPrediction, ...] | None = None
    text_queries: Tensor | None = None
    task_token: Tensor
    attentions: tuple[tuple[Tensor, ...], ...]
    pixel_mask: Tensor | None = None
