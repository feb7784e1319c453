"""What others rely on: names of the package, commands and options. A change here is deliberate.

Mutants that must fail: a name added to or taken from `__all__`; a renamed option; a guide that
shows an option that is not there.
"""

import functools
import re
import shlex
from pathlib import Path

import pytest

import minioneformer
from minioneformer.cli import main

ROOT = Path(__file__).resolve().parents[1]
NAMES = [
    "TASKS",
    "BPETokenizer",
    "ConvNextConfig",
    "Criterion",
    "DinatConfig",
    "OneFormer",
    "OneFormerConfig",
    "OneFormerForUniversalSegmentation",
    "OneFormerForUniversalSegmentationOutput",
    "OneFormerImageProcessor",
    "OneFormerModel",
    "OneFormerModelOutput",
    "OneFormerOutput",
    "OneFormerProcessor",
    "Predictor",
    "ResNetConfig",
    "SwinConfig",
    "ToyPanoptic",
    "build_predictor",
    "evaluate",
    "load_pretrained",
    "published_model",
    "published_models",
    "save_pretrained",
]
OPTIONS = {
    "demo": {"--output", "--set", "--resume", "--no-resume"},
    "train": {
        "--output",
        "--data-root",
        "--init",
        "--set",
        "--resume",
        "--no-resume",
        "--tensorboard",
        "--no-tensorboard",
        "--dry-run",
        "--no-dry-run",
    },
    "recipes": {"--dataset", "--json", "--no-json"},
    "ablate": {"--output", "--seeds", "--rows", "--jobs", "--set"},
    "report": {"--output"},
    "evaluate": {
        "--dataset",
        "--data-root",
        "--split",
        "--images",
        "--all-tokens",
        "--no-all-tokens",
        "--scales",
        "--cityscapes-results",
        "--output",
    },
    "predict": {"--task", "--output"},
    "score": set(),
    "prepare": {"--data-root", "--num-workers"},
    "miniature": {"--images"},
    "check-data": {
        "--data-root",
        "--split",
        "--output",
        "--vocabulary",
        "--queries",
        "--texts",
        "--pictures",
        "--num-workers",
        "--progress",
        "--no-progress",
    },
    "models": {"--dataset", "--output"},
    "convert": {"--to", "--model", "--vocabulary"},
    "export": {"--format", "--output", "--height", "--width", "--fixed", "--no-fixed"},
}
SCORES = {
    "panoptic": {"--gt-json", "--gt-dir", "--pred-json", "--pred-dir"},
    "instance": {"--gt-json", "--pred-json", "--iou-type"},
    "semantic": {
        "--gt-dir",
        "--pred-dir",
        "--num-classes",
        "--ignore-index",
        "--reduce-zero-label",
        "--no-reduce-zero-label",
        "--pred-from-zero",
        "--no-pred-from-zero",
        "--absent",
        "--gt-json",
        "--pred-json",
    },
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture
def help_of(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    @functools.cache
    def get(*words: str) -> str:
        try:
            status = main([*words, "--help"])
        except SystemExit as stop:
            status = stop.code
        assert status == 0
        return capsys.readouterr().out

    return get


def test_the_public_names_are_these():
    assert minioneformer.__all__ == NAMES
    assert all(getattr(minioneformer, name) is not None for name in NAMES)
    assert re.fullmatch(r"\d+\.\d+\.\d+", minioneformer.__version__)


def test_the_commands_are_these(help_of):
    (commands,) = re.findall(r"\{([\w,-]+)\}", help_of().splitlines()[0])
    assert commands.split(",") == list(OPTIONS)


@pytest.mark.parametrize("command", OPTIONS)
def test_the_options_of_a_command_are_these(command, help_of):
    lines = re.findall(r"^\W*(?:-h, )?(--[a-z-, ]+)", help_of(command), re.MULTILINE)
    found = {option for line in lines for option in re.findall(r"--[a-z][a-z-]*", line)}
    assert found - {"--help"} == OPTIONS[command]


@pytest.mark.parametrize("kind", SCORES)
def test_the_options_of_a_score_are_these(kind, help_of):
    lines = re.findall(r"^\W*(?:-h, )?(--[a-z-, ]+)", help_of("score", kind), re.MULTILINE)
    found = {option for line in lines for option in re.findall(r"--[a-z][a-z-]*", line)}
    assert found - {"--help"} == SCORES[kind]


def shown_commands() -> list[tuple[str, str]]:
    """(page, line) of every command that a page shows."""
    return [
        (page.name, line.partition(" # ")[0])
        for page in PAGES
        for block in re.findall(r"^```bash\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
        if line.startswith("minioneformer ")
    ]


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_a_command_that_a_page_shows_exists(page, line):
    _, command, *words = shlex.split(line)
    options = {word for word in words if word.startswith("--")}
    assert options <= (SCORES[words[0]] if command == "score" else OPTIONS[command])
    if command in ("train", "predict") and "--dry-run" not in options:
        assert "--output" in options
    if "--set" in options:
        check_settings(words[0] if command == "train" else "toy", words)


def check_settings(recipe: str, words: list[str]) -> None:
    """The settings after --set can be applied to the recipe."""
    from minioneformer.training.recipes import override, recipe_named

    settings = [word for word in words if "=" in word]
    assert settings
    assert override(recipe_named(recipe), settings) != recipe_named(recipe)
