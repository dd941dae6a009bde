"""The layers in NumPy, as plain loops over windows."""

import math

import numpy as np


def window_spans(length, pool, stride, padding):
    """Returns the start of every window along an axis, and the start and end of the window's part in the image.

    The start of a window may be negative.
    """
    if padding == "valid":
        starts = range(0, length - pool + 1, stride)
    else:
        count = math.ceil(length / stride)
        starts = [i * stride - max((count - 1) * stride + pool - length, 0) // 2 for i in range(count)]
    return [(start, max(start, 0), min(start + pool, length)) for start in starts]


def pool_reference(images, pool_size, strides, padding):
    """Returns maxima, argmax and switches, computed window by window. The first NaN of a window is its maximum."""
    batch, height, width, channels = images.shape
    rows = window_spans(height, pool_size[0], strides[0], padding)
    columns = window_spans(width, pool_size[1], strides[1], padding)
    shape = (batch, len(rows), len(columns), channels)
    pooled, argmax, switches = np.zeros(shape, images.dtype), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for n, i, j, c in np.ndindex(shape):
        (top, row_from, row_to), (left, column_from, column_to) = rows[i], columns[j]
        best = None
        for row in range(row_from, row_to):
            for column in range(column_from, column_to):
                value = images[n, row, column, c]
                if best is None or value > best or (np.isnan(value) and not np.isnan(best)):
                    best = value
                    argmax[n, i, j, c] = (row * width + column) * channels + c
                    switches[n, i, j, c] = (row - top) * pool_size[1] + (column - left)
        pooled[n, i, j, c] = best
    return pooled, argmax, switches


def unpool_reference(pooled, argmax, size):
    """Returns images with the values at their positions, and whether each value was kept.

    The values are assigned one by one, in row-major order. If several values have one position, only the last is kept.
    """
    batch, channels = pooled.shape[0], pooled.shape[-1]
    images = np.zeros((batch, size[0] * size[1] * channels), pooled.dtype)
    kept_indices = {}
    for index in np.ndindex(pooled.shape):
        images[index[0], argmax[index]] = pooled[index]
        kept_indices[index[0], argmax[index]] = index
    is_kept = np.zeros(pooled.shape, bool)
    for index in kept_indices.values():
        is_kept[index] = True
    return images.reshape((batch, *size, channels)), is_kept


def take_reference(images, argmax):
    """The images' values at the positions."""
    flat = images.reshape(len(images), -1)
    return np.stack([f[a] for f, a in zip(flat, argmax, strict=True)])


def scatter_add_reference(values, argmax, shape):
    """Images with every value added at its position."""
    images = np.zeros((shape[0], math.prod(shape[1:])), values.dtype)
    for image, value, position in zip(images, values, argmax, strict=True):
        np.add.at(image, position, value)
    return images.reshape(shape)
