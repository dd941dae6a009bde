"""Where the code runs: the only file that asks for the backend, XLA, a GPU, determinism or `portable`.

All that is private of a backend is imported here. setup.py bounds the versions: should a new one move a name, the
import fails at once, where a fallback would silently give the wrong answer.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

BACKEND = keras.backend.backend()
# JAX has no int64 unless its whole program asks for it.
ARGMAX_DTYPE = "int32" if BACKEND == "jax" else "int64"
# Nobody can change a tensor of these in place: what a pooling has said of its argmax stays true.
HAS_IMMUTABLE_TENSORS = BACKEND != "torch"

if BACKEND == "tensorflow":
    import tensorflow as tf
    from tensorflow.python.framework import config as framework_config
    from tensorflow.python.ops import control_flow_util
elif BACKEND == "torch":
    import torch
else:
    import jax

PORTABLE, XLA, TENSORFLOW, TORCH, TRACED_TORCH = "portable", "xla", "tensorflow", "torch", "traced torch"

_PORTABLE = contextvars.ContextVar("_PORTABLE", default=False)
_RECORDS_GRADIENTS = contextvars.ContextVar("_RECORDS_GRADIENTS", default=True)


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """A context in which the layers are traced to operations that every runtime has.

    TensorFlow's pooling kernels have no counterpart in ONNX, nor among LiteRT's built-in operations:

        with deconv_ae.portable():
            model.export("model.onnx", format="onnx")

    Another runtime cannot raise: what is exported checks no positions.
    """
    with _set(_PORTABLE, True):
        yield


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """A context for tracing graphs that serve: the layers register no gradient of their own.

    TensorFlow warns whoever loads a SavedModel that has such gradients.
    """
    with _set(_RECORDS_GRADIENTS, False):
        yield


@contextlib.contextmanager
def _set(variable: contextvars.ContextVar, value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def is_portable() -> bool:
    # torch.compile cannot trace a context variable, and composes everything anyway.
    return not (BACKEND == "torch" and torch.compiler.is_compiling()) and _PORTABLE.get()


def records_gradients() -> bool:
    """Whether a graph may be differentiated: it is not traced `without_gradients`."""
    return _RECORDS_GRADIENTS.get()


def custom_gradient(function: Callable) -> Callable:
    """`tf.custom_gradient`, but for graphs that are traced `without_gradients`."""
    if records_gradients():
        return tf.custom_gradient(function)
    return lambda *tensors: function(*tensors)[0]


def runtime(tensor: Any) -> str:
    """What executes operations on a tensor: one of the names above."""
    if is_portable():
        return PORTABLE
    if BACKEND == "torch":
        first = tensor.detach()[(slice(0, 1),) * tensor.ndim]
        return TRACED_TORCH if look((first == first).all()) is None else TORCH
    if BACKEND == "jax" or compiled_by_xla():
        return XLA
    # Pooling kernels add with atomic operations on a GPU, and fail where they have to be deterministic.
    return XLA if has_gpu() and framework_config.is_op_determinism_enabled() else TENSORFLOW


def compiled_by_xla() -> bool:
    """Whether XLA compiles what TensorFlow is tracing, asked as TensorFlow's own operations ask."""
    if BACKEND != "tensorflow" or tf.executing_eagerly():
        return False
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def has_gpu() -> bool:
    """Whether what is traced may run on a GPU."""
    if BACKEND == "tensorflow":
        return bool(tf.config.get_visible_devices("GPU"))
    return torch.cuda.is_available() if BACKEND == "torch" else jax.default_backend() != "cpu"


def look(condition: Any) -> bool | None:
    """A tensor's truth where it has a value now; None where it is only traced."""
    if BACKEND == "tensorflow":
        return bool(condition) if tf.executing_eagerly() else None
    if BACKEND == "jax":
        return None if isinstance(condition, jax.core.Tracer) else bool(condition)
    if torch.compiler.is_compiling():
        return None
    try:
        return bool(condition)
    except RuntimeError:
        # vmap, make_fx, fake tensors and those of the meta device have no truth, and say so by this.
        return None


def checked(tensor: Any, condition: Any, sentence: str, *numbers: Any) -> Any:
    """The tensor, if the condition holds: else an error that says the sentence and the numbers.

    The error is tf.errors.InvalidArgumentError on TensorFlow, in a graph when it runs, and ValueError elsewhere. What
    XLA or another runtime executes, and what is only traced on JAX and PyTorch, cannot raise, and is not checked.
    """
    if not can_raise():
        return tensor
    truth = look(condition)
    if truth is False:
        values = ", ".join(str(keras.ops.convert_to_numpy(number).tolist()) for number in numbers)
        message = f"{sentence} {values}".strip()
        raise tf.errors.InvalidArgumentError(None, None, message) if BACKEND == "tensorflow" else ValueError(message)
    if truth is None and BACKEND == "tensorflow":
        with tf.control_dependencies([tf.debugging.Assert(condition, [sentence, *numbers])]):
            return tf.identity(tensor)
    return tensor


def can_raise() -> bool:
    """Whether an operation that runs may raise an error."""
    if BACKEND != "tensorflow" or tf.executing_eagerly():
        return True
    return not is_portable() and not compiled_by_xla()


def can_check(condition: Any) -> bool:
    """Whether `checked` notices a condition that does not hold."""
    return can_raise() and (BACKEND == "tensorflow" or look(condition) is not None)


def static_value(lengths: Any) -> list[int] | None:
    """An integer tensor's values where they are known while a call is traced."""
    if BACKEND == "tensorflow":
        known = tf.get_static_value(lengths)
        return None if known is None else known.tolist()
    return keras.ops.convert_to_numpy(lengths).tolist()


def with_static_shape(tensor: Any, shape: Sequence[int | None]) -> Any:
    """The tensor, of whose shape TensorFlow knows so much: padding of an unknown length makes it forget the rest."""
    if BACKEND == "tensorflow":
        # Not tf.ensure_shape: LiteRT has none.
        tensor.set_shape(shape)
    return tensor


def pad(tensor: Any, pads: Sequence[tuple[Any, Any]]) -> Any:
    """The tensor with so many more zeros before and after, by dimension."""
    if BACKEND == "torch":
        # keras.ops.pad gives each call a name of its own, for which torch.compile compiles the caller again.
        return torch.nn.functional.pad(tensor, [n for pair in reversed(pads) for n in pair])
    return keras.ops.pad(tensor, pads)


def value_of(tensor: Any) -> Any:
    """The tensor; of a variable of TensorFlow, which Keras takes for a tensor, the value that it has now."""
    return tf.convert_to_tensor(tensor) if BACKEND == "tensorflow" else tensor


def is_dense(value: Any) -> bool:
    """Whether a value is no sparse or ragged tensor of the backend."""
    if BACKEND == "tensorflow":
        return not isinstance(value, (tf.SparseTensor, tf.RaggedTensor, tf.IndexedSlices))
    if BACKEND == "torch":
        return not isinstance(value, torch.Tensor) or (value.layout == torch.strided and not value.is_nested)
    from jax.experimental.sparse import JAXSparse

    return not isinstance(value, JAXSparse)


def cond(condition: Any, when_true: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """One of two results: by Python's `if` where the condition has a value now, else by TensorFlow's when it runs."""
    truth = look(condition)
    if truth is None and BACKEND == "tensorflow":
        return tf.cond(condition, when_true, otherwise)
    return when_true() if truth else otherwise()
