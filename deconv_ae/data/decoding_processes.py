"""Decodes pictures on all cores, in processes that run this very file.

Threads would not help: Pillow releases the interpreter lock only for a part of the time that a small picture takes.
`concurrent.futures` does not fit: its processes are forks of a process that runs TensorFlow's threads, or they import
the caller's own script. A script without `if __name__ == "__main__"` would start again.
"""

import contextlib
import itertools
import os
import pickle
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

MIN_PARALLEL_PICTURES = 500
"""For fewer pictures, starting processes takes longer than they save."""

CHUNK_BYTES = 1 << 18
"""A process sends its results together when their pixels exceed this size: pipes are slow for single small pictures."""

PIPE_BYTES = 1 << 20
"""The capacity of a pipe, if Linux grants it: a process decodes further pictures while the parent still reads."""


def decode_all(files: Sequence[str], *arguments: Any, function: str = "decode") -> Iterator[Any]:
    """Calls `decoding.<function>(file, *arguments)` for every file, in several processes for many files.

    Args:
        files: the pictures' paths.
        *arguments: the function's further arguments.
        function: a function of `decoding`: "decode" or "count_own_channels".

    Yields:
        Any: for each file, in order, the function's result, or a str that says what is wrong with the file.

    Raises:
        OSError: if processes cannot be started, or one ends before it has decoded its files.
    """
    num_processes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if num_processes == 1 or len(files) < MIN_PARALLEL_PICTURES:
        yield from _decode_in_this_process(files, function, arguments)
        return
    with contextlib.ExitStack() as running:
        outputs = []
        for index in range(num_processes):
            command = [sys.executable, "-P", __file__]
            process = running.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            # `kill` runs before Popen waits for the process, even if the caller stops reading.
            running.callback(process.kill)
            assert process.stdin is not None
            pickle.dump((files[index::num_processes], function, arguments), process.stdin)
            process.stdin.close()
            _widen(process.stdout)
            outputs.append(_unpickled_results(process.stdout))
        for file, output in zip(files, itertools.cycle(outputs)):
            try:
                yield next(output)
            except (EOFError, pickle.UnpicklingError) as error:
                raise ChildProcessError(f"the process that decodes {file} has died") from error


def _widen(pipe: Any) -> None:
    # Only Linux can widen a pipe, and only while all pipes of the user together take at most 64 MiB. Above this limit,
    # Popen's argument `pipesize` would raise an error.
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _unpickled_results(output: Any) -> Iterator[Any]:
    """Yields the results of a process one by one, and raises EOFError after the last."""
    while True:
        yield from pickle.load(output)


def _decode_in_this_process(files: Sequence[str], function: str, arguments: tuple) -> Iterator[Any]:
    """Yields the function's result for each file, or a str that says what is wrong with the file."""
    # decoding.py is run by its path, because an import of the package would import TensorFlow.
    decoding = runpy.run_path(str(Path(__file__).with_name("decoding.py")))
    for file in files:
        try:
            yield decoding[function](file, *arguments)
        except decoding["PictureError"] as error:
            yield str(error)


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # On Ctrl-C, the parent ends this process.
    with contextlib.suppress(BrokenPipeError, EOFError):  # The parent was killed.
        files, function, arguments = pickle.load(sys.stdin.buffer)
        chunk, chunk_bytes = [], 0
        for decoded in _decode_in_this_process(files, function, arguments):
            chunk.append(decoded)
            chunk_bytes += getattr(decoded, "nbytes", 0)
            if chunk_bytes > CHUNK_BYTES:
                pickle.dump(chunk, sys.stdout.buffer)
                chunk, chunk_bytes = [], 0
        pickle.dump(chunk, sys.stdout.buffer)
        sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    _main()
