"""Mutants that must fail: an entry at every resumption, only the first entry kept."""

import json
import platform

import pytest
import torch

import minioneformer
from minioneformer.training.versions import VERSIONS, read_versions, record_versions


def test_a_run_notes_what_it_is_made_with(tmp_path):
    record_versions(tmp_path, step=0, device="cpu")
    (entry,) = read_versions(tmp_path)
    assert entry["from_step"] == 0
    assert entry["minioneformer"] == minioneformer.__version__
    assert entry["python"] == platform.python_version()
    assert entry["torch"] == str(torch.__version__)
    assert entry["device"] == "cpu"


def test_only_a_change_is_noted(tmp_path, monkeypatch):
    record_versions(tmp_path, step=0, device="cpu")
    record_versions(tmp_path, step=20, device="cpu")
    assert len(read_versions(tmp_path)) == 1
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    record_versions(tmp_path, step=40, device="cpu")
    assert [entry["from_step"] for entry in read_versions(tmp_path)] == [0, 40]
    assert read_versions(tmp_path)[1]["python"] == "3.99.0"


def test_older_runs_have_none(tmp_path):
    assert read_versions(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is not JSON"), (json.dumps({"a": 1}), "a list of objects")]
)
def test_a_broken_file_is_named(tmp_path, text, message):
    (tmp_path / VERSIONS).write_text(text)
    with pytest.raises(ValueError, match=rf"versions\.json .*{message}.*Delete it"):
        read_versions(tmp_path)
