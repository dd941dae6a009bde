"""A stage on blocks of pixels, in TensorFlow.

A convolution of few channels leaves most of a vector register idle; here a register holds one window or several. Each
block becomes one pixel, whose channels have the order of space_to_depth: `pixel in block * channels + channel`. The
kernel of blocks covers all blocks that a block of results depends on: 2x2 blocks for a kernel of 5x5 and blocks of 4x4.
It has many zeros, but its results have the positions of a window side by side.
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

SMALLEST_BLOCK = 4
"""The least height and width of a block. With 1 filter and 2x2 windows, 4x4 blocks take half the time of 2x2 blocks."""
FEWEST_DECODED_BY_BLOCKS = 32
"""Layers are faster than blocks for fewer images: they take 0.7 times as long for 1 digit, 1.5 times for 64."""


def encode(images: tf.Tensor, pool_size: Pair, kernel: Any, bias: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes a "same" convolution with bias and ReLU, then max pooling.

    Args:
        images: `(N, height, width, channels)` float32; only N may be unknown.
        pool_size: (height, width) of the windows, which lie side by side. Pooling ignores values outside of them.
        kernel: `(kernel height, kernel width, channels, filters)`, a tensor or a variable.
        bias: `(filters,)`, a tensor or a variable.

    Returns:
        The maxima, `(N, rows of windows, columns of windows, filters)`, and uint8 switches: the first position of
        each window's maximum after the ReLU, 0 if all are zeros. NaN exceeds infinity, but equals it under XLA.
    """
    images, kernel, bias = (tf.convert_to_tensor(tensor) for tensor in (images, kernel, bias))
    size, window_area = tuple(images.shape[1:3]), math.prod(pool_size)
    grid = _Grid(size, tuple(kernel.shape[:2]), pool_size)
    kernel_of_blocks = grid.kernel_of_blocks(kernel)

    def encode_by_blocks() -> list[tf.Tensor]:
        results = _convolved(grid.blocks_of(images), kernel_of_blocks)
        windows = tf.reshape(results, (-1, *grid.result_blocks, results.shape[3] // window_area, window_area))
        # The bias does not change which value is the largest. Adding it after the pooling takes fewer additions.
        pooled, positions = map(grid.images_of_windows, _first_maxima(windows))
        pooled = tf.nn.relu(tf.nn.bias_add(pooled, bias))
        return [pooled, tf.cast(tf.where(pooled <= 0, 0, positions), tf.uint8)]

    def encode_by_pixels() -> list[tf.Tensor]:
        # tf.maximum keeps NaNs. In graphs, oneDNN fuses tf.nn.relu with conv2d, and NaNs become 0 (TensorFlow 2.21).
        convolved = tf.maximum(tf.nn.bias_add(tf.nn.conv2d(images, kernel, 1, "SAME"), bias), 0.0)
        pooled, argmax = pool(convolved, grid.pooling)
        return [pooled, switches_of(argmax, size, grid.pooling)[0]]

    pooled, switches = _run_by_blocks_or_pixels((images, kernel, bias), encode_by_blocks, encode_by_pixels)
    return pooled, switches


def decode(
    values: tf.Tensor, switches: tf.Tensor, pool_size: Pair, size: Pair, kernel: Any, bias: Any = None
) -> tf.Tensor:
    """Computes max unpooling, then a "same" transposed convolution to images `(N, height, width, channels)`.

    Args:
        values: `(N, rows of windows, columns of windows, filters)`.
        switches: in the shape of `values`.
        pool_size: (height, width) of the windows.
        size: (height, width) of the images. The windows need not cover the last rows and columns.
        kernel: `(kernel height, kernel width, channels, filters)`, as Keras stores it; a tensor or a variable.
        bias: `(channels,)`, a tensor or a variable; or None.
    """
    kernel = tf.convert_to_tensor(kernel)
    grid = _Grid(size, tuple(kernel.shape[:2]), pool_size)
    kernel_of_blocks = grid.kernel_of_blocks(kernel)

    def decode_by_blocks() -> list[tf.Tensor]:
        # Multiplying by a mask of floats takes a third of the time of tf.where with a boolean mask.
        mask = tf.one_hot(tf.cast(grid.blocks_of_windows(switches), tf.int32), math.prod(pool_size))
        unpooled = mask * grid.blocks_of_windows(values)[..., None]
        unpooled = tf.reshape(unpooled, (-1, *grid.result_blocks, math.prod(unpooled.shape[3:])))
        return [grid.images_of(_deconvolved(unpooled, kernel_of_blocks))]

    def decode_by_pixels() -> list[tf.Tensor]:
        unpooled = unpool_switches(values, switches, size, grid.pooling)
        return [tf.nn.conv2d_transpose(unpooled, kernel, [tf.shape(values)[0], *size, kernel.shape[2]], 1, "SAME")]

    (images,) = _run_by_blocks_or_pixels((values, kernel), decode_by_blocks, decode_by_pixels, FEWEST_DECODED_BY_BLOCKS)
    return images if bias is None else tf.nn.bias_add(images, bias)


@environment.custom_gradient
def _first_maxima(windows: tf.Tensor) -> tuple[Any, Callable]:
    """Reduces `(N, rows, columns, windows in block * filters, positions)` to maxima and the first position of each."""
    # XLA's argmax may choose the last NaN of a window, but chooses the first infinity. So infinity replaces NaN.
    comparable = tf.where(tf.math.is_nan(windows), np.inf, windows) if environment.compiled_by_xla() else windows
    positions = tf.argmax(comparable, -1, tf.int32)
    maxima = tf.gather(windows, positions, batch_dims=4)
    return (maxima, positions), lambda upstream, _: tf.one_hot(positions, windows.shape[-1]) * upstream[..., None]


@environment.custom_gradient
def _convolved(blocks: tf.Tensor, kernel: tf.Tensor) -> tuple[Any, Callable]:
    """Computes a "valid" convolution. XLA's own gradient of the kernel would transpose large tensors; ours does not."""
    results = tf.nn.conv2d(blocks, kernel, 1, "VALID")
    return results, lambda upstream: (_deconvolved(upstream, kernel), _kernel_gradient(blocks, upstream, kernel))


@environment.custom_gradient
def _deconvolved(results: tf.Tensor, kernel: tf.Tensor) -> tuple[Any, Callable]:
    """Computes the transpose of `_convolved`: under XLA, with few channels, by summing matrix products over taps."""
    (_, rows, columns, filters), (height, width, channels, _) = results.shape, kernel.shape
    if environment.compiled_by_xla() and channels <= filters:
        products = tf.tensordot(results, kernel, (3, 3))  # (N, rows, columns, height, width, channels)
        pads = {(y, x): [(0, 0), (y, height - 1 - y), (x, width - 1 - x), (0, 0)] for y, x in np.ndindex(height, width)}
        blocks = tf.add_n([tf.pad(products[:, :, :, y, x], pads[y, x]) for y, x in pads])
    else:
        shape = [tf.shape(results)[0], rows + height - 1, columns + width - 1, channels]
        blocks = tf.nn.conv2d_transpose(results, kernel, shape, 1, "VALID")
    return blocks, lambda upstream: (_convolved(upstream, kernel), _kernel_gradient(upstream, results, kernel))


def _kernel_gradient(blocks: tf.Tensor, upstream: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    if not environment.compiled_by_xla():
        return tf.compat.v1.nn.conv2d_backprop_filter(blocks, kernel.shape, upstream, [1] * 4, "VALID")
    rows, columns = upstream.shape[1:3]
    inputs_by_tap = [blocks[:, y : y + rows, x : x + columns] for y, x in np.ndindex(*kernel.shape[:2])]
    upstream, *inputs_by_tap = (tf.reshape(tensor, (-1, tensor.shape[3])) for tensor in (upstream, *inputs_by_tap))
    return tf.reshape([tf.matmul(inputs, upstream, transpose_a=True) for inputs in inputs_by_tap], kernel.shape)


def _run_by_blocks_or_pixels(
    tensors: Sequence, by_blocks: Callable, by_pixels: Callable, fewest_by_blocks: int = 0
) -> list[tf.Tensor]:
    """Calls `by_pixels` if a tensor is not finite, else `by_blocks`. All gradients are those of `by_blocks`.

    In `by_blocks`, weights of 0 multiply the pixels that a result does not depend on, and infinity times 0 is NaN.
    Graphs without gradients also call `by_pixels` for fewer images than `fewest_by_blocks`. Portable code and code that
    XLA compiles always call `by_blocks`: under XLA, choosing would triple a step's time.
    """
    if environment.compiled_by_xla() or environment.is_portable():
        return by_blocks()
    finite = tf.math.is_finite(tf.add_n([tf.reduce_sum(x) for x in tensors]))  # False if any number is not finite.
    if not environment.records_gradients():
        return environment.cond(finite & (tf.shape(tensors[0])[0] >= fewest_by_blocks), by_blocks, by_pixels)

    @tf.custom_gradient
    def replace_unless_finite(*results: tf.Tensor) -> tuple[Any, Callable]:
        return environment.cond(finite, lambda: list(map(tf.identity, results)), by_pixels), lambda *upstream: upstream

    return replace_unless_finite(*by_blocks())


@functools.lru_cache(maxsize=16)
class _Grid:
    """Divides images into blocks, from the first pixel that window 0 depends on. Arrays are pairs (height, width)."""

    def __init__(self, size: Pair, kernel_size: Pair, pool_size: Pair) -> None:
        self.pooling = Windows(pool_size, pool_size, "valid", "channels_last")
        self.size, self.kernel_size, self.pool_size = (np.array(pair) for pair in (size, kernel_size, pool_size))
        self.windows, self.windows_in_block = self.size // self.pool_size, -(-SMALLEST_BLOCK // self.pool_size)
        self.block_size, self.padding_before = self.windows_in_block * self.pool_size, (self.kernel_size - 1) // 2
        # To compute one block of results, the kernel reads this many rows and columns of blocks of pixels.
        self.kernel_size_in_blocks = -(-(self.kernel_size + self.block_size - 1) // self.block_size)
        blocks_with_windows = -(-self.windows // self.windows_in_block)
        blocks_with_pixels = -(-(self.padding_before + self.size) // self.block_size)
        self.result_blocks = np.maximum(blocks_with_windows, blocks_with_pixels - self.kernel_size_in_blocks + 1)
        padded_size = (self.result_blocks + self.kernel_size_in_blocks - 1) * self.block_size
        self.padding_after = padded_size - self.padding_before - self.size

    def blocks_of(self, images: tf.Tensor) -> tf.Tensor:
        """Pads images and cuts them into `(N, rows of blocks, columns of blocks, pixels in block * channels)`."""
        return _split(tf.pad(images, [(0, 0), *zip(self.padding_before, self.padding_after), (0, 0)]), self.block_size)

    def images_of(self, blocks: tf.Tensor) -> tf.Tensor:
        """Inverts `blocks_of`."""
        (top, left), (bottom, right) = self.padding_before, self.padding_before + self.size
        return _joined(blocks, self.block_size)[:, top:bottom, left:right]

    def blocks_of_windows(self, values: tf.Tensor) -> tf.Tensor:
        """Turns `(N, *windows, filters)` into `(N, *result_blocks, windows in block * filters)`, padded with zeros."""
        bottom, right = self.result_blocks * self.windows_in_block - self.windows
        return _split(tf.pad(values, [(0, 0), (0, bottom), (0, right), (0, 0)]), self.windows_in_block)

    def images_of_windows(self, blocks: tf.Tensor) -> tf.Tensor:
        """Inverts `blocks_of_windows`."""
        return _joined(blocks, self.windows_in_block)[:, : self.windows[0], : self.windows[1]]

    def kernel_of_blocks(self, kernel: tf.Tensor) -> tf.Tensor:
        """Rearranges a kernel of pixels into the kernel that computes a block of results from blocks of pixels."""
        taps = tf.reshape(kernel, (-1, *kernel.shape[2:]))
        # TensorFlow differentiates this product in training. For a constant kernel, it computes the product only once.
        kernel_of_blocks = tf.einsum("bxwpt,tcf->bxcwfp", self._tap_selection.astype(kernel.dtype.as_numpy_dtype), taps)
        # (rows of blocks, columns of blocks, pixels in block * channels, windows in block * filters * positions).
        return tf.reshape(kernel_of_blocks, (*self.kernel_size_in_blocks, -1, self.block_size.prod() * kernel.shape[3]))

    @functools.cached_property
    def _tap_selection(self) -> np.ndarray:
        """Whether a tap leads from pixel to position, by (block, pixel in block, window, position in window, tap)."""
        axes = zip(self.kernel_size_in_blocks, self.block_size, self.pool_size, self.kernel_size)
        by_axis = [taps_between(n * block, block, t).reshape(n, block, -1, pool, t) for n, block, pool, t in axes]
        pairs = (self.kernel_size_in_blocks, self.block_size, self.windows_in_block, self.pool_size, self.kernel_size)
        return np.einsum("abcde,ijklm->aibjckdlem", *by_axis).reshape([pair.prod() for pair in pairs])


def _split(images: tf.Tensor, block_size: np.ndarray) -> tf.Tensor:
    """Cuts `(N, rows, columns, channels)` into blocks. `block_size` must divide (rows, columns)."""
    (height, width), (_, rows, columns, channels) = block_size, images.shape
    block_rows, block_columns = rows // height, columns // width
    by_row = tf.reshape(images, (-1, block_rows, height, block_columns, width * channels))
    return tf.reshape(tf.transpose(by_row, (0, 1, 3, 2, 4)), (-1, block_rows, block_columns, height * width * channels))


def _joined(blocks: tf.Tensor, block_size: np.ndarray) -> tf.Tensor:
    """Inverts `_split`."""
    (height, width), (_, rows, columns, length) = block_size, blocks.shape
    by_row = tf.transpose(tf.reshape(blocks, (-1, rows, columns, height, length // height)), (0, 1, 3, 2, 4))
    return tf.reshape(by_row, (-1, rows * height, columns * width, length // block_size.prod()))
