"""An autoencoder as operations that every runtime has, with the same result.

Pooling and unpooling are those of `deconv_ae/ops/every_backend.py`; windows of an autoencoder do not overlap, so there
is nothing to scatter, where runtimes differ most.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from deconv_ae.model.autoencoder import Autoencoder
from deconv_ae.ops import every_backend
from deconv_ae.ops.switches import argmax_of, switches_in_windows
from deconv_ae.ops.windows import Windows
from deconv_ae.saved_model.signatures import CODE, RECONSTRUCTION, encoded_specs, images_spec

Tensors = dict[str, Any]


@dataclass(frozen=True, eq=False)
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

    @functools.cached_property
    def graph_function(self) -> Any:
        """The function as a tf.function of the inputs in their order; every format reads the same tracing of it."""

        def function(*tensors: tf.Tensor) -> Tensors:
            with every_backend.portable():
                return self.function(**dict(zip(self.inputs, tensors)))

        # No control flow depends on a tensor: autograph would only make tracing three times as long.
        return tf.function(function, input_signature=list(self.inputs.values()), autograph=False)


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
    def windows(self) -> Windows:
        return Windows(self.pool_size, self.pool_size, "valid", "channels_last")

    def encode(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Pooled values and uint8 switches, each `(N, windows down, windows right, filters)`."""
        kernel, bias = self.convolution
        pooled, argmax = every_backend.max_pool(
            tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME") + bias), self.windows
        )
        return pooled, switches_in_windows(argmax, self.size, self.windows)

    def decode(self, pooled: tf.Tensor, switches: tf.Tensor) -> tf.Tensor:
        """`(N, height, width, channels)` images."""
        kernel, bias = self.deconvolution
        argmax, _ = argmax_of(switches, self.size, self.windows)
        images = every_backend.spread(pooled, argmax, self.size, self.windows)
        # A transposed convolution pads before where a convolution pads after; with an even kernel that differs.
        before, after = zip(*((length // 2, (length - 1) // 2) for length in kernel.shape[:2]))
        if before == after:
            return tf.nn.conv2d(images, kernel, 1, "SAME") + bias
        return tf.nn.conv2d(tf.pad(images, ((0, 0), *zip(before, after), (0, 0))), kernel, 1, "VALID") + bias
