"""Defines a flag for each option of a dataclass, with the field's name, type, default, help and check."""

from collections.abc import Callable
from typing import Any

from absl import flags

from deconv_ae.options import options_of

# absl then counts the flags to the program, and not to this file.
flags.disclaim_key_flags()

_DEFINE: dict[Any, Callable[..., flags.FlagHolder]] = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    int | None: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    float | None: flags.DEFINE_float,
    str: flags.DEFINE_string,
    str | None: flags.DEFINE_string,
}


def define(kind: type) -> Callable[[], dict[str, Any]]:
    """Defines a flag for each option of a dataclass; returns a function that reads the parsed values by name."""
    holders = {
        name: _DEFINE[field.type](name, field.default, each.help) for name, (field, each) in options_of(kind).items()
    }
    return lambda: {name: holder.value for name, holder in holders.items()}
