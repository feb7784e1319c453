"""Panoptic quality: hand-worked, against loops over pixels, against published figures.

Mutants that must fail: `> 0.5` to `>= 0.5` in matching; void kept in the union; crowd counted as
missed; the crowd of another class excusing; stated areas ignored; `fp / 2` to `fp`; IoUs summed
as floats.
"""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from minioneformer.evaluation.panoptic_quality import ClassQuality, PanopticQuality
from minioneformer.structures import Category, PredictedSegment, Segment


def catalogue(things: int, stuff: int) -> list[Category]:
    return [
        Category(name=f"class {i}", is_thing=i < things, color=(i, i, i), dataset_id=i + 1)
        for i in range(things + stuff)
    ]


CLASSES = catalogue(2, 1)


def found(*pairs: tuple[int, int]) -> list[PredictedSegment]:
    return [PredictedSegment(id=i, label=label, score=1.0) for i, label in pairs]


def true(*pairs: tuple[int, int], crowd: tuple[int, ...] = ()) -> list[Segment]:
    return [Segment(id=i, label=label, is_crowd=i in crowd) for i, label in pairs]


def measure(predicted, predicted_segments, annotated, segments, categories=CLASSES):
    quality = PanopticQuality(categories)
    quality.update(
        torch.as_tensor(predicted), predicted_segments, torch.as_tensor(annotated), segments
    )
    return quality.compute()


def counters(result, label=0):
    c = result.classes[label]
    return c.tp, c.fp, c.fn, c.iou_sum


# --- hand-worked ------------------------------------------------------------------------------


def test_the_docstring_example():
    result = measure(
        [[1, 1, 1, 2, 2]], found((1, 0), (2, 0)), [[1, 1, 1, 1, 2]], true((1, 0), (2, 0))
    )
    assert counters(result) == (1, 1, 1, 0.75)
    assert result.pq == pytest.approx(0.375)
    assert result.pq_things == pytest.approx(0.375)
    assert np.isnan(result.pq_stuff)


def test_the_docstring_example_of_one_class():
    quality = ClassQuality(name="cat", is_thing=True, iou_sum=0.8, tp=1, fp=1, fn=0)
    assert quality.rq == pytest.approx(1 / 1.5)
    assert quality.sq == pytest.approx(0.8)
    assert quality.pq == pytest.approx(0.5333, abs=1e-4)


def test_pixels_on_void_leave_the_union():
    # 2 shared pixels, 2 more of the prediction on void: 2 / (4 + 2 - 2 - 2) = 1
    result = measure([[1, 1, 1, 1]], found((1, 0)), [[5, 5, 0, 0]], true((5, 0)))
    assert counters(result) == (1, 0, 0, 1.0)


def test_another_class_never_matches():
    result = measure([[1, 1]], found((1, 0)), [[1, 1]], true((1, 1)))
    assert counters(result, 0) == (0, 1, 0, 0.0)
    assert counters(result, 1) == (0, 0, 1, 0.0)


def test_a_crowd_is_neither_matched_nor_missed_and_excuses_its_own_class_only():
    annotated, crowd = [[1, 1, 1, 2]], true((1, 0), (2, 1), crowd=(1,))
    same = measure([[7, 7, 0, 8]], found((7, 0), (8, 1)), annotated, crowd)
    assert counters(same, 0) == (0, 0, 0, 0.0)
    assert counters(same, 1) == (1, 0, 0, 1.0)
    other = measure([[7, 7, 0, 8]], found((7, 2), (8, 1)), annotated, crowd)
    assert counters(other, 2) == (0, 1, 0, 0.0)


@pytest.mark.parametrize(("on_void", "false_alarms"), [(2, 1), (3, 0)])
def test_a_prediction_is_excused_if_more_than_half_of_it_is_on_void(on_void, false_alarms):
    annotated = [[0] * on_void + [5] * (4 - on_void)]
    result = measure([[1, 1, 1, 1]], found((1, 0)), annotated, true((5, 1)))
    assert counters(result, 0) == (0, false_alarms, 0, 0.0)


def test_of_two_crowds_of_a_class_the_last_excuses():
    annotated, crowds = [[1, 1, 2, 2]], true((1, 0), (2, 0), crowd=(1, 2))
    assert counters(measure([[7, 7, 0, 0]], found((7, 0)), annotated, crowds)) == (0, 1, 0, 0.0)
    assert counters(measure([[0, 0, 7, 7]], found((7, 0)), annotated, crowds)) == (0, 0, 0, 0.0)


