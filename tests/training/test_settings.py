"""Mutants that must fail: words applied one after another; the second of two wins; a number's
text taken for a string; a section replaced instead of its key.
"""

from dataclasses import dataclass, field

import pytest

from minioneformer.training.settings import change_values


@dataclass(frozen=True)
class Leaf:
    width: int = 2
    height: int = 2
    label: str = "none"
    cut: float | None = None

    def __post_init__(self):
        if self.width != self.height:
            raise ValueError(f"a leaf is a square, got {self.width=}, {self.height=}.")


@dataclass(frozen=True)
class Branch:
    leaf: Leaf = field(default_factory=Leaf)
    sizes: tuple[int, ...] = (1,)
    green: bool = True


@dataclass(frozen=True)
class Tree:
    name: str = "oak"
    branch: Branch = field(default_factory=Branch)


def test_values_that_are_bound_to_each_other_change_together():
    changed = change_values(Tree(), ["branch.leaf.width=5", "branch.leaf.height=5"])
    assert changed == Tree(branch=Branch(leaf=Leaf(width=5, height=5)))


def test_what_does_not_fit_together_is_refused_by_its_dataclass():
    with pytest.raises(ValueError, match="self.width=5, self.height=2"):
        change_values(Tree(), ["branch.leaf.width=5"])


def test_what_is_not_named_stays():
    tree = Tree(name="elm", branch=Branch(sizes=(3, 4)))
    changed = change_values(tree, ["branch.green=False", "branch.leaf.cut=1"])
    assert changed == Tree("elm", Branch(Leaf(cut=1.0), (3, 4), green=False))
    assert change_values(tree, []) == tree
    assert tree == Tree(name="elm", branch=Branch(sizes=(3, 4)))


@pytest.mark.parametrize(
    ("word", "path", "value"),
    [
        ("branch.sizes=(7,)", ("branch", "sizes"), (7,)),
        ("branch.sizes=[7, 8]", ("branch", "sizes"), (7, 8)),
        ("branch.leaf.cut=1e-3", ("branch", "leaf", "cut"), 1e-3),
        ("branch.leaf.cut=None", ("branch", "leaf", "cut"), None),
        ("branch.leaf.label=8", ("branch", "leaf", "label"), "8"),
        ("branch.leaf.label='a b'", ("branch", "leaf", "label"), "a b"),
        ("branch.leaf.label=a=b", ("branch", "leaf", "label"), "a=b"),
        ("name=", ("name",), ""),
        ("name=None", ("name",), "None"),
    ],
)
def test_a_text_is_read_as_the_declared_type(word, path, value):
    changed = change_values(Tree(branch=Branch(leaf=Leaf(cut=9.0))), [word])
    for name in path:
        changed = getattr(changed, name)
    assert changed == value
    assert type(changed) is type(value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["branch.green"], "look like key=value, got 'branch.green'"),
        (["nam=elm"], "unknown key 'nam', got 'nam=elm'. Near matches: name"),
        (["branch.leaf.widht=3"], "unknown key 'widht', got .*Near matches: width"),
        (["brunch.green=True"], "unknown key 'brunch', got .*Near matches: branch"),
        (["branch.zzz=1"], "unknown key 'zzz', got .*Known: leaf, sizes, green"),
        (["name.length=3"], "name has no keys of its own, got 'name.length=3'"),
        (["branch.leaf=3"], "leaf is a section, got .*Its keys: width, height, label, cut"),
        (["branch.green=1"], "green must be bool, got '1'"),
        (["branch.green=true"], "green must be bool, got 'true'"),
        (["branch.sizes=7"], r"sizes must be tuple\[int, ...\], got '7'"),
        (["branch.sizes=(7, 'a')"], r"sizes must be tuple\[int, ...\]"),
        (["branch.leaf.width=2.5"], "width must be int, got '2.5'"),
        (["branch.leaf.width=True"], "width must be int, got 'True'"),
        (["branch.leaf.cut=fast"], r"cut must be float \| None, got 'fast'"),
        (["branch.leaf.cut=1e999"], "cut must be float"),
        (["name=elm", "name=ash"], "name is set twice, got 'name=ash' after 'elm'"),
        (["branch.leaf.width=2", "branch.leaf.width=2"], "branch.leaf.width is set twice"),
        (["=3"], "unknown key ''"),
        (["branch.=3"], "unknown key ''"),
    ],
)
def test_a_word_that_cannot_be_followed_is_refused(words, message):
    with pytest.raises(ValueError, match=message):
        change_values(Tree(), words)


def test_a_value_that_the_dataclass_alone_knows_how_to_refuse_can_be_set_in_any_order():
    words = ["branch.leaf.height=4", "name=elm", "branch.leaf.width=4"]
    assert change_values(Tree(), words) == change_values(Tree(), words[::-1])
