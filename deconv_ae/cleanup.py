"""What a signal finds half done when it ends a program at once: it is cleared away, or finished first.

Programs end wherever they are: see `deconv_ae_programs.process`. An exception in the place of it would be raised within
whatever library runs just then, which catches it, wraps it or prints it.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

_clearing: list[tuple[int, Callable[[], object]]] = []
_uninterruptible = 0
_ends: list[Callable[[], object]] = []


@contextlib.contextmanager
def cleared_by(clear: Callable[[], object]) -> Iterator[None]:
    """A context after which something is cleared away anyhow; `clear` does it where the program is ended within."""
    entry = os.getpid(), clear  # A process that was forked has nothing of it.
    _clearing.append(entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            _clearing.remove(entry)


@contextlib.contextmanager
def finished_first() -> Iterator[None]:
    """A context that is short, and is not left half-way: a signal ends the program after it."""
    global _uninterruptible
    _uninterruptible += 1
    try:
        yield
    finally:
        _uninterruptible -= 1
        if _ends and not _uninterruptible:
            end(_ends[0])


def end(end_now: Callable[[], object]) -> None:
    """Clears away what is half done and calls `end_now`, which ends the process; after what is to be finished first.

    For the handler of a signal, which Python calls between two steps of the main thread.
    """
    if _uninterruptible:
        _ends.append(end_now)
        return
    for process, clear in reversed(_clearing):
        if process == os.getpid():
            with contextlib.suppress(Exception):
                clear()
    end_now()
