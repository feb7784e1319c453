"""Mutants that must fail: the page written elsewhere than said, an error of several lines."""

import json

import pytest

from minioneformer.cli import main
from minioneformer.commands import training


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    monkeypatch.delenv("MINIONEFORMER_TRACEBACK", raising=False)


def test_the_page_lies_where_the_command_says(tmp_path, capsys):
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 1, "loss": 2.0}) + "\n")
    assert main(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'report.html'}\n"
    page = tmp_path / "new" / "page.html"
    assert main(["report", str(tmp_path), "--output", str(page)]) == 0
    assert page.read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_folder_without_a_run_is_one_line(tmp_path, name, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["report", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("minioneformer: error: no run in '")
    assert said.count("\n") == 1


def test_a_missing_package_is_one_line(tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise ImportError("tensorboard is not installed. Install it.")

    monkeypatch.setattr(training, "train_recipe", fail)
    assert main(["train", "toy", "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said == "minioneformer: error: tensorboard is not installed. Install it.\n"
