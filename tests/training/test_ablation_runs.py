"""The runs of an ablation: none twice, each to its end, one failing alone.

Mutants that must fail: a finished run done again; an interrupted one begun anew; results of
another recipe taken; the status of a process not looked at; checkpoints left behind.
"""

import json
import subprocess
import sys
import time

import pytest

from minioneformer.training import ablation_runs
from minioneformer.training.ablation import base_recipe, rows_named
from minioneformer.training.ablation_runs import do_run, do_runs, plan_runs, read_results
from minioneformer.training.checkpoint import list_checkpoints
from minioneformer.training.run import train

TINY = (
    "data.image_size=(24,40)",
    "data.val_images=2",
    "optimization.steps=3",
    "optimization.batch_size=2",
    "optimization.checkpoint_every=1",
    "model.hidden_dim=32",
    "model.conv_dim=32",
    "model.mask_dim=16",
    "model.num_attention_heads=2",
    "model.num_queries=8",
    "model.text_encoder_width=64",
    "model.text_encoder_num_layers=1",
    "model.encoder_layers=1",
    "model.decoder_layers=2",
    "model.train_num_points=16",
    "model.encoder_feedforward_dim=16",
    "model.dim_feedforward=16",
    "model.backbone_config.embed_dim=8",
    "model.backbone_config.depths=(1,1,1,1)",
    "model.backbone_config.num_heads=(1,1,2,2)",
)


def plans(*rows, seeds=1, settings=()):
    return plan_runs(base_recipe((*TINY, *settings)), rows_named(rows), seeds)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of an ablation whose runs are done; nothing in it may be changed."""
    folder = tmp_path_factory.mktemp("ablation")
    assert [failure for _, failure in do_runs(plans("semantic_only"), folder)] == ["", ""]
    return folder


def test_whole_tables_come_first():
    found = [(plan.row, plan.seed) for plan in plans("zero_queries", seeds=2)]
    assert found == [("full", 0), ("zero_queries", 0), ("full", 1), ("zero_queries", 1)]
    assert {plan.recipe.optimization.seed for plan in plans(seeds=3)} == {0, 1, 2}


def test_each_run_is_evaluated_on_its_tasks(finished):
    full, semantic = (read_results(plan, finished) for plan in plans("semantic_only"))
    assert {"pq", "ap", "miou"} <= full.keys()
    assert "miou" in semantic and not {"pq", "ap"} & semantic.keys()
    assert 0 <= full["miou"] <= 100


def test_a_finished_run_leaves_its_model_and_no_checkpoint(finished):
    folder = finished / "full" / "seed_0"
    assert list_checkpoints(folder) == []
    assert (folder / "model" / "model.safetensors").is_file()
    assert json.loads((folder / "results.json").read_text())["training_seconds"] > 0


def test_a_finished_run_is_not_done_again(finished, monkeypatch):
    monkeypatch.setattr(ablation_runs, "do_run", None)
    assert list(do_runs(plans("semantic_only"), finished)) == []


def test_results_of_another_recipe_are_refused(finished):
    with pytest.raises(ValueError, match="other results are there already, got '.*results.json'"):
        list(do_runs(plans("semantic_only", settings=("data.flip=True",)), finished))


def test_an_interrupted_run_goes_on_to_the_same_figures(finished, tmp_path):
    (plan, _) = plans("semantic_only")

    def stop(row):
        if row["step"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(plan.recipe, plan.folder(tmp_path), progress=False, callbacks=(stop,))
    do_run(plan, plan.folder(tmp_path))
    assert read_results(plan, tmp_path) == read_results(plan, finished)
    lines = (plan.folder(tmp_path) / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]


def test_a_failing_run_stops_no_other(tmp_path, monkeypatch):
    def fail(plan, _folder, progress):
        if plan.row == "full":
            raise OSError("the disk is full")

    monkeypatch.setattr(ablation_runs, "do_run", fail)
    ended = {plan.row: failure for plan, failure in do_runs(plans("semantic_only"), tmp_path)}
    assert ended == {"full": "OSError: the disk is full", "semantic_only": ""}


def test_a_process_of_its_own_gives_the_same_figures(finished, tmp_path):
    _, plan = plans("semantic_only")
    assert list(do_runs([plan], tmp_path, jobs=2)) == [(plan, "")]
    expected = read_results(plan, finished)
    assert read_results(plan, tmp_path) == pytest.approx(expected, rel=1e-3, nan_ok=True)


@pytest.fixture
def pretended(monkeypatch):
    """Processes that do what is told here by row; those that were started."""
    started, scripts = [], {}

    class Process(subprocess.Popen):
        def __init__(self, words, **options):
            started.append(self)
            row = words[-1].split("/")[-2]
            time.sleep(scripts.get("delay", 0) if row != "full" else 0)
            super().__init__([sys.executable, "-c", scripts[row]], **options)

    monkeypatch.setattr(ablation_runs.subprocess, "Popen", Process)
    return started, scripts


def test_a_process_that_fails_says_why_and_stops_no_other(pretended, tmp_path):
    _, scripts = pretended
    scripts |= {"full": "import sys; print('why'); sys.exit(3)", "semantic_only": ""}
    ended = {p.row: failure for p, failure in do_runs(plans("semantic_only"), tmp_path, jobs=2)}
    assert ended == {"full": "ended with status 3: why", "semantic_only": ""}


@pytest.mark.parametrize("delay", [0, 2])
def test_processes_are_stopped_with_the_generator(pretended, tmp_path, delay):
    """Closed after its first run, it ends the other one, also one that is just being started."""
    started, scripts = pretended
    scripts |= {"full": "", "semantic_only": "import time; time.sleep(120)", "delay": delay}
    begun = time.monotonic()
    ended = do_runs(plans("semantic_only"), tmp_path, jobs=2)
    assert next(ended)[0].row == "full"
    ended.close()
    assert time.monotonic() - begun < 60
    assert all(process.poll() is not None for process in started)


def test_nothing_is_started_after_the_others_were_stopped(pretended, tmp_path, monkeypatch):
    started, scripts = pretended
    scripts |= {"full": "", "semantic_only": "import time; time.sleep(120)"}
    write = ablation_runs.write_text_atomically

    def slowly(path, text):
        time.sleep(3 if "semantic_only" in str(path) else 0)
        write(path, text)

    monkeypatch.setattr(ablation_runs, "write_text_atomically", slowly)
    ended = do_runs(plans("semantic_only"), tmp_path, jobs=2)
    assert next(ended)[0].row == "full"
    ended.close()
    assert len(started) == 1


def test_at_least_one_seed_and_one_job(tmp_path):
    with pytest.raises(ValueError, match="needs a seed at least, got seeds=0"):
        plans(seeds=0)
    with pytest.raises(ValueError, match="needs a run at a time, got jobs=0"):
        next(do_runs([], tmp_path, jobs=0))
