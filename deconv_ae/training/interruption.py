"""Handlers of SIGINT, SIGTERM and SIGHUP: a run ends after the steps in progress, or the process ends at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SignalsHeld:
    """A context in which the first signal is only recorded, and a second signal ends the process at once.

    `first_signal` returns the recorded signal.

    Only the main thread can handle signals in Python; in another thread, the context does nothing. A signal that the
    process ignores, such as SIGHUP under nohup, remains ignored.
    """

    def __init__(self) -> None:
        self._first_signal = 0
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> "SignalsHeld":
        self._previous_handlers = _set_handlers(self._record_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def first_signal(self) -> int:
        """Returns the first signal's number, or 0."""
        return self._first_signal

    def _record_signal(self, number: int, frame: FrameType | None) -> None:
        self._first_signal = number
        for handled_number in self._previous_handlers:
            signal.signal(handled_number, signal.SIG_DFL)


@contextlib.contextmanager
def signals_end_at_once() -> Iterator[None]:
    """A context in which signals end the process without Python's handlers.

    Python would call a handler only after a call into TensorFlow has returned, so during a long call the process would
    not end. In a thread other than the main one, the context does nothing.
    """
    previous_handlers = _set_handlers(signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)


def _set_handlers(handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> dict[int, Any]:
    """Sets the handler of all signals that are not ignored, and returns their previous handlers."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in numbers}
