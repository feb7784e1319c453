"""The models under their published names: the same arguments, the same outputs.

Paper: OneFormer (arXiv 2211.06220), Sec. 3; Figure 2, all boxes, through `model.py`.

A thin face: it renames what goes in and what comes out, and computes nothing itself.

Not here: the model (`model.py`), the losses (`losses/criterion.py`), files
(`checkpoints/model_folder.py`), images and texts (`hf/processor.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from minioneformer.checkpoints.model_folder import (
    MAX_SHARD_BYTES,
    TrainedModules,
    read_model,
    write_model,
)
from minioneformer.config import OneFormerConfig
from minioneformer.hf.attention_weights import attention_weights
from minioneformer.hf.outputs import (
    LazyPrediction,
    OneFormerForUniversalSegmentationOutput,
    OneFormerModelOutput,
)
from minioneformer.hub import find_folder
from minioneformer.losses.criterion import Criterion
from minioneformer.model import OneFormer, OneFormerOutput
from minioneformer.structures import TaskTarget

FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")


class OneFormerModel(nn.Module):
    """OneFormer without losses.

    Args:
        config: The published fields.

    Fidelity:
        transformers: texts are optional even with `config.is_training`, and dropout follows
        `train()` and `eval()`.
    """

    def __init__(self, config: OneFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.oneformer = OneFormer.from_config(config)

    def forward(
        self,
        pixel_values: Float[Tensor, "B C H W"],
        task_inputs: Int[Tensor, "B T"],
        text_inputs: Int[Tensor, "B N_text T_text"] | None = None,
        pixel_mask: Tensor | None = None,  # noqa: ARG002  # published, and unused there too
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> OneFormerModelOutput | tuple[Any, ...]:
        """Segment images for their tasks.

        Args:
            pixel_values: Normalised RGB.
            task_inputs: Token ids of the task prompts.
            text_inputs: Token ids of the padded text lists; only with a text branch.
            pixel_mask: Accepted and not used: padding is read like any pixel, as the published
                weights were trained.
            output_hidden_states: Whether feature maps are returned; None as configured.
            output_attentions: Whether attention weights are returned; None as configured.
            return_dict: Whether an object is returned; otherwise a tuple; None as configured.

        Returns:
            Every intermediate.

        Raises:
            ValueError: If texts are given to a model without a text branch.
        """
        output, attentions = _run(
            self.oneformer,
            pixel_values,
            task_inputs,
            text_inputs,
            attend=_choose(output_attentions, self.config.output_attentions),
        )
        hidden = _choose(output_hidden_states, self.config.output_hidden_states)
        result = OneFormerModelOutput(
            **_published(output, hidden, self.config.use_auxiliary_loss), attentions=attentions
        )
        return result if _choose(return_dict, self.config.return_dict) else result.to_tuple()

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> Any:
        """Read a published model; see `OneFormerForUniversalSegmentation.from_pretrained`."""
        whole = OneFormerForUniversalSegmentation.from_pretrained(source, **options)
        if isinstance(whole, tuple):
            return whole[0].model, whole[1]
        return whole.model

    def save_pretrained(self, folder: str | Path, **options: Any) -> Path:
        """Write the model; see `OneFormerForUniversalSegmentation.save_pretrained`."""
        whole = OneFormerForUniversalSegmentation(self.config, model=self)
        return whole.save_pretrained(folder, **options)

    def gradient_checkpointing_enable(self) -> None:
        """Recompute each block of the backbone in the backward pass: less memory, more time."""
        for stage in self.oneformer.backbone.get_submodule("stages").children():
            stage.checkpoint_blocks = True  # type: ignore[assignment]  # a plain switch


class OneFormerForUniversalSegmentation(nn.Module):
    """OneFormer with its losses.

    Args:
        config: The published fields.
        model: To wrap; None makes one with random weights.

    Fidelity:
        transformers: `return_dict=False` works with labels too, mask labels other than 0 and 1 are
        refused, and the losses follow the official code where transformers differs from it.
    """

    def __init__(self, config: OneFormerConfig, *, model: OneFormerModel | None = None) -> None:
        super().__init__()
        self.config = config
        self.model = OneFormerModel(config) if model is None else model
        self.criterion = Criterion.from_config(config)

    def forward(
        self,
        pixel_values: Float[Tensor, "B C H W"],
        task_inputs: Int[Tensor, "B T"],
        text_inputs: Int[Tensor, "B N_text T_text"] | None = None,
        mask_labels: Sequence[Tensor] | None = None,
        class_labels: Sequence[Tensor] | None = None,
        pixel_mask: Tensor | None = None,
        output_auxiliary_logits: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> OneFormerForUniversalSegmentationOutput | tuple[Any, ...]:
        """Segment images for their tasks, and compare with labels if there are any.

        Args:
            pixel_values: Normalised RGB.
            task_inputs: Token ids of the task prompts.
            text_inputs: Token ids of the padded text lists; only with a text branch.
            mask_labels: Per image (M, H, W), 1 inside a mask and 0 outside; M may be 0.
            class_labels: Per image (M,).
            pixel_mask: (B, H, W), 1 where a pixel is real; handed on to the output, so that
                post-processing cuts off the padding. The model itself reads padding like any pixel.
            output_auxiliary_logits: Whether earlier predictions are returned; None as configured.
            output_hidden_states: Whether feature maps are returned; None as configured. With
                `use_auxiliary_loss` they always are.
            output_attentions: Whether attention weights are returned; None as configured.
            return_dict: Whether an object is returned; otherwise a tuple; None as configured.

        Returns:
            The result, every intermediate, and with labels the loss, of shape (1,).

        Raises:
            ValueError: If texts are given to a model without a text branch; if masks or classes
                are given alone, differ in number, or hold other values than they may.
        """
        config = self.config
        output, attentions = _run(
            self.model.oneformer,
            pixel_values,
            task_inputs,
            text_inputs,
            attend=_choose(output_attentions, config.output_attentions),
        )
        hidden = _choose(output_hidden_states, config.output_hidden_states)
        named = _published(output, hidden or config.use_auxiliary_loss, config.use_auxiliary_loss)
        earlier = named["transformer_decoder_auxiliary_predictions"]
        result = OneFormerForUniversalSegmentationOutput(
            **named,
            loss=self._loss(output, mask_labels, class_labels),
            class_queries_logits=named["transformer_decoder_class_predictions"],
            masks_queries_logits=named["transformer_decoder_mask_predictions"],
            auxiliary_predictions=earlier
            if _choose(output_auxiliary_logits, config.output_auxiliary_logits)
            else None,
            attentions=attentions,
            pixel_mask=pixel_mask,
        )
        return result if _choose(return_dict, config.return_dict) else result.to_tuple()

    def _loss(
        self,
        output: OneFormerOutput,
        mask_labels: Sequence[Tensor] | None,
        class_labels: Sequence[Tensor] | None,
    ) -> Tensor | None:
        if mask_labels is None and class_labels is None:
            return None
        if mask_labels is None or class_labels is None or len(mask_labels) != len(class_labels):
            raise ValueError(
                "a loss needs mask_labels and class_labels for every image, got "
                f"{None if mask_labels is None else len(mask_labels)} and "
                f"{None if class_labels is None else len(class_labels)}."
            )
        targets = [
            _target(masks, labels) for masks, labels in zip(mask_labels, class_labels, strict=True)
        ]
        earlier = output.auxiliary if self.config.use_auxiliary_loss else []
        losses = self.criterion(
            [*earlier, output.predictions], targets, output.object_queries, output.text_queries
        )
        return torch.stack(list(losses.values())).sum()[None]

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        config: OneFormerConfig | None = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        dtype: torch.dtype | None = None,
        revision: str | None = None,
        **overrides: Any,
    ) -> Any:
        """Read a published model.

        Args:
            source: A folder with `config.json` and weights, or an id on the Hugging Face hub such
                as "shi-labs/oneformer_coco_swin_large" (needs the extra `hub`).
            config: Instead of that of the folder.
            ignore_mismatched_sizes: The explicit word for another number of classes or queries:
                tensors of another shape keep their first random values.
            output_loading_info: Whether the report is returned too.
            dtype: Of the weights; None is float32.
            revision: Of a hub id.
            **overrides: Fields of the configuration, for instance `is_training=True` or
                `id2label`.

        Returns:
            The model in evaluation mode, or the model and the `LoadReport`. What was initialised
            anew is also a warning.

        Raises:
            FileNotFoundError: If there is no such folder or no such file in it.
            ValueError: If a file is broken, or weights do not fit the configuration; they are
                named.
        """
        folder = find_folder(source, files=FILES, revision=revision)
        found, modules, report = read_model(
            folder, config=config, changes=overrides, new_classes=ignore_mismatched_sizes
        )
        whole = cls(found, model=_wrap(found, modules.model))
        whole.criterion = modules.criterion
        whole = whole.to(dtype=dtype).eval()
        return (whole, report) if output_loading_info else whole

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        max_shard_size: int = MAX_SHARD_BYTES,
    ) -> Path:
        """Write `config.json` and the weights under their published names.

        Args:
            folder: Made if it is missing; files of the same names are replaced.
            max_shard_size: Bytes per file; above it the weights are spread over several.

        Returns:
            The folder, which transformers reads too.
        """
        modules = TrainedModules(model=self.model.oneformer, criterion=self.criterion)
        return write_model(folder, self.config, modules, max_shard_bytes=max_shard_size)

    def gradient_checkpointing_enable(self) -> None:
        """Recompute each block of the backbone in the backward pass: less memory, more time."""
        self.model.gradient_checkpointing_enable()


def _wrap(config: OneFormerConfig, oneformer: OneFormer) -> OneFormerModel:
    """Put a model that exists under its published class."""
    with torch.device("meta"):  # nothing is drawn, nothing is allocated
        model = OneFormerModel(config)
    model.oneformer = oneformer
    return model


def _run(
    model: OneFormer,
    pixel_values: Tensor,
    task_inputs: Tensor,
    text_inputs: Tensor | None,
    *,
    attend: bool,
) -> tuple[OneFormerOutput, tuple[tuple[Tensor, ...], ...]]:
    with attention_weights(model.transformer_decoder, record=attend) as recorded:
        output = model(pixel_values, task_inputs, text_inputs)
    return output, tuple(recorded)


def _published(output: OneFormerOutput, hidden: bool, auxiliary: bool) -> dict[str, Any]:
    """The fields that both output classes share, under their published names."""
    earlier = tuple(LazyPrediction(prediction) for prediction in output.auxiliary)
    maps = (output.mask_features, *output.multi_scale_features)
    return {
        "encoder_hidden_states": tuple(output.features.values()) if hidden else None,
        "pixel_decoder_hidden_states": maps if hidden else None,
        "transformer_decoder_hidden_states": earlier if hidden and auxiliary else None,
        "transformer_decoder_object_queries": output.decoder_queries,
        "transformer_decoder_contrastive_queries": output.object_queries,
        "transformer_decoder_mask_predictions": output.predictions.mask_logits,
        "transformer_decoder_class_predictions": output.predictions.class_logits,
        "transformer_decoder_auxiliary_predictions": earlier if auxiliary else None,
        "text_queries": output.text_queries,
        "task_token": output.task_token,
    }


def _target(masks: Tensor, labels: Tensor) -> TaskTarget:
    if masks.ndim != 3 or len(masks) != len(labels):
        raise ValueError(
            "an image needs masks (M, H, W) and a class for each, got "
            f"{tuple(masks.shape)=}, {tuple(labels.shape)=}."
        )
    inside = masks != 0
    if not torch.equal(inside.to(masks.dtype), masks):
        raise ValueError(
            f"mask_labels must be 0 or 1, got {masks.unique().tolist()[:5]}. Padding of masks is "
            "0 here, whatever ignore_index says."
        )
    # subtle: the criterion does not look at the task of a target
    return TaskTarget(task="panoptic", labels=labels, masks=inside)


def _choose(asked: bool | None, configured: bool) -> bool:
    return configured if asked is None else asked
