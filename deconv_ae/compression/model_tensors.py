"""An exported model's encoder and decoder, as functions of named NumPy arrays."""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from deconv_ae.compression.traversal import Tensor
from deconv_ae.data import scale
from deconv_ae.saved_model.serving import ServedAutoencoder

Tensors = Mapping[str, np.ndarray]
"""Outputs of `encode` and inputs of `decode` by name, `(N, h, w, channels)`: code is float32, switches are uint8."""

PIXELS_AT_ONCE = 1 << 19
"""The most pixels of a batch of several images. It is part of the files' format: a file holds tiles batch by batch."""


class ModelTensors:
    """The encoder and decoder of a served model.

    Args:
        model: the served model.

    Attributes:
        path: the model's directory.
        image_shape: (height, width, channels) of the model's images.
        batch_size: the most images in one call of the model.
        tensors: a description of each output of the model's encoder.
    """

    def __init__(self, model: ServedAutoencoder) -> None:
        self._model = model
        self.path = model.path
        height, width, channels = model.card.image_shape
        self.image_shape = (height, width, channels)
        self.batch_size = max(1, PIXELS_AT_ONCE // (height * width))
        encoded = self.encode(np.zeros((1, *self.image_shape), np.uint8))
        self.tensors = tuple(
            Tensor(name, values.shape[1:], values.dtype == np.float32) for name, values in sorted(encoded.items())
        )

    @property
    def values_per_picture(self) -> int:
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    def encode(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Encodes `(N, height, width, channels)` uint8 images."""
        parts = [
            {name: values.numpy() for name, values in self._model.encode_scaled(scale(tf.constant(batch))).items()}
            for batch in self._batches(images)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def decode(self, tensors: Tensors) -> np.ndarray:
        """Decodes to float32 images on the scale of pixels / 256, not clipped."""
        count = len(next(iter(tensors.values())))
        return np.concatenate(
            [
                self._model.decode_named(
                    {name: values[first : first + self.batch_size] for name, values in tensors.items()}
                )
                for first in range(0, count, self.batch_size)
            ]
        )

    def _batches(self, images: np.ndarray) -> list[np.ndarray]:
        return [images[first : first + self.batch_size] for first in range(0, len(images), self.batch_size)]


def planes_first(values: np.ndarray) -> np.ndarray:
    """Converts `(N, h, w, channels)` to `(channels, N, places)`."""
    count, height, width, channels = values.shape
    return np.ascontiguousarray(values.reshape(count, height * width, channels).transpose(2, 0, 1))


def planes_last(values: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Inverts `planes_first`."""
    return np.ascontiguousarray(values.transpose(1, 2, 0)).reshape(-1, *shape)
