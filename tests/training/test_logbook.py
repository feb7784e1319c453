"""Mutants that must fail: keep the line after the last one, sum the last prediction in, trust the
unfinished line, let the words of the system through when the disk is full."""

import errno
import json
import re
from pathlib import Path

import pytest

from minioneformer.training.logbook import Logbook, main_terms, read_rows, summarize_terms


def make_row(step, **terms):
    fixed = {"step": step, "loss": 10.0 / step, "lr": 0.1, "grad_norm": 2.0, "seconds": 0.5}
    return fixed | {"images_per_second": 4.0} | terms


@pytest.fixture
def logbook(tmp_path):
    book = Logbook(folder=tmp_path)
    for step in (1, 2, 3):
        book.write(make_row(step))
    return book


def test_the_example_of_the_docstring():
    assert summarize_terms({"loss_mask": 1.0, "loss_mask_0": 2.0, "loss_mask_1": 3.0}) == {
        "loss_mask": 1.0,
        "auxiliary_loss_mask": 5.0,
    }


def test_terms_are_summed_by_kind():
    losses = {"loss_class": 1.0, "loss_l1": 2.0, "loss_class_10": 4.0, "loss_dice_0": 8.0}
    assert summarize_terms(losses) == {
        "loss_class": 1.0,
        "loss_l1": 2.0,
        "auxiliary_loss_class": 4.0,
        "auxiliary_loss_dice": 8.0,
    }
    assert summarize_terms({}) == {}


def test_the_progress_bar_gets_the_total_and_the_last_prediction():
    row = make_row(7, loss=2.5, loss_mask=1.0, auxiliary_loss_mask=1.5)
    assert main_terms(row) == {"loss": "2.500", "mask": "1.000"}


def test_lines_come_back_as_they_were_written(logbook):
    assert logbook.rows() == [make_row(step) for step in (1, 2, 3)]
    assert len(logbook.path.read_text().splitlines()) == 3


def test_each_line_is_on_disk_as_soon_as_it_is_written(logbook):
    logbook.write(make_row(4))
    assert json.loads(logbook.path.read_text().splitlines()[-1])["step"] == 4


def test_a_log_that_is_not_there_has_no_rows(tmp_path):
    assert Logbook(folder=tmp_path).rows() == []


def test_a_number_that_is_not_finite_is_refused(logbook):
    with pytest.raises(ValueError, match="not JSON compliant"):
        logbook.write(make_row(4, loss_mask=float("nan")))
    assert len(logbook.rows()) == 3


@pytest.mark.parametrize(("step", "left"), [(0, []), (2, [1, 2]), (3, [1, 2, 3]), (9, [1, 2, 3])])
def test_steps_that_will_be_done_again_are_dropped(logbook, step, left):
    logbook.drop_after(step)
    assert [row["step"] for row in logbook.rows()] == left
    logbook.write(make_row(step + 1))
    assert [row["step"] for row in logbook.rows()] == [*left, step + 1]


def test_a_line_cut_off_by_a_kill_is_dropped(logbook):
    with logbook.path.open("a") as file:
        file.write('{"step": 4, "lo')
    assert len(logbook.rows()) == 3
    logbook.drop_after(3)
    logbook.write(make_row(4))
    assert logbook.rows()[-1] == make_row(4)


def test_a_broken_line_in_the_middle_is_named(logbook):
    lines = logbook.path.read_text().splitlines()
    logbook.path.write_text("\n".join([lines[0], "not json", lines[2]]) + "\n")
    with pytest.raises(ValueError, match="line 2 of .*log.jsonl is not JSON, got 'not json'"):
        logbook.rows()


def test_one_step_can_be_drawn_and_none_draws_nothing(tmp_path):
    book = Logbook(folder=tmp_path)
    book.draw()
    assert not book.picture_path.exists()
    book.write(make_row(1))
    book.draw()
    assert book.picture_path.stat().st_size > 1000


@pytest.mark.parametrize("line", ["[1]", "7", '{"loss": 1.0}', '{"step": "x"}'])
def test_a_line_that_is_no_row_is_named(tmp_path, line):
    (tmp_path / "log.jsonl").write_text(f'{{"step": 1}}\n{line}\n')
    with pytest.raises(
        ValueError, match="line 2 of .*log.jsonl is not an object with a whole step"
    ):
        read_rows(tmp_path / "log.jsonl")


def test_a_line_that_is_no_text_is_named(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(ValueError, match="line 1 of .*log.jsonl is not JSON"):
        read_rows(tmp_path / "log.jsonl")


@pytest.fixture
def full_disk(monkeypatch):
    real_open = Path.open

    def open_(path, mode="r", **options):
        if mode.startswith(("a", "w")):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_open(path, mode, **options)

    monkeypatch.setattr(Path, "open", open_)


ACTIONS = {
    "log.jsonl": [lambda book: book.write(make_row(4)), lambda book: book.drop_after(2)],
    "curves.png": [Logbook.draw],
}


@pytest.mark.parametrize(
    ("name", "action"), [(name, action) for name, todo in ACTIONS.items() for action in todo]
)
def test_a_full_disk_is_one_line_that_names_folder_and_remedy(logbook, name, action, full_disk):
    before = logbook.path.read_bytes()
    said = (
        f"cannot write {name} into {logbook.path.parent}: No space left on device. Free some "
        "space or make the folder writable, then resume from the last checkpoint."
    )
    with pytest.raises(OSError, match=f"^{re.escape(said)}$"):
        action(logbook)
    assert logbook.path.read_bytes() == before
    assert not logbook.picture_path.exists()


def test_a_folder_that_cannot_be_written_is_one_line(logbook):
    logbook.path.unlink()
    logbook.path.mkdir()  # also for root, whom no mode of a folder stops
    with pytest.raises(OSError, match=r"cannot write log\.jsonl into .*: Is a directory\. Free"):
        logbook.write(make_row(4))
