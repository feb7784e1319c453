"""The settings of the published image processor, under the published names.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2, the form of the published
interface.

Not here: what they do (`hf/image_processor.py`), the file that they are read from
(`hf/preprocessor_config.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minioneformer.hf.class_info import is_local, metadata_from_class_info, read_class_info
from minioneformer.hf.image_steps import Size, size_dict


@dataclass(kw_only=True)
class ImageProcessorSettings:
    """The settings of `OneFormerImageProcessor`; all can be set at any time.

    Args:
        do_resize: Whether images are resized.
        size: Of the resized image: {"shortest_edge", "longest_edge"}, {"height", "width"},
            {"max_height", "max_width"}, (height, width), or the shorter edge.
        resample: Pillow's number of a filter: 0 nearest, 2 bilinear, 3 bicubic.
        do_rescale: Whether values are multiplied by `rescale_factor`.
        rescale_factor: As said.
        do_normalize: Whether the mean is subtracted, and the standard deviation divided by.
        image_mean: Of each channel, after rescaling.
        image_std: Of each channel, after rescaling.
        do_convert_rgb: Whether grey images get three channels, and what is transparent turns
            white.
        default_to_square: Whether a `size` that is a number is both sides.
        ignore_index: Value of map pixels that belong to nothing.
        do_reduce_labels: Whether value 0 of maps is the background, and classes count from 1.
        repo_path: Local folder, or "owner/name" of a hub repository, that holds the class file.
        class_info_file: Name of the class file: {"0": {"name": "wall", "isthing": 0}, ...}.
        num_text: Texts per image; for training `num_queries - text_encoder_n_ctx`.
        num_labels: Number of classes; kept with the settings, and not read.
        metadata: The classes: "0", "1", ... with names, "thing_ids", "class_names". None takes
            them from the class file: at once from a local one, at the first use from the hub.

    Raises:
        FileNotFoundError: If `repo_path` is local and has no class file.
        ValueError: If the class file, or `size`, is malformed.

    Fidelity:
        transformers fetches the class file from the hub in the constructor. Here a constructor
        fetches nothing.
    """

    do_resize: bool = True
    size: Size = dataclasses.field(
        default_factory=lambda: {"shortest_edge": 800, "longest_edge": 1333}
    )
    resample: int = 2
    do_rescale: bool = True
    rescale_factor: float | int = 1 / 255
    do_normalize: bool = True
    image_mean: Sequence[float | int] | float | int = (0.485, 0.456, 0.406)
    image_std: Sequence[float | int] | float | int = (0.229, 0.224, 0.225)
    do_convert_rgb: bool = True
    default_to_square: bool = False
    ignore_index: int | None = None
    do_reduce_labels: bool = False
    repo_path: str | None = "shi-labs/oneformer_demo"
    class_info_file: str | None = None
    num_text: int | None = None
    num_labels: int | None = None
    metadata: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without the hub."""
        self.size = size_dict(self.size, default_to_square=self.default_to_square)
        file = self.class_info_file
        if self.metadata is None and file is not None and is_local(self.repo_path, file):
            self.load_metadata()

    def to_dict(self, folder: Path | None = None) -> dict[str, Any]:
        """The settings as JSON values.

        Args:
            folder: They are written to; a local `repo_path` is then that folder, because the
                class file is written there too.

        Returns:
            By name.
        """
        values = {name: getattr(self, name) for name in sorted(SETTINGS)}
        values["image_processor_type"] = "OneFormerImageProcessor"
        file = self.class_info_file
        if file is not None:
            values["metadata"] = self.known_metadata()
            if folder is not None and is_local(self.repo_path, file):
                values |= {"repo_path": str(folder), "class_info_file": Path(file).name}
        values["image_mean"], values["image_std"] = _list(self.image_mean), _list(self.image_std)
        return {name: value for name, value in values.items() if value is not None}

    def load_metadata(self) -> dict[str, Any]:
        """Read the class file, fetching it if need be.

        Returns:
            The metadata, which is kept.

        Raises:
            FileNotFoundError: If it is not there.
            ValueError: If there is no `class_info_file`, or it is malformed.
            ImportError: If it has to be fetched and `huggingface_hub` is not installed.
        """
        if self.class_info_file is None:
            raise ValueError(
                f"which classes there are is not known, got {self.class_info_file=}. Pass "
                f"class_info_file and repo_path, the folder that holds it."
            )
        class_info = read_class_info(self.repo_path, self.class_info_file)
        self.metadata = metadata_from_class_info(class_info)
        return self.metadata

    def known_metadata(self) -> dict[str, Any]:
        """The metadata, read from the class file if it was not yet.

        Returns:
            The metadata.

        Raises:
            FileNotFoundError: As `load_metadata`.
            ValueError: As `load_metadata`.
            ImportError: As `load_metadata`.
        """
        return self.load_metadata() if self.metadata is None else self.metadata

    def metadata_if_any(self) -> dict[str, Any] | None:
        """The metadata, or None if there is neither metadata nor a class file.

        Returns:
            As `known_metadata`.
        """
        if self.metadata is None and self.class_info_file is None:
            return None
        return self.known_metadata()


SETTINGS = frozenset(field.name for field in dataclasses.fields(ImageProcessorSettings))
# of a single call; the others say which classes there are
CALL_SETTINGS = SETTINGS - {"repo_path", "class_info_file", "metadata", "num_labels"}


def _list(values: Sequence[float | int] | float | int) -> list[float] | float | int:
    return values if isinstance(values, int | float) else [float(value) for value in values]
