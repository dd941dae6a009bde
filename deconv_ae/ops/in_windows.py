"""Unpooling of positions that are all in the windows that chose them, without a search for duplicates.

Windows that lie side by side then share no position, and a position can be asked for its value instead of the other way
round. Windows that overlap share positions with their neighbours only.
"""

import itertools
from collections.abc import Callable
from typing import Any

from keras import ops

from deconv_ae.ops import reference
from deconv_ae.ops.windows import Length, Size, Windows, arange, at_least_zero, counting_dtype, pad, product


def max_unpool(values: Any, argmax: Any, size: Size, windows: Windows, repeat: Callable | None = None) -> Any:
    """As `reference.max_unpool`."""
    if windows.sharing == 1:
        return spread(values, argmax, size, windows, repeat or _tile)
    shape = ops.shape(argmax)
    image_shape = windows.shape_of(shape[0], size, shape[windows.channel_axis])
    return reference.scatter(values, argmax, winners(argmax, image_shape, windows), image_shape)


def winners(argmax: Any, image_shape: tuple[Length, ...], windows: Windows) -> Any:
    """Whether each value is the last that is at its position: no later window that overlaps its own chose the same."""
    # One more, so that the zeros of the padding are no position.
    numbers = ops.cast(argmax, counting_dtype(product(image_shape[1:]))) + 1
    shape, reaches, first = ops.shape(argmax), [axis.reach for axis in windows.axes], windows.first_axis
    # No later window comes before along the first dimension.
    befores = [0, *(reach - 1 for reach in reaches[1:])]
    padded = pad(numbers, {first + n: (befores[n], reaches[n] - 1) for n in range(windows.dimensions)})
    lost = ops.zeros(shape, "bool")
    nowhere = (0,) * windows.dimensions
    for shift in itertools.product(*(range(-before, reach) for before, reach in zip(befores, reaches))):
        if shift > nowhere:
            later: list[Any] = [slice(None)] * len(shape)
            for n, (distance, before) in enumerate(zip(shift, befores)):
                later[first + n] = slice(before + distance, before + distance + shape[first + n])
            lost = lost | ops.equal(numbers, padded[tuple(later)])
    return ~lost


def spread(values: Any, argmax: Any, size: Size, windows: Windows, repeat: Callable) -> Any:
    """Every window's value spread over the positions that only this window has, and kept where its maximum was.

    How far a window's maximum is from the window's start is spread beside it, less how far each position is, one
    dimension after the other: where that leaves zero, the maximum was.
    """
    shape = ops.shape(argmax)
    channels = shape[windows.channel_axis]
    dtype = counting_dtype(product((*size, channels)))
    rest = ops.cast(argmax, dtype) - windows.first_positions(size, channels, dtype)
    lengths = list(shape)
    for index in reversed(range(windows.dimensions)):
        dimension, stride = windows.first_axis + index, windows.strides[index]
        inner = _product(lengths[dimension + 1 :])
        step = ops.cast(windows.steps(size, channels)[0][index], dtype)
        offsets = ops.reshape(arange(stride, dtype) * step, (1, 1, stride, 1))
        # Four dimensions, the most that LiteRT broadcasts.
        rest = ops.reshape(rest, (-1, lengths[dimension], 1, inner)) - offsets
        values = repeat(ops.reshape(values, (-1, lengths[dimension], 1, inner)), stride)
        lengths[dimension] = lengths[dimension] * stride
    images = ops.where(ops.equal(rest, 0), values, ops.zeros((), values.dtype))
    return _of_size(ops.reshape(images, lengths), size, windows)


def _tile(tensor: Any, times: int) -> Any:
    return ops.tile(tensor, (1, 1, times, 1))


def _of_size(images: Any, size: Size, windows: Windows) -> Any:
    """Without what windows have outside of the image, and with the positions behind the last window."""
    for index, (axis, length) in enumerate(zip(windows.axes, size)):
        dimension = windows.first_axis + index
        before, _ = axis.pads(length)
        cut: list[Any] = [slice(None)] * len(images.shape)
        cut[dimension] = slice(before, before + length)
        spread_length = ops.shape(images)[dimension]
        images = pad(images[tuple(cut)], {dimension: (0, at_least_zero(length + before - spread_length))})
    return images


def _product(lengths: list[Length]) -> Length:
    result: Length = 1
    for length in lengths:
        result = result * length
    return result
