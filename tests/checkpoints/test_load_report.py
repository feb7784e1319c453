"""Mutants that must fail: a head of other classes dropped without the word; half a model loaded
before a misfit is found; a skipped tensor without its reason.
"""

import pytest
import torch
from torch import nn

from minioneformer.checkpoints.load_report import LoadReport, load_into


class Heads(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.class_head = nn.Linear(4, num_classes + 1)


class Criterion(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("class_weights", torch.ones(num_classes + 1))


class Small(nn.Module):
    """The names that matter, and a batch norm."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.heads = Heads(num_classes)
        self.norm = nn.BatchNorm1d(4)
        self.criterion = Criterion(num_classes)


def weights_of(num_classes: int) -> dict[str, torch.Tensor]:
    state = Small(num_classes).state_dict()
    return {name: torch.full_like(tensor, 7) for name, tensor in state.items()}


def values(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_all_tensors_are_loaded_and_the_reasons_passed_on():
    model, weights = Small(3), weights_of(3)
    report = load_into(model, weights, skipped={"old": "of older versions"})
    assert report == LoadReport(
        loaded=tuple(weights), skipped={"old": "of older versions"}, reinitialised=(), mismatched={}
    )
    assert report.complete
    assert all(tensor.eq(7).all() for tensor in model.state_dict().values())


def test_numbers_are_converted_to_the_type_of_the_model():
    model = Small(3)
    weights = {name: t.double() if t.ndim else t for name, t in weights_of(3).items()}
    load_into(model, weights)
    assert {t.dtype for t in model.parameters()} == {torch.float32}
    assert model.heads.class_head.weight.eq(7).all()


def test_what_may_be_missing_stays_as_it_was():
    model, weights = Small(3), weights_of(3)
    before = values(model)
    del weights["criterion.class_weights"], weights["norm.num_batches_tracked"]
    report = load_into(model, weights, allow_missing=["criterion."])
    assert report.reinitialised == ("criterion.class_weights",)
    assert not report.complete
    assert torch.equal(model.criterion.class_weights, before["criterion.class_weights"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("norm.weight"), "x.pth does not fit the model: 1 missing: norm.weight."),
        (lambda w: w.update(new=torch.ones(1)), "x.pth does not fit the model: 1 unknown: new."),
        (
            lambda w: w.update({"norm.bias": torch.ones(5)}),
            r"x.pth does not fit the model: 1 of another shape: norm.bias \(5,\) for \(4,\).",
        ),
        (
            lambda w: w.pop("criterion.class_weights"),
            "x.pth does not fit the model: 1 missing: criterion.class_weights.",
        ),
    ],
    ids=["missing", "unknown", "shape", "criterion"],
)
def test_a_misfit_is_named_and_nothing_loaded(change, message):
    model, weights = Small(3), weights_of(3)
    before = values(model)
    change(weights)
    with pytest.raises(ValueError, match=message):
        load_into(model, weights, source="x.pth", new_classes=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_another_number_of_classes_needs_the_word():
    model = Small(19)
    before = values(model)
    message = (
        "x.pth is of 150 classes and the model of 19, got new_classes=False: pass new_classes=T"
    )
    with pytest.raises(ValueError, match=message):
        load_into(model, weights_of(150), source="x.pth")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_with_the_word_the_class_head_begins_anew():
    model = Small(19)
    before = values(model)
    report = load_into(model, weights_of(150), new_classes=True)
    assert report.mismatched == {
        "heads.class_head.weight": ((151, 4), (20, 4)),
        "heads.class_head.bias": ((151,), (20,)),
        "criterion.class_weights": ((151,), (20,)),
    }
    assert not report.complete
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) == (name in report.mismatched)


def test_a_head_of_another_width_is_no_matter_of_classes():
    weights = weights_of(8)
    name = next(name for name in weights if name.endswith("class_head.weight"))
    weights[name] = weights[name].T.contiguous()
    for new_classes in (False, True):
        with pytest.raises(ValueError, match=r"1 of another shape: heads.class_head.weight"):
            load_into(Small(5), weights, new_classes=new_classes)


def test_the_word_changes_nothing_where_the_classes_are_the_same():
    model = Small(3)
    assert load_into(model, weights_of(3), new_classes=True).complete
    assert model.heads.class_head.weight.eq(7).all()


def test_the_summary_is_a_few_lines():
    report = LoadReport(
        loaded=("a", "b", "c"),
        skipped={f"index{i}": "computed here" for i in range(7)} | {"text": "training only"},
        reinitialised=("criterion.x",),
        mismatched={"head": ((151, 4), (20, 4))},
    )
    assert report.summary().splitlines() == [
        "loaded 3 of 5 tensors",
        "not in the file, initialised anew (1): criterion.x",
        "another number of classes, initialised anew (1): head (151, 4) -> (20, 4)",
        "skipped, computed here (7): index0, index1, index2, index3, index4 and 2 more",
        "skipped, training only (1): text",
    ]
    plain = LoadReport(loaded=("a",), skipped={}, reinitialised=(), mismatched={})
    assert plain.summary() == "loaded 1 of 1 tensors"
