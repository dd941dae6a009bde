"""An autoencoder as operations that every runtime has, with the same result.

TensorFlow's pooling with argmax has no counterpart outside of TensorFlow, and scattering to int64
positions is where runtimes differ most. The windows of an autoencoder do not overlap, and with
those there is nothing to scatter: seen as `(windows down, rows, windows right, columns)`, every
pixel compares its own place in the window with the window's switch. What is left is reshaping,
comparing and choosing, on tensors of four dimensions, the most that LiteRT broadcasts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.saved_model.signatures import CODE, RECONSTRUCTION, encoded_specs, images_spec

Tensors = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One function of an autoencoder, to be converted.

    Attributes:
        name: what its files are called.
        function: tensors by name to tensors by name, traced with `inputs`.
        inputs: the specification of each input, with the batch unknown.
    """

    name: str
    function: Callable[..., Tensors]
    inputs: dict[str, tf.TensorSpec]

    def graph_function(self) -> Any:
        """The function as a tf.function of the inputs in their order."""
        signature = list(self.inputs.values())
        return tf.function(lambda *tensors: self.function(**dict(zip(self.inputs, tensors))), input_signature=signature)


def parts(model: Autoencoder) -> list[Part]:
    """The whole autoencoder, its encoder and its decoder, with the inputs and outputs of the SavedModel.

    autoencoder: `images` to `code` and `reconstruction`; encoder: `images` to `code` and the uint8
    `switches_1` to `switches_n`; decoder: those to `reconstruction`. Images, code and reconstruction
    are float32, batches of any size.
    """
    stages = [_Stage.of(model, number) for number in range(1, len(model.architecture.filters) + 1)]
    names = model.architecture.switches_names

    def encode(images: tf.Tensor) -> Tensors:
        pooled, outputs = images, {}
        for name, stage in zip(names, stages):
            pooled, outputs[name] = stage.encode(pooled)
        return {CODE: pooled, **outputs}

    def decode(code: tf.Tensor, **switches: tf.Tensor) -> Tensors:
        reconstruction = code
        for name, stage in zip(reversed(names), reversed(stages)):
            reconstruction = stage.decode(reconstruction, switches[name])
        return {RECONSTRUCTION: reconstruction}

    def autoencode(images: tf.Tensor) -> Tensors:
        encoded = encode(images)
        return {CODE: encoded[CODE], **decode(**encoded)}

    images = images_spec(model.image_shape)
    encoded = encoded_specs(model.architecture, model.image_shape)
    return [Part("autoencoder", autoencode, images), Part("encoder", encode, images), Part("decoder", decode, encoded)]


@dataclass(frozen=True, eq=False)
class _Stage:
    """One stage with its weights as constants.

    Attributes:
        size: (height, width) of its images.
        pool_size: (height, width) of its windows.
        convolution: (kernel, bias) of its convolution.
        deconvolution: (kernel, bias) of the convolution that equals its transposed convolution;
            zeros where that has no bias.
    """

    size: tuple[int, int]
    pool_size: tuple[int, int]
    convolution: tuple[np.ndarray, np.ndarray]
    deconvolution: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, model: Autoencoder, number: int) -> "_Stage":
        """Stage `number` of a model, from 1."""
        height, width, channels = model.architecture.stage_shapes(model.image_shape)[number - 1]
        kernel, bias = model.get_layer(f"conv{number}").get_weights()
        mirrored, *biases = model.get_layer(f"deconv{number}").get_weights()
        return cls(
            size=(height, width),
            pool_size=model.architecture.pool_sizes[number - 1],
            convolution=(kernel, bias),
            deconvolution=(mirrored[::-1, ::-1].swapaxes(2, 3), biases[0] if biases else np.zeros(channels, "float32")),
        )

    @property
    def windows(self) -> tuple[int, int]:
        """How many windows there are down and right."""
        return self.size[0] // self.pool_size[0], self.size[1] // self.pool_size[1]

    def encode(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pooled values and uint8 switches, each `(N, windows down, windows right, filters)`."""
        kernel, bias = self.convolution
        return self._pool(tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME") + bias))

    def decode(self, pooled: tf.Tensor, switches: tf.Tensor) -> tf.Tensor:
        """`(N, height, width, channels)` images."""
        kernel, bias = self.deconvolution
        images = self._unpool(pooled, switches)
        # A transposed convolution pads before where a convolution pads after; with an even kernel that differs.
        before, after = zip(*((length // 2, (length - 1) // 2) for length in kernel.shape[:2]))
        if before == after:
            return tf.nn.conv2d(images, kernel, 1, "SAME") + bias
        return tf.nn.conv2d(tf.pad(images, ((0, 0), *zip(before, after), (0, 0))), kernel, 1, "VALID") + bias

    def _pool(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """First along the columns of each row, then along rows; the first of equal values in row-major order wins."""
        (rows, columns), (down, right), channels = self.pool_size, self.windows, images.shape[-1]
        covered = images[:, : down * rows, : right * columns]
        by_column = tf.reshape(covered, (-1, right, columns, channels))
        highest, column = _first_maxima(by_column, axis=2, places=tf.reshape(tf.range(columns), (1, 1, columns, 1)))
        by_row = tf.reshape(highest, (-1, rows, right, channels))
        places = tf.reshape(tf.range(rows) * columns, (1, rows, 1, 1)) + tf.reshape(column, (-1, rows, right, channels))
        highest, switches = _first_maxima(by_row, axis=1, places=places)
        shape = (-1, down, right, channels)
        return tf.reshape(highest, shape), tf.cast(tf.reshape(switches, shape), tf.uint8)

    def _unpool(self, pooled: tf.Tensor, switches: tf.Tensor) -> tf.Tensor:
        """Values to their places: along columns, the row's number with them, then along rows."""
        (height, width), (rows, columns) = self.size, self.pool_size
        (down, right), channels = self.windows, pooled.shape[-1]
        switches = tf.reshape(tf.cast(switches, tf.int32), (-1, right, 1, channels))
        row = switches // columns
        is_column = tf.reshape(tf.range(columns), (1, 1, columns, 1)) == switches - row * columns
        values = tf.where(is_column, tf.reshape(pooled, (-1, right, 1, channels)), 0.0)
        row = tf.where(is_column, row, -1)
        line = (-1, 1, right * columns, channels)
        is_row = tf.reshape(tf.range(rows), (1, rows, 1, 1)) == tf.reshape(row, line)
        covered = tf.reshape(
            tf.where(is_row, tf.reshape(values, line), 0.0), (-1, down * rows, right * columns, channels)
        )
        if (down * rows, right * columns) == (height, width):
            return covered
        return tf.pad(covered, ((0, 0), (0, height - down * rows), (0, width - right * columns), (0, 0)))


def _first_maxima(values: tf.Tensor, axis: int, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The maxima along an axis, which stays with length 1, and the lowest of their int32 places."""
    highest = tf.reduce_max(values, axis, keepdims=True)
    beyond = tf.int32.max
    return highest, tf.reduce_min(tf.where(values == highest, places, beyond), axis, keepdims=True)
