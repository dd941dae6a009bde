"""Pooling and unpooling by TensorFlow's own kernels, and all that is asked of TensorFlow's insides.

The kernels are two-dimensional and of channels last; what is not is brought to that.
"""

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

# Private, for `compiled_by_xla`, `must_compose` and `in_forward_mode`, which have no public way to ask. setup.py bounds
# TensorFlow's versions; should a new one move them, the import fails at once, where a fallback would silently give the
# wrong answer.
from tensorflow.python.eager import forwardprop_util
from tensorflow.python.framework import config as framework_config
from tensorflow.python.ops import control_flow_util

from deconv_ae.ops import every_backend
from deconv_ae.ops.windows import Size, Windows, product, static

# With fewer channels than this, TensorFlow's CPU kernel for pooling with argmax takes up to 9 times as long as max
# pooling and looking up where each maximum was. With more, its inner loop over channels is vectorized, provided
# that positions are as wide as float32 values: with int64 it takes 2 to 6 times as long.
_FEW_CHANNELS = 16
# Where more windows than this share a position, one scatter beats comparing them all.
_MAX_SHIFTS = 16


def has_gpu() -> bool:
    """Whether what is being traced may run on a GPU."""
    return bool(tf.config.get_visible_devices("GPU"))


def compiled_by_xla() -> bool:
    """Whether XLA compiles the code that is being traced, asked as TensorFlow's own operations ask."""
    graph = tf.compat.v1.get_default_graph()
    return not tf.executing_eagerly() and control_flow_util.GraphOrParentsInXlaContext(graph)


def must_compose() -> bool:
    """Whether the code that is being traced must do without TensorFlow's pooling kernels.

    XLA has none that knows positions (tensorflow/tensorflow issue 103438), and its MaxPoolGradGrad compares only 16
    bits of the values. And on a GPU they add with atomic operations, in any order, for which
    `tf.config.experimental.enable_op_determinism` makes them fail.
    """
    return compiled_by_xla() or (has_gpu() and framework_config.is_op_determinism_enabled())


def in_forward_mode(tensor: tf.Tensor) -> bool:
    """Whether a `tf.autodiff.ForwardAccumulator` follows the tensor.

    It has no part in gradients that functions bring along: it asks every operation within for its own, and the kernel
    that scatters has none. It gets operations that have.
    """
    return bool(forwardprop_util.pack_tangents([tensor]).tangents)


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


