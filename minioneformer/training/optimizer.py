r"""AdamW with the parameter groups of the published recipes.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1 and appendix; not drawn in Figure 2.

Two questions sort a parameter: does it belong to the backbone (a tenth of the learning rate),
and is it a gain, an embedding or a position bias (no weight decay)? That makes four groups.

Not here: the learning rate over time (`schedule.py`), gradient clipping (`trainer.py`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from minioneformer.backbone.convnext import ConvNeXt

UNDECAYED_MODULES = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.Embedding,
)
UNDECAYED_NAMES = ("relative_position_bias_table", "absolute_pos_embed")


def parameter_groups(
    model: nn.Module,
    *,
    base_lr: float = 1e-4,
    backbone_multiplier: float = 0.1,
    weight_decay: float = 0.05,
    decay_convnext_norms: bool = True,
) -> list[dict[str, Any]]:
    """Sort the trainable parameters by learning rate and weight decay.

    Args:
        model: May be a container of several modules: the criterion's temperature is learned too.
            Parameters that need no gradient are left out; a shared one counts once.
        base_lr: Learning rate outside the backbone, > 0.
        backbone_multiplier: Of the learning rate, for every parameter below a module that is
            called `backbone`; >= 0.
        weight_decay: Decoupled, >= 0. None falls on parameters of normalisation layers and
            `nn.Embedding`, nor on those named in `UNDECAYED_NAMES`. All others decay, biases
            included.
        decay_convnext_norms: Whether it falls on the LayerNorms of a ConvNeXt all the same, those
            of its outputs included.

    Returns:
        At most four groups for a `torch.optim` optimizer, none empty, each with the keys
        `params`, `lr`, `weight_decay`, and `names`: the parameters' names in order.

    Raises:
        ValueError: If a number is out of range, or nothing is trainable.

    Example:
        A model of `backbone: Linear(2, 3)` and `norm: LayerNorm(3)` gives two groups: weight and
        bias of the first with lr 1e-5 and decay 0.05, those of the second with 1e-4 and 0.

    Fidelity:
        Official code: one group per tensor. Four groups are the same arithmetic and let the
        fused kernel work on all their tensors at once. Its rule for norms does not know the
        LayerNorm of its ConvNeXt, a class of its own, so these decay; here they do unless told
        otherwise. Paper: weight decay 0.1 on ADE20K and Cityscapes, while every published recipe
        says 0.05.
    """
    if base_lr <= 0 or backbone_multiplier < 0 or weight_decay < 0:
        raise ValueError(
            "base_lr must be > 0, backbone_multiplier and weight_decay >= 0, "
            f"got {base_lr=}, {backbone_multiplier=}, {weight_decay=}."
        )
    groups: dict[tuple[bool, bool], dict[str, Any]] = {}
    seen: set[int] = set()
    decayed = _norms_of_convnext(model) if decay_convnext_norms else set()
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            undecayed = module not in decayed and _is_undecayed(module, name)
            key = ("backbone" in path.split("."), undecayed)
            if key not in groups:
                lr = base_lr * (backbone_multiplier if key[0] else 1.0)
                decay = 0.0 if key[1] else weight_decay
                groups[key] = {"params": [], "names": [], "lr": lr, "weight_decay": decay}
            groups[key]["params"].append(parameter)
            groups[key]["names"].append(f"{path}.{name}".lstrip("."))
    if not groups:
        raise ValueError(
            f"nothing to train: no parameter of {type(model).__name__} needs a gradient."
        )
    return [groups[key] for key in sorted(groups)]


def build_optimizer(
    model: nn.Module,
    *,
    base_lr: float = 1e-4,
    backbone_multiplier: float = 0.1,
    weight_decay: float = 0.05,
    decay_convnext_norms: bool = True,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`.

    Args:
        model: As for `parameter_groups`; already on its device.
        base_lr: As for `parameter_groups`.
        backbone_multiplier: As for `parameter_groups`.
        weight_decay: As for `parameter_groups`.
        decay_convnext_norms: As for `parameter_groups`.
        betas: Decay of the running means of gradient and squared gradient, each in [0, 1).
        eps: Added to the denominator.

    Returns:
        The fused implementation: one pass over memory per step instead of a dozen, on CPU as on
        GPU, and the same bits every time.

    Raises:
        ValueError: As `parameter_groups`.
    """
    groups = parameter_groups(
        model,
        base_lr=base_lr,
        backbone_multiplier=backbone_multiplier,
        weight_decay=weight_decay,
        decay_convnext_norms=decay_convnext_norms,
    )
    return torch.optim.AdamW(groups, betas=betas, eps=eps, fused=True)


def optimized_parameters(optimizer: torch.optim.Optimizer, model: nn.Module) -> list[Tensor]:
    """The parameters that an optimizer trains, all of them a model's.

    Args:
        optimizer: Of any kind.
        model: What checkpoints hold.

    Returns:
        Group by group.

    Raises:
        ValueError: If the optimizer trains a parameter that the model does not hold.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    held = {id(parameter) for parameter in model.parameters()}
    strangers = sum(id(parameter) not in held for parameter in parameters)
    if strangers:
        raise ValueError(
            f"the optimizer trains parameters that the model does not hold, so that checkpoints "
            f"would lose them, got {strangers=}. Put model and criterion into one container."
        )
    return parameters


def _norms_of_convnext(model: nn.Module) -> set[nn.Module]:
    return {
        norm
        for backbone in model.modules()
        if isinstance(backbone, ConvNeXt)
        for norm in backbone.modules()
        if isinstance(norm, nn.LayerNorm)
    }


def _is_undecayed(owner: nn.Module, name: str) -> bool:
    return isinstance(owner, UNDECAYED_MODULES) or name.endswith(UNDECAYED_NAMES)
