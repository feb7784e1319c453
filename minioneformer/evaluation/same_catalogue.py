"""Results of several processes can be added up if they are about the same classes.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: what is added (`panoptic_quality.py`, `average_precision.py`, `mean_iou.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from minioneformer.structures import Category


def check_same_catalogue(first: Sequence[Category], second: Sequence[Category]) -> None:
    """Refuse to merge results of different catalogues.

    Args:
        first: Of the one.
        second: Of the other.

    Raises:
        ValueError: If they differ in any entry.
    """
    if tuple(first) != tuple(second):
        raise ValueError(
            f"only results of one catalogue can be merged, got {len(first)=}, {len(second)=} with "
            "other entries."
        )
