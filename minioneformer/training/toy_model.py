"""Make the toy model that ships with the package.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

`python -m minioneformer.training.toy_model RUN` takes the model of a finished run of the recipe
"toy" (`minioneformer demo` makes one), leaves out what prediction does not need, stores the
weights in half precision and puts the folder into the package's assets.

Not here: the recipe (`training/recipes.py`).
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

import torch

from minioneformer.checkpoints.pretrained import load_pretrained, save_pretrained

ASSET = Path("assets") / "toy"


def ship(run: str | Path, target: str | Path) -> Path:
    """Copy a trained model without its text branch, in half precision.

    Args:
        run: Folder of a run or of a model.
        target: Folder to write.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: If there is no model in `run`.
        ValueError: If its files are broken.
    """
    pretrained = load_pretrained(run)
    pretrained.modules.to(torch.float16)
    return save_pretrained(target, pretrained)


if __name__ == "__main__":
    ship(sys.argv[1], Path(str(resources.files("minioneformer"))) / ASSET)
