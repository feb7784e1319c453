"""The notebooks run from the top, and exercises are exercises: `make test-notebooks`.

One run of each notebook shows both: below the check of each solution stand the exercise as learners
find it, and its check. From there on the name is the learner's, so a cell that needs a solution
fails.

Mutants that must fail: a cell that raises; a solution that is wrong; a later cell that uses a
solution; a check without a hint; an output that is not stored; a full form that does not run.
"""

import ast
import os
import re
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from minioneformer import BPETokenizer, OneFormerConfig, SwinConfig, save_pretrained
from minioneformer.checkpoints.image_settings import ImageSettings
from minioneformer.checkpoints.model_folder import TrainedModules
from minioneformer.checkpoints.pretrained import Pretrained
from minioneformer.data.categories import class_names, load_catalog
from minioneformer.data.miniature import write_miniature
from minioneformer.exercises.execute import Execution, check_cells, execute, failed_cells
from minioneformer.exercises.learner import Notebook, learner_version, read_notebook
from minioneformer.exercises.parameters import parameters_cell, set_parameters

ROOT = Path(__file__).resolve().parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?")

pytestmark = pytest.mark.notebooks


def one_worker(path: Path) -> object:
    """All tests of a notebook look at one run of it."""
    return pytest.param(path, marks=pytest.mark.xdist_group(path.stem), id=path.stem)


each_notebook = pytest.mark.parametrize("path", [one_worker(path) for path in PATHS])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not that of the notebooks: nothing may depend on where a notebook lies."""
    for module in ("nbclient", "nbformat", "ipykernel", "skimage"):
        pytest.importorskip(module, reason="the extra `notebooks` is not installed")
    return tmp_path_factory.mktemp("kernel")


def with_exercises(notebook: Notebook) -> tuple[Notebook, list[int]]:
    """Add the learner's version of each exercise below its check; say which cells were added."""
    learner = learner_version(notebook)["cells"]
    cells, added = [], []
    for position, cell in enumerate(notebook["cells"]):
        cells.append(cell)
        if position in check_cells(notebook):
            added += [len(cells), len(cells) + 1]
            ids = [{"id": f"learner-{len(cells) + i}"} for i in range(2)]
            pair = learner[position - 1 : position + 1]
            cells += [cell | other for cell, other in zip(pair, ids, strict=True)]
    return notebook | {"cells": cells}, added


@cache
def run(path: Path, folder: Path) -> tuple[Execution, list[int]]:
    notebook, added = with_exercises(read_notebook(path))
    return execute_quietly(notebook, folder), added


def execute_quietly(notebook: Notebook, folder: Path) -> Execution:
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # of the client, not of the notebook
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)  # of the kernels too
        return execute(notebook, folder)


@each_notebook
def test_it_runs_from_the_top_and_every_solution_is_right(path, folder, record_property):
    result, added = run(path, folder)
    record_property("notebook", (path.name, result.seconds, path.stat().st_size / 1000))
    failed = failed_cells(result.notebook)
    assert {cell: error for cell, error in failed.items() if cell not in added} == {}
    cells = result.notebook["cells"]
    errors = [o for c in cells for o in c.get("outputs", ()) if o.get("name") == "stderr"]
    assert errors == []


@each_notebook
def test_a_learner_who_wrote_nothing_gets_the_hint_of_each_exercise(path, folder):
    result, added = run(path, folder)
    failed = failed_cells(result.notebook)
    assert [cell for cell in added if cell in failed] == added[1::2]  # the checks, each of them
    for cell in added[1::2]:
        assert failed[cell].startswith("ExerciseError: ")
        assert "your turn.\nHint: " in failed[cell]


@each_notebook
def test_what_is_stored_is_what_comes_out(path, folder):
    """Text, word for word, but for the numbers of cells tagged `varies`; pictures in kind."""
    result, added = run(path, folder)
    fresh = [cell for i, cell in enumerate(result.notebook["cells"]) if i not in added]
    for cell, again in zip(read_notebook(path)["cells"], fresh, strict=True):
        assert [kinds(o) for o in again.get("outputs", ())] == [
            kinds(o) for o in cell.get("outputs", ())
        ]
        varies = "varies" in cell["metadata"].get("tags", ())
        assert said(again, varies) == said(cell, varies)


def kinds(output: dict) -> list[str]:
    return sorted(output.get("data", ()))


