"""What an autoencoder's results may be, in whichever order a CPU or a runtime adds.

float32 sums differ in their last digits with the order of their terms. Where two values of a window are equal but for
that, either is its maximum, and a value of the decoder lies at either place: both are right. Elsewhere a choice is
clear, and so is every pixel that no unclear choice reaches. So these are the ranges that results have to keep; for all
that is clear they are one value.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from deconv_ae.model.autoencoder import Autoencoder

ROUNDING = 1e-5
"""The margin: how far a sum may be off, over the sum of its terms' magnitudes. float32 rounds by 6e-8 at every term,
and the values that are summed up have been rounded before. A sum of zeros is exact, and so are ties of such sums."""

BATCH_SIZE = 16
"""Images at a time: of 256x256 pixels and 32 filters they take a gigabyte."""


@dataclass(frozen=True)
class Bounds:
    """The results that an autoencoder may have of images.

    Attributes:
        choices: by the switches' name, `(N, windows down, windows right, filters, positions)` bool: whether a window's
            value may be from there.
        middle, reach: of the reconstruction, `(N, height, width, channels)`: the range's middle, and how far it goes
            to either side; a reach of 0 is a pixel that no unclear choice touches.
    """

    choices: Mapping[str, np.ndarray]
    middle: np.ndarray
    reach: np.ndarray

    @classmethod
    def of(cls, model: Autoencoder, images: np.ndarray) -> "Bounds":
        """Of `(N, height, width, channels)` scaled images.

        >>> from deconv_ae import Architecture
        >>> model = Autoencoder(Architecture((1,), (2,)), (4, 4, 1))
        >>> bounds = Bounds.of(model, np.zeros((3, 4, 4, 1), "float32"))
        >>> bounds.choices["switches_1"].shape
        (3, 2, 2, 1, 4)
        """
        starts = range(0, len(images), BATCH_SIZE)
        batches = [_bounds(model, images[start : start + BATCH_SIZE]) for start in starts]
        choices, middles, reaches = zip(*batches)
        names = model.architecture.switches_names
        return cls(
            choices={name: np.concatenate(batch) for name, batch in zip(names, zip(*choices))},
            middle=np.concatenate(middles),
            reach=np.concatenate(reaches),
        )

    def wrong(self, switches: Mapping[str, np.ndarray]) -> int:
        """How many switches, by name, point to a value that cannot be its window's maximum."""
        count = 0
        for name, chosen in switches.items():
            may_be = self.choices[name]
            # One that points out of its window points to nothing.
            inside = np.minimum(chosen, may_be.shape[-1] - 1)
            right = np.take_along_axis(may_be, inside[..., np.newaxis].astype(np.int64), -1)[..., 0]
            count += int(np.sum(~right | (chosen != inside)))
        return count

    def difference(self, reconstruction: np.ndarray, expected: np.ndarray) -> float:
        """The largest difference from what was expected; where a choice is unclear, from what it leaves open. NaN if
        any value is."""
        beyond = np.maximum(np.abs(reconstruction - self.middle) - self.reach, 0)
        return float(np.max(np.where(self.reach > 0, beyond, np.abs(reconstruction - expected))))


def _bounds(model: Autoencoder, images: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    values, choices, shapes = tf.constant(images, tf.float32), [], []
    # How large the terms are that a convolution's sums are made of, where they are differences of larger ones, too.
    smooth = model.smooth(values)
    values, sizes = values - smooth, tf.abs(values) + tf.abs(smooth)
    for number, pool_size in enumerate(model.architecture.pool_sizes, start=1):
        kernel, bias = model.get_layer(f"conv{number}").get_weights()
        shapes.append(values.shape)
        convolved = tf.nn.bias_add(tf.nn.conv2d(values, kernel, 1, "SAME"), bias)
        off = ROUNDING * tf.nn.conv2d(sizes, np.abs(kernel), 1, "SAME")
        low, high = (_windows(tf.nn.relu(edge), pool_size) for edge in (convolved - off, convolved + off))
        choices.append(_may_be_maximum(low, high))
        values = tf.nn.max_pool2d(tf.nn.relu(convolved), pool_size, pool_size, "VALID")
        sizes = values
    middle, reach = values, tf.zeros_like(values)
    for number in range(len(choices), 0, -1):
        kernel, *bias = model.get_layer(f"deconv{number}").get_weights()
        pool_size, shape = model.architecture.pool_sizes[number - 1], shapes[number - 1]
        middle, reach = (_images(part, shape, pool_size) for part in _unpooled(middle, reach, choices[number - 1]))
        middle = tf.nn.conv2d_transpose(middle, kernel, shape, 1, "SAME")
        middle = tf.nn.bias_add(middle, bias[0]) if bias else middle
        reach = tf.nn.conv2d_transpose(reach, np.abs(kernel), shape, 1, "SAME")
    return choices, (smooth + middle).numpy(), reach.numpy()


def _may_be_maximum(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Which of a window's values, each between two bounds, may be its maximum, which is the first of equal ones."""
    none = np.full_like(low[..., :1], -np.inf)
    before = np.concatenate([none, np.maximum.accumulate(low, -1)[..., :-1]], -1)
    after = np.concatenate([np.maximum.accumulate(low[..., ::-1], -1)[..., ::-1][..., 1:], none], -1)
    return (high > before) & (high >= after)


def _unpooled(middle: tf.Tensor, reach: tf.Tensor, may_be: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows of pooled values' ranges: a value that may be elsewhere may be 0 here."""
    middle, reach = (part.numpy()[..., np.newaxis] for part in (middle, reach))
    low, high = middle - reach, middle + reach
    clear = may_be.sum(-1, keepdims=True) == 1
    low, high = np.where(clear, low, np.minimum(low, 0)), np.where(clear, high, np.maximum(high, 0))
    # Not half of the difference where nothing is open: a range of one value has to stay one.
    reach = np.where(clear, reach, (high - low) / 2)
    return np.where(may_be, (low + high) / 2, 0), np.where(may_be, reach, 0)


def _windows(images: tf.Tensor, pool_size: tuple[int, int]) -> np.ndarray:
    """`(N, windows down, windows right, channels, positions)`, without the rows and columns that no window has."""
    (height, width), (_, rows, columns, channels) = pool_size, images.shape
    down, right = rows // height, columns // width
    cut = images.numpy()[:, : down * height, : right * width].reshape(-1, down, height, right, width, channels)
    return cut.transpose(0, 1, 3, 5, 2, 4).reshape(-1, down, right, channels, height * width)


def _images(windows: np.ndarray, shape: tuple[int, ...], pool_size: tuple[int, int]) -> tf.Tensor:
    """The inverse, of images of `(N, rows, columns, ...)`; zeros where no window is."""
    (height, width), (_, down, right, channels, _) = pool_size, windows.shape
    cut = windows.reshape(-1, down, right, channels, height, width).transpose(0, 1, 4, 2, 5, 3)
    cut = cut.reshape(-1, down * height, right * width, channels)
    return tf.pad(cut, [(0, 0), (0, shape[1] - down * height), (0, shape[2] - right * width), (0, 0)])
