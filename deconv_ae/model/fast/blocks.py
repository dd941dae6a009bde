"""A stage on blocks of pixels, in TensorFlow.

A convolution of few channels leaves most of a vector register idle; here a register holds one window or several. A
block becomes one pixel, with channels `position in the block * channels + channel` (space_to_depth). The convolution of
blocks has a kernel that covers all blocks that a block's results depend on: 2x2 blocks for a kernel of 5x5 and blocks
of 4x4. This convolution multiplies by many zeros, but it puts a window's positions side by side in its results.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from deconv_ae.model.kernel_taps import taps_between
from deconv_ae.numbers import Pair
from deconv_ae.ops import environment
from deconv_ae.ops.pooling import pool
from deconv_ae.ops.switches import switches_of
from deconv_ae.ops.unpooling import unpool_switches
from deconv_ae.ops.windows import Windows

Size = tuple[int, int]
Computation = Callable[[], list[tf.Tensor]]

FEWEST_ROWS = 4
"""Rows in a block. With one filter and windows of 2x2, 1,024 digits take half the time in blocks of 4x4."""
FEWEST_DECODED = 32
"""The layers decode fewer images faster: 1 digit in 0.7 of the blocks' time, but 64 digits in 1.5 of that time."""


def encode(images: tf.Tensor, pool_size: Pair, kernel: Any, bias: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes a "same" convolution with bias and ReLU, then max pooling.

    Args:
        images: `(N, height, width, channels)` float32; only N may be unknown.
        pool_size: (height, width) of the windows, which lie side by side; pixels outside of every window are left out.
        kernel: `(kernel height, kernel width, channels, filters)`, a tensor or a variable.
        bias: `(filters,)`, a tensor or a variable.

    Returns:
        The maxima, `(N, windows down, windows right, filters)`, and uint8 switches of that shape: the first position of
        the maximum after the ReLU, so position 0 in a window of zeros. A NaN is more than any number.
    """
    images, kernel, bias = (tf.convert_to_tensor(tensor) for tensor in (images, kernel, bias))
    size = tuple(images.shape[1:3])
    grid = _Grid(size, tuple(kernel.shape[:2]), pool_size)
    kernel_of_blocks = grid.kernel_of_blocks(kernel)

    def by_blocks() -> list[tf.Tensor]:
        results = tf.nn.conv2d(grid.blocks_of(images), kernel_of_blocks, 1, "VALID")
        # The bias does not change which value is the largest, and takes fewer additions after the pooling.
        pooled, first = (grid.images_of_windows(tensor) for tensor in _first_maxima(results, math.prod(pool_size)))
        pooled = tf.nn.relu(tf.nn.bias_add(pooled, bias))
        return [pooled, tf.cast(tf.where(pooled <= 0, 0, first), tf.uint8)]

    def one_by_one() -> list[tf.Tensor]:
        # Not tf.nn.relu: in a graph, oneDNN fuses it with the convolution, and then a NaN becomes 0 (TensorFlow 2.21).
        convolved = tf.maximum(tf.nn.bias_add(tf.nn.conv2d(images, kernel, 1, "SAME"), bias), 0.0)
        pooled, argmax = pool(convolved, grid.pooling)
        return [pooled, switches_of(argmax, size, grid.pooling)[0]]

    pooled, switches = _faster((images, kernel, bias), by_blocks, one_by_one)
    return pooled, switches


def decode(
    values: tf.Tensor, switches: tf.Tensor, pool_size: Pair, size: Size, kernel: Any, bias: Any = None
) -> tf.Tensor:
    """Computes max unpooling, then a "same" transposed convolution.

    Args:
        values: `(N, windows down, windows right, filters)`.
        switches: the same shape.
        pool_size: (height, width) of the windows.
        size: (height, width) of the images; windows may leave rows or columns over.
        kernel: `(kernel height, kernel width, channels, filters)`, as Keras stores it; a tensor or a variable.
        bias: `(channels,)`, a tensor or a variable; or None.

    Returns:
        `(N, height, width, channels)`.
    """
    kernel = tf.convert_to_tensor(kernel)
    grid = _Grid(size, tuple(kernel.shape[:2]), pool_size)
    kernel_of_blocks, count = grid.kernel_of_blocks(kernel), tf.shape(values)[0]

    def by_blocks() -> list[tf.Tensor]:
        # A product with a mask of floats: tf.where with a boolean mask takes three times as long.
        chosen = tf.one_hot(tf.cast(grid.blocks_of_windows(switches), tf.int32), math.prod(pool_size))
        results = chosen * grid.blocks_of_windows(values)[..., None]
        results = tf.reshape(results, (-1, *grid.with_results, math.prod(results.shape[3:])))
        shape = [count, *grid.blocks, kernel_of_blocks.shape[2]]
        blocks = tf.nn.conv2d_transpose(results, kernel_of_blocks, shape, 1, "VALID")
        return [grid.images_of(tf.ensure_shape(blocks, [None, *shape[1:]]))]

    def one_by_one() -> list[tf.Tensor]:
        unpooled = unpool_switches(values, switches, size, grid.pooling)
        return [tf.nn.conv2d_transpose(unpooled, kernel, [count, *size, kernel.shape[2]], 1, "SAME")]

    (images,) = _faster((values, kernel), by_blocks, one_by_one, FEWEST_DECODED)
    return images if bias is None else tf.nn.bias_add(images, bias)


def _first_maxima(results: tf.Tensor, positions: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Each window's maximum and its first position, for results of `(N, down, right, windows * positions)`."""
    shape = (-1, *results.shape[1:3], results.shape[3] // positions, positions)

    @environment.custom_gradient
    def maxima(results: tf.Tensor) -> tuple[Any, Callable]:
        windows = tf.reshape(results, shape)
        # For a window with NaNs, XLA's argmax returns the last position; with infinities in their place, the first.
        comparable = tf.where(tf.math.is_nan(windows), np.inf, windows) if environment.compiled_by_xla() else windows
        first = tf.argmax(comparable, -1, tf.int32)

        def gradient(upstream: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
            return tf.reshape(tf.one_hot(first, positions) * upstream[..., None], tf.shape(results))

        return (tf.gather(windows, first, batch_dims=4), first), gradient

    return maxima(results)


def _faster(
    tensors: Sequence[tf.Tensor], by_blocks: Computation, one_by_one: Computation, fewest: int = 0
) -> list[tf.Tensor]:
    """Computes `one_by_one` if a tensor is not finite or if a served batch has under `fewest` images; else `by_blocks`.

    The kernel of blocks has zeros, and zero times infinity is NaN, even for pixels beyond the original kernel. Under
    XLA, a choice would triple a step's time, so XLA uses blocks. Files for other runtimes and all gradients do too.
    """
    if environment.compiled_by_xla() or environment.is_portable():
        return by_blocks()
    # A sum is finite only if all numbers are.
    finite = tf.math.is_finite(tf.add_n([tf.reduce_sum(tensor) for tensor in tensors]))
    if not environment.records_gradients():
        return environment.cond(finite & (tf.shape(tensors[0])[0] >= fewest), by_blocks, one_by_one)

    @tf.custom_gradient
    def choose(*results: tf.Tensor) -> tuple[Any, Callable]:
        chosen = environment.cond(finite, lambda: [tf.identity(result) for result in results], one_by_one)
        return chosen, lambda *upstream: upstream

    return choose(*by_blocks())


@functools.lru_cache(maxsize=16)
class _Grid:
    """The places of blocks. The first block starts at the first pixel that window 0 depends on. Lengths are pairs."""

    def __init__(self, size: Size, taps: Size, pool: Pair) -> None:
        self.pooling = Windows(pool, pool, "valid", "channels_last")
        self.size, self.taps, self.pool = (np.array(lengths) for lengths in (size, taps, pool))
        self.windows, self.windows_in_block = self.size // self.pool, -(-FEWEST_ROWS // self.pool)
        self.block = self.windows_in_block * self.pool
        # Numbers of blocks: those that one block's results depend on, those with windows, and all.
        self.reach = -(-(self.taps + self.block - 1) // self.block)
        self.with_results = -(-self.windows // self.windows_in_block)
        self.blocks = self.with_results + self.reach - 1
        # Pixels of padding. `after` is negative if the images reach beyond the blocks.
        self.before = (self.taps - 1) // 2
        self.after = self.blocks * self.block - self.before - self.size

    def blocks_of(self, images: tf.Tensor) -> tf.Tensor:
        """Images as `(N, blocks down, blocks right, positions * channels)`."""
        height, width = self.size + np.minimum(self.after, 0)
        padding = zip(self.before, np.maximum(self.after, 0))
        return _split(tf.pad(images[:, :height, :width], [(0, 0), *padding, (0, 0)]), self.block)

    def images_of(self, blocks: tf.Tensor) -> tf.Tensor:
        """The inverse of `blocks_of`, with zeros outside of all blocks."""
        (top, left), (bottom, right) = self.before, self.before + self.size
        return _padded(_joined(blocks, self.block)[:, top:bottom, left:right], self.size)

    def blocks_of_windows(self, values: tf.Tensor) -> tf.Tensor:
        """`(N, windows down, windows right, filters)` as `(N, blocks down, blocks right, windows * filters)`."""
        return _split(_padded(values, self.with_results * self.windows_in_block), self.windows_in_block)

    def images_of_windows(self, blocks: tf.Tensor) -> tf.Tensor:
        """The inverse of `blocks_of_windows`."""
        return _joined(blocks, self.windows_in_block)[:, : self.windows[0], : self.windows[1]]

    def kernel_of_blocks(self, kernel: tf.Tensor) -> tf.Tensor:
        """The kernel of blocks, `(*reach, positions * channels, windows * filters * window's positions)`.

        It is a 0-1 matrix times the kernel. So it has a gradient, and TensorFlow folds it if the kernel is constant.
        """
        height, width, channels, filters = kernel.shape
        pixels, positions = self.block.prod(), self.pool.prod()
        places = self._places.reshape(-1, height * width).astype(kernel.dtype.as_numpy_dtype)
        spread = tf.matmul(places, tf.reshape(kernel, (height * width, channels * filters)))
        spread = tf.reshape(spread, (-1, pixels, pixels // positions, positions, channels, filters))
        return tf.reshape(tf.transpose(spread, (0, 1, 4, 2, 5, 3)), (*self.reach, pixels * channels, pixels * filters))

    @functools.cached_property
    def _places(self) -> np.ndarray:
        """The tap from each pixel to each result, one-hot: (block, pixel in block, window, position in window, tap)."""
        by_axis = []
        for taps, rows, block, reach in zip(self.taps, self.pool, self.block, self.reach):
            by_axis.append(taps_between(reach * block, block, taps).reshape(reach, block, -1, rows, taps))
        return np.einsum("abcde,ijklm->aibjckdlem", *by_axis)


def _split(images: tf.Tensor, block: np.ndarray) -> tf.Tensor:
    """`(N, rows, columns, channels)` as blocks, whose size divides rows and columns."""
    if block.prod() == 1:
        return images
    (height, width), (_, rows, columns, channels) = block, images.shape
    down, right = rows // height, columns // width
    by_row = tf.transpose(tf.reshape(images, (-1, down, height, right, width * channels)), (0, 1, 3, 2, 4))
    return tf.reshape(by_row, (-1, down, right, height * width * channels))


def _joined(blocks: tf.Tensor, block: np.ndarray) -> tf.Tensor:
    """The inverse of `_split`."""
    if block.prod() == 1:
        return blocks
    (height, width), (_, down, right, length) = block, blocks.shape
    by_row = tf.transpose(tf.reshape(blocks, (-1, down, right, height, length // height)), (0, 1, 3, 2, 4))
    return tf.reshape(by_row, (-1, down * height, right * width, length // (height * width)))


def _padded(images: tf.Tensor, size: np.ndarray) -> tf.Tensor:
    """Images, padded to a size with zeros below and to the right."""
    missing = [(0, length - there) for length, there in zip(size, images.shape[1:3])]
    return tf.pad(images, [(0, 0), *missing, (0, 0)]) if any(map(any, missing)) else images
