"""Contestants that measure nothing; their processes import no more than this file does."""

import os

import numpy as np
from benchmarks.measurement import Unavailable


class Counting:
    """A contestant that computes a number at once."""

    def __init__(self, number: float) -> None:
        self.number = number

    def check(self) -> list[np.ndarray]:
        return [np.asarray(self.number)]

    def time(self) -> list[float]:
        return [self.number]


class Filling(Counting):
    """A contestant that needs 64 MiB for a moment."""

    def check(self) -> list[np.ndarray]:
        return [np.ones(64 * 2**20, np.uint8)[:1].copy()]


class NotInstalled(Counting):
    def __init__(self) -> None:
        raise Unavailable("it is not installed")


class Broken(Counting):
    def __init__(self) -> None:
        raise ValueError("it is broken")


class Dying(Counting):
    """A contestant whose native library crashes, in its first work or in a later round."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def check(self) -> list[np.ndarray]:
        return [np.asarray(1.0)] if self.rounds else os.abort()

    def time(self) -> list[float]:
        self.rounds -= 1
        return [1.0] if self.rounds else os.abort()
