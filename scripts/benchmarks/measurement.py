"""Measures time and memory of contestants that take turns, each in its own process.

Because contestants take turns, other load on the machine slows all of them alike. Separate processes keep memory and
libraries apart: TensorFlow and PyTorch each bring a thread pool.
"""

import contextlib
import ctypes
import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

# A contestant that has not answered after this time, compiling included, counts as hung.
TIMEOUT_SECONDS = 600


class Contestant(Protocol):
    """Does the work that is measured."""

    def check(self) -> Sequence[np.ndarray]:
        """Does the work once and returns its results. All contestants' results must agree."""

    def time(self) -> Sequence[float]:
        """Does the work one or more times, and returns the milliseconds of each time, or only their mean."""


class Unavailable(Exception):
    """A contestant needs something that is missing here. It is left out, with a note."""


class Died(Exception):
    """A contestant's process ended, perhaps in a crash. The contestant's cell says "failed", and a note says why."""


class Failed(Exception):
    """A contestant computes wrong results, raises an error or hangs, so its row fails. The next row is measured."""


@dataclass(frozen=True)
class Turn:
    """The request for a turn: the contestant repeats its work until `seconds` have passed."""

    seconds: float


@dataclass(frozen=True)
class Timing:
    """Milliseconds: the median, both quartiles and the 99th percentile."""

    median: float
    lower: float
    upper: float
    percentile_99: float

    @classmethod
    def of(cls, milliseconds: Sequence[float] | np.ndarray) -> "Timing":
        lower, median, upper, percentile_99 = map(float, np.percentile(milliseconds, (25, 50, 75, 99)))
        return cls(median, lower, upper, percentile_99)

    def __str__(self) -> str:
        digits = 2 if self.median < 10 else 1 if self.median < 100 else 0
        return f"{self.median:.{digits}f} ({self.lower:.{digits}f}-{self.upper:.{digits}f})"


@dataclass(frozen=True)
class Measurement:
    """The time and memory of one contestant.

    Attributes:
        timing: the timing over all rounds.
        peak_mib: the peak memory of the work, tracing and compiling included, on top of libraries, data and model; None
            if it was not asked for or is unknown.
        rounds: the median milliseconds of each round.
    """

    timing: Timing
    peak_mib: float | None
    rounds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """The measurements of one row of a table.

    Attributes:
        measured: the measurements by contestant; empty if the row failed.
        died: the contestants whose processes died before or during the rounds.
        notes: a sentence on each contestant that was left out, died, or failed while its memory was measured.
        failure: a line that says why the whole row failed; None if it did not.
    """

    measured: Mapping[str, Measurement]
    died: frozenset[str] = frozenset()
    notes: Sequence[str] = ()
    failure: str | None = None


