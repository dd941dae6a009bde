"""Bounds on an autoencoder's results, for any order in which a CPU or a runtime adds.

The last digits of a float32 sum depend on the order of its terms. Two values of a window that differ only by these
digits are a near tie: either may be the maximum, and the decoder may put the value at either position. Both results are
right. All other choices are clear, and so is every pixel that no near tie affects. These bounds are the ranges of right
results; for a clear result the range is one value.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from deconv_ae.model.autoencoder import Autoencoder

ROUNDING = 1e-5
"""The largest error of a sum, relative to the sum of its terms' magnitudes. float32 rounds by 6e-8 at every term, and
the terms themselves were rounded before. A sum of zeros is exact, and so are ties of such sums."""

BATCH_SIZE = 16
"""Images in a batch. A batch of 256x256-pixel images takes a gigabyte with 32 filters."""


@dataclass(frozen=True)
class Bounds:
    """The results that are correct for an autoencoder and its input images.

    Attributes:
        choices: by the switches' name, `(N, windows down, windows right, filters, positions)` bool: whether the
            position may hold the window's maximum.
        middle: the middle of each pixel's range in the reconstruction, `(N, height, width, channels)`.
        radius: half of the width of that range; 0 for a pixel that no near tie affects.
    """

    choices: Mapping[str, np.ndarray]
    middle: np.ndarray
    radius: np.ndarray

    @classmethod
    def of(cls, model: Autoencoder, images: np.ndarray) -> "Bounds":
        """The bounds for scaled images, `(N, height, width, channels)`.

        >>> from deconv_ae import Architecture
        >>> model = Autoencoder(Architecture((1,), (2,)), (4, 4, 1))
        >>> bounds = Bounds.of(model, np.zeros((3, 4, 4, 1), "float32"))
        >>> bounds.choices["switches_1"].shape
        (3, 2, 2, 1, 4)
        """
        starts = range(0, len(images), BATCH_SIZE)
        batches = [_bounds(model, images[start : start + BATCH_SIZE]) for start in starts]
        choices, middles, radii = zip(*batches)
        names = model.architecture.switches_names
        return cls(
            choices={name: np.concatenate(batch) for name, batch in zip(names, zip(*choices))},
            middle=np.concatenate(middles),
            radius=np.concatenate(radii),
        )

    def count_wrong(self, switches: Mapping[str, np.ndarray]) -> int:
        """Counts the switches that point to a value that cannot be the window's maximum."""
        count = 0
        for name, positions in switches.items():
            may_be_maximum = self.choices[name]
            # A switch that points out of its window is wrong, too.
            clipped = np.minimum(positions, may_be_maximum.shape[-1] - 1)
            is_possible = np.take_along_axis(may_be_maximum, clipped[..., np.newaxis].astype(np.int64), -1)[..., 0]
            count += int(np.sum(~is_possible | (positions != clipped)))
        return count

    def difference(self, reconstruction: np.ndarray, expected: np.ndarray) -> float:
        """Returns the largest difference of a pixel from its expected value, or NaN if any pixel is NaN.

        If a near tie affects a pixel, the pixel's difference from its range counts instead.
        """
        excess = np.maximum(np.abs(reconstruction - self.middle) - self.radius, 0)
        return float(np.max(np.where(self.radius > 0, excess, np.abs(reconstruction - expected))))


