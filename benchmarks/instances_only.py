"""Write data that annotate objects only, as COCO instance JSON: generated scenes, tiles of nuclei.

    python benchmarks/instances_only.py toy FOLDER
    python benchmarks/instances_only.py nuclei FOLDER dsb2018_nuclei

What is trained on them, and how well, stands in docs/results.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from minioneformer.data.coco_instance import CocoInstance
from minioneformer.data.toy import ToyPanoptic
from minioneformer.evaluation.average_precision import encode_mask
from minioneformer.structures import Category, PanopticSample

TILE = 64  # pixels a side


def main() -> None:
    """Write both splits and their description."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=("toy", "nuclei"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("root", type=Path, nargs="?", help="of dsb2018_nuclei")
    options = parser.parse_args()
    for split, length, every in (("train", 4000, 1), ("val", 200, 2)):
        if options.data == "toy":
            toy = ToyPanoptic(split=split, length=length)
            write(toy, toy.categories, options.folder, split)
        else:
            annotations = options.root / "annotations" / f"instances_{split}.json"
            nuclei = CocoInstance(annotations, image_dir=options.root / split)
            write(tiles(nuclei, every=every), nuclei.categories, options.folder, split)
    splits = {s: {"json_path": f"{s}.json", "image_dir": s} for s in ("train", "val")}
    description = {"format": "coco_instance", "splits": splits}
    (options.folder / "dataset.json").write_text(json.dumps(description))


def tiles(dataset: CocoInstance, *, every: int) -> Iterator[PanopticSample]:
    """Cut images into tiles without overlap; of each `every` rows and columns the first."""
    step = TILE * every
    for index in range(len(dataset)):
        sample = dataset[index]
        height, width = sample.segment_map.shape
        for top in range(0, height - TILE + 1, step):
            for left in range(0, width - TILE + 1, step):
                window = (slice(top, top + TILE), slice(left, left + TILE))
                segment_map = sample.segment_map[window]
                visible = set(segment_map.unique().tolist())
                yield dataclasses.replace(
                    sample,
                    image=sample.image[(slice(None), *window)],
                    segment_map=segment_map,
                    segments=tuple(s for s in sample.segments if s.id in visible),
                )


def write(
    samples: Iterable[PanopticSample], categories: Sequence[Category], folder: Path, split: str
) -> None:
    """Write images and masks of things; stuff is left out."""
    (folder / split).mkdir(parents=True)
    images, objects = [], []
    for number, sample in enumerate(samples, start=1):
        name = f"{number:06d}.png"
        Image.fromarray(sample.image.permute(1, 2, 0).numpy()).save(folder / split / name)
        height, width = sample.segment_map.shape
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for segment in sample.segments:
            if not categories[segment.label].is_thing:
                continue
            runs = encode_mask(sample.segment_map == segment.id)
            objects.append(
                {
                    "id": len(objects) + 1,
                    "image_id": number,
                    "category_id": categories[segment.label].dataset_id,
                    "segmentation": {"size": [height, width], "counts": runs["counts"].decode()},
                    "iscrowd": int(segment.is_crowd),
                }
            )
    things = [{"id": c.dataset_id, "name": c.name} for c in categories if c.is_thing]
    content = {"images": images, "annotations": objects, "categories": things}
    (folder / f"{split}.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main()