def in_this_graph(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor, for a `with_gradient` function's gradient to use: a copy in the graph that is being traced.

    The gradient of a tf.function's gradient is traced in a third graph, which captures from the second and not from
    the first, where the tensor may be.
    """
    return tf.identity(tensor)


def checked(tensor: tf.Tensor, condition: tf.Tensor, sentence: str, numbers: Sequence[Any]) -> tf.Tensor:
    """The tensor, once the condition holds; InvalidArgumentError if it does not. XLA cannot raise."""
    if compiled_by_xla():
        return tensor
    if tf.executing_eagerly():
        if not condition:
            said = ", ".join(str(tf.convert_to_tensor(number).numpy().tolist()) for number in numbers)
            raise tf.errors.InvalidArgumentError(None, None, f"{sentence} {said}".strip())
        return tensor
    with tf.control_dependencies([tf.debugging.Assert(condition, [sentence, *numbers])]):
        return tf.identity(tensor)


# -------------------------------------------------------------------------------------------------- Any dimensions


def max_pool(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The maximum of every window and its position."""
    if in_forward_mode(images):
        _, argmax = _max_pool(tf.stop_gradient(images), windows)
        return _values_at(images, argmax), argmax

    @with_gradient
    def pool(images):
        size = windows.size_of(tf_lengths(images))
        pooled, argmax = _max_pool(images, windows)
        return (pooled, argmax), lambda upstream, _: scatter_add(upstream, argmax, size, windows)

    return pool(images)


def max_unpool(
    values: tf.Tensor, argmax: tf.Tensor, size: Size, windows: Windows, in_windows: tf.Tensor | bool
) -> tf.Tensor:
    """Images of a size with the values at their positions, which must be in range: the kernels do not look.

    `MaxPoolGradWithArgmax` on the CPU writes into the neighbouring image, or aborts the process.
    """
    image_shape = windows.shape_of(tf_lengths(argmax)[0], size, tf_lengths(argmax)[windows.channel_axis])

    def masked(winners: Callable) -> tf.Tensor:
        # A mask, not a product: an infinity or NaN that lost must not get through.
        return tf.where(winners(argmax, image_shape, windows), values, tf.zeros((), values.dtype))

    if windows.sharing > _MAX_SHIFTS:
        won = masked(every_backend.winners_anywhere)
    else:
        won = _cond(
            in_windows,
            lambda: values if windows.sharing == 1 else masked(every_backend.winners_in_windows),
            lambda: masked(every_backend.winners_anywhere),
        )
    return scatter_add(won, argmax, size, windows)


def _max_pool(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    if not windows.channels_last:
        shape = tf_lengths(images)
        pooled, argmax = _max_pool(_channels_moved_last(images), _as_channels_last(windows))
        argmax = _from_channels_last(argmax, product(windows.size_of(shape)), shape[1])
        return _channels_moved_first(pooled), _channels_moved_first(argmax)
    if windows.dimensions == 1:
        pooled, argmax = _max_pool_planes(images[:, None], _with_a_row(windows))
        return pooled[:, 0], argmax[:, 0]
    return _max_pool_planes(images, windows) if windows.dimensions == 2 else _max_pool_volumes(images, windows)


def _max_pool_volumes(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """Every plane by the kernels, then their maxima down the planes."""
    batch, depth, height, width, channels = tf_lengths(images)
    planes = dataclasses.replace(windows, pool_size=windows.pool_size[1:], strides=windows.strides[1:])
    pooled, argmax = _max_pool_planes(tf.reshape(images, (-1, height, width, channels)), planes)
    shape = (batch, depth, *planes.pooled_size((height, width)), channels)
    step = height * width * channels
    pooled, argmax = tf.reshape(pooled, shape), tf.reshape(argmax, shape)
    return every_backend.first_maxima(pooled, argmax, windows, 0, depth, step)


def scatter_add(values: tf.Tensor, argmax: tf.Tensor, size: Size, windows: Windows) -> tf.Tensor:
    """Images that are zero but for the sums of the values that each position got.

    That and taking the values at positions are linear and each other's gradient, to any order.
    """
    if in_forward_mode(values):
        return _scatter_nd(values, argmax, size, windows)
    batch, channels = argmax.shape[0], argmax.shape[windows.channel_axis]

    @with_gradient
    def scatter_add(values):
        here = in_this_graph(argmax)
        return _scatter_add_kernel(values, here, size, windows), lambda upstream: _values_at(upstream, here)

    images = scatter_add(values)
    images.set_shape(windows.shape_of(batch, static(size), channels))
    return images


def _values_at(images: tf.Tensor, argmax: tf.Tensor) -> tf.Tensor:
    return tf.gather(tf.reshape(images, (tf.shape(images)[0], -1)), argmax, batch_dims=1)


def _scatter_nd(values: tf.Tensor, argmax: tf.Tensor, size: Size, windows: Windows) -> tf.Tensor:
    """By an operation whose derivatives are all tensors: forward mode over forward mode takes no tf.IndexedSlices."""
    lengths = tf_lengths(argmax)
    image_shape = windows.shape_of(lengths[0], size, lengths[windows.channel_axis])
    image = tf.reshape(tf.range(tf.cast(lengths[0], tf.int64)), (-1, *[1] * (len(lengths) - 1)))
    indices = tf.stack([tf.broadcast_to(image, tf.shape(argmax)), argmax], axis=-1)
    shape = tf.stack([tf.cast(n, tf.int64) for n in (lengths[0], product(image_shape[1:]))])
    return tf.reshape(tf.scatter_nd(indices, values, shape), image_shape)


def _scatter_add_kernel(values: tf.Tensor, argmax: tf.Tensor, size: Size, windows: Windows) -> tf.Tensor:
    """By the gradient of TensorFlow's max pooling, a scatter-add that runs in parallel over the batch."""
    lengths = tf_lengths(argmax)
    image_shape = windows.shape_of(lengths[0], size, lengths[windows.channel_axis])
    kernel_shape, pool_size, strides, padding = image_shape, windows.pool_size, windows.strides, windows.padding
    if windows.dimensions != 2 or not windows.channels_last:
        image_length, count = product(image_shape[1:]), product(lengths[1:])
        if not (isinstance(image_length, int) and isinstance(count, int)):
            positions = every_backend.positions_in_batch(argmax, image_shape)
            images = tf.math.unsorted_segment_sum(values, positions, product(image_shape))
            return tf.reshape(images, image_shape)
        # Where windows lie does not matter to it, so long as there are as many.
        kernel_shape, pool_size = (lengths[0], 1, image_length, 1), (1, image_length - count + 1)
        strides, padding = (1, 1), "valid"
        values, argmax = (tf.reshape(tensor, (lengths[0], 1, count, 1)) for tensor in (values, argmax))
    images = tf.raw_ops.MaxPoolGradWithArgmax(
        # Of this it reads only the shape, so that memory is neither filled nor touched.
        input=tf.raw_ops.Empty(shape=tf.stack(kernel_shape), dtype=values.dtype),
        grad=values,
        argmax=argmax,
        ksize=(1, *pool_size, 1),
        strides=(1, *strides, 1),
        padding=padding.upper(),
    )
    return images if kernel_shape is image_shape else tf.reshape(images, image_shape)


# -------------------------------------------------------------------------------------------------- Two dimensions


def _max_pool_planes(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    # The kernels lose a NaN that is not first in its window, answer -1 on a GPU for a window with nothing above the
    # lowest finite number, and refuse an empty batch. One pass over the images tells all three.
    lowest = tf.constant(images.dtype.min, images.dtype)
    return tf.cond(
        (tf.size(images, tf.int64) > 0) & (tf.reduce_min(images) > lowest),
        lambda: _max_pool_kernel(images, windows),
        lambda: every_backend.max_pool(images, windows),
    )


def _max_pool_kernel(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """By TensorFlow's kernels; which, the device and the shape decide."""
    image_length = images.shape[1:].num_elements()
    argmax_dtype = tf.int64
    # On a GPU there is one kernel, for int64.
    if image_length is not None and not has_gpu():
        exact = {tf.float32: 2**24, tf.float64: 2**53}.get(images.dtype, 0)
        size = tuple(images.shape[1:-1])
        # As many windows as pixels: the kernel that looks up would write its result over the numbers, and read zeros.
        overwritten = windows.pooled_size(size) == size
        if images.shape[-1] < _FEW_CHANNELS and image_length <= exact and not overwritten:
            return _max_pool_and_look_up(images, windows)
        if image_length <= tf.int32.max:
            argmax_dtype = tf.int32
    pooled, argmax = tf.nn.max_pool_with_argmax(
        images, windows.pool_size, windows.strides, windows.padding.upper(), output_dtype=argmax_dtype
    )
    return pooled, tf.cast(argmax, tf.int64)


def _max_pool_and_look_up(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """By max pooling, then looking up the first of every window that equals its maximum.

    That is what the second derivative of max pooling does: it reads a tensor at the positions of the maxima. Given
    the number of every position, as floating point numbers, it returns argmax.
    """
    pooled = tf.nn.max_pool2d(images, windows.pool_size, windows.strides, windows.padding.upper())
    numbers = tf.range(images.shape[1:].num_elements(), dtype=images.dtype)
    argmax = look_up(tf.reshape(numbers, images.shape[1:]), images, pooled, windows)
    return pooled, tf.cast(argmax, tf.int64)


def look_up(numbers: tf.Tensor, images: tf.Tensor, pooled: tf.Tensor, windows: Windows) -> tf.Tensor:
    """For every window the number at the first position that has its maximum; `numbers` broadcasts to the images."""
    return tf.raw_ops.MaxPoolGradGrad(
        orig_input=images,
        orig_output=pooled,
        grad=tf.broadcast_to(numbers, tf.shape(images)),
        ksize=(1, *windows.pool_size, 1),
        strides=(1, *windows.strides, 1),
        padding=windows.padding.upper(),
    )


# -------------------------------------------------------------------------------------------------- Shapes


def tf_lengths(tensor: tf.Tensor) -> tuple[Any, ...]:
    """The tensor's shape: an integer where it is static, a scalar tensor where it is not."""
    known = tensor.shape.as_list()
    if None not in known:
        return tuple(known)
    return tuple(d if s is None else s for s, d in zip(known, tf.unstack(tf.shape(tensor))))


def _cond(condition: tf.Tensor | bool, if_true: Callable, if_false: Callable) -> Any:
    """tf.cond that takes only one branch into the graph where the condition is known."""
    if isinstance(condition, bool):
        return if_true() if condition else if_false()
    return tf.cond(condition, if_true, if_false)


def _with_a_row(windows: Windows) -> Windows:
    """The windows of one dimension over images of one row."""
    return dataclasses.replace(windows, pool_size=(1, *windows.pool_size), strides=(1, *windows.strides))


def _as_channels_last(windows: Windows) -> Windows:
    return dataclasses.replace(windows, data_format="channels_last")


def _channels_moved_last(tensor: tf.Tensor) -> tf.Tensor:
    return tf.transpose(tensor, (0, *range(2, tensor.shape.rank), 1))


def _channels_moved_first(tensor: tf.Tensor) -> tf.Tensor:
    return tf.transpose(tensor, (0, tensor.shape.rank - 1, *range(1, tensor.shape.rank - 1)))


def _from_channels_last(argmax: tf.Tensor, pixels: Any, channels: Any) -> tf.Tensor:
    """The same positions, each in its own channel, numbered as they lie with channels first."""
    pixel = argmax // tf.cast(channels, tf.int64)
    return tf.range(tf.cast(channels, tf.int64)) * tf.cast(pixels, tf.int64) + pixel
