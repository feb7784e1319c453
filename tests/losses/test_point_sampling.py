"""Points.

Mutants that must fail: (y, x); align_corners; no `- 1`; nearest; border padding; the surest
points; the most negative logits; all points important; the first candidates; no oversampling;
the same candidates for every row.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from minioneformer.losses import point_sampling
from minioneformer.losses.point_sampling import choose_points, sample_at_points


def centres(height: int, width: int) -> Tensor:
    """(x, y) of every cell, row by row."""
    return torch.tensor(
        [[(j + 0.5) / width, (i + 0.5) / height] for i in range(height) for j in range(width)]
    )


@given(
    rows=st.integers(1, 3),
    channels=st.integers(1, 3),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
)
@settings(max_examples=25, deadline=None)
def test_at_cell_centres_it_is_indexing(rows, channels, height, width):
    maps = torch.randn(rows, channels, height, width)
    points = centres(height, width).expand(rows, -1, -1)
    torch.testing.assert_close(sample_at_points(maps, points), maps.flatten(2), atol=1e-5, rtol=0)


def test_equals_a_loop_over_cells():
    maps, points = torch.randn(2, 3, 3, 5).double(), torch.rand(2, 7, 2).double() * 1.4 - 0.2
    expected = torch.zeros(2, 3, 7).double()
    for r in range(2):
        for p in range(7):
            x, y = points[r, p].tolist()
            for i in range(3):
                for j in range(5):
                    near = max(0, 1 - abs(x * 5 - j - 0.5)) * max(0, 1 - abs(y * 3 - i - 0.5))
                    expected[r, :, p] += near * maps[r, :, i, j]
    torch.testing.assert_close(sample_at_points(maps, points), expected)


def test_the_example_of_the_docstring():
    maps = torch.tensor([10.0, 20.0]).view(1, 1, 1, 2)
    points = torch.tensor([[[0.25, 0.5], [0.5, 0.5], [0.0, 0.5]]])
    assert sample_at_points(maps, points).flatten().tolist() == pytest.approx([10, 15, 5])


def test_sampling_and_a_product_with_embeddings_commute():
    """Why the matcher never draws N masks."""
    features, embeddings = torch.randn(2, 4, 5, 3).double(), torch.randn(2, 6, 4).double()
    points = torch.rand(2, 9, 2).double()
    drawn = torch.einsum("bnc,bchw->bnhw", embeddings, features)
    torch.testing.assert_close(
        embeddings @ sample_at_points(features, points), sample_at_points(drawn, points)
    )


def test_nothing_to_sample_gives_nothing():
    assert sample_at_points(torch.zeros(0, 2, 3, 5), torch.zeros(0, 7, 2)).shape == (0, 2, 7)
    assert sample_at_points(torch.zeros(2, 2, 3, 5), torch.zeros(2, 0, 2)).shape == (2, 2, 0)


def draws(monkeypatch) -> list[Tensor]:
    """What `choose_points` draws, in order: candidates, then fresh points."""
    drawn: list[Tensor] = []
    rand = torch.rand

    def spy(*size, **options):
        drawn.append(rand(*size, **options))
        return drawn[-1]

    monkeypatch.setattr(point_sampling.torch, "rand", spy)
    return drawn


def test_the_least_sure_candidates_are_kept_and_fresh_points_fill_up(monkeypatch):
    drawn = draws(monkeypatch)
    logits = torch.randn(3, 5, 7) * 4
    points = choose_points(logits, num_points=8, oversample_ratio=3.0, importance_ratio=0.75)
    candidates, fresh = drawn
    assert candidates.shape == (3, 24, 2) and fresh.shape == (3, 2, 2)
    assert points.shape == (3, 8, 2)
    for row in range(3):
        sureness = sample_at_points(logits[row][None, None], candidates[row][None])[0, 0].abs()
        keep = set(sorted(range(24), key=lambda i: float(sureness[i]))[:6])
        kept = {tuple(candidates[row, i].tolist()) for i in keep}
        assert {tuple(p) for p in points[row, :6].tolist()} == kept
        assert torch.equal(points[row, 6:], fresh[row])


def test_kept_points_lie_on_the_border_of_the_mask():
    # Logits fall from left to right and are 0 at x = 0.5.
    logits = (0.5 - centres(4, 20)[:, 0]).view(1, 4, 20)
    points = choose_points(logits, num_points=300, oversample_ratio=10.0, importance_ratio=1.0)
    x, y = points[0].T
    # One in ten candidates is kept: those within 0.05 of the border.
    assert float((x - 0.5).abs().max()) < 0.08
    assert 0.4 < float(y.mean()) < 0.6 and float(y.min()) < 0.1 and float(y.max()) > 0.9


@given(
    num_points=st.integers(1, 40),
    oversample=st.floats(1, 4),
    importance=st.floats(0, 1),
    rows=st.integers(0, 3),
)
@settings(max_examples=25, deadline=None)
def test_there_are_p_points_inside_for_every_mask(num_points, oversample, importance, rows):
    points = choose_points(
        torch.randn(rows, 3, 5),
        num_points=num_points,
        oversample_ratio=oversample,
        importance_ratio=importance,
    )
    assert points.shape == (rows, num_points, 2)
    assert ((points >= 0) & (points <= 1)).all()
    if rows > 1:
        assert not torch.equal(points[0], points[1])


@pytest.mark.parametrize(
    ("num_points", "ratio", "important", "share", "candidates"),
    [
        (12544, 3.0, 9408, 0.75, 37632),
        (5, 1.0, 5, 1.0, 5),
        (7, 2.5, 3, 0.5, 17),
        (3, 1.0, 0, 0.0, 3),
    ],
)
def test_the_published_numbers_of_points(
    num_points, ratio, important, share, candidates, monkeypatch
):
    drawn = draws(monkeypatch)
    choose_points(
        torch.randn(1, 3, 5),
        num_points=num_points,
        oversample_ratio=ratio,
        importance_ratio=share,
    )
    assert drawn[0].shape == (1, candidates, 2)
    assert drawn[1].shape == (1, num_points - important, 2)


def test_the_choice_has_no_gradient_and_the_same_seed_repeats_it():
    logits = torch.randn(2, 3, 5, requires_grad=True)
    torch.manual_seed(5)
    first = choose_points(logits, num_points=9)
    torch.manual_seed(5)
    assert torch.equal(choose_points(logits, num_points=9), first)
    assert not first.requires_grad


@pytest.mark.parametrize(
    "numbers",
    [
        {"num_points": 0},
        {"num_points": 5, "oversample_ratio": 0.9},
        {"num_points": 5, "importance_ratio": 1.1},
        {"num_points": 5, "importance_ratio": -0.1},
        {"num_points": 5, "importance_ratio": math.nan},
    ],
)
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(ValueError, match=r"need num_points >= 1.* got num_points="):
        choose_points(torch.zeros(1, 3, 5), **numbers)
