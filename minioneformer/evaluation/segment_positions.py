"""Which segment of a list each pixel belongs to.

Paper: OneFormer (arXiv 2211.06220), Sec. 4.1; Figure 2 box: not drawn.

Segment ids are arbitrary (COCO's run up to 2^24); counting needs 0, 1, 2, ... instead. All three
metrics start from this one step, so a map and its list of segments are checked in one place.

Not here: reading ids from a PNG (`panoptic_png.py`), making targets (`data/targets.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from minioneformer.structures import VOID_ID

NO_SEGMENT = -1  # the position of void pixels


def segment_positions(segment_map: Int[Tensor, "H W"], ids: Sequence[int]) -> Int[Tensor, "H W"]:
    """Replace each id of a map by its position in a list of ids.

    Args:
        segment_map: Segment id of each pixel.
        ids: Of the segments, in any order; may name `VOID_ID`, which is then a segment.

    Returns:
        Position in `ids`; `NO_SEGMENT` where the map holds `VOID_ID` and `ids` does not name it.
        Always on the CPU.

    Raises:
        ValueError: If an id is listed twice, or the map holds an id that is not listed.

    Example:
        The map [[7, 0, 3]] with ids (3, 7) gives [[1, -1, 0]].
    """
    if len(set(ids)) != len(ids):
        twice = sorted({i for i in ids if list(ids).count(i) > 1})
        raise ValueError(f"each segment needs its own id, got twice={twice[:5]} in the list.")
    segment_map = segment_map.cpu().long()
    if not ids:
        positions = torch.full_like(segment_map, NO_SEGMENT)
        listed = positions.bool().logical_not()
    else:
        sorted_ids, order = torch.tensor(list(ids), dtype=torch.int64).sort()
        nearest = torch.searchsorted(sorted_ids, segment_map).clamp_(max=len(ids) - 1)
        listed = sorted_ids[nearest] == segment_map
        positions = torch.where(listed, order[nearest], NO_SEGMENT)
    unlisted = ~listed & (segment_map != VOID_ID)
    if unlisted.any():
        strangers = segment_map[unlisted].unique()[:5].tolist()
        raise ValueError(
            f"every id in the map must be in the list of segments, got pixels with ids "
            f"{strangers=}; list them, or set their pixels to {VOID_ID} (void)."
        )
    return positions
