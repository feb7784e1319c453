"""From a recipe to a saved model, killed on the way or not.

Mutants that must fail: the seed not used; the recipe written over that of another run; class
names left out of what is compared on resuming; thresholds looked at after training only.
"""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from minioneformer.checkpoints.pretrained import load_pretrained, save_pretrained
from minioneformer.config import ResNetConfig
from minioneformer.data.coco_writer import write_coco_panoptic
from minioneformer.data.large_scale_jitter import LargeScaleJitter
from minioneformer.data.toy import ToyPanoptic
from minioneformer.evaluation.evaluator import evaluate
from minioneformer.layers.sync_batch_norm import SyncBatchNorm
from minioneformer.processes import rank
from minioneformer.text.tokenizer import BPETokenizer
from minioneformer.training.checkpoint import latest_checkpoint, load_checkpoint
from minioneformer.training.failure import NonFiniteLossError
from minioneformer.training.initialize import take_over
from minioneformer.training.parts import (
    build_dataset,
    build_predictor,
    build_pretrained,
    build_stream,
    load_tokenizer,
)
from minioneformer.training.recipes import override, recipe_named, toy
from minioneformer.training.run import prepare_modules, train
from minioneformer.training.update import UpdateLosses

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "data.image_size=(24,40)",
    "data.train_images=9",
    "data.val_images=2",
    "optimization.steps=4",
    "optimization.batch_size=2",
    "optimization.checkpoint_every=2",
    "model.hidden_dim=32",
    "model.conv_dim=32",
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
    "model.dropout=0.1",
    "model.backbone_config.embed_dim=8",
    "model.backbone_config.depths=(1,1,1,1)",
    "model.backbone_config.num_heads=(1,1,2,2)",
    "model.backbone_config.window_size=3",
)
# The settings come as JSON; the step at which it kills itself follows.
KILLED_RUN = """
import json, os, signal, sys
from minioneformer.training.recipes import override, toy
from minioneformer.training.run import prepare_modules, train
folder, step, settings = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
def kill(row):
    if row["step"] == step:
        os.kill(os.getpid(), signal.SIGKILL)
train(override(toy(), settings), folder, device="cpu", progress=False, callbacks=(kill,))
"""


def tiny(*settings):
    return override(override(toy(), TINY), settings)


def run(recipe, folder, **changes):
    return train(recipe, folder, device="cpu", progress=False, **changes)


