"""Deformable attention: matrix, gathered bags and grid_sample side by side.

Run: python benchmarks/ms_deform_attn.py
Prints milliseconds (minimum of several runs, all three taking turns) and ratios to grid_sample.
The crossing of the first two columns is `DENSE_MAX_CELLS` in pixel_decoder/ms_deform_attn.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from minioneformer.pixel_decoder import ms_deform_attn as module

HEADS, POINTS, RUNS = 8, 4, 5
CASES = [  # batch, channels of a head, levels
    (16, 12, [(2, 2), (4, 4), (8, 8)]),
    (8, 16, [(3, 4), (6, 8), (12, 16)]),
    (4, 32, [(4, 6), (8, 12), (16, 24)]),
    (1, 32, [(16, 16), (32, 32), (64, 64)]),
]


def with_limit(limit: int) -> Callable[..., Tensor]:
    """Our function, told up to how many cells the matrix form may be used."""

    def run(*arguments: Tensor | list[tuple[int, int]]) -> Tensor:
        module.DENSE_MAX_CELLS = limit
        return module.ms_deform_attn(*arguments)

    return run


def with_grid_sample(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """The usual form: one grid_sample per level."""
    batch, _, heads, channels = value.shape
    queries = locations.shape[1]
    total = value.new_zeros(batch * heads, channels, queries)
    for level, (cells, (height, width)) in enumerate(
        zip(value.split([h * w for h, w in shapes], 1), shapes, strict=True)
    ):
        maps = cells.permute(0, 2, 3, 1).reshape(batch * heads, channels, height, width)
        grid = (2 * locations[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)
        sampled = F.grid_sample(maps, grid, align_corners=False)
        share = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]
        total = total + (sampled * share).sum(-1)
    return total.view(batch, heads * channels, queries).transpose(1, 2)


def milliseconds(run: Callable[..., Tensor], arguments: tuple, backward: bool) -> float:
    """Time of one call, with its gradients if `backward`."""
    started = time.perf_counter()
    with torch.set_grad_enabled(backward):
        out = run(*arguments)
    if backward:
        out.square().sum().backward()
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    """Print the table."""
    forms = {"matrix": with_limit(10**9), "bags": with_limit(0), "grid_sample": with_grid_sample}
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'cells':>6} {'pass':>8} " + " ".join(f"{name:>18}" for name in forms))
    for batch, channels, shapes in CASES:
        cells = sum(height * width for height, width in shapes)
        value = torch.randn(batch, cells, HEADS, channels, requires_grad=True)
        locations = torch.rand(batch, cells, HEADS, len(shapes), POINTS, 2, requires_grad=True)
        weights = torch.rand(batch, cells, HEADS, len(shapes), POINTS, requires_grad=True)
        for backward in (False, True):
            best = dict.fromkeys(forms, float("inf"))
            for _ in range(RUNS):
                for name, run in forms.items():
                    taken = milliseconds(run, (value, shapes, locations, weights), backward)
                    best[name] = min(best[name], taken)
            columns = [f"{best[n]:8.1f} ({best[n] / best['grid_sample']:5.2f} x)" for n in forms]
            label = "fwd+bwd" if backward else "forward"
            print(f"{cells:>6} {label:>8} " + " ".join(f"{c:>18}" for c in columns))


if __name__ == "__main__":
    main()
