"""Pooling and unpooling for XLA (TensorFlow's `jit_compile=True`, and JAX), and for TensorFlow on a deterministic GPU.

XLA has no pooling with positions (tensorflow/tensorflow issue 103438), so this file composes pooling and unpooling from
keras.ops. On a CPU, XLA's fusion repeats the comparison of a whole window for every output pixel that reads the
window's result. A fusion barrier prevents that for the positions. A lookup prevents that for the maxima of large
windows side by side.
"""

import math
from typing import Any

from keras import ops

from deconv_ae.ops import environment, in_windows, reference
from deconv_ae.ops.windows import Size, Windows

# Up to this many positions, comparing a window again is as fast as reading its maximum back.
_FEW_POSITIONS = 4


def max_pool(images: Any, windows: Windows) -> tuple[Any, Any]:
    """Does what `reference.max_pool` does."""
    values, numbers = reference.maxima(images, windows)
    positions_per_window = math.prod(windows.pool_size)
    if positions_per_window > 1 and not environment.has_gpu():
        numbers = _with_fusion_barrier(numbers)
    if windows.windows_per_position == 1 and positions_per_window > _FEW_POSITIONS:
        # Look up the maxima, so that XLA does not compare the windows again. The maxima of overlapping windows are not
        # looked up, because the gradient of the lookup would be a slow addition.
        shape = ops.shape(numbers)
        flat = (ops.reshape(tensor, (shape[0], -1)) for tensor in (images, numbers))
        values = ops.reshape(ops.take_along_axis(*flat, axis=1), shape)
    return values, ops.cast(numbers, environment.ARGMAX_DTYPE)


def _with_fusion_barrier(numbers: Any) -> Any:
    """Adds an argmax that is always 0. XLA does not fuse an argmax with its consumers, so this is a fusion barrier."""
    zero = ops.argmax(ops.stack([numbers, numbers - 1], axis=-1), axis=-1)
    return numbers + ops.cast(zero, numbers.dtype)


def max_unpool(values: Any, argmax: Any, size: Size, windows: Windows, positions_are_in_windows: bool) -> Any:
    """Does what `reference.max_unpool` does."""
    if positions_are_in_windows:
        return in_windows.max_unpool(values, argmax, size, windows)
    return reference.max_unpool(values, argmax, size, windows)
