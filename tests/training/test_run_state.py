"""The rest, killed runs above all, is in test_trainer.py.

Mutants that must fail: a folder with a run opened again; the mean of the weights not restored; rows
of the log kept that will be done again.
"""

import pytest
import torch
from torch import nn

from minioneformer.training.logbook import Logbook
from minioneformer.training.precision import Precision
from minioneformer.training.run_state import RunState
from minioneformer.training.weight_average import WeightAverage


def make_state(folder, recipe="tiny"):
    model = nn.Linear(2, 3)
    return RunState(
        folder=folder,
        model=model,
        optimizer=torch.optim.AdamW(model.parameters()),
        precision=Precision(None, torch.device("cpu")),
        average=WeightAverage(model, 0.5),
        identity={"recipe": {"name": recipe}, "trainer": {}},
        keep=2,
        keep_every=None,
    )


def test_what_was_saved_comes_back_and_the_log_ends_there(tmp_path):
    first = make_state(tmp_path / "run")
    first.open()
    first.average.update()
    first.save(3)
    for step in (3, 4):
        Logbook(folder=tmp_path / "run").write({"step": step})
    second = make_state(tmp_path / "run")
    assert second.restore(total_steps=9) == 3
    assert torch.equal(second.model.weight, first.model.weight)
    assert torch.equal(second.average.means[0], first.average.means[0])
    assert second.average.updates == 1
    assert [row["step"] for row in Logbook(folder=tmp_path / "run").rows()] == [3]


def test_a_folder_that_holds_a_run_is_not_opened_again(tmp_path):
    state = make_state(tmp_path)
    state.open()
    state.save(0)
    with pytest.raises(ValueError, match="already holds a run"):
        make_state(tmp_path).open()


def test_nothing_another_recipe_or_too_many_steps_are_not_restored(tmp_path):
    with pytest.raises(ValueError, match="nothing to resume"):
        make_state(tmp_path).restore(total_steps=9)
    make_state(tmp_path).save(5)
    with pytest.raises(ValueError, match="recipe.name was 'tiny', got 'other'"):
        make_state(tmp_path, recipe="other").restore(total_steps=9)
    with pytest.raises(ValueError, match="holds 5 steps.*got total_steps=4"):
        make_state(tmp_path).restore(total_steps=4)