def _bounds(model: Autoencoder, images: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Returns the `choices` of each stage, and `middle` and `radius`, as in `Bounds`."""
    values, choices, shapes = tf.constant(images, tf.float32), [], []
    smooth = model.smooth(values)
    # `magnitudes` are the absolute values of a convolution's inputs. If an input is a difference, its magnitude is the
    # sum of both operands' absolute values.
    values, magnitudes = values - smooth, tf.abs(values) + tf.abs(smooth)
    for number, pool_size in enumerate(model.architecture.pool_sizes, start=1):
        kernel, bias = model.get_layer(f"conv{number}").get_weights()
        shapes.append(values.shape)
        convolved = tf.nn.bias_add(tf.nn.conv2d(values, kernel, 1, "SAME"), bias)
        error = ROUNDING * tf.nn.conv2d(magnitudes, np.abs(kernel), 1, "SAME")
        low, high = (
            _split_into_windows(tf.nn.relu(bound), pool_size) for bound in (convolved - error, convolved + error)
        )
        choices.append(_may_be_maximum(low, high))
        values = tf.nn.max_pool2d(tf.nn.relu(convolved), pool_size, pool_size, "VALID")
        magnitudes = values
    middle, radius = values, tf.zeros_like(values)
    for number in range(len(choices), 0, -1):
        kernel, *bias = model.get_layer(f"deconv{number}").get_weights()
        pool_size, shape = model.architecture.pool_sizes[number - 1], shapes[number - 1]
        middle, radius = (
            _join_windows(windows, shape, pool_size) for windows in _unpool_ranges(middle, radius, choices[number - 1])
        )
        middle = tf.nn.conv2d_transpose(middle, kernel, shape, 1, "SAME")
        middle = tf.nn.bias_add(middle, bias[0]) if bias else middle
        radius = tf.nn.conv2d_transpose(radius, np.abs(kernel), shape, 1, "SAME")
    return choices, (smooth + middle).numpy(), radius.numpy()


def _may_be_maximum(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether each value of a window may be the maximum that pooling chooses: the first of equal maxima.

    Each value lies between its bounds, `low` and `high`.
    """
    minus_infinity = np.full_like(low[..., :1], -np.inf)
    # For each position, the largest lower bound of the positions before it, and of those after it.
    most_before = np.concatenate([minus_infinity, np.maximum.accumulate(low, -1)[..., :-1]], -1)
    most_after = np.concatenate([np.maximum.accumulate(low[..., ::-1], -1)[..., ::-1][..., 1:], minus_infinity], -1)
    return (high > most_before) & (high >= most_after)


def _unpool_ranges(middle: tf.Tensor, radius: tf.Tensor, choices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unpools ranges of values, from `middle - radius` to `middle + radius`, into windows.

    At each position of a near tie, the range includes 0, because the value may go to another position.
    """
    middle, radius = (values.numpy()[..., np.newaxis] for values in (middle, radius))
    low, high = middle - radius, middle + radius
    is_clear = choices.sum(-1, keepdims=True) == 1
    low, high = np.where(is_clear, low, np.minimum(low, 0)), np.where(is_clear, high, np.maximum(high, 0))
    # A clear choice keeps its radius: (high - low) / 2 could round a small radius to 0.
    radius = np.where(is_clear, radius, (high - low) / 2)
    return np.where(choices, (low + high) / 2, 0), np.where(choices, radius, 0)


def _split_into_windows(images: tf.Tensor, pool_size: tuple[int, int]) -> np.ndarray:
    """Splits images into windows, `(N, windows down, windows right, channels, positions)`.

    Rows and columns outside of all windows are left out.
    """
    (height, width), (_, rows, columns, channels) = pool_size, images.shape
    windows_down, windows_right = rows // height, columns // width
    cropped = images.numpy()[:, : windows_down * height, : windows_right * width]
    windows = cropped.reshape(-1, windows_down, height, windows_right, width, channels).transpose(0, 1, 3, 5, 2, 4)
    return windows.reshape(-1, windows_down, windows_right, channels, height * width)


def _join_windows(windows: np.ndarray, shape: tuple[int, ...], pool_size: tuple[int, int]) -> tf.Tensor:
    """Joins windows into images of `shape`, and sets rows and columns outside of all windows to 0."""
    (height, width), (_, windows_down, windows_right, channels, _) = pool_size, windows.shape
    rows, columns = windows_down * height, windows_right * width
    pixels = windows.reshape(-1, windows_down, windows_right, channels, height, width).transpose(0, 1, 4, 2, 5, 3)
    pixels = pixels.reshape(-1, rows, columns, channels)
    return tf.pad(pixels, [(0, 0), (0, shape[1] - rows), (0, shape[2] - columns), (0, 0)])
