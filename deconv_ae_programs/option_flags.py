"""Defines a flag for each option of a dataclass, with the field's name, type, default, help and check."""

from collections.abc import Callable
from typing import Any

from absl import flags

from deconv_ae.numbers import Pair
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
    Pair | None: flags.DEFINE_string,  # `numbers.pair` reads the text.
}


def define(kind: type, default: str = "") -> Callable[[], dict[str, Any]]:
    """Defines a flag for each option of a dataclass.

    Args:
        kind: the dataclass.
        default: for options that decide the result and whose default is not the field's: what it is, for the help,
            with `{}` for the field's own.

    Returns:
        A function that reads the parsed values, by name: all of them, or with `default` those of the given flags.
    """
    holders = {}
    for name, (field, each) in options_of(kind).items():
        own_default, text = field.default, each.help
        if default and each.decides:
            own_default, text = None, f"{text} Default: {default.format(field.default or 'none')}."
        holders[name] = _DEFINE[field.type](name, own_default, text)
    return lambda: {name: holder.value for name, holder in holders.items() if holder.present or not default}
