"""What a program is given by whoever starts it: standard streams, signals and a limit of memory.

`begin` comes before every other import: libraries take seconds to load, and what they do when they are interrupted
or cannot write is dozens of lines long.
"""

import contextlib
import errno
import functools
import os
import signal
import sys
from types import FrameType
from typing import Any, TextIO

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a system's or scheduler's end, and a terminal or its connection that is closed."""
SMALLEST_ADDRESS_SPACE = 4 * 2**30
"""A training of small images took 2.9 GiB of addresses on two processors; where they run out, TensorFlow aborts."""

_errors = 2


def begin() -> None:
    """Makes streams that can be written whatever they are, and an interruption one line."""
    global _errors
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # A closed one: the next file that is opened would get its number, and what is printed.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if not isinstance(sys.stdout, Output):
        sys.stdout = Output(sys.stdout or open(1, "w", closefd=False))  # type: ignore[assignment]  # noqa: SIM115
        sys.stderr = Output(sys.stderr or open(2, "w", closefd=False))  # type: ignore[assignment]  # noqa: SIM115
    _errors = os.dup(2)
    for number in SIGNALS:
        # A shell's background job ignores SIGINT, nohup's SIGHUP, and goes on to.
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _end_at_once)
    _check_address_space()


def wait_until_interrupted() -> None:
    """From here on Ctrl-C is an exception: for a program whose main thread does nothing any more but wait."""
    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end(status: int) -> int:
    """Writes what is still to be written; the status to end with."""
    for number in SIGNALS:  # The work is done or given up: nothing is left to clear away.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(ValueError):
        sys.stdout.flush()
    # A reader that has seen enough and left is no failure; everything else is lost output.
    error = getattr(sys.stdout, "error", None)
    if error is not None and error.errno != errno.EPIPE:
        status = status or say(f"standard output cannot be written: {error.strerror}; give it another place", 1)
    return status


def say(error: object, status: int) -> int:
    """Prints an error as one line without control characters; returns the status."""
    line = " ".join(str(error).split())
    shown = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line)
    print("error:", shown, file=sys.stderr, flush=True)
    return status


class Output:
    """A text stream that never raises: what cannot be written is dropped, and the first reason kept.

    A training is worth more than its progress bar; whoever reads that may leave, and a disk may fill up.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # A name may have characters that a terminal has not.

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError as error:
            self._lost(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lost(error)

    def _lost(self, error: OSError) -> None:
        self.error = self.error or error
        # What is in the buffer goes nowhere: it would be tried again at every write, and when Python ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    for again in SIGNALS:
        signal.signal(again, signal.SIG_DFL)
    cleanup = sys.modules.get("deconv_ae.cleanup")  # Whoever has begun something has loaded it.
    end_now = functools.partial(_end, number)
    if cleanup is None:
        end_now()
    else:
        cleanup.end(end_now)


def _end(number: int) -> None:
    with contextlib.suppress(OSError):
        os.write(_errors, b"error: interrupted\n")
    os._exit(128 + number)


def _check_address_space() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < SMALLEST_ADDRESS_SPACE:
        needed = f"{SMALLEST_ADDRESS_SPACE / 2**30:g} GiB"
        given = f"the shell's limit of memory (ulimit -v) is {limit / 2**30:.1f} GiB"
        sys.exit(say(f"{given}, and TensorFlow alone takes {needed}; raise it: ulimit -v unlimited", 2))
