"""Mutants that must fail: an echo that kills; a second request that is taken for an echo."""

import signal

import pytest

from minioneformer.training import interrupt
from minioneformer.training.interrupt import defer_signals

pytestmark = pytest.mark.usefixtures("interruptible")


@pytest.fixture(autouse=True)
def ordinary_termination():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_held_back_and_remembered(number):
    ordinary = signal.getsignal(number)
    with defer_signals() as request:
        assert request.signal == 0
        signal.raise_signal(number)
        assert request.signal == number
    assert signal.getsignal(number) == ordinary


@pytest.mark.parametrize("echo", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_is_sent_twice_is_one_request(echo):
    with defer_signals() as request:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(echo)
        assert request.signal == signal.SIGTERM
    assert signal.getsignal(echo) in (signal.SIG_DFL, signal.default_int_handler)


def test_a_second_ctrl_c_is_not_held_back(monkeypatch):
    monkeypatch.setattr(interrupt, "ECHO_SECONDS", 0)
    with defer_signals():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_signals_are_ordinary_again_after_an_error():
    with pytest.raises(RuntimeError, match="broken"), defer_signals():
        raise RuntimeError("broken")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_where_someone_else_handles_a_signal_nothing_is_changed(number):
    seen = []

    def other(number, frame):
        seen.append(number)

    before = signal.signal(number, other)
    try:
        with defer_signals() as request:
            signal.raise_signal(number)
        assert seen == [number] and request.signal == 0
        assert signal.getsignal(number) is other
    finally:
        signal.signal(number, before)
