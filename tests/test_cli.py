"""The whole program through its front door: what it does, and one line for each mistake.

Mutants that must fail: the second --set wins; a folder with results is written into; nan in a
JSON; two images of one name; an exception not caught; the error printed twice.
"""

import contextlib
import io
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from minioneformer import cli
from minioneformer.checkpoints.pretrained import load_pretrained
from minioneformer.cli import main
from minioneformer.commands import shared, training
from minioneformer.data.coco import CocoPanoptic
from minioneformer.data.toy import ToyPanoptic
from minioneformer.processes import max_over_processes, rank
from minioneformer.training.checkpoint import list_checkpoints
from minioneformer.training.failure import FailureReport, NonFiniteLossError

ROOT = Path(__file__).resolve().parents[1]
TINY = (
    "data.image_size=(24,40)",
    "data.train_images=9",
    "data.val_images=3",
    "optimization.steps=3",
    "optimization.batch_size=2",
    "optimization.checkpoint_every=2",
    "model.hidden_dim=64",
    "model.conv_dim=64",
    "model.mask_dim=16",
    "model.num_attention_heads=2",
    "model.num_queries=8",
    "model.text_encoder_width=64",
    "model.text_encoder_num_layers=1",
    "model.encoder_layers=1",
    "model.decoder_layers=2",
    "model.query_dec_layers=1",
    "model.train_num_points=16",
    "model.encoder_feedforward_dim=16",
    "model.dim_feedforward=16",
    "model.backbone_config.embed_dim=8",
    "model.backbone_config.depths=(1,1,1,1)",
    "model.backbone_config.num_heads=(1,1,2,2)",
    "model.backbone_config.window_size=3",
)
FIGURES = {"pq", "pq_things", "pq_stuff", "ap", "miou"}


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    monkeypatch.delenv("MINIONEFORMER_TRACEBACK", raising=False)


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory):
    """A finished run on the toy data set; nothing in it may be changed."""
    folder = tmp_path_factory.mktemp("toy") / "run"
    assert main(["train", "toy", "--output", str(folder), "--set", *TINY]) == 0
    return folder


@pytest.fixture(scope="module")
def coco_root(tmp_path_factory):
    """Files in the layout of COCO panoptic; nothing in it may be changed."""
    folder = tmp_path_factory.mktemp("coco") / "root"
    for split, size in (("train", (24, 40)), ("val", (33, 21))):
        ToyPanoptic(split=split, size=size, length=3).write_coco_panoptic(folder)
    return folder


@pytest.fixture
def coco_copy(coco_root, tmp_path):
    return Path(shutil.copytree(coco_root, tmp_path / "coco"))


@pytest.fixture
def model(toy_run, tmp_path):
    """A model that may be broken."""
    return Path(shutil.copytree(toy_run / "model", tmp_path / "model"))


@pytest.fixture
def image(tmp_path):
    return draw_image(tmp_path / "picture.png")


@pytest.fixture
def fail(capsys):
    """Run words that must fail; gives the one line on the standard error."""

    def run(*words):
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("minioneformer: error: ")
        assert "Traceback" not in lines[0]
        return lines[0].removeprefix("minioneformer: error: ")

    return run


def draw_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize((37, 26)).convert("RGB").save(path)
    return path


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


def read_json(path):
    return json.loads(path.read_text(), parse_constant=refuse)


