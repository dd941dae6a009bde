"""The two forms of a maximum's position, and the conversions between them.

argmax:   the position in the image, `(row * width + column) * channels + channel`, int64 (int32 on JAX). It equals the
          result of `tf.nn.max_pool_with_argmax` without the batch in the index.
switches: the position in the pooling window, `row_in_window * pool_width + column_in_window`, uint8. It takes one byte
          and does not depend on the size of the image.

Both formulas are for two dimensions. The formula of argmax is for channels last.
"""

import math
from typing import Any

import keras
from keras import ops

from deconv_ae.numbers import LARGEST_WINDOW
from deconv_ae.ops import checks, environment
from deconv_ae.ops.checks import checked, checked_restorable, checked_same_size
from deconv_ae.ops.environment import ARGMAX_DTYPE
from deconv_ae.ops.origin import Origin, origin_of, with_origin
from deconv_ae.ops.pooling import dimensions_of
from deconv_ae.ops.windows import Size, Windows, arange, counting_dtype, product, size_argument

# Up to this number float32 represents halves exactly, and a rounded-down quotient equals that of integer division. On a
# CPU, dividing float32 takes a quarter of the time of dividing int64.
_LARGEST_DIVIDED_AS_FLOAT32 = 2**21


def argmax_to_switches(
    argmax: Any,
    input_size: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """Converts positions in the image to positions in the pooling window.

    Args:
        argmax: integers from images of one to three dimensions, as `max_pool_with_argmax` returns them.
        input_size: the size of the images that were pooled: one int for each dimension, or an integer tensor of them.
        pool_size: the pooling's window, of at most 256 positions.
        strides: the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding, `"valid"` or `"same"`.
        data_format: the pooling's data format; Keras's setting if None.

    Returns:
        uint8 of the shape of `argmax`; in two dimensions, `row_in_window * pool_width + column_in_window`.

    Raises:
        ValueError: If an argument is not as above; on JAX and PyTorch, unless they trace the call, also if a position
            is not in the window that chose it.
        tf.errors.InvalidArgumentError: On TensorFlow outside of XLA, if a position is not in the window that chose it.

    Example:
    >>> import numpy as np
    >>> from deconv_ae import MaxPoolingWithArgmax2D
    >>> images = np.array([[0, 9, 2, 4], [4, 3, 8, 1]], "float32").reshape(1, 2, 4, 1)
    >>> pooled, argmax = MaxPoolingWithArgmax2D(pool_size=2)(images)
    >>> keras.ops.convert_to_numpy(argmax_to_switches(argmax, input_size=(2, 4), pool_size=2)).squeeze()
    array([1, 2], dtype=uint8)
    """
    origin, argmax = origin_of(argmax), checks.as_integers("argmax", argmax)
    windows = windows_with_switches(pool_size, strides, padding, data_format, dimensions_of("argmax", argmax))
    size = size_argument("input_size", input_size, windows.dimensions)
    if origin is not None:
        argmax = checked_same_size(argmax, origin.size, size, windows)
    switches, inside = switches_of(checked_restorable(argmax, size, windows), size, windows)
    if origin is not None and origin.windows == windows and origin.positions_are_in_windows:
        return switches
    return checked(switches, ops.all(inside), checks.OUTSIDE_WINDOWS)


def switches_to_argmax(
    switches: Any,
    input_size: Any,
    pool_size: Any,
    strides: Any = None,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """Converts positions in the pooling window to positions in the image.

    Args:
        switches: integers from images of one to three dimensions, as `argmax_to_switches` returns them.
        input_size: the size of the images that were pooled: one int for each dimension, or an integer tensor of them.
        pool_size: the pooling's window, of at most 256 positions.
        strides: the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding, `"valid"` or `"same"`.
        data_format: the pooling's data format; Keras's setting if None.

    Returns:
        int64 (int32 on JAX) of the shape of `switches`; in two dimensions with channels last,
        `(row * width + column) * channels + channel`.

    Raises:
        ValueError: If an argument is not as above; on JAX and PyTorch, unless they trace the call, also if a switch is
            not in the window or not in the image.
        tf.errors.InvalidArgumentError: On TensorFlow outside of XLA, if a switch is not in the window or not in the
            image.

    Example:
    >>> import numpy as np
    >>> switches = np.array([1, 2], "uint8").reshape(1, 1, 2, 1)
    >>> keras.ops.convert_to_numpy(switches_to_argmax(switches, input_size=(2, 4), pool_size=2)).squeeze().tolist()
    [1, 6]
    """
    switches = checks.as_integers("switches", switches)
    windows = windows_with_switches(pool_size, strides, padding, data_format, dimensions_of("switches", switches))
    size = size_argument("input_size", input_size, windows.dimensions)
    argmax, inside = argmax_of(checked_restorable(switches, size, windows), size, windows)
    inside = ops.all(inside)
    argmax = checked(argmax, inside, checks.SWITCH_OUTSIDE_WINDOW)
    # If nothing was checked, the positions may be outside of their windows.
    return with_origin(argmax, Origin(windows, size, positions_are_in_windows=environment.can_check(inside)))


def argmax_of(switches: Any, size: Size, windows: Windows) -> tuple[Any, Any]:
    """Returns the argmax of every switch, and whether the switch is inside of its window and of the image."""
    channels = ops.shape(switches)[windows.channel_axis]
    dtype = _dtype_to_divide_in(size, channels)
    numbers = ops.cast(windows.first_positions(size, channels, ARGMAX_DTYPE), dtype)
    remainder, steps = ops.cast(switches, dtype), windows.steps(size, channels)[0]
    inside = (remainder >= 0) & (remainder < math.prod(windows.pool_size))
    for index, (axis, length, step) in enumerate(zip(windows.axes, size, steps)):
        step_in_window = math.prod(windows.pool_size[index + 1 :])
        offset = _floor_divided(remainder, step_in_window) if step_in_window > 1 else remainder
        remainder = remainder - offset * step_in_window
        numbers = numbers + offset * ops.cast(step, dtype)
        if axis.padding == "same":
            start = windows.along(ops.cast(axis.starts(length, ARGMAX_DTYPE), dtype), windows.first_axis + index)
            inside = inside & (start + offset >= 0) & (start + offset < ops.cast(length, dtype))
    return ops.cast(numbers, ARGMAX_DTYPE), inside


def windows_with_switches(
    pool_size: Any, strides: Any, padding: Any, data_format: Any = None, dimensions: int = 2
) -> Windows:
    """The windows that a user's arguments describe; ValueError if uint8 cannot number their positions."""
    windows = Windows.from_arguments(pool_size, strides, padding, data_format, dimensions)
    if math.prod(windows.pool_size) > LARGEST_WINDOW:
        raise ValueError(
            f"switches are uint8, for windows of at most {LARGEST_WINDOW} positions; got pool_size={windows.pool_size}"
        )
    return windows


def switches_of(argmax: Any, size: Size, windows: Windows) -> tuple[Any, Any]:
    """Returns the uint8 switch of every window, and whether its argmax is inside of the window and of its channel.

    If the argmax is outside, the switch is 0 and has no meaning.
    """
    channels = ops.shape(argmax)[windows.channel_axis]
    dtype = _dtype_to_divide_in(size, channels)
    inside = (argmax >= 0) & (argmax < ops.cast(product((*size, channels)), argmax.dtype))
    # Positions out of range become 0, because quotients are exact only in range.
    coordinates, channel = _coordinates(ops.cast(ops.where(inside, argmax, 0), dtype), size, channels, windows)
    inside = inside & ops.equal(channel, windows.along(arange(channels, dtype), windows.channel_axis))
    switches = 0
    for index, (axis, length, coordinate) in enumerate(zip(windows.axes, size, coordinates)):
        start = windows.along(ops.cast(axis.starts(length, ARGMAX_DTYPE), dtype), windows.first_axis + index)
        offset = coordinate - start
        inside = inside & (offset >= 0) & (offset < axis.pool)
        switches = switches + offset * math.prod(windows.pool_size[index + 1 :])
    return ops.cast(ops.where(inside, switches, 0), "uint8"), inside


def are_in_windows(argmax: Any, size: Size, windows: Windows) -> Any:
    """A bool tensor: whether every position is inside of the window that chose it."""
    return ops.all(switches_of(argmax, size, windows)[1])


def _coordinates(numbers: Any, size: Size, channels: Any, windows: Windows) -> tuple[list[Any], Any]:
    """Splits the number of each position into the position's coordinates in the image and its channel."""
    steps, channel_step = windows.steps(size, channels)
    all_steps = [*steps, channel_step] if windows.channels_last else [channel_step, *steps]
    coordinates, remainder = [], numbers
    for step in all_steps[:-1]:
        step = ops.cast(step, numbers.dtype)
        coordinates.append(_floor_divided(remainder, step))
        remainder = remainder - coordinates[-1] * step
    coordinates.append(remainder)
    return (coordinates[:-1], coordinates[-1]) if windows.channels_last else (coordinates[1:], coordinates[0])


def _dtype_to_divide_in(size: Size, channels: Any) -> str:
    """Returns the type in which to divide positions: float32 if all quotients are known to be exact, else integers."""
    length = product((*size, channels))
    if environment.is_portable():
        # LiteRT cannot divide int64, and LiteRT's int8 files round floating point numbers.
        return counting_dtype(length)
    return "float32" if isinstance(length, int) and length <= _LARGEST_DIVIDED_AS_FLOAT32 else ARGMAX_DTYPE


def _floor_divided(dividend: Any, divisor: Any) -> Any:
    """Divides whole numbers of 0 or more and rounds down, in integers or in float32."""
    if keras.backend.standardize_dtype(dividend.dtype) == "float32":
        # Without the half, rounding could make a whole quotient slightly smaller, and the floor would be one too small.
        return ops.floor((dividend + 0.5) / divisor)
    return dividend // divisor
