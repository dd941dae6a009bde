"""Flags of the options that a dataclass holds: name, type, default and help are the field's, and so is the check."""

from collections.abc import Callable
from typing import Any

from absl import flags

from deconv_ae.options import options_of

# A flag belongs to the program that asks for it, in its --help, and not to this file.
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
    """A flag for each option of a dataclass; gives their values, as its arguments, once they have been parsed."""
    holders = {
        name: _DEFINE[field.type](name, field.default, each.help) for name, (field, each) in options_of(kind).items()
    }
    return lambda: {name: holder.value for name, holder in holders.items()}
