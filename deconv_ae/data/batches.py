"""uint8 arrays to the float batches that a model reads."""

import numpy as np
import tensorflow as tf

PIXEL_SCALE = 1 / 256
"""The original's scale: pixels in [0, 1), and not 1/255."""


def scale(images: tf.Tensor) -> tf.Tensor:
    """uint8 pixels as float32 in [0, 1), the one place where that is done.

    >>> scale(tf.constant([0, 128, 255], tf.uint8)).numpy()
    array([0.        , 0.5       , 0.99609375], dtype=float32)
    """
    return tf.cast(images, tf.float32) * PIXEL_SCALE


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Batches that hold `count` images once each, the last of them smaller where need be."""
    return -(-count // batch_size)


def training_batches(images: np.ndarray, batch_size: int, seed: int, first_step: int = 0) -> tf.data.Dataset:
    """Shuffled batches without end, every image once an epoch: (images, images), float32.

    An epoch's order is a permutation made from the seed and the epoch's number alone, so a run
    that starts at `first_step` reads what one that started at 0 reads from there on.

    >>> batches = training_batches(np.zeros((10, 28, 28, 1), np.uint8), batch_size=4, seed=0)
    >>> [len(inputs) for inputs, _ in batches.take(4)]
    [4, 4, 2, 4]
    """
    count = len(images)
    steps = steps_per_epoch(count, batch_size)
    pixels = tf.constant(images)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), seed=tf.stack([seed, tf.cast(epoch, tf.int32)])
        )
        first = tf.where(epoch == first_step // steps, first_step % steps, 0)
        batches = tf.data.Dataset.range(tf.cast(first, tf.int64), steps)
        return batches.map(lambda step: order[step * batch_size : (step + 1) * batch_size])

    def pair(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch = scale(tf.gather(pixels, indices))
        return batch, batch

    epochs = tf.data.Dataset.range(first_step // steps, np.iinfo(np.int32).max)
    return epochs.flat_map(epoch_batches).map(pair, num_parallel_calls=2).prefetch(2)


def evaluation_batches(images: np.ndarray, batch_size: int = 1000) -> tf.data.Dataset:
    """All images once, in order: (images, images), float32."""
    batches = tf.data.Dataset.from_tensor_slices(images).batch(batch_size)
    return batches.map(lambda batch: (scale(batch), scale(batch))).prefetch(2)
