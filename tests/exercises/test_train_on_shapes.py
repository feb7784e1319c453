"""Wrong answers that learners give, and the hint that each gets."""

import pytest
import torch
from torch import nn

from minioneformer.exercises.checking import ExerciseError
from minioneformer.exercises.train_on_shapes import (
    check_adamw_step,
    check_undecayed,
    check_warm_poly,
)


def adamw(
    weight, grad, mean, square, step, lr, decay, *, correct=True, l2=False, eps=1e-8, under=0.0
):
    if l2:
        grad, decay = grad + decay * weight, 0.0
    mean = 0.9 * mean + 0.1 * grad
    square = 0.999 * square + 0.001 * grad**2
    corrected = [1 - 0.9**step, 1 - 0.999**step] if correct else [1, 1]
    move = (mean / corrected[0]) / ((square / corrected[1] + under).sqrt() + eps)
    return weight * (1 - lr * decay) - lr * move, mean, square


def poly(step, total, warmup, *, start=0.04, power=0.9, late=0.0):
    progress = step / total
    rise = start + (1 - start) * progress / warmup if progress < warmup else 1.0
    return rise * (1 - max(0.0, progress - late * warmup) / (1 - late * warmup)) ** power


def undecayed(model):
    return [
        f"{path}.{name}".lstrip(".")
        for path, module in model.named_modules()
        for name, _ in module.named_parameters(recurse=False)
        if isinstance(module, nn.LayerNorm | nn.GroupNorm | nn.Embedding)
        or name == "relative_position_bias_table"
    ]


def test_right_answers_pass(capsys):
    check_adamw_step(adamw)
    check_warm_poly(poly)
    check_undecayed(undecayed)
    assert capsys.readouterr().out.count("right in all") == 3


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"correct": False}, "Divide both by 1 - beta"),
        ({"l2": True}, "it is not added to the gradient"),
        ({"eps": 0.0}, "add 1e-8 to the square root"),
        ({"eps": 0.0, "under": 1e-8}, "not under it"),
    ],
)
def test_a_missing_correction_decay_in_the_gradient_and_a_missing_epsilon(changes, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_adamw_step(lambda *arguments: adamw(*arguments, **changes))


def test_corrected_means_must_not_be_kept_and_every_step_has_its_own_correction():
    def kept(weight, grad, mean, square, step, lr, decay):
        weight, mean, square = adamw(weight, grad, mean, square, step, lr, decay)
        return weight, mean / (1 - 0.9**step), square / (1 - 0.999**step)

    with pytest.raises(ExerciseError, match="square, undivided"):
        check_adamw_step(kept)

    def always_the_first(weight, grad, mean, square, step, lr, decay):
        return adamw(weight, grad, mean, square, 1, lr, decay)

    with pytest.raises(ExerciseError, match="the power is the step"):
        check_adamw_step(always_the_first)


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"power": 1.0}, r"\*\* 0\.9, a number"),
        ({"start": 0.0}, "a factor of 0 would waste the step"),
        ({"late": 1.0}, "poly has begun to fall at step 0"),
    ],
)
def test_another_power_a_start_at_zero_and_a_fall_that_waits(changes, hint):
    with pytest.raises(ExerciseError, match=hint):
        check_warm_poly(lambda *arguments: poly(*arguments, **changes))


def test_a_warm_up_that_goes_on_rising_is_noticed():
    def rising(step, total, warmup):
        progress = step / total
        rise = 0.04 + 0.96 * progress / warmup if warmup else 1.0
        return rise * (1 - progress) ** 0.9

    with pytest.raises(ExerciseError, match="its factor is 1, not more"):
        check_warm_poly(rising)


def test_biases_that_are_spared_are_noticed():
    def wrong(model):
        return [n for n, _ in model.named_parameters() if "norm" in n or n.endswith("bias")]

    with pytest.raises(ExerciseError, match="the bias of a linear layer decays"):
        check_undecayed(wrong)


def test_a_choice_by_name_is_noticed():
    with pytest.raises(ExerciseError, match="names tell nothing"):
        check_undecayed(lambda model: [n for n, _ in model.named_parameters() if "norm." in n])


def test_a_forgotten_embedding_is_noticed():
    def norms(model):
        chosen = (nn.LayerNorm, nn.GroupNorm)
        return [n for n in undecayed(model) if isinstance(model.get_submodule(owner(n)), chosen)]

    def owner(name):
        return name.rpartition(".")[0]

    with pytest.raises(ExerciseError, match="embeddings are spared"):
        check_undecayed(norms)


def test_a_dot_before_the_names_of_the_model_itself_is_noticed():
    def dotted(model):
        return undecayed(model) if len(list(model.modules())) > 1 else [".weight", ".bias"]

    with pytest.raises(ExerciseError, match="the path of the model itself is empty"):
        check_undecayed(dotted)


def test_the_answer_may_change_what_it_is_given():
    def in_place(weight, grad, mean, square, step, lr, decay):
        new = adamw(weight, grad, mean, square, step, lr, decay)
        weight.fill_(torch.nan)
        return new

    check_adamw_step(in_place)
