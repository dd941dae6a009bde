"""Convolutions of few channels on a CPU, as one convolution of whole rows.

A convolution of one channel leaves most of a processor's vector unit idle: of 5x5 pixels on 28x28 images,
TensorFlow's kernels get through a twentieth of the multiplications a second that they reach with 28 channels. The
memory of a `(N, height, width, channels)` image is also that of a `(N, height, 1, width * channels)` one, whose
channels are a row's pixels, and there the same convolution has a kernel of `(kernel height, 1)` that is a banded
(Toeplitz) matrix: it multiplies by many zeros, and takes a quarter of the time.

The gradient of the kernel would have to fill the band's zeros too. It is taken of a strided convolution instead, one
whose channels are four neighbouring pixels of a row.
"""

import functools
import math
from typing import Any

import numpy as np
import tensorflow as tf

from deconv_ae.ops import every_backend, tensorflow_kernels
from deconv_ae.ops.tensorflow_kernels import in_this_graph, with_gradient

# Measured with scripts/benchmark.py: beyond these, multiplying by the band's zeros takes longer than it saves.
LARGEST_WIDTH = 32
MOST_CHANNELS = 8

# Neighbouring pixels that are channels of their own in the kernel's gradient and in a transposed convolution to few
# channels: the first that divides the width, unless that makes more channels than a vector register has room for.
_PHASES = (4, 2, 1)
_MOST_PHASED_CHANNELS = 16


def is_banded(width: int | None, channels: int, filters: int, dtype: Any) -> bool:
    """Whether a convolution is computed by rows: narrow images, one channel on one side and few on the other, float32,
    on a CPU, outside of XLA."""
    return (
        width is not None
        and width <= LARGEST_WIDTH
        and min(channels, filters) == 1
        and max(channels, filters) <= MOST_CHANNELS
        and _is_ours(dtype)
    )


def _is_ours(dtype: Any) -> bool:
    """Whether convolutions are rearranged at all: float32, on a CPU, outside of XLA, and not to be converted."""
    return (
        tf.as_dtype(dtype) == tf.float32
        and not tensorflow_kernels.has_gpu()
        and not tensorflow_kernels.must_compose()
        and not every_backend.is_portable()
    )


def band(kernel: tf.Tensor, width: int, apart: int = 1) -> tf.Tensor:
    """The kernel of a "same" convolution of rows.

    Args:
        kernel: `(kernel height, kernel width, channels, filters)`.
        width: pixels in a row.
        apart: of the row that is computed, which pixels follow one another: 2 has the first, third, fifth and so on
            before the second, fourth, sixth.

    Returns:
        `(kernel height, 1, width * channels, width * filters)`.

    >>> band(tf.reshape([1.0, 2.0, 3.0], (1, 3, 1, 1)), width=4).numpy().squeeze()
    array([[2., 1., 0., 0.],
           [3., 2., 1., 0.],
           [0., 3., 2., 1.],
           [0., 0., 3., 2.]], dtype=float32)
    """
    return spread(kernel, _band_numbers(tuple(kernel.shape), width, apart))


def spread(kernel: tf.Tensor, numbers: np.ndarray) -> tf.Tensor:
    """A kernel's values, each by its number in memory, in another arrangement; 0 for the number behind the last.

    One look-up, where reshaping and transposing into place took as long as a convolution of 64 digits. What becomes of
    a constant, TensorFlow computes once when it loads a SavedModel, in which numbers of one byte take little room.
    """
    few = numbers.astype(np.min_scalar_type(int(numbers.max())))
    values = tf.concat([tf.reshape(kernel, (-1,)), tf.zeros((1,), kernel.dtype)], axis=0)
    return tf.gather(values, tf.cast(few, tf.int32))


@functools.cache
def _band_numbers(kernel_shape: tuple[int, int, int, int], width: int, apart: int) -> np.ndarray:
    height, kernel_width, channels, filters = kernel_shape
    columns = np.arange(width)
    computed = columns.reshape(-1, apart).T.ravel()
    # What a kernel has to the left of its middle lies to the left of the pixel that is computed.
    place = columns[:, None] - computed + (kernel_width - 1) // 2
    numbers = np.arange(math.prod(kernel_shape), dtype=np.int32).reshape(kernel_shape)
    band = numbers[:, np.clip(place, 0, kernel_width - 1)]
    inside = (place >= 0) & (place < kernel_width)
    band = np.where(inside[:, :, None, None], band, numbers.size).transpose(0, 1, 3, 2, 4)
    return band.reshape(height, 1, width * channels, width * filters)