def test_the_stated_area_counts():
    segments = [Segment(id=1, label=0, area=8)]
    result = measure([[1, 1, 1, 1]], found((1, 0)), [[1, 1, 1, 1]], segments)
    assert counters(result) == (0, 1, 1, 0.0)  # 4 / (4 + 8 - 4) is not above one half


def test_a_listed_prediction_with_id_zero_is_a_segment():
    result = measure([[0, 0, 0, 3]], found((0, 0), (3, 1)), [[4, 4, 4, 5]], true((4, 0), (5, 1)))
    assert counters(result, 0) == (1, 0, 0, 1.0)


def test_an_annotated_segment_without_pixels_is_missed():
    result = measure([[1]], found((1, 0)), [[1]], true((1, 0), (2, 1)))
    assert counters(result, 1) == (0, 0, 1, 0.0)


def test_nothing_anywhere_gives_nan_and_nothing_predicted_gives_zero():
    nothing = measure([[0, 0]], [], [[0, 0]], [])
    assert all(np.isnan(v) for v in nothing.to_dict().values())
    assert measure([[0, 0]], [], [[1, 1]], true((1, 0))).pq == 0.0


# --- properties -------------------------------------------------------------------------------


def random_map(rng, segments, classes, crowds=False, size=(7, 9)):
    ids = [int(i) * 7919 + 1 for i in torch.randperm(50, generator=rng)[:segments]]
    blocks = torch.randint(segments + 1, (3, 3), generator=rng)
    blocks = blocks.repeat_interleave(3, 0)[: size[0]].repeat_interleave(3, 1)[:, : size[1]]
    noise = torch.randint(segments + 1, size, generator=rng)
    noisy = torch.rand(size, generator=rng) < 0.2
    segment_map = torch.tensor([0, *ids])[torch.where(noisy, noise, blocks)]
    labels = torch.randint(classes, (segments,), generator=rng).tolist()
    is_crowd = (torch.rand(segments, generator=rng) < 0.3) & crowds
    crowd_ids = tuple(i for i, c in zip(ids, is_crowd.tolist(), strict=True) if c)
    present = set(segment_map.flatten().tolist())
    pairs = [p for p in zip(ids, labels, strict=True) if p[0] in present]
    return segment_map, pairs, crowd_ids


def pixels_of(id_map, segment_id):
    return {(y, x) for y, row in enumerate(id_map) for x, i in enumerate(row) if i == segment_id}


def loop_matches(predicted, predicted_pairs, annotated, pairs, crowds, label):
    """Every matched pair of a class with its IoU, by comparing pixel sets."""
    void, matches = pixels_of(annotated, 0), {}
    for true_id in (i for i, own in pairs if own == label and i not in crowds):
        for found_id in (i for i, own in predicted_pairs if own == label):
            a, b = pixels_of(annotated, true_id), pixels_of(predicted, found_id)
            iou = len(a & b) / len((a | b) - (b & void))
            if iou > 0.5:
                matches[true_id, found_id] = iou
    return matches


