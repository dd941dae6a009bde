"""Positions in two forms, and the conversions between them.

argmax:   `(row * width + column) * channels + channel` of the maximum, within its own image: int64, numbered as
          `tf.nn.max_pool_with_argmax` does without the batch.
switches: `row_in_window * pool_width + column_in_window` of the maximum, within its own pooling window: uint8,
          small, and meaningful without knowing the size of the image.
"""

import weakref
from typing import Any

import tensorflow as tf

from deconv_ae.ops import execution
from deconv_ae.ops.execution import checked
from deconv_ae.ops.provenance import ARGMAX, known_in_windows, with_windows
from deconv_ae.ops.windows import (
    Size,
    Windows,
    check_integers,
    floor_divided,
    int64,
    lengths_of,
    size_argument,
    static,
)

# Positions in a window that has switches, which are uint8.
LARGEST_WINDOW = 256


def argmax_to_switches(argmax, input_size, pool_size, strides=None, padding="valid"):
    """Positions in the image as positions in the pooling window.

    Args:
        argmax: integers of shape `(batch, pooled_height, pooled_width, channels)`, as `MaxPoolingWithArgmax2D`
            returns them.
        input_size: (height, width) of the images that were pooled: two ints, or an integer tensor of shape (2,).
        pool_size: the pooling's window, of at most 256 positions.
        strides: the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding: `"valid"` or `"same"`.

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
    >>> argmax_to_switches(argmax, input_size=(2, 4), pool_size=2).numpy().squeeze()
    array([1, 2], dtype=uint8)
    """
    windows = windows_with_switches(pool_size, strides, padding)
    size = size_argument("input_size", input_size)
    argmax = tf.convert_to_tensor(argmax)
    check_integers("argmax", argmax)
    argmax = tf.cast(argmax, tf.int64)
    if known_in_windows(argmax, windows, size) is True:
        switches = switches_in_windows(argmax, size, windows)
        setattr(switches, ARGMAX, (windows, size, weakref.ref(argmax)))
        return switches
    switches, inside = switches_of(windows.checked_restorable(argmax, size), size, windows)
    message = "argmax has positions outside of the windows that chose them"
    return tf.cast(checked(switches, tf.reduce_all(inside), [message]), tf.uint8)


def switches_to_argmax(switches, input_size, pool_size, strides=None, padding="valid"):
    """Positions in the pooling window as positions in the image.

    Args:
        switches: integers of shape `(batch, pooled_height, pooled_width, channels)`, as `argmax_to_switches`
            returns them.
        input_size: (height, width) of the images that were pooled: two ints, or an integer tensor of shape (2,).
        pool_size: the pooling's window, of at most 256 positions.
        strides: the pooling's strides. Defaults to `pool_size`.
        padding: the pooling's padding: `"valid"` or `"same"`.

    Returns:
        int64 of the shape of `switches`: `(row * width + column) * channels + channel`.

    Raises:
        ValueError: For an argument that is not as above.
        tf.errors.InvalidArgumentError: When it runs, outside of XLA, if a switch is not in the window or is in a
            part of it that is outside of the image.

    Example:

    >>> import numpy as np
    >>> switches = np.array([1, 2], "uint8").reshape(1, 1, 2, 1)
    >>> switches_to_argmax(switches, input_size=(2, 4), pool_size=2).numpy().squeeze()
    array([1, 6])
    """
    windows = windows_with_switches(pool_size, strides, padding)
    size = size_argument("input_size", input_size)
    own_windows, own_size, own_argmax = getattr(switches, ARGMAX, (None, None, lambda: None))
    argmax = own_argmax()
    if argmax is not None and (own_windows, own_size) == (windows, static(size)):
        return argmax
    switches = tf.convert_to_tensor(switches)
    check_integers("switches", switches)
    argmax, inside = argmax_of(windows.checked_restorable(switches, size), size, windows)
    message = "switches has positions outside of the window, or of the image"
    argmax = checked(argmax, inside, [message])
    # What XLA did not check is not known to be inside of its windows.
    return argmax if execution.compiled_by_xla() else with_windows(argmax, windows, size)


def argmax_of(switches: tf.Tensor, size: Size, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The argmax of every switch, int64, and whether all switches are inside of their windows and of the image."""
    channels = lengths_of(switches)[-1]
    (rows, columns), dtype = windows.axes, windows.dtype_to_divide_in((*size, channels))
    first = tf.cast(windows.first_positions(size, channels), dtype)
    switches = tf.cast(switches, dtype)
    row_in_window = floor_divided(switches, columns.pool)
    column_in_window = switches - row_in_window * columns.pool
    argmax = first + (row_in_window * tf.cast(size[1], dtype) + column_in_window) * tf.cast(channels, dtype)
    if dtype == tf.float32:
        # The windows are inside of the image.
        inside = (tf.reduce_min(switches) >= 0) & (tf.reduce_max(switches) < rows.pool * columns.pool)
    else:
        row = rows.starts(size[0])[:, None, None] + row_in_window
        column = columns.starts(size[1])[:, None] + column_in_window
        in_image = (row >= 0) & (row < int64(size[0])) & (column >= 0) & (column < int64(size[1]))
        inside = tf.reduce_all(in_image & (switches >= 0) & (row_in_window < rows.pool))
    return int64(argmax), inside


def windows_with_switches(pool_size: Any, strides: Any, padding: Any) -> Windows:
    windows = Windows.from_arguments(pool_size, strides, padding)
    if windows.pool_size[0] * windows.pool_size[1] > LARGEST_WINDOW:
        raise ValueError(
            f"switches are uint8, for windows of at most {LARGEST_WINDOW} positions; got pool_size={windows.pool_size}"
        )
    return windows


def switches_of(argmax: tf.Tensor, size: Size, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The switch of every window, and whether its argmax is inside the window and its channel.

    Returns:
        int64 switches, which mean something only where the bool tensor beside them is True.
    """
    (height, width), channels = map(int64, size), int64(lengths_of(argmax)[-1])
    rows, columns = windows.axes
    pixel = argmax // channels
    row = pixel // width
    row_in_window = row - rows.starts(size[0])[:, None, None]
    column_in_window = pixel - row * width - columns.starts(size[1])[:, None]
    inside = (
        (row >= 0)
        & (row < height)
        & (row_in_window >= 0)
        & (row_in_window < rows.pool)
        & (column_in_window >= 0)
        & (column_in_window < columns.pool)
        & (argmax - pixel * channels == tf.range(channels))
    )
    return row_in_window * columns.pool + column_in_window, inside


def switches_in_windows(argmax: tf.Tensor, size: Size, windows: Windows) -> tf.Tensor:
    """The switches, uint8, of an argmax that is known to be inside of its windows."""
    (rows, columns), channels = windows.axes, lengths_of(argmax)[-1]
    dtype = windows.dtype_to_divide_in((*size, channels))
    positions, row_length = tf.cast(argmax, dtype), tf.cast(size[1] * channels, dtype)
    row = floor_divided(positions, row_length)
    column = floor_divided(positions - row * row_length, tf.cast(channels, dtype))
    start = rows.starts(size[0])[:, None, None] * columns.pool + columns.starts(size[1])[:, None]
    return tf.cast(row * columns.pool + column - tf.cast(start, dtype), tf.uint8)
