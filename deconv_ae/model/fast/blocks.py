"""A stage on blocks of pixels, in TensorFlow.

A convolution of few channels leaves most of the processor's vector idle. Here a vector holds one window or several.

A block becomes one pixel, with channels `position in the block * channels + channel` (space_to_depth). A convolution
of images becomes one of blocks. Its kernel covers all blocks that a block's results depend on: two by two for a kernel
of 5x5 and blocks of 4x4. It multiplies by many zeros, but the positions of a window lie side by side in its results,
as pooling reads them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from deconv_ae.model.kernel_taps import taps_between
from deconv_ae.numbers import Pair
from deconv_ae.ops import argmax_to_switches, environment, max_pool_with_argmax, max_unpool, switches_to_argmax

Size = tuple[int, int]

FEWEST_ROWS = 4
"""In a block: 1,024 digits with one filter and windows of 2x2 take half the time in blocks of 4x4."""


def encode(images: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, pool_size: Pair) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes a "same" convolution with bias and ReLU, then max pooling.

    Args:
        images: `(N, height, width, channels)` float32; only N may be unknown.
        kernel: `(kernel height, kernel width, channels, filters)`.
        bias: `(filters,)`.
        pool_size: (height, width) of the windows, which lie side by side; pixels outside of every window are left out.

    Returns:
        The maxima, `(N, windows down, windows right, filters)`, and uint8 switches of that shape: the first position
        in the window that has the maximum after the ReLU, so 0 where the ReLU leaves only zeros. A NaN is more than
        any number.

    >>> ramp = tf.reshape(tf.range(16.0), (1, 4, 4, 1))
    >>> pooled, switches = encode(ramp, tf.ones((1, 1, 1, 1)), tf.zeros(1), (2, 2))
    >>> pooled.numpy().ravel(), switches.numpy().ravel()
    (array([ 5.,  7., 13., 15.], dtype=float32), array([3, 3, 3, 3], dtype=uint8))
    """
    images, kernel, bias = (tf.convert_to_tensor(tensor) for tensor in (images, kernel, bias))
    size = tuple(images.shape[1:3])
    grid = _Grid(size, kernel.shape[:2], pool_size)
    results = tf.nn.conv2d(grid.blocks_of(images), grid.kernel_of_blocks(kernel), 1, "VALID")
    # A bias does not change which value is the largest, and there are fewer maxima to add it to.
    pooled, first = (grid.images_of_windows(tensor) for tensor in _first_maxima(results, math.prod(pool_size)))
    pooled = tf.nn.relu(tf.nn.bias_add(pooled, bias))

    def one_by_one() -> list[tf.Tensor]:
        # Not tf.nn.relu: in a graph, oneDNN fuses it with the convolution, and then a NaN becomes 0 (TensorFlow 2.21).
        convolved = tf.maximum(tf.nn.bias_add(tf.nn.conv2d(images, kernel, 1, "SAME"), bias), 0.0)
        pooled, argmax = max_pool_with_argmax(convolved, pool_size, data_format="channels_last")
        return [pooled, argmax_to_switches(argmax, size, pool_size, data_format="channels_last")]

    switches = tf.cast(tf.where(pooled <= 0, 0, first), tf.uint8)
    pooled, switches = _if_finite((images, kernel, bias), [pooled, switches], one_by_one)
    return pooled, switches


def decode(
    values: tf.Tensor, switches: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None, pool_size: Pair, size: Size
) -> tf.Tensor:
    """Computes max unpooling, then a "same" transposed convolution.

    Args:
        values, switches: `(N, windows down, windows right, filters)`, as `encode` returns them.
        kernel: `(kernel height, kernel width, channels, filters)`, as Keras stores it: of the convolution that is
            transposed.
        bias: `(channels,)`, or None.
        pool_size: (height, width) of the windows.
        size: (height, width) of the images; windows may leave rows or columns over.

    Returns:
        `(N, height, width, channels)`.

    >>> one = tf.ones((1, 1, 1, 1))
    >>> decode(5 * one, tf.cast(2 * one, tf.uint8), one, None, (2, 2), (2, 3)).numpy().squeeze()
    array([[0., 0., 0.],
           [5., 0., 0.]], dtype=float32)
    """
    kernel = tf.convert_to_tensor(kernel)
    grid = _Grid(size, kernel.shape[:2], pool_size)
    # A product with a mask of floats: tf.where with a boolean mask takes three times as long.
    chosen = tf.one_hot(tf.cast(grid.blocks_of_windows(switches), tf.int32), math.prod(pool_size))
    results = chosen * grid.blocks_of_windows(values)[..., None]
    results = tf.reshape(results, (-1, *grid.with_results, math.prod(results.shape[3:])))
    to_blocks = grid.kernel_of_blocks(kernel)
    shape = [tf.shape(values)[0], *grid.blocks, to_blocks.shape[2]]
    blocks = tf.ensure_shape(tf.nn.conv2d_transpose(results, to_blocks, shape, 1, "VALID"), [None, *shape[1:]])
    images = grid.images_of(blocks)

    def one_by_one() -> list[tf.Tensor]:
        argmax = switches_to_argmax(switches, size, pool_size, data_format="channels_last")
        unpooled = max_unpool(values, argmax, pool_size, output_size=size, data_format="channels_last")
        return [tf.nn.conv2d_transpose(unpooled, kernel, [shape[0], *size, kernel.shape[2]], 1, "SAME")]

    (images,) = _if_finite((values, kernel), [images], one_by_one)
    return images if bias is None else tf.nn.bias_add(images, bias)