@dataclass(frozen=True)
class ContestantProcesses:
    """The contestants' processes by name; they stay alive from one row to the next."""

    processes: Mapping[str, "_Process"]

    @classmethod
    @contextlib.contextmanager
    def of(cls, names: Iterable[str], start: "Start | None" = None) -> Iterator["ContestantProcesses"]:
        """A context in which the processes run; `start` is `start_interpreter` by default."""
        with contextlib.ExitStack() as stack:
            yield cls({name: stack.enter_context(_process(start or start_interpreter)) for name in names})

    def compare(
        self,
        row: str,
        contestants: Mapping[str, Callable[[], Contestant]],
        rounds: int,
        memory: bool,
        check_agreement: Callable[[Mapping[str, Sequence[np.ndarray]]], None],
        turn_seconds: float = 0,
    ) -> Comparison:
        """Measures the contestants of one row.

        Args:
            row: a description of the work, for messages.
            contestants: picklable functions that make the contestants, by name. All other contestants are
                compared with the first, so the row fails if the first is unavailable or its process dies.
            rounds: the number of turns of each contestant, after a first turn that does not count.
            memory: whether to measure memory, too.
            check_agreement: raises Failed if the contestants' results differ.
            turn_seconds: a contestant repeats its work in a turn until this time has passed. In short turns, the system
                often leaves two threads of a contestant on one processor.

        Returns:
            The measurements, or why the row failed.
        """
        try:
            return self._compare(row, contestants, rounds, memory, check_agreement, turn_seconds)
        except Failed as error:
            return Comparison({}, failure=f"{row} failed: {error}")

    def _compare(
        self,
        row: str,
        contestants: Mapping[str, Callable[[], Contestant]],
        rounds: int,
        memory: bool,
        check_agreement: Callable[[Mapping[str, Sequence[np.ndarray]]], None],
        turn_seconds: float,
    ) -> Comparison:
        first = next(iter(contestants))
        for name, make in contestants.items():
            self.processes[name].make(make)
        # Read all answers before raising anything: an unread answer would be taken for the next row's.
        answers = {name: self.processes[name].answer() for name in contestants}
        absent = {name: answer for name, answer in answers.items() if isinstance(answer, ABSENCE_ERRORS)}
        names = [name for name in contestants if name not in absent]
        _raise_if_failed(first, answers)
        check_agreement({name: answers[name] for name in names})
        samples: dict[str, list[Sequence[float]]] = {name: [] for name in names}
        for turn in range(rounds + 1):
            start = turn % len(names)
            for name in names[start:] + names[:start]:
                milliseconds = self.processes[name].ask(Turn(turn_seconds))
                _raise_if_failed(first, {name: milliseconds})
                if isinstance(milliseconds, ABSENCE_ERRORS):
                    absent[name] = milliseconds
                else:
                    samples[name] += [milliseconds] if turn else []
            names = [name for name in names if name not in absent]
        peaks = _peaks_mib({name: contestants[name] for name in names}) if memory else {}
        notes = [_note(row, name, reason) for name, reason in absent.items()]
        notes += [f"{row} {name} has no peak memory: {peak}." for name, peak in peaks.items() if _is_error(peak)]
        measurements = {
            name: Measurement(
                Timing.of(np.concatenate(samples[name])),
                None if _is_error(peaks.get(name)) else peaks.get(name),
                tuple(map(float, map(np.median, samples[name]))),
            )
            for name in names
        }
        died = frozenset(name for name, reason in absent.items() if isinstance(reason, Died))
        return Comparison(measurements, died, notes)


ABSENCE_ERRORS = (Unavailable, Died)
"""If a contestant gives one of these answers, the row goes on without it, unless it is the first contestant."""


def _is_error(answer: Any) -> bool:
    return isinstance(answer, (*ABSENCE_ERRORS, Failed))


def _note(row: str, name: str, reason: Exception) -> str:
    if isinstance(reason, Died):
        return f"{row} {name} failed: {reason}."
    # An unavailable contestant is often unavailable in other rows, too. The note names no row, so it is the same in all
    # of these rows, and the report shows it once.
    return f"{name} has a dash where it cannot run: {reason}."


def _raise_if_failed(first: str, answers: Mapping[str, Any]) -> None:
    """Raises Failed if a contestant failed, or if the first contestant is unavailable or its process died."""
    for name, answer in answers.items():
        if isinstance(answer, Failed) or (isinstance(answer, ABSENCE_ERRORS) and name == first):
            raise Failed(f"{name}: {answer}")


class ServingProcess(Protocol):
    """A process that runs `serve`. `subprocess.Popen` has these methods."""

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...

    def kill(self) -> None: ...


Start = Callable[[multiprocessing.connection.Connection], ServingProcess]
"""Starts a process that runs `serve` on this end of a connection."""


