"""Max pooling and max unpooling in keras.ops alone.

Read this file to know what the two compute. It serves JAX, XLA on TensorFlow and, under `portable`, other runtimes;
what is faster somewhere has to give the same, and the tests hold it to that. No gradient is written down here: the
backend's own, of choosing, reshaping and adding, are those of max pooling and max unpooling.
"""

import contextlib
import contextvars
import itertools
import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from deconv_ae.ops.windows import Axis, Length, Size, Windows, arange, at_least_zero, product

# JAX has no int64 unless its whole program asks for it.
ARGMAX_DTYPE = "int32" if keras.backend.backend() == "jax" else "int64"
_LARGEST_INT32 = 2**31 - 1
# In a window that XLA compares as fast once more as it reads what it found: 1024x14x14x1 pooled by 2 take 0.6 times as
# long, forward and backward, 256x48x48x8 pooled by 3 twice as long, 4x32x64x64x8 pooled by 2 on JAX too.
_FEW_POSITIONS = 4

_PORTABLE = contextvars.ContextVar("_PORTABLE", default=False)


@contextlib.contextmanager
def portable() -> Iterator[None]:
    """What is traced within is made of this file alone, for runtimes that have none of a backend's own operations.

    TensorFlow's pooling kernels have no counterpart in ONNX, nor among LiteRT's built-in operations:

        with deconv_ae.portable():
            model.export("model.onnx", format="onnx")
    """
    token = _PORTABLE.set(True)
    try:
        yield
    finally:
        _PORTABLE.reset(token)


def is_portable() -> bool:
    return _PORTABLE.get()


def max_pool(images: Any, windows: Windows) -> tuple[Any, Any]:
    """The maximum of every window, and the number of its position in its own image.

    One dimension after the other, the last first: the maxima of every row's windows, then of those, down. The first of
    equal values in row-major order is the first in its row, in the first row that has it.
    """
    shape = ops.shape(images)
    size, channels = windows.size_of(shape), shape[windows.channel_axis]
    dtype = counting_dtype(product(shape[1:]))
    steps, _ = windows.steps(size, channels)
    numbers = windows.channel_numbers(size, channels, dtype)
    values = images
    for index in reversed(range(windows.dimensions)):
        values, numbers = first_maxima(values, numbers, windows, index, size[index], steps[index])
    if windows.pool_size == (1,) * windows.dimensions:
        # Nothing was compared: the positions of one image, for all.
        numbers = ops.broadcast_to(numbers, ops.shape(values))
    elif not is_portable():
        numbers = _computed_once(numbers)
        if windows.sharing == 1 and math.prod(windows.pool_size) > _FEW_POSITIONS:
            values = _values_at(images, numbers)
    if is_portable() and None in windows.size_of(tuple(images.shape)):
        # Padding of an unknown length makes LiteRT's converter forget the channels: convolutions stay TensorFlow's.
        # Of known ones, OpenVINO would not keep an output's name through it.
        values = ops.reshape(values, windows.shape_of(shape[0], windows.pooled_size(size), channels))
    return values, ops.cast(numbers, ARGMAX_DTYPE)


def shape_of_pooled(shape: Any, windows: Windows) -> tuple[Any, ...]:
    """The shape that images of a shape are pooled to; None where that is None."""
    shape = tuple(shape)
    return windows.shape_of(shape[0], windows.pooled_size(windows.size_of(shape)), shape[windows.channel_axis])


def _computed_once(numbers: Any) -> Any:
    """The same numbers, which XLA on a CPU does not compute anew for every position that asks for its window's.

    To `spread` them, it would compare the whole window again for every position. An argmax, here always 0, it computes
    apart: 1024x28x28x1 pooled by 4 take 5 instead of 10 ms forward and backward on TensorFlow, 4 instead of 11 on JAX.
    On a GPU it is the argmax that takes long: 16x256x256x64 pooled by 2 on JAX on an H200 3.1 ms with it, 0.7 without.
    """
    if not _compiled_for_a_cpu():
        return numbers
    zero = ops.argmax(ops.stack([numbers, numbers - 1], axis=-1), axis=-1)
    return numbers + ops.cast(zero, numbers.dtype)


