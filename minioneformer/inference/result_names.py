"""Names of result files: inside their folder, and each given out once.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; not drawn in Figure 2.

Not here: what is in the files (`result_files.py`).
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from minioneformer.atomic import write_text_atomically

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


class ResultNames:
    """Where the results of one kind go: `folder/{kind}.json` and PNGs in `folder/{kind}/`.

    Args:
        folder: Created if missing.
        kind: Of result.

    Raises:
        FileExistsError: If the JSON is there already.
    """

    def __init__(self, folder: str | Path, kind: str) -> None:
        self.json_path = Path(folder) / f"{kind}.json"
        self.png_folder = Path(folder) / kind
        self._image_of_png: dict[str, str] = {}
        self._image_ids: set[int | str] = set()
        if self.json_path.exists():
            raise FileExistsError(
                f"there are results already, got {str(self.json_path)!r}. "
                f"Choose another folder, or delete them first."
            )
        Path(folder).mkdir(parents=True, exist_ok=True)

    def claim_id(self, image_id: int | str) -> None:
        """Note that there is a result for an image.

        Args:
            image_id: Of the image.

        Raises:
            ValueError: If there is one already.
        """
        if image_id in self._image_ids:
            raise ValueError(f"two results share an id, got {image_id=}.")
        self._image_ids.add(image_id)

    def claim_png(self, file_name: str) -> str:
        """Name the PNG of an image.

        Args:
            file_name: Of the image, relative to the folder of the images, with / between parts.

        Returns:
            The same path with ".png" for the ending of an image file, or ".png" added.

        Raises:
            ValueError: If the name leads out of the folder, or another image has that PNG.

        Example:
            "b/cat.jpg" becomes "b/cat.png", and "frame.0001" becomes "frame.0001.png".
        """
        png_name = _png_name(file_name)
        key = png_name.casefold()  # subtle: on some disks "A.png" and "a.png" are one file
        if key in self._image_of_png:
            raise ValueError(
                f"two images would share the result {png_name!r}, got {file_name=} and "
                f"{self._image_of_png[key]!r}. Name them apart, or use two folders."
            )
        self._image_of_png[key] = file_name
        return png_name

    def png_path(self, png_name: str) -> Path:
        """Where to write a PNG; the folder it lies in is made.

        Args:
            png_name: As `claim_png` gave it.

        Returns:
            The path.

        Raises:
            ValueError: If a link in the folder leads out of it.
        """
        path = self.png_folder / png_name
        # subtle: a link that lies in the folder is followed before the comparison
        if not path.resolve().is_relative_to(self.png_folder.resolve()):
            raise ValueError(
                f"results must stay inside {str(self.png_folder)!r}, got {png_name=}, which is "
                f"behind a link. Delete the link."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_json(self, content: dict[str, Any] | list[dict[str, Any]]) -> Path:
        """Write the JSON; it comes last, for it says that the results are complete.

        Args:
            content: Of the JSON.

        Returns:
            Its path.
        """
        write_text_atomically(self.json_path, json.dumps(content))
        return self.json_path


def _png_name(file_name: str) -> str:
    """The name of the image with another ending; folders are kept."""
    path = PurePosixPath(file_name)
    # subtle: "C:x" is a plain name on one system and another disk on the next
    leaves = ".." in path.parts or PureWindowsPath(file_name).anchor
    if leaves or not path.name or "\\" in file_name or "\0" in file_name:
        raise ValueError(
            f"a file name must be a path inside the folder of the images, with / between its "
            f"parts, got {file_name=}."
        )
    stem = path.stem if path.suffix.lower() in IMAGE_ENDINGS else path.name
    return str(path.with_name(f"{stem}.png"))
