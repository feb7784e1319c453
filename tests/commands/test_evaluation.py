"""`evaluate` in several processes; what it does in one is in `test_cli.py`."""

import json

from minioneformer.cli import main
from minioneformer.data.toy import ToyPanoptic
from minioneformer.processes import rank


def test_processes_share_the_images_and_one_of_them_writes(in_processes, tmp_path, capfd):
    ToyPanoptic(split="val", size=(33, 21), length=3).write_coco_panoptic(tmp_path / "data")
    words = ["evaluate", "toy", "--dataset", "coco_panoptic", "--data-root", str(tmp_path / "data")]

    def run(name):
        output = tmp_path / f"{name}_{rank()}.json"
        return main([*words, "--output", str(output)]), output.is_file()

    assert run("one") == (0, True)
    alone = capfd.readouterr().out
    assert in_processes(lambda: run("two"), 2) == [(0, True), (0, False)]
    assert capfd.readouterr().out == alone.replace("one_0", "two_0")
    figures = [json.loads((tmp_path / f"{name}_0.json").read_text()) for name in ("one", "two")]
    assert figures[0] == figures[1] and figures[0]["pq"] > 0
