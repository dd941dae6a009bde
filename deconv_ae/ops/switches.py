"""Positions in two forms, and the conversions between them.

argmax:   `(row * width + column) * channels + channel` of the maximum, within its own image: int64, numbered as
          `tf.nn.max_pool_with_argmax` does without the batch.
switches: `row_in_window * pool_width + column_in_window` of the maximum, within its own pooling window: uint8,
          small, and meaningful without knowing the size of the image.
"""

import math
import weakref
from typing import Any

import keras
from keras import ops

from deconv_ae.numbers import LARGEST_WINDOW
from deconv_ae.ops import handover
from deconv_ae.ops.every_backend import ARGMAX_DTYPE, counting_dtype, is_portable
from deconv_ae.ops.handover import checked, checked_restorable, checked_same_size
from deconv_ae.ops.pooling import dimensions_of
from deconv_ae.ops.provenance import ARGMAX, SWITCHES, Origin, attach, attached, origin_of, with_origin
from deconv_ae.ops.windows import Size, Windows, arange, check_integers, product, size_argument, static

# Up to here a float32 holds numbers and their halves, and a quotient rounds down to what integers give. On a CPU that
# takes a quarter of the time of int64's division.
_MOST_DIVIDED_AS_FLOAT32 = 2**21


def argmax_to_switches(argmax, input_size, pool_size, strides=None, padding="valid", data_format=None):
    """Positions in the image as positions in the pooling window.

    Args:
        argmax: integers of shape `(batch, pooled_height, pooled_width, channels)`, as `MaxPoolingWithArgmax2D`
            returns them.
        input_size: (height, width) of the images that were pooled: two ints, or an integer tensor of shape (2,).
        pool_size: the pooling's window, of at most 256 positions.
        strides: the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding: `"valid"` or `"same"`.
        data_format: the pooling's; Keras's setting if None.

    Returns:
        uint8 of the shape of `argmax`: `row_in_window * pool_width + column_in_window`.

    Raises:
        ValueError: For an argument that is not as above.
        tf.errors.InvalidArgumentError: When it runs, outside of XLA, if a position is not in the window that chose
            it.

    Example:

    >>> import numpy as np
    >>> from deconv_ae import MaxPoolingWithArgmax2D
    >>> images = np.array([[0, 9, 2, 4], [4, 3, 8, 1]], "float32").reshape(1, 2, 4, 1)
    >>> pooled, argmax = MaxPoolingWithArgmax2D(pool_size=2)(images)
    >>> keras.ops.convert_to_numpy(argmax_to_switches(argmax, input_size=(2, 4), pool_size=2)).squeeze()
    array([1, 2], dtype=uint8)
    """
    argmax = ops.convert_to_tensor(argmax)
    windows = windows_with_switches(pool_size, strides, padding, data_format, dimensions_of("argmax", argmax))
    size, origin = size_argument("input_size", input_size, windows.dimensions), origin_of(argmax)
    check_integers("argmax", argmax)
    if origin is not None:
        argmax = checked_same_size(argmax, origin.size, size, windows)
        if origin.windows == windows and origin.in_windows and None not in static(size):
            switches = attached(argmax, SWITCHES)
            if switches is None:
                switches = switches_in_windows(argmax, size, windows)
            attach(switches, ARGMAX, (windows, size, weakref.ref(argmax)))
            return switches
    switches, inside = switches_of(checked_restorable(argmax, size, windows), size, windows)
    return ops.cast(checked(switches, ops.all(inside), handover.OUTSIDE_WINDOWS), "uint8")


def switches_to_argmax(switches, input_size, pool_size, strides=None, padding="valid", data_format=None):
    """Positions in the pooling window as positions in the image.

    Args:
        switches: integers of shape `(batch, pooled_height, pooled_width, channels)`, as `argmax_to_switches`
            returns them.
        input_size: (height, width) of the images that were pooled: two ints, or an integer tensor of shape (2,).
        pool_size: the pooling's window, of at most 256 positions.
        strides: the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding: `"valid"` or `"same"`.
        data_format: the pooling's; Keras's setting if None.

    Returns:
        int64 of the shape of `switches`: `(row * width + column) * channels + channel`.

    Raises:
        ValueError: For an argument that is not as above.
        tf.errors.InvalidArgumentError: When it runs, outside of XLA, if a switch is not in the window or is in a
            part of it that is outside of the image.

    Example:

    >>> import numpy as np
    >>> switches = np.array([1, 2], "uint8").reshape(1, 1, 2, 1)
    >>> keras.ops.convert_to_numpy(switches_to_argmax(switches, input_size=(2, 4), pool_size=2)).squeeze().tolist()
    [1, 6]
    """
    dimensions = dimensions_of("switches", switches)
    windows = windows_with_switches(pool_size, strides, padding, data_format, dimensions)
    size = size_argument("input_size", input_size, dimensions)
    own_windows, own_size, own_argmax = attached(switches, ARGMAX) or (None, None, lambda: None)
    argmax = own_argmax()
    if argmax is not None and (own_windows, own_size) == (windows, static(size)):
        return argmax
    switches = ops.convert_to_tensor(switches)
    check_integers("switches", switches)
    argmax, inside = argmax_of(checked_restorable(switches, size, windows), size, windows)
    argmax = checked(argmax, inside, handover.OUTSIDE_WINDOW)
    # What is compiled was not looked at.
    return with_origin(argmax, Origin(windows, size, in_windows=handover.can_look(inside)))


