"""The conversions in the table below "Coming from elsewhere" in deconv_ae/layers/README.md.

Positions are numbered as in the other libraries. Expected results are literals or come from NumPy and TensorFlow, so
that the other libraries need not be installed.
"""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from deconv_ae.layers import MaxPoolingWithArgmax2D, MaxUnpooling1D, MaxUnpooling2D, MaxUnpooling3D


def from_torch(indices, size):
    """Returns the argmax for PyTorch's indices of shape `(N, C, ...)`, which are numbered in each channel."""
    channel = np.arange(indices.shape[1]).reshape(-1, *[1] * len(size))
    return indices + channel * math.prod(size)


def pad_with_lowest_value(images, margin):
    """Adds `margin` pixels on each side. They are never a maximum, because they have the lowest value."""
    lowest = float(np.finfo("float32").min)
    return keras.ops.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)), constant_values=lowest)


def test_torch_padding_equals_padding_with_lowest_value():
    images = np.random.default_rng(0).permutation(225).reshape(1, 15, 15, 1).astype("float32") - 300
    pooled, argmax = MaxPoolingWithArgmax2D(8, 3)(pad_with_lowest_value(images, 2))
    # A window of 8x8 pixels begins at every third pixel. The first window begins 2 pixels above and left of the image.
    starts = range(-2, 15 + 2 - 8 + 1, 3)
    expected = [[images[0, max(r, 0) : r + 8, max(c, 0) : c + 8, 0].max() for c in starts] for r in starts]
    np.testing.assert_array_equal(tf.squeeze(pooled), expected)
    restored = MaxUnpooling2D(8, 3)(pooled, argmax, output_size=(19, 19))[:, 2:-2, 2:-2]
    np.testing.assert_array_equal(restored, np.where(np.isin(images, expected), images, 0))


def test_masks_of_tensorflow_addons_restore_values():
    values = np.float32([13, 4]).reshape(1, 1, 2, 1)
    mask = np.array([0, 6]).reshape(1, 1, 2, 1)
    expected = np.float32([[13, 0, 0, 0], [0, 0, 4, 0]])
    for padding in ("SAME", "VALID"):
        restored = MaxUnpooling2D((2, 2), (2, 2), padding)(values, tf.constant(mask))
        np.testing.assert_array_equal(tf.squeeze(restored), expected)
    restored_to_given_size = MaxUnpooling2D(2)(values, tf.constant(mask), output_size=(2, 4))
    np.testing.assert_array_equal(tf.squeeze(restored_to_given_size), expected)


def test_unpooling_by_positions_modulo_image_length_equals_scatter_nd():
    images = np.random.default_rng(0).permutation(96).reshape(3, 4, 4, 2).astype("float32")
    pooled, mask = tf.nn.max_pool_with_argmax(images, 2, 2, "VALID", include_batch_in_index=True)
    flat = tf.scatter_nd(tf.reshape(mask, (-1, 1)), tf.reshape(pooled, (-1,)), [96])
    restored = MaxUnpooling2D(2)(pooled, mask % (4 * 4 * 2))
    np.testing.assert_array_equal(restored, tf.reshape(flat, images.shape))
    np.testing.assert_array_equal(mask % (4 * 4 * 2), MaxPoolingWithArgmax2D(2)(images)[1])


@pytest.mark.parametrize(
    "layer, size, indices, expected",
    [
        (MaxUnpooling1D, (8,), [1, 3, 5, 7], [0, 2, 0, 4, 0, 6, 0, 8]),
        (MaxUnpooling2D, (4, 4), [5, 7, 13, 15], [0, 0, 0, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 6, 0, 8]),
        (MaxUnpooling3D, (2, 2, 8), [9, 11, 29, 31], [*[0] * 9, 2, 0, 4, *[0] * 17, 6, 0, 8]),
    ],
)
def test_converted_torch_indices_restore_values(layer, size, indices, expected):
    pooled_size = tuple(n // 2 for n in size)
    values = np.float32([2, 4, 6, 8]).reshape(1, 1, *pooled_size)
    two_channels = np.concatenate([values, values + 10], axis=1)
    indices = np.repeat(np.array(indices).reshape(1, 1, *pooled_size), 2, axis=1)
    restored = layer(2, data_format="channels_first")(two_channels, tf.constant(from_torch(indices, size))).numpy()
    np.testing.assert_array_equal(restored[0, 0].ravel(), expected)
    np.testing.assert_array_equal(restored[0, 1].ravel(), np.where(expected, np.float32(expected) + 10, 0))


def test_onnx_indices_modulo_image_length_restore_values():
    # ONNX numbers all images together: the indices of the second image continue those of the first image.
    values = np.float32([[[[1, 2], [3, 4]]]])
    indices = np.array([[[[5, 7], [13, 15]]]])
    expected = np.float32([0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 3, 0, 4])
    batch, batch_indices = np.concatenate([values, values]), np.concatenate([indices, indices + 16])
    restored = MaxUnpooling2D(2, data_format="channels_first")(batch, tf.constant(batch_indices % 16)).numpy()
    np.testing.assert_array_equal(restored.reshape(2, 16), [expected, expected])
