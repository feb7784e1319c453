"""Catalogues that a user states: class names, and which of them are things.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Not here: the tables of the published data sets (`data/categories.py`), categories inside an
annotation file (`data/coco_json.py`).
"""

from __future__ import annotations

import colorsys
import difflib
from collections.abc import Collection, Mapping, Sequence

from minioneformer.data.annotation_checks import brief_list, refuse_repeated
from minioneformer.data.coco_json import GOLDEN_RATIO
from minioneformer.structures import Category

IGNORE = "ignore"  # in place of a class name: void


def own_categories(
    dataset_ids: Mapping[str, int],
    *,
    things: Collection[str],
    categories: Sequence[Category] | None = None,
) -> tuple[Category, ...]:
    """Make a catalogue of class names, or check them against one that is given.

    Args:
        dataset_ids: For each class name the number by which the annotations know it, in the order
            of the labels.
        things: Names of the countable classes; the others are stuff.
        categories: A catalogue that has these names, for instance that of a model; then
            `things` is left empty, because the catalogue says it.

    Returns:
        The catalogue; made-up colours are spread over the circle of hues.

    Raises:
        ValueError: If there is no class, a thing is none of the classes, things are named beside
            a catalogue, or a catalogue lacks a name (the nearest is named) or has one twice.

    Example:
        {"road": 7, "car": 26} with things {"car"}: road is stuff of label 0, car a thing of
        label 1.
    """
    names = list(dataset_ids)
    if not names:
        raise ValueError(f"needs at least one class, got {names=}.")
    if categories is not None:
        if things:
            raise ValueError(f"the catalogue says what is a thing, got {things=} too. Omit one.")
        refuse_repeated([c.name for c in categories], "class names", "the given categories")
        for name in names:
            label_of(name, categories, "the given categories")
        return tuple(categories)
    unknown = sorted(set(things) - set(names))
    if unknown:
        raise ValueError(f"things must be classes, got {unknown}. Classes: {brief_list(names)}.")
    return tuple(
        Category(
            name=name,
            is_thing=name in things,
            color=spread_color(label),
            dataset_id=dataset_ids[name],
        )
        for label, name in enumerate(names)
    )


def label_of(name: str, categories: Sequence[Category], where: str) -> int:
    """Find a class by its name.

    Args:
        name: Verbatim.
        categories: The catalogue.
        where: File and entry, for messages.

    Returns:
        Its label.

    Raises:
        ValueError: If there is no such class; the nearest is named.
    """
    names = [category.name for category in categories]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{where}: no such class, got {name!r}. Known: {brief_list(names)}.{hint}")
    return names.index(name)


def spread_color(position: int) -> tuple[int, int, int]:
    """Make up the colour of a class.

    Args:
        position: Its label.

    Returns:
        RGB, 0 to 255 each; neighbours are far apart on the circle of hues.

    Example:
        Label 0 is (230, 69, 69), a red.
    """
    hue = position * GOLDEN_RATIO % 1.0
    red, green, blue = (round(255 * channel) for channel in colorsys.hsv_to_rgb(hue, 0.7, 0.9))
    return red, green, blue
