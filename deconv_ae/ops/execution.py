"""Where what is being traced will execute: on a CPU or a GPU, compiled by XLA or not, with gradients or without."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

# Private, for `compiled_by_xla` and `must_compose`, which have no public way to ask. setup.py bounds TensorFlow's
# versions; should a new one move them, the import fails at once, where a fallback would silently give the wrong answer.
from tensorflow.python.framework import config as framework_config
from tensorflow.python.ops import control_flow_util


def has_gpu() -> bool:
    """Whether what is being traced may run on a GPU."""
    return bool(tf.config.get_visible_devices("GPU"))


def compiled_by_xla() -> bool:
    """Whether XLA compiles the code that is being traced, asked as TensorFlow's own operations ask."""
    graph = tf.compat.v1.get_default_graph()
    return not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(graph)


def must_compose() -> bool:
    """Whether the code that is being traced must do without TensorFlow's pooling kernels.

    XLA has none that knows positions, and its MaxPoolGradGrad compares only 16 bits of the values. And on a GPU they
    add with atomic operations, in any order, for which `tf.config.experimental.enable_op_determinism` makes them fail.
    """
    return compiled_by_xla() or (has_gpu() and framework_config.is_op_determinism_enabled())


_RECORDS_GRADIENTS = contextvars.ContextVar("_RECORDS_GRADIENTS", default=True)


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """A graph that is traced within is for serving: the layers leave no gradients behind in it.

    TensorFlow marks operations that have a gradient of their own in the graphs that it saves, and warns whoever
    loads them.
    """
    token = _RECORDS_GRADIENTS.set(False)
    try:
        yield
    finally:
        _RECORDS_GRADIENTS.reset(token)


def with_gradient(function: Callable) -> Callable:
    """`tf.custom_gradient`, but for graphs that are traced `without_gradients`."""
    if _RECORDS_GRADIENTS.get():
        return tf.custom_gradient(function)
    return lambda *tensors: function(*tensors)[0]


def cond(condition: tf.Tensor | bool, if_true: Callable, if_false: Callable) -> Any:
    """tf.cond that takes only one branch into the graph where the condition is known."""
    if isinstance(condition, bool):
        return if_true() if condition else if_false()
    return tf.cond(condition, if_true, if_false)


def checked(tensor: tf.Tensor, condition: tf.Tensor, data: Sequence[Any]) -> tf.Tensor:
    """The tensor, once the condition holds; InvalidArgumentError with the data if it does not. XLA cannot raise."""
    if compiled_by_xla():
        return tensor
    with tf.control_dependencies([tf.debugging.Assert(condition, data)]):
        return tf.identity(tensor)
