"""The evaluator: each metric asks with its own token, and knows nothing of models."""

import math
from dataclasses import dataclass, field

import pytest
import torch

from minioneformer.data.toy import ToyPanoptic
from minioneformer.evaluation.evaluation_result import EvaluationResult, token_table
from minioneformer.evaluation.evaluator import Evaluator, evaluate, evaluate_all_tokens
from minioneformer.processes import rank
from minioneformer.structures import (
    TASKS,
    Category,
    InstancePrediction,
    PanopticPrediction,
    PanopticSample,
    PredictedSegment,
    Segment,
    SemanticPrediction,
)

CLASSES = [
    Category(name="cat", is_thing=True, color=(1, 1, 1), dataset_id=1),
    Category(name="dog", is_thing=True, color=(2, 2, 2), dataset_id=2),
    Category(name="sky", is_thing=False, color=(3, 3, 3), dataset_id=3),
]


def sample(index: int, size: tuple[int, int]) -> PanopticSample:
    """Two cats and sky, and a void corner; the id is hidden in the image's first pixel."""
    image = torch.zeros(3, *size, dtype=torch.uint8)
    image[0, 0, 0] = index
    segment_map = torch.full(size, 9)
    segment_map[1:4, 1:3], segment_map[1:4, 4:6], segment_map[-1, -1] = 4, 7, 0
    segments = (Segment(id=4, label=0), Segment(id=7, label=0), Segment(id=9, label=2))
    return PanopticSample(
        image=image, segment_map=segment_map, segments=segments, image_id=f"image {index}"
    )


SAMPLES = [sample(i, (7, 9) if i % 2 else (6, 8)) for i in range(5)]


@dataclass
class Oracle:
    """Knows the samples; right only when asked with the token of the form, if `picky`."""

    picky: bool = False
    calls: list = field(default_factory=list)

    def predict_forms(self, images, task, forms):
        self.calls.append((len(images), task, tuple(forms)))
        results = []
        for image in images:
            s = SAMPLES[int(image[0, 0, 0])]
            right = {form: not self.picky or form == task for form in forms}
            results.append({form: self.answer(s, form, right[form]) for form in forms})
        return results

    def answer(self, s, form, right):
        if form == "semantic":
            table = torch.tensor([2, 0, 0, 0, 0, 0, 0, 0, 0, 2 if right else 1])  # void: sky
            return SemanticPrediction(label_map=table[s.segment_map])
        if form == "instance":
            masks = s.segment_map == torch.tensor([4, 7])[:, None, None]
            return InstancePrediction(
                masks=masks if right else ~masks,
                labels=torch.tensor([0, 0]),
                scores=torch.tensor([0.9, 0.8]),
                queries=torch.tensor([0, 1]),
            )
        segments = [PredictedSegment(id=g.id, label=g.label, score=0.9) for g in s.segments]
        if right:
            return PanopticPrediction(segment_map=s.segment_map, segments=tuple(segments))
        return PanopticPrediction(segment_map=torch.zeros_like(s.segment_map), segments=())


def test_a_perfect_predictor_has_hundred_percent_with_each_token_its_own_form():
    oracle = Oracle(picky=True)
    result = evaluate(oracle, SAMPLES, categories=CLASSES, batch_size=2)
    values = result.to_dict()
    for key in ("pq", "sq", "rq", "pq_things", "pq_stuff", "ap", "ap50", "miou", "pacc"):
        assert values[key] == pytest.approx(100)
    assert math.isnan(values["ap_large"])
    expected = [(n, task, (task,)) for n in (2, 2, 1) for task in TASKS]
    assert oracle.calls == expected


def test_the_three_by_three_table_shows_what_the_token_does():
    oracle = Oracle(picky=True)
    results = evaluate_all_tokens(oracle, SAMPLES, categories=CLASSES, batch_size=5)
    assert [task for _, task, _ in oracle.calls] == list(TASKS)  # one forward per token
    for token, result in results.items():
        values = result.to_dict()
        for form, key in (("panoptic", "pq"), ("instance", "ap"), ("semantic", "miou")):
            assert (values[key] == pytest.approx(100)) == (form == token)
    lines = token_table(results).splitlines()
    assert lines[0].split() == ["token", "PQ", "AP", "mIoU"]
    assert [line.split()[0] for line in lines[1:]] == list(TASKS)
    assert lines[3].split()[1] == "100.00" and lines[1].split()[1] == "0.00"


def test_only_the_tasks_asked_for_are_measured():
    oracle = Oracle()
    result = evaluate(oracle, SAMPLES[:1], categories=CLASSES, tasks=("semantic",))
    assert set(result.to_dict()) == {"miou", "fwiou", "macc", "pacc"}
    assert oracle.calls == [(1, "semantic", ("semantic",))]
    assert result.panoptic is None and result.instance is None


def test_no_samples_give_nan():
    result = evaluate(Oracle(), [], categories=CLASSES)
    assert all(math.isnan(value) for value in result.to_dict().values())
    assert "-" in result.table()


def test_merged_evaluators_equal_one():
    oracle = Oracle()
    whole, first, second = (Evaluator(CLASSES) for _ in range(3))
    for i, s in enumerate(SAMPLES):
        prediction = {form: oracle.answer(s, form, right=i > 0) for form in TASKS}
        whole.update(prediction, s)
        (first, second)[i % 2].update(prediction, s)
    second.merge(first)
    assert repr(second.compute()) == repr(whole.compute())
    assert 0 < whole.compute().to_dict()["pq"] < 100


