"""A training batch as it leaves a worker process: bytes, where the batch has floats and masks.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; not drawn in Figure 2.

A normalised image is four times as large as its bytes, and the masks of a target, which never
overlap, are as many times as large as one map of their numbers as there are masks. Memory that two
processes share is slow to get, so a batch travels small and is unpacked where it arrives.

Not here: how a batch is made (`data/collate.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int, Integer, UInt8
from torch import Tensor

from minioneformer.data.targets import masks_of_numbers
from minioneformer.pixels import normalize
from minioneformer.structures import Batch, Task, TaskTarget


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenTable:
    """Texts as token ids, each distinct text once.

    Args:
        rows: Token ids of each distinct text, all as long.
        places: For each text its row.
    """

    rows: list[list[int]]
    places: list[int]

    def unpack(self) -> Int[Tensor, "M T"]:
        """Token ids of each text."""
        return torch.tensor(self.rows)[torch.tensor(self.places)]


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedBatch:
    """What `unpack` makes a batch of; pickled, it arrives unpacked, as a `Batch`.

    Small parts are lists: each tensor that a worker sends costs a handshake.

    Args:
        images: RGB, not normalised, each in the upper left corner.
        mask_numbers: For each pixel the number of its mask, from 1; 0 is in none.
        sizes: (H, W) of each image in its corner, in pixels.
        labels: Of the masks of each image.
        prompts: The task of each image.
        texts: The same number for each image, one image after the other; None without texts.
        tasks: One per image.
        image_ids: One per image.
    """

    images: UInt8[Tensor, "B 3 H W"]
    mask_numbers: Integer[Tensor, "B H W"]
    sizes: list[tuple[int, int]]
    labels: list[list[int]]
    prompts: TokenTable
    texts: TokenTable | None
    tasks: tuple[Task, ...]
    image_ids: tuple[int | str, ...]

    def unpack(self) -> Batch:
        """Normalise the images, write out masks and tokens.

        Returns:
            The batch, in memory of this process.
        """
        texts = None if self.texts is None else self.texts.unpack()  # (B * N_text, T)
        return Batch(
            images=self._normalized(),
            padding_mask=self._padding_mask(),
            task_tokens=self.prompts.unpack(),
            text_tokens=None if texts is None else texts.unflatten(0, (len(self.tasks), -1)),
            targets=tuple(
                TaskTarget(
                    task=task,
                    labels=torch.tensor(labels, dtype=torch.int64),
                    masks=masks_of_numbers(numbers, len(labels)),
                )
                for task, labels, numbers in zip(
                    self.tasks, self.labels, self.mask_numbers, strict=True
                )
            ),
            tasks=self.tasks,
            image_ids=self.image_ids,
        )

    def __reduce__(self) -> tuple[Callable[[tuple], Batch], tuple[tuple]]:
        """Pickle the parts, and have them unpacked on the other side."""
        return _unpack_parts, (tuple(getattr(self, field.name) for field in fields(self)),)

    def _normalized(self) -> Float[Tensor, "B 3 H W"]:
        """Each image normalised in its corner, zero in the padding."""
        images = torch.empty(self.images.shape)
        for room, image, (height, width) in zip(images, self.images, self.sizes, strict=True):
            normalize(image[:, :height, :width], out=room[:, :height, :width])
            room[:, height:] = 0
            room[:, :height, width:] = 0
        return images

    def _padding_mask(self) -> Tensor:
        """True beyond each image, (B, H, W)."""
        B, _, H, W = self.images.shape
        padding_mask = torch.ones(B, H, W, dtype=torch.bool)
        for row, (height, width) in zip(padding_mask, self.sizes, strict=True):
            row[:height, :width] = False
        return padding_mask


def _unpack_parts(parts: tuple) -> Batch:
    """Put a pickled `PackedBatch` together again and unpack it."""
    names = (field.name for field in fields(PackedBatch))
    return PackedBatch(**dict(zip(names, parts, strict=True))).unpack()
