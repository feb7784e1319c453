import signal

import pytest

from minioneformer.training.interrupt import defer_interrupt

pytestmark = pytest.mark.usefixtures("interruptible")


def test_the_first_ctrl_c_is_held_back_and_the_second_is_not():
    with defer_interrupt() as requested:
        assert not requested.is_set()
        signal.raise_signal(signal.SIGINT)
        assert requested.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_ordinary_again_after_an_error():
    with pytest.raises(RuntimeError, match="broken"), defer_interrupt():
        raise RuntimeError("broken")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_where_someone_else_handles_ctrl_c_nothing_is_changed():
    seen = []

    def other(number, frame):
        seen.append(number)

    signal.signal(signal.SIGINT, other)
    try:
        with defer_interrupt() as requested:
            signal.raise_signal(signal.SIGINT)
        assert seen == [signal.SIGINT] and not requested.is_set()
        assert signal.getsignal(signal.SIGINT) is other
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
