"""Image in, results out, with a model small enough to compute by hand."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from minioneformer.inference.instance import instance_inference
from minioneformer.inference.panoptic import panoptic_inference
from minioneformer.inference.predictor import Predictor
from minioneformer.inference.semantic import semantic_inference
from minioneformer.inference.separate_parts import separate_instances, separate_panoptic
from minioneformer.pixels import normalize, pad_to_multiple, resize_image
from minioneformer.structures import TASKS, Category, MaskPrediction
from minioneformer.text.task_prompt import task_prompt
from minioneformer.text.tokenizer import BPETokenizer

CLASSES = [
    Category(name=f"class {i}", is_thing=i != 2, color=(i, i, i), dataset_id=i) for i in range(3)
]


class ColorModel(nn.Module):
    """One query per colour channel and more; masks follow the colours at stride 4."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.class_logits = nn.Parameter(
            torch.tensor([[5.0, 0, 0, 0], [0, 5.0, 0, 0], [0, 0, 5.0, 0], [0, 0, 0, 5.0]])
        )
        self.mask_embeddings = nn.Parameter(
            torch.tensor([[4.0, -1, -1], [-1, 4.0, -1], [-1, -1, 4.0], [1.0, 1, 1]])
        )
        if num_classes != 3:
            self.class_logits = nn.Parameter(torch.zeros(4, num_classes + 1))
        self.calls = []

    def forward(self, images, task_tokens, text_tokens=None, auxiliary=True):
        assert not self.training and not auxiliary and text_tokens is None
        self.calls.append((tuple(images.shape), task_tokens.tolist()))
        scale = 1 + task_tokens.float().std(1)[:, None, None] / 1e4  # the task changes the answer
        return SimpleNamespace(
            predictions=MaskPrediction(
                class_logits=self.class_logits * scale,
                mask_embeddings=self.mask_embeddings * scale,
                mask_features=functional.avg_pool2d(images, 4),
            )
        )


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train([task_prompt(task) for task in TASKS], vocab_size=530)


@pytest.fixture
def make(tokenizer):
    def make_predictor(model=None, **settings):
        model = ColorModel() if model is None else model
        return Predictor(
            model=model, tokenizer=tokenizer, categories=CLASSES, context_length=9, **settings
        )

    return make_predictor


def scene(rng, size=(37, 50)):
    """Coloured blocks with noise."""
    blocks = torch.eye(3)[torch.randint(3, (3, 4), generator=rng)].permute(2, 0, 1) * 200
    image = functional.interpolate(blocks[None], size=size, mode="nearest")[0]
    noise = torch.randint(0, 50, (3, *size), generator=rng)
    return (image + noise).to(torch.uint8)


def plain(predictor, image, task, resized):
    """Class logits and mask logits at the size of the image: every mask at once, step by step."""
    padded, _ = pad_to_multiple(normalize(resize_image(image, resized))[None], 32)
    output = predictor.model(padded, predictor.task_tokens[task], auxiliary=False).predictions
    masks = output.mask_logits
    masks = functional.interpolate(masks, padded.shape[-2:], mode="bilinear", align_corners=False)
    masks = masks[..., : resized[0], : resized[1]]
    masks = functional.interpolate(masks, image.shape[-2:], mode="bilinear", align_corners=False)
    return output.class_logits[0].detach(), masks[0].detach()


@pytest.mark.parametrize("max_pixels", [1, 2**24])
@pytest.mark.parametrize(
    ("edges", "resized"),
    [
        ({}, (37, 50)),
        ({"shortest_edge": 20, "longest_edge": 30}, (20, 27)),
        ({"shortest_edge": 74}, (74, 100)),
        ({"longest_edge": 25}, (19, 25)),
    ],
)
def test_the_results_equal_the_plain_order_of_steps(make, rng, edges, resized, max_pixels):
    predictor = make(max_pixels=max_pixels, keep_scores=True, object_threshold=0.6, **edges)
    image = scene(rng)
    for task in TASKS:
        logits = plain(predictor, image, task, resized)
        result = predictor.predict(image, task)
        if task == "semantic":
            reference = semantic_inference(*logits, keep_scores=True)
            torch.testing.assert_close(result.scores, reference.scores, atol=1e-4, rtol=1e-4)
            assert torch.equal(result.label_map, result.scores.argmax(0))
            assert len(result.label_map.unique()) > 1
        elif task == "instance":
            reference = instance_inference(*logits, CLASSES)
            torch.testing.assert_close(result.scores, reference.scores, atol=1e-4, rtol=1e-4)
            assert torch.equal(result.queries, reference.queries)
            assert (result.masks ^ reference.masks).float().mean() < 1e-3  # logits near zero
            assert result.masks.any()
        else:
            reference = panoptic_inference(*logits, CLASSES, object_threshold=0.6)
            differ = result.segment_map != reference.segment_map
            assert differ.float().mean() < 1e-3
            assert [s.label for s in result.segments] == [s.label for s in reference.segments]
            assert result.segments