def weights_of(folder):
    return (folder / "model" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run; nothing in it may be changed."""
    folder = tmp_path_factory.mktemp("run") / "first"
    run(tiny(), folder)
    return folder


def test_a_run_leaves_what_it_promises(finished):
    assert {path.name for path in finished.iterdir()} == {
        "checkpoint_00000002.pt",
        "checkpoint_00000004.pt",
        "curves.png",
        "log.jsonl",
        "model",
        "recipe.json",
        "report.html",
        "versions.json",
    }
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert {"loss", "loss_contrastive", "grad_norm", "lr"} <= rows[0].keys()


def test_the_same_recipe_gives_the_same_bytes_and_another_seed_others(finished, tmp_path):
    run(recipe_named(str(finished / "recipe.json")), tmp_path / "again")
    assert weights_of(tmp_path / "again") == weights_of(finished)
    assert (tmp_path / "again" / "recipe.json").read_bytes() == (
        finished / "recipe.json"
    ).read_bytes()
    run(tiny("optimization.seed=1"), tmp_path / "other")
    assert weights_of(tmp_path / "other") != weights_of(finished)


def test_the_recipe_that_is_written_knows_classes_and_vocabulary(finished):
    written = recipe_named(str(finished / "recipe.json"))
    assert list(written.model.id2label.values()) == [c.name for c in ToyPanoptic().categories]
    assert written.model.text_encoder_vocab_size == BPETokenizer.shipped().vocab_size
    plain = tiny()
    assert dataclasses.replace(written, model=plain.model) == plain


def test_what_is_returned_is_what_was_saved(tmp_path):
    returned = run(tiny("optimization.steps=1"), tmp_path)
    loaded = load_pretrained(tmp_path, with_text=True)
    assert loaded.config == returned.config
    assert loaded.settings == returned.settings
    assert loaded.categories == returned.categories
    state = returned.modules.state_dict()
    assert all(torch.equal(value, state[k]) for k, value in loaded.modules.state_dict().items())
    assert not any(module.training for module in returned.modules.modules())


def test_training_reaches_every_weight(finished):
    before = build_pretrained(tiny(), ToyPanoptic().categories).modules
    after = dict(load_pretrained(finished, with_text=True).modules.named_parameters())
    assert [n for n, old in before.named_parameters() if torch.equal(old, after[n])] == []


def test_another_run_in_the_folder_is_left_alone(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    with pytest.raises(ValueError, match="output folder already holds a run, got .*first"):
        run(tiny("optimization.base_lr=0.5"), finished)
    with pytest.raises(ValueError, match="recipe.optimization.base_lr was 0.00.*, got 0.5"):
        run(tiny("optimization.base_lr=0.5"), finished, resume=True)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_resuming_with_other_classes_is_refused_by_name(tmp_path):
    for folder, count in (("all", 8), ("fewer", 7)):
        ToyPanoptic(size=(24, 40), length=4, max_objects=0).write_coco_panoptic(tmp_path / folder)
        path = tmp_path / folder / "annotations" / "panoptic_train.json"
        content = json.loads(path.read_text())
        content["categories"] = content["categories"][:count]
        path.write_text(json.dumps(content))
    recipe = tiny("data.dataset=coco_panoptic", "optimization.steps=1")
    run(recipe, tmp_path / "run", data_root=tmp_path / "all")
    with pytest.raises(ValueError, match="recipe.model.id2label.7 was 'cross', got None"):
        run(recipe, tmp_path / "run", data_root=tmp_path / "fewer", resume=True)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(NotADirectoryError, match="a run needs a folder, got the file '.*file'"):
        run(tiny(), path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("inference.object_threshold=2", "object_threshold is a fraction, 0 to 1, got value=2.0"),
        ("data.test_shortest_edge=0", "shortest_edge must be >= 1"),
        ("data.image_size=(8,8)", r"sides must be >= 16 .*got size=\(8, 8\)"),
        ("optimization.batch_size=0", "batch_size must be at least 1, got batch_size=0"),
        ("optimization.steps=0", "total_steps must be > 0"),
        ("optimization.accumulate=0", "got .*accumulate=0"),
        ("optimization.schedule=pol", "unknown schedule, got name='pol'.*poly"),
        ("optimization.autocast=fp8", "autocast"),
        ("data.task_probabilities=(1,1,1)", "task_probabilities must be >= 0 and sum to 1"),
        ("model.task_seq_len=9", "task_seq_len=9, config.text_encoder_context_length=77"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_step(tmp_path, setting, message):
    with pytest.raises(ValueError, match=message):
        run(tiny(setting), tmp_path)
    assert not (tmp_path / "log.jsonl").exists()


def test_a_missing_vocabulary_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file .*absent"):
        run(tiny(f"vocabulary={tmp_path / 'absent'}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_vocabularies_come_from_the_package_a_folder_or_a_merges_file(tmp_path):
    shipped = load_tokenizer("shipped")
    shipped.save(tmp_path)
    assert load_tokenizer(str(tmp_path)).token_to_id == shipped.token_to_id
    with pytest.raises(ValueError, match="CLIP's vocabulary needs 48894 merges"):
        load_tokenizer(str(tmp_path / "merges.txt"))


def test_generated_data_have_the_size_that_the_recipe_says():
    data = tiny("data.color_overlap=0.5").data
    train_set, categories = build_dataset(data, "train", None)
    val_set, _ = build_dataset(data, "val", None)
    assert (len(train_set), len(val_set)) == (9, 2)
    assert categories == ToyPanoptic().categories
    assert train_set[0].image.shape == val_set[0].image.shape == (3, 24, 40)
    assert (train_set.color_overlap, train_set.split, val_set.split) == (0.5, "train", "val")
    with pytest.raises(ValueError, match="generated, got data_root='x'"):
        build_dataset(data, "train", "x")


def test_data_on_disk_need_a_root_and_have_their_own_splits(tmp_path):
    ToyPanoptic(split="val", size=(24, 40), length=2).write_coco_panoptic(tmp_path)
    data = tiny("data.dataset=coco_panoptic", "data.train_split=val").data
    opened, categories = build_dataset(data, "train", tmp_path)
    assert len(opened) == 2
    assert categories == ToyPanoptic().categories
    with pytest.raises(ValueError, match="'coco_panoptic' lies on disk: give its data root"):
        build_dataset(data, "train", None)
    with pytest.raises(FileNotFoundError, match="panoptic_train.json"):
        build_dataset(dataclasses.replace(data, train_split="train"), "train", tmp_path)


def test_a_predictor_has_the_settings_that_the_weights_carry():
    recipe = tiny(
        "inference.object_threshold=0.25",
        "inference.overlap_threshold=0.5",
        "data.test_shortest_edge=48",
        "data.test_longest_edge=90",
        "model.task_seq_len=9",
        "model.text_encoder_context_length=9",
    )
    predictor = build_predictor(
        build_pretrained(recipe, ToyPanoptic().categories), class_threshold=0.125
    )
    assert (predictor.object_threshold, predictor.overlap_threshold) == (0.25, 0.5)
    assert (predictor.shortest_edge, predictor.longest_edge) == (48, 90)
    assert predictor.class_threshold == 0.125
    assert predictor.task_tokens["semantic"].shape == (1, 9)
    assert not predictor.model.training


@pytest.mark.parametrize("deep", [False, True])
def test_earlier_predictions_have_losses_only_if_asked_for(deep):
    recipe = tiny("model.decoder_layers=3")
    dataset, categories = build_dataset(recipe.data, "train", None)
    pretrained = build_pretrained(recipe, categories)
    batch = build_stream(recipe, pretrained, dataset)[0]
    ((losses, _),) = UpdateLosses(pretrained.modules, deep=deep)([batch])
    last = {"loss_class", "loss_mask", "loss_dice", "loss_contrastive"}
    earlier = {f"{name}_{i}" for name in last - {"loss_contrastive"} for i in range(2)}
    assert losses.keys() == (last | earlier if deep else last)


def test_without_a_contrastive_loss_no_text_is_read(tmp_path):
    run(tiny("model.contrastive_weight=0", "optimization.steps=1"), tmp_path)
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert "loss_contrastive" not in row or row["loss_contrastive"] == 0


@pytest.mark.parametrize(("step", "workers"), [(3, 0), pytest.param(1, 2, marks=pytest.mark.slow)])
def test_killed_and_resumed_a_run_ends_in_the_same_bytes(finished, tmp_path, step, workers):
    settings = (*TINY, f"data.num_workers={workers}")
    folder = tmp_path / "killed"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, str(folder), str(step), json.dumps(settings)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert not (folder / "model").exists()
    assert len((folder / "log.jsonl").read_text().splitlines()) == step
    run(tiny(f"data.num_workers={workers}"), folder, resume=True)
    assert weights_of(folder) == weights_of(finished)
    steps = [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]


def test_evaluations_leave_the_run_as_it_is_and_keep_the_best(finished, tmp_path):
    run(tiny("optimization.evaluate_every=2"), tmp_path / "seen")
    assert weights_of(tmp_path / "seen") == weights_of(finished)
    rows = [
        json.loads(x)
        for x in (tmp_path / "seen" / "evaluations.jsonl").read_text().split("\n")
        if x
    ]
    assert [row["step"] for row in rows] == [2, 4]
    assert {"pq", "ap", "miou"} <= rows[0].keys()
    samples = sorted(path.name for path in (tmp_path / "seen" / "samples").iterdir())
    assert samples == ["step_00000002.png", "step_00000004.png"]
    best = load_pretrained(tmp_path / "seen" / "best", with_text=True)
    again = evaluate(
        build_predictor(best),
        ToyPanoptic(split="val", size=(24, 40), length=2),
        categories=best.categories,
        batch_size=2,
    )
    assert again.to_dict()["pq"] == pytest.approx(max(row["pq"] for row in rows))


def test_a_run_starts_from_another_model(finished, tmp_path):
    recipe = take_over(tiny("optimization.steps=1", "optimization.base_lr=1e-9"), finished)
    trained = run(recipe, tmp_path / "tuned")
    assert trained.report is not None and trained.report.complete
    old = load_pretrained(finished, with_text=True).modules.state_dict()
    new = load_pretrained(tmp_path / "tuned", with_text=True).modules.state_dict()
    for name, value in old.items():
        torch.testing.assert_close(new[name], value, atol=1e-6, rtol=1e-5, msg=name)
    with pytest.raises(ValueError, match=r"recipe.init was .*first.*, got None"):
        run(dataclasses.replace(recipe, init=None), tmp_path / "tuned", resume=True)


def test_weights_that_are_broken_stop_a_run_with_a_report(finished, tmp_path):
    broken = load_pretrained(finished, with_text=True)
    with torch.no_grad():
        broken.model.backbone.patch_embed.proj.weight[0, 0, 0, 0] = torch.nan
    save_pretrained(tmp_path / "broken", broken)
    with pytest.raises(NonFiniteLossError, match="not finite at step 1"):
        run(tiny(f"init={tmp_path / 'broken'}"), tmp_path / "run")
    assert (tmp_path / "run" / "failure.json").is_file()


def test_the_augmentation_of_coco_can_be_chosen():
    recipe = tiny(
        "data.large_scale_jitter=True",
        "data.crop_size=(64,32)",
        "data.shortest_edges=()",
        "data.longest_edge=None",
    )
    toy_data = ToyPanoptic(size=(24, 40), length=2)
    stream = build_stream(recipe, build_pretrained(recipe, toy_data.categories), toy_data)
    assert isinstance(stream.transform, LargeScaleJitter)
    assert stream[0].images.shape[-2:] == (64, 32)
    for wrong in ("data.crop_size=None", "data.color_augmentation=True"):
        with pytest.raises(ValueError, match="large_scale_jitter needs a crop_size and takes no"):
            override(recipe, [wrong])


def test_a_process_that_was_started_again_goes_on_unasked(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    recipe = tiny()

    class FirstLifeError(Exception):
        pass

    def end(row):
        if row["step"] == 3:
            raise FirstLifeError

    with pytest.raises(FirstLifeError):  # started again before there was a checkpoint: from 0
        run(recipe, tmp_path / "run", callbacks=(end,))
    run(recipe, tmp_path / "run")
    assert weights_of(tmp_path / "run") == weights_of(finished)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    with pytest.raises(ValueError, match="already holds a run"):
        run(recipe, tmp_path / "run")


def test_all_processes_go_on_if_only_one_machine_has_failed(finished, tmp_path, in_processes):
    """Each machine counts only the starts of its own processes."""
    folder = shutil.copytree(finished, tmp_path / "run")

    def share():
        os.environ["TORCHELASTIC_RESTART_COUNT"] = str(rank())
        run(tiny(), folder)

    in_processes(share, 2)
    assert weights_of(folder) == weights_of(finished)


def test_an_evaluation_that_was_killed_is_done_when_the_run_goes_on(tmp_path):
    recipe = tiny("optimization.steps=2", "optimization.evaluate_every=1")
    evaluations = tmp_path / "evaluations.jsonl"

    class KilledError(Exception):
        pass

    def kill(row):
        if row["step"] == 2:
            raise KilledError

    with pytest.raises(KilledError):  # before the evaluation
        run(recipe, tmp_path, callbacks=(kill,))
    first = evaluations.read_text()
    evaluations.write_text(first + '{"step": 2, "p')  # as a killed process may leave it
    run(recipe, tmp_path, resume=True)
    both = evaluations.read_text()
    assert both.startswith(first)
    assert [json.loads(line)["step"] for line in both.splitlines()] == [1, 2]
    picture = tmp_path / "samples" / "step_00000002.png"
    picture.unlink()
    run(recipe, tmp_path, resume=True)
    assert evaluations.read_text() == both and not picture.exists()  # not done twice


def test_the_saved_model_is_the_running_mean_if_one_is_kept(finished, tmp_path):
    trained = run(tiny("optimization.ema_decay=0.5"), tmp_path)
    assert weights_of(tmp_path) != weights_of(finished)
    last = load_checkpoint(latest_checkpoint(tmp_path))
    for name, parameter in trained.modules.named_parameters():
        assert torch.equal(parameter, last["average"]["means"][name]), name


def test_two_processes_train_and_evaluate_and_one_goes_on(tmp_path, in_processes):
    recipe = tiny("optimization.steps=2", "optimization.evaluate_every=2", "data.val_images=3")

    def share():
        trained = run(recipe, tmp_path / "run")
        return {name: weight.numpy() for name, weight in trained.modules.state_dict().items()}

    first, second = in_processes(share, 2)
    for name, weight in first.items():
        assert (weight == second[name]).all(), name
    assert "pq" in json.loads((tmp_path / "run" / "evaluations.jsonl").read_text())
    run(recipe, tmp_path / "run", resume=True)
    log = tmp_path / "run" / "log.jsonl"
    steps = [json.loads(x)["step"] for x in log.read_text().splitlines()]
    assert steps == [1, 2]


def test_batch_norms_take_their_statistics_over_all_processes_if_asked(tmp_path, in_processes):
    small = ResNetConfig(embedding_size=8, hidden_sizes=(8, 16, 16, 32), depths=(1, 1, 1, 1))
    recipe = tiny("optimization.steps=1", "optimization.sync_batch_norm=True")
    recipe = dataclasses.replace(
        recipe, model=dataclasses.replace(recipe.model, backbone_config=small)
    )

    def share():
        trained = run(recipe, tmp_path / "run")
        kinds = {type(m) for m in trained.model.modules() if isinstance(m, torch.nn.BatchNorm2d)}
        return kinds, trained.model.backbone.stem.norm.running_mean.tolist()

    (kinds, means), (_, others) = in_processes(share, 2)
    assert kinds == {SyncBatchNorm}
    assert means == others and any(means)


def test_a_run_may_go_on_in_other_parts_and_processes(tmp_path, in_processes):
    recipe = tiny("optimization.batch_size=4")

    class StopError(Exception):
        pass

    def stop(row):
        if row["step"] == 2:
            raise StopError

    with pytest.raises(StopError):
        run(recipe, tmp_path / "run", callbacks=(stop,))
    parts = tiny("optimization.batch_size=4", "optimization.accumulate=2")
    in_processes(lambda: run(parts, tmp_path / "run", resume=True) and None, 2)
    rows = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2, 3, 4]
    assert (tmp_path / "run" / "model").is_dir()


@pytest.mark.parametrize(("batch", "parts"), [(4, 3), (3, 2), (2, 4)])
def test_a_batch_that_cannot_be_shared_evenly_is_refused(tmp_path, batch, parts):
    recipe = tiny(f"optimization.batch_size={batch}", f"optimization.accumulate={parts}")
    with pytest.raises(ValueError, match="batch_size must be a multiple of processes x accumulate"):
        run(recipe, tmp_path)


def test_compiling_changes_no_name_in_a_checkpoint():
    recipe = tiny("optimization.compile=True")
    _, categories = build_dataset(recipe.data, "train", None)
    modules = build_pretrained(recipe, categories).modules
    names = list(modules.state_dict())
    prepare_modules(modules, recipe, "cpu")
    assert modules.model.backbone._compiled_call_impl is not None
    assert list(modules.state_dict()) == names


def test_vanished_data_stop_the_run_by_name_and_leave_its_checkpoint_whole(tmp_path):
    toys = ToyPanoptic(size=(24, 40), length=9)
    for split in ("train", "val"):
        samples = (toys[index] for index in range(9))
        write_coco_panoptic(samples, toys.categories, tmp_path / "data", name=split)
    settings = ("data.dataset=coco_panoptic", "optimization.steps=50")

    def remove(row):
        if row["step"] == 2:
            for image in (tmp_path / "data").rglob("*.png"):
                image.unlink()

    with pytest.raises(FileNotFoundError, match=r"\.png"):
        run(tiny(*settings), tmp_path / "run", data_root=tmp_path / "data", callbacks=(remove,))
    assert load_checkpoint(latest_checkpoint(tmp_path / "run"))["step"] == 2
