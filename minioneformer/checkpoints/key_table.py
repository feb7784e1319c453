"""A table of two namings of the same tensors, applied in both directions.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

A layout of published weights differs from ours in names, and in what is one tensor and what are
three. An entry of the table says that a group of our tensors and a group of theirs hold the same
numbers in the same order, so nothing but names and seams changes, and the way back is the way
there read from right to left.

Not here: the tables (`checkpoints/huggingface.py`, `checkpoints/official.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SHOWN = 5  # names in a message


@dataclass(frozen=True)
class Entry:
    """Tensors of ours and of theirs with the same numbers; one side is a single tensor.

    Args:
        ours: Names of our tensors, in order.
        theirs: Names of their tensors, in order.
        stacked: Whether the single tensor stacks the others along a new first axis, instead of
            joining them along the first axis that they have.
    """

    ours: tuple[str, ...]
    theirs: tuple[str, ...]
    stacked: bool = False


@dataclass(frozen=True, kw_only=True)
class Match:
    """What a file has of a table.

    Args:
        entries: Whose tensors the file has.
        absent: Our names in the other entries.
        unknown: Names of the file that are in no entry.
    """

    entries: tuple[Entry, ...]
    absent: tuple[str, ...]
    unknown: tuple[str, ...]


def renamed(ours: str, theirs: str, parts: Sequence[str] = ("weight", "bias")) -> list[Entry]:
    """Entries of a module whose tensors only change their names.

    Args:
        ours: Name of our module.
        theirs: Name of theirs.
        parts: Names of its tensors.

    Returns:
        One entry per tensor.
    """
    return [Entry((f"{ours}.{part}",), (f"{theirs}.{part}",)) for part in parts]


def fused(
    ours: Sequence[str], theirs: Sequence[str], parts: Sequence[str] = ("weight", "bias")
) -> list[Entry]:
    """Entries of modules that are one on the other side.

    Args:
        ours: Names of our modules, in order.
        theirs: Names of theirs, in order; one of the two is a single name.
        parts: Names of the tensors of each.

    Returns:
        One entry per kind of tensor.
    """
    return [
        Entry(tuple(f"{name}.{part}" for name in ours), tuple(f"{name}.{part}" for name in theirs))
        for part in parts
    ]


def in_projection(ours: str, theirs: str) -> list[Entry]:
    """Entries of an attention of ours that is a `torch.nn.MultiheadAttention` on the other side.

    Args:
        ours: Name of our attention; three projections and an output projection.
        theirs: Name of theirs; one projection for all three.

    Returns:
        Four entries.
    """
    projections = [f"{ours}.{part}_proj" for part in ("query", "key", "value")]
    return [
        *(
            Entry(tuple(f"{name}.{part}" for name in projections), (f"{theirs}.in_proj_{part}",))
            for part in ("weight", "bias")
        ),
        *renamed(f"{ours}.out_proj", f"{theirs}.out_proj"),
    ]


def list_names(names: Collection[str]) -> str:
    """Name the first few.

    Args:
        names: Of tensors.

    Returns:
        Them, separated by commas.

    Example:
        Of seven names, five and "and 2 more".
    """
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(list(names)[:SHOWN]) + rest


def check_table(table: Sequence[Entry]) -> None:
    """Refuse a table that is no bijection.

    Args:
        table: Of a layout.

    Raises:
        ValueError: If a name is there twice on one side, or an entry joins several tensors of
            ours with several of theirs.
    """
    for side in ("ours", "theirs"):
        counts = Counter(name for entry in table for name in getattr(entry, side))
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"names of {side} are in the table twice, got {list_names(twice)}.")
    wrong = [entry for entry in table if 1 not in (len(entry.ours), len(entry.theirs))]
    if wrong:
        raise ValueError(f"an entry needs one tensor on one of its sides, got {wrong[0]}.")


def to_ours(table: Sequence[Entry], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give weights our names.

    Args:
        table: Of the layout.
        weights: By their names: those of the table, and no others.

    Returns:
        By our names, in the order of the table; parts of a fused tensor are views of it.

    Raises:
        ValueError: If the table is no bijection, tensors are missing or left over, or one cannot
            be cut or joined as the table says; they are named.

    Example:
        A (6, 2) `qkv` that is three tensors here gives three of (2, 2): rows 0 and 1, 2 and 3,
        4 and 5.
    """
    check_table(table)
    return _carry_over([(e.theirs, e.ours, e.stacked) for e in table], weights)


