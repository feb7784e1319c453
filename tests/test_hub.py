"""A folder is used where it is; a name of the hub is fetched, once, and only what is needed.

Mutants that must fail: all files fetched; the revision dropped; a missing path sent to the hub.
"""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from minioneformer.hub import find_folder, is_hub_name


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """What a stand-in for huggingface_hub is asked for; it gives an empty folder."""
    asked = []

    def snapshot_download(name, **options):
        asked.append((name, options))
        if name == "nobody/nothing":
            raise OSError("404 Client Error.")
        return str(tmp_path)

    module = ModuleType("huggingface_hub")
    module.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return asked


@pytest.mark.parametrize("kind", [str, Path])
def test_a_local_folder_is_returned_as_it_is(tmp_path, calls, kind):
    assert find_folder(kind(tmp_path), files=["config.json"]) == tmp_path
    assert calls == []


def test_a_name_of_the_hub_is_fetched_with_the_files_wanted_alone(tmp_path, calls):
    folder = find_folder("owner/name-1.0", files=("a.json", "*.txt"), revision="v1")
    assert folder == tmp_path
    options = {"revision": "v1", "repo_type": "model", "allow_patterns": ["a.json", "*.txt"]}
    assert calls == [("owner/name-1.0", options)]


def test_data_sets_are_asked_for_as_such(calls):
    find_folder("owner/name", files=["a"], repo_type="dataset")
    assert calls[0][1]["repo_type"] == "dataset"


def test_what_the_hub_does_not_have_is_named_with_its_answer(calls):
    with pytest.raises(FileNotFoundError, match=r"no model 'nobody/nothing'.*404.* Look there\."):
        find_folder("nobody/nothing", files=["a"], hint="Look there.")


@pytest.mark.parametrize("source", ["./owner/name", "/a/b", "a/b/c", "name", "~/a", "../a", "a\\b"])
def test_a_path_that_is_not_there_never_reaches_the_hub(source, calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder .*it is no name of the hub"):
        find_folder(source, files=["a"])
    assert calls == []


def test_a_missing_folder_inside_a_local_one_is_a_path(calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_name("runs/first")
    (tmp_path / "runs").mkdir()
    assert not is_hub_name("runs/first")
    assert not is_hub_name(Path("owner/name"))
    with pytest.raises(FileNotFoundError, match="no folder 'runs/first'"):
        find_folder("runs/first", files=["a"])


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(NotADirectoryError, match=r"got the file .*model\.safetensors"):
        find_folder(tmp_path / "model.safetensors", files=["a"])


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r'pip install "minioneformer\[hub\]"'):
        find_folder("owner/name", files=["a"])


def test_the_library_is_not_imported_for_a_local_folder(tmp_path):
    """In another process, where nothing else has imported it."""
    code = (
        "import sys\n"
        "from minioneformer.hub import find_folder\n"
        f"find_folder({str(tmp_path)!r}, files=['a'])\n"
        "assert 'huggingface_hub' not in sys.modules\n"
    )
    root = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_the_model_that_ships_has_a_name_unless_a_folder_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (find_folder("toy", files=["config.json"]) / "config.json").is_file()
    (tmp_path / "toy").mkdir()
    assert find_folder("toy", files=["config.json"]) == Path("toy")
