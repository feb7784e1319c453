"""Objects over one class of everything else: from instance labels to all three tasks.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; not drawn in Figure 2.

Masks of objects leave the rest void. Where the annotators drew *every* object, the rest is known:
it is background, one segment of one stuff class.

Not here: a label map of the rest (`data/instance_and_semantic.py`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from torch.utils.data import Dataset

from minioneformer.data.own_classes import spread_color
from minioneformer.structures import (
    TASKS,
    VOID_ID,
    Category,
    PanopticSample,
    Segment,
    Task,
)


@runtime_checkable
class AnnotatedImages(Protocol):
    """What is needed of a data set to be completed: the readers of own data have it.

    Attributes:
        categories: The catalogue.
        tasks: What its labels can teach.
        stems: Name of each image without its ending.
    """

    categories: tuple[Category, ...]
    tasks: tuple[Task, ...]
    stems: tuple[str, ...]

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def __getitem__(self, index: int) -> PanopticSample:
        """One image with its annotation."""
        ...


class WithBackground(Dataset[PanopticSample]):
    """A data set of objects whose void is a stuff class.

    Say so only where every object is annotated: an object that was overlooked becomes background,
    and teaches the model to overlook it.

    Args:
        dataset: With objects.
        name: Of the class; if the catalogue has a stuff class of this name, it is meant, else
            the class is put at the end.

    Attributes:
        categories: The catalogue; position = label.
        tasks: All.
        stems: As the data set has them.

    Raises:
        ValueError: If the data set has no objects, or the name is that of a thing.
    """

    def __init__(self, dataset: AnnotatedImages, *, name: str = "background") -> None:
        if "instance" not in dataset.tasks:
            raise ValueError(f"needs a data set that can teach instance, got {dataset.tasks=}.")
        self.dataset = dataset
        self.tasks: tuple[Task, ...] = TASKS
        self.stems = dataset.stems
        named = [i for i, category in enumerate(dataset.categories) if category.name == name]
        if named and dataset.categories[named[0]].is_thing:
            raise ValueError(f"the background must be stuff, got the thing {name=}.")
        self.label = named[0] if named else len(dataset.categories)
        background = Category(
            name=name,
            is_thing=False,
            color=spread_color(self.label),
            dataset_id=max(category.dataset_id for category in dataset.categories) + 1,
        )
        self.categories = dataset.categories if named else (*dataset.categories, background)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> PanopticSample:
        """Read one sample and fill its void.

        Args:
            index: Position in the data set.

        Returns:
            The sample; the background is its last segment, absent where nothing was void.

        Raises:
            ValueError: Whatever is wrong with the files.
        """
        sample = self.dataset[index]
        void = sample.segment_map == VOID_ID
        if not void.any():
            return sample
        background = Segment(
            id=max((segment.id for segment in sample.segments), default=VOID_ID) + 1,
            label=self.label,
        )
        return replace(
            sample,
            segment_map=torch.where(void, background.id, sample.segment_map),
            segments=(*sample.segments, background),
        )
