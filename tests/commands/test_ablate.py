"""`minioneformer ablate`: the table on disk.

Mutants that must fail: a failing run hidden; the table written at the end only; figures of a run
that is not done counted.
"""

import json

import pytest

from minioneformer.cli import main
from minioneformer.training import ablation_runs


@pytest.fixture
def scored(monkeypatch):
    """Runs that are not done: their figures come from here."""
    failing = []

    def do_run(plan, folder, progress):
        if (plan.row, plan.seed) in failing:
            raise OSError("the disk is full")
        folder.mkdir(parents=True)
        figures = {"pq": 60.0 + plan.seed, "ap": 30.0, "miou": 70.0 - (plan.row != "full")}
        (folder / "results.json").write_text(json.dumps(plan.to_dict() | {"figures": figures}))

    monkeypatch.setattr(ablation_runs, "do_run", do_run)
    return failing


def ablate(folder, *words):
    return main(["ablate", "--output", str(folder), "--seeds", "2", *words])


def test_the_table_is_written_and_a_second_call_goes_on(scored, tmp_path, capsys):
    scored.append(("zero_queries", 1))
    assert ablate(tmp_path, "--rows", "zero_queries") == 2
    printed = capsys.readouterr()
    assert "zero_queries seed 1 (OSError: the disk is full)" in printed.err
    assert "| queries start as zeros, not as the task token | 1 |" in printed.out

    scored.clear()
    assert ablate(tmp_path, "--rows", "zero_queries") == 0
    printed = capsys.readouterr().out
    assert "4 runs, 3 of them done already" in printed
    table = (tmp_path / "table.md").read_text()
    assert table in printed
    assert "| 60.5 ± 0.7 | 0.0 ± 0.7 (−1.4) |" in table and "| −1.0 ± 0.0 (+0.1) |" in table
    values = json.loads((tmp_path / "table.json").read_text())
    assert [row["row"] for row in values["rows"]] == ["full", "zero_queries"]
    assert values["rows"][1]["figures"]["pq"]["values"] == [60.0, 61.0]
    assert values["recipe"]["name"] == "ablation"


def test_settings_change_what_all_rows_share(scored, tmp_path):
    words = ["--rows", "name_template", "--set", "optimization.steps=7"]
    assert ablate(tmp_path, *words) == 0
    found = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*/*/results.json"))]
    assert {results["recipe"]["optimization"]["steps"] for results in found} == {7}
    templates = {results["recipe"]["data"]["text_template"] for results in found}
    assert templates == {"a photo with a {name}", "{name}"}


def test_an_unknown_row_is_refused_before_anything_is_done(scored, tmp_path, capsys):
    assert ablate(tmp_path / "new", "--rows", "zero") == 2
    assert "unknown row, got 'zero'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
