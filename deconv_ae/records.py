r"""Records: dataclasses that are written to disk as JSON objects, and read back with their types by one reader.

A record is a frozen dataclass whose fields have these types:

| type                               | JSON                                       |
| ---------------------------------- | ------------------------------------------ |
| bool, str                          | the same                                   |
| int, Count, Length                 | a whole number in bounds; no boolean       |
| float, Measure                     | a finite number in bounds; no boolean      |
| Name                               | printable text of 1 to 1,000 characters    |
| `tuple[X, ...]`, `list[X]`         | a list of any length                       |
| `tuple[X, Y]`                      | a list of that length                      |
| `dict[str, X]`                     | an object with any keys                    |
| a dataclass                        | an object with its fields and no others    |
| `X \| None`                         | null, or as X                              |
| Any                                | anything                                   |

A field with a default may be missing. A record checks everything else in its `__post_init__`.
"""

import math
import types
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from deconv_ae.files import read_with_checksum, with_checksum
from deconv_ae.numbers import LARGEST, LARGEST_REAL
from deconv_ae.paths import is_plain

LONGEST_NAME = 1000


@dataclass(frozen=True)
class Between:
    """The bounds of a number, both included."""

    least: float
    most: float


@dataclass(frozen=True)
class PrintableText:
    """Text that is printable, not empty and of at most `most` characters."""

    most: int


Count = Annotated[int, Between(0, LARGEST)]
Length = Annotated[int, Between(1, LARGEST)]
Measure = Annotated[float, Between(0, LARGEST_REAL)]
Name = Annotated[str, PrintableText(LONGEST_NAME)]

Record = TypeVar("Record")
_ANY_NUMBER = Between(-LARGEST_REAL, LARGEST_REAL)
_ANY_WHOLE = Between(-LARGEST, LARGEST)


def as_text(record: Any) -> str:
    """Returns the text of a JSON object with a record's fields and their checksum."""
    return with_checksum(asdict(record))


def read_file(kind: type[Record], file: Path) -> Record:
    """Reads a record from a file that holds the text of `as_text`.

    Args:
        kind: the record's dataclass.
        file: the file to read.

    Returns:
        The record.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if the file is too large, is not a JSON object or does not match its checksum; or if `read`
            raises it.
    """
    return read(kind, read_with_checksum(file))


def read(kind: type[Record], values: Any) -> Record:
    """Reads a record from the values that JSON holds.

    Args:
        kind: the record's dataclass.
        values: a JSON object, parsed.

    Returns:
        The record.

    Raises:
        ValueError: if `values` is not a JSON object; if a field is missing, unknown, of another type or out of bounds,
            and the message then names the field; or if the record's `__post_init__` refuses the values.

    >>> @dataclass(frozen=True)
    ... class Epoch:
    ...     number: Count
    ...     rmse: Measure | None = None
    >>> read(Epoch, {"number": 3, "rmse": 0.25}), read(Epoch, {"number": 3})
    (Epoch(number=3, rmse=0.25), Epoch(number=3, rmse=None))
    >>> read(Epoch, {"number": True})
    Traceback (most recent call last):
    ValueError: number is True, not a whole number of 0 or more
    """
    return _record("", kind, values)


def _record(field_path: str, kind: type[Record], values: Any) -> Record:
    if not isinstance(values, dict):
        raise _refusal(field_path, values, "a record")
    known_fields = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind, include_extras=True)
    for name in values:
        if name not in known_fields:
            raise ValueError(f"{_path_of_field(field_path, name[:40])!a} is an unknown field")
    for name, field in known_fields.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{_path_of_field(field_path, name)} is missing")
    read_values = {name: _value(_path_of_field(field_path, name), hints[name], value) for name, value in values.items()}
    try:
        return kind(**read_values)
    except ValueError as error:  # The record's `__post_init__` raised it.
        raise ValueError(f"{field_path}: {error}" if field_path else str(error)) from error


def _value(field_path: str, kind: Any, value: Any) -> Any:
    """Reads a field's value, or one element of a field's value. Errors name it by `field_path`."""
    bounds: Any = None
    if get_origin(kind) is Annotated:
        kind, bounds = get_args(kind)
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        (other_kind,) = (part for part in parts if part is not types.NoneType)
        return None if value is None else _value(field_path, other_kind, value)
    if is_dataclass(kind):
        return _record(field_path, kind, value)  # type: ignore[arg-type]
    if kind is bool:
        if not isinstance(value, bool):
            raise _refusal(field_path, value, "true or false")
        return value
    if kind in (int, float):
        return _number(field_path, kind, bounds or (_ANY_WHOLE if kind is int else _ANY_NUMBER), value)
    if kind is str:
        return _text(field_path, bounds, value)
    if origin in (tuple, list):
        return _sequence(field_path, origin, parts, value)
    if origin is dict:
        if not isinstance(value, dict):
            raise _refusal(field_path, value, "an object")
        return {name: _value(_path_of_field(field_path, name[:40]), parts[1], each) for name, each in value.items()}
    raise TypeError(f"{field_path}: records have no fields of {kind}")


def _number(field_path: str, kind: type, bounds: Between, value: Any) -> Any:
    is_whole = kind is int
    minimum_text = f" of {bounds.least:g} or more" if bounds.least in (0, 1) else ""
    expected = f"a whole number{minimum_text}" if is_whole else f"a finite number{minimum_text}"
    if type(value) is not int and (is_whole or type(value) is not float):
        raise _refusal(field_path, value, expected)
    # The value is compared before it is converted, because float() fails for a number of 400 digits.
    if not bounds.least <= value <= bounds.most or not math.isfinite(value):
        if value < bounds.least:
            raise _refusal(field_path, value, expected if minimum_text else f"{expected} of {bounds.least:g} or more")
        raise _refusal(field_path, value, f"{expected} up to {bounds.most:g}")
    return kind(value)


def _text(field_path: str, bounds: PrintableText | None, value: Any) -> str:
    if not isinstance(value, str):
        raise _refusal(field_path, value, "text")
    if bounds is not None and not (0 < len(value) <= bounds.most and is_plain(value)):
        raise _refusal(field_path, value, f"printable text of 1 to {bounds.most:,} characters")
    return value


def _sequence(field_path: str, kind: type, element_kinds: tuple[Any, ...], value: Any) -> Any:
    if not isinstance(value, list):
        raise _refusal(field_path, value, "a list")
    if kind is list or element_kinds[-1] is Ellipsis:
        element_kinds = (element_kinds[0],) * len(value)
    if len(value) != len(element_kinds):
        raise _refusal(field_path, value, f"a list of {len(element_kinds)}")
    pairs = enumerate(zip(element_kinds, value))
    return kind(_value(f"{field_path}[{number}]", element_kind, element) for number, (element_kind, element) in pairs)


def _path_of_field(field_path: str, name: str) -> str:
    return f"{field_path}.{name}" if field_path else name


def _refusal(field_path: str, value: Any, expected: str) -> ValueError:
    # Shows at most 40 characters. Python raises an error when it converts a number of thousands of digits to text.
    shown = "a number of many digits" if type(value) is int and value.bit_length() > 200 else ascii(value)
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    return ValueError(f"{field_path or 'it'} is {shown}, not {expected}")
