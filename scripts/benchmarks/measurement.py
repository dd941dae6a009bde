"""Time and memory of contestants that take turns, each in a process of its own.

Taking turns lets what else the machine does slow all of them down. A process of its own keeps their memory apart,
and their libraries: TensorFlow and PyTorch each bring a pool of threads.
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

# A contestant that has not answered for so long, compiling included, never will.
PATIENCE_SECONDS = 600


class Contestant(Protocol):
    """Something that does the work which is measured."""

    def check(self) -> Sequence[np.ndarray]:
        """Does the work once, and returns what it computed: all contestants have to compute the same."""

    def time(self) -> Sequence[float]:
        """Does the work one or more times; milliseconds of each."""


class Unavailable(Exception):
    """What a contestant needs is not installed, or it died: it is left out, with a line that says so."""


class Failed(Exception):
    """A contestant does its work wrongly or never ends: its row is left out, and the others go on."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds: the median, the quartiles around it, and the 99th percentile."""

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
    """What one contestant took.

    Attributes:
        timing: of all rounds together.
        peak_mib: memory that the work needs on top of libraries, data and model, from its first time on, tracing and
            compiling included; None where it was not asked for or the operating system does not tell.
        rounds: the median milliseconds of each.
    """

    timing: Timing
    peak_mib: float | None
    rounds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """What contestants took of one work, a row of a table.

    Attributes:
        measured: by name; nothing where the row failed.
        left_out: a line for each contestant that was left out: because what it needs is not installed, or because its
            process died, as native libraries do that do not get on.
        failure: a line that says why the row failed; None where it did not.
    """

    measured: Mapping[str, Measurement]
    left_out: Sequence[str] = ()
    failure: str | None = None


@dataclass(frozen=True)
class ContestantProcesses:
    """Processes of the contestants, by name, in which they do one work after the other."""

    processes: Mapping[str, "_Process"]

    @classmethod
    @contextlib.contextmanager
    def of(cls, names: Iterable[str], start: "Start | None" = None) -> Iterator["ContestantProcesses"]:
        """Starts the processes, and ends them with the context; `start` is `interpreter`, unless another is given."""
        with contextlib.ExitStack() as started:
            yield cls({name: started.enter_context(_process(start or interpreter)) for name in names})

    def compare(
        self,
        row: str,
        contestants: Mapping[str, Callable[[], Contestant]],
        rounds: int,
        memory: bool,
        agree: Callable[[Mapping[str, Sequence[np.ndarray]]], None],
    ) -> Comparison:
        """Measures contestants side by side.

        Args:
            row: what they do, for messages.
            contestants: by name, picklable functions that make them. The others are compared with the first, without
                which the row fails.
            rounds: turns that each takes, after one that does not count.
            memory: whether to measure memory, too.
            agree: raises Failed if what the contestants computed is not the same.
        """
        try:
            return self._compare(contestants, rounds, memory, agree)
        except Failed as error:
            return Comparison({}, failure=f"{row} failed: {error}")

    def _compare(
        self,
        contestants: Mapping[str, Callable[[], Contestant]],
        rounds: int,
        memory: bool,
        agree: Callable[[Mapping[str, Sequence[np.ndarray]]], None],
    ) -> Comparison:
        for name, make in contestants.items():
            self.processes[name].send(make)
        # All of them before anything is raised: what one has not been asked for is not left for the next row.
        answers = {name: self.processes[name].answer() for name in contestants}
        absent = {name: answer for name, answer in answers.items() if isinstance(answer, Unavailable)}
        names = [name for name in contestants if name not in absent]
        _require(next(iter(contestants)), answers)
        agree({name: answers[name] for name in names})
        samples: dict[str, list[Sequence[float]]] = {name: [] for name in names}
        for turn in range(rounds + 1):
            start = turn % len(names)
            for name in names[start:] + names[:start]:
                milliseconds = self.processes[name].ask("time")
                _require(next(iter(contestants)), {name: milliseconds})
                if isinstance(milliseconds, Unavailable):
                    absent[name] = milliseconds
                else:
                    samples[name] += [milliseconds] if turn else []
            names = [name for name in names if name not in absent]
        peaks = _peaks_mib({name: contestants[name] for name in names}) if memory else {}
        measurements = {
            name: Measurement(
                Timing.of(np.concatenate(samples[name])),
                peaks.get(name),
                tuple(map(float, map(np.median, samples[name]))),
            )
            for name in names
        }
        return Comparison(measurements, [f"{name} is left out: {reason}." for name, reason in absent.items()])


