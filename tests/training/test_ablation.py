"""The paper's ablations: what each row of the table switches off, and nothing else.

Mutants that must fail: a switch that is not stored with the model; a text branch that is built
without its loss; parameters without a gradient left trainable; a seed that changes nothing; a
difference that is not the paper's.
"""

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

from minioneformer.checkpoints.pretrained import load_pretrained, save_pretrained
from minioneformer.structures import TASKS
from minioneformer.training.ablation import (
    MORE_ROWS,
    ROWS,
    base_recipe,
    row_recipe,
    rows_named,
)
from minioneformer.training.parts import build_dataset, build_pretrained, build_stream

TINY = (
    "data.image_size=(24,40)",
    "optimization.batch_size=3",
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
ALL = (*ROWS, *MORE_ROWS)
PUBLISHED = {"pq": 67.2, "ap": 45.6, "miou": 83.0}  # Swin-L, Cityscapes
OF_THE_PAPER = {  # Tables 4 to 6
    "no_task_token": (66.5, 43.3, 82.9),
    "no_text_context": (62.7, 45.0, 82.8),
    "zero_queries": (65.8, 44.5, 83.1),
    "no_contrastive_loss": (58.8, 42.4, 82.5),
    "typed_template": (65.4, 44.5, 82.8),
    "name_template": (66.6, 44.7, 82.5),
}
WITHOUT_TEXT = {"no_contrastive_loss"}


def built(row, *, seed=0):
    """Model and batches of a row."""
    recipe = row_recipe(base_recipe(TINY), row, seed)
    dataset, categories = build_dataset(recipe.data, "train", None)
    pretrained = build_pretrained(recipe, categories)
    return pretrained, build_stream(recipe, pretrained, dataset)


def named(name):
    return next(row for row in ALL if row.name == name)


@pytest.fixture(scope="module")
def rows():
    """Each row with its model, its first batch and gradients of it; read only."""
    found = {}
    for row in ALL:
        pretrained, stream = built(row)
        batch = stream[0]
        output = pretrained.model(batch.images, batch.task_tokens, batch.text_tokens)
        losses = pretrained.modules.criterion(
            [*output.auxiliary, output.predictions],
            batch.targets,
            output.object_queries,
            output.text_queries,
        )
        sum(losses.values()).backward()
        found[row.name] = (pretrained, batch, losses)
    return found


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
def test_everything_that_is_trained_gets_a_gradient(row, rows):
    """Otherwise several processes would wait for gradients that never come."""
    pretrained, _, _ = rows[row.name]
    missing = [
        name
        for name, parameter in pretrained.modules.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    assert missing == []
    frozen = {n for n, p in pretrained.modules.named_parameters() if not p.requires_grad}
    expected = {"no_task_token": "model.task_mlp.", "no_contrastive_loss": "criterion.log_inverse"}
    assert all(name.startswith(expected.get(row.name, "none")) for name in frozen)
    assert bool(frozen) == (row.name in expected)


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
def test_texts_are_made_only_where_a_loss_reads_them(row, rows):
    pretrained, batch, losses = rows[row.name]
    with_text = row.name not in WITHOUT_TEXT
    assert (batch.text_tokens is not None) == with_text
    assert (pretrained.model.text_mapper is not None) == with_text
    assert ("loss_contrastive" in losses) == with_text


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
def test_a_saved_model_comes_back_with_its_switches(row, rows, tmp_path):
    pretrained, batch, _ = rows[row.name]
    save_pretrained(tmp_path, pretrained)
    again = load_pretrained(tmp_path)
    assert dataclasses.replace(again.config, is_training=pretrained.config.is_training) == (
        pretrained.config
    )
    pretrained.modules.eval()
    with torch.no_grad():
        expected = pretrained.model(batch.images, batch.task_tokens)
        found = again.model(batch.images, batch.task_tokens)
    torch.testing.assert_close(found.predictions.mask_logits, expected.predictions.mask_logits)
    torch.testing.assert_close(found.object_queries, expected.object_queries)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("full", True),
        ("zero_queries", True),
        ("task_only_seeds", True),
        ("no_task_token", False),
    ],
)
@torch.no_grad()
def test_only_a_model_that_is_told_the_task_answers_by_it(name, told, rows):
    pretrained, batch, _ = rows[name]
    model = pretrained.model.eval()
    tokens = [torch.tensor(pretrained.tokenizer.tokenize(f"the task is {t}", 77)) for t in TASKS]
    answers = [model(batch.images[:1], token).predictions.class_logits for token in tokens]
    same = [torch.equal(answers[0], answer) for answer in answers[1:]]
    assert same == [not told] * 2


