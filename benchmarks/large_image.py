"""PQ, AP and mIoU of one large image: seconds and peak memory of everything but the network.

Run: python benchmarks/large_image.py [side, 4096] [classes, 150] [queries, 100]
Saves nothing. The network is replaced by random logits at stride 4 of the image (its own memory
depends on the size that it is given, which recipes bound); everything after it is real: masks at
full size, decoding, metrics. Each metric runs in a process of its own, so that the peaks are its
own; the peak before decoding (libraries, image, features) stands beside it.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from types import SimpleNamespace

import torch
from torch import nn

from minioneformer.evaluation.evaluator import evaluate
from minioneformer.inference.predictor import Predictor
from minioneformer.structures import (
    TASKS,
    Category,
    MaskPrediction,
    PanopticSample,
    Segment,
    Task,
)
from minioneformer.text.tokenizer import BPETokenizer

CELL = 512  # pixels a side of an annotated segment
DIM = 256


class RandomNetwork(nn.Module):
    """Blobs at stride 4, whatever the image."""

    def __init__(self, classes: int, queries: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.class_logits = 8 * torch.randn(1, queries, classes + 1, generator=generator)
        self.mask_embeddings = torch.randn(1, queries, DIM, generator=generator)

    def forward(self, images, *_, **__) -> SimpleNamespace:
        """Features of the size that a real network gives."""
        height, width = images.shape[-2] // 4, images.shape[-1] // 4
        coarse = torch.randn(
            1, DIM, height // 32, width // 32, generator=torch.Generator().manual_seed(1)
        )
        features = nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
        return SimpleNamespace(
            predictions=MaskPrediction(
                class_logits=self.class_logits,
                mask_embeddings=self.mask_embeddings / DIM**0.5 * 4,
                mask_features=features,
            )
        )


def sample(side: int, classes: int) -> PanopticSample:
    """A noisy image, annotated in cells."""
    steps = torch.arange(side) // CELL
    across = (side - 1) // CELL + 1
    segment_map = 1 + steps[:, None] * across + steps
    return PanopticSample(
        image=torch.randint(0, 256, (3, side, side), dtype=torch.uint8),
        segment_map=segment_map,
        segments=tuple(Segment(id=1 + i, label=i % classes) for i in range(across**2)),
        image_id=1,
    )


def gigabytes() -> float:
    """Peak of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(task: Task, side: int, classes: int, queries: int) -> None:
    """One metric; prints its line."""
    categories = [
        Category(name=str(i), is_thing=i % 3 > 0, color=(0, 0, 0), dataset_id=i)
        for i in range(classes)
    ]
    predictor = Predictor(
        model=RandomNetwork(classes, queries),
        tokenizer=BPETokenizer.shipped(),
        categories=categories,
        object_threshold=0.0,
        overlap_threshold=0.1,
    )
    large = sample(side, classes)
    predictor.logits(large.image[None], task)
    before, started = gigabytes(), time.perf_counter()
    result = evaluate(predictor, [large], categories=categories, tasks=(task,))
    seconds = time.perf_counter() - started
    figures = {k: round(v, 3) for k, v in list(result.to_dict().items())[:1]}
    print(
        f"{task:<9} {side} x {side}, {classes} classes, {queries} queries: {seconds:5.1f} s, "
        f"peak {gigabytes():5.2f} GiB (before decoding {before:.2f}), {figures}",
        flush=True,
    )


def main(side: int = 4096, classes: int = 150, queries: int = 100) -> None:
    """Each task in its own process."""
    for task in TASKS:
        words = [task, *map(str, (side, classes, queries))]
        subprocess.run([sys.executable, __file__, *words], check=True)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in TASKS:
        measure(sys.argv[1], *map(int, sys.argv[2:]))
    else:
        main(*map(int, sys.argv[1:]))
