"""Compares a model with baselines that need no model, and finds reasons not to keep it."""

from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf

from deconv_ae.data import EvaluationBatches
from deconv_ae.data.batches import PIXEL_SCALE
from deconv_ae.data.dataset import evenly_spaced
from deconv_ae.model.baselines import Baselines, thumbnail_size
from deconv_ae.model.objective import per_image_rmse

LARGEST_RISE = 1.01
"""The largest ratio of the final loss to the initial loss at which the loss does not count as risen.

The order of the images alone changes a loss by less than a hundredth."""
SAMPLED_IMAGES = 256
ENLARGING_METHODS = ("lanczos3", "bicubic")
# In this number of batches of digits, a graph saves as much time as its tracing takes.
BATCHES_WORTH_A_GRAPH = 20


def baselines(train: np.ndarray, test: np.ndarray, code_values: int | None = None) -> Baselines:
    """Computes the baselines' test RMSE, reading both splits a batch at a time.

    Args:
        train: `(N, height, width, channels)` uint8 training images.
        test: uint8 test images of the same height, width and channels.
        code_values: number of values in a code. A thumbnail has at most this many; None leaves thumbnails out.

    Returns:
        The RMSEs.

    >>> images = np.array([0, 64, 128], np.uint8).reshape(3, 1, 1, 1)
    >>> baselines(images, images[:2])
    Baselines(mean_image_rmse=0.125, black_rmse=0.125, thumbnail_rmse=None)
    """
    mean_image = tf.cast(_sum_of_scaled(train) / len(train), tf.float32)
    return Baselines(
        mean_rmse(lambda _: mean_image, test),
        mean_rmse(tf.zeros_like, test),
        None if code_values is None else thumbnail_rmse(test, code_values),
    )


def thumbnail_rmse(images: np.ndarray, max_values: float, is_rounded: bool = False) -> float:
    """Computes the mean RMSE of thumbnails, enlarged by Lanczos or bicubic interpolation, whichever is better.

    Args:
        images: `(N, height, width, channels)` uint8.
        max_values: a thumbnail has at most this many values: height x width x channels, see `thumbnail_size`.
        is_rounded: whether the thumbnails are rounded to 8 bits per number.

    Returns:
        The mean RMSE; 0 if a thumbnail is as large as an image.
    """
    if thumbnail_size(images.shape[1:], max_values) == images.shape[1:3]:
        return 0.0
    return min(
        mean_rmse(partial(enlarged_thumbnails, max_values=max_values, method=method, is_rounded=is_rounded), images)
        for method in ENLARGING_METHODS
    )


def enlarged_thumbnails(images: tf.Tensor, max_values: float, method: str, is_rounded: bool = False) -> tf.Tensor:
    """Makes thumbnails of a batch of scaled images, and enlarges them to the images' size.

    Args:
        images: `(N, height, width, channels)` in [0, 1).
        max_values: a thumbnail has at most this many values: height x width x channels, see `thumbnail_size`.
        method: one of `ENLARGING_METHODS`.
        is_rounded: whether the thumbnails are rounded to 8 bits per number.

    Returns:
        Float32 images of the shape of `images`.
    """
    thumbnails = tf.image.resize(images, thumbnail_size(images.shape[1:], max_values), "lanczos3", antialias=True)
    if is_rounded:
        thumbnails = tf.clip_by_value(tf.round(thumbnails / PIXEL_SCALE), 0, 255) * PIXEL_SCALE
    return tf.clip_by_value(tf.image.resize(thumbnails, images.shape[1:3], method), 0, 1)


def _sum_of_scaled(images: np.ndarray) -> tf.Tensor:
    """Returns the sum of the scaled images, in float64, which holds sums of pixels / 256 exactly."""
    total = tf.zeros(images.shape[1:], tf.float64)
    for batch in EvaluationBatches(images):
        total += tf.reduce_sum(tf.cast(batch, tf.float64), axis=0)
    return total


def mean_rmse(reconstruct: Callable[[tf.Tensor], tf.Tensor], images: np.ndarray) -> float:
    """Computes the mean per-image RMSE of `reconstruct`, which gets batches of scaled images.

    `images` is `(N, height, width, channels)` uint8.
    """

    def image_errors(batch: tf.Tensor) -> tf.Tensor:
        return per_image_rmse(batch, reconstruct(batch))

    batches = EvaluationBatches(images)
    if len(batches) >= BATCHES_WORTH_A_GRAPH:
        image_errors = tf.function(image_errors, reduce_retracing=True)
    return float(np.concatenate([image_errors(batch) for batch in batches]).mean(dtype=np.float64))


def sample(images: np.ndarray) -> np.ndarray:
    """Returns at most 256 images of a split, evenly spaced."""
    return evenly_spaced(images, SAMPLED_IMAGES)


def silent_channels(encode: Callable[[tf.Tensor], tf.Tensor], images: np.ndarray) -> int:
    """Counts the channels of the code that are 0 everywhere in every image; `encode` makes a batch's codes.

    >>> silent_channels(lambda batch: tf.concat([batch, 0 * batch], axis=-1), np.ones((5, 2, 2, 1), np.uint8))
    1
    """
    silent: tf.Tensor | bool = True
    for batch in EvaluationBatches(images):
        silent &= tf.reduce_all(encode(batch) == 0, axis=(0, 1, 2))
        if not tf.reduce_any(silent):
            break
    return int(tf.reduce_sum(tf.cast(silent, tf.int32)))


def find_problem(test_rmse: float, mean_image_rmse: float, initial_loss: float | None, final_loss: float) -> str | None:
    """Finds a reason not to keep a model.

    Args:
        test_rmse: the model's RMSE over the test images.
        mean_image_rmse: the test RMSE if the mean training image takes the place of every reconstruction.
        initial_loss: the loss before the training, over some training images; None if it is unknown.
        final_loss: the loss after the training, over the same images.

    Returns:
        The reason, in one line, or None.

    >>> find_problem(0.25, 0.25, 0.5, 0.25)
    'the model is no better than the mean training image, a test RMSE of 0.2500 against 0.2500'
    >>> find_problem(0.12, 0.25, 0.1, 0.12)
    'the loss rose over the run, from 0.1000 to 0.1200'
    """
    if not test_rmse < mean_image_rmse:
        return (
            "the model is no better than the mean training image, "
            f"a test RMSE of {test_rmse:.4f} against {mean_image_rmse:.4f}"
        )
    if initial_loss is not None and not final_loss <= LARGEST_RISE * initial_loss:
        return f"the loss rose over the run, from {initial_loss:.4f} to {final_loss:.4f}"
    return None
