"""Mutants that must fail: write in place, keep one too many, skip the checksum, allow pickles."""

import itertools
import multiprocessing
import os
import pickle
import sys
import time
import warnings

import pytest
import torch

from minioneformer.training import checkpoint as checkpoint_module
from minioneformer.training.checkpoint import (
    check_same_run,
    checkpoint_path,
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)


def make_state(step):
    return {
        "step": step,
        "model": {"weight": torch.arange(600.0).view(20, 30) + step},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]},
        "precision": {},
        "average": {"updates": step, "means": {"weight": torch.full((2,), 0.5)}},
        "recipe": {"name": "tiny", "sizes": [5, 7], "nothing": None},
        "trainer": {"accumulate": 1},
    }


@pytest.fixture
def run(tmp_path):
    """A folder with the checkpoints of steps 3 and 12."""
    for step in (3, 12):
        save_checkpoint(checkpoint_path(tmp_path, step), make_state(step))
    return tmp_path


def test_what_is_saved_is_loaded(run):
    state = load_checkpoint(run / "checkpoint_00000003.pt")
    expected = make_state(3)
    assert state.keys() == expected.keys()
    assert torch.equal(state["model"]["weight"], expected["model"]["weight"])
    means = (state["average"]["means"]["weight"], expected["average"]["means"]["weight"])
    assert torch.equal(*means)
    assert state["optimizer"]["param_groups"] == [{"lr": 0.1}]
    assert (state["step"], state["recipe"]) == (3, expected["recipe"])


def test_the_newest_checkpoint_is_the_one_of_the_highest_step(run):
    assert latest_checkpoint(run) == run / "checkpoint_00000012.pt"
    save_checkpoint(checkpoint_path(run, 5), make_state(5), keep=9)  # written last, but older
    assert latest_checkpoint(run) == run / "checkpoint_00000012.pt"


def test_a_folder_without_checkpoints_has_no_newest(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "absent") is None


@pytest.mark.parametrize(("keep", "left"), [(1, [40]), (2, [12, 40]), (3, [3, 12, 40])])
def test_only_the_newest_stay(run, keep, left):
    save_checkpoint(checkpoint_path(run, 40), make_state(40), keep=keep)
    assert list_checkpoints(run) == [checkpoint_path(run, step) for step in left]


def test_what_a_killed_process_left_unfinished_is_no_checkpoint_and_goes_away(run):
    leftover = run / "checkpoint_00000013.pt.tmp"
    leftover.write_bytes(b"half")
    assert latest_checkpoint(run).name == "checkpoint_00000012.pt"
    save_checkpoint(checkpoint_path(run, 14), make_state(14))
    assert sorted(os.listdir(run)) == ["checkpoint_00000012.pt", "checkpoint_00000014.pt"]


def test_killed_before_the_renaming_the_earlier_ones_are_whole(run, monkeypatch):
    def killed(source, target):
        assert load_checkpoint(source)["step"] == 20, "renamed before it was whole"
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint_module.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(checkpoint_path(run, 20), make_state(20))
    assert load_checkpoint(latest_checkpoint(run))["step"] == 12


def test_the_file_is_flushed_before_it_is_renamed(run, monkeypatch):
    calls = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), real_fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), real_replace(a, b)))
    save_checkpoint(checkpoint_path(run, 20), make_state(20))
    assert calls[:2] == ["fsync", "replace"]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_is_reported_and_the_last_checkpoint_is_whole(run, monkeypatch, wrapped):
    def full(state, file):
        file.write(b"half")
        try:
            raise OSError(28, "No space left on device")
        except OSError:
            if wrapped:  # as torch does when the archive cannot be finished
                raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904
            raise

    monkeypatch.setattr(checkpoint_module.torch, "save", full)
    with pytest.raises(OSError, match="00020.pt into .*No space left.*00012.pt is whole") as caught:
        save_checkpoint(checkpoint_path(run, 20), make_state(20))
    assert str(run) in str(caught.value)
    assert sorted(os.listdir(run)) == ["checkpoint_00000003.pt", "checkpoint_00000012.pt"]
    assert load_checkpoint(latest_checkpoint(run))["step"] == 12


