"""Kernels of convolutions from images to whole pooling windows, and from windows to images.

A window is a pixel here, whose channels are `filter * positions + position in the window`. A convolution to all of a
window's positions at once fills the processor's vectors, of which one filter leaves most idle, and what it computes
lies as pooling reads it. It also multiplies by zeros, the more the larger the window is.
"""

import math

import numpy as np

from deconv_ae.numbers import Pair

VECTOR = 16
"""Values in a vector: AVX-512's."""

MOST_VECTORS = 1.5
"""How many times as many multiplications of vectors pay off, for the rearranging that they save."""


def pools_by_windows(kernel_shape: tuple[int, ...], pool_size: Pair) -> bool:
    """Whether `pooling_kernel` pays off for a kernel of this shape.

    >>> pools_by_windows((5, 5, 1, 1), (4, 4)), pools_by_windows((3, 3, 3, 64), (2, 2))
    (True, False)
    """
    *lengths, _, filters = kernel_shape
    taps = math.prod(length + pool - 1 for length, pool in zip(lengths, pool_size))
    positions = math.prod(pool_size)
    by_windows = taps * math.ceil(filters * positions / VECTOR) / positions
    return by_windows <= MOST_VECTORS * math.prod(lengths) * math.ceil(filters / VECTOR)


def pooling_kernel(kernel: np.ndarray, pool_size: Pair) -> np.ndarray:
    """The kernel of a convolution from images to windows: with strides of `pool_size`, padded as the one given.

    Args:
        kernel: `(height, width, channels, filters)` of a convolution with stride 1.
        pool_size: (height, width) of the windows.

    Returns:
        `(height + pool height - 1, width + pool width - 1, channels, filters * positions)`.

    >>> pooling_kernel(np.array([1, 2, 3], "float32").reshape(1, 3, 1, 1), (1, 2)).squeeze()
    array([[1., 0.],
           [2., 1.],
           [3., 2.],
           [0., 3.]], dtype=float32)
    """
    height, width, channels, filters = kernel.shape
    down, right = pool_size
    shifted = np.zeros((height + down - 1, width + right - 1, channels, filters, down, right), kernel.dtype)
    for row, column in np.ndindex(down, right):
        shifted[row : row + height, column : column + width, :, :, row, column] = kernel
    return shifted.reshape(*shifted.shape[:3], -1)


def unpools_by_windows(kernel_shape: tuple[int, ...], pool_size: Pair) -> bool:
    """Whether `unpooling_kernel` pays off for a kernel of this shape.

    >>> unpools_by_windows((5, 5, 3, 1), (4, 4)), unpools_by_windows((5, 5, 1, 1), (16, 16))
    (True, False)
    """
    *lengths, _, channels = kernel_shape
    taps = math.prod(before + 1 + after for before, after in _reach(kernel_shape, pool_size))
    by_windows = taps * math.ceil(channels * math.prod(pool_size) / VECTOR)
    return by_windows <= MOST_VECTORS * math.prod(lengths) * math.ceil(channels / VECTOR)


def unpooling_kernel(kernel: np.ndarray, pool_size: Pair) -> tuple[np.ndarray, list[Pair]]:
    """The kernel of a convolution from windows to the pixels of windows, and its padding.

    Args:
        kernel: `(height, width, filters, channels)` of a convolution with stride 1 which pads `height // 2` before,
            as one that equals a transposed convolution does.
        pool_size: (height, width) of the windows.

    Returns:
        `(windows down, windows right, filters * positions, positions * channels)`, and how many windows to pad before
        and after, down and right.

    >>> kernel, padding = unpooling_kernel(np.array([1, 2, 3], "float32").reshape(1, 3, 1, 1), (1, 2))
    >>> kernel.shape, padding
    ((1, 3, 2, 2), [(0, 0), (1, 1)])
    >>> kernel.reshape(6, 2)  # To each pixel of a window, from six in a row.
    array([[0., 0.],
           [1., 0.],
           [2., 1.],
           [3., 2.],
           [0., 3.],
           [0., 0.]], dtype=float32)
    """
    height, width, filters, channels = kernel.shape
    (down, right), reach = pool_size, _reach(kernel.shape, pool_size)
    windows = [before + 1 + after for before, after in reach]
    shifted = np.zeros((windows[0] * down, windows[1] * right, filters, down, right, channels), kernel.dtype)
    for row, column in np.ndindex(down, right):
        top, left = reach[0][0] * down + row - height // 2, reach[1][0] * right + column - width // 2
        shifted[top : top + height, left : left + width, :, row, column] = kernel
    by_window = shifted.reshape(windows[0], down, windows[1], right, filters, -1).transpose(0, 2, 4, 1, 3, 5)
    return by_window.reshape(*windows, filters * down * right, -1), reach


def _reach(kernel_shape: tuple[int, ...], pool_size: Pair) -> list[Pair]:
    """How many windows before and after its own a kernel's pixels are in, down and right."""
    return [
        (math.ceil((length // 2) / pool), math.ceil(((length - 1) // 2) / pool))
        for length, pool in zip(kernel_shape, pool_size)
    ]
