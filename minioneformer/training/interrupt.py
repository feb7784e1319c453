r"""Ctrl-C that waits for the end of a training step.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Not here: what happens then (`trainer.py`), other signals.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def defer_interrupt() -> Iterator[threading.Event]:
    """Hold back the first Ctrl-C, so that no update is left half done.

    Yields:
        An event that the first Ctrl-C sets; the second raises KeyboardInterrupt as ever. Nothing
        is held back outside the main thread or where someone else handles Ctrl-C.
    """
    requested = threading.Event()
    ordinary = signal.default_int_handler
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not ordinary:
        yield requested
        return

    def request(_number: int, _frame: FrameType | None) -> None:
        requested.set()
        signal.signal(signal.SIGINT, ordinary)

    signal.signal(signal.SIGINT, request)
    try:
        yield requested
    finally:
        signal.signal(signal.SIGINT, ordinary)
