"""Where the code runs. In the library, only this file detects the backend, XLA, a GPU, determinism or `portable`.

There is one exception: `training/distribution.py` lists the GPUs that share a step.

Only this file imports private names of TensorFlow, whose versions setup.py bounds. If a new version moves such a name,
the import fails at once; a fallback would silently give the wrong answer.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

BACKEND = keras.backend.backend()
# JAX has no int64 unless the whole program enables it.
ARGMAX_DTYPE = "int32" if BACKEND == "jax" else "int64"
# Where tensors cannot change in place, the recorded origin of an argmax stays true.
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
    """A context in which the layers use only operations that every runtime has.

    Neither ONNX nor LiteRT's built-in operations have TensorFlow's pooling kernels. Export a model like this:

        with deconv_ae.portable():
            model.export("model.onnx", format="onnx")

    The exported model does not check positions, because other runtimes cannot raise.
    """
    with _set(_PORTABLE, True):
        yield


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """A context in which the library registers no custom gradients, for tracing graphs that nobody differentiates.

    If a SavedModel had custom gradients, TensorFlow would print a warning when it loads the model.
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
    """Whether the call is inside of `portable`."""
    # torch.compile cannot trace a context variable, and needs no portable operations.
    return not (BACKEND == "torch" and torch.compiler.is_compiling()) and _PORTABLE.get()


def records_gradients() -> bool:
    """Whether graphs that are traced now may be differentiated; False inside of `without_gradients`."""
    return _RECORDS_GRADIENTS.get()


def custom_gradient(function: Callable) -> Callable:
    """Decorates as `tf.custom_gradient` does, but calls inside of `without_gradients` have no custom gradient."""

    @functools.wraps(function)
    def call(*tensors: Any) -> Any:
        return tf.custom_gradient(function)(*tensors) if records_gradients() else function(*tensors)[0]

    return call


def runtime(tensor: Any) -> str:
    """What executes operations on a tensor: `PORTABLE`, `XLA`, `TENSORFLOW`, `TORCH` or `TRACED_TORCH`."""
    if is_portable():
        return PORTABLE
    if BACKEND == "torch":
        # While PyTorch traces, no condition has a truth value; one element of the tensor is enough to see that.
        element = tensor.detach()[(slice(0, 1),) * tensor.ndim]
        return TRACED_TORCH if truth_of((element == element).all()) is None else TORCH
    if BACKEND == "jax" or compiled_by_xla():
        return XLA
    # On a GPU, TensorFlow's pooling kernels add atomically, and fail if operations must be deterministic.
    return XLA if has_gpu() and framework_config.is_op_determinism_enabled() else TENSORFLOW


def compiled_by_xla() -> bool:
    """Whether XLA compiles the graph that TensorFlow is tracing. TensorFlow's own operations use the same check."""
    if BACKEND != "tensorflow" or tf.executing_eagerly():
        return False
    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def has_gpu() -> bool:
    """Whether the traced operations may run on a GPU; on JAX, on any device other than a CPU."""
    if BACKEND == "tensorflow":
        return bool(tf.config.get_visible_devices("GPU"))
    return torch.cuda.is_available() if BACKEND == "torch" else jax.default_backend() != "cpu"


def truth_of(condition: Any) -> bool | None:
    """The truth of a tensor that has a value; None if the tensor is only traced."""
    if BACKEND == "tensorflow":
        return bool(condition) if tf.executing_eagerly() else None
    if BACKEND == "jax":
        return None if isinstance(condition, jax.core.Tracer) else bool(condition)
    if torch.compiler.is_compiling():
        return None
    try:
        return bool(condition)
    except RuntimeError:
        # The tensors of vmap, make_fx, FakeTensorMode and the meta device have no value.
        return None


def checked(tensor: Any, condition: Any, sentence: str, *numbers: Any) -> Any:
    """Returns the tensor if the condition holds; else raises an error with the sentence and the numbers.

    The error is tf.errors.InvalidArgumentError on TensorFlow, and ValueError on JAX and PyTorch. A graph of TensorFlow
    raises the error when the graph runs. Nothing is checked in graphs of TensorFlow that are portable or that
    XLA compiles, and while JAX or PyTorch trace.
    """
    if not can_raise():
        return tensor
    truth = truth_of(condition)
    if truth is False:
        values = ", ".join(str(keras.ops.convert_to_numpy(number).tolist()) for number in numbers)
        message = f"{sentence} {values}".strip()
        raise tf.errors.InvalidArgumentError(None, None, message) if BACKEND == "tensorflow" else ValueError(message)
    if truth is None and BACKEND == "tensorflow":
        with tf.control_dependencies([tf.debugging.Assert(condition, [sentence, *numbers])]):
            return tf.identity(tensor)
    return tensor


def can_raise() -> bool:
    """Whether an operation may raise an error when it runs.

    False in graphs of TensorFlow that are portable or that XLA compiles. True on JAX and PyTorch, even while these
    trace.
    """
    if BACKEND != "tensorflow" or tf.executing_eagerly():
        return True
    return not is_portable() and not compiled_by_xla()


def can_check(condition: Any) -> bool:
    """Whether `checked` can notice that the condition is false."""
    return can_raise() and (BACKEND == "tensorflow" or truth_of(condition) is not None)


def static_value(lengths: Any) -> list[int] | None:
    """The values of an integer tensor; None if TensorFlow knows them only when the graph runs."""
    if BACKEND == "tensorflow":
        known = tf.get_static_value(lengths)
        return None if known is None else known.tolist()
    return lengths.tolist()


def with_static_shape(tensor: Any, shape: Sequence[int | None]) -> Any:
    """Sets the static shape, which TensorFlow forgets if a padding length is unknown; returns the tensor."""
    if BACKEND == "tensorflow":
        # LiteRT has no tf.ensure_shape.
        tensor.set_shape(shape)
    return tensor


def pad(tensor: Any, pads: Sequence[tuple[Any, Any]]) -> Any:
    """Pads each dimension of the tensor with the given numbers of zeros before and after."""
    if BACKEND == "torch":
        # keras.ops.pad names each call differently, so torch.compile would compile the caller again.
        return torch.nn.functional.pad(tensor, [n for pair in reversed(pads) for n in pair])
    return keras.ops.pad(tensor, pads)


def value_of(tensor: Any) -> Any:
    """The tensor, or a TensorFlow variable's value: `keras.ops.convert_to_tensor` returns the variable itself."""
    return tf.convert_to_tensor(tensor) if BACKEND == "tensorflow" else tensor


def is_dense(value: Any) -> bool:
    """Whether a value is anything but a sparse or ragged tensor of the backend."""
    if BACKEND == "tensorflow":
        return not isinstance(value, (tf.SparseTensor, tf.RaggedTensor, tf.IndexedSlices))
    if BACKEND == "torch":
        return not isinstance(value, torch.Tensor) or (value.layout == torch.strided and not value.is_nested)
    from jax.experimental.sparse import JAXSparse

    return not isinstance(value, JAXSparse)


def cond(condition: Any, when_true: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """One of two results, chosen by Python if the condition has a value now, else by `tf.cond` when the graph runs.

    On JAX and PyTorch, a condition without a value counts as false.
    """
    truth = truth_of(condition)
    if truth is None and BACKEND == "tensorflow":
        return tf.cond(condition, when_true, otherwise)
    return when_true() if truth else otherwise()
