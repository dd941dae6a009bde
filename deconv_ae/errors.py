"""The exceptions that end a command early. A program prints each in one line.

A program also prints wrong usage, a lack of memory and a missing package in one line. Any other exception is a defect
of this project and keeps its traceback.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")
OPERATION = re.compile(r"\{\{.*?\}\} | \[Op:.*")
"""Matches the name of the operation, which TensorFlow writes before or after an error's reason."""


class InputError(ValueError):
    """The caller's input is wrong: a flag, a file, a data set.

    The message is one line. It names the argument or file, says what is wrong with it and what to do.
    Programs end with exit status 2.
    """


class RunError(RuntimeError):
    """The input was right and the work failed: training diverged, the disk filled up, a worker died.

    The message is one line. Programs end with exit status 1.
    """


class Interrupted(RuntimeError):
    """A signal stopped the run after the current step.

    The message is one line and says how to resume, or that nothing was kept. Programs end with exit status
    128 + signal_number.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


def first_line(error: BaseException) -> str:
    r"""Returns the first line of another library's exception, or the name of the exception's type if there is no text.

    The name of the failed operation, which TensorFlow adds to the text, is left out.

    >>> first_line(ValueError("truncated\nat 110")), first_line(OSError(28, "No space left")), first_line(KeyError())
    ('truncated', 'No space left', 'KeyError')
    """
    text = str(getattr(error, "strerror", None) or error).strip()
    return OPERATION.sub("", text.splitlines()[0]).strip() if text else type(error).__name__


def missing_package_message(error: ModuleNotFoundError) -> str | None:
    """Returns a line that names the missing package and the remedy.

    If a module of this project is missing, which is a defect, returns None.

    >>> missing_package_message(ModuleNotFoundError("No module named 'filelock'", name="filelock"))
    'needs filelock, which is not installed; run pip install deconv_ae, which installs all missing packages'
    """
    package = (error.name or "deconv_ae").partition(".")[0]
    if package.startswith("deconv_ae"):
        return None
    return f"needs {package}, which is not installed; run pip install deconv_ae, which installs all missing packages"


def choose(argument: str, name: object, choices: Mapping[str, Value]) -> Value:
    """Returns `choices[name]`; raises InputError, which lists the known names, if the name is unknown.

    >>> choose("recipe", "adam", {"cntk": 1, "default": 2})
    Traceback (most recent call last):
    deconv_ae.errors.InputError: recipe: unknown 'adam'; choose one of cntk, default
    """
    if not isinstance(name, str) or name not in choices:
        raise InputError(f"{argument}: unknown {name!r}; choose one of {', '.join(sorted(choices))}")
    return choices[name]
