"""Runs a program of scripts/, or any Python program by its full path, in its own process, without waiting for imports.

The processes are forked from a server that has imported TensorFlow, but has not started TensorFlow's threads.
"""

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import resource
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parents[1]
TIMEOUT_SECONDS = 120

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["faults.preloaded"])


@dataclass(frozen=True)
class Finished:
    """The exit status and the output of a program."""

    status: int
    stdout: str
    stderr: str

    @property
    def error_lines(self) -> list[str]:
        """The lines of standard error."""
        return self.stderr.strip().splitlines()


class RunningProgram:
    """`python scripts/<name> <arguments>` with `directory` as the working directory.

    Attributes:
        pid: the id of the process, to send real signals to.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        directory: Path,
        environment: Mapping[str, str] | None = None,
        largest_file: int | None = None,
    ) -> None:
        """Starts the program. No file can grow beyond `largest_file` bytes, as on a full disk."""
        self._command = f"{name} {' '.join(arguments)}"
        self._output = tempfile.TemporaryDirectory()
        run_arguments = (name, list(arguments), directory, dict(environment or {}), largest_file, self._output.name)
        self._process = _context.Process(target=_run, args=run_arguments)
        _start(self._process)
        assert self._process.pid is not None
        self.pid = self._process.pid

    def __enter__(self) -> "RunningProgram":
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self._process.kill()
            self._process.join()
        self._output.cleanup()

    @property
    def running(self) -> bool:
        """Whether the program is still running."""
        return self._process.is_alive()

    def stop(self, signal_number: int) -> None:
        """Sends a signal if the program is still running."""
        with contextlib.suppress(ProcessLookupError):
            if self.running:
                os.kill(self.pid, signal_number)

    def read(self, stream: str) -> str:
        """The text that the program has written so far to "stdout" or "stderr"."""
        file = Path(self._output.name) / stream
        return file.read_text() if file.exists() else ""

    def wait_until(self, condition: Callable[[], bool], timeout: float = TIMEOUT_SECONDS) -> bool:
        """Waits until `condition` returns True or the program ends, and returns whether `condition` returned True.

        Raises:
            TimeoutError: if neither happens within `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if condition():
                return True
            if not self.running:
                return condition()
            time.sleep(0.001)
        raise TimeoutError(f"{self._command}: waited for {timeout} s")

    def wait(self, seconds: float) -> None:
        """Waits for some seconds, or until the program ends."""
        self._process.join(seconds)

    def finish(self, timeout: float = TIMEOUT_SECONDS) -> Finished:
        """Waits until the program ends, and returns its status and output.

        Raises:
            TimeoutError: if the program still runs after `timeout` seconds.
        """
        self._process.join(timeout)
        if self.running:
            raise TimeoutError(f"{self._command} ran for more than {timeout} s\n{self.read('stderr')}")
        return Finished(self._process.exitcode or 0, self.read("stdout"), self.read("stderr"))


def start_process(target: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """Starts a process that calls `target`, and returns the process and the receiving end of a pipe.

    `target` gets the sending end of the pipe, and then `arguments`.
    """
    receiver, sender = _context.Pipe(duplex=False)
    process = _context.Process(target=target, args=(sender, *arguments))
    _start(process)
    sender.close()
    return process, receiver


def _start(process: BaseProcess) -> None:
    # The fork server needs scripts/ in PYTHONPATH to preload `faults.preloaded`. Before Python 3.12.8 and 3.13.1, the
    # server does not get sys.path, and silently skips a module that it cannot import.
    python_path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SCRIPTS), *([python_path] if python_path else [])])
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        os.environ.update({"PYTHONPATH": python_path} if python_path else {})
    with _hide_main_file():
        process.start()


@contextlib.contextmanager
def _hide_main_file() -> Iterator[None]:
    """Keeps multiprocessing from running the calling program's file again in each new process.

    In that process, the file would define its flags in addition to the flags of the program to run.
    """
    main = vars(sys.modules["__main__"])
    file = main.pop("__file__", None)
    try:
        yield
    finally:
        if file is not None:
            main["__file__"] = file


def run_program(
    name: str, arguments: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None
) -> Finished:
    """Runs `python scripts/<name> <arguments>` to its end."""
    with RunningProgram(name, arguments, directory, environment) as program:
        return program.finish()


def _run(
    name: str,
    arguments: list[str],
    directory: Path,
    environment: dict[str, str],
    largest_file: int | None,
    output_directory: str,
) -> None:
    for descriptor, stream in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(output_directory) / stream, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.update(environment)
    # The program must react to these signals as in a terminal, although nohup and a shell's background jobs make all
    # processes below them ignore the signals.
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)
    if largest_file is not None:
        # Python ignores the signal SIGXFSZ, so a write beyond the limit raises OSError.
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    os.chdir(directory)
    sys.argv = [name, *arguments]
    sys.path.insert(0, str(SCRIPTS))
    runpy.run_path(str(SCRIPTS / name), run_name="__main__")
