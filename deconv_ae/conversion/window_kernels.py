"""Kernels of convolutions from images to whole pooling windows, and from windows to images.

Here each window is one pixel. A window of a stage's filters has the channels `filter * positions + position`. A window
of an image has the channels `position * channels + channel`.

A convolution that computes all positions of a window at once fills the processor's vectors, where a single filter would
leave most lanes idle. The filters' values lie in the order in which pooling reads them. But the kernel also contains
zeros, more for larger windows.
"""

import math

import numpy as np

from deconv_ae.model.kernel_taps import taps_between
from deconv_ae.numbers import Pair

VECTOR_LENGTH = 16
"""float32 values in a vector of AVX-512."""

LARGEST_COST_RATIO = 1.5
"""A rearranged kernel is used if it takes at most this many times the original kernel's vector multiplications. It may
take more than the original kernel, because it saves rearranging the filters' values between pixels and windows."""


def should_rearrange_pooling(kernel_shape: tuple[int, ...], pool_size: Pair) -> bool:
    """Whether `pooling_kernel` should rearrange a kernel of this shape, for speed.

    >>> should_rearrange_pooling((5, 5, 1, 1), (4, 4)), should_rearrange_pooling((3, 3, 3, 64), (2, 2))
    (True, False)
    """
    *lengths, _, filters = kernel_shape
    taps = math.prod(length + pool - 1 for length, pool in zip(lengths, pool_size))
    positions = math.prod(pool_size)
    multiplications = taps * math.ceil(filters * positions / VECTOR_LENGTH) / positions
    return multiplications <= LARGEST_COST_RATIO * math.prod(lengths) * math.ceil(filters / VECTOR_LENGTH)


def pooling_kernel(kernel: np.ndarray, pool_size: Pair) -> np.ndarray:
    """Rearranges a kernel so that a convolution computes all positions of a window at once.

    That convolution has strides of `pool_size`, and the same padding as the convolution with the original kernel.

    Args:
        kernel: `(height, width, channels, filters)` of a convolution with stride 1.
        pool_size: (height, width) of the windows.

    Returns:
        The rearranged kernel: `(height + pool height - 1, width + pool width - 1, channels, filters * positions)`.

    >>> pooling_kernel(np.array([1, 2, 3], "float32").reshape(1, 3, 1, 1), (1, 2)).squeeze()
    array([[1., 0.],
           [2., 1.],
           [3., 2.],
           [0., 3.]], dtype=float32)
    """
    lengths = zip(kernel.shape[:2], pool_size)
    row_taps, column_taps = (taps_between(length + pool - 1, pool, length) for length, pool in lengths)
    # (a, b) is a tap of the rearranged kernel, (t, u) one of the original, (i, j) a position, c a channel, f a filter.
    window_kernel = np.einsum("ait,bju,tucf->abcfij", row_taps, column_taps, kernel, optimize=True)
    return window_kernel.reshape(*window_kernel.shape[:3], -1)


def should_rearrange_unpooling(kernel_shape: tuple[int, ...], pool_size: Pair) -> bool:
    """Whether `unpooling_kernel` should rearrange a kernel of this shape, for speed.

    >>> should_rearrange_unpooling((5, 5, 3, 1), (4, 4)), should_rearrange_unpooling((5, 5, 1, 1), (16, 16))
    (True, False)
    """
    *lengths, _, channels = kernel_shape
    taps = math.prod(before + 1 + after for before, after in _count_neighbours(kernel_shape, pool_size))
    multiplications = taps * math.ceil(channels * math.prod(pool_size) / VECTOR_LENGTH)
    return multiplications <= LARGEST_COST_RATIO * math.prod(lengths) * math.ceil(channels / VECTOR_LENGTH)


def unpooling_kernel(kernel: np.ndarray, pool_size: Pair) -> tuple[np.ndarray, list[Pair]]:
    """Rearranges a kernel so that a convolution computes all pixels of a window at once, from windows.

    That convolution treats each window as one pixel, and the values of the window as channels.

    Args:
        kernel: `(height, width, filters, channels)` of a convolution that replaces a transposed convolution with
            stride 1. The convolution pads `height // 2` rows before the image and `(height - 1) // 2` after the image.
        pool_size: (height, width) of the windows.

    Returns:
        The rearranged kernel, `(height in windows, width in windows, filters * positions, positions * channels)`, and
        the padding of its convolution: for each of the two axes, the numbers of windows before and after the image.

    >>> kernel, padding = unpooling_kernel(np.array([1, 2, 3], "float32").reshape(1, 3, 1, 1), (1, 2))
    >>> kernel.shape, padding
    ((1, 3, 2, 2), [(0, 0), (1, 1)])
    >>> kernel.reshape(6, 2)  # Rows: the six pixels of three windows. Columns: the two of the middle window.
    array([[0., 0.],
           [1., 0.],
           [2., 1.],
           [3., 2.],
           [0., 3.],
           [0., 0.]], dtype=float32)
    """
    neighbours = _count_neighbours(kernel.shape, pool_size)
    row_taps, column_taps = (
        taps_between((before + 1 + after) * pool, pool, length, offset=before * pool - length // 2).reshape(
            -1, pool, pool, length
        )
        for (before, after), pool, length in zip(neighbours, pool_size, kernel.shape[:2])
    )
    # (a, b) is a tap of the rearranged kernel, (h, w) a position in the window that is read, (i, j) one in the window
    # that is computed, (t, u) a tap of the original kernel, f a filter, c a channel.
    window_kernel = np.einsum("ahit,bwju,tufc->abfhwijc", row_taps, column_taps, kernel, optimize=True)
    return window_kernel.reshape(*window_kernel.shape[:2], kernel.shape[2] * math.prod(pool_size), -1), neighbours


def _count_neighbours(kernel_shape: tuple[int, ...], pool_size: Pair) -> list[Pair]:
    """Counts for each axis how many windows the kernel reads before the window that it computes, and how many after."""
    return [
        (math.ceil((length // 2) / pool), math.ceil(((length - 1) // 2) / pool))
        for length, pool in zip(kernel_shape, pool_size)
    ]
