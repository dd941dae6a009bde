"""Computes an autoencoder's results with operations that every runtime has.

The windows of an autoencoder lie side by side. Here each window is one pixel, and the window's positions are its
channels. Then pooling is a maximum over channels, and unpooling keeps one channel and sets the others to zero.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from deconv_ae.conversion.window_kernels import (
    pooling_kernel,
    pools_by_windows,
    unpooling_kernel,
    unpools_by_windows,
)
from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.model.smooth_path import AVERAGES, ENLARGE, RepeatEdges
from deconv_ae.numbers import Pair
from deconv_ae.saved_model.signatures import SIGNATURES, Signature

Tensors = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Part:
    """One function of an autoencoder, to be converted.

    Attributes:
        name: the name of its files.
        signature: the name of the SavedModel's signature that computes the same.
        function: takes the tensors of `inputs` as keyword arguments, and returns tensors by name.
        inputs: the specification of each input, with an unknown batch size.
        outputs: the specification of each output.
    """

    name: str
    signature: str
    function: Callable[..., Tensors]
    inputs: dict[str, tf.TensorSpec]
    outputs: dict[str, tf.TensorSpec]

    @functools.cached_property
    def graph_function(self) -> Any:
        """The function as a tf.function with positional inputs. All formats that share the part use one trace."""

        def function(*tensors: tf.Tensor) -> Tensors:
            return self.function(**dict(zip(self.inputs, tensors)))

        # No control flow depends on a tensor, and autograph would triple the time to trace.
        return tf.function(function, input_signature=list(self.inputs.values()), autograph=False)


def parts(model: Autoencoder, channels_first: bool) -> list[Part]:
    """The functions of the SavedModel's signatures that are converted, with their inputs and outputs.

    Args:
        model: the autoencoder, whose weights become constants.
        channels_first: whether the format's runtime is faster with channels first, see `formats.py`. Images have
            channels last in any case.

    Returns:
        A part for each of `SIGNATURES` that names its converted files, in the order of `SIGNATURES`.
    """
    portable = PortableAutoencoder(model, channels_first)

    def part(name: str, signature: Signature) -> Part:
        inputs, outputs = (of(model.architecture, model.image_shape) for of in (signature.inputs, signature.outputs))
        function = signature.function(portable)

        def call(**tensors: tf.Tensor) -> Tensors:
            return {name: tf.cast(values, outputs[name].dtype) for name, values in function(**tensors).items()}

        return Part(name, signature.name, call, inputs, outputs)

    return [part(each.converted, each) for each in SIGNATURES.values() if each.converted is not None]


class PortableAutoencoder:
    """Computes what an autoencoder computes, with its weights as constants. Switches are int32, and not checked.

    Args:
        model: the autoencoder.
        channels_first: as in `parts`.
    """

    def __init__(self, model: Autoencoder, channels_first: bool) -> None:
        self.architecture = model.architecture
        numbers = range(1, len(model.architecture.filters) + 1)
        self._stages = [_Stage.of(model, number, channels_first) for number in numbers]
        self._smooth_path = _SmoothPath.of(model) if model.architecture.averages else None

    def encode(self, images: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """As `Autoencoder.encode`."""
        path, switches = self._smooth_path, []
        averages = path and path.averages(images)
        pooled = images - path.smooth(averages) if path else images
        for stage in self._stages:
            pooled, of_stage = stage.encode(pooled)
            switches.append(of_stage)
        return tf.concat([pooled, averages], -1) if path else pooled, switches

    def reconstruct(self, code: tf.Tensor, switches: Sequence[tf.Tensor]) -> tf.Tensor:
        """As `Autoencoder.reconstruct`."""
        path = self._smooth_path
        reconstruction = path.maxima(code) if path else code
        for stage, of_stage in zip(reversed(self._stages), reversed(switches)):
            reconstruction = stage.decode(reconstruction, of_stage)
        return path.smooth_of_code(code) + reconstruction if path else reconstruction

    decode = reconstruct


@dataclass(frozen=True, eq=False)
class _Stage:
    """One stage with its weights as constants.

    Attributes:
        shape: (height, width, channels) of its images.
        pooled_shape: (windows down, windows right, filters).
        pool_size: (height, width) of its windows.
        convolution: (kernel, bias) of its convolution.
        deconvolution: (kernel, bias) of the convolution that equals its transposed convolution; the bias is zeros if
            the transposed convolution has none.
        channels_first: whether to compare a window's positions in a layout with channels first.
    """

    shape: tuple[int, int, int]
    pooled_shape: tuple[int, int, int]
    pool_size: Pair
    convolution: tuple[np.ndarray, np.ndarray]
    deconvolution: tuple[np.ndarray, np.ndarray]
    channels_first: bool

    @classmethod
    def of(cls, model: Autoencoder, number: int, channels_first: bool) -> "_Stage":
        """Stage `number` of a model, from 1."""
        shape, pooled_shape = model.architecture.stage_shapes(model.image_shape)[number - 1 : number + 1]
        kernel, bias = model.get_layer(f"conv{number}").get_weights()
        mirrored, *biases = model.get_layer(f"deconv{number}").get_weights()
        return cls(
            shape=shape,
            pooled_shape=pooled_shape,
            pool_size=model.architecture.pool_sizes[number - 1],
            convolution=(kernel, bias),
            deconvolution=(
                mirrored[::-1, ::-1].swapaxes(2, 3),
                biases[0] if biases else np.zeros(shape[-1], "float32"),
            ),
            channels_first=channels_first,
        )

    def encode(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pooled values and int32 switches, each `(N, windows down, windows right, filters)`."""
        kernel, bias = self.convolution
        padding = [((length - 1) // 2, length // 2) for length in kernel.shape[:2]]
        if pools_by_windows(kernel.shape, self.pool_size):
            to_windows, biases = pooling_kernel(kernel, self.pool_size), np.repeat(bias, self._positions)
            windows = tf.nn.relu(_convolve(images, to_windows, biases, padding, self.pool_size))
        else:
            # The ReLU stands here because OpenVINO would move a later one to this place, and compute it in bfloat16.
            windows = self._windows(tf.nn.relu(_convolve(images, kernel, bias, padding)))
        values = self._by_position(windows, self._positions)
        maxima, switches = tf.reduce_max(values, 1), tf.argmax(values, 1, output_type=tf.int32)
        return self._by_channel(maxima, 1), self._by_channel(switches, 1)

    def decode(self, pooled: tf.Tensor, switches: tf.Tensor) -> tf.Tensor:
        """`(N, height, width, channels)` images."""
        kernel, bias = self.deconvolution
        switches = self._by_position(tf.cast(switches, tf.int32), 1)
        positions = np.arange(self._positions, dtype=np.int32).reshape(1, -1, *[1] * (len(switches.shape) - 2))
        chosen, values = switches == positions, self._by_position(pooled, 1)
        # tf2onnx turns `where` into six operations. In LiteRT's int8 files, a product with a rounded zero is not 0.
        values = tf.cast(chosen, tf.float32) * values if self.channels_first else tf.where(chosen, values, 0.0)
        windows = self._by_channel(values, self._positions)
        # With an even kernel, a convolution pads one more pixel after the image, and its transpose one more before it.
        padding = [(length // 2, (length - 1) // 2) for length in kernel.shape[:2]]
        left_over = [length % pool for length, pool in zip(self.shape, self.pool_size)]
        if not unpools_by_windows(kernel.shape, self.pool_size):
            return _convolve(self._unpooled(windows), kernel, bias, padding, extra=left_over)
        from_windows, padding = unpooling_kernel(kernel, self.pool_size)
        extra = [int(length > 0) for length in left_over]
        return self._pixels(_convolve(windows, from_windows, np.tile(bias, self._positions), padding, extra=extra))

    @property
    def _positions(self) -> int:
        return math.prod(self.pool_size)

    def _by_position(self, windows: tf.Tensor, count: int) -> tf.Tensor:
        """Reshapes windows, `(N, windows down, windows right, filters * count)`, so that dimension 1 counts positions.

        The result has two dimensions with channels last, and three with channels first.
        """
        if not self.channels_first:
            return tf.reshape(windows, (-1, count))
        window_count = math.prod(self.pooled_shape[:2])
        # With a single channel or window, a transpose is a second reshape. OpenVINO would fuse both, in bfloat16.
        first = windows if 1 in (window_count, windows.shape[-1]) else tf.transpose(windows, (0, 3, 1, 2))
        return tf.reshape(first, (-1, count, window_count))

    def _by_channel(self, values: tf.Tensor, count: int) -> tf.Tensor:
        """The inverse of `_by_position`."""
        down, right, filters = self.pooled_shape
        if not self.channels_first:
            return tf.reshape(values, (-1, down, right, filters * count))
        return tf.transpose(tf.reshape(values, (-1, filters * count, down, right)), (0, 2, 3, 1))

    def _windows(self, images: tf.Tensor) -> tf.Tensor:
        """Splits images, with one channel for each filter, into windows."""
        (down, right, filters), (height, width) = self.pooled_shape, self.pool_size
        rows = tf.reshape(_cropped(images, down * height, right * width), (-1, height, right, width, filters))
        return tf.reshape(tf.transpose(rows, (0, 2, 4, 1, 3)), (-1, down, right, filters * self._positions))

    def _unpooled(self, windows: tf.Tensor) -> tf.Tensor:
        """The inverse of `_windows`. Rows and columns in no window are missing."""
        (down, right, filters), (height, width) = self.pooled_shape, self.pool_size
        rows = tf.transpose(tf.reshape(windows, (-1, right, filters, height, width)), (0, 3, 1, 4, 2))
        return tf.reshape(rows, (-1, down * height, right * width, filters))

    def _pixels(self, windows: tf.Tensor) -> tf.Tensor:
        """Joins windows into images. A window's values are numbered `position * channels + channel`."""
        return _cropped(_joined(windows, self.pool_size, self.shape[-1]), *self.shape[:2])


@dataclass(frozen=True, eq=False)
class _SmoothPath:
    """The averages and the smooth picture, with their weights as constants.

    Attributes:
        shape: (height, width, channels) of the images.
        block: (height, width) of the block of pixels that a value of the code stands for.
        to_averages: (kernel, bias) from images to averages.
        to_blocks: (kernel, bias) from averages to blocks, whose pixels are channels.
    """

    shape: tuple[int, int, int]
    block: Pair
    to_averages: tuple[np.ndarray, np.ndarray]
    to_blocks: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, model: Autoencoder) -> "_SmoothPath":
        kernel, bias = model.get_layer(ENLARGE).get_weights()
        averages = kernel.shape[-1]
        block = model.architecture.block
        return cls(
            shape=model.image_shape,
            block=block,
            to_averages=tuple(model.get_layer(AVERAGES).get_weights()),
            to_blocks=(kernel.reshape(1, 1, -1, averages).swapaxes(2, 3), np.tile(bias, math.prod(block))),
        )

    def averages(self, images: tf.Tensor) -> tf.Tensor:
        """`(N, blocks down, blocks right, averages)`."""
        # Cropped, because runtimes differ in their treatment of rows that a stride leaves over.
        (height, width, _), (down, right) = self.shape, self.block
        whole = _cropped(images, height // down * down, width // right * right)
        return _convolve(whole, *self.to_averages, [(0, 0), (0, 0)], self.block)

    def smooth(self, averages: tf.Tensor) -> tf.Tensor:
        """The smooth picture of averages, `(N, height, width, channels)`."""
        return self._smooth(averages, *self.to_blocks)

    # In LiteRT's int8 files, a slice keeps the scale of its input. Averages are a hundred times as large as maxima, and
    # at the averages' scale the maxima would round to 0. So a product with ones and zeros replaces the slice.

    def smooth_of_code(self, code: tf.Tensor) -> tf.Tensor:
        """The smooth picture of the averages in a code."""
        kernel, bias = self.to_blocks
        maxima = code.shape[-1] - kernel.shape[2]
        return self._smooth(code, np.pad(kernel, [(0, 0), (0, 0), (maxima, 0), (0, 0)]), bias)

    def maxima(self, code: tf.Tensor) -> tf.Tensor:
        """The maxima in a code."""
        channels = code.shape[-1]
        maxima = channels - self.to_averages[0].shape[-1]
        kernel = np.eye(channels, maxima, dtype=np.float32)[np.newaxis, np.newaxis]
        return _convolve(code, kernel, np.zeros(maxima, np.float32), [(0, 0), (0, 0)])

    def _smooth(self, values: tf.Tensor, kernel: np.ndarray, bias: np.ndarray) -> tf.Tensor:
        blocks = _convolve(values, kernel, bias, [(0, 0), (0, 0)])
        return RepeatEdges(self.shape[:2])(_joined(blocks, self.block, self.shape[-1]))


def _joined(blocks: tf.Tensor, block: Pair, channels: int) -> tf.Tensor:
    """Joins blocks into images. A block's values are numbered `position * channels + channel`."""
    (_, down, right, _), (height, width) = blocks.shape, block
    rows = tf.transpose(tf.reshape(blocks, (-1, right, height, width * channels)), (0, 2, 1, 3))
    return tf.reshape(rows, (-1, down * height, right * width, channels))


def _convolve(
    images: tf.Tensor,
    kernel: np.ndarray,
    bias: np.ndarray,
    padding: list[Pair],
    strides: Pair = (1, 1),
    extra: Sequence[int] = (0, 0),
) -> tf.Tensor:
    """Convolves images that first get `extra[0]` zero rows below and `extra[1]` zero columns to the right."""
    # Extra zeros within the kernel's reach become padding of the convolution: if a separate operation padded, tf2onnx
    # would lose the convolution's own padding. Beyond the kernel's reach a result is only the bias, so zeros after the
    # convolution give the same result. They are added there because OpenVINO 2026.4 crashes (SIGSEGV) in some
    # convolutions that compute results from padding alone.
    reached = [min(length, before) for length, (before, _) in zip(extra, padding)]
    padding = [(before, after + length) for (before, after), length in zip(padding, reached)]
    convolved = tf.nn.conv2d(images, kernel, strides, [(0, 0), *padding, (0, 0)])
    beyond = [(0, length - within) for length, within in zip(extra, reached)]
    if any(map(any, beyond)):
        convolved = tf.pad(convolved, [(0, 0), *beyond, (0, 0)])
    return tf.nn.bias_add(convolved, bias)


def _cropped(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Crops images to their first rows and columns."""
    # A slice that crops nothing would still copy the images in a runtime.
    return images if images.shape[1:3] == (height, width) else images[:, :height, :width]
