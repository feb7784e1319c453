"""A page for every state of a run; one line where there is none.

Mutants that must fail: text that is not escaped; an address to fetch from; a best evaluation by
another figure or the last of equal ones; evaluations of steps that were undone; a failure that the
run has gone past; time left that counts the steps done.
"""

import base64
import json
import logging
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from minioneformer.training import report_page
from minioneformer.training.curves import MAX_DRAWN_POINTS
from minioneformer.training.failure import FailureReport
from minioneformer.training.report import leave_report, write_report
from minioneformer.training.report_page import duration
from minioneformer.training.report_run import measure_progress, read_run
from minioneformer.training.versions import record_versions

OLD = {"lr": 0.1, "grad_norm": 2.0, "seconds": 2.0, "images_per_second": 8.0}
NEW = OLD | {"matched_accuracy": 0.5, "seconds_waiting": 0.5, "memory_gib": 1.5}
VOID = {"meta", "img"}


class Reader(HTMLParser):
    """Text and attributes; fails where elements are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def read_page(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    return " ".join(" ".join(reader.text).split()), reader.attributes


def log(folder, steps, values=OLD):
    lines = [json.dumps({"step": s, "loss": 9.0 / s, "loss_mask": 1.0, **values}) for s in steps]
    (folder / "log.jsonl").write_text("".join(line + "\n" for line in lines))


def write_recipe(folder, **optimization):
    values = {"name": "toy", "optimization": {"steps": 4} | optimization}
    (folder / "recipe.json").write_text(json.dumps(values))


def evaluate(folder, step, **figures):
    with (folder / "evaluations.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, **figures}) + "\n")
    (folder / "samples").mkdir(exist_ok=True)
    Image.new("RGB", (9, 5), (step, 0, 250)).save(folder / "samples" / f"step_{step:08d}.png")


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    log(folder, [1, 2, 3, 4], NEW)
    write_recipe(folder)
    return folder


def test_a_finished_run_shows_everything(run):
    evaluate(run, 2, pq=31.25, pq_things=30.0, miou=None)
    evaluate(run, 4, pq=29.0, pq_things=28.0, miou=44.0)
    (run / "checkpoint_00000004.pt").write_bytes(bytes(3 * 2**20))
    (run / "best").mkdir()
    record_versions(run, step=0, device="cpu")
    path = write_report(run)
    assert path == run / "report.html"
    text, attributes = read_page(path)
    assert text.startswith("toy: training run toy Training run in the folder run .")
    assert "Finished 20" in text and "steps 4 of 4 images seen 64 time in steps 8 s" in text
    assert "images per second 8 waiting for data 25.0% peak memory 1.5 GiB" in text
    assert "step PQ PQ things mIoU 2 best 31.25 30.00 – 4 29.00 28.00 44.00" in text
    assert "PQ decides which one is the best. Its model lies in best ." in text
    assert "matched queries of the right class" in text
    assert "after step 4 after step 2" in text
    assert "checkpoint_00000004.pt 3.0 MiB best model" in text
    assert "device cpu" in text
    assert '"steps": 4' in text
    assert "left, at this speed" not in text
    pictures = [value for tag, name, value in attributes if (tag, name) == ("img", "src")]
    content = base64.b64decode(pictures[0].removeprefix("data:image/png;base64,"))
    assert content == (run / "samples" / "step_00000004.png").read_bytes()


def test_the_page_fetches_nothing(run):
    evaluate(run, 2, pq=31.25)
    content = write_report(run).read_text()
    _, attributes = read_page(run / "report.html")
    assert all(value.startswith("data:") for _, name, value in attributes if name == "src")
    assert not {"href", "xlink:href", "srcset"} & {name for _, name, _ in attributes}
    assert "url(" not in content and "@import" not in content and "<script" not in content
    assert "http://" not in content and "https://" not in content


def test_a_run_in_progress_says_what_is_left(run):
    log(run, [1])
    write_recipe(run, steps=2001)
    text, _ = read_page(write_report(run))
    assert "Not finished. The last step was logged" in text
    assert "steps 1 of 2,001" in text
    assert "left, at this speed 1 h 6 min" in text  # 2000 steps of 2 s


def test_a_run_without_evaluations_recipe_and_new_values_has_a_page(tmp_path):
    log(tmp_path, [1, 2], {})
    text, _ = read_page(write_report(tmp_path))
    assert text.startswith(f"{tmp_path.name}: training run")
    assert "steps 2 Curves total loss" in text
    for absent in ("Evaluations", "Predictions", "Recipe", "Versions", "peak", "None", "nan"):
        assert absent not in text


def test_a_failed_run_says_why(run):
    write_recipe(run, steps=9)
    FailureReport(
        step=5, image_ids=("a.png", 7), terms={"loss_mask": "nan"}, lr=0.1, previous_grad_norm=None
    ).write(run)
    text, _ = read_page(write_report(run))
    assert "Stopped by a number that is not finite. " in text
    assert "step 5 image ids a.png, 7 terms loss_mask = nan lr 0.1 previous grad norm –" in text
    assert "left, at this speed" not in text


def test_a_failure_that_the_run_has_gone_past_is_not_shown(run):
    FailureReport(
        step=4, image_ids=(7,), terms={"loss": "inf"}, lr=0.1, previous_grad_norm=1.0
    ).write(run)
    assert "not finite" not in read_page(write_report(run))[0]


def test_what_was_undone_by_resuming_is_not_shown(run):
    evaluate(run, 2, pq=10.0)
    evaluate(run, 4, pq=20.0)
    evaluate(run, 6, pq=99.0)
    evaluate(run, 2, pq=11.0)
    state = read_run(run)
    assert [(row["step"], row["pq"]) for row in state.evaluations] == [(2, 11.0), (4, 20.0)]
    assert list(state.samples) == [2, 4]


def test_the_first_of_equal_evaluations_is_the_best_as_in_the_run(run):
    for step in (1, 2, 3):
        evaluate(run, step, pq=min(step, 2), ap=5.0 - step)
    assert "2 best 2.00" in read_page(write_report(run))[0]
    write_recipe(run, keep_best="ap")
    text, _ = read_page(write_report(run))
    assert "AP decides" in text and "1 best 1.00" in text


def test_text_from_files_is_escaped(run):
    evil = '<script>alert("x")</script>'
    (run / "recipe.json").write_text(json.dumps({"name": evil, "optimization": {"steps": 9}}))
    FailureReport(
        step=5, image_ids=(evil,), terms={evil: evil}, lr=0.1, previous_grad_norm=None
    ).write(run)
    log(run, [1, 2], {evil: 1.0})
    (run / "versions.json").write_text(json.dumps([{evil: evil}]))
    content = write_report(run).read_text()
    assert "<script" not in content
    assert read_page(run / "report.html")[0].count("alert(") >= 6


def test_many_pictures_are_spread(run, monkeypatch):
    monkeypatch.setattr(report_page, "MOST_SAMPLES", 3)
    log(run, range(1, 12))
    for step in range(1, 12):
        evaluate(run, step, pq=1.0)
    text, _ = read_page(write_report(run))
    assert re.findall(r"after step (\d+)", text) == ["11", "6", "1"]
    assert "3 of 11; the others lie in samples" in text


def test_a_long_run_has_a_small_page(run):
    log(run, range(1, 6_001), NEW)
    path = write_report(run)
    points = re.findall(r'points="([^"]*)"', path.read_text())
    assert max(len(line.split()) for line in points) == MAX_DRAWN_POINTS
    assert path.stat().st_size < 150_000


@pytest.mark.parametrize(
    ("prepare", "error", "message"),
    [
        (lambda path: None, FileNotFoundError, r"no run in '.*run': need a folder with log\.jsonl"),
        (lambda path: path.mkdir(), FileNotFoundError, "no run in"),
        (lambda path: path.write_text(""), NotADirectoryError, "a run is a folder, got the file"),
    ],
)
def test_a_wrong_path_is_named(tmp_path, prepare, error, message):
    prepare(tmp_path / "run")
    with pytest.raises(error, match=message):
        write_report(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("log.jsonl", "", "no step is logged yet, got an empty"),
        ("log.jsonl", '{"step": 1', "no step is logged yet"),
        ("log.jsonl", "no\n", "line 1 of .*log.jsonl is not JSON"),
        ("evaluations.jsonl", "no\n", "line 1 of .*evaluations.jsonl is not JSON"),
        ("recipe.json", "{", "recipe.json is not JSON"),
        ("recipe.json", "[]", "recipe.json must hold one object"),
        ("failure.json", "{", "failure.json is not JSON"),
    ],
)
def test_a_broken_file_is_named(run, name, text, message):
    (run / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        write_report(run)
    assert not (run / "report.html").exists()


def test_the_report_goes_where_it_is_asked_for(run, tmp_path):
    assert write_report(run, tmp_path / "new" / "page.html").is_file()
    assert not (run / "report.html").exists()
    with pytest.raises(IsADirectoryError, match="a report is a file, got the folder"):
        write_report(run, tmp_path)


def test_a_run_that_ends_leaves_a_report_and_never_an_error(run, tmp_path, caplog):
    leave_report(run)
    assert (run / "report.html").is_file()
    leave_report(tmp_path / "absent")
    assert caplog.records == []
    (run / "recipe.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        leave_report(run)
    assert "no report of" in caplog.text and "recipe.json is not JSON" in caplog.text


def test_only_the_first_process_leaves_a_report(run, monkeypatch):
    monkeypatch.setattr("minioneformer.training.report.is_main", lambda: False)
    leave_report(run)
    assert not (run / "report.html").exists()


def test_progress_of_the_docstring():
    rows = [{"step": step, "seconds": 2.0, "images_per_second": 8.0} for step in (1, 2)]
    progress = measure_progress(rows, 4)
    assert (progress.images, progress.seconds, progress.seconds_left) == (32, 4.0, 4.0)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.6, "1 min 0 s"), (3720, "1 h 2 min"), (200_000.0, "2 d 7 h")],
)
def test_times_are_said_as_people_do(seconds, said):
    assert duration(seconds) == said
