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

MOST_VECTORS = 1.5
"""A rearranged kernel pays off if it takes at most this many times the plain kernel's vector multiplications. It may
take more than the plain kernel, because it saves rearranging the filters' values between pixels and windows."""


def pools_by_windows(kernel_shape: tuple[int, ...], pool_size: Pair) -> bool:
    """Whether `pooling_kernel` pays off for a kernel of this shape.

    >>> pools_by_windows((5, 5, 1, 1), (4, 4)), pools_by_windows((3, 3, 3, 64), (2, 2))
    (True, False)
    """
    *lengths, _, filters = kernel_shape
    taps = math.prod(length + pool - 1 for length, pool in zip(lengths, pool_size))
    positions = math.prod(pool_size)
    multiplications = taps * math.ceil(filters * positions / VECTOR_LENGTH) / positions
    return multiplications <= MOST_VECTORS * math.prod(lengths) * math.ceil(filters / VECTOR_LENGTH)


def pooling_kernel(kernel: np.ndarray, pool_size: Pair) -> np.ndarray:
    """The kernel of a convolution from images to windows, with strides of `pool_size` and the plain kernel's padding.

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
    lengths = zip(kernel.shape[:2], pool_size)
    row_taps, column_taps = (taps_between(length + pool - 1, pool, length) for length, pool in lengths)
    window_kernel = np.einsum("ait,bju,tucf->abcfij", row_taps, column_taps, kernel, optimize=True)
    return window_kernel.reshape(*window_kernel.shape[:3], -1)


def unpools_by_windows(kernel_shape: tuple[int, ...], pool_size: Pair) -> bool:
    """Whether `unpooling_kernel` pays off for a kernel of this shape.

    >>> unpools_by_windows((5, 5, 3, 1), (4, 4)), unpools_by_windows((5, 5, 1, 1), (16, 16))
    (True, False)
    """
    *lengths, _, channels = kernel_shape
    taps = math.prod(before + 1 + after for before, after in _reach(kernel_shape, pool_size))
    multiplications = taps * math.ceil(channels * math.prod(pool_size) / VECTOR_LENGTH)
    return multiplications <= MOST_VECTORS * math.prod(lengths) * math.ceil(channels / VECTOR_LENGTH)


def unpooling_kernel(kernel: np.ndarray, pool_size: Pair) -> tuple[np.ndarray, list[Pair]]:
    """The kernel of a convolution from windows to the pixels of windows, and its padding.

    Args:
        kernel: `(height, width, filters, channels)` of a convolution with stride 1 that equals a transposed
            convolution, so it pads `height // 2` rows before the image.
        pool_size: (height, width) of the windows.

    Returns:
        The kernel, `(windows down, windows right, filters * positions, positions * channels)`, and its padding: for
        each of the two axes, the numbers of windows before and after.

    >>> kernel, padding = unpooling_kernel(np.array([1, 2, 3], "float32").reshape(1, 3, 1, 1), (1, 2))
    >>> kernel.shape, padding
    ((1, 3, 2, 2), [(0, 0), (1, 1)])
    >>> kernel.reshape(6, 2)  # From six pixels in a row to the two pixels of a window.
    array([[0., 0.],
           [1., 0.],
           [2., 1.],
           [3., 2.],
           [0., 3.],
           [0., 0.]], dtype=float32)
    """
    reach = _reach(kernel.shape, pool_size)
    row_taps, column_taps = (
        taps_between((before + 1 + after) * pool, pool, length, offset=before * pool - length // 2).reshape(
            -1, pool, pool, length
        )
        for (before, after), pool, length in zip(reach, pool_size, kernel.shape[:2])
    )
    window_kernel = np.einsum("ahit,bwju,tufc->abfhwijc", row_taps, column_taps, kernel, optimize=True)
    return window_kernel.reshape(*window_kernel.shape[:2], kernel.shape[2] * math.prod(pool_size), -1), reach


def _reach(kernel_shape: tuple[int, ...], pool_size: Pair) -> list[Pair]:
    """For each axis, how many windows a kernel reaches before and after the window that it computes."""
    return [
        (math.ceil((length // 2) / pool), math.ceil(((length - 1) // 2) / pool))
        for length, pool in zip(kernel_shape, pool_size)
    ]