@dataclass
class Baseline:
    """Knows the images of a data set; its masks are off by some pixels and of few scores."""

    samples: dict
    seen: list = field(default_factory=list)

    def predict_forms(self, images, task, forms):
        chosen = [self.samples[image.numpy().tobytes()] for image in images]
        self.seen.append([s.image_id for s in chosen])
        return [{form: self.answer(s, form) for form in forms} for s in chosen]

    def answer(self, s, form):
        # subtle: the neighbours in the batch count, as they do in a network that pads
        shift = (s.image_id + len(self.seen[-1]) + TASKS.index(form)) % 5
        segment_map = s.segment_map.roll(shift, 1)
        labels = torch.tensor([g.label for g in s.segments])
        ids = torch.tensor([g.id for g in s.segments])[:, None, None]
        if form == "semantic":
            return SemanticPrediction(label_map=labels[(segment_map == ids).int().argmax(0)])
        scores = ((torch.arange(len(labels)) + s.image_id) % 3) / 4
        if form == "instance":
            masks = segment_map == ids
            queries = torch.arange(len(labels))
            return InstancePrediction(masks=masks, labels=labels, scores=scores, queries=queries)
        there = set(segment_map.unique().tolist())
        segments = [PredictedSegment(id=g.id, label=g.label, score=0.5) for g in s.segments]
        segments = tuple(segment for segment in segments if segment.id in there)
        return PanopticPrediction(segment_map=segment_map, segments=segments)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_one_two_and_three_processes_give_identical_figures(in_processes, batch_size):
    toy = ToyPanoptic(split="val", size=(37, 53), length=5)  # in batches of 3, one has nothing
    by_image = {sample.image.numpy().tobytes(): sample for sample in toy}

    def measure():
        baseline, toys = Baseline(by_image), list(by_image.values())
        result = evaluate(baseline, toys, categories=toy.categories, batch_size=batch_size)
        table = evaluate_all_tokens(
            baseline, toys, categories=toy.categories, batch_size=batch_size
        )
        return result, repr((result, table)), [i for batch in baseline.seen for i in batch]

    result, alone, seen = measure()
    for num_processes in (2, 3):
        answers = in_processes(measure, num_processes)
        assert [figures for _, figures, _ in answers] == [alone] * num_processes
        assert sorted(i for _, _, part in answers for i in part) == sorted(seen)  # none twice
    assert all(10 < result.to_dict()[name] < 90 for name in ("pq", "ap", "miou"))


def test_only_the_first_process_draws_progress(in_processes, capfd):
    def measure():
        options = dict(tasks=("semantic",), batch_size=1, progress=True)
        evaluate(Oracle(), SAMPLES, categories=CLASSES, **options)
        return rank()

    assert in_processes(measure, 2) == [0, 1]
    assert capfd.readouterr().err.count("evaluate: 100%") == 1


def test_void_and_crowd_are_nobodys_mistake():
    s = SAMPLES[1]
    crowd = (Segment(id=4, label=0, is_crowd=True), *s.segments[1:])
    crowded = PanopticSample(
        image=s.image, segment_map=s.segment_map, segments=crowd, image_id="crowded"
    )
    evaluator = Evaluator(CLASSES)
    evaluator.update({f: Oracle().answer(s, f, True) for f in TASKS}, crowded)
    values = evaluator.compute().to_dict()
    assert [values[k] for k in ("pq", "ap", "miou")] == pytest.approx([100, 100, 100])


def test_the_table_names_figures_and_classes():
    table = evaluate(Oracle(), SAMPLES, categories=CLASSES).table()
    lines = {line.split()[0]: line.split()[1:] for line in table.splitlines()}
    assert lines["panoptic"] == ["PQ", "SQ", "RQ"]
    assert lines["stuff"] == ["100.00", "100.00", "100.00"]
    assert lines["class"] == ["PQ", "AP", "IoU"]
    assert lines["cat"] == ["100.00", "100.00", "100.00"]
    assert lines["dog"] == ["-", "-", "-"]
    assert lines["sky"] == ["100.00", "-", "100.00"]


def test_a_result_without_metrics_is_empty():
    assert EvaluationResult().to_dict() == {}


# --- errors -----------------------------------------------------------------------------------


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match=r"forms must be some of .*got forms=\(\)"):
        Evaluator(CLASSES, forms=())


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match="must be at least 1, got batch_size=0"):
        evaluate(Oracle(), SAMPLES, categories=CLASSES, batch_size=0)


def test_evaluators_of_different_forms_do_not_merge():
    with pytest.raises(ValueError, match="forms must agree, got self.forms="):
        Evaluator(CLASSES).merge(Evaluator(CLASSES, forms=("panoptic",)))


def test_a_prediction_of_another_form_is_refused():
    wrong = {"panoptic": Oracle().answer(SAMPLES[0], "semantic", True)}
    with pytest.raises(TypeError, match="must give a PanopticPrediction, got SemanticPrediction"):
        Evaluator(CLASSES, forms=("panoptic",)).update(wrong, SAMPLES[0])


def test_progress_is_drawn_only_when_asked_for(capsys):
    evaluate(Oracle(), SAMPLES, categories=CLASSES, tasks=("semantic",))
    assert capsys.readouterr() == ("", "")
    evaluate(Oracle(), SAMPLES, categories=CLASSES, tasks=("semantic",), progress=True)
    assert "evaluate" in capsys.readouterr().err
