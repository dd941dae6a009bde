"""A convolution and the max pooling of what it gives as one, where TensorFlow convolves few channels on a CPU.

The convolution is arranged so that a window's positions lie side by side, one tensor for each, with all windows and
channels behind one another: their maximum, and which of them has it, are then a few operations over long vectors,
where pooling an image walks through it pixel by pixel. Bias and ReLU follow for the maxima alone: neither changes
which of a window's values is the largest.

On the way out, the gradient of what is unpooled before a transposed convolution is such a convolution, too, of which
one value a window is read.
"""

import dataclasses
import functools
import math

import numpy as np
import tensorflow as tf

from deconv_ae.numbers import LARGEST_WINDOW
from deconv_ae.ops import banded_convolution, tensorflow_kernels
from deconv_ae.ops.banded_convolution import band, kernel_gradient, rows_of, spread
from deconv_ae.ops.provenance import SWITCHES, attach, attached, origin_of
from deconv_ae.ops.switches import argmax_of
from deconv_ae.ops.tensorflow_kernels import in_this_graph, tf_lengths, with_gradient
from deconv_ae.ops.windows import Windows

_CONVOLUTION, _UNPOOLED = "_deconv_ae_convolution", "_deconv_ae_unpooled"

# A convolution of one channel with so many results for each window is faster by windows than by rows: 1,024 digits with
# 5 filters and windows of 2x2 take 8 ms instead of 14, with 3 filters and 4x4 7 instead of 10, with 1 and 2x2 6 instead
# of 4.
_FEWEST_RESULTS_A_WINDOW, _MOST_RESULTS_A_WINDOW = 16, 64
# Up to here, comparing every position's values with the maxima beats looking them up one by one: 7 instead of 16 ms.
_MOST_COMPARED = 4


@dataclasses.dataclass(frozen=True)
class Convolution:
    """What a tensor is the "same" convolution of, with bias, by rows: its images, kernel, bias, and whether a ReLU
    followed."""

    images: tf.Tensor
    kernel: tf.Tensor
    bias: tf.Tensor | None
    relu: bool


def with_convolution(convolved: tf.Tensor, convolution: Convolution) -> tf.Tensor:
    """The tensor, which now knows what it was computed from: who pools it computes it anew, as it pools best.

    In a graph only, where what nobody reads is not computed.
    """
    if not tf.executing_eagerly() and not tensorflow_kernels.in_forward_mode(convolved):
        attach(convolved, _CONVOLUTION, convolution)
    return convolved


def pools(images: tf.Tensor, windows: Windows) -> bool:
    """Whether the images are a convolution that can be computed as one with its pooling by these windows."""
    if attached(images, _CONVOLUTION) is None or not windows.channels_last:
        return False
    size = windows.size_of(images.shape)
    return (
        windows.strides == windows.pool_size
        and math.prod(windows.pool_size) <= LARGEST_WINDOW
        and all(isinstance(n, int) and n % pool == 0 for n, pool in zip(size, windows.pool_size))
    )


