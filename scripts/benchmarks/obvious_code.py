"""Pools by max_pool_with_argmax and unpools by scatter_nd, as TensorFlow Addons does: the obvious code."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def max_pool(images: tf.Tensor, pool_size: Any, strides: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the maxima, and their flat indices within the batch."""
    return tf.nn.max_pool_with_argmax(images, pool_size, strides, "VALID", include_batch_in_index=True)


def max_unpool(pooled: tf.Tensor, argmax: tf.Tensor, size: Sequence[Any]) -> tf.Tensor:
    """Images of this (height, width); values of windows that chose the same position are added."""
    shape = tf.cast(tf.stack([tf.shape(pooled)[0], *size, pooled.shape[-1]]), tf.int64)
    flat = tf.scatter_nd(tf.reshape(argmax, (-1, 1)), tf.reshape(pooled, (-1,)), tf.reduce_prod(shape)[None])
    return tf.reshape(flat, shape)