def edit_json(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def weights_of(folder):
    return (folder / "model" / "model.safetensors").read_bytes()


# What it does


def test_help_lists_the_four_commands():
    done = subprocess.run(
        [sys.executable, "-m", "minioneformer", "--help"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("demo", "train", "evaluate", "predict"):
        assert f" {command} " in done.stdout


def test_as_a_module_it_exits_with_the_status(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["minioneformer", "train", "toi", "--output", "x"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("minioneformer", run_name="__main__")
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("minioneformer: error: unknown recipe, got 'toi'")


@pytest.mark.parametrize(
    ("command", "explained"),
    [
        ("demo", ["--output PATH Folder for weights", "--set KEY=VALUE ... Change values"]),
        ("train", ["RECIPE Its name", "--data-root", "--set KEY=VALUE ... Change", "--resume"]),
        ("evaluate", ["WEIGHTS Folder of a model", "--dataset STR", "--all-tokens", "--images"]),
        ("predict", ["WEIGHTS Folder of a model", "IMAGE ... Image files.", "--task STR"]),
    ],
)
def test_the_help_of_a_command_explains_its_words(command, explained, capsys):
    assert main([command, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith(f"usage: minioneformer {command} [-h]")
    for words in explained:
        assert words in shown


def test_words_that_are_no_command_give_status_2(capsys):
    for words in (["dmo"], [], ["train"], ["evaluate", "x", "--dataset", "toy", "--images", "few"]):
        assert main(words) == 2
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("finetune", "train RECIPE --init WEIGHTS"),
        ("fine-tune", "train RECIPE --init WEIGHTS"),
        ("Fine_Tune", "train RECIPE --init WEIGHTS"),
        ("test", "evaluate WEIGHTS"),
        ("infer", "predict WEIGHTS IMAGES"),
        ("evalute", "evaluate"),
        ("check_data", "check-data"),
    ],
)
def test_a_word_for_a_command_is_answered_by_the_command(word, meant, fail):
    message = fail(word, "toy", "--init", "x")
    start = f"there is no command {word!r}. Did you mean `minioneformer {meant}`? There are: demo, "
    assert message.startswith(start)


def test_a_word_like_no_command_is_answered_by_all_of_them(fail):
    assert fail("xyzzy").startswith("there is no command 'xyzzy'. There are: demo, train, ")


def test_train_then_evaluate_then_predict_on_the_toy_data_set(toy_run, image, tmp_path, capsys):
    figures = tmp_path / "deep" / "metrics.json"
    words = ["evaluate", str(toy_run), "--dataset", "toy", "--images", "3"]
    assert main([*words, "--output", str(figures)]) == 0
    shown = capsys.readouterr().out
    assert "panoptic                      PQ      SQ      RQ\n" in shown
    values = read_json(figures)
    assert values.keys() >= FIGURES
    assert all(value is None or 0 <= value <= 100 for value in values.values())
    assert values["ap_large"] is None  # no object of 64 x 64 pixels is large

    for task, written in (
        ("panoptic", "panoptic.json"),
        ("instance", "instances.json"),
        ("semantic", "semantic.json"),
    ):
        out = tmp_path / "out"
        words = ["predict", str(toy_run / "model"), str(image), "--task", task]
        assert main([*words, "--output", str(out)]) == 0
        assert (out / f"picture_{task}.png").is_file()
        assert isinstance(read_json(out / written), list | dict)
        assert f"wrote 1 overlays and {out / written}" in capsys.readouterr().out


def test_train_then_evaluate_then_predict_on_files(coco_root, tmp_path, capsys):
    run = tmp_path / "run"
    words = ["train", "toy", "--data-root", str(coco_root), "--output", str(run), "--set", *TINY]
    assert main([*words, "data.dataset=coco_panoptic"]) == 0
    assert load_pretrained(run).categories == ToyPanoptic().categories

    figures = tmp_path / "metrics.json"
    words = ["evaluate", str(run), "--dataset", "coco_panoptic", "--data-root", str(coco_root)]
    assert main([*words, "--output", str(figures)]) == 0
    assert read_json(figures).keys() >= FIGURES

    images = sorted((coco_root / "val").iterdir())
    words = ["predict", str(run), *map(str, images), "--output", str(tmp_path / "out")]
    assert main(words) == 0
    assert "wrote 3 overlays" in capsys.readouterr().out
    content = read_json(tmp_path / "out" / "panoptic.json")
    assert [row["id"] for row in content["images"]] == [path.stem for path in images]
    read_back = CocoPanoptic(
        tmp_path / "out" / "panoptic.json",
        image_dir=coco_root / "val",
        png_dir=tmp_path / "out" / "panoptic",
    )
    assert read_back[2].segment_map.shape == (33, 21)


def test_all_tokens_give_a_table_of_three_by_three(toy_run, tmp_path, capsys):
    figures = tmp_path / "metrics.json"
    words = ["evaluate", str(toy_run), "--dataset", "toy", "--images", "2", "--all-tokens"]
    assert main([*words, "--output", str(figures)]) == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()[:4]]
    assert table[0] == ["token", "PQ", "AP", "mIoU"]
    assert [row[0] for row in table[1:]] == ["semantic", "instance", "panoptic"]
    assert [len(row) for row in table] == [4, 4, 4, 4]
    values = read_json(figures)
    assert values.keys() == {"semantic", "instance", "panoptic"}
    assert all(row.keys() >= FIGURES for row in values.values())


def test_a_run_can_be_started_from_the_recipe_of_another(toy_run, tmp_path):
    again = tmp_path / "again"
    assert main(["train", str(toy_run / "recipe.json"), "--output", str(again)]) == 0
    assert weights_of(again) == weights_of(toy_run)
    assert (again / "recipe.json").read_text() == (toy_run / "recipe.json").read_text()


def test_the_demo_trains_scores_and_draws_and_can_be_taken_up_again(tmp_path, capsys, fail):
    folder = tmp_path / "demo"
    words = ["demo", "--output", str(folder), "--set", *TINY]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("trained 3 steps in ")
    assert "mIoU" in shown
    results = {"model", "log.jsonl", "curves.png", "metrics.json", "demo.png", "recipe.json"}
    assert results <= {path.name for path in folder.iterdir()}
    assert read_json(folder / "metrics.json").keys() >= FIGURES

    before = weights_of(folder), (folder / "metrics.json").read_bytes()
    assert "already holds a run" in fail(*words)

    for name in ("metrics.json", "demo.png"):
        (folder / name).unlink()
    assert main([*words, "--resume"]) == 0
    assert (weights_of(folder), (folder / "metrics.json").read_bytes()) == before
    assert (folder / "demo.png").is_file()
    assert len((folder / "log.jsonl").read_text().splitlines()) == 3


def test_settings_can_be_given_together_or_apart(tmp_path, monkeypatch):
    seen = []

    def note(recipe, *_, **__):
        seen.append(recipe)
        return load_pretrained("toy")

    monkeypatch.setattr(training, "train_recipe", note)
    together = ["--set", "optimization.steps=5", "optimization.seed=7", "name=x"]
    apart = ["--set", "optimization.steps=5", "--set", "optimization.seed=7", "name=x"]
    for words in (together, apart):
        assert main(["train", "toy", "--output", str(tmp_path), *words]) == 0
    assert seen[0] == seen[1]
    assert (seen[0].optimization.steps, seen[0].optimization.seed, seen[0].name) == (5, 7, "x")


def test_figures_that_are_not_defined_become_null(tmp_path):
    path = tmp_path / "figures.json"
    shared.write_figures(path, {"a": float("nan"), "b": {"c": float("nan"), "d": 1.5}})
    assert read_json(path) == {"a": None, "b": {"c": None, "d": 1.5}}


# One line for each mistake: images, tasks, results


def test_a_missing_image_is_one_line(toy_run, tmp_path, fail):
    said = fail("predict", toy_run, tmp_path / "absent.png", "--output", tmp_path / "out")
    assert said == f"no image file, got path='{tmp_path / 'absent.png'}'."
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8])
def test_a_cut_off_image_is_one_line(toy_run, image, tmp_path, fail, share):
    content = image.read_bytes()
    image.write_bytes(content[: int(len(content) * share)])
    said = fail("predict", toy_run, image, "--output", tmp_path / "out")
    assert str(image) in said and "image" in said
    assert not (tmp_path / "out").exists()


def test_what_is_no_image_is_one_line(toy_run, tmp_path, fail):
    text = tmp_path / "text.png"
    text.write_text("hello")
    assert "not an image" in fail("predict", toy_run, text, "--output", tmp_path / "out")
    assert str(tmp_path) in fail("predict", toy_run, tmp_path, "--output", tmp_path / "out")


def test_one_broken_image_among_others_is_found_before_any_work(toy_run, image, tmp_path, fail):
    absent = tmp_path / "absent.png"
    fail("predict", toy_run, image, absent, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_image_is_one_line(toy_run, tmp_path, fail):
    assert fail("predict", toy_run, "--output", tmp_path / "out") == "no images given."


@pytest.mark.parametrize(
    "other", ["elsewhere/picture.png", "picture.jpg", "Picture.PNG", "picture.png"]
)
def test_two_images_that_would_share_results_are_one_line(toy_run, image, tmp_path, fail, other):
    second = image if other == "picture.png" else draw_image(tmp_path / other)
    said = fail("predict", toy_run, image, second, "--output", tmp_path / "out")
    assert said.startswith("two images would share the results named ")
    assert repr(str(image)) in said and repr(str(second)) in said
    assert not (tmp_path / "out").exists()


def test_an_overlay_that_would_replace_an_image_is_one_line(toy_run, image, tmp_path, fail):
    other = draw_image(tmp_path / "picture_semantic.png")
    before = other.read_bytes()
    words = ["predict", toy_run, image, other, "--task", "semantic", "--output", tmp_path]
    assert f"would replace the image '{other}'" in fail(*words)
    assert other.read_bytes() == before


def test_predicting_twice_into_one_folder_is_one_line(toy_run, image, tmp_path, fail):
    words = ["predict", str(toy_run), str(image), "--output", str(tmp_path / "out")]
    assert main(words) == 0
    overlay = tmp_path / "out" / "picture_panoptic.png"
    before = overlay.stat().st_mtime_ns
    said = fail(*words)
    assert "there are results already" in said and "Choose another folder, or delete" in said
    assert overlay.stat().st_mtime_ns == before, "drawn before the folder was looked at"


def test_a_wrong_task_is_one_line_with_the_near_match(toy_run, image, tmp_path, fail):
    said = fail("predict", toy_run, image, "--task", "panoptik", "--output", tmp_path / "out")
    assert "got task='panoptik'. Did you mean 'panoptic'?" in said


def test_a_file_in_the_place_of_an_output_folder_is_one_line(toy_run, image, tmp_path, fail):
    file = tmp_path / "file"
    file.write_text("mine")
    assert f"got the file '{file}'" in fail("predict", toy_run, image, "--output", file)
    assert f"got the file '{file}'" in fail("train", "toy", "--output", file, "--set", *TINY)
    assert f"got the file '{file}'" in fail("demo", "--output", file, "--set", *TINY)
    assert str(file) in fail("train", "toy", "--output", file / "below", "--set", *TINY)
    assert str(file) in fail("predict", toy_run, image, "--output", file / "below")
    words = ["evaluate", toy_run, "--dataset", "toy", "--images", 1, "--output"]
    assert str(file) in fail(*words, file / "below")
    assert f"got the folder '{tmp_path}'" in fail(*words, tmp_path)
    assert file.read_text() == "mine"


# Recipes and runs


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["toi"], "unknown recipe, got 'toi'. Near matches: toy."),
        (["absent.json"], "there is no recipe 'absent.json'."),
        (["toy", "--set", "optimisation.steps=1"], "Near matches: optimization."),
        (["toy", "--set", "optimization.step=1"], "Near matches: steps"),
        (["toy", "--set", "model.backbone_config.depth=1"], "Near matches: depths"),
        (["toy", "--set", "optimization.steps=many"], "steps must be int, got 'many'."),
        (["toy", "--set", "model.hidden_dim=48"], "conv_dim must equal hidden_dim"),
        (["toy", "--set", "name"], "settings look like key=value, got 'name'."),
        (["toy", "--set", "name=a", "--set", "name=b"], "name is set twice"),
        (["toy", "--set", "model.num_attention_heads=0"], "num_attention_heads must be >= 1"),
        (["toy", "--data-root", "x"], "the toy data set is generated, got data_root='x'."),
        (["toy", "--set", "data.dataset=coco_panoptic"], "lies on disk: give its data root"),
        (["toy", "--resume"], "nothing to resume in "),
    ],
)
def test_a_run_that_cannot_begin_is_one_line(words, message, tmp_path, fail):
    assert message in fail("train", *words, "--output", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_a_run_is_one_line_and_stays(toy_run, fail):
    before = {path: path.stat().st_mtime_ns for path in toy_run.rglob("*")}
    words = ["train", "toy", "--output", toy_run, "--set", *TINY]
    assert "already holds a run" in fail(*words)
    said = fail(*words, "optimization.base_lr=0.5", "--resume")
    assert "belongs to a run with another recipe" in said
    assert "recipe.optimization.base_lr was" in said and "got 0.5" in said
    assert {path: path.stat().st_mtime_ns for path in toy_run.rglob("*")} == before


def test_a_cut_off_checkpoint_is_one_line_with_what_to_do(toy_run, tmp_path, fail):
    run = Path(shutil.copytree(toy_run, tmp_path / "run"))
    earlier, latest = list_checkpoints(run)
    latest.write_bytes(latest.read_bytes()[:-100])
    words = ["train", "toy", "--output", run, "--set", *TINY, "--resume"]
    said = fail(*words)
    assert str(latest) in said
    assert f"Delete it to go on from the one before it, {earlier.name}" in said
    latest.unlink()
    assert main([str(word) for word in words]) == 0
    assert weights_of(run) == weights_of(toy_run)


def test_a_run_that_diverges_is_one_line(tmp_path, monkeypatch, fail):
    report = FailureReport(
        step=3, image_ids=(7,), terms={"loss_mask": "nan"}, lr=0.1, previous_grad_norm=None
    )

    def diverge(*_, **__):
        raise NonFiniteLossError(report, tmp_path)

    monkeypatch.setattr(training, "train_recipe", diverge)
    assert "not finite at step 3: loss_mask=nan; images [7]" in fail(
        "train", "toy", "--output", tmp_path
    )


def test_of_two_processes_each_says_one_line_when_one_fails(monkeypatch, in_processes):
    def share():
        def train() -> None:
            if rank() == 0:
                raise OSError("no space left")
            max_over_processes(1)

        monkeypatch.setitem(cli.COMMANDS, "train", train)
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            return main(["train"]), said.getvalue()

    assert in_processes(share, 2) == [
        (2, "minioneformer: error: no space left\n"),
        (2, f"minioneformer: error: {cli.LOST}\n"),
    ]


def test_a_process_says_what_went_wrong_before_it_leaves_the_others(monkeypatch, capsys):
    """Once it has left, torchrun ends it."""
    said_before = []

    @contextlib.contextmanager
    def group():
        yield
        said_before.append(capsys.readouterr().err)

    monkeypatch.setattr(cli, "joined_processes", group)
    assert main(["evaluate", "nowhere", "--dataset", "toy"]) == 2
    assert "no model in 'nowhere'" in said_before[0]
    assert main(["report", "nowhere"]) == 2 and len(said_before) == 1  # nothing to share


def test_an_error_that_nobody_foresaw_is_shown_whole(monkeypatch):
    def train() -> None:
        raise RuntimeError("gloo is a word")

    monkeypatch.setitem(cli.COMMANDS, "train", train)
    with pytest.raises(RuntimeError, match="gloo is a word"):
        main(["train"])


def test_ctrl_c_gives_status_130_and_one_line(tmp_path, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt("stopped after step 5; resume to go on.")

    monkeypatch.setattr(training, "train_recipe", stop)
    assert main(["train", "toy", "--output", str(tmp_path)]) == 130
    said = capsys.readouterr().err
    assert said == "minioneformer: stopped. stopped after step 5; resume to go on.\n"


def test_the_traceback_can_be_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIONEFORMER_TRACEBACK", "1")
    with pytest.raises(ValueError, match="unknown recipe"):
        main(["train", "toi", "--output", str(tmp_path)])


# Models


def test_weights_that_do_not_fit_are_one_line_with_their_names(model, image, tmp_path, fail):
    edit_json(model / "config.json", lambda values: values.update(mask_dim=24))
    said = fail("predict", model, image, "--output", tmp_path / "out")
    assert "model does not fit the model: " in said  # the folder is called so
    assert "mask_head" in said or "mask_" in said
    assert "(24, 64)" in said


def test_cut_off_weights_are_one_line(model, tmp_path, fail):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    said = fail("evaluate", model, "--dataset", "toy", "--output", tmp_path / "metrics.json")
    assert f"{path} is truncated or no safetensors file" in said


@pytest.mark.parametrize("name", ["config.json", "class_info.json", "vocab.json"])
def test_a_missing_file_of_the_model_is_one_line(model, image, tmp_path, fail, name):
    (model / name).unlink()
    said = fail("predict", model, image, "--output", tmp_path / "out")
    assert name in said


def test_a_model_that_is_not_there_is_one_line(image, tmp_path, fail):
    said = fail("predict", tmp_path / "absent", image, "--output", tmp_path / "out")
    assert said.startswith(f"no model in '{tmp_path / 'absent'}': need a folder with config.json")


def test_a_configuration_with_a_wrong_type_is_one_line(model, image, tmp_path, fail):
    edit_json(model / "config.json", lambda values: values.update(num_queries="8"))
    said = fail("predict", model, image, "--output", tmp_path / "out")
    assert "config.json: config.num_queries must be int, got '8'." in said


# Data sets


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "toi"], "got 'toi'. Did you mean 'toy'?"),
        (["--dataset", "toy", "--images", "0"], "something to evaluate on, got images=0"),
        (["--dataset", "toy", "--split", "test"], "the splits train and val, got 'test'."),
        (["--dataset", "toy", "--data-root", "x"], "is generated, got the data root 'x'."),
        (["--dataset", "coco_panoptic"], "lies on disk: give its data root"),
        (["--dataset", "coco_panoptic", "--data-root", "absent"], "got none of: absent/"),
    ],
)
def test_a_data_set_that_cannot_be_opened_is_one_line(toy_run, tmp_path, fail, words, message):
    figures = tmp_path / "metrics.json"
    assert message in fail("evaluate", toy_run, *words, "--output", figures)
    assert not figures.exists()