def test_a_folder_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(OSError, match="into .*absent: .*No such file.*no earlier checkpoint"):
        save_checkpoint(checkpoint_path(tmp_path / "absent", 1), make_state(1))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_cut_off_checkpoint_is_named_with_the_one_before_it(run, share):
    path = run / "checkpoint_00000012.pt"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    message = "00012.pt cannot be read: it is cut off.*go on from .*checkpoint_00000003.pt"
    with pytest.raises(ValueError, match=message):
        load_checkpoint(path)


def test_a_flipped_bit_is_noticed(run):
    path = run / "checkpoint_00000012.pt"
    content = bytearray(path.read_bytes())
    weight = make_state(12)["model"]["weight"].numpy().tobytes()
    content[content.index(weight) + 1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot be read: .*wrong checksum"):
        load_checkpoint(path)


def test_without_an_earlier_one_the_remedy_says_so(run):
    path = run / "checkpoint_00000003.pt"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="There is no earlier one in its folder"):
        load_checkpoint(path)


class Attack:
    def __reduce__(self):
        return (os.putenv, ("MINIONEFORMER_ATTACKED", "yes"))


@pytest.mark.parametrize("write", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_a_file_that_wants_to_run_code_is_not_opened(tmp_path, write):
    path = tmp_path / "checkpoint_00000001.pt"
    write(make_state(1) | {"model": Attack()}, path)
    with pytest.raises(ValueError, match="cannot be read"):
        load_checkpoint(path)


def test_another_file_of_torch_is_not_taken_for_a_checkpoint(tmp_path):
    for content in ({"model": {}, "step": 1}, torch.zeros(3)):
        torch.save(content, tmp_path / "weights.pt")
        with pytest.raises(ValueError, match="is not a checkpoint of a training run, got missing="):
            load_checkpoint(tmp_path / "weights.pt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint .*absent.pt"):
        load_checkpoint(tmp_path / "absent.pt")


def test_a_state_with_a_missing_entry_is_refused(tmp_path):
    state = make_state(1)
    del state["recipe"]
    with pytest.raises(ValueError, match=r"got missing=\['recipe'\]"):
        save_checkpoint(checkpoint_path(tmp_path, 1), state)


def test_keeping_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="got keep=0"):
        save_checkpoint(checkpoint_path(tmp_path, 1), make_state(1), keep=0)


def test_each_changed_value_is_named(tmp_path):
    state = {"recipe": {"a": 1, "deep": {"b": [1, 2], "c": 0}}, "trainer": {}, "model": {}}
    same = {"recipe": {"a": 1, "deep": {"b": [1, 2], "c": 0}}, "trainer": {}}
    check_same_run(tmp_path, state, same)
    other = {"recipe": {"a": 2, "deep": {"b": [1, 3], "c": 0}}, "trainer": {"n": 5}}
    message = r"recipe.a was 1, got 2; recipe.deep.b was \[1, 2\], got \[1, 3\]; trainer.n was None"
    with pytest.raises(ValueError, match=message):
        check_same_run(tmp_path, state, other)


def save_for_ever(folder, ready):
    """Checkpoints of 4 MB, one after the other."""
    ballast = torch.arange(1_000_000, dtype=torch.float32)
    for step in itertools.count(1):
        state = make_state(step) | {"model": {"ballast": ballast + step}}
        save_checkpoint(checkpoint_path(folder, step), state)
        ready.set()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, safe on Linux only")
def test_killed_at_any_moment_of_saving_a_whole_checkpoint_is_there(tmp_path):
    """50 kills by the system, spread over the time that saving takes."""
    context = multiprocessing.get_context("fork")
    unfinished = 0
    for number in range(50):
        folder = tmp_path / str(number)
        folder.mkdir()
        ready = context.Event()
        with warnings.catch_warnings():  # of Python 3.12: threads do not survive a fork
            warnings.simplefilter("ignore", DeprecationWarning)
            process = context.Process(target=save_for_ever, args=(folder, ready))
            process.start()
        assert ready.wait(30)
        time.sleep(0.001 * number)
        process.kill()
        process.join()
        unfinished += bool(list(folder.glob("*.tmp")))
        latest = latest_checkpoint(folder)
        state = load_checkpoint(latest)
        assert state["model"]["ballast"][0] == state["step"]
        save_checkpoint(checkpoint_path(folder, 99999), make_state(99999), keep=1)
        assert [path.name for path in folder.iterdir()] == ["checkpoint_00099999.pt"]
    assert unfinished >= 5, "hardly a kill fell into the writing of a file"
