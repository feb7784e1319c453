"""DiNAT-L on one image: seconds, and memory of the whole process.

Run: python benchmarks/dinat_640.py [side of the image, 640]
Random weights, the dilations of the published ADE20K models. Prints the fastest of three forward
passes, one pass with gradients, and after each the highest resident memory so far; then one
attention of the first stage (160 x 160 cells, 6 heads, 11 x 11 keys) with tiles and with a loop
over the 121 keys of a cell.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from minioneformer.backbone.dinat import DiNAT
from minioneformer.backbone.neighborhood_attention import neighborhood_attention

RUNS = 3
KERNEL_SIZE = 11
STAGE_3 = (1, 2, 1, 3, 1, 4, 1, 5, 1, 2, 1, 3, 1, 4, 1, 5, 1, 5)
DILATIONS = ((1, 20, 1), (1, 5, 1, 10), STAGE_3, (1, 2, 1, 2, 1))


def dinat_large() -> DiNAT:
    """With random weights."""
    return DiNAT(
        embed_dim=192,
        depths=(3, 4, 18, 5),
        num_heads=(6, 12, 24, 48),
        kernel_size=KERNEL_SIZE,
        dilations=DILATIONS,
        mlp_ratio=2.0,
        drop_path_rate=0.3,
        checkpoint_blocks=True,
    )


def with_loop(qkv: Tensor, bias: Tensor) -> Tensor:
    """One key of each cell at a time, without dilation."""
    q, k, v = qkv[0].unbind(dim=2)  # (H, W, heads, D)
    side, reach = len(q), KERNEL_SIZE // 2
    start = (torch.arange(side) - reach).clamp(0, side - KERNEL_SIZE)
    offset = start - torch.arange(side) + KERNEL_SIZE - 1
    steps = [(row, column) for row in range(KERNEL_SIZE) for column in range(KERNEL_SIZE)]
    logits = q.new_empty(side, side, q.shape[2], len(steps))
    for place, (row, column) in enumerate(steps):
        key = k[start + row][:, start + column]
        added = bias[:, offset[:, None] + row, offset + column]
        logits[..., place] = (q * key).sum(dim=-1) * q.shape[-1] ** -0.5 + added.movedim(0, -1)
    weights = logits.softmax(dim=-1)
    out = torch.zeros_like(q)
    for place, (row, column) in enumerate(steps):
        out += weights[..., place, None] * v[start + row][:, start + column]
    return out[None]


def seconds(run: Callable[[], object]) -> float:
    """Least time of some runs."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def report(name: str, taken: float) -> None:
    """Print one line of the table."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"{name:34} {taken:6.2f} s  {peak:5.2f} GB")


def main() -> None:
    """Print the table."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 640
    images = torch.randn(1, 3, side, side)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, image {side} x {side}")
    report("before the model", 0.0)

    model = dinat_large().eval()
    with torch.inference_mode():
        report("forward", seconds(lambda: model(images)))

    started = time.perf_counter()
    sum(feature.square().mean() for feature in model.train()(images).values()).backward()
    report("with gradients, checkpointed", time.perf_counter() - started)

    qkv, bias = torch.randn(1, 160, 160, 3, 6, 32), torch.randn(6, 21, 21)
    with torch.inference_mode():
        tiled = neighborhood_attention(qkv, bias, dilation=1)
        torch.testing.assert_close(tiled, with_loop(qkv, bias), atol=1e-4, rtol=0)
        tiles_taken = seconds(lambda: neighborhood_attention(qkv, bias, dilation=1))
        report("one attention, tiles", tiles_taken)
        report("one attention, loop over keys", seconds(lambda: with_loop(qkv, bias)))


if __name__ == "__main__":
    main()