def _compiled_for_a_cpu() -> bool:
    """Whether XLA compiles what is traced, or may, for a CPU."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() == "cpu"
    if keras.backend.backend() == "tensorflow":
        from deconv_ae.ops import tensorflow_kernels

        return not tensorflow_kernels.has_gpu()
    return False


def _values_at(images: Any, numbers: Any) -> Any:
    """The values of images at the positions.

    The maxima are read there for the same reason: forward, without a gradient that holds it to that, XLA compares the
    whole window again for every position that its maximum is spread to, in 10 ms instead of 2 in the case above. Where
    windows overlap, the gradient of reading would be a slow addition.
    """
    shape = ops.shape(numbers)
    flat = (ops.reshape(tensor, (shape[0], -1)) for tensor in (images, numbers))
    return ops.reshape(ops.take_along_axis(*flat, axis=1), shape)


def first_maxima(
    values: Any, numbers: Any, windows: Windows, index: int, length: Length, step: Length
) -> tuple[Any, Any]:
    """Pools along one dimension: the maxima, and the numbers of their positions.

    A value takes the lead from those before it if it is greater, or if it is the first NaN; padding never does.
    """
    axis, dimension, dtype = windows.axes[index], windows.first_axis + index, numbers.dtype
    starts = windows.along(axis.starts(length, dtype), dimension)
    step, end = ops.cast(step, dtype), ops.cast(length, dtype)
    # Until a dimension is pooled that comes after it, all along it have the same.
    own = [numbers] * axis.pool if numbers.shape[dimension] == 1 else _windowed(numbers, axis, dimension, length)
    best: Any = None
    best_number: Any = None
    inside: Any = True
    best_inside: Any = True
    for offset, (value, number) in enumerate(zip(_windowed(values, axis, dimension, length), own)):
        position = starts + offset
        number = position * step + number
        if axis.padding == "same":
            inside = (position >= 0) & (position < end)
        if best is None:
            best, best_number, best_inside = value, number, inside
            continue
        # Not "not value <= best": TensorFlow's graph optimizer makes that "value > best", which no NaN is.
        leads = (value > best) | ((value != value) & (best == best))
        if axis.padding == "same":
            leads = inside & (leads | ~best_inside)
            best_inside = best_inside | inside
        best, best_number = ops.where(leads, value, best), ops.where(leads, number, best_number)
    return best, best_number


def _windowed(tensor: Any, axis: Axis, dimension: int, length: Length) -> list[Any]:
    """For every place in a window, what all windows along a dimension have there; zero outside of the image."""
    count = axis.pooled_length(length)
    padded = pad(tensor, {dimension: axis.pads(length)})
    slices = []
    for offset in range(axis.pool):
        chosen: list[Any] = [slice(None)] * len(tensor.shape)
        chosen[dimension] = slice(offset, offset + at_least_zero((count - 1) * axis.stride + 1), axis.stride)
        slices.append(padded[tuple(chosen)])
    return slices


def max_unpool(values: Any, argmax: Any, size: Size, windows: Windows, in_windows: bool) -> Any:
    """Images of a size that are zero but for the values, each at its position.

    Where several windows chose one position, the last of them in row-major order has it. The others' values go to a
    place behind the last image, which is cut off; so do values whose position is in no image. What is cut off has no
    part in the result, so the gradient of a lost duplicate is zero, whatever its value was.

    Args:
        in_windows: whether every position is known to be in the window that chose it.
    """
    if in_windows and windows.sharing == 1:
        return spread(values, argmax, size, windows)
    return scatter(values, argmax, size, windows, in_windows)


def spread(values: Any, argmax: Any, size: Size, windows: Windows) -> Any:
    """The same where windows lie side by side: a position is asked for its value, and not the other way round.

    What a window's choice is away from the window's start is spread over all the positions that only this window has,
    less what each of these is away from the start, one dimension after the other: zero is left where the maximum was.
    """
    shape = ops.shape(argmax)
    channels = shape[windows.channel_axis]
    dtype = counting_dtype(product((*size, channels)))
    rest = ops.cast(argmax, dtype) - windows.first_positions(size, channels, dtype)
    lengths = list(shape)
    for index in reversed(range(windows.dimensions)):
        dimension, stride = windows.first_axis + index, windows.strides[index]
        inner = product_of_lengths(lengths[dimension + 1 :])
        step = ops.cast(windows.steps(size, channels)[0][index], dtype)
        offsets = ops.reshape(arange(stride, dtype) * step, (1, 1, stride, 1))
        # Four dimensions, the most that LiteRT broadcasts.
        rest = ops.reshape(rest, (-1, lengths[dimension], 1, inner)) - offsets
        values = ops.reshape(values, (-1, lengths[dimension], 1, inner))
        # Beside one another: OpenVINO computes a tile in bfloat16 where the CPU has it, whatever the file says, and
        # broadcasts to no shape that is known only at run time.
        values = ops.concatenate([values] * stride, axis=2) if is_portable() else ops.tile(values, (1, 1, stride, 1))
        lengths[dimension] = lengths[dimension] * stride
    images = ops.where(rest == 0, values, ops.zeros((), values.dtype))
    images = ops.reshape(images, lengths)
    # Windows reach beyond the image, or leave positions between them and behind the last.
    for index, axis in enumerate(windows.axes):
        dimension, length = windows.first_axis + index, size[index]
        before, _ = axis.pads(length)
        cut: list[Any] = [slice(None)] * len(lengths)
        cut[dimension] = slice(before, before + length)
        images = images[tuple(cut)]
        missing = at_least_zero(length + before - lengths[dimension])
        images = pad(images, {dimension: (0, missing)})
    if is_portable() and None in windows.size_of(tuple(argmax.shape)):  # As pooling does, for LiteRT.
        images = ops.reshape(images, windows.shape_of(shape[0], size, channels))
    return images


def scatter(values: Any, argmax: Any, size: Size, windows: Windows, in_windows: bool) -> Any:
    shape = ops.shape(argmax)
    image_shape = windows.shape_of(shape[0], size, shape[windows.channel_axis])
    batch_length = product(image_shape)
    positions = positions_in_batch(argmax, image_shape)
    won = (winners_in_windows if in_windows else winners_anywhere)(argmax, image_shape, windows)
    positions = ops.where(won, positions, ops.cast(batch_length, positions.dtype))
    flat = ops.segment_sum(ops.reshape(values, (-1,)), ops.reshape(positions, (-1,)), batch_length + 1)
    return ops.reshape(flat[:batch_length], image_shape)


def positions_in_batch(argmax: Any, image_shape: tuple[Length, ...]) -> Any:
    """The positions numbered through the batch; of those in no image, the first number behind the last image."""
    image_length, batch_length = (
        ops.cast(product(lengths), ARGMAX_DTYPE) for lengths in (image_shape[1:], image_shape)
    )
    argmax = ops.cast(argmax, ARGMAX_DTYPE)
    starts = ops.reshape(arange(image_shape[0], ARGMAX_DTYPE) * image_length, (-1, *[1] * (len(image_shape) - 1)))
    return ops.where((argmax >= 0) & (argmax < image_length), argmax + starts, batch_length)


def winners_in_windows(argmax: Any, image_shape: tuple[Length, ...], windows: Windows) -> Any:
    """Whether each value has its position for itself, where only windows that overlap can have chosen the same."""
    argmax = ops.cast(argmax, counting_dtype(product(image_shape[1:])))
    shape, reaches, first = ops.shape(argmax), [axis.reach for axis in windows.axes], windows.first_axis
    # No later window is before along the first dimension.
    befores = [0, *(reach - 1 for reach in reaches[1:])]
    padded = pad(argmax, {first + n: (befores[n], reaches[n] - 1) for n in range(windows.dimensions)}, value=-1)
    lost = ops.zeros(shape, "bool")
    nowhere = (0,) * windows.dimensions
    for shift in itertools.product(*(range(-before, reach) for before, reach in zip(befores, reaches))):
        if shift > nowhere:
            later: list[Any] = [slice(None)] * len(shape)
            for n, (distance, before) in enumerate(zip(shift, befores)):
                later[first + n] = slice(before + distance, before + distance + shape[first + n])
            lost = lost | (argmax == padded[tuple(later)])
    return ~lost


def winners_anywhere(argmax: Any, image_shape: tuple[Length, ...], windows: Windows) -> Any:
    """The same among windows that may have chosen any position of their image, or none."""
    positions = ops.reshape(positions_in_batch(argmax, image_shape), (-1,))
    window = arange(product(ops.shape(argmax)), ARGMAX_DTYPE)
    last = ops.segment_max(window, positions, product(image_shape) + 1)
    return ops.reshape(ops.take(last, positions) == window, ops.shape(argmax))


def counting_dtype(image_length: Length) -> str:
    """The type to number the positions of an image in: the narrower takes half of the memory and of the time.

    Not where TensorFlow has a GPU, which it computes int64 on, and int32 on the CPU.
    """
    if keras.backend.backend() == "tensorflow":
        from deconv_ae.ops import tensorflow_kernels

        if tensorflow_kernels.has_gpu() and not tensorflow_kernels.compiled_by_xla():
            return ARGMAX_DTYPE
    return "int32" if isinstance(image_length, int) and image_length <= _LARGEST_INT32 else ARGMAX_DTYPE


def product_of_lengths(lengths: list[Length]) -> Length:
    result: Length = 1
    for length in lengths:
        result = result * length
    return result


def pad(tensor: Any, widths: dict[int, tuple[Length, Length]], value: Any = 0) -> Any:
    """The tensor with so many more values before and after along some dimensions."""
    pads = [widths.get(dimension, (0, 0)) for dimension in range(len(tensor.shape))]
    if all(isinstance(n, int) and n == 0 for pair in pads for n in pair):
        return tensor
    return ops.pad(tensor, pads, constant_values=value)
