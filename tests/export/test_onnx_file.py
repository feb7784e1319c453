"""ONNX files: what is refused before anything is written.

What a file computes is held in `tests/export/test_export_model.py`.

Mutants that must fail: a missing package found only after minutes; an old opset passed on.
"""

import pytest

from minioneformer import load_pretrained
from minioneformer.export import onnx_file
from minioneformer.export.onnx_file import export_onnx, onnx_function


@pytest.fixture(scope="module")
def model():
    return load_pretrained("toy").modules.model


def test_missing_writers_are_named(model, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "is_installed", lambda name: name != "onnxscript")
    with pytest.raises(ImportError, match=r"missing=\['onnxscript'\].*minioneformer\[export\]"):
        export_onnx(model, tmp_path / "toy.onnx", image_size=(64, 64))


def test_a_missing_runtime_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "is_installed", lambda name: False)
    with pytest.raises(ImportError, match="onnxruntime is not installed"):
        onnx_function(tmp_path / "toy.onnx")


def test_an_old_opset_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "is_installed", lambda name: True)
    with pytest.raises(ValueError, match="opset 18 or newer, got opset=11"):
        export_onnx(model, tmp_path / "toy.onnx", image_size=(64, 64), opset=11)


def test_without_a_runtime_the_file_is_written_and_not_called_checked(model, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(onnx_file, "is_installed", lambda name: name != "onnxruntime")
    monkeypatch.setattr(onnx_file, "record_program", lambda *_, **__: "program")
    monkeypatch.setattr(
        onnx_file, "_write", lambda program, path, **_: written.append(path.write_text(program))
    )
    assert export_onnx(model, tmp_path / "toy.onnx", image_size=(64, 64)) is None
    assert (tmp_path / "toy.onnx").read_text() == "program"
    assert len(written) == 1


def test_is_installed():
    assert onnx_file.is_installed("torch")
    assert not onnx_file.is_installed("no_such_package")
