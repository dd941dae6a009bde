"""Options: fields of a dataclass that carry their own help and check, for programs, for Python and for records.

    @dataclass(frozen=True)
    class Options:
        epochs: int | None = option(None, optional(integer(least=0)), "Passes over the images.")

        def __post_init__(self) -> None:
            check(self)

A field gives a program its flag (name, type, default and help) and Python its argument. One check refuses wrong values
of the flag and of the argument. If `decides_result` is true, the option decides the result of a run, so that a
resumed run needs the same value; only `epochs` may grow.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import partial
from typing import Any

from deconv_ae import numbers, paths
from deconv_ae.errors import InputError, choose

Check = Callable[[str, Any], Any]
"""Takes an option's name and value, and returns the value to keep; raises InputError."""
_KEY = "option"


@dataclass(frozen=True)
class Option:
    """The metadata of a dataclass field that is an option.

    Attributes:
        check: checks the field's value.
        help: a sentence for the user.
        decides_result: whether the option decides the result. If so, the record of the result holds the option.
    """

    check: Check
    help: str
    decides_result: bool


def option(default: Any, check: Check, help: str, decides_result: bool = True) -> Any:
    """Makes a dataclass's field with this default. The other arguments become an `Option` in the field's metadata."""
    return field(default=default, metadata={_KEY: Option(check, help, decides_result)})


def options_of(kind: Any) -> dict[str, tuple[Field, Option]]:
    """Returns each option of a dataclass, or of an instance of one, by name: its field and its `Option`."""
    return {each.name: (each, each.metadata[_KEY]) for each in fields(kind) if _KEY in each.metadata}


def check(record: Any) -> None:
    """Checks every option of a frozen dataclass, whose `__post_init__` calls this.

    Args:
        record: the dataclass's instance. The result of each check replaces the option's value.

    Raises:
        InputError: for the first wrong value.
    """
    for name, (_, each) in options_of(record).items():
        object.__setattr__(record, name, each.check(name, getattr(record, name)))


def listed(descriptions: Mapping[str, str]) -> str:
    """Lists names with their descriptions, for a help text.

    >>> listed({"auto": "all devices", "none": "one"})
    'auto: all devices; none: one'
    """
    return "; ".join(f"{name}: {description}" for name, description in descriptions.items())


def optional(inner: Check) -> Check:
    """Makes a check that accepts None, and passes any other value to the check `inner`."""
    return lambda name, value: None if value is None else inner(name, value)


def integer(least: int = 0, most: int = numbers.LARGEST) -> Check:
    """Makes a check for a whole number, see `numbers.checked_integer`."""
    return partial(numbers.checked_integer, least=least, most=most)


def number(above: float | None = None, least: float | None = None, most: float = numbers.LARGEST_REAL) -> Check:
    """Makes a check for a finite number, see `numbers.checked_number`."""
    return partial(numbers.checked_number, above=above, least=least, most=most)


def one_of(choices: Mapping[str, Any]) -> Check:
    """Makes a check for a name in `choices`."""

    def check_choice(name: str, value: Any) -> str:
        choose(name, value, choices)
        return str(value)

    return check_choice


def checked_boolean(name: str, value: Any) -> bool:
    """Checks that a value is True or False, and not just truthy or falsy."""
    if not isinstance(value, bool):
        raise InputError(f"{name}: {value!a} is neither true nor false; give True or False")
    return value


def checked_text(name: str, value: Any) -> str:
    """Checks that a value is text or a path, and returns its text."""
    value_text = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(value_text, str):
        raise InputError(f"{name}: {value!a} is not text; give text")
    return value_text


def directory(name: str, value: Any) -> str:
    """Checks that a value is the path of a directory that can be made or written to, and returns the path as text."""
    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str):
        raise InputError(f"{name}: {value!a} is not a path; give the path of a directory as text")
    paths.directory_to_write(name, path)
    return path
