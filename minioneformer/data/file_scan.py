"""Every file below a folder that cannot be read, whatever its part in a data set.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

For data sets whose index is broken: then no reader can say which files belong together, but which
of them are damaged can be said at once, and need not wait until the index is mended.

Not here: what a file must hold in its layout (the readers, `data/check.py`).
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from PIL import Image

from minioneformer.image_bytes import BROKEN_FILE_ERRORS, read_image_bytes

IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def find_broken_files(root: str | Path) -> list[str]:
    """Decode every image and parse every JSON file.

    Args:
        root: Folder; everything below it is looked at.

    Returns:
        One line for each file that cannot be read, with its name, in the order of the names.
    """
    problems = []
    for path in sorted(Path(root).rglob("*")):
        try:
            if path.suffix.lower() in IMAGES:
                with Image.open(io.BytesIO(read_image_bytes(path))) as picture:
                    picture.load()
            elif path.suffix.lower() == ".json":
                json.loads(path.read_bytes())
        except (*BROKEN_FILE_ERRORS, RecursionError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            problems.append(reason if str(path) in reason else f"{path}: {reason}")
    return problems
