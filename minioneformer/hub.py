"""Where a published folder lies: on this disk, or fetched from the Hugging Face hub by name.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2, plumbing of whatever is loaded.

A folder is used where it is. A name like "shi-labs/oneformer_coco_swin_large" is fetched with
`huggingface_hub` (extra `hub`), which keeps what it fetched. Nothing else opens a connection.

Not here: what the files mean (`checkpoints/`, `hf/`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Literal

TOY = "toy"
HUB_NAME = re.compile(r"[\w.-]*\w/\w[\w.-]*")


def find_folder(
    source: str | Path,
    *,
    files: Sequence[str],
    revision: str | None = None,
    repo_type: Literal["model", "dataset"] = "model",
    hint: str = "",
) -> Path:
    """Give a local folder that holds the files, fetching them if need be.

    Args:
        source: A local folder, or "owner/name" of a repository of the hub, or "toy" for the model
            that ships with the package. A `Path` is always local, and so is a name whose first
            part is a local folder.
        files: Names or patterns of the files wanted; nothing else is fetched.
        revision: Branch, tag or commit of the repository; None takes the newest. Ignored for
            local folders.
        repo_type: Kind of repository.
        hint: One more sentence for the error that nothing was found.

    Returns:
        The folder. Whether the files are in it is for the caller to see.

    Raises:
        FileNotFoundError: If there is no such folder and the source is no name of a repository,
            or the hub does not give it.
        NotADirectoryError: If the source is a file.
        ImportError: If the source has to be fetched and `huggingface_hub` is not installed.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if str(source) == TOY and not path.exists():
        return Path(str(resources.files("minioneformer"))) / "assets" / TOY
    if path.exists():
        raise NotADirectoryError(
            f"a folder is needed, got the file {str(source)!r}. Pass the folder that it lies in."
        )
    if not is_hub_name(source):
        raise FileNotFoundError(
            f"no folder {str(source)!r}, and it is no name of the hub, which is 'owner/name'."
            f"{_sentence(hint)}"
        )
    return _fetch(str(source), files, revision, repo_type, hint)


def is_hub_name(source: str | Path) -> bool:
    """Whether a source that is not there can only mean a repository of the hub.

    Args:
        source: As `find_folder` has it.

    Returns:
        True for "owner/name", unless a folder "owner" is there: then it is a path.

    Example:
        "shi-labs/oneformer_ade20k_swin_tiny" is one; "./weights", "weights" and "a/b/c" are none.
    """
    if isinstance(source, Path) or not HUB_NAME.fullmatch(source):
        return False
    return not Path(source).parent.exists()


def _fetch(
    name: str,
    files: Sequence[str],
    revision: str | None,
    repo_type: Literal["model", "dataset"],
    hint: str,
) -> Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            f"fetching {name!r} from the hub needs huggingface_hub: "
            f'pip install "minioneformer[hub]". A local folder needs nothing.{_sentence(hint)}'
        ) from error
    try:
        folder = huggingface_hub.snapshot_download(
            name, revision=revision, repo_type=repo_type, allow_patterns=list(files)
        )
    except (OSError, ValueError) as error:  # what the library raises derives from these
        raise FileNotFoundError(
            f"the hub gave no {repo_type} {name!r}, and there is no such folder here: {error}"
            f"{_sentence(hint)}"
        ) from error
    return Path(folder)


def _sentence(hint: str) -> str:
    return f" {hint}" if hint else ""
