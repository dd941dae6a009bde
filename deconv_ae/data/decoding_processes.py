"""Pictures decoded on all cores.

By processes, not threads: of the time that a small picture takes, Pillow lets other threads run for a part only. Each
runs this very file, and neither forks TensorFlow's threads nor imports TensorFlow.
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

WORTH_PROCESSES = 500
"""Pictures. For fewer, starting processes takes longer than they save."""

BYTES_TOGETHER = 1 << 18
"""Of pixels that cross from process to process at once: pipes are slow for small pictures one by one."""

PIPE_BYTES = 1 << 20
"""A pipe holds where Linux grants it: the next pictures are decoded while those before are written."""


def decode_all(files: Sequence[str], *how: Any, function: str = "decode") -> Iterator[Any]:
    """`decoding.decode(file, *how)` of every file, in order: an array, or a str that says what is wrong with the file.

    Args:
        files: of pictures.
        how: the function's further arguments.
        function: of `decoding`, "decode" or "own_channels".

    Raises:
        OSError: if processes cannot be started, or one ends before it has decoded its files.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count == 1 or len(files) < WORTH_PROCESSES:
        yield from _decoded(files, function, how)
        return
    with contextlib.ExitStack() as running:
        outputs = []
        for index in range(count):
            command = [sys.executable, "-P", __file__]
            process = running.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            running.callback(process.kill)  # Before the wait for its end: whoever reads no further ends it.
            assert process.stdin is not None
            pickle.dump((files[index::count], function, how), process.stdin)
            process.stdin.close()
            _widen(process.stdout)
            outputs.append(_read(process.stdout))
        for file, output in zip(files, itertools.cycle(outputs)):
            try:
                yield next(output)
            except (EOFError, pickle.UnpicklingError) as error:
                raise ChildProcessError(f"the process that decodes {file} has died") from error


def _widen(pipe: Any) -> None:
    # Only Linux has it, and not for more than 64 MiB of one user's pipes, which Popen's own pipesize would fail at.
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _read(output: Any) -> Iterator[Any]:
    while True:
        yield from pickle.load(output)


def _decoded(files: Sequence[str], function: str, how: tuple) -> Iterator[Any]:
    # By its path, as the package would import TensorFlow.
    decoding = runpy.run_path(str(Path(__file__).with_name("decoding.py")))
    for file in files:
        try:
            yield decoding[function](file, *how)
        except decoding["PictureError"] as error:
            yield str(error)


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process.
    with contextlib.suppress(BrokenPipeError, EOFError):  # The parent was killed.
        files, function, how = pickle.load(sys.stdin.buffer)
        decoded, bytes_together = [], 0
        for picture in _decoded(files, function, how):
            decoded.append(picture)
            bytes_together += getattr(picture, "nbytes", 0)
            if bytes_together > BYTES_TOGETHER:
                pickle.dump(decoded, sys.stdout.buffer)
                decoded, bytes_together = [], 0
        pickle.dump(decoded, sys.stdout.buffer)
        sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    _main()