def said(cell: dict, varies: bool) -> str:
    text = "".join("".join(o.get("text", "")) for o in cell.get("outputs", ()))
    text = re.sub(r"minioneformer [\d.]+ · torch [\w.]+", "versions", text)
    return re.sub(r"\s+", " ", NUMBER.sub("#", text)) if varies else text


def random_model(folder: Path) -> list[str]:
    """A small model of the published layout with the classes of COCO and random weights."""
    tokenizer, categories = BPETokenizer.shipped(), load_catalog("coco")
    config = OneFormerConfig(
        backbone_config=SwinConfig(
            embed_dim=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), window_size=4
        ),
        id2label=dict(enumerate(class_names(categories))),
        num_queries=20,
        decoder_layers=3,
        encoder_layers=1,
        query_dec_layers=1,
        conv_dim=64,
        hidden_dim=64,
        mask_dim=64,
        encoder_feedforward_dim=64,
        dim_feedforward=64,
        text_encoder_vocab_size=tokenizer.vocab_size,
    )
    model = Pretrained(
        config=config,
        modules=TrainedModules.from_config(config),
        tokenizer=tokenizer,
        categories=categories,
        settings=ImageSettings(shortest_edge=128, longest_edge=256),
    )
    save_pretrained(folder / "model", model)
    return ["FULL=True", f"MODEL={str(folder / 'model')!r}"]


def miniatures(folder: Path) -> list[str]:
    """The four data sets in their real layouts, and settings that make the real recipes small."""
    names = {"ade20k": "ADEChallengeData2016"}
    for layout in ("ade20k", "cityscapes", "coco", "mapillary_vistas"):
        write_miniature(layout, folder / "data" / names.get(layout, layout), images=4)
    settings = """data.crop_size=(64,64) data.test_shortest_edge=64 data.test_longest_edge=128
        data.num_workers=0 optimization.steps=6 optimization.batch_size=2
        optimization.checkpoint_every=2 optimization.evaluate_every=None
        model.backbone_config.embed_dim=24 model.backbone_config.depths=(1,1,1,1)
        model.backbone_config.num_heads=(1,2,4,8) model.backbone_config.window_size=4
        model.num_queries=20 model.text_encoder_n_ctx=4 model.hidden_dim=32 model.conv_dim=32
        model.mask_dim=32 model.num_attention_heads=4 model.encoder_layers=1
        model.query_dec_layers=1 model.encoder_feedforward_dim=64 model.dim_feedforward=64
        model.decoder_layers=3
        model.text_encoder_width=64 model.text_encoder_num_layers=1 model.task_seq_len=24
        model.text_encoder_context_length=24 model.train_num_points=64"""
    edges = "data.shortest_edges=(64,) data.longest_edge=256"
    by_name = {name: edges for name in ("ade20k", "cityscapes", "mapillary_vistas")}
    by_name |= {"all": " ".join(settings.split()), "coco": "optimization.milestones=(4,5)"}
    return [
        "FULL=True",
        f"DATA_ROOT={str(folder / 'data')!r}",
        f"OUTPUT={str(folder / 'runs')!r}",
        "PROCESSES=2",
        f"SETTINGS={by_name!r}",
    ]


def few_steps(_: Path) -> list[str]:
    """Every version of the model, for two steps."""
    return ["FULL=True", "STEPS=2", "BATCH=2", "IMAGES=2", "SEEDS=(0, 1)"]


FULL_FORMS: dict[str, Callable[[Path], list[str]]] = {
    "12_ablations": few_steps,
    "14_published_checkpoints": random_model,
    "16_full_scale": miniatures,
}


@pytest.mark.parametrize("path", [one_worker(p) for p in PATHS if p.stem in FULL_FORMS])
def test_every_cell_of_the_full_form_runs(path, folder, tmp_path):
    notebook = set_parameters(read_notebook(path), FULL_FORMS[path.stem](tmp_path))
    assert failed_cells(execute_quietly(notebook, folder).notebook) == {}


def test_every_notebook_with_parameters_has_its_full_form_run():
    with_parameters = {p.stem for p in PATHS if parameters_cell(read_notebook(p)) is not None}
    assert with_parameters == set(FULL_FORMS)
    for path in PATHS:
        if path.stem in FULL_FORMS:
            notebook = read_notebook(path)
            cell = notebook["cells"][parameters_cell(notebook)]
            names = [node.targets[0].id for node in ast.parse("".join(cell["source"])).body]
            assert names[0] == "FULL"
