"""From the two annotations of an ADE20K image to one panoptic annotation.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (ADE20K); not drawn in Figure 2, it makes the
"Panoptic GT" of Figure 2(b).

    annotations             grey: class 1 .. 150, 0 for none
    annotations_instance    red: class 1 .. 100 of things, green: number of the object, 0 for none

The two overlap. Stuff is painted first, one segment per class; each object is painted over it.
Pixels that only `annotations` calls a thing stay void.

Not here: files and folders (`data/ade20k.py`, `data/prepare.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Int, Int64, UInt8
from torch import Tensor

from minioneformer.data.annotation_checks import brief_list
from minioneformer.data.categories import ade20k_instance_labels, load_catalog
from minioneformer.structures import VOID_ID, Segment

CATEGORIES = load_catalog("ade20k")
INSTANCE_LABELS = ade20k_instance_labels()  # red value to label
# The colour that the official preparation gives a skyscraper; in the catalogue it is that of a
# road, and two classes of stuff with one colour would be one segment id.
PREPARED_COLORS = {48: (140, 140, 200)}
LARGEST_STEP = 30  # between the colour of a class and that of one of its objects, per channel
# powers of 1 / 1.2207, the root of x^4 = x + 1: multiples of them fill a cube evenly
STEPS = (0.8191725, 0.6710436, 0.5497005)

Color = tuple[int, int, int]


def panoptic_segments(
    semantic: Int[Tensor, "H W"],
    instances: UInt8[Tensor, "3 objectsH objectsW"],
    *,
    semantic_path: Path,
    instance_path: Path,
) -> tuple[Int64[Tensor, "H W"], tuple[Segment, ...]]:
    """Paint the objects over the stuff.

    Args:
        semantic: Values of `annotations`.
        instances: Values of `annotations_instance`.
        semantic_path: For messages.
        instance_path: For messages.

    Returns:
        The segment map and the segments, stuff by class, then objects by number; labels are
        those of the catalogue "ade20k". The area of stuff counts what objects cover of it, so
        that a segment may even have no pixel left in the map.

    Raises:
        ValueError: If the sizes differ; if a value is above 150; if an object has more than one
            red value, or one outside 1 .. 100.

    Example:
        A wall (1) of 4 pixels, over 3 of which object 1 of red value 1 (bed) is painted: one
        segment "wall" with area 4 and 1 pixel, one segment "bed" with 3.

    Fidelity:
        As the official preparation, areas included. It draws the ids of the second and later
        objects of a class at random; here they are a function of the annotation.
    """
    if semantic.shape != instances.shape[1:]:
        raise ValueError(
            f"{instance_path}: both annotations must have one size, got (H, W) = "
            f"{tuple(instances.shape[1:])}, in {semantic_path.parent.name} {tuple(semantic.shape)}."
        )
    areas = class_areas(semantic, semantic_path)
    stuff = [k for k in areas if not CATEGORIES[k].is_thing]
    objects = _objects(instances[0], instances[1], instance_path)
    labels = [*stuff, *(label for label, _ in objects.values())]
    ids = segment_ids(labels)

    stuff_ids = torch.full((len(CATEGORIES) + 1,), VOID_ID)  # by value of the map of classes
    object_ids = torch.full((256,), VOID_ID)  # by number of the object
    for label, segment_id in zip(stuff, ids[: len(stuff)], strict=True):
        stuff_ids[label + 1] = segment_id
    for number, segment_id in zip(objects, ids[len(stuff) :], strict=True):
        object_ids[number] = segment_id
    painted = object_ids[instances[1].long()]
    segment_map = torch.where(painted == VOID_ID, stuff_ids[semantic.long()], painted)
    sizes = [*(areas[k] for k in stuff), *(area for _, area in objects.values())]
    return segment_map, tuple(
        Segment(id=i, label=label, area=area)
        for i, label, area in zip(ids, labels, sizes, strict=True)
    )


def semantic_segments(
    semantic: Int[Tensor, "H W"], *, semantic_path: Path
) -> tuple[Int64[Tensor, "H W"], tuple[Segment, ...]]:
    """Make one segment of each class, things included: all that `annotations` alone can tell.

    Args:
        semantic: Values of `annotations`.
        semantic_path: For messages.

    Returns:
        The segment map, equal to `semantic`, and the segments by class.

    Raises:
        ValueError: If a value is above 150.

    Example:
        Values 0, 4, 4 are void and one segment "floor" (label 3) with id 4.
    """
    areas = class_areas(semantic, semantic_path)
    segments = tuple(Segment(id=k + 1, label=k, area=area) for k, area in areas.items())
    return semantic.long(), segments


def class_areas(semantic: Int[Tensor, "H W"], path: Path) -> dict[int, int]:
    """Count the pixels of each class.

    Args:
        semantic: Values of `annotations`: label + 1, 0 for none.
        path: For messages.

    Returns:
        Label to pixels, classes without a pixel left out, in order.

    Raises:
        ValueError: If a value is above 150.
    """
    counts = torch.bincount(semantic.flatten().long())
    present = torch.nonzero(counts).flatten().tolist()
    wrong = [value for value in present if value > len(CATEGORIES)]
    if wrong:
        raise ValueError(
            f"{path}: values must be 0 .. {len(CATEGORIES)}, one per class of SceneParse150, "
            f"got {brief_list(wrong)}. Maps with 255 for no class are already shifted by one: "
            f"give the annotations as they were downloaded."
        )
    return {value - 1: int(counts[value]) for value in present if value}


def segment_ids(labels: Sequence[int]) -> list[int]:
    """Give each segment an id whose colour looks like that of its class.

    Args:
        labels: Of the segments; a class of stuff occurs once at most.

    Returns:
        Different ids. Stuff and the first object of a class have the colour of the class,
        unless it is taken; others a colour that differs by at most 30 per channel.

    Example:
        A wall (120, 120, 120) is 120 + 256 * 120 + 65536 * 120 = 7895160; two beds (204, 5, 255)
        are 204 + 256 * 5 + 65536 * 255 = 16713164 and something near it.
    """
    taken: set[Color] = {(0, 0, 0)} | {
        _color(label) for label, category in enumerate(CATEGORIES) if not category.is_thing
    }
    colors: list[Color] = []
    for label in labels:
        if CATEGORIES[label].is_thing:
            colors.append(next(shade for shade in _shades(_color(label)) if shade not in taken))
            taken.add(colors[-1])
        else:
            colors.append(_color(label))
    return [red + 256 * green + 65536 * blue for red, green, blue in colors]


def _objects(
    red: UInt8[Tensor, "H W"], green: UInt8[Tensor, "H W"], path: Path
) -> dict[int, tuple[int, int]]:
    """Number of each object to its label and pixels, in order."""
    counts = torch.bincount((256 * green.long() + red.long()).flatten())
    objects: dict[int, tuple[int, int]] = {}
    for pair in torch.nonzero(counts).flatten().tolist():
        number, value = divmod(pair, 256)
        if number == 0:
            continue
        if number in objects:
            raise ValueError(
                f"{path}: an object must have one class, got several red values where green "
                f"is {number}."
            )
        if value not in INSTANCE_LABELS:
            raise ValueError(
                f"{path}: the class of an object must be 1 .. {len(INSTANCE_LABELS)}, got red "
                f"value {value} where green is {number}."
            )
        objects[number] = INSTANCE_LABELS[value], int(counts[pair])
    return objects


def _color(label: int) -> Color:
    return PREPARED_COLORS.get(label, CATEGORIES[label].color)


def _shades(color: Color) -> Iterator[Color]:
    """The colour itself, then an endless walk around it."""
    for n in itertools.count():
        offsets = [(2 * (n * step % 1.0) - 1) * LARGEST_STEP * (n > 0) for step in STEPS]
        red, green, blue = (
            min(max(round(value + offset), 0), 255)
            for value, offset in zip(color, offsets, strict=True)
        )
        yield red, green, blue
