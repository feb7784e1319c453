"""Votes averaged over views, with a model small enough to compute by hand.

Mutants that must fail: a view mirrored but not back; the sum for the mean; the first resizing
left out; strips of two views out of step; votes of all pixels at one time.
"""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from minioneformer.evaluation.evaluator import evaluate
from minioneformer.inference import test_time_augmentation
from minioneformer.inference.predictor import Predictor
from minioneformer.inference.semantic import semantic_from_votes
from minioneformer.inference.test_time_augmentation import MultiScalePredictor, published_scales
from minioneformer.pixels import resize_image
from minioneformer.structures import TASKS, Category, MaskPrediction, PanopticSample, Segment
from minioneformer.text.task_prompt import task_prompt
from minioneformer.text.tokenizer import BPETokenizer

CLASSES = [
    Category(name=f"class {i}", is_thing=i != 2, color=(i, i, i), dataset_id=i) for i in range(3)
]


class LeaningModel(nn.Module):
    """Masks follow the colours, and lean to the left: a mirrored image gives another answer."""

    def __init__(self):
        super().__init__()
        self.class_logits = nn.Parameter(5 * torch.eye(4))
        self.mask_embeddings = nn.Parameter(5 * torch.eye(3)[[0, 1, 2, 0]] - 1)

    def forward(self, images, task_tokens, auxiliary=True):
        cells = functional.avg_pool2d(images, 4)
        leaning = torch.linspace(1.5, 0.5, cells.shape[-1])
        return SimpleNamespace(
            predictions=MaskPrediction(
                class_logits=self.class_logits.expand(len(images), -1, -1),
                mask_embeddings=self.mask_embeddings.expand(len(images), -1, -1),
                mask_features=cells * leaning,
            )
        )


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train([task_prompt(task) for task in TASKS], vocab_size=530)


@pytest.fixture
def make(tokenizer):
    def make_predictor(**settings):
        settings = {"keep_scores": True, "context_length": 9, **settings}
        return Predictor(model=LeaningModel(), tokenizer=tokenizer, categories=CLASSES, **settings)

    return make_predictor


@pytest.fixture
def image(rng):
    """Coloured blocks with noise, 37 x 50."""
    blocks = torch.eye(3)[torch.randint(3, (3, 4), generator=rng)].permute(2, 0, 1) * 200
    smooth = functional.interpolate(blocks[None], size=(37, 50), mode="nearest")[0]
    return (smooth + torch.randint(0, 50, (3, 37, 50), generator=rng)).to(torch.uint8)


@pytest.mark.parametrize("max_pixels", [1000, 2**24])
@pytest.mark.parametrize("edge", [24, 37, 60])
def test_one_scale_without_mirror_is_the_plain_predictor_exactly(make, image, edge, max_pixels):
    plain = make(shortest_edge=edge, max_pixels=max_pixels).predict(image, "semantic")
    for first in (None, edge):  # resizing twice to one size is resizing once
        predictor = make(shortest_edge=first, max_pixels=max_pixels)
        views = MultiScalePredictor(predictor=predictor, shortest_edges=[edge], flip=False)
        result = views.predict(image)
        assert torch.equal(result.label_map, plain.label_map)
        assert torch.equal(result.scores, plain.scores)
    assert len(plain.label_map.unique()) > 1


@pytest.mark.parametrize("max_pixels", [1000, 2**24])
def test_the_votes_are_the_mean_over_scales_and_mirrors(make, image, max_pixels):
    expected = torch.zeros(3, 37, 50)
    for edge, resized in ((24, (24, 32)), (44, (44, 59))):
        plain = make(shortest_edge=None)
        view = resize_image(image, resized)
        for mirrored in (False, True):
            seen = view.flip(-1) if mirrored else view
            prediction, sizes = plain.logits_of_resized(seen[None], "semantic", original=(37, 50))
            masks = prediction.mask_logits[0]
            masks = functional.interpolate(masks[None], sizes.padded, mode="bilinear")
            masks = masks[..., : resized[0], : resized[1]]
            masks = functional.interpolate(masks, (37, 50), mode="bilinear")[0]
            probs = prediction.class_logits[0].softmax(-1)[:, :-1]
            votes = torch.einsum("qk,qhw->khw", probs, masks.sigmoid())
            expected += (votes.flip(-1) if mirrored else votes) / 4
        assert edge == min(resized)
    views = MultiScalePredictor(
        predictor=make(max_pixels=max_pixels), shortest_edges=[24, 44], longest_edge=59
    )
    result = views.predict(image)
    torch.testing.assert_close(result.scores, expected.detach(), atol=1e-5, rtol=1e-5)
    assert torch.equal(result.label_map, result.scores.argmax(0))


