"""A stage on blocks of pixels, in TensorFlow.

A convolution of few channels leaves most of a vector register idle; here a register holds one window or several. A
block becomes one pixel, with channels `position in the block * channels + channel` (space_to_depth). The kernel of
blocks covers all blocks that a block's results depend on: 2x2 blocks for a kernel of 5x5 and blocks of 4x4. It has many
zeros, but its results have a window's positions side by side.
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

FEWEST_ROWS = 4
"""The fewest rows in a block. With a filter and windows of 2x2, blocks of 4x4 take half the time of blocks of 2x2."""
FEWEST_DECODED = 32
"""The layers decode fewer images faster: 1 digit in 0.7 of the blocks' time, but 64 digits in 1.5 of that time."""


def encode(images: tf.Tensor, pool_size: Pair, kernel: Any, bias: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes a "same" convolution with bias and ReLU, then max pooling.

    Args:
        images: `(N, height, width, channels)` float32; only N may be unknown.
        pool_size: (height, width) of the windows, which lie side by side; pooling leaves out what no window covers.
        kernel: `(kernel height, kernel width, channels, filters)`, a tensor or a variable.
        bias: `(filters,)`, a tensor or a variable.

    Returns:
        The maxima, `(N, windows down, windows right, filters)`, and uint8 switches: the first position of the maximum
        after the ReLU, 0 in a window of zeros. A NaN is more than any number; under XLA, than any finite number.
    """
    images, kernel, bias = (tf.convert_to_tensor(tensor) for tensor in (images, kernel, bias))
    size, positions = tuple(images.shape[1:3]), math.prod(pool_size)
    grid = _Grid(size, tuple(kernel.shape[:2]), pool_size)
    kernel_of_blocks = grid.kernel_of_blocks(kernel)

    def by_blocks() -> list[tf.Tensor]:
        results = _convolved(grid.blocks_of(images), kernel_of_blocks)
        windows = tf.reshape(results, (-1, *grid.with_results, results.shape[3] // positions, positions))
        # The bias does not change which value is the largest, and takes fewer additions after the pooling.
        pooled, first = (grid.images_of_windows(tensor) for tensor in _first_maxima(windows))
        pooled = tf.nn.relu(tf.nn.bias_add(pooled, bias))
        return [pooled, tf.cast(tf.where(pooled <= 0, 0, first), tf.uint8)]

    def by_pixels() -> list[tf.Tensor]:
        # Not tf.nn.relu: in a graph, oneDNN fuses it with the convolution, and then a NaN becomes 0 (TensorFlow 2.21).
        convolved = tf.maximum(tf.nn.bias_add(tf.nn.conv2d(images, kernel, 1, "SAME"), bias), 0.0)
        pooled, argmax = pool(convolved, grid.pooling)
        return [pooled, switches_of(argmax, size, grid.pooling)[0]]

    pooled, switches = _faster((images, kernel, bias), by_blocks, by_pixels)
    return pooled, switches


def decode(
    values: tf.Tensor, switches: tf.Tensor, pool_size: Pair, size: Pair, kernel: Any, bias: Any = None
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
    kernel_of_blocks = grid.kernel_of_blocks(kernel)

    def by_blocks() -> list[tf.Tensor]:
        # A product with a mask of floats: tf.where with a boolean mask takes three times as long.
        chosen = tf.one_hot(tf.cast(grid.blocks_of_windows(switches), tf.int32), math.prod(pool_size))
        results = chosen * grid.blocks_of_windows(values)[..., None]
        results = tf.reshape(results, (-1, *grid.with_results, math.prod(results.shape[3:])))
        return [grid.images_of(_deconvolved(results, kernel_of_blocks))]

    def by_pixels() -> list[tf.Tensor]:
        unpooled = unpool_switches(values, switches, size, grid.pooling)
        return [tf.nn.conv2d_transpose(unpooled, kernel, [tf.shape(values)[0], *size, kernel.shape[2]], 1, "SAME")]

    (images,) = _faster((values, kernel), by_blocks, by_pixels, FEWEST_DECODED)
    return images if bias is None else tf.nn.bias_add(images, bias)


@environment.custom_gradient
def _first_maxima(windows: tf.Tensor) -> tuple[Any, Callable]:
    """Each window's maximum and its first position, for `(N, down, right, windows, positions)`."""
    # XLA's argmax can return the last position of a window with NaNs, but returns the first position of infinities.
    comparable = tf.where(tf.math.is_nan(windows), np.inf, windows) if environment.compiled_by_xla() else windows
    first = tf.argmax(comparable, -1, tf.int32)
    maxima = tf.gather(windows, first, batch_dims=4)
    return (maxima, first), lambda upstream, _: tf.one_hot(first, windows.shape[-1]) * upstream[..., None]


@environment.custom_gradient
def _convolved(blocks: tf.Tensor, kernel: tf.Tensor) -> tuple[Any, Callable]:
    """The "valid" convolution. Under XLA, `_kernel_gradient` uses products: XLA's gradient transposes large tensors."""
    results = tf.nn.conv2d(blocks, kernel, 1, "VALID")
    return results, lambda upstream: (_deconvolved(upstream, kernel), _kernel_gradient(blocks, upstream, kernel))


@environment.custom_gradient
def _deconvolved(results: tf.Tensor, kernel: tf.Tensor) -> tuple[Any, Callable]:
    """The transpose of `_convolved`. For few channels, XLA is faster with a product and a sum over taps."""
    (_, *size, filters), (*reach, channels, _) = results.shape, kernel.shape
    if environment.compiled_by_xla() and channels <= filters:
        of_taps, after = tf.tensordot(results, kernel, (3, 3)), np.subtract(reach, 1)
        places = [(of_taps[:, :, :, down, right], (down, right)) for down, right in np.ndindex(*reach)]
        blocks = tf.add_n([tf.pad(pixels, [(0, 0), *zip(at, after - at), (0, 0)]) for pixels, at in places])
    else:
        shape = [tf.shape(results)[0], *(np.add(size, reach) - 1), channels]
        blocks = tf.nn.conv2d_transpose(results, kernel, shape, 1, "VALID")
    return blocks, lambda upstream: (_convolved(upstream, kernel), _kernel_gradient(upstream, results, kernel))


def _kernel_gradient(blocks: tf.Tensor, upstream: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    if not environment.compiled_by_xla():
        return tf.compat.v1.nn.conv2d_backprop_filter(blocks, kernel.shape, upstream, [1] * 4, "VALID")
    height, width = upstream.shape[1:3]
    inputs = [blocks[:, down : down + height, right : right + width] for down, right in np.ndindex(*kernel.shape[:2])]
    upstream, *inputs = (tf.reshape(tensor, (-1, tensor.shape[3])) for tensor in (upstream, *inputs))
    return tf.reshape([tf.matmul(of_tap, upstream, transpose_a=True) for of_tap in inputs], kernel.shape)


def _faster(tensors: Sequence, by_blocks: Callable, by_pixels: Callable, fewest: int = 0) -> list[tf.Tensor]:
    """Computes `by_pixels` if a tensor is not finite or if a served batch has under `fewest` images; else `by_blocks`.

    The kernel of blocks has zeros outside of the original kernel, and zero times infinity is NaN. A sum is finite
    only if all terms are. Under XLA, a choice would triple a step's time. All gradients and other runtimes use blocks.
    """
    if environment.compiled_by_xla() or environment.is_portable():
        return by_blocks()
    finite = tf.math.is_finite(tf.add_n([tf.reduce_sum(tensor) for tensor in tensors]))
    if not environment.records_gradients():
        return environment.cond(finite & (tf.shape(tensors[0])[0] >= fewest), by_blocks, by_pixels)

    @tf.custom_gradient
    def choose(*results: tf.Tensor) -> tuple[Any, Callable]:
        return environment.cond(finite, lambda: list(map(tf.identity, results)), by_pixels), lambda *upstream: upstream

    return choose(*by_blocks())


@functools.lru_cache(maxsize=16)
class _Grid:
    """The places of blocks. The first block starts at the first pixel that window 0 depends on. Lengths are pairs."""

    def __init__(self, size: Pair, taps: Pair, pool: Pair) -> None:
        self.pooling = Windows(pool, pool, "valid", "channels_last")
        self.size, self.taps, self.pool = (np.array(lengths) for lengths in (size, taps, pool))
        self.windows, self.windows_in_block = self.size // self.pool, -(-FEWEST_ROWS // self.pool)
        self.block = self.windows_in_block * self.pool
        # `reach` counts the blocks that one block's results depend on; `with_results` counts those with results.
        self.reach = -(-(self.taps + self.block - 1) // self.block)
        self.before = (self.taps - 1) // 2
        with_pixels = -(-(self.before + self.size) // self.block)
        self.with_results = np.maximum(-(-self.windows // self.windows_in_block), with_pixels - self.reach + 1)
        self.after = (self.with_results + self.reach - 1) * self.block - self.before - self.size

    def blocks_of(self, images: tf.Tensor) -> tf.Tensor:
        """Images as `(N, blocks down, blocks right, positions * channels)`."""
        return _split(tf.pad(images, [(0, 0), *zip(self.before, self.after), (0, 0)]), self.block)

    def images_of(self, blocks: tf.Tensor) -> tf.Tensor:
        """The inverse of `blocks_of`."""
        (top, left), (bottom, right) = self.before, self.before + self.size
        return _joined(blocks, self.block)[:, top:bottom, left:right]

    def blocks_of_windows(self, values: tf.Tensor) -> tf.Tensor:
        """`(N, windows down, windows right, filters)` as `(N, blocks down, blocks right, windows * filters)`."""
        down, right = self.with_results * self.windows_in_block - self.windows
        return _split(tf.pad(values, [(0, 0), (0, down), (0, right), (0, 0)]), self.windows_in_block)

    def images_of_windows(self, blocks: tf.Tensor) -> tf.Tensor:
        """The inverse of `blocks_of_windows`."""
        return _joined(blocks, self.windows_in_block)[:, : self.windows[0], : self.windows[1]]

    def kernel_of_blocks(self, kernel: tf.Tensor) -> tf.Tensor:
        """The kernel of blocks, `(*reach, positions * channels, windows * filters * window's positions)`.

        It is a 0-1 matrix times the kernel. So it has a gradient, and TensorFlow folds it if the kernel is constant.
        """
        taps = tf.reshape(kernel, (-1, *kernel.shape[2:]))
        kernel_of_blocks = tf.einsum("bxwpt,tcf->bxcwfp", self._places.astype(kernel.dtype.as_numpy_dtype), taps)
        return tf.reshape(kernel_of_blocks, (*self.reach, -1, self.block.prod() * kernel.shape[3]))

    @functools.cached_property
    def _places(self) -> np.ndarray:
        """The tap from each pixel to each result, one-hot: (block, pixel in block, window, position in window, tap)."""
        lengths = zip(self.taps, self.pool, self.block, self.reach)
        by_axis = [taps_between(n * block, block, t).reshape(n, block, -1, pool, t) for t, pool, block, n in lengths]
        shape = (self.reach.prod(), self.block.prod(), -1, self.pool.prod(), self.taps.prod())
        return np.einsum("abcde,ijklm->aibjckdlem", *by_axis).reshape(shape)


def _split(images: tf.Tensor, block: np.ndarray) -> tf.Tensor:
    """`(N, rows, columns, channels)` as blocks, whose size divides rows and columns."""
    (height, width), (_, rows, columns, channels) = block, images.shape
    down, right = rows // height, columns // width
    by_row = tf.reshape(images, (-1, down, height, right, width * channels))
    return tf.reshape(tf.transpose(by_row, (0, 1, 3, 2, 4)), (-1, down, right, height * width * channels))


def _joined(blocks: tf.Tensor, block: np.ndarray) -> tf.Tensor:
    """The inverse of `_split`."""
    (height, width), (_, down, right, length) = block, blocks.shape
    by_row = tf.transpose(tf.reshape(blocks, (-1, down, right, height, length // height)), (0, 1, 3, 2, 4))
    return tf.reshape(by_row, (-1, down * height, right * width, length // block.prod()))
