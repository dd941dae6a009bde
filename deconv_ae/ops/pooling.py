"""Max pooling that remembers where the maxima were.

XLA cannot compile `MaxPoolWithArgmax` on any device (tensorflow/tensorflow issue 103438), and Keras compiles models
with XLA by default where there is a GPU. Under XLA everything here is therefore composed of operations that it has.
Elsewhere TensorFlow's own kernels are faster, and do the work, but for images with a NaN, -inf or the lowest finite
number, which they get wrong, and for deterministic operations on a GPU.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from deconv_ae.ops import execution
from deconv_ae.ops.windows import Axis, Length, Windows, at_least_zero, int64, lengths_of

# With fewer channels than this, TensorFlow's CPU kernel for pooling with argmax takes up to 9 times as long as max
# pooling and looking up where each maximum was. With more, its inner loop over channels is vectorized, provided
# that positions are as wide as float32 values: with int64 it takes 2 to 6 times as long.
_FEW_CHANNELS = 16


def max_pool(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The maximum of every window and its position, without a gradient."""
    if execution.must_compose():
        return _max_pool_composed(images, windows)
    # The kernels lose a NaN that is not first in its window, answer -1 on a GPU for a window with nothing above the
    # lowest finite number, and refuse an empty batch. One pass over the images tells all three.
    lowest = tf.constant(images.dtype.min, images.dtype)
    return tf.cond(
        (tf.size(images, tf.int64) > 0) & (tf.reduce_min(images) > lowest),
        lambda: _max_pool_kernel(images, windows),
        lambda: _max_pool_composed(images, windows),
    )


def _max_pool_kernel(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The same with TensorFlow's kernels; which, the device and the shape decide."""
    image_length = images.shape[1:].num_elements()
    argmax_dtype = tf.int64
    # On a GPU there is one kernel, for int64.
    if image_length is not None and not execution.has_gpu():
        exact = {tf.float32: 2**24, tf.float64: 2**53}.get(images.dtype, 0)
        if images.shape[-1] < _FEW_CHANNELS and image_length <= exact:
            return _max_pool_and_look_up(images, windows)
        if image_length <= tf.int32.max:
            argmax_dtype = tf.int32
    pooled, argmax = tf.nn.max_pool_with_argmax(
        images, windows.pool_size, windows.strides, windows.padding.upper(), output_dtype=argmax_dtype
    )
    return pooled, int64(argmax)


def _max_pool_and_look_up(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The same by max pooling, then looking up the first of every window that equals its maximum.

    That is what the second derivative of max pooling does: it reads a tensor at the positions of the maxima. Given
    the number of every position, as floating point numbers, it returns argmax.
    """
    padding = windows.padding.upper()
    pooled = tf.nn.max_pool2d(images, windows.pool_size, windows.strides, padding)
    positions = tf.range(images.shape[1:].num_elements(), dtype=images.dtype)
    argmax = tf.raw_ops.MaxPoolGradGrad(
        orig_input=images,
        orig_output=pooled,
        grad=tf.broadcast_to(tf.reshape(positions, images.shape[1:]), tf.shape(images)),
        ksize=(1, *windows.pool_size, 1),
        strides=(1, *windows.strides, 1),
        padding=padding,
    )
    return pooled, int64(argmax)


def _max_pool_composed(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The same without the kernels: by an argmax where windows lie side by side, else by comparing slices, along the
    columns of every row, then the results along rows.

    The first maximum in row-major order is the first column's, of the first row that has it. NaN counts as more
    than any number, so that it comes out, at the position of the first.
    """
    _, height, width, channels = lengths_of(images)
    rows, columns = windows.axes
    if windows.strides == windows.pool_size and windows.padding == "valid":
        pooled, row, column = _max_pool_blocks(images, windows)
    else:
        pooled, (column,) = _first_maxima(images, (), 2, columns, width)
        pooled, (row, column) = _first_maxima(pooled, (column,), 1, rows, height)
    channels = int64(channels)
    return pooled, (int64(row) * int64(width) + int64(column)) * channels + tf.range(channels)


def _max_pool_blocks(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The maxima of windows that lie side by side, and the int32 row and column of each.

    The values of a window come into one dimension, and the first maximum is looked for there.

    With slices, pooling and unpooling compiled together took two to nine times as long as the two apart, as if XLA
    compared again for every pixel that asks for a window's position; after an argmax it does not.
    """
    batch, height, width, channels = lengths_of(images)
    (pool_height, pool_width), (pooled_height, pooled_width) = windows.pool_size, windows.pooled_size((height, width))
    blocks = tf.reshape(
        images[:, : pooled_height * pool_height, : pooled_width * pool_width],
        (batch, pooled_height, pool_height, pooled_width, pool_width, channels),
    )
    values = tf.reshape(
        tf.transpose(blocks, (0, 1, 3, 5, 2, 4)),
        (batch, pooled_height, pooled_width, channels, pool_height * pool_width),
    )
    switches = tf.argmax(values, axis=-1, output_type=tf.int32)
    # Where a NaN goes in an argmax, TensorFlow and XLA do not say.
    is_nan = tf.math.is_nan(values)
    first_nan = tf.argmax(is_nan, axis=-1, output_type=tf.int32)
    switches = tf.where(tf.reduce_any(is_nan, axis=-1), first_nan, switches)
    pooled = tf.gather(values, switches, batch_dims=4)
    row = tf.range(pooled_height)[:, None, None] * pool_height + switches // pool_width
    column = tf.range(pooled_width)[:, None] * pool_width + switches % pool_width
    return pooled, row, column


def _first_maxima(
    values: tf.Tensor, carried: Sequence[tf.Tensor], dimension: int, axis: Axis, length: Length
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Pools along one dimension.

    Returns:
        The maxima, and a list of their int32 positions along the dimension, followed by what the tensors `carried`
        have there.
    """
    count, before = axis.pooled_length(length), axis.pad_before(length)
    after = at_least_zero((count - 1) * axis.stride + axis.pool - before - length)
    paddings: list[Any] = [(0, 0)] * 4
    paddings[dimension] = (before, after)
    padded = [tf.pad(tensor, paddings) for tensor in (values, *carried)]
    shape: list[Length] = [1] * 4
    shape[dimension] = count
    start = tf.reshape(tf.range(count) * axis.stride - before, shape)

    best: list[tf.Tensor] = []
    for offset in range(axis.pool):
        slices = [slice(None)] * 4
        slices[dimension] = slice(offset, offset + at_least_zero((count - 1) * axis.stride + 1), axis.stride)
        value, *others = (tensor[tuple(slices)] for tensor in padded)
        position = start + offset
        if not best:
            best = [value, tf.broadcast_to(position, tf.shape(value)), *others]
            continue
        better = (value > best[0]) | (tf.math.is_nan(value) & ~tf.math.is_nan(best[0]))
        if axis.padding == "same":
            # Padding neither wins nor defends, not even against -inf.
            better = (better | (best[1] < 0)) & (position < length)
        best = [tf.where(better, new, old) for new, old in zip([value, position, *others], best)]
    return best[0], best[1:]
