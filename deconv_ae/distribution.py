"""A tf.distribute strategy by name."""

from collections.abc import Callable

import tensorflow as tf

from deconv_ae.errors import choose


def _auto() -> tf.distribute.Strategy:
    return _mirrored() if len(tf.config.list_logical_devices("GPU")) > 1 else _none()


def _none() -> tf.distribute.Strategy:
    return tf.distribute.get_strategy()


def _mirrored() -> tf.distribute.Strategy:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


STRATEGIES: dict[str, Callable[[], tf.distribute.Strategy]] = {"auto": _auto, "mirrored": _mirrored, "none": _none}


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy to build and train a model under.

    Args:
        name: "none" is one device; "mirrored" has a replica on every visible GPU, or on every
            logical CPU where there is no GPU; "auto" is "mirrored" where there is more than one
            GPU, and "none" otherwise.

    Raises:
        InputError: if the name is none of these.
    """
    return choose("strategy", name, STRATEGIES)()
