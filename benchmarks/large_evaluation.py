"""`minioneformer evaluate` on large images with a model of a published size: peak memory.

Run: python benchmarks/large_evaluation.py [model, ade20k_swin_large] [height, 4096] [width, 4608]
     [option of evaluate ...]
For example `... ade20k_swin_large 4096 4608 --scales 320 640 960`.
Writes model (random weights) and data set (one image) to a temporary folder. Everything is
real: the command, decoding of files, the network at its test size, masks at full size, metrics.
With random weights every class is about as likely, so that thresholds would leave no segment: the
object threshold is 0 and all queries compete. Prints the command's output, seconds and the peak of
resident memory, which includes libraries and weights.
"""

from __future__ import annotations

import dataclasses
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn.functional import interpolate

from minioneformer.checkpoints.image_settings import ImageSettings
from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.checkpoints.pretrained import Pretrained, save_pretrained
from minioneformer.data.categories import load_catalog
from minioneformer.data.coco_writer import write_coco_panoptic
from minioneformer.presets.published import published_model
from minioneformer.structures import PanopticSample, Segment
from minioneformer.text.tokenizer import BPETokenizer

CELL = 512  # pixels a side of an annotated segment


def write_model(name: str, folder: str) -> None:
    """A published model with random weights, runs in a process of its own."""
    published = published_model(name)
    tokenizer = BPETokenizer.shipped()
    config = dataclasses.replace(
        published.config, text_encoder_vocab_size=tokenizer.vocab_size, is_training=False
    )
    torch.manual_seed(0)
    pretrained = Pretrained(
        config=config,
        modules=TrainedModules.from_config(config),
        tokenizer=tokenizer,
        categories=tuple(load_catalog(published.dataset)),
        settings=ImageSettings(
            shortest_edge=published.shortest_edge,
            longest_edge=published.longest_edge,
            object_threshold=0.0,
            overlap_threshold=0.1,
        ),
    )
    save_pretrained(folder, pretrained)
    print(f"{config.num_queries} queries, {config.num_classes} classes", flush=True)


def write_data(name: str, folder: str, height: int, width: int) -> None:
    """A coloured image, annotated in cells."""
    categories = load_catalog(published_model(name).dataset)
    down, across = torch.arange(height) // CELL, torch.arange(width) // CELL
    columns = int(across[-1]) + 1
    segment_map = 1 + down[:, None] * columns + across
    ids = segment_map.unique().tolist()
    colors = torch.rand(1, 3, height // 64, width // 64, generator=torch.Generator().manual_seed(0))
    image = interpolate(255 * colors, size=(height, width), mode="bilinear")[0].to(torch.uint8)
    sample = PanopticSample(
        image=image,
        segment_map=segment_map,
        segments=tuple(Segment(id=i, label=(i * 7) % len(categories)) for i in ids),
        image_id=1,
    )
    write_coco_panoptic([sample], categories, folder, name="val")


def main(name: str, height: str, width: str, *options: str) -> None:
    """Write, evaluate, measure."""
    with tempfile.TemporaryDirectory() as folder:
        model, data = Path(folder) / "model", Path(folder) / "data"
        for words in (["model", name, str(model)], ["data", name, str(data), height, width]):
            subprocess.run([sys.executable, __file__, *words], check=True)
        words = ["evaluate", str(model), "--dataset", "coco_panoptic", "--data-root", str(data)]
        words += ["--output", str(Path(folder) / "metrics.json"), *options]
        print(f"{name}, {height} x {width}, evaluate {' '.join(options)}", flush=True)
        before, started = peak_of_children(), time.perf_counter()
        command = [sys.executable, "-m", "minioneformer", *words]
        table = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
        print("\n".join(table.splitlines()[:6]))
        peak = peak_of_children()
        # the largest child counts: writing the model and the data must have taken less
        note = "" if peak > before else " at most (preparing took as much)"
        print(f"{time.perf_counter() - started:.0f} s, peak {peak:.2f} GiB{note}", flush=True)


def peak_of_children() -> float:
    """Resident memory of the largest process that was started here and has ended, in GiB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20


if __name__ == "__main__":
    given = sys.argv[1:]
    if given[:1] == ["model"]:
        write_model(*given[1:])
    elif given[:1] == ["data"]:
        write_data(given[1], given[2], int(given[3]), int(given[4]))
    else:
        defaults = ["ade20k_swin_large", "4096", "4608"]
        main(*given[:3], *defaults[len(given) :], *given[3:])