def test_a_missing_data_root_is_one_line_in_training_too(tmp_path, fail):
    words = ["train", "toy", "--set", *TINY, "data.dataset=coco_panoptic", "--output"]
    said = fail(*words, tmp_path / "run", "--data-root", tmp_path / "absent")
    assert str(tmp_path / "absent" / "annotations" / "panoptic_train.json") in said
    assert not (tmp_path / "run").exists()


def test_a_model_of_other_classes_is_one_line(toy_run, model, coco_copy, tmp_path, fail):
    def person(values):
        values["categories"][0]["name"] = "person"

    edit_json(coco_copy / "annotations" / "panoptic_val.json", person)
    words = ["--output", tmp_path / "metrics.json", "--dataset"]
    said = fail("evaluate", toy_run, *words, "coco_panoptic", "--data-root", coco_copy)
    assert "the model knows other classes than" in said and "'person'" in said

    edit_json(model / "class_info.json", lambda values: values["0"].update(name="person"))
    said = fail("evaluate", model, *words, "toy")
    assert "the model knows other classes than the toy data set" in said and "'person'" in said


def spoil_path(root, split):
    def lead_out(values):
        for row in values["annotations"]:
            row["file_name"] = "../../secret.png"

    edit_json(root / "annotations" / f"panoptic_{split}.json", lead_out)


