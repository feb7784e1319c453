"""The published processor: an image processor and a tokenizer in one.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), box "Tokenize", in the form of the
published interface.

Not here: images, maps and results (`hf/image_processor.py`), the tokenizer itself
(`text/tokenizer.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from minioneformer.checkpoints.folder_files import read_json, write_json
from minioneformer.hf.batch_feature import BatchFeature
from minioneformer.hf.image_inputs import ImagesInput
from minioneformer.hf.image_processor import OneFormerImageProcessor
from minioneformer.hf.image_settings import SETTINGS
from minioneformer.hf.mask_output import MaskOutput, PixelMask, TargetSizes
from minioneformer.hf.per_image import LabelsOfValues
from minioneformer.hf.post_process import SemanticSegmentationOutput
from minioneformer.hf.preprocessor_config import (
    CLASS_FILES,
    PREPROCESSOR,
    PROCESSOR,
    check_names,
)
from minioneformer.hub import find_folder
from minioneformer.text.tokenizer import BPETokenizer
from minioneformer.text.words import END, START

TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json")
TOKENIZER_CONFIG = {
    "tokenizer_class": "CLIPTokenizer",
    "bos_token": START,
    "eos_token": END,
    "pad_token": END,
    "unk_token": END,
    "do_lower_case": True,
    "model_max_length": 77,
}
LENGTHS = ("max_seq_length", "task_seq_length")


class OneFormerProcessor:
    """Prepares images, maps and tasks for the model, and decodes what it answers.

    Args:
        image_processor: For images, maps and results.
        tokenizer: The one the model was trained with.
        max_seq_length: Tokens of a text, padding included.
        task_seq_length: Tokens of a task prompt, padding included; the model's `task_seq_len`.

    Example:
        With CLIP's vocabulary, `task_inputs` of "panoptic" begins with 49406, 518, 10549, 533,
        1072, 24755, 49407, 0.
    """

    def __init__(
        self,
        image_processor: OneFormerImageProcessor,
        tokenizer: BPETokenizer,
        max_seq_length: int = 77,
        task_seq_length: int = 77,
    ) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.max_seq_length = max_seq_length
        self.task_seq_length = task_seq_length

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, revision: str | None = None, **overrides: Any
    ) -> OneFormerProcessor:
        """Read a folder with settings and vocabulary.

        Args:
            source: A local folder, or "owner/name" of a repository of the hub.
            revision: Of the repository.
            overrides: Settings of the image processor, `max_seq_length` or `task_seq_length`,
                in place of those of the files.

        Returns:
            The processor.

        Raises:
            FileNotFoundError: If there is no such folder, or a file is missing in it.
            TypeError: If an override is no setting.
            ValueError: If a file is malformed.
            ImportError: If the folder has to be fetched and `huggingface_hub` is not installed.

        Warns:
            UserWarning: If the files have settings that nothing here reads.
        """
        check_names(overrides, SETTINGS | set(LENGTHS))
        files = [PREPROCESSOR, PROCESSOR, *CLASS_FILES, *TOKENIZER_FILES]
        folder = find_folder(source, files=files, revision=revision)
        values = read_json(folder / PROCESSOR) if (folder / PROCESSOR).is_file() else {}
        lengths = {name: values[name] for name in LENGTHS if name in values}
        lengths |= {name: overrides.pop(name) for name in LENGTHS if name in overrides}
        return cls(
            OneFormerImageProcessor.from_pretrained(folder, **overrides),
            BPETokenizer.from_folder(folder),
            **lengths,
        )

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write settings, class file and vocabulary; transformers reads the folder too.

        Args:
            folder: Made if it is not there.

        Returns:
            The folder.
        """
        folder = self.image_processor.save_pretrained(folder)
        self.tokenizer.save(folder)
        write_json(folder / "tokenizer_config.json", TOKENIZER_CONFIG)
        lengths = {name: getattr(self, name) for name in LENGTHS}
        write_json(folder / PROCESSOR, {"processor_class": "OneFormerProcessor", **lengths})
        return folder

    def __call__(
        self,
        images: ImagesInput | None = None,
        task_inputs: str | Sequence[str] | None = None,
        segmentation_maps: ImagesInput | None = None,
        instance_id_to_semantic_id: LabelsOfValues | None = None,
        *,
        return_tensors: str | None = None,
        **overrides: Any,
    ) -> BatchFeature:
        """Prepare a batch: see `OneFormerImageProcessor.preprocess`.

        Args:
            images: One or several.
            task_inputs: One task for all images, or one for each.
            segmentation_maps: One per image.
            instance_id_to_semantic_id: Class of each value of the maps.
            return_tensors: "pt", "np", or None, which leaves lists of pixel values.
            overrides: Settings of the image processor, for this call.

        Returns:
            As `OneFormerImageProcessor.preprocess`, with token ids for "task_inputs" and
            "text_inputs".

        Raises:
            TypeError: As `OneFormerImageProcessor.preprocess`.
            ValueError: If images or tasks are missing, or as `OneFormerImageProcessor.preprocess`.
        """
        given, tasks = _given(images, task_inputs)
        batch = self.image_processor.preprocess(
            given,
            tasks,
            segmentation_maps,
            instance_id_to_semantic_id,
            return_tensors=return_tensors,
            **overrides,
        )
        return self._tokenized(batch, return_tensors)

    def encode_inputs(
        self,
        images: ImagesInput | None = None,
        task_inputs: str | Sequence[str] | None = None,
        segmentation_maps: ImagesInput | None = None,
        instance_id_to_semantic_id: LabelsOfValues | None = None,
        ignore_index: int | None = None,
        do_reduce_labels: bool = False,
        return_tensors: str | None = None,
    ) -> BatchFeature:
        """Prepare images that are ready: see `OneFormerImageProcessor.encode_inputs`.

        Args:
            images: Normalised.
            task_inputs: One task for all images, or one for each.
            segmentation_maps: One per image.
            instance_id_to_semantic_id: Class of each value of the maps.
            ignore_index: Value of map pixels that belong to nothing.
            do_reduce_labels: Whether value 0 of maps is the background; classes count from 1 then.
            return_tensors: "pt", "np", or None, which leaves lists of pixel values.

        Returns:
            As `__call__`.

        Raises:
            TypeError: As `OneFormerImageProcessor.encode_inputs`.
            ValueError: If images or tasks are missing, or as
                `OneFormerImageProcessor.encode_inputs`.
        """
        given, tasks = _given(images, task_inputs)
        batch = self.image_processor.encode_inputs(
            given,
            tasks,
            segmentation_maps,
            instance_id_to_semantic_id,
            ignore_index,
            do_reduce_labels,
            return_tensors,
        )
        return self._tokenized(batch, return_tensors)

    def post_process_semantic_segmentation(
        self,
        outputs: MaskOutput,
        target_sizes: TargetSizes | None = None,
        return_segmentation_scores: bool = False,
        *,
        pixel_mask: PixelMask | None = None,
    ) -> list[Tensor] | list[SemanticSegmentationOutput]:
        """As `OneFormerImageProcessor.post_process_semantic_segmentation`."""
        return self.image_processor.post_process_semantic_segmentation(
            outputs, target_sizes, return_segmentation_scores, pixel_mask=pixel_mask
        )

    def post_process_instance_segmentation(
        self,
        outputs: MaskOutput,
        task_type: str = "instance",
        is_demo: bool = True,
        threshold: float = 0.5,
        mask_threshold: float = 0.5,
        overlap_mask_area_threshold: float = 0.8,
        target_sizes: TargetSizes | None = None,
        return_coco_annotation: bool | None = False,
        *,
        pixel_mask: PixelMask | None = None,
    ) -> list[dict[str, Any]]:
        """As `OneFormerImageProcessor.post_process_instance_segmentation`."""
        return self.image_processor.post_process_instance_segmentation(
            outputs,
            task_type,
            is_demo,
            threshold,
            mask_threshold,
            overlap_mask_area_threshold,
            target_sizes,
            return_coco_annotation,
            pixel_mask=pixel_mask,
        )

    def post_process_panoptic_segmentation(
        self,
        outputs: MaskOutput,
        threshold: float = 0.5,
        mask_threshold: float = 0.5,
        overlap_mask_area_threshold: float = 0.8,
        label_ids_to_fuse: Collection[int] | None = None,
        target_sizes: TargetSizes | None = None,
        *,
        pixel_mask: PixelMask | None = None,
    ) -> list[dict[str, Any]]:
        """As `OneFormerImageProcessor.post_process_panoptic_segmentation`."""
        return self.image_processor.post_process_panoptic_segmentation(
            outputs,
            threshold,
            mask_threshold,
            overlap_mask_area_threshold,
            label_ids_to_fuse,
            target_sizes,
            pixel_mask=pixel_mask,
        )

    def _tokenized(self, batch: BatchFeature, return_tensors: str | None) -> BatchFeature:
        """With token ids instead of texts; they are tensors whatever the form of the images."""
        batch["task_inputs"] = self._ids(batch["task_inputs"], self.task_seq_length)  # (B, T)
        if "text_inputs" in batch:
            rows = [self._ids(texts, self.max_seq_length) for texts in batch["text_inputs"]]
            batch["text_inputs"] = torch.stack(rows)  # (B, N_text, T)
        if return_tensors == "np":
            for name in ("task_inputs", "text_inputs"):
                if name in batch:
                    batch[name] = np.asarray(batch[name])
        return batch

    def _ids(self, texts: Sequence[str], length: int) -> Int[Tensor, "M T"]:
        return torch.tensor(self.tokenizer.tokenize(texts, length))


def _given(
    images: ImagesInput | None, task_inputs: str | Sequence[str] | None
) -> tuple[ImagesInput, str | Sequence[str]]:
    if images is None:
        raise ValueError(f"images are needed, got {images=}.")
    if task_inputs is None:
        raise ValueError(
            f"a task is needed, got {task_inputs=}. Pass 'semantic', 'instance' or 'panoptic'."
        )
    return images, task_inputs
