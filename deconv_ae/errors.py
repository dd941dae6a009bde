"""The ways in which a command can end early, so that a program can say each in one line.

Everything else that is raised is a defect in this project and keeps its traceback.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")
IN_GRAPH = re.compile(r"\{\{.*?\}\} | \[Op:.*")
"""What TensorFlow writes around a reason: which operation of its own met it."""


class InputError(ValueError):
    """What the caller handed over cannot be used: a flag, a file, a data set.

    The message is one line that names the argument or file, what is wrong with it and what to do.
    Programs end with exit status 2.
    """


class RunError(RuntimeError):
    """The input was fine and the work failed: it diverged, the disk filled up, a worker died.

    The message is one line. Programs end with exit status 1.
    """


class Interrupted(RuntimeError):
    """A signal asked the run to stop, and it did after the step that it was in.

    The message is one line that says how to go on. Programs end with exit status 128 + signal_number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


def first_line(error: BaseException) -> str:
    """What another library's exception says, in one line: its first, or its type's name where it says nothing.

    >>> first_line(ValueError("truncated\\nat 110")), first_line(OSError(28, "No space left")), first_line(KeyError())
    ('truncated', 'No space left', 'KeyError')
    """
    text = str(getattr(error, "strerror", None) or error).strip()
    return IN_GRAPH.sub("", text.splitlines()[0]).strip() if text else type(error).__name__


def choose(argument: str, name: object, choices: Mapping[str, Value]) -> Value:
    """`choices[name]`; an unknown name is an InputError that lists the legal ones.

    >>> choose("recipe", "adam", {"cntk": 1, "default": 2})
    Traceback (most recent call last):
    deconv_ae.errors.InputError: recipe: unknown 'adam'; choose one of cntk, default
    """
    if not isinstance(name, str) or name not in choices:
        raise InputError(f"{argument}: unknown {name!r}; choose one of {', '.join(sorted(choices))}")
    return choices[name]
