"""Mutants that must fail: blame every batch, blame the gradient beside a loss, let inf through."""

import json

import pytest

from minioneformer.training.failure import FailureReport, NonFiniteLossError, find_failure

NAN, INF = float("nan"), float("inf")


def test_a_step_of_finite_numbers_has_no_failure():
    assert find_failure([((1, 2), {"loss": 3.0})], 0.0) is None


def test_only_the_batch_and_the_terms_that_are_not_finite_are_named():
    batches = [((1, 2), {"a": 1.0, "b": 2.0}), (("x",), {"a": INF, "b": 0.0, "c": NAN})]
    assert find_failure(batches, NAN) == (("x",), {"a": "inf", "c": "nan"})


def test_a_gradient_is_blamed_on_all_batches_if_the_losses_are_finite():
    batches = [((1, 2), {"a": 1.0}), ((3,), {"a": 1.0})]
    assert find_failure(batches, INF) == ((1, 2, 3), {"grad_norm": "inf"})


def test_the_report_and_the_error_say_the_same(tmp_path):
    report = FailureReport(
        step=12, image_ids=(7, "b"), terms={"a": "nan"}, lr=0.00025, previous_grad_norm=1.5
    )
    report.write(tmp_path)
    assert json.loads((tmp_path / "failure.json").read_text()) == {
        "step": 12,
        "image_ids": [7, "b"],
        "terms": {"a": "nan"},
        "lr": 0.00025,
        "previous_grad_norm": 1.5,
    }
    message = (
        r"not finite at step 12: a=nan; images \[7, 'b'\]; lr 0.00025; gradient norm of the step "
        r"before 1.5. The weights are those of step 11.*failure.json"
    )
    with pytest.raises(NonFiniteLossError, match=message) as caught:
        raise NonFiniteLossError(report, tmp_path)
    assert caught.value.report is report
