"""Exercises of notebook 14, published checkpoints: load, convert, run on photographs.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2, every box that has weights, and box
"Image".

Not here: their statements and solutions (`notebooks/14_published_checkpoints.ipynb`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from minioneformer.exercises.checking import Case, check_cases

Shape = tuple[int, ...]

SWIN_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "norm1": "layernorm_before",
        "attn.relative_position_bias_table": "attention.self.relative_position_bias_table",
        "attn.proj": "attention.output.dense",
        "norm2": "layernorm_after",
        "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }
)
"""Parts of a Swin block whose tensors change their names alone: original, Hugging Face."""


def check_translate(
    function: Callable[[str, Tensor], Sequence[tuple[str, Tensor]]],
) -> None:
    """One tensor of a Swin block, from its original name to its Hugging Face names.

    Args:
        function: Takes a name and a tensor; returns pairs of name and tensor.

    Raises:
        ExerciseError: If a case is not right.
    """
    block = "layers.2.blocks.11"
    norm = torch.tensor([1.0, 2.0])
    weight, bias = torch.arange(12.0).view(6, 2), torch.arange(6.0)
    wide = torch.arange(18.0).view(3, 6)
    cases = [
        Case(
            name="a norm",
            arguments=(f"{block}.norm1.bias", norm),
            expected=[(f"{block}.layernorm_before.bias", norm)],
            hint="replace the old part by the new one; number of the block and ending stay.",
        ),
        Case(
            name="a fused weight",
            arguments=(f"{block}.attn.qkv.weight", weight),
            expected=[
                (f"{block}.attention.self.query.weight", weight[:2]),
                (f"{block}.attention.self.key.weight", weight[2:4]),
                (f"{block}.attention.self.value.weight", weight[4:]),
            ],
            hint="cut along the first axis: the upper third of the rows is the query. Names are "
            "attention.self.query, .key and .value, in this order.",
        ),
        Case(
            name="a fused bias",
            arguments=(f"{block}.attn.qkv.bias", bias),
            expected=[
                (f"{block}.attention.self.query.bias", bias[:2]),
                (f"{block}.attention.self.key.bias", bias[2:4]),
                (f"{block}.attention.self.value.bias", bias[4:]),
            ],
            hint="a bias has one axis, and is cut like the weight.",
        ),
        Case(
            name="a weight that is not cut",
            arguments=(f"{block}.attn.proj.weight", wide),
            expected=[(f"{block}.attention.output.dense.weight", wide)],
            hint="only attn.qkv is cut; the output projection is one tensor in both layouts.",
        ),
        Case(
            name="the second layer of the feed-forward",
            arguments=("layers.0.blocks.1.mlp.fc2.weight", wide),
            expected=[("layers.0.blocks.1.output.dense.weight", wide)],
            hint="fc1 is intermediate.dense, fc2 is output.dense.",
        ),
        Case(
            name="an index that is computed",
            arguments=(f"{block}.attn.relative_position_index", torch.zeros(4, 4).long()),
            expected=[],
            hint="a Hugging Face file has no such tensor: return an empty list.",
        ),
    ]
    hint = "look for 'attn.qkv' in the name first; the others only change their names."
    check_cases("translate", function, cases, hint=hint)


def check_compare_keys(
    function: Callable[
        [Mapping[str, Shape], Mapping[str, Shape]], tuple[list[str], list[str], list[str]]
    ],
) -> None:
    """What a strict loader finds before it loads.

    Args:
        function: Takes the shapes of model and file by name; returns the names that are missing,
            unexpected, and of another shape, each sorted.

    Raises:
        ExerciseError: If a case is not right.
    """
    model = {"task.weight": (5, 3), "head.weight": (9, 4), "head.bias": (9,)}
    cases = [
        Case(
            name="a file that fits, in another order",
            arguments=(model, dict(reversed(model.items()))),
            expected=([], [], []),
            hint="compare by name, not by position.",
        ),
        Case(
            name="a file without the head",
            arguments=(model, {"task.weight": (5, 3)}),
            expected=(["head.bias", "head.weight"], [], []),
            hint="missing is what the model has and the file lacks, sorted. A name that the file "
            "lacks has no other shape: the third list is of names in both.",
        ),
        Case(
            name="a file with a text branch that the model lacks",
            arguments=(model, {"text.weight": (2, 7), **model, "text.bias": (2,)}),
            expected=([], ["text.bias", "text.weight"], []),
            hint="unexpected is what the file has and the model lacks, sorted.",
        ),
        Case(
            name="a file of another number of classes, with one matrix transposed",
            arguments=(model, {"task.weight": (3, 5), "head.weight": (20, 4), "head.bias": (20,)}),
            expected=([], [], ["head.bias", "head.weight", "task.weight"]),
            hint="compare whole shapes: (3, 5) and (5, 3) have as many numbers and differ.",
        ),
        Case(
            name="names of another layout",
            arguments=({"norm1.weight": (4,)}, {"layernorm_before.weight": (4,)}),
            expected=(["norm1.weight"], ["layernorm_before.weight"], []),
            hint="shapes are compared only where a name is in both.",
        ),
    ]
    hint = "three comparisons of sets: set(model) - set(file), the other way, and what is in both."
    check_cases("compare_keys", function, cases, hint=hint)


def check_image_size(
    function: Callable[[tuple[int, int], int, int], tuple[int, int]],
) -> None:
    """The size at which the original code shows an image to the model.

    Args:
        function: Takes (H, W), the wanted shorter side, and the bound of the longer one; returns
            (H, W).

    Raises:
        ExerciseError: If a case is not right.
    """
    cases = [
        Case(
            name="an image that doubles",
            arguments=((300, 451), 600, 2400),
            expected=(600, 902),
            hint="one scale for both sides: shortest divided by the shorter side.",
        ),
        Case(
            name="a photograph of COCO",
            arguments=((480, 640), 800, 1333),
            expected=(800, 1067),
            hint="1066.67 is nearer to 1067: round, with int(x + 0.5).",
        ),
        Case(
            name="an image that is higher than wide",
            arguments=((640, 427), 800, 1333),
            expected=(1199, 800),
            hint="the shorter side may be the width; the order of the result is (H, W).",
        ),
        Case(
            name="a street of Cityscapes, twice as wide as high",
            arguments=((1024, 2048), 800, 1333),
            expected=(667, 1333),
            hint="the longer side would be 1600, so it decides; and 666.5 is rounded up.",
        ),
        Case(
            name="a long side that is above the bound before, and below it after",
            arguments=((2000, 2400), 800, 1333),
            expected=(800, 960),
            hint="the bound is for the longer side of the result, not of the image.",
        ),
        Case(
            name="a narrow strip",
            arguments=((300, 929), 800, 1333),
            expected=(430, 1333),
            hint="one scale for both sides, and rounded once, at the end: 300 x 1333 / 929.",
        ),
        Case(
            name="an image that shrinks",
            arguments=((1411, 1411), 640, 2560),
            expected=(640, 640),
            hint="the scale may be below 1.",
        ),
    ]
    hint = "the scale is the smaller of shortest / shorter side and longest / longer side."
    check_cases("image_size", function, cases, hint=hint)