def _require(first: str, answers: Mapping[str, Any]) -> None:
    """Raises Failed if any contestant did, or the first one is left out."""
    for name, answer in answers.items():
        if isinstance(answer, Failed) or (isinstance(answer, Unavailable) and name == first):
            raise Failed(f"{name}: {answer}")


class Started(Protocol):
    """A process that runs `serve`; a `subprocess.Popen` is one."""

    def poll(self) -> int | None: ...

    def wait(self) -> int: ...

    def kill(self) -> None: ...


Start = Callable[[multiprocessing.connection.Connection], Started]
"""Starts a process that serves this end of a connection."""


def interpreter(connection: multiprocessing.connection.Connection) -> Started:
    """A Python of its own, which has imported nothing.

    Not multiprocessing's own processes: they import the main program, and TensorFlow with it. A contestant in PyTorch
    must never have both in one process: triton's and TensorFlow's libraries crash there.
    """
    descriptor = connection.fileno()
    command = [sys.executable, "-c", f"from benchmarks.measurement import serve; serve({descriptor})"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        command, pass_fds=[descriptor], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


class _Process:
    """A contestant's process, from outside; started anew for the next work where it died at the last."""

    def __init__(self, start: Start) -> None:
        self._start_process = start
        self._start()

    def _start(self) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        self._process = self._start_process(theirs)
        theirs.close()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def send(self, request: Any) -> None:
        if self._process.poll() is not None:
            self._connection.close()
            self._start()
        # A process that dies meanwhile is found when it does not answer.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(request)

    def ask(self, request: str) -> Any:
        self.send(request)
        return self.answer()

    def answer(self) -> Any:
        """What the process answers; an Unavailable, not raised, if it cannot do the work or died of it, a Failed if it
        raised an error or did not answer."""
        if not self._connection.poll(PATIENCE_SECONDS):
            self._process.kill()
            self._process.wait()
            return Failed(f"it has not answered for {PATIENCE_SECONDS} s")
        try:
            answer = self._connection.recv()
        except (EOFError, ConnectionResetError):
            status = self._process.wait()
            return Unavailable(f"its process died ({signal.Signals(-status).name if status < 0 else status})")
        return answer


@contextlib.contextmanager
def _process(start: Start) -> Iterator[_Process]:
    process = _Process(start)
    try:
        yield process
    finally:
        process.end()


def serve(descriptor: int) -> None:
    """A contestant's process, from inside: answers what is asked through the connection that it was started with."""
    connection = multiprocessing.connection.Connection(descriptor)
    # Ctrl-C goes to all processes; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    contestant: Any = None
    before: float | None = None
    while True:
        try:
            request = connection.recv()
        except EOFError:  # Nobody asks any more.
            return
        try:
            if request == "time":
                answer: Any = list(contestant.time())
            elif request == "peak":
                contestant.time()
                answer = None if before is None else resident_mib("VmHWM") - before
            else:
                contestant = None  # The last one's memory is free for the next.
                gc.collect()
                contestant = request()
                before = _reset_peak()
                answer = [np.asarray(array) for array in contestant.check()]
        except Unavailable as error:
            answer = error
        except Exception as error:
            # As text: not every exception can be sent.
            answer = Failed(" ".join(f"{type(error).__name__}: {error}".split())[:1000])
        connection.send(answer)


def _peaks_mib(contestants: Mapping[str, Callable[[], Contestant]]) -> dict[str, float | None]:
    """What the contestants' work needs, by name, in fresh processes: TensorFlow keeps what it once had.

    All at once: unlike their time, their memory does not depend on what else runs.
    """
    with ContestantProcesses.of(contestants) as fresh:
        for request in ("make", "peak"):
            for name, process in fresh.processes.items():
                process.send(contestants[name] if request == "make" else request)
            answers = {name: process.answer() for name, process in fresh.processes.items()}
    # Who died of it, or was started anew and knows no work, has no figure.
    return {name: answer if isinstance(answer, float) else None for name, answer in answers.items()}


def _reset_peak() -> float | None:
    """Sets the high-water mark back to what is in use now, and returns that in MiB; None but on Linux."""
    try:
        # Memory that is free, but still the process's own, would hide what is needed.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        return resident_mib()
    except (OSError, AttributeError):
        return None


def resident_mib(field: str = "VmRSS") -> float:
    """A field of Linux's /proc/self/status, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {field}")
