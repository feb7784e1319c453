"""From samples and tasks to one batch of tensors.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; Figure 2(b), the arrows that leave "Panoptic /
Instance / Semantic GT", "Text" and "the task is {task}".

Not here: which samples and which tasks (`data/stream.py`), augmentation (`data/transforms.py`), the
masks and the normalisation (`data/packed_batch.py`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from jaxtyping import Integer
from torch import Tensor

from minioneformer.data.categories import class_names
from minioneformer.data.packed_batch import PackedBatch, TokenTable
from minioneformer.data.shared_room import empty_room
from minioneformer.data.targets import number_masks
from minioneformer.structures import Batch, Category, PanopticSample, Task
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
    return pack(
        samples,
        tasks,
        categories=categories,
        tokenizer=tokenizer,
        num_text=num_text,
        context_length=context_length,
        size_divisibility=size_divisibility,
        text_template=text_template,
    ).unpack()


def pack(
    samples: Sequence[PanopticSample],
    tasks: Sequence[Task],
    *,
    categories: Sequence[Category],
    tokenizer: BPETokenizer,
    num_text: int | None,
    context_length: int = 77,
    size_divisibility: int = 32,
    text_template: str = TEMPLATE,
) -> PackedBatch:
    """As `collate`, up to the form in which a batch leaves a worker process.

    Args:
        samples: As for `collate`.
        tasks: As for `collate`.
        categories: As for `collate`.
        tokenizer: As for `collate`.
        num_text: As for `collate`.
        context_length: As for `collate`.
        size_divisibility: As for `collate`.
        text_template: As for `collate`.

    Returns:
        What unpacks to the batch.

    Raises:
        ValueError: As `collate`.
    """
    if not samples or len(samples) != len(tasks):
        raise ValueError(
            f"a batch needs at least one sample and one task for each, "
            f"got {len(samples)=}, {len(tasks)=}."
        )
    if size_divisibility < 1 or (num_text is not None and num_text < 1):
        raise ValueError(f"numbers must be at least 1, got {num_text=}, {size_divisibility=}.")
    numbered = [
        number_masks(sample, task, categories) for sample, task in zip(samples, tasks, strict=True)
    ]
    labels = [labels for labels, _ in numbered]
    size = _padded_size(samples, size_divisibility)
    prompts = [task_prompt(task) for task in tasks]
    texts = None
    if num_text is not None:
        listed = _texts(labels, tasks, categories, num_text, text_template)
        texts = _tokenize(listed, tokenizer, context_length)
    return PackedBatch(
        images=_in_corners([sample.image for sample in samples], size),
        mask_numbers=_in_corners([numbers for _, numbers in numbered], size),
        sizes=[(sample.image.shape[1], sample.image.shape[2]) for sample in samples],
        labels=labels,
        prompts=_tokenize(prompts, tokenizer, context_length),
        texts=texts,
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


def _in_corners(
    parts: Sequence[Integer[Tensor, "*C _ _"]], size: tuple[int, int]
) -> Integer[Tensor, "B *C H W"]:
    """Put images or maps into the upper left corners of zeros, where other processes see them."""
    dtype = max((part.dtype for part in parts), key=lambda dtype: dtype.itemsize)
    rooms = empty_room(len(parts), *parts[0].shape[:-2], *size, dtype=dtype)
    for room, part in zip(rooms, parts, strict=True):
        height, width = part.shape[-2:]
        room[..., :height, :width] = part
        room[..., height:, :] = 0
        room[..., :height, width:] = 0
    return rooms


def _texts(
    labels: Sequence[list[int]],
    tasks: Sequence[Task],
    categories: Sequence[Category],
    num_text: int,
    template: str,
) -> list[str]:
    """The padded text list of each image, one after the other."""
    names = class_names(categories)
    of_class = class_texts(names, [category.is_thing for category in categories], template)
    return [
        text
        for row, task in zip(labels, tasks, strict=True)
        for text in pad_text_list(text_list(row, names, of_class), task, num_text)
    ]


def _tokenize(texts: Sequence[str], tokenizer: BPETokenizer, context_length: int) -> TokenTable:
    """Token ids of each text; most texts of a batch are equal, so each is looked up once."""
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return TokenTable(
        rows=[_token_row(tokenizer, text, context_length) for text in places],
        places=[places[text] for text in texts],
    )


@functools.lru_cache(maxsize=4096)
def _token_row(tokenizer: BPETokenizer, text: str, context_length: int) -> list[int]:
    """Token ids of one text; class names come again in every batch."""
    return tokenizer.tokenize(text, context_length)[0]