def _first_maxima(results: tf.Tensor, positions: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Each window's maximum and its first position, for results of `(N, down, right, windows * positions)`."""
    _, down, right, length = results.shape
    shape = (-1, down, right, length // positions, positions)

    @environment.custom_gradient
    def maxima(results: tf.Tensor) -> tuple[Any, Callable]:
        windows = tf.reshape(results, shape)
        # XLA's argmax returns the last position where there is a NaN; infinity in its place makes it the first.
        comparable = tf.where(tf.math.is_nan(windows), np.inf, windows) if environment.compiled_by_xla() else windows
        first = tf.argmax(comparable, -1, tf.int32)

        def gradient(upstream: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
            return tf.reshape(tf.one_hot(first, positions) * upstream[..., None], tf.shape(results))

        return (tf.gather(windows, first, batch_dims=4), first), gradient

    return maxima(results)


def _if_finite(
    tensors: Sequence[tf.Tensor], results: list[tf.Tensor], one_by_one: Callable[[], list[tf.Tensor]]
) -> list[tf.Tensor]:
    """The results if all tensors are finite, else what `one_by_one` computes.

    A block's kernel has zeros, which times an infinity or a NaN are NaN, also for pixels out of the kernel's reach.
    Under XLA there is no such choice: a step would take three times as long, and compiling it twice as long. Files for
    other runtimes have none either. The gradient is that of the results.
    """
    if environment.compiled_by_xla() or environment.is_portable():
        return results

    @environment.custom_gradient
    def choose(*results: tf.Tensor) -> tuple[Any, Callable]:
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors])
        chosen = environment.cond(finite, lambda: [tf.identity(result) for result in results], one_by_one)
        return chosen, lambda *upstream: upstream

    return choose(*results)


class _Grid:
    """Where the blocks of a stage lie: the first begins at the first pixel that the first window depends on.

    Args:
        size: (height, width) of the images.
        taps: (height, width) of the convolution's kernel.
        pool: (height, width) of the windows.
    """

    def __init__(self, size: Sequence[int], taps: Sequence[int], pool: Pair) -> None:
        self.size, self.taps, self.pool = (np.array(lengths) for lengths in (size, taps, pool))
        self.windows, self.windows_in_block = self.size // self.pool, -(-FEWEST_ROWS // self.pool)
        self.block = self.windows_in_block * self.pool
        # Blocks that the results of one block depend on; blocks that have windows; all blocks.
        self.reach = -(-(self.taps + self.block - 1) // self.block)
        self.with_results = -(-self.windows // self.windows_in_block)
        self.blocks = self.with_results + self.reach - 1
        # Pixels of padding; `after` is negative where the blocks end before the images do.
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
        down, right = self.windows
        return _joined(blocks, self.windows_in_block)[:, :down, :right]

    def kernel_of_blocks(self, kernel: tf.Tensor) -> tf.Tensor:
        """The kernel of the same convolution of blocks.

        It is a product with zeros and ones. So its gradient is one too, and a constant kernel is folded to a constant.

        Returns:
            `(reach down, reach right, positions * channels, windows * filters * positions of a window)`.
        """
        height, width, channels, filters = kernel.shape
        pixels, positions = self.block.prod(), self.pool.prod()
        places = self._places().reshape(-1, height * width).astype(kernel.dtype.as_numpy_dtype)
        spread = tf.matmul(places, tf.reshape(kernel, (height * width, channels * filters)))
        spread = tf.reshape(spread, (-1, pixels, pixels // positions, positions, channels, filters))
        spread = tf.transpose(spread, (0, 1, 4, 2, 5, 3))
        return tf.reshape(spread, (*self.reach, pixels * channels, pixels * filters))

    def _places(self) -> np.ndarray:
        """Which tap of the kernel leads from a pixel to a result, one-hot.

        By the pixel's block, the pixel in the block, the result's window, the position in the window, and the tap.
        """
        by_axis = []
        for taps, pool, block, reach in zip(self.taps, self.pool, self.block, self.reach):
            by_axis.append(taps_between(reach * block, block, taps).reshape(reach, block, -1, pool, taps))
        return np.einsum("abcde,ijklm->aibjckdlem", *by_axis)


def _split(images: tf.Tensor, block: np.ndarray) -> tf.Tensor:
    """`(N, rows, columns, channels)` as blocks, whose size divides rows and columns."""
    (height, width), (_, rows, columns, channels) = block, images.shape
    down, right = rows // height, columns // width
    by_row = tf.transpose(tf.reshape(images, (-1, down, height, right, width * channels)), (0, 1, 3, 2, 4))
    return tf.reshape(by_row, (-1, down, right, height * width * channels))


def _joined(blocks: tf.Tensor, block: np.ndarray) -> tf.Tensor:
    """The inverse of `_split`."""
    (height, width), (_, down, right, length) = block, blocks.shape
    by_row = tf.transpose(tf.reshape(blocks, (-1, down, right, height, length // height)), (0, 1, 3, 2, 4))
    return tf.reshape(by_row, (-1, down * height, right * width, length // (height * width)))


def _padded(images: tf.Tensor, size: np.ndarray) -> tf.Tensor:
    """Images, padded to a size with zeros below and to the right."""
    missing = [(0, length - there) for length, there in zip(size, images.shape[1:3])]
    return tf.pad(images, [(0, 0), *missing, (0, 0)]) if any(map(any, missing)) else images
