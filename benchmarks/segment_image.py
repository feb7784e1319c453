"""A published model, with random weights, segments one image: seconds and peak memory.

Run: python benchmarks/segment_image.py [model, ade20k_dinat_large] [side, 640]
Saves nothing. The panoptic result is decoded at the size of the image, as `predict` does; the peak
is that of the whole process, with the model in it.
"""

from __future__ import annotations

import resource
import sys
import time

import torch

from minioneformer.data.categories import load_catalog
from minioneformer.inference.predictor import Predictor
from minioneformer.model import OneFormer
from minioneformer.presets.published import published_model
from minioneformer.text.tokenizer import BPETokenizer


def main(name: str = "ade20k_dinat_large", side: int = 640) -> None:
    """Segment noise; print what it took."""
    published = published_model(name)
    torch.manual_seed(0)
    model = OneFormer.from_config(published.config).eval()
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    predictor = Predictor(
        model=model,
        tokenizer=BPETokenizer.shipped(),
        categories=load_catalog(published.dataset),
        object_threshold=0.0,
    )
    image = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
    started = time.perf_counter()
    result = predictor.predict(image, "panoptic")
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{name}: {millions:.1f} M parameters, {side} x {side} on {torch.get_num_threads()} "
        f"threads: {seconds:.1f} s, peak {peak:.2f} GiB, {len(result.segments)} segments"
    )


if __name__ == "__main__":
    main(*sys.argv[1:2], *(int(side) for side in sys.argv[2:3]))
