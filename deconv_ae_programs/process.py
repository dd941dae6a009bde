"""A program's surroundings: standard streams, signals and the memory limit.

`begin` comes before every other import: libraries take seconds to load, and print tracebacks of dozens of lines if they
are interrupted or cannot write.
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
"""In this order: Ctrl-C; the end of the system or of a scheduler's job; a closed terminal or connection."""
SMALLEST_ADDRESS_SPACE = 4 * 2**30
"""Training on small images took 2.9 GiB of address space on two processors. If the space runs out, TensorFlow
aborts."""

_error_descriptor = 2


def begin() -> None:
    """Replaces closed streams, ignores failed writes, and lets a signal end the process with one line.

    If the shell's memory limit is too low, the process ends here, with one line and status 2.
    """
    global _error_descriptor
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # Replaces a closed stream. Otherwise the next opened file would get the stream's number, and printed text
            # would go into that file.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if not isinstance(sys.stdout, Output):
        sys.stdout = Output(sys.stdout or open(1, "w", closefd=False))  # type: ignore[assignment]  # noqa: SIM115
        sys.stderr = Output(sys.stderr or open(2, "w", closefd=False))  # type: ignore[assignment]  # noqa: SIM115
    _error_descriptor = os.dup(2)
    for signal_number in SIGNALS:
        # A shell's background job ignores SIGINT, and a job of nohup ignores SIGHUP. Such signals stay ignored.
        if signal.getsignal(signal_number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(signal_number, _end_at_once)
    _check_address_space()


def raise_on_ctrl_c() -> None:
    """Makes Ctrl-C raise KeyboardInterrupt, for a program whose main thread only waits from now on."""
    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def status_after_flush(status: int) -> int:
    """Flushes standard output, and returns the exit status: 1 in place of 0 if output was lost."""
    # The work is over. A signal has nothing left to clean up, so it may kill the process.
    for signal_number in SIGNALS:
        if signal.getsignal(signal_number) is not signal.SIG_IGN:
            signal.signal(signal_number, signal.SIG_DFL)
    with contextlib.suppress(ValueError):
        sys.stdout.flush()
    # A reader that closes the pipe early is no failure. Every other error is lost output.
    error = getattr(sys.stdout, "error", None)
    if error is not None and error.errno != errno.EPIPE:
        status = status or print_error(
            f"standard output cannot be written: {error.strerror}; redirect it to another place", 1
        )
    return status


def print_error(error: object, status: int) -> int:
    """Prints an error as one line without control characters; returns the status."""
    line = " ".join(str(error).split())
    shown = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line)
    print("error:", shown, file=sys.stderr, flush=True)
    return status


class Output:
    """A text stream that raises no OSError: it drops text that cannot be written, and keeps the first error.

    Training must go on if the program that reads its progress bar ends, or if the disk of its log is full.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # A name may have characters that the terminal lacks.

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError as error:
            self._handle_failure(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._handle_failure(error)

    def _handle_failure(self, error: OSError) -> None:
        self.error = self.error or error
        # Discards the buffer. Otherwise Python would try to write the buffer again at every write, and when it exits.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _end_at_once(signal_number: int, frame: FrameType | None) -> None:
    for each in SIGNALS:  # A second signal kills the process.
        signal.signal(each, signal.SIG_DFL)
    # All code that has something to clean up imports `deconv_ae.cleanup`. If it is not imported, there is nothing to
    # clean up.
    cleanup = sys.modules.get("deconv_ae.cleanup")
    end_now = functools.partial(_end, signal_number)
    if cleanup is None:
        end_now()
    else:
        cleanup.clean_up_and_end(end_now)


def _end(signal_number: int) -> None:
    with contextlib.suppress(OSError):
        os.write(_error_descriptor, b"error: interrupted\n")
    os._exit(128 + signal_number)


def _check_address_space() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < SMALLEST_ADDRESS_SPACE:
        needed = f"{SMALLEST_ADDRESS_SPACE / 2**30:g} GiB"
        problem = f"the shell's memory limit (ulimit -v) is {limit / 2**30:.1f} GiB"
        sys.exit(print_error(f"{problem}, and the programs need {needed}; raise it: ulimit -v unlimited", 2))
