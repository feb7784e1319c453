"""Masks of objects and label maps of the same images, merged to panoptic annotations.

Paper: OneFormer (arXiv 2211.06220), Sec. 3.1; not drawn in Figure 2.
After: the way in which the panoptic annotations of ADE20K are made from its two kinds of labels.

Stuff comes from the label map, one segment per class; objects are put over it. Where the label
map shows a thing that no object covers, nothing is known: void.

Not here: the two kinds of labels (`data/label_folder.py`, `data/coco_instance.py`,
`data/labelme.py`).
"""

from __future__ import annotations

import torch
from torch.utils.data import Dataset

from minioneformer.data.annotation_checks import brief_list
from minioneformer.data.background import AnnotatedImages
from minioneformer.data.own_classes import label_of
from minioneformer.structures import TASKS, VOID_ID, PanopticSample, Segment, Task


class InstanceAndSemantic(Dataset[PanopticSample]):
    """Panoptic samples of two sources that know the same images by the same names.

    Args:
        instances: Objects, for instance of `CocoInstance`, `InstanceFolder` or `LabelMe`.
        semantics: Label maps, for instance of `SemanticFolder`; its catalogue is used, its things
            are those of the objects, matched by name.

    Attributes:
        categories: Of the label maps; position = label.
        tasks: All.
        stems: Of the images that both have, in the order of the objects' source.
        unpaired: How many images only one of the two has; they are left out.

    Raises:
        ValueError: If a source cannot teach its task; if a class of the objects is no thing of
            the label maps; if a source has two images of one stem; if no image is in both.
    """

    def __init__(self, instances: AnnotatedImages, semantics: AnnotatedImages) -> None:
        if "instance" not in instances.tasks or "semantic" not in semantics.tasks:
            raise ValueError(
                f"needs objects and label maps, in this order, got {instances.tasks=}, "
                f"{semantics.tasks=}."
            )
        self.instances = instances
        self.semantics = semantics
        self.categories = semantics.categories
        self.tasks: tuple[Task, ...] = TASKS
        self._labels = {  # label of a class of objects to that among the label maps
            i: label_of(c.name, self.categories, "classes of objects among those of label maps")
            for i, c in enumerate(instances.categories)
            if c.is_thing
        }
        shared = [self.categories[label] for label in self._labels.values()]
        stuff = [category.name for category in shared if not category.is_thing]
        if stuff:
            raise ValueError(
                f"classes of objects must be things of the label maps, got stuff "
                f"{brief_list(stuff)}. Name them in things=."
            )
        first, second = _positions(instances), _positions(semantics)
        self.stems = tuple(stem for stem in first if stem in second)
        self.unpaired = len(first.keys() ^ second.keys())
        if not self.stems:
            raise ValueError(
                f"no image is in both sources, got stems such as {brief_list(list(first), 2)} "
                f"and {brief_list(list(second), 2)}."
            )
        self._pairs = torch.tensor([[first[stem], second[stem]] for stem in self.stems])

    def __len__(self) -> int:
        """How many images both sources have."""
        return len(self.stems)

    def __getitem__(self, index: int) -> PanopticSample:
        """Read one image of both sources and merge its annotations.

        Args:
            index: Position in `stems`.

        Returns:
            The sample: stuff in the order of the label map, then the objects.

        Raises:
            IndexError: If there is no such position.
            ValueError: If the two differ in size; whatever is wrong with the files.
        """
        first, second = self._pairs[index].tolist()
        objects, regions = self.instances[first], self.semantics[second]
        if objects.segment_map.shape != regions.segment_map.shape:
            raise ValueError(
                f"both annotations of {self.stems[index]!r} must have one size, "
                f"got {tuple(objects.segment_map.shape)}, {tuple(regions.segment_map.shape)}."
            )
        # painted in this order, so that objects lie over stuff
        layers = [
            (regions.segment_map == region.id, region.label, region.is_crowd)
            for region in regions.segments
            if not self.categories[region.label].is_thing
        ] + [
            (objects.segment_map == thing.id, self._labels[thing.label], thing.is_crowd)
            for thing in objects.segments
            if thing.label in self._labels
        ]
        segment_map = torch.full_like(regions.segment_map, VOID_ID)
        for position, (mask, _, _) in enumerate(layers, start=1):
            segment_map[mask] = position
        visible = set(segment_map.unique().tolist())
        return PanopticSample(
            image=objects.image,
            segment_map=segment_map,
            segments=tuple(
                Segment(id=position, label=label, is_crowd=is_crowd)
                for position, (_, label, is_crowd) in enumerate(layers, start=1)
                if position in visible
            ),
            image_id=objects.image_id,
            file_name=objects.file_name,
        )


def _positions(source: AnnotatedImages) -> dict[str, int]:
    positions = {stem: i for i, stem in enumerate(source.stems)}
    if len(positions) < len(source.stems):
        raise ValueError(f"stems must be unique, got {brief_list(sorted(source.stems))}.")
    return positions