def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The "same" convolution with stride 1, by rows.

    A value that is not finite spreads over the rows that it reaches: the band's zeros times it are NaN.

    Args:
        images: `(N, height, width, channels)` float32; width and channels static.
        kernel: `(kernel height, kernel width, channels, filters)`.

    Returns:
        `(N, height, width, filters)`.
    """

    @with_gradient
    def convolve_images(images, kernel):
        images, kernel = in_this_graph(images), in_this_graph(kernel)
        rows = tf.nn.conv2d(rows_of(images), band(kernel, images.shape[2]), 1, "SAME")

        def gradient(upstream):
            return convolve_transposed(upstream, kernel), kernel_gradient(images, upstream, kernel.shape)

        return images_of(rows, images.shape[2]), gradient

    return convolve_images(images, tf.convert_to_tensor(kernel))


def convolve_transposed(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The transposed convolution, "same" with stride 1, by rows.

    Args:
        images: `(N, height, width, filters)` float32; width and filters static.
        kernel: `(kernel height, kernel width, channels, filters)`: of the convolution that is transposed.

    Returns:
        `(N, height, width, channels)`.
    """

    @with_gradient
    def transposed(images, kernel):
        images, kernel = in_this_graph(images), in_this_graph(kernel)
        batch, height, width, _ = images.shape
        rows, shape = rows_of(images), tf.shape(images)
        restored = tf.nn.conv2d_transpose(
            rows, band(kernel, width), tf.stack([shape[0], shape[1], 1, width * kernel.shape[2]]), 1, "SAME"
        )

        def gradient(upstream):
            return convolve(upstream, kernel), kernel_gradient(upstream, images, kernel.shape)

        restored.set_shape((batch, height, 1, width * kernel.shape[2]))
        return images_of(restored, width), gradient

    return transposed(images, tf.convert_to_tensor(kernel))


def is_phased(width: int | None, filters: int, kernel_size: tuple[int, int], dtype: Any) -> bool:
    """Whether a transposed convolution to few channels computes several neighbouring pixels at once, as channels: on a
    CPU, outside of XLA, in float32."""
    return width is not None and _phases(width, filters) > 1 and all(n % 2 for n in kernel_size) and _is_ours(dtype)


def convolve_transposed_by_phases(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """As `convolve_transposed`, of images of any width and number of filters, to few channels.

    TensorFlow's own operation fills a vector register with the channels of one pixel: 64 images of 64x64x16 to three
    channels take it 31 ms, and 15 with those of four pixels.
    """

    @with_gradient
    def transposed(images, kernel):
        images, kernel = in_this_graph(images), in_this_graph(kernel)
        width, phases = images.shape[2], _phases(images.shape[2], kernel.shape[2])
        numbers = _numbers_by_phases(tuple(kernel.shape), phases)
        pixels = tf.nn.conv2d(images, spread(kernel, numbers), (1, phases), "SAME")

        def gradient(upstream):
            of_images = tf.nn.conv2d(upstream, kernel, 1, "SAME")
            return of_images, kernel_gradient(upstream, images, kernel.shape)

        return images_of(rows_of(pixels), width), gradient

    return transposed(images, tf.convert_to_tensor(kernel))


def _phases(width: int, filters: int) -> int:
    return next(n for n in _PHASES if (width % n == 0 and n * filters <= _MOST_PHASED_CHANNELS) or n == 1)


@functools.cache
def _numbers_by_phases(kernel_shape: tuple[int, int, int, int], phases: int) -> np.ndarray:
    """For `spread`: the kernel, mirrored, of a convolution that computes so many pixels in a row."""
    height, width, channels, filters = kernel_shape
    mirrored = np.arange(math.prod(kernel_shape), dtype=np.int32).reshape(kernel_shape)[::-1, ::-1]
    numbers = np.full((height, width + phases - 1, filters, phases, channels), mirrored.size, np.int32)
    for phase in range(phases):
        numbers[:, phase : phase + width, :, phase] = mirrored.transpose(0, 1, 3, 2)
    return numbers.reshape(height, width + phases - 1, filters, phases * channels)


def rows_of(images: tf.Tensor) -> tf.Tensor:
    """`(N, height, width, channels)` as `(N, height, 1, width * channels)`: the same memory."""
    shape = tf.shape(images)
    _, height, width, channels = images.shape
    return tf.reshape(images, (shape[0], height or shape[1], 1, width * channels))


def images_of(rows: tf.Tensor, width: int) -> tf.Tensor:
    """The inverse of `rows_of`."""
    shape = tf.shape(rows)
    _, height, _, length = rows.shape
    return tf.reshape(rows, (shape[0], height or shape[1], width, length // width))


def kernel_gradient(images: tf.Tensor, upstream: tf.Tensor, kernel_shape: tf.TensorShape) -> tf.Tensor:
    """The gradient of the kernel of `convolve(images, kernel)`, `(kernel height, kernel width, channels, filters)`."""
    height, kernel_width, channels, filters = kernel_shape
    if filters < channels and height % 2 and kernel_width % 2:
        # The sum over all pairs of pixels is the same from either side, mirrored; TensorFlow's operation takes half
        # the time with the fewer channels as its input. An even kernel has another padding from the other side.
        mirrored = kernel_gradient(upstream, images, (height, kernel_width, filters, channels))
        return tf.transpose(mirrored[::-1, ::-1], (0, 1, 3, 2))
    width = images.shape[2]
    phases = _phases(width, filters)
    shape = tf.shape(upstream)
    strided = tf.raw_ops.Conv2DBackpropFilter(
        input=images,
        filter_sizes=(height, kernel_width + phases - 1, channels, phases * filters),
        out_backprop=tf.reshape(upstream, (shape[0], shape[1], width // phases, phases * filters)),
        strides=(1, 1, phases, 1),
        padding="SAME",
    )
    # Phase n's kernel is the kernel, n pixels further right.
    return tf.add_n(
        [
            strided[:, phase : phase + kernel_width, :, phase * filters : (phase + 1) * filters]
            for phase in range(phases)
        ]
    )
