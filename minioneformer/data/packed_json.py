"""Many small JSON values in one block of memory.

Paper: OneFormer (arXiv 2211.06220); not drawn in Figure 2.

A list of a million dictionaries costs gigabytes, and workers that only look at it copy it, page by
page, because Python counts references inside the objects. Two arrays stay as they are.

Not here: what the values mean (`data/coco_instance.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np


class PackedJson:
    """A read-only list of JSON values, parsed anew at each access.

    Args:
        values: Anything that JSON can say.

    Example:
        `PackedJson([{"a": 1}, [2]])[1]` is [2].
    """

    def __init__(self, values: Iterable[Any]) -> None:
        texts = [json.dumps(value).encode() for value in values]
        self._ends = np.cumsum([0, *(len(text) for text in texts)], dtype=np.int64)
        self._block = np.frombuffer(b"".join(texts), dtype=np.uint8)

    def __len__(self) -> int:
        """How many values there are."""
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> Any:
        """Parse one value.

        Args:
            index: Negative ones count from the end.

        Returns:
            The value.

        Raises:
            IndexError: If there is no such position.
        """
        position = range(len(self))[index]
        start, end = self._ends[position], self._ends[position + 1]
        return json.loads(self._block[start:end].tobytes())
