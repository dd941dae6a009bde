"""Checks of the caller's numbers, and of the memory that they need. `ops` checks the arguments of layers itself."""

import contextlib
import os
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from deconv_ae.errors import InputError

LARGEST = 2**31 - 1
"""The largest whole number allowed: in some places TensorFlow holds a length, a count of steps or a seed in 32 bits."""

LARGEST_REAL = 3.4e38

LARGEST_WINDOW = 256
"""The most positions in a pooling window: switches are uint8."""

CGROUPS = Path("/sys/fs/cgroup")

Pair = tuple[int, int]


def checked_integer(argument: str, value: Any, least: int = 0, most: int = LARGEST) -> int:
    """Checks a whole number and returns it as Python's int. NumPy's numbers are accepted, booleans are refused.

    >>> checked_integer("batch_size", 0, least=1)
    Traceback (most recent call last):
    deconv_ae.errors.InputError: batch_size: 0 is below 1; give a whole number of 1 or more
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{argument}: {_shown(value)} is not a whole number; give one of {least} or more")
    number = int(value)
    if number < least:
        raise InputError(f"{argument}: {_shown(number)} is below {least}; give a whole number of {least} or more")
    if number > most:
        raise InputError(f"{argument}: {_shown(number)} is above {most}; give a whole number of {least} to {most}")
    return number


def integer_from_text(argument: str, text: str, least: int = 0, most: int = LARGEST) -> int:
    """Reads a whole number from its text, such as an element of a list on a command line.

    >>> integer_from_text("filters", "64", least=1)
    64
    """
    try:
        return checked_integer(argument, int(text), least, most)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{argument}: {_shown(text)} is not a whole number; give one of {least} or more") from error


def pair(argument: str, value: Any, most: int = LARGEST) -> Pair:
    """Reads (height, width), both 1 or more, from one number for both, from two numbers, or from text such as "4x2".

    >>> pair("kernel_size", 5), pair("kernel_size", "5x3"), pair("kernel_size", (5, 3))
    ((5, 5), (5, 3), (5, 3))
    >>> pair("image_size", "7x")
    Traceback (most recent call last):
    deconv_ae.errors.InputError: image_size: '7x' is neither a whole number nor HEIGHTxWIDTH; give 64, or 64x48
    """
    example = "64, or 64x48" if argument == "image_size" else "4, or 4x2"
    parts = value.split("x") if isinstance(value, str) else value if isinstance(value, (tuple, list)) else [value]
    if len(parts) not in (1, 2):
        raise InputError(f"{argument}: {_shown(value)} is neither one number nor (height, width); give {example}")
    try:
        lengths = [int(part) if isinstance(value, str) else part for part in parts]
    except ValueError as error:
        raise InputError(
            f"{argument}: {_shown(value)} is neither a whole number nor HEIGHTxWIDTH; give {example}"
        ) from error
    height, width = (checked_integer(argument, length, least=1, most=most) for length in (lengths * 2)[:2])
    return height, width


def checked_number(
    argument: str, value: Any, above: float | None = None, least: float | None = None, most: float = LARGEST_REAL
) -> float:
    """Checks a number against bounds and returns it as Python's float. The default `most` fits into float32.

    Without `above` and `least`, the number must be 0 or more.

    >>> checked_number("learning_rate", float("nan"), above=0)
    Traceback (most recent call last):
    deconv_ae.errors.InputError: learning_rate: nan is not a number; give one above 0
    """
    least = 0 if above is None and least is None else least
    bound = f"above {above:g}" if above is not None else f"of {least:g} or more"
    if isinstance(value, bool) or not isinstance(value, Real) or value != value:
        raise InputError(f"{argument}: {_shown(value)} is not a number; give one {bound}")
    value = int(value) if isinstance(value, Integral) else float(value)  # A whole number may exceed every float.
    if (above is not None and value <= above) or (least is not None and value < least):
        raise InputError(f"{argument}: {_shown(value)} is not {bound}; give a number {bound}")
    if value > most:
        raise InputError(f"{argument}: {_shown(value)} is above {most:g}; give a smaller number")
    return float(value)


def check_memory(argument: str, needed: int, activity: str) -> None:
    """Raises InputError if this process cannot have as much memory as is needed.

    Args:
        argument: the name of the caller's argument, for errors.
        needed: the number of bytes.
        activity: what takes the bytes, such as "to train 10 weights", for errors.
    """
    available = available_memory()
    if needed > available:
        raise InputError(
            f"{argument}: {activity} takes {needed / 2**30:,.1f} GiB, and this process can have "
            f"{available / 2**30:,.1f}; give smaller numbers"
        )


def available_memory() -> int:
    """Returns how many bytes this process can have: the least limit of the machine, container, service and shell."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _limit_files():
        with contextlib.suppress(OSError, ValueError):  # "max" is not a number.
            limits.append(int(file.read_text(encoding="ascii")))
    with contextlib.suppress(ImportError):  # Windows has no such module.
        import resource

        limits += [limit for limit in resource.getrlimit(resource.RLIMIT_AS) if limit != resource.RLIM_INFINITY]
    return min(limits)


def _limit_files() -> list[Path]:
    """Returns Linux's files with the memory limits of this process's control groups, and of the groups around these."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    # A container sees only its own group, whose limits are in these files.
    files = [CGROUPS / "memory.max", CGROUPS / "memory/memory.limit_in_bytes"]
    for _, controllers, group in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        for path in (Path(group.lstrip("/")), *Path(group.lstrip("/")).parents):
            if not controllers:  # Version 2 of control groups.
                files.append(CGROUPS / path / "memory.max")
            elif "memory" in controllers.split(","):
                files.append(CGROUPS / "memory" / path / "memory.limit_in_bytes")
    return files


def _shown(value: Any) -> str:
    """Returns the value's text, cut to 40 characters."""
    # Python raises an error when it converts a number of thousands of digits to text.
    text = "a number of many digits" if isinstance(value, int) and value.bit_length() > 200 else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
