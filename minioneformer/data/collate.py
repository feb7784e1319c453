"""From samples and tasks to one batch of tensors.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), the arrows that leave "Panoptic /
Instance / Semantic GT", "Text" and "the task is {task}".

Not here: which samples and which tasks (`data/stream.py`), augmentation (`data/transforms.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from minioneformer.data.categories import class_names
from minioneformer.data.shared_room import empty_room
from minioneformer.data.targets import target_for_task
from minioneformer.pixels import normalize
from minioneformer.structures import Batch, Category, PanopticSample, Task, TaskTarget
from minioneformer.text.task_prompt import task_prompt
from minioneformer.text.text_list import TEMPLATE, class_texts, pad_text_list, text_list
from minioneformer.text.tokenizer import BPETokenizer


def collate(
    samples: Sequence[PanopticSample],
    tasks: Sequence[Task],
    *,
    categories: Sequence[Category],
    tokenizer: BPETokenizer,
    num_text: int | None,
    context_length: int = 77,
    size_divisibility: int = 32,
    text_template: str = TEMPLATE,
) -> Batch:
    """Derive targets and texts, normalise the images and pad everything to one size.

    Padding is on the right and at the bottom, up to the largest height and width of the batch,
    each rounded up to a multiple of `size_divisibility`. Images are padded with 0 after the
    normalisation, targets with "not in the mask".

    Args:
        samples: At least one; sizes may differ.
        tasks: One per sample.
        categories: The catalogue that the labels index.
        tokenizer: For prompts and texts.
        num_text: Texts per image, padded or cut to this number; None leaves texts out.
        context_length: Tokens of a prompt and of a text.
        size_divisibility: In pixels; the model's coarsest stride.
        text_template: Of the text of a mask, see `class_texts`.

    Returns:
        The batch; texts and targets of an image depend on that image alone.

    Raises:
        ValueError: If there is no sample, or not one task per sample, or a number is below 1; if
            `target_for_task` refuses a sample.

    Example:
        Images of 30 x 50 and 40 x 20 pixels (height first) become a batch of 64 x 64.

    Fidelity:
        Official code: no known difference. transformers pads masks with its ignore value and
        lets the texts of an image contain the classes of those before it in the batch; here,
        as in the official code, neither happens.
    """
    if not samples or len(samples) != len(tasks):
        raise ValueError(
            f"a batch needs at least one sample and one task for each, "
            f"got {len(samples)=}, {len(tasks)=}."
        )
    if size_divisibility < 1 or (num_text is not None and num_text < 1):
        raise ValueError(f"numbers must be at least 1, got {num_text=}, {size_divisibility=}.")
    targets = [
        target_for_task(sample, task, categories)
        for sample, task in zip(samples, tasks, strict=True)
    ]
    size = _padded_size(samples, size_divisibility)
    return Batch(
        images=_images(samples, size),
        padding_mask=_padding_mask(samples, size),
        task_tokens=_tokenize([task_prompt(task) for task in tasks], tokenizer, context_length),
        text_tokens=None
        if num_text is None
        else _text_tokens(targets, categories, tokenizer, num_text, context_length, text_template),
        targets=tuple(
            TaskTarget(task=target.task, labels=target.labels, masks=_pad(target.masks, size))
            for target in targets
        ),
        tasks=tuple(tasks),
        image_ids=tuple(sample.image_id for sample in samples),
    )


def _padded_size(samples: Sequence[PanopticSample], multiple: int) -> tuple[int, int]:
    """The largest height and width, each rounded up to a multiple."""
    height, width = (
        -(-max(sample.image.shape[axis] for sample in samples) // multiple) * multiple
        for axis in (1, 2)
    )
    return height, width


def _images(samples: Sequence[PanopticSample], size: tuple[int, int]) -> Float[Tensor, "B 3 H W"]:
    """Normalised, each in a corner of zeros."""
    images = empty_room(len(samples), 3, *size, dtype=torch.float32)
    for room, sample in zip(images, samples, strict=True):
        _, height, width = sample.image.shape
        normalize(sample.image, out=room[:, :height, :width])
        room[:, height:] = 0
        room[:, :height, width:] = 0
    return images


def _pad(masks: Bool[Tensor, "M h w"], size: tuple[int, int]) -> Bool[Tensor, "M H W"]:
    """Fill with False on the right and at the bottom."""
    if masks.shape[1:] == size:
        return masks
    return F.pad(masks, (0, size[1] - masks.shape[2], 0, size[0] - masks.shape[1]))


def _padding_mask(
    samples: Sequence[PanopticSample], size: tuple[int, int]
) -> Bool[Tensor, "B H W"]:
    """True beyond each image."""
    padding_mask = torch.ones(len(samples), *size, dtype=torch.bool)
    for row, sample in zip(padding_mask, samples, strict=True):
        row[: sample.image.shape[1], : sample.image.shape[2]] = False
    return padding_mask


def _text_tokens(
    targets: Sequence[TaskTarget],
    categories: Sequence[Category],
    tokenizer: BPETokenizer,
    num_text: int,
    context_length: int,
    template: str,
) -> Int[Tensor, "B N_text T"]:
    """Token ids of the padded text list of each target."""
    names = class_names(categories)
    of_class = class_texts(names, [category.is_thing for category in categories], template)
    texts = [
        text
        for target in targets
        for text in pad_text_list(
            text_list(target.labels.tolist(), names, of_class), target.task, num_text
        )
    ]
    tokens = _tokenize(texts, tokenizer, context_length)  # (B * N_text, T)
    return tokens.unflatten(0, (len(targets), num_text))  # (B, N_text, T)


def _tokenize(
    texts: Sequence[str], tokenizer: BPETokenizer, context_length: int
) -> Int[Tensor, "M T"]:
    """Token ids of each text; most texts of a batch are equal, so each is looked up once."""
    rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    distinct = torch.tensor([_token_row(tokenizer, text, context_length) for text in rows])
    return distinct[torch.tensor([rows[text] for text in texts])]


@functools.lru_cache(maxsize=4096)
def _token_row(tokenizer: BPETokenizer, text: str, context_length: int) -> list[int]:
    """Token ids of one text; class names come again in every batch."""
    return tokenizer.tokenize(text, context_length)[0]
