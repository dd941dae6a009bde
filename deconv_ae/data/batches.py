"""uint8 arrays to the float batches that a model reads."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from deconv_ae.data.readahead import read_ahead
from deconv_ae.data.steps import steps_per_epoch

PIXEL_SCALE = 1 / 256
"""The original's scale: pixels in [0, 1), and not 1/255."""

TENSOR_ALIGNMENT = 64
EVALUATION_BATCH = 1000
# Several batches and a model's activations are in memory at once: photographs by the thousand would take gigabytes.
EVALUATION_PIXELS = 1 << 22

# For functions whose control flow depends on no tensor: autograph would only rewrite them, a third of a second for all.
without_autograph = tf.autograph.experimental.do_not_convert


def scale(images: Any) -> Any:
    """uint8 pixels as float32 in [0, 1), the one place where that is done: an array as an array, a tensor as a tensor.

    >>> scale(np.array([0, 128, 255], np.uint8))
    array([0.        , 0.5       , 0.99609375], dtype=float32)
    """
    if isinstance(images, np.ndarray):
        return images.astype(np.float32) * np.float32(PIXEL_SCALE)
    return tf.cast(images, tf.float32) * PIXEL_SCALE


def to_pixels(reconstruction: np.ndarray) -> np.ndarray:
    """The nearest shades, uint8, of values in the scale of pixels / 256.

    >>> to_pixels(np.array([-0.1, 0.5, 1.2], np.float32)).tolist()
    [0, 128, 255]
    """
    return np.clip(np.round(reconstruction / PIXEL_SCALE), 0, 255).astype(np.uint8)


def as_written(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The data set as it stands, without tf.data's optimizations and the thread that looks after its parallelism.

    The optimizations copy every tensor that the data set reads: a whole split. The thread sleeps, each time twice as
    long, up to a minute, and does not always wake when its iterator is deleted: a program that was done waited for it,
    for seconds.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return batches.with_options(options)


def as_tensor(images: np.ndarray) -> tf.Tensor:
    """An array as a tensor that lies where the array does; it has to stay as it is while the tensor is in use.

    A copy would be a second one of the whole split, and of a mapped split the first that counts as the process's own
    memory. An array that is read-only, has gaps or starts off the alignment that kernels insist on is copied.
    """
    if images.flags.c_contiguous and images.flags.writeable and images.ctypes.data % TENSOR_ALIGNMENT == 0:
        return tf.experimental.dlpack.from_dlpack(images.__dlpack__())
    return tf.constant(images)


def training_batches(images: np.ndarray, batch_size: int, seed: int, first_step: int = 0) -> tf.data.Dataset:
    """Shuffled batches without end, every image once an epoch: (images, images), float32.

    An epoch's order is a permutation made from the seed and the epoch's number alone, so a run
    that starts at `first_step` reads what one that started at 0 reads from there on.

    >>> batches = training_batches(np.zeros((10, 28, 28, 1), np.uint8), batch_size=4, seed=0)
    >>> [len(inputs) for inputs, _ in batches.take(4)]
    [4, 4, 2, 4]
    """
    batches = read_ahead(_index_batches(len(images), batch_size, seed, first_step), images)
    pixels = as_tensor(images)

    @without_autograph
    def pair(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch = scale(tf.gather(pixels, indices))
        return batch, batch

    return as_written(batches.map(pair, num_parallel_calls=2).prefetch(2))


def replica_batches(
    images: np.ndarray, batch_size: int, seed: int, first_step: int, replicas: range, num_replicas: int
) -> tf.data.Dataset:
    """The shares of `training_batches` that some of several replicas take: for every batch, theirs one after
    the other, as (images, weights), both float32.

    Shares differ by one image at most; all of a batch's shares together hold each of its images
    once. A weight is what an image counts in the mean over the whole batch. A share without
    images, as in a last batch of fewer images than replicas, holds one that weighs nothing:
    TensorFlow's fused convolution gives an empty batch the wrong shape.

    >>> images = np.zeros((9, 28, 28, 1), np.uint8)
    >>> shares = replica_batches(images, batch_size=8, seed=0, first_step=0, replicas=range(3), num_replicas=3)
    >>> [weights.numpy().tolist() for _, weights in shares.take(6)]
    [[0.125, 0.125], [0.125, 0.125, 0.125], [0.125, 0.125, 0.125], [0.0], [0.0], [1.0]]
    """
    batches = _index_batches(len(images), batch_size, seed, first_step)
    pixels = as_tensor(images)

    @without_autograph
    def shares(indices: tf.Tensor) -> tf.data.Dataset:
        length = tf.shape(indices, out_type=tf.int64)[0]

        def share(replica: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            first, end = replica * length // num_replicas, (replica + 1) * length // num_replicas
            weights = tf.fill([end - first], 1 / tf.cast(length, tf.float32))
            if_empty = tf.maximum(1 - (end - first), 0)
            return (
                tf.concat([indices[first:end], tf.zeros([if_empty], indices.dtype)], axis=0),
                tf.concat([weights, tf.zeros([if_empty])], axis=0),
            )

        return tf.data.Dataset.range(replicas.start, replicas.stop).map(share)

    @without_autograph
    def pair(indices: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return scale(tf.gather(pixels, indices)), weights

    # A strategy asks all workers before every step whether any has run out, unless none ever can.
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    numbered = read_ahead(batches.flat_map(shares), images)
    return as_written(numbered.map(pair, num_parallel_calls=2).apply(endless).prefetch(2))


def _index_batches(count: int, batch_size: int, seed: int, first_step: int) -> tf.data.Dataset:
    """The images' numbers, a batch at a time, from `first_step` on."""
    steps = steps_per_epoch(count, batch_size)

    @without_autograph
    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), seed=tf.stack([seed, tf.cast(epoch, tf.int32)])
        )
        first = tf.where(epoch == first_step // steps, first_step % steps, 0)
        batches = tf.data.Dataset.range(tf.cast(first, tf.int64), steps)
        return batches.map(lambda step: order[step * batch_size : (step + 1) * batch_size])

    return tf.data.Dataset.range(first_step // steps, np.iinfo(np.int32).max).flat_map(epoch_batches)


class EvaluationBatches:
    """All images, or those from `first` to before `end`, once and in order, a batch at a time: float32, scaled.

    Batches are of 1,000 images where that many are small. No `tf.data`: its graph takes the time of a thousand digits.

    >>> batches = EvaluationBatches(np.zeros((10, 28, 28, 1), np.uint8), batch_size=4)
    >>> len(batches), [len(batch) for batch in batches]
    (3, [4, 4, 2])
    """

    def __init__(self, images: np.ndarray, batch_size: int | None = None, first: int = 0, end: int | None = None):
        self._images = images[first:end]
        fitting = EVALUATION_PIXELS // math.prod(images.shape[1:])
        self._batch_size = batch_size or max(1, min(EVALUATION_BATCH, fitting))

    def __len__(self) -> int:
        return math.ceil(len(self._images) / self._batch_size)

    def __iter__(self) -> Iterator[tf.Tensor]:
        for first in range(0, len(self._images), self._batch_size):
            yield scale(tf.constant(self._images[first : first + self._batch_size]))