def test_the_mirrored_image_has_the_mirrored_result_exactly(make, image):
    views = MultiScalePredictor(predictor=make(max_pixels=2000), shortest_edges=[24, 37, 60])
    straight, mirrored = views.predict(image), views.predict(image.flip(-1))
    assert torch.equal(mirrored.label_map.flip(-1), straight.label_map)
    assert torch.equal(mirrored.scores.flip(-1), straight.scores)
    alone = make().predict(image, "semantic").label_map
    assert not torch.equal(make().predict(image.flip(-1), "semantic").label_map.flip(-1), alone)


def test_the_image_is_resized_as_the_predictor_has_it_and_then_to_each_view(make, image):
    twice = MultiScalePredictor(
        predictor=make(shortest_edge=16), shortest_edges=[48], flip=False
    ).predict(image)
    small = resize_image(image, (16, 22))
    prediction, sizes = make().logits_of_resized(
        resize_image(small, (48, 66))[None], "semantic", original=(37, 50)
    )
    masks = make().one_image(prediction, 0, sizes)[1]
    assert sizes.resized == (48, 66)
    probs = prediction.class_logits[0].softmax(-1)[:, :-1]
    (strip,) = masks.strips()
    votes = torch.einsum("qk,qhw->khw", probs, strip.sigmoid())
    torch.testing.assert_close(twice.scores, votes.detach())


class LargestTensor(TorchDispatchMode):
    """Elements of the largest result of any operation."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


@pytest.mark.parametrize("keep_scores", [False, True])
def test_votes_of_all_pixels_are_never_there_unless_asked_for(
    make, image, monkeypatch, keep_scores
):
    largest = LargestTensor()

    def recorded(*arguments, **keywords):
        with largest:
            return semantic_from_votes(*arguments, **keywords)

    monkeypatch.setattr(test_time_augmentation, "semantic_from_votes", recorded)
    predictor = make(max_pixels=1000, keep_scores=keep_scores)
    views = MultiScalePredictor(predictor=predictor, shortest_edges=[24, 44])
    assert views.predict(image).label_map.shape == (37, 50)
    assert (largest.elements >= 3 * 37 * 50) == keep_scores


def test_it_can_be_evaluated(make, image):
    sample = PanopticSample(
        image=image,
        segment_map=torch.ones(37, 50, dtype=torch.int64),
        segments=(Segment(id=1, label=0),),
        image_id=1,
    )
    views = MultiScalePredictor(predictor=make(keep_scores=False), shortest_edges=[24, 44])
    result = evaluate(views, [sample], categories=views.categories, tasks=("semantic",))
    share = (views.predict(image).label_map == 0).double().mean()
    assert result.to_dict()["pacc"] == pytest.approx(100 * float(share))
    assert views.predict(image).scores is None


def test_a_one_pixel_image_is_a_case(make):
    views = MultiScalePredictor(predictor=make(), shortest_edges=[1, 8])
    assert views.predict(torch.zeros(3, 1, 1, dtype=torch.uint8)).label_map.shape == (1, 1)


def test_the_published_views():
    edges, longest = published_scales("ade20k", 640)
    assert edges == (320, 480, 640, 800, 960, 1120) and longest == 4480
    with pytest.raises(ValueError, match="got dataset='coco', shortest_edge=800.*ade20k at 512"):
        published_scales("coco", 800)


@pytest.mark.parametrize(("edges", "longest"), [((), None), ((24, 0), None), ((24,), 0)], ids=str)
def test_views_that_cannot_be_are_refused(make, edges, longest):
    with pytest.raises(ValueError, match="one view or more, with edges >= 1, got shortest_edges="):
        MultiScalePredictor(predictor=make(), shortest_edges=edges, longest_edge=longest)


def test_other_forms_are_refused(make, image):
    views = MultiScalePredictor(predictor=make(), shortest_edges=[24])
    with pytest.raises(ValueError, match=r"only semantic results .*got forms=\('panoptic',\)"):
        views.predict_forms([image], "panoptic", ("panoptic",))
