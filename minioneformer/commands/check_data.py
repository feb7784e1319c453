"""`minioneformer check-data`.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: reading and counting (`data/check.py`), the pictures (`visualize/contact_sheet.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from minioneformer.commands.shared import write_figures
from minioneformer.data.check import check_dataset
from minioneformer.data.file_scan import find_broken_files
from minioneformer.data.named import open_on_disk
from minioneformer.text.tokenizer import BPETokenizer
from minioneformer.visualize.contact_sheet import draw_contact_sheet
from minioneformer.visualize.panels import save_figure

REPORT, SHEET = "report.json", "contact_sheet.png"


def check_data(
    dataset: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATASET")],
    /,
    *,
    data_root: Path,
    split: str = "train",
    output: Path = Path("check"),
    vocabulary: Path | None = None,
    queries: int = 150,
    texts: int = 134,
    pictures: int = 12,
    num_workers: int = 2,
    progress: bool = True,
) -> None:
    """Read a data set once, count what is in it, and list everything that is wrong with it.

    Args:
        dataset: "coco_panoptic", "ade20k", "cityscapes", "coco", "mapillary_vistas", or "own" for
            what a dataset.json describes.
        data_root: Folder of its files.
        split: "train", "val" or what the files are called.
        output: Folder for report.json and contact_sheet.png.
        vocabulary: Folder with vocab.json and merges.txt; the shipped one if not given.
        queries: Of the model that will be trained.
        texts: Of the model that will be trained.
        pictures: Images on the contact sheet.
        num_workers: Processes that read.
        progress: Whether to show a progress bar.
    """
    if dataset == "toy":
        raise ValueError("the toy data set is generated: there is nothing on disk to check.")
    try:
        opened = open_on_disk(dataset, data_root, split)
    except (ValueError, OSError) as error:
        _report_unopened(error, data_root, output)
        raise
    report = check_dataset(
        opened,
        tokenizer=None if vocabulary is None else BPETokenizer.from_folder(vocabulary),
        num_queries=queries,
        num_texts=texts,
        num_workers=num_workers,
        progress=progress,
    )
    print(report.table())
    output.mkdir(parents=True, exist_ok=True)
    write_figures(output / REPORT, report.to_dict())
    print(f"\nwrote {output / REPORT}")
    examples = report.examples(pictures) if pictures > 0 else ()
    if examples:
        sheet = draw_contact_sheet((opened[index] for index in examples), opened.categories)
        print(f"wrote {save_figure(sheet, output / SHEET)}")
    if report.errors:
        raise ValueError(
            f"{len(report.errors)} errors in {report.broken_images} of {report.images} images, "
            f"listed in {output / REPORT}."
        )


def _report_unopened(error: Exception, data_root: Path, output: Path) -> None:
    """The index is broken: list beside it the files that are, so that one run names all."""
    broken = find_broken_files(data_root)
    if broken:
        print(f"{len(broken)} files below {data_root} cannot be read:")
        print("\n".join(f"  {line}" for line in broken))
        output.mkdir(parents=True, exist_ok=True)
        errors = [{"index": None, "message": line} for line in (str(error), *broken)]
        write_figures(output / REPORT, {"errors": errors})
        print(f"\nwrote {output / REPORT}")
