"""Pooling and unpooling by TensorFlow's own kernels, which take two dimensions and channels last."""

import dataclasses
from typing import Any

import tensorflow as tf

from deconv_ae.ops import environment, in_windows, reference
from deconv_ae.ops.windows import Size, Windows, product, static

# With fewer channels than this, TensorFlow's CPU kernel for pooling with argmax takes up to 9 times as long as max
# pooling followed by a lookup of each maximum's position. With more channels, the kernel's inner loop over the channels
# is vectorized if positions are as wide as float32 values. With int64 positions, the kernel takes 2 to 6 times as long
# as with int32 positions.
_FEW_CHANNELS = 16
# If more windows than this share a position, one scatter is faster than comparing them all.
_MOST_WINDOWS_TO_COMPARE = 16


def max_pool(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """Does what `reference.max_pool` does."""

    @environment.custom_gradient
    def pool(images):
        size = windows.size_of(_lengths(images))
        pooled, argmax = _max_pool(images, windows)
        return (pooled, argmax), lambda upstream, _: _scatter_add(upstream, argmax, size, windows)

    return pool(images)


def max_unpool(
    values: tf.Tensor, argmax: tf.Tensor, size: Size, windows: Windows, positions_are_in_windows: bool
) -> tf.Tensor:
    """Does what `reference.max_unpool` does, but every position must be in range.

    TensorFlow's kernels do not check positions. With a position out of range, `MaxPoolGradWithArgmax` on the CPU writes
    into the next image or aborts the process.
    """
    if windows.windows_per_position > 1 or not positions_are_in_windows:
        batch, *_ = lengths = _lengths(argmax)
        image_shape = windows.shape_of(batch, size, lengths[windows.channel_axis])
        if positions_are_in_windows and windows.windows_per_position <= _MOST_WINDOWS_TO_COMPARE:
            is_winner = in_windows.winners(argmax, image_shape, windows)
        else:
            is_winner = reference.winners(argmax, image_shape)
        # `values * is_winner` would be wrong, because an infinity or NaN that lost, times zero, is NaN. tf.where would
        # be wrong, too: if `values` had one image and `argmax` several, tf.where would repeat the values for each image
        # of `argmax`. Select raises an error instead.
        values = tf.raw_ops.Select(condition=is_winner, x=values, y=tf.zeros_like(values))
    return _scatter_add(values, argmax, size, windows)


def _scatter_add(values: tf.Tensor, argmax: tf.Tensor, size: Size, windows: Windows) -> tf.Tensor:
    """Returns images that hold, at each position, the sum of the values whose argmax is this position.

    Unpooling is this sum after `max_unpool` has set all but the last value at each position to zero. The gradient of
    pooling is this sum, too. The gradient of this function, and therefore of unpooling, is `_values_at`. Both functions
    are linear, and each is the gradient of the other, to any order. To change the gradient of unpooling alone, edit
    `max_unpool`.
    """
    batch, channels = argmax.shape[0], argmax.shape[windows.channel_axis]

    @environment.custom_gradient
    def scatter_add(values):
        # TensorFlow traces the gradient of a tf.function's gradient in a third graph. That graph captures tensors of
        # the second graph only, and argmax may be in the first. So copy argmax to the graph that is traced now.
        argmax_copy = tf.identity(argmax)
        images = _scatter_add_kernel(values, argmax_copy, size, windows)
        return images, lambda upstream: _values_at(upstream, argmax_copy)

    images = scatter_add(values)
    images.set_shape(windows.shape_of(batch, static(size), channels))
    return images


def _values_at(images: tf.Tensor, argmax: tf.Tensor) -> tf.Tensor:
    return tf.gather(tf.reshape(images, (tf.shape(images)[0], -1)), argmax, batch_dims=1)


def _scatter_add_kernel(values: tf.Tensor, argmax: tf.Tensor, size: Size, windows: Windows) -> tf.Tensor:
    """Scatters with the gradient kernel of max pooling, a scatter-add that runs in parallel over the batch.

    The kernel takes two-dimensional images with channels last. Each image of another kind is reshaped to one row.
    That needs known lengths; if a length is unknown, a segment sum replaces the kernel.
    """
    lengths = _lengths(argmax)
    image_shape = windows.shape_of(lengths[0], size, lengths[windows.channel_axis])
    input_shape, pool_size, strides, padding = image_shape, windows.pool_size, windows.strides, windows.padding
    if windows.dimensions != 2 or not windows.channels_last:
        image_length, count = product(image_shape[1:]), product(lengths[1:])
        if not (isinstance(image_length, int) and isinstance(count, int)):
            positions = reference.positions_in_batch(argmax, image_shape)
            images = tf.math.unsorted_segment_sum(values, positions, product(image_shape))
            return tf.reshape(images, image_shape)
        # The kernel uses only the number of windows, not their places.
        input_shape, pool_size = (lengths[0], 1, image_length, 1), (1, image_length - count + 1)
        strides, padding = (1, 1), "valid"
        values, argmax = (tf.reshape(tensor, (lengths[0], 1, count, 1)) for tensor in (values, argmax))
    images = tf.raw_ops.MaxPoolGradWithArgmax(
        # The kernel reads only the shape of `input`, so the memory stays uninitialized.
        input=tf.raw_ops.Empty(shape=tf.stack(input_shape), dtype=values.dtype),
        grad=values,
        argmax=argmax,
        ksize=(1, *pool_size, 1),
        strides=(1, *strides, 1),
        padding=padding.upper(),
    )
    return images if input_shape is image_shape else tf.reshape(images, image_shape)


# ------------------------------------------------------------------------------------------- Pooling, by dimensions


def _max_pool(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    if not windows.channels_last:
        shape = _lengths(images)
        pooled, argmax = _max_pool(_channels_moved_last(images), _as_channels_last(windows))
        argmax = _renumbered_channels_first(argmax, product(windows.size_of(shape)), shape[1])
        return _channels_moved_first(pooled), _channels_moved_first(argmax)
    if windows.dimensions == 1:
        pooled, argmax = _max_pool_planes(images[:, None], _as_two_dimensional(windows))
        return pooled[:, 0], argmax[:, 0]
    return _max_pool_planes(images, windows) if windows.dimensions == 2 else _max_pool_volumes(images, windows)


def _max_pool_volumes(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """Pools every plane with TensorFlow's kernels, then pools the planes' maxima along the depth."""
    batch, depth, height, width, channels = _lengths(images)
    planes = dataclasses.replace(windows, pool_size=windows.pool_size[1:], strides=windows.strides[1:])
    pooled, argmax = _max_pool_planes(tf.reshape(images, (-1, height, width, channels)), planes)
    shape = (batch, depth, *planes.pooled_size((height, width)), channels)
    step = height * width * channels
    pooled, argmax = tf.reshape(pooled, shape), tf.reshape(argmax, shape)
    return reference.first_maxima(pooled, argmax, windows, 0, depth, step)


def _max_pool_planes(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    # TensorFlow's pooling kernels lose a NaN that is not first in its window, return -1 on a GPU for a window with
    # nothing above the lowest finite number, and refuse an empty batch. One pass over the images detects all three.
    lowest = tf.constant(images.dtype.min, images.dtype)
    return tf.cond(
        (tf.size(images, tf.int64) > 0) & (tf.reduce_min(images) > lowest),
        lambda: _max_pool_kernel(images, windows),
        lambda: reference.max_pool(images, windows),
    )


def _max_pool_kernel(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """Pools with one of TensorFlow's kernels, chosen by the device, the type and the shape."""
    image_length = images.shape[1:].num_elements()
    argmax_dtype = tf.int64
    # On a GPU there is only one kernel, for int64.
    if image_length is not None and not environment.has_gpu():
        largest_exact_integer = {tf.float32: 2**24, tf.float64: 2**53}.get(images.dtype, 0)
        size = tuple(images.shape[1:-1])
        # `_max_pool_and_look_up` gives MaxPoolGradGrad the position numbers as input. With as many windows as pixels,
        # the kernel writes its output into the memory of this input, and so reads zeros instead of the numbers.
        overwrites_numbers = windows.pooled_size(size) == size
        can_count = image_length <= largest_exact_integer
        if images.shape[-1] < _FEW_CHANNELS and can_count and not overwrites_numbers:
            return _max_pool_and_look_up(images, windows)
        if image_length <= tf.int32.max:
            argmax_dtype = tf.int32
    pooled, argmax = tf.nn.max_pool_with_argmax(
        images, windows.pool_size, windows.strides, windows.padding.upper(), output_dtype=argmax_dtype
    )
    return pooled, tf.cast(argmax, tf.int64)


def _max_pool_and_look_up(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """Max pools, then looks up the first position of the maximum in every window.

    The second derivative of max pooling reads a tensor at the positions of the maxima. If that tensor holds the
    position numbers, as floating point numbers, the result is argmax.
    """
    arguments = {"strides": (1, *windows.strides, 1), "padding": windows.padding.upper()}
    pooled = tf.nn.max_pool2d(images, windows.pool_size, **arguments)
    numbers = tf.reshape(tf.range(images.shape[1:].num_elements(), dtype=images.dtype), images.shape[1:])
    argmax = tf.raw_ops.MaxPoolGradGrad(
        orig_input=images,
        orig_output=pooled,
        grad=tf.broadcast_to(numbers, tf.shape(images)),
        ksize=(1, *windows.pool_size, 1),
        **arguments,
    )
    return pooled, tf.cast(argmax, tf.int64)


# ------------------------------------------------------------------------------------------- Shapes


def _lengths(tensor: tf.Tensor) -> tuple[Any, ...]:
    """The tensor's shape: an integer for each static length, a scalar tensor for each other length."""
    known = tensor.shape.as_list()
    if None not in known:
        return tuple(known)
    return tuple(d if s is None else s for s, d in zip(known, tf.unstack(tf.shape(tensor))))


def _as_two_dimensional(windows: Windows) -> Windows:
    """One-dimensional windows as two-dimensional windows over images of one row."""
    return dataclasses.replace(windows, pool_size=(1, *windows.pool_size), strides=(1, *windows.strides))


def _as_channels_last(windows: Windows) -> Windows:
    return dataclasses.replace(windows, data_format="channels_last")


def _channels_moved_last(tensor: tf.Tensor) -> tf.Tensor:
    return tf.transpose(tensor, (0, *range(2, tensor.shape.rank), 1))


def _channels_moved_first(tensor: tf.Tensor) -> tf.Tensor:
    return tf.transpose(tensor, (0, tensor.shape.rank - 1, *range(1, tensor.shape.rank - 1)))


def _renumbered_channels_first(argmax: tf.Tensor, pixel_count: Any, channels: Any) -> tf.Tensor:
    """Renumbers positions from channels last to channels first. Every position must be in its window's channel."""
    pixel_numbers = argmax // tf.cast(channels, tf.int64)
    return tf.range(tf.cast(channels, tf.int64)) * tf.cast(pixel_count, tf.int64) + pixel_numbers
