"""Structural similarity (SSIM) of images, by TensorFlow's own function."""

from typing import Any

import numpy as np
import tensorflow as tf

WINDOW = 11
"""The side of SSIM's window, as in Wang et al. Smaller images get a window of their shorter side."""


def ssim(images: Any, others: Any, brightest: float) -> np.ndarray:
    """The SSIM of each image and its counterpart: 1 for equal images, less for others.

    Args:
        images: `(N, height, width, channels)`.
        others: their counterparts, of the same type.
        brightest: the top of the scale: 255 for pixels, 1 for pixels / 256.

    Returns:
        `(N,)` float32.

    >>> images = np.arange(25, dtype=np.float32).reshape(1, 5, 5, 1) / 25
    >>> ssim(images, images, 1.0).tolist(), bool(ssim(images, 1 - images, 1.0)[0] < 0)
    ([1.0], True)
    """
    window = min(WINDOW, *images.shape[1:3])
    similarities = tf.image.ssim(tf.constant(images), tf.constant(others), brightest, filter_size=window)
    return similarities.numpy()
