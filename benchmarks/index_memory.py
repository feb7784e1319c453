"""10 000 annotations: seconds and memory until the first batch, and memory of a worker afterwards.

Run: python benchmarks/index_memory.py [number of annotations, 10000]
Linux only. The index is generated: each annotation has 12 segments, and all name the same image of
32 x 48 pixels. Prints the time of importing, of opening the index and of the first batch from two
workers, and the highest memory of the process; then the memory that a worker has for itself
(private pages) at the beginning and at the end of an epoch, with the index as the package keeps it
and, for comparison, as a list of dictionaries.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

STARTED = time.perf_counter()

import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

from minioneformer.data.coco import CocoPanoptic  # noqa: E402
from minioneformer.data.stream import TrainingStream, make_loader  # noqa: E402
from minioneformer.data.transforms import TrainTransform  # noqa: E402
from minioneformer.panoptic_png import write_panoptic_png  # noqa: E402
from minioneformer.text.tokenizer import BPETokenizer  # noqa: E402

SEGMENTS, BATCH, WORKERS, SIZE = 12, 20, 2, (32, 48)


def generate(folder: Path, count: int) -> None:
    """Write the index, one image and one PNG."""
    for name in ("train", "annotations", "panoptic_train"):
        (folder / name).mkdir()
    height, width = SIZE
    Image.new("RGB", (width, height), (90, 120, 60)).save(folder / "train" / "a.png")
    columns = torch.arange(width) * SEGMENTS // width + 1
    write_panoptic_png(folder / "panoptic_train" / "a.png", columns.expand(height, width))
    segments = [
        {"id": i, "category_id": i % 5, "iscrowd": 0, "area": 128, "bbox": [4 * i, 0, 4, 32]}
        for i in range(1, SEGMENTS + 1)
    ]
    content = {
        "images": [
            {"id": i, "file_name": "a.png", "width": width, "height": height} for i in range(count)
        ],
        "annotations": [
            {"image_id": i, "file_name": "a.png", "segments_info": segments} for i in range(count)
        ],
        "categories": [{"id": i, "name": f"class {i}", "isthing": i % 2} for i in range(5)],
    }
    (folder / "annotations" / "panoptic_train.json").write_text(json.dumps(content))


def make_stream(dataset: CocoPanoptic) -> TrainingStream:
    """Training batches of crops."""
    return TrainingStream(
        dataset=dataset,
        transform=TrainTransform(crop_size=(24, 32)),
        categories=dataset.categories,
        tokenizer=BPETokenizer.shipped(),
        num_text=16,
        batch_size=BATCH,
    )


class PrivateMemory(Dataset):
    """Makes a batch and returns the megabytes that this process shares with nobody."""

    def __init__(self, stream: TrainingStream) -> None:
        self.stream = stream

    def __len__(self) -> int:
        """How many batches make an epoch."""
        return self.stream.num_samples // BATCH

    def __getitem__(self, step: int) -> float:
        """Of the worker that is asked."""
        self.stream[step]
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1e3


def private_memory(dataset: CocoPanoptic) -> Iterator[float]:
    """Of the workers in turn, batch by batch."""
    batches = PrivateMemory(make_stream(dataset))
    yield from DataLoader(batches, batch_size=None, num_workers=WORKERS)


def main() -> None:
    """Print the figures."""
    torch.set_num_threads(1)
    imported = time.perf_counter() - STARTED
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch), count)
        started = time.perf_counter()
        dataset = CocoPanoptic.from_root(scratch, "train")
        opened = time.perf_counter() - started
        loader = make_loader(make_stream(dataset), start_step=0, end_step=4, num_workers=WORKERS)
        next(iter(loader))
        first = time.perf_counter() - started - opened
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{count} annotations of {SEGMENTS} segments, torch {torch.__version__}")
        print(f"import {imported:.1f} s, index {opened:.1f} s, first batch {first:.1f} s")
        print(f"highest memory of the process, generating the index included: {peak:.2f} GB")
        for name in ("two arrays", "list of dictionaries"):
            if name != "two arrays":
                dataset._entries = [dataset._entries[i] for i in range(count)]
            used = list(private_memory(dataset))
            quarter = max(1, len(used) // 4)
            begin = sum(used[quarter : quarter + WORKERS]) / WORKERS
            print(
                f"index as {name:20}: a worker's own memory {used[0]:.0f} MB with the first "
                f"batch, {begin:.0f} MB after a quarter of the epoch, {used[-1]:.0f} MB at its end"
            )


if __name__ == "__main__":
    main()
