"""`minioneformer score` through the front door: published figures, and what `predict` writes.

Mutants that must fail: percent for fractions; nan in the JSON; a renamed key; the zero label
taken from one side only; crowds scored.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from minioneformer import cli
from minioneformer.data.coco_writer import write_coco_panoptic
from minioneformer.data.toy import ToyPanoptic
from minioneformer.evaluation.average_precision import encode_masks
from minioneformer.evaluation.mean_iou import semantic_labels
from minioneformer.panoptic_png import write_panoptic_png

FIGURES = {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"}


@pytest.fixture
def run(capsys):
    """The command's JSON."""

    def run_score(*words):
        capsys.readouterr()
        assert cli.main(["score", *map(str, words)]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return json.loads(out)

    return run_score


def panoptic_words(gt_json, gt_dir, pred_json, pred_dir):
    words = ("--gt-json", gt_json, "--gt-dir", gt_dir, "--pred-json", pred_json)
    return ("panoptic", *words, "--pred-dir", pred_dir)


# --- published figures ------------------------------------------------------------------------


def assert_panoptic(figures, reference):
    for group in ("All", "Things", "Stuff"):
        assert set(figures[group]) == {"pq", "sq", "rq", "n"}
        assert figures[group] == pytest.approx(reference[group], abs=1e-9)
    assert set(figures["per_class"]) == set(reference["per_class"])
    for category_id, expected in reference["per_class"].items():
        assert figures["per_class"][category_id] == pytest.approx(expected, abs=1e-9)


def test_deeplab_sample_with_a_predicted_segment_of_id_zero(shared_data, run):
    folder = shared_data / "deeplab_eval"
    figures = run(
        *panoptic_words(
            folder / "coco_gt.json",
            folder / "coco_gt",
            folder / "coco_pred.json",
            folder / "coco_pred",
        )
    )
    reference = json.loads((folder / "reference_panopticapi_pq.json").read_text())["results"]
    assert_panoptic(figures, reference)
    assert figures["All"]["pq"] == pytest.approx(0.674049, abs=1e-6)


@pytest.mark.parametrize("name", ["gt_vs_itself", "gt_vs_derived_pred"])
def test_panopticapi_sample(shared_data, run, name):
    folder = shared_data / "panopticapi_sample"
    reference = json.loads((folder / "reference_panopticapi_pq.json").read_text())
    pair = reference["runs"][name]
    paths = (reference["gt_json"], reference["gt_folder"], pair["pred_json"])
    figures = run(
        *panoptic_words(
            *(folder / path for path in paths), (folder / pair["pred_json"]).with_suffix("")
        )
    )
    assert_panoptic(figures, pair["results"])
    assert figures["All"]["pq"] == pytest.approx(
        {"gt_vs_itself": 1.0, "gt_vs_derived_pred": 0.360039}[name], abs=1e-6
    )


def test_nuclei_baseline_all_three_ways(shared_data, run):
    folder = shared_data / "dsb2018_nuclei"
    reference = json.loads((folder / "reference.json").read_text())
    truth, found = folder / "annotations", folder / "otsu_pred"
    figures = run(
        *panoptic_words(
            truth / "panoptic_val.json",
            truth / "panoptic_val",
            found / "panoptic_val.json",
            found / "panoptic_val",
        )
    )
    assert_panoptic(figures, reference["panoptic"]["results"])
    assert figures["All"]["pq"] == pytest.approx(0.752526, abs=1e-6)

    words = ("--gt-json", truth / "instances_val.json")
    figures = run("instance", *words, "--pred-json", found / "instances_val_dets.json")
    assert_instance(figures, reference["instance"]["segm"])

    words = ("--gt-dir", truth / "panoptic_val", "--pred-dir", found / "panoptic_val")
    figures = run("semantic", *words, "--num-classes", 2)
    expected = reference["semantic"]
    assert figures["miou"] == pytest.approx(expected["miou"], abs=1e-9)
    assert figures["pacc"] == pytest.approx(expected["pixel_acc"], abs=1e-9)
    assert [figures["per_class"][i]["iou"] for i in "01"] == pytest.approx(expected["iou"])


def assert_instance(figures, reference):
    assert set(figures) == FIGURES
    for name in FIGURES:
        expected = reference[name] if reference[name] > -1 else None
        assert figures[name] == (None if expected is None else pytest.approx(expected, abs=1e-9))


@pytest.mark.parametrize(
    ("iou_type", "published"), [("segm", 0.3195452758576433), ("bbox", 0.5045806987249628)]
)
def test_hundred_coco_images_with_fake_detections(shared_data, run, iou_type, published):
    folder = shared_data / "cocoapi_fake100"
    figures = run(
        *("instance", "--gt-json", folder / "instances_val2014_100.json", "--iou-type", iou_type),
        *("--pred-json", folder / f"instances_val2014_fake{iou_type}100_results.json"),
    )
    assert figures["AP"] == pytest.approx(published, abs=1e-9)
    assert_instance(
        figures, json.loads((folder / "reference_pycocotools_ap.json").read_text())[iou_type]
    )


def test_deeplab_team_instances(shared_data, run):
    folder = shared_data / "deeplab_eval"
    words = ("--gt-json", folder / "team_ap_gt.json", "--pred-json", folder / "team_ap_dt.json")
    expected = json.loads((folder / "expected.json").read_text())
    published = next(v for k, v in expected["published"].items() if "coco_instance_ap" in k)
    figures = run("instance", *words)
    assert_instance(figures, expected["recomputed_here_with_pycocotools_team_AP"]["segm"])
    assert figures["AP50"] == pytest.approx(published["AP50"], abs=1e-4)


def test_scene_parsing_sample(shared_data, run):
    folder = shared_data / "sceneparsing_sample"
    words = ("--gt-dir", folder / "annotations", "--pred-dir", folder / "predictions")
    words = ("semantic", *words, "--num-classes", 150, "--reduce-zero-label")
    figures = run(*words)
    assert set(figures) == {"miou", "fwiou", "macc", "pacc", "per_class"}
    assert figures["miou"] == pytest.approx(0.1000, abs=1e-9)
    assert figures["pacc"] == 1.0
    present = [v for v in figures["per_class"].values() if v["iou"] is not None]
    assert present == [{"iou": 1.0, "acc": 1.0}] * 15 and len(figures["per_class"]) == 150
    assert run(*words, "--absent", "skip")["miou"] == 1.0


def _counted(segment_map):
    return (array.tolist() for array in np.unique(segment_map, return_counts=True))


@pytest.mark.parametrize("index", range(3))
def test_torchmetrics_vectors_written_as_panoptic_files(shared_data, run, tmp_path, index):
    vectors = json.loads((shared_data / "torchmetrics_vectors" / "pq_vectors.json").read_text())
    vector = vectors[index]
    names = [*vector["things"], *vector["stuffs"]]
    categories = [
        {"id": n, "name": str(n), "isthing": int(n in vector["things"])} for n in sorted(names)
    ]
    for side, key in (("found", "preds[category,instance]"), ("true", "target[category,instance]")):
        array = np.array(vector[key])
        array = array if array.ndim == 3 else array[None]
        instance = np.where(np.isin(array[..., 0], vector["things"]), array[..., 1], 0)
        segment_map = 1 + array[..., 0] * 1000 + instance
        segments = [
            {"id": i, "category_id": (i - 1) // 1000, "iscrowd": 0, "area": int(n)}
            for i, n in zip(*_counted(segment_map), strict=True)
        ]
        (tmp_path / side).mkdir()
        write_panoptic_png(tmp_path / side / "1.png", torch.from_numpy(segment_map))
        entry = {"image_id": 1, "file_name": "1.png", "segments_info": segments}
        content = {"annotations": [entry], "categories": categories}
        (tmp_path / f"{side}.json").write_text(json.dumps(content))
    paths = [tmp_path / name for name in ("true.json", "true", "found.json", "found")]
    figures = run(*panoptic_words(*paths))["All"]
    for key, value in vector["published"].items():
        assert figures[key] == pytest.approx(value, abs=5e-5)


# --- what `predict` writes ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy_files(tmp_path_factory):
    """Three toy images, their annotations in each form, and what the shipped model predicts."""
    folder = tmp_path_factory.mktemp("toy")
    toy = ToyPanoptic(split="val", size=(64, 80), length=3)
    samples = [toy[i] for i in range(3)]
    write_coco_panoptic(samples, toy.categories, folder, name="val")
    images = sorted((folder / "val").glob("*.png"))
    (folder / "labels").mkdir()
    rows = json.loads((folder / "annotations" / "panoptic_val.json").read_text())
    annotations = []
    for sample, image in zip(samples, rows["images"], strict=True):
        labels = semantic_labels(sample.segment_map, sample.segments)
        path = folder / "labels" / image["file_name"]
        Image.fromarray(labels.numpy().astype(np.uint8)).save(path)
        for segment in sample.segments:
            (runs,) = encode_masks(sample.segment_map[None] == segment.id)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": toy.categories[segment.label].dataset_id,
                    "segmentation": {"size": runs["size"], "counts": runs["counts"].decode()},
                    "area": int((sample.segment_map == segment.id).sum()),
                    "iscrowd": 0,
                }
            )
    things = [c for c in rows["categories"] if c["isthing"]]
    thing_ids = {c["id"] for c in things}
    annotations = [a for a in annotations if a["category_id"] in thing_ids]
    content = {"images": rows["images"], "annotations": annotations, "categories": things}
    (folder / "instances_val.json").write_text(json.dumps(content))
    for task in ("panoptic", "instance", "semantic"):
        words = ["predict", "toy", *map(str, images), "--task", task]
        assert cli.main([*words, "--output", str(folder / "results")]) == 0
    return folder, len(toy.categories)


