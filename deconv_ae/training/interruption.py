"""SIGINT and SIGTERM, remembered until the step that a run is in has ended."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalsHeld:
    """A context in which the first SIGINT or SIGTERM is only noted, and the second ends the process at once.

    Python lets none but the main thread handle signals; entered from another thread, the context
    changes nothing and notes nothing.
    """

    def __init__(self) -> None:
        self._received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "SignalsHeld":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def asked(self) -> int:
        """The first signal's number, 0 while there is none."""
        return self._received

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = number
        for again in SIGNALS:
            signal.signal(again, signal.SIG_DFL)


@contextlib.contextmanager
def signals_end_at_once() -> Iterator[None]:
    """A context in which Ctrl-C and SIGTERM end the process without asking Python, which hears of a
    signal only once a call into TensorFlow has returned. From another thread than the main one it
    changes nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