def spoil_size(root, split):
    for path in (root / f"panoptic_{split}").iterdir():
        with Image.open(path) as png:
            smaller = png.crop((0, 0, 12, 9))
        smaller.save(path)


def spoil_image(root, split):
    for path in (root / split).iterdir():
        path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_path, "paths must stay inside"),
        (spoil_size, "annotation and image must have one size, got PNG (H, W) = (9, 12)"),
        (spoil_image, "broken image file"),
    ],
)
def test_broken_annotations_are_one_line(toy_run, coco_copy, tmp_path, fail, spoil, message):
    spoil(coco_copy, "val")
    words = ["--dataset", "coco_panoptic", "--data-root", coco_copy]
    said = fail("evaluate", toy_run, *words, "--output", tmp_path / "metrics.json")
    assert message in said

    spoil(coco_copy, "train")
    words = ["--set", *TINY, "data.dataset=coco_panoptic", "--data-root", coco_copy]
    assert message in fail("train", "toy", *words, "--output", tmp_path / "run")


def test_what_a_loaders_process_met_is_one_line_without_its_traceback():
    class Broken(torch.utils.data.Dataset):
        def __getitem__(self, index):
            raise ValueError(f"image {index}: the annotation: is broken.")

        def __len__(self):
            return 1

    loader = torch.utils.data.DataLoader(Broken(), num_workers=1)
    with pytest.raises(ValueError, match="Traceback") as caught:
        next(iter(loader))
    assert cli._one_line(caught.value) == "image 0: the annotation: is broken."