def loop_counters(predicted, predicted_pairs, annotated, pairs, crowds, label):
    """The rules of the measure, one pair and one pixel set at a time."""
    matches = loop_matches(predicted, predicted_pairs, annotated, pairs, crowds, label)
    matched_true, matched_found = {t for t, _ in matches}, {f for _, f in matches}
    missed = {i for i, own in pairs if own == label and i not in crowds} - matched_true
    own_crowds = [i for i, own in pairs if own == label and i in crowds]
    excuse = pixels_of(annotated, 0)
    for crowd_id in own_crowds[-1:]:
        excuse |= pixels_of(annotated, crowd_id)
    fp = 0
    for found_id in {i for i, own in predicted_pairs if own == label} - matched_found:
        b = pixels_of(predicted, found_id)
        fp += len(b & excuse) / len(b) <= 0.5
    return len(matches), fp, len(missed), sum(matches.values())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_it_agrees_with_loops_over_pixels(seed):
    rng = torch.Generator().manual_seed(seed)
    annotated, pairs, crowds = random_map(rng, 5, 3, crowds=True)
    predicted, predicted_pairs, _ = random_map(rng, 4, 3)
    if seed % 2:  # a disturbed copy, so that there are matches
        keep = torch.rand(7, 9, generator=rng) < 0.8
        predicted = torch.where(keep, annotated, 0)
        present = set(predicted.flatten().tolist())
        predicted_pairs = [p for p in pairs if p[0] in present]
    result = measure(predicted, found(*predicted_pairs), annotated, true(*pairs, crowd=crowds))
    for label in range(3):
        expected = loop_counters(
            predicted.tolist(), predicted_pairs, annotated.tolist(), pairs, crowds, label
        )
        assert counters(result, label) == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_a_map_against_itself_is_perfect_and_pq_is_sq_times_rq(seed):
    rng = torch.Generator().manual_seed(seed)
    annotated, pairs, _ = random_map(rng, 5, 3)
    perfect = measure(annotated, found(*pairs), annotated, true(*pairs))
    if pairs:
        assert perfect.pq == perfect.to_dict()["sq"] == perfect.to_dict()["rq"] == 1.0
    predicted, predicted_pairs, _ = random_map(rng, 4, 3)
    result = measure(predicted, found(*predicted_pairs), annotated, true(*pairs))
    for c in (*perfect.classes, *result.classes):
        assert c.pq == pytest.approx(c.sq * c.rq)
        assert 0 <= c.pq <= 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_merged_counters_are_those_of_one_stream_and_renaming_ids_changes_nothing(seed):
    rng = torch.Generator().manual_seed(seed)
    one, first, second = (PanopticQuality(CLASSES) for _ in range(3))
    for part in (first, second, second):
        annotated, pairs, crowds = random_map(rng, 4, 3, crowds=True)
        predicted, predicted_pairs, _ = random_map(rng, 4, 3)
        segments = true(*pairs, crowd=crowds)
        one.update(predicted, found(*predicted_pairs), annotated, segments)
        renamed = [(i + 3, label) for i, label in reversed(predicted_pairs)]
        moved = torch.where(predicted > 0, predicted + 3, 0)
        part.update(moved, found(*renamed), annotated, segments)
    first.merge(second)
    for c, d in zip(first.compute().classes, one.compute().classes, strict=True):
        assert (c.tp, c.fp, c.fn) == (d.tp, d.fp, d.fn)
        assert c.iou_sum == d.iou_sum


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.permutations(range(9)))
def test_the_sum_is_exact_in_any_order_and_sharding(seed, order):
    width = 997  # a prime: hardly any IoU is a short binary fraction
    annotated = torch.ones(1, width, dtype=torch.int64)
    first = torch.randint(
        width // 2 + 1, width, (9,), generator=torch.Generator().manual_seed(seed)
    )
    images = [torch.where(torch.arange(width)[None] < n, 7, 0) for n in first]
    one, *parts = (PanopticQuality(CLASSES) for _ in range(4))
    for image in images:
        one.update(image, found((7, 0)), annotated, true((1, 0)))
    for number, i in enumerate(order):
        parts[number % 2].update(images[i], found((7, 0)), annotated, true((1, 0)))
    parts[2].merge(parts[0])  # from nothing
    parts[2].merge(parts[1])
    whole = one.compute()
    assert repr(parts[2].compute()) == repr(whole)
    exact = sum(Fraction(n / width) for n in first.tolist())
    assert whole.classes[0].iou_sum == float(exact)


def test_more_matches_than_an_int64_could_sum():
    ids = torch.arange(1, 1101)
    pairs = [(i, 0) for i in ids.tolist()]
    result = measure(ids[None], found(*pairs), ids[None], true(*pairs))
    assert counters(result) == (1100, 0, 0, 1100.0)


# --- errors -----------------------------------------------------------------------------------


def test_maps_of_different_size_are_refused():
    with pytest.raises(ValueError, match=r"same size, got.*\(1, 2\).*\(2, 1\)"):
        measure([[0, 0]], [], [[0], [0]], [])


def test_a_listed_prediction_without_pixels_is_refused():
    with pytest.raises(ValueError, match=r"needs a pixel, got empty=\[6\]"):
        measure([[5, 5]], found((5, 0), (6, 0)), [[1, 1]], true((1, 0)))


def test_pixels_of_an_unlisted_prediction_are_refused():
    with pytest.raises(ValueError, match=r"in the list of segments.*\[6\]"):
        measure([[5, 6]], found((5, 0)), [[1, 1]], true((1, 0)))


def test_a_stated_area_that_leaves_no_union_is_refused():
    segments = [Segment(id=1, label=0, area=0)]
    with pytest.raises(ValueError, match=r"must be those of the pixels, got stated=\[0\]"):
        measure([[1, 1]], found((1, 0)), [[1, 1]], segments)


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_outside_the_catalogue_are_refused(label):
    with pytest.raises(ValueError, match=rf"catalogue of 3 classes, got unknown=\[{label}\]"):
        measure([[5]], found((5, label)), [[1]], true((1, 0)))


