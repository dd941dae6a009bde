"""Unpooling where every position is in the window that chose it, without a search for duplicates in the whole batch.

Windows side by side share no position, so each position looks up the value of its only window. Overlapping windows
share positions only with their neighbours, so each window is compared only with its neighbours.
"""

import itertools
from collections.abc import Callable
from typing import Any

from keras import ops

from deconv_ae.ops import reference
from deconv_ae.ops.windows import Length, Size, Windows, arange, at_least_zero, counting_dtype, pad, product


def max_unpool(values: Any, argmax: Any, size: Size, windows: Windows, repeat: Callable | None = None) -> Any:
    """Does what `reference.max_unpool` does."""
    if windows.windows_per_position == 1:
        return spread(values, argmax, size, windows, repeat or _tile)
    shape = ops.shape(argmax)
    image_shape = windows.shape_of(shape[0], size, shape[windows.channel_axis])
    return reference.scatter(values, argmax, winners(argmax, image_shape, windows), image_shape)


def winners(argmax: Any, image_shape: tuple[Length, ...], windows: Windows) -> Any:
    """Whether each value is the last at its position: no later, overlapping window chose that position."""
    # Plus one, so that the padding's zeros differ from every position.
    numbers = ops.cast(argmax, counting_dtype(product(image_shape[1:]))) + 1
    shape, first_axis = ops.shape(argmax), windows.first_axis
    counts = [axis.windows_per_position for axis in windows.axes]
    # Along the first dimension, a later window in row-major order never lies before an earlier one.
    pads_before = [0, *(count - 1 for count in counts[1:])]
    padded = pad(numbers, {first_axis + n: (pads_before[n], counts[n] - 1) for n in range(windows.dimensions)})
    lost = ops.zeros(shape, "bool")
    no_shift = (0,) * windows.dimensions
    for shift in itertools.product(*(range(-before, count) for before, count in zip(pads_before, counts))):
        if shift > no_shift:
            later_windows: list[Any] = [slice(None)] * len(shape)
            for n, (distance, before) in enumerate(zip(shift, pads_before)):
                later_windows[first_axis + n] = slice(before + distance, before + distance + shape[first_axis + n])
            lost = lost | ops.equal(numbers, padded[tuple(later_windows)])
    return ~lost


def spread(values: Any, argmax: Any, size: Size, windows: Windows, repeat: Callable) -> Any:
    """Copies each window's value to all positions up to the next window, and keeps the copy at the maximum.

    Each copy has a distance: the maximum's position number minus its own. A window starts with the distance from its
    first position, and copying along a dimension subtracts each copy's offset in the window. Only the copy at the
    maximum ends with a distance of zero.
    """
    shape = ops.shape(argmax)
    channels = shape[windows.channel_axis]
    dtype = counting_dtype(product((*size, channels)))
    distances = ops.cast(argmax, dtype) - windows.first_positions(size, channels, dtype)
    lengths = list(shape)
    for index in reversed(range(windows.dimensions)):
        dimension, stride = windows.first_axis + index, windows.strides[index]
        inner = _product(lengths[dimension + 1 :])
        step = ops.cast(windows.steps(size, channels)[0][index], dtype)
        offsets = ops.reshape(arange(stride, dtype) * step, (1, 1, stride, 1))
        # LiteRT broadcasts four dimensions at most.
        distances = ops.reshape(distances, (-1, lengths[dimension], 1, inner)) - offsets
        values = repeat(ops.reshape(values, (-1, lengths[dimension], 1, inner)), stride)
        lengths[dimension] = lengths[dimension] * stride
    images = ops.where(ops.equal(distances, 0), values, ops.zeros((), values.dtype))
    return _cropped_and_padded(ops.reshape(images, lengths), size, windows)


def _tile(tensor: Any, times: int) -> Any:
    return ops.tile(tensor, (1, 1, times, 1))


def _cropped_and_padded(images: Any, size: Size, windows: Windows) -> Any:
    """Crops the parts of windows outside of the image, and appends zeros for positions behind the last window."""
    for index, (axis, length) in enumerate(zip(windows.axes, size)):
        dimension = windows.first_axis + index
        before, _ = axis.pads(length)
        image_slices: list[Any] = [slice(None)] * len(images.shape)
        image_slices[dimension] = slice(before, before + length)
        spread_length = ops.shape(images)[dimension]
        images = pad(images[tuple(image_slices)], {dimension: (0, at_least_zero(length + before - spread_length))})
    return images


def _product(lengths: list[Length]) -> Length:
    result: Length = 1
    for length in lengths:
        result = result * length
    return result
