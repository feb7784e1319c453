r"""Signals that wait for the end of a training step.

Paper: not in OneFormer (arXiv 2211.06220); not drawn in Figure 2.

Ctrl-C sends SIGINT; schedulers, `kill` and `torchrun` send SIGTERM before they pull the plug. Some
send it twice, to the process and to its group (`timeout`, or Ctrl-C under a launcher that passes it
on): that is one request.

Not here: what happens then (`trainer.py`).
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ECHO_SECONDS = 1.0  # a signal that follows so soon is the same request, sent twice


class StopRequest:
    """Which signal has asked the run to stop; 0 if none has."""

    def __init__(self) -> None:
        self.signal = 0


class StoppedRunError(KeyboardInterrupt):
    """A signal has ended a run; its last checkpoint holds all that was done.

    Args:
        message: What was done and how to go on.
        number: Of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


@contextlib.contextmanager
def defer_signals() -> Iterator[StopRequest]:
    """Hold back the first SIGINT or SIGTERM, so that no update is left half done.

    Yields:
        A request that the first signal fills in; one that comes `ECHO_SECONDS` later acts as ever.
        Nothing is held back outside the main thread, nor a signal that someone else handles.
    """
    request = StopRequest()
    ordinary = {
        number: signal.getsignal(number)
        for number in SIGNALS
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)
    }
    if threading.current_thread() is not threading.main_thread():
        ordinary = {}

    def restore() -> None:
        for number, handler in ordinary.items():
            signal.signal(number, handler)

    asked_at = 0.0

    def remember(number: int, _frame: FrameType | None) -> None:
        nonlocal asked_at
        if request.signal == 0:
            request.signal, asked_at = number, time.monotonic()
        elif time.monotonic() - asked_at >= ECHO_SECONDS:
            restore()
            signal.raise_signal(number)

    for number in ordinary:
        signal.signal(number, remember)
    try:
        yield request
    finally:
        restore()