def to_theirs(table: Sequence[Entry], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give weights their names; the inverse of `to_ours`.

    Args:
        table: Of the layout.
        weights: By our names: those of the table, and no others.

    Returns:
        By their names, in the order of the table.

    Raises:
        ValueError: As in `to_ours`.
    """
    check_table(table)
    return _carry_over([(e.ours, e.theirs, e.stacked) for e in table], weights)


def match_theirs(table: Sequence[Entry], names: Collection[str]) -> Match:
    """Compare the names in a file with a table.

    Args:
        table: Of the layout.
        names: Of the file.

    Returns:
        What is there, absent and unknown.

    Raises:
        ValueError: If only some tensors of an entry are there; those that are not are named.
    """
    entries: list[Entry] = []
    absent: list[str] = []
    half: list[str] = []
    for entry in table:
        there = [name in names for name in entry.theirs]
        if all(there):
            entries.append(entry)
            continue
        absent += entry.ours
        if any(there):
            half += [name for name in entry.theirs if name not in names]
    if half:
        raise ValueError(
            f"parts of fused tensors are missing, got {len(half)}: {list_names(half)}."
        )
    known = {name for entry in table for name in entry.theirs}
    unknown = tuple(name for name in names if name not in known)
    return Match(entries=tuple(entries), absent=tuple(absent), unknown=unknown)


def take_ours(
    table: Sequence[Entry],
    weights: Mapping[str, Tensor],
    skip_reason: Callable[[str], str | None],
    *,
    allow_unknown: bool = False,
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Give the weights of a file our names, as far as the file has them.

    Args:
        table: Of the layout.
        weights: By their names.
        skip_reason: Why a tensor that is not in the table is not needed; None if nothing is known
            about it.
        allow_unknown: Whether tensors that nothing is known about are skipped too.

    Returns:
        Weights by our names; and why each of the other tensors was skipped, by its name.

    Raises:
        ValueError: If nothing is known about a tensor and `allow_unknown` is false, a fused
            tensor is there in part, or tensors cannot be cut or joined; they are named.
    """
    match = match_theirs(table, weights)
    skipped, lost = {}, []
    for name in match.unknown:
        reason = skip_reason(name) or ("not part of the model" if allow_unknown else None)
        if reason is None:
            lost.append(name)
        else:
            skipped[name] = reason
    if lost:
        raise ValueError(
            f"the model has no place for {len(lost)} tensors, got {list_names(lost)}: the "
            "configuration is that of another model, or the file holds more than the model."
        )
    wanted = {name: weights[name] for entry in match.entries for name in entry.theirs}
    return to_ours(match.entries, wanted), skipped


def _carry_over(
    moves: Sequence[tuple[tuple[str, ...], tuple[str, ...], bool]], weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    expected = {name for sources, _, _ in moves for name in sources}
    missing = [name for sources, _, _ in moves for name in sources if name not in weights]
    if missing:
        raise ValueError(f"{len(missing)} tensors are missing, got none of {list_names(missing)}.")
    unknown = [name for name in weights if name not in expected]
    if unknown:
        raise ValueError(f"{len(unknown)} tensors are not in the table, got {list_names(unknown)}.")
    result: dict[str, Tensor] = {}
    for sources, targets, stacked in moves:
        if len(targets) == 1:
            result[targets[0]] = _join(sources, [weights[name] for name in sources], stacked)
        else:
            parts = _cut(sources[0], weights[sources[0]], len(targets), stacked)
            result.update(zip(targets, parts, strict=True))
    return result


def _join(names: Sequence[str], tensors: Sequence[Tensor], stacked: bool) -> Tensor:
    if len({(tensor.shape, tensor.dtype) for tensor in tensors}) > 1:
        kinds = ", ".join(
            f"{name} {tuple(tensor.shape)} {tensor.dtype}"
            for name, tensor in zip(names, tensors, strict=True)
        )
        raise ValueError(f"tensors that become one must be of one shape and type, got {kinds}.")
    if stacked:
        return torch.stack(list(tensors))
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _cut(name: str, tensor: Tensor, parts: int, stacked: bool) -> Sequence[Tensor]:
    length = tensor.shape[0] if tensor.ndim else 0
    if length == 0 or length % parts or (stacked and length != parts):
        raise ValueError(
            f"{name} must be cut into {parts} equal parts, got the shape {tuple(tensor.shape)}."
        )
    return tensor.unbind() if stacked else tensor.chunk(parts)
