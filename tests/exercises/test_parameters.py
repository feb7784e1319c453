"""Parameters of a notebook: found by their tag, changed by name, anything else refused.

Mutants that must fail: a pattern that changes STEPS in NUM_STEPS too; a notebook changed in place.
"""

import pytest

from minioneformer.exercises.learner import source_of
from minioneformer.exercises.parameters import parameters_cell, set_parameters

SOURCE = "FULL = False  # True: needs GPUs\nSTEPS = 4\nNUM_STEPS = 5\nROOT = 'data'"


def notebook(tags=("parameters",)):
    cells = [
        {"cell_type": "code", "metadata": {}, "source": ["STEPS = 1"]},
        {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": SOURCE},
    ]
    return {"cells": cells}


def test_lines_are_changed_by_name_in_the_tagged_cell_alone():
    before = notebook()
    after = set_parameters(before, ["FULL=True", "STEPS = 2", "ROOT='a b'"])
    assert source_of(after["cells"][1]) == "FULL = True\nSTEPS = 2\nNUM_STEPS = 5\nROOT = 'a b'\n"
    assert after["cells"][0] == before["cells"][0]
    assert before == notebook()


def test_the_cell_is_found_by_its_tag():
    assert parameters_cell(notebook()) == 1
    assert parameters_cell(notebook(tags=())) is None


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no parameter 'STEP', got 'STEP=1'. It has: FULL, STEPS"):
        set_parameters(notebook(), ["STEP=1"])
    with pytest.raises(ValueError, match="It has: none"):
        set_parameters(notebook(tags=()), ["FULL=True"])


@pytest.mark.parametrize("word", ["ROOT=data", "FULL", "STEPS=", "STEPS=2+"])
def test_what_is_no_assignment_of_a_literal_is_refused(word):
    with pytest.raises(ValueError, match=r"set by NAME=value.*got '"):
        set_parameters(notebook(), [word])
