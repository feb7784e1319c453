"""Export of Swin-T with the published sizes and random weights: how well it agrees, how long.

Run: python benchmarks/export_swin_t.py [folder for the files]
Needs the extra `export`. Prints the largest relative difference to the model of the `torch.export`
program and of the ONNX file at 512 x 512 and at two other sizes, how many decisions of the masks
(sign of a logit) differ, and times of one image.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from minioneformer import OneFormer, OneFormerConfig
from minioneformer.export.graph import (
    LogitsGraph,
    check_sizes,
    example_inputs,
    record_program,
    relative_error,
)
from minioneformer.export.onnx_file import export_onnx, onnx_function

SIZE = (512, 512)


def report(name: str, run: Callable[..., tuple[Tensor, ...]], model: OneFormer) -> None:
    """Print a line per size."""
    graph = LogitsGraph(model)
    for size in check_sizes(SIZE, dynamic=True):
        inputs = example_inputs(model, size)
        with torch.no_grad():
            started = time.perf_counter()
            wanted = graph(*inputs)
            eager = time.perf_counter() - started
            started = time.perf_counter()
            got = run(*inputs)
            exported = time.perf_counter() - started
        errors = [relative_error(g, w) for g, w in zip(got, wanted, strict=True)]
        flips = int(((got[1] < 0) != (wanted[1] < 0)).sum())
        print(
            f"{name:>6} {size!s:>12}: classes {errors[0]:.1e}, masks {errors[1]:.1e}, "
            f"{flips} of {wanted[1].numel()} signs differ; model {eager:.2f} s, "
            f"exported {exported:.2f} s",
            flush=True,
        )


def main() -> None:
    """Export twice and compare."""
    torch.manual_seed(0)
    model = OneFormer.from_config(OneFormerConfig(is_training=False)).eval()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)

    started = time.perf_counter()
    program = record_program(model, image_size=SIZE, dynamic=True)
    print(f"torch.export took {time.perf_counter() - started:.0f} s", flush=True)
    report("torch", program.module(), model)

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(sys.argv[1] if len(sys.argv) > 1 else scratch) / "swin_t.onnx"
        started = time.perf_counter()
        agreement = export_onnx(model, path, image_size=SIZE, dynamic=True)
        print(f"ONNX took {time.perf_counter() - started:.0f} s, {path.stat().st_size} bytes")
        print(f"{agreement}", flush=True)
        report("ONNX", onnx_function(path), model)


if __name__ == "__main__":
    main()