def test_an_error_without_words_has_its_name():
    assert cli._one_line(ValueError()) == "ValueError"
    assert cli._one_line(OSError("a\n  b")) == "a b"


def test_a_model_is_exported_checked_and_described(tmp_path, capsys):
    words = ["export", "toy", "--format", "torch", "--height", "64", "--width", "96", "--fixed"]
    assert main([*words, "--output", str(tmp_path / "toy.pt2")]) == 0
    assert "largest relative error" in capsys.readouterr().out
    described = json.loads((tmp_path / "toy.pt2.json").read_text())
    assert described["image_size"] == [64, 96] and len(described["classes"]) == 8
    assert main([*words, "--output", str(tmp_path / "toy.pt2")]) == 2
    assert "the target is there already" in capsys.readouterr().err
    odd = ["65" if word == "96" else word for word in words]
    assert main([*odd, "--output", str(tmp_path / "odd.pt2")]) == 2
    assert "32" in capsys.readouterr().err


def test_miou_can_be_averaged_over_scales(tmp_path, capsys):
    words = ["evaluate", "toy", "--dataset", "toy", "--images", "2", "--scales", "64", "96"]
    assert main([*words, "--output", str(tmp_path / "metrics.json")]) == 0
    assert set(json.loads((tmp_path / "metrics.json").read_text())) >= {"miou"}
    assert "panoptic" not in capsys.readouterr().out
    assert main([*words, "--all-tokens"]) == 2
    said = capsys.readouterr().err
    assert "three ways to score, got 2 of them. Several scales are for mIoU alone" in said


def test_the_tool_of_cityscapes_is_for_cityscapes(tmp_path, fail):
    said = fail(
        "evaluate", "toy", "--dataset", "toy", "--images", "1", "--cityscapes-results", tmp_path
    )
    assert "the tool of Cityscapes scores Cityscapes only" in said


def test_a_reader_that_has_seen_enough_is_no_mistake():
    """As `minioneformer models | head -0`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "minioneformer", "models", "--dataset", "coco"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[1],
    )
    process.stdout.close()
    said = process.stderr.read()
    assert (process.wait(), said) == (141, b"")
    process.stderr.close()
