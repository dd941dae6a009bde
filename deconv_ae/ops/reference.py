"""Max pooling with argmax and max unpooling, in keras.ops: the specification.

Read this file to know what the two compute, in one to three dimensions, on every backend. Faster implementations have
to give the same, and the tests hold them to it. No gradient is written down here: those of choosing, slicing and adding
are the backend's, and are those of max pooling and max unpooling.
"""

from typing import Any

from keras import ops

from deconv_ae.ops.environment import ARGMAX_DTYPE
from deconv_ae.ops.windows import Axis, Length, Size, Windows, arange, at_least_zero, counting_dtype, pad, product


def max_pool(images: Any, windows: Windows) -> tuple[Any, Any]:
    """The maximum of every window, and the number of its position in its own image.

    One dimension after the other, the last first: the maxima along every row, then of those down the columns. So the
    first of equal values in row-major order is the first of its row, in the first row that has it.
    """
    values, numbers = maxima(images, windows)
    return values, ops.cast(numbers, ARGMAX_DTYPE)


def maxima(images: Any, windows: Windows) -> tuple[Any, Any]:
    """The same, with the numbers in the narrowest type that counts the positions of an image."""
    shape = ops.shape(images)
    size, channels = windows.size_of(shape), shape[windows.channel_axis]
    dtype = counting_dtype(product(shape[1:]))
    steps, _ = windows.steps(size, channels)
    values, numbers = images, windows.channel_numbers(size, channels, dtype)
    for index in reversed(range(windows.dimensions)):
        values, numbers = first_maxima(values, numbers, windows, index, size[index], steps[index])
    if windows.pool_size == (1,) * windows.dimensions:
        # Nothing was compared, and the numbers are still those of one image.
        numbers = ops.broadcast_to(numbers, ops.shape(values))
    return values, numbers


def first_maxima(
    values: Any, numbers: Any, windows: Windows, index: int, length: Length, step: Length
) -> tuple[Any, Any]:
    """Pools along one dimension: the maxima, and the numbers of their positions.

    A value leads if it is greater than those before it in its window, or if it is the first NaN. Padding never leads.
    """
    axis, dimension, dtype = windows.axes[index], windows.first_axis + index, numbers.dtype
    starts = windows.along(axis.starts(length, dtype), dimension)
    step, end = ops.cast(step, dtype), ops.cast(length, dtype)
    # Before a dimension is pooled, the numbers are the same all along it.
    own = [numbers] * axis.pool if numbers.shape[dimension] == 1 else _by_offset(numbers, axis, dimension, length)
    best: Any = None
    best_number: Any = None
    best_inside: Any = None
    for offset, (value, number) in enumerate(zip(_by_offset(values, axis, dimension, length), own)):
        position = starts + offset
        number = position * step + number
        inside = (position >= 0) & (position < end)
        if best is None:
            best, best_number, best_inside = value, number, inside
            continue
        # Not "not value <= best": TensorFlow's graph optimizer makes that "value > best", which no NaN is.
        leads = (value > best) | (ops.not_equal(value, value) & ops.equal(best, best))
        if axis.padding == "same":
            leads = inside & (leads | ~best_inside)
            best_inside = best_inside | inside
        best, best_number = ops.where(leads, value, best), ops.where(leads, number, best_number)
    return best, best_number


def _by_offset(tensor: Any, axis: Axis, dimension: int, length: Length) -> list[Any]:
    """For every place in a window, what all windows along a dimension have there; zero outside of the image."""
    count = axis.pooled_length(length)
    padded = pad(tensor, {dimension: axis.pads(length)})
    slices = []
    for offset in range(axis.pool):
        chosen: list[Any] = [slice(None)] * len(tensor.shape)
        chosen[dimension] = slice(offset, offset + at_least_zero((count - 1) * axis.stride + 1), axis.stride)
        slices.append(padded[tuple(chosen)])
    return slices


def max_unpool(values: Any, argmax: Any, size: Size, windows: Windows, in_windows: bool = False) -> Any:
    """Images that are zero but for the values, each at its position.

    Where several windows chose one position, the last of them in row-major order has it. The other values, and those
    whose position is in no image, go to a place behind the last image, which is cut off. So the gradient of a value
    that lost is zero, whatever the value is.

    Args:
        in_windows: whether every position is in the window that chose it, of which others make use.
    """
    del in_windows
    shape = ops.shape(argmax)
    image_shape = windows.shape_of(shape[0], size, shape[windows.channel_axis])
    return scatter(values, argmax, winners(argmax, image_shape), image_shape)


def winners(argmax: Any, image_shape: tuple[Length, ...]) -> Any:
    """Whether each value is the last that is at its position."""
    positions = ops.reshape(positions_in_batch(argmax, image_shape), (-1,))
    numbers = arange(product(ops.shape(argmax)), ARGMAX_DTYPE)
    last = ops.segment_max(numbers, positions, product(image_shape) + 1)
    return ops.reshape(ops.equal(ops.take(last, positions), numbers), ops.shape(argmax))


def scatter(values: Any, argmax: Any, won: Any, image_shape: tuple[Length, ...]) -> Any:
    """Images of a shape with the values that won."""
    length = product(image_shape)
    positions = positions_in_batch(argmax, image_shape)
    positions = ops.where(won, positions, ops.cast(length, positions.dtype))
    flat = ops.segment_sum(ops.reshape(values, (-1,)), ops.reshape(positions, (-1,)), length + 1)
    return ops.reshape(flat[:length], image_shape)


def positions_in_batch(argmax: Any, image_shape: tuple[Length, ...]) -> Any:
    """The positions numbered through the batch; of those in no image, the first number behind the last image."""
    image_length, length = (ops.cast(product(lengths), ARGMAX_DTYPE) for lengths in (image_shape[1:], image_shape))
    argmax = ops.cast(argmax, ARGMAX_DTYPE)
    starts = ops.reshape(arange(image_shape[0], ARGMAX_DTYPE) * image_length, (-1, *[1] * (len(image_shape) - 1)))
    return ops.where((argmax >= 0) & (argmax < image_length), argmax + starts, length)