def max_pool(images: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """The maximum of every window and its position, which knows its switch; of images that it `pools`."""
    convolution = attached(images, _CONVOLUTION)
    batch, *size, _ = tf_lengths(convolution.images)
    pooled_shape = windows.shape_of(batch, windows.pooled_size(size), convolution.kernel.shape[-1])
    bias = [] if convolution.bias is None else [convolution.bias]

    @with_gradient
    def convolve(images, kernel, *bias):
        images, kernel = in_this_graph(images), in_this_graph(kernel)
        values = _by_windows(images, kernel, windows.pool_size)
        parts = tf.unstack(values, axis=1) if values.shape[1] <= _MOST_COMPARED else None
        # Of both, a NaN that is anywhere comes through.
        maxima = functools.reduce(tf.maximum, parts) if parts else tf.reduce_max(values, axis=1)
        pooled = tf.reshape(maxima, pooled_shape)
        for vector in bias:
            pooled = tf.nn.bias_add(pooled, vector)
        positive = None
        if convolution.relu:
            positive = tf.reshape(pooled > 0, tf.shape(maxima))
            pooled = tf.nn.relu(pooled)
        switches = tf.cond(
            tf.math.is_nan(tf.reduce_min(maxima)),
            lambda: _with_nans(values, maxima, positive),
            lambda: _compared(parts, maxima, positive) if parts else _looked_up(values, maxima, positive),
        )
        switches = tf.reshape(switches, pooled_shape)
        argmax, _ = argmax_of(switches, tuple(size), windows)

        def gradient(upstream, *_):
            if convolution.relu:
                upstream = tf.where(pooled > 0, upstream, tf.zeros((), upstream.dtype))
            scattered = tensorflow_kernels.scatter_add(upstream, argmax, tuple(size), windows)
            return (
                banded_convolution.convolve_transposed(scattered, kernel),
                kernel_gradient(images, scattered, kernel.shape),
                *(tf.reduce_sum(upstream, (0, 1, 2)) for _ in bias),
            )

        return (pooled, argmax, switches), gradient

    pooled, argmax, switches = convolve(convolution.images, convolution.kernel, *bias)
    attach(argmax, SWITCHES, switches)
    return pooled, argmax


@dataclasses.dataclass(frozen=True)
class Unpooled:
    """What a tensor was unpooled from."""

    values: tf.Tensor
    switches: tf.Tensor
    windows: Windows


def with_unpooled(images: tf.Tensor, values: tf.Tensor, argmax: tf.Tensor, windows: Windows) -> tf.Tensor:
    """The images, which now know what they were unpooled from, where `max_pool` of the same windows made argmax."""
    switches, origin = attached(argmax, SWITCHES), origin_of(argmax)
    if (
        switches is not None
        and origin is not None
        and (origin.windows, origin.size) == (windows, windows.size_of(images.shape))
    ):
        attach(images, _UNPOOLED, Unpooled(values, switches, windows))
    return images


def convolve_transposed(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """`banded_convolution.convolve_transposed`; the gradient of images that were unpooled is computed by windows."""
    unpooled = attached(images, _UNPOOLED)
    channels, filters = kernel.shape[2:]
    if unpooled is None or channels > 1 or not _is_faster_by_windows(math.prod(unpooled.windows.pool_size) * filters):
        return banded_convolution.convolve_transposed(images, kernel)
    switches = unpooled.switches

    @with_gradient
    def transposed(values, kernel):
        kernel, here = in_this_graph(kernel), in_this_graph(tf.stop_gradient(images))

        def gradient(upstream):
            convolved = _by_windows(upstream, kernel, unpooled.windows.pool_size)
            of_values = tf.reshape(_values_at_switches(convolved, switches), tf.shape(values))
            return of_values, kernel_gradient(upstream, here, kernel.shape)

        return banded_convolution.convolve_transposed(here, kernel), gradient

    return transposed(unpooled.values, kernel)


def _values_at_switches(values: tf.Tensor, switches: tf.Tensor) -> tf.Tensor:
    """Of `(windows, positions, values)` those at every image's switches, `(images, values)`."""
    _, positions, length = values.shape
    windows = math.prod(switches.shape[1:]) // length
    first = np.arange(windows, dtype=np.int32)[:, None] * (positions * length) + np.arange(length, dtype=np.int32)
    numbers = first.ravel() + tf.reshape(tf.cast(switches, tf.int32), (-1, first.size)) * length
    return tf.gather(tf.reshape(values, (-1, windows * positions * length)), numbers, batch_dims=1)


def _by_windows(images: tf.Tensor, kernel: tf.Tensor, pool_size: tuple[int, int]) -> tf.Tensor:
    """The convolution, `(windows, positions of a window, values)`; values and windows in the pooled images' order."""
    _, _, width, channels = images.shape
    filters, positions = kernel.shape[-1], math.prod(pool_size)
    if channels == 1 and _is_faster_by_windows(positions * filters):
        numbers = _numbers_by_windows(tuple(kernel.shape), pool_size)
        windows = tf.nn.conv2d(images, spread(kernel, numbers), pool_size, "SAME")
        return tf.reshape(windows, (-1, positions, filters if positions <= _MOST_COMPARED else 1))
    # A row's pixels that are first in their window, then those that are second.
    lines = band(kernel, width, pool_size[1])
    rows = tf.nn.conv2d(rows_of(images), lines, 1, "SAME")
    return tf.reshape(rows, (-1, positions, width // pool_size[1] * filters))


def _is_faster_by_windows(results: int) -> bool:
    return _FEWEST_RESULTS_A_WINDOW <= results <= _MOST_RESULTS_A_WINDOW


@functools.cache
def _numbers_by_windows(kernel_shape: tuple[int, int, int, int], pool_size: tuple[int, int]) -> np.ndarray:
    """For `spread`: the kernel of a convolution with the pooling's strides that computes whole windows."""
    height, width, channels, filters = kernel_shape
    numbers = np.arange(math.prod(kernel_shape), dtype=np.int32).reshape(kernel_shape)
    spread_height, spread_width = height + pool_size[0] - 1, width + pool_size[1] - 1
    kernels = np.full((*pool_size, spread_height, spread_width, channels, filters), numbers.size, np.int32)
    for row, column in np.ndindex(*pool_size):
        kernels[row, column, row : row + height, column : column + width] = numbers
    # Positions that are compared lie apart, with all filters of each; those that are looked up, beside one another.
    last = (0, 1, 5) if math.prod(pool_size) <= _MOST_COMPARED else (5, 0, 1)
    return kernels.transpose(2, 3, 4, *last).reshape(spread_height, spread_width, channels, -1)


def _compared(parts: list[tf.Tensor], maxima: tf.Tensor, positive: tf.Tensor | None) -> tf.Tensor:
    """How many positions come before the first that has the maximum; of a maximum that a ReLU makes 0, as it makes
    all of its window's values, none."""
    before = [parts[0] < maxima if positive is None else positive & (parts[0] < maxima)]
    for part in parts[1:-1]:
        before.append(before[-1] & (part < maxima))
    return functools.reduce(tf.add, [tf.cast(one, tf.uint8) for one in before])


def _looked_up(values: tf.Tensor, maxima: tf.Tensor, positive: tf.Tensor | None) -> tf.Tensor:
    positions = values.shape[1]
    numbers = np.arange(positions, dtype="float32").reshape(positions, 1, 1)
    windows = Windows((positions, 1), (positions, 1), "valid", "channels_last")
    switches = tensorflow_kernels.look_up(numbers, values[:, :, None], maxima[:, None, None], windows)[:, 0, 0]
    return tf.cast(switches if positive is None else switches * tf.cast(positive, switches.dtype), tf.uint8)


def _with_nans(values: tf.Tensor, maxima: tf.Tensor, positive: tf.Tensor | None) -> tf.Tensor:
    """The same where a NaN, which equals nothing, is among the values."""
    is_nan = tf.math.is_nan(values)
    first_nan, first_maximum = tf.argmax(tf.cast(is_nan, tf.float32), 1), tf.argmax(values, 1)
    switches = tf.cast(tf.where(tf.reduce_any(is_nan, 1), first_nan, first_maximum), tf.uint8)
    if positive is None:
        return switches
    return tf.where(positive | tf.math.is_nan(maxima), switches, tf.zeros((), switches.dtype))