def test_a_batch_equals_its_images_one_by_one_in_any_mix_of_sizes(make, rng):
    predictor = make()
    images = [scene(rng, size) for size in ((37, 50), (20, 33), (37, 50), (20, 33), (37, 50))]
    together = predictor.predict_batch(images, "panoptic")
    assert [shape for shape, _ in predictor.model.calls] == [(3, 3, 64, 64), (2, 3, 32, 64)]
    for image, result in zip(images, together, strict=True):
        alone = predictor.predict(image, "panoptic")
        assert torch.equal(alone.segment_map, result.segment_map)
        assert result.segment_map.shape == image.shape[1:]
        assert [(s.id, s.label) for s in alone.segments] == [
            (s.id, s.label) for s in result.segments
        ]


def test_several_forms_cost_one_forward_and_equal_single_ones(make, rng):
    predictor, image = make(), scene(rng)
    forms = predictor.predict_forms([image], "panoptic", TASKS)[0]
    assert len(predictor.model.calls) == 1
    assert tuple(forms) == TASKS
    alone = predictor.predict(image, "panoptic")
    assert torch.equal(forms["panoptic"].segment_map, alone.segment_map)
    prediction, _ = predictor.logits(image[None], "panoptic")
    other_token = predictor.predict(image, "instance")
    assert not torch.equal(forms["instance"].scores, other_token.scores)
    assert not prediction.class_logits.requires_grad


def test_the_model_is_told_the_task(make, rng, tokenizer):
    predictor = make()
    for task in TASKS:
        predictor.predict_batch([scene(rng)] * 2, task)
        row = tokenizer.tokenize(task_prompt(task), 9)[0]
        assert predictor.model.calls[-1][1] == [row, row]
    assert len({str(tokens) for _, tokens in predictor.model.calls}) == 3


def test_a_path_is_read(make, rng, tmp_path):
    image = scene(rng)
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "scene.png")
    for path in (tmp_path / "scene.png", str(tmp_path / "scene.png")):
        result = make().predict(path, "semantic")
        assert torch.equal(result.label_map, make().predict(image, "semantic").label_map)


def test_the_model_is_put_into_evaluation_mode_once(make):
    model = ColorModel().train()
    assert not make(model).model.training


def test_results_are_writable_and_carry_no_gradient(make, rng):
    result = make().predict(scene(rng), "panoptic")
    result.segment_map[0, 0] = 7  # tensors of inference mode would refuse
    assert not result.segment_map.is_inference()


def test_the_settings_reach_the_decoding(make, rng):
    image = scene(rng)
    assert make(object_threshold=0.999).predict(image, "panoptic").segments == ()
    assert len(make(num_instances=1).predict(image, "instance").labels) <= 1
    assert len(make(class_threshold=0.999).predict(image, "instance").labels) == 0
    assert make().predict(image, "semantic").scores is None
    strict = make(overlap_threshold=1.0).predict(image, "panoptic")
    loose = make(overlap_threshold=0.0).predict(image, "panoptic")
    assert len(strict.segments) < len(loose.segments)


def test_no_images_give_no_results(make):
    assert make().predict_batch([], "panoptic") == []


def test_a_one_pixel_image_is_a_case(make):
    image = torch.tensor([200, 0, 0], dtype=torch.uint8)[:, None, None]
    for task in TASKS:
        make().predict(image, task)
    assert make().predict(image, "semantic").label_map.tolist() == [[0]]


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["object_threshold", "overlap_threshold", "class_threshold"])
@pytest.mark.parametrize("value", [-0.1, 1.5])
def test_a_threshold_outside_zero_and_one_is_refused(make, name, value):
    with pytest.raises(ValueError, match=f"{name} is a fraction, 0 to 1, got value={value}"):
        make(**{name: value})


@pytest.mark.parametrize("name", ["shortest_edge", "longest_edge", "num_instances"])
def test_a_number_below_one_is_refused(make, name):
    with pytest.raises(ValueError, match=f"{name} must be >= 1, or None for no limit, got"):
        make(**{name: 0})


def test_a_catalogue_that_does_not_fit_the_model_is_refused(make, rng):
    for task in TASKS:
        with pytest.raises(ValueError, match=r"got num_classes=5, len\(categories\)=3"):
            make(ColorModel(num_classes=5)).predict(scene(rng), task)


def test_things_can_be_cut_into_connected_parts(make, rng):
    image = scene(rng)
    whole, cut = make(), make(separate_parts=3)
    expected = separate_panoptic(whole.predict(image, "panoptic"), CLASSES, smallest=3)
    found = cut.predict(image, "panoptic")
    assert torch.equal(found.segment_map, expected.segment_map)
    instances = separate_instances(whole.predict(image, "instance"), smallest=3)
    assert torch.equal(cut.predict(image, "instance").masks, instances.masks)
    with pytest.raises(ValueError, match="separate_parts must be >= 0 pixels, got .*-1"):
        make(separate_parts=-1)