def argmax_of(switches: Any, size: Size, windows: Windows) -> tuple[Any, Any]:
    """The argmax of every switch, and whether all switches are inside of their windows and of the image."""
    channels = ops.shape(switches)[windows.channel_axis]
    dtype = dtype_to_divide_in(windows, size, channels)
    numbers = ops.cast(windows.first_positions(size, channels, ARGMAX_DTYPE), dtype)
    rest, steps = ops.cast(switches, dtype), windows.steps(size, channels)[0]
    inside = None if dtype == "float32" else rest >= 0
    for index, (axis, length, step) in enumerate(zip(windows.axes, size, steps)):
        within = math.prod(windows.pool_size[index + 1 :])
        place = floor_divided(rest, within) if within > 1 else rest
        rest = rest - place * within
        numbers = numbers + place * ops.cast(step, dtype)
        if inside is not None:
            position = windows.along(axis.starts(length, dtype), windows.first_axis + index) + place
            inside = inside & (place < axis.pool) & (position >= 0) & (position < ops.cast(length, dtype))
    if inside is None:
        # The windows are inside of the image.
        switches = ops.cast(switches, dtype)
        all_inside = (ops.min(switches, initial=0) >= 0) & (ops.max(switches, initial=0) < math.prod(windows.pool_size))
    else:
        all_inside = ops.all(inside)
    return ops.cast(numbers, ARGMAX_DTYPE), all_inside


def windows_with_switches(
    pool_size: Any, strides: Any, padding: Any, data_format: Any = None, dimensions: int = 2
) -> Windows:
    windows = Windows.from_arguments(pool_size, strides, padding, data_format, dimensions)
    if math.prod(windows.pool_size) > LARGEST_WINDOW:
        raise ValueError(
            f"switches are uint8, for windows of at most {LARGEST_WINDOW} positions; got pool_size={windows.pool_size}"
        )
    return windows


def switches_of(argmax: Any, size: Size, windows: Windows) -> tuple[Any, Any]:
    """The switch of every window, and whether its argmax is inside the window and its channel.

    Returns:
        Switches of argmax's type, which mean something only where the bool tensor beside them is True.
    """
    channels, dtype = ops.shape(argmax)[windows.channel_axis], ARGMAX_DTYPE
    places, channel = _coordinates(ops.cast(argmax, dtype), size, channels, windows)
    inside = channel == windows.along(arange(channels, dtype), windows.channel_axis)
    switches = 0
    for index, (axis, length, place) in enumerate(zip(windows.axes, size, places)):
        in_window = place - windows.along(axis.starts(length, dtype), windows.first_axis + index)
        inside = inside & (place >= 0) & (place < ops.cast(length, dtype)) & (in_window >= 0) & (in_window < axis.pool)
        switches = switches + in_window * math.prod(windows.pool_size[index + 1 :])
    return switches, inside


def are_in_windows(argmax: Any, size: Size, windows: Windows) -> Any:
    """Whether every position is inside the window that chose it: a bool tensor."""
    return ops.all(switches_of(argmax, size, windows)[1])


def switches_in_windows(argmax: Any, size: Size, windows: Windows) -> Any:
    """The switches, uint8, of an argmax that is known to be inside of its windows."""
    channels = ops.shape(argmax)[windows.channel_axis]
    dtype = dtype_to_divide_in(windows, size, channels)
    places, _ = _coordinates(ops.cast(argmax, dtype), size, channels, windows)
    switches = 0
    for index, (axis, length, place) in enumerate(zip(windows.axes, size, places)):
        start = windows.along(ops.cast(axis.starts(length, ARGMAX_DTYPE), dtype), windows.first_axis + index)
        switches = switches + (place - start) * math.prod(windows.pool_size[index + 1 :])
    return ops.cast(switches, "uint8")


def _coordinates(numbers: Any, size: Size, channels: Any, windows: Windows) -> tuple[list[Any], Any]:
    """Where in its image each number is along each dimension, and in which channel."""
    steps, channel_step = windows.steps(size, channels)
    ordered = [*steps, channel_step] if windows.channels_last else [channel_step, *steps]
    coordinates, rest = [], numbers
    for step in ordered[:-1]:
        step = ops.cast(step, numbers.dtype)
        coordinates.append(floor_divided(rest, step))
        rest = rest - coordinates[-1] * step
    coordinates.append(rest)
    return (coordinates[:-1], coordinates[-1]) if windows.channels_last else (coordinates[1:], coordinates[0])


def dtype_to_divide_in(windows: Windows, size: Size, channels: Any) -> str:
    """What to compute switches in: float32 for windows that are inside of images of a known, not enormous, size."""
    if is_portable():
        # LiteRT divides no int64, and its int8 files have no exact floating point numbers.
        return counting_dtype(product((*size, channels)))
    known = windows.padding == "valid" and all(isinstance(n, int) for n in (*size, channels))
    return "float32" if known and math.prod((*size, channels)) <= _MOST_DIVIDED_AS_FLOAT32 else ARGMAX_DTYPE


def floor_divided(dividend: Any, divisor: Any) -> Any:
    """Whole numbers of 0 or more, divided and rounded down; also of a floating point type."""
    if keras.backend.standardize_dtype(dividend.dtype) == "float32":
        # The half keeps a quotient that is whole from being rounded to just below it.
        return ops.floor((dividend + 0.5) / divisor)
    return dividend // divisor
