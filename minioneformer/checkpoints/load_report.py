"""Weights into a module, all or nothing, with a report of what became of each tensor.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: names of other layouts (`checkpoints/huggingface.py`, `checkpoints/official.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from minioneformer.checkpoints.key_table import list_names

# What depends on the number of classes: K + 1 rows each.
CLASS_TENSORS = ("heads.class_head.weight", "heads.class_head.bias", "criterion.class_weights")
COUNTER = ".num_batches_tracked"  # read by no batch norm with a momentum
Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of each tensor.

    Args:
        loaded: Names of tensors that the model now has from the file.
        skipped: Of the file and not of the model: the reason, by name in the file.
        reinitialised: Names of tensors of the model that the file does not have; as they were.
        mismatched: Tensors that depend on the number of classes, which was said to be another
            one: the shapes in file and model, by name; in the model as they were.
    """

    loaded: tuple[str, ...]
    skipped: Mapping[str, str]
    reinitialised: tuple[str, ...]
    mismatched: Mapping[str, tuple[Shape, Shape]]

    @property
    def complete(self) -> bool:
        """Whether every tensor of the model is from the file."""
        return not self.reinitialised and not self.mismatched

    def summary(self) -> str:
        """A few lines of text, the first of which says how many were loaded."""
        total = len(self.loaded) + len(self.reinitialised) + len(self.mismatched)
        lines = [f"loaded {len(self.loaded)} of {total} tensors"]
        if self.reinitialised:
            lines.append(
                f"not in the file, initialised anew ({len(self.reinitialised)}): "
                f"{list_names(self.reinitialised)}"
            )
        if self.mismatched:
            shapes = [f"{name} {old} -> {new}" for name, (old, new) in self.mismatched.items()]
            lines.append(
                f"another number of classes, initialised anew ({len(shapes)}): {list_names(shapes)}"
            )
        by_reason = defaultdict(list)
        for name, reason in self.skipped.items():
            by_reason[reason].append(name)
        lines += [
            f"skipped, {reason} ({len(names)}): {list_names(names)}"
            for reason, names in by_reason.items()
        ]
        return "\n".join(lines)


def load_into(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    source: str = "the weights",
    skipped: Mapping[str, str] | None = None,
    allow_missing: Collection[str] = (),
    new_classes: bool = False,
) -> LoadReport:
    """Copy weights into a module, all or nothing.

    Args:
        module: Model and criterion, or a part; its first values stay where the weights have
            none.
        weights: By the names of the module; of any float type.
        source: Named in errors.
        skipped: Reasons of tensors that were left out before, by name; for the report.
        allow_missing: Beginnings of names that the weights need not have.
        new_classes: Whether the weights may be of another number of classes; the tensors that
            depend on it then keep their first values.

    Returns:
        What became of each tensor.

    Raises:
        ValueError: If the number of classes differs and `new_classes` is false; if other tensors
            are missing, unknown or of another shape; they are named.
    """
    own = module.state_dict()
    shapes = {
        name: (tuple(weights[name].shape), tuple(own[name].shape))
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    }
    by_classes = {
        name: (old, new)
        for name, (old, new) in shapes.items()
        if name.endswith(CLASS_TENSORS) and old[1:] == new[1:]
    }
    missing = [name for name in own if name not in weights]
    _refuse_misfits(
        source,
        {
            "missing": [n for n in missing if not _may_lack(n, allow_missing)],
            "unknown": [name for name in weights if name not in own],
            "of another shape": [
                f"{name} {old} for {new}"
                for name, (old, new) in shapes.items()
                if name not in by_classes
            ],
        },
    )
    if by_classes and not new_classes:
        old, new = next(iter(by_classes.values()))
        raise ValueError(
            f"{source} is of {old[0] - 1} classes and the model of {new[0] - 1}, got "
            f"{new_classes=}: pass new_classes=True (to from_pretrained: "
            "ignore_mismatched_sizes=True) to start the class head anew, or build the model with "
            "as many classes."
        )
    fitting = {name: weights[name] for name in own if name in weights and name not in shapes}
    module.load_state_dict(fitting, strict=False)
    return LoadReport(
        loaded=tuple(fitting),
        skipped=dict(skipped or {}),
        reinitialised=tuple(name for name in missing if not name.endswith(COUNTER)),
        mismatched=by_classes,
    )


def _refuse_misfits(source: str, problems: Mapping[str, Collection[str]]) -> None:
    found = [
        f"{len(names)} {kind}: {list_names(names)}" for kind, names in problems.items() if names
    ]
    if found:
        raise ValueError(f"{source} does not fit the model: {'; '.join(found)}.")


def _may_lack(name: str, allow_missing: Collection[str]) -> bool:
    return name.endswith(COUNTER) or name.startswith(tuple(allow_missing))
