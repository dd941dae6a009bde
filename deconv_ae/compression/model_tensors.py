"""An exported model as functions of named arrays, whatever its signatures call code and switches."""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from deconv_ae.compression.traversal import Tensor
from deconv_ae.data import scale
from deconv_ae.saved_model.serving import ServedAutoencoder

Tensors = Mapping[str, np.ndarray]
"""What `encode` gives and `decode` takes, `(N, h, w, channels)`, by its names: float32 is code, uint8 switches."""

PIXELS_AT_ONCE = 1 << 19


class ModelTensors:
    """A served model's encoder and decoder.

    Attributes:
        path: the model's directory.
        image_shape: (height, width, channels) of the images that it takes.
        tensors: what the encoder makes of one.
    """

    def __init__(self, model: ServedAutoencoder) -> None:
        self._model = model
        self.path = model.path
        height, width, channels = model.card.image_shape
        self.image_shape = (height, width, channels)
        self.at_once = max(1, PIXELS_AT_ONCE // (height * width))
        one = self.encode(np.zeros((1, *self.image_shape), np.uint8))
        self.tensors = tuple(
            Tensor(name, values.shape[1:], values.dtype == np.float32) for name, values in sorted(one.items())
        )

    @property
    def values_a_picture(self) -> int:
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    def encode(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Of `(N, height, width, channels)` uint8."""
        parts = [
            {name: values.numpy() for name, values in self._model.encode_scaled(scale(tf.constant(batch))).items()}
            for batch in self._batches(images)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def decode(self, tensors: Tensors) -> np.ndarray:
        """The reconstruction, float32 in the scale of the pixels, not clipped."""
        count = len(next(iter(tensors.values())))
        return np.concatenate(
            [
                self._model.decode_named(
                    {name: values[first : first + self.at_once] for name, values in tensors.items()}
                )
                for first in range(0, count, self.at_once)
            ]
        )

    def _batches(self, images: np.ndarray) -> list[np.ndarray]:
        return [images[first : first + self.at_once] for first in range(0, len(images), self.at_once)]


def planes_first(values: np.ndarray) -> np.ndarray:
    """`(N, h, w, channels)` as `(channels, N, places)`."""
    count, height, width, channels = values.shape
    return np.ascontiguousarray(values.reshape(count, height * width, channels).transpose(2, 0, 1))


def planes_last(values: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The way back from `planes_first`."""
    return np.ascontiguousarray(values.transpose(1, 2, 0)).reshape(-1, *shape)
