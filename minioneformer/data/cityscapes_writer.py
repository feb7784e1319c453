"""Write samples in the on-disk layout of Cityscapes, so that its reader runs on miniatures.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 (Cityscapes); not drawn in Figure 2.

Not here: the layout in words and its reader (`data/cityscapes.py`); polygons and colours, which
nothing reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Int64
from PIL import Image
from torch import Tensor

from minioneformer.data.cityscapes_files import IMAGE_END, INSTANCE_END, LABEL_END, SPLITS
from minioneformer.data.cityscapes_segments import CATEGORIES, PER_LABEL
from minioneformer.structures import PanopticSample

# sky, grass and water as sky, terrain and road; circle, square, triangle, ring and cross as
# car, bus, person, bicycle and motorcycle
TOY_LABELS = (10, 9, 0, 13, 15, 11, 18, 17)


def write_cityscapes(
    samples: Iterable[PanopticSample],
    folder: str | Path,
    *,
    split: str = "train",
    labels: Sequence[int] | None = None,
    instances: bool = True,
    city: str = "toytown",
) -> Path:
    """Write images, label ids and instance ids.

    Args:
        samples: Read once, in order; they may come from a generator. A number as image id is
            the number of a frame in `city`; a text such as "aachen_000000_000019" names both.
        folder: Becomes what `cityscapes` is; created if missing.
        split: "train", "val" or "test".
        labels: Label in the catalogue "cityscapes" of each label of the samples, `TOY_LABELS`
            for the toy data set; None if they have those labels already.
        instances: False leaves out the instance ids.
        city: Folder of the samples whose id is a number.

    Returns:
        The folder.

    Raises:
        FileExistsError: If an image of that name is there already.
        ValueError: If `split` is unknown; if an image id names no plain file of a city; if a
            label is not in the catalogue; if a class of stuff has two segments or one is a crowd,
            two crowds are of one class, or a class has more than 1000 objects, which Cityscapes
            has no form for.
    """
    if split not in SPLITS:
        raise ValueError(f"the splits of Cityscapes are {', '.join(SPLITS)}, got {split=}.")
    root = Path(folder)
    for sample in samples:
        image_id = sample.image_id
        name = f"{city}_000000_{image_id:06d}" if isinstance(image_id, int) else image_id
        home = name.partition("_")[0]
        # subtle: an id such as "../x_0" would write outside the folder
        if not home or home == name or Path(name).name != name:
            raise ValueError(f"an image id must be like 'city_000000_000000', got {image_id=}.")
        image_dir = root / "leftImg8bit" / split / home
        annotation_dir = root / "gtFine" / split / home
        for needed in (image_dir, annotation_dir):
            needed.mkdir(parents=True, exist_ok=True)
        image_path = image_dir / f"{name}{IMAGE_END}"
        if image_path.exists():
            raise FileExistsError(f"there is an image already, got {str(image_path)!r}.")
        values = _instance_ids(sample, labels)
        label_ids = torch.where(values < PER_LABEL, values, values // PER_LABEL)
        pixels = rearrange(sample.image, "C H W -> H W C").contiguous()
        Image.fromarray(pixels.numpy()).save(image_path)
        Image.fromarray(label_ids.numpy().astype("uint8")).save(
            annotation_dir / f"{name}{LABEL_END}"
        )
        if instances:
            Image.fromarray(values.numpy().astype("uint16")).save(
                annotation_dir / f"{name}{INSTANCE_END}"
            )
    return root


def _instance_ids(sample: PanopticSample, labels: Sequence[int] | None) -> Int64[Tensor, "H W"]:
    values = torch.zeros(sample.segment_map.shape, dtype=torch.int64)
    numbers: Counter[int] = Counter()
    used: set[int] = set()
    for segment in sample.segments:
        known = range(len(CATEGORIES) if labels is None else len(labels))
        if segment.label not in known:
            raise ValueError(
                f"a label must be in 0 .. {len(known) - 1}, got {segment.label=}, "
                f"{sample.image_id=}."
            )
        category = CATEGORIES[segment.label if labels is None else labels[segment.label]]
        value = category.dataset_id
        if category.is_thing and not segment.is_crowd:
            value = PER_LABEL * value + numbers[value]
            numbers[category.dataset_id] += 1
        crowded = segment.is_crowd and not category.is_thing
        if crowded or value in used or numbers[category.dataset_id] > PER_LABEL:
            raise ValueError(
                f"a class has one segment of stuff or one crowd, and at most {PER_LABEL} objects, "
                f"got another of {category.name!r}, {sample.image_id=}."
            )
        used.add(value)
        values[sample.segment_map == segment.id] = value
    return values