def test_results_of_different_catalogues_do_not_merge():
    with pytest.raises(ValueError, match="one catalogue can be merged, got"):
        PanopticQuality(CLASSES).merge(PanopticQuality(catalogue(1, 1)))


# --- published figures ------------------------------------------------------------------------


def separate(classes: np.ndarray, instances: np.ndarray, is_thing) -> tuple[np.ndarray, list]:
    """A class map and an instance map as a segment map; class -1 is void, stuff is one segment."""
    segment_map, pairs = np.zeros(classes.shape, np.int64), []
    for label in np.unique(classes[classes >= 0]):
        inside = classes == label
        for instance in np.unique(instances[inside]) if is_thing(label) else [None]:
            pairs.append((len(pairs) + 1, int(label)))
            pixels = inside if instance is None else inside & (instances == instance)
            segment_map[pixels] = pairs[-1][0]
    return segment_map, pairs


@pytest.mark.parametrize("index", range(3))
def test_torchmetrics_published_vectors(shared_data, index):
    file = shared_data / "torchmetrics_vectors" / "pq_vectors.json"
    vector = json.loads(file.read_text())[index]
    names = [*vector["things"], *vector["stuffs"]]
    maps = []
    for key in ("preds[category,instance]", "target[category,instance]"):
        array = np.array(vector[key])
        array = array if array.ndim == 3 else array[None]
        labels = np.vectorize(names.index)(array[..., 0])
        maps.append(separate(labels, array[..., 1], lambda label: label < 2))
    (predicted, predicted_pairs), (annotated, pairs) = maps
    result = measure(
        predicted, found(*predicted_pairs), annotated, true(*pairs), catalogue(2, 2)
    ).to_dict()
    for key, value in vector["published"].items():
        assert result[key] == pytest.approx(value, abs=5e-5)
    ours = vector.get("torchmetrics_1.9.0_here", {}).get("pq,sq,rq", [])
    assert [result[k] for k in ("pq", "sq", "rq")][: len(ours)] == pytest.approx(ours, abs=1e-6)


def deeplab_image(folder, name, expected):
    """Class and instance images of one photograph, as segments (class 0 is void)."""
    colours = {
        tuple(map(int, k.split(","))): v
        for k, v in expected["class_colour_map_of_pred_class_png"].items()
    }
    rgb = np.array(Image.open(folder / f"{name}_pred_class.png").convert("RGB"))
    classes = np.vectorize(lambda r, g, b: colours[r, g, b])(*np.moveaxis(rgb, 2, 0))
    instances = np.array(Image.open(folder / f"{name}_pred_instance.png").convert("L"))
    predicted = separate(classes - 1, instances, lambda _: True)
    grey_name = "team_gt_instance" if name == "team" else f"{name}_gt"
    grey = np.array(Image.open(folder / f"{grey_name}.png").convert("L"))
    table = {
        int(k): v for k, v in expected["gt_grey_value_to_class (PNG read as mode L)"][name].items()
    }
    true_classes = np.vectorize(table.get)(grey)
    return *predicted, *separate(true_classes - 1, grey, lambda _: True)


@pytest.mark.parametrize(
    ("names", "published"),
    [
        (("team",), {"pq": 0.62156284, "sq": 0.64664984, "rq": 0.9666667}),
        (("bird", "cat", "team"), {"pq": 0.76855499, "sq": 0.7769174, "rq": 0.98888892}),
    ],
)
def test_deeplab2_published_figures(shared_data, names, published):
    folder = shared_data / "deeplab_eval"
    expected = json.loads((folder / "expected.json").read_text())
    quality = PanopticQuality(catalogue(6, 0))
    for name in names:
        predicted, predicted_pairs, annotated, pairs = deeplab_image(folder, name, expected)
        quality.update(
            torch.as_tensor(predicted),
            found(*predicted_pairs),
            torch.as_tensor(annotated),
            true(*pairs),
        )
    result = quality.compute()
    for key, value in published.items():
        assert result.to_dict()[key] == pytest.approx(value, abs=1e-6)
    recomputed = expected["recomputed_here_with_numpy"]["_".join(names)]["per_class"]
    for category_id, figures in recomputed.items():
        c = result.classes[int(category_id) - 1]
        assert (c.tp, c.fp, c.fn) == (figures["tp"], figures["fp"], figures["fn"])
        assert c.iou_sum == pytest.approx(figures["iou_sum"], abs=1e-9)
