"""Cleans up half-finished work when a signal ends the program, or delays the signal until the work is finished.

A signal's handler calls `clean_up_and_end`, see `deconv_ae_programs.process`. If the handler raised an exception
instead, the library that is running could catch, wrap or print the exception.
"""

import contextlib
import os
from collections.abc import Callable, Iterator

_cleanups: list[tuple[int, Callable[[], object]]] = []
_delaying_contexts = 0  # How many contexts of `delay_signals` are open.
_delayed_ends: list[Callable[[], object]] = []


@contextlib.contextmanager
def cleanup_on_signal(clean_up: Callable[[], object]) -> Iterator[None]:
    """A context for half-finished work. If a signal ends the program in this context, `clean_up` is called first.

    If the context ends in another way, the caller cleans up.
    """
    # The process's id is kept because a forked process must not clean up its parent's work.
    entry = os.getpid(), clean_up
    _cleanups.append(entry)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            _cleanups.remove(entry)


@contextlib.contextmanager
def delay_signals() -> Iterator[None]:
    """A context for short work that must not stop half-way: a signal ends the program only after the work."""
    global _delaying_contexts
    _delaying_contexts += 1
    try:
        yield
    finally:
        _delaying_contexts -= 1
        if _delayed_ends and not _delaying_contexts:
            clean_up_and_end(_delayed_ends[0])


def clean_up_and_end(end_now: Callable[[], object]) -> None:
    """Cleans up, and calls `end_now`, which ends the process.

    Inside of contexts of `delay_signals`, this happens only when the outermost of them ends.

    A signal's handler calls this function. Python runs handlers between two bytecode instructions of the main thread.
    """
    if _delaying_contexts:
        _delayed_ends.append(end_now)
        return
    for process_id, clean_up in reversed(_cleanups):
        if process_id == os.getpid():
            with contextlib.suppress(Exception):
                clean_up()
    end_now()
