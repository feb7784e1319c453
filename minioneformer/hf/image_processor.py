"""The published image processor: images and maps in, tensors out; model output in, results out.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1, 3.4 and 4.1; before and after Figure 2, in the form
of the published interface.

Settings are attributes with the published names; they can be set at any time and be overridden
in a call.

Not here: what the steps do (`hf/image_steps.py`, `hf/segmentation_maps.py`,
`hf/post_process.py`), token ids (`hf/processor.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from minioneformer.checkpoints.folder_files import write_json
from minioneformer.hf.batch_feature import BatchFeature, check_return_tensors, to_tensors
from minioneformer.hf.class_info import categories_of, class_info_from_metadata
from minioneformer.hf.image_inputs import ImagesInput, image_tensors, map_tensors
from minioneformer.hf.image_settings import CALL_SETTINGS, SETTINGS, ImageProcessorSettings
from minioneformer.hf.image_steps import (
    pad_images,
    rescale_and_normalize,
    resize,
    resized_size,
    size_dict,
)
from minioneformer.hf.mask_output import MaskOutput, PixelMask, TargetSizes
from minioneformer.hf.per_image import LabelsOfValues, check_maps, image_mappings, image_tasks
from minioneformer.hf.post_process import (
    SemanticSegmentationOutput,
    instance_results,
    panoptic_results,
    semantic_results,
)
from minioneformer.hf.preprocessor_config import (
    CLASS_FILES,
    PREPROCESSOR,
    PROCESSOR,
    check_names,
    read_settings,
)
from minioneformer.hf.segmentation_maps import map_target, pad_masks, target_texts
from minioneformer.hub import find_folder
from minioneformer.structures import TaskTarget
from minioneformer.text.task_prompt import task_prompt

NEAREST = 0


class OneFormerImageProcessor(ImageProcessorSettings):
    """Prepares images and maps for the model, and decodes what it answers.

    Its arguments are those of `ImageProcessorSettings`, by name.

    Example:
        With the size 800 to 1333, an image of 480 x 640 becomes pixel values of 800 x 1066.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values", "pixel_mask", "task_inputs"]

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, revision: str | None = None, **overrides: Any
    ) -> OneFormerImageProcessor:
        """Read the settings of a folder.

        Args:
            source: A local folder, or "owner/name" of a repository of the hub.
            revision: Of the repository.
            overrides: Settings that replace those of the file.

        Returns:
            The processor. A class file in the folder is preferred to `repo_path`.

        Raises:
            FileNotFoundError: If there is no such folder, or no settings in it.
            TypeError: If an override is no setting.
            ValueError: If a file is malformed.
            ImportError: If the folder has to be fetched and `huggingface_hub` is not installed.

        Warns:
            UserWarning: If the file has settings that nothing here reads.
        """
        check_names(overrides, SETTINGS)
        folder = find_folder(
            source, files=[PREPROCESSOR, PROCESSOR, *CLASS_FILES], revision=revision
        )
        settings = read_settings(folder, SETTINGS)
        file = settings.get("class_info_file")
        if file is not None and (folder / file).is_file():
            settings |= {"repo_path": str(folder), "metadata": None}
        if {"repo_path", "class_info_file"} & set(overrides):
            settings["metadata"] = None
        return cls(**(settings | overrides))

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the settings, and the class file if there are classes.

        Args:
            folder: Made if it is not there.

        Returns:
            The folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / PREPROCESSOR, self.to_dict(folder))
        if self.class_info_file is not None:
            class_info = class_info_from_metadata(self.known_metadata())
            write_json(folder / Path(self.class_info_file).name, class_info)
        return folder

    def preprocess(
        self,
        images: ImagesInput,
        task_inputs: str | Sequence[str] | None = None,
        segmentation_maps: ImagesInput | None = None,
        instance_id_to_semantic_id: LabelsOfValues | None = None,
        *,
        return_tensors: str | None = None,
        input_data_format: str | None = None,
        **overrides: Any,
    ) -> BatchFeature:
        """Resize, normalise and pad images; take masks, labels and texts from maps.

        Args:
            images: One or several: Pillow images, arrays, tensors; channels first or last.
            task_inputs: One task for all images, or one for each; None is "panoptic".
            segmentation_maps: One per image, of its size; class or object of each pixel.
            instance_id_to_semantic_id: Class of each value of the maps; of all, or one for each.
            return_tensors: "pt", "np", or None for lists.
            input_data_format: "channels_first", "channels_last"; None tells from the shapes.
            overrides: Settings of the processor, for this call; None leaves one as it is.

        Returns:
            As `encode_inputs`.

        Raises:
            TypeError: If something is no image, or an override no setting.
            ValueError: If maps, tasks or shapes do not fit the images, or as `encode_inputs`.
        """
        check_names(overrides, CALL_SETTINGS)
        if segmentation_maps is not None:
            self.known_metadata()
        given = {name: value for name, value in overrides.items() if value is not None}
        settings = dataclasses.replace(self, **given)
        tensors = image_tensors(
            images, do_convert_rgb=settings.do_convert_rgb, input_data_format=input_data_format
        )
        if not tensors:
            raise ValueError("at least one image is needed, got images of length 0.")
        maps = None if segmentation_maps is None else map_tensors(segmentation_maps)
        if maps is not None:
            check_maps(maps, tensors)
            maps = [settings._resized(m[None], NEAREST)[0] for m in maps]
        return settings.encode_inputs(
            [settings._normalized(settings._resized(t, settings.resample)) for t in tensors],
            task_inputs,
            maps,
            instance_id_to_semantic_id,
            settings.ignore_index,
            settings.do_reduce_labels,
            return_tensors=return_tensors,
        )

    __call__ = preprocess

    def encode_inputs(
        self,
        pixel_values_list: ImagesInput,
        task_inputs: str | Sequence[str] | None = None,
        segmentation_maps: ImagesInput | None = None,
        instance_id_to_semantic_id: LabelsOfValues | None = None,
        ignore_index: int | None = None,
        do_reduce_labels: bool = False,
        return_tensors: str | None = None,
        input_data_format: str | None = "channels_first",
    ) -> BatchFeature:
        """Pad images that are ready; take masks, labels and texts from maps.

        Args:
            pixel_values_list: Normalised.
            task_inputs: One task for all images, or one for each; None is "panoptic".
            segmentation_maps: One per image, of its size; class or object of each pixel.
            instance_id_to_semantic_id: Class of each value of the maps; of all, or one for each.
            ignore_index: Value of map pixels that belong to nothing.
            do_reduce_labels: Whether value 0 of maps is the background; classes count from 1 then.
            return_tensors: "pt", "np", or None for lists.
            input_data_format: "channels_first", "channels_last"; None tells from the shapes.

        Returns:
            "pixel_values", "pixel_mask" (1 where real), "task_inputs" (the prompts); with maps
            also "mask_labels" (0 in the padding), "class_labels" and "text_inputs" of each image.

        Raises:
            TypeError: If something is no image.
            ValueError: If there is no such task or form, numbers or sizes do not fit, a value of
                a map has no class, or classes or `num_text` are missing.
        """
        check_return_tensors(return_tensors)
        images = image_tensors(
            pixel_values_list, do_convert_rgb=False, input_data_format=input_data_format
        )
        tasks = image_tasks(task_inputs, len(images))
        padded, masks = pad_images(images)
        batch = BatchFeature(pixel_values=padded, pixel_mask=masks)
        if segmentation_maps is not None:
            maps = map_tensors(segmentation_maps)
            check_maps(maps, images)
            mappings = image_mappings(instance_id_to_semantic_id, len(images))
            categories = categories_of(self.known_metadata())
            targets = [
                map_target(
                    segmentation_map,
                    task,
                    categories,
                    label_of_value=mapping,
                    ignore_index=ignore_index,
                    do_reduce_labels=do_reduce_labels,
                )
                for segmentation_map, task, mapping in zip(maps, tasks, mappings, strict=True)
            ]
            self._add_targets(batch, targets, (padded[0].shape[-2], padded[0].shape[-1]))
        batch["task_inputs"] = [task_prompt(task) for task in tasks]
        return to_tensors(batch, return_tensors)

    def post_process_semantic_segmentation(
        self,
        outputs: MaskOutput,
        target_sizes: TargetSizes | None = None,
        return_segmentation_scores: bool = False,
        *,
        pixel_mask: PixelMask | None = None,
    ) -> list[Tensor] | list[SemanticSegmentationOutput]:
        """Give each pixel a class: see `semantic_results`.

        Args:
            outputs: Of the model.
            target_sizes: (H, W) of each result in pixels; None leaves the size of the mask logits.
            return_segmentation_scores: Whether the votes are returned too.
            pixel_mask: That of the batch: what is padding is cut off first.

        Returns:
            One map per image, or one object with map and votes.

        Raises:
            ValueError: As `semantic_results`.
        """
        return semantic_results(
            outputs,
            target_sizes=target_sizes,
            pixel_mask=pixel_mask,
            return_segmentation_scores=return_segmentation_scores,
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
        """Cut the things out of each image: see `instance_results`.

        Args:
            outputs: Of the model.
            task_type: "instance", or "panoptic" if the model was asked for that.
            is_demo: Whether the threshold is applied.
            threshold: Class probability that an instance must exceed.
            mask_threshold: Mask probability from which on a pixel is inside a mask.
            overlap_mask_area_threshold: Share of its mask that an instance must own, at least.
            target_sizes: (H, W) of each result in pixels; None leaves the size of the mask logits.
            return_coco_annotation: Whether a map is given as run lengths.
            pixel_mask: That of the batch: what is padding is cut off first.

        Returns:
            For each image "segmentation" and "segments_info".

        Raises:
            ValueError: As `instance_results`.
        """
        return instance_results(
            outputs,
            metadata=self.metadata_if_any(),
            class_info_file=self.class_info_file,
            task_type=task_type,
            is_demo=is_demo,
            threshold=threshold,
            mask_threshold=mask_threshold,
            overlap_mask_area_threshold=overlap_mask_area_threshold,
            target_sizes=target_sizes,
            return_coco_annotation=return_coco_annotation,
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
        """Cut each image into segments: see `panoptic_results`.

        Args:
            outputs: Of the model.
            threshold: Class probability that a query must exceed.
            mask_threshold: Mask probability from which on a pixel is inside a mask.
            overlap_mask_area_threshold: Share of its mask that a query must own, at least.
            label_ids_to_fuse: Classes of which an image has one segment at most; None takes the
                stuff of the metadata.
            target_sizes: (H, W) of each result in pixels; None leaves the size of the mask logits.
            pixel_mask: That of the batch: what is padding is cut off first.

        Returns:
            For each image "segmentation" and "segments_info".

        Raises:
            ValueError: As `panoptic_results`.
        """
        return panoptic_results(
            outputs,
            metadata=self.metadata_if_any() if label_ids_to_fuse is None else None,
            threshold=threshold,
            mask_threshold=mask_threshold,
            overlap_mask_area_threshold=overlap_mask_area_threshold,
            label_ids_to_fuse=label_ids_to_fuse,
            target_sizes=target_sizes,
            pixel_mask=pixel_mask,
        )

    def _resized(self, image: Tensor, resample: int) -> Tensor:
        if not self.do_resize:
            return image
        height, width = image.shape[-2:]
        named = size_dict(self.size, default_to_square=self.default_to_square)
        return resize(image, resized_size((height, width), named), resample)

    def _normalized(self, image: Tensor) -> Tensor:
        return rescale_and_normalize(
            image,
            rescale_factor=self.rescale_factor if self.do_rescale else None,
            mean=self.image_mean if self.do_normalize else None,
            std=self.image_std if self.do_normalize else None,
        )

    def _add_targets(
        self, batch: BatchFeature, targets: Sequence[TaskTarget], size: tuple[int, int]
    ) -> None:
        if self.num_text is None:
            raise ValueError(
                f"texts need a number, got {self.num_text=}. Set num_text to the model's "
                f"num_queries - text_encoder_n_ctx."
            )
        categories = categories_of(self.known_metadata())
        batch["mask_labels"] = [pad_masks(target.masks, size) for target in targets]
        batch["class_labels"] = [target.labels for target in targets]
        batch["text_inputs"] = [
            target_texts(target, categories, self.num_text) for target in targets
        ]
