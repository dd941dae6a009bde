"""Defines a flag for each option of a dataclass, with the field's name, type, default and help.

The dataclass checks the flags' values when they become its fields.
"""

from collections.abc import Callable
from typing import Any

from absl import flags

from deconv_ae.numbers import Pair
from deconv_ae.options import options_of

# absl then lists the flags under the module that calls `define`, and not under this file.
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


def define(kind: type, default_help: str = "") -> Callable[[], dict[str, Any]]:
    """Defines a flag for each option of a dataclass.

    Args:
        kind: the dataclass.
        default_help: a description of the default, with `{}` for the field's default. If it is given, flags of options
            that decide the result have the default None, and their help ends with the description. All other flags have
            the field's default.

    Returns:
        A function that returns the flags' parsed values by option name. With `default_help`, it leaves out flags that
        the user did not give.
    """
    holders = {}
    for name, (field, option) in options_of(kind).items():
        flag_default, help_text = field.default, option.help
        if default_help and option.decides_result:
            flag_default, help_text = None, f"{help_text} Default: {default_help.format(field.default or 'none')}."
        holders[name] = _DEFINE[field.type](name, flag_default, help_text)
    return lambda: {name: holder.value for name, holder in holders.items() if holder.present or not default_help}