def test_panoptic_results_of_predict_are_scored(toy_files, run):
    folder, _ = toy_files
    figures = run(
        *panoptic_words(
            folder / "annotations" / "panoptic_val.json",
            folder / "panoptic_val",
            folder / "results" / "panoptic.json",
            folder / "results" / "panoptic",
        )
    )
    assert 0.4 < figures["All"]["pq"] < 1 and figures["All"]["n"] > 3


def test_instance_results_of_predict_are_scored(toy_files, run):
    folder, _ = toy_files
    words = ("--gt-json", folder / "instances_val.json")
    figures = run("instance", *words, "--pred-json", folder / "results" / "instances.json")
    assert 0.3 < figures["AP"] < 1
    assert figures["APl"] is None  # nothing of 96 x 96 pixels is there


def test_semantic_results_of_predict_are_scored_against_labels_and_segments(toy_files, run):
    folder, num_classes = toy_files
    found = folder / "results" / "semantic"
    words = ("semantic", "--pred-dir", found, "--num-classes", num_classes)
    figures = run(*words, "--gt-dir", folder / "labels")
    assert 0.4 < figures["miou"] < 1
    truth = ("--gt-dir", folder / "panoptic_val")
    json_path = folder / "annotations" / "panoptic_val.json"
    assert run(*words, *truth, "--gt-json", json_path) == figures
    reduced = folder / "from_one"  # as ADE20K counts: 0 is "other"
    reduced.mkdir(exist_ok=True)
    for path in (folder / "labels").glob("*.png"):
        labels = np.array(Image.open(path)).astype(np.int64) + 1
        Image.fromarray(np.where(labels > 255, 0, labels).astype(np.uint8)).save(
            reduced / path.name
        )
    options = ("--reduce-zero-label", "--pred-from-zero", "--absent", "skip")
    assert run(*words, "--gt-dir", reduced, *options) == figures


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["instance", "--gt-json", "no.json", "--pred-json", "no.json"], "no JSON file"),
        (
            [*("semantic", "--gt-dir", "none", "--pred-dir", "none", "--num-classes", "3")],
            "no folder of PNGs",
        ),
        ([*panoptic_words("no.json", ".", "no.json", ".")], "no JSON file"),
    ],
)
def test_a_mistake_gives_one_line(words, message, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["score", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert message in err


def test_categories_that_nobody_annotated_are_left_out_with_a_warning(tmp_path, capsys):
    truth = {
        "images": [{"id": 1, "height": 10, "width": 20}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7, "area": 100, "iscrowd": 0}],
        "categories": [{"id": 7, "name": "cat"}],
    }
    truth["annotations"][0]["bbox"] = [0, 0, 10, 10]
    found = [
        {"image_id": 1, "category_id": c, "bbox": [0, 0, 10, 10], "score": 0.5} for c in (7, 8)
    ]
    for name, content in (("true.json", truth), ("found.json", found)):
        (tmp_path / name).write_text(json.dumps(content))
    paths = ("--gt-json", str(tmp_path / "true.json"), "--pred-json", str(tmp_path / "found.json"))
    assert cli.main(["score", "instance", *paths, "--iou-type", "bbox"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["AP"] == pytest.approx(1.0)
    assert err.count("\n") == 1 and "got category ids [8] (1 in all)" in err
