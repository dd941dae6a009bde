"""For tests: forked processes, and contestants whose processes import only what this file imports."""

import os
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from benchmarks.measurement import Unavailable, serve
from faults.programs import start_process


class Constant:
    """A contestant that does no work. Its result and its milliseconds are both `number`."""

    def __init__(self, number: float) -> None:
        self.number = number

    def check(self) -> list[np.ndarray]:
        return [np.asarray(self.number)]

    def time(self) -> list[float]:
        return [self.number]


class Filling(Constant):
    """A contestant that needs 64 MiB for a moment."""

    def check(self) -> list[np.ndarray]:
        return [np.ones(64 * 2**20, np.uint8)[:1].copy()]


class NotInstalled(Constant):
    """A contestant whose library is not installed."""

    def __init__(self) -> None:
        raise Unavailable("it is not installed")


class Broken(Constant):
    """A contestant that cannot be made."""

    def __init__(self) -> None:
        raise ValueError("it is broken")


class BrokenLater(Constant):
    """A contestant that fails in its second turn."""

    def __init__(self) -> None:
        self.calls_left = 2

    def check(self) -> list[np.ndarray]:
        return [np.asarray(1.0)]

    def time(self) -> list[float]:
        self.calls_left -= 1
        if not self.calls_left:
            raise ValueError("it is broken")
        return [1.0]


class Dying(Constant):
    """A contestant whose process aborts in call `fatal_call` of `time`, or in `check` if `fatal_call` is 0."""

    def __init__(self, fatal_call: int) -> None:
        self.calls_left = fatal_call

    def check(self) -> list[np.ndarray]:
        return [np.asarray(1.0)] if self.calls_left else os.abort()

    def time(self) -> list[float]:
        self.calls_left -= 1
        return [1.0] if self.calls_left else os.abort()


class DyingWhenMadeAgain(Constant):
    """A contestant whose second process aborts; the first process creates the file `marker`."""

    def __init__(self, marker: Path) -> None:
        super().__init__(1.0)
        if marker.exists():
            os.abort()
        marker.touch()


class Forked:
    """A forked process, which has TensorFlow when it starts."""

    def __init__(self, connection: Connection) -> None:
        self._process, _ = start_process(_serve, connection)

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()


def _serve(_: Connection, connection: Connection) -> None:
    serve(connection.fileno())