def start_interpreter(connection: multiprocessing.connection.Connection) -> ServingProcess:
    """Starts a new Python interpreter, which has imported nothing.

    multiprocessing's own processes would import the main program, and TensorFlow with it. PyTorch's contestants must
    not have TensorFlow in their process: PyTorch brings triton, and the libraries of triton and TensorFlow crash in
    one process.
    """
    descriptor = connection.fileno()
    command = [sys.executable, "-c", f"from benchmarks.measurement import serve; serve({descriptor})"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        command, pass_fds=[descriptor], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


class _Process:
    """A contestant's process, as the main process sees it; a process that died is started again for the next row."""

    def __init__(self, start: Start) -> None:
        self._start_process = start
        self._start()

    def _start(self) -> None:
        self._connection, child_connection = multiprocessing.Pipe()
        self._process = self._start_process(child_connection)
        child_connection.close()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def make(self, request: Callable[[], Contestant]) -> None:
        """Has the process make a contestant; if the process has died, starts a new one first."""
        if self._process.poll() is not None:
            self._connection.close()
            self._start()
        self.send(request)

    def send(self, request: Any) -> None:
        # If the process is dead, `answer` reports it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(request)

    def ask(self, request: Any) -> Any:
        self.send(request)
        return self.answer()

    def answer(self) -> Any:
        """Receives an answer. Errors are returned, not raised: Unavailable, Died or Failed."""
        if not self._connection.poll(TIMEOUT_SECONDS):
            self._process.kill()
            self._process.wait()
            return Failed(f"it did not answer for {TIMEOUT_SECONDS} s")
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError):
            status = self._process.wait()
            return Died(f"its process died ({signal.Signals(-status).name if status < 0 else f'status {status}'})")
        return answer


@contextlib.contextmanager
def _process(start: Start) -> Iterator[_Process]:
    process = _Process(start)
    try:
        yield process
    finally:
        process.end()


def serve(descriptor: int) -> None:
    """Runs in a contestant's process: answers the requests that arrive on its connection."""
    connection = multiprocessing.connection.Connection(descriptor)
    # Ctrl-C reaches all processes; the main process ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    contestant: Any = None
    mib_before: float | None = None
    while True:
        try:
            request = connection.recv()
        except EOFError:  # The main process has closed the connection.
            return
        try:
            if isinstance(request, Turn):
                answer: Any = _milliseconds(contestant, request.seconds)
            elif request == "peak":
                contestant.time()
                answer = None if mib_before is None else resident_mib("VmHWM") - mib_before
            else:
                contestant = None  # Frees the last contestant's memory.
                gc.collect()
                contestant = request()
                mib_before = _reset_peak()
                answer = [np.asarray(array) for array in contestant.check()]
        except Unavailable as error:
            answer = error
        except Exception as error:
            # Send the error as text, because some exceptions cannot be pickled.
            answer = Failed(" ".join(f"{type(error).__name__}: {error}".split())[:1000])
        connection.send(answer)


def _milliseconds(contestant: Contestant, seconds: float) -> list[float]:
    """Times the contestant's work until `seconds` have passed, at least once."""
    end = time.perf_counter() + seconds
    milliseconds = list(contestant.time())
    while time.perf_counter() < end:
        milliseconds += contestant.time()
    return milliseconds


def _peaks_mib(contestants: Mapping[str, Callable[[], Contestant]]) -> dict[str, Any]:
    """The peak MiB of each contestant's work, by name: None if unknown, and the error if the contestant failed.

    The processes are fresh, because TensorFlow does not return memory. All contestants run at once: unlike their time,
    their memory does not depend on other load.
    """
    with ContestantProcesses.of(contestants) as fresh_processes:
        processes = fresh_processes.processes
        for name, process in processes.items():
            process.make(contestants[name])
        checks = {name: process.answer() for name, process in processes.items()}
        for process in processes.values():
            process.send("peak")
        peaks = {name: process.answer() for name, process in processes.items()}
    return {name: checks[name] if _is_error(checks[name]) else peaks[name] for name in contestants}


def _reset_peak() -> float | None:
    """Resets the peak memory to the memory in use, and returns that in MiB; returns None except on Linux."""
    try:
        # Unused memory that the allocator still holds would hide what the work needs.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return resident_mib()
    except (OSError, AttributeError):
        return None


def resident_mib(field: str = "VmRSS") -> float:
    """Reads a field of Linux's /proc/self/status, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {field}")
