"""Contestants that are timed functions. This module imports no framework."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def calls_per_round(batch_size: int) -> int:
    return max(4, min(100, 2048 // batch_size))


class Calls:
    """A function that is called repeatedly; every call is timed."""

    def __init__(self, call: Callable[[], np.ndarray], batch_size: int) -> None:
        self._call = call
        self._calls = calls_per_round(batch_size)

    def check(self) -> Sequence[np.ndarray]:
        return [self._call()]

    def time(self) -> Sequence[float]:
        ends = [time.perf_counter()]
        for _ in range(self._calls):
            self._call()
            ends.append(time.perf_counter())
        return list(1e3 * np.diff(ends))


class Step:
    """A contestant that calls `run`: a step of the layers suite, with or without its gradient."""

    def __init__(self, run: Callable[[], tuple[Any, ...]]) -> None:
        self._run = run

    def check(self) -> Sequence[np.ndarray]:
        return [np.asarray(array) for array in self._run()]

    def time(self) -> Sequence[float]:
        began = time.perf_counter()
        self._run()
        return [1e3 * (time.perf_counter() - began)]
