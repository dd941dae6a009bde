"""Time and memory of functions, in ways that hold on a machine that does other things as well."""

import dataclasses
import multiprocessing
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Timing:
    """Milliseconds: the median of all rounds and the quartiles around it."""

    median: float
    lower: float
    upper: float

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.lower:.1f}-{self.upper:.1f})"


def time_side_by_side(functions: Mapping[str, Callable[[], Any]], rounds: int, warmup: int = 3) -> dict[str, Timing]:
    """Times functions in turn, so that what slows the machine down slows all of them down.

    Every round calls each function once, starting with another one than the round before.
    """
    names = list(functions)
    for _ in range(warmup):
        for name in names:
            functions[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            began = time.perf_counter()
            functions[name]()
            times[name].append(1e3 * (time.perf_counter() - began))
    return {name: _timing(values) for name, values in times.items()}


def _timing(milliseconds: list[float]) -> Timing:
    lower, median, upper = np.percentile(milliseconds, (25, 50, 75))
    return Timing(float(median), float(lower), float(upper))


def peak_memory(make: Callable[..., Callable[[], Any]], *arguments: Any) -> float | None:
    """How many MiB more than before a function needs while it runs: the second and third call, not the first.

    `make(*arguments)` makes the function in a process of its own, so that no one else's memory counts. None where
    the operating system does not tell.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_peak, args=(sender, make, arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()


def _measure_peak(sender: Any, make: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...]) -> None:
    function = make(*arguments)
    function()
    try:
        before = _memory("VmRSS")
        # Linux: sets the high-water mark back to what is in use now.
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        sender.send(None)
        return
    for _ in range(2):
        function()
    sender.send(_memory("VmHWM") - before)


def _memory(field: str) -> float:
    """A field of Linux's /proc/self/status, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {field}")
