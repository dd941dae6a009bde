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
    should_rearrange_pooling,
    should_rearrange_unpooling,
    unpooling_kernel,
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
        signature: the name of the SavedModel's signature that computes the same outputs.
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
    """Makes the parts to convert: one for each signature whose `converted` is not None.

    Args:
        model: the autoencoder, whose weights become constants.
        channels_first: whether pooling and unpooling compute in a layout with channels first, which some runtimes
            compute faster. Images have channels last in any case.

    Returns:
        The parts, in the order of `SIGNATURES`.
    """
    portable = PortableAutoencoder(model, channels_first)

    def make_part(part_name: str, signature: Signature) -> Part:
        specs = (signature.inputs, signature.outputs)
        inputs, outputs = (specs_of(model.architecture, model.image_shape) for specs_of in specs)
        function = signature.function(portable)

        def call(**tensors: tf.Tensor) -> Tensors:
            return {name: tf.cast(values, outputs[name].dtype) for name, values in function(**tensors).items()}

        return Part(part_name, signature.name, call, inputs, outputs)

    return [make_part(each.converted, each) for each in SIGNATURES.values() if each.converted is not None]


class PortableAutoencoder:
    """Computes what an autoencoder computes, with the autoencoder's weights as constants.

    Switches are int32. A switch outside of its window raises no error.

    Args:
        model: the autoencoder.
        channels_first: whether pooling and unpooling compute in a layout with channels first.
    """

    def __init__(self, model: Autoencoder, channels_first: bool) -> None:
        self.architecture = model.architecture
        numbers = range(1, len(model.architecture.filters) + 1)
        self._stages = [_Stage.of(model, number, channels_first) for number in numbers]
        self._smooth_path = _SmoothPath.of(model) if model.architecture.averages else None

    def encode(self, images: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Does the same as `Autoencoder.encode`, but returns int32 switches."""
        smooth_path, switches = self._smooth_path, []
        averages = smooth_path and smooth_path.averages(images)
        pooled = images - smooth_path.smooth(averages) if smooth_path else images
        for stage in self._stages:
            pooled, stage_switches = stage.encode(pooled)
            switches.append(stage_switches)
        return tf.concat([pooled, averages], -1) if smooth_path else pooled, switches

    def reconstruct(self, code: tf.Tensor, switches: Sequence[tf.Tensor]) -> tf.Tensor:
        """Does the same as `Autoencoder.reconstruct`."""
        smooth_path = self._smooth_path
        reconstruction = smooth_path.maxima(code) if smooth_path else code
        for stage, stage_switches in zip(reversed(self._stages), reversed(switches)):
            reconstruction = stage.decode(reconstruction, stage_switches)
        return smooth_path.smooth_from_code(code) + reconstruction if smooth_path else reconstruction

    decode = reconstruct


@dataclass(frozen=True, eq=False)
class _Stage:
    """One stage with its weights as constants.

    Attributes:
        shape: (height, width, channels) of the images that the stage encodes.
        pooled_shape: (windows down, windows right, filters) of the pooled values.
        pool_size: (height, width) of a pooling window.
        convolution: (kernel, bias) of the stage's convolution.
        deconvolution: (kernel, bias) of a convolution that gives the same results as the stage's transposed
            convolution; the bias is zeros if the transposed convolution has none.
        channels_first: whether pooling and unpooling compute in a layout with channels first.
    """

    shape: tuple[int, int, int]
    pooled_shape: tuple[int, int, int]
    pool_size: Pair
    convolution: tuple[np.ndarray, np.ndarray]
    deconvolution: tuple[np.ndarray, np.ndarray]
    channels_first: bool

    @classmethod
    def of(cls, model: Autoencoder, number: int, channels_first: bool) -> "_Stage":
        """Makes stage `number` of a model; the first stage is 1."""
        shape, pooled_shape = model.architecture.stage_shapes(model.image_shape)[number - 1 : number + 1]
        kernel, bias = model.get_layer(f"conv{number}").get_weights()
        deconvolution_kernel, *deconvolution_bias = model.get_layer(f"deconv{number}").get_weights()
        return cls(
            shape=shape,
            pooled_shape=pooled_shape,
            pool_size=model.architecture.pool_sizes[number - 1],
            convolution=(kernel, bias),
            deconvolution=(
                deconvolution_kernel[::-1, ::-1].swapaxes(2, 3),
                deconvolution_bias[0] if deconvolution_bias else np.zeros(shape[-1], "float32"),
            ),
            channels_first=channels_first,
        )

    def encode(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns pooled values and int32 switches, each `(N, windows down, windows right, filters)`."""
        kernel, bias = self.convolution
        padding = [((length - 1) // 2, length // 2) for length in kernel.shape[:2]]
        if should_rearrange_pooling(kernel.shape, self.pool_size):
            window_kernel, biases = pooling_kernel(kernel, self.pool_size), np.repeat(bias, self._position_count)
            windows = tf.nn.relu(_convolve(images, window_kernel, biases, padding, self.pool_size))
        else:
            # The ReLU comes before the split into windows. Otherwise OpenVINO would move the ReLU to this place itself,
            # and would compute the moved ReLU in bfloat16.
            windows = self._split_into_windows(tf.nn.relu(_convolve(images, kernel, bias, padding)))
        values = self._split_positions(windows, self._position_count)
        maxima, switches = tf.reduce_max(values, 1), tf.argmax(values, 1, output_type=tf.int32)
        return self._merge_positions(maxima, 1), self._merge_positions(switches, 1)

    def decode(self, pooled: tf.Tensor, switches: tf.Tensor) -> tf.Tensor:
        """Returns `(N, height, width, channels)` images."""
        kernel, bias = self.deconvolution
        switches = self._split_positions(tf.cast(switches, tf.int32), 1)
        positions = np.arange(self._position_count, dtype=np.int32).reshape(1, -1, *[1] * (len(switches.shape) - 2))
        is_maximum, maxima = switches == positions, self._split_positions(pooled, 1)
        # ONNX gets a product, because tf2onnx turns `where` into six operations. LiteRT gets `where`, because in its
        # int8 files a product with a rounded zero is not 0.
        unpooled = (
            tf.cast(is_maximum, tf.float32) * maxima if self.channels_first else tf.where(is_maximum, maxima, 0.0)
        )
        windows = self._merge_positions(unpooled, self._position_count)
        # With an even kernel, a transposed convolution pads one more pixel before the image than after the image.
        padding = [(length // 2, (length - 1) // 2) for length in kernel.shape[:2]]
        remainders = [length % pool for length, pool in zip(self.shape, self.pool_size)]
        if not should_rearrange_unpooling(kernel.shape, self.pool_size):
            return _convolve(self._join_windows(windows), kernel, bias, padding, extra=remainders)
        window_kernel, padding = unpooling_kernel(kernel, self.pool_size)
        biases, extra = np.tile(bias, self._position_count), [int(length > 0) for length in remainders]
        return self._join_image_windows(_convolve(windows, window_kernel, biases, padding, extra=extra))

    @property
    def _position_count(self) -> int:
        return math.prod(self.pool_size)

    def _split_positions(self, windows: tf.Tensor, count: int) -> tf.Tensor:
        """Reshapes `(N, windows down, windows right, filters * count)` so that dimension 1 has the size `count`.

        The result is `(N * windows * filters, count)`, or `(N * filters, count, windows)` with channels first.
        """
        if not self.channels_first:
            return tf.reshape(windows, (-1, count))
        window_count = math.prod(self.pooled_shape[:2])
        # With a single channel or window, no transpose is needed before the reshape. OpenVINO would merge the two into
        # one operation and compute it in bfloat16.
        transposed = windows if 1 in (window_count, windows.shape[-1]) else tf.transpose(windows, (0, 3, 1, 2))
        return tf.reshape(transposed, (-1, count, window_count))

    def _merge_positions(self, values: tf.Tensor, count: int) -> tf.Tensor:
        """The inverse of `_split_positions`."""
        windows_down, windows_right, filters = self.pooled_shape
        if not self.channels_first:
            return tf.reshape(values, (-1, windows_down, windows_right, filters * count))
        return tf.transpose(tf.reshape(values, (-1, filters * count, windows_down, windows_right)), (0, 2, 3, 1))

    def _split_into_windows(self, images: tf.Tensor) -> tf.Tensor:
        """Splits `(N, height, width, filters)` into `(N, windows down, windows right, filters * positions)`."""
        (windows_down, windows_right, filters), (height, width) = self.pooled_shape, self.pool_size
        cropped = _crop(images, windows_down * height, windows_right * width)
        transposed = tf.transpose(tf.reshape(cropped, (-1, height, windows_right, width, filters)), (0, 2, 4, 1, 3))
        return tf.reshape(transposed, (-1, windows_down, windows_right, filters * self._position_count))

    def _join_windows(self, windows: tf.Tensor) -> tf.Tensor:
        """The inverse of `_split_into_windows`, without the rows and columns outside of all windows."""
        (windows_down, windows_right, filters), (height, width) = self.pooled_shape, self.pool_size
        transposed = tf.transpose(tf.reshape(windows, (-1, windows_right, filters, height, width)), (0, 3, 1, 4, 2))
        return tf.reshape(transposed, (-1, windows_down * height, windows_right * width, filters))

    def _join_image_windows(self, windows: tf.Tensor) -> tf.Tensor:
        """Joins windows, `(N, windows down, windows right, positions * channels)`, into images."""
        return _crop(_join_blocks(windows, self.pool_size, self.shape[-1]), *self.shape[:2])


@dataclass(frozen=True, eq=False)
class _SmoothPath:
    """The layers that compute the averages and the smooth picture, with their weights as constants.

    Attributes:
        shape: (height, width, channels) of the images.
        block: (height, width) of the block of pixels that one pixel of the code represents.
        averaging: (kernel, bias) of the convolution from images to averages.
        enlarging: (kernel, bias) of the convolution from averages to blocks. All values of a block are output channels.
    """

    shape: tuple[int, int, int]
    block: Pair
    averaging: tuple[np.ndarray, np.ndarray]
    enlarging: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, model: Autoencoder) -> "_SmoothPath":
        kernel, bias = model.get_layer(ENLARGE).get_weights()
        average_count = kernel.shape[-1]
        block = model.architecture.block
        return cls(
            shape=model.image_shape,
            block=block,
            averaging=tuple(model.get_layer(AVERAGES).get_weights()),
            enlarging=(kernel.reshape(1, 1, -1, average_count).swapaxes(2, 3), np.tile(bias, math.prod(block))),
        )

    def averages(self, images: tf.Tensor) -> tf.Tensor:
        """Computes the averages of the images' blocks, `(N, blocks down, blocks right, averages)`."""
        # The images are cropped to whole blocks, because runtimes treat the remaining rows and columns differently.
        height, width = (length // block * block for length, block in zip(self.shape, self.block))
        return _convolve(_crop(images, height, width), *self.averaging, [(0, 0), (0, 0)], self.block)

    def smooth(self, averages: tf.Tensor) -> tf.Tensor:
        """Computes the smooth picture, `(N, height, width, channels)`, from averages."""
        return self._enlarge(averages, *self.enlarging)

    def smooth_from_code(self, code: tf.Tensor) -> tf.Tensor:
        """Computes the smooth picture from a code, whose last channels are the averages."""
        # The kernel multiplies the maxima by 0, so that only the averages count, as if the code were sliced.
        kernel, bias = self.enlarging
        maxima_channels = code.shape[-1] - kernel.shape[2]
        return self._enlarge(code, np.pad(kernel, [(0, 0), (0, 0), (maxima_channels, 0), (0, 0)]), bias)

    def maxima(self, code: tf.Tensor) -> tf.Tensor:
        """Returns the first channels of a code, the maxima."""
        # A product with ones and zeros replaces a slice. In LiteRT's int8 files, a slice and its input have the same
        # scale. A slice would give the code the scale of the maxima, and averages, which can be ten times as large,
        # would be clipped.
        channels = code.shape[-1]
        maxima_channels = channels - self.averaging[0].shape[-1]
        kernel = np.eye(channels, maxima_channels, dtype=np.float32)[np.newaxis, np.newaxis]
        return _convolve(code, kernel, np.zeros(maxima_channels, np.float32), [(0, 0), (0, 0)])

    def _enlarge(self, values: tf.Tensor, kernel: np.ndarray, bias: np.ndarray) -> tf.Tensor:
        """Enlarges averages, or a code that contains averages, to the smooth picture."""
        blocks = _convolve(values, kernel, bias, [(0, 0), (0, 0)])
        return RepeatEdges(self.shape[:2])(_join_blocks(blocks, self.block, self.shape[-1]))


def _join_blocks(blocks: tf.Tensor, block: Pair, channels: int) -> tf.Tensor:
    """Joins blocks, `(N, blocks down, blocks right, positions * channels)`, into images."""
    (_, blocks_down, blocks_right, _), (height, width) = blocks.shape, block
    transposed = tf.transpose(tf.reshape(blocks, (-1, blocks_right, height, width * channels)), (0, 2, 1, 3))
    return tf.reshape(transposed, (-1, blocks_down * height, blocks_right * width, channels))


def _convolve(
    images: tf.Tensor,
    kernel: np.ndarray,
    bias: np.ndarray,
    padding: list[Pair],
    strides: Pair = (1, 1),
    extra: Sequence[int] = (0, 0),
) -> tf.Tensor:
    """Convolves images that first get `extra[0]` zero rows below and `extra[1]` zero columns to the right."""
    # The convolution adds the extra zeros itself, as padding: if a separate operation padded the images, tf2onnx would
    # lose the convolution's own padding. But OpenVINO 2026.4 crashes (SIGSEGV) in some convolutions that compute
    # values from padding alone. Before the bias, such values are 0, so `tf.pad` adds them to the convolution's output.
    input_zeros = [min(zeros, before) for zeros, (before, _) in zip(extra, padding)]
    padding = [(before, after + zeros) for (before, after), zeros in zip(padding, input_zeros)]
    convolved = tf.nn.conv2d(images, kernel, strides, [(0, 0), *padding, (0, 0)])
    output_padding = [(0, zeros - added) for zeros, added in zip(extra, input_zeros)]
    if any(map(any, output_padding)):
        convolved = tf.pad(convolved, [(0, 0), *output_padding, (0, 0)])
    return tf.nn.bias_add(convolved, bias)


def _crop(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Crops images to their first rows and columns."""
    # A slice that crops nothing would still copy the images in a runtime.
    return images if images.shape[1:3] == (height, width) else images[:, :height, :width]
