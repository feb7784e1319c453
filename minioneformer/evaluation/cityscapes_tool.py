"""The process that the official Cityscapes tool runs in, see `cityscapes_protocol.py`.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

The official tool prints, changes global settings, and ends the process at the first mistake. So
it runs in another process and in a folder that is thrown away. This file imports nothing of the
package, and reads and writes one JSON each.

Not here: choosing the files (`cityscapes_protocol.py`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(request_path: str, result_path: str) -> None:
    """Answer one request.

    Args:
        request_path: JSON with `kind` ("instance" or "semantic"), `predictions` and `annotations`
            (paths, pair by pair) and `prediction_root`.
        result_path: Of the JSON with the figures.
    """
    import numpy

    # subtle: cityscapesscripts 2.3 calls a function that NumPy 2.4 no longer has
    numpy.in1d = numpy.isin  # type: ignore[attr-defined]
    request = json.loads(Path(request_path).read_text())
    score = {"instance": score_instances, "semantic": score_labels}[request["kind"]]
    Path(result_path).write_text(json.dumps(score(request)))


def score_instances(request: dict[str, Any]) -> dict[str, Any]:
    """AP and AP50 of masks.

    Args:
        request: See `main`.

    Returns:
        The averages, as the tool names them.
    """
    from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as tool  # noqa: N813

    # subtle: it would list all pairs in a file, and fails at numbers of NumPy 2.4 in it
    tool.writeDict2JSON = lambda *_: None
    tool.args.predictionPath = request["prediction_root"]
    tool.args.gtInstancesFile = str(Path.cwd() / "annotated_instances.json")
    tool.args.JSONOutput = False
    tool.args.colorized = False
    tool.args.quiet = True
    found = tool.evaluateImgLists(request["predictions"], request["annotations"], tool.args)
    return found["averages"]


def score_labels(request: dict[str, Any]) -> dict[str, Any]:
    """IoU and iIoU of label maps.

    Args:
        request: See `main`.

    Returns:
        Scores of classes and categories and their averages, as the tool names them.
    """
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as tool  # noqa: N813

    tool.args.evalInstLevelScore = True
    tool.args.JSONOutput = False
    tool.args.colorized = False
    tool.args.quiet = True
    found = tool.evaluateImgLists(request["predictions"], request["annotations"], tool.args)
    return {name: value for name, value in found.items() if "Score" in name}


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: its files are no packages of others
    main(*sys.argv[1:])