def test_without_context_every_text_query_is_a_text(rows):
    pretrained, batch, _ = rows["no_text_context"]
    assert pretrained.model.text_mapper.text_context is None
    assert batch.text_tokens.shape[1] == pretrained.config.num_queries
    full, with_context, _ = rows["full"]
    assert with_context.text_tokens.shape[1] == full.config.num_queries - 4


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
def test_single_task_rows_see_and_measure_that_task_only(row):
    if row.name.endswith("_only"):
        _, stream = built(row)
        assert {task for step in range(3) for task in stream[step].tasks} == set(row.tasks)
    assert row.tasks == ((row.name.split("_")[0],) if row.name.endswith("_only") else TASKS)


def test_templates_change_the_texts_and_nothing_else(rows):
    _, batch, _ = rows["full"]
    for name in ("name_template", "typed_template"):
        pretrained, other, _ = rows[name]
        assert torch.equal(other.images, batch.images) and other.tasks == batch.tasks
        assert not torch.equal(other.text_tokens, batch.text_tokens)
    tokens = rows["name_template"][1].text_tokens
    read = {pretrained.tokenizer.decode(text.tolist()) for text in tokens.flatten(0, 1)}
    names = {category.name for category in pretrained.categories}
    assert any(name in text for name in names for text in read)
    assert not any("photo with" in text for text in read)


def test_seeds_change_weights_order_and_tasks():
    (first, stream), (second, other) = built(named("full")), built(named("full"), seed=1)
    assert not torch.equal(first.model.query_positions.weight, second.model.query_positions.weight)
    assert stream[0].image_ids != other[0].image_ids
    assert [stream[i].tasks for i in range(4)] != [other[i].tasks for i in range(4)]


@pytest.mark.parametrize(("name", "figures"), OF_THE_PAPER.items())
def test_differences_are_those_of_the_papers_tables(name, figures):
    expected = {
        figure: pytest.approx(value - PUBLISHED[figure])
        for figure, value in zip(PUBLISHED, figures, strict=True)
    }
    assert named(name).paper == expected


def test_individual_training_differs_from_joint_training_as_in_the_appendix():
    joint = {"pq": 41.9, "ap": 27.3, "miou": 47.3}
    alone = {"pq": 41.4, "ap": 26.7, "miou": 47.3}
    found = {k: v for name in TASKS for k, v in named(f"{name}_only").paper.items()}
    assert found == {k: pytest.approx(alone[k] - joint[k]) for k in joint}


def test_rows_are_found_by_name_and_the_full_model_is_always_there():
    assert rows_named() == ROWS
    assert [row.name for row in rows_named(("zero_queries",))] == ["full", "zero_queries"]
    assert [row.name for row in rows_named(("typed_template", "full"))] == [
        "full",
        "typed_template",
    ]
    with pytest.raises(ValueError, match="unknown row, got 'zero_query'. There are: zero_queries"):
        rows_named(("zero_query",))


def test_published_configurations_do_not_hold_the_switches(rows):
    """Files of models without switches are as they were before there were any."""
    assert not {"task_seeds_queries", "task_as_query"} & rows["full"][0].config.to_dict().keys()
    values = rows["zero_queries"][0].config.to_dict()
    assert values["task_seeds_queries"] is False and "task_as_query" not in values


def test_a_negative_weight_is_refused():
    config = base_recipe().model
    with pytest.raises(ValueError, match=r"contrastive_weight must be >= 0, got weight=-0\.5"):
        dataclasses.replace(config, contrastive_weight=-0.5)


@pytest.mark.parity
@pytest.mark.parametrize("name", ["zero_queries", "no_task_token", "no_contrastive_loss"])
def test_transformers_reads_the_configuration(name, rows, tmp_path):
    transformers = pytest.importorskip("transformers")
    save_pretrained(tmp_path, rows[name][0])
    theirs = transformers.OneFormerConfig.from_pretrained(tmp_path)
    assert theirs.num_queries == 8
    assert theirs.contrastive_weight == rows[name][0].config.contrastive_weight
    written = json.loads((tmp_path / "config.json").read_text())
    assert (
        theirs.to_dict().items()
        >= {k: written[k] for k in written if k.startswith("task_")}.items()
    )


def page_rows() -> dict[str, list[list[str]]]:
    """Lines of the tables of docs/ablations.md by row of the ablation."""
    found: dict[str, list[list[str]]] = {}
    page = Path(__file__).resolve().parents[2] / "docs" / "ablations.md"
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            found.setdefault(cells[0].strip("`"), []).append(cells[1:])
    return found


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.name)
def test_the_page_shows_settings_and_figures_of_the_paper(row):
    settings, *figures = page_rows()[row.name]
    assert re.findall(r"`([^`]+)`", settings[0]) == list(row.settings)
    if row.name in OF_THE_PAPER:
        assert [float(value) for value in figures[0][:3]] == list(OF_THE_PAPER[row.name])
