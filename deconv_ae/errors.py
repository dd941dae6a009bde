"""The two ways in which a command can fail, so that a program can say each in one line.

Everything else that is raised is a defect in this project and keeps its traceback.
"""

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")


class InputError(ValueError):
    """What the caller handed over cannot be used: a flag, a file, a data set.

    The message is one line that names the argument or file, what is wrong with it and what to do.
    Programs end with exit status 2.
    """


class RunError(RuntimeError):
    """The input was fine and the work failed: it diverged, the disk filled up, a worker died.

    The message is one line. Programs end with exit status 1.
    """


def choose(argument: str, name: str, choices: Mapping[str, Value]) -> Value:
    """`choices[name]`; an unknown name is an InputError that lists the legal ones.

    >>> choose("recipe", "adam", {"cntk": 1, "default": 2})
    Traceback (most recent call last):
    deconv_ae.errors.InputError: recipe: unknown 'adam'; choose one of cntk, default
    """
    if name not in choices:
        raise InputError(f"{argument}: unknown {name!r}; choose one of {', '.join(sorted(choices))}")
    return choices[name]
