"""Images per second from files to training batches, beside transformers' processor.

Run: python benchmarks/reading_speed.py [folder for the generated files]
Needs transformers (extra `parity`). Two worker processes, batches of 4, 480 x 640 JPEGs with
panoptic PNGs of about 12 segments, generated once. Both sides read the same files in the same
order and give images of 512 x 512, masks, labels, 134 texts and the task as tokens.

* minioneformer: the augmentation of ADE20K (shortest edge of 256 to 1024, crop, colours, flip,
  padding), then the same without augmentation: resized to the crop, as transformers does;
* transformers: resized to 512 x 512, no augmentation, since its processor has none.

Prints the fastest of three runs of each, all taking turns, and ratios; beside it the processor time
of an image, workers included, which depends less on what else the machine does.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPTokenizer, OneFormerImageProcessor, OneFormerProcessor

from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.coco_writer import write_coco_panoptic
from minioneformer.data.stream import TrainingStream, make_loader
from minioneformer.data.toy import ToyPanoptic
from minioneformer.data.transforms import TrainTransform
from minioneformer.structures import TASKS, PanopticSample, Segment
from minioneformer.text.tokenizer import BPETokenizer

IMAGES, BATCH, WORKERS, SIDE, NUM_TEXT = 96, 4, 2, 512, 134
WARM_UP, MEASURED, RUNS = 8, 40, 3  # batches, batches, runs
EDGES = tuple(SIDE * tenths // 10 for tenths in range(5, 21))


def four_scenes(toy: ToyPanoptic, number: int) -> PanopticSample:
    """Tiles 2 x 2, each thing a segment, each class of stuff one over all tiles."""
    tiles = [toy[4 * number + i] for i in range(4)]
    maps, segments = [], {}
    for i, tile in enumerate(tiles):
        segment_map = torch.zeros_like(tile.segment_map)
        for segment in tile.segments:
            is_thing = toy.categories[segment.label].is_thing
            new_id = 1000 * (i + 1) + segment.id if is_thing else 1 + segment.label
            segment_map[tile.segment_map == segment.id] = new_id
            segments[new_id] = Segment(id=new_id, label=segment.label)
        maps.append(segment_map)

    def join(parts: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat([torch.cat(parts[:2], -1), torch.cat(parts[2:], -1)], -2)

    return PanopticSample(
        image=join([tile.image for tile in tiles]),
        segment_map=join(maps),
        segments=tuple(segments.values()),
        image_id=number,
    )


def generate(folder: Path) -> None:
    """Write the data set, images as JPEG."""
    toy = ToyPanoptic(split="train", size=(240, 320), length=4 * IMAGES)
    scenes = (four_scenes(toy, number) for number in range(IMAGES))
    json_path = write_coco_panoptic(scenes, toy.categories, folder, name="train")
    content = json.loads(json_path.read_text())
    for entry in content["images"]:
        png = folder / "train" / entry["file_name"]
        entry["file_name"] = png.with_suffix(".jpg").name
        Image.open(png).save(png.with_suffix(".jpg"), quality=90)
        png.unlink()
    json_path.write_text(json.dumps(content))


class ProcessedBatches(Dataset):
    """Batches as a user of transformers makes them, read and processed in the worker."""

    def __init__(self, folder: Path, dataset: CocoPanoptic) -> None:
        self.folder = folder
        content = json.loads((folder / "annotations" / "panoptic_train.json").read_text())
        self.images = [entry["file_name"] for entry in content["images"]]
        self.annotations = content["annotations"]
        self.labels = {c.dataset_id: i for i, c in enumerate(dataset.categories)}
        names = {
            str(i): {"name": c.name, "isthing": int(c.is_thing)}
            for i, c in enumerate(dataset.categories)
        }
        (folder / "class_info.json").write_text(json.dumps(names))
        BPETokenizer.shipped().save(folder / "tokenizer")
        self.processor = OneFormerProcessor(
            image_processor=OneFormerImageProcessor(
                repo_path=str(folder),
                class_info_file="class_info.json",
                num_text=NUM_TEXT,
                size={"height": SIDE, "width": SIDE},
                ignore_index=0,
            ),
            tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
            max_seq_length=77,
            task_seq_length=77,
        )

    def __len__(self) -> int:
        """How many batches a run has."""
        return WARM_UP + MEASURED

    def __getitem__(self, step: int) -> object:
        """Read and process one batch."""
        images, maps, labels = [], [], []
        for place in range(BATCH):
            number = (BATCH * step + place) % len(self.images)
            annotation = self.annotations[number]
            images.append(Image.open(self.folder / "train" / self.images[number]).convert("RGB"))
            png = np.array(Image.open(png_folder(self.folder) / annotation["file_name"]))
            maps.append(png.astype(np.int64) @ np.array([1, 256, 65536]))
            segments = annotation["segments_info"]
            labels.append({s["id"]: self.labels[s["category_id"]] for s in segments})
        return self.processor(
            images=images,
            task_inputs=[TASKS[(step + place) % 3] for place in range(BATCH)],
            segmentation_maps=maps,
            instance_id_to_semantic_id=labels,
            return_tensors="pt",
        )


def png_folder(folder: Path) -> Path:
    """Where the writer puts the annotations."""
    inside = folder / "annotations" / "panoptic_train"
    return inside if inside.is_dir() else folder / "panoptic_train"


def our_loader(dataset: CocoPanoptic, transform: TrainTransform) -> DataLoader:
    """The training pipeline as it is."""
    stream = TrainingStream(
        dataset=dataset,
        transform=transform,
        categories=dataset.categories,
        tokenizer=BPETokenizer.shipped(),
        num_text=NUM_TEXT,
        batch_size=BATCH,
    )
    return make_loader(stream, start_step=0, end_step=WARM_UP + MEASURED, num_workers=WORKERS)


def cpu_seconds() -> float:
    """Of this process and of its workers that have ended."""
    mine, theirs = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in (mine, theirs))


def measure(make: Callable[[], DataLoader]) -> tuple[float, float]:
    """Images per second without the beginning of the run; CPU milliseconds per image, of all."""
    started, cpu_before = 0.0, cpu_seconds()
    for step, _ in enumerate(make()):
        if step == WARM_UP - 1:
            started = time.perf_counter()
    speed = MEASURED * BATCH / (time.perf_counter() - started)
    return speed, 1e3 * (cpu_seconds() - cpu_before) / ((WARM_UP + MEASURED) * BATCH)


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch)
        if not (folder / "train").is_dir():
            generate(folder)
        dataset = CocoPanoptic.from_root(folder, "train")
        segments = sum(len(dataset[i].segments) for i in range(IMAGES)) / IMAGES
        print(f"torch {torch.__version__}, {WORKERS} workers, {segments:.1f} segments per image")
        augmented = TrainTransform(
            crop_size=(SIDE, SIDE),
            shortest_edges=EDGES,
            longest_edge=4 * SIDE,
            color_augmentation=True,
            pad_to_crop=True,
        )
        plain = TrainTransform(
            crop_size=(SIDE, SIDE), shortest_edges=(SIDE,), longest_edge=4 * SIDE, flip=False
        )
        processed = ProcessedBatches(folder, dataset)
        loaders: dict[str, Callable[[], DataLoader]] = {
            "minioneformer, augmented": lambda: our_loader(dataset, augmented),
            "minioneformer, resized and cropped": lambda: our_loader(dataset, plain),
            "transformers, resized": lambda: DataLoader(
                processed, batch_size=None, num_workers=WORKERS
            ),
        }
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in loaders}
        for _ in range(RUNS):
            for name, make in loaders.items():
                runs[name].append(measure(make))
    best = {name: (max(s for s, _ in r), min(cpu for _, cpu in r)) for name, r in runs.items()}
    slow, much = best["transformers, resized"]
    for name, (speed, cpu) in best.items():
        print(
            f"{name:36} {speed:6.1f} images/s  {speed / slow:5.2f} x   "
            f"{cpu:6.1f} CPU ms per image  {much / cpu:5.2f} x less"
        )


if __name__ == "__main__":
    main()
