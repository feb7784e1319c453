"""The files a vocabulary lives in: read and written, with errors that name file and line.

Paper: OneFormer (arXiv 2211.06220); not drawn. The layouts are those of the published checkpoints
and of CLIP's merges file.

Three layouts hold the same two things, merges and ids: a folder with `vocab.json` and
`merges.txt` (published checkpoints), a folder with `tokenizer.json` alone (what transformers 5
saves), and CLIP's `bpe_simple_vocab_16e6.txt`, plain or gzipped (merges only; ids follow).

Not here: what merges and ids mean, and whether they agree (`text/tokenizer.py`).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from minioneformer.text.bpe_training import Pair

HEADER = "#version: 0.2"
GZIP_MAGIC = b"\x1f\x8b"
NUM_CLIP_MERGES = 49152 - 256 - 2  # the file goes on; CLIP stops here
REMEDY = (
    "A published checkpoint folder has vocab.json and merges.txt; CLIP's merges file is read "
    "with BPETokenizer.from_merges_file; BPETokenizer.shipped() needs no file."
)


def read_vocabulary_folder(folder: Path) -> tuple[list[Pair], dict[str, int]]:
    """Read merges and ids.

    Args:
        folder: Holds `vocab.json` and `merges.txt`, or else `tokenizer.json`.

    Returns:
        Merges in order, and the id of each token.

    Raises:
        FileNotFoundError: If the files are not there.
        ValueError: If a file is not what its name says; merges are named by line.
    """
    one_file = folder / "tokenizer.json"
    if one_file.is_file() and not (folder / "vocab.json").exists():
        return _read_tokenizer_json(one_file)
    ids = _checked_ids(_read_json(folder / "vocab.json"), folder / "vocab.json")
    path = folder / "merges.txt"
    lines = _read_lines(path)
    skipped = 1 if lines and lines[0].startswith("#version") else 0
    return _parse_merges(lines[skipped:], path, first_line=skipped + 1), ids


def write_vocabulary_folder(
    folder: Path, merges: Sequence[Pair], token_to_id: Mapping[str, int]
) -> None:
    """Write `vocab.json` and `merges.txt`, the same bytes for the same vocabulary.

    Args:
        folder: Made if it is not there.
        merges: In order.
        token_to_id: Written in order of id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    by_id = dict(sorted(token_to_id.items(), key=lambda item: item[1]))
    lines = [HEADER, *(f"{left} {right}" for left, right in merges)]
    _write(folder / "vocab.json", json.dumps(by_id, ensure_ascii=False, indent=0))
    _write(folder / "merges.txt", "\n".join(lines))


def read_clip_merges(path: Path) -> list[Pair]:
    """Read the merges that CLIP uses: lines 2 to 48895 of its file.

    Args:
        path: `bpe_simple_vocab_16e6.txt`, plain or gzipped.

    Returns:
        48,894 merges in order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is not two symbols, or lines are missing.
    """
    lines = _read_lines(path)[1 : NUM_CLIP_MERGES + 1]
    merges = _parse_merges(lines, path, first_line=2)
    if len(merges) < NUM_CLIP_MERGES:
        raise ValueError(
            f"CLIP's vocabulary needs {NUM_CLIP_MERGES} merges after the header line, got "
            f"{len(merges)} in {path}. Fetch the file again; another vocabulary is read with "
            f"BPETokenizer.from_folder."
        )
    return merges


def _read_lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}. {REMEDY}")
    content = path.read_bytes()
    try:
        content = gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
        text = content.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error}. Fetch it again.") from error
    return text.replace("\r\n", "\n").rstrip("\n").split("\n")


def _parse_merges(lines: Sequence[str], path: Path, *, first_line: int) -> list[Pair]:
    merges = []
    for number, line in enumerate(lines, start=first_line):
        symbols = line.split(" ")
        if len(symbols) != 2 or not all(symbols):
            raise ValueError(
                f"a merge is two symbols with one blank between, got {line!r} in line {number} "
                f"of {path}. Is this a merges file?"
            )
        merges.append((symbols[0], symbols[1]))
    return merges


def _read_json(path: Path) -> object:
    text = "\n".join(_read_lines(path))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON file: {error}. Fetch it again.") from error


def _checked_ids(values: object, path: Path) -> dict[str, int]:
    if not isinstance(values, dict) or not all(type(v) is int for v in values.values()):
        raise ValueError(f"{path} must map each token to its id (a whole number).")
    return values


def _read_tokenizer_json(path: Path) -> tuple[list[Pair], dict[str, int]]:
    values = _read_json(path)
    model = values.get("model") if isinstance(values, dict) else None
    if not isinstance(model, dict) or model.get("type") != "BPE":
        raise ValueError(f"{path} holds no BPE model. {REMEDY}")
    # Older files write a merge as one string, newer ones as a list of two.
    lines = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return _parse_merges(lines, path, first_line=1), _checked_ids(model["vocab"], path)


def _write(path: Path, text: str) -> None:
    path.write_bytes((text + "\n").encode("utf-8"))
