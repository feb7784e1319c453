"""Wrong answers that learners give, and the hint that each gets."""

import pytest
import torch

from minioneformer.checkpoints.huggingface import to_huggingface
from minioneformer.checkpoints.official import official_table, to_official
from minioneformer.config import OneFormerConfig
from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.published_checkpoints import (
    SWIN_NAMES,
    check_compare_keys,
    check_image_size,
    check_translate,
)
from minioneformer.pixels import shortest_edge_size

THREE = ("query", "key", "value")


def translate(name, tensor):
    if name.endswith("relative_position_index"):
        return []
    if "attn.qkv" in name:
        names = [name.replace("attn.qkv", f"attention.self.{part}") for part in THREE]
        return list(zip(names, tensor.chunk(3), strict=True))
    for old, new in SWIN_NAMES.items():
        name = name.replace(old, new)
    return [(name, tensor)]


def compare_keys(model, file):
    both = set(model) & set(file)
    return (
        sorted(set(model) - set(file)),
        sorted(set(file) - set(model)),
        sorted(name for name in both if model[name] != file[name]),
    )


def test_right_answers_pass(capsys):
    check_translate(translate)
    check_compare_keys(compare_keys)
    check_image_size(shortest_edge_size)
    assert capsys.readouterr().out.count("right in all") == 3


def test_the_answer_is_what_the_tables_of_the_package_do():
    config = OneFormerConfig(num_labels=3)
    names = [name for entry in official_table(config) for name in entry.ours]
    ours = {name: torch.randn(3, 2) for name in names}
    theirs = to_huggingface(config, ours)
    prefix = "model.pixel_level_module.encoder.encoder."
    blocks = {n: t for n, t in to_official(config, ours).items() if ".blocks." in n}
    assert len(blocks) == 12 * 14
    for name, tensor in blocks.items():
        for new, part in translate(name.removeprefix("backbone."), tensor):
            assert torch.equal(theirs.pop(prefix + new), part)
    assert not any(".blocks." in name for name in theirs)


def test_the_three_are_cut_along_the_rows_in_their_order():
    def columns(name, tensor):
        if "qkv" not in name:
            return translate(name, tensor)
        pairs = zip(translate(name, tensor), tensor.chunk(3, -1), strict=False)
        return [(new, part) for (new, _), part in pairs]

    def value_first(name, tensor):
        pairs = translate(name, tensor)
        return pairs if len(pairs) != 3 else pairs[::-1]

    def interleaved(name, tensor):
        pairs = translate(name, tensor)
        if len(pairs) != 3:
            return pairs
        return [(new, tensor[part::3]) for part, (new, _) in enumerate(pairs)]

    for wrong in (columns, value_first, interleaved):
        with pytest.raises(ExerciseError, match="the upper third of the rows is the query"):
            check_translate(wrong)


def test_what_is_cut_and_what_is_not_is_noticed():
    def bias_whole(name, tensor):
        if name.endswith("qkv.bias"):
            return [(name.replace("attn.qkv", "attention.self.query"), tensor)]
        return translate(name, tensor)

    with pytest.raises(ExerciseError, match="a bias has one axis, and is cut"):
        check_translate(bias_whole)

    def index_kept(name, tensor):
        return translate(name, tensor) or [(name.replace("attn", "attention.self"), tensor)]

    with pytest.raises(ExerciseError, match="no such tensor: return an empty list"):
        check_translate(index_kept)

    def ending_lost(name, tensor):
        return [(new.rpartition(".")[0], part) for new, part in translate(name, tensor)]

    with pytest.raises(ExerciseError, match="number of the block and ending stay"):
        check_translate(ending_lost)


def test_missing_and_unexpected_are_not_the_same():
    with pytest.raises(ExerciseError, match="missing is what the model has"):
        check_compare_keys(lambda model, file: compare_keys(file, model))
    with pytest.raises(ExerciseError, match="compare by name, not by position"):
        check_compare_keys(
            lambda model, file: (
                [],
                [],
                [a for a, b in zip(model, file, strict=False) if model[a] != file[b]],
            )
        )


def test_other_shapes_are_noticed_as_shapes():
    def by_numbers(model, file):
        missing, unexpected, _ = compare_keys(model, file)
        both = sorted(set(model) & set(file))
        size = {n: torch.Size(s).numel() for n, s in model.items()}
        return missing, unexpected, [n for n in both if size[n] != torch.Size(file[n]).numel()]

    with pytest.raises(ExerciseError, match=r"\(3, 5\) and \(5, 3\) have as many numbers"):
        check_compare_keys(by_numbers)

    def unsorted(model, file):
        missing = [name for name in model if name not in file]
        return missing, *compare_keys(model, file)[1:]

    with pytest.raises(ExerciseError, match="the file lacks, sorted"):
        check_compare_keys(unsorted)


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda size, s, longest: tuple(int(x * s / min(size)) for x in size), "nearer to 1067"),
        (
            lambda size, s, longest: tuple(sorted(shortest_edge_size(size, s, longest))),
            "the order of the result is",
        ),
        (
            lambda size, s, longest: (s, int(s * size[1] / size[0] + 0.5)),
            "the shorter side may be the width",
        ),
        (
            lambda size, s, longest: tuple(int(x * s / min(size) + 0.5) for x in size),
            "so it decides",
        ),
        (
            lambda size, s, longest: tuple(
                round(x * min(s / min(size), longest / max(size))) for x in size
            ),
            "666.5 is rounded up",
        ),
        (lambda size, s, longest: (s, s), "one scale for both sides"),
    ],
)
def test_wrong_sizes_get_the_hint_that_helps(wrong, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_image_size(wrong)


def test_a_bound_for_the_image_and_two_roundings_are_noticed():
    def before(size, shortest, longest):
        scale = longest / max(size) if max(size) > longest else shortest / min(size)
        return tuple(int(scale * side + 0.5) for side in size)

    def twice(size, shortest, longest):
        size = tuple(int(shortest / min(size) * side + 0.5) for side in size)
        scale = min(1.0, longest / max(size))
        return tuple(int(scale * side + 0.5) for side in size)

    with pytest.raises(ExerciseError, match="of the result, not of the image"):
        check_image_size(before)
    with pytest.raises(ExerciseError, match="rounded once"):
        check_image_size(twice)
