"""Options: fields of a dataclass that carry their own help and check, for programs, for Python and for records alike.

    @dataclass(frozen=True)
    class Options:
        epochs: int | None = option(None, optional(whole(least=0)), "Passes over the images.")

        def __post_init__(self) -> None:
            check(self)

A program takes its flag from such a field (its name, type, default and help), Python its argument; both are refused by
the one check. What `decides` a result is what has to be the same where that is gone on with.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import partial
from typing import Any

from deconv_ae import numbers, paths
from deconv_ae.errors import InputError, choose

Check = Callable[[str, Any], Any]
"""From an option's name and value to the value as it is kept; raises InputError."""
_KEY = "option"


@dataclass(frozen=True)
class Option:
    """What a field carries.

    Attributes:
        check: of its value.
        help: a sentence for whoever sets it.
        decides: whether it decides a result.
    """

    check: Check
    help: str
    decides: bool


def option(default: Any, check: Check, help: str, decides: bool = True) -> Any:
    """A dataclass's field, as `dataclasses.field`."""
    return field(default=default, metadata={_KEY: Option(check, help, decides)})


def options_of(kind: Any) -> dict[str, tuple[Field, Option]]:
    """The options among a dataclass's fields, or its record's, by their names."""
    return {each.name: (each, each.metadata[_KEY]) for each in fields(kind) if _KEY in each.metadata}


def check(record: Any) -> None:
    """Every option of a frozen dataclass, as its `__post_init__`.

    Raises:
        InputError: on the first that cannot be used.
    """
    for name, (_, each) in options_of(record).items():
        object.__setattr__(record, name, each.check(name, getattr(record, name)))


def listed(described: Mapping[str, str]) -> str:
    """Names and what each is, for a help.

    >>> listed({"auto": "all devices", "none": "one"})
    'auto: all devices; none: one'
    """
    return "; ".join(f"{name}: {description}" for name, description in described.items())


def optional(checked: Check) -> Check:
    """None, or what the other check takes."""
    return lambda name, value: None if value is None else checked(name, value)


def whole(least: int = 0, most: int = numbers.LARGEST) -> Check:
    return partial(numbers.whole, least=least, most=most)


def real(above: float | None = None, least: float | None = None, most: float = numbers.LARGEST_REAL) -> Check:
    return partial(numbers.real, above=above, least=least, most=most)


def one_of(choices: Mapping[str, Any]) -> Check:
    def checked(name: str, value: Any) -> str:
        choose(name, value, choices)
        return str(value)

    return checked


def switch(name: str, value: Any) -> bool:
    """A check: true or false, and nothing that would count as one of them."""
    if not isinstance(value, bool):
        raise InputError(f"{name}: {value!a} is neither true nor false; give True or False")
    return value


def directory(name: str, value: Any) -> str:
    """A check: a path that can be written to, as text."""
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(f"{name}: {value!a} is no path; give the path of a directory as text")
    text = os.fspath(value)
    if not isinstance(text, str):
        raise InputError(f"{name}: {value!a} is no path; give the path of a directory as text")
    paths.directory_to_write(name, text)
    return text
