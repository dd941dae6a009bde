"""Max pooling with argmax and max unpooling, in keras.ops: the specification.

This file defines both operations, in one to three dimensions, on every backend. Faster implementations must give the
same results, as the tests check. This file defines no gradient: the backend differentiates selection, slicing and
addition, which gives the gradients of max pooling and max unpooling.
"""

from typing import Any

from keras import ops

from deconv_ae.ops.environment import ARGMAX_DTYPE
from deconv_ae.ops.windows import Axis, Length, Size, Windows, arange, at_least_zero, counting_dtype, pad, product


def max_pool(images: Any, windows: Windows) -> tuple[Any, Any]:
    """Returns the maximum of every window, and the number of its position in its own image.

    Pools one dimension after the other, the last one first: along every row, then down the columns of the rows' maxima.
    So among equal values the first in row-major order is the maximum: the value in the first row, and in that row the
    first value.
    """
    values, numbers = maxima(images, windows)
    return values, ops.cast(numbers, ARGMAX_DTYPE)


def maxima(images: Any, windows: Windows) -> tuple[Any, Any]:
    """Does what `max_pool` does, but numbers positions in int32 if an image is known to be small enough."""
    shape = ops.shape(images)
    size, channels = windows.size_of(shape), shape[windows.channel_axis]
    dtype = counting_dtype(product(shape[1:]))
    steps, _ = windows.steps(size, channels)
    values, numbers = images, windows.channel_numbers(size, channels, dtype)
    for index in reversed(range(windows.dimensions)):
        values, numbers = first_maxima(values, numbers, windows, index, size[index], steps[index])
    if windows.pool_size == (1,) * windows.dimensions:
        # With windows of one position, no comparison has broadcast the numbers over the batch.
        numbers = ops.broadcast_to(numbers, ops.shape(values))
    return values, numbers


def first_maxima(
    values: Any, numbers: Any, windows: Windows, index: int, length: Length, step: Length
) -> tuple[Any, Any]:
    """Pools along dimension `index`, which has this length; returns the maxima and the numbers of their positions.

    The argument `numbers` holds, for each value, what the channel and the dimensions pooled so far add to its
    position's number. This function adds `step` times the position's coordinate along this dimension.

    A value leads if it is greater than all earlier values of its window, or if it is the first NaN. Padding never
    leads.
    """
    axis, dimension, dtype = windows.axes[index], windows.first_axis + index, numbers.dtype
    starts = windows.along(axis.starts(length, dtype), dimension)
    step, end = ops.cast(step, dtype), ops.cast(length, dtype)
    # `numbers` has length 1 along this dimension until a comparison along another dimension has broadcast it.
    is_constant = numbers.shape[dimension] == 1
    numbers_by_offset = [numbers] * axis.pool if is_constant else _slices_by_offset(numbers, axis, dimension, length)
    best: Any = None
    best_number: Any = None
    best_inside: Any = None
    values_by_offset = _slices_by_offset(values, axis, dimension, length)
    for offset, (value, number) in enumerate(zip(values_by_offset, numbers_by_offset)):
        position = starts + offset
        number = position * step + number
        inside = (position >= 0) & (position < end)
        if best is None:
            best, best_number, best_inside = value, number, inside
            continue
        # TensorFlow's graph optimizer would rewrite `~(value <= best)` to `value > best`, which is false for NaN.
        leads = (value > best) | (ops.not_equal(value, value) & ops.equal(best, best))
        if axis.padding == "same":
            leads = inside & (leads | ~best_inside)
            best_inside = best_inside | inside
        best, best_number = ops.where(leads, value, best), ops.where(leads, number, best_number)
    return best, best_number


def _slices_by_offset(tensor: Any, axis: Axis, dimension: int, length: Length) -> list[Any]:
    """For every offset in a window, a tensor of all windows' values at that offset; zeros outside of the image."""
    count = axis.pooled_length(length)
    padded = pad(tensor, {dimension: axis.pads(length)})
    slices = []
    for offset in range(axis.pool):
        index: list[Any] = [slice(None)] * len(tensor.shape)
        index[dimension] = slice(offset, offset + at_least_zero((count - 1) * axis.stride + 1), axis.stride)
        slices.append(padded[tuple(index)])
    return slices


def max_unpool(values: Any, argmax: Any, size: Size, windows: Windows, positions_are_in_windows: bool = False) -> Any:
    """Returns images of zeros with each value at its position.

    If several windows chose one position, the last of them in row-major order wins. Values that lost, and values whose
    position is not in their own image, go to one place behind the last image; that place is cut off. So the gradient of
    a value that lost is zero, whatever the value is.

    Args:
        values: the pooled values.
        argmax: the position of each value in its own image.
        size: the size of the images.
        windows: the windows that chose the positions.
        positions_are_in_windows: whether every position is in the window that chose it. Only faster implementations
            use this.

    Returns:
        The images.
    """
    del positions_are_in_windows
    shape = ops.shape(argmax)
    image_shape = windows.shape_of(shape[0], size, shape[windows.channel_axis])
    return scatter(values, argmax, winners(argmax, image_shape), image_shape)


def winners(argmax: Any, image_shape: tuple[Length, ...]) -> Any:
    """Whether each value is the last at its position."""
    positions = ops.reshape(positions_in_batch(argmax, image_shape), (-1,))
    numbers = arange(product(ops.shape(argmax)), ARGMAX_DTYPE)
    winner_numbers = ops.segment_max(numbers, positions, product(image_shape) + 1)
    return ops.reshape(ops.equal(ops.take(winner_numbers, positions), numbers), ops.shape(argmax))


def scatter(values: Any, argmax: Any, is_winner: Any, image_shape: tuple[Length, ...]) -> Any:
    """Returns images of zeros, with the winners among the values at their positions."""
    length = product(image_shape)
    positions = positions_in_batch(argmax, image_shape)
    positions = ops.where(is_winner, positions, ops.cast(length, positions.dtype))
    flat = ops.segment_sum(ops.reshape(values, (-1,)), ops.reshape(positions, (-1,)), length + 1)
    return ops.reshape(flat[:length], image_shape)


def positions_in_batch(argmax: Any, image_shape: tuple[Length, ...]) -> Any:
    """Renumbers positions through the whole batch.

    A position outside of its image becomes the place behind the last image.
    """
    image_length, length = (ops.cast(product(lengths), ARGMAX_DTYPE) for lengths in (image_shape[1:], image_shape))
    argmax = ops.cast(argmax, ARGMAX_DTYPE)
    starts = ops.reshape(arange(image_shape[0], ARGMAX_DTYPE) * image_length, (-1, *[1] * (len(image_shape) - 1)))
    return ops.where((argmax >= 0) & (argmax < image_length), argmax + starts, length)
