"""Makes float batches for a model from uint8 arrays."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from deconv_ae.data.readahead import read_ahead
from deconv_ae.data.steps import steps_per_epoch

PIXEL_SCALE = 1 / 256
"""The scale of the original CNTK example: pixels are divided by 256, not by 255, so they lie in [0, 1)."""

TENSOR_ALIGNMENT = 64
EVALUATION_BATCH = 1000
# Memory holds several batches and a model's activations at once, so batches of a thousand photographs would take
# gigabytes.
EVALUATION_PIXELS = 1 << 22

# Decorates functions without control flow on tensors: autograph would spend a third of a second on them for nothing.
without_autograph = tf.autograph.experimental.do_not_convert


def scale(images: Any) -> Any:
    """Scales uint8 pixels to float32 in [0, 1): an array to an array, a tensor to a tensor.

    All code scales pixels by this function.

    >>> scale(np.array([0, 128, 255], np.uint8))
    array([0.        , 0.5       , 0.99609375], dtype=float32)
    """
    if isinstance(images, np.ndarray):
        return images.astype(np.float32) * np.float32(PIXEL_SCALE)
    return tf.cast(images, tf.float32) * PIXEL_SCALE


def to_pixels(reconstruction: np.ndarray) -> np.ndarray:
    """Undoes `scale`: rounds values to uint8 pixels, and clips them to 0 to 255.

    >>> to_pixels(np.array([-0.1, 0.5, 1.2], np.float32)).tolist()
    [0, 128, 255]
    """
    return np.clip(np.round(reconstruction / PIXEL_SCALE), 0, 255).astype(np.uint8)


def without_optimizations(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the same batches without tf.data's optimizations and autotuning thread.

    The optimizations copy every tensor that the data set reads, and such a tensor holds a whole split. The autotuning
    thread sleeps for up to a minute. The thread does not always wake when its iterator is deleted: finished programs
    waited seconds for the thread to end.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return batches.with_options(options)


def as_tensor(images: np.ndarray) -> tf.Tensor:
    """A tensor that shares the array's memory if possible; nobody may change the array while the tensor is in use.

    A copy would double a split's memory, and would bring a mapped split into the process's own memory. An array is
    copied only if it is read-only, not C-contiguous, or not aligned as TensorFlow's kernels require.
    """
    if images.flags.c_contiguous and images.flags.writeable and images.ctypes.data % TENSOR_ALIGNMENT == 0:
        return tf.experimental.dlpack.from_dlpack(images.__dlpack__())
    return tf.constant(images)


def training_batches(images: np.ndarray, batch_size: int, seed: int, first_step: int = 0) -> tf.data.Dataset:
    """Endless shuffled batches (images, images), float32, with every image once in each epoch.

    The seed and the epoch's number alone determine an epoch's order. So a run that starts at `first_step` reads the
    same batches as a run that has started at 0 and reached that step.

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

    return without_optimizations(batches.map(pair, num_parallel_calls=2).prefetch(2))


def replica_batches(
    images: np.ndarray, batch_size: int, seed: int, first_step: int, replicas: range, num_replicas: int
) -> tf.data.Dataset:
    """Divides `training_batches` among `num_replicas` replicas, and yields shares as (images, weights), float32.

    For each batch, the shares of the replicas in the range `replicas` are yielded one after the other. The sizes of a
    batch's shares differ by at most one image, and the shares of all replicas together hold each image of the batch
    once. An image's weight is 1 / the number of images in the whole batch, so that a weighted sum over all shares is
    the mean over the batch. If a batch has fewer images than there are replicas, an empty share gets one image of
    weight 0, because TensorFlow's fused convolution gives an empty batch the wrong shape.

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
            padding = tf.maximum(1 - (end - first), 0)
            return (
                tf.concat([indices[first:end], tf.zeros([padding], indices.dtype)], axis=0),
                tf.concat([weights, tf.zeros([padding])], axis=0),
            )

        return tf.data.Dataset.range(replicas.start, replicas.stop).map(share)

    @without_autograph
    def pair(indices: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return scale(tf.gather(pixels, indices)), weights

    # If the data set were finite, a strategy would ask all workers before every step whether one has run out.
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    index_shares = read_ahead(batches.flat_map(shares), images)
    return without_optimizations(index_shares.map(pair, num_parallel_calls=2).apply(endless).prefetch(2))


def _index_batches(count: int, batch_size: int, seed: int, first_step: int) -> tf.data.Dataset:
    """Endless shuffled batches of image numbers, from step `first_step` on."""
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
    """Scaled float32 batches of `images[first:end]`, in order.

    By default, a batch has 1,000 small images, or fewer large ones. The class does not use `tf.data`, because building
    the graph of a `tf.data.Dataset` takes as long as evaluating a thousand digits.

    >>> batches = EvaluationBatches(np.zeros((10, 28, 28, 1), np.uint8), batch_size=4)
    >>> len(batches), [len(batch) for batch in batches]
    (3, [4, 4, 2])
    """

    def __init__(self, images: np.ndarray, batch_size: int | None = None, first: int = 0, end: int | None = None):
        self._images = images[first:end]
        max_images = EVALUATION_PIXELS // math.prod(images.shape[1:])
        self._batch_size = batch_size or max(1, min(EVALUATION_BATCH, max_images))

    def __len__(self) -> int:
        return math.ceil(len(self._images) / self._batch_size)

    def __iter__(self) -> Iterator[tf.Tensor]:
        for first in range(0, len(self._images), self._batch_size):
            yield scale(tf.constant(self._images[first : first + self._batch_size]))
